//! Which archived WAL is needed, and the deletion of the rest, behind a prune.
//!
//! **What is needed.** From the start of a kept physical backup on, all WAL of each timeline that
//! can be reached from it: so every moment behind the oldest backup stays recoverable, on every
//! timeline. WAL in front of that is of no use, nor is that of a timeline which no backup leads to,
//! other than the newest one. Histories stay.
//!
//! **A window** makes that less: every moment within it stays recoverable, so on each timeline the
//! newest backup that ended before it is where needed WAL begins. Backups of before restore to
//! their own end, with the WAL that they have in them.
//!
//! **What is not known is needed.** If a backup cannot be read, or a timeline has no history, what
//! leads where is not known. Then less is deleted, or nothing, and the report says why.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::timeline_history::TimelineHistory;
use pgark_bytes::wal_name::{SegmentName, SegmentSize, WalFileName};
use pgark_repo::{BackupHead, PruneOptions, Repository, WalArchive, WalKind, WalListed, WalRetirement};
use schemars::JsonSchema;
use serde::Serialize;

use super::archived::Archived;
use super::candidate::Candidate;
use crate::facts::BackupKind;
use crate::{Job, OpsError};

/// What was deleted of the WAL of one system, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "PrunedWal")]
pub struct PrunedWal {
    /// Name of the cluster.
    pub cluster: String,
    /// System identifier, in decimal.
    pub system_identifier: String,
    /// Number of files that were deleted.
    pub files_deleted: u64,
    /// Size of their objects in bytes.
    pub bytes_deleted: u64,
    /// Number of files that no backup needs and that are younger than the grace time, or than a
    /// backup that is being made.
    pub files_waiting: u64,
    /// Why nothing was deleted. Null: what is left is needed.
    pub kept: Option<String>,
    /// Names of the first objects that the storage did not allow to be deleted.
    pub refused: Vec<String>,
}

/// Deletes what is not needed. `window`: moments before so long ago need not be recoverable.
///
/// # Errors
/// What the repository says.
pub(crate) fn prune(
    repository: &Repository,
    options: &PruneOptions,
    window: Option<Duration>,
    job: &Job,
) -> Result<Vec<PrunedWal>, OpsError> {
    let mut archives = Vec::new();
    for (cluster, _) in repository.wal_clusters()? {
        for system in repository.wal_systems(&cluster)? {
            archives.push(repository.wal(&cluster, system)?);
        }
    }
    if archives.is_empty() {
        return Ok(Vec::new());
    }
    job.progress.phase("looking for WAL that no backup needs");
    let now = repository.time(options.dry_run)?;
    // Before the backups are read: see there.
    let retirements: Vec<WalRetirement<'_, '_>> = archives
        .iter()
        .map(|archive| archive.retire(now, options.grace, options.dry_run))
        .collect::<Result<_, _>>()?;
    let unreadable = repository.set_aside()?.first().map(|(id, _)| id.to_string());
    let heads = repository.backups()?;
    let since = window.and_then(|window| Timestamp::try_from(now.checked_sub(window)?).ok());
    retirements
        .iter()
        .map(|retirement| match &unreadable {
            Some(id) => {
                Ok(kept(retirement.archive(), format!("backup {id} cannot be read, and may need it")))
            }
            None => prune_one(retirement, &heads, since),
        })
        .collect()
}

fn prune_one(
    retirement: &WalRetirement<'_, '_>,
    heads: &[BackupHead],
    since: Option<Timestamp>,
) -> Result<PrunedWal, OpsError> {
    let archive = retirement.archive();
    let backups = match backups(heads, archive) {
        Ok(backups) => backups,
        Err(why) => return Ok(kept(archive, why)),
    };
    // Names say where segments are only together with it: no guess.
    let Some(size) = size_of_segments(&backups) else {
        return Ok(kept(archive, "the backups have WAL segments of several sizes".into()));
    };
    let archived = Archived::of(archive, archive.list(None)?, size)?;
    if let Some(problem) = archived.problems.first() {
        return Ok(kept(archive, problem.clone()));
    }
    let needs = Needs::of(&archived.histories(), &backups, since);
    let is_unneeded = |file: &&WalListed| needs.not(file, size) || archived.has_whole(file);
    let unneeded: Vec<WalListed> = archived.listed.iter().filter(is_unneeded).cloned().collect();
    let retired = retirement.delete(&unneeded)?;
    Ok(PrunedWal {
        cluster: archive.cluster().to_string(),
        system_identifier: archive.system_identifier().to_string(),
        files_deleted: retired.files,
        bytes_deleted: retired.bytes,
        files_waiting: retired.waiting,
        kept: None,
        refused: retired.refused,
    })
}

