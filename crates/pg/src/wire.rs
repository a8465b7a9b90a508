//! The buffers of a conversation: messages of the server are given where they lie in the read
//! buffer, messages to the server are gathered and sent. What a message is, `pgark_bytes::protocol`
//! says.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use pgark_bytes::protocol::{self, Frame, FrameError, Framed, HEAD_BYTES, Head, Sender};

use crate::PgError;
use crate::stream::Stream;

/// Bytes of the read buffer; it grows for a larger message and shrinks after it.
const BUFFER_BYTES: usize = 256 << 10;
/// The shortest time for which a socket can be told to wait.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

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

impl From<FrameError> for PgError {
    fn from(error: FrameError) -> PgError {
        PgError::Protocol(match error {
            FrameError::TooLarge { .. } => error.to_string(),
            _ => format!("{error}: this might not be a PostgreSQL server"),
        })
    }
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

    /// The next message, whole; waits for it. What is left of one that came in pieces is skipped.
    pub(crate) fn message(&mut self) -> Result<Frame<'_>, PgError> {
        while self.rest > 0 {
            self.take_rest()?;
        }
        let head = self.head()?;
        self.body(head)
    }

    /// The tag of the next message, or of the message whose rest comes in pieces; waits for its
    /// head.
    pub(crate) fn tag(&mut self) -> Result<u8, PgError> {
        if self.rest > 0 { Ok(b'd') } else { Ok(self.head()?.tag) }
    }

    #[inline]
    fn body(&mut self, Head { tag, total }: Head) -> Result<Frame<'_>, PgError> {
        self.need(total)?;
        let body = self.start + HEAD_BYTES..self.start + total;
        self.start += total;
        Ok(Frame { tag, body: self.input.get(body).unwrap_or_default() })
    }

    /// The next message, or a piece of it if it is CopyData too long for the buffer: then more
    /// pieces follow. So a row of a gigabyte takes no more memory than one of a kilobyte.
    #[inline]
    pub(crate) fn piece(&mut self) -> Result<(Frame<'_>, bool), PgError> {
        if self.rest == 0 {
            let head = self.head()?;
            if head.tag != b'd' || head.total <= BUFFER_BYTES {
                return Ok((self.body(head)?, false));
            }
            self.start += HEAD_BYTES;
            self.rest = head.total - HEAD_BYTES;
        }
        let body = self.take_rest()?;
        let more = self.rest > 0;
        Ok((Frame { tag: b'd', body: self.input.get(body).unwrap_or_default() }, more))
    }

    /// Some of what is left of a long message.
    fn take_rest(&mut self) -> Result<std::ops::Range<usize>, PgError> {
        self.need(1)?;
        let from = self.start;
        self.start = self.end.min(from + self.rest);
        self.rest -= self.start - from;
        Ok(from..self.start)
    }

    /// The head of the message that comes.
    #[inline]
    fn head(&mut self) -> Result<Head, PgError> {
        loop {
            match protocol::head(self.unread(), Sender::Backend)? {
                Framed::Whole(head) => return Ok(head),
                Framed::Needs(count) => self.need(count)?,
            }
        }
    }

    #[inline]
    fn unread(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Makes `count` unread bytes be in the buffer.
    #[inline]
    fn need(&mut self, count: usize) -> Result<(), PgError> {
        if self.end - self.start >= count { Ok(()) } else { self.read_until(count) }
    }

    fn read_until(&mut self, count: usize) -> Result<(), PgError> {
        self.make_room(count);
        while self.end < count {
            self.read_once(count)?;
        }
        Ok(())
    }

    /// Unread bytes to the front of the buffer, which is no larger than it must be.
    fn make_room(&mut self, count: usize) {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.input.len() > BUFFER_BYTES && count <= BUFFER_BYTES && self.end <= BUFFER_BYTES {
            self.input.truncate(BUFFER_BYTES);
            self.input.shrink_to_fit();
        }
    }

    /// One read, on the way to `count` bytes. Whatever it ends with, the buffer keeps what has
    /// arrived.
    fn read_once(&mut self, count: usize) -> Result<(), PgError> {
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
        Ok(())
    }

    /// Queues a message: its tag (none for the first of a connection) and its body.
    pub(crate) fn put(&mut self, tag: Option<u8>, body: &[u8]) -> Result<(), PgError> {
        match tag {
            Some(tag) => protocol::put(tag, body, &mut self.output)?,
            None => protocol::put_startup(body, &mut self.output)?,
        }
        Ok(())
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> Result<(), PgError> {
        let sent = self.stream.write_all(&self.output).and_then(|()| self.stream.flush());
        self.output.clear();
        sent.map_err(|error| PgError::Closed(Some(error)))
    }
}

impl Wire<Stream> {
    /// The tag of the next message, once it has arrived whole: [`Wire::message`] then gives it
    /// without waiting. `None` if it has not arrived by then: what has arrived of it stays in the
    /// buffer, and the next call goes on there. A deadline in the past looks without waiting.
    pub(crate) fn arrives_by(&mut self, deadline: Instant) -> Result<Option<u8>, PgError> {
        while self.rest > 0 {
            self.take_rest()?;
        }
        let arrived = self.fill_by(deadline);
        // Whoever waits next waits as long as it takes.
        self.set_read_timeout(None)?;
        arrived
    }

    /// The message that [`Wire::arrives_by`] has told of, which stays the next one.
    pub(crate) fn peek(&self) -> Result<Frame<'_>, PgError> {
        match protocol::frame(self.unread(), Sender::Backend)? {
            Framed::Whole(frame) => Ok(frame),
            Framed::Needs(_) => Err(PgError::Protocol("a message that has not arrived".into())),
        }
    }

    fn fill_by(&mut self, deadline: Instant) -> Result<Option<u8>, PgError> {
        loop {
            let count = match protocol::frame(self.unread(), Sender::Backend)? {
                Framed::Whole(frame) => return Ok(Some(frame.tag)),
                Framed::Needs(count) => count,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !self.stream.is_readable() {
                return Ok(None);
            }
            self.set_read_timeout(Some(left.max(SHORTEST_WAIT)))?;
            self.make_room(count);
            match self.read_once(count) {
                Err(PgError::Closed(Some(error))) if is_timeout(&error) => {}
                other => other?,
            }
        }
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), PgError> {
        self.stream.set_read_timeout(timeout).map_err(|error| PgError::Closed(Some(error)))
    }
}

/// The system says either for a read that took too long.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
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
    fn nothing_yet_loses_nothing() {
        use std::os::unix::net::UnixStream;
        let (mut server, client) = UnixStream::pair().unwrap();
        let mut wire = Wire::new(Stream::Unix(client));
        let past = Instant::now();
        let long = vec![b'x'; 400_000];
        let mut bytes = Vec::new();
        protocol::put(b'd', b"first", &mut bytes).unwrap();
        protocol::put(b'd', &long, &mut bytes).unwrap();
        // Whatever the piece ends in, a head or a body: not yet, and it goes on there.
        for piece in [&bytes[..3], &bytes[3..8], b""] {
            server.write_all(piece).unwrap();
            assert_eq!(wire.arrives_by(past).unwrap(), None);
        }
        server.write_all(&bytes[8..13]).unwrap();
        assert_eq!(wire.arrives_by(past).unwrap(), Some(b'd'));
        assert_eq!(wire.message().unwrap().body, b"first");
        let later = Instant::now() + Duration::from_millis(20);
        assert_eq!(wire.arrives_by(later).unwrap(), None);
        assert!(Instant::now() >= later);
        // Then as long as it takes.
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            server.write_all(&bytes[13..]).unwrap();
        });
        assert_eq!(wire.message().unwrap().body, long);
        writer.join().unwrap();
        let end = Instant::now() + Duration::from_secs(600);
        assert!(matches!(wire.arrives_by(end), Err(PgError::Closed(None))));
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
