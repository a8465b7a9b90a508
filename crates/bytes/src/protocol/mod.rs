//! Framing of the frontend/backend protocol, version 3 (PostgreSQL documentation, chapter
//! "Frontend/Backend Protocol", sections "Messaging Overview" and "Message Formats").
//!
//! A message is a type byte, a length of four bytes that counts itself and the body but not the
//! type byte, and the body. The first message of a connection has no type byte ([`startup`]).
//!
//! These functions read from the front of what has arrived so far and copy nothing: they give a
//! frame that borrows its body from the caller's buffer, or say how many bytes are needed before it
//! can be given. A length is checked before anybody waits for, or makes room for, what it promises.
//!
//! [`replication`] reads and writes what streaming replication sends inside of CopyData messages,
//! [`base_backup`] reads what BASE_BACKUP sends there.

pub mod base_backup;
pub mod replication;

/// Type byte and length.
pub const HEAD_BYTES: usize = 5;
/// The length of a message that has no type byte.
const LENGTH_BYTES: usize = 4;

/// PostgreSQL's own limit of an allocation is 1 GiB (`MaxAllocSize`), and so of a message.
const LARGEST: usize = (1 << 30) + 64;
/// Types of a server's messages that may be long (libpq, fe-protocol3.c, VALID_LONG_MESSAGE_TYPE).
/// Any other of more than 30,000 bytes means that the conversation is out of step, or that this is
/// not a PostgreSQL server.
const LONG_FROM_BACKEND: &[u8] = b"TDdVENA";
const LARGEST_FROM_BACKEND: usize = 30_000;
/// Types of a client's messages that may be long (postgres.c, SocketBackend:
/// PQ_LARGE_MESSAGE_LIMIT); any other has at most 10,000 bytes (PQ_SMALL_MESSAGE_LIMIT), an answer
/// to a request for authentication at most 65,535 (auth.c, PG_MAX_AUTH_TOKEN_LENGTH).
const LONG_FROM_FRONTEND: &[u8] = b"QFBPd";
const LARGEST_FROM_FRONTEND: usize = 10_000;
const LARGEST_AUTHENTICATION: usize = 65_535;
/// `MAX_STARTUP_PACKET_LENGTH` (pqcomm.h).
const LARGEST_STARTUP: usize = 10_000;

/// Who sends the messages that are read: the limits are the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The server.
    Backend,
    /// The client.
    Frontend,
}

/// A frame, or how much more must arrive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<T> {
    /// It is here.
    Whole(T),
    /// It is not here until at least so many bytes are, counted from its first one.
    Needs(usize),
}

/// What the head of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The type byte.
    pub tag: u8,
    /// Bytes of the whole message, head included.
    pub total: usize,
}

/// One whole message, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type byte.
    pub tag: u8,
    /// What follows the length.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole message, head included: the next one begins behind them.
    pub fn total(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }
}

/// Bytes that are not a message, or a message that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A length that no message of this type has.
    #[error("a message {:?} of {length} bytes, which the protocol does not have", char::from(*.tag))]
    Length {
        /// The type byte.
        tag: u8,
        /// The length that it claims, which counts itself.
        length: u32,
    },
    /// A length that no first message of a connection has.
    #[error("a first message of {length} bytes, which the protocol does not have")]
    StartupLength {
        /// The length that it claims, which counts itself.
        length: u32,
    },
    /// A body that no message can hold.
    #[error("a message of {bytes} bytes is too large to send")]
    TooLarge {
        /// Bytes of the body.
        bytes: usize,
    },
}

/// Reads the head of the message that `bytes` begin with.
#[inline]
pub fn head(bytes: &[u8], sender: Sender) -> Result<Framed<Head>, FrameError> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEAD_BYTES>() else {
        return Ok(Framed::Needs(HEAD_BYTES));
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    let total = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
    if (HEAD_BYTES..=largest(tag, sender)).contains(&total) {
        Ok(Framed::Whole(Head { tag, total }))
    } else {
        Err(FrameError::Length { tag, length })
    }
}

#[inline]
fn largest(tag: u8, sender: Sender) -> usize {
    match sender {
        Sender::Backend if LONG_FROM_BACKEND.contains(&tag) => LARGEST,
        Sender::Backend => LARGEST_FROM_BACKEND,
        Sender::Frontend if LONG_FROM_FRONTEND.contains(&tag) => LARGEST,
        Sender::Frontend if tag == b'p' => LARGEST_AUTHENTICATION,
        Sender::Frontend => LARGEST_FROM_FRONTEND,
    }
}

/// Reads the message that `bytes` begin with.
#[inline]
pub fn frame(bytes: &[u8], sender: Sender) -> Result<Framed<Frame<'_>>, FrameError> {
    match head(bytes, sender)? {
        Framed::Needs(count) => Ok(Framed::Needs(count)),
        Framed::Whole(Head { tag, total }) => Ok(match bytes.get(HEAD_BYTES..total) {
            Some(body) => Framed::Whole(Frame { tag, body }),
            None => Framed::Needs(total),
        }),
    }
}

/// Reads the body of a connection's first message (StartupMessage, SSLRequest, GSSENCRequest,
/// CancelRequest): the first four bytes of it say which it is.
pub fn startup(bytes: &[u8]) -> Result<Framed<&[u8]>, FrameError> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(Framed::Needs(LENGTH_BYTES));
    };
    let length = u32::from_be_bytes(*length);
    let total = usize::try_from(length).unwrap_or(usize::MAX);
    if !(LENGTH_BYTES + 4..=LARGEST_STARTUP).contains(&total) {
        return Err(FrameError::StartupLength { length });
    }
    Ok(bytes.get(LENGTH_BYTES..total).map_or(Framed::Needs(total), Framed::Whole))
}

/// Appends a message.
pub fn put(tag: u8, body: &[u8], to: &mut Vec<u8>) -> Result<(), FrameError> {
    let length = length_of(body)?;
    to.push(tag);
    to.extend_from_slice(&length);
    to.extend_from_slice(body);
    Ok(())
}

/// Appends a connection's first message, which has no type byte.
pub fn put_startup(body: &[u8], to: &mut Vec<u8>) -> Result<(), FrameError> {
    let length = length_of(body)?;
    to.extend_from_slice(&length);
    to.extend_from_slice(body);
    Ok(())
}

fn length_of(body: &[u8]) -> Result<[u8; LENGTH_BYTES], FrameError> {
    u32::try_from(body.len() + LENGTH_BYTES)
        .ok()
        .filter(|length| usize::try_from(*length).is_ok_and(|length| length < LARGEST))
        .map(u32::to_be_bytes)
        .ok_or(FrameError::TooLarge { bytes: body.len() })
}
