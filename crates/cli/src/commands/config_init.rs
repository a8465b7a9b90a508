//! `pgark config init`: five questions, and a configuration file of the answers.
//!
//! What cannot be right is asked again. Nothing is reached: the file may be written before there is
//! a repository, and where the server is down.

use std::path::{Path, PathBuf};

use pgark_ops::storage::StorageUrl;

use crate::args::{ConfigInit, Server};
use crate::config::{self, Config};
use crate::error::Failure;
use crate::secrets::new_private_file;
use crate::server::connection;
use crate::{output, signals, terminal, tilde};

/// The name of the repository's section, and of the cluster's.
const NAME: &str = "main";

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    /// A URL, or a folder from the root on.
    repository: String,
    /// A connection string; empty: what the environment says.
    server: String,
    /// Patterns; empty: all databases.
    databases: Vec<String>,
    opened_by: OpenedBy,
    /// Daily, weekly and monthly backups; none: nothing is forgotten.
    keep: Option<[u32; 3]>,
}

/// What opens the backups for reading.
#[derive(Debug, PartialEq, Eq)]
enum OpenedBy {
    Identity(String),
    Passphrase,
    Nothing,
}

/// Asks, and writes the file.
pub fn run(args: &ConfigInit) -> Result<(), Failure> {
    let path = match &args.output {
        Some(path) => path.clone(),
        None => config::usual_places().into_iter().next().ok_or_else(|| {
            Failure::refused(
                "there is no configuration folder on this host",
                Some("give --output FILE, or set HOME"),
            )
        })?,
    };
    refuse_existing(&path)?;
    if !terminal::is_there() {
        return Err(Failure::usage(
            "`pgark config init` asks on a terminal, and there is none",
            "`pgark config default` prints a file with every key, its default and what it is for",
        ));
    }
    signals::cancel_on_signal()?;
    let text = to_toml(&ask()?);
    if let Err(problems) = Config::parse(&path, &text) {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::usage(lines.join("\n"), "nothing was written"));
    }
    // A connection string may hold a password.
    new_private_file(&path, &text, || format!("write {}", path.display()))?;
    output::line(&format!("wrote {}", path.display()))
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match path.exists() {
        true => Err(Failure::refused(
            &format!("{} already exists", path.display()),
            Some("edit it, or write another one: --output FILE; `pgark config show` tells what it says"),
        )),
        false => Ok(()),
    }
}

fn ask() -> Result<Answers, Failure> {
    let repository = until_right(
        "1/5 Where is the repository? A folder, or s3://, gs://, azblob:// or sftp://",
        "",
        place,
    )?;
    let server = until_right(
        "2/5 How is the server reached? As for psql: host=db1 user=backup, or a URI; - for PGHOST, PGUSER, …",
        "-",
        server,
    )?;
    let databases =
        until_right("3/5 Which databases? Names or patterns with blanks between, or all", "all", |text| {
            Ok(names(text))
        })?;
    let opened_by = until_right(
        "4/5 What opens the backups? The file of an age identity, passphrase, or none (not encrypted)",
        "passphrase",
        opened_by,
    )?;
    let keep = until_right(
        "5/5 How many daily, weekly and monthly backups are kept? Three numbers, or all",
        "7 5 12",
        keep,
    )?;
    Ok(Answers { repository, server, databases, opened_by, keep })
}

/// Asks until the answer can be right. An empty one is the default.
fn until_right<T>(
    question: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    /// Input that came to its end answers with nothing from then on.
    const TRIES: u32 = 10;
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    for _ in 0..TRIES {
        let answer = terminal::ask(&format!("{question}{shown}:"), false)?;
        let answer = answer.trim();
        match read(if answer.is_empty() { default } else { answer }) {
            Ok(answer) => return Ok(answer),
            Err(why) => eprintln!("  {}", crate::visible::visible_lines(&why)),
        }
    }
    Err(Failure::usage("no answer could be used", "nothing was written"))
}

fn place(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("name a folder or a URL".into());
    }
    let text = tilde::expand(text)?;
    match StorageUrl::parse(&text) {
        Err(bad) => Err(format!("{}: {}", bad.what, bad.hint)),
        Ok(StorageUrl::Directory(path)) => {
            let whole = std::path::absolute(&path).map_err(|error| error.to_string())?;
            whole.to_str().map(str::to_string).ok_or_else(|| "the path is not UTF-8".into())
        }
        Ok(_) => Ok(text),
    }
}

fn server(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(String::new());
    }
    match connection(text, &Server::default()) {
        Ok(_) => Ok(text.to_string()),
        Err(error) => Err(Failure::from(error).words()),
    }
}

