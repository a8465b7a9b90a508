//! What was typed, before the file has its say.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use crate::args::{self, Args};
use crate::environment::variable;

/// Options of which the environment's secret takes the place, and the variables that hold it. They
/// are no variables of clap's: a secret that is typed wins over them, and is no contradiction.
const SECRETS: [&str; 4] = ["identity", "passphrase_file", "passphrase", "writer_key"];
const SECRET_VARIABLES: [&str; 2] = ["PGARK_IDENTITY", "PGARK_PASSPHRASE"];

/// A command line as the commands read it.
pub struct Arguments {
    pub args: Args,
    matches: ArgMatches,
}

impl Arguments {
    /// Reads it whole; what is missing is an error now.
    pub fn read(words: &[OsString]) -> Result<Arguments, clap::Error> {
        let matches = args::command().try_get_matches_from(words)?;
        Ok(Arguments { args: Args::from_arg_matches(&matches)?, matches })
    }

    /// The innermost command's options, as text.
    pub fn matches(&self) -> &ArgMatches {
        innermost(&self.matches)
    }

    /// Whether errors are JSON, too.
    pub fn json(&self) -> bool {
        // `config show` hands its words on.
        let handed_on = || self.matches().try_get_raw("words").ok().flatten().into_iter().flatten();
        let own = self.matches().try_get_one::<bool>("json").ok().flatten().copied();
        own.unwrap_or_else(|| handed_on().any(|word| word == "--json"))
    }
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

/// A command line.
pub struct Typed {
    words: Vec<OsString>,
    /// Complete but for what is required: the file may say that.
    matches: ArgMatches,
}

impl Typed {
    /// Reads a command line. What is wrong in it is an error, what is missing is not yet one.
    pub fn read(words: Vec<OsString>) -> Result<Typed, clap::Error> {
        let words = args::options_behind_command(words);
        let matches = match args::command().try_get_matches_from(&words) {
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                args::command().ignore_errors(true).try_get_matches_from(&words)?
            }
            found => found?,
        };
        Ok(Typed { words, matches })
    }

    /// The command's name, with that of its subcommand: `backup`, `key rotate`.
    pub fn command(&self) -> String {
        let mut path = Vec::new();
        let mut matches = &self.matches;
        while let Some((name, inner)) = matches.subcommand() {
            path.push(name);
            matches = inner;
        }
        path.join(" ")
    }

    /// The innermost command's own.
    pub fn matches(&self) -> &ArgMatches {
        innermost(&self.matches)
    }

    /// The same as the commands read it, where the file has nothing to say.
    pub fn arguments(&self) -> Result<Arguments, clap::Error> {
        Arguments::read(&self.words)
    }

    /// The file that is named.
    pub fn file(&self) -> Option<PathBuf> {
        self.matches.get_one::<PathBuf>("config").cloned()
    }

    /// Whether an option was typed, or is in its variable.
    pub fn source(&self, id: &str) -> Option<ValueSource> {
        let matches = self.matches();
        let source = matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id));
        source.filter(|source| *source != ValueSource::DefaultValue)
    }

    /// Whether the file has nothing to say of this option.
    pub fn decides(&self, id: &str) -> bool {
        self.source(id).is_some() || (SECRETS.contains(&id) && self.secret_variable().is_some())
    }

    /// The variable that opens the repository, of commands that take one secret of several.
    pub fn secret_variable(&self) -> Option<&'static str> {
        self.matches().try_contains_id("identity").ok()?;
        SECRET_VARIABLES.into_iter().find(|name| variable(name).is_some())
    }

    /// An option's value as text; of several, the last.
    pub fn text(&self, id: &str) -> Option<String> {
        self.raw(id).last().map(|value| value.to_string_lossy().into_owned())
    }

    /// An option's values, defaults too.
    pub fn raw(&self, id: &str) -> Vec<&OsStr> {
        self.matches().try_get_raw(id).ok().flatten().map(Iterator::collect).unwrap_or_default()
    }

    /// A flag.
    pub fn flag(&self, id: &str) -> bool {
        self.matches().try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
    }

    /// The same command line with these options too. They come last, but before what comes after
    /// `--`.
    pub fn with(&self, more: Vec<OsString>) -> Vec<OsString> {
        let end = self.words.iter().position(|word| word == "--").unwrap_or(self.words.len());
        let (options, rest) = self.words.split_at(end);
        [options, &more, rest].concat()
    }
}
