//! What an earlier receiver left in the spool: it was received, and the repository may not have it.

use std::collections::{BTreeMap, BTreeSet};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::{WalFormat, Walk};
use pgark_bytes::wal_name::SegmentName;
use pgark_repo::{WalArchive, WalKind};

use super::super::file;
use super::flow::Run;
use super::origin::Origin;
use super::spool::Spool;
use crate::OpsError;
use crate::advice::{Setting, advice};

/// What there is to go on with, by timelines. Segments that the repository has are removed from the
/// spool, and what is not whole to its last record is cut off: the server sends that again.
///
/// # Errors
/// The spool is of another system, or does not follow what the repository has.
pub(super) fn find(spool: &Spool, origin: &Origin, archive: &WalArchive<'_>) -> Result<Vec<Run>, OpsError> {
    if let Some(of_spool) = Origin::of_spool(spool)?
        && of_spool.format.system_identifier != origin.format.system_identifier
    {
        return Err(OpsError::refused(
            format!(
                "the spool {} has WAL of the system {}, and the server is of {}",
                spool.folder().display(),
                of_spool.format.system_identifier,
                origin.format.system_identifier
            ),
            advice!["give each server a spool of its own: ", Setting::Spool.to("DIR")],
        ));
    }
    let size = origin.format.segment_size;
    let mut timelines: BTreeMap<u32, Vec<SegmentName>> = BTreeMap::new();
    for segment in spool.segments()? {
        timelines.entry(segment.timeline).or_default().push(segment);
    }
    let mut runs = Vec::new();
    for (timeline, segments) in timelines {
        let archived: BTreeSet<u64> = archive
            .list(Some(timeline))?
            .into_iter()
            .filter(|listed| listed.name.kind() == WalKind::Segment)
            .filter_map(|listed| file::segment_of(listed.name.file())?.number(size))
            .collect();
        let mut waiting = Vec::new();
        for segment in segments {
            match segment.number(size) {
                Some(number) if !archived.contains(&number) => waiting.push((number, segment)),
                _ => spool.remove(segment)?,
            }
        }
        let Some((first, name)) = waiting.first().copied() else { continue };
        if let Some(last) = archived.range(..first).next_back()
            && last + 1 != first
        {
            return Err(OpsError::refused(
                format!(
                    "the spool {} goes on with {name}, and what the repository has ends {} segments before that",
                    spool.folder().display(),
                    first - last - 1
                ),
                "the segments between are lost: move the spool away, and start again",
            ));
        }
        let start = file::start(first, size);
        let end = keep_whole(spool, WalFormat { timeline, ..origin.format }, start, &waiting)?;
        if end > start {
            runs.push(Run { timeline, start, end, lost_from: None });
        }
    }
    Ok(runs)
}

/// Where the whole records end of segments that follow each other; what is behind that is removed.
fn keep_whole(
    spool: &Spool,
    format: WalFormat,
    start: Lsn,
    segments: &[(u64, SegmentName)],
) -> Result<Lsn, OpsError> {
    let size = format.segment_size;
    let mut end = start;
    if let Ok(mut walk) = Walk::new(format, start) {
        for (number, segment) in segments {
            let content = spool.front(*segment, size.bytes().into()).unwrap_or_default();
            // A walk that does not go on has ended.
            if walk.feed(file::start(*number, size), &content, &mut |_| {}).is_err()
                || (content.len() as u64) < u64::from(size.bytes())
            {
                break;
            }
        }
        end = walk.proved();
    }
    for (number, segment) in segments {
        match end.0.checked_sub(file::start(*number, size).0) {
            None | Some(0) => spool.remove(*segment)?,
            Some(bytes) if bytes < u64::from(size.bytes()) => spool.cut(*segment, bytes)?,
            Some(_) => {}
        }
    }
    Ok(end)
}
