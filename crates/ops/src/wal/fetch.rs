//! `wal fetch`: gives a server a file of archived WAL.
//!
//! **What the server understands.** It runs this as `restore_command` and looks at the exit code
//! alone. In recovery, 1 says that the WAL ends here, and the server opens; above 125 it stops. On
//! a standby, 1 says "ask again later", and above 125 the standby shuts down (trap 18). So the
//! answer to a failure depends on which signal file is there ([`Mode`]).
//!
//! **Absent is proved.** A file is absent if the storage says so and nothing later is there on its
//! timeline. If something later is there, files are archived out of order at the moment, or one is
//! lost: it is asked for again for a while, and then it is a hole, never the end. Only where the
//! server has the segment itself, whole to its last record, as a restored backup brings it, the
//! answer is "absent": the server then reads its own. And what lies behind the target of a recovery
//! is not needed ([`Request::up_to`]): a server that has not come across its target by then fails,
//! and does not open.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pgark_bytes::control_file::ControlFile;
use pgark_bytes::wal_name::SegmentSize;
use pgark_repo::{Repository, WalArchive, WalKind, WalName};

use super::deadline::within;
use super::facts::SegmentFacts;
use super::{archive, archived, file};
use crate::{Job, OpsError};

/// So long a hole is waited for: files that are archived at once can come out of order.
const HOLE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What to fetch.
pub struct Request {
    /// The file's name (`%f`).
    pub file: String,
    /// Where to put it (`%p`).
    pub to: PathBuf,
    /// The data directory of the server that asks.
    pub data_directory: PathBuf,
    /// The cluster's name; by default that of its backups.
    pub cluster: Option<String>,
    /// No segment behind this one is needed: the target of the recovery is in front of that.
    pub up_to: Option<String>,
    /// Of a segment that is not whole, and behind which nothing is, give what there is, with zeros
    /// behind it. Never for a standby: it would not ask for the rest.
    pub with_partial: bool,
    /// It is an error when it takes longer.
    pub timeout: Duration,
}

/// What the server does with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It recovers up to the end of the WAL or a target, and opens.
    Recovery,
    /// It is a standby, which asks again.
    Standby,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file is where the server wants it, whole and verified.
    Fetched {
        /// Its bytes.
        bytes: u64,
    },
    /// It is proved that there is no such file.
    Absent,
}

impl Mode {
    /// That of the server of a data directory.
    pub fn of(data_directory: &Path) -> Mode {
        // With both, it is a standby (`readRecoverySignalFile` in xlogrecovery.c).
        match data_directory.join("standby.signal").exists() {
            true => Mode::Standby,
            false => Mode::Recovery,
        }
    }
}

/// Fetches a file.
///
/// # Errors
/// It is not known whether it is there, or what is there is not what it must be.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<Outcome, OpsError> {
    within(job, request.timeout, |job| {
        let repository = &job.on(repository);
        let name = WalName::parse(&request.file).ok_or_else(|| {
            OpsError::refused(
                format!("{} is not the name of a file of WAL", request.file),
                "in restore_command, PostgreSQL puts the file's name in the place of %f, and its path in that of %p",
            )
        })?;
        if request.is_behind(&name)? {
            return Ok(Outcome::Absent);
        }
        let control = file::control_file(&request.data_directory)?;
        let system = control.system_identifier;
        let archive = archive::existing(repository, request.cluster.as_deref(), system)?;
        let until = Instant::now() + HOLE.min(request.timeout / 2);
        loop {
            if let Some((_, content)) = archive.get(&name)? {
                verify(&name, &content, system)?;
                write(&request.to, &content)?;
                return Ok(Outcome::Fetched { bytes: content.len() as u64 });
            }
            let Some(later) = later(&archive, &name, &control)? else {
                return unfinished(&archive, request, &name, &control);
            };
            if is_whole_in(&request.data_directory, &name, system) {
                job.progress.detail(&format!(
                    "{} is not in the repository, and {later} is; the server has the whole segment itself",
                    name.file()
                ));
                return Ok(Outcome::Absent);
            }
            if Instant::now() >= until {
                return Err(OpsError::refused(
                    format!("{} is not in the repository, and {later} is: a hole in the WAL", name.file()),
                    "recovery cannot go on over it: restore to a moment before, or from a backup that was made after",
                ));
            }
            job.cancel.sleep(LOOK).map_err(|_| OpsError::Cancelled)?;
        }
    })
}

