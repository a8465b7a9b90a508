//! Writing a map: new items become units, a group and an item list; kept units are named.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use minicbor::bytes::{ByteArray, ByteVec};
use siphasher::sip128::SipHasher24;

use super::earlier::{EarlierGroup, EarlierMap, EarlierUnit};
use super::items::{self, ItemHash, ItemHasher, Totals};
use super::{Group, Keep, MapRef, Part, ROWS, Record, Unit, UnitChunk, encode_keeps};
use crate::cut::{Cut, LARGEST};
use crate::ids::ChunkId;
use crate::reader::ChunkReader;
use crate::stream::{ChunkKind, Class};
use crate::writer::{Lane, PartSummary, Session, StreamWriter};
use crate::{RepoError, codec};

/// A unit ends at the first item behind this many bytes whose hash says so, ...
const LEAST: usize = 128 << 10;
/// ... on average after so many more, ...
const SPREAD: usize = 128 << 10;
/// ... and at last here.
const MOST: usize = 512 << 10;
/// With so many groups (each is an object to fetch) ...
const MOST_GROUPS: usize = 16;
/// ... all but the largest few become part of the new one. So a list is written again once for every dozen backups.
const LEFT: usize = 4;
/// Units of one group at most: its encoding must fit a chunk.
const MOST_UNITS: usize = 64 << 10;
/// Items of one list at most: it must fit a chunk.
const MOST_ITEMS: u64 = (LARGEST / 8) as u64;

/// What a map is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapTarget {
    /// What fixes the form of the items.
    pub identity: [u8; 16],
    /// The mask domain; empty for plain data, else 16 bytes.
    pub domain: Vec<u8>,
    /// Where the items begin, in the maker's terms.
    pub from: u64,
}

/// Writes one map. Dropping it unfinished leaves chunks that nothing uses, and is no error.
pub struct MapWriter<'a> {
    session: &'a Session<'a>,
    lane: Lane<'a>,
    /// Reads what earlier maps let go of.
    reader: &'a ChunkReader<'a>,
    target: MapTarget,
    id_key: [u8; 32],
    hasher: ItemHasher,
    totals: Totals,
    items_new: u64,
    /// The open unit: its items' bytes and number.
    buffer: Vec<u8>,
    items_in_buffer: u32,
    /// An item that is longer than a unit: its hash so far, and its bytes.
    long: Option<(SipHasher24, u64)>,
    long_chunks: Vec<UnitChunk>,
    units: Vec<Unit>,
    /// The new items' list.
    list: Vec<u8>,
    /// No list is named that holds hashes of items of which no unit is kept.
    no_dead_lists: bool,
    added: Arc<AtomicU64>,
}

/// The groups that a map names: id, encoding, list, what is kept of each unit.
struct Named<'m> {
    of: &'m EarlierGroup,
    keeps: Vec<Keep>,
}

