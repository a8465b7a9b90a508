//! Text for people and JSON for programs, on standard output.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use pgark_ops::{BackupStatus, Requests};

use crate::environment::variable;
use crate::error::Failure;
use crate::json::{Document, Printed};
use crate::log;
use crate::visible::visible;
use crate::when;

/// One JSON document and a newline.
pub fn json(document: &Document<'_>) -> Result<(), Failure> {
    let text = serde_json::to_string(&Printed::of(document))
        .map_err(|error| Failure::output(io::Error::other(error)))?;
    raw_line(&text)
}

/// A line for the log about what the repository's storage was asked.
pub fn tell_requests(requests: Option<&Requests>) {
    if let Some(requests) = requests {
        tracing::info!(
            "{} requests: {} put, {} get, {} list, {} head, {} delete; {} retried; {} sent, {} received",
            count(requests.all()),
            count(requests.put),
            count(requests.get),
            count(requests.list),
            count(requests.head),
            count(requests.delete),
            count(requests.retries),
            bytes(requests.bytes_sent),
            bytes(requests.bytes_received),
        );
    }
}

/// One line of text for people.
pub fn line(text: &str) -> Result<(), Failure> {
    raw_line(&visible(text))
}

fn raw_line(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::output)
}

/// A column's alignment.
#[derive(Clone, Copy)]
pub enum Align {
    Left,
    Right,
}

/// Lines with aligned columns, the first line being their names.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> Result<(), Failure> {
    let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_string()).collect();
    // Escapes are as wide as they are shown.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| visible(cell).into_owned()).collect()).collect();
    let rows = &rows;
    let width = |at: usize| {
        let cells = std::iter::once(&names).chain(rows).filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in std::iter::once(&names).chain(rows) {
        let mut text = String::new();
        for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(columns) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            match align {
                Align::Left => text.push_str(&format!("{cell}{gap}  ")),
                Align::Right => text.push_str(&format!("{gap}{cell}  ")),
            }
        }
        line(text.trim_end())?;
    }
    Ok(())
}

/// Columns of the terminal on standard output; where that is none, what `COLUMNS` says, else what a
/// mail or a report takes.
pub fn width() -> usize {
    const ELSEWHERE: usize = 100;
    const LEAST: usize = 40;
    let said = variable("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
    window(io::stdout()).or(said).unwrap_or(ELSEWHERE).max(LEAST)
}

/// Columns of the terminal behind a stream.
pub fn window(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The width of a column with this title.
pub fn longest(title: &str, cells: &[String]) -> usize {
    let widths = cells.iter().map(|cell| visible(cell).chars().count());
    widths.max().unwrap_or(0).max(title.chars().count())
}

/// A text in at most so many signs; `…` ends one that was cut.
pub fn cut(text: &str, most: usize) -> String {
    if visible(text).chars().count() <= most {
        return text.to_string();
    }
    let kept: String = visible(text).chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// `1 row`, `12 345 rows`.
pub fn number_of(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A line that says what a value was and what it becomes; on a terminal in two colours.
pub fn change(name: &str, before: &str, after: &str, mark: &str) -> Result<(), Failure> {
    let colours = io::stdout().is_terminal() && log::allows_colours();
    let painted = |colour: &str, text: &str| match colours {
        true => format!("\x1b[{colour}m{}\x1b[0m", visible(text)),
        false => visible(text).into_owned(),
    };
    raw_line(&format!("{}  {} -> {}{mark}", visible(name), painted("32", before), painted("31", after)))
}

/// `3.4 s`, `12 min`, `5 h`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        0.0..100.0 => format!("{seconds:.1} s"),
        _ => when::span(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    }
}

/// `1.2 MB`: powers of ten, three digits.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.digits$} {}", UNITS.get(unit).copied().unwrap_or("B"))
}

/// A backup's status with what else is to be known of it.
pub fn status(status: &BackupStatus, partial: bool, ahead: bool) -> String {
    let marks = [(partial, "partial"), (ahead, "clock ahead")];
    let marks: Vec<&str> = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
    if marks.is_empty() { status.to_string() } else { format!("{status} ({})", marks.join(", ")) }
}

/// `1 234 567`: digits in groups.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_have_three_digits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_960, "100 kB"),
            (1_234_567, "1.2 MB"),
            (2_000_000_000, "2.0 GB"),
        ] {
            assert_eq!(super::bytes(count), text);
        }
        assert_eq!(super::count(1_234_567), "1 234 567");
    }
}
