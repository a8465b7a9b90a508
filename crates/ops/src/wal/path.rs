//! The archived WAL that leads to a timeline: which segment a recovery reads at each LSN, and how
//! far it is proved that it can.
//!
//! **Which segment.** A timeline goes on where its parent was left, and its first segment is a copy
//! of the parent's up to there. So a recovery takes each segment from the newest timeline of the
//! history that has it, and was begun by then (`XLogFileReadAnyTLI` in
//! src/backend/access/transam/xlogrecovery.c). Where only the parent has it, it counts up to where
//! the parent was left.
//!
//! **Proof.** Each segment must begin with the record that follows the last one of the segment
//! before it. Headers say so: no segment is read.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::timeline_history::TimelineHistory;
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use pgark_repo::{WalArchive, WalName};

use super::archived::{Archived, Found};
use super::facts::SegmentFacts;
use super::file::start;
use super::said;
use crate::lock::lock;
use crate::{Job, OpsError, workers};

/// Headers that each worker reads before it is looked at what they say.
const AHEAD: usize = 16;

/// A timeline on the path, and which part of it counts.
struct Span {
    timeline: u32,
    begin: Lsn,
    /// Where it was left; None: it is the last one.
    end: Option<Lsn>,
}

/// Headers of segments, each of which is read once: several paths go through the same ones.
pub(super) struct Headers<'a> {
    archive: &'a WalArchive<'a>,
    known: Mutex<BTreeMap<WalName, SegmentFacts>>,
}

/// The segments of a path.
pub(super) struct Path<'a> {
    headers: &'a Headers<'a>,
    size: SegmentSize,
    timeline: u32,
    spans: Vec<Span>,
    /// By their numbers.
    segments: BTreeMap<u64, Place>,
}

/// Where a segment is.
#[derive(Clone, Debug)]
struct Place {
    timeline: u32,
    /// Only pieces of it are there, and this one says how far they go. It is the last segment.
    piece: Option<WalName>,
}

/// A segment of a path whose header was read.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub number: u64,
    pub name: WalName,
    pub facts: SegmentFacts,
    /// Only pieces of it are there. It is the last one.
    pub is_unfinished: bool,
    /// It counts only up to here: its timeline was left.
    pub cut: Option<Lsn>,
    /// Where its whole records end, as far as it counts.
    pub end: Lsn,
}

/// How far a path is proved.
pub(super) struct Proof {
    /// Without a gap from the first one on.
    pub steps: Vec<Step>,
    /// The records are proved up to here.
    pub end: Lsn,
    /// Why it does not go on, if more is there.
    pub broken: Option<String>,
}

impl<'a> Headers<'a> {
    pub(super) fn of(archive: &'a WalArchive<'a>) -> Headers<'a> {
        Headers { archive, known: Mutex::default() }
    }

    /// The archive that they are of.
    pub(super) fn archive(&self) -> &'a WalArchive<'a> {
        self.archive
    }

    /// What the header of a segment says; or why that is not known.
    fn facts(&self, name: &WalName) -> Result<Result<SegmentFacts, String>, OpsError> {
        if let Some(known) = lock(&self.known).get(name) {
            return Ok(Ok(known.clone()));
        }
        let facts = match said::of(name, self.archive.header(name))? {
            Ok(Some((_, facts))) => facts,
            Ok(None) => return Ok(Err(format!("{} is missing", name.file()))),
            Err(why) => return Ok(Err(why)),
        };
        lock(&self.known).insert(name.clone(), facts.clone());
        Ok(Ok(facts))
    }
}

