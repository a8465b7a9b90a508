//! One flag that ends a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A wait looks this often whether it is set.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// What a cancelled job may still do to tidy up, each.
pub(crate) const TIDY: Duration = Duration::from_secs(5);

/// Shared by everything that works for one job; cloned freely. Once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// The job was stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Sets it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Waits so long; an error as soon as it is set.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        let until = Instant::now() + time;
        while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            self.check()?;
            std::thread::sleep(rest.min(LOOK));
        }
        Ok(())
    }

    /// An error if it is set, for `?`.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}
