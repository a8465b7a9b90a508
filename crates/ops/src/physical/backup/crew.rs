//! The workers: each takes the largest piece of work that is left, reads its files, and stores what
//! is new of them. The last one of a folder writes its entry.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pgark_bytes::lsn::Lsn;
use pgark_datadir::names::RelationFile;
use pgark_datadir::read::{Checks, FailureKind, PageFile, ReadOptions, Report as FileReport, Wanted};
use pgark_datadir::scan::FileRecord;
use pgark_datadir::{DataDir, OpenFolder};
use pgark_repo::{BackupWriter, Class, Cut, MOST_PAGES, PagesDone, PagesOf, PartSummary};

use super::copied::Copied;
use super::pace::Pace;
use super::plan::{PlannedFolder, PlannedPart, Task, Work};
use super::survey::Survey;
use crate::facts::{Note, Owned};
use crate::lock::lock;
use crate::physical::owners::{Database, Owners};
use crate::{Job, OpsError, paths, workers};

/// Plain files are read in pieces of so many bytes.
const PIECE: usize = 1 << 20;
const CONTROL: &[u8] = b"pg_control";

/// What the workers share.
pub(super) struct Crew<'a> {
    pub writer: &'a BackupWriter<'a>,
    pub directory: &'a DataDir,
    pub job: &'a Job,
    pub owners: &'a Owners,
    pub pace: Pace,
    pub page_size: u32,
    pub segment_pages: u32,
    /// Where the backup began: what changed later is in the WAL.
    pub start: Lsn,
    pub checksums: bool,
    pub folders: &'a [PlannedFolder<'a>],
    progress: Vec<Folder>,
    copied: Mutex<Copied>,
    stopped: AtomicBool,
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// How far a folder is.
#[derive(Default)]
struct Folder {
    /// Tasks to come.
    left: AtomicUsize,
    done: Mutex<FolderDone>,
}

#[derive(Default)]
struct FolderDone {
    /// By the part's number.
    parts: Vec<(usize, Vec<PartSummary>)>,
    files: u64,
    bytes: u64,
}

