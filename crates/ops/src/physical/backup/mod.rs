//! `backup` of a data directory: the pages that changed, and the WAL that makes them consistent.
//!
//! **Order.** The first connection finds out what the server is and what the role may do
//! (`survey`), and where the files come from (`source`): from the data directory on this host,
//! which is proved to be this server's (`directory`), or over the wire. A temporary slot and a
//! stream of WAL come next (`wal`), then the server begins the backup with a checkpoint. Its files
//! are copied (`files`, `wire`): each page is compared with the one that the newest backup of this
//! system has at its place (`earlier`), by its hash, and stored if it differs. `pg_control` is
//! copied last. The server ends the backup; the stream goes on to the end of that segment. All WAL
//! is proved to be there and whole, and the server to be the one that it was. Then the repository
//! commits.
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

mod copied;
mod crew;
mod directory;
mod dry_run;
mod earlier;
mod files;
mod known;
mod manifest;
mod pace;
mod plan;
mod request;
mod shared;
mod source;
mod survey;
mod wal;
mod window;
mod wire;

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use pgark_bytes::backup_label::BackupLabel;
use pgark_pg::Connection;
use pgark_repo::{BackupWriter, Class, NewBackup, Repository, WriteOptions};

use crate::cluster::{Beside, Report, name, turn};
use crate::facts::{About, BackupKind, Note, PageCounts, Physical, StoredWhole, WalTaken, write_whole};
use crate::record::seconds;
use crate::watch::Watch;
use crate::{BackupOutcome, BackupRecord, Job, OpsError, paths};
pub use dry_run::{Plan, PlannedTablespace, dry_run};
use earlier::Earlier;
pub use request::{Checkpoint, Request, Source};
use shared::{Copy, Shared};
use source::{Chosen, Open};
use survey::Survey;
use wal::Ends;

/// Backs up the data directory of the server.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupOutcome, OpsError> {
    request.refuse_label()?;
    let repository = &job.on(repository);
    turn::wait_for(repository, request.beside, job, || {
        let watch = Watch::new(&job.cancel);
        let run = Run { repository, request, job, watch: &watch, started: Instant::now() };
        watch.during_job(|| run.back_up())
    })
}

/// One backup: what its steps share.
struct Run<'a> {
    repository: &'a Repository,
    request: &'a Request,
    job: &'a Job,
    watch: &'a Watch,
    started: Instant,
}

/// The copy, and its WAL.
struct Taken {
    copy: Copy,
    wal: WalTaken,
    /// When it was over, by the server's clock.
    ended: jiff::Timestamp,
}

impl Run<'_> {
    fn back_up(&self) -> Result<BackupOutcome, OpsError> {
        let Run { repository, request, job, watch, .. } = self;
        let stop = || job.cancel.is_cancelled();
        job.progress.phase("reading the cluster's properties");
        let (survey, mut connection) = Survey::of(request, watch)?;
        let chosen = Chosen::of(request, &survey, job, &stop)?;
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
                &chosen.source,
                &cluster,
                &mut report,
            )?;
            manifest::outside(writer, &survey, &mut connection, &chosen.source, &mut report)?;
            // Most of their units will be kept.
            writer.look_up(&earlier.maps())?;
            let taken = self.take(writer, &survey, &mut connection, &chosen, &earlier, &mut report)?;
            let about = self.about(&survey, &chosen, &earlier, taken, report)?;
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
        survey: &'a Survey,
        connection: &mut Connection,
        chosen: &Chosen,
        earlier: &'a Earlier,
        report: &mut Report,
    ) -> Result<Taken, OpsError> {
        let Run { request, job, watch, .. } = *self;
        let ends = Ends::new();
        let shared = Shared { request, job, watch, writer, survey, earlier, ends: &ends };
        thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel();
            let stream = scope.spawn(|| wal::receive(writer, survey, &ends, watch, ready));
            let copy = match (is_ready.recv(), &chosen.source) {
                (Ok(()), Open::Files(directory)) => files::copy(&shared, directory, connection, report),
                (Ok(()), Open::Wire) => wire::copy(&shared, connection, report),
                // The stream says why.
                (Err(_), _) => Err(OpsError::Cancelled),
            };
            if copy.is_err() {
                ends.give_up();
            }
            let received = stream.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let mut copy = match (copy, received.as_ref().err()) {
                (Err(error), Some(other)) if error.is_cancelled() && !other.is_cancelled() => {
                    return Err(received.err().unwrap_or(error));
                }
                (copy, _) => copy?,
            };
            let wal = wal::entries(writer, survey, received?, copy.start, copy.stop)?;
            // Where one is open, it is taken: the server may not have noticed yet that that of the
            // stream has ended, and may allow no more.
            let mut replication = match copy.replication.take() {
                Some(open) => open,
                None => Connection::connect_physical(&survey.pinned)?,
            };
            self.history(writer, survey, &mut replication)?;
            let ended = survey.is_still_the_same(connection, &mut replication)?;
            Ok(Taken { copy, wal, ended })
        })
    }

    /// The history of a timeline that is not the first: a server that begins on it asks for it.
    fn history(
        &self,
        writer: &BackupWriter<'_>,
        survey: &Survey,
        replication: &mut Connection,
    ) -> Result<(), OpsError> {
        if survey.timeline <= 1 {
            return Ok(());
        }
        let history = replication.timeline_history(survey.timeline)?;
        let path = paths::in_data_directory(format!("pg_wal/{:08X}.history", survey.timeline).as_bytes());
        write_whole(writer, path, Class::Data, &history.content, &Note::Wal)
    }

    fn about(
        &self,
        survey: &Survey,
        chosen: &Chosen,
        earlier: &Earlier,
        taken: Taken,
        mut report: Report,
    ) -> Result<About, OpsError> {
        let Taken { copy: Copy { start, stop, label, copied, folders, .. }, wal, ended } = taken;
        let label = BackupLabel::parse(&label)
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
            source: chosen.source(),
            source_reason: chosen.why.clone(),
            timeline: survey.timeline,
            start_lsn: start.to_string(),
            stop_lsn: stop.to_string(),
            checkpoint_lsn: label.checkpoint_lsn.to_string(),
            start_time: label.start_time.clone(),
            stop_time: ended.to_string(),
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
