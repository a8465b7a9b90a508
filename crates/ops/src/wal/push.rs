//! `wal push`: archives a file of WAL.
//!
//! **When it is done.** The file is committed in the repository when this returns without an error:
//! a server removes it then.
//!
//! **Batch.** A server waits for each file before it asks for the next one. So a call also archives
//! files that wait behind its own, several at once, and leaves a note for each: the calls for these
//! find it, compare the file with it, and return without asking the repository. A call begins no
//! file after its own is done, and ends when all are.
//!
//! **Crash.** A file is an object that is put whole, and a note is written after that. Whatever
//! ends a call, the next one archives the file again, finds it there with the same content, and is
//! content with it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pgark_bytes::timeline_history::TimelineHistory;
use pgark_repo::{Repository, WalArchive, WalKind, WalName, WalPushed, WalPut};

use super::deadline::within;
use super::facts::{HistoryFacts, SegmentFacts};
pub use super::file::WalFile;
use super::{archive, file};
use crate::error::with_causes;
use crate::lock::lock;
use crate::{Job, OpsError};

/// What to archive, and how.
pub struct Request {
    /// The file, as the server names it (`%p`).
    pub path: PathBuf,
    /// What was read of it.
    pub file: WalFile,
    /// The cluster's name; by default that of its backups.
    pub cluster: Option<String>,
    /// Files that wait behind it and are archived by the way.
    pub batch: usize,
    /// Files that are archived at once.
    pub jobs: usize,
    /// zstd level.
    pub compression_level: i32,
    /// It is an error when it takes longer.
    pub timeout: Duration,
}

/// What was archived.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the cluster.
    pub cluster: String,
    /// System identifier, in decimal.
    pub system_identifier: String,
    /// The file.
    pub file: String,
    /// Whether it was there before, with the same content.
    pub was_there: bool,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Size in bytes of its object. Null: it was there before.
    pub bytes_stored: Option<u64>,
    /// Files behind it that were archived by the way.
    pub also: Vec<String>,
}

/// The file of a call; None: an earlier call archived this very file.
///
/// # Errors
/// It cannot be read, or is no file of WAL.
pub fn read(path: &Path, notes: &WalPushed) -> Result<Option<WalFile>, OpsError> {
    let file = WalFile::read(path)?;
    Ok(Some(file).filter(|file| !notes.has(&file.name, &file.content)))
}

/// Archives a file, and some that wait behind it.
///
/// # Errors
/// The file is not in the repository, or with another content.
pub fn run(
    repository: &Repository,
    request: &Request,
    notes: &WalPushed,
    job: &Job,
) -> Result<Report, OpsError> {
    within(job, request.timeout, |job| {
        let repository = &job.on(repository);
        let own = &request.file;
        let system = own.system_identifier(&request.path)?;
        let cluster = archive::cluster_of(repository, request.cluster.as_deref(), system)?;
        let archive = repository.wal(&cluster, system)?;
        archive.begin(repository, false)?;
        let waiting = if notes.are_kept() { waiting(request, &own.name) } else { VecDeque::new() };
        let push = Push { archive, request, notes, job, is_over: AtomicBool::new(false) };
        let also = Mutex::new(Vec::new());
        let queue = Mutex::new(waiting);
        let put = thread::scope(|scope| {
            for _ in 1..request.jobs {
                scope.spawn(|| push.others(&queue, &also));
            }
            let put = push.one(&request.path, own);
            push.is_over.store(true, Ordering::Release);
            put
        })?;
        notes.tidy();
        let mut also = also.into_inner().unwrap_or_else(|poison| poison.into_inner());
        also.sort();
        Ok(Report {
            cluster,
            system_identifier: system.to_string(),
            file: own.name.file().to_string(),
            was_there: put == WalPut::WasThere,
            bytes: own.content.len() as u64,
            bytes_stored: match put {
                WalPut::Stored { bytes } => Some(bytes),
                WalPut::WasThere => None,
            },
            also,
        })
    })
}

/// One call.
struct Push<'a> {
    archive: WalArchive<'a>,
    request: &'a Request,
    notes: &'a WalPushed,
    job: &'a Job,
    /// Its own file is done.
    is_over: AtomicBool,
}

impl Push<'_> {
    fn one(&self, path: &Path, file: &WalFile) -> Result<WalPut, OpsError> {
        let WalFile { name, content } = file;
        let facts = match file.head()? {
            Some(head) if head.format.system_identifier != self.archive.system_identifier() => {
                return Err(OpsError::refused(
                    format!("{} is of the system {}", name.file(), head.format.system_identifier),
                    "it lies among the WAL of another one: was the folder copied together?",
                ));
            }
            Some(head) if name.kind() == WalKind::Segment => {
                let facts = SegmentFacts::of(
                    &head,
                    content,
                    &mut file::next_to(path, name, head.format.segment_size),
                );
                if let Some(damaged) = &facts.damaged {
                    // The server has nothing better: it is archived as it is.
                    self.job.progress.warn(&format!(
                        "{} is damaged on the server ({damaged}): recovery ends there. Make a physical backup now, and look at the disk",
                        name.file()
                    ));
                }
                facts.to_bytes()
            }
            _ => history(name, content),
        };
        Ok(self.archive.put(name, content, &facts, self.request.compression_level)?)
    }

    /// Archives files that wait, until the call's own is done. What fails is left to the call that
    /// is made for it.
    fn others(&self, queue: &Mutex<VecDeque<PathBuf>>, also: &Mutex<Vec<String>>) {
        while !self.is_over.load(Ordering::Acquire) && !self.job.cancel.is_cancelled() {
            let Some(path) = lock(queue).pop_front() else { return };
            let done = WalFile::read(&path).and_then(|file| {
                if !self.notes.has(&file.name, &file.content) {
                    self.one(&path, &file)?;
                    self.notes.note(&file.name, &file.content);
                    lock(also).push(file.name.file().to_string());
                }
                Ok(())
            });
            if let Err(error) = done {
                self.job.progress.detail(&format!("{} waits: {}", path.display(), with_causes(&error)));
                return;
            }
        }
    }
}

/// The facts of a history; of other files there are none. One that cannot be read is archived as it
/// is: the server has nothing better.
fn history(name: &WalName, content: &[u8]) -> Vec<u8> {
    let history = Some(name).filter(|name| name.kind() == WalKind::History);
    let history = history.and_then(|name| TimelineHistory::parse(name.timeline(), content).ok());
    history.map_or_else(Vec::new, |history| HistoryFacts::of(&history).to_bytes())
}

/// Segments that wait to be archived behind this one, in their order.
fn waiting(request: &Request, own: &WalName) -> VecDeque<PathBuf> {
    let Some(pg_wal) = request.path.parent() else { return VecDeque::new() };
    let Ok(status) = fs::read_dir(pg_wal.join("archive_status")) else { return VecDeque::new() };
    let mut names: Vec<WalName> = status
        .flatten()
        .filter_map(|entry| WalName::parse(entry.file_name().to_str()?.strip_suffix(".ready")?))
        .filter(|name| name.kind() == WalKind::Segment && name > own && name.timeline() == own.timeline())
        .collect();
    names.sort();
    names.truncate(request.batch);
    names.into_iter().map(|name| pg_wal.join(name.file())).collect()
}