impl<'a> Crew<'a> {
    #[expect(clippy::too_many_arguments, reason = "what all workers share")]
    pub(super) fn new(
        writer: &'a BackupWriter<'a>,
        directory: &'a DataDir,
        job: &'a Job,
        owners: &'a Owners,
        pace: Pace,
        survey: &Survey,
        start: Lsn,
        folders: &'a [PlannedFolder<'a>],
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Crew<'a> {
        Crew {
            writer,
            directory,
            job,
            owners,
            pace,
            page_size: survey.page_size,
            segment_pages: survey.segment_pages,
            start,
            checksums: survey.checksums,
            folders,
            progress: folders.iter().map(|_| Folder::default()).collect(),
            copied: Mutex::default(),
            stopped: AtomicBool::new(false),
            stop,
        }
    }

    /// Copies everything.
    pub(super) fn copy(&self, tasks: Vec<Task>, jobs: usize) -> Result<Copied, OpsError> {
        for task in &tasks {
            if let Some(folder) = self.progress.get(task.folder) {
                folder.left.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Folders without any file are entries, too.
        for (folder, progress) in self.folders.iter().zip(&self.progress) {
            if progress.left.load(Ordering::Relaxed) == 0 {
                self.finish_folder(folder, progress)?;
            }
        }
        let jobs = jobs.min(tasks.len()).max(1);
        let tasks = Mutex::new(tasks);
        workers::run(jobs, || self.work(&tasks))?;
        Ok(std::mem::take(&mut *lock(&self.copied)))
    }

    /// Looks again at files with pages that say they were written after the end of the backup. A
    /// page cannot know a place in the WAL that did not exist: it is damaged, or of another server.
    /// `end_of_wal`: how far the WAL is at that moment.
    pub(super) fn look_again(
        &self,
        copied: &mut Copied,
        stop: Lsn,
        end_of_wal: &mut dyn FnMut() -> Result<Lsn, OpsError>,
    ) -> Result<(), OpsError> {
        let mut buffer = Vec::new();
        let written = std::mem::take(&mut copied.written);
        for (at, number, _) in written.into_iter().filter(|(_, _, newest)| *newest > stop) {
            let Some(planned) = self.folders.get(at) else { continue };
            let Some(file) = planned.folder.pages.get(number as usize) else { continue };
            let Some(folder) = self.directory.folder(&planned.folder.path)? else { continue };
            let end = end_of_wal()?;
            let Some(mut reading) = self.open(planned, &folder, &file, Some(end))? else { continue };
            while reading.next_piece(&mut buffer, &|| self.is_stopped())?.is_some() {}
            let mut report = reading.into_report();
            // The server has gone on writing meanwhile.
            let end = end_of_wal()?;
            let noted = report.failures.len() as u64;
            report.failures.retain(|failure| match failure.kind {
                FailureKind::LsnBeyondEnd { lsn } => lsn > end,
                _ => true,
            });
            report.failed -= noted - report.failures.len() as u64;
            copied.forget(&path_of(planned, &file));
            copied.note(self.job, &report, || path_of(planned, &file));
        }
        Ok(())
    }

    fn work(&self, tasks: &Mutex<Vec<Task>>) -> Result<(), OpsError> {
        let mut buffer = Vec::new();
        loop {
            let Some(task) = lock(tasks).pop() else { return Ok(()) };
            if self.is_stopped() {
                return Err(OpsError::Cancelled);
            }
            if let Err(error) = self.run(&task, &mut buffer) {
                self.stopped.store(true, Ordering::Release);
                return Err(error);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) || (self.stop)()
    }

    fn run(&self, task: &Task, buffer: &mut Vec<u8>) -> Result<(), OpsError> {
        let (Some(planned), Some(progress)) = (self.folders.get(task.folder), self.progress.get(task.folder))
        else {
            return Ok(());
        };
        let name = String::from_utf8_lossy(&planned.folder.path).into_owned();
        // A folder that is gone was that of a database which was dropped: its WAL says so.
        if let Some(folder) = self.directory.folder(&planned.folder.path)? {
            match &task.work {
                Work::Others => self.others(planned, &folder, progress, buffer)?,
                Work::Part(at) => {
                    self.job.progress.object_started(&name);
                    let Some(part) = planned.parts.get(*at) else { return Ok(()) };
                    let parts = self.part(task.folder, part, &folder, progress, buffer)?;
                    lock(&progress.done).parts.push((*at, parts));
                    self.job.progress.object_done(&name);
                }
            }
        }
        if progress.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish_folder(planned, progress)?;
        }
        Ok(())
    }

    /// Copies the files of one part. A file that is longer than a map can cover has several.
    fn part(
        &self,
        at: usize,
        part: &PlannedPart,
        folder: &OpenFolder,
        progress: &Folder,
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<PartSummary>, OpsError> {
        let Some(planned) = self.folders.get(at) else { return Ok(Vec::new()) };
        let is_bundle = matches!(part, PlannedPart::Bundle(_));
        let of = |from| PagesOf { page_size: self.page_size, from, is_bundle };
        let (mut parts, mut open) = (Vec::new(), None);
        let mut done = PagesDone::default();
        for (number, file) in planned.files(part) {
            let Some(mut reading) = self.open(planned, folder, &file, None)? else { continue };
            let mut from = 0;
            while let Some(first) = reading.next_piece(buffer, &|| self.is_stopped())? {
                // Pieces end where a map ends: both are powers of two.
                if !is_bundle && u64::from(first) >= u64::from(from) + MOST_PAGES {
                    from = first;
                    let (summary, more) = finish(open.take())?;
                    parts.extend(summary);
                    done += more;
                }
                let pages = match &mut open {
                    Some(pages) => pages,
                    None => {
                        let earlier = match is_bundle {
                            true => planned.earlier_of_bundle(part),
                            false => planned.earlier_of_file(file.name, from.into()),
                        };
                        open.insert(self.writer.pages(of(from), &earlier)?)
                    }
                };
                if first == from {
                    pages.begin_file(file.name)?;
                }
                pages.write(buffer)?;
                self.job.progress.advance(buffer.len() as u64);
                self.pace.spend(buffer.len(), &|| self.is_stopped());
            }
            // An empty file is a file, too.
            if reading.report().bytes == 0 {
                let pages = match &mut open {
                    Some(pages) => pages,
                    None => open.insert(self.writer.pages(of(0), &planned.earlier_of_bundle(part))?),
                };
                pages.begin_file(file.name)?;
            }
            let report = reading.into_report();
            // A page that is not right, and says that it was written since: its place in the WAL is
            // looked at when the end of that is known.
            let newest = match report.rewritten {
                0 => report.newest.map(|(newest, _)| newest).filter(|newest| *newest > self.start),
                _ => Some(Lsn(u64::MAX)),
            };
            if let Some(newest) = newest {
                lock(&self.copied).written.push((at, number, newest));
            }
            self.note(planned, &file, report, progress);
        }
        let (summary, more) = finish(open)?;
        parts.extend(summary);
        done += more;
        lock(&self.copied).pages += done;
        Ok(parts)
    }

    fn open(
        &self,
        planned: &PlannedFolder<'_>,
        folder: &OpenFolder,
        file: &FileRecord<'_>,
        end_of_wal: Option<Lsn>,
    ) -> Result<Option<PageFile>, OpsError> {
        let has_headers = planned.folder.kind.has_headers();
        let checks = Checks { checksums: self.checksums, start_lsn: self.start, end_of_wal };
        let options = ReadOptions {
            page_size: self.page_size as usize,
            checks: has_headers.then_some(checks),
            ..ReadOptions::default()
        };
        let relation = RelationFile::parse(file.name).filter(|_| has_headers);
        let first_block = relation.and_then(|relation| relation.first_block(self.segment_pages)).unwrap_or(0);
        let wanted = Wanted { name: file.name, bytes: Some(file.bytes), first_block };
        Ok(PageFile::open(folder, &wanted, &options)?)
    }

    fn note(
        &self,
        planned: &PlannedFolder<'_>,
        file: &FileRecord<'_>,
        report: FileReport,
        progress: &Folder,
    ) {
        {
            let mut done = lock(&progress.done);
            done.files += 1;
            done.bytes += report.bytes;
        }
        let mut copied = lock(&self.copied);
        copied.files += 1;
        copied.bytes += report.bytes;
        copied.note(self.job, &report, || path_of(planned, file));
    }

    /// Copies the files of a folder that do not consist of pages.
    fn others(
        &self,
        planned: &PlannedFolder<'_>,
        folder: &OpenFolder,
        progress: &Folder,
        buffer: &mut Vec<u8>,
    ) -> Result<(), OpsError> {
        for file in planned.folder.others.iter() {
            // It comes last.
            if planned.folder.path == b"global" && file.name == CONTROL {
                continue;
            }
            let Some(opened) = folder.file(file.name)? else { continue };
            let path = [planned.folder.path.as_slice(), b"/", file.name].concat();
            let mut stream = self.writer.stream(Class::Data, Cut::Content);
            let (mut left, mut bytes) = (file.bytes, 0);
            let mut content = opened.file;
            while left > 0 {
                if self.is_stopped() {
                    return Err(OpsError::Cancelled);
                }
                buffer.resize(PIECE.min(usize::try_from(left).unwrap_or(PIECE)), 0);
                let read = content.read(buffer).map_err(|source| OpsError::File {
                    doing: "read",
                    path: self.directory.path().join(String::from_utf8_lossy(&path).as_ref()),
                    source,
                })?;
                if read == 0 {
                    break;
                }
                stream.write(buffer.get(..read).unwrap_or_default())?;
                left -= read as u64;
                bytes += read as u64;
                self.job.progress.advance(read as u64);
                self.pace.spend(read, &|| self.is_stopped());
            }
            let owned = self.owned(file.mode, opened.about.uid, opened.about.gid);
            let mut entry = self.writer.entry(paths::in_data_directory(&path), Class::Data);
            entry.add(stream.finish()?);
            entry.finish(Note::File { owned, modified: time(file.modified) }.to_bytes())?;
            lock(&progress.done).bytes += bytes;
            let mut copied = lock(&self.copied);
            copied.files += 1;
            copied.bytes += bytes;
        }
        Ok(())
    }

    fn owned(&self, mode: u16, uid: u32, gid: u32) -> Owned {
        Owned {
            mode,
            owner: self.owners.name(Database::Users, uid),
            group: self.owners.name(Database::Groups, gid),
        }
    }

    /// The entry of a folder, with the maps of its files.
    fn finish_folder(&self, planned: &PlannedFolder<'_>, progress: &Folder) -> Result<(), OpsError> {
        let folder = planned.folder;
        let mut done = lock(&progress.done);
        let mut parts = std::mem::take(&mut done.parts);
        parts.sort_by_key(|(at, _)| *at);
        let mut entry = self.writer.entry(&planned.entry, Class::Data);
        parts.into_iter().flat_map(|(_, parts)| parts).for_each(|part| entry.add(part));
        let note = Note::Folder {
            owned: self.owned(folder.mode, folder.uid, folder.gid),
            file_mode: folder.pages.get(0).map_or(0o600, |file| file.mode),
            files: done.files,
            bytes: done.bytes,
            mixed: planned.is_mixed(),
        };
        Ok(entry.finish(note.to_bytes())?)
    }
}

/// Ends a map, if one was begun.
fn finish(open: Option<pgark_repo::PageWriter<'_>>) -> Result<(Option<PartSummary>, PagesDone), OpsError> {
    match open {
        Some(pages) => {
            let (summary, done) = pages.finish()?;
            Ok((Some(summary), done))
        }
        None => Ok((None, PagesDone::default())),
    }
}

/// Nanoseconds since 1970, for a note.
fn time(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(nanoseconds.into());
    time.map_or_else(|_| String::new(), |time| time.to_string())
}

/// The path of a file in the data directory, for people.
fn path_of(planned: &PlannedFolder<'_>, file: &FileRecord<'_>) -> String {
    let path = [planned.folder.path.as_slice(), b"/", file.name].concat();
    String::from_utf8_lossy(&path).into_owned()
}
