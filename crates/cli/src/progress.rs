//! Progress on standard error: bars on a terminal, lines of a log elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use pgark_ops::{Job, Progress};

use crate::args::Common;
use crate::error::Failure;
use crate::visible::visible;
use crate::{log, output, signals, when};

/// Between two progress lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Names of objects in work that fit a line.
const NAMES_SHOWN: usize = 3;

/// A job that shows its progress and ends at a signal.
pub fn watched_job(common: &Common) -> Result<Job, Failure> {
    signals::cancel_on_signal()?;
    let cancel = signals::cancel();
    let progress: std::sync::Arc<dyn Progress> =
        if std::io::stderr().is_terminal() && !common.quiet && !log::is_json() {
            std::sync::Arc::new(Bar::new())
        } else {
            std::sync::Arc::new(Lines::new())
        };
    Ok(Job { cancel, progress })
}

/// A line at the terminal's bottom: the phase, bytes, the time left, what is counted, and the
/// objects in work. Behind each phase that took its time one line stays.
struct Bar {
    bar: ProgressBar,
    state: Mutex<State>,
    columns: usize,
}

/// What the bar does not know itself.
struct State {
    phase: String,
    began: Instant,
    /// Objects in work, the oldest first: what takes longest stays in sight.
    at_work: Vec<String>,
    /// What is counted, how many are done, and of how many.
    counted: Vec<(String, u64, u64)>,
}

impl State {
    fn new(phase: &str) -> State {
        State { phase: phase.to_string(), began: Instant::now(), at_work: Vec::new(), counted: Vec::new() }
    }

    /// `indexes 3 of 12: INDEX public orders_day`.
    fn message(&self) -> String {
        let counted = self.counted.iter().filter(|(_, done, of)| done < of);
        let counted: Vec<String> = counted.map(|(what, done, of)| format!("{what} {done} of {of}")).collect();
        let shown = self.at_work.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if self.at_work.len() > NAMES_SHOWN { ", …" } else { "" };
        let between = if counted.is_empty() || shown.is_empty() { "" } else { ": " };
        visible(&format!("{}{between}{shown}{more}", counted.join(", "))).into_owned()
    }

    /// What stays of a phase: `copy tables: 513 MB in 3.3 s`; nothing of one that was over at once.
    fn line(&self, bytes: u64) -> Option<String> {
        let took = self.began.elapsed();
        let amount = (bytes > 0).then(|| format!("{} in ", output::bytes(bytes)));
        let is_told = !self.phase.is_empty() && (amount.is_some() || took >= TOLD);
        is_told.then(|| {
            let took = output::seconds(took.as_secs_f64());
            format!("{}: {}{took}", self.phase, amount.unwrap_or_default())
        })
    }
}

/// A phase without bytes that took less leaves no line.
const TOLD: Duration = Duration::from_secs(1);
/// From so many columns on there is room for a bar, and for the rate.
const ROOM_FOR_BAR: usize = 80;
const ROOM_FOR_RATE: usize = 100;
/// So much of a narrow terminal is left to the phase's name.
const NARROW_PHASE: usize = 26;

impl Bar {
    fn new() -> Bar {
        let columns = output::window(std::io::stderr()).unwrap_or(ROOM_FOR_BAR);
        let bar = ProgressBar::new(0);
        bar.set_style(style(columns));
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar { bar, state: Mutex::new(State::new("")), columns }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(|poison| poison.into_inner());
        change(&mut state);
        self.bar.set_message(state.message());
    }

