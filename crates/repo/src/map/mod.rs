//! Maps: content as items kept of older chunks, and new ones.
//!
//! **Purpose.** Where a little of everything changes, chunks of bytes are all new again (facts: 1 % of the rows updated
//! anywhere, 97 to 100 % of the bytes stored anew). A map stores what changed and still is a full description: it names
//! chunks, old and new alike, and of each which *items* (rows of COPY text; later pages) belong to it. No chain is replayed,
//! nothing is merged, and any backup may be forgotten first.
//!
//! **Shape** (FORMAT.md, "Maps"). New items fill *units* of about 256 KiB that end where an item ends; a longer item is a unit
//! of its own, of several chunks. The units that one part of one backup adds are listed in a *group*, a small content-addressed
//! chunk. A map is a stream that names groups, and for each of their units what is kept: nothing, all, or runs of skipped and
//! taken items. So a part of which little changed costs the new rows, one group, and a few bytes for each unit that lost one.
//! Beside the group lies its *item list*: 64 bits of keyed hash for each item, which is how a writer, who cannot read data,
//! knows what is old ([`EarlierMap`]). Lists may be lost or deleted: the next backup then stores that part whole.
//!
//! **Order.** A map is a set: items come back unit by unit, survivors first, newer ones behind. Each chunk is fetched once,
//! front to back, whatever the backup's age; a description that kept the order would need one open chunk for each backup that
//! came between (facts: reading 120 times the bytes after 30 rounds).
//!
//! **Proof.** Each map holds the number of its items, their bytes, and the sum modulo 2^128 of their 128-bit keyed hashes, made
//! from the items themselves when they were written. Readers sum up what they read. A false match of 64 bits would show there,
//! because the list keeps only half of each hash.

pub(crate) mod cache;
mod copy;
mod earlier;
mod items;
mod read;
mod write;

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::codec;
use crate::cut::LARGEST;
use crate::ids::ChunkId;
use crate::object::damaged;
use crate::reader::{ChunkReader, root_child};
use crate::stream::{Child, ChunkKind, StreamRef};
use crate::{Class, RepoError};
pub(crate) use copy::copy;
pub use earlier::{EarlierMap, EarlierUnit, UnitName};
pub use items::{ItemHash, ItemHasher};
#[cfg(feature = "fuzzing")]
pub(crate) use read::take_items;
pub(crate) use read::verify;
pub use read::{EntryReader, PartReader};
pub use write::{MapTarget, MapWriter, UsedItems};

/// One part of an entry's content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Part {
    /// Bytes one after the other.
    #[n(0)]
    Stream(#[n(0)] StreamRef),
    /// A set of items.
    #[n(1)]
    Map(#[n(0)] MapRef),
}

impl Part {
    /// Raw length in bytes.
    pub fn bytes_raw(&self) -> u64 {
        match self {
            Part::Stream(stream) => stream.bytes_raw(),
            Part::Map(map) => map.bytes,
        }
    }

    /// The content's keyed hash in hex: within one repository and class, parts with equal digests have equal content; of a map,
    /// whatever the order of its items.
    pub fn digest(&self) -> String {
        match self {
            Part::Stream(stream) => stream.digest(),
            Part::Map(map) => {
                let whole = codec::encode(&(map.items, map.bytes, map.sum));
                crate::ids::hex(blake3::hash(&whole).as_bytes())
            }
        }
    }

    /// The stream that this part is or is described by.
    pub(crate) fn stream(&self) -> &StreamRef {
        match self {
            Part::Stream(stream) => stream,
            Part::Map(map) => &map.units,
        }
    }
}

/// What the items of a map are: rows are counted by `\n`.
pub(crate) const ROWS: u8 = 1;

/// Names a map and says what it must come to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct MapRef {
    /// The map itself: a metadata stream of [`Record`]s.
    #[n(0)]
    pub(crate) units: StreamRef,
    /// [`ROWS`].
    #[n(1)]
    pub(crate) items_are: u8,
    /// What fixes the form of the items, in the maker's terms. Items of other identities are never matched.
    #[n(2)]
    pub(crate) identity: ByteArray<16>,
    /// The mask domain: part of the chunks' ids and of the items' hashes. Empty for plain data.
    #[n(3)]
    pub(crate) domain: ByteVec,
    /// Where the items begin, in the maker's terms (rows: the first heap page).
    #[n(4)]
    pub(crate) from: u64,
    #[n(5)]
    pub(crate) items: u64,
    /// Raw bytes of all items.
    #[n(6)]
    pub(crate) bytes: u64,
    /// Sum modulo 2^128 of the items' hashes, little-endian.
    #[n(7)]
    pub(crate) sum: ByteArray<16>,
    /// Of the items, those that no earlier map had: not those that were only written again.
    #[n(8)]
    pub(crate) changed: u64,
}

