//! `pgark config default`: a file with every key, its default and what it is for.

use std::collections::BTreeSet;

use super::keys::{Key, Keys, Kind};
use super::value::Value;

const HEAD: &str = "\
# pgark.toml: options of pgark. Flags override the environment, the environment overrides this file.
# Places: --config FILE, PGARK_CONFIG, ~/.config/pgark/pgark.toml, /etc/pgark/pgark.toml.
#
# A key is an option's long name with _ for -. Nothing here is used until you take the # of its line away.
# In paths ~/ is the home folder. The only repository of the file is the one of every command.
# false, \"\" and [] mean that the option is not given; they take back what a section that counts
# less says. Of several sections the narrower counts: that of a cluster's database, of a cluster's
# command, of a cluster, of a command, then what is outside of sections.

";

/// Columns of the file's comments.
const WIDTH: usize = 98;

/// The whole file; everything in it is commented out.
pub fn template() -> String {
    let keys = Keys::all();
    let mut file = Template { text: HEAD.into(), told: BTreeSet::new() };
    file.section(None, "", &keys.top());
    file.section(Some("repositories.main"), "A repository, and what opens it.", &keys.of_repository());
    file.section(
        Some("clusters.prod"),
        "With --cluster prod: options of a backup; its policy (keep_…) also applies to forget, its repository to every command.",
        &keys.of_cluster(),
    );
    let about = "Filters for one database; anything not set here is taken from the cluster's section.";
    file.section(Some("clusters.prod.databases.shop"), about, &keys.of_database());
    for path in keys.commands() {
        let name = path.replace(' ', ".");
        let about = match keys.of_command_of_cluster(&path).is_empty() {
            true => format!("Options of `pgark {path}`."),
            false => format!("Options of `pgark {path}`; in [clusters.prod.{name}] with --cluster prod."),
        };
        file.section(Some(&name), &about, &keys.of_command(&path));
    }
    file.text
}

struct Template {
    text: String,
    /// Keys of which the file has told already.
    told: BTreeSet<(String, String)>,
}

impl Template {
    fn section(&mut self, name: Option<&str>, about: &str, keys: &[Key]) {
        self.comment(about);
        if let Some(name) = name {
            self.text.push_str(&format!("#[{name}]\n"));
        }
        for key in keys {
            if self.told.insert((key.name.clone(), key.about.clone())) {
                self.comment(&key.about);
            }
            self.text.push_str(&format!("#{} = {}\n", key.name, example(key)));
        }
        self.text.push('\n');
    }

    fn comment(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                self.text.push_str(&format!("# {line}\n"));
                line.clear();
            }
            line = format!("{line} {word}").trim_start().to_string();
        }
        if !line.is_empty() {
            self.text.push_str(&format!("# {line}\n"));
        }
    }
}

/// The default; where there is none that a file could say, a value of the right kind that says
/// nothing.
fn example(key: &Key) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    match (&key.kind, key.default.as_str()) {
        // Of a storage's options it is written as TOML.
        (_, default) if key.option.is_none() && !default.is_empty() => default.to_string(),
        (Kind::List, _) => "[]".into(),
        (Kind::Flag | Kind::NumberOrFlag | Kind::TimeOrFlag, _) => "false".into(),
        (Kind::Number(Some((from, _))), "") => from.to_string(),
        (Kind::Number(_), "") => {
            let fits = |number: &i64| key.check(&Value::Number(*number)).is_ok();
            (1..100).find(fits).unwrap_or_default().to_string()
        }
        (Kind::Number(_), default) => default.to_string(),
        (_, default) => quoted(default),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::super::file::{Config, Section};
    use super::template;
    use crate::args::Args;

    /// The file with everything in force.
    fn in_force() -> Config {
        let settings: String = template()
            .lines()
            .filter_map(|line| {
                line.strip_prefix('#').filter(|line| !line.is_empty() && !line.starts_with(' '))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        Config::parse(Path::new("p"), &settings).unwrap()
    }

    /// The options of a command as clap has them.
    fn options(path: &str) -> Vec<String> {
        let mut root = Args::command();
        root.build();
        let leaf = path.split(' ').fold(&root, |command, name| command.find_subcommand(name).unwrap());
        // What the program says to itself is hidden.
        let shown = leaf.get_arguments().filter(|arg| !arg.is_hide_set());
        let long = shown.filter_map(|arg| arg.get_long()).map(|long| long.replace('-', "_"));
        let mut found: Vec<String> = long
            .filter(|long| !["help", "version", "config"].contains(&long.as_str()))
            .map(|long| if long == "repo" { "repository".into() } else { long })
            .collect();
        found.sort();
        found
    }

    fn keys(section: &Section) -> Vec<String> {
        section.keys().cloned().collect()
    }

    #[test]
    fn the_template_has_every_option_and_no_other() {
        let config = in_force();
        let mut root = Args::command();
        root.build();
        let mut count = 0;
        for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = command.get_name();
            let inner: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let paths: Vec<String> = match inner.as_slice() {
                [] => vec![name.to_string()],
                inner => inner
                    .iter()
                    .filter(|name| **name != "help")
                    .map(|inner| format!("{name} {inner}"))
                    .collect(),
            };
            for path in paths {
                if ["config", "completions", "man"].contains(&name) {
                    assert!(!config.commands.contains_key(&path), "{path}");
                    continue;
                }
                assert_eq!(keys(&config.commands[&path]), options(&path), "{path}");
                count += 1;
            }
        }
        assert_eq!(config.commands.len(), count);
        let of_backup = options("backup").into_iter().filter(|key| key != "cluster").collect::<Vec<_>>();
        assert_eq!(keys(&config.clusters["prod"].own), of_backup);
        assert_eq!(keys(&config.top), ["log_file", "log_format", "quiet", "repository", "utc", "verbose"]);
        let of_database = &config.clusters["prod"].databases["shop"];
        assert!(of_database.keys().all(|key| of_backup.contains(key)) && of_database.len() >= 15);
        let of_repository = &config.repositories["main"];
        assert!(crate::storage::KEYS.iter().all(|key| of_repository.contains_key(key.name)));
        // Of `stats` everything but these says where the repository is and what opens it.
        let other =
            ["repository", "storage_option", "json", "quiet", "verbose", "utc", "log_file", "log_format"];
        for key in options("stats").iter().filter(|key| !other.contains(&key.as_str())) {
            assert!(of_repository.contains_key(key), "{key}");
        }
    }
}
