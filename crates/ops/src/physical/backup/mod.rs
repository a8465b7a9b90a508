//! `backup` of a data directory: the pages that changed, and the WAL that makes them consistent.
//!
//! **Order.** The first connection finds out what the server is and what the role may do
//! (`survey`); the directory is proved to be this server's (`directory`). A temporary slot and a
//! stream of WAL come next (`wal`), then the server begins the backup with a checkpoint (`window`).
//! The directory is scanned once, and workers copy its files, the largest first (`plan`, `crew`):
//! each page is compared with the one that the newest backup of this system has at its place
//! (`earlier`), by its hash, and stored if it differs. `pg_control` is copied last. The server ends
//! the backup in the session in which it began; the stream goes on to the end of that segment. All
//! WAL is proved to be there and whole, and the server to be the one that it was. Then the
//! repository commits.
//!
//! **What changes under us.** Files are read while the server writes them. What is torn, missing or
//! mixed in them is in the WAL from the start of the backup on, because the server writes whole
//! pages into it from there. A file that vanishes was dropped; one that grows is read up to the
//! length that it had.
//!
//! **Damaged pages** of the server are stored as they are, named with file and block, and make the
//! backup one that retention never takes for the last good one.
//!
//! **Cancel and failure.** The slot is temporary, and the backup in the server ends with its
//! session: whatever becomes of us, nothing is left there. Nothing was committed, so nothing is
//! left in the repository but unreferenced packs, which the next backup reuses.

mod crew;
mod directory;
mod dry_run;
mod earlier;
mod manifest;
mod pace;
mod plan;
mod request;
mod survey;
mod wal;
mod window;

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use pgark_bytes::backup_label::BackupLabel;
use pgark_bytes::control_file::ControlFile;
use pgark_bytes::lsn::Lsn;
use pgark_datadir::scan::{Location, Scan, ScanOptions, scan};
use pgark_datadir::{DataDir, prove};
use pgark_pg::Connection;
use pgark_repo::{BackupWriter, Class, NewBackup, Repository, WriteOptions};

use crate::cluster::{Beside, Report, name, turn};
use crate::facts::{
    About, BackupKind, Note, Owned, PageCounts, Physical, PhysicalSource, StoredWhole, write_whole,
};
use crate::physical::owners::Owners;
use crate::record::seconds;
use crate::watch::Watch;
use crate::{BackupOutcome, BackupRecord, Job, OpsError, paths};
use crew::{Copied, Crew};
pub use dry_run::{Plan, PlannedTablespace, dry_run};
use earlier::Earlier;
use pace::Pace;
pub use request::{Checkpoint, Request};
use survey::Survey;
use wal::Ends;
use window::Stopped;

/// Backs up the data directory of the server.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupOutcome, OpsError> {
    refuse_label(&request.label)?;
    let repository = &job.on(repository);
    turn::wait_for(repository, request.beside, job, || {
        let watch = Watch::new(&job.cancel);
        let run = Run { repository, request, job, watch: &watch, started: Instant::now() };
        watch.during_job(|| run.back_up())
    })
}

/// It is a line of `backup_label`, in the encoding of whatever database the session is in.
fn refuse_label(label: &str) -> Result<(), OpsError> {
    if label.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && label.len() <= 1000 {
        return Ok(());
    }
    Err(OpsError::Usage("the label may have up to 1000 printable ASCII characters".into()))
}

/// One backup: what its steps share.
struct Run<'a> {
    repository: &'a Repository,
    request: &'a Request,
    job: &'a Job,
    watch: &'a Watch,
    started: Instant,
}

/// What came of the copy.
struct Taken {
    start: Lsn,
    stopped: Stopped,
    copied: Copied,
    wal: crate::facts::WalTaken,
    folders: u64,
}

