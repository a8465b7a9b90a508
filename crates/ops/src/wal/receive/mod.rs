//! `wal receive`: takes the WAL of a server as it is written, and archives it at once or a few
//! seconds later.
//!
//! | thread | does |
//! |---|---|
//! | `stream` | receives, writes into the spool, tells the server how far both are; connects again |
//! | `upload` | archives what is in the spool: whole segments, and pieces of the last one |
//! | another of it | deletes pieces that mean nothing any more |
//! | `watch` | raises the alarm when the repository does not get on |
//!
//! So an upload that hangs ends no connection, and a connection that is lost ends no upload.
//!
//! **What the server is told.** As written: what is in the spool and synced. As flushed, unless the
//! operator said otherwise: what the repository has without a gap. A slot keeps WAL up to there,
//! and a commit waits for it where `synchronous_standby_names` names this receiver. Nothing is ever
//! told as applied.
//!
//! **A crash** of the receiver or its host loses nothing of that: it goes on with its spool, if
//! that is still there, and the server sends again what the repository does not have.

mod begin;
mod flow;
mod leftovers;
mod origin;
mod request;
mod spool;
mod stream;
mod upload;
mod watch;

use std::cell::Cell;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use pgark_bytes::lsn::Lsn;
use pgark_pg::ConnInfo;
use pgark_repo::Repository;
use pgark_store::Cancel;

use super::archive;
use crate::{Job, OpsError};
use begin::Begin;
use flow::{Flow, GRACE, Pace};
use origin::{Origin, connect};
pub use request::{Ack, MaxLag, Request};
use spool::Spool;

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of the cluster.
    pub cluster: String,
    /// The repository has all WAL that was received up to here; None: none was.
    pub archived: Option<(u32, Lsn)>,
}

/// Receives until it is told to end.
///
/// # Errors
/// The server does not let us, or does not have the WAL any more; the repository refuses it; what
/// was received could not be archived at the end.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<Report, OpsError> {
    let spool = Spool::open(&request.spool)?;
    // If the server is gone for good, what is in the spool is the last of it.
    let (origin, connection) = match connect(&request.conninfo) {
        Ok(mut connection) => (Origin::of_server(&mut connection)?, Ok(connection)),
        Err(error) => match Origin::of_spool(&spool)? {
            Some(origin) => (origin, Err(error)),
            None => return Err(error),
        },
    };
    // What ends the job does not end the uploads.
    let own = Job { cancel: Cancel::new(), progress: std::sync::Arc::clone(&job.progress) };
    let (for_job, for_uploads) = (job.on(repository), own.on(repository));
    let system = origin.format.system_identifier;
    let cluster = archive::cluster_of(&for_job, request.cluster.as_deref(), system)?;
    let archive = for_job.wal(&cluster, system)?;
    archive.begin(&for_job, false)?;
    let upload_archive = for_uploads.wal(&cluster, system)?;
    let pace = if request.synchronous { Pace::AtOnce } else { Pace::After(request.flush_interval) };
    let flow = Flow::new(origin.format.segment_size, pace);
    let mut held = None;
    for run in leftovers::find(&spool, &origin, &archive)? {
        held = Some(Begin { timeline: run.timeline, at: run.end });
        flow.begin(run);
    }
    let host = Mutex::new(None);
    let watched = Job { cancel: Cancel::new(), progress: std::sync::Arc::clone(&job.progress) };
    let received = thread::scope(|scope| {
        let (trash, thrown) = mpsc::sync_channel(upload::TRASH);
        let uploader = upload::Uploader {
            archive: &upload_archive,
            format: origin.format,
            spool: &spool,
            flow: &flow,
            compression_level: request.compression_level,
            trash,
            job: &own,
            is_on: Cell::new(false),
        };
        let overseer = watch::Overseer { request, flow: &flow, host: &host, job: &watched };
        scope.spawn(|| uploader.run());
        let (upload_archive, own) = (&upload_archive, &own);
        scope.spawn(move || upload::delete(upload_archive, &thrown, own));
        scope.spawn(|| overseer.run());
        let receiver = stream::Receiver {
            request,
            origin: &origin,
            archive: &archive,
            flow: &flow,
            host: &host,
            job,
            writer: spool.writer(origin.format.segment_size),
            held,
            is_on: false,
            began: Instant::now(),
        };
        let received = connection.and_then(|connection| receiver.run(connection));
        flow.end();
        if flow.has_failed() || !flow.is_drained_within(GRACE) {
            own.cancel.cancel();
        }
        watched.cancel.cancel();
        received
    });
    // What ended the uploads is the cause of what followed.
    if let Some(error) = flow.failure() {
        return Err(error);
    }
    received?;
    let progress = flow.progress();
    if progress.waiting > 0 {
        return Err(OpsError::refused(
            format!(
                "{} bytes of WAL could not be archived: they are in the spool {}",
                progress.waiting,
                spool.folder().display()
            ),
            "start the receiver again on this host: it archives them first",
        ));
    }
    Ok(Report { cluster, archived: progress.committed.map(|at| (at.timeline, at.lsn)) })
}

/// Drops the replication slot of a receiver that is not needed any more.
///
/// # Errors
/// There is none, or it is in use.
pub fn drop_slot(conninfo: &ConnInfo, slot: &str) -> Result<(), OpsError> {
    Ok(connect(conninfo)?.drop_slot(slot, false)?)
}
