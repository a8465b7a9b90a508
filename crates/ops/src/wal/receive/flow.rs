//! What the thread that receives and the one that archives tell each other: which WAL is in the
//! spool, and up to where the repository has it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;
use pgark_bytes::wal_name::SegmentSize;

use crate::OpsError;
use crate::lock::lock;

/// What was received may take so long to be archived once it is over.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// WAL of one timeline that follows without a gap.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub timeline: u32,
    /// The beginning of a segment.
    pub start: Lsn,
    /// It is in the spool up to here.
    pub end: Lsn,
    /// Nothing was received from here up to `start`, and the operator said to go on without.
    pub lost_from: Option<Lsn>,
}

/// What is to be archived next.
#[derive(Debug)]
pub(super) enum Task {
    /// The whole segment that begins here.
    Segment { timeline: u32, start: Lsn, lost_from: Option<Lsn> },
    /// These bytes of a segment that is not whole.
    Piece { timeline: u32, from: Lsn, to: Lsn, lost_from: Option<Lsn> },
    /// Nothing, and nothing comes.
    Done,
}

/// When a piece is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As soon as the piece before is there.
    AtOnce,
    /// When its oldest byte waits for so long.
    After(Duration),
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The repository has this timeline up to here; None: nothing was received yet.
    pub committed: Option<WalPosition>,
    /// Bytes in the spool that the repository does not have.
    pub waiting: u64,
    /// Bytes that the server has and that were not received.
    pub behind: u64,
    /// Since when the oldest of them waits for the repository to get on; None: none waits.
    pub since: Option<Instant>,
}

pub(super) struct Flow {
    size: SegmentSize,
    pace: Pace,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The first is the one that is archived; the others wait, and all but the last are complete.
    runs: VecDeque<Run>,
    /// Up to where the first run is archived.
    committed: Lsn,
    /// When the repository got on, or the first byte came that it does not have.
    since: Option<Instant>,
    /// Bytes that the server has and that were not received.
    behind: u64,
    /// When the oldest byte came that it does not have, at the latest.
    oldest: Option<Instant>,
    /// When the task at hand was taken.
    taken: Option<Instant>,
    /// What is there is to be archived now.
    flush: bool,
    /// No more comes.
    ends: bool,
    failure: Option<OpsError>,
    has_failed: bool,
}

impl State {
    /// Bytes have come that the repository does not have.
    fn comes(&mut self) {
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.oldest.get_or_insert(now);
    }

    fn waiting(&self) -> u64 {
        let of = |(at, run): (usize, &Run)| {
            run.end.0.saturating_sub(if at == 0 { self.committed.0 } else { run.start.0 })
        };
        self.runs.iter().enumerate().map(of).sum()
    }
}

