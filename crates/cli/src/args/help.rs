//! What `--help` shows, at the terminal's width, and what `-h` shows: one screen, a line for each
//! of the options that most people need.
//!
//! The text behind the options is written in the argument files without regard to lines. Examples,
//! and tables, are indented by two spaces; everything else is prose.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};

use super::Args;
use crate::output;

/// As wide as clap makes what it wraps.
const WIDEST: usize = 100;
/// So many examples does `-h` show.
const EXAMPLES: usize = 2;

/// The command line, with help that fits the terminal.
pub fn command() -> Command {
    fitted(Args::command(), output::width().min(WIDEST))
}

fn fitted(command: Command, width: usize) -> Command {
    let text = command.get_after_help().map(ToString::to_string);
    let command = match text {
        Some(text) => command.after_help(StyledStr::from(reflowed(&text, width))),
        None => command,
    };
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_string()).collect();
    names.iter().fold(command, |command, name| command.mut_subcommand(name, |inner| fitted(inner, width)))
}

/// What a command line that ends with `-h` asks for, also where `-h` is the server's host.
pub fn short_help(words: &[OsString]) -> Option<String> {
    let (_, before) = words.split_last().filter(|(last, _)| *last == "-h")?;
    let mut root = Args::command();
    root.build();
    let mut command = root;
    for word in before.iter().skip(1) {
        match word.to_str().and_then(|name| command.find_subcommand(name)) {
            Some(inner) if inner.get_name() != "help" => command = inner.clone(),
            _ => {}
        }
    }
    Some(screen(&mut command, output::width().min(WIDEST)))
}

/// The screen of one command.
fn screen(command: &mut Command, width: usize) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut lines = wrapped(&about, width, "", "");
    let usage = command.render_usage().to_string();
    lines.extend([String::new(), cut(usage.lines().next().unwrap_or_default(), width)]);
    let inner: Vec<&Command> = command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help" && !inner.is_hide_set())
        .collect();
    let named = |inner: &&Command| {
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        (format!("  {}", inner.get_name()), about)
    };
    section("Commands", inner.iter().map(named).collect(), width, &mut lines);
    let told = ["help", "version"];
    let is_shown = |arg: &&Arg| {
        !arg.is_hide_set() && !arg.is_hide_short_help_set() && !told.contains(&arg.get_id().as_str())
    };
    let shown: Vec<&Arg> = command.get_arguments().filter(is_shown).collect();
    let heading = |arg: &Arg| match (arg.is_positional(), arg.get_help_heading()) {
        (true, _) => "Arguments".to_string(),
        (false, heading) => heading.unwrap_or("Options").to_string(),
    };
    let mut headings: Vec<String> = vec!["Arguments".into(), "Options".into()];
    for arg in &shown {
        if !headings.contains(&heading(arg)) {
            headings.push(heading(arg));
        }
    }
    for title in headings {
        let own = shown.iter().filter(|arg| heading(arg) == title);
        let own = own.map(|arg| (name(arg), arg.get_help().map(ToString::to_string).unwrap_or_default()));
        section(&title, own.collect(), width, &mut lines);
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    lines.push(String::new());
    lines.extend(reflowed(&first_examples(&after), width).lines().map(str::to_string));
    let hidden =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.is_hide_short_help_set()).count();
    if hidden > 0 {
        lines.extend([String::new(), format!("{hidden} more options: {} --help", bin_name(command))]);
    }
    lines.join("\n")
}

fn bin_name(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).to_string()
}

/// `  -j, --jobs <N>`.
fn name(arg: &Arg) -> String {
    let takes_value = arg.get_action().takes_values();
    let value = arg.get_value_names().and_then(|names| names.first()).map(|name| format!("<{name}>"));
    let value = value.filter(|_| takes_value);
    let (short, long) = (arg.get_short(), arg.get_long());
    let options = match (short, long) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("    --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => String::new(),
    };
    match value {
        Some(value) if options.is_empty() => format!("  {value}"),
        Some(value) => format!("  {options} {value}"),
        None => format!("  {options}"),
    }
}

/// One line for each, with the beginning of its help.
fn section(title: &str, rows: Vec<(String, String)>, width: usize, lines: &mut Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let names = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 2;
    lines.extend([String::new(), format!("{title}:")]);
    for (name, about) in rows {
        let gap = " ".repeat(names.saturating_sub(name.chars().count()));
        lines.push(
            format!("{name}{gap}{}", brief(&about, width.saturating_sub(names))).trim_end().to_string(),
        );
    }
}

/// The first clause, as far as it fits.
fn brief(text: &str, room: usize) -> String {
    let ends = ["; ", ". ", ": ", " (", ", so that "].into_iter().filter_map(|end| text.find(end));
    cut(&text[..ends.min().unwrap_or(text.len())], room)
}

/// The words that fit; `…` ends what was cut.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_string();
    }
    let mut kept = String::new();
    for word in text.split(' ') {
        if kept.chars().count() + word.chars().count() + 2 > room {
            break;
        }
        kept.push_str(word);
        kept.push(' ');
    }
    format!("{}…", kept.trim_end())
}

