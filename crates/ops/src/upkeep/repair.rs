//! Repair: a rebuilt index, and backups without what they lost.

use std::collections::BTreeSet;

use pgark_repo::{
    Backup, BackupId, BackupWriter, CheckLevel, CheckOptions, NewBackup, Repository, WriteOptions,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::check;
use crate::facts::{About, Missing, Note};
use crate::{Job, OpsError};

/// Reads every pack's directory and replaces the index.
pub fn index(repository: &Repository, job: &Job) -> Result<RepairedIndex, OpsError> {
    job.progress.phase("reading the directories of all packs");
    let report = job.on(repository).repair_index(&|_, _| {})?;
    Ok(RepairedIndex {
        packs: report.packs,
        chunks: report.chunks,
        replaced: report.replaced,
        unreadable: report.unreadable,
        lost: named(report.lost),
    })
}

/// What a repair of the index did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RepairedIndex {
    /// Number of packs whose directories were read.
    pub packs: u64,
    /// Number of chunks in them.
    pub chunks: u64,
    /// Number of index objects that were replaced.
    pub replaced: u64,
    /// Number of these that could not be read.
    pub unreadable: u64,
    /// Packs whose directory cannot be read.
    pub lost: Vec<Named>,
}

/// An object of the repository, and what is wrong with it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "NamedObject")]
pub struct Named {
    /// Name of the object, or id of a backup.
    pub object: String,
    /// What is wrong with it, or why it does not belong to any backup.
    pub what: String,
}

fn named(list: Vec<(String, String)>) -> Vec<Named> {
    list.into_iter().map(|(object, what)| Named { object, what }).collect()
}

/// What a repair of second copies did, or would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RepairedObjects {
    /// Names of copies that were missing or damaged, and were written again from the other copy.
    pub put: Vec<String>,
    /// Objects that do not belong to any backup or key, and were removed.
    pub removed: Vec<Named>,
    /// Objects that cannot be read and may be needed; they were left alone.
    pub left: Vec<Named>,
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
}

/// Puts copies of objects that are missing or damaged from their twins, and removes what is
/// provably nobody's.
pub fn objects(repository: &Repository, dry_run: bool, job: &Job) -> Result<RepairedObjects, OpsError> {
    job.progress.phase("comparing the copies of manifests, tags and keys");
    let report = job.on(repository).mend(dry_run)?;
    Ok(RepairedObjects { put: report.put, removed: named(report.removed), left: named(report.left), dry_run })
}

/// A damaged backup, and the one that replaced it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RepairedBackup")]
pub struct Repaired {
    /// Id of the damaged backup.
    pub backup: String,
    /// Id of the incomplete backup that replaced it; null in a dry run, and if nothing of it can be
    /// read (it was left alone then).
    pub now: Option<String>,
    /// Paths of the entries that are lost. Empty: nothing of it can be read.
    pub lost: Vec<String>,
}

/// Replaces each backup with something missing by one without it: incomplete, of the same time,
/// naming what is lost. Everything is checked to `level` first; nothing that can be read is lost.
/// With `dry_run` nothing is changed.
pub fn backups(
    repository: &Repository,
    level: CheckLevel,
    dry_run: bool,
    job: &Job,
) -> Result<Vec<Repaired>, OpsError> {
    let repository = &job.on(repository);
    let report = check::run(repository, &CheckOptions::all(level), job)?;
    let mut repaired: Vec<Repaired> = Vec::new();
    for hurt in report.hurt {
        job.cancel.check().map_err(|_| interrupted(&repaired))?;
        let id: BackupId = hurt
            .backup
            .parse()
            .map_err(|_| OpsError::Record { backup: hurt.backup.clone(), what: "the id".into() })?;
        let now =
            match hurt.whole || dry_run {
                true => None,
                false => Some(one(repository, id, &hurt.lost, job).map_err(|error| {
                    if job.cancel.is_cancelled() { interrupted(&repaired) } else { error }
                })?),
            };
        repaired.push(Repaired { backup: hurt.backup, now, lost: hurt.lost });
    }
    Ok(repaired)
}

/// What a repair that was stopped has done.
fn interrupted(repaired: &[Repaired]) -> OpsError {
    let pairs: Vec<String> = repaired
        .iter()
        .filter_map(|repaired| Some(format!("{} by {}", repaired.backup, repaired.now.as_ref()?)))
        .collect();
    let done = if pairs.is_empty() { String::new() } else { format!("replaced: {}; ", pairs.join(", ")) };
    OpsError::Interrupted {
        left: format!(
            "{done}the backup in work may exist together with the one that replaces it; run the same command again"
        ),
    }
}

/// Why something is missing from a backup that takes the place of a damaged one.
const DAMAGED: &str = "damaged in the repository";

fn one(repository: &Repository, id: BackupId, lost: &[String], job: &Job) -> Result<String, OpsError> {
    job.progress.phase(&format!("writing backup {id} without what is lost"));
    let backup = repository.open_backup(id)?;
    let tags = repository.tags()?.get(&id).cloned().unwrap_or_default();
    let mut about = About::of(&backup.head)?;
    for path in lost {
        let entry =
            backup.entry(path).or_else(|error| if error.is_of_object() { Ok(None) } else { Err(error) })?;
        about.missing.push(match entry.map(|entry| Note::of(&backup, &entry)).transpose()? {
            Some(Note::Table { database, schema, name, .. }) => {
                Missing::rows(&database, &schema, &name, DAMAGED)
            }
            Some(Note::LargeObjects { database, .. }) => Missing::large_objects(&database, None, DAMAGED),
            Some(Note::Toc { database, .. } | Note::Definition { database } | Note::Catalog { database }) => {
                Missing::entry(path, Some(&database), DAMAGED)
            }
            _ => Missing::entry(path, None, DAMAGED),
        });
    }
    about.warnings.push(format!("repaired: {} entries of backup {id} are lost", lost.len()));
    let lost: BTreeSet<&String> = lost.iter().collect();
    let options = WriteOptions {
        cluster: backup.head.cluster.clone(),
        jobs: 1,
        compression_level: 1,
        full: false,
        purpose: "repair",
        alone: false,
        domain: about.domain(&backup.head)?,
    };
    let (made, ()) = repository.write_backup(&options, |writer| {
        keep_but(&backup, &lost, writer)?;
        about.bytes_raw = writer.bytes_raw();
        let new = NewBackup {
            kind: backup.head.kind.clone(),
            complete: false,
            about: about.over(&backup.head),
            time: Some(backup.head.time),
        };
        Ok::<_, OpsError>((new, ()))
    })?;
    if !tags.is_empty() {
        repository.change_tags(made.id, |own| own.extend(tags.iter().cloned()))?;
    }
    repository.forget(id)?;
    Ok(made.id.to_string())
}

/// Keeps all entries of a backup that are not lost.
fn keep_but(
    backup: &Backup<'_>,
    lost: &BTreeSet<&String>,
    writer: &BackupWriter<'_>,
) -> Result<(), OpsError> {
    let (mut kept, mut unread) = (0, None);
    for entry in backup.entries_and_their_additions()? {
        match entry {
            Ok((entry, _)) if lost.contains(&entry.path) => {}
            Ok((entry, addition)) => {
                writer.keep_entry(&entry, addition.as_ref())?;
                kept += 1;
            }
            // What its parts are is lost: it is among those that are.
            Err(error) if error.is_of_object() => unread = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match unread {
        Some(error) if kept + lost.len() as u64 != backup.head.entries => Err(error.into()),
        _ => Ok(()),
    }
}
