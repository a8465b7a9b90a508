//! A queue between threads that is bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

use crate::lock::{lock, wait_until};

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// Pushed and not yet done with.
    open: usize,
    closed: bool,
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Bytes that wait, unless it is one item alone.
    limit: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Queue<T> {
        let state = State { items: VecDeque::new(), bytes: 0, open: 0, closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new(), limit }
    }

    /// Waits for room; false if stopped meanwhile.
    pub(crate) fn push(&self, item: T, bytes: usize, stop: &dyn Fn() -> bool) -> bool {
        let room =
            |state: &State<T>| state.items.is_empty() || state.bytes.saturating_add(bytes) <= self.limit;
        let (mut state, ok) = wait_until(&self.changed, lock(&self.state), stop, room);
        if ok {
            state.items.push_back((item, bytes));
            state.bytes += bytes;
            state.open += 1;
            drop(state);
            self.changed.notify_all();
        }
        ok
    }

    /// The next item; None when the queue is closed and empty, or stopped.
    pub(crate) fn pop(&self, stop: &dyn Fn() -> bool) -> Option<T> {
        let ready = |state: &State<T>| !state.items.is_empty() || state.closed;
        let (mut state, ok) = wait_until(&self.changed, lock(&self.state), stop, ready);
        if !ok {
            return None;
        }
        let (item, bytes) = state.items.pop_front()?;
        state.bytes = state.bytes.saturating_sub(bytes);
        drop(state);
        self.changed.notify_all();
        Some(item)
    }

    /// An item that was popped is done with.
    pub(crate) fn done(&self) {
        let mut state = lock(&self.state);
        state.open = state.open.saturating_sub(1);
        if state.open == 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until everything pushed is done with; false if stopped.
    pub(crate) fn drain(&self, stop: &dyn Fn() -> bool) -> bool {
        wait_until(&self.changed, lock(&self.state), stop, |state| state.open == 0).1
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}
