//! A moment to recover to: which backup, which timeline, and which settings lead there, proved
//! before anything is restored.
//!
//! **Order of thought.** The histories of the timelines say which path leads to the timeline that
//! is meant. Backups that are on it, and that end before the target, can be begun with; the newest
//! of these is. From its end on each segment up to the target must be there and follow the one
//! before. And the target must exist: a restore point of that name, the commit of that transaction,
//! a transaction that ended later than the time. A server that does not come across its target
//! replays everything and then fails.
//!
//! **Times without a later transaction.** A server stops at the first transaction that ended after
//! the target. Where none did, but the WAL shows that the clock was later, nothing happened until
//! then: everything is replayed, up to the last record, by its LSN.
//!
//! **Headers and bytes.** What headers say narrows it down. Bytes are read where that is not exact:
//! for the one commit of a transaction, for the segment in which a timeline was left, and for a
//! record that goes on in the next segment.

mod exact;
mod refuse;

use std::collections::BTreeMap;

use jiff::Timestamp;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use pgark_repo::Repository;

use super::archived::{Archived, Found};
use super::candidate::Candidate;
use super::facts::{ContentFacts, Reading, RestorePointFacts};
use super::path::{Headers, Path, Proof, Step};
use crate::{Job, OpsError};

/// Where a recovery is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the end of the archived WAL.
    Latest,
    /// Behind the last transaction that ended by then.
    Time(Timestamp),
    /// Behind the record that begins there, or the first one behind it.
    Lsn(Lsn),
    /// Behind the commit of a transaction. Of more than 32 bits the lower ones count, as for the
    /// server.
    Transaction(u64),
    /// At a restore point.
    Name(String),
}

/// To which timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// The last one that was begun.
    Latest,
    /// That of the backup.
    Current,
    /// This one.
    Number(u32),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The target.
    pub target: Target,
    /// The target itself is left out: the record there, the transaction.
    pub exclusive: bool,
    /// The timeline.
    pub towards: Towards,
}

/// What stops the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The end of the WAL.
    End,
    /// A transaction that ended later.
    Time { time: Timestamp, inclusive: bool },
    /// A record.
    Lsn { lsn: Lsn, inclusive: bool },
    /// The end of a transaction.
    Transaction { xid: u32, inclusive: bool },
    /// A restore point.
    Name(String),
}

/// How the target is reached.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// Id of the backup to begin with.
    pub backup: String,
    /// The timeline; None: that of the backup, which has no history.
    pub timeline: Option<u32>,
    pub until: Until,
    /// From here, the backup's end, on the WAL is proved.
    pub from: Lsn,
    /// Up to here.
    pub to: Lsn,
    /// Archived segments that are replayed.
    pub segments: u64,
    /// The last segment that the target needs. None: all are needed.
    pub last_segment: Option<String>,
    /// What there is of a segment that is not whole is needed.
    pub needs_unfinished: bool,
    /// The target's record, where it is known.
    pub lsn: Option<Lsn>,
    /// The time of the target, where it is known.
    pub time: Option<Timestamp>,
    /// What is to be known of it.
    pub note: Option<String>,
}

/// Finds out how a target is reached.
///
/// # Errors
/// It cannot be: the error says why, and what can.
pub(crate) fn find(
    repository: &Repository,
    cluster: &str,
    system: u64,
    candidates: Vec<Candidate>,
    wish: &Wish,
    jobs: usize,
    job: &Job,
) -> Result<Goal, OpsError> {
    job.progress.phase("reading what the WAL says");
    let archive = repository.wal(cluster, system)?;
    if !archive.exists()? {
        return Err(refuse::no_wal(cluster));
    }
    let archived = Archived::read(&archive)?;
    let timeline = timeline(wish.towards, &archived.timelines, &candidates)?;
    let headers = Headers::of(&archive);
    let path = Path::to(&headers, &archived, timeline);
    let candidates = on_path(&path, candidates)?;
    let has_history = archived.timelines.get(&timeline).is_some_and(|found| found.history.is_some());
    let search =
        Search { headers: &headers, path, size: archived.size, candidates, wish, jobs, job, has_history };
    match &wish.target {
        Target::Latest => search.latest(),
        Target::Time(time) => search.time(*time),
        Target::Lsn(lsn) => search.lsn(*lsn),
        Target::Transaction(xid) => search.transaction(*xid),
        Target::Name(name) => search.name(name),
    }
}

