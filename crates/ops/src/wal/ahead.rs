//! Fetches segments ahead of a server that recovers: while it replays one, the next ones come.
//!
//! A server waits for each file before it asks for the next one. So a call also starts a process of
//! its own in the background, which fetches what the server will ask for, and ends. Nothing depends
//! on it: what is not there is fetched by the call that is made for it.

use std::time::Duration;

use pgark_bytes::wal_name::SegmentSize;
use pgark_repo::{Repository, WalAhead, WalKind, WalName};

use super::deadline::within;
use super::fetch::{Request, verify, write};
use super::{archive, file};
use crate::error::with_causes;
use crate::{Job, OpsError, workers};

/// Where segments wait, in `pg_wal`.
const FOLDER: &str = "pg_wal/pgark-ahead";
/// Segments that are fetched at once.
const AT_ONCE: usize = 2;
/// It ends after so long, whatever is there.
const LONGEST: Duration = Duration::from_secs(60);

/// What was fetched ahead for the server of a request. `place`: that of the repository.
///
/// # Errors
/// It is no data directory.
pub fn of(request: &Request, place: &str) -> Result<WalAhead, OpsError> {
    let system = file::of_data_directory(&request.data_directory)?;
    let cluster = request.cluster.as_deref().unwrap_or_default();
    Ok(WalAhead::of(request.data_directory.join(FOLDER), &format!("{place}\0{cluster}\0{system}")))
}

/// Gives the server its segment, if that was fetched before; its bytes.
///
/// # Errors
/// It cannot be written.
pub fn take(ahead: &WalAhead, request: &Request) -> Result<Option<u64>, OpsError> {
    let Some(name) = segment(&request.file) else { return Ok(None) };
    let Some((path, content)) = ahead.find(&name) else { return Ok(None) };
    let system = file::of_data_directory(&request.data_directory)?;
    if verify(&name, &content, system).is_err() {
        return Ok(None);
    }
    // It is in the same folder as a rule.
    if std::fs::rename(&path, &request.to).is_err() {
        write(&request.to, &content)?;
    }
    ahead.keep_behind(&name);
    Ok(Some(content.len() as u64))
}

/// Whether too few segments wait behind the one that the server has got: fewer than half of these.
pub fn is_wanted(ahead: &WalAhead, request: &Request, count: usize) -> bool {
    // Of any timeline: what follows its eight digits is the position.
    let position = |file: &str| file.get(8..24).map(str::to_string);
    let is_last = |last: &String| position(last) <= position(&request.file);
    let Some(name) = segment(&request.file) else { return false };
    if request.up_to.as_ref().is_some_and(is_last) {
        return false;
    }
    let waiting = ahead.segments().into_iter().filter(|waiting| waiting > &name).count();
    waiting * 2 < count
}

/// Fetches up to so many segments behind the one of the request, as far as they are there.
///
/// # Errors
/// What the repository says, and the disk.
pub fn fill(
    repository: &Repository,
    ahead: &WalAhead,
    request: &Request,
    count: usize,
    job: &Job,
) -> Result<(), OpsError> {
    within(job, LONGEST, |job| {
        let failed = |source| OpsError::File {
            doing: "fetch ahead into",
            path: request.data_directory.join(FOLDER),
            source,
        };
        let Some(_lock) = ahead.hold().map_err(failed)? else { return Ok(()) };
        let control = file::control_file(&request.data_directory)?;
        let size = SegmentSize::new(control.wal_segment_size)
            .map_err(|error| OpsError::refused(error.to_string(), ""))?;
        let repository = &job.on(repository);
        let archive = archive::existing(repository, request.cluster.as_deref(), control.system_identifier)?;
        let there = ahead.segments();
        let mut wanted = Vec::new();
        let mut next = segment(&request.file).and_then(|name| file::segment_of(name.file()));
        for _ in 0..count {
            next = next.and_then(|segment| segment.next(size));
            let name = next.and_then(|next| WalName::parse(&next.to_string()));
            let Some(name) = name.filter(|name| !request.is_behind(name).unwrap_or(true)) else { break };
            if !there.contains(&name) {
                wanted.push(name);
            }
        }
        workers::each(AT_ONCE, wanted.iter(), |name| {
            job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            let Some((_, content)) = archive.get(name)? else { return Ok(()) };
            verify(name, &content, control.system_identifier)?;
            ahead.put(name, &content).map_err(failed)
        })
        .inspect_err(|error| job.progress.detail(&with_causes(error)))
    })
}

fn segment(file: &str) -> Option<WalName> {
    WalName::parse(file).filter(|name| name.kind() == WalKind::Segment)
}
