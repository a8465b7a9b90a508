//! Reading a map back: each chunk once, front to back, and at the end what it came to against what
//! the map says.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use minicbor::bytes::ByteVec;

use super::address::{self, AddressRun};
use super::earlier::UnitName;
use super::items::{self, ItemHasher, Totals};
use super::kind::{AnyKind, NOT_WHOLE, Tally, UnitOf};
use super::{Keep, Keeping, MOST_KEPT, MapRef, Unit, UnitChunk, group};
use crate::RepoError;
use crate::object::damaged;
use crate::reader::{ChunkReader, DataReader, StreamReader};
use crate::stream::ChunkKind;

/// Kept items of one unit, as a map's reader yields them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptItems {
    /// The unit.
    pub unit: UnitName,
    /// Which of its items these are, in their order. None in all but the first piece of an item
    /// that takes several chunks.
    pub positions: Vec<Range<u32>>,
    /// Their addresses in the same order, if they have any.
    pub addresses: Vec<AddressRun>,
    /// The items, one after the other.
    pub bytes: Vec<u8>,
}

/// A kept unit and what is kept of it.
struct Kept {
    name: UnitName,
    unit: Unit,
    keep: Keep,
    /// Of its group.
    names: Arc<[ByteVec]>,
}

/// Reads the items of a map, unit by unit, each chunk once.
pub struct ItemReader<'r> {
    label: String,
    map: MapRef,
    kind: &'static dyn AnyKind,
    hasher: ItemHasher,
    units: VecDeque<Kept>,
    chunks: StreamReader<'r>,
    /// An item of several chunks is being read.
    long: Option<LongItem>,
    read: Totals,
    /// What else they must come to.
    tally: Option<Box<dyn Tally>>,
    /// Only some units are read: the map's totals tell nothing.
    is_partial: bool,
}

/// An item of several chunks: its hash so far, and the chunks to come.
struct LongItem {
    unit: UnitName,
    state: siphasher::sip128::SipHasher24,
    left: usize,
    bytes: u64,
}

impl DataReader<'_> {
    /// Begins to read the items of a map, each with its position and address. `label` names the map
    /// in errors.
    pub fn read_items(&self, map: &MapRef, label: &str) -> Result<ItemReader<'_>, RepoError> {
        ItemReader::new(self.chunks(), map, label.to_string(), None)
    }

    /// The same for some units of a map alone. Their chunks are verified; what the whole map comes
    /// to cannot be.
    pub fn read_units(
        &self,
        map: &MapRef,
        label: &str,
        units: &HashSet<UnitName>,
    ) -> Result<ItemReader<'_>, RepoError> {
        ItemReader::new(self.chunks(), map, label.to_string(), Some(units))
    }
}

