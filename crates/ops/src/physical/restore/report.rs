//! What a physical restore did.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::Serialize;

use super::counts::{Deleted, Delta};
use crate::lock::lock;
use crate::physical::start::StartedServer;

/// A data directory that was restored, or, of a dry run, what would be restored.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RestoreReport {
    /// Id of the backup.
    pub backup: String,
    /// Whether nothing was changed (`--dry-run`).
    pub dry_run: bool,
    /// The data directory.
    pub directory: PathBuf,
    /// Directories of tablespaces.
    pub tablespaces: Vec<RestoredTablespace>,
    /// Number of files.
    pub files: u64,
    /// Size of the files in bytes.
    pub bytes: u64,
    /// Bytes that were fetched from the storage.
    pub bytes_fetched: u64,
    /// What was compared in a directory that was not empty (`--delta`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaReport>,
    /// Version of the server that the backup is of, such as `150018`.
    pub server_version: i32,
    /// The server that was started (`--start`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<StartedServer>,
    /// Duration in seconds.
    pub seconds: f64,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What a restore found in a directory that was not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeltaReport {
    /// Pages of the files in the backup: each was compared with what was at its place.
    pub pages_compared: u64,
    /// Pages that were written, because something else was at their place, or nothing.
    pub pages_different: u64,
    /// Files and links that were deleted, because the backup does not have them.
    pub files_deleted: u64,
    /// Folders that were deleted.
    pub folders_deleted: u64,
}

impl DeltaReport {
    pub(super) fn of(delta: &Delta) -> DeltaReport {
        let Deleted { files, folders } = *lock(&delta.deleted);
        DeltaReport {
            pages_compared: delta.compared.load(Ordering::Relaxed),
            pages_different: delta.different.load(Ordering::Relaxed),
            files_deleted: files,
            folders_deleted: folders,
        }
    }
}

/// Where a tablespace is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoredTablespace {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Its directory.
    pub location: PathBuf,
}