/// Nothing of it was deleted.
fn kept(archive: &WalArchive<'_>, why: String) -> PrunedWal {
    PrunedWal {
        cluster: archive.cluster().to_string(),
        system_identifier: archive.system_identifier().to_string(),
        kept: Some(why),
        ..PrunedWal::default()
    }
}

/// The physical backups of a system; or why they are not known.
fn backups(heads: &[BackupHead], archive: &WalArchive<'_>) -> Result<Vec<Candidate>, String> {
    let system = archive.system_identifier().to_string();
    let mut backups = Vec::new();
    for head in heads {
        let kind = BackupKind::of(head);
        if head.cluster != archive.cluster() || (kind.is_known() && kind != BackupKind::Physical) {
            continue;
        }
        match Candidate::of(head) {
            Some(own) if own.system_identifier == system => backups.push(own),
            Some(_) => {}
            None => return Err(format!("backup {} does not say which WAL it needs", head.id)),
        }
    }
    match backups.is_empty() {
        true => Err("there is no physical backup of this system: the next one may need it".into()),
        false => Ok(backups),
    }
}

/// Bytes of a segment, if all say the same.
fn size_of_segments(backups: &[Candidate]) -> Option<SegmentSize> {
    let first = backups.first()?.segment_size;
    backups.iter().all(|backup| backup.segment_size == first).then_some(first)
}

/// From where on the WAL of each timeline is needed.
pub(super) struct Needs {
    /// None: no backup leads to the timeline.
    from: BTreeMap<u32, Option<Lsn>>,
}

impl Needs {
    /// `histories`: the timelines of which there is WAL. There is at least one backup. `since`:
    /// only moments from then on need to be recoverable.
    pub(super) fn of(
        histories: &BTreeMap<u32, Option<TimelineHistory>>,
        backups: &[Candidate],
        since: Option<Timestamp>,
    ) -> Needs {
        let newest = histories.keys().next_back().copied();
        let oldest = backups.iter().map(|backup| backup.start).min();
        // Only the first timeline of a cluster has no history.
        let is_unknown = histories.iter().any(|(timeline, history)| *timeline > 1 && history.is_none());
        let own = |timeline: &u32| {
            if is_unknown {
                return oldest;
            }
            let needs = |backup: &&Candidate| {
                histories.iter().any(|(leads_to, history)| {
                    has(*leads_to, history.as_ref(), backup.timeline, backup.stop)
                        && is_on(*leads_to, history.as_ref(), *timeline)
                })
            };
            let from = begin(backups.iter().filter(needs), since);
            match Some(*timeline) == newest {
                // The next backup is made here.
                true => from.or(oldest),
                false => from,
            }
        };
        Needs { from: histories.keys().map(|timeline| (*timeline, own(timeline))).collect() }
    }

    /// Whether a file is not needed.
    pub(super) fn not(&self, file: &WalListed, size: SegmentSize) -> bool {
        if file.name.kind() == WalKind::History {
            return false;
        }
        let of = file.name.piece_of().map_or_else(|| file.name.clone(), |(of, ..)| of);
        let Some(segment) = segment_of(of.file()) else { return false };
        let Some(number) = segment.number(size) else { return false };
        let end = Lsn((number + 1).saturating_mul(u64::from(size.bytes())));
        match self.from.get(&segment.timeline) {
            Some(Some(from)) => end <= *from,
            Some(None) => true,
            None => false,
        }
    }
}

