//! Reading what describes a map: records, groups, and what is kept of each unit.

use super::address::{self, Addresses};
use super::kind::{AnyKind, Tally, check_map};
use super::kinds;
use super::part::MapRef;
use super::shape::{Group, Keep, Keeps, Record, UnitChunk, decode_records};
use crate::RepoError;
use crate::object::damaged;
use crate::reader::{ChunkReader, root_child};
use crate::stream::{ChunkKind, Class, StreamRef};

/// What describes a map is read whole; the largest parts stay far below.
const LONGEST: u64 = 64 << 20;
/// The facts of a map.
const LONGEST_FACTS: usize = 64 << 10;
/// Chunks of units that a map keeps something of: what says so is held in memory.
pub(crate) const MOST_KEPT: usize = 1 << 20;

/// A stream that describes a map.
pub(super) fn read(reader: &ChunkReader<'_>, stream: &StreamRef) -> Result<Vec<u8>, RepoError> {
    if stream.bytes > LONGEST || stream.kind() != Some(Class::Metadata.into()) {
        return Err(damaged("a map", "it has an impossible length or class"));
    }
    // Most are one chunk, which a writer may have at hand.
    if let Some(only) = root_child(stream).filter(|_| stream.level == 0) {
        return reader.fetch(&only, ChunkKind::Metadata);
    }
    let (mut bytes, mut stream) = (Vec::new(), reader.read(stream)?);
    while let Some(chunk) = stream.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The kind of a map's items, and its records.
pub(crate) fn records(
    reader: &ChunkReader<'_>,
    map: &MapRef,
) -> Result<(&'static dyn AnyKind, Vec<Record>), RepoError> {
    let kind = kinds::kind(map.kind)?;
    if map.facts.len() > LONGEST_FACTS {
        return Err(damaged("a map", "its facts are too long for a map"));
    }
    let bytes = read(reader, &map.units)?;
    let records = decode_records(&bytes).map_err(|what| damaged("a map", what))?;
    Ok((kind, records))
}

/// One group of units.
pub(crate) fn group(
    reader: &ChunkReader<'_>,
    record: &Record,
    kind: &dyn AnyKind,
) -> Result<Group, RepoError> {
    let raw = reader.fetch(&record.child(), ChunkKind::Group)?;
    Group::decode(&raw, kind).map_err(|what| damaged(format!("group {}", record.group), what))
}

/// The chunks of the units that a record uses.
pub(crate) fn used_chunks<'g>(record: &Record, group: &'g Group) -> Result<Vec<&'g UnitChunk>, RepoError> {
    let used = record.used_of(group).map_err(|what| damaged(format!("group {}", record.group), what))?;
    Ok(used.into_iter().flat_map(|unit| &unit.chunks).collect())
}

/// Goes through a map with its groups, record by record: what is kept of each, and at the end what
/// applies to the whole.
pub(crate) struct Keeping {
    map: MapRef,
    pub kind: &'static dyn AnyKind,
    keeps: Keeps,
    items: u64,
    addresses: Addresses,
    /// A group could not be read.
    lacks_groups: bool,
}

impl Keeping {
    pub(crate) fn open(reader: &ChunkReader<'_>, map: &MapRef) -> Result<(Keeping, Vec<Record>), RepoError> {
        let (kind, records) = records(reader, map)?;
        let keeps = match map.keeps.bytes {
            0 => Vec::new(),
            _ => read(reader, &map.keeps)?,
        };
        let (map, keeps, addresses) = (map.clone(), Keeps::new(keeps), Addresses::default());
        Ok((Keeping { map, kind, keeps, items: 0, addresses, lacks_groups: false }, records))
    }

    /// What is kept of each unit of a record's group. After an error there is nothing more to
    /// learn.
    pub(crate) fn take(&mut self, record: &Record, group: &Group) -> Result<Vec<Keep>, RepoError> {
        let wrong = |what| damaged(format!("group {}", record.group), what);
        let keeps = self.keeps.take(record, &group.units).map_err(wrong)?;
        for (unit, keep) in group.units.iter().zip(&keeps).filter(|(_, keep)| **keep != Keep::Nothing) {
            self.items += u64::from(keep.count(unit.items));
            if self.kind.has_addresses() {
                let runs = address::at(&unit.runs, &keep.ranges(unit.items));
                self.addresses.add(&group.names, &runs).map_err(wrong)?;
            }
        }
        if self.items > self.map.items {
            return Err(damaged("a map", "it keeps more items than it says"));
        }
        Ok(keeps)
    }

    /// Skips a record whose group cannot be read.
    pub(crate) fn skip(&mut self, record: &Record) -> Result<(), RepoError> {
        self.lacks_groups = true;
        self.keeps.skip(record).map_err(|what| damaged(format!("group {}", record.group), what))
    }

    /// What applies to the whole map, when all records were gone through. Returns what else its
    /// items must come to; nothing where a group could not be read.
    pub(crate) fn end(mut self, reader: &ChunkReader<'_>) -> Result<Option<Box<dyn Tally>>, RepoError> {
        let wrong = |what| damaged("a map", what);
        self.keeps.end().map_err(wrong)?;
        if self.lacks_groups {
            return Ok(None);
        }
        let more = match &self.map.more {
            Some(more) => read(reader, more)?,
            None => Vec::new(),
        };
        check_map(self.kind, &self.map, &more, &mut self.addresses).map_err(wrong)?;
        Ok(self.kind.tally(&self.map, &more))
    }
}
