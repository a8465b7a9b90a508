//! WAL as the server writes it, from any position on, without a gap (PostgreSQL documentation,
//! "Streaming Replication Protocol", START_REPLICATION; the server's side: walsender.c).
//!
//! A [`WalReceiver`] is one thread's business: the thread asks for the next piece and says how long
//! it waits. Whatever else a stream needs happens inside of that call:
//!
//! * **Status messages.** The server takes a client for gone that says nothing for
//!   `wal_sender_timeout`. So a status is sent every third of that time, at least every 10 seconds,
//!   and at once where the server asks for it. Who works on a piece for longer than that calls
//!   [`WalReceiver::keep_alive`] meanwhile.
//! * **Silence.** A network that swallows everything looks like a server that has nothing to say.
//!   After half of [`PATIENCE`] without a message the server is asked to answer; after the other
//!   half the stream is given up.
//!
//! **Positions.** *Written* is what was received, until the caller reports something else.
//! *Flushed* is nothing until the caller reports it ([`WalReceiver::report`]). Three things depend
//! on what is flushed:
//!
//! * A slot: the server may remove the WAL in front of it.
//! * Commits, where `synchronous_standby_names` names this client, also by `*`. From its first
//!   report on they may wait for it; a client that never reports is asynchronous.
//! * A server that shuts down: it waits until all that it has sent is flushed, or written where
//!   nothing was ever reported as flushed.

use std::time::{Duration, Instant, SystemTime};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::{ServerMessage, StatusUpdate, Timestamp, WalPosition};

use super::commands::{only_row, quoted};
use super::failure::{ReplicationCommand, ReplicationFailure};
use crate::{Connection, CopyBoth, CopyBothAnswer, PgError, QueryResult, Received};

/// A status is sent at least this often, as PostgreSQL's own receivers do
/// (`wal_receiver_status_interval`).
const STATUS_INTERVAL: Duration = Duration::from_secs(10);
/// How long a server may say nothing, by default: that of `wal_receiver_timeout`.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a timeline ends, and what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineSwitch {
    /// The timeline that comes next in the server's history.
    pub next_timeline: u32,
    /// Where it begins: the end of what this one counts for.
    pub switch_point: Lsn,
}

/// What a receiver has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalEvent<'a> {
    /// The WAL goes on with these bytes, right behind those of the last call; never empty. Where
    /// records or pages begin has nothing to do with it.
    Wal {
        /// Where they begin.
        start: Lsn,
        /// The bytes.
        data: &'a [u8],
    },
    /// Nothing has come by the deadline.
    NothingYet,
    /// All of this timeline's WAL was received, and the server is on a later one. The connection
    /// takes the next command once the receiver is dropped.
    TimelineEnds(TimelineSwitch),
}

/// A stream of WAL.
pub struct WalReceiver<'c> {
    /// None once the timeline has ended.
    stream: Option<CopyBoth<'c>>,
    ended: Option<TimelineSwitch>,
    /// All before it was handed out.
    at: WalPosition,
    server_end: Lsn,
    /// As the caller reported them.
    written: Option<Lsn>,
    flushed: Lsn,
    interval: Duration,
    sent: Instant,
    patience: Duration,
    heard: Instant,
    /// When an answer was asked for, since the server was heard last.
    asked: Option<Instant>,
    /// The server asked for a status, and the caller has not looked.
    asks: bool,
}

/// What comes next, where the piece itself is still in the read buffer.
enum Next {
    Wal,
    NothingYet,
    TimelineEnds(TimelineSwitch),
}

impl Connection {
    /// Begins to receive WAL from `start` on. A slot, if one is named, must exist; the server keeps
    /// WAL for it from what is reported as flushed.
    ///
    /// A position that the server does not have is not refused here, but by the first
    /// [`WalReceiver::receive`].
    pub fn start_replication(
        &mut self,
        slot: Option<&str>,
        start: WalPosition,
    ) -> Result<WalReceiver<'_>, ReplicationFailure> {
        let failed = |command| move |source| ReplicationFailure::Command { command, source };
        let timeout = self.show("wal_sender_timeout").and_then(|text| {
            let what = "wal_sender_timeout has an unknown unit";
            time_setting(&text).ok_or_else(|| PgError::Protocol(what.into()))
        });
        let interval = status_interval(timeout.map_err(failed(ReplicationCommand::Show))?);
        // Before 15 the server knows its timeline only then.
        if !self.has_option_lists() {
            self.identify_system()?;
        }
        let slot = slot.map(|name| format!("SLOT {} ", quoted(name))).unwrap_or_default();
        let sql = format!("START_REPLICATION {slot}PHYSICAL {} TIMELINE {}", start.lsn, start.timeline);
        let failed = failed(ReplicationCommand::StartReplication);
        let (stream, ended) = match self.copy_both(&sql).map_err(failed)? {
            CopyBothAnswer::Streaming(stream) => (Some(stream), None),
            CopyBothAnswer::Results(results) => (None, Some(switch(&results).map_err(failed)?)),
        };
        let now = Instant::now();
        Ok(WalReceiver {
            stream,
            ended,
            at: start,
            server_end: start.lsn,
            written: None,
            flushed: Lsn(0),
            interval,
            sent: now,
            patience: PATIENCE,
            heard: now,
            asked: None,
            asks: false,
        })
    }
}

