//! What a restore into a directory that is not empty counts.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// Of the whole restore.
#[derive(Default)]
pub(super) struct Delta {
    /// Pages that were compared.
    pub compared: AtomicU64,
    /// Those that were not as in the backup.
    pub different: AtomicU64,
    pub deleted: Mutex<Deleted>,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deleted {
    /// Files and links.
    pub files: u64,
    pub folders: u64,
}
