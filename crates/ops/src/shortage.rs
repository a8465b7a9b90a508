//! Servers and roles with few connections: what a refusal for that looks like, and how long one
//! waits for a connection that has just been given back (the server notices a moment later).

use std::thread;
use std::time::{Duration, Instant};

use crate::OpsError;
use crate::watch::Watch;

/// How long one who holds no other connection waits for one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// Whether the server, the database or the role has no connection left; pg_dump says it in words.
pub(crate) fn is_shortage(error: &OpsError) -> bool {
    match error {
        OpsError::Tool { what, .. } => {
            ["too many connections for", "too many clients", "remaining connection slots"]
                .iter()
                .any(|words| what.contains(words))
        }
        other => other.sqlstate() == Some("53300"),
    }
}

/// Connects, and waits a while for a connection.
pub(crate) fn patiently<C>(watch: &Watch, connect: impl Fn() -> Result<C, OpsError>) -> Result<C, OpsError> {
    let begun = Instant::now();
    loop {
        match connect() {
            Err(error) if is_shortage(&error) && begun.elapsed() < PATIENCE && !watch.is_cancelled() => {
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}
