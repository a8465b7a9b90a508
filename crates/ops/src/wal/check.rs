//! `wal check` and `wal list`: what WAL is archived of a cluster, and the proof that none is
//! missing in it.
//!
//! **The proof.** Each segment's header says which record it begins with and which one is in front
//! of that; the header of the segment before says which one it ends with. Both must agree, from the
//! first segment of a timeline to the last, and with the parent's where the timeline began. Headers
//! are verified by signature and digest; `read_data` also opens the bytes. So no segment can be
//! missing, exchanged or cut off.

use std::collections::BTreeMap;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use pgark_repo::{Repository, WalArchive, WalHeader, WalListed};
use schemars::JsonSchema;
use serde::Serialize;

use super::archive;
use super::archived::{Archived, Found, Segment};
use super::candidate::{self, Candidate};
use super::facts::SegmentFacts;
use super::file::start;
pub use super::said::Depth;
use super::said::said;
use super::unfinished;
use crate::{Job, OpsError, workers};

/// How far back backups are looked for.
const MOST_BACKUPS: usize = 1024;

/// What to look at.
pub struct Request {
    /// The cluster; None: the only one that has WAL.
    pub cluster: Option<String>,
    /// How deep.
    pub depth: Depth,
    /// Headers that are read at once.
    pub jobs: usize,
}

/// The WAL of a cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WalReport")]
pub struct Report {
    /// Name of the cluster.
    pub cluster: String,
    /// System identifier, in decimal.
    pub system_identifier: String,
    /// Its timelines, in their order.
    pub timelines: Vec<Timeline>,
    /// Its physical backups, the oldest first.
    pub backups: Vec<BackupReach>,
    /// What is wrong, each as a sentence.
    pub problems: Vec<String>,
    /// No segment is missing from the oldest physical backup on (without one: from the first
    /// segment on), and nothing that was looked at is damaged.
    pub ok: bool,
}

/// The WAL of a timeline.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WalTimeline")]
pub struct Timeline {
    /// The timeline.
    pub timeline: u32,
    /// The one that it came from. Null: it is the first, or its history is not archived.
    pub parent: Option<u32>,
    /// Where it left its parent. Null as for `parent`.
    pub fork_lsn: Option<String>,
    /// Where its first segment begins. Null: it has none.
    pub from_lsn: Option<String>,
    /// Where its WAL ends; `wal list` says where its last segment or piece ends. Null: it has none.
    pub to_lsn: Option<String>,
    /// When its last segment or piece was archived: RFC 3339, UTC. Null: it has none, or `wal
    /// list`.
    pub to_time: Option<String>,
    /// Number of whole segments.
    pub segments: u64,
    /// What there is of the segment behind the last one. Null: nothing.
    pub unfinished: Option<Unfinished>,
    /// Size in bytes of the objects of segments and pieces.
    pub bytes_stored: u64,
    /// What is missing in front of the last segment, from the first one on of which anything is
    /// there.
    pub gaps: Vec<Gap>,
}

/// A segment that is not whole: a receiver puts pieces of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "UnfinishedWal")]
pub struct Unfinished {
    /// Its name.
    pub segment: String,
    /// Number of pieces.
    pub pieces: u64,
    /// Bytes of it, from its beginning on without a gap.
    pub bytes: u64,
}

/// Segments that are missing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WalGap")]
pub struct Gap {
    /// The first of them.
    pub from: String,
    /// The last of them.
    pub to: String,
    /// How many.
    pub segments: u64,
    /// The operator said to receive without them; that is not a problem. Always false: `wal list`.
    pub accepted: bool,
}

/// How far a physical backup can be recovered on its timeline.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WalBackupReach")]
pub struct BackupReach {
    /// Id of the backup.
    pub id: String,
    /// Its timeline.
    pub timeline: u32,
    /// It is consistent from here on.
    pub restorable_from: String,
    /// The archived WAL goes on without a gap up to here. Null: what follows the backup is not
    /// archived.
    pub restorable_to: Option<String>,
}

