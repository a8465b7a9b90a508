//! The memory of a session's packs: a fixed number of buffers, which go round. They are most of
//! what a backup takes.

use std::sync::{Condvar, Mutex};

use crate::lock::{lock, wait_until};

/// Next to a pack's bytes: its last chunk and its directory.
const BESIDE: usize = 1 << 20;

pub(super) struct Buffers {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    spare: Vec<Vec<u8>>,
    /// How many more may be made.
    unmade: usize,
    /// A buffer takes its room at once, since what is grown piece by piece leaves holes in memory.
    /// Larger chunks let it grow. What was never written to costs nothing.
    room: usize,
}

impl Buffers {
    /// `most` buffers, each for a pack of so many bytes.
    pub(super) fn new(most: usize, pack_bytes: usize) -> Buffers {
        let state = State { spare: Vec::new(), unmade: most, room: pack_bytes + BESIDE };
        Buffers { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A buffer for one more pack; waits until there is one. None if stopped meanwhile.
    pub(super) fn take(&self, stop: &dyn Fn() -> bool) -> Option<Vec<u8>> {
        let some = |state: &State| state.unmade > 0 || !state.spare.is_empty();
        let (mut state, ok) = wait_until(&self.changed, lock(&self.state), stop, some);
        if !ok {
            return None;
        }
        if let Some(buffer) = state.spare.pop() {
            return Some(buffer);
        }
        state.unmade -= 1;
        let mut buffer = Vec::new();
        // Without so much room in one place it grows.
        let _ = buffer.try_reserve_exact(state.room);
        Some(buffer)
    }

    /// The pack in it was put. None where the storage still holds on to it: another one may be
    /// made.
    pub(super) fn give_back(&self, buffer: Option<Vec<u8>>) {
        let mut state = lock(&self.state);
        match buffer {
            Some(buffer) => state.spare.push(buffer),
            None => state.unmade += 1,
        }
        drop(state);
        self.changed.notify_all();
    }
}