impl Run<'_> {
    fn back_up(&self) -> Result<BackupOutcome, OpsError> {
        let Run { repository, request, job, watch, .. } = self;
        let stop = || job.cancel.is_cancelled();
        job.progress.phase("reading the cluster's properties");
        let (survey, mut connection) = Survey::of(request, watch)?;
        let directory = directory::open(request, &survey, &stop)?;
        let cluster = name::of(repository, request.cluster.as_deref(), survey.who())?;
        turn::refuse_early(repository, request.beside, &cluster)?;
        let options = WriteOptions {
            jobs: request.jobs,
            compression_level: request.compression_level,
            full: request.full,
            alone: request.beside != Beside::Run,
            ..WriteOptions::of(&cluster, "backup")
        };
        let mut report = Report::default();
        let newest = repository.newest_backups(&cluster, 16)?;
        for warning in survey.server.compare(request.cluster.as_deref(), &survey.identifier, &newest)? {
            report.warn(&warning);
        }
        let earlier = match request.full {
            true => Earlier::default(),
            false => Earlier::find(repository, &cluster, &survey.identifier)?,
        };
        if let Some(why) = &earlier.whole {
            report.warn(&format!("everything is stored: {why}"));
        }
        let work = |writer: &BackupWriter<'_>| {
            manifest::of_the_cluster(
                writer,
                &survey,
                &mut connection,
                directory.path(),
                &cluster,
                &mut report,
            )?;
            manifest::outside(writer, &survey, &mut connection, directory.path(), &mut report)?;
            // Most of their units will be kept.
            writer.look_up(&earlier.maps())?;
            let taken = self.take(writer, &survey, &mut connection, &directory, &earlier, &mut report)?;
            let about = self.about(&survey, &earlier, taken, report)?;
            let (kind, complete) = (BackupKind::Physical.into(), about.missing.is_empty());
            Ok::<_, OpsError>((NewBackup { kind, complete, about: about.to_bytes(), time: None }, ()))
        };
        let (head, ()) = repository.write_backup(&options, work)?;
        if request.cluster.is_none() {
            name::note(repository, survey.who(), &cluster);
        }
        let physical = About::of(&head)?.physical;
        Ok(BackupOutcome { record: BackupRecord::of(&head)?, tables: Vec::new(), physical })
    }

    /// Everything between the first byte of WAL and the last.
    fn take<'a>(
        &self,
        writer: &'a BackupWriter<'a>,
        survey: &Survey,
        connection: &mut Connection,
        directory: &DataDir,
        earlier: &Earlier,
        report: &mut Report,
    ) -> Result<Taken, OpsError> {
        let ends = Ends::new();
        thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel();
            let stream = scope.spawn(|| wal::receive(writer, survey, &ends, self.watch, ready));
            let copied = match is_ready.recv() {
                Ok(()) => self.copy(writer, survey, connection, directory, earlier, &ends, report),
                // The stream says why.
                Err(_) => Err(OpsError::Cancelled),
            };
            if copied.is_err() {
                ends.give_up();
            }
            let received = stream.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let (start, stopped, copied, folders) = match (copied, received.as_ref().err()) {
                (Err(error), Some(other)) if error.is_cancelled() && !other.is_cancelled() => {
                    return Err(received.err().unwrap_or(error));
                }
                (copied, _) => copied?,
            };
            let wal = wal::entries(writer, survey, received?, start, stopped.lsn)?;
            self.history(writer, survey)?;
            survey.is_still_the_same(connection)?;
            Ok(Taken { start, stopped, copied, wal, folders })
        })
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `take`")]
    fn copy<'a>(
        &self,
        writer: &'a BackupWriter<'a>,
        survey: &Survey,
        connection: &mut Connection,
        directory: &DataDir,
        earlier: &Earlier,
        ends: &Ends,
        report: &mut Report,
    ) -> Result<(Lsn, Stopped, Copied, u64), OpsError> {
        let Run { request, job, .. } = self;
        let stop = || job.cancel.is_cancelled() || ends.has_failed();
        job.progress.phase("waiting for the server's checkpoint");
        let start = window::start(connection, request)?;
        ends.began(start);
        job.progress.phase("copying files");
        let found = scan(directory, &ScanOptions::default(), &stop)?;
        refuse_links(&found)?;
        tell(&found, report);
        job.progress.total_bytes(found.bytes());
        let owners = Owners::default();
        let (folders, tasks) = plan::plan(&found, survey.page_size, earlier);
        let pace = Pace::new(request.rate);
        let crew = Crew::new(writer, directory, job, &owners, pace, survey, start, &folders, &stop);
        let mut copied = crew.copy(tasks, request.jobs)?;
        job.progress.phase("ending the backup in the server");
        control(writer, directory, survey, &found, &stop)?;
        let stopped = window::stop(connection)?;
        ends.ended(stopped.lsn);
        crew.look_again(&mut copied, stopped.lsn, &mut || window::end_of_wal(connection))?;
        let mode = found.folders.first().map_or(0o600, |folder| folder.mode & 0o660);
        for (name, content) in [("backup_label", &stopped.label), ("tablespace_map", &stopped.tablespace_map)]
        {
            if !content.is_empty() {
                let owned = Owned { mode, ..Owned::default() };
                let note = Note::File { owned, modified: String::new() };
                let path = paths::in_data_directory(name.as_bytes());
                write_whole(writer, path, Class::Data, content, &note)?;
            }
        }
        Ok((start, stopped, copied, folders.len() as u64))
    }

    /// The history of a timeline that is not the first: a server that begins on it asks for it.
    fn history(&self, writer: &BackupWriter<'_>, survey: &Survey) -> Result<(), OpsError> {
        if survey.timeline <= 1 {
            return Ok(());
        }
        let history = Connection::connect_physical(&survey.pinned)?.timeline_history(survey.timeline)?;
        let path = paths::in_data_directory(format!("pg_wal/{:08X}.history", survey.timeline).as_bytes());
        write_whole(writer, path, Class::Data, &history.content, &Note::Wal)
    }

    fn about(
        &self,
        survey: &Survey,
        earlier: &Earlier,
        taken: Taken,
        mut report: Report,
    ) -> Result<About, OpsError> {
        let Taken { start, stopped, copied, wal, folders } = taken;
        let label = BackupLabel::parse(&stopped.label)
            .map_err(|error| OpsError::refused(format!("read backup_label: {error}"), ""))?;
        if copied.failed > 0 {
            let more = match copied.more_failures {
                0 => String::new(),
                more => format!(", and {more} more files"),
            };
            report.warn(&format!(
                "{} pages are damaged on the server, in {} files{more}; they are in the backup as they are",
                copied.failed,
                copied.failures.len()
            ));
        }
        let pages = copied.pages;
        let whole = earlier.whole.iter().map(|why| StoredWhole { path: String::new(), reason: why.clone() });
        let physical = Physical {
            source: PhysicalSource::Files,
            timeline: survey.timeline,
            start_lsn: start.to_string(),
            stop_lsn: stopped.lsn.to_string(),
            checkpoint_lsn: label.checkpoint_lsn.to_string(),
            start_time: label.start_time.clone(),
            stop_time: jiff::Timestamp::now().to_string(),
            from_standby: false,
            checksums_on: survey.checksums,
            page_size: survey.page_size,
            wal_segment_size: survey.wal_segment_size,
            pages: PageCounts {
                total: pages.total,
                zero: pages.zero,
                new: pages.new,
                rewritten: pages.rewritten,
                failed: copied.failed,
            },
            files: copied.files,
            folders,
            checksum_failures: copied.failures,
            wal,
            tablespaces: survey.tablespaces.clone(),
            read_amplification: match pages.bytes {
                0 => 1.0,
                bytes => (pages.read as f64 / bytes as f64 * 1000.0).round() / 1000.0,
            },
            whole: whole.collect(),
        };
        Ok(About {
            databases: survey.databases.clone(),
            bytes_raw: copied.bytes + wal.bytes_raw,
            seconds: seconds(self.started.elapsed()),
            warnings: report.warnings,
            missing: report.missing,
            physical: Some(physical),
            server: Some(survey.server.clone()),
            server_version: survey.server_version,
            system_identifier: survey.identifier.clone(),
            ..About::default()
        })
    }
}

