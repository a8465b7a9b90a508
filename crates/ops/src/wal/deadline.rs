//! A job that ends when its time is over: servers wait for their archive commands without limit.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pgark_store::Cancel;

use crate::{Job, OpsError};

/// How often the flag of the whole job is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Does some work, which is cancelled after so long, or with the job.
///
/// # Errors
/// Those of the work; that its time was over.
pub(super) fn within<T>(
    job: &Job,
    time: Duration,
    work: impl FnOnce(&Job) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let own = Job { cancel: Cancel::new(), progress: std::sync::Arc::clone(&job.progress) };
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (whole, part) = (&job.cancel, &own.cancel);
        let clock = scope.spawn(move || {
            let mut left = time;
            loop {
                match is_done.recv_timeout(LOOK.min(left)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return false,
                }
                left = left.saturating_sub(LOOK);
                if left.is_zero() || whole.is_cancelled() {
                    part.cancel();
                    return !whole.is_cancelled();
                }
            }
        });
        let worked = work(&own);
        drop(done);
        let is_over = clock.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match worked {
            Err(error) if error.is_cancelled() && is_over => Err(OpsError::refused(
                format!("it was not done within {} s", time.as_secs()),
                "look at the storage and the network, or allow more time",
            )),
            other => other,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_its_time_and_with_its_job() {
        let waits = |job: &Job| -> Result<(), OpsError> {
            job.cancel.sleep(Duration::from_secs(60)).map_err(|_| OpsError::Cancelled)
        };
        let job = Job::quiet();
        let said = within(&job, Duration::from_millis(100), waits).unwrap_err();
        assert!(!said.is_cancelled() && said.to_string().contains("within 0 s"), "{said}");
        assert!(!job.cancel.is_cancelled());
        assert_eq!(within(&job, Duration::from_secs(60), |_| Ok(7)).unwrap(), 7);
        job.cancel.cancel();
        assert!(within(&job, Duration::from_secs(60), waits).unwrap_err().is_cancelled());
    }
}
