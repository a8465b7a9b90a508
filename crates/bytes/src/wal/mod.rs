//! The WAL: its pages, its records, and a proof that a run of it is whole.
//!
//! The WAL of a timeline is one stream of bytes, in which an LSN is a position. It is cut into
//! segments (files) and those into pages. Each page begins with a header ([`page`]); between the
//! headers lie records ([`record`]), each of which begins at a multiple of 8 and may go on over any
//! number of pages. [`Walk`] takes the stream in pieces as it arrives, verifies every header and
//! the CRC of every record, and finds the ends of base backups. [`contents`] says what else is in
//! them, and [`references`] which blocks of relations they change ([`heads`]).
//!
//! Read are the formats of PostgreSQL 13 to 18 on little-endian machines; their pages differ in the
//! magic only, and their records where that is said. The source is
//! src/include/access/xlog_internal.h, xlogrecord.h and src/backend/access/transam/xlogreader.c of
//! each of these versions.

pub mod contents;
pub mod encoding;
pub mod heads;
pub mod page;
pub mod record;
pub mod references;
mod walk;

pub use record::Record;
pub use walk::{BackupEnd, WalFormat, Walk, WalkError};
