//! Writing a map: new items become units, a group and an item list; kept units are named.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::bytes::{ByteArray, ByteVec};
use siphasher::sip128::SipHasher24;

use super::address::{self, Address, Names, Run};
use super::describe::{self, Description, NewGroup, ReadyGroup};
use super::earlier::{EarlierGroup, EarlierMap, EarlierUnit};
use super::files::{self, Files};
use super::items::{self, ItemHash, ItemHasher, Totals};
use super::kind::{ItemKind, Measured};
use super::pages::Pages;
use super::rows::Rows;
use super::{Keep, MapRef, Part, Unit, UnitChunk};
use crate::cut::LARGEST;
use crate::ids::ChunkId;
use crate::reader::ChunkReader;
use crate::stream::ChunkKind;
use crate::writer::{Added, Lane, PartSummary, Session};
use crate::{RepoError, codec};

/// With so many groups (each is an object to fetch) ...
const MOST_GROUPS: usize = 16;
/// ... all but the largest few become part of the new one. So a list is written again once for
/// every dozen backups.
const LEFT: usize = 4;

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

impl MapTarget {
    /// Pages of so many bytes, of one file from this page on, or of a bundle of whole files (0).
    pub fn of_pages(page_size: u32, from: u64) -> MapTarget {
        MapTarget { identity: files::identity(page_size), domain: Vec::new(), from }
    }
}

/// Writes one map. Dropping it unfinished leaves chunks that nothing uses, and is no error.
pub struct MapWriter<'a, K: ItemKind = Rows> {
    session: &'a Session<'a>,
    lane: Lane<'a>,
    /// Reads what earlier maps released.
    reader: &'a ChunkReader<'a>,
    kind: K,
    target: MapTarget,
    id_key: [u8; 32],
    hasher: ItemHasher,
    totals: Totals,
    items_new: u64,
    /// The open unit: its items' bytes, number and addresses.
    buffer: Vec<u8>,
    items_in_buffer: u32,
    runs: Vec<Run>,
    /// An item that is longer than a unit: its hash so far, and its bytes.
    long: Option<(SipHasher24, u64)>,
    long_chunks: Vec<UnitChunk>,
    units: Vec<Unit>,
    /// Names in the new items' addresses.
    names: Names,
    /// The new items' list.
    list: Vec<u8>,
    /// What the kind says of the map, and what more.
    facts: Vec<u8>,
    more: Vec<u8>,
    /// No list is named that holds hashes of items of which no unit is kept.
    no_dead_lists: bool,
    added: Arc<Added>,
}

/// An earlier group that a map names, and what is kept of each of its units.
struct Named<'m> {
    of: &'m EarlierGroup,
    keeps: Vec<Keep>,
}

impl MapWriter<'_, Rows> {
    /// An item that a kept unit holds already.
    #[inline]
    pub fn keep(&mut self, hash: ItemHash, bytes: usize) {
        self.totals.add(hash, bytes as u64);
    }

    /// Stores a new row (with its end mark). Waits while the sealers are behind.
    #[inline]
    pub fn add(&mut self, row: &[u8], hash: ItemHash) -> Result<(), RepoError> {
        let measured = Measured { listed: self.hasher.listed(hash), hash };
        self.put(row, measured)
    }

    /// Stores a piece of a row that is too long to be held whole; `ends`: its last.
    pub fn add_piece(&mut self, mut piece: &[u8], ends: bool) -> Result<(), RepoError> {
        if self.long.is_none() {
            self.end_unit()?;
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
            let chunks = std::mem::take(&mut self.long_chunks);
            self.units.push(Unit { chunks, items: 1, runs: Vec::new() });
            let hash = items::finish(&state);
            self.count_new(Measured { listed: self.hasher.listed(hash), hash }, bytes);
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
}

impl MapWriter<'_, Pages> {
    /// Says which files the map covers, and what they come to.
    pub fn cover(&mut self, files: &Files) {
        let (facts, more) = files.encode();
        self.describe(facts, more);
    }
}

