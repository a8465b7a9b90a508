//! The workers of a backup and what they take: one queue over all databases that are open for
//! copying.
//!
//! A database's *turn* begins when its snapshot, locks and table of contents are there, and ends
//! when all its rows are stored or one of them could not be. Workers take the work of the database
//! that they are connected to, else that of the one whose turn began first, so that snapshots are
//! held for as short as possible. What a worker cannot lock goes to the turn's lead, whose
//! connection holds the locks already (trap 1).
//!
//! **Few connections.** A worker that gets none gives its work back and asks again later; while no
//! worker has one, leads copy all. A lead that gets none for itself
//! or its pg_dump lets the others finish, and from then on fewer databases are open at once: at
//! least one is, with two connections.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use pgark_pg::Connection;

use super::copy::{self, Copier, Fate};
use super::destination::Destination;
use super::lead;
use super::request::Request;
use super::work::{Copying, Work};
use crate::error::{Doing, with_causes};
use crate::shortage::{PATIENCE, PAUSE, is_shortage};
use crate::watch::Watch;
use crate::{Job, OpsError};

/// What the workers of one backup share.
pub(super) struct Crew<'a> {
    pub copier: Copier<'a>,
    pub watch: &'a Watch,
    board: Mutex<CrewState>,
    changed: Condvar,
    /// Whether the operator has heard that connections are short.
    goes_with_fewer: AtomicBool,
    bytes_expected: AtomicU64,
}

#[derive(Default)]
struct CrewState {
    turns: BTreeMap<usize, Turn>,
    begun: usize,
    /// No turn will begin any more.
    closed: bool,
    /// Workers that have a connection or may get one.
    hands: usize,
    /// Databases that are open, or being opened.
    open: usize,
    /// So many at most, where the server gives no connections for more.
    most_open: Option<usize>,
    /// Leads that wait for a connection.
    starved: usize,
}

struct Turn {
    of: Arc<Copying>,
    queue: VecDeque<Work>,
    for_lead: VecDeque<Work>,
    /// What the lead tries first: of a small database that is all, and no worker need connect to
    /// it.
    small: VecDeque<Work>,
    running: usize,
    failed: Option<OpsError>,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.running == 0 && self.queue.is_empty() && self.for_lead.is_empty() && self.small.is_empty()
    }

    fn drop_all(&mut self) {
        self.queue.clear();
        self.for_lead.clear();
        self.small.clear();
    }
}

/// What the lead of a turn has to do next.
pub(super) enum Duty {
    /// Copy this over the lead connection: no worker can.
    Copy(Work),
    /// Copy this over the lead connection; what fails is the workers'.
    Try(Work),
    /// All is copied.
    Done,
    /// The turn failed; nobody works on it any more.
    Failed(OpsError),
}

