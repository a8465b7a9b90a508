//! Maps: content as items kept of older chunks, and new ones.
//!
//! **Purpose.** Where a little of everything changes, chunks of bytes are all new again (facts: 1 %
//! of the rows updated anywhere, 97 to 100 % of the bytes stored anew). A map stores what changed
//! and still is a full description: it names chunks, old and new alike, and of each which *items*
//! (rows of COPY text; later pages) belong to it. No chain is replayed, nothing is merged, and any
//! backup may be forgotten first.
//!
//! **Kinds.** Nothing here knows what an item is. A kind ([`ItemKind`]) says how items are split
//! out of a chunk, how one is hashed, what a list holds of it, where units end, and whether items
//! have an address. `rows` is one; `cards` is another, for tests. Loops over items are compiled for
//! each kind; a map that is read tells its kind once for each chunk.
//!
//! **Shape** (FORMAT.md, "Maps"; `shape`). New items fill *units* of about 256 KiB that end where
//! an item ends; a longer item is a unit of its own, of several chunks. The units that one part of
//! one backup adds are listed in a *group*, a small content-addressed chunk. A map names groups and
//! which of their units it uses; beside that stands what is kept of each used unit: all, or runs of
//! skipped and taken items. So a part of which little changed costs the new items, one group, and a
//! few bytes for each unit that lost one. Beside the group lies its *item list*, which says of each
//! item what suffices to know it again: so a writer, who cannot read data, knows what is old
//! ([`EarlierMap`]). A list may be lost or deleted: the next backup then stores that part whole.
//!
//! **Order.** A map is a set: items come back unit by unit, survivors first, newer ones behind.
//! Each chunk is fetched once, front to back, whatever the backup's age; a description that kept
//! the order would need one open chunk for each backup that came between (facts: reading 120 times
//! the bytes after 30 rounds). Items whose place matters have an address (`address`): readers get
//! it with the bytes ([`ItemReader`]).
//!
//! **Proof.** Each map holds the number of its items, their bytes, and the sum modulo 2^128 of
//! their 128-bit keyed hashes, made from the items themselves when they were written. Readers sum
//! up what they read. A false match of what a list holds would show there, because that is less
//! than the whole hash.

pub(crate) mod address;
pub(crate) mod cache;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod cards;
mod copy;
mod describe;
mod earlier;
mod items;
pub(crate) mod kind;
mod lists;
mod read;
mod rows;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::codec;
use crate::object::damaged;
use crate::reader::{ChunkReader, root_child};
use crate::stream::{ChunkKind, StreamRef};
use crate::{Class, RepoError};
pub use address::{Address, AddressRun, Addresses};
pub(crate) use copy::copy;
pub use earlier::{EarlierMap, EarlierUnit, UnitName};
pub use items::{ItemHash, ItemHasher};
use kind::AnyKind;
pub use kind::{ItemKind, Measured};
pub use lists::{ListedUnit, MapLists};
pub use read::{EntryReader, ItemReader, KeptItems, PartReader};
pub use rows::Rows;
pub use rules::DueUnits;
use shape::Keeps;
pub(crate) use shape::{Group, Keep, Record, Unit, UnitChunk, decode_records};
pub(crate) use verify::verify;
pub use write::{MapTarget, MapWriter, UsedItems};

/// One part of an entry's content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Part {
    /// Bytes one after the other.
    #[n(0)]
    Stream(#[n(0)] StreamRef),
    /// A set of items.
    #[n(1)]
    Map(#[n(0)] Box<MapRef>),
}

impl Part {
    /// Raw length in bytes.
    pub fn bytes_raw(&self) -> u64 {
        match self {
            Part::Stream(stream) => stream.bytes_raw(),
            Part::Map(map) => map.bytes,
        }
    }

    /// The content's keyed hash in hex: within one repository and class, parts with equal digests
    /// have equal content; of a map, whatever the order of its items.
    pub fn digest(&self) -> String {
        match self {
            Part::Stream(stream) => stream.digest(),
            Part::Map(map) => {
                let more = map.more.as_ref().map(|more| more.root);
                let what = (map.kind, &map.facts, more);
                let whole = codec::encode(&(what, map.items, map.bytes, map.sum));
                crate::ids::hex(blake3::hash(&whole).as_bytes())
            }
        }
    }

    /// The streams that this part is or is described by.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamRef> {
        let (first, others) = match self {
            Part::Stream(stream) => (stream, [None, None]),
            Part::Map(map) => (&map.units, [Some(&map.keeps), map.more.as_ref()]),
        };
        std::iter::once(first).chain(others.into_iter().flatten())
    }
}

