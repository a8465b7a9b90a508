//! `~` where no shell has made the home folder of it: `--repo=~/backup`, a variable in quotes, the
//! configuration file.
//!
//! In `pgark.toml` it means the home folder, as in other programs' files. On a command line it is
//! refused: shells expand it at the beginning of a word alone, and a folder that is called `~` is
//! never meant.

use std::any::TypeId;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::environment::home;
use crate::error::Failure;

/// Options with a URL, which may be a folder.
const URLS: [&str; 2] = ["repo", "also"];
/// The same without a name on the command line.
const BARE_URLS: [&str; 3] = ["source", "target", "url"];

/// Refuses every place of a command line that begins with `~`.
pub fn refuse_in(command: &Command, matches: &ArgMatches) -> Result<(), Failure> {
    for arg in command.get_arguments().filter(|arg| is_place(arg)) {
        let id = arg.get_id().as_str();
        let Ok(Some(values)) = matches.try_get_raw(id) else { continue };
        let what = match (matches.value_source(id), arg.get_env(), arg.get_long()) {
            (Some(ValueSource::EnvVariable), Some(name), _) => name.to_string_lossy().into_owned(),
            (_, _, Some(long)) => format!("--{long}"),
            _ => id.to_uppercase(),
        };
        for value in values {
            refuse(&what, value)?;
        }
    }
    Ok(())
}

fn is_place(arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
        || URLS.contains(&id)
        || (arg.is_positional() && BARE_URLS.contains(&id))
}

/// Refuses one. `what`: where it was said.
pub fn refuse(what: &str, text: &OsStr) -> Result<(), Failure> {
    let text = text.to_string_lossy();
    if !text.starts_with('~') {
        return Ok(());
    }
    let whole = expand(&text).unwrap_or_else(|_| "/home/…".into());
    let hint = match what.strip_prefix("--") {
        Some(_) => format!(
            "shells expand ~ only at the beginning of a word: write {what} {text} with a space, or the whole path, \
             {what}={whole}"
        ),
        None => format!("write the whole path: {whole}"),
    };
    Err(Failure::usage(format!("{what}: the ~ of {text} was not expanded"), &hint))
}

/// The path that is meant by one of the configuration file.
///
/// # Errors
/// Why it cannot be said.
pub fn expand(text: &str) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text.to_string()) };
    if !rest.is_empty() && !rest.starts_with('/') {
        return Err("~ with a user's name is not expanded: write the whole path".into());
    }
    let home = home().and_then(|home| home.to_str().map(str::to_string));
    let home = home.ok_or("~ means the home folder, and HOME is not set: write the whole path")?;
    Ok(format!("{}{rest}", home.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_folder_is_the_users_own() {
        let home = std::env::var("HOME").unwrap_or_default();
        assert_eq!(expand("/a/~b").as_deref(), Ok("/a/~b"));
        assert_eq!(expand("~/b"), Ok(format!("{}/b", home.trim_end_matches('/'))));
        assert!(expand("~me/b").unwrap_err().contains("user"));
        assert!(refuse("--repo", "/x".as_ref()).is_ok());
        let said = format!("{:?}", refuse("--repo", "~/x".as_ref()).unwrap_err());
        assert!(said.contains("--repo ~/x with a space"), "{said}");
    }
}
