//! A map of an earlier backup, as a writer sees it: the hashes of its items, and which of its units can still be leaned on.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{Group, Keep, MapRef, decode_keeps, group, records};
use crate::RepoError;
use crate::ids::ChunkId;
use crate::object::damaged;
use crate::reader::ChunkReader;
use crate::stream::ChunkKind;
use crate::writer::Session;

/// Items of the lists that are held at once, dead ones too: 64 MiB. Units of lists beyond are stored again.
const MOST_LISTED: u64 = 8 << 20;

/// What an earlier backup kept, to be leaned on.
pub struct EarlierMap {
    pub(super) groups: Vec<EarlierGroup>,
    /// Where its items began, in the maker's terms.
    pub from: u64,
    /// How many items it holds.
    pub items: u64,
    /// How many of them were new to it, other than those that were only written again.
    pub changed: u64,
    /// Items of units that cannot be leaned on: their list or a chunk is gone.
    pub items_lost: u64,
}

pub(super) struct EarlierGroup {
    pub id: ChunkId,
    pub raw_len: u32,
    pub group: Arc<Group>,
    /// The item list's bytes; empty if it is gone, or was let go of and is in the storage.
    pub list: Vec<u8>,
    pub keeps: Vec<Keep>,
    /// Whether each unit's chunks and list are there.
    pub there: Vec<bool>,
}

/// A unit among all units of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnitName(ChunkId, usize);

/// One kept unit of an [`EarlierMap`] that can be leaned on.
#[derive(Clone, Debug)]
pub struct EarlierUnit {
    /// Which group of the map, and which unit of the group.
    pub place: (usize, usize),
    /// Names the unit among all of a repository: maps that lean on one another may share it.
    pub name: UnitName,
    /// Items in its chunks.
    pub items: u32,
    /// Of these, items that the map keeps.
    pub items_kept: u32,
    /// Raw bytes of its chunks.
    pub bytes: u64,
}

impl EarlierMap {
    /// Reads a map, its groups and lists. Those that are gone or damaged make their units unusable, and are no error.
    pub(crate) fn load(
        session: &Session<'_>,
        reader: &ChunkReader<'_>,
        map: &MapRef,
    ) -> Result<EarlierMap, RepoError> {
        let mut earlier = EarlierMap {
            groups: Vec::new(),
            from: map.from,
            items: map.items,
            changed: map.changed,
            items_lost: map.items,
        };
        let records = match records(reader, map) {
            Ok(records) => records,
            Err(error) => return absent(error).map(|()| earlier),
        };
        let (mut listed, mut kept) = (0u64, 0u64);
        for record in records {
            session.check()?;
            let group = match group(reader, &record) {
                Ok(group) => group,
                Err(error) => {
                    absent(error)?;
                    continue;
                }
            };
            let keeps = match decode_keeps(&record.kept, &group.units) {
                Ok(keeps) => keeps,
                Err(what) => {
                    absent(damaged(format!("group {}", record.group), what))?;
                    continue;
                }
            };
            kept += group
                .units
                .iter()
                .zip(&keeps)
                .map(|(unit, keep)| u64::from(keep.count(unit.items)))
                .sum::<u64>();
            if kept > map.items {
                // It is not what it says: nothing of it is leaned on.
                earlier.groups.clear();
                earlier.items_lost = map.items;
                return absent(damaged("a map", "it keeps more items than it says")).map(|()| earlier);
            }
            listed += group.items();
            let wanted = group.list_child().filter(|_| listed <= MOST_LISTED);
            let list = match wanted.map(|list| reader.fetch(&list, ChunkKind::ItemList)) {
                Some(Ok(list)) => list,
                Some(Err(error)) => {
                    absent(error)?;
                    Vec::new()
                }
                None => Vec::new(),
            };
            let mut there = Vec::with_capacity(keeps.len());
            for (unit, keep) in group.units.iter().zip(&keeps) {
                let mut all = !list.is_empty() && *keep != Keep::Nothing;
                for chunk in unit.chunks.iter().take_while(|_| *keep != Keep::Nothing) {
                    all = all && session.dedup().stands(&chunk.id)?;
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
            });
        }
        Ok(earlier)
    }

    #[cfg(test)]
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The units that can be leaned on, in the map's order.
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
    pub fn listed(&self, unit: &EarlierUnit, out: &mut Vec<u64>) {
        let (group, at) = unit.place;
        let Some((of, keep)) = self.groups.get(group).and_then(|of| Some((of, of.keeps.get(at)?))) else {
            return;
        };
        let list = of.list.get(of.unit_list(at)).unwrap_or_default();
        for range in keep.ranges(unit.items) {
            let bytes = list.get(range.start as usize * 8..range.end as usize * 8).unwrap_or_default();
            out.extend(bytes.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight)));
        }
    }

    /// Lets go of the lists' bytes, which are read again if need be; those that the storage lacks stay.
    pub(crate) fn let_go_of_lists(&mut self, session: &Session<'_>) -> Result<(), RepoError> {
        for group in &mut self.groups {
            if let Some(list) = &group.group.list
                && session.dedup().stands(list)?
            {
                group.list = Vec::new();
            }
        }
        Ok(())
    }

    /// What is kept now of a unit's items: of those that the map kept, in their order, the ones with a flag.
    pub(super) fn thin(&self, unit: &EarlierUnit, flags: &[bool]) -> Keep {
        let (group, at) = unit.place;
        let Some(keep) = self.groups.get(group).and_then(|of| of.keeps.get(at)) else { return Keep::Nothing };
        let kept = keep.ranges(unit.items).into_iter().flatten();
        Keep::of(unit.items, kept.zip(flags).filter(|(_, used)| **used).map(|(position, _)| position))
    }
}

impl EarlierGroup {
    /// All of the list's bytes.
    pub(super) fn whole_list(&self, reader: &ChunkReader<'_>) -> Result<Cow<'_, [u8]>, RepoError> {
        match self.group.list_child().filter(|_| self.list.is_empty()) {
            Some(list) => Ok(Cow::Owned(reader.fetch(&list, ChunkKind::ItemList)?)),
            None => Ok(Cow::Borrowed(&self.list)),
        }
    }

    /// Where one unit's hashes stand in the list.
    pub(super) fn unit_list(&self, at: usize) -> Range<usize> {
        let items = |unit: &super::Unit| unit.items as usize;
        let units = &self.group.units;
        let start: usize = units.iter().take(at).map(items).sum();
        let end = start + units.get(at).map_or(0, items);
        start * 8..end * 8
    }
}

/// Something of an earlier map that is damaged or gone is as if it had never been; other errors are errors.
fn absent(error: RepoError) -> Result<(), RepoError> {
    match error {
        RepoError::Damaged { .. } | RepoError::Missing { .. } => {
            tracing::debug!("an earlier map cannot be used whole: {error}");
            Ok(())
        }
        other => Err(other),
    }
}
