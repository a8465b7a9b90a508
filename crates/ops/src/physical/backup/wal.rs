//! The WAL of a backup: streamed while the files are copied, so that it does not matter what the
//! server removes meanwhile; never copied from `pg_wal`, where names are used again.
//!
//! **Order.** A temporary slot keeps the WAL from the moment at which it is made. The stream begins
//! at the segment that is written then, which is before the backup begins in the server. When that
//! has ended, the stream goes on up to the end of the segment in which it ended; the server
//! switches to the next one at that moment. Segments before the backup's start are dropped.
//!
//! **Proof.** Every record from the start on is read: its CRC, and that it follows the one before.
//! The record that ends this very backup must be among them.
//!
//! **Cancel and failure.** The slot is temporary: it ends with its connection, whatever happens to
//! us. A stream that fails fails the backup at once, not at its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;
use pgark_bytes::wal::{WalFormat, Walk};
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use pgark_pg::{Connection, WalEvent};
use pgark_repo::{BackupWriter, Class, Cut, PartSummary, StreamWriter};

use super::survey::Survey;
use crate::error::with_causes;
use crate::facts::{Note, WalTaken};
use crate::watch::Watch;
use crate::{OpsError, paths};

/// How often the stream looks whether the backup has ended.
const LOOK: Duration = Duration::from_millis(100);
/// The server has this long to send the last segment.
const PATIENCE: Duration = Duration::from_secs(300);
/// Nothing yet.
const UNKNOWN: u64 = u64::MAX;

/// What the copying thread tells the stream.
pub(super) struct Ends {
    start: AtomicU64,
    stop: AtomicU64,
    given_up: AtomicBool,
    failed: AtomicBool,
}

impl Ends {
    pub(super) fn new() -> Ends {
        Ends {
            start: AtomicU64::new(UNKNOWN),
            stop: AtomicU64::new(UNKNOWN),
            given_up: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// The backup began here.
    pub(super) fn began(&self, at: Lsn) {
        self.start.store(at.0, Ordering::Release);
    }

    /// It ended here.
    pub(super) fn ended(&self, at: Lsn) {
        self.stop.store(at.0, Ordering::Release);
    }

    /// There will be no backup.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Whether the stream ended before the backup did.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn at(of: &AtomicU64) -> Option<Lsn> {
        Some(of.load(Ordering::Acquire)).filter(|at| *at != UNKNOWN).map(Lsn)
    }
}

/// A segment that was received.
pub(super) struct Segment {
    number: u64,
    part: PartSummary,
    bytes: u64,
}

/// What was received.
pub(super) struct Received {
    segments: Vec<Segment>,
    walk: Walk,
}

/// Opens the stream: tells `ready` once the slot keeps the WAL, and receives until the backup has
/// ended.
pub(super) fn receive<'a>(
    writer: &'a BackupWriter<'a>,
    survey: &Survey,
    ends: &Ends,
    watch: &Watch,
    ready: mpsc::Sender<()>,
) -> Result<Received, OpsError> {
    let result = stream(writer, survey, ends, watch, ready);
    if result.is_err() {
        ends.failed.store(true, Ordering::Release);
    }
    result
}