impl Request {
    /// Whether a segment lies behind what the recovery needs. Servers read ahead (from 15 on, to
    /// prefetch blocks), and what they find missing there must not end a recovery in front of it.
    pub(super) fn is_behind(&self, name: &WalName) -> Result<bool, OpsError> {
        let Some(up_to) = &self.up_to else { return Ok(false) };
        let last = file::segment_of(up_to).ok_or_else(|| {
            OpsError::refused(
                format!("{up_to} is not the name of a segment"),
                "name the last one that is needed",
            )
        })?;
        let own = file::segment_of(name.file()).filter(|_| name.kind() == WalKind::Segment);
        Ok(own.is_some_and(|own| (own.log, own.segment) > (last.log, last.segment)))
    }
}

/// Whether the `pg_wal` of a data directory has a segment whose records go on to its end: not one
/// that is zeros behind the end of a backup.
fn is_whole_in(data_directory: &Path, name: &WalName, system: u64) -> bool {
    let Ok(file) = file::WalFile::read(&data_directory.join("pg_wal").join(name.file())) else {
        return false;
    };
    match file.head() {
        Ok(Some(head)) if head.format.system_identifier == system => {
            SegmentFacts::of(&head, &file.content, &mut || None).goes_on()
        }
        _ => false,
    }
}

/// What there is of a segment that is not whole, if that is asked for.
fn unfinished(
    archive: &WalArchive<'_>,
    request: &Request,
    name: &WalName,
    control: &ControlFile,
) -> Result<Outcome, OpsError> {
    let is_wanted = request.with_partial && name.kind() == WalKind::Segment;
    if !is_wanted || Mode::of(&request.data_directory) == Mode::Standby {
        return Ok(Outcome::Absent);
    }
    let Some(mut content) = archived::unfinished(archive, name)? else { return Ok(Outcome::Absent) };
    // As a server has it of which the last segment is not full.
    content.resize(content.len().max(control.wal_segment_size as usize), 0);
    verify(name, &content, control.system_identifier)?;
    write(&request.to, &content)?;
    Ok(Outcome::Fetched { bytes: content.len() as u64 })
}

/// A segment on the same timeline that comes after this one, or a piece of such.
fn later(
    archive: &WalArchive<'_>,
    name: &WalName,
    control: &ControlFile,
) -> Result<Option<String>, OpsError> {
    if name.kind() != WalKind::Segment {
        // Servers ask for histories to find out which timelines there are.
        return Ok(None);
    }
    let Some(later) = archive.segments_after(name)?.into_iter().next() else { return Ok(None) };
    // A timeline has no segments before the one in which it began.
    let history = WalName::parse(&format!("{:08X}.history", name.timeline()));
    let history = history.map(|history| archived::history(archive, &history)).transpose()?.flatten();
    let Some(history) = history else { return Ok(Some(later.name.file().to_string())) };
    let began = history.ancestors().last().map(|parent| parent.switch_lsn);
    let segment = file::segment_of(name.file()).zip(began);
    if let Some((segment, began)) = segment
        && let Ok(size) = SegmentSize::new(control.wal_segment_size)
        && segment.number(size).is_some_and(|number| number < size.number_of(began))
    {
        return Ok(None);
    }
    Ok(Some(later.name.file().to_string()))
}

/// A segment must be that of its name, and of this system.
pub(super) fn verify(name: &WalName, content: &[u8], system: u64) -> Result<(), OpsError> {
    if name.kind() != WalKind::Segment {
        return Ok(());
    }
    let head = file::head(name.file(), content)?;
    match head.format.system_identifier == system {
        true => Ok(()),
        false => Err(OpsError::refused(
            format!(
                "{} is of the system {}, and the server of {system}",
                name.file(),
                head.format.system_identifier
            ),
            "",
        )),
    }
}

/// Writes the file whole under another name first: the server never sees a part of it.
pub(super) fn write(to: &Path, content: &[u8]) -> Result<(), OpsError> {
    let mut part = to.as_os_str().to_os_string();
    part.push(format!(".pgark-{}", std::process::id()));
    let part = PathBuf::from(part);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&part, to)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&part);
        OpsError::File { doing: "write", path: to.to_path_buf(), source }
    })
}
