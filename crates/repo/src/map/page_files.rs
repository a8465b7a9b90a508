//! Reading which files a map of pages covers: its description says it, no page is read.

use super::files::Files;
use super::pages::Pages;
use super::part::MapRef;
use super::{description, kinds};
use crate::RepoError;
use crate::object::damaged;
use crate::reader::ChunkReader;

/// Which files a map covers.
pub(crate) fn read_files(reader: &ChunkReader<'_>, map: &MapRef) -> Result<Files, RepoError> {
    if !map.is_of::<Pages>() {
        let what = format!("its items are {}, not pages", kinds::kind(map.kind)?.word());
        return Err(damaged("a map", what));
    }
    let more = match &map.more {
        Some(more) => description::read(reader, more)?,
        None => Vec::new(),
    };
    Files::of(map, &more).map_err(|what| damaged("a map", what))
}