/// The timeline that is meant.
fn timeline(
    towards: Towards,
    found: &BTreeMap<u32, Found>,
    candidates: &[Candidate],
) -> Result<u32, OpsError> {
    let newest = candidates.iter().max_by_key(|candidate| (candidate.timeline, candidate.stop));
    let current = newest.map_or(1, |candidate| candidate.timeline);
    let timeline = match towards {
        Towards::Current => current,
        Towards::Latest => found.keys().next_back().copied().unwrap_or(current).max(current),
        Towards::Number(number) => match found.contains_key(&number) || number == current {
            true => number,
            false => return Err(refuse::no_timeline(number, found.keys().copied())),
        },
    };
    match found.get(&timeline).and_then(|found| found.unreadable.clone()) {
        Some(why) => Err(OpsError::refused(why, "the path to its timeline is not known without it")),
        None => Ok(timeline),
    }
}

/// Backups that the path goes through, the newest first.
fn on_path(path: &Path<'_>, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>, OpsError> {
    let all: Vec<u32> = candidates.iter().map(|candidate| candidate.timeline).collect();
    candidates.retain(|candidate| path.has(candidate.timeline, candidate.stop));
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.stop));
    match candidates.is_empty() {
        true => Err(refuse::none_on_path(path.timeline(), &all)),
        false => Ok(candidates),
    }
}

/// A search on one path.
struct Search<'a> {
    headers: &'a Headers<'a>,
    path: Path<'a>,
    size: SegmentSize,
    /// The newest first; at least one.
    candidates: Vec<Candidate>,
    wish: &'a Wish,
    jobs: usize,
    job: &'a Job,
    has_history: bool,
}

