//! What commands print with `--json`.
//!
//! Nothing else is printed as JSON: [`crate::output::json`] takes a [`Document`], and docs/json.md
//! and docs/json.schema.json are made from this type (`page`). A command that prints something new
//! needs a variant here, and each field a comment that says what it means to a reader.

mod failed;
mod format;
#[cfg(test)]
mod page;

use pgark_ops::backup::Plan;
use pgark_ops::check::CheckReport;
use pgark_ops::diff::{DiffReport, DirectoryDiff};
use pgark_ops::export::ExportReport;
use pgark_ops::freshness::Freshness;
use pgark_ops::inspect::EntryLine;
use pgark_ops::keys::{KeyList, Revoked};
use pgark_ops::operate::{nightly, tidy};
use pgark_ops::prune::{Pruned, Stats};
use pgark_ops::repair::{Repaired, RepairedIndex, RepairedObjects};
use pgark_ops::repository::{InitReport, TrustReport};
use pgark_ops::restore::RestoreReport;
use pgark_ops::retention::Tagged;
use pgark_ops::sessions::Session;
use pgark_ops::storage::StorageReport;
use pgark_ops::{BackupDetail, BackupRecord, WithRequests, copy, masking, physical, wal};
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Effective;
use format::FORMAT;

pub use failed::{Failed, FailureKind};