fn stream<'a>(
    writer: &'a BackupWriter<'a>,
    survey: &Survey,
    ends: &Ends,
    watch: &Watch,
    ready: mpsc::Sender<()>,
) -> Result<Received, OpsError> {
    let size = segment_size(survey)?;
    let mut connection = Connection::connect_physical(&survey.pinned)?;
    watch.add(connection.canceller());
    let slot = format!("pgark_{}", writer.id());
    connection.create_physical_slot(&slot, true, true)?;
    let system = connection.identify_system()?;
    let start = size.start_of(system.flushed);
    let mut receiver =
        connection.start_replication(Some(&slot), WalPosition { lsn: start, timeline: survey.timeline })?;
    // Whoever does not wait any more has failed.
    let _ = ready.send(());
    let format = WalFormat {
        major: survey.server_version / 10_000,
        system_identifier: survey.system_identifier,
        timeline: survey.timeline,
        segment_size: size,
        page_size: survey.wal_page_size,
    };
    let damaged = |error| OpsError::refused(with_causes(&error), "look at the server's disks and its log");
    let mut walk = Walk::new(format, start).map_err(damaged)?;
    let mut segments = Vec::new();
    let mut open: Option<(u64, StreamWriter<'a>)> = None;
    let mut at = start;
    let mut asked: Option<Instant> = None;
    loop {
        if ends.given_up.load(Ordering::Acquire) || watch.is_cancelled() {
            return Err(OpsError::Cancelled);
        }
        if let Some(stop) = Ends::at(&ends.stop) {
            let end = size.start_of(Lsn(stop.0.saturating_sub(1))).0 + u64::from(size.bytes());
            if at.0 >= end {
                receiver.finish(Instant::now() + LOOK * 50)?;
                return Ok(Received { segments, walk });
            }
            let asked = asked.get_or_insert_with(Instant::now);
            if asked.elapsed() > PATIENCE {
                return Err(OpsError::refused(
                    format!("the server did not send its WAL up to {stop}: the stream is at {at}"),
                    "look into the server's log for its walsender",
                ));
            }
        }
        match receiver.receive(Instant::now() + LOOK)? {
            WalEvent::NothingYet => {}
            WalEvent::TimelineEnds(switch) => {
                return Err(OpsError::refused(
                    format!(
                        "the server changed to timeline {} at {} during the backup",
                        switch.next_timeline, switch.switch_point
                    ),
                    "run the backup again",
                ));
            }
            WalEvent::Wal { data, .. } => {
                walk.feed(at, data, &mut |_| {}).map_err(damaged)?;
                let mut data = data;
                while !data.is_empty() {
                    let number = size.number_of(at);
                    let left = u64::from(size.bytes()) - size.offset_of(at);
                    let now = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let (own, others) = data.split_at(now);
                    data = others;
                    let (_, stream) =
                        open.get_or_insert_with(|| (number, writer.stream(Class::Data, Cut::Content)));
                    stream.write(own)?;
                    at = Lsn(at.0 + own.len() as u64);
                    if size.offset_of(at) == 0
                        && let Some((number, stream)) = open.take()
                    {
                        let part = stream.finish()?;
                        segments.push(Segment { number, part, bytes: size.bytes().into() });
                        forget_before(&mut segments, Ends::at(&ends.start), size);
                    }
                }
            }
        }
        // What is received counts as safe: it need not be kept for us.
        receiver.report(at, at);
    }
}

/// Segments before the backup's start are of no use.
fn forget_before(segments: &mut Vec<Segment>, start: Option<Lsn>, size: SegmentSize) {
    if let Some(start) = start {
        segments.retain(|segment| segment.number >= size.number_of(start));
    }
}

pub(super) fn segment_size(survey: &Survey) -> Result<SegmentSize, OpsError> {
    SegmentSize::new(survey.wal_segment_size).map_err(|error| OpsError::refused(error.to_string(), ""))
}

/// The entries of the segments from the backup's start to its end.
pub(super) fn entries(
    writer: &BackupWriter<'_>,
    survey: &Survey,
    received: Received,
    start: Lsn,
    stop: Lsn,
) -> Result<WalTaken, OpsError> {
    let Received { segments, walk } = received;
    let size = segment_size(survey)?;
    if walk.proved() < stop || walk.backup_end_of(start).is_none() {
        return Err(OpsError::refused(
            format!(
                "the WAL that was received is not that of the backup: it is whole up to {}, the backup went from {start} to {stop}",
                walk.proved()
            ),
            "run the backup again",
        ));
    }
    let (first, last) = (size.number_of(start), size.number_of(Lsn(stop.0.saturating_sub(1))));
    let mut taken = WalTaken::default();
    for segment in segments.into_iter().filter(|segment| (first..=last).contains(&segment.number)) {
        if segment.number != first + taken.segments {
            break;
        }
        let name = SegmentName::new(survey.timeline, segment.number, size);
        let name = name.map(|name| name.to_string()).unwrap_or_default();
        let path = paths::in_data_directory(format!("pg_wal/{name}").as_bytes());
        let mut entry = writer.entry(path, Class::Data);
        entry.add(segment.part);
        entry.finish(Note::Wal.to_bytes())?;
        taken.segments += 1;
        taken.bytes_raw += segment.bytes;
    }
    if taken.segments == last - first + 1 {
        return Ok(taken);
    }
    Err(OpsError::refused(
        format!("the WAL from {start} to {stop} was not received without a gap"),
        "run the backup again",
    ))
}
