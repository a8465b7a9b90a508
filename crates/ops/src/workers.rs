//! Threads that share one list of work.

use std::sync::Mutex;
use std::thread;

use crate::OpsError;
use crate::lock::lock;

/// Runs `work` on so many threads and waits for all of them. The error is the one that tells why:
/// a worker that fails makes the others stop, and these say that they were cancelled.
pub(crate) fn run(jobs: usize, work: impl Fn() -> Result<(), OpsError> + Sync) -> Result<(), OpsError> {
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

/// Does something with each item, in their order, on so many threads. The first error ends it.
pub(crate) fn each<T>(
    jobs: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), OpsError> + Sync,
) -> Result<(), OpsError> {
    let items = Mutex::new(items);
    let failure: Mutex<Option<OpsError>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while lock(&failure).is_none() {
                    let Some(item) = lock(&items).next() else { return };
                    if let Err(error) = work(item) {
                        lock(&failure).get_or_insert(error);
                    }
                }
            });
        }
    });
    let failure = lock(&failure).take();
    failure.map_or(Ok(()), Err)
}

/// What comes of each item, in their order. Each thread has a share of them.
pub(crate) fn map<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, OpsError> + Sync,
) -> Result<Vec<R>, OpsError> {
    let share = items.len().div_ceil(jobs.max(1)).max(1);
    let of_share = |share: &[T]| share.iter().map(&work).collect();
    let of_share = &of_share;
    let shares: Vec<Result<Vec<R>, OpsError>> = thread::scope(|scope| {
        let workers: Vec<_> = items.chunks(share).map(|share| scope.spawn(move || of_share(share))).collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect()
    });
    let mut results = Vec::with_capacity(items.len());
    for share in shares {
        results.extend(share?);
    }
    Ok(results)
}
