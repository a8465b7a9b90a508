//! What a physical restore did.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::Serialize;

use super::counts::{Deleted, Delta};
use super::recovery::Recovery;
use super::request::{Recover, Request};
use crate::lock::lock;
use crate::physical::start::StartedServer;
use crate::wal::point::Target;

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
    /// How its server recovers.
    pub recovery: RecoveryReport,
    /// The server that was started (`--start`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<StartedServer>,
    /// Duration in seconds.
    pub seconds: f64,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// How a restored server recovers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Recovery")]
pub struct RecoveryReport {
    /// `immediate` (to the end of the backup), `latest`, `time`, `lsn`, `xid`, `name` or `standby`.
    pub target: &'static str,
    /// The time, LSN, transaction or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether the target itself is left out.
    pub exclusive: bool,
    /// The timeline that it recovers along. Null: that of the backup, or on a standby the latest.
    pub timeline: Option<u32>,
    /// The archived WAL that it needs, from the end of the backup on, is there and without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal: Option<ProvedWal>,
    /// WAL position of the target, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
    /// Time of the target, where it is known: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What the server does at the target: `pause`, `promote` or `shutdown`. Null: a standby has no
    /// target.
    pub action: Option<&'static str>,
    /// What the server itself says of where it ended (`--start`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<Reached>,
}

/// Archived WAL that was proved to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProvedWal {
    /// Where the backup ends.
    pub from_lsn: String,
    /// Where the records end that were proved.
    pub to_lsn: String,
    /// Number of archived segments.
    pub segments: u64,
}

/// Where a recovery ended: what the history of the server's new timeline says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reached {
    /// WAL position where the new timeline begins.
    pub lsn: String,
    /// The new timeline.
    pub timeline: u32,
    /// Why it ended there, in the words of the server.
    pub reason: String,
}

impl RecoveryReport {
    pub(super) fn of(recovery: &Recovery, request: &Request) -> RecoveryReport {
        let mut report = RecoveryReport {
            target: "immediate",
            value: None,
            exclusive: false,
            timeline: None,
            wal: None,
            lsn: None,
            time: None,
            action: Some(request.action.name()),
            reached: None,
        };
        match recovery {
            Recovery::Own => {}
            Recovery::Standby { .. } => {
                report.target = "standby";
                report.action = None;
            }
            Recovery::Point { goal, .. } => {
                if let Recover::Point { wish, .. } = &request.recover {
                    (report.target, report.value) = named(&wish.target);
                    report.exclusive = wish.exclusive;
                }
                report.timeline = goal.timeline;
                report.wal = Some(ProvedWal {
                    from_lsn: goal.from.to_string(),
                    to_lsn: goal.to.to_string(),
                    segments: goal.segments,
                });
                report.lsn = goal.lsn.map(|lsn| lsn.to_string());
                report.time = goal.time.map(|time| time.to_string());
            }
        }
        report
    }
}

/// A target as the command line and JSON call it, and its value.
fn named(target: &Target) -> (&'static str, Option<String>) {
    match target {
        Target::Latest => ("latest", None),
        Target::Time(time) => ("time", Some(time.to_string())),
        Target::Lsn(lsn) => ("lsn", Some(lsn.to_string())),
        Target::Transaction(xid) => ("xid", Some(xid.to_string())),
        Target::Name(name) => ("name", Some(name.clone())),
    }
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
