//! Item lists outside of a writer's session: what a map says of its items, without reading one.
//!
//! A restore into a place that holds most items already compares what is there with the lists, and
//! reads only units that differ ([`DataReader::read_units`]).

use std::marker::PhantomData;
use std::ops::Range;

use super::address::{self, Address, AddressRun};
use super::earlier::UnitName;
use super::kind::{ItemKind, Measured};
use super::shape::{Keep, Record};
use super::{ItemHasher, Keeping, MapRef, group};
use crate::RepoError;
use crate::object::damaged;
use crate::reader::{ChunkReader, DataReader};
use crate::stream::ChunkKind;

/// A unit of a map, as its list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUnit<L> {
    /// The unit, as [`DataReader::read_units`] takes it.
    pub unit: UnitName,
    /// Which of its items the map keeps.
    pub positions: Vec<Range<u32>>,
    /// Their addresses in the same order, if they have any.
    pub addresses: Vec<AddressRun>,
    /// What the list says of them, in the same order; None if the list is gone.
    pub listed: Option<Vec<L>>,
}

/// The item lists of one map, group by group.
pub struct MapLists<'r, K: ItemKind> {
    reader: &'r ChunkReader<'r>,
    hasher: ItemHasher,
    /// None once everything was gone through.
    keeping: Option<Keeping>,
    records: std::vec::IntoIter<Record>,
    ready: std::vec::IntoIter<ListedUnit<K::Listed>>,
    kind: PhantomData<K>,
}

impl DataReader<'_> {
    /// Begins to read the item lists of a map.
    ///
    /// # Errors
    /// If the map's items are of another kind.
    pub fn lists<K: ItemKind>(&self, map: &MapRef) -> Result<MapLists<'_, K>, RepoError> {
        MapLists::new(self.chunks(), map)
    }
}

impl<'r, K: ItemKind> MapLists<'r, K> {
    pub(crate) fn new(reader: &'r ChunkReader<'r>, map: &MapRef) -> Result<MapLists<'r, K>, RepoError> {
        let (keeping, records) = Keeping::open(reader, map)?;
        if !map.is_of::<K>() {
            let what = format!("its items are {}, not {}", keeping.kind.word(), K::WORD);
            return Err(damaged("a map", what));
        }
        Ok(MapLists {
            reader,
            hasher: reader.hasher(map.domain()),
            keeping: Some(keeping),
            records: records.into_iter(),
            ready: Vec::new().into_iter(),
            kind: PhantomData,
        })
    }
}

impl<K: ItemKind> MapLists<'_, K> {
    /// The next unit; None at the end, where the map's description is right as a whole.
    pub fn next_unit(&mut self) -> Result<Option<ListedUnit<K::Listed>>, RepoError> {
        loop {
            if let Some(unit) = self.ready.next() {
                return Ok(Some(unit));
            }
            match self.records.next() {
                Some(record) => self.ready = self.open(&record)?.into_iter(),
                None => {
                    if let Some(keeping) = self.keeping.take() {
                        keeping.end(self.reader)?;
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// What the list would hold of an item.
    pub fn measure(&self, item: &[u8], address: Address<'_>) -> Measured<K::Listed> {
        K::measure(&self.hasher, item, address)
    }

    fn open(&mut self, record: &Record) -> Result<Vec<ListedUnit<K::Listed>>, RepoError> {
        let Some(keeping) = &mut self.keeping else { return Ok(Vec::new()) };
        let group = group(self.reader, record, keeping.kind)?;
        let keeps = keeping.take(record, &group)?;
        let fetch = |list| self.reader.fetch(&list, ChunkKind::ItemList);
        let list = match group.list_child(K::LISTED).map(fetch) {
            Some(Ok(list)) => Some(list),
            Some(Err(error)) if error.is_of_object() => None,
            Some(Err(error)) => return Err(error),
            None => None,
        };
        let kept = group.units.iter().zip(keeps).enumerate();
        let units = kept.filter(|(_, (_, keep))| *keep != Keep::Nothing).map(|(at, (unit, keep))| {
            let positions = keep.ranges(unit.items);
            let own = list.as_ref().and_then(|list| list.get(group.listed(at, K::LISTED)));
            let records = |own: &[u8]| {
                let own: Vec<&[u8]> = own.chunks_exact(K::LISTED).collect();
                let kept = positions.iter().flat_map(|range| range.start as usize..range.end as usize);
                kept.filter_map(|at| own.get(at)).map(|record| K::get_listed(record)).collect()
            };
            ListedUnit {
                unit: UnitName::new(record.group, at),
                addresses: address::told(&group.names, &address::at(&unit.runs, &positions)),
                listed: own.map(records),
                positions,
            }
        });
        Ok(units.collect())
    }
}
