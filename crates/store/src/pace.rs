//! Limits of bytes per second, shared by everything that moves bytes in one direction.

use std::sync::Mutex;
use std::time::{Duration, Instant};

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
        let Some(rate) = self.rate else { return Duration::ZERO };
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(|poison| poison.into_inner());
        let from = now.max(*free);
        *free = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
        from - now
    }

    /// Reserves and waits, in steps; `go_on` says after each whether to.
    pub fn wait(&self, bytes: usize, go_on: &dyn Fn() -> bool) -> bool {
        let mut left = bytes;
        while self.is_limited() && left > 0 {
            let step = left.min(STEP);
            left -= step;
            let until = Instant::now() + self.reserve(step);
            while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
            {
                if !go_on() {
                    return false;
                }
                std::thread::sleep(rest.min(Duration::from_millis(50)));
            }
        }
        go_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_queue_up() {
        let pace = Pace::new(Some(1000));
        assert!(pace.reserve(500).is_zero());
        let second = pace.reserve(1000);
        assert!(second > Duration::from_millis(400) && second <= Duration::from_millis(500), "{second:?}");
        assert!(pace.reserve(1) > Duration::from_millis(1400));
        assert!(Pace::new(None).reserve(usize::MAX).is_zero());
    }
}