/// Names a map and says what it must come to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct MapRef {
    /// The number of its items' kind.
    #[n(0)]
    pub(crate) kind: u8,
    /// Groups and which of their units are used: a metadata stream of [`Record`]s.
    #[n(1)]
    pub(crate) units: StreamRef,
    /// What is kept of each used unit; empty if all is.
    #[n(2)]
    pub(crate) keeps: StreamRef,
    /// What else the kind says of the map.
    #[n(3)]
    pub(crate) more: Option<StreamRef>,
    /// What fixes the form of the items, in the maker's terms. Items of other identities are never
    /// matched.
    #[n(4)]
    pub(crate) identity: ByteArray<16>,
    /// The mask domain: part of the chunks' ids and of the items' hashes. Empty for plain data.
    #[n(5)]
    pub(crate) domain: ByteVec,
    /// Where the items begin, in the maker's terms (rows: the first heap page).
    #[n(6)]
    pub(crate) from: u64,
    #[n(7)]
    pub(crate) items: u64,
    /// Raw bytes of all items.
    #[n(8)]
    pub(crate) bytes: u64,
    /// Sum modulo 2^128 of the items' hashes, little-endian.
    #[n(9)]
    pub(crate) sum: ByteArray<16>,
    /// Of the items, those that no earlier map had: not those that were only written again.
    #[n(10)]
    pub(crate) changed: u64,
    /// The kind's own facts.
    #[n(11)]
    pub(crate) facts: ByteVec,
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

    /// The kind's own facts.
    pub fn facts(&self) -> &[u8] {
        &self.facts
    }

    /// Whether its items are of this kind.
    pub fn is_of<K: ItemKind>(&self) -> bool {
        self.kind == K::NUMBER
    }

    /// How many of them its maker took for changed.
    pub fn changed(&self) -> u64 {
        self.changed
    }
}

/// What describes a map is read whole; the largest parts stay far below.
const LONGEST: u64 = 64 << 20;
/// The facts of a map.
const LONGEST_FACTS: usize = 64 << 10;
/// Groups that a map names; groups with equal content have one id, and may come twice.
pub(crate) const MOST_RECORDS: usize = 4096;
/// Chunks of units that a map keeps something of: what says so is held in memory.
pub(crate) const MOST_KEPT: usize = 1 << 20;

/// A stream that describes a map.
fn description(reader: &ChunkReader<'_>, stream: &StreamRef) -> Result<Vec<u8>, RepoError> {
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
    let kind = kind::kind(map.kind)?;
    if map.facts.len() > LONGEST_FACTS {
        return Err(damaged("a map", "its facts are longer than any map's"));
    }
    let bytes = description(reader, &map.units)?;
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
/// holds of the whole.
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
            _ => description(reader, &map.keeps)?,
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

    /// Passes over a record whose group cannot be read.
    pub(crate) fn skip(&mut self, record: &Record) -> Result<(), RepoError> {
        self.lacks_groups = true;
        self.keeps.skip(record).map_err(|what| damaged(format!("group {}", record.group), what))
    }

    /// What holds of the whole map, when all records were gone through.
    pub(crate) fn end(mut self, reader: &ChunkReader<'_>) -> Result<(), RepoError> {
        let wrong = |what| damaged("a map", what);
        self.keeps.end().map_err(wrong)?;
        if self.lacks_groups {
            return Ok(());
        }
        let more = match &self.map.more {
            Some(more) => description(reader, more)?,
            None => Vec::new(),
        };
        self.addresses.check(self.kind, &self.map, &more).map_err(wrong)
    }
}

/// Any bytes in the place of records, a group, what is kept of it, and a unit's items.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz<K: ItemKind>(kind: &K, bytes: &[u8]) {
    if let Ok(records) = decode_records(bytes) {
        let again: Vec<u8> = records.iter().flat_map(codec::encode).collect();
        assert_eq!(again, bytes, "one meaning has one encoding");
    }
    let Some((at, rest)) = bytes.split_first() else { return };
    let Some((group, rest)) = rest.split_at_checked(usize::from(*at)) else { return };
    let Ok(group) = Group::decode(group, kind) else { return };
    let all = vec![Keep::All; group.units.len()];
    let record = Record::new(crate::ids::Hash([0; 32]), 0, &all);
    let mut keeps = Keeps::new(rest.to_vec());
    let taken = keeps.take(&record, &group.units);
    let is_right = taken.is_ok() && keeps.end().is_ok();
    let mut passing = Keeps::new(rest.to_vec());
    let passed = passing.skip(&record).is_ok() && passing.end().is_ok();
    assert!(passed || !is_right, "who passes over it comes to the same end");
    if let Ok(keeps) = &taken
        && is_right
    {
        assert_eq!(shape::encode_keeps(keeps.iter()), rest, "one meaning has one encoding");
    }
    let keeps = taken.unwrap_or(all);
    let hasher = ItemHasher::new(&[0; 16], u64::MAX);
    for (unit, keep) in group.units.iter().zip(&keeps) {
        let of = kind::UnitOf { unit, names: &group.names };
        let mut totals = items::Totals::default();
        let taken = kind.take(&hasher, of, keep, rest.to_vec(), &mut totals);
        let kept = u64::from(keep.count(unit.items));
        if let Ok(taken) = taken {
            assert_eq!(totals.items, kept, "as many items as are kept");
            assert_eq!(taken.len() as u64, totals.bytes, "nothing else than these items");
        }
        let runs = address::at(&unit.runs, &keep.ranges(unit.items));
        let addresses: u64 = runs.iter().map(|run| u64::from(run.items)).sum();
        assert!(!K::HAS_ADDRESSES || addresses == kept, "each kept item has an address");
        let mut list = Vec::new();
        if let Ok(hashes) = kind.hashes(&hasher, of, rest, Some(&mut list)) {
            assert_eq!(list.len(), hashes.len() * K::LISTED, "each item stands in the list");
        }
    }
}