/// Looks.
///
/// # Errors
/// No WAL is archived; what the repository says of something else than a file of WAL.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<Report, OpsError> {
    let repository = &job.on(repository);
    let (cluster, system) = archive::whose(repository, request.cluster.as_deref())?;
    let archive = repository.wal(&cluster, system)?;
    job.progress.phase("listing the WAL");
    let Archived { size, timelines: mut found, mut problems, .. } = Archived::read(&archive)?;
    let mut ends = BTreeMap::new();
    if request.depth > Depth::Names {
        job.progress.phase("reading the headers of the WAL");
        read(&archive, &mut found, request, job, &mut problems)?;
        for (timeline, found) in &found {
            ends.extend(
                unfinished::read(&archive, found, request.depth, job, &mut problems)?
                    .map(|end| (*timeline, end)),
            );
        }
    }
    let heads = repository.newest_backups(&cluster, MOST_BACKUPS)?;
    let backups = candidate::of_system(&heads, &system.to_string());
    let reach: Vec<BackupReach> = backups.iter().map(|backup| reach(backup, &found, &ends, size)).collect();
    let oldest = backups.iter().map(|backup| backup.start).min();
    let timelines: Vec<Timeline> = found
        .iter()
        .map(|(timeline, found)| told(*timeline, found, ends.get(timeline), size, oldest, &mut problems))
        .collect();
    if request.depth > Depth::Names {
        found.keys().for_each(|timeline| chained(*timeline, &found, &ends, size, oldest, &mut problems));
    }
    Ok(Report {
        cluster,
        system_identifier: system.to_string(),
        timelines,
        backups: reach,
        ok: problems.is_empty(),
        problems,
    })
}

/// Reads the headers of all segments, and their bytes where that is asked for.
fn read(
    archive: &WalArchive<'_>,
    found: &mut BTreeMap<u32, Found>,
    request: &Request,
    job: &Job,
    problems: &mut Vec<String>,
) -> Result<(), OpsError> {
    let mut segments: Vec<&mut Segment> =
        found.values_mut().flat_map(|timeline| timeline.segments.values_mut()).collect();
    let listed: Vec<WalListed> = segments.iter().map(|segment| segment.listed.clone()).collect();
    job.progress.total_bytes(listed.iter().map(|file| file.stored).sum());
    let read = workers::map(request.jobs, &listed, |file| said(archive, file, request.depth, job))?;
    for (segment, read) in segments.iter_mut().zip(read) {
        match read {
            Ok((header, facts)) => {
                problems.extend(facts.damaged.as_ref().map(|damaged| {
                    let file = segment.listed.name.file();
                    format!("{file} was damaged on the server when it was archived: {damaged}")
                }));
                segment.said = Some((header, facts));
            }
            Err(why) => problems.push(why),
        }
    }
    Ok(())
}

/// What there is of a timeline. What is missing behind the oldest backup is a problem.
fn told(
    timeline: u32,
    found: &Found,
    end: Option<&Segment>,
    size: SegmentSize,
    oldest: Option<Lsn>,
    problems: &mut Vec<String>,
) -> Timeline {
    let start = |number: u64| start(number, size);
    let shown = |number: u64| SegmentName::new(timeline, number, size).map(|name| name.to_string());
    let unfinished = found.unfinished();
    let whole = found.segments.iter().map(|(number, segment)| (*number, segment.said.as_ref()));
    let last = unfinished.map(|(number, _)| (number, end.and_then(|end| end.said.as_ref())));
    let known: Vec<(u64, Option<&(WalHeader, SegmentFacts)>)> = whole.chain(last).collect();
    // Of one in front of these, only pieces may be there.
    let begun = found.pieces.keys().copied();
    let first = begun.chain(known.first().map(|(number, _)| *number)).min();
    let mut gaps = Vec::new();
    let mut expected = first.unwrap_or_default();
    for (number, said) in &known {
        if expected < *number
            && let (Some(from), Some(to)) = (shown(expected), shown(number - 1))
        {
            let segments = number - expected;
            let accepted = said.is_some_and(|(_, facts)| facts.lost_from.is_some());
            if !accepted && oldest.is_none_or(|oldest| start(*number) > oldest) {
                problems.push(match segments {
                    1 => format!("{from} is missing"),
                    _ => format!("{from} to {to} are missing ({segments} segments)"),
                });
            }
            gaps.push(Gap { from, to, segments, accepted });
        }
        expected = number + 1;
    }
    let last = known.last();
    let parent = found.history.as_ref().and_then(|history| history.ancestors().last());
    Timeline {
        timeline,
        parent: parent.map(|parent| parent.timeline),
        fork_lsn: parent.map(|parent| parent.switch_lsn.to_string()),
        from_lsn: known.first().map(|(number, _)| start(*number).to_string()),
        to_lsn: match (last, unfinished) {
            (Some((_, Some((_, facts)))), _) => Some(facts.end.clone()),
            (_, Some((number, piece))) => Some(Lsn(start(number).0 + unfinished::end(piece)).to_string()),
            (last, None) => last.map(|(number, _)| start(number + 1).to_string()),
        },
        to_time: last.and_then(|(_, said)| Some(said.as_ref()?.0.time.to_string())),
        segments: found.segments.len() as u64,
        unfinished: unfinished.and_then(|(number, piece)| {
            Some(Unfinished {
                segment: shown(number)?,
                pieces: found.pieces.get(&number).map_or(0, Vec::len) as u64,
                bytes: unfinished::end(piece),
            })
        }),
        bytes_stored: found.stored(),
        gaps,
    }
}

