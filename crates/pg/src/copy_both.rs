//! COPY in both directions at once: how the server streams WAL, and hears how far the client is
//! (PostgreSQL documentation, "Frontend/Backend Protocol", sections "COPY Operations" and
//! "Streaming Replication Protocol").
//!
//! Either side ends its own direction with CopyDone and may still hear the other: the client when
//! it has enough, the server at the end of a timeline that is not its latest. The conversation goes
//! on with the next command when both have ended. One thread does both: a wait for the server has a
//! deadline, after which the client may speak.

use std::time::Instant;

use crate::connection::{Answer, Connection, QueryResult};
use crate::{DbError, PgError};

/// What a command that may stream was answered with.
pub enum CopyBothAnswer<'c> {
    /// Both sides may send now.
    Streaming(CopyBoth<'c>),
    /// There is nothing to stream: START_REPLICATION at the very end of an old timeline gives the
    /// next timeline and where it begins, in a row of a result.
    Results(Vec<QueryResult>),
}

/// What has come from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The payload of one CopyData message, where it lies in the read buffer.
    Data(&'a [u8]),
    /// Nothing, or not yet a whole message. The connection is as good as before.
    NothingYet,
    /// CopyDone: the server sends no more.
    Done,
}

/// A COPY in both directions that is under way. After [`CopyBoth::finish`], and after an error that
/// the server answered with, the connection takes the next command. Dropped before that, it is not
/// usable any more.
pub struct CopyBoth<'c> {
    connection: &'c mut Connection,
    /// We have sent CopyDone.
    sent_done: bool,
    /// The server has sent CopyDone.
    received_done: bool,
    /// Both directions have ended, by CopyDone or by an error.
    over: bool,
}

impl Connection {
    /// Runs a command that may be answered with a COPY in both directions (START_REPLICATION).
    pub fn copy_both(&mut self, command: &str) -> Result<CopyBothAnswer<'_>, PgError> {
        self.send_query(command.as_bytes())?;
        Ok(match self.answer(true)? {
            Answer::Results(results) => CopyBothAnswer::Results(results),
            Answer::CopyBoth => CopyBothAnswer::Streaming(CopyBoth {
                connection: self,
                sent_done: false,
                received_done: false,
                over: false,
            }),
        })
    }
}

impl CopyBoth<'_> {
    /// What the server sends next, as far as it has arrived by the deadline; one in the past only
    /// looks.
    pub fn receive(&mut self, deadline: Instant) -> Result<Received<'_>, PgError> {
        match self.arrives_by(deadline)? {
            Some(other) => Ok(other),
            None => Ok(Received::Data(self.connection.wire.message()?.body)),
        }
    }

    /// What [`CopyBoth::receive`] would give, without taking it: the next call gives it again.
    pub fn peek(&mut self, deadline: Instant) -> Result<Received<'_>, PgError> {
        match self.arrives_by(deadline)? {
            Some(other) => Ok(other),
            None => Ok(Received::Data(self.connection.wire.peek()?.body)),
        }
    }

    /// Waits for data. None: it is there; else what is instead of it.
    fn arrives_by(&mut self, deadline: Instant) -> Result<Option<Received<'static>>, PgError> {
        self.check_open()?;
        loop {
            if self.received_done {
                return Ok(Some(Received::Done));
            }
            let arrived = self.connection.wire.arrives_by(deadline);
            match arrived.inspect_err(|_| self.connection.broken = true)? {
                None => return Ok(Some(Received::NothingYet)),
                Some(b'd') => return Ok(None),
                Some(_) => self.hear()?,
            }
        }
    }

    /// Sends the payload of one CopyData message, at once.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), PgError> {
        self.check_open()?;
        if self.sent_done {
            return Err(PgError::Protocol("nothing can be sent after CopyDone".into()));
        }
        self.connection.wire.put(Some(b'd'), payload)?;
        self.connection.flush()
    }

    /// Sends CopyDone: we send no more, and the server is to end, too. What it has sent before it
    /// hears that can still be received.
    pub fn finish_sending(&mut self) -> Result<(), PgError> {
        self.check_open()?;
        if self.sent_done {
            return Ok(());
        }
        self.sent_done = true;
        self.connection.wire.put(Some(b'c'), &[])?;
        self.connection.flush()
    }

    /// Ends both directions and gives the command's results: at the end of an old timeline, the
    /// next one and where it begins. Data that was not received is skipped.
    pub fn finish(mut self) -> Result<Vec<QueryResult>, PgError> {
        self.finish_sending()?;
        while !self.received_done {
            self.hear()?;
        }
        self.over = true;
        self.connection.results()
    }

    fn check_open(&self) -> Result<(), PgError> {
        self.connection.check_usable()?;
        if self.over { Err(PgError::Protocol("this COPY has ended with an error".into())) } else { Ok(()) }
    }

    /// The next message, whatever it is; data is skipped.
    fn hear(&mut self) -> Result<(), PgError> {
        let connection = &mut *self.connection;
        let message = connection.wire.message().inspect_err(|_| connection.broken = true)?;
        match message.tag {
            b'd' => {}
            b'c' => self.received_done = true,
            // A server that shuts down ends the command without CopyDone, and then the connection
            // (walsender.c, WalSndDone).
            b'C' if !self.received_done => {
                connection.broken = true;
                return Err(PgError::Closed(None));
            }
            b'E' => {
                let error = DbError::parse(message.body);
                self.over = true;
                // Ends both directions. After a FATAL error nothing follows; the connection then
                // knows.
                let _ = connection.until_ready();
                return Err(PgError::Db(Box::new(error)));
            }
            tag => {
                let body = message.body.to_vec();
                if !connection.is_aside(tag, &body) {
                    connection.broken = true;
                    let what = format!("message {:?} in a COPY in both directions", char::from(tag));
                    return Err(PgError::Protocol(what));
                }
            }
        }
        Ok(())
    }
}

impl Drop for CopyBoth<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.connection.broken = true;
        }
    }
}
