//! What the header of an archived file says, for those who cannot read its bytes: that a
//! segment follows the one before, how far it goes and what is in it; from where a timeline came.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::timeline_history::{Ancestor, TimelineHistory};
use pgark_bytes::wal::contents::{self, Contents, Said, TransactionEnd};
use pgark_bytes::wal::record::XLOG_SWITCH;
use pgark_bytes::wal::{Record, WalFormat, Walk, WalkError};
use serde::{Deserialize, Serialize};

use super::file::SegmentHead;

/// Facts of a segment, in the header of its object as JSON. LSNs are texts such as `16/B374D848`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SegmentFacts {
    /// Major version of the server.
    pub major: i32,
    /// Bytes of a segment.
    pub segment_size: u32,
    /// Where the segment begins.
    pub start: String,
    /// Where the whole records of it end.
    pub end: String,
    /// The first record that begins in it. Null: one that began before fills it.
    pub first: Option<FirstRecord>,
    /// Where the last record begins that begins in it.
    pub last: Option<String>,
    /// The server switched to the next segment before this one was full.
    pub switched: bool,
    /// What is wrong with a record of it. Recovery ends there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// What the records say that begin in it.
    pub contents: Option<ContentFacts>,
    /// The last of them goes on in the next segment, and is not counted in `contents`: the next
    /// segment was not there.
    #[serde(skip_serializing_if = "is_false")]
    pub uncounted: bool,
    /// Its receiver had nothing from here on up to the segment: the server did not keep it, and the
    /// operator said to go on without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_from: Option<String>,
}

/// What the records of a segment say. Times are in microseconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ContentFacts {
    /// How many there are.
    pub records: u64,
    /// Transactions that committed.
    pub commits: u64,
    /// The earliest and the latest time at which a transaction ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<[i64; 2]>,
    /// The first and the last transaction that ended, in the order of their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<[u32; 2]>,
    /// Transactions ended whose numbers are not known.
    #[serde(skip_serializing_if = "is_false")]
    pub unknown_transactions: bool,
    /// The latest time that a record says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<i64>,
    /// Restore points.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restore_points: Vec<RestorePointFacts>,
}

/// A restore point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RestorePointFacts {
    /// Its name.
    pub name: String,
    /// Where its record begins.
    pub lsn: String,
    /// When it was made.
    pub time: i64,
}

/// The first record of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FirstRecord {
    /// Where it begins.
    pub lsn: String,
    /// Where the record before it begins.
    pub previous: String,
}

impl SegmentFacts {
    /// Reads the records of a segment, and verifies all that are whole in it. `next` gives the
    /// front of the files behind it, as far as they are there: for the last record, if it goes on
    /// there.
    pub(super) fn of(
        head: &SegmentHead,
        content: &[u8],
        next: &mut dyn FnMut() -> Option<Vec<u8>>,
    ) -> SegmentFacts {
        let mut reader = match Reader::new(head.format, head.start, None) {
            Ok(reader) => reader,
            Err(error) => {
                let (start, damaged) = (head.start.to_string(), Some(error.to_string()));
                return SegmentFacts { start: start.clone(), end: start, damaged, ..SegmentFacts::default() };
            }
        };
        reader.feed(content);
        reader.finish(next);
        reader.facts()
    }

