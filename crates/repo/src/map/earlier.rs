//! A map of an earlier backup, as a writer sees it: the hashes of its items, and which of its units
//! can still be reused.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use super::address::{self, AddressRun};
use super::kind::ItemKind;
use super::rows::Rows;
use super::{Group, Keep, Keeping, MapRef, UnitChunk, group};
use crate::RepoError;
use crate::ids::ChunkId;
use crate::reader::ChunkReader;
use crate::stream::ChunkKind;
use crate::writer::{Found, Session};

/// Bytes of the lists that are held at once, those of dead items too. Units of lists beyond are
/// stored again.
const MOST_LISTED: u64 = 64 << 20;

/// What an earlier backup kept, to be reused.
pub struct EarlierMap<K: ItemKind = Rows> {
    kind: PhantomData<K>,
    pub(super) groups: Vec<EarlierGroup>,
    /// Where its items began, in the maker's terms.
    pub from: u64,
    /// How many items it holds.
    pub items: u64,
    /// How many of them were new to it, other than those that were only written again: for who
    /// knows it to be told (it is in the backup's additions), else 0.
    pub changed: u64,
    /// Items of units that cannot be reused: their list or a chunk is gone.
    pub items_lost: u64,
}

pub(super) struct EarlierGroup {
    pub id: ChunkId,
    pub raw_len: u32,
    pub group: Arc<Group>,
    /// The item list's bytes; empty if it is gone, or was released and is in the storage.
    pub list: Vec<u8>,
    pub keeps: Vec<Keep>,
    /// Whether each unit's chunks and list are there.
    pub there: Vec<bool>,
    /// Where the chunks of the units are that the map keeps something of, one after the other; None
    /// for one that is nowhere.
    pub found: Vec<Option<Found>>,
}

/// A unit among all units of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnitName(ChunkId, usize);

impl UnitName {
    pub(super) fn new(group: ChunkId, unit: usize) -> UnitName {
        UnitName(group, unit)
    }
}

/// One kept unit of an [`EarlierMap`] that can be reused.
#[derive(Clone, Debug)]
pub struct EarlierUnit {
    /// Which group of the map, and which unit of the group.
    pub place: (usize, usize),
    /// Names the unit among all of a repository: maps that depend on one another may share it.
    pub name: UnitName,
    /// Items in its chunks.
    pub items: u32,
    /// Of these, items that the map keeps.
    pub items_kept: u32,
    /// Raw bytes of its chunks.
    pub bytes: u64,
}

impl<K: ItemKind> EarlierMap<K> {
    /// Reads a map, its groups and lists. Those that are gone or damaged make their units unusable,
    /// and are no error. Of a map of other items nothing can be used.
    pub(crate) fn load(
        session: &Session<'_>,
        reader: &ChunkReader<'_>,
        map: &MapRef,
    ) -> Result<EarlierMap<K>, RepoError> {
        let mut earlier = EarlierMap {
            kind: PhantomData,
            groups: Vec::new(),
            from: map.from,
            items: map.items,
            changed: 0,
            items_lost: map.items,
        };
        if !map.is_of::<K>() {
            return Ok(earlier);
        }
        let (mut keeping, records) = match Keeping::open(reader, map) {
            Ok(opened) => opened,
            Err(error) => return absent(error).map(|()| earlier),
        };
        let kind = keeping.kind;
        let mut listed = 0u64;
        let known = session.known(map);
        for (number, record) in records.into_iter().enumerate() {
            session.check()?;
            let taken = match group(reader, &record, kind) {
                Ok(group) => keeping.take(&record, &group).map(|keeps| Some((group, keeps))),
                Err(error) => {
                    absent(error)?;
                    keeping.skip(&record).map(|()| None)
                }
            };
            let (group, keeps) = match taken {
                Ok(Some(taken)) => taken,
                Ok(None) => continue,
                Err(error) => {
                    // It is not what it says: nothing of it is reused.
                    earlier.groups.clear();
                    earlier.items_lost = map.items;
                    return absent(error).map(|()| earlier);
                }
            };
            listed += group.items() * K::LISTED as u64;
            let wanted = group.list_child(K::LISTED).filter(|_| listed <= MOST_LISTED);
            let list = match wanted.map(|list| reader.fetch(&list, ChunkKind::ItemList)) {
                Some(Ok(list)) => list,
                Some(Err(error)) => {
                    absent(error)?;
                    Vec::new()
                }
                None => Vec::new(),
            };
            let mut there = Vec::with_capacity(keeps.len());
            let mut found = Vec::new();
            let mut places = known.iter().flat_map(|known| known.record(number));
            for (unit, keep) in group.units.iter().zip(&keeps) {
                let mut all = !list.is_empty() && *keep != Keep::Nothing;
                for chunk in unit.chunks.iter().take_while(|_| *keep != Keep::Nothing) {
                    let place = match places.next().flatten() {
                        None if all => session.dedup().find(&chunk.id)?,
                        place => place,
                    };
                    all = all && place.is_some();
                    found.push(place);
                }
                if all {
                    earlier.items_lost = earlier.items_lost.saturating_sub(u64::from(keep.count(unit.items)));
                }
                there.push(all);
            }
            earlier.groups.push(EarlierGroup {
                id: record.group,
                raw_len: record.raw_len,
                group: Arc::new(group),
                list,
                keeps,
                there,
                found,
            });
        }
        if let Err(error) = keeping.end(reader) {
            earlier.groups.clear();
            earlier.items_lost = map.items;
            absent(error)?;
        }
        Ok(earlier)
    }

