//! One backup at a time for each cluster.
//!
//! **Why.** Two backups of one cluster at once lose nothing: the repository takes any number of
//! writers. But both read the whole server, and each stores what the other is storing. That happens
//! to a nightly backup which still runs when the next one starts, and it should be told.
//!
//! **How.** By the sessions of writers in the repository. A backup says in its session that it is
//! to be alone, and for which cluster; once that is put it lists the others, and the later one
//! gives way (`pgark_repo`, `sessions.rs`). All hosts see it, whatever databases are chosen,
//! through whatever pooler. An advisory lock in the server would end by itself with its connection,
//! but it holds in one database only, not on a primary and its standby, and not through a pooler
//! that changes servers.
//!
//! **Leftovers.** A backup that was killed leaves its session behind. It is not waited for where
//! its host sees that the process is gone, where it was not renewed for fifteen minutes, or where
//! an operator ends it. Being wrong about that costs a second reader at once, and no data.
//!
//! **Limits.** A second repository of a backup is not asked. Backups of one server under two names,
//! or into two repositories, know nothing of each other.

use std::time::{Duration, Instant};

use pgark_repo::{RepoError, Repository};

use crate::{Job, OpsError};

/// What a backup does while another one of the same cluster is being made, of whatever databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// It fails at once.
    Refuse,
    /// It waits until the other one has ended, at most for so long.
    Wait(Option<Duration>),
    /// Both run at the same time.
    Run,
}

/// How long to wait before the first look whether the other has ended; each next wait is twice as
/// long, up to the longest.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// Runs `attempt`, and again once the other backup that it met has ended, if the request waits.
/// Nothing is kept open meanwhile, in the server least of all.
pub(crate) fn wait_for<T>(
    repository: &Repository,
    beside: Beside,
    job: &Job,
    mut attempt: impl FnMut() -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let started = Instant::now();
    loop {
        let error = match attempt() {
            Err(OpsError::Repository(error)) if error.waits_for_another().is_some() => error,
            other => return other,
        };
        let Beside::Wait(at_most) = beside else { return Err(error.into()) };
        job.progress.phase("waiting for the other backup");
        job.progress.info(&format!("{error}: this one waits until it has ended"));
        if let Some(still) = until_ended(repository, error, at_most.map(|at_most| (started, at_most)), job)? {
            return Err(still.into());
        }
    }
}

/// Waits until no backup is in the way. Returns the refusal if the time is over before that.
fn until_ended(
    repository: &Repository,
    mut error: RepoError,
    limit: Option<(Instant, Duration)>,
    job: &Job,
) -> Result<Option<RepoError>, OpsError> {
    let mut pause = FIRST;
    while let Some(cluster) = error.waits_for_another() {
        let left = limit.map(|(started, at_most)| at_most.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(Some(error));
        }
        let nap = left.map_or(pause, |left| left.min(pause));
        job.cancel.sleep(nap).map_err(|_| OpsError::Cancelled)?;
        pause = (pause * 2).min(LONGEST);
        match repository.refusal_of_another_backup(cluster)? {
            Some(still) => error = still,
            None => return Ok(None),
        }
    }
    Ok(Some(error))
}

/// The first look, before anything is done that the other would notice: a standby's replay is
/// paused before the session is put. And a key that may not delete would leave a session behind
/// with every refusal, and then wait for its own.
pub(crate) fn refuse_early(repository: &Repository, beside: Beside, cluster: &str) -> Result<(), OpsError> {
    match beside {
        Beside::Run => Ok(()),
        Beside::Refuse | Beside::Wait(_) => match repository.refusal_of_another_backup(cluster)? {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        },
    }
}
