//! What BASE_BACKUP answers with (PostgreSQL documentation, "Streaming Replication Protocol",
//! BASE_BACKUP; basebackup_copy.c).
//!
//! All versions begin with two results: where the backup starts ([`start_or_end`]), and the
//! tablespaces ([`BackupTablespace`]); the data directory itself comes last. A third result, behind
//! the data, has the position where the backup ends.
//!
//! * **Up to 14**, one COPY for each tablespace has its tar archive, in the order of the result.
//!   One more COPY has the manifest, if it was asked for.
//! * **From 15 on**, one COPY has everything, and each CopyData message begins with a byte that
//!   tells what it is ([`BackupMessage`]). An archive has no end of its own: it ends where the next
//!   one begins, or the manifest, or with the COPY.

use super::replication::WalPosition;
use crate::lsn::Lsn;

/// One CopyData message of a base backup of 15 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupMessage<'a> {
    /// A new archive.
    Archive {
        /// Its name: `base.tar`, `16400.tar`, `base.tar.zst` ([`ArchiveName`]).
        name: &'a [u8],
        /// The tablespace's path on the server; empty for the data directory.
        location: &'a [u8],
    },
    /// The manifest begins.
    Manifest,
    /// More of the archive, or of the manifest, that has begun.
    Data(&'a [u8]),
    /// How far the server is.
    Progress {
        /// Bytes of files that were read, of all archives.
        bytes: u64,
    },
}

/// Bytes that are not a message of a base backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupMessageError {
    /// A type that the protocol does not have.
    #[error("a message of unknown type {:?} in a base backup", char::from(*.tag))]
    Type {
        /// The type byte.
        tag: u8,
    },
    /// It ends before its last field, or goes on behind it.
    #[error("a message of a base backup with a wrong length")]
    Length,
    /// A row of a result is not as it must be.
    #[error("a base backup's {what} is not as the protocol has it")]
    Row {
        /// Which of its columns.
        what: &'static str,
    },
    /// An archive of a name that no server gives.
    #[error("a base backup's archive has an unknown name")]
    ArchiveName,
}

impl<'a> BackupMessage<'a> {
    /// Reads the payload of one CopyData message.
    pub fn parse(payload: &'a [u8]) -> Result<BackupMessage<'a>, BackupMessageError> {
        let (tag, rest) = payload.split_first().ok_or(BackupMessageError::Length)?;
        match tag {
            b'd' => Ok(BackupMessage::Data(rest)),
            b'n' => {
                let (name, rest) = text(rest)?;
                let (location, rest) = text(rest)?;
                nothing(rest)?;
                Ok(BackupMessage::Archive { name, location })
            }
            b'm' => {
                nothing(rest)?;
                Ok(BackupMessage::Manifest)
            }
            b'p' => {
                let bytes = rest.try_into().map_err(|_| BackupMessageError::Length)?;
                Ok(BackupMessage::Progress { bytes: u64::from_be_bytes(bytes) })
            }
            tag => Err(BackupMessageError::Type { tag: *tag }),
        }
    }
}

/// A text that a zero byte ends, and what follows.
fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), BackupMessageError> {
    let end = memchr::memchr(0, bytes).ok_or(BackupMessageError::Length)?;
    let (text, rest) = bytes.split_at(end);
    Ok((text, rest.get(1..).unwrap_or_default()))
}

fn nothing(rest: &[u8]) -> Result<(), BackupMessageError> {
    if rest.is_empty() { Ok(()) } else { Err(BackupMessageError::Length) }
}

/// How the server compresses an archive (from 15 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveCompression {
    /// `.gz`: one gzip stream.
    Gzip,
    /// `.lz4`: one frame of LZ4.
    Lz4,
    /// `.zst`: one frame of Zstandard.
    Zstd,
}

/// What the name of an archive says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveName {
    /// The tablespace; `None` for the data directory.
    pub tablespace: Option<u32>,
    /// How it is compressed; `None`: it is not.
    pub compression: Option<ArchiveCompression>,
}

impl ArchiveName {
    /// Reads `base.tar`, `OID.tar`, and these with `.gz`, `.lz4` or `.zst`.
    pub fn parse(name: &[u8]) -> Result<ArchiveName, BackupMessageError> {
        use ArchiveCompression::{Gzip, Lz4, Zstd};
        let known: [(&[u8], _); 4] =
            [(b".gz", Some(Gzip)), (b".lz4", Some(Lz4)), (b".zst", Some(Zstd)), (b"", None)];
        known
            .into_iter()
            .find_map(|(ending, compression)| Some((name.strip_suffix(ending)?, compression)))
            .and_then(|(tar, compression)| Some((tar.strip_suffix(b".tar")?, compression)))
            .and_then(|(stem, compression)| {
                let tablespace = if stem == b"base" { None } else { Some(number(stem)?) };
                Some(ArchiveName { tablespace, compression })
            })
            .ok_or(BackupMessageError::ArchiveName)
    }
}

/// One row of the second result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupTablespace {
    /// Which tablespace; `None` for the data directory itself.
    pub tablespace: Option<TablespaceLocation>,
    /// About how many kB its files have (KiB, in fact), where progress was asked for.
    pub size_kb: Option<u64>,
}

/// A tablespace and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablespaceLocation {
    /// Its object id.
    pub oid: u32,
    /// Its path on the server, in the server's bytes. One in place has the relative path
    /// `pg_tblspc/OID` from 16 on; 15 does not list it, and has its files in the data directory's
    /// archive.
    pub location: Vec<u8>,
}

impl BackupTablespace {
    /// Of the columns of a row: spcoid, spclocation, size.
    pub fn of_columns(columns: [Option<&[u8]>; 3]) -> Result<BackupTablespace, BackupMessageError> {
        let wrong = |what| BackupMessageError::Row { what };
        let [oid, location, size] = columns;
        let tablespace = match (oid, location) {
            (None, None) => None,
            (Some(oid), Some(location)) => {
                let oid = number(oid).ok_or(wrong("tablespace's object id"))?;
                Some(TablespaceLocation { oid, location: location.to_vec() })
            }
            _ => return Err(wrong("tablespace's location")),
        };
        let size_kb = size.map(|size| number(size).ok_or(wrong("tablespace's size"))).transpose()?;
        Ok(BackupTablespace { tablespace, size_kb })
    }
}

/// Where a backup starts or ends: the columns recptr and tli of the first or third result.
pub fn start_or_end(columns: [Option<&[u8]>; 2]) -> Result<WalPosition, BackupMessageError> {
    let [lsn, timeline] = columns;
    let lsn: Option<Lsn> = lsn.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let lsn = lsn.ok_or(BackupMessageError::Row { what: "position" })?;
    let timeline = timeline.and_then(number).filter(|timeline| *timeline > 0);
    Ok(WalPosition { lsn, timeline: timeline.ok_or(BackupMessageError::Row { what: "timeline" })? })
}

/// Decimal digits, and nothing else.
fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