impl<'a, K: ItemKind> MapWriter<'a, K> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        reader: &'a ChunkReader<'a>,
        kind: K,
        target: MapTarget,
    ) -> MapWriter<'a, K> {
        MapWriter {
            session,
            lane: session.lane().of(K::GRAIN),
            reader,
            kind,
            id_key: session.id_key(ChunkKind::Data, &target.domain),
            hasher: session.hasher(&target.domain),
            target,
            totals: Totals::default(),
            items_new: 0,
            buffer: Vec::new(),
            items_in_buffer: 0,
            runs: Vec::new(),
            long: None,
            long_chunks: Vec::new(),
            units: Vec::new(),
            names: Names::default(),
            list: Vec::new(),
            facts: Vec::new(),
            more: Vec::new(),
            no_dead_lists: false,
            added: Arc::default(),
        }
    }

    /// Names no group of which a unit is not kept: its list holds the hashes of that unit's items.
    /// Its other units get a new group and list.
    pub fn leave_no_lists_behind(&mut self) {
        self.no_dead_lists = true;
    }

    /// Hashes this map's items.
    pub fn hasher(&self) -> &ItemHasher {
        &self.hasher
    }

    /// What the list would hold of an item, and what it adds to the sum.
    pub fn measure(&self, item: &[u8], address: Address<'_>) -> Measured<K::Listed> {
        K::measure(&self.hasher, item, address)
    }

    /// An item of so many bytes that a kept unit holds already.
    pub fn keep_measured(&mut self, measured: Measured<K::Listed>, bytes: usize) {
        self.totals.add(measured.hash, bytes as u64);
    }

    /// Items that were added so far.
    pub fn items_new(&self) -> u64 {
        self.items_new
    }

    /// Stores a new item at its address. Waits while the sealers are behind.
    pub fn add_at(
        &mut self,
        item: &[u8],
        address: Address<'_>,
        measured: Measured<K::Listed>,
    ) -> Result<(), RepoError> {
        if K::HAS_ADDRESSES {
            let name = self.names.place(address.name);
            address::push(&mut self.runs, name, address.number);
        }
        self.put(item, measured)
    }

    /// What the kind says of the map: in the backup's list of entries, and in a stream of its own.
    pub fn describe(&mut self, facts: Vec<u8>, more: Vec<u8>) {
        (self.facts, self.more) = (facts, more);
    }

    #[inline]
    fn put(&mut self, item: &[u8], measured: Measured<K::Listed>) -> Result<(), RepoError> {
        self.count_new(measured, item.len() as u64);
        self.buffer.extend_from_slice(item);
        self.items_in_buffer += 1;
        let is_end = K::ends_unit(self.buffer.len(), self.items_in_buffer, (measured.hash, item.len()));
        if is_end { self.end_unit() } else { Ok(()) }
    }

    #[inline]
    fn count_new(&mut self, measured: Measured<K::Listed>, bytes: u64) {
        self.totals.add(measured.hash, bytes);
        self.items_new += 1;
        K::put_listed(measured.listed, &mut self.list);
    }

    /// Ends a unit here: the maker knows of a reason. Other ends come by the kind's rule.
    pub fn end_unit(&mut self) -> Result<(), RepoError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.runs);
        if K::HAS_ADDRESSES {
            let mut raw = address::header(self.names.as_slice(), &runs);
            raw.append(&mut self.buffer);
            self.buffer = raw;
        }
        let chunk = self.store_buffer()?;
        self.units.push(Unit { chunks: vec![chunk], items: std::mem::take(&mut self.items_in_buffer), runs });
        Ok(())
    }

    fn store_buffer(&mut self) -> Result<UnitChunk, RepoError> {
        let raw = std::mem::take(&mut self.buffer);
        let raw_len = u32::try_from(raw.len()).map_err(|_| RepoError::TooLarge { what: "a chunk".into() })?;
        let raw = Cow::Owned(raw);
        let id = self.lane.store(ChunkKind::Data, &self.target.domain, &self.id_key, raw, &self.added)?;
        Ok(UnitChunk { id, raw_len })
    }

    /// Ends the map. `used`: of each earlier map those of its units that are reused, and which of
    /// the items that they kept are items of this map. No unit may come from two maps. `changed`:
    /// of the new items, those that are not only written again.
    pub fn finish(mut self, used: &[UsedItems<'_, K>], changed: u64) -> Result<PartSummary, RepoError> {
        self.session.check()?;
        self.end_unit()?;
        let mut named = name_groups(used)?;
        let merged = self.take_smallest(&mut named);
        let mut description = Description::default();
        for Named { of, keeps } in named {
            self.lean_on(of, &keeps)?;
            description.add(of.id, of.raw_len, &of.group, keeps)?;
        }
        self.new_groups(&merged, &mut description)?;
        let described = description.finish(self.session)?;
        let mut added = described.added;
        let mut more = None;
        if !self.more.is_empty() {
            let (stream, of_more) = describe::stored(self.session, &self.more)?;
            more = Some(stream);
            added.push(of_more);
        }
        added.push(self.added);
        let MapTarget { identity, domain, from } = self.target;
        let map = MapRef {
            kind: K::NUMBER,
            units: described.units,
            keeps: described.keeps,
            more,
            identity: ByteArray::from(identity),
            domain: ByteVec::from(domain),
            from,
            items: self.totals.items,
            bytes: self.totals.bytes,
            sum: ByteArray::from(self.totals.sum.to_le_bytes()),
            facts: ByteVec::from(self.facts),
        };
        describe::check(&self.kind, &map, &self.more, described.addresses)?;
        Ok(PartSummary::new(Part::Map(Box::new(map)), added).with_changed(changed))
    }

    /// Pins what a group's use needs: the chunks of its units, the group and its list. The writer
    /// holds the bytes of the latter two, and stores them again if they are gone.
    fn lean_on(&self, of: &EarlierGroup, keeps: &[Keep]) -> Result<(), RepoError> {
        self.lean_on_units(of, keeps)?;
        self.metadata(ChunkKind::Group, &codec::encode(&*of.group), &of.id)?;
        match &of.group.list {
            Some(list) if of.list.is_empty() => self.session.lean_on(list),
            Some(list) => self.metadata(ChunkKind::ItemList, &of.list, list),
            None => Ok(()),
        }
    }

    /// Pins the chunks of the units of a group that something is kept of.
    fn lean_on_units(&self, of: &EarlierGroup, keeps: &[Keep]) -> Result<(), RepoError> {
        for (unit, chunk, found) in of.chunks() {
            if keeps.get(unit).is_some_and(|keep| *keep != Keep::Nothing) {
                self.session.lean_on_found(&chunk.id, found)?;
            }
        }
        Ok(())
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
        // One list must hold them all.
        let mut room = (LARGEST / K::LISTED) as u64;
        room = room.saturating_sub(self.items_new);
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

    /// Stores the new group, or groups where one list does not hold so many items: the units of the
    /// merged ones, then the new ones.
    fn new_groups(&mut self, merged: &[Named<'_>], description: &mut Description) -> Result<(), RepoError> {
        let mut open = NewGroup::default();
        for named in merged {
            let group = &named.of.group;
            let listed = named.of.whole_list(self.reader, K::LISTED)?;
            self.lean_on_units(named.of, &named.keeps)?;
            for (at, (unit, keep)) in group.units.iter().zip(&named.keeps).enumerate() {
                if *keep != Keep::Nothing {
                    let list = listed.get(group.listed(at, K::LISTED)).unwrap_or_default();
                    self.make_room(&mut open, list, description)?;
                    open.add(unit.clone(), &group.names, keep.clone(), list);
                }
            }
        }
        let (units, list) = (std::mem::take(&mut self.units), std::mem::take(&mut self.list));
        let mut list = list.as_slice();
        for unit in units {
            let (own, rest) = list.split_at_checked(unit.items as usize * K::LISTED).unwrap_or_default();
            list = rest;
            self.make_room(&mut open, own, description)?;
            open.add(unit, self.names.as_slice(), Keep::All, own);
        }
        self.store_group(open, description)
    }

    /// Stores the open group if a unit with this list does not fit in.
    fn make_room(
        &self,
        open: &mut NewGroup,
        list: &[u8],
        description: &mut Description,
    ) -> Result<(), RepoError> {
        match open.is_full_for(list) {
            true => self.store_group(std::mem::take(open), description),
            false => Ok(()),
        }
    }

    fn store_group(&self, open: NewGroup, description: &mut Description) -> Result<(), RepoError> {
        let Some(ReadyGroup { list, mut group, keeps }) = open.ready(&self.kind) else { return Ok(()) };
        let store = |kind, raw: Vec<u8>| {
            let key = self.session.id_key(kind, &[]);
            let id = self.lane.store(kind, &[], &key, Cow::Borrowed(&raw), &self.added)?;
            self.session.items().put(&id, &raw);
            Ok::<_, RepoError>(id)
        };
        group.list = Some(store(ChunkKind::ItemList, list)?);
        let raw = codec::encode(&group);
        let raw_len = u32::try_from(raw.len())
            .ok()
            .filter(|len| *len as usize <= LARGEST)
            .ok_or_else(|| RepoError::TooLarge { what: "a group of units".into() })?;
        let id = store(ChunkKind::Group, raw)?;
        description.add(id, raw_len, &group, keeps)
    }
}

/// Of an [`EarlierMap`]: the units that are reused, each with one flag for each item that the map
/// kept.
pub type UsedItems<'m, K = Rows> = (&'m EarlierMap<K>, Vec<(EarlierUnit, Vec<bool>)>);

/// Every group that something is kept of, oldest first. A group that several maps know is named
/// once. Where items have addresses, several maps may keep items of one unit.
fn name_groups<'m, K: ItemKind>(used: &[UsedItems<'m, K>]) -> Result<Vec<Named<'m>>, RepoError> {
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
                if *known != Keep::Nothing && !K::HAS_ADDRESSES {
                    return Err(crate::object::damaged("a map", "two earlier maps share the same unit"));
                }
                // Both keep items of it, of other addresses.
                *known = known.join(&keep, unit.items);
            }
        }
    }
    Ok(named)
}
