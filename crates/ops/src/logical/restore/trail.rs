//! How far a restore came in each database.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far one database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// Nothing of it was touched.
    Untouched,
    /// What the backup holds is being dropped, in one transaction: done or not.
    Dropping,
    /// Within one transaction.
    Transaction,
    /// That transaction is being committed: done or not.
    Committing,
    /// Something of it is there, or may be.
    InPart,
    /// All that could be restored is there.
    Done,
}

/// A stage that workers may set.
#[derive(Debug, Default)]
pub(super) struct Trail(AtomicU8);

impl Trail {
    pub(super) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Release);
    }

    pub(super) fn stage(&self) -> Stage {
        let all = [
            Stage::Untouched,
            Stage::Dropping,
            Stage::Transaction,
            Stage::Committing,
            Stage::InPart,
            Stage::Done,
        ];
        let now = self.0.load(Ordering::Acquire);
        all.into_iter().find(|stage| *stage as u8 == now).unwrap_or(Stage::InPart)
    }
}
