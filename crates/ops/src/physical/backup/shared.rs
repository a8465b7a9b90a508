//! What the two ways of copying a data directory share: what they are given, what comes of them,
//! and which folders must be there.

use pgark_bytes::lsn::Lsn;
use pgark_pg::Connection;
use pgark_repo::BackupWriter;

use super::copied::Copied;
use super::earlier::Earlier;
use super::request::Request;
use super::survey::Survey;
use super::wal::Ends;
use crate::Job;
use crate::watch::Watch;

/// What the steps of the copy share.
pub(super) struct Shared<'a> {
    pub request: &'a Request,
    pub job: &'a Job,
    pub watch: &'a Watch,
    pub writer: &'a BackupWriter<'a>,
    pub survey: &'a Survey,
    pub earlier: &'a Earlier,
    pub ends: &'a Ends,
}

/// What came of the copy.
pub(super) struct Copy {
    pub start: Lsn,
    /// Recovery is consistent from here on.
    pub stop: Lsn,
    /// `backup_label`, byte for byte.
    pub label: Vec<u8>,
    pub copied: Copied,
    pub folders: u64,
    /// A replication connection that is open since before the copy, if there is one.
    pub replication: Option<Connection>,
}

impl Shared<'_> {
    /// Whether going on is useless.
    pub(super) fn is_stopped(&self) -> bool {
        self.job.cancel.is_cancelled() || self.ends.has_failed()
    }
}

/// Folders without which a server does not start, or loses what was committed.
pub(super) const NEEDED: [&[u8]; 7] =
    [b"base", b"global", b"pg_xact", b"pg_multixact", b"pg_twophase", b"pg_logical", b"pg_commit_ts"];

/// Whether this is such a folder, or in one.
pub(super) fn is_needed(path: &[u8]) -> bool {
    NEEDED.contains(&path.split(|byte| *byte == b'/').next().unwrap_or_default())
}

/// What is done about links that no backup follows.
pub(super) const MOVE_BACK: &str =
    "PostgreSQL supports links for tablespaces and pg_wal only: move it back, or use a tablespace";
