//! `backup_manifest`: which files a base backup has, with sizes and checksums, and which WAL it
//! needs (PostgreSQL documentation, chapter "Backup Manifest Format";
//! src/backend/backup/backup_manifest.c writes it, src/common/parse_manifest.c reads it).
//!
//! It is JSON in a fixed form, one file a line:
//!
//! ```text
//! { "PostgreSQL-Backup-Manifest-Version": 2,
//! "System-Identifier": 7714091698936812201,
//! "Files": [
//! { "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-11-30 22:15:35 GMT", …
//! ],
//! "WAL-Ranges": [
//! { "Timeline": 1, "Start-LSN": "0/1300028", "End-LSN": "0/1300120" }
//! ],
//! "Manifest-Checksum": "3084c3aa…"}
//! ```
//!
//! The last line has the SHA-256 of all lines in front. PostgreSQL 13 to 16 write version 1, which
//! does not have the system identifier; 17 and 18 write version 2 and read both.
//!
//! A manifest of a million files has 150 MB: [`ManifestWriter`] takes files one by one, and
//! [`read_manifest`] hands them on one by one.

mod model;
mod read;
mod source;
mod write;

pub use model::{FileChecksum, Manifest, ManifestFile, ManifestVersion, WalRange};
pub use read::{ManifestError, ManifestFault, read_manifest};
pub use write::ManifestWriter;
