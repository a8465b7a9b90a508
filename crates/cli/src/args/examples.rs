//! Every example in the README, in docs/ and in the help texts is a command line that the program
//! reads. What a reader copies must not fail with "unexpected argument".
//!
//! The blocks of the README are also run, on a real server (`crates/cli/tests/server/readme.rs`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Args;
use crate::config::Typed;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Placeholders, and what is read instead, because the program checks these values. All others
/// (`ID`, `NAME`, `URL`, …) are valid as they are.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("age1…", "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"),
    ("TIME", "2026-11-20T00:00:00Z"),
    ("F", "1f09-77a0-52cc-9e4b-d301-6a8e-4417-b25c"),
    ("COMMAND", "list"),
];
/// Stands for options that an earlier command has shown.
const AND_SO_ON: &str = "…";

/// How much of a command line a text must show.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    /// All of it: someone copies it. Only options that the configuration file can contain may be
    /// missing.
    Whole,
    /// A sentence may name a command alone.
    InPart,
}

/// A command line, and where it was found.
struct Example {
    place: String,
    words: Vec<String>,
    shown: Shown,
}

/// A line that is being read by a shell's rules.
#[derive(Default)]
struct Line {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    /// The next word is the file of a redirection.
    is_redirected: bool,
}

impl Line {
    /// The simple commands of a line of a shell, each as its words: without comments and
    /// redirections, split at pipes, semicolons and parentheses. None: a quote does not end.
    fn commands(line: &str) -> Option<Vec<Vec<String>>> {
        let mut read = Line::default();
        let mut signs = line.chars().peekable();
        while let Some(sign) = signs.next() {
            match sign {
                '\'' | '"' => {
                    let word = read.word.get_or_insert_default();
                    loop {
                        match signs.next()? {
                            end if end == sign => break,
                            '\\' if sign == '"' => word.push(signs.next()?),
                            other => word.push(other),
                        }
                    }
                }
                '\\' => read.word.get_or_insert_default().push(signs.next()?),
                '#' if read.word.is_none() => break,
                '<' | '>' => {
                    // `2>` names a descriptor.
                    read.word.take_if(|word| word.chars().all(|sign| sign.is_ascii_digit()));
                    read.end_word();
                    while signs.next_if(|next| matches!(next, '>' | '&')).is_some() {}
                    read.is_redirected = true;
                }
                // What is in backquotes is found with the sentences' commands.
                '`' => {
                    read.end_command();
                    signs.by_ref().find(|sign| *sign == '`');
                }
                '|' | ';' | '&' | '(' | ')' => read.end_command(),
                sign if sign.is_whitespace() => read.end_word(),
                sign => read.word.get_or_insert_default().push(sign),
            }
        }
        read.end_command();
        Some(read.commands)
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && !std::mem::take(&mut self.is_redirected)
        {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.is_redirected = false;
        if !self.words.is_empty() {
            self.commands.push(std::mem::take(&mut self.words));
        }
    }
}

/// Whether this word starts the program: `pgark`, or a unit's `ExecStart=/usr/local/bin/pgark`.
fn is_program(word: &str) -> bool {
    word == "pgark" || word.rsplit_once('/').is_some_and(|(_, name)| name == "pgark")
}

/// The program's own words in a simple command: behind a cron line's times and user, too.
fn own_words<'w>(words: &'w [String], root: &Command) -> Option<&'w [String]> {
    let is_first = |word: &String| word.starts_with('-') || root.find_subcommand(word).is_some();
    let found = words.windows(2).position(|pair| is_program(&pair[0]) && is_first(&pair[1]));
    let first = || (words.len() > 1 && is_program(&words[0])).then_some(0);
    found.or_else(first).map(|at| &words[at..])
}

/// Lines with those that they continue.
fn joined(text: &str) -> String {
    text.replace("\\\n", " ")
}

/// The lines of a page inside its fences, block by block, and their numbers.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        match (is_fence, open.as_mut()) {
            (true, Some(_)) => found.extend(open.take()),
            (true, None) => open = Some((number + 2, String::new())),
            (false, Some((_, text))) => text.push_str(&format!("{line}\n")),
            (false, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    found
}

/// The commands of a block. With prompts in it, what follows them; all else is output. The
/// program's own messages have commands in backquotes only.
fn of_block(place: &str, block: &str, root: &Command) -> Vec<Example> {
    let has_prompts = block.lines().any(|line| line.trim_start().starts_with("$ "));
    let mut found = Vec::new();
    for line in joined(block).lines() {
        let line = line.trim_start();
        let line = match (has_prompts, line.strip_prefix("$ ")) {
            (true, None) => continue,
            (false, None) if line.starts_with("error: ") || line.starts_with("hint: ") => continue,
            (_, Some(line)) => line,
            (false, None) => line,
        };
        let commands = Line::commands(line);
        assert!(commands.is_some() || !line.starts_with("pgark "), "{place}: a quote does not end: {line}");
        for words in commands.iter().flatten() {
            if let Some(words) = own_words(words, root) {
                found.push(Example { place: place.into(), words: words.to_vec(), shown: Shown::Whole });
            }
        }
    }
    found
}

/// Commands in backquotes: `pgark list`. They may continue on the next line.
fn inline(place: &str, page: &str, root: &Command) -> Vec<Example> {
    let page = page.replace("`pgark\n", "`pgark ");
    let spans = page.split("`pgark ").skip(1).filter_map(|rest| rest.split_once('`'));
    let mut found = Vec::new();
    for (span, _) in spans {
        let line = format!("pgark {}", span.split_whitespace().collect::<Vec<_>>().join(" "));
        let commands =
            Line::commands(&line).unwrap_or_else(|| panic!("{place}: a quote does not end: {line}"));
        let own = commands.iter().filter_map(|words| own_words(words, root));
        found.extend(own.map(|words| Example {
            place: place.into(),
            words: words.to_vec(),
            shown: Shown::InPart,
        }));
    }
    found
}

