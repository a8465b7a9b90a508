//! Which backup is restored, and how its server recovers: for a target, the newest backup that
//! ended before it.

use pgark_repo::{Backup, BackupHead, Repository};

use super::recovery::Recovery;
use super::request::{Recover, Request};
use crate::facts::About;
use crate::select::{self, Wanted};
use crate::wal::candidate::{self, Candidate};
use crate::wal::point;
use crate::{BackupName, Job, OpsError, inspect};

/// What a restore aims at.
pub(super) struct Aim<'r> {
    pub backup: Backup<'r>,
    pub recovery: Recovery,
}

/// Chooses.
///
/// # Errors
/// There is no such backup, or none leads to the target.
pub(super) fn choose<'r>(
    repository: &'r Repository,
    request: &Request,
    job: &Job,
) -> Result<Aim<'r>, OpsError> {
    let open = |name: &BackupName| inspect::open(repository, name, Wanted::Physical);
    match &request.recover {
        Recover::Immediate => Ok(Aim { backup: open(&request.backup)?, recovery: Recovery::Own }),
        Recover::Standby { fetch, primary_conninfo, slot } => {
            let backup = open(&request.backup)?;
            let has_wal = has_wal(repository, &backup.head)?;
            let recovery = Recovery::Standby {
                restore_command: has_wal.then(|| fetch.text(&backup.head.cluster, None, false)),
                primary_conninfo: primary_conninfo.clone(),
                slot: slot.clone(),
            };
            Ok(Aim { backup, recovery })
        }
        Recover::Point { wish, fetch } => {
            let named = select::find_backup(repository, &request.backup, Wanted::Physical)?;
            let candidates = candidates(repository, &request.backup, &named)?;
            let system = system(&named)?;
            let goal = point::find(repository, &named.cluster, system, candidates, wish, request.jobs, job)?;
            let backup = open(&request.backup.with_text(&goal.backup))?;
            let restore_command =
                fetch.text(&named.cluster, goal.last_segment.as_deref(), goal.needs_unfinished);
            Ok(Aim { backup, recovery: Recovery::Point { goal, restore_command } })
        }
    }
}

/// The system that a backup is of.
fn system(head: &BackupHead) -> Result<u64, OpsError> {
    let about = About::of(head)?;
    about
        .system_identifier
        .parse()
        .map_err(|_| OpsError::Record { backup: head.id.to_string(), what: "the system identifier".into() })
}

/// Whether WAL of a backup's system is archived.
fn has_wal(repository: &Repository, head: &BackupHead) -> Result<bool, OpsError> {
    Ok(repository.wal(&head.cluster, system(head)?)?.exists()?)
}

/// The backup that was named; where the newest is meant, all complete ones of the same system.
fn candidates(
    repository: &Repository,
    name: &BackupName,
    named: &BackupHead,
) -> Result<Vec<Candidate>, OpsError> {
    let own = Candidate::of(named).ok_or_else(|| OpsError::Record {
        backup: named.id.to_string(),
        what: "where its WAL begins and ends".into(),
    })?;
    if !name.is_latest() {
        return Ok(vec![own]);
    }
    let mut heads = repository.backups()?;
    heads.retain(|head| head.complete && !head.is_ahead() && head.cluster == named.cluster);
    Ok(candidate::of_system(&heads, &own.system_identifier))
}
