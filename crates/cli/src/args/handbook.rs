//! docs/cli.md, made from the arguments: the test fails when the page is not what they say.
//! `PGARK_WRITE_DOCS=1 cargo test -p pgark handbook` writes it again.

use std::fmt::Write;

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory};

use super::Args;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
const WIDTH: usize = 100;
/// Options of every command: they are told once.
const COMMON: [&str; 5] = ["quiet", "verbose", "config", "help", "version"];

/// Text at the page's width, each line but the first behind this indent.
pub fn wrapped(text: &str, first: &str, indent: &str) -> String {
    let (mut page, mut line, mut is_empty) = (String::new(), first.to_string(), true);
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            page.push_str(&format!("{line}\n"));
            line = indent.to_string();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    page.push_str(&format!("{line}\n"));
    page
}

fn name(arg: &Arg) -> String {
    let value = match arg.get_value_names() {
        Some([value, ..]) if arg.get_action().takes_values() => value.to_string(),
        _ => String::new(),
    };
    let Some(long) = arg.get_long() else { return format!("`{value}`") };
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    match (value.as_str(), optional) {
        ("", _) => format!("{short}`--{long}`"),
        (value, _) if !arg.get_action().takes_values() => format!("{short}`--{long} {value}`"),
        (value, true) => format!("{short}`--{long}[={value}]`"),
        (value, false) => format!("{short}`--{long} {value}`"),
    }
}

fn values(values: &[PossibleValue]) -> String {
    let told = |value: &PossibleValue| match value.get_help() {
        Some(help) => format!("`{}` ({help})", value.get_name()),
        None => format!("`{}`", value.get_name()),
    };
    values.iter().map(told).collect::<Vec<_>>().join(", ")
}

fn option(arg: &Arg) -> String {
    let mut text = format!("{}: {}", name(arg), arg.get_help().map(ToString::to_string).unwrap_or_default());
    let possible = arg.get_possible_values();
    if !possible.is_empty() && arg.get_action().takes_values() {
        write!(text, ". One of {}", values(&possible)).unwrap();
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() && !arg.is_hide_default_value_set() {
        write!(text, " (default: `{}`)", defaults.join(" ")).unwrap();
    }
    if let Some(env) = arg.get_env() {
        write!(text, " (variable: `{}`)", env.to_string_lossy()).unwrap();
    }
    wrapped(&text, "- ", "  ")
}

/// What comes after the options: examples and tables as they are, prose as prose.
fn after(text: &str) -> String {
    let mut page = String::new();
    for paragraph in text.split("\n\n") {
        let mut prose = String::new();
        let mut block = String::new();
        for line in paragraph.lines() {
            match line.strip_prefix("  ") {
                Some(line) => block.push_str(&format!("{line}\n")),
                None => prose.push_str(&format!("{line} ")),
            }
        }
        if !prose.is_empty() {
            page.push_str(&format!("\n{}", wrapped(&prose, "", "")));
        }
        if !block.is_empty() {
            page.push_str(&format!("\n```text\n{block}```\n"));
        }
    }
    page
}

fn section(command: &mut Command, path: &str, level: usize) -> String {
    let mut page = format!("\n{} {path}\n\n", "#".repeat(level));
    page.push_str(&wrapped(
        &format!("{}.", command.get_about().map(ToString::to_string).unwrap_or_default()),
        "",
        "",
    ));
    let is_shown = |arg: &&Arg| !arg.is_hide_set() && !COMMON.contains(&arg.get_id().as_str());
    if !command.has_subcommands() {
        let usage = command.render_usage().to_string();
        let usage: Vec<&str> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
        page.push_str(&format!("\n```text\n{}\n```\n", usage.join("\n")));
    }
    let arguments: Vec<&Arg> = command.get_arguments().filter(is_shown).collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in &arguments {
        let heading = if arg.is_positional() { Some("Arguments") } else { arg.get_help_heading() };
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    // As in the help: what has no heading of its own comes before what has.
    headings.sort_by_key(|heading| match heading {
        Some("Arguments") => 0,
        None => 1,
        Some(_) => 2,
    });
    for heading in headings {
        page.push_str(&format!("\n{}:\n\n", heading.unwrap_or("Options")));
        for arg in &arguments {
            let own = if arg.is_positional() { Some("Arguments") } else { arg.get_help_heading() };
            if own == heading {
                page.push_str(&option(arg));
            }
        }
    }
    page.push_str(&after(&command.get_after_help().map(ToString::to_string).unwrap_or_default()));
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        page.push_str(&section(inner, &path, level + 1));
    }
    page
}

fn page() -> String {
    let mut root = Args::command();
    root.build();
    let mut page = String::from(
        "# The command line\n\n\
         <!-- Made from the program's arguments by `PGARK_WRITE_DOCS=1 cargo test -p pgark handbook`. -->\n\n",
    );
    page.push_str(&wrapped(
        "Every command, as `pgark COMMAND --help` tells it. Every option is also a key of `pgark.toml` \
         (`pgark config default` prints them all): the long name with `_` for `-`, in the section of \
         its command.",
        "",
        "",
    ));
    page.push_str("\nOptions of every command:\n\n");
    let own = |arg: &&Arg| COMMON.contains(&arg.get_id().as_str());
    let helps = |arg: &&Arg| ["help", "version"].contains(&arg.get_id().as_str());
    for arg in root.get_arguments().filter(own).filter(|arg| !helps(arg)) {
        page.push_str(&option(arg));
    }
    page.push_str("- `-h`, `--help`: Print help; `--help` alone where `-h` is the server's host\n");
    page.push_str(&after(&root.get_after_help().map(ToString::to_string).unwrap_or_default()));
    for command in root.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let path = format!("pgark {}", command.get_name());
        page.push_str(&section(command, &path, 2));
    }
    page
}

#[test]
fn the_handbook_is_what_the_arguments_say() {
    let page = page();
    if std::env::var_os("PGARK_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = page.lines().zip(found.lines()).find(|(new, old)| new != old);
    assert!(
        page == found,
        "docs/cli.md is not what the arguments say ({differs:?}): run PGARK_WRITE_DOCS=1 cargo test -p pgark handbook"
    );
}