impl<'a> Path<'a> {
    /// The path to a timeline, in what was found of all timelines.
    pub(super) fn to(headers: &'a Headers<'a>, archived: &Archived, timeline: u32) -> Path<'a> {
        let (found, size) = (&archived.timelines, archived.size);
        let history = found.get(&timeline).and_then(|found| found.history.as_ref());
        let spans = spans(timeline, history);
        let mut segments = BTreeMap::new();
        for span in &spans {
            let Some(own) = found.get(&span.timeline) else { continue };
            let first = size.number_of(span.begin);
            for number in own.segments.range(first..).map(|(number, _)| *number) {
                if span.end.is_none_or(|end| start(number, size) < end) {
                    segments.insert(number, Place { timeline: span.timeline, piece: None });
                }
            }
        }
        // Nothing later may be there: an unfinished segment is the end.
        for span in &spans {
            let Some((number, piece)) = found.get(&span.timeline).and_then(Found::unfinished) else {
                continue;
            };
            let is_on =
                number >= size.number_of(span.begin) && span.end.is_none_or(|end| start(number, size) < end);
            let is_last = segments
                .range(number..)
                .all(|(later, place)| *later == number && place.timeline < span.timeline);
            if is_on && is_last {
                let place = Place { timeline: span.timeline, piece: Some(piece.name.clone()) };
                segments.insert(number, place);
            }
        }
        Path { headers, size, timeline, spans, segments }
    }

    /// The timeline that it leads to.
    pub(super) fn timeline(&self) -> u32 {
        self.timeline
    }

    /// Whether a backup that ended here on this timeline is on the path.
    pub(super) fn has(&self, timeline: u32, stop: Lsn) -> bool {
        let span = self.spans.iter().find(|span| span.timeline == timeline);
        span.is_some_and(|span| span.begin <= stop && span.end.is_none_or(|end| stop <= end))
    }

    /// Reads headers from the segment on that holds `from`, the end of a backup, as long as each
    /// follows the one before and `is_enough` says no of it.
    pub(super) fn prove(
        &self,
        from: Lsn,
        jobs: usize,
        job: &Job,
        mut is_enough: impl FnMut(&Step) -> bool,
    ) -> Result<Proof, OpsError> {
        let mut proof = Proof { steps: Vec::new(), end: from, broken: None };
        let mut last: Option<String> = None;
        let mut next = self.size.number_of(from);
        // A backup brings the segment in which it ended, whole.
        if !self.segments.contains_key(&next) && self.size.number_before(from) == next {
            next += 1;
        }
        loop {
            let batch = self.without_gap(next, jobs.max(1) * AHEAD);
            if batch.is_empty() {
                proof.broken = self.hole(next);
                return Ok(proof);
            }
            next += batch.len() as u64;
            // What is wrong with one is not an error: the path ends there.
            let read = workers::map(jobs, &batch, |(number, place)| self.step(*number, place, job))?;
            for step in read {
                let step = match step.and_then(|step| self.follows(step, last.as_deref())) {
                    Ok(step) => step,
                    Err(why) => {
                        proof.broken = Some(why);
                        return Ok(proof);
                    }
                };
                last = step.facts.last.clone().or(last);
                let enough = is_enough(&step);
                proof.end = proof.end.max(step.end);
                let (damaged, cut) = (step.facts.damaged.clone(), step.cut);
                let name = step.name.file().to_string();
                proof.steps.push(step);
                if enough {
                    return Ok(proof);
                }
                if let Some(damaged) = damaged {
                    proof.broken = Some(format!("{name} is damaged: {damaged}"));
                    return Ok(proof);
                }
                if cut.is_some() {
                    // What comes next is on a timeline whose own copy of this segment is missing.
                    proof.broken = self.hole_behind_cut(&name, next);
                    return Ok(proof);
                }
            }
        }
    }

    /// Segments from a number on, without a gap, at most so many.
    fn without_gap(&self, from: u64, most: usize) -> Vec<(u64, Place)> {
        let there = self.segments.range(from..).map(|(number, place)| (*number, place.clone()));
        there
            .zip(from..)
            .take_while(|((number, _), wanted)| number == wanted)
            .map(|(there, _)| there)
            .take(most)
            .collect()
    }

    /// What is missing if something later is there.
    fn hole(&self, number: u64) -> Option<String> {
        let (later, place) = self.segments.range(number..).next()?;
        let missing = self.name(self.timeline_of(number), number)?;
        let later = self.name(place.timeline, *later)?;
        Some(format!("{} is missing, and {} is there", missing.file(), later.file()))
    }

    fn hole_behind_cut(&self, name: &str, next: u64) -> Option<String> {
        let (later, Place { timeline, .. }) = self.segments.range(next..).next()?;
        let later = self.name(*timeline, *later)?;
        Some(format!(
            "the copy of {name} with which timeline {timeline} began is missing, and {} is there",
            later.file()
        ))
    }

    /// The timeline that a segment would be of.
    fn timeline_of(&self, number: u64) -> u32 {
        let begun = self.spans.iter().rev().find(|span| self.size.number_of(span.begin) <= number);
        begun.map_or(self.timeline, |span| span.timeline)
    }

    fn name(&self, timeline: u32, number: u64) -> Option<WalName> {
        WalName::parse(&SegmentName::new(timeline, number, self.size)?.to_string())
    }

    fn step(&self, number: u64, place: &Place, job: &Job) -> Result<Result<Step, String>, OpsError> {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        let timeline = place.timeline;
        let Some(name) = self.name(timeline, number) else {
            return Ok(Err(format!("segment {number} of timeline {timeline} has no name")));
        };
        let facts = match self.headers.facts(place.piece.as_ref().unwrap_or(&name))? {
            Ok(facts) => facts,
            Err(why) => return Ok(Err(why)),
        };
        let left = self.spans.iter().find(|span| span.timeline == timeline).and_then(|span| span.end);
        let cut = left.filter(|left| *left < start(number + 1, self.size));
        let Ok(end) = facts.end.parse::<Lsn>() else {
            return Ok(Err(format!("the header of {} does not say where it ends", name.file())));
        };
        let end = cut.map_or(end, |cut| cut.min(end));
        Ok(Ok(Step { number, name, facts, is_unfinished: place.piece.is_some(), cut, end }))
    }

    /// Whether a segment is the one of its number, and follows the record before it.
    fn follows(&self, step: Step, last: Option<&str>) -> Result<Step, String> {
        let begin = start(step.number, self.size);
        if step.facts.start != begin.to_string() || step.facts.segment_size != self.size.bytes() {
            return Err(format!("{} says that it begins at {}", step.name.file(), step.facts.start));
        }
        match (last, &step.facts.first) {
            (Some(last), Some(first)) if first.previous != last => Err(format!(
                "{} does not follow the segment before: it goes on from the record at {}, and that ends with the one at {last}",
                step.name.file(),
                first.previous
            )),
            _ => Ok(step),
        }
    }
}