    /// Whether its records go on to its end, and into the next segment.
    pub(super) fn goes_on(&self) -> bool {
        let end = self.start.parse::<Lsn>().map(|start| start.0 + u64::from(self.segment_size));
        let is_full = self.end.parse::<Lsn>().ok().zip(end.ok()).is_some_and(|(own, end)| own.0 == end);
        self.damaged.is_none() && (is_full || self.uncounted)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What a header says; None: it is not of this form.
    pub(super) fn parse(bytes: &[u8]) -> Option<SegmentFacts> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Facts of a history: the timelines before it, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HistoryFacts {
    ancestors: Vec<AncestorFacts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct AncestorFacts {
    timeline: u32,
    /// Where it was left.
    lsn: String,
}

impl HistoryFacts {
    pub(super) fn of(history: &TimelineHistory) -> HistoryFacts {
        let facts = |ancestor: &Ancestor| AncestorFacts {
            timeline: ancestor.timeline,
            lsn: ancestor.switch_lsn.to_string(),
        };
        HistoryFacts { ancestors: history.ancestors().iter().map(facts).collect() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The history of a timeline, as its header has it; None: it has none.
    pub(super) fn parse(timeline: u32, bytes: &[u8]) -> Option<TimelineHistory> {
        let facts: HistoryFacts = serde_json::from_slice(bytes).ok()?;
        let ancestor = |facts: AncestorFacts| {
            let switch_lsn = facts.lsn.parse().ok()?;
            Some(Ancestor { timeline: facts.timeline, switch_lsn, reason: Vec::new() })
        };
        let ancestors: Option<Vec<Ancestor>> = facts.ancestors.into_iter().map(ancestor).collect();
        TimelineHistory::new(timeline, ancestors?).ok()
    }
}

impl ContentFacts {
    fn of(contents: &Contents) -> ContentFacts {
        let point = |point: &contents::RestorePoint| RestorePointFacts {
            name: point.name.clone(),
            lsn: point.lsn.to_string(),
            time: point.time,
        };
        ContentFacts {
            records: contents.records,
            commits: contents.commits,
            ended: contents.ended.map(|(first, last)| [first, last]),
            transactions: contents.transactions.map(|(first, last)| [first, last]),
            unknown_transactions: contents.unknown_transactions,
            clock: contents.clock,
            restore_points: contents.restore_points.iter().map(point).collect(),
        }
    }

    /// Whether this transaction may have ended in it.
    pub(super) fn may_have(&self, xid: u32) -> bool {
        let is_within = self
            .transactions
            .is_some_and(|[first, last]| !contents::is_before(xid, first) && !contents::is_before(last, xid));
        is_within || self.unknown_transactions
    }
}

/// What was read of a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub contents: ContentFacts,
    /// Transactions that ended, in the order of the WAL.
    pub ends: Vec<TransactionEnd>,
    /// Where the last record begins that begins in the segment and is whole.
    pub last_whole: Option<Lsn>,
}

/// Bytes of the next segment that are read at once for a record that goes on there.
const PIECE: usize = 64 << 10;

/// Reads the records that begin in a segment. `cut`: only those that end by then, because the
/// timeline was left there. `next` gives what comes behind it, or the front of that.
pub(super) fn read_records(
    format: WalFormat,
    start: Lsn,
    content: &[u8],
    cut: Option<Lsn>,
    next: &mut dyn FnMut() -> Option<Vec<u8>>,
) -> Reading {
    let Ok(mut reader) = Reader::new(format, start, cut) else { return Reading::default() };
    reader.feed(content);
    reader.finish(next);
    Reading {
        contents: ContentFacts::of(&reader.seen.contents),
        last_whole: reader.seen.last,
        ends: reader.seen.ends,
    }
}

/// Reads the records of a segment as its bytes come.
pub(super) struct Reader {
    head: SegmentHead,
    walk: Walk,
    seen: Seen,
    damaged: Option<WalkError>,
    uncounted: bool,
}

/// What whole records said.
#[derive(Default)]
struct Seen {
    major: i32,
    /// Where the segment ends.
    end: Lsn,
    cut: Option<Lsn>,
    contents: Contents,
    ends: Vec<TransactionEnd>,
    first: Option<FirstRecord>,
    last: Option<Lsn>,
    switched: bool,
}

impl Seen {
    fn add(&mut self, record: &Record, body: &[u8]) {
        if record.lsn >= self.end || self.cut.is_some_and(|cut| record.end > cut) {
            return;
        }
        self.first.get_or_insert_with(|| FirstRecord {
            lsn: record.lsn.to_string(),
            previous: record.header.previous.to_string(),
        });
        self.last = Some(record.lsn);
        self.switched = record.header.is_xlog(XLOG_SWITCH);
        let said = contents::said(self.major, record, body);
        self.contents.add(said.as_ref());
        if let Some(Said::End(end)) = said {
            self.ends.push(end);
        }
    }
}

impl Reader {
    /// Of the segment that begins at `start`.
    ///
    /// # Errors
    /// No segment begins there.
    pub(super) fn new(format: WalFormat, start: Lsn, cut: Option<Lsn>) -> Result<Reader, WalkError> {
        let end = Lsn(start.0.saturating_add(u64::from(format.segment_size.bytes())));
        let seen = Seen { major: format.major, end, cut, ..Seen::default() };
        let walk = Walk::new(format, start)?;
        Ok(Reader { head: SegmentHead { format, start }, walk, seen, damaged: None, uncounted: false })
    }

    /// The segment goes on with these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Reader { walk, seen, .. } = self;
        let walked = walk.feed_bodies(walk.expects(), bytes, &mut |record, body| seen.add(record, body));
        self.damaged = self.damaged.or(walked.err());
        self.uncounted = self.unfinished().is_some();
    }

    /// The segment ends here; its last record may go on behind it.
    fn finish(&mut self, next: &mut dyn FnMut() -> Option<Vec<u8>>) {
        let Some(unfinished) = self.unfinished() else { return };
        // What comes behind the segment is not its own.
        let mut walk = self.walk.clone();
        finish(&mut walk, unfinished, next, &mut |record, body| self.seen.add(record, body));
        self.uncounted = self.seen.last != Some(unfinished);
    }

    fn unfinished(&self) -> Option<Lsn> {
        self.walk.unfinished().filter(|_| self.damaged.is_none() && self.seen.cut.is_none())
    }

    /// Where the whole records end.
    fn end(&self) -> Lsn {
        self.walk.proved().min(self.seen.end)
    }

    /// What the header of the segment says of it, up to what was fed.
    pub(super) fn facts(&self) -> SegmentFacts {
        let (format, seen) = (self.head.format, &self.seen);
        let last = self.walk.unfinished().or(seen.last);
        SegmentFacts {
            major: format.major,
            segment_size: format.segment_size.bytes(),
            start: self.head.start.to_string(),
            end: self.end().to_string(),
            first: seen.first.clone(),
            last: last.map(|lsn| lsn.to_string()),
            switched: seen.switched,
            damaged: self.damaged.map(|error| error.to_string()),
            contents: Some(ContentFacts::of(&seen.contents)),
            uncounted: self.uncounted,
            lost_from: None,
        }
    }
}

/// Reads on until a record is whole, as far as what follows is there. The server may be about to
/// write it: what is wrong there is not the segment's.
fn finish(
    walk: &mut Walk,
    unfinished: Lsn,
    next: &mut dyn FnMut() -> Option<Vec<u8>>,
    see: &mut dyn FnMut(&Record, &[u8]),
) {
    while let Some(content) = next() {
        for piece in content.chunks(PIECE) {
            if walk.feed_bodies(walk.expects(), piece, see).is_err() || walk.unfinished() != Some(unfinished)
            {
                return;
            }
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
