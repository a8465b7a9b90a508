//! `check`: is what the repository holds still what was put there?

use pgark_repo::{CheckLevel, CheckOptions, CheckProgress, Repository};
use serde::Serialize;

use crate::{Job, OpsError};

pub use pgark_repo::{CheckLevel as Level, CheckOptions as Options};

/// The result of a check, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// No problem was found.
    pub ok: bool,
    /// `structure`, `objects` or `data`.
    pub level: &'static str,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Backups with something missing.
    pub hurt: Vec<AffectedBackup>,
    /// Backups that need packs which were made with a key that someone else had. That is no known
    /// damage.
    pub suspect: Vec<SuspectBackup>,
    /// Backups whose time lies ahead of the storage's clock. That is no damage.
    pub ahead: Vec<Ahead>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files and folders of others that lie in the repository, and do no harm.
    pub foreign: Vec<String>,
}

/// A backup that needs packs which were made with a key that someone else had.
#[derive(Debug, Serialize)]
pub struct SuspectBackup {
    /// Its id.
    pub backup: String,
    /// The writer whose key it was.
    pub writer: String,
    /// Since when someone else may have had it.
    pub since: String,
    /// How many of these packs it needs.
    pub packs: u64,
}

/// A backup that was made while its host's clock was wrong.
#[derive(Debug, Serialize)]
pub struct Ahead {
    /// Its id.
    pub backup: String,
    /// Its time.
    pub time: String,
    /// When it was stored, by the storage's clock.
    pub stored: String,
}

/// A backup with something missing, and what can still be restored from it.
#[derive(Debug, Serialize)]
pub struct AffectedBackup {
    /// Its id.
    pub backup: String,
    /// Paths of what cannot be read whole.
    pub lost: Vec<String>,
    /// Nothing of it can be read: its manifest or its list of entries is lost.
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

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// The stored object.
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