impl Search<'_> {
    /// The newest backup that the target lets through.
    fn newest(&self, may_begin: impl Fn(&Candidate) -> bool) -> Result<&Candidate, OpsError> {
        let begin = self.candidates.iter().find(|candidate| may_begin(candidate));
        begin.ok_or_else(|| refuse::too_early(&self.candidates))
    }

    fn prove(&self, begin: &Candidate, is_enough: impl FnMut(&Step) -> bool) -> Result<Proof, OpsError> {
        self.path.prove(begin.stop, self.jobs, self.job, is_enough)
    }

    /// From a backup to the end of the next one, or to the end of the WAL.
    fn up_to_newer(&self, at: usize) -> Result<Proof, OpsError> {
        let (begin, newer) =
            (self.candidates.get(at), at.checked_sub(1).and_then(|at| self.candidates.get(at)));
        let Some(begin) = begin else { return Err(refuse::too_early(&self.candidates)) };
        let up_to = newer.map(|newer| self.size.number_of(newer.stop));
        self.prove(begin, |step| up_to.is_some_and(|up_to| step.number >= up_to))
    }

    /// What the bytes of a segment say, with those of the next where a record goes on there.
    fn exact(&self, proof: &Proof, at: usize) -> Result<Reading, OpsError> {
        exact::read(self.headers.archive(), self.path.timeline(), &proof.steps, at, self.job)
    }

    /// Whether the last record of a segment goes on in the next one.
    fn goes_on(&self, step: &Step) -> bool {
        step.goes_on(self.size)
    }

    /// Proves up to the first segment with something; if the last record of that goes on in the
    /// next one, up to that. Whether it was found, and the record is whole.
    fn prove_up_to(&self, begin: &Candidate, has: impl Fn(&Step) -> bool) -> Result<(Proof, bool), OpsError> {
        let (mut seen, mut found) = (0, None);
        let proof = self.prove(begin, |step| {
            let was_found = found.is_some();
            if !was_found && has(step) {
                found = Some(seen);
            }
            seen += 1;
            was_found || (found.is_some() && !self.goes_on(step))
        })?;
        let is_whole = |at: usize| {
            at + 1 < proof.steps.len() || proof.steps.get(at).is_some_and(|step| !self.goes_on(step))
        };
        let is_there = found.is_some_and(is_whole);
        Ok((proof, is_there))
    }

    /// Whether the header of a segment says exactly what a recovery of what was proved finds in it:
    /// not if its last record is not whole there.
    fn is_exact(&self, proof: &Proof, at: usize) -> bool {
        let is_last = at + 1 == proof.steps.len();
        proof.steps.get(at).is_some_and(|step| step.is_counted() && !(is_last && self.goes_on(step)))
    }

    /// What a recovery finds in a segment.
    fn contents(&self, proof: &Proof, at: usize) -> Result<ContentFacts, OpsError> {
        let said = proof.steps.get(at).filter(|_| self.is_exact(proof, at));
        match said.and_then(|step| step.facts.contents.clone()) {
            Some(contents) => Ok(contents),
            None => Ok(self.exact(proof, at)?.contents),
        }
    }

    /// Where the last record begins that is whole.
    fn last_whole(&self, proof: &Proof) -> Result<Option<Lsn>, OpsError> {
        for (at, step) in proof.steps.iter().enumerate().rev() {
            let last = match self.is_exact(proof, at) {
                true => step.last(),
                false => self.exact(proof, at)?.last_whole,
            };
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// The last segment that is needed to come across a target whose record ends at `end`. Where
    /// that is not known, all of what was proved is, and what its last record goes on in.
    fn last_segment(&self, begin: &Candidate, proof: &Proof, end: Option<Lsn>) -> String {
        let number = match (end, proof.steps.last()) {
            (None, Some(step)) => step.number + u64::from(self.goes_on(step)),
            (end, _) => self.size.number_before(end.unwrap_or(proof.end).max(begin.stop)),
        };
        SegmentName::new(self.path.timeline(), number, self.size)
            .map_or_else(String::new, |name| name.to_string())
    }

    /// `end`: where the record of the target ends, if it is known.
    fn goal(&self, begin: &Candidate, proof: &Proof, until: Until, end: Option<Lsn>) -> Goal {
        let timeline = self.path.timeline();
        Goal {
            backup: begin.id.clone(),
            // The first timeline of a cluster has no history, and needs none.
            timeline: (timeline == 1 || self.has_history).then_some(timeline),
            from: begin.stop,
            to: end.unwrap_or(proof.end),
            segments: proof.steps.len() as u64,
            last_segment: (until != Until::End).then(|| self.last_segment(begin, proof, end)),
            needs_unfinished: until == Until::End
                || proof.steps.last().is_some_and(|step| step.is_unfinished),
            until,
            lsn: None,
            time: None,
            note: None,
        }
    }

    fn latest(&self) -> Result<Goal, OpsError> {
        let newest = self.newest(|_| true)?;
        let proof = self.prove(newest, |_| false)?;
        match &proof.broken {
            Some(why) => Err(refuse::broken(why, &proof, newest)),
            None => Ok(self.goal(newest, &proof, Until::End, None)),
        }
    }

    fn time(&self, time: Timestamp) -> Result<Goal, OpsError> {
        let begin = self.newest(|candidate| candidate.stop_time.is_some_and(|stop| stop <= time))?;
        let is_later = |ended: i64| match self.wish.exclusive {
            true => ended >= time.as_microsecond(),
            false => ended > time.as_microsecond(),
        };
        let (proof, is_there) = self.prove_up_to(begin, |step| {
            let ended = step.facts.contents.as_ref().and_then(|contents| contents.ended);
            ended.is_some_and(|[_, last]| is_later(last))
        })?;
        let until = Until::Time { time, inclusive: !self.wish.exclusive };
        if is_there {
            return Ok(Goal { time: Some(time), ..self.goal(begin, &proof, until, None) });
        }
        // The last word is with the bytes: what headers did not count, and the last whole record.
        // Once the clock was there, what comes behind it ended later, whether it is there or not.
        let mut clock = begin.stop_time.map(Timestamp::as_microsecond);
        for at in 0..proof.steps.len() {
            let contents = self.contents(&proof, at)?;
            clock = clock.max(contents.clock);
            if contents.ended.is_some_and(|[_, last]| is_later(last)) {
                return Ok(Goal { time: Some(time), ..self.goal(begin, &proof, until, None) });
            }
        }
        if clock.is_none_or(|clock| clock < time.as_microsecond()) {
            return Err(match &proof.broken {
                Some(why) => refuse::broken(why, &proof, begin),
                None => refuse::too_late(time, clock, &proof),
            });
        }
        let Some(last) = self.last_whole(&proof)?.filter(|last| *last >= begin.stop) else {
            // Nothing at all was written since.
            return Ok(self.goal(begin, &proof, Until::End, None));
        };
        let until = Until::Lsn { lsn: last, inclusive: true };
        let goal = self.goal(begin, &proof, until, Some(proof.end));
        let note = "no transaction ended between the target and what was archived last: all archived WAL is replayed";
        Ok(Goal { lsn: Some(last), time: Some(time), note: Some(note.into()), ..goal })
    }

    fn lsn(&self, lsn: Lsn) -> Result<Goal, OpsError> {
        let begin = self.newest(|candidate| candidate.stop <= lsn)?;
        let (proof, is_there) =
            self.prove_up_to(begin, |step| step.is_counted() && step.last().is_some_and(|last| last >= lsn))?;
        let last = self.last_whole(&proof)?;
        if is_there || last.is_some_and(|last| last >= lsn) {
            let until = Until::Lsn { lsn, inclusive: !self.wish.exclusive };
            return Ok(Goal { lsn: Some(lsn), ..self.goal(begin, &proof, until, None) });
        }
        if let Some(why) = &proof.broken {
            return Err(refuse::broken(why, &proof, begin));
        }
        match last {
            // It is the end of the last record, or within it: all of it is replayed.
            Some(last) if lsn <= proof.end => {
                let until = Until::Lsn { lsn: last, inclusive: true };
                let goal = self.goal(begin, &proof, until, Some(proof.end));
                Ok(Goal { lsn: Some(last), ..goal })
            }
            None if lsn <= proof.end => Ok(self.goal(begin, &proof, Until::End, None)),
            _ => Err(refuse::beyond(lsn, &proof)),
        }
    }

    fn transaction(&self, xid: u64) -> Result<Goal, OpsError> {
        // As the server reads it.
        let wanted = (xid & u64::from(u32::MAX)) as u32;
        for (at, begin) in self.candidates.iter().enumerate() {
            let proof = self.up_to_newer(at)?;
            for (number, step) in proof.steps.iter().enumerate() {
                let contents = step.facts.contents.as_ref().filter(|_| self.is_exact(&proof, number));
                if contents.is_some_and(|contents| !contents.may_have(wanted)) {
                    continue;
                }
                let ends = self.exact(&proof, number)?.ends;
                let Some(end) = ends.iter().find(|end| end.xid == Some(wanted) && end.lsn >= begin.stop)
                else {
                    continue;
                };
                if !end.is_commit {
                    return Err(refuse::rolled_back(xid, end.lsn));
                }
                let until = Until::Transaction { xid: wanted, inclusive: !self.wish.exclusive };
                let goal = self.goal(begin, &proof.up_to(number, end.end), until, Some(end.end));
                return Ok(Goal {
                    lsn: Some(end.lsn),
                    time: Timestamp::from_microsecond(end.time).ok(),
                    ..goal
                });
            }
            if let (0, Some(why)) = (at, &proof.broken) {
                return Err(refuse::not_up_to(&format!("transaction {xid}"), why, &proof, begin));
            }
        }
        Err(refuse::no_transaction(xid, self.candidates.last()))
    }

    fn name(&self, name: &str) -> Result<Goal, OpsError> {
        let mut found: Vec<(usize, RestorePointFacts, Proof)> = Vec::new();
        let mut broken = None;
        for (at, begin) in self.candidates.iter().enumerate() {
            let proof = self.up_to_newer(at)?;
            for (number, step) in proof.steps.iter().enumerate() {
                for point in self.contents(&proof, number)?.restore_points {
                    let lsn: Option<Lsn> = point.lsn.parse().ok();
                    let is_new = !found.iter().any(|(_, known, _)| known.lsn == point.lsn);
                    if point.name == name && lsn.is_some_and(|lsn| lsn >= begin.stop) && is_new {
                        found.push((at, point, proof.up_to(number, step.end)));
                    }
                }
            }
            if at == 0 {
                broken = proof
                    .broken
                    .as_ref()
                    .map(|why| refuse::not_up_to(&format!("restore point {name:?}"), why, &proof, begin));
            }
        }
        match found.as_slice() {
            [] => Err(broken.unwrap_or_else(|| refuse::no_name(name, self.candidates.last()))),
            [(at, point, proof)] => {
                let goal = self.goal(&self.candidates[*at], proof, Until::Name(name.to_string()), None);
                let time = Timestamp::from_microsecond(point.time).ok();
                Ok(Goal { lsn: point.lsn.parse().ok(), time, ..goal })
            }
            several => Err(refuse::name_twice(name, several.iter().map(|(_, point, _)| point))),
        }
    }
}