impl MapRef {
    /// What fixes the form of its items.
    pub fn identity(&self) -> [u8; 16] {
        self.identity.into()
    }

    /// Its mask domain.
    pub fn domain(&self) -> &[u8] {
        &self.domain
    }

    /// Where its items begin, in the maker's terms.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// How many items it holds.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// How many of them its maker took for changed.
    pub fn changed(&self) -> u64 {
        self.changed
    }
}

/// One chunk of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct UnitChunk {
    #[n(0)]
    pub id: ChunkId,
    #[n(1)]
    pub raw_len: u32,
}

impl UnitChunk {
    pub(crate) fn child(&self) -> Child {
        Child { id: self.id, bytes: u64::from(self.raw_len), raw_len: self.raw_len }
    }
}

/// Whole items, in one chunk; or one item in several.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Unit {
    #[n(0)]
    pub chunks: Vec<UnitChunk>,
    #[n(1)]
    pub items: u32,
}

impl Unit {
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.raw_len)).sum()
    }
}

/// The units that one part of one backup added.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Group {
    /// The item list: 8 bytes for each item of each unit. A copy has none.
    #[n(0)]
    pub list: Option<ChunkId>,
    #[n(1)]
    pub units: Vec<Unit>,
}

impl Group {
    pub(crate) fn items(&self) -> u64 {
        self.units.iter().map(|unit| u64::from(unit.items)).sum()
    }

    /// The item list as something to fetch.
    pub(crate) fn list_child(&self) -> Option<Child> {
        let bytes = self.items() * 8;
        let raw_len = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.list.map(|id| Child { id, bytes, raw_len })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Group, &'static str> {
        let group: Group = codec::decode(bytes)?;
        let wrong = |unit: &Unit| {
            unit.items == 0
                || unit.chunks.is_empty()
                || (unit.chunks.len() > 1 && unit.items > 1)
                || unit.chunks.iter().any(|chunk| chunk.raw_len == 0 || chunk.raw_len as usize > LARGEST)
        };
        if group.units.is_empty() || group.units.iter().any(wrong) || group.items() * 8 > LARGEST as u64 {
            return Err("a group of units has an impossible shape");
        }
        Ok(group)
    }
}

/// One record of a map: a group and what is kept of its units.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Record {
    #[n(0)]
    pub group: ChunkId,
    /// Of the group's encoding.
    #[n(1)]
    pub raw_len: u32,
    /// [`encode_keeps`] for its units.
    #[n(2)]
    pub kept: ByteVec,
}

impl Record {
    pub(crate) fn child(&self) -> Child {
        Child { id: self.group, bytes: u64::from(self.raw_len), raw_len: self.raw_len }
    }
}

/// What is kept of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    All,
    /// Alternately items skipped and items taken, from the first on; what follows the last run is not kept.
    Runs(Vec<(u32, u32)>),
}

impl Keep {
    /// Items kept of a unit that has so many.
    pub(crate) fn count(&self, items: u32) -> u32 {
        match self {
            Keep::Nothing => 0,
            Keep::All => items,
            Keep::Runs(runs) => runs.iter().map(|(_, take)| take).sum(),
        }
    }

