//! How fast the data directory is read.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::lock::lock;

/// A wait looks this often whether to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What was not used is not saved up for longer.
const SAVED: Duration = Duration::from_millis(200);

/// Bytes in a second, by all threads together.
pub(super) struct Pace {
    rate: Option<u64>,
    /// Up to this moment everything is spent.
    spent: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Pace {
        Pace { rate: rate.filter(|rate| *rate > 0), spent: Mutex::new(Instant::now()) }
    }

    /// So many bytes were read: waits as long as that may take.
    pub(super) fn spend(&self, bytes: usize, stop: &dyn Fn() -> bool) {
        let Some(rate) = self.rate else { return };
        let until = {
            let mut spent = lock(&self.spent);
            let now = Instant::now();
            let from = (*spent).max(now.checked_sub(SAVED).unwrap_or(now));
            *spent = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *spent
        };
        while !stop() {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        let pace = Pace::new(Some(10 << 20));
        let started = Instant::now();
        (0..10).for_each(|_| pace.spend(1 << 20, &|| false));
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(750), "{took:?}");
        // Whoever is told to stop does not wait.
        pace.spend(1 << 40, &|| true);
        let free = Pace::new(None);
        free.spend(1 << 40, &|| false);
    }
}
