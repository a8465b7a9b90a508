//! `check`: is what the repository holds still what was put there?

use pgark_repo::{CheckLevel, CheckOptions, CheckProgress, Repository};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Job, OpsError};

pub use pgark_repo::{CheckLevel as Level, CheckOptions as Options};

/// The result of a check.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckReport {
    /// Whether no problem was found; with `--max-age` also whether every newest backup is young
    /// enough.
    pub ok: bool,
    /// How thoroughly it was checked: `structure`, `objects` or `data`.
    pub level: &'static str,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Damaged backups.
    pub hurt: Vec<AffectedBackup>,
    /// Backups that need packs made with a key that someone else may have had. These are not
    /// problems.
    pub suspect: Vec<SuspectBackup>,
    /// Backups whose time is ahead of the storage's clock. These are not problems.
    pub ahead: Vec<Ahead>,
    /// Number of objects checked.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Names of files and folders in the repository that do not belong to it; they do no harm.
    pub foreign: Vec<String>,
}

/// A backup that needs packs made with a key that someone else may have had.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SuspectBackup {
    /// Id of the backup.
    pub backup: String,
    /// Name of the writer whose key it was.
    pub writer: String,
    /// Since when someone else may have had the key: RFC 3339, UTC.
    pub since: String,
    /// Number of these packs that the backup needs.
    pub packs: u64,
}

/// A backup whose time is ahead of the storage's clock: the clock of its host was wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BackupAhead")]
pub struct Ahead {
    /// Id of the backup.
    pub backup: String,
    /// Time of the backup: RFC 3339, UTC.
    pub time: String,
    /// When it was stored, by the storage's clock: RFC 3339, UTC.
    pub stored: String,
}

/// A damaged backup.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AffectedBackup {
    /// Id of the backup.
    pub backup: String,
    /// Paths of the entries that cannot be read completely; everything else can be restored.
    pub lost: Vec<String>,
    /// Whether nothing of it can be restored: its manifest or its list of entries is lost.
    pub whole: bool,
}

/// What is lost of a backup, and what is not.
pub fn in_words(hurt: &AffectedBackup) -> String {
    if hurt.whole {
        return "nothing of it can be restored: its manifest or its list of entries is lost".into();
    }
    let shown: Vec<&str> = hurt.lost.iter().take(10).map(String::as_str).collect();
    let more = match hurt.lost.len() {
        0..=10 => String::new(),
        all => format!(" and {} more", all - 10),
    };
    format!("it has lost {}{more}; everything else can be restored", shown.join(", "))
}

/// A problem that the check found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// Name of the object in the repository.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Ids of the backups that need it.
    pub backups: Vec<String>,
}

/// Checks the repository to the given depth.
pub fn run(repository: &Repository, options: &CheckOptions, job: &Job) -> Result<CheckReport, OpsError> {
    job.progress.phase("checking");
    let told = std::sync::atomic::AtomicU64::new(0);
    let report = job.on(repository).check(options, &|progress: CheckProgress| {
        job.progress.total_bytes(progress.bytes_total);
        let before = told.fetch_max(progress.bytes, std::sync::atomic::Ordering::Relaxed);
        job.progress.advance(progress.bytes.saturating_sub(before));
    })?;
    Ok(CheckReport {
        ok: report.problems.is_empty(),
        level: match options.level {
            CheckLevel::Structure => "structure",
            CheckLevel::Objects => "objects",
            CheckLevel::Data => "data",
        },
        problems: report
            .problems
            .into_iter()
            .map(|problem| Problem {
                object: problem.object,
                what: problem.what,
                backups: problem.backups.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        hurt: report
            .hurt
            .into_iter()
            .map(|hurt| AffectedBackup {
                backup: hurt.backup.to_string(),
                lost: hurt.entries,
                whole: hurt.whole,
            })
            .collect(),
        suspect: report
            .suspect
            .into_iter()
            .map(|suspect| SuspectBackup {
                backup: suspect.backup.to_string(),
                writer: suspect.writer,
                since: suspect.since.to_string(),
                packs: suspect.packs,
            })
            .collect(),
        ahead: report
            .ahead
            .into_iter()
            .map(|(backup, time, stored)| Ahead {
                backup: backup.to_string(),
                time: time.to_string(),
                stored: stored.to_string(),
            })
            .collect(),
        objects: report.objects,
        bytes: report.bytes,
        foreign: report.foreign,
    })
}
