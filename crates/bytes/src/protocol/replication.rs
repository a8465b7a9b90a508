//! What streaming replication sends inside of CopyData messages (PostgreSQL documentation, section
//! "Streaming Replication Protocol"): WAL, keepalives, and what a client answers.

use std::fmt;

use crate::lsn::Lsn;

/// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01 00:00:00 UTC.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A point in time: microseconds since 2000-01-01 00:00:00 UTC, as the protocol has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Of microseconds since the Unix epoch.
    pub fn from_unix_micros(micros: i64) -> Timestamp {
        Timestamp(micros.saturating_sub(POSTGRES_EPOCH_MICROS))
    }

    /// Microseconds since the Unix epoch.
    pub fn unix_micros(self) -> i64 {
        self.0.saturating_add(POSTGRES_EPOCH_MICROS)
    }
}

/// A position in the WAL of one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WalPosition {
    /// The timeline, from 1.
    pub timeline: u32,
    /// The position on it.
    pub lsn: Lsn,
}

impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on timeline {}", self.lsn, self.timeline)
    }
}

/// What a server sends while it streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// XLogData: a piece of the WAL, of any length; a record may lie in several. On a logical slot,
    /// what its output plugin wrote.
    WalData {
        /// Where `data` begins in the WAL.
        start: Lsn,
        /// The end of the server's WAL at that moment.
        wal_end: Lsn,
        /// When it was sent, by the server's clock.
        sent_at: Timestamp,
        /// The bytes.
        data: &'a [u8],
    },
    /// Primary keepalive message: nothing new.
    Keepalive {
        /// The end of the server's WAL at that moment.
        wal_end: Lsn,
        /// When it was sent, by the server's clock.
        sent_at: Timestamp,
        /// The client is to answer at once, or the server takes it for gone (`wal_sender_timeout`).
        reply_requested: bool,
    },
}

/// Bytes that are not a message of streaming replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicationError {
    /// A type that the protocol does not have.
    #[error("a replication message of unknown type {:?}", char::from(*.tag))]
    Type {
        /// The type byte.
        tag: u8,
    },
    /// It ends before its last field.
    #[error("a replication message that ends too early")]
    Short,
}

impl<'a> ServerMessage<'a> {
    /// Reads the payload of one CopyData message.
    pub fn parse(payload: &'a [u8]) -> Result<ServerMessage<'a>, ReplicationError> {
        let (tag, rest) = payload.split_first().ok_or(ReplicationError::Short)?;
        match tag {
            b'w' => {
                let (start, rest) = number(rest)?;
                let (wal_end, rest) = number(rest)?;
                let (sent_at, data) = number(rest)?;
                Ok(ServerMessage::WalData {
                    start: Lsn(u64::from_be_bytes(start)),
                    wal_end: Lsn(u64::from_be_bytes(wal_end)),
                    sent_at: Timestamp(i64::from_be_bytes(sent_at)),
                    data,
                })
            }
            b'k' => {
                let (wal_end, rest) = number(rest)?;
                let (sent_at, rest) = number(rest)?;
                let reply_requested = rest.first().ok_or(ReplicationError::Short)?;
                Ok(ServerMessage::Keepalive {
                    wal_end: Lsn(u64::from_be_bytes(wal_end)),
                    sent_at: Timestamp(i64::from_be_bytes(sent_at)),
                    reply_requested: *reply_requested != 0,
                })
            }
            tag => Err(ReplicationError::Type { tag: *tag }),
        }
    }
}

fn number(bytes: &[u8]) -> Result<([u8; 8], &[u8]), ReplicationError> {
    bytes.split_first_chunk().map(|(number, rest)| (*number, rest)).ok_or(ReplicationError::Short)
}

/// Standby status update: how far a client is. The server keeps the WAL from `flushed` on for the
/// client's slot, and takes the client for alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The end of the WAL that was received.
    pub written: Lsn,
    /// The end of the WAL that is safe with the client: the server may remove all before it.
    pub flushed: Lsn,
    /// The end of the WAL that was replayed; zero of a client that replays nothing.
    pub applied: Lsn,
    /// When it is sent, by the client's clock.
    pub sent_at: Timestamp,
    /// The server is to answer at once.
    pub reply_requested: bool,
}

impl StatusUpdate {
    /// The payload of a CopyData message.
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = vec![b'r'];
        for lsn in [self.written, self.flushed, self.applied] {
            payload.extend_from_slice(&lsn.0.to_be_bytes());
        }
        payload.extend_from_slice(&self.sent_at.0.to_be_bytes());
        payload.push(u8::from(self.reply_requested));
        payload
    }
}
