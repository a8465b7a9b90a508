//! The keys of `pgark.toml`: they are the options of the commands, as clap knows them. Nothing is
//! declared here, so a new option is a key at once, and a key without an option cannot be.
//!
//! An option's key is its long name with `_` for `-`, or one of its aliases. The options of a
//! storage (`region`, `ca_file`, …) are keys of `[repositories.NAME]` only.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args as _, Command, CommandFactory};

use super::value::Value;
use crate::args::{Args, Filters, Repository};
use crate::storage::{self, KEYS};

/// Commands that need no file, and that help with one.
const WITHOUT_FILE: [&str; 3] = ["config", "completions", "man"];
/// Options that have no key: they are of the command line itself.
const NO_KEYS: [&str; 3] = ["help", "version", "config"];
/// The option whose value names the repository, and what it is called in the file.
pub const REPO: &str = "repo";
pub const REPOSITORY: &str = "repository";
/// Where a repository is, in its section.
pub const URL: &str = "url";

/// Options of storages that are files.
const PATHS: [&str; 6] =
    ["ca_file", "key_file", "known_hosts", "password_file", "ssh_key", "ssh_key_passphrase_file"];

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A list of strings.
    List,
    /// `true` or `false`.
    Flag,
    /// A whole number, with the range where clap does not check it.
    Number(Option<(i64, i64)>),
    /// A whole number, or `true` for the option without a value.
    NumberOrFlag,
    /// A string like `30s` or `5min`.
    Time,
    /// Such a string, or `true` for the option without a value.
    TimeOrFlag,
    /// Bytes per second: a number, or a string like `20M`.
    Rate,
    /// One of these strings.
    OneOf(Vec<String>),
}

impl Kind {
    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Kind::Text => "a string".into(),
            Kind::List => "a list of strings".into(),
            Kind::Flag => "true or false".into(),
            Kind::Number(None) => "a number".into(),
            Kind::Number(Some((from, to))) => format!("a number from {from} to {to}"),
            Kind::NumberOrFlag => "a number, or true".into(),
            Kind::Time => "a time like \"30s\", \"5min\" or \"30d\"".into(),
            Kind::TimeOrFlag => "a time like \"30s\", \"5min\" or \"30d\", or true".into(),
            Kind::Rate => "bytes per second like \"500k\" or \"20M\"".into(),
            Kind::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }

    fn of(arg: &Arg) -> Kind {
        let is = |known: &[std::any::TypeId]| known.iter().any(|id| arg.get_value_parser().type_id() == *id);
        match arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => return Kind::Flag,
            ArgAction::Count => return Kind::Number(Some((0, 8))),
            ArgAction::Append => return Kind::List,
            _ => {}
        }
        let words: Vec<String> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_string()).collect();
        let is_optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
        if !words.is_empty() {
            Kind::OneOf(words)
        } else if is(&[type_of::<u8>(), type_of::<u16>(), type_of::<u32>(), type_of::<i32>()]) {
            if is_optional { Kind::NumberOrFlag } else { Kind::Number(None) }
        } else if is(&[type_of::<u64>()]) {
            Kind::Rate
        } else if is(&[type_of::<Duration>()]) {
            if is_optional { Kind::TimeOrFlag } else { Kind::Time }
        } else {
            Kind::Text
        }
    }
}

fn type_of<T: 'static>() -> std::any::TypeId {
    std::any::TypeId::of::<T>()
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// As it is written.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// The option's id, and its long name; none: an option of a storage.
    pub option: Option<(String, String)>,
    pub kind: Kind,
    /// What is used without it, as clap knows it; empty: nothing.
    pub default: String,
    /// What it is for.
    pub about: String,
    parser: Option<(ValueParser, ArgAction)>,
}

impl Key {
    fn of(arg: &Arg) -> Option<Key> {
        let long = arg.get_long().filter(|long| !NO_KEYS.contains(long) && !arg.is_hide_set())?;
        let written = |name: &str| name.replace('-', "_");
        let mut names = vec![written(long)];
        names.extend(arg.get_all_aliases().unwrap_or_default().into_iter().map(written));
        if let Some(at) = names.iter().position(|name| name == REPOSITORY) {
            names.swap(0, at);
        }
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        Some(Key {
            name: names.remove(0),
            aliases: names,
            option: Some((arg.get_id().to_string(), long.to_string())),
            kind: Kind::of(arg),
            default: if arg.get_action().takes_values() { defaults.join(", ") } else { String::new() },
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            parser: Some((arg.get_value_parser().clone(), arg.get_action().clone())),
        })
    }

    fn of_storage(option: &storage::Key) -> Key {
        Key {
            name: option.name.into(),
            aliases: Vec::new(),
            option: None,
            kind: match option.kind {
                storage::Kind::Text => Kind::Text,
                storage::Kind::Flag => Kind::Flag,
                storage::Kind::Number(from, to) => Kind::Number(Some((from, to))),
                storage::Kind::Time => Kind::Time,
                storage::Kind::Rate => Kind::Rate,
                storage::Kind::OneOf(words) => {
                    Kind::OneOf(words.iter().map(|word| (*word).to_string()).collect())
                }
            },
            default: option.default.into(),
            about: option.about.into(),
            parser: None,
        }
    }