impl<'a> MapWriter<'a> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        reader: &'a ChunkReader<'a>,
        target: MapTarget,
    ) -> MapWriter<'a> {
        MapWriter {
            session,
            lane: session.lane(),
            reader,
            id_key: session.id_key(ChunkKind::Data, &target.domain),
            hasher: session.hasher(&target.domain),
            target,
            totals: Totals::default(),
            items_new: 0,
            buffer: Vec::new(),
            items_in_buffer: 0,
            long: None,
            long_chunks: Vec::new(),
            units: Vec::new(),
            list: Vec::new(),
            no_dead_lists: false,
            added: Arc::default(),
        }
    }

    /// Names no group of which a unit is not kept: its list holds the hashes of that unit's items. Its other units get a new group
    /// and list.
    pub fn leave_no_lists_behind(&mut self) {
        self.no_dead_lists = true;
    }

    /// Hashes this map's items.
    pub fn hasher(&self) -> &ItemHasher {
        &self.hasher
    }

    /// An item that a kept unit holds already.
    pub fn keep(&mut self, hash: ItemHash, bytes: usize) {
        self.totals.add(hash, bytes as u64);
    }

    /// Items that were added so far.
    pub fn items_new(&self) -> u64 {
        self.items_new
    }

    /// Stores a new item (with its end mark). Waits while the sealers are behind.
    pub fn add(&mut self, item: &[u8], hash: ItemHash) -> Result<(), RepoError> {
        self.count_new(hash, item.len() as u64);
        self.buffer.extend_from_slice(item);
        self.items_in_buffer += 1;
        let full = self.buffer.len() >= MOST
            || (self.buffer.len() >= LEAST && items::ends_unit(hash, item.len(), SPREAD));
        if full { self.close_unit() } else { Ok(()) }
    }

    /// Stores a piece of an item that is too long to be held whole; `ends`: its last.
    pub fn add_piece(&mut self, mut piece: &[u8], ends: bool) -> Result<(), RepoError> {
        if self.long.is_none() {
            self.close_unit()?;
        }
        let (state, bytes) = self.long.get_or_insert_with(|| (self.hasher.begin(), 0));
        items::piece(state, piece);
        *bytes += piece.len() as u64;
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(LARGEST - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            piece = later;
            if self.buffer.len() == LARGEST {
                self.close_fragment()?;
            }
        }
        if let Some((state, bytes)) = self.long.take_if(|_| ends) {
            self.close_fragment()?;
            self.units.push(Unit { chunks: std::mem::take(&mut self.long_chunks), items: 1 });
            self.count_new(items::finish(&state), bytes);
        }
        Ok(())
    }

    fn count_new(&mut self, hash: ItemHash, bytes: u64) {
        self.totals.add(hash, bytes);
        self.items_new += 1;
        self.list.extend_from_slice(&self.hasher.listed(hash).to_le_bytes());
    }

    fn store_buffer(&mut self) -> Result<UnitChunk, RepoError> {
        let raw = std::mem::take(&mut self.buffer);
        let raw_len = u32::try_from(raw.len()).map_err(|_| RepoError::TooLarge { what: "a chunk".into() })?;
        let raw = Cow::Owned(raw);
        let id = self.lane.store(ChunkKind::Data, &self.target.domain, &self.id_key, raw, &self.added)?;
        Ok(UnitChunk { id, raw_len })
    }

    fn close_unit(&mut self) -> Result<(), RepoError> {
        if !self.buffer.is_empty() {
            let chunk = self.store_buffer()?;
            self.units.push(Unit { chunks: vec![chunk], items: std::mem::take(&mut self.items_in_buffer) });
        }
        Ok(())
    }

    fn close_fragment(&mut self) -> Result<(), RepoError> {
        if !self.buffer.is_empty() {
            let chunk = self.store_buffer()?;
            self.long_chunks.push(chunk);
        }
        Ok(())
    }

    /// Ends the map. `used`: of each earlier map those of its units that are leaned on, and which of the items that they kept are items
    /// of this map. No unit may come from two maps. `changed`: of the new items, those that are not only written again.
    pub fn finish(mut self, used: &[UsedItems<'_>], changed: u64) -> Result<PartSummary, RepoError> {
        self.session.check()?;
        self.close_unit()?;
        let mut named = name_groups(used)?;
        let merged = self.take_smallest(&mut named);
        let mut records = Vec::new();
        for group in &named {
            let record = Record {
                group: group.of.id,
                raw_len: group.of.raw_len,
                kept: ByteVec::from(encode_keeps(&group.keeps)),
            };
            self.lean_on(&record, group)?;
            records.push(record);
        }
        records.extend(self.new_groups(&merged)?);
        let mut stream = StreamWriter::new(self.session, Class::Metadata, Cut::Content);
        let map: Vec<u8> = records.iter().flat_map(codec::encode).collect();
        stream.write(&map)?;
        let (units, added) = stream.finish_stream()?;
        if units.level == 0 && !map.is_empty() {
            self.session.items().put(&units.root, &map);
        }
        let MapTarget { identity, domain, from } = self.target;
        let map = MapRef {
            units,
            items_are: ROWS,
            identity: ByteArray::from(identity),
            domain: ByteVec::from(domain),
            from,
            items: self.totals.items,
            bytes: self.totals.bytes,
            sum: ByteArray::from(self.totals.sum.to_le_bytes()),
            changed,
        };
        Ok(PartSummary::new(Part::Map(map), vec![self.added, added]))
    }

    /// Pins what a record needs: the chunks of its units, its group and its list. The writer holds the bytes of the latter two, and
    /// stores them again if they are gone.
    fn lean_on(&self, record: &Record, named: &Named<'_>) -> Result<(), RepoError> {
        for (unit, _) in
            named.of.group.units.iter().zip(&named.keeps).filter(|(_, keep)| **keep != Keep::Nothing)
        {
            for chunk in &unit.chunks {
                self.session.lean_on(&chunk.id)?;
            }
        }
        self.metadata(ChunkKind::Group, &codec::encode(&*named.of.group), &record.group)?;
        match &named.of.group.list {
            Some(list) if named.of.list.is_empty() => self.session.lean_on(list),
            Some(list) => self.metadata(ChunkKind::ItemList, &named.of.list, list),
            None => Ok(()),
        }
    }

    fn metadata(&self, kind: ChunkKind, raw: &[u8], expected: &ChunkId) -> Result<(), RepoError> {
        let id =
            self.lane.store(kind, &[], &self.session.id_key(kind, &[]), Cow::Borrowed(raw), &self.added)?;
        if id == *expected {
            Ok(())
        } else {
            Err(crate::object::damaged("a map", "a group or list has other bytes than it was read with"))
        }
    }

    /// Takes the groups out that are to be merged.
    fn take_smallest<'m>(&self, named: &mut Vec<Named<'m>>) -> Vec<Named<'m>> {
        if self.no_dead_lists {
            let is_whole = |named: &Named<'_>| named.keeps.iter().all(|keep| *keep == Keep::All);
            let (whole, merged) = std::mem::take(named).into_iter().partition(is_whole);
            *named = whole;
            return merged;
        }
        if named.len() < MOST_GROUPS {
            return Vec::new();
        }
        let mut sizes: Vec<(u64, ChunkId)> =
            named.iter().map(|named| (named.of.group.items(), named.of.id)).collect();
        sizes.sort();
        sizes.truncate(named.len() - LEFT);
        let mut room = MOST_ITEMS.saturating_sub(self.items_new);
        let fits = |(items, _): &&(u64, ChunkId)| {
            let fits = *items <= room;
            room = room.saturating_sub(*items);
            fits
        };
        let chosen: Vec<ChunkId> = sizes.iter().take_while(fits).map(|(_, id)| *id).collect();
        let (merged, rest) =
            std::mem::take(named).into_iter().partition(|named| chosen.contains(&named.of.id));
        *named = rest;
        merged
    }

    /// Stores the new group, or groups where one list does not hold so many items: the units of the merged ones, then the new ones.
    fn new_groups(&mut self, merged: &[Named<'_>]) -> Result<Vec<Record>, RepoError> {
        let (mut records, mut open) = (Vec::new(), NewGroup::default());
        for named in merged {
            let listed = named.of.whole_list(self.reader)?;
            for (at, (unit, keep)) in named.of.group.units.iter().zip(&named.keeps).enumerate() {
                if *keep != Keep::Nothing {
                    for chunk in &unit.chunks {
                        self.session.lean_on(&chunk.id)?;
                    }
                    let list = listed.get(named.of.unit_list(at)).unwrap_or_default();
                    records.extend(self.add_unit(&mut open, unit.clone(), keep.clone(), list)?);
                }
            }
        }
        let (units, list) = (std::mem::take(&mut self.units), std::mem::take(&mut self.list));
        let mut list = list.as_slice();
        for unit in units {
            let (own, rest) = list.split_at_checked(unit.items as usize * 8).unwrap_or_default();
            list = rest;
            records.extend(self.add_unit(&mut open, unit, Keep::All, own)?);
        }
        records.extend(self.store_group(open)?);
        Ok(records)
    }

    /// Adds a unit to the open group; one that is full is stored first.
    fn add_unit(
        &self,
        open: &mut NewGroup,
        unit: Unit,
        keep: Keep,
        list: &[u8],
    ) -> Result<Option<Record>, RepoError> {
        let full = open.list.len() + list.len() > LARGEST || open.units.len() >= MOST_UNITS;
        let stored = if full { self.store_group(std::mem::take(open))? } else { None };
        open.units.push(unit);
        open.keeps.push(keep);
        open.list.extend_from_slice(list);
        Ok(stored)
    }

    fn store_group(&self, NewGroup { units, keeps, list }: NewGroup) -> Result<Option<Record>, RepoError> {
        if units.is_empty() {
            return Ok(None);
        }
        let store = |kind, raw: Vec<u8>| {
            let key = self.session.id_key(kind, &[]);
            let id = self.lane.store(kind, &[], &key, Cow::Borrowed(&raw), &self.added)?;
            self.session.items().put(&id, &raw);
            Ok::<_, RepoError>(id)
        };
        let list = store(ChunkKind::ItemList, list)?;
        let raw = codec::encode(&Group { list: Some(list), units });
        let raw_len = u32::try_from(raw.len())
            .ok()
            .filter(|len| *len as usize <= LARGEST)
            .ok_or_else(|| RepoError::TooLarge { what: "a group of units".into() })?;
        let group = store(ChunkKind::Group, raw)?;
        Ok(Some(Record { group, raw_len, kept: ByteVec::from(encode_keeps(&keeps)) }))
    }
}

