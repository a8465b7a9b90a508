//! Framing: messages of the server parsed where they lie in the read buffer, messages to the server gathered and sent.

use std::io::{self, Read, Write};

use crate::PgError;

/// Bytes of the read buffer; it grows for a larger message and shrinks after it.
const BUFFER_BYTES: usize = 256 << 10;
/// PostgreSQL's own limit of a message is 1 GiB.
const LARGEST: usize = (1 << 30) + 64;
const HEAD: usize = 5;
/// Messages that may be long (libpq, fe-protocol3.c, VALID_LONG_MESSAGE_TYPE); of any other, more than 30,000 bytes mean
/// that the conversation is out of step, or that this is no PostgreSQL server.
const LONG: &[u8] = b"TDdVENA";
const LARGEST_SHORT: usize = 30_000;

/// The two directions of a conversation over any stream.
pub(crate) struct Wire<S> {
    stream: S,
    input: Vec<u8>,
    /// Unread bytes are `input[start..end]`.
    start: usize,
    end: usize,
    /// Bytes of a message begun by [`Wire::piece`] that nobody has taken yet.
    rest: usize,
    output: Vec<u8>,
}

/// One message of the server.
pub(crate) struct Message<'a> {
    pub tag: u8,
    pub body: &'a [u8],
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn new(stream: S) -> Wire<S> {
        Wire { stream, input: vec![0; BUFFER_BYTES], start: 0, end: 0, rest: 0, output: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Whether a whole message may lie in the buffer without another read.
    pub(crate) fn has_buffered(&self) -> bool {
        self.end > self.start
    }

    /// The next message, whole; waits for it. What is left of one that came in pieces is passed over.
    pub(crate) fn message(&mut self) -> Result<Message<'_>, PgError> {
        while self.rest > 0 {
            self.take_rest()?;
        }
        let (tag, total) = self.head()?;
        self.body(tag, total)
    }

    #[inline]
    fn body(&mut self, tag: u8, total: usize) -> Result<Message<'_>, PgError> {
        self.need(total)?;
        let body = self.start + HEAD..self.start + total;
        self.start += total;
        Ok(Message { tag, body: self.input.get(body).unwrap_or_default() })
    }

    /// The next message, or a piece of it if it is CopyData too long for the buffer: then more pieces follow. So a row of
    /// a gigabyte takes no more memory than one of a kilobyte.
    #[inline]
    pub(crate) fn piece(&mut self) -> Result<(Message<'_>, bool), PgError> {
        if self.rest == 0 {
            let (tag, total) = self.head()?;
            if tag != b'd' || total <= BUFFER_BYTES {
                return Ok((self.body(tag, total)?, false));
            }
            self.start += HEAD;
            self.rest = total - HEAD;
        }
        let body = self.take_rest()?;
        let more = self.rest > 0;
        Ok((Message { tag: b'd', body: self.input.get(body).unwrap_or_default() }, more))
    }

    /// Some of what is left of a long message.
    fn take_rest(&mut self) -> Result<std::ops::Range<usize>, PgError> {
        self.need(1)?;
        let from = self.start;
        self.start = self.end.min(from + self.rest);
        self.rest -= self.start - from;
        Ok(from..self.start)
    }

    /// Tag and length, head included, of the message that comes.
    #[inline]
    fn head(&mut self) -> Result<(u8, usize), PgError> {
        self.need(HEAD)?;
        let head = self.input.get(self.start..self.start + HEAD).unwrap_or_default();
        let (tag, length) = match head {
            [tag, a, b, c, d] => (*tag, u32::from_be_bytes([*a, *b, *c, *d])),
            _ => return Err(PgError::Closed(None)),
        };
        let total = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
        let largest = if LONG.contains(&tag) { LARGEST } else { LARGEST_SHORT };
        if !(HEAD..=largest).contains(&total) {
            return Err(PgError::Protocol(format!(
                "a message {:?} of {length} bytes, which the protocol does not have: this may be no PostgreSQL server",
                char::from(tag)
            )));
        }
        Ok((tag, total))
    }

    /// Makes `count` unread bytes be in the buffer.
    #[inline]
    fn need(&mut self, count: usize) -> Result<(), PgError> {
        if self.end - self.start >= count { Ok(()) } else { self.read_until(count) }
    }

    fn read_until(&mut self, count: usize) -> Result<(), PgError> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.input.len() > BUFFER_BYTES && count <= BUFFER_BYTES && self.end <= BUFFER_BYTES {
            self.input.truncate(BUFFER_BYTES);
            self.input.shrink_to_fit();
        }
        while self.end < count {
            if self.end == self.input.len() {
                // Only as bytes arrive: a length alone, which may be a lie, takes no memory.
                self.input.resize(count.min(self.input.len() * 2), 0);
            }
            let free = self.input.get_mut(self.end..).unwrap_or_default();
            match self.stream.read(free) {
                Ok(0) => return Err(PgError::Closed(None)),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PgError::Closed(Some(error))),
            }
        }
        Ok(())
    }

    /// Queues a message: its tag (none for the first of a connection) and its body.
    pub(crate) fn put(&mut self, tag: Option<u8>, body: &[u8]) -> Result<(), PgError> {
        let length = u32::try_from(body.len() + 4)
            .ok()
            .filter(|length| usize::try_from(*length).is_ok_and(|length| length < LARGEST))
            .ok_or_else(|| {
                PgError::Protocol(format!("a message of {} bytes is too large to send", body.len()))
            })?;
        self.output.extend(tag);
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(body);
        Ok(())
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> Result<(), PgError> {
        let sent = self.stream.write_all(&self.output).and_then(|()| self.stream.flush());
        self.output.clear();
        sent.map_err(|error| PgError::Closed(Some(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that gives its bytes in small pieces.
    struct Pieces(Vec<u8>, usize, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.2.min(buffer.len()).min(self.0.len() - self.1);
            buffer[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
            self.1 += count;
            Ok(count)
        }
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_come_whole_however_they_arrive() {
        let bodies: Vec<Vec<u8>> =
            [0usize, 1, 4, 70_000, 300_000, 3, 1_000_000, 0, 9].iter().map(|n| vec![b'x'; *n]).collect();
        let mut bytes = Vec::new();
        for body in &bodies {
            bytes.push(b'd');
            bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        for step in [1, 3, 5, 4096, 262_144, usize::MAX] {
            let mut wire = Wire::new(Pieces(bytes.clone(), 0, step));
            for body in &bodies {
                let message = wire.message().unwrap();
                assert_eq!((message.tag, message.body.len()), (b'd', body.len()));
            }
            assert!(matches!(wire.message(), Err(PgError::Closed(None))));
        }
    }

    #[test]
    fn long_rows_come_in_pieces() {
        let bodies: Vec<Vec<u8>> =
            [5usize, 3_000_000, 262_139, 262_140, 262_144, 7].iter().map(|n| vec![b'x'; *n]).collect();
        let mut bytes = Vec::new();
        for body in &bodies {
            bytes.push(b'd');
            bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        bytes.extend_from_slice(b"Z\0\0\0\x05I");
        for step in [1000, 4096, 262_144, usize::MAX] {
            let mut wire = Wire::new(Pieces(bytes.clone(), 0, step));
            for body in &bodies {
                let mut length = 0;
                loop {
                    let (message, more) = wire.piece().unwrap();
                    assert_eq!(message.tag, b'd');
                    assert!(message.body.len() <= BUFFER_BYTES);
                    length += message.body.len();
                    if !more {
                        break;
                    }
                }
                assert_eq!(length, body.len());
                assert!(wire.input.len() <= BUFFER_BYTES);
            }
            // One that is left in the middle.
            let mut wire = Wire::new(Pieces(bytes[10..].to_vec(), 0, step));
            assert!(wire.piece().unwrap().1);
            assert_eq!(wire.message().unwrap().body.len(), 262_139);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in
            [vec![b'd', 0, 0, 0, 3], vec![b'd', 255, 255, 255, 255], vec![b'H', b'T', b'T', b'P', b'/']]
        {
            let mut wire = Wire::new(Pieces(bytes, 0, 100));
            assert!(matches!(wire.message(), Err(PgError::Protocol(_))));
        }
    }
}