    /// Whether this is its name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// Whether its value is a path, or a URL that may be one.
    pub fn is_place(&self) -> bool {
        let is_path =
            self.parser.as_ref().is_some_and(|(parser, _)| parser.type_id() == type_of::<PathBuf>());
        let is_named = match self.option {
            Some(_) => [REPOSITORY, URL, "also"].contains(&self.name.as_str()),
            None => PATHS.contains(&self.name.as_str()),
        };
        is_path || is_named
    }

    /// Whether the option takes this value: what clap itself says of it.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let Some((parser, action)) = &self.parser else { return Ok(()) };
        if !action.takes_values() || matches!(value, Value::Flag(_)) {
            return Ok(());
        }
        let arg = Arg::new("value").long("value").value_parser(parser.clone()).action(action.clone());
        let command = Command::new("pgark.toml").no_binary_name(true).arg(arg);
        let found = command.try_get_matches_from(value.as_arguments("value", false));
        found.map(drop).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let kind = || match error.kind() {
                ErrorKind::InvalidValue => {
                    let known = parser.possible_values().into_iter().flatten();
                    let known: Vec<String> = known.map(|value| value.get_name().to_string()).collect();
                    format!("one of {}", known.join(", "))
                }
                kind => kind.to_string(),
            };
            cause.unwrap_or_else(kind)
        })
    }
}

/// Which keys each section has.
pub struct Keys {
    /// Built: each command has its own options and those of every command.
    root: Command,
}

impl Keys {
    /// Made once.
    pub fn all() -> &'static Keys {
        static ALL: OnceLock<Keys> = OnceLock::new();
        ALL.get_or_init(|| {
            let mut root = Args::command();
            root.build();
            Keys { root }
        })
    }

    /// The command of this name: `backup`, `key rotate`.
    pub fn command(&self, path: &str) -> Option<&Command> {
        path.split(' ').try_fold(&self.root, |command, name| {
            command.get_subcommands().find(|inner| inner.get_name() == name)
        })
    }

    /// Every command that has a section, in the order of the help.
    pub fn commands(&self) -> Vec<String> {
        fn below(command: &Command, path: &str, found: &mut Vec<String>) {
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let path = format!("{path} {}", inner.get_name()).trim_start().to_string();
                match inner.has_subcommands() {
                    true => below(inner, &path, found),
                    false => found.push(path),
                }
            }
        }
        let mut found = Vec::new();
        below(&self.root, "", &mut found);
        found.retain(|path| !WITHOUT_FILE.contains(&path.split(' ').next().unwrap_or_default()));
        found
    }

    /// Outside of any section: the repository, and options of every command.
    pub fn top(&self) -> Vec<Key> {
        let mut found: Vec<Key> =
            self.of_command("backup").into_iter().filter(|key| key.name == REPOSITORY).collect();
        found.extend(self.root.get_arguments().filter_map(Key::of));
        found
    }

    /// `[COMMAND]`.
    pub fn of_command(&self, path: &str) -> Vec<Key> {
        self.command(path).map(keys).unwrap_or_default()
    }

    /// `[clusters.NAME.COMMAND]`, of commands that can be of one cluster.
    pub fn of_command_of_cluster(&self, path: &str) -> Vec<Key> {
        let mut found = self.of_command(path);
        match found.iter().position(|key| key.name == "cluster") {
            Some(at) => drop(found.remove(at)),
            None => found.clear(),
        }
        found
    }

    /// `[clusters.NAME]`.
    pub fn of_cluster(&self) -> Vec<Key> {
        self.of_command_of_cluster("backup")
    }

    /// `[clusters.NAME.databases.DB]`.
    pub fn of_database(&self) -> Vec<Key> {
        keys(&Filters::augment_args(Command::new("databases")))
    }

    /// `[repositories.NAME]`.
    pub fn of_repository(&self) -> Vec<Key> {
        let mut found = keys(&Repository::augment_args(Command::new("repositories")));
        for key in found.iter_mut().filter(|key| key.name == REPOSITORY) {
            key.name = URL.into();
            key.aliases.clear();
            key.about = "Where it is: a directory, s3://, gs://, azblob:// or sftp://".into();
        }
        found.retain(|key| key.name != "storage_option");
        let of_storage = KEYS.iter().map(Key::of_storage);
        let more: Vec<Key> = of_storage.filter(|key| !found.iter().any(|own| own.name == key.name)).collect();
        found.extend(more);
        found
    }
}

fn keys(command: &Command) -> Vec<Key> {
    let mut command = command.clone();
    command.build();
    command.get_arguments().filter_map(Key::of).collect()
}
