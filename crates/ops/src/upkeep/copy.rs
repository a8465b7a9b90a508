//! Copies of backups in another repository: read, verified, and stored under its keys.
//!
//! A copy has an id of its own; its facts name repository and id of the original, so that it is copied once. What a
//! copy that was broken off has stored serves the next one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use pgark_repo::{
    Backup, BackupHead, BackupTags, BackupWriter, Cut, DataReader, Entry, NewBackup, NewEntry, PartSummary,
    Repository, WriteOptions,
};
use serde::Serialize;

use crate::error::with_causes;
use crate::record::{About, Copied, Note, seconds};
use crate::select::{BackupName, Wanted, find_backup};
use crate::{Job, OpsError};

/// What to copy.
pub struct Request {
    /// These only; empty: all.
    pub backups: Vec<BackupName>,
    /// Only of this cluster.
    pub cluster: Option<String>,
    /// Only those made since.
    pub since: Option<Timestamp>,
    /// Entries at once.
    pub jobs: usize,
    /// zstd level.
    pub compression_level: i32,
}

/// What was copied.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Per backup: the original's id and the copy's.
    pub copied: Vec<Pair>,
    /// Backups that are there already.
    pub there: u64,
    /// Backups that could not be read, and why. Nothing of them is in the target.
    pub failed: Vec<Failed>,
    /// Bytes that were put to the target.
    pub bytes_added: u64,
}

/// One copy.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// The original's id.
    pub from: String,
    /// The copy's id.
    pub to: String,
}

/// A backup that could not be copied.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Its id.
    pub backup: String,
    /// Why.
    pub error: String,
}

/// Copies, oldest first. A backup that is damaged at the source is named and passed over.
pub fn run(
    source: &Repository,
    target: &Repository,
    request: &Request,
    job: &Job,
) -> Result<Report, OpsError> {
    let (source, target) = (&job.on(source), &job.on(target));
    if source.id() == target.id() {
        return Err(OpsError::refused("source and target are one repository", "copy into another one"));
    }
    let reader = source.reader()?;
    let chosen = choose(source, request)?;
    let tags = source.tags()?;
    let here = source.id().to_string();
    let mut there = BTreeSet::new();
    for head in target.backups()? {
        if let Some(copied) = About::of(&head)?.copied.filter(|copied| copied.repository == here) {
            there.insert(copied.backup);
        }
    }
    let mut report = Report::default();
    match copy_all(source, target, request, job, &reader, chosen, &tags, &there, &mut report) {
        Err(error) if job.cancel.is_cancelled() => Err(report.interrupted(&error)),
        Err(error) => Err(error),
        Ok(()) => Ok(report),
    }
}

