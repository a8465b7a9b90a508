//! Whether to stop: asked, never told.

use std::time::{Duration, Instant};

use crate::Error;

/// Asked before each piece of work and during waits; once it says true, the work ends with
/// [`Error::Cancelled`]. A job's threads each make one from the same flag.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// A wait asks this often.
const LOOK: Duration = Duration::from_millis(50);

/// An error once the answer is yes.
pub(crate) fn check(stop: Stop<'_>) -> Result<(), Error> {
    if stop() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Waits so long; asks at least once.
pub(crate) fn wait(time: Duration, stop: Stop<'_>) -> Result<(), Error> {
    let until = Instant::now() + time;
    loop {
        check(stop)?;
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(());
        }
        std::thread::sleep(rest.min(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_stopped() {
        let asked = Cell::new(0);
        let third = || asked.replace(asked.get() + 1) == 2;
        let started = Instant::now();
        assert!(matches!(wait(Duration::from_secs(600), &third), Err(Error::Cancelled)));
        assert!(asked.get() == 3 && started.elapsed() >= LOOK * 2);
        assert!(wait(Duration::from_millis(1), &|| false).is_ok());
        assert!(matches!(wait(Duration::ZERO, &|| true), Err(Error::Cancelled)));
    }
}
