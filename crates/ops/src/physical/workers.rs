//! Threads that share one list of work.

use std::thread;

use crate::OpsError;

/// Runs `work` on so many threads and waits for all of them. The error is the one that tells why:
/// a worker that fails makes the others stop, and these say that they were cancelled.
pub(super) fn run(jobs: usize, work: impl Fn() -> Result<(), OpsError> + Sync) -> Result<(), OpsError> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(&work)).collect();
        let mut result = Ok(());
        for worker in workers {
            let one = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = match (result, one) {
                (Err(error), Err(other)) if error.is_cancelled() && !other.is_cancelled() => Err(other),
                (Err(error), _) | (Ok(()), Err(error)) => Err(error),
                (Ok(()), Ok(())) => Ok(()),
            };
        }
        result
    })
}