/// Each segment must begin with the record that follows the last one of the segment before: of the
/// same timeline, or of the parent where the timeline began.
fn chained(
    timeline: u32,
    found: &BTreeMap<u32, Found>,
    ends: &BTreeMap<u32, Segment>,
    size: SegmentSize,
    oldest: Option<Lsn>,
    problems: &mut Vec<String>,
) {
    let Some(own) = found.get(&timeline) else { return };
    let parent = own.history.as_ref().and_then(|history| history.ancestors().last());
    let in_parent = |number: u64| {
        let parent = found.get(&parent?.timeline)?;
        parent.segments.get(&number)
    };
    // A record that fills segments is the last one before several.
    let mut last: Option<(u64, String)> = None;
    let end = own.unfinished().map(|(number, _)| number);
    let end = end.as_ref().zip(ends.get(&timeline));
    for (number, segment) in own.segments.iter().chain(end) {
        let before = number.checked_sub(1);
        let of_parent = before
            .filter(|before| !own.segments.contains_key(before))
            .and_then(|before| Some((before, in_parent(before)?.said.as_ref()?.1.last.clone()?)));
        let expected = last.take().or(of_parent);
        let Some((_, facts)) = &segment.said else { continue };
        let name = segment.listed.name.file();
        let start = start(*number, size);
        if facts.start != start.to_string() || facts.segment_size != size.bytes() {
            problems.push(format!("{name} says that it begins at {}", facts.start));
            continue;
        }
        if let (Some((at, expected)), Some(first)) = (&expected, &facts.first)
            && at + 1 == *number
            && first.previous != *expected
            && oldest.is_none_or(|oldest| start.0 + u64::from(size.bytes()) > oldest.0)
        {
            problems.push(format!(
                "{name} does not follow the segment before: it goes on from the record at {}, and that ends with the one at {expected}",
                first.previous
            ));
        }
        let carried = expected.filter(|(at, _)| at + 1 == *number).map(|(_, last)| last);
        last = facts.last.clone().or(carried).map(|last| (*number, last));
    }
}

/// How far a backup can be recovered on its timeline.
fn reach(
    backup: &Candidate,
    found: &BTreeMap<u32, Found>,
    ends: &BTreeMap<u32, Segment>,
    size: SegmentSize,
) -> BackupReach {
    let mut to = None;
    if let Some(timeline) = found.get(&backup.timeline) {
        // The WAL of the backup itself is in the backup.
        let mut number = size.number_before(backup.stop);
        if !timeline.segments.contains_key(&number) {
            number += 1;
        }
        while let Some(segment) = timeline.segments.get(&number) {
            to = Some(match &segment.said {
                Some((_, facts)) => facts.end.clone(),
                None => start(number + 1, size).to_string(),
            });
            number += 1;
        }
        let unfinished = timeline.unfinished().filter(|(unfinished, _)| *unfinished == number);
        let end = unfinished.and(ends.get(&backup.timeline)).and_then(|end| end.said.as_ref());
        to = end.map(|(_, facts)| facts.end.clone()).or(to);
    }
    BackupReach {
        id: backup.id.clone(),
        timeline: backup.timeline,
        restorable_from: backup.stop.to_string(),
        restorable_to: to,
    }
}
