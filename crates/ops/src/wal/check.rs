//! `wal check` and `wal list`: what WAL is archived of a cluster, and the proof that none is
//! missing in it.
//!
//! **The proof.** Each segment's header says which record it begins with and which one is in front
//! of that; the header of the segment before says which one it ends with. Both must agree, from the
//! first segment of a timeline to the last, and with the parent's where the timeline began. Headers
//! are verified by signature and digest; `read_data` also opens the bytes. So no segment can be
//! missing, exchanged or cut off.

use std::collections::BTreeMap;
use std::thread;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::timeline_history::TimelineHistory;
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use pgark_repo::{Repository, WalArchive, WalHeader, WalKind, WalListed, WalName};
use schemars::JsonSchema;
use serde::Serialize;

use super::candidate::Candidate;
use super::facts::{HistoryFacts, SegmentFacts};
use super::file;
use crate::advice::{Operation, Setting, advice};
use crate::error::with_causes;
use crate::{Job, OpsError};

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

/// How deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only names: what is there, and which names are missing.
    Names,
    /// Headers, and that each follows the one before.
    Headers,
    /// The bytes as well.
    Data,
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
    /// Where the WAL of its last segment ends; `wal list` says where that segment ends. Null: it
    /// has none.
    pub to_lsn: Option<String>,
    /// When its last segment was archived: RFC 3339, UTC. Null: it has none, or `wal list`.
    pub to_time: Option<String>,
    /// Number of segments.
    pub segments: u64,
    /// Size in bytes of their objects.
    pub bytes_stored: u64,
    /// What is missing between the first segment and the last.
    pub gaps: Vec<Gap>,
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

/// What is known of a timeline.
pub(super) struct Found {
    /// By their numbers.
    pub segments: BTreeMap<u64, Segment>,
    pub history: Option<TimelineHistory>,
}

pub(super) struct Segment {
    listed: WalListed,
    /// None: its header was not read, or is damaged.
    said: Option<(WalHeader, SegmentFacts)>,
}

/// Looks.
///
/// # Errors
/// No WAL is archived; what the repository says of something else than a file of WAL.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<Report, OpsError> {
    let repository = &job.on(repository);
    let (cluster, system) = whose(repository, request.cluster.as_deref())?;
    let archive = repository.wal(&cluster, system)?;
    job.progress.phase("listing the WAL");
    let listed = archive.list(None)?;
    let mut problems = Vec::new();
    let size = size_of_segments(&archive, &listed)?;
    let mut found = sorted(&archive, listed, size, &mut problems)?;
    if request.depth > Depth::Names {
        job.progress.phase("reading the headers of the WAL");
        read(&archive, &mut found, request, job, &mut problems)?;
    }
    let backups = backups(repository, &cluster, system)?;
    let reach: Vec<BackupReach> = backups.iter().map(|backup| reach(backup, &found, size)).collect();
    let oldest = backups.iter().map(|backup| backup.start).min();
    let timelines: Vec<Timeline> =
        found.iter().map(|(timeline, found)| told(*timeline, found, size, oldest, &mut problems)).collect();
    if request.depth > Depth::Names {
        found.keys().for_each(|timeline| chained(*timeline, &found, size, oldest, &mut problems));
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

/// The cluster, and the system whose WAL it has.
pub(super) fn whose(repository: &Repository, given: Option<&str>) -> Result<(String, u64), OpsError> {
    let none = |what: String| {
        OpsError::refused(what, advice![Operation::PushWal, " as archive_command archives it"])
    };
    let mut found = repository.wal_clusters()?;
    found.retain(|(cluster, _)| given.is_none_or(|given| given == cluster));
    match (found.as_slice(), given) {
        ([only], _) => Ok(only.clone()),
        ([], Some(given)) => Err(none(format!("no WAL of cluster {given} is archived in this repository"))),
        ([], None) => Err(none("no WAL is archived in this repository".into())),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            Err(OpsError::refused(
                format!("several clusters have archived WAL: {}", names.join(", ")),
                advice!["say which one with ", Setting::Cluster.to("NAME")],
            ))
        }
    }
}