impl Proof {
    /// The same up to a step, of which the records end at `end`.
    pub(super) fn up_to(&self, at: usize, end: Lsn) -> Proof {
        Proof { steps: self.steps.iter().take(at + 1).cloned().collect(), end, broken: None }
    }
}

impl Step {
    /// Whether its header says exactly what recovery finds in it.
    pub(super) fn is_counted(&self) -> bool {
        self.facts.contents.is_some() && !self.facts.uncounted && self.cut.is_none()
    }

    /// Whether its last record goes on in the next segment, or in a piece that is not there.
    pub(super) fn goes_on(&self, size: SegmentSize) -> bool {
        let is_open = if self.is_unfinished { self.facts.uncounted } else { size.offset_of(self.end) != 0 };
        is_open && self.cut.is_none()
    }

    /// Where the last record begins that begins in it.
    pub(super) fn last(&self) -> Option<Lsn> {
        self.facts.last.as_deref()?.parse().ok()
    }
}

/// The timelines of a history, the oldest first, and which part of each counts.
fn spans(timeline: u32, history: Option<&TimelineHistory>) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut begin = Lsn(0);
    for ancestor in history.map(TimelineHistory::ancestors).unwrap_or_default() {
        spans.push(Span { timeline: ancestor.timeline, begin, end: Some(ancestor.switch_lsn) });
        begin = ancestor.switch_lsn;
    }
    spans.push(Span { timeline, begin, end: None });
    spans
}
