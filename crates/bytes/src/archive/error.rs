//! What can be wrong with an archive.

/// Why an archive's header or table of contents could not be read.
///
/// `entry` counts the entries of the TOC from 1; 0 stands for the header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The input ended or failed inside the header (entry 0) or an entry.
    #[error("read {field} of {}", place(*.entry))]
    Read {
        /// Number of the entry, from 1; 0 for the header.
        entry: u32,
        /// The field that was being read.
        field: &'static str,
        /// What the input said.
        #[source]
        source: std::io::Error,
    },
    /// The input does not begin with `PGDMP`.
    #[error("read the archive header: this is not a pg_dump archive")]
    NotAnArchive,
    /// A version outside 1.12 to 1.16.
    #[error("read the archive header: archive version {major}.{minor} is not supported (1.12 to 1.16 are)")]
    UnsupportedVersion {
        /// Major version of the archive format.
        major: u8,
        /// Minor version of the archive format.
        minor: u8,
    },
    /// A field holds a value that no `pg_dump` writes.
    #[error("read {field} of {}: {what}", place(*.entry))]
    Invalid {
        /// Number of the entry, from 1; 0 for the header.
        entry: u32,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A length or a count above the limits of [`super::Limits`].
    #[error("read {field} of {}: {found} is above the limit of {limit}", place(*.entry))]
    TooLarge {
        /// Number of the entry, from 1; 0 for the header.
        entry: u32,
        /// The field.
        field: &'static str,
        /// The length or count that the archive claims.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

fn place(entry: u32) -> String {
    if entry == 0 { "the archive header".to_owned() } else { format!("TOC entry {entry}") }
}
