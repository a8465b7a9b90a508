//! Questions that do not wait for one another are asked at once: behind a network each costs a round trip.

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

/// Does it for each item, a few at once. The answers are in the items' order, and those of one batch are in memory together.
pub(crate) fn each<'i, T: Sync, R: Send>(
    items: &'i [T],
    work: impl Fn(&'i T) -> R + Sync + 'i,
) -> impl Iterator<Item = R> {
    items.chunks(MOST).flat_map(move |batch| {
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = batch.iter().map(|item| scope.spawn(move || work(item))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, R>| {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            threads.into_iter().map(join).collect::<Vec<R>>()
        })
    })
}