/// Folders without which a server does not start, or loses what was committed.
const NEEDED: [&[u8]; 7] =
    [b"base", b"global", b"pg_xact", b"pg_multixact", b"pg_twophase", b"pg_logical", b"pg_commit_ts"];

/// A link in the place of such a folder would leave it out of the backup.
fn refuse_links(found: &Scan) -> Result<(), OpsError> {
    let is_needed = |path: &[u8]| {
        let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        NEEDED.contains(&first)
    };
    match found.links.iter().find(|link| is_needed(&link.path)) {
        None => Ok(()),
        Some(link) => Err(OpsError::refused(
            format!(
                "{} in the data directory is a symbolic link to {}: it would not be in the backup",
                String::from_utf8_lossy(&link.path),
                String::from_utf8_lossy(&link.target)
            ),
            "PostgreSQL supports links for tablespaces and pg_wal only: move it back, or use a tablespace",
        )),
    }
}

/// What a scan found that is not in the backup.
fn tell(found: &Scan, report: &mut Report) {
    for link in &found.links {
        report.warn(&format!(
            "{} is a symbolic link to {}, which PostgreSQL did not make: it is not followed, and not in the backup",
            String::from_utf8_lossy(&link.path),
            String::from_utf8_lossy(&link.target)
        ));
    }
    for path in &found.special {
        report.warn(&format!("{} is not a file, and not in the backup", String::from_utf8_lossy(path)));
    }
    for tablespace in &found.tablespaces {
        if tablespace.location == Location::InPlace {
            report.warn(&format!(
                "tablespace {} is inside of the data directory (allow_in_place_tablespaces)",
                tablespace.oid
            ));
        }
    }
}

/// `pg_control`, the last of all files: what it says of the cluster must not be older than they.
fn control(
    writer: &BackupWriter<'_>,
    directory: &DataDir,
    survey: &Survey,
    found: &Scan,
    stop: &dyn Fn() -> bool,
) -> Result<(), OpsError> {
    let is_whole = |bytes: &[u8]| ControlFile::parse(bytes).is_ok();
    let content = prove::control(directory, &is_whole, stop)?;
    let identifier = ControlFile::parse(&content).map(|control| control.system_identifier).ok();
    if identifier != Some(survey.system_identifier) {
        return Err(OpsError::refused(
            "the data directory was replaced by another one during the backup",
            "run the backup again",
        ));
    }
    let global = found.folder(b"global");
    let mode = global.and_then(|folder| folder.others.find(b"pg_control")).map_or(0o600, |file| file.mode);
    let note = Note::File { owned: Owned { mode, ..Owned::default() }, modified: String::new() };
    write_whole(writer, paths::in_data_directory(b"global/pg_control"), Class::Data, &content, &note)
}
