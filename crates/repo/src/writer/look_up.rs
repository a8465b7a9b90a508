//! Where the units of earlier maps are, looked up for all of them together.
//!
//! A backup of which little changed keeps nearly every unit of the one before. One after the other,
//! each is a page of the local index at a random place to read and verify: 7 to 9 µs, twice. In the
//! order of their ids they are found by reading the index once, as when a prune counts.
//!
//! **What it says** is what the index said at the beginning of the session, and which of its packs
//! could be used then: both stay as they are for the whole session, so it makes no difference when
//! it is asked. Only a chunk with a single place is remembered. All others are asked for one by one
//! when a map needs them: those that are nowhere, that have several places, or whose page of the
//! index is damaged.
//!
//! **Memory.** 4 bytes for each unit, and 12 MiB while ids are gathered.

use super::Session;
use super::dedup::Dedup;
use super::known::KnownUnits;
use crate::RepoError;
use crate::at_once::each;
use crate::ids::ChunkId;
use crate::map::{MapRef, group, records, used_chunks};
use crate::reader::ChunkReader;

/// Ids that are looked up together.
const BATCH: usize = 128 << 10;

/// An id, and whose answer it waits for.
struct Asked {
    id: ChunkId,
    map: usize,
    record: usize,
    chunk: usize,
}

/// Looks up the units of these maps. What of a map cannot be read is left out.
pub(super) fn look_up(
    session: &Session<'_>,
    reader: &ChunkReader<'_>,
    maps: &[&MapRef],
) -> Result<(), RepoError> {
    let mut known: Vec<(ChunkId, KnownUnits)> = Vec::with_capacity(maps.len());
    let mut asked: Vec<Asked> = Vec::new();
    for (own, chunks) in maps.iter().zip(each(maps, |map| chunks_of(reader, map))) {
        session.check()?;
        let (map, mut units) = (known.len(), KnownUnits::default());
        for (record, chunks) in chunks?.into_iter().enumerate() {
            units.add_record(chunks.len());
            let chunks = chunks.into_iter().enumerate();
            asked.extend(chunks.map(|(chunk, id)| Asked { id, map, record, chunk }));
        }
        known.push((own.units.root, units));
        if asked.len() >= BATCH {
            answer(session.dedup(), &mut asked, &mut known)?;
        }
    }
    answer(session.dedup(), &mut asked, &mut known)?;
    session.known.add(known.into_iter());
    Ok(())
}

/// The ids of the chunks that each record of a map uses.
fn chunks_of(reader: &ChunkReader<'_>, map: &MapRef) -> Result<Vec<Vec<ChunkId>>, RepoError> {
    let read = || {
        let (kind, records) = records(reader, map)?;
        let of_record = |record: &_| {
            let group = group(reader, record, kind)?;
            Ok(used_chunks(record, &group)?.into_iter().map(|chunk| chunk.id).collect())
        };
        let or_none = |chunks: Result<Vec<ChunkId>, RepoError>| match chunks {
            Err(error) if error.is_of_object() => Ok(Vec::new()),
            other => other,
        };
        records.iter().map(|record| or_none(of_record(record))).collect()
    };
    match read() {
        Err(error) if RepoError::is_of_object(&error) => Ok(Vec::new()),
        other => other,
    }
}

/// Answers what was asked, and empties it.
fn answer(
    dedup: &Dedup,
    asked: &mut Vec<Asked>,
    known: &mut [(ChunkId, KnownUnits)],
) -> Result<(), RepoError> {
    asked.sort_unstable_by_key(|asked| asked.id);
    let ids: Vec<ChunkId> = asked.iter().map(|asked| asked.id).collect();
    let found = dedup.find_sorted(&ids)?;
    for (asked, found) in asked.drain(..).zip(found) {
        if let Some((_, units)) = known.get_mut(asked.map) {
            units.set(asked.record, asked.chunk, found);
        }
    }
    Ok(())
}
