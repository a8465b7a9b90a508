//! Entries that are held whole: a table of contents, globals, settings.

use pgark_repo::{DataReader, Entry};

use crate::OpsError;

/// An entry that is held whole has at most so many bytes (FORMAT.md, "Streams and entries"): a
/// table of contents, globals, settings.
const LARGEST_WHOLE: u64 = 1 << 30;

pub(crate) fn read_whole(reader: &DataReader<'_>, entry: &Entry) -> Result<Vec<u8>, OpsError> {
    Ok(reader.read_whole(entry, LARGEST_WHOLE)?)
}