/// A group that is being put together.
#[derive(Default)]
struct NewGroup {
    units: Vec<Unit>,
    keeps: Vec<Keep>,
    list: Vec<u8>,
}

/// Of an [`EarlierMap`]: the units that are leaned on, each with one flag for each item that the map kept.
pub type UsedItems<'m> = (&'m EarlierMap, Vec<(EarlierUnit, Vec<bool>)>);

/// Every group that something is kept of, oldest first. A group that several maps know is named once.
fn name_groups<'m>(used: &[UsedItems<'m>]) -> Result<Vec<Named<'m>>, RepoError> {
    let mut named: Vec<Named<'m>> = Vec::new();
    let mut places: BTreeMap<ChunkId, usize> = BTreeMap::new();
    for (map, units) in used {
        for (unit, flags) in units {
            let keep = map.thin(unit, flags);
            let Some(of) = map.groups.get(unit.place.0).filter(|_| keep != Keep::Nothing) else { continue };
            let place = *places.entry(of.id).or_insert_with(|| {
                named.push(Named { of, keeps: vec![Keep::Nothing; of.group.units.len()] });
                named.len() - 1
            });
            if let Some(known) = named.get_mut(place).and_then(|named| named.keeps.get_mut(unit.place.1)) {
                if *known != Keep::Nothing {
                    return Err(crate::object::damaged("a map", "two earlier maps lend the same unit"));
                }
                *known = keep;
            }
        }
    }
    Ok(named)
}