/// Where the WAL begins that is needed of these backups: at the newest one that ended by `since`,
/// else at the oldest.
fn begin<'a>(backups: impl Iterator<Item = &'a Candidate> + Clone, since: Option<Timestamp>) -> Option<Lsn> {
    let ended =
        |backup: &&Candidate| since.is_some_and(|since| backup.stop_time.is_some_and(|stop| stop <= since));
    let newest = backups.clone().filter(ended).max_by_key(|backup| backup.stop_time);
    newest.map(|backup| backup.start).or_else(|| backups.map(|backup| backup.start).min())
}

/// The segment that a file is about.
fn segment_of(file: &str) -> Option<SegmentName> {
    match file.parse().ok()? {
        WalFileName::Segment(segment) | WalFileName::Partial(segment) => Some(segment),
        WalFileName::Backup { segment, .. } => Some(segment),
        WalFileName::History { .. } => None,
    }
}

/// Whether the history of a timeline goes through the end of a backup.
fn has(leads_to: u32, history: Option<&TimelineHistory>, timeline: u32, stop: Lsn) -> bool {
    match history {
        Some(history) => history.contains_up_to(timeline, stop),
        None => leads_to == timeline,
    }
}

fn is_on(leads_to: u32, history: Option<&TimelineHistory>, timeline: u32) -> bool {
    let ancestors = history.map(TimelineHistory::ancestors).unwrap_or_default();
    leads_to == timeline || ancestors.iter().any(|ancestor| ancestor.timeline == timeline)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pgark_bytes::timeline_history::Ancestor;

    use super::*;

    const SIZE: u64 = 1 << 20;

    struct Random(u64);

    impl Random {
        fn below(&mut self, count: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % count
        }
    }

    /// Timelines that were begun somewhere on others, and how far each goes.
    struct Tree {
        histories: BTreeMap<u32, Option<TimelineHistory>>,
        ends: BTreeMap<u32, u64>,
    }

    impl Tree {
        fn random(random: &mut Random) -> Tree {
            let mut tree = Tree {
                histories: BTreeMap::from([(1, None)]),
                ends: BTreeMap::from([(1, SIZE * (4 + random.below(12)))]),
            };
            for timeline in 2..2 + random.below(5) as u32 {
                let parent = 1 + random.below(u64::from(timeline) - 1) as u32;
                let history = tree.histories[&parent].as_ref();
                let mut ancestors = history.map(|history| history.ancestors().to_vec()).unwrap_or_default();
                let begin = ancestors.last().map_or(0, |last| last.switch_lsn.0);
                let switch_lsn = Lsn(begin + random.below(tree.ends[&parent] - begin) / 8 * 8);
                ancestors.push(Ancestor { timeline: parent, switch_lsn, reason: Vec::new() });
                let history = TimelineHistory::new(timeline, ancestors).unwrap();
                tree.histories.insert(timeline, Some(history));
                tree.ends.insert(timeline, switch_lsn.0 + SIZE * (1 + random.below(8)));
            }
            tree
        }

        /// Where a timeline begins.
        fn begin(&self, timeline: u32) -> u64 {
            let history = self.histories[&timeline].as_ref();
            history.and_then(|history| history.ancestors().last()).map_or(0, |last| last.switch_lsn.0)
        }

        fn backup(&self, random: &mut Random) -> Candidate {
            let timeline = 1 + random.below(self.ends.len() as u64) as u32;
            let (begin, end) = (self.begin(timeline), self.ends[&timeline]);
            let start = begin + random.below(end - begin);
            Candidate {
                id: String::new(),
                system_identifier: String::new(),
                timeline,
                start: Lsn(start),
                stop: Lsn(start + random.below(end - start + 1)),
                segment_size: SegmentSize::new(SIZE as u32).unwrap(),
                stop_time: None,
            }
        }

        /// Every segment that a recovery from a backup to the end of any timeline may read.
        fn read_from(&self, backup: &Candidate) -> BTreeSet<(u32, u64)> {
            let mut read = BTreeSet::new();
            for (leads_to, history) in &self.histories {
                let mut spans: Vec<(u32, u64, u64)> = Vec::new();
                let mut begin = 0;
                for ancestor in history.iter().flat_map(|history| history.ancestors()) {
                    spans.push((ancestor.timeline, begin, ancestor.switch_lsn.0));
                    begin = ancestor.switch_lsn.0;
                }
                spans.push((*leads_to, begin, self.ends[leads_to]));
                let own = spans.iter().find(|(timeline, ..)| *timeline == backup.timeline);
                let is_last = backup.timeline == *leads_to;
                if !own.is_some_and(|(_, begin, end)| {
                    *begin <= backup.stop.0 && (is_last || backup.stop.0 <= *end)
                }) {
                    continue;
                }
                for (timeline, begin, end) in spans {
                    let from = begin.max(backup.start.0);
                    if from < end {
                        read.extend((from / SIZE..end.div_ceil(SIZE)).map(|number| (timeline, number)));
                    }
                }
            }
            read
        }
    }

    fn file(timeline: u32, number: u64) -> WalListed {
        let size = SegmentSize::new(SIZE as u32).unwrap();
        let name = SegmentName::new(timeline, number, size).unwrap().to_string();
        let name = pgark_repo::WalName::parse(&name).unwrap();
        WalListed { name, stored: 0, received: std::time::SystemTime::UNIX_EPOCH }
    }

    /// Whatever the timelines and backups: no segment goes that a recovery from a backup reads, and
    /// none stays that lies before all of them.
    #[test]
    fn what_a_recovery_reads_is_needed() {
        let size = SegmentSize::new(SIZE as u32).unwrap();
        let mut random = Random(5);
        let mut gone = 0;
        for _ in 0..3_000 {
            let tree = Tree::random(&mut random);
            let backups: Vec<Candidate> = (0..=random.below(4)).map(|_| tree.backup(&mut random)).collect();
            let needs = Needs::of(&tree.histories, &backups, None);
            let read: BTreeSet<(u32, u64)> =
                backups.iter().flat_map(|backup| tree.read_from(backup)).collect();
            let oldest = backups.iter().map(|backup| backup.start.0).min().unwrap();
            for (timeline, end) in &tree.ends {
                for number in tree.begin(*timeline) / SIZE..end.div_ceil(SIZE) {
                    let is_gone = needs.not(&file(*timeline, number), size);
                    gone += u64::from(is_gone);
                    assert!(!is_gone || !read.contains(&(*timeline, number)), "{timeline} {number}");
                    assert!(is_gone || (number + 1) * SIZE > oldest, "{timeline} {number} stays");
                }
            }
            // Without the history of one of several timelines, nothing behind the oldest goes.
            let mut unknown = tree.histories.clone();
            if let Some(history) = unknown.range_mut(2..).next() {
                *history.1 = None;
                let needs = Needs::of(&unknown, &backups, None);
                assert!(!needs.not(&file(1, oldest / SIZE), size));
            }
        }
        assert!(gone > 1_000, "{gone}");
    }

    /// With a window, needed WAL begins with the newest backup that ended before it; without one
    /// that did, with the oldest.
    #[test]
    fn a_window_keeps_every_moment_in_it() {
        let size = SegmentSize::new(SIZE as u32).unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let backup = |number: u64| Candidate {
            id: String::new(),
            system_identifier: String::new(),
            timeline: 1,
            start: Lsn(number * 10 * SIZE + 8),
            stop: Lsn(number * 10 * SIZE + 80),
            segment_size: size,
            stop_time: Some(at(number as i64 * 100)),
        };
        let backups: Vec<Candidate> = (1..=3).map(backup).collect();
        let histories = BTreeMap::from([(1, None)]);
        for (since, first) in
            [(None, 10), (Some(50), 10), (Some(100), 10), (Some(299), 20), (Some(300), 30), (Some(900), 30)]
        {
            let needs = Needs::of(&histories, &backups, since.map(at));
            let kept = (0..40).find(|number| !needs.not(&file(1, *number), size));
            assert_eq!(kept, Some(first), "{since:?}");
        }
    }
}
