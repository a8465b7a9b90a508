//! What to receive, and how.

use std::path::PathBuf;
use std::time::Duration;

use pgark_bytes::lsn::Lsn;
use pgark_pg::ConnInfo;

/// What to receive, and how.
pub struct Request {
    /// The server; of several hosts the first one that is as asked, each time again.
    pub conninfo: ConnInfo,
    /// The cluster's name; by default that of its backups.
    pub cluster: Option<String>,
    /// The replication slot.
    pub slot: String,
    /// Make it where it is not there.
    pub create_slot: bool,
    /// Go on without WAL that the server does not have any more.
    pub accept_gap: bool,
    /// The folder of the spool.
    pub spool: PathBuf,
    /// So many bytes wait in it; then nothing more is received until the repository gets on.
    pub spool_size: u64,
    /// What waits longer is put as a piece.
    pub flush_interval: Duration,
    /// Put what is there as soon as the last put is done.
    pub synchronous: bool,
    /// What is told to the server as flushed.
    pub ack: Ack,
    /// Raise the alarm when the repository is farther behind.
    pub max_lag: Option<MaxLag>,
    /// What the alarm runs; by default it ends the receiver.
    pub on_stall: Option<String>,
    /// End when this position is archived.
    pub endpos: Option<Lsn>,
    /// zstd level.
    pub compression_level: i32,
}

/// What is told to the server as flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// What the repository has.
    Repository,
    /// What is in the spool: it is lost with this host.
    Spool,
}

/// How far the repository may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxLag {
    /// Nothing could be archived for so long.
    Time(Duration),
    /// So many bytes wait.
    Bytes(u64),
}
