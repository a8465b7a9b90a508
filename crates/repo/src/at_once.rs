//! Questions that do not wait for one another are asked at once: behind a network each costs a
//! round trip.

use std::panic::resume_unwind;
use std::thread;

/// So many at once.
pub(crate) const MOST: usize = 8;

/// Does two things at once.
pub(crate) fn both<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| resume_unwind(panic)), other)
    })
}

/// Does it for each item, a few at once. The answers are in the items' order, and those of one
/// batch are in memory together.
pub(crate) fn each<'i, T: Sync, R: Send>(
    items: &'i [T],
    work: impl Fn(&'i T) -> R + Sync + 'i,
) -> impl Iterator<Item = R> {
    items.chunks(MOST).flat_map(move |batch| all_of(batch, &work))
}

/// [`each`], with batches whose sizes add up to no more than `most`; what is larger than that is
/// alone.
pub(crate) fn each_within<'i, T: Sync, R: Send>(
    items: &'i [T],
    most: u64,
    size: impl Fn(&T) -> u64,
    work: impl Fn(&'i T) -> R + Sync + 'i,
) -> impl Iterator<Item = R> {
    let mut batches = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut sum: u64 = 0;
        let fitting = rest.iter().take(MOST).take_while(|item| {
            sum = sum.saturating_add(size(item));
            sum <= most
        });
        let (batch, after) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = after;
    }
    batches.into_iter().flat_map(move |batch| all_of(batch, &work))
}

fn all_of<'i, T: Sync, R: Send>(batch: &'i [T], work: &(impl Fn(&'i T) -> R + Sync)) -> Vec<R> {
    thread::scope(|scope| {
        let threads: Vec<_> = batch.iter().map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, R>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn batches_are_bounded_and_answers_in_order() {
        let sizes = [3u64, 3, 3, 20, 1, 0, 0, 10, 1];
        let (now, worst) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = |size: &u64| {
            worst.fetch_max(now.fetch_add(*size, Ordering::SeqCst) + size, Ordering::SeqCst);
            thread::sleep(std::time::Duration::from_millis(5));
            now.fetch_sub(*size, Ordering::SeqCst);
            *size
        };
        assert!(each_within(&sizes, 10, |size| *size, work).eq(sizes));
        assert_eq!(worst.load(Ordering::SeqCst), 20, "what is larger is alone");
        assert!(each(&sizes, |size| *size).eq(sizes));
    }
}
