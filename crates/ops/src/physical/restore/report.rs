//! What a physical restore did.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

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
    /// Version of the server that the backup is of, such as `150018`.
    pub server_version: i32,
    /// Duration in seconds.
    pub seconds: f64,
    /// What else is to be known.
    pub notes: Vec<String>,
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
