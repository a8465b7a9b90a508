//! What a physical restore is asked for.

use std::path::PathBuf;

use crate::BackupName;
use crate::wal::point::Wish;

/// What to restore and where to.
pub struct Request {
    /// Which backup. Where the newest is meant and there is a target, the newest that ended before
    /// it.
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
    /// How far it recovers.
    pub recover: Recover,
    /// What it does then.
    pub action: TargetAction,
    /// Look and tell, and change nothing.
    pub dry_run: bool,
}

/// How far a restored server recovers.
#[derive(Clone, Debug)]
pub enum Recover {
    /// To the end of the backup.
    Immediate,
    /// To a target, with archived WAL.
    Point {
        /// The target.
        wish: Wish,
        /// How it gets the WAL.
        fetch: FetchCommand,
    },
    /// As a standby, without end.
    Standby {
        /// How it gets archived WAL, if there is any.
        fetch: FetchCommand,
        /// How it connects to its primary.
        primary_conninfo: Option<String>,
        /// The slot there.
        slot: Option<String>,
    },
}

/// A `restore_command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchCommand {
    /// As it is.
    Given(String),
    /// This program's.
    Own {
        /// The program, by its whole path.
        program: String,
        /// What says where the repository is and what opens it.
        options: Vec<String>,
        /// The word behind which the cluster is named.
        cluster: &'static str,
        /// The word behind which the last segment is named that is needed.
        up_to: &'static str,
        /// The option that gives what there is of a segment that is not whole.
        with_partial: &'static str,
    },
}

/// What a server does at its target (`recovery_target_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetAction {
    /// It can be read, and goes on when `pg_wal_replay_resume()` is called.
    Pause,
    /// It begins a new timeline, and accepts writes.
    Promote,
    /// It ends.
    Shutdown,
}

impl TargetAction {
    /// As the server calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            TargetAction::Pause => "pause",
            TargetAction::Promote => "promote",
            TargetAction::Shutdown => "shutdown",
        }
    }
}
