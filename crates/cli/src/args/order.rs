//! Options may come before the command, as with psql and git: `pgark --repo /backup list`.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, CommandFactory};

use super::Args;

/// The same words with the options that come before the command behind it. Where they are not
/// options of any command that follows, the words stay as they are, and clap says what is wrong.
pub fn options_behind_command(words: Vec<OsString>) -> Vec<OsString> {
    let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    if !words.get(1).is_some_and(is_option) {
        return words;
    }
    let mut root = Args::command();
    root.build();
    for at in 2..words.len() {
        let (path, command) = command_at(&root, &words[at..]);
        if path > 0 && are_options_of(command, &words[1..at]) {
            let (before, behind) = words.split_at(at);
            let (program, options) = before.split_at(1);
            let (path, rest) = behind.split_at(path);
            return [program, path, options, rest].concat();
        }
    }
    words
}

/// The command that these words begin with, and how many of them name it.
fn command_at<'c>(root: &'c Command, words: &[OsString]) -> (usize, &'c Command) {
    let (mut count, mut command) = (0, root);
    for word in words {
        match word.to_str().and_then(|name| command.find_subcommand(name)) {
            Some(inner) if inner.get_name() != "help" => (count, command) = (count + 1, inner),
            _ => break,
        }
    }
    (count, command)
}

/// Whether these words are options of the command, each with its value.
fn are_options_of(command: &Command, words: &[OsString]) -> bool {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(takes_next) = option(command, word) else { return false };
        if takes_next && words.next().is_none() {
            return false;
        }
    }
    true
}

/// Whether the option that this word is takes the next word as its value; None: it is none.
fn option(command: &Command, word: &OsStr) -> Option<bool> {
    let word = word.to_str()?;
    let takes_value = |arg: &Arg| arg.get_action().takes_values();
    let needs_equals = |arg: &Arg| arg.is_require_equals_set();
    if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
        let (name, has_value) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
        let has_name = |arg: &&Arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        let arg = command.get_arguments().find(has_name)?;
        return Some(takes_value(arg) && !has_value && !needs_equals(arg));
    }
    let shorts = word.strip_prefix('-').filter(|shorts| !shorts.is_empty())?;
    let mut signs = shorts.chars();
    while let Some(sign) = signs.next() {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(sign))?;
        if takes_value(arg) {
            // `-p5432` holds its value.
            return Some(signs.next().is_none() && !needs_equals(arg));
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words = options_behind_command(words);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_go_behind_the_command() {
        for (typed, read) in [
            ("pgark --repo /b list", "pgark list --repo /b"),
            ("pgark --repo=/b -q list --json", "pgark list --repo=/b -q --json"),
            ("pgark -h db1 -p5433 -U me backup shop", "pgark backup -h db1 -p5433 -U me shop"),
            ("pgark --repo list list", "pgark list --repo list"),
            ("pgark --repo /b key list", "pgark key list --repo /b"),
            ("pgark --identity f -v key writer db7", "pgark key writer --identity f -v db7"),
            // These stay.
            ("pgark list --repo /b", "pgark list --repo /b"),
            ("pgark -h", "pgark -h"),
            ("pgark --help list", "pgark list --help"),
            ("pgark --all list", "pgark --all list"),
            ("pgark --repo list", "pgark --repo list"),
            ("pgark", "pgark"),
        ] {
            assert_eq!(ordered(typed), read);
        }
    }
}