    /// Leaves the line of the phase that ends, and begins another.
    fn next_phase(&self, name: &str) {
        let mut state = self.state.lock().unwrap_or_else(|poison| poison.into_inner());
        let before = std::mem::replace(&mut *state, State::new(name));
        drop(state);
        if let Some(line) = before.line(self.bar.position()) {
            self.bar.suspend(|| tracing::info!("{line}"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.next_phase("");
        self.bar.finish_and_clear();
    }
}

/// Everything but the names has a fixed place; names take the rest of the line.
fn style(columns: usize) -> ProgressStyle {
    // A template of ours is sound; were it not, the plain bar would still show.
    ProgressStyle::with_template("{spinner} {prefix}{amount}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("amount", move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            // Writing to a string does not fail.
            let _ = write!(
                to,
                "{}",
                amount(state.pos(), state.len().unwrap_or(0), state.per_sec(), state.eta(), columns)
            );
        })
}

/// `  ━━━━━━──  120 MB of 513 MB  12 s left`. Behind the last byte there is no time left to tell:
/// what is still in work is not counted in bytes.
fn amount(done: u64, all: u64, per_second: f64, left: Duration, columns: usize) -> String {
    if all == 0 {
        return String::new();
    }
    let mut text = String::new();
    if columns >= ROOM_FOR_BAR {
        let full = usize::try_from(done.saturating_mul(BAR as u64) / all).unwrap_or(BAR).min(BAR);
        text.push_str(&format!("  {}{}", "━".repeat(full), "─".repeat(BAR - full)));
    }
    if done >= all {
        text.push_str(&format!("  {}", output::bytes(all)));
        return text;
    }
    text.push_str(&format!("  {} of {}", output::bytes(done), output::bytes(all)));
    if columns >= ROOM_FOR_RATE {
        text.push_str(&format!("  {}/s", output::bytes(per_second as u64)));
    }
    if left >= Duration::from_secs(1) {
        text.push_str(&format!("  {} left", when::span(left)));
    }
    text
}

/// Signs of a bar.
const BAR: usize = 16;

impl Progress for Bar {
    fn phase(&self, name: &str) {
        self.next_phase(name);
        self.bar.reset();
        self.bar.set_length(0);
        let room = if self.columns < ROOM_FOR_BAR { NARROW_PHASE } else { usize::MAX };
        self.bar.set_prefix(output::cut(&visible(name), room));
        self.bar.set_message("");
    }

    fn total_bytes(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        // The total was an estimate: a bar is never more than full.
        if self.bar.position() > self.bar.length().unwrap_or(0) {
            self.bar.set_length(self.bar.position());
        }
    }

    fn counted(&self, what: &str, done: u64, of: u64) {
        self.change(|state| match state.counted.iter_mut().find(|(own, ..)| own == what) {
            Some(counted) => (counted.1, counted.2) = (done, of),
            None => state.counted.push((what.to_string(), done, of)),
        });
    }

    fn object_started(&self, name: &str) {
        self.change(|state| state.at_work.push(name.to_string()));
    }

    fn object_done(&self, name: &str) {
        self.change(|state| {
            if let Some(at) = state.at_work.iter().position(|own| own == name) {
                state.at_work.remove(at);
            }
        });
    }

    fn warn(&self, text: &str) {
        self.bar.suspend(|| tracing::warn!("{text}"));
    }

    fn info(&self, text: &str) {
        self.bar.suspend(|| tracing::info!("{text}"));
    }

    fn detail(&self, text: &str) {
        self.bar.suspend(|| tracing::debug!("{text}"));
    }
}

/// A line per phase, and one every few seconds.
struct Lines {
    done: AtomicU64,
    total: AtomicU64,
    last: Mutex<Instant>,
}

impl Lines {
    fn new() -> Lines {
        Lines { done: AtomicU64::new(0), total: AtomicU64::new(0), last: Mutex::new(Instant::now()) }
    }

    /// Whether the last line was some time ago; then it is this one's turn.
    fn is_time(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(|poison| poison.into_inner());
        let is_time = last.elapsed() >= LINE_EVERY;
        if is_time {
            *last = Instant::now();
        }
        is_time
    }
}

impl Progress for Lines {
    fn phase(&self, name: &str) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
        tracing::info!("{name}");
    }

    fn total_bytes(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.is_time() {
            let total = self.total.load(Ordering::Relaxed).max(done);
            tracing::info!("{} of about {}", output::bytes(done), output::bytes(total));
        }
    }

    fn counted(&self, what: &str, done: u64, of: u64) {
        if done > 0 && self.is_time() {
            tracing::info!("{what}: {done} of {of}");
        }
    }

    fn object_started(&self, name: &str) {
        tracing::debug!("{name}");
    }

    fn object_done(&self, name: &str) {
        tracing::debug!("{name}: done");
    }

    fn warn(&self, text: &str) {
        tracing::warn!("{text}");
    }

    fn info(&self, text: &str) {
        tracing::info!("{text}");
    }

    fn detail(&self, text: &str) {
        tracing::debug!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_while_bytes_are_left() {
        let of =
            |done, left, columns| amount(done, 100_000_000, 5_000_000.0, Duration::from_secs(left), columns);
        assert_eq!(of(50_000_000, 12, 60), "  50.0 MB of 100 MB  12 s left");
        assert_eq!(of(50_000_000, 12, 80), "  ━━━━━━━━────────  50.0 MB of 100 MB  12 s left");
        assert_eq!(of(50_000_000, 12, 120), "  ━━━━━━━━────────  50.0 MB of 100 MB  5.0 MB/s  12 s left");
        assert_eq!(of(99_999_999, 0, 60), "  100 MB of 100 MB");
        assert_eq!(of(100_000_000, 0, 60), "  100 MB");
        assert_eq!(amount(0, 0, 0.0, Duration::ZERO, 60), "");
    }

    #[test]
    fn the_line_names_what_is_counted_and_the_oldest_work() {
        let mut state = State::new("restore rows and indexes");
        state.counted = vec![("indexes".into(), 3, 12), ("constraints".into(), 5, 5)];
        state.at_work = ["INDEX big", "INDEX b", "INDEX c", "INDEX d"].map(str::to_string).to_vec();
        assert_eq!(state.message(), "indexes 3 of 12: INDEX big, INDEX b, INDEX c, …");
        assert!(state.line(0).is_none());
        assert!(state.line(7).is_some_and(|line| line.starts_with("restore rows and indexes: 7 B in 0.")));
    }
}