/// Bytes of a segment, as the first one has them whose header can be read.
pub(super) fn size_of_segments(
    archive: &WalArchive<'_>,
    listed: &[WalListed],
) -> Result<SegmentSize, OpsError> {
    for file in listed.iter().filter(|file| file.name.kind() == WalKind::Segment) {
        match archive.header(&file.name) {
            Ok(Some(header)) => {
                if let Some(size) =
                    u32::try_from(header.bytes).ok().and_then(|bytes| SegmentSize::new(bytes).ok())
                {
                    return Ok(size);
                }
            }
            Ok(None) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(SegmentSize::DEFAULT)
}

pub(super) fn sorted(
    archive: &WalArchive<'_>,
    listed: Vec<WalListed>,
    size: SegmentSize,
    problems: &mut Vec<String>,
) -> Result<BTreeMap<u32, Found>, OpsError> {
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    let empty = || Found { segments: BTreeMap::new(), history: None };
    for file in listed {
        let timeline = file.name.timeline();
        match file.name.kind() {
            WalKind::Segment => {
                match file::segment_of(file.name.file()).and_then(|segment| segment.number(size)) {
                    Some(number) => {
                        let segment = Segment { listed: file, said: None };
                        found.entry(timeline).or_insert_with(empty).segments.insert(number, segment);
                    }
                    None => problems.push(format!(
                        "{} cannot be among segments of {} bytes",
                        file.name.file(),
                        size.bytes()
                    )),
                }
            }
            WalKind::History => {
                let entry = found.entry(timeline).or_insert_with(empty);
                match history(archive, &file.name) {
                    Ok(history) => entry.history = history,
                    Err(OpsError::Repository(error)) if !error.is_of_object() => return Err(error.into()),
                    Err(error) => problems.push(with_causes(&error)),
                }
            }
            WalKind::Partial | WalKind::BackupHistory => {}
        }
    }
    Ok(found)
}

/// What a history says: its header, else the file. None: the key at hand reads no data.
fn history(archive: &WalArchive<'_>, name: &WalName) -> Result<Option<TimelineHistory>, OpsError> {
    let said = archive.header(name)?.and_then(|header| HistoryFacts::parse(name.timeline(), &header.facts));
    if said.is_some() {
        return Ok(said);
    }
    let content = match archive.get(name) {
        Ok(Some((_, content))) => content,
        Ok(None) => return Ok(None),
        Err(pgark_repo::RepoError::NeedsReaderSecret) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    TimelineHistory::parse(name.timeline(), &content)
        .map(Some)
        .map_err(|error| OpsError::refused(error.to_string(), ""))
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
    job.progress.total_bytes(segments.iter().map(|segment| segment.listed.stored).sum());
    let share = segments.len().div_ceil(request.jobs.max(1)).max(1);
    let read: Vec<Result<Vec<String>, OpsError>> = thread::scope(|scope| {
        let workers: Vec<_> = segments
            .chunks_mut(share)
            .map(|share| scope.spawn(|| read_some(archive, share, request.depth, job)))
            .collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect()
    });
    for wrong in read {
        problems.extend(wrong?);
    }
    Ok(())
}

fn read_some(
    archive: &WalArchive<'_>,
    segments: &mut [&mut Segment],
    depth: Depth,
    job: &Job,
) -> Result<Vec<String>, OpsError> {
    let mut wrong = Vec::new();
    for segment in segments {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        let name = &segment.listed.name;
        let header = match depth {
            Depth::Data => archive.get(name).map(|found| found.map(|(header, _)| header)),
            Depth::Names | Depth::Headers => archive.header(name),
        };
        job.progress.advance(segment.listed.stored);
        match header {
            Ok(Some(header)) => match SegmentFacts::parse(&header.facts) {
                Some(facts) => {
                    wrong.extend(facts.damaged.as_ref().map(|damaged| {
                        format!("{} was damaged on the server when it was archived: {damaged}", name.file())
                    }));
                    segment.said = Some((header, facts));
                }
                None => wrong.push(format!("the header of {} says nothing of its records", name.file())),
            },
            Ok(None) => wrong.push(format!("{} is gone since it was listed", name.file())),
            Err(error) if error.is_of_object() => wrong.push(with_causes(&OpsError::from(error))),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(wrong)
}

/// What there is of a timeline. What is missing behind the oldest backup is a problem.
fn told(
    timeline: u32,
    found: &Found,
    size: SegmentSize,
    oldest: Option<Lsn>,
    problems: &mut Vec<String>,
) -> Timeline {
    let start = |number: u64| Lsn(number * u64::from(size.bytes()));
    let shown = |number: u64| SegmentName::new(timeline, number, size).map(|name| name.to_string());
    let numbers: Vec<u64> = found.segments.keys().copied().collect();
    let mut gaps = Vec::new();
    for pair in numbers.windows(2) {
        let &[one, next] = pair else { continue };
        if one + 1 < next
            && let (Some(from), Some(to)) = (shown(one + 1), shown(next - 1))
        {
            let segments = next - one - 1;
            if oldest.is_none_or(|oldest| start(next) > oldest) {
                problems.push(match segments {
                    1 => format!("{from} is missing"),
                    _ => format!("{from} to {to} are missing ({segments} segments)"),
                });
            }
            gaps.push(Gap { from, to, segments });
        }
    }
    let last = found.segments.last_key_value();
    let parent = found.history.as_ref().and_then(|history| history.ancestors().last());
    Timeline {
        timeline,
        parent: parent.map(|parent| parent.timeline),
        fork_lsn: parent.map(|parent| parent.switch_lsn.to_string()),
        from_lsn: numbers.first().map(|number| start(*number).to_string()),
        to_lsn: last.map(|(number, segment)| match &segment.said {
            Some((_, facts)) => facts.end.clone(),
            None => start(number + 1).to_string(),
        }),
        to_time: last.and_then(|(_, segment)| Some(segment.said.as_ref()?.0.time.to_string())),
        segments: numbers.len() as u64,
        bytes_stored: found.segments.values().map(|segment| segment.listed.stored).sum(),
        gaps,
    }
}

/// Each segment must begin with the record that follows the last one of the segment before: of the
/// same timeline, or of the parent where the timeline began.
fn chained(
    timeline: u32,
    found: &BTreeMap<u32, Found>,
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
    for (number, segment) in &own.segments {
        let before = number.checked_sub(1);
        let of_parent = before
            .filter(|before| !own.segments.contains_key(before))
            .and_then(|before| Some((before, in_parent(before)?.said.as_ref()?.1.last.clone()?)));
        let expected = last.take().or(of_parent);
        let Some((_, facts)) = &segment.said else { continue };
        let name = segment.listed.name.file();
        let start = Lsn(number * u64::from(size.bytes()));
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
fn reach(backup: &Candidate, found: &BTreeMap<u32, Found>, size: SegmentSize) -> BackupReach {
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
                None => Lsn((number + 1) * u64::from(size.bytes())).to_string(),
            });
            number += 1;
        }
    }
    BackupReach {
        id: backup.id.clone(),
        timeline: backup.timeline,
        restorable_from: backup.stop.to_string(),
        restorable_to: to,
    }
}

/// The newest physical backups of the system.
fn backups(repository: &Repository, cluster: &str, system: u64) -> Result<Vec<Candidate>, OpsError> {
    let system = system.to_string();
    let mut backups: Vec<Candidate> =
        repository.newest_backups(cluster, MOST_BACKUPS)?.iter().filter_map(Candidate::of).collect();
    backups.retain(|backup| backup.system_identifier == system);
    Ok(backups)
}
