//! The thread that receives: from the server into the spool, on and on. It tells the server how far
//! the spool and the repository are, follows it from timeline to timeline, and connects again when
//! the connection is lost.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;
use pgark_bytes::timeline_history::TimelineHistory;
use pgark_pg::{ConnInfo, Connection, Refusal, SystemIdentification, WalEvent, WalReceiver};
use pgark_repo::{RepoError, WalArchive, WalName};

use super::super::facts::HistoryFacts;
use super::begin::{self, Begin};
use super::flow::{Flow, GRACE, Run};
use super::origin::{Origin, connect};
use super::request::{Ack, Request};
use super::spool::SpoolWriter;
use crate::advice::{Setting, advice};
use crate::error::with_causes;
use crate::lock::lock;
use crate::{Job, OpsError};

/// How long one wait for WAL lasts.
const LOOK: Duration = Duration::from_millis(100);
/// The same while commits may wait for an upload.
const SHORT: Duration = Duration::from_millis(1);
/// What nobody waits for is synced so often, or after so many bytes.
const SYNC: (Duration, u64) = (Duration::from_secs(1), 16 << 20);
/// Between two attempts to connect, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// A slot that another session has is waited for so long at the start: an earlier receiver may just
/// have ended.
const SLOT: Duration = Duration::from_secs(10);

/// What receives.
pub(super) struct Receiver<'a> {
    pub request: &'a Request,
    pub origin: &'a Origin,
    pub archive: &'a WalArchive<'a>,
    pub flow: &'a Flow,
    /// Told which host WAL comes from.
    pub host: &'a Mutex<Option<ConnInfo>>,
    pub job: &'a Job,
    pub writer: SpoolWriter<'a>,
    /// The end of what is in the spool.
    pub held: Option<Begin>,
    /// WAL was received on some connection.
    pub is_on: bool,
    pub began: Instant,
}

/// Why a stream ended that did not fail.
enum Ended {
    /// It was told to, or has all that was asked for.
    Asked,
    /// The server goes on with this timeline.
    Switched(Begin),
}

/// What was told to the server last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    written: Lsn,
    flushed: Lsn,
}