impl WalReceiver<'_> {
    /// The next bytes, or the end of the timeline, or nothing by the deadline; one in the past only
    /// looks. What was handed out before counts as written, unless the caller reports that.
    pub fn receive(&mut self, deadline: Instant) -> Result<WalEvent<'_>, ReplicationFailure> {
        match self.next(deadline)? {
            Next::NothingYet => return Ok(WalEvent::NothingYet),
            Next::TimelineEnds(switch) => return Ok(WalEvent::TimelineEnds(switch)),
            Next::Wal => {}
        }
        let at = self.at;
        let failed = |source| ReplicationFailure::Wal { at, source };
        let Some(stream) = self.stream.as_mut() else { return Ok(WalEvent::NothingYet) };
        match stream.receive(deadline).map_err(failed)? {
            Received::Data(payload) => match parse(payload).map_err(failed)? {
                ServerMessage::WalData { start, data, .. } => {
                    self.at.lsn = Lsn(start.0.saturating_add(data.len() as u64));
                    Ok(WalEvent::Wal { start, data })
                }
                ServerMessage::Keepalive { .. } => Ok(WalEvent::NothingYet),
            },
            Received::NothingYet | Received::Done => Ok(WalEvent::NothingYet),
        }
    }

    /// Up to where WAL was handed out, and of which timeline.
    pub fn position(&self) -> WalPosition {
        self.at
    }

    /// How far the server's WAL is, as far as it has told.
    pub fn server_end(&self) -> Lsn {
        self.server_end
    }

    /// What the next status tells the server: WAL before `written` is in a file, WAL before
    /// `flushed` is safe, and the server may forget it. [`WalReceiver::send_status`] tells it now.
    pub fn report(&mut self, written: Lsn, flushed: Lsn) {
        (self.written, self.flushed) = (Some(written), flushed);
    }

    /// Sends a status now: commits that wait for this client need not wait for the timer.
    pub fn send_status(&mut self) -> Result<(), ReplicationFailure> {
        self.tell(false)
    }

    /// Sends a status if it is time for one.
    pub fn keep_alive(&mut self) -> Result<(), ReplicationFailure> {
        if self.sent.elapsed() >= self.interval { self.tell(false) } else { Ok(()) }
    }

    /// Whether the server has asked for a status since the last call; one was sent. A server that
    /// shuts down asks until all is flushed that it has sent.
    pub fn was_asked(&mut self) -> bool {
        std::mem::take(&mut self.asks)
    }

    /// How long the server may say nothing before the stream is given up; by default 60 s.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Ends the stream, after a last status, and gives the position up to which WAL was handed out;
    /// what was on its way is dropped. The connection then takes the next command. If the server
    /// does not end by the deadline, the connection is not usable any more.
    pub fn finish(mut self, deadline: Instant) -> Result<WalPosition, ReplicationFailure> {
        let at = self.at;
        let failed = |source| ReplicationFailure::Wal { at, source };
        if self.stream.is_some() {
            self.tell(false)?;
        }
        let Some(mut stream) = self.stream.take() else { return Ok(at) };
        stream.finish_sending().map_err(failed)?;
        let begun = Instant::now();
        loop {
            match stream.receive(deadline).map_err(failed)? {
                Received::Data(_) => {}
                Received::NothingYet => {
                    return Err(ReplicationFailure::Silent { at, silent: begun.elapsed() });
                }
                Received::Done => break,
            }
        }
        stream.finish().map_err(failed)?;
        Ok(at)
    }

    fn next(&mut self, deadline: Instant) -> Result<Next, ReplicationFailure> {
        let at = self.at;
        let failed = |source| ReplicationFailure::Wal { at, source };
        loop {
            self.keep_alive()?;
            // The next status, or the next doubt about the server.
            let doubt = self.asked.unwrap_or(self.heard) + self.patience / 2;
            let timer = doubt.min(self.sent + self.interval);
            let Some(stream) = self.stream.as_mut() else {
                return Ok(self.ended.map_or(Next::NothingYet, Next::TimelineEnds));
            };
            match stream.peek(deadline.min(timer)).map_err(failed)? {
                Received::NothingYet => {
                    self.watch_silence()?;
                    if Instant::now() >= deadline {
                        return Ok(Next::NothingYet);
                    }
                }
                Received::Done => {
                    let Some(stream) = self.stream.take() else { continue };
                    self.ended = Some(stream.finish().and_then(|results| switch(&results)).map_err(failed)?);
                }
                Received::Data(payload) => {
                    (self.heard, self.asked) = (Instant::now(), None);
                    match parse(payload).map_err(failed)? {
                        ServerMessage::Keepalive { wal_end, reply_requested, .. } => {
                            self.server_end = self.server_end.max(wal_end);
                            stream.receive(deadline).map_err(failed)?;
                            if reply_requested {
                                self.asks = true;
                                self.tell(false)?;
                            }
                        }
                        ServerMessage::WalData { start, .. } if start != at.lsn => {
                            return Err(ReplicationFailure::Gap { at, found: start });
                        }
                        ServerMessage::WalData { start, data, .. }
                            if start.0.checked_add(data.len() as u64).is_none() =>
                        {
                            return Err(failed(PgError::Protocol("WAL behind the last position".into())));
                        }
                        ServerMessage::WalData { wal_end, data: [], .. } => {
                            self.server_end = self.server_end.max(wal_end);
                            stream.receive(deadline).map_err(failed)?;
                        }
                        ServerMessage::WalData { wal_end, .. } => {
                            self.server_end = self.server_end.max(wal_end);
                            return Ok(Next::Wal);
                        }
                    }
                }
            }
        }
    }

    /// To be called when the server was looked for and had sent nothing.
    fn watch_silence(&mut self) -> Result<(), ReplicationFailure> {
        let half = self.patience / 2;
        match self.asked {
            Some(asked) if asked.elapsed() >= half => {
                Err(ReplicationFailure::Silent { at: self.at, silent: self.heard.elapsed() })
            }
            Some(_) => Ok(()),
            None if self.heard.elapsed() >= half => {
                self.asked = Some(Instant::now());
                self.tell(true)
            }
            None => Ok(()),
        }
    }

    fn tell(&mut self, reply_requested: bool) -> Result<(), ReplicationFailure> {
        let at = self.at;
        let Some(stream) = self.stream.as_mut() else { return Ok(()) };
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let status = StatusUpdate {
            written: self.written.unwrap_or(at.lsn),
            flushed: self.flushed,
            // Nothing is replayed here.
            applied: Lsn(0),
            sent_at: Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)),
            reply_requested,
        };
        self.sent = Instant::now();
        stream.send(&status.payload()).map_err(|source| ReplicationFailure::Wal { at, source })
    }
}

