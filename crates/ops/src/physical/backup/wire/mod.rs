//! The files as the server sends them: BASE_BACKUP over a replication connection, from any host.
//!
//! **Order.** When the WAL streams, the server is asked for a base backup without WAL. It makes its
//! checkpoint, and sends a tar archive for each tablespace, the one of the data directory last,
//! whose last file is `pg_control`. An archive is unpacked while it comes (`unpacking`), and each
//! file of it goes on at once: pages into maps (`folders`), everything else into an entry of its
//! own (`receiver`). Then the server's manifest comes, and every file that came is compared with it
//! (`sent`). Last it says where the backup ended.
//!
//! **Order of files.** The server goes down into a folder when it finds it, and comes back when it
//! is done, so a folder ends where something comes that is not in it. In a folder the files come as
//! the file system lists them.
//!
//! **Memory and disks.** Nothing is put on a disk, and no archive or file is held: of a folder that
//! is open, the names of its small files, and up to three units of pages for each of its bundles;
//! of every file its path, length and CRC32C, to be compared with the manifest.
//!
//! **Cancel and failure.** Whatever ends us ends the connection, and the server leaves backup mode
//! with it. Where the stream of WAL fails, the backup ends at the next piece that comes.

mod answer;
mod folders;
mod local;
mod receiver;
mod sent;
mod unpacking;

use pgark_bytes::protocol::base_backup::ArchiveCompression;
use pgark_pg::{BackupEvent, BaseBackupOptions, Connection, Refusal, ServerCompression};

use super::request::{Checkpoint, Request};
use super::shared::{Copy, MOVE_BACK, Shared, is_needed};
use super::survey::Survey;
use super::window;
use crate::OpsError;
use crate::cluster::Report;
use crate::error::Doing;
use crate::facts::ChecksumFailure;
use answer::{Answer, Finished};
use local::is_local;
use receiver::{Received, Receiver};

/// BASE_BACKUP and the stream of WAL at once.
pub(super) const WAL_SENDERS: u32 = 2;
/// Bytes per second that the server can be held to.
const LEAST_RATE: u64 = 32 << 10;
const MOST_RATE: u64 = 1 << 30;

/// Refuses what cannot be had over the wire, before anything is asked of the server.
pub(super) fn refuse(request: &Request, survey: &Survey) -> Result<(), OpsError> {
    if request.rate.is_some_and(|rate| !(LEAST_RATE..=MOST_RATE).contains(&rate)) {
        return Err(OpsError::Usage(
            "over the wire the rate can be from 32KiB to 1GiB in a second: these are the limits of BASE_BACKUP".into(),
        ));
    }
    if survey.max_wal_senders < WAL_SENDERS {
        return Err(OpsError::refused(
            format!(
                "max_wal_senders is {}: a backup over the wire needs {WAL_SENDERS} replication connections at once",
                survey.max_wal_senders
            ),
            "set max_wal_senders to 10, the default, in postgresql.conf and restart the server",
        ));
    }
    let in_place = survey.tablespaces.iter().find(|tablespace| tablespace.location.is_none());
    match in_place.filter(|_| survey.server_version < 160_000) {
        None => Ok(()),
        Some(tablespace) => Err(OpsError::refused(
            format!(
                "tablespace {} is inside of the data directory (allow_in_place_tablespaces): PostgreSQL {} does not \
                 send it",
                tablespace.name,
                survey.server_version / 10_000
            ),
            "back up the files on the server's host, or move what is in it to another tablespace",
        )),
    }
}

