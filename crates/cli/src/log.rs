//! The log on standard error, and in a file.
//!
//! At a terminal a line is only what is said: no time, no level but for warnings and errors, which
//! have a colour. Anywhere else (a journal, a file) each line begins with the time to the second
//! and the level. `--log-format json` writes one JSON object per line instead.

use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::OnceLock;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::args::{Common, LogFormat};
use crate::environment::variable;
use crate::visible::{visible, visible_lines};
use crate::when;

/// The target of what [`crate::error`] has written to standard error itself.
pub const REPORTED: &str = "reported";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// For a person, with colours or without.
    Terminal { colours: bool },
    /// Time, level, text.
    Lines,
    /// One object per line.
    Json,
}

/// The style on standard error; none before the log has started.
static STYLE: OnceLock<Style> = OnceLock::new();

/// Whether standard error is JSON: then errors are written to the log alone.
pub fn is_json() -> bool {
    STYLE.get() == Some(&Style::Json)
}

/// Whether standard error shows colours: a terminal, and nobody says otherwise.
pub fn has_colours() -> bool {
    io::stderr().is_terminal() && allows_colours()
}

/// Whether nobody says that a terminal is to show no colours (no-color.org).
pub fn allows_colours() -> bool {
    let is_dumb = variable("TERM").is_some_and(|term| term == "dumb");
    variable("NO_COLOR").is_none() && !is_dumb
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const FAINT: &str = "\x1b[2m";
const END: &str = "\x1b[0m";

/// `error:`, red where that can be.
pub fn error_word() -> String {
    painted(RED, "error:", has_colours())
}

fn painted(colour: &str, text: &str, colours: bool) -> String {
    if colours { format!("{colour}{text}{END}") } else { text.to_string() }
}

/// A log file that cannot be opened.
#[derive(Debug)]
pub struct NoFile {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Starts the log.
pub fn start(common: &Common) -> Result<(), NoFile> {
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let style = match common.log_format {
        LogFormat::Json => Style::Json,
        LogFormat::Text if io::stderr().is_terminal() => Style::Terminal { colours: has_colours() },
        LogFormat::Text => Style::Lines,
    };
    let _ = STYLE.set(style);
    // Ours alone: what libraries log is not ours to promise, that no secret is in it least of all.
    let ours = |level: LevelFilter| Targets::new().with_target("pgark", level);
    let on_stderr = match style {
        Style::Json => ours(level).with_target(REPORTED, LevelFilter::ERROR),
        _ => ours(level),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).event_format(style);
    // Quiet is for who reads standard error; who reads the file looks for what happened.
    let in_file = ours(level.max(LevelFilter::INFO)).with_target(REPORTED, LevelFilter::ERROR);
    let file = common.log_file.as_ref().map(open).transpose()?;
    let file = file.map(|file| {
        let style = if common.log_format == LogFormat::Json { Style::Json } else { Style::Lines };
        tracing_subscriber::fmt::layer().with_writer(file).event_format(style).with_filter(in_file)
    });
    tracing_subscriber::registry().with(lines.with_filter(on_stderr)).with(file).init();
    Ok(())
}

/// Appends: several runs share a file, and a rotation may put a new one in its place.
fn open(path: &PathBuf) -> Result<File, NoFile> {
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|source| NoFile { path: path.clone(), source })
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let text = format!("{}{}", visible_lines(&said.message), said.fields);
        let level = *event.metadata().level();
        match self {
            Style::Terminal { colours } => writeln!(to, "{}", at_terminal(level, &text, *colours)),
            Style::Lines => writeln!(to, "{} {level:>5} {text}", now()),
            Style::Json => {
                let level = level.as_str().to_ascii_lowercase();
                let line = serde_json::json!({ "time": now(), "level": level, "message": format!("{}{}", said.message, said.fields) });
                writeln!(to, "{line}")
            }
        }
    }
}

fn at_terminal(level: Level, text: &str, colours: bool) -> String {
    match level {
        Level::ERROR => format!("{} {text}", painted(RED, "error:", colours)),
        Level::WARN => format!("{} {text}", painted(YELLOW, "warning:", colours)),
        Level::INFO => text.to_string(),
        _ => painted(FAINT, text, colours),
    }
}

/// `2026-11-30T14:24:42+01:00`.
fn now() -> String {
    let zone = when::zone();
    let now = Timestamp::now().to_zoned(zone);
    let offset =
        if now.offset() == jiff::tz::Offset::UTC { "Z".to_string() } else { now.strftime("%:z").to_string() };
    format!("{}{offset}", now.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    /// ` name=value` of every other field.
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={}", visible(&format!("{value:?}"))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_what_is_said_and_no_more() {
        assert_eq!(at_terminal(Level::INFO, "copied", false), "copied");
        assert_eq!(at_terminal(Level::WARN, "late", false), "warning: late");
        assert_eq!(at_terminal(Level::ERROR, "gone", true), "\x1b[1;31merror:\x1b[0m gone");
        assert_eq!(at_terminal(Level::DEBUG, "detail", false), "detail");
    }

    #[test]
    fn times_of_the_log_are_rfc_3339_to_the_second() {
        let now = now();
        assert!(now.parse::<Timestamp>().is_ok() && !now.contains('.'), "{now}");
    }
}
