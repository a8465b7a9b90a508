//! `check`: is what the repository holds still what was put there?

use pgark_repo::{CheckLevel, CheckProgress, Repository};
use serde::Serialize;

use crate::{Job, OpsError};

pub use pgark_repo::CheckLevel as Level;

/// The result of a check, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// No problem was found.
    pub ok: bool,
    /// `structure`, `objects` or `data`.
    pub level: &'static str,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
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
pub fn run(repository: &Repository, level: CheckLevel, job: &Job) -> Result<CheckReport, OpsError> {
    job.progress.phase("check");
    let told = std::sync::atomic::AtomicU64::new(0);
    let report = repository.check(level, &job.cancel, &|progress: CheckProgress| {
        job.progress.total_bytes(progress.bytes_total);
        let before = told.fetch_max(progress.bytes, std::sync::atomic::Ordering::Relaxed);
        job.progress.advance(progress.bytes.saturating_sub(before));
    })?;
    Ok(CheckReport {
        ok: report.problems.is_empty(),
        level: match level {
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
        objects: report.objects,
        bytes: report.bytes,
    })
}
