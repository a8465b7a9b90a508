//! Limits of bytes per second, shared by everything that moves bytes in one direction.

use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::{Cancel, Cancelled, lock};

/// So many bytes are asked for at once: a limit is kept smoothly, not object by object.
pub(crate) const STEP: usize = 64 << 10;

/// A limit. Whoever wants to move bytes reserves them and waits as long as it is told.
#[derive(Debug)]
pub struct Pace {
    /// Bytes per second; none: no limit.
    rate: Option<u64>,
    /// When the bytes reserved so far are through.
    free: Mutex<Instant>,
}

impl Pace {
    /// A limit of so many bytes per second.
    pub fn new(rate: Option<u64>) -> Pace {
        Pace { rate: rate.filter(|rate| *rate > 0), free: Mutex::new(Instant::now()) }
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// How long to wait before these bytes may move.
    pub fn reserve(&self, bytes: usize) -> Duration {
        self.reserve_at(Instant::now(), bytes)
    }

    fn reserve_at(&self, now: Instant, bytes: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let mut free = lock(&self.free);
        let from = now.max(*free);
        *free = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
        from - now
    }

    /// Reserves, and waits in steps, so that a cancel ends it.
    pub(crate) fn wait(&self, bytes: usize, cancel: &Cancel) -> Result<(), Cancelled> {
        let mut left = bytes;
        while self.is_limited() && left > 0 {
            let step = left.min(STEP);
            left -= step;
            cancel.sleep(self.reserve(step))?;
        }
        cancel.check()
    }

    /// Reserves, and gives what is to be waited for; None where nothing is.
    pub(crate) fn sleep(&self, bytes: usize) -> Option<Pin<Box<Sleep>>> {
        let wait = self.reserve(bytes);
        (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_queue_up() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        assert!(pace.reserve_at(now, 500).is_zero());
        assert_eq!(pace.reserve_at(now, 1000), Duration::from_millis(500));
        let later = now + Duration::from_millis(200);
        assert_eq!(pace.reserve_at(later, 1), Duration::from_millis(1300));
        // What was not used is not saved up.
        assert!(pace.reserve_at(now + Duration::from_secs(60), 500).is_zero());
        assert_eq!(pace.reserve_at(now + Duration::from_secs(60), 1), Duration::from_millis(500));
        assert!(Pace::new(None).reserve(usize::MAX).is_zero());
    }
}