#[allow(clippy::too_many_arguments, reason = "one call, from the only caller")]
fn copy_all(
    source: &Repository,
    target: &Repository,
    request: &Request,
    job: &Job,
    reader: &DataReader<'_>,
    chosen: Vec<BackupHead>,
    tags: &BackupTags,
    there: &BTreeSet<String>,
    report: &mut Report,
) -> Result<(), OpsError> {
    for head in chosen {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        let id = head.id.to_string();
        if there.contains(&id) {
            report.there += 1;
            continue;
        }
        job.progress.phase(&format!("copy backup {id}"));
        match one(source, target, reader, &head, request, job) {
            Ok(copy) => {
                report.bytes_added += copy.bytes_added;
                report.copied.push(Pair { from: id, to: copy.id.to_string() });
                if let Some(tags) = tags.get(&head.id) {
                    target.change_tags(copy.id, |own| own.extend(tags.iter().cloned()))?;
                }
            }
            Err(OpsError::Repository(
                error @ (pgark_repo::RepoError::Damaged { .. } | pgark_repo::RepoError::Missing { .. }),
            )) => {
                let error = with_causes(&error);
                job.progress.warn(&format!("backup {id} is not copied: {error}"));
                report.failed.push(Failed { backup: id, error });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Report {
    /// What a copy that was stopped leaves in the target.
    fn interrupted(&self, error: &OpsError) -> OpsError {
        let mut left = match self.copied.as_slice() {
            [] => "no backup was copied".to_string(),
            copied => {
                let pairs: Vec<String> =
                    copied.iter().map(|pair| format!("{} as {}", pair.from, pair.to)).collect();
                format!("copied whole: {}", pairs.join(", "))
            }
        };
        if error.is_unsure() {
            left.push_str(&format!("; {error}"));
        }
        OpsError::Interrupted {
            left: format!("{left}; run the same command again, and it goes on with the rest"),
        }
    }
}

fn choose(source: &Repository, request: &Request) -> Result<Vec<BackupHead>, OpsError> {
    let mut heads = source.backups()?;
    if !request.backups.is_empty() {
        let mut wanted = BTreeSet::new();
        for name in &request.backups {
            wanted.insert(find_backup(source, name, Wanted::Any)?.id);
        }
        heads.retain(|head| wanted.contains(&head.id));
    }
    heads.retain(|head| request.cluster.as_ref().is_none_or(|cluster| head.cluster == *cluster));
    heads.retain(|head| request.since.is_none_or(|since| head.moment() >= since));
    Ok(heads)
}

fn one(
    source: &Repository,
    target: &Repository,
    reader: &DataReader<'_>,
    head: &BackupHead,
    request: &Request,
    job: &Job,
) -> Result<BackupHead, OpsError> {
    let started = std::time::Instant::now();
    let backup = source.open_head(head)?;
    let mut about = About::of(&backup.head)?;
    about.copied =
        Some(Copied { repository: source.id().to_string(), backup: head.id.to_string(), seconds: 0.0 });
    let options = WriteOptions {
        cluster: head.cluster.clone(),
        jobs: request.jobs,
        compression_level: request.compression_level,
        full: false,
    };
    job.progress.total_bytes(backup.entries.iter().map(|entry| entry.bytes_raw).sum());
    let (copy, ()) = target.write_backup(&options, |writer| {
        let parts = copy_entries(writer, reader, &backup, request.jobs, job)?;
        writer.settle()?;
        let mut entries = Vec::with_capacity(backup.entries.len());
        for (entry, parts) in backup.entries.iter().zip(parts) {
            entries.push(NewEntry {
                path: entry.path.clone(),
                class: entry.class,
                bytes_raw: parts.iter().map(|part| part.bytes_raw).sum(),
                bytes_added: parts.iter().map(PartSummary::bytes_added).sum(),
                parts: parts.into_iter().map(|part| part.part).collect(),
                about: entry.about.clone(),
            });
        }
        if let Some(copied) = &mut about.copied {
            copied.seconds = seconds(started.elapsed());
        }
        let new = NewBackup {
            kind: head.kind.clone(),
            complete: head.complete,
            about: about.over(head),
            entries,
            time: Some(head.time),
        };
        Ok::<_, OpsError>((new, ()))
    })?;
    Ok(copy)
}

/// The parts of every entry, in the order of entries; several entries at once.
fn copy_entries(
    writer: &BackupWriter<'_>,
    reader: &DataReader<'_>,
    backup: &Backup,
    jobs: usize,
    job: &Job,
) -> Result<Vec<Vec<PartSummary>>, OpsError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<HashMap<usize, Vec<PartSummary>>> = Mutex::default();
    let failure: Mutex<Option<OpsError>> = Mutex::default();
    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while lock(&failure).is_none() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(entry) = backup.entries.get(number) else { return };
                    match copy_entry(writer, reader, backup, entry, job) {
                        Ok(parts) => drop(lock(&done).insert(number, parts)),
                        Err(error) => drop(lock(&failure).get_or_insert(error)),
                    }
                }
            });
        }
    });
    if let Some(error) = lock(&failure).take() {
        return Err(error);
    }
    let mut done = lock(&done);
    Ok((0..backup.entries.len()).map(|number| done.remove(&number).unwrap_or_default()).collect())
}

fn copy_entry(
    writer: &BackupWriter<'_>,
    reader: &DataReader<'_>,
    backup: &Backup,
    entry: &Entry,
    job: &Job,
) -> Result<Vec<PartSummary>, OpsError> {
    let cut = match Note::of(backup, entry)? {
        Note::Table { .. } => Cut::Rows,
        _ => Cut::Content,
    };
    let mut parts = Vec::with_capacity(entry.parts.len());
    for number in 0..entry.parts.len() {
        parts.push(writer.copy_part(reader, entry, number, cut, &mut |bytes| job.progress.advance(bytes))?);
    }
    Ok(parts)
}
