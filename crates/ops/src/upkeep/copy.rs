//! Copies of backups in another repository: read, verified, and stored under its keys.
//!
//! A copy has an id of its own; its facts name repository and id of the original, so that it is
//! copied once. What a copy that was broken off has stored serves the next one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pgark_repo::{
    Addition, Backup, BackupHead, BackupWriter, Cut, DataReader, Entry, NewBackup, Repository, WriteOptions,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::with_causes;
use crate::facts::{About, Copied, Note};
use crate::record::seconds;
use crate::select::{BackupName, Wanted, find_backup, refuse_unknown_cluster};
use crate::wal::candidate::Candidate;
pub use crate::wal::copy::CopiedWal;
use crate::{Job, OpsError, wal, workers};

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
    /// Archived WAL that the physical backups need is copied, too.
    pub with_wal: bool,
}

/// What was copied.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "CopyReport")]
pub struct Report {
    /// Backups that were copied.
    pub copied: Vec<Pair>,
    /// Number of backups that the target already had.
    pub there: u64,
    /// Backups that could not be read. Nothing of them is in the target.
    pub failed: Vec<Failed>,
    /// Bytes added to the target's storage.
    pub bytes_added: u64,
    /// Archived WAL, by cluster and system.
    pub wal: Vec<CopiedWal>,
}

/// A backup that was copied.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CopiedBackup")]
pub struct Pair {
    /// Id of the backup in the source.
    pub from: String,
    /// Id of the copy in the target.
    pub to: String,
}

/// A backup that could not be copied.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FailedCopy")]
pub struct Failed {
    /// Id of the backup in the source.
    pub backup: String,
    /// Why it could not be copied.
    pub error: String,
}

/// Copies, oldest first. A backup that is damaged at the source is named and skipped.
pub fn run(
    source: &Repository,
    target: &Repository,
    request: &Request,
    job: &Job,
) -> Result<Report, OpsError> {
    let (source, target) = (&job.on(source), &job.on(target));
    if source.id() == target.id() {
        return Err(OpsError::refused("source and target are the same repository", "copy into another one"));
    }
    let copying = Copying { source, target, request, job };
    let chosen = choose(source, request)?;
    let mut report = Report::default();
    let physical = physical(&chosen);
    let copied = copying.all(chosen, &mut report).and_then(|()| copying.wal(physical, &mut report));
    match copied {
        Err(error) if job.cancel.is_cancelled() => Err(report.interrupted(&error)),
        Err(error) => Err(error),
        Ok(()) => Ok(report),
    }
}

/// One run: from where, to where, and how.
struct Copying<'a> {
    source: &'a Repository,
    target: &'a Repository,
    request: &'a Request,
    job: &'a Job,
}