/// Blanks part names outside of double quotes.
fn names(text: &str) -> Vec<String> {
    if text.eq_ignore_ascii_case("all") {
        return Vec::new();
    }
    let mut found = vec![String::new()];
    let mut is_quoted = false;
    for sign in text.chars() {
        is_quoted ^= sign == '"';
        match found.last_mut() {
            Some(name) if is_quoted || !(sign.is_whitespace() || sign == ',') => name.push(sign),
            _ => found.push(String::new()),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn opened_by(text: &str) -> Result<OpenedBy, String> {
    match text {
        "none" => Ok(OpenedBy::Nothing),
        "passphrase" => Ok(OpenedBy::Passphrase),
        path => {
            let path = PathBuf::from(tilde::expand(path)?);
            if !path.is_file() {
                return Err(format!(
                    "there is no file {}: `age-keygen -o FILE` makes one; or answer passphrase, or none",
                    path.display()
                ));
            }
            let whole = std::path::absolute(&path).map_err(|error| error.to_string())?;
            let whole = whole.to_str().ok_or("the path is not UTF-8")?;
            Ok(OpenedBy::Identity(whole.to_string()))
        }
    }
}

fn keep(text: &str) -> Result<Option<[u32; 3]>, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(None);
    }
    let numbers: Option<Vec<u32>> =
        text.split([' ', ',']).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect();
    let numbers: Option<[u32; 3]> = numbers.and_then(|numbers| numbers.try_into().ok());
    match numbers {
        Some(numbers) if numbers.iter().any(|number| *number > 0) => Ok(Some(numbers)),
        _ => Err("write three numbers, like 7 5 12, of which one is not 0; or all".into()),
    }
}

/// The file of these answers.
fn to_toml(answers: &Answers) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
    let Answers { repository, server, databases, opened_by, keep } = answers;
    let (init, reading) = match opened_by {
        OpenedBy::Identity(path) => (
            format!("pgark init --recipient \"$(age-keygen -y {path})\""),
            Some(format!("identity = {}", quoted(path))),
        ),
        OpenedBy::Passphrase => ("pgark init --passphrase".into(), Some("passphrase = true".into())),
        OpenedBy::Nothing => ("pgark init --no-encryption".into(), None),
    };
    let mut text = format!(
        "# Made by `pgark config init`. `pgark config default` prints every key, `pgark config show COMMAND` what applies.\n\
         #\n\
         #   {init}\n\
         #   pgark backup\n\
         #   pgark list\n\
         #   pgark prune                        # regularly: frees what no backup needs\n\n\
         [repositories.{NAME}]\nurl = {}\n\n[clusters.{NAME}]\nrepository = \"{NAME}\"\n",
        quoted(repository)
    );
    if !server.is_empty() {
        text.push_str(&format!("dbname = {}\n", quoted(server)));
    }
    match databases.as_slice() {
        [] => text.push_str("all = true\n"),
        some => {
            let some: Vec<String> = some.iter().map(|name| quoted(name)).collect();
            text.push_str(&format!("database = [{}]\n", some.join(", ")));
        }
    }
    if let Some([daily, weekly, monthly]) = keep {
        text.push_str("forget_after_backup = true\n");
        for (key, number) in [("keep_daily", daily), ("keep_weekly", weekly), ("keep_monthly", monthly)] {
            if *number > 0 {
                text.push_str(&format!("{key} = {number}\n"));
            }
        }
    }
    text.push_str(&format!("\n# The cluster of commands that name none.\n[backup]\ncluster = \"{NAME}\"\n"));
    if keep.is_some() {
        text.push_str(&format!("\n[forget]\ncluster = \"{NAME}\"\n"));
    }
    if let Some(secret) = reading {
        text.push_str(
            "\n# Backups need no secret: `pgark init` leaves a writer key on this host. Reading needs one.\n",
        );
        for command in ["restore", "export", "cat", "diff"] {
            text.push_str(&format!("[{command}]\n{secret}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(answers: &Answers) -> Config {
        let text = to_toml(answers);
        Config::parse(Path::new("p"), &text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
    }

    #[test]
    fn every_answer_makes_a_file_without_problems() {
        for opened_by in [OpenedBy::Identity("/a \"b\"/i".into()), OpenedBy::Passphrase, OpenedBy::Nothing] {
            for (databases, keep) in
                [(vec![], None), (vec!["shop".into(), "\"We ird\"".into()], Some([7, 0, 1]))]
            {
                let answers = Answers {
                    repository: "/back\\up".into(),
                    server: "host=a password='b\"c'".into(),
                    databases: databases.clone(),
                    opened_by: match &opened_by {
                        OpenedBy::Identity(path) => OpenedBy::Identity(path.clone()),
                        OpenedBy::Passphrase => OpenedBy::Passphrase,
                        OpenedBy::Nothing => OpenedBy::Nothing,
                    },
                    keep,
                };
                let config = parsed(&answers);
                let main = &config.clusters["main"].own;
                assert_eq!(main["dbname"].value.to_string(), "host=a password='b\"c'");
                assert_eq!(main.contains_key("all"), databases.is_empty());
                assert_eq!(main.contains_key("keep_monthly"), keep.is_some());
                assert!(!main.contains_key("keep_weekly"));
                assert_eq!(config.repositories["main"]["url"].value.to_string(), "/back\\up");
                assert_eq!(config.commands.contains_key("restore"), opened_by != OpenedBy::Nothing);
            }
        }
    }

    #[test]
    fn answers_are_read_as_people_write_them() {
        assert_eq!(names("all"), Vec::<String>::new());
        assert_eq!(names("shop, \"We ird\"  a*"), ["shop", "\"We ird\"", "a*"]);
        assert_eq!(keep("7,5, 12"), Ok(Some([7, 5, 12])));
        assert_eq!(keep("ALL"), Ok(None));
        for wrong in ["", "7", "0 0 0", "7 5 x", "1 2 3 4"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
        assert_eq!(place("s3://bucket/x").as_deref(), Ok("s3://bucket/x"));
        assert!(place("relative").unwrap().starts_with('/'));
        assert!(place("").is_err() && place("ftp://x/y").is_err());
        assert_eq!(server("-").as_deref(), Ok(""));
        assert!(server("hots=db1").unwrap_err().contains("hots"));
        assert_eq!(opened_by("none"), Ok(OpenedBy::Nothing));
        assert!(opened_by("/nowhere/identity.txt").unwrap_err().contains("age-keygen -o FILE"));
    }
}