impl<'r> ItemReader<'r> {
    pub(crate) fn new(
        reader: &'r ChunkReader<'r>,
        map: &MapRef,
        label: String,
        only: Option<&HashSet<UnitName>>,
    ) -> Result<ItemReader<'r>, RepoError> {
        let (mut keeping, records) = Keeping::open(reader, map)?;
        let kind = keeping.kind;
        let (mut units, mut chunks) = (VecDeque::new(), 0);
        for record in records {
            let group = group(reader, &record, kind)?;
            let keeps = keeping.take(&record, &group).map_err(|error| labelled(&label, error))?;
            let names: Arc<[ByteVec]> = group.names.into();
            for (at, (unit, keep)) in group.units.into_iter().zip(keeps).enumerate() {
                let name = UnitName::new(record.group, at);
                if keep == Keep::Nothing || only.is_some_and(|only| !only.contains(&name)) {
                    continue;
                }
                chunks += unit.chunks.len();
                if chunks > MOST_KEPT {
                    return Err(damaged(&label, "its map keeps more chunks than a map can"));
                }
                units.push_back(Kept { name, unit, keep, names: Arc::clone(&names) });
            }
        }
        let tally = keeping.end(reader).map_err(|error| labelled(&label, error))?;
        let children = units.iter().flat_map(|kept| &kept.unit.chunks).map(UnitChunk::child).collect();
        Ok(ItemReader {
            label,
            kind,
            hasher: reader.hasher(&map.domain),
            map: map.clone(),
            units,
            chunks: reader.read_chunks(children, ChunkKind::Data),
            long: None,
            read: Totals::default(),
            tally: tally.filter(|_| only.is_none()),
            is_partial: only.is_some(),
        })
    }

    /// What brings its chunks.
    pub(crate) fn chunks(&mut self) -> &mut StreamReader<'r> {
        &mut self.chunks
    }

    /// The kept items of the next unit, verified, or the next piece of a long item; never empty.
    /// None at the end, where the number of items, bytes and the sum are right.
    pub fn next_items(&mut self) -> Result<Option<KeptItems>, RepoError> {
        if let Some(mut long) = self.long.take() {
            let bytes = self.fetch()?;
            let (unit, positions, addresses) = (long.unit, Vec::new(), Vec::new());
            items::piece(&mut long.state, &bytes);
            long.left -= 1;
            long.bytes += bytes.len() as u64;
            self.long_goes_on(long, &bytes)?;
            return Ok(Some(KeptItems { unit, positions, addresses, bytes }));
        }
        let Some(Kept { name, unit, keep, names }) = self.units.pop_front() else {
            return self.check_totals().map(|()| None);
        };
        let positions = keep.ranges(unit.items);
        let addresses = match self.kind.has_addresses() {
            true => address::told(&names, &address::at(&unit.runs, &positions)),
            false => Vec::new(),
        };
        let mut bytes = self.fetch()?;
        if unit.chunks.len() > 1 {
            let mut state = self.hasher.begin();
            items::piece(&mut state, &bytes);
            let (left, so_far) = (unit.chunks.len() - 1, bytes.len() as u64);
            self.long_goes_on(LongItem { unit: name, state, left, bytes: so_far }, &bytes)?;
        } else {
            let of = UnitOf { unit: &unit, names: &names };
            let taken = self.kind.take(&self.hasher, of, &keep, bytes, &mut self.read);
            bytes = taken.map_err(|what| damaged(&self.label, what))?;
            if let Some(tally) = &mut self.tally {
                tally.add(&addresses, &bytes);
            }
        }
        Ok(Some(KeptItems { unit: name, positions, addresses, bytes }))
    }

    fn fetch(&mut self) -> Result<Vec<u8>, RepoError> {
        self.chunks.next_chunk()?.ok_or_else(|| damaged(&self.label, "its chunks end before its units"))
    }

    fn long_goes_on(&mut self, long: LongItem, last: &[u8]) -> Result<(), RepoError> {
        if long.left > 0 {
            self.long = Some(long);
        } else if self.kind.ends_item(last) {
            self.read.add(items::finish(&long.state), long.bytes);
        } else {
            return Err(damaged(&self.label, NOT_WHOLE));
        }
        Ok(())
    }

    fn check_totals(&self) -> Result<(), RepoError> {
        if self.is_partial {
            return Ok(());
        }
        let tally = self.tally.as_deref();
        compare(self.kind, &self.read, tally, &self.map).map_err(|what| damaged(&self.label, what))
    }
}

/// Damage of a map's description, by the name of the part that it describes.
fn labelled(label: &str, error: RepoError) -> RepoError {
    match error {
        RepoError::Damaged { what, .. } => damaged(label, what),
        other => other,
    }
}

/// What a map's items came to, against what it says.
pub(super) fn compare(
    kind: &dyn AnyKind,
    read: &Totals,
    tally: Option<&dyn Tally>,
    map: &MapRef,
) -> Result<(), String> {
    let items = kind.word();
    if (read.items, read.bytes) != (map.items, map.bytes) {
        return Err(format!(
            "{} {items} of {} bytes were read, {} {items} of {} bytes were backed up",
            read.items, read.bytes, map.items, map.bytes
        ));
    }
    if read.sum.to_le_bytes() != *map.sum {
        return Err(format!(
            "its {} {items} are not those that were backed up: the sum of their hashes differs",
            read.items
        ));
    }
    tally.map_or(Ok(()), Tally::end)
}