/// The first examples; of a text without examples all.
fn first_examples(text: &str) -> String {
    let mut lines = text.lines();
    match lines.next() {
        Some(title) if title == "Examples:" => {
            let examples = lines.take_while(|line| line.starts_with("  ")).take(EXAMPLES);
            std::iter::once(title).chain(examples).collect::<Vec<_>>().join("\n")
        }
        _ => text.to_string(),
    }
}

/// The text with lines that fit.
fn reflowed(text: &str, width: usize) -> String {
    let mut fitted = Vec::new();
    let mut prose: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with("  ") {
            fitted.extend(wrapped(&prose.join(" "), width, "", ""));
            prose.clear();
        }
        match line {
            "" => fitted.push(String::new()),
            line if line.starts_with("  pgark ") => fitted.extend(wrapped(line, width, "      ", " \\")),
            line if line.starts_with("  ") => fitted.extend(wrapped(line, width, "      ", "")),
            line => prose.push(line),
        }
    }
    fitted.extend(wrapped(&prose.join(" "), width, "", ""));
    fitted.join("\n")
}

/// One line as several; `indent` begins each but the first, `end` is at the end of each but the
/// last. Runs of spaces stay; a word that is wider than a line has one of its own.
fn wrapped(line: &str, width: usize, indent: &str, end: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = line;
    let mut start = "";
    let len = |text: &str| text.chars().count();
    while len(start) + len(rest) > width {
        let room = width.saturating_sub(len(start) + len(end));
        let own = rest.len() - rest.trim_start().len();
        let breaks = rest.char_indices().enumerate().filter(|(_, (at, sign))| *sign == ' ' && *at > own);
        let mut breaks = breaks.map(|(count, (at, _))| (count, at)).peekable();
        let Some(first) = breaks.peek().copied() else { break };
        let (_, at) = breaks.take_while(|(count, _)| *count <= room).last().unwrap_or(first);
        lines.push(format!("{start}{}{end}", rest[..at].trim_end()));
        rest = rest[at..].trim_start();
        start = indent;
    }
    if !rest.is_empty() {
        lines.push(format!("{start}{rest}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a terminal.
    const SCREEN: usize = 50;

    const TEXT: &str = "Examples:
  pgark backup --repo /backup/main --dbname 'host=db1 user=backup dbname=shop'
  pgark list
  pgark show latest
  pgark ls latest

One statement of some length that has
two lines, and a third.

Exit codes: 0 done.
  0    all done";

    #[test]
    fn prose_is_wrapped_and_examples_stay_commands() {
        let text = reflowed(TEXT, 40);
        assert_eq!(
            text,
            "Examples:
  pgark backup --repo /backup/main \\
      --dbname 'host=db1 user=backup \\
      dbname=shop'
  pgark list
  pgark show latest
  pgark ls latest

One statement of some length that has
two lines, and a third.

Exit codes: 0 done.
  0    all done"
        );
        assert_eq!(reflowed(TEXT, 30).lines().filter(|line| line.starts_with("two")).count(), 0);
        assert_eq!(first_examples(TEXT).lines().count(), 1 + EXAMPLES);
    }

    #[test]
    fn a_long_word_has_a_line_of_its_own() {
        assert_eq!(wrapped("a 0123456789 b", 5, "", ""), ["a", "0123456789", "b"]);
        assert_eq!(wrapped("", 5, "", ""), Vec::<String>::new());
    }

    /// Each command's `-h` fits a screen of 80 columns, each `--help` 80 columns.
    #[test]
    fn help_fits_the_screen() {
        fn look(command: &mut Command, raw: &mut Command, path: &str, wrong: &mut Vec<String>) {
            let short = screen(raw, 80);
            if short.lines().count() > SCREEN {
                wrong.push(format!("{path} -h has {} lines:\n{short}", short.lines().count()));
            }
            for text in [short, command.render_long_help().to_string()] {
                // One word that is wider, an age key, has its own line.
                let is_wide = |line: &&str| line.chars().count() > 80 && line.trim().contains(' ');
                wrong.extend(text.lines().filter(is_wide).map(|line| format!("{path}: {line}")));
            }
            for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
                let path = format!("{path} {}", inner.get_name());
                let raw = raw.find_subcommand_mut(inner.get_name()).unwrap();
                look(inner, raw, &path, wrong);
            }
        }
        let mut wrong = Vec::new();
        let mut root = fitted(Args::command(), 80).term_width(80);
        root.build();
        let mut raw = Args::command();
        raw.build();
        look(&mut root, &mut raw, "pgark", &mut wrong);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_trailing_h_asks_for_help_also_where_it_is_the_host() {
        let help = |line: &str| short_help(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["pgark backup -h", "pgark backup shop --repo r -h"] {
            let text = help(line).unwrap_or_default();
            assert!(text.starts_with("Back up databases\n\nUsage: pgark backup "), "{text}");
            assert!(
                text.contains("  -h, --host <HOST>") && text.contains("more options: pgark backup --help"),
                "{text}"
            );
        }
        assert!(help("pgark key list -h").is_some_and(|text| text.contains("pgark key list --help")));
        assert!(help("pgark -h").is_some_and(|text| text.contains("\n  backup ")));
        assert!(help("pgark backup -h db1").is_none());
    }
}
