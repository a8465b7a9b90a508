//! What comes out of a dump, whatever its format.

use std::io::Read;
use std::path::Path;

use pgark_bytes::archive::TocEntry;

use crate::OpsError;

/// One thing of a dump.
pub(super) enum Item<'r> {
    Rows { toc: &'r TocEntry, content: &'r mut dyn Read },
    LargeObject { oid: u32, content: &'r mut dyn Read },
}

/// Takes things in the order in which the dump has them.
pub(super) type Take<'t> = dyn FnMut(Item<'_>) -> Result<(), OpsError> + 't;

pub(super) fn file_error(path: &Path, source: std::io::Error) -> OpsError {
    OpsError::File { doing: "read", path: path.to_path_buf(), source }
}
