//! Progress on standard error: bars on a terminal, lines of a log elsewhere.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use pgark_ops::{Job, Progress};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format;
use tracing_subscriber::prelude::*;

use crate::args::Common;
use crate::error::Failure;
use crate::visible::{visible, visible_lines};
use crate::{output, signals};

/// Between two progress lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Names of objects in work that fit a line.
const NAMES_SHOWN: usize = 3;

/// The log on standard error.
pub fn start_log(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Ours alone: what libraries log is not ours to promise, that no secret is in it least of all.
    let ours = Targets::new().with_target("pgark", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .fmt_fields(format::debug_fn(|to, field, value| match field.name() {
            "message" => write!(to, "{}", visible_lines(&format!("{value:?}"))),
            name => write!(to, "{name}={}", visible(&format!("{value:?}"))),
        }))
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
}

/// A job that shows its progress and ends at a signal.
pub fn watched_job(common: &Common) -> Result<Job, Failure> {
    signals::cancel_on_signal()?;
    let cancel = signals::cancel();
    let progress: std::sync::Arc<dyn Progress> = if std::io::stderr().is_terminal() && !common.quiet {
        std::sync::Arc::new(Bar::new())
    } else {
        std::sync::Arc::new(Lines::new())
    };
    Ok(Job { cancel, progress })
}

/// A bar with bytes, rate, time left and the objects in work.
struct Bar {
    bar: ProgressBar,
    at_work: Mutex<BTreeSet<String>>,
}

impl Bar {
    fn new() -> Bar {
        let bar = ProgressBar::new(0);
        bar.set_style(style("{spinner} {prefix}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar { bar, at_work: Mutex::new(BTreeSet::new()) }
    }

    fn show_names(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut names = self.at_work.lock().unwrap_or_else(|poison| poison.into_inner());
        change(&mut names);
        let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
        let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
        self.bar.set_message(format!("{}{more}", visible(&shown.join(", "))));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A template of ours is sound; were it not, the plain bar would still show.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl Progress for Bar {
    fn phase(&self, name: &str) {
        self.bar.reset();
        self.bar.set_length(0);
        self.bar.set_style(style("{spinner} {prefix}"));
        self.bar.set_prefix(visible(name).into_owned());
        self.bar.set_message("");
    }

    fn total_bytes(&self, bytes: u64) {
        if bytes > 0 {
            self.bar.set_style(style(
                "{spinner} {prefix} {bar:24} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left  {wide_msg}",
            ));
        }
        self.bar.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        // The total was an estimate: a bar is never more than full.
        if self.bar.position() > self.bar.length().unwrap_or(0) {
            self.bar.set_length(self.bar.position());
        }
    }

    fn object_started(&self, name: &str) {
        self.show_names(|names| {
            names.insert(name.to_string());
        });
    }

    fn object_done(&self, name: &str) {
        self.show_names(|names| {
            names.remove(name);
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
        let mut last = self.last.lock().unwrap_or_else(|poison| poison.into_inner());
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let total = self.total.load(Ordering::Relaxed).max(done);
            tracing::info!("{} of about {}", output::bytes(done), output::bytes(total));
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
