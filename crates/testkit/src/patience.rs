//! Waiting for what must come.

use std::time::{Duration, Instant};

/// How long a test waits for what must come: far longer than the busiest machine takes, so that
/// only what never comes ends it. It measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Waits until it is there.
///
/// # Panics
/// If it never comes.
#[track_caller]
pub fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
