//! What was found out about put-if-absent on a storage: believed until it is seen to fail.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const HONOURED: u8 = 1;
const IGNORED: u8 = 2;

/// Whether a name that is taken stays with whoever has it.
#[derive(Debug, Default)]
pub(crate) struct Condition(AtomicU8);

impl Condition {
    /// The object that is put twice to find it out is at most this large.
    pub(crate) const SMALL: usize = 64 << 10;

    pub(crate) fn is_unknown(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNKNOWN
    }

    pub(crate) fn is_ignored(&self) -> bool {
        self.0.load(Ordering::Relaxed) == IGNORED
    }

    pub(crate) fn set_honoured(&self) {
        self.0.store(HONOURED, Ordering::Relaxed);
    }

    /// Told once of the storage.
    pub(crate) fn set_ignored(&self, storage: &str) {
        if self.0.swap(IGNORED, Ordering::Relaxed) != IGNORED {
            tracing::warn!("{storage} ignores put-if-absent: only one writer at a time is safe");
        }
    }
}