impl Flow {
    pub(super) fn new(size: SegmentSize, pace: Pace) -> Flow {
        Flow { size, pace, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A timeline begins, or goes on behind a gap. What came before is complete.
    pub(super) fn begin(&self, run: Run) {
        let mut state = lock(&self.state);
        if state.runs.is_empty() {
            state.committed = run.start;
        }
        if run.end > run.start {
            state.comes();
        }
        state.runs.push_back(run);
        self.changed.notify_all();
    }

    /// The last run is in the spool up to here, and the server's WAL goes up to there.
    pub(super) fn received(&self, end: Lsn, server_end: Lsn) {
        let mut state = lock(&self.state);
        state.comes();
        state.behind = server_end.0.saturating_sub(end.0);
        if let Some(run) = state.runs.back_mut() {
            run.end = end;
        }
        self.changed.notify_all();
    }

    /// What is there is to be archived now, whatever the pace.
    pub(super) fn flush(&self) {
        lock(&self.state).flush = true;
        self.changed.notify_all();
    }

    /// No more comes.
    pub(super) fn end(&self) {
        lock(&self.state).ends = true;
        self.changed.notify_all();
    }

    /// The repository has the first run up to here.
    pub(super) fn committed(&self, up_to: Lsn) {
        let mut state = lock(&self.state);
        state.committed = up_to;
        let waits = state.waiting() > 0;
        state.since = waits.then(Instant::now);
        // What came while the task was at work is not older than that.
        state.oldest = state.taken.filter(|_| waits);
        self.changed.notify_all();
    }

    /// Nothing more can be archived.
    pub(super) fn fail(&self, error: OpsError) {
        let mut state = lock(&self.state);
        if !state.has_failed {
            (state.failure, state.has_failed) = (Some(error), true);
        }
        self.changed.notify_all();
    }

    /// Why nothing more can be archived; once.
    pub(super) fn failure(&self) -> Option<OpsError> {
        lock(&self.state).failure.take()
    }

    pub(super) fn has_failed(&self) -> bool {
        lock(&self.state).has_failed
    }

    pub(super) fn progress(&self) -> Progress {
        let state = lock(&self.state);
        let first = state.runs.front();
        let committed = first.map(|run| WalPosition { timeline: run.timeline, lsn: state.committed });
        Progress { committed, waiting: state.waiting(), behind: state.behind, since: state.since }
    }

    /// Waits until the repository has all that was received; false: not within this time.
    pub(super) fn is_drained_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = lock(&self.state);
        while state.waiting() > 0 && !state.has_failed {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            state = self.wait(state, left);
        }
        state.waiting() == 0
    }

    /// Waits for the next task.
    pub(super) fn next(&self) -> Task {
        let mut state = lock(&self.state);
        loop {
            let task = self.task(&mut state);
            match task {
                Ok(task) => {
                    state.taken = Some(Instant::now());
                    return task;
                }
                Err(wait) => state = self.wait(state, wait),
            }
        }
    }

    fn wait<'s>(
        &self,
        state: std::sync::MutexGuard<'s, State>,
        time: Duration,
    ) -> std::sync::MutexGuard<'s, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(|poison| poison.into_inner()).0
    }

    /// The next task; or for how long there is none.
    fn task(&self, state: &mut State) -> Result<Task, Duration> {
        const LONG: Duration = Duration::from_secs(60);
        loop {
            let (from, is_last) = (state.committed, state.runs.len() == 1);
            let Some(run) = state.runs.front() else {
                return if state.ends { Ok(Task::Done) } else { Err(LONG) };
            };
            let timeline = run.timeline;
            let start = self.size.start_of(from);
            let lost_from = run.lost_from.filter(|_| start == run.start);
            if run.end.0 >= start.0 + u64::from(self.size.bytes()) {
                return Ok(Task::Segment { timeline, start, lost_from });
            }
            let piece = Task::Piece { timeline, from, to: run.end, lost_from };
            if run.end > from {
                if !is_last || state.ends || state.flush || self.pace == Pace::AtOnce {
                    return Ok(piece);
                }
                let waits = state.oldest.map_or(Duration::ZERO, |oldest| oldest.elapsed());
                match self.pace {
                    Pace::After(interval) if waits < interval => return Err(interval - waits),
                    _ => return Ok(piece),
                }
            }
            state.flush = false;
            if is_last {
                return if state.ends { Ok(Task::Done) } else { Err(LONG) };
            }
            state.runs.pop_front();
            if let Some(next) = state.runs.front() {
                state.committed = next.start;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;

    fn flow(pace: Pace) -> Flow {
        Flow::new(SegmentSize::new(SIZE as u32).unwrap(), pace)
    }

    fn run(timeline: u32, start: u64, end: u64) -> Run {
        Run { timeline, start: Lsn(start), end: Lsn(end), lost_from: None }
    }

    /// A task in few words, which is done at once.
    fn does(flow: &Flow) -> String {
        match flow.next() {
            Task::Done => "done".into(),
            Task::Segment { timeline, start, .. } => {
                flow.committed(Lsn(start.0 + SIZE));
                format!("{timeline} segment {start}")
            }
            Task::Piece { timeline, from, to, .. } => {
                flow.committed(to);
                format!("{timeline} piece {from} {to}")
            }
        }
    }

    /// Whole segments go at once, and what is left when it is its time.
    #[test]
    fn what_is_received_becomes_segments_and_pieces() {
        let flow = flow(Pace::After(Duration::from_millis(30)));
        flow.begin(run(1, SIZE, SIZE));
        assert_eq!(flow.progress().waiting, 0);
        flow.received(Lsn(3 * SIZE + 16), Lsn(3 * SIZE + 100));
        let progress = flow.progress();
        assert_eq!((progress.waiting, progress.behind), (2 * SIZE + 16, 84));
        assert!(progress.since.is_some());
        assert_eq!(does(&flow), "1 segment 0/100000");
        assert_eq!(does(&flow), "1 segment 0/200000");
        let begun = Instant::now();
        assert_eq!(does(&flow), "1 piece 0/300000 0/300010");
        assert!(begun.elapsed() >= Duration::from_millis(20), "{:?}", begun.elapsed());
        assert_eq!((flow.progress().waiting, flow.progress().since), (0, None));
        // More of the same segment, at once if that is wanted.
        flow.received(Lsn(3 * SIZE + 32), Lsn(3 * SIZE + 32));
        flow.flush();
        assert_eq!(does(&flow), "1 piece 0/300010 0/300020");
        flow.received(Lsn(4 * SIZE), Lsn(4 * SIZE));
        assert_eq!(does(&flow), "1 segment 0/300000");
        assert!(flow.is_drained_within(Duration::ZERO));
        flow.end();
        assert_eq!(does(&flow), "done");
    }

    /// A timeline that was left is complete before the next one begins.
    #[test]
    fn timelines_follow_each_other() {
        let flow = flow(Pace::After(Duration::from_secs(3600)));
        flow.begin(run(1, SIZE, SIZE + 160));
        flow.begin(run(2, SIZE, SIZE));
        flow.received(Lsn(2 * SIZE + 8), Lsn(2 * SIZE + 8));
        assert_eq!(flow.progress().waiting, 160 + SIZE + 8);
        assert_eq!(flow.progress().committed, Some(WalPosition { timeline: 1, lsn: Lsn(SIZE) }));
        assert_eq!(does(&flow), "1 piece 0/100000 0/1000A0");
        assert_eq!(does(&flow), "2 segment 0/100000");
        assert_eq!(flow.progress().committed, Some(WalPosition { timeline: 2, lsn: Lsn(2 * SIZE) }));
        flow.end();
        assert_eq!(does(&flow), "2 piece 0/200000 0/200008");
        assert_eq!(does(&flow), "done");
    }

    /// What ends the uploads ends the wait for them, and is said once.
    #[test]
    fn a_failure_ends_the_wait() {
        let flow = flow(Pace::AtOnce);
        flow.begin(run(1, 0, 8));
        assert!(!flow.is_drained_within(Duration::from_millis(10)));
        flow.fail(OpsError::refused("one", ""));
        flow.fail(OpsError::refused("two", ""));
        assert!(!flow.is_drained_within(Duration::from_secs(60)));
        assert!(flow.has_failed());
        assert_eq!(flow.failure().map(|error| error.to_string()).as_deref(), Some("one"));
        assert!(flow.failure().is_none() && flow.has_failed());
    }
}
