//! COPY in both directions.

use crate::connection::{Connection, tag_text};
use crate::{DbError, PgError};

/// Bytes of one CopyData message to the server, about.
const FRAME_BYTES: usize = 128 << 10;

/// What happens while several COPY statements of one query answer.
#[derive(Debug)]
pub enum CopyEvent<'a> {
    /// The COPY of this number (from 0) begins.
    Begin(usize),
    /// A part of a row that is too long for the read buffer; the next ones follow, the last as
    /// `Data`.
    Piece(&'a [u8]),
    /// A CopyData payload: one whole row in text format, or the end of one that came in pieces.
    Data(&'a [u8]),
    /// It ended.
    End {
        /// Rows by the server's count.
        rows: u64,
    },
}

impl Connection {
    /// Runs one `COPY … TO STDOUT`. `on_data` gets each CopyData payload where it lies in the read
    /// buffer; in text format that is one whole row. Returns the server's count of rows. If
    /// `on_data` fails, the COPY is cancelled, the connection made usable again where possible, and
    /// its error returned.
    pub fn copy_out<E: From<PgError>>(
        &mut self,
        sql: &[u8],
        on_data: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut total = 0;
        self.run_copy_out(sql, true, &mut |event| match event {
            CopyEvent::Data(data) | CopyEvent::Piece(data) => on_data(data),
            CopyEvent::Begin(_) => Ok(()),
            CopyEvent::End { rows } => {
                total += rows;
                Ok(())
            }
        })?;
        Ok(total)
    }

    /// Runs several `COPY … TO STDOUT` statements in one query. An error in one ends all. Long rows
    /// come in pieces.
    pub fn copy_out_many<E: From<PgError>>(
        &mut self,
        sql: &[u8],
        on_event: &mut dyn FnMut(CopyEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.run_copy_out(sql, false, on_event)
    }

    fn run_copy_out<E: From<PgError>>(
        &mut self,
        sql: &[u8],
        whole_rows: bool,
        on_event: &mut dyn FnMut(CopyEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send_query(sql)?;
        let mut number = 0;
        let mut failure: Option<PgError> = None;
        loop {
            let next = if whole_rows {
                self.wire.message().map(|message| (message, false))
            } else {
                self.wire.piece()
            };
            let (message, more) = match next {
                Ok(next) => next,
                Err(error) => {
                    self.broken = true;
                    return Err(failure.unwrap_or(error).into());
                }
            };
            let handed_on = match message.tag {
                b'd' if failure.is_none() && more => on_event(CopyEvent::Piece(message.body)),
                b'd' if failure.is_none() => on_event(CopyEvent::Data(message.body)),
                b'd' | b'c' => Ok(()),
                b'H' => {
                    number += 1;
                    on_event(CopyEvent::Begin(number - 1))
                }
                b'C' => on_event(CopyEvent::End { rows: rows_of(message.body) }),
                b'E' => {
                    failure = failure.or_else(|| Some(PgError::Db(Box::new(DbError::parse(message.body)))));
                    Ok(())
                }
                b'Z' => return failure.map_or(Ok(()), |error| Err(error.into())),
                tag => {
                    let body = message.body.to_vec();
                    if !self.is_aside(tag, &body) {
                        self.broken = true;
                        return Err(
                            PgError::Protocol(format!("message {:?} in a COPY", char::from(tag))).into()
                        );
                    }
                    Ok(())
                }
            };
            if let Err(error) = handed_on {
                self.abandon();
                return Err(error);
            }
        }
    }

    /// Stops the running statement and reads its rest; if that fails, the connection is broken and
    /// says so.
    pub(crate) fn abandon(&mut self) {
        self.broken = true;
        if self.canceller.cancel().is_err() {
            self.canceller.shutdown();
            return;
        }
        while let Ok(message) = self.wire.message() {
            if message.tag == b'Z' {
                self.broken = false;
                return;
            }
        }
    }

    /// Begins `COPY … FROM STDIN`.
    pub fn copy_in(&mut self, sql: &[u8]) -> Result<CopyIn<'_>, PgError> {
        self.send_query(sql)?;
        loop {
            let message = self.wire.message().inspect_err(|_| self.broken = true)?;
            match message.tag {
                b'G' => {
                    return Ok(CopyIn {
                        connection: self,
                        frame: Vec::with_capacity(FRAME_BYTES),
                        ended: false,
                    });
                }
                b'E' => {
                    let error = DbError::parse(message.body);
                    // After a FATAL error nothing follows; the connection is then marked as broken.
                    let _ = self.until_ready();
                    return Err(PgError::Db(Box::new(error)));
                }
                b'Z' => return Err(PgError::Protocol("the statement is not a COPY FROM STDIN".into())),
                b'C' => {}
                tag => {
                    let body = message.body.to_vec();
                    if !self.is_aside(tag, &body) {
                        self.broken = true;
                        return Err(PgError::Protocol(format!(
                            "message {:?} before a COPY",
                            char::from(tag)
                        )));
                    }
                }
            }
        }
    }

    pub(crate) fn until_ready(&mut self) -> Result<(), PgError> {
        loop {
            let message = self.wire.message().inspect_err(|_| self.broken = true)?;
            match message.tag {
                b'Z' => return Ok(()),
                b'E' => {
                    // Errors after the first are consequences of it.
                }
                tag => {
                    let body = message.body.to_vec();
                    self.is_aside(tag, &body);
                }
            }
        }
    }
}

/// A COPY FROM STDIN that is under way. Dropping it without [`CopyIn::finish`] makes the server
/// forget its rows.
pub struct CopyIn<'c> {
    connection: &'c mut Connection,
    frame: Vec<u8>,
    ended: bool,
}

impl CopyIn<'_> {
    /// Sends bytes; rows need not be whole. An error of the server is seen soon after it happens,
    /// not at the end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PgError> {
        if self.frame.len() + bytes.len() < FRAME_BYTES {
            self.frame.extend_from_slice(bytes);
            return Ok(());
        }
        self.send_frame()?;
        for piece in bytes.chunks(FRAME_BYTES) {
            self.frame.extend_from_slice(piece);
            if self.frame.len() >= FRAME_BYTES {
                self.send_frame()?;
            }
        }
        Ok(())
    }

    /// Ends the data and waits for the server's verdict: its count of rows.
    pub fn finish(mut self) -> Result<u64, PgError> {
        self.send_frame()?;
        self.ended = true;
        self.connection.wire.put(Some(b'c'), &[])?;
        self.connection.flush()?;
        self.verdict()
    }

    /// Makes the COPY fail.
    pub fn abort(mut self, why: &str) -> Result<(), PgError> {
        self.give_up(why)
    }

    fn give_up(&mut self, why: &str) -> Result<(), PgError> {
        if self.ended || self.connection.broken {
            return Ok(());
        }
        self.ended = true;
        let text: String = why.chars().filter(|c| *c != '\0').collect();
        self.connection.wire.put(Some(b'f'), &[text.as_bytes(), b"\0"].concat())?;
        self.connection.flush()?;
        match self.verdict() {
            // Exactly what was asked for.
            Err(PgError::Db(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(PgError::Protocol("the server finished an aborted COPY".into())),
        }
    }

    fn send_frame(&mut self) -> Result<(), PgError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        self.connection.wire.put(Some(b'd'), &self.frame)?;
        self.frame.clear();
        self.connection.flush()?;
        if self.connection.wire.has_buffered() || self.connection.wire.stream().is_readable() {
            self.look_at_answer()?;
        }
        Ok(())
    }

    /// The server speaks while it should only listen: a notice, or the error that ends the COPY.
    fn look_at_answer(&mut self) -> Result<(), PgError> {
        let connection = &mut *self.connection;
        let message = connection.wire.message().inspect_err(|_| connection.broken = true)?;
        let (tag, body) = (message.tag, message.body.to_vec());
        if tag == b'E' {
            self.ended = true;
            let error = DbError::parse(&body);
            // The server throws away what is still on its way, then is ready again.
            let _ = connection.until_ready();
            return Err(PgError::Db(Box::new(error)));
        }
        if connection.is_aside(tag, &body) {
            return Ok(());
        }
        connection.broken = true;
        Err(PgError::Protocol(format!("message {:?} during a COPY", char::from(tag))))
    }

    fn verdict(&mut self) -> Result<u64, PgError> {
        let connection = &mut *self.connection;
        let mut rows = 0;
        let mut failure = None;
        loop {
            let message = match connection.wire.message() {
                Ok(message) => message,
                Err(error) => {
                    connection.broken = true;
                    return Err(failure.unwrap_or(error));
                }
            };
            match message.tag {
                b'C' => rows = rows_of(message.body),
                b'E' => {
                    failure = failure.or_else(|| Some(PgError::Db(Box::new(DbError::parse(message.body)))))
                }
                b'Z' => return failure.map_or(Ok(rows), Err),
                tag => {
                    let body = message.body.to_vec();
                    if !connection.is_aside(tag, &body) {
                        // Whatever it was, it may have been the verdict.
                        connection.broken = true;
                        let what = format!("message {:?} at the end of a COPY", char::from(tag));
                        return Err(failure.unwrap_or(PgError::Protocol(what)));
                    }
                }
            }
        }
    }
}

impl Drop for CopyIn<'_> {
    fn drop(&mut self) {
        if self.give_up("abandoned by the client").is_err() {
            self.connection.broken = true;
        }
    }
}

/// `COPY 5`.
fn rows_of(body: &[u8]) -> u64 {
    tag_text(body).strip_prefix("COPY ").and_then(|count| count.parse().ok()).unwrap_or(0)
}