    /// The kept items' positions as ranges.
    pub(crate) fn ranges(&self, items: u32) -> Vec<std::ops::Range<u32>> {
        match self {
            Keep::Nothing => Vec::new(),
            Keep::All => std::iter::once(0..items).collect(),
            Keep::Runs(runs) => {
                let mut at = 0;
                let ranges = runs.iter().map(|(skip, take)| {
                    let start = at + skip;
                    at = start + take;
                    start..at
                });
                ranges.collect()
            }
        }
    }

    /// From the kept positions, in rising order.
    pub(crate) fn of(items: u32, positions: impl Iterator<Item = u32>) -> Keep {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let (mut end, mut count) = (0, 0);
        for position in positions {
            match runs.last_mut() {
                Some((_, take)) if position == end => *take += 1,
                _ => runs.push((position - end, 1)),
            }
            end = position + 1;
            count += 1;
        }
        match count {
            0 => Keep::Nothing,
            all if all == items => Keep::All,
            _ => Keep::Runs(runs),
        }
    }
}

fn put_number(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// LEB128, shortest form only.
fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u64;
    for place in 0..5 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let shortest = place == 0 || *byte != 0;
            return u32::try_from(number).ok().filter(|_| shortest);
        }
    }
    None
}

/// For each unit: 0 for nothing, 1 for all, else 1 + the number of runs and two numbers for each.
pub(crate) fn encode_keeps(keeps: &[Keep]) -> Vec<u8> {
    let mut out = Vec::with_capacity(keeps.len());
    for keep in keeps {
        match keep {
            Keep::Nothing => out.push(0),
            Keep::All => out.push(1),
            Keep::Runs(runs) => {
                put_number(u32::try_from(runs.len() + 1).unwrap_or(u32::MAX), &mut out);
                for (skip, take) in runs {
                    put_number(*skip, &mut out);
                    put_number(*take, &mut out);
                }
            }
        }
    }
    out
}

/// For each unit whether anything of it is kept, without knowing the units.
pub(crate) fn kept_flags(mut bytes: &[u8]) -> Option<Vec<bool>> {
    let mut flags = Vec::new();
    while !bytes.is_empty() {
        let first = take_number(&mut bytes)?;
        for _ in 0..2 * u64::from(first.saturating_sub(1)) {
            take_number(&mut bytes)?;
        }
        flags.push(first > 0);
    }
    Some(flags)
}

/// Only what [`Keep::of`] makes is accepted.
pub(crate) fn decode_keeps(mut bytes: &[u8], units: &[Unit]) -> Result<Vec<Keep>, &'static str> {
    let wrong = "what it keeps of a unit has an impossible shape";
    let mut keeps = Vec::with_capacity(units.len());
    for unit in units {
        let keep = match take_number(&mut bytes).ok_or(wrong)? {
            0 => Keep::Nothing,
            1 => Keep::All,
            more => {
                let mut runs = Vec::new();
                let mut end = 0u64;
                for number in 1..more {
                    let skip = take_number(&mut bytes).ok_or(wrong)?;
                    let take = take_number(&mut bytes).ok_or(wrong)?;
                    end += u64::from(skip) + u64::from(take);
                    if take == 0 || (skip == 0 && number > 1) || end > u64::from(unit.items) {
                        return Err(wrong);
                    }
                    runs.push((skip, take));
                }
                if runs == [(0, unit.items)] {
                    return Err(wrong);
                }
                Keep::Runs(runs)
            }
        };
        keeps.push(keep);
    }
    if bytes.is_empty() && keeps.iter().any(|keep| *keep != Keep::Nothing) { Ok(keeps) } else { Err(wrong) }
}

/// Maps are read whole; one of the largest part (500,000 rows) stays far below.
const LONGEST: u64 = 64 << 20;
/// Groups that a map names; groups with equal content have one id, and may come twice.
pub(crate) const MOST_RECORDS: usize = 4096;
/// Chunks of units that a map keeps something of: what says so is held in memory.
pub(crate) const MOST_KEPT: usize = 1 << 20;

/// Why nobody can read a map that another program made.
fn newer(what: &str) -> RepoError {
    RepoError::NewerFormat { what: what.to_string() }
}

