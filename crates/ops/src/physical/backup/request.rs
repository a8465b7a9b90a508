//! What a physical backup is asked for.

use std::path::PathBuf;

use pgark_pg::ConnInfo;

use crate::OpsError;
use crate::cluster::Beside;

/// What to back up and how.
pub struct Request {
    /// The server.
    pub conninfo: ConnInfo,
    /// Connect to this database, and to no other.
    pub maintenance_db: Option<String>,
    /// Where the files come from; None: from the data directory where that is possible, else over
    /// the wire.
    pub source: Option<Source>,
    /// The data directory on this host, where it is not the one that the server says.
    pub pgdata: Option<PathBuf>,
    /// How the server begins.
    pub checkpoint: Checkpoint,
    /// What the backup is called in `backup_label`.
    pub label: String,
    /// Threads that read files, and that compress.
    pub jobs: usize,
    /// The cluster's name; by default the one that its earlier backups have.
    pub cluster: Option<String>,
    /// zstd level.
    pub compression_level: i32,
    /// Store everything again, whatever the repository holds already.
    pub full: bool,
    /// Bytes that are read or sent in a second at most, by all threads together.
    pub rate: Option<u64>,
    /// What is done while another backup of the cluster is being made.
    pub beside: Beside,
}

impl Request {
    /// It is a line of `backup_label`, in the encoding of whatever database the session is in.
    pub(super) fn refuse_label(&self) -> Result<(), OpsError> {
        if self.label.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && self.label.len() <= 1000
        {
            return Ok(());
        }
        Err(OpsError::Usage("the label may have up to 1000 printable ASCII characters".into()))
    }
}

/// Where the files of a backup come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The data directory, which is on this host.
    Files,
    /// The server, over a replication connection.
    Wire,
}

/// The checkpoint that a backup begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// At once.
    Fast,
    /// Spread over time, as the server's own checkpoints are.
    Spread,
}
