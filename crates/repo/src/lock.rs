//! Locks within one process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks; a poisoned lock is taken as it is, because a panic already ends the whole backup.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a waiting thread goes without looking whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until `done`, or until `stop` says so; false if stopped.
pub(crate) fn wait_until<'a, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'a, T>,
    stop: &dyn Fn() -> bool,
    done: impl Fn(&T) -> bool,
) -> (MutexGuard<'a, T>, bool) {
    while !done(&guard) {
        if stop() {
            return (guard, false);
        }
        guard = condvar.wait_timeout(guard, LOOK).unwrap_or_else(PoisonError::into_inner).0;
    }
    (guard, true)
}