/// The records of a map.
pub(crate) fn records(reader: &ChunkReader<'_>, map: &MapRef) -> Result<Vec<Record>, RepoError> {
    if map.items_are != ROWS {
        return Err(newer("a map of other items than rows"));
    }
    if map.units.bytes > LONGEST || map.units.kind() != Some(Class::Metadata.into()) {
        return Err(damaged("a map", "it has an impossible length or class"));
    }
    let mut bytes = Vec::new();
    match root_child(&map.units).filter(|_| map.units.level == 0) {
        // Most are one chunk, which a writer may have at hand.
        Some(only) => bytes = reader.fetch(&only, ChunkKind::Metadata)?,
        None => {
            let mut stream = reader.read(&map.units)?;
            while let Some(chunk) = stream.next_chunk()? {
                bytes.extend_from_slice(&chunk);
            }
        }
    }
    decode_records(&bytes).map_err(|what| damaged("a map", what))
}

/// The records in a map's bytes.
pub(crate) fn decode_records(bytes: &[u8]) -> Result<Vec<Record>, &'static str> {
    let mut records = Vec::new();
    codec::decode_each(bytes, |record: Record| {
        if records.len() >= MOST_RECORDS {
            return Err("it names more groups than any map");
        }
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// The chunks of the units that a record keeps something of.
pub(crate) fn kept_chunks<'g>(record: &Record, group: &'g Group) -> Result<Vec<&'g UnitChunk>, RepoError> {
    let keeps = decode_keeps(&record.kept, &group.units)
        .map_err(|what| damaged(format!("group {}", record.group), what))?;
    let kept = group.units.iter().zip(keeps).filter(|(_, keep)| *keep != Keep::Nothing);
    Ok(kept.flat_map(|(unit, _)| &unit.chunks).collect())
}

/// One group of units.
pub(crate) fn group(reader: &ChunkReader<'_>, record: &Record) -> Result<Group, RepoError> {
    let raw = reader.fetch(&record.child(), ChunkKind::Group)?;
    Group::decode(&raw).map_err(|what| damaged(format!("group {}", record.group), what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Keep, Unit, UnitChunk, decode_keeps, encode_keeps};
    use crate::ids::Hash;

    fn unit(items: u32) -> Unit {
        Unit { chunks: vec![UnitChunk { id: Hash([1; 32]), raw_len: 9 }], items }
    }

    proptest! {
        #[test]
        fn kept_runs_come_back(flags in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..400), 1..20)) {
            let units: Vec<Unit> = flags.iter().map(|flags| unit(flags.len() as u32)).collect();
            let positions = |flags: &[bool]| {
                let kept = flags.iter().enumerate().filter(|(_, kept)| **kept);
                kept.map(|(at, _)| at as u32).collect::<Vec<u32>>()
            };
            let keeps: Vec<Keep> = flags
                .iter()
                .map(|flags| Keep::of(flags.len() as u32, positions(flags).into_iter()))
                .collect();
            for (flags, keep) in flags.iter().zip(&keeps) {
                let back: Vec<u32> = keep.ranges(flags.len() as u32).into_iter().flatten().collect();
                prop_assert_eq!(back, positions(flags));
                prop_assert_eq!(keep.count(flags.len() as u32) as usize, positions(flags).len());
            }
            let decoded = decode_keeps(&encode_keeps(&keeps), &units);
            if keeps.iter().any(|keep| *keep != Keep::Nothing) {
                prop_assert_eq!(decoded.unwrap(), keeps.clone());
                prop_assert_eq!(
                    super::kept_flags(&encode_keeps(&keeps)).unwrap(),
                    flags.iter().map(|flags| flags.contains(&true)).collect::<Vec<bool>>()
                );
            } else {
                prop_assert!(decoded.is_err());
            }
        }

        #[test]
        fn other_bytes_are_refused_or_mean_one_thing(bytes in prop::collection::vec(any::<u8>(), 0..12), items in 1u32..300) {
            let units = [unit(items), unit(items)];
            if let Ok(keeps) = decode_keeps(&bytes, &units) {
                prop_assert_eq!(encode_keeps(&keeps), bytes);
            }
        }
    }
}