    #[cfg(test)]
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The units that can be reused, in the map's order.
    pub fn units(&self) -> impl Iterator<Item = EarlierUnit> + '_ {
        self.groups.iter().enumerate().flat_map(|(number, of)| {
            let units = of.group.units.iter().zip(&of.keeps).zip(&of.there).enumerate();
            units.filter(|(_, (_, there))| **there).map(move |(at, ((unit, keep), _))| EarlierUnit {
                place: (number, at),
                name: UnitName(of.id, at),
                items: unit.items,
                items_kept: keep.count(unit.items),
                bytes: unit.bytes(),
            })
        })
    }

    /// Appends what the list says of a unit's kept items, in their order.
    pub fn listed(&self, unit: &EarlierUnit, out: &mut Vec<K::Listed>) {
        let Some((of, keep)) = self.of(unit) else { return };
        let list = of.list.get(of.group.listed(unit.place.1, K::LISTED)).unwrap_or_default();
        for range in keep.ranges(unit.items) {
            let (from, to) = (range.start as usize * K::LISTED, range.end as usize * K::LISTED);
            out.extend(list.get(from..to).unwrap_or_default().chunks_exact(K::LISTED).map(K::get_listed));
        }
    }

    /// The addresses of a unit's kept items, in their order; none if they have none.
    pub fn addresses(&self, unit: &EarlierUnit) -> Vec<AddressRun> {
        let of_unit = self.of(unit).and_then(|(of, keep)| {
            let runs = &of.group.units.get(unit.place.1)?.runs;
            Some(address::told(&of.group.names, &address::at(runs, &keep.ranges(unit.items))))
        });
        of_unit.unwrap_or_default()
    }

    /// The group of a unit, and what the map keeps of the unit.
    fn of(&self, unit: &EarlierUnit) -> Option<(&EarlierGroup, &Keep)> {
        let (group, at) = unit.place;
        let of = self.groups.get(group)?;
        Some((of, of.keeps.get(at)?))
    }

    /// Releases the lists' bytes, which are read again if need be; those that the storage does not
    /// have stay.
    pub(crate) fn release_lists(&mut self, session: &Session<'_>) -> Result<(), RepoError> {
        for group in &mut self.groups {
            if let Some(list) = &group.group.list
                && session.dedup().stands(list)?
            {
                group.list = Vec::new();
            }
        }
        Ok(())
    }

    /// What is kept now of a unit's items: of those that the map kept, in their order, the ones
    /// with a flag.
    pub(super) fn thin(&self, unit: &EarlierUnit, flags: &[bool]) -> Keep {
        let Some((_, keep)) = self.of(unit) else { return Keep::Nothing };
        let kept = keep.ranges(unit.items).into_iter().flatten();
        Keep::of(unit.items, kept.zip(flags).filter(|(_, used)| **used).map(|(position, _)| position))
    }
}

impl EarlierGroup {
    /// Every chunk with the number of its unit, and where it is, if that is known.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (usize, &UnitChunk, Option<Found>)> {
        let mut found = self.found.iter();
        self.group.units.iter().zip(&self.keeps).enumerate().flat_map(move |(number, (unit, keep))| {
            let is_kept = *keep != Keep::Nothing;
            let places: Vec<Option<Found>> = match is_kept {
                true => found.by_ref().take(unit.chunks.len()).copied().collect(),
                false => vec![None; unit.chunks.len()],
            };
            unit.chunks.iter().zip(places).map(move |(chunk, place)| (number, chunk, place))
        })
    }

    /// All of the list's bytes; `listed`: bytes for each item.
    pub(super) fn whole_list(
        &self,
        reader: &ChunkReader<'_>,
        listed: usize,
    ) -> Result<Cow<'_, [u8]>, RepoError> {
        match self.group.list_child(listed).filter(|_| self.list.is_empty()) {
            Some(list) => Ok(Cow::Owned(reader.fetch(&list, ChunkKind::ItemList)?)),
            None => Ok(Cow::Borrowed(&self.list)),
        }
    }
}

/// Something of an earlier map that is damaged or gone is as if it had never been; other errors are
/// errors.
fn absent(error: RepoError) -> Result<(), RepoError> {
    match error {
        RepoError::Damaged { .. } | RepoError::Missing { .. } => {
            tracing::debug!("an earlier map cannot be used whole: {error}");
            Ok(())
        }
        other => Err(other),
    }
}