fn parse(payload: &[u8]) -> Result<ServerMessage<'_>, PgError> {
    ServerMessage::parse(payload).map_err(|error| PgError::Protocol(error.to_string()))
}

/// The row at the end of a timeline: the next one, and where it begins.
fn switch(results: &[QueryResult]) -> Result<TimelineSwitch, PgError> {
    let row = only_row(results)?;
    Ok(TimelineSwitch { next_timeline: row.parse(0)?, switch_point: row.parse(1)? })
}

/// How often a client must say something, by the server's `wal_sender_timeout` (0: it need not).
fn status_interval(timeout: Duration) -> Duration {
    if timeout.is_zero() { STATUS_INTERVAL } else { STATUS_INTERVAL.min(timeout / 3) }
}

/// A setting of time as SHOW gives it: `1min`, `500ms`, `0`.
fn time_setting(text: &str) -> Option<Duration> {
    let digits = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if number == 0 => 1,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_time_as_the_server_shows_them() {
        for (text, millis) in [
            ("0", 0),
            ("1s", 1000),
            ("1500ms", 1500),
            ("1min", 60_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
        ] {
            assert_eq!(time_setting(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1", "-1", "1 s", "1us", "99999999999999999999d"] {
            assert_eq!(time_setting(text), None, "{text}");
        }
        for (timeout, interval) in [(0, 10_000), (60_000, 10_000), (30_000, 10_000), (3000, 1000)] {
            assert_eq!(status_interval(Duration::from_millis(timeout)), Duration::from_millis(interval));
        }
    }
}
