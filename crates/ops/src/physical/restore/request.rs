//! What a physical restore is asked for.

use std::path::PathBuf;

use crate::BackupName;

/// What to restore and where to.
pub struct Request {
    /// Which backup.
    pub backup: BackupName,
    /// The new data directory: absent or empty, except with `delta`.
    pub to: PathBuf,
    /// The directory may be that of a stopped server of this cluster, or what a restore left that
    /// was broken off: what differs is written, and what is not in the backup is deleted.
    pub delta: bool,
    /// With `delta`: it may also be that of another cluster.
    pub force: bool,
    /// Start the server of the restored directory; folders of programs.
    pub start: Option<Vec<PathBuf>>,
    /// Threads that write.
    pub jobs: usize,
    /// New directories of tablespaces, by OID or name.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// A folder in which each other tablespace gets a directory, called by its name.
    pub all_tablespaces: Option<PathBuf>,
    /// Pages of zeros stay holes.
    pub sparse: bool,
    /// Where `pg_wal` is to be; in the data directory if not said.
    pub wal_directory: Option<PathBuf>,
    /// Files of the configuration that were not in the data directory are put into it.
    pub with_config: bool,
    /// The restored server goes on to archive its WAL.
    pub keep_archiving: bool,
    /// Look and tell, and change nothing.
    pub dry_run: bool,
}
