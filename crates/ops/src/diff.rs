//! `diff`: what changed from one backup to another.
//!
//! What is compared depends on what the two hold: definitions and rows of databases
//! (`logical/diff.rs`), or the files and pages of a data directory (`physical/diff.rs`). `latest`
//! is the newest backup of the kind that the other one is of; where both are `latest`, of a logical
//! kind.

use pgark_repo::Repository;

use crate::advice::{Operation, Setting, advice};
use crate::facts::BackupKind;
use crate::select::{self, Wanted};
use crate::{BackupName, Job, OpsError, inspect, logical, physical};

pub use crate::logical::diff::{DiffReport, ObjectChange, TableChange, ValueChange};
pub use crate::physical::diff::{Change, DirectoryDiff, FileChange, FolderChange};

/// What changed, by what was compared.
#[derive(Debug)]
pub enum Difference {
    /// Two logical backups.
    Databases(DiffReport),
    /// Two physical backups.
    DataDirectory(DirectoryDiff),
}

/// Compares two backups, or one database of each.
pub fn run(
    repository: &Repository,
    a: &BackupName,
    b: &BackupName,
    database: Option<&str>,
    job: &Job,
) -> Result<Difference, OpsError> {
    let repository = &job.on(repository);
    job.progress.phase("comparing");
    if !are_physical(repository, a, b)? {
        return Ok(Difference::Databases(logical::diff::run(repository, a, b, database, job)?));
    }
    if database.is_some() {
        return Err(OpsError::Usage(advice![
            "a physical backup is compared as a whole: leave ",
            Setting::Database,
            " out"
        ]));
    }
    let a = inspect::open(repository, a, Wanted::Physical)?;
    let b = inspect::open(repository, b, Wanted::Physical)?;
    Ok(Difference::DataDirectory(physical::diff::compare(&a, &b, job)?))
}

/// Whether data directories are to be compared.
///
/// # Errors
/// Only one of the two backups holds one.
fn are_physical(repository: &Repository, a: &BackupName, b: &BackupName) -> Result<bool, OpsError> {
    let named: Vec<&BackupName> = [a, b].into_iter().filter(|name| !name.is_latest()).collect();
    if named.is_empty() {
        return Ok(false);
    }
    let heads = repository.backups()?;
    let mut kinds = Vec::new();
    for name in named {
        let head = select::choose(heads.clone(), name, Wanted::Any, &|text| repository.warn(text))
            .map_err(|error| select::or_set_aside(repository, name, error))?;
        kinds.push((BackupKind::of(&head), head.id));
    }
    let is_physical = |(kind, _): &(BackupKind, _)| *kind == BackupKind::Physical;
    if let [(own, a), (other, b)] = kinds.as_slice()
        && (*own == BackupKind::Physical) != (*other == BackupKind::Physical)
    {
        return Err(OpsError::refused(
            format!("backup {a} is {own}, backup {b} is {other}: there is nothing to compare"),
            advice!["compare two logical or two physical backups; ", Operation::List, " shows the kinds"],
        ));
    }
    Ok(kinds.iter().any(is_physical))
}