impl Copying<'_> {
    /// The backups of the source that were copied before, by their ids there.
    fn there(&self) -> Result<BTreeSet<String>, OpsError> {
        let here = self.source.id().to_string();
        let mut there = BTreeSet::new();
        for head in self.target.backups()? {
            if let Some(copied) = About::of(&head)?.copied.filter(|copied| copied.repository == here) {
                there.insert(copied.backup);
            }
        }
        Ok(there)
    }

    fn all(&self, chosen: Vec<BackupHead>, report: &mut Report) -> Result<(), OpsError> {
        let (tags, there) = (self.source.tags()?, self.there()?);
        for head in chosen {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            let id = head.id.to_string();
            if there.contains(&id) {
                report.there += 1;
                continue;
            }
            self.job.progress.phase(&format!("copying backup {id}"));
            match self.one(&head) {
                Ok(copy) => {
                    report.bytes_added += copy.bytes_added;
                    report.copied.push(Pair { from: id, to: copy.id.to_string() });
                    if let Some(tags) = tags.get(&head.id) {
                        self.target.change_tags(copy.id, |own| own.extend(tags.iter().cloned()))?;
                    }
                }
                Err(OpsError::Repository(
                    error @ (pgark_repo::RepoError::Damaged { .. } | pgark_repo::RepoError::Missing { .. }),
                )) => {
                    let error = with_causes(&error);
                    self.job.progress.warn(&format!("backup {id} is not copied: {error}"));
                    report.failed.push(Failed { backup: id, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Archived WAL, from the oldest physical backup that was chosen on.
    fn wal(&self, physical: BTreeMap<String, Vec<Candidate>>, report: &mut Report) -> Result<(), OpsError> {
        if !self.request.with_wal {
            return Ok(());
        }
        let copying = wal::copy::Copying {
            source: self.source,
            target: self.target,
            jobs: self.request.jobs,
            compression_level: self.request.compression_level,
            job: self.job,
        };
        for (cluster, backups) in physical {
            let copied = copying.run(&cluster, backups)?;
            report.bytes_added += copied.iter().map(|copied| copied.bytes_added).sum::<u64>();
            report.wal.extend(copied);
        }
        Ok(())
    }

    fn one(&self, head: &BackupHead) -> Result<BackupHead, OpsError> {
        let started = std::time::Instant::now();
        let backup = self.source.open_head(head)?;
        let reader = self.source.reader(&backup.head)?;
        let mut about = About::of(&backup.head)?;
        let options = WriteOptions {
            cluster: head.cluster.clone(),
            jobs: self.request.jobs,
            compression_level: self.request.compression_level,
            full: false,
            purpose: "copy",
            alone: false,
            domain: about.domain(head)?,
        };
        self.job.progress.total_bytes(about.bytes_raw);
        let (copy, ()) = self.target.write_backup(&options, |writer| {
            self.entries(writer, &reader, &backup)?;
            about.copied = Some(Copied {
                repository: self.source.id().to_string(),
                backup: head.id.to_string(),
                seconds: seconds(started.elapsed()),
            });
            let new = NewBackup {
                kind: head.kind.clone(),
                complete: head.complete,
                about: about.over(head),
                time: Some(head.time),
            };
            Ok::<_, OpsError>((new, ()))
        })?;
        Ok(copy)
    }

    /// Copies every entry, several at once.
    fn entries(
        &self,
        writer: &BackupWriter<'_>,
        reader: &DataReader<'_>,
        backup: &Backup<'_>,
    ) -> Result<(), OpsError> {
        workers::each(self.request.jobs, backup.entries_and_their_additions()?, |next| {
            let (entry, addition) = next?;
            self.entry(writer, reader, backup, &entry, addition)
        })
    }

    fn entry(
        &self,
        writer: &BackupWriter<'_>,
        reader: &DataReader<'_>,
        backup: &Backup<'_>,
        entry: &Entry,
        addition: Option<Addition>,
    ) -> Result<(), OpsError> {
        let cut = match Note::of(backup, entry)? {
            Note::Table { .. } => Cut::Rows,
            Note::Toc { .. } | Note::Catalog { .. } | Note::Manifest => Cut::Records,
            _ => Cut::Content,
        };
        let about_run = addition.map(|addition| addition.about).unwrap_or_default();
        let on_bytes = &mut |bytes| self.job.progress.advance(bytes);
        Ok(writer.copy_entry(reader, entry, about_run, cut, on_bytes)?)
    }
}

impl Report {
    /// What a copy that was stopped leaves in the target.
    fn interrupted(&self, error: &OpsError) -> OpsError {
        let mut left = match self.copied.as_slice() {
            [] => "no backup was copied".to_string(),
            copied => {
                let pairs: Vec<String> =
                    copied.iter().map(|pair| format!("{} as {}", pair.from, pair.to)).collect();
                format!("completely copied: {}", pairs.join(", "))
            }
        };
        if error.is_unsure() {
            left.push_str(&format!("; {error}"));
        }
        OpsError::Interrupted {
            left: format!("{left}; run the same command again to continue with the rest"),
        }
    }
}

/// The physical backups among these, by their clusters.
fn physical(heads: &[BackupHead]) -> BTreeMap<String, Vec<Candidate>> {
    let mut found: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for head in heads {
        if let Some(candidate) = Candidate::of(head) {
            found.entry(head.cluster.clone()).or_default().push(candidate);
        }
    }
    found
}

fn choose(source: &Repository, request: &Request) -> Result<Vec<BackupHead>, OpsError> {
    let mut heads = source.backups()?;
    refuse_unknown_cluster(&heads, request.cluster.as_deref())?;
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