/// Begins the backup in the server, receives its files, and hears where it ended.
pub(super) fn copy(
    shared: &Shared<'_>,
    connection: &mut Connection,
    report: &mut Report,
) -> Result<Copy, OpsError> {
    let Shared { job, watch, survey, ends, .. } = *shared;
    job.progress.phase("waiting for the server's checkpoint");
    let databases = databases(connection)?;
    // It waits for the end of the stream of WAL; before 14 there is no such limit.
    let settings: &[(&str, &str)] = match survey.server_version >= 140_000 {
        true => &[("idle_session_timeout", "0")],
        false => &[],
    };
    let mut replication = Connection::connect_physical(&survey.pinned.with_settings(settings))?;
    watch.add(replication.canceller());
    let mut options = options(shared.request, survey, connection);
    let mut came = receive(shared, &mut replication, &options, connection)?;
    if came.is_none() {
        job.progress.info("the server cannot compress what it sends: it was built without zstd");
        options.compression = None;
        came = receive(shared, &mut replication, &options, connection)?;
    }
    let Some((received, finished)) = came else {
        return Err(OpsError::refused(
            "the server refused to compress what it was not asked to compress",
            "",
        ));
    };
    let Received { mut copied, seen, label, folders, links, .. } = received;
    for notice in finished.notices {
        // Those about files whose pages are named already say less.
        if !copied.failures.iter().any(|failure| notice.contains(&failure.path)) {
            report.warn(&format!("the server: {notice}"));
        }
    }
    if let Some(words) = finished.damaged
        && copied.failed == 0
    {
        copied.failed = 1;
        copied.failures.push(ChecksumFailure { count: 1, reason: words, ..ChecksumFailure::default() });
    }
    for link in &links {
        if is_needed(link) {
            let what = format!("{} in the data directory is a symbolic link", String::from_utf8_lossy(link));
            return Err(OpsError::refused(what, MOVE_BACK));
        }
        report.warn(&format!("{} is a symbolic link, and not in the backup", String::from_utf8_lossy(link)));
    }
    let mut there = self::databases(connection)?;
    there.retain(|database| databases.contains(database));
    seen.refuse_without(&there)?;
    let (start, stop) = (finished.start, finished.position.lsn);
    ends.ended(stop);
    Ok(Copy { start, stop, label, copied, folders, replication: Some(replication) })
}

/// Asks for a backup, and takes all that comes. None: the server cannot compress as it was asked
/// to.
fn receive(
    shared: &Shared<'_>,
    replication: &mut Connection,
    options: &BaseBackupOptions,
    connection: &mut Connection,
) -> Result<Option<(Received, Finished)>, OpsError> {
    let Shared { job, survey, ends, .. } = *shared;
    let stop = || shared.is_stopped();
    let (mut answer, started) = match Answer::begin(replication, options, &stop) {
        Err(OpsError::Replication(failure))
            if options.compression.is_some() && failure.refusal() == Some(Refusal::CompressionRefused) =>
        {
            return Ok(None);
        }
        begun => begun?,
    };
    if options.compression.is_some() {
        job.progress.info("the server compresses what it sends, with zstd");
    }
    if started.position.timeline != survey.timeline {
        return Err(OpsError::refused(
            format!("the server changed from timeline {} to {}", survey.timeline, started.position.timeline),
            "run the backup again",
        ));
    }
    let start = started.position.lsn;
    ends.began(start);
    job.progress.phase("receiving files");
    job.progress.total_bytes(started.bytes);
    let mut end_of_wal = || window::end_of_wal(connection);
    let mut receiver = Receiver::new(shared, start, &mut end_of_wal);
    loop {
        match answer.next()? {
            Some(BackupEvent::ArchiveBegins { name, .. }) => receiver.begin_archive(name)?,
            Some(BackupEvent::Data(bytes)) => receiver.take(bytes)?,
            Some(BackupEvent::ManifestBegins) => break,
            Some(_) => {}
            None => return Err(OpsError::refused("the server sent no manifest", "run the backup again")),
        }
    }
    let mut received = receiver.finish()?;
    std::mem::take(&mut received.sent).compare(&mut answer, survey, start)?;
    Ok(Some((received, answer.finish(start)?)))
}

fn options(request: &Request, survey: &Survey, connection: &Connection) -> BaseBackupOptions {
    let zstd = ServerCompression { method: ArchiveCompression::Zstd, level: Some(1) };
    BaseBackupOptions {
        checkpoint: match request.checkpoint {
            Checkpoint::Fast => pgark_pg::Checkpoint::Fast,
            Checkpoint::Spread => pgark_pg::Checkpoint::Spread,
        },
        max_rate: request.rate.and_then(|rate| u32::try_from(rate >> 10).ok()),
        progress: true,
        compression: Some(zstd).filter(|_| survey.server_version >= 150_000 && !is_local(connection)),
        ..BaseBackupOptions::new(&request.label)
    }
}

/// The databases, and the tablespaces that their folders are in. Of one whose DROP broke off (its
/// `datconnlimit` is -2) the folder can be gone.
fn databases(connection: &mut Connection) -> Result<Vec<(u32, u32)>, OpsError> {
    let doing = "list the databases";
    let sql = "SELECT oid, dattablespace FROM pg_catalog.pg_database WHERE datconnlimit <> -2";
    let rows = connection.query(sql, &[]).doing(doing)?;
    rows.iter().map(|row| Ok((row.parse(0).doing(doing)?, row.parse(1).doing(doing)?))).collect()
}
