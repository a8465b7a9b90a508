//! `nightly`: a backup, the same in a second repository, and the retention behind it.
//!
//! **Order.** The backup first, into both repositories at once; then, and only if it is complete,
//! what the policy does not keep is forgotten.
//!
//! **Failure.** Nothing that goes wrong behind the backup takes anything from it: a second
//! repository that cannot be opened or written, and a retention that fails or is interrupted, are
//! in the report, with their errors.

use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::with_causes;
use crate::facts::BackupStatus;
use crate::logical::backup;
use crate::physical;
use crate::record::BackupOutcome;
use crate::traffic::Requests;
use crate::upkeep::retention::{self, Decision, Policy, WhatToForget};
use crate::{Job, OpsError};

/// What is done.
pub struct Nightly<'a> {
    /// The backup.
    pub backup: What<'a>,
    /// The second repository.
    pub second: Option<Second<'a>>,
    /// What stays of the cluster's backups; none: nothing is forgotten.
    pub keep: Option<Policy>,
}

/// What is backed up.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// Databases, as SQL shows them.
    Databases(&'a backup::Request),
    /// The data directory. There is no second repository.
    DataDirectory(&'a physical::backup::Request),
}

/// A second repository.
pub struct Second<'a> {
    /// Where it is, for people.
    pub location: String,
    /// The repository, or why it could not be opened: the first does not wait for it.
    pub repository: Result<&'a Repository, String>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BackupReport")]
pub struct Report {
    /// The backup in the first repository.
    #[serde(flatten)]
    pub backup: BackupOutcome,
    /// Requests to the repository's storage. Absent if there is no network in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
    /// The backup in the second repository. Only with `--also`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<SecondBackup>,
    /// What the retention policy did. Only with `--forget-after-backup`, and only after a complete
    /// backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// The backup in the second repository.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SecondBackup {
    /// URL or name of the second repository, as it was given.
    pub repository: String,
    /// Id of the backup there; null if there is none.
    pub id: Option<String>,
    /// Why there is no backup there; null if there is one.
    pub error: Option<String>,
    /// The error itself; none where the repository could not be opened.
    #[serde(skip)]
    pub failure: Option<OpsError>,
}

/// What the retention policy did after the backup.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Retention {
    /// A decision for each backup that the policy applies to.
    pub decisions: Vec<Decision>,
    /// The error, if one occurred; some of the backups that the policy does not keep may be
    /// forgotten already. Null: no error.
    pub error: Option<String>,
    /// The error itself.
    #[serde(skip)]
    pub failure: Option<OpsError>,
}

impl Report {
    /// Whether all that was asked for is there, and nothing of it was damaged on the server.
    pub fn is_complete(&self) -> bool {
        self.backup.record.status == BackupStatus::Complete
            && self.backup.is_sound()
            && self.second.as_ref().is_none_or(|second| second.id.is_some())
    }
}

/// Does it. An error means that there is no backup in the first repository.
pub fn run(repository: &Repository, nightly: &Nightly<'_>, job: &Job) -> Result<Report, OpsError> {
    let open = nightly.second.as_ref().and_then(|second| second.repository.as_ref().ok()).copied();
    let (backup, stored) = match nightly.backup {
        What::Databases(request) => backup::run_with_second(repository, open, request, job)?,
        What::DataDirectory(request) => (physical::backup::run(repository, request, job)?, None),
    };
    let second = nightly.second.as_ref().map(|second| in_second(second, stored));
    let retention = match &nightly.keep {
        Some(policy) if backup.record.status == BackupStatus::Complete && backup.is_sound() => {
            Some(retain(repository, policy, &backup, job))
        }
        _ => None,
    };
    Ok(Report { backup, requests: Requests::of(repository), second, retention })
}

fn in_second(second: &Second<'_>, stored: Option<backup::Second>) -> SecondBackup {
    let repository = second.location.clone();
    match (&second.repository, stored) {
        (Err(why), _) => SecondBackup { repository, id: None, error: Some(why.clone()), failure: None },
        (Ok(_), Some(Ok(id))) => SecondBackup { repository, id: Some(id), error: None, failure: None },
        (Ok(_), Some(Err(failure))) => {
            SecondBackup { repository, id: None, error: Some(with_causes(&failure)), failure: Some(failure) }
        }
        (Ok(_), None) => SecondBackup { repository, id: None, error: None, failure: None },
    }
}

fn retain(repository: &Repository, policy: &Policy, backup: &BackupOutcome, job: &Job) -> Retention {
    let record = &backup.record;
    let choice = WhatToForget::Policy { policy: policy.clone(), cluster: Some(record.cluster.clone()) };
    match retention::forget(repository, &choice, false, job) {
        Ok(decisions) => Retention { decisions, error: None, failure: None },
        Err(error) => {
            let failure = behind(&record.id, error);
            Retention { decisions: Vec::new(), error: Some(with_causes(&failure)), failure: Some(failure) }
        }
    }
}

/// An interrupt after the commit takes nothing from the backup.
fn behind(id: &str, error: OpsError) -> OpsError {
    match error.is_cancelled() {
        true => OpsError::Interrupted {
            left: format!(
                "backup {id} is committed; some of the backups that no rule keeps may already be removed, and the next \
                 backup removes the rest"
            ),
        },
        false => error,
    }
}