/// What one command prints. The title of a variant is the command.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Document<'a> {
    /// The new repository.
    #[schemars(title = "init")]
    Init(&'a InitReport),
    /// The backup, and what it added for each table.
    #[schemars(title = "backup")]
    Backup(&'a nightly::Report),
    /// What a backup would read, and what the last one like it added.
    #[schemars(title = "backup --dry-run")]
    BackupPlan(&'a Plan),
    /// What a physical backup would read.
    #[schemars(title = "backup --physical --dry-run")]
    DirectoryBackupPlan(&'a physical::backup::Plan),
    /// What WAL is archived of a cluster.
    #[schemars(title = "wal list")]
    WalList(&'a wal::check::Report),
    /// Whether WAL is missing or damaged.
    #[schemars(title = "wal check")]
    WalCheck(&'a wal::check::Report),
    /// The system whose WAL a cluster has from now on.
    #[schemars(title = "wal adopt")]
    WalAdopted(&'a wal::adopt::Report),
    /// The restore point that was made.
    #[schemars(title = "restore-point")]
    RestorePoint(&'a wal::restore_point::Report),
    /// The moments that can be recovered.
    #[schemars(title = "list --times")]
    RecoverableTimes(&'a wal::times::Report),
    /// What was restored, or would be (`--dry-run`).
    #[schemars(title = "restore")]
    Restore(&'a WithRequests<'a, RestoreReport>),
    /// The data directory that was restored, or would be (`--dry-run`).
    #[schemars(title = "restore --to-dir")]
    RestoreDirectory(&'a WithRequests<'a, physical::restore::RestoreReport>),
    /// What was exported.
    #[schemars(title = "export")]
    Export(&'a ExportReport),
    /// The backup that was made of the dump.
    #[schemars(title = "import")]
    Import(&'a BackupRecord),
    /// The backups, oldest first.
    #[schemars(title = "list")]
    List {
        /// Each backup, oldest first.
        backups: &'a [BackupRecord],
    },
    /// One backup with its databases and tables.
    #[schemars(title = "show")]
    Show(&'a BackupDetail),
    /// What changed from the first backup to the second.
    #[schemars(title = "diff")]
    Diff(&'a DiffReport),
    /// What changed in the data directory from the first physical backup to the second.
    #[schemars(title = "diff of physical backups")]
    DiffDirectory(&'a DirectoryDiff),
    /// The entries of a backup.
    #[schemars(title = "ls")]
    Ls {
        /// Each entry, in the order of their paths.
        entries: &'a [EntryLine],
    },
    /// The result of the check. The exit code is 1 if there are problems, and 3 if there are none,
    /// but a backup is too old.
    #[schemars(title = "check")]
    Check {
        #[serde(flatten)]
        report: &'a CheckReport,
        /// How old the newest backups are. Absent: `--max-age` was not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        freshness: Option<&'a Freshness>,
    },
    /// How old the newest backups are, if `check` is given `--max-age` and none of `--level`,
    /// `--read-data` and `--since`. The exit code is 3 if one is too old.
    #[schemars(title = "check --max-age")]
    CheckAge {
        /// Whether every newest backup is young enough.
        ok: bool,
        /// How old they are.
        freshness: &'a Freshness,
    },
    /// Which backups were forgotten, or would be (`--dry-run`).
    #[schemars(title = "forget")]
    Forget(&'a tidy::Report),
    /// What was deleted, or would be (`--dry-run`).
    #[schemars(title = "prune")]
    Prune(&'a Pruned),
    /// Which backups were copied.
    #[schemars(title = "copy")]
    Copy(&'a copy::Report),
    /// The new index.
    #[schemars(title = "repair index")]
    RepairIndex(&'a RepairedIndex),
    /// Which damaged backups were replaced, or would be (`--dry-run`).
    #[schemars(title = "repair backups")]
    RepairBackups {
        /// Each damaged backup.
        backups: &'a [Repaired],
        /// Whether this was a dry run, which changes nothing.
        dry_run: bool,
    },
    /// Which objects were repaired or removed, or would be (`--dry-run`).
    #[schemars(title = "repair objects")]
    RepairObjects(&'a RepairedObjects),
    /// The commands that are writing into the repository.
    #[schemars(title = "sessions")]
    Sessions {
        /// Each session, the oldest first.
        sessions: &'a [Session],
    },
    /// The session that was ended, as it was before.
    #[schemars(title = "sessions --end")]
    SessionEnded(&'a Session),
    /// The key slots and writers.
    #[schemars(title = "key list")]
    KeyList(&'a KeyList),
    /// The new key slots.
    #[schemars(title = "key add")]
    KeyAdd {
        /// Id of each new slot: 16 hex digits.
        slots: &'a [String],
    },
    /// The removed key slot.
    #[schemars(title = "key remove")]
    KeyRemove {
        /// Id of the slot: 16 hex digits.
        slot: &'a str,
    },
    /// The new keys.
    #[schemars(title = "key rotate")]
    KeyRotate {
        /// Number of the new epoch.
        epoch: u32,
    },
    /// The new writer.
    #[schemars(title = "key writer")]
    KeyWriter {
        /// Name of the writer.
        name: &'a str,
        /// File that the key was written to.
        file: String,
    },
    /// The revoked writer.
    #[schemars(title = "key revoke")]
    KeyRevoke {
        /// Name of the writer, or the beginning of its key, as it was given.
        name: &'a str,
        /// What was revoked with it; null without `--compromised-since`.
        compromised: Option<&'a Revoked>,
    },
    /// The repository that this host now expects.
    #[schemars(title = "trust")]
    Trust(&'a TrustReport),
    /// The tags after the command.
    #[schemars(title = "tag")]
    Tag {
        /// Each backup that was named.
        backups: &'a [Tagged],
    },
    /// The size of the repository, and how it grows.
    #[schemars(title = "stats")]
    Stats(&'a Stats),
    /// What was found. The exit code is 1 if there are errors, and 3 with `--strict` if there are
    /// warnings that nobody accepted.
    #[schemars(title = "mask check")]
    MaskCheck(&'a masking::check::CheckReport),
    /// Rows as they are and as they would be.
    #[schemars(title = "mask preview")]
    MaskPreview(&'a masking::preview::Preview),
    /// A value and its fiction.
    #[schemars(title = "mask value")]
    MaskValue(&'a masking::value::ValueReport),
    /// The results of the tests. The exit code is 1 if one failed.
    #[schemars(title = "mask test")]
    MaskTest(&'a masking::test::TestReport),
    /// The transformers.
    #[schemars(title = "mask list")]
    MaskList {
        /// Each transformer, by family.
        transformers: &'a [masking::transformers::TransformerReport],
    },
    /// One transformer.
    #[schemars(title = "mask show")]
    MaskShow(&'a masking::transformers::TransformerReport),
    /// The results of the tests. The exit code is 3 if the storage is fit with limits, and 1 if it
    /// is unfit.
    #[schemars(title = "storage test")]
    StorageTest(&'a StorageReport),
    /// The values that a command would run with.
    #[schemars(title = "config show")]
    ConfigShow {
        /// Each option, in the order of the command's help.
        values: &'a [Effective],
    },
    /// The configuration file. A file with problems is an error of the kind `usage`.
    #[schemars(title = "config check")]
    ConfigCheck {
        /// The file; null: there is none.
        file: Option<String>,
        /// Where a file was looked for; empty if there is one.
        searched: &'a [String],
        /// Number of repositories in the file.
        repositories: usize,
        /// Number of clusters in the file.
        clusters: usize,
    },
}

/// A document with the number of its format.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Printed<'a> {
    /// The format of the document.
    format: u32,
    #[serde(flatten)]
    document: &'a Document<'a>,
}

impl<'a> Printed<'a> {
    /// In the current format.
    pub fn of(document: &'a Document<'a>) -> Printed<'a> {
        Printed { format: FORMAT, document }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_comes_first() {
        let text = serde_json::to_string(&Printed::of(&Document::List { backups: &[] })).unwrap();
        assert_eq!(text, r#"{"format":1,"backups":[]}"#);
    }
}