/// The examples behind the options of each command.
fn of_help(command: &Command, path: &str, root: &Command, found: &mut Vec<Example>) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = text.lines().filter(|line| line.starts_with("  pgark "));
    for line in examples {
        found.extend(of_block(&format!("{path} --help"), &format!("{line}\n"), root));
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        of_help(inner, &format!("{path} {}", inner.get_name()), root, found);
    }
}

/// The README and the pages of docs/.
fn pages() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages.insert(0, Path::new(ROOT).join("README.md"));
    pages
}

/// What is wrong with a command line, if anything is.
fn fault(words: &[String], shown: Shown) -> Option<String> {
    let value = |word: &String| {
        let found = PLACEHOLDERS.iter().find(|(placeholder, _)| placeholder == word);
        found.map_or_else(|| word.clone(), |(_, value)| (*value).to_string())
    };
    let words: Vec<OsString> =
        words.iter().filter(|word| *word != AND_SO_ON).map(|word| value(word).into()).collect();
    let told = |error: clap::Error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        // `pgark key` as the name of several commands.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if shown == Shown::InPart => None,
        ErrorKind::MissingRequiredArgument if are_options(&error) => None,
        _ => Some(error.to_string()),
    };
    let typed = match Typed::read(words) {
        Ok(typed) => typed,
        Err(error) => return told(error),
    };
    if shown == Shown::InPart {
        return None;
    }
    // `config show` takes some of another command's words.
    if typed.command() == "config show" {
        let handed_on: Vec<String> =
            typed.raw("words").iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let is_option = |word: &String| word.starts_with('-');
        let named = if handed_on.first().is_none_or(is_option) { vec!["backup".into()] } else { Vec::new() };
        let words = [vec!["pgark".to_string()], named, handed_on].concat();
        return fault(&words, Shown::InPart);
    }
    typed.arguments().err().and_then(told)
}

/// Whether all that is missing has a key in the configuration file, as every option has.
fn are_options(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => {
            missing.iter().all(|name| name.trim_start_matches('<').starts_with("--"))
        }
        _ => false,
    }
}

#[test]
fn every_example_is_a_command_line() {
    let mut root = Args::command();
    root.build();
    let mut found = Vec::new();
    of_help(&root, "pgark", &root, &mut found);
    assert!(found.len() > 80, "{} examples in the help texts", found.len());
    for path in pages() {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        let page = std::fs::read_to_string(&path).unwrap();
        let before = found.len();
        found.extend(inline(&name, &page, &root));
        // This page's blocks are usage lines, and the help's examples.
        if name != "docs/cli.md" {
            for (number, block) in blocks(&page) {
                found.extend(of_block(&format!("{name}:{number}"), &block, &root));
            }
        }
        if name == "README.md" {
            assert!(found.len() - before > 30, "{} examples in {name}", found.len() - before);
        }
    }
    let wrong: Vec<String> = found
        .iter()
        .filter_map(|example| {
            let line = example.words.join(" ");
            fault(&example.words, example.shown).map(|fault| format!("{}: {line}\n{fault}", example.place))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), found.len(), wrong.join("\n"));
    for placeholder in PLACEHOLDERS.iter().map(|(placeholder, _)| *placeholder).chain([AND_SO_ON]) {
        let is_used = found.iter().any(|example| example.words.iter().any(|word| word == placeholder));
        assert!(is_used, "no example has the placeholder {placeholder}");
    }
}

#[test]
fn a_wrong_example_is_found() {
    let mut root = Args::command();
    root.build();
    let faults = |page: &str| -> Vec<String> {
        let mut found = inline("p", page, &root);
        for (_, block) in blocks(page) {
            found.extend(of_block("p", &block, &root));
        }
        found.iter().filter_map(|example| fault(&example.words, example.shown)).collect()
    };
    for page in [
        "`pgark list --colour`",
        "In `pgark\nlist` and `pgark list\n--colour`",
        "```\npgark bakcup shop\n```",
        "```\npgark list --repo\n```",
        "```\n$ pgark list | pgark diff 4f0c\npgark is not a command here\n```",
        "```\npgark backup \\\n  --al\n```",
        "```\npgark show\n```",
        "```\npgark restore latest --single-transaction --jobs 4\n```",
        "```ini\nUser=pgark\nExecStart=/usr/local/bin/pgark forget --keep 3\n```",
        "```\n15 2 * * *  pgark  pgark backup --quite > /dev/null || echo \"it's late\"\n```",
        "```sh\nif out=$(pgark check --max-age 2>&1); then\n```",
        "```\npgark config show --cluster prod --job 8\n```",
        "```\nerror: it's not there\nhint: `pgark restore ID --lst` shows it\n```",
    ] {
        assert_eq!(faults(page).len(), 1, "{page}: {:#?}", faults(page));
    }
    for page in [
        "`pgark show` and `pgark key` in a sentence, `pgark storage test --help` too",
        "```\npgark list 2>&1 >> log # --colour\n$HOME/bin/other --pgark x\n```",
        "```\npgark export latest --format plain --output - | psql -d 'a b' && echo pgark is done\n```",
        "```\nerror: pgark isn't there\nhint: there is none; pgark makes none\n```",
        "```\npgark -h db1 -U backup backup shop\n```",
    ] {
        assert_eq!(faults(page), Vec::<String>::new(), "{page}");
    }
}