impl<'a> Crew<'a> {
    pub(super) fn new(
        destination: &'a Destination<'a>,
        job: &'a Job,
        watch: &'a Watch,
        request: &Request,
    ) -> Crew<'a> {
        Crew {
            copier: Copier::new(destination, job, request.keep_going),
            watch,
            board: Mutex::new(CrewState { hands: request.jobs.max(1), ..CrewState::default() }),
            goes_with_fewer: AtomicBool::new(false),
            changed: Condvar::new(),
            bytes_expected: AtomicU64::new(0),
        }
    }

    fn board(&self) -> MutexGuard<'_, CrewState> {
        self.board.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Waits until the workers will soon have nothing to do: only then is the next snapshot worth
    /// taking.
    pub(super) fn wait_for_need(&self, workers: usize) -> Result<(), OpsError> {
        let mut board = self.board();
        loop {
            self.copier.check()?;
            let queued: usize = board.turns.values().map(|turn| turn.queue.len()).sum();
            if queued <= 2 * workers {
                return Ok(());
            }
            board = self.changed.wait(board).unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Opens a database; where connections are short, lets others finish first. The answer comes
    /// with the place among those that are open at once.
    pub(super) fn with_connections<T>(
        &self,
        open: impl Fn() -> Result<T, OpsError>,
    ) -> Result<(T, OpenPlace<'_, 'a>), OpsError> {
        let mut alone_since: Option<Instant> = None;
        loop {
            let place = self.take_place()?;
            let error = match open() {
                Ok(opened) => return Ok((opened, place)),
                Err(error) if is_shortage(&error) => error,
                Err(error) => return Err(error),
            };
            drop(place);
            self.tell_of_shortage(&error);
            let others = {
                let mut board = self.board();
                board.most_open = Some(board.most_open.unwrap_or(usize::MAX).min(board.open.max(1)));
                board.open > 0
            };
            // What others hold will be free; what nobody of us holds may be so a moment later.
            if others {
                alone_since = None;
            } else if alone_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                let hint = "a backup needs two connections at a time, its own and pg_dump's: raise the limit (ALTER ROLE … \
                            CONNECTION LIMIT, ALTER DATABASE … CONNECTION LIMIT, max_connections), or end other sessions";
                return Err(OpsError::refused(with_causes(&error), hint));
            }
            self.starve()?;
        }
    }

    fn take_place(&self) -> Result<OpenPlace<'_, 'a>, OpsError> {
        let mut board = self.board();
        loop {
            self.copier.check()?;
            if board.most_open.is_none_or(|most| board.open < most) {
                board.open += 1;
                return Ok(OpenPlace(self));
            }
            board = self.changed.wait(board).unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Waits a moment; workers that have nothing to do release their connections meanwhile.
    fn starve(&self) -> Result<(), OpsError> {
        let begun = Instant::now();
        let mut board = self.board();
        board.starved += 1;
        self.changed.notify_all();
        while begun.elapsed() < PAUSE && self.copier.check().is_ok() {
            let left = PAUSE.saturating_sub(begun.elapsed());
            board = self.changed.wait_timeout(board, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
        board.starved -= 1;
        drop(board);
        self.copier.check()
    }

    fn tell_of_shortage(&self, error: &OpsError) {
        if !self.goes_with_fewer.swap(true, Ordering::Relaxed) {
            self.copier.job.progress.warn(&format!(
                "the server allows no more connections, the backup continues with those it has: {}",
                with_causes(error)
            ));
        }
    }

    /// Begins a turn. Returns its number. What there is to copy of a small database is its
    /// lead's.
    pub(super) fn begin(&self, of: Arc<Copying>, work: VecDeque<Work>) -> usize {
        let expected = self.bytes_expected.fetch_add(of.bytes, Ordering::Relaxed) + of.bytes;
        self.copier.job.progress.total_bytes(expected);
        let mut board = self.board();
        board.begun += 1;
        let number = board.begun;
        let (queue, small) = if of.is_small { (VecDeque::new(), work) } else { (work, VecDeque::new()) };
        let turn = Turn { of, queue, for_lead: VecDeque::new(), small, running: 0, failed: None };
        board.turns.insert(number, turn);
        self.changed.notify_all();
        number
    }

    /// No turn will begin any more: workers end when the last one is over.
    pub(super) fn close(&self) {
        self.board().closed = true;
        self.changed.notify_all();
    }

    /// Ends everything: what is running is told to stop, what is queued is dropped.
    pub(super) fn stop_all(&self) {
        self.copier.stop();
        let mut board = self.board();
        for turn in board.turns.values_mut() {
            turn.of.stop.store(true, Ordering::Release);
            turn.drop_all();
            turn.failed.get_or_insert(OpsError::Cancelled);
        }
        board.closed = true;
        self.changed.notify_all();
    }

    /// The next work, of turn `mine` if it has any. Waits while there may be more; none when there
    /// will not.
    fn take(&self, hand: &mut Option<(usize, Connection)>) -> Option<(usize, Arc<Copying>, Work)> {
        let mut board = self.board();
        loop {
            if self.copier.check().is_err() {
                return None;
            }
            let mine = hand.as_ref().map(|(number, _)| *number);
            let first =
                mine.filter(|mine| board.turns.get(mine).is_some_and(|turn| !turn.queue.is_empty())).or_else(
                    || board.turns.iter().find(|(_, turn)| !turn.queue.is_empty()).map(|(number, _)| *number),
                );
            if let Some(number) = first
                && let Some(turn) = board.turns.get_mut(&number)
                && let Some(work) = turn.queue.pop_front()
            {
                turn.running += 1;
                let of = turn.of.clone();
                // A lead may wait for the queue to shrink.
                self.changed.notify_all();
                return Some((number, of, work));
            }
            if board.closed && board.turns.values().all(Turn::is_over) {
                return None;
            }
            if board.starved > 0 {
                *hand = None;
            }
            board = self.changed.wait(board).unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Books the end of one work.
    fn ended(&self, number: usize, fate: Result<Fate, OpsError>) {
        let mut board = self.board();
        let Some(turn) = board.turns.get_mut(&number) else { return };
        turn.running -= 1;
        match fate {
            Ok(Fate::Done) => {}
            Ok(Fate::Again(more)) if turn.failed.is_none() => turn.queue.extend(more),
            Ok(Fate::ForLead(work)) if turn.failed.is_none() => turn.for_lead.push_back(work),
            Ok(_) => {}
            Err(error) => {
                turn.of.stop.store(true, Ordering::Release);
                turn.drop_all();
                // The first real cause wins over the `Cancelled` of those that were stopped because
                // of it.
                if turn.failed.as_ref().is_none_or(|known| known.is_cancelled() && !error.is_cancelled()) {
                    turn.failed = Some(error);
                }
            }
        }
        self.changed.notify_all();
    }

    /// What the lead of a turn has to do next; waits for it. After `Done` and `Failed` the turn
    /// is over.
    fn duty(&self, number: usize) -> Duty {
        let mut board = self.board();
        loop {
            let no_hands = board.hands == 0;
            let Some(turn) = board.turns.get_mut(&number) else { return Duty::Done };
            if let Some(work) = turn.for_lead.pop_front() {
                turn.running += 1;
                return Duty::Copy(work);
            }
            let own = if no_hands {
                turn.small.pop_front().or_else(|| turn.queue.pop_front())
            } else {
                turn.small.pop_front()
            };
            if let Some(work) = own {
                turn.running += 1;
                return Duty::Try(work);
            }
            let is_over = turn.is_over() || (turn.running == 0 && self.copier.check().is_err());
            if is_over {
                let failed = turn.failed.take();
                let cut_short = !turn.is_over();
                board.turns.remove(&number);
                self.changed.notify_all();
                return match failed {
                    Some(error) => Duty::Failed(error),
                    None if cut_short => Duty::Failed(OpsError::Cancelled),
                    None => Duty::Done,
                };
            }
            board = self.changed.wait(board).unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Ends one turn early: what is running stops at the next row.
    pub(super) fn give_up(&self, number: usize, of: &Copying) {
        of.stop.store(true, Ordering::Release);
        let mut board = self.board();
        if let Some(turn) = board.turns.get_mut(&number) {
            turn.drop_all();
            turn.failed.get_or_insert(OpsError::Cancelled);
        }
        self.changed.notify_all();
    }

    /// The lead's part of a turn: copies what the workers could not lock, until everything is
    /// copied.
    pub(super) fn keep(&self, number: usize, lead: &mut lead::Lead, of: &Copying) -> Result<(), OpsError> {
        type CopyWork = fn(&Copier<'_>, &Copying, &mut Connection, Work) -> Result<Fate, OpsError>;
        let mut prepared = false;
        loop {
            let (work, copy): (Work, CopyWork) = match self.duty(number) {
                Duty::Done => return Ok(()),
                Duty::Failed(error) => return Err(error),
                Duty::Copy(work) => (work, copy::by_lead),
                Duty::Try(work) => (work, copy::tried_by_lead),
            };
            let result = (|| {
                if !prepared {
                    lead.use_own_encoding()?;
                    prepared = true;
                }
                copy(&self.copier, of, &mut lead.connection, work)
            })();
            self.ended(number, result);
        }
    }

    /// One worker: takes work until there is none, holding one connection at a time.
    pub(super) fn work_off(&self) {
        let _end = StopOnPanic(self);
        let mut hand: Option<(usize, Connection)> = None;
        while let Some((number, of, work)) = self.take(&mut hand) {
            if let Err(error) = self.connect(&mut hand, number, &of) {
                if is_shortage(&error) {
                    self.tell_of_shortage(&error);
                    self.give_back(number, work);
                } else {
                    self.ended(number, Err(error));
                }
                continue;
            }
            let booking = Booking { crew: self, number };
            let result = self.work_one(&mut hand, &of, work);
            std::mem::forget(booking);
            if result.is_err() {
                // Whatever state the connection is in, nobody else shall find it there.
                hand = None;
            }
            self.ended(number, result);
        }
    }

    /// Makes sure that the worker is connected to the turn's database.
    fn connect(
        &self,
        hand: &mut Option<(usize, Connection)>,
        number: usize,
        of: &Copying,
    ) -> Result<(), OpsError> {
        self.copier.check_stop(of)?;
        if hand.as_ref().is_none_or(|(held, _)| *held != number) {
            *hand = None;
            *hand = Some((number, lead::connect_reader(&of.pinned, &of.encoding, self.watch)?));
        }
        Ok(())
    }

    /// A worker that got no connection: others take its work, and it comes back later.
    fn give_back(&self, number: usize, work: Work) {
        let begun = Instant::now();
        let mut board = self.board();
        if let Some(turn) = board.turns.get_mut(&number) {
            turn.running -= 1;
            if turn.failed.is_none() {
                turn.queue.push_front(work);
            }
        }
        board.hands -= 1;
        self.changed.notify_all();
        let is_over = |board: &CrewState| board.closed && board.turns.values().all(Turn::is_over);
        while begun.elapsed() < PATIENCE && self.copier.check().is_ok() && !is_over(&board) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            board = self.changed.wait_timeout(board, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
        board.hands += 1;
    }

    fn work_one(
        &self,
        hand: &mut Option<(usize, Connection)>,
        of: &Copying,
        work: Work,
    ) -> Result<Fate, OpsError> {
        let Some((_, connection)) = hand else { return Ok(Fate::Again(vec![work])) };
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
            of.snapshot
        );
        connection.begin(&begin).doing("import the backup's snapshot")?;
        let fate = copy::by_worker(&self.copier, of, connection, work)?;
        connection.execute("COMMIT").doing("end a worker's transaction")?;
        Ok(fate)
    }
}

/// A place among the databases that are open at once.
pub(super) struct OpenPlace<'c, 'a>(&'c Crew<'a>);

impl Drop for OpenPlace<'_, '_> {
    fn drop(&mut self) {
        self.0.board().open -= 1;
        self.0.changed.notify_all();
    }
}

/// A thread that breaks down (which is a defect) must not leave the others waiting for it.
pub(super) struct StopOnPanic<'c, 'a>(pub(super) &'c Crew<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop_all();
        }
    }
}

/// Work that was taken and is not booked yet; dropped only when its worker breaks down.
struct Booking<'c, 'a> {
    crew: &'c Crew<'a>,
    number: usize,
}

impl Drop for Booking<'_, '_> {
    fn drop(&mut self) {
        let error = OpsError::refused(
            "internal error: a worker thread panicked",
            "this is a defect of pgark; please report it",
        );
        self.crew.ended(self.number, Err(error));
    }
}