impl Receiver<'_> {
    /// Receives until it is told to end.
    ///
    /// # Errors
    /// What does not pass by itself.
    pub(super) fn run(mut self, connection: Connection) -> Result<(), OpsError> {
        let [mut pause, longest] = PAUSES;
        let mut open = Some(connection);
        loop {
            let connection = open.take().map_or_else(|| connect(&self.request.conninfo), Ok);
            let began = Instant::now();
            let followed = connection.and_then(|mut connection| self.follow(&mut connection));
            *lock(self.host) = None;
            let error = match followed {
                Ok(()) => return Ok(()),
                Err(_) if self.is_to_end() => return Ok(()),
                Err(error) if self.passes(&error) => error,
                Err(error) => return Err(error),
            };
            if began.elapsed() > longest {
                pause = PAUSES[0];
            }
            self.job.progress.warn(&format!(
                "the stream of WAL is broken off, and begun again in {} s: {}",
                pause.as_secs_f32(),
                with_causes(&error)
            ));
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if self.is_to_end() {
                    return Ok(());
                }
                std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            }
            pause = (pause * 2).min(longest);
        }
    }

    fn is_to_end(&self) -> bool {
        self.job.cancel.is_cancelled() || self.flow.has_failed()
    }

    /// Whether it is worth another attempt.
    fn passes(&self, error: &OpsError) -> bool {
        match error {
            OpsError::Replication(failure) => match failure.refusal() {
                Some(Refusal::SlotInUse) => self.is_on || self.began.elapsed() < SLOT,
                Some(Refusal::NoSuchSlot | Refusal::SlotsUsedUp) => false,
                _ => self.is_on,
            },
            OpsError::Repository(RepoError::Store(_)) | OpsError::Server { .. } => self.is_on,
            _ => false,
        }
    }

    /// Receives from one connection, from timeline to timeline.
    fn follow(&mut self, connection: &mut Connection) -> Result<(), OpsError> {
        let system = connection.identify_system()?;
        if system.system_identifier != self.origin.format.system_identifier {
            return Err(OpsError::refused(
                format!(
                    "the server is of the system {}, and the WAL of {} was received",
                    system.system_identifier, self.origin.format.system_identifier
                ),
                "look which server answers there; start again if it was replaced on purpose",
            ));
        }
        let history = self.history(connection, &system)?;
        *lock(self.host) = Some(self.request.conninfo.for_host_of(connection));
        if self.request.create_slot {
            match connection.create_physical_slot(&self.request.slot, false, true) {
                Err(failure) if failure.refusal() == Some(Refusal::SlotExists) => {}
                other => other?,
            }
        }
        let mut begin = self.begin(connection, &system, &history)?;
        let mut lost_from = None;
        loop {
            match self.stream(connection, begin, lost_from) {
                Ok(Ended::Asked) => return Ok(()),
                Ok(Ended::Switched(next)) => (begin, lost_from) = (next, None),
                Err(OpsError::Replication(failure)) if failure.refusal() == Some(Refusal::NoSuchSlot) => {
                    return Err(OpsError::refused(
                        with_causes(&failure),
                        advice![
                            "create it with ",
                            Setting::CreateSlot,
                            ": the server keeps WAL for it from then on"
                        ],
                    ));
                }
                Err(OpsError::Replication(failure))
                    if matches!(failure.refusal(), Some(Refusal::WalRemoved | Refusal::SlotInvalidated)) =>
                {
                    let is_second = lost_from.is_some();
                    let (kept, what) = self.behind_gap(connection, begin, &system)?;
                    if !self.request.accept_gap || is_second {
                        return Err(OpsError::refused(
                            format!("{}; {what}", with_causes(&failure)),
                            advice![
                                "the moments in the gap cannot be recovered: make a physical backup, and go on without this WAL with ",
                                Setting::AcceptGap,
                                "; a server's own archive may have it: archive it from there first"
                            ],
                        ));
                    }
                    self.job.progress.warn(&what);
                    (lost_from, begin) = (Some(begin.at), kept);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The timelines of the server. Their histories are archived before any WAL of them.
    fn history(
        &self,
        connection: &mut Connection,
        system: &SystemIdentification,
    ) -> Result<TimelineHistory, OpsError> {
        let invalid = |error: pgark_bytes::timeline_history::TimelineHistoryError| {
            OpsError::refused(
                format!("read the history of timeline {}: {error}", system.timeline),
                "look at it in the server's pg_wal",
            )
        };
        if system.timeline == 1 {
            return TimelineHistory::new(1, Vec::new()).map_err(invalid);
        }
        let file = connection.timeline_history(system.timeline)?;
        let history = TimelineHistory::parse(system.timeline, &file.content).map_err(invalid)?;
        if let Some(name) = WalName::parse(&file.file_name) {
            let facts = HistoryFacts::of(&history).to_bytes();
            self.archive.put(&name, &file.content, &facts, self.request.compression_level)?;
        }
        Ok(history)
    }

    /// Where to go on.
    fn begin(
        &self,
        connection: &mut Connection,
        system: &SystemIdentification,
        history: &TimelineHistory,
    ) -> Result<Begin, OpsError> {
        let size = self.origin.format.segment_size;
        if let Some(held) = self.held {
            match begin::behind(history, held, size) {
                Some((begin, why)) => {
                    why.iter().for_each(|why| self.job.progress.warn(why));
                    return Ok(begin);
                }
                None => self.job.progress.warn(&format!(
                    "timeline {}, of which WAL was received up to {}, is not in the history of the server, which is on {}: what was received stays archived",
                    held.timeline, held.at, system.timeline
                )),
            }
        }
        match begin::behind_archived(history, self.archive, size)? {
            Some(begin) => Ok(begin),
            None => self.of_slot(connection, system),
        }
    }

    /// The first WAL that the slot keeps, else what is written now.
    fn of_slot(&self, connection: &mut Connection, system: &SystemIdentification) -> Result<Begin, OpsError> {
        let size = self.origin.format.segment_size;
        let slot = match self.origin.format.major >= 15 {
            true => connection.read_slot(&self.request.slot)?,
            false => None,
        };
        let kept = slot.and_then(|slot| Some((slot.restart_timeline, slot.restart_lsn?)));
        Ok(match kept {
            Some((timeline, at)) => {
                Begin { timeline: timeline.unwrap_or(system.timeline), at: size.start_of(at) }
            }
            None => Begin { timeline: system.timeline, at: size.start_of(system.flushed) },
        })
    }

    /// Where the server's WAL goes on that it still has, and what is missing before that.
    fn behind_gap(
        &self,
        connection: &mut Connection,
        begin: Begin,
        system: &SystemIdentification,
    ) -> Result<(Begin, String), OpsError> {
        let kept = self.of_slot(connection, system)?;
        // A slot that begins before what is missing was no help.
        let kept = match kept.at > begin.at {
            true => kept,
            false => Begin {
                timeline: system.timeline,
                at: self.origin.format.segment_size.start_of(system.flushed),
            },
        };
        let what = format!(
            "the WAL from {} on timeline {} up to {} is not on the server any more, and not in the repository ({} bytes)",
            begin.at,
            begin.timeline,
            kept.at,
            kept.at.0.saturating_sub(begin.at.0)
        );
        Ok((kept, what))
    }

    /// Receives one timeline.
    fn stream(
        &mut self,
        connection: &mut Connection,
        begin: Begin,
        lost_from: Option<Lsn>,
    ) -> Result<Ended, OpsError> {
        let Begin { timeline, at: start } = begin;
        let server = connection.host().to_string();
        let mut receiver =
            connection.start_replication(Some(&self.request.slot), WalPosition { lsn: start, timeline })?;
        let mut begun = self.held == Some(begin);
        let mut is_told = false;
        let mut told = Told { written: start, flushed: Lsn(0) };
        let (mut synced, mut synced_at) = (start, Instant::now());
        loop {
            if self.is_to_end() || self.has_all(start) {
                self.settle(receiver, timeline, synced, told)?;
                return Ok(Ended::Asked);
            }
            let progress = self.flow.progress();
            if progress.waiting >= self.request.spool_size {
                // The server keeps what is not received.
                std::thread::sleep(LOOK);
                self.tell(&mut receiver, timeline, synced, &mut told)?;
                receiver.keep_alive()?;
                continue;
            }
            let is_eager = self.request.synchronous || self.request.ack == Ack::Spool;
            let unsynced = self.writer.unsynced();
            let is_due = unsynced > 0 && (is_eager || synced_at.elapsed() >= SYNC.0);
            let wait = match (is_due, self.request.synchronous && progress.waiting > 0) {
                (true, _) => Duration::ZERO,
                (false, true) => SHORT,
                (false, false) => LOOK,
            };
            let event = receiver.receive(Instant::now() + wait)?;
            if !is_told {
                // Only now it is known that the server has it.
                self.job
                    .progress
                    .info(&format!("receiving the WAL of {server} from {start} on timeline {timeline}"));
                (is_told, self.is_on) = (true, true);
            }
            match event {
                WalEvent::Wal { start: at, data } => {
                    if !begun {
                        self.flow.begin(Run { timeline, start, end: start, lost_from });
                        begun = true;
                    }
                    self.writer.write(timeline, at, data)?;
                    let end = Lsn(at.0 + data.len() as u64);
                    self.held = Some(Begin { timeline, at: end });
                    self.flow.received(end, receiver.server_end());
                    if self.writer.unsynced() >= SYNC.1 {
                        self.writer.sync()?;
                        (synced, synced_at) = (end, Instant::now());
                    }
                }
                WalEvent::NothingYet => {
                    if is_due {
                        self.writer.sync()?;
                        synced_at = Instant::now();
                        synced =
                            self.held.filter(|held| held.timeline == timeline).map_or(start, |held| held.at);
                    }
                }
                WalEvent::TimelineEnds(switch) => {
                    self.job.progress.info(&format!(
                        "timeline {timeline} ends at {}, and timeline {} begins there",
                        switch.switch_point, switch.next_timeline
                    ));
                    let at = self.origin.format.segment_size.start_of(switch.switch_point);
                    return Ok(Ended::Switched(Begin { timeline: switch.next_timeline, at }));
                }
            }
            if receiver.was_asked() && self.flow.progress().waiting > 0 {
                self.flow.flush();
            }
            self.tell(&mut receiver, timeline, synced, &mut told)?;
        }
    }

    /// Whether all that was asked for was received: now, or before this stream began.
    fn has_all(&self, start: Lsn) -> bool {
        let at = self.held.map_or(start, |held| held.at);
        self.request.endpos.is_some_and(|end| at >= end)
    }

    /// Tells the server how far it is, if that has changed.
    fn tell(
        &self,
        receiver: &mut WalReceiver<'_>,
        timeline: u32,
        synced: Lsn,
        told: &mut Told,
    ) -> Result<(), OpsError> {
        let committed = self.flow.progress().committed.filter(|at| at.timeline == timeline);
        let flushed = match self.request.ack {
            Ack::Repository => committed.map_or(Lsn(0), |at| at.lsn),
            Ack::Spool => synced,
        };
        let now = Told { written: synced.max(flushed), flushed };
        if now == *told {
            return Ok(());
        }
        receiver.report(now.written, now.flushed);
        // Commits may wait for it.
        if now.flushed > told.flushed {
            receiver.send_status()?;
        }
        *told = now;
        Ok(())
    }

    /// Archives what was received, and tells the server.
    fn settle(
        &mut self,
        mut receiver: WalReceiver<'_>,
        timeline: u32,
        synced: Lsn,
        mut told: Told,
    ) -> Result<(), OpsError> {
        self.writer.sync()?;
        let synced = self.held.filter(|held| held.timeline == timeline).map_or(synced, |held| held.at);
        self.flow.flush();
        let until = Instant::now() + GRACE;
        while self.flow.progress().waiting > 0 && Instant::now() < until && !self.flow.has_failed() {
            std::thread::sleep(SHORT * 10);
            receiver.keep_alive()?;
        }
        self.tell(&mut receiver, timeline, synced, &mut told)?;
        receiver.finish(Instant::now() + LOOK * 50)?;
        Ok(())
    }
}
