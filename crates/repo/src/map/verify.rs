//! Verifying maps of one part together: they share most of their chunks.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::items::{self, ItemHasher, Totals};
use super::kind::{AnyKind, Hashes, NOT_WHOLE, Tally, UnitOf, tell_kept};
use super::kinds;
use super::read::compare;
use super::{Group, Keep, Keeping, MapRef, group};
use crate::RepoError;
use crate::ids::ChunkId;
use crate::reader::ChunkReader;
use crate::stream::ChunkKind;

/// What [`verify`] found, by number of the map.
#[derive(Default)]
pub(crate) struct Verified {
    /// Maps that are not what they say, and why.
    pub wrong: Vec<(usize, String)>,
    /// Maps that are.
    pub right: HashSet<usize>,
}

/// So many units are looked at together: more take their turns, and chunks that they share are read
/// again.
const UNITS_AT_ONCE: usize = 1 << 20;

/// Verifies several maps of one kind and mask domain that share chunks, reading each chunk once. A
/// chunk that cannot be read is left to those who look at chunks, and its maps are skipped.
pub(crate) fn verify(
    reader: &ChunkReader<'_>,
    maps: &[&MapRef],
    check: &mut dyn FnMut(u64) -> Result<(), RepoError>,
) -> Result<Verified, RepoError> {
    let mut verified = Verified::default();
    let mut together = Together::default();
    for (number, map) in maps.iter().enumerate() {
        check(0)?;
        if let Err(error) = together.add(reader, number, map) {
            together.maps.retain(|(own, _, _)| *own != number);
            if !error.is_of_object() {
                return Err(error);
            }
        }
        if together.units >= UNITS_AT_ONCE {
            std::mem::take(&mut together).verify(reader, &mut verified, check)?;
        }
    }
    together.verify(reader, &mut verified, check)?;
    Ok(verified)
}

/// A map by its number, and what else its items must come to.
type Numbered<'m> = (usize, &'m MapRef, Option<Box<dyn Tally>>);

/// Maps that are verified together.
#[derive(Default)]
struct Together<'m> {
    maps: Vec<Numbered<'m>>,
    groups: HashMap<ChunkId, Group>,
    /// What each map keeps of a unit of a group.
    kept: HashMap<(ChunkId, usize), Vec<(usize, Keep)>>,
    /// Units of groups, and those that maps keep something of.
    units: usize,
}

impl<'m> Together<'m> {
    fn add(&mut self, reader: &ChunkReader<'_>, number: usize, map: &'m MapRef) -> Result<(), RepoError> {
        self.maps.push((number, map, None));
        let (mut keeping, records) = Keeping::open(reader, map)?;
        let kind = keeping.kind;
        for record in records {
            let group = match self.groups.entry(record.group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let group = group(reader, &record, kind)?;
                    self.units += group.units.len();
                    unknown.insert(group)
                }
            };
            let keeps = keeping.take(&record, group)?;
            for (unit, keep) in keeps.into_iter().enumerate().filter(|(_, keep)| *keep != Keep::Nothing) {
                self.kept.entry((record.group, unit)).or_default().push((number, keep));
                self.units += 1;
            }
        }
        let tally = keeping.end(reader)?;
        if let Some((_, _, last)) = self.maps.last_mut() {
            *last = tally;
        }
        Ok(())
    }

    fn verify(
        self,
        reader: &ChunkReader<'_>,
        verified: &mut Verified,
        check: &mut dyn FnMut(u64) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        let Some((_, first, _)) = self.maps.first() else { return Ok(()) };
        let kind = kinds::kind(first.kind)?;
        let mut hashing = Hashing { reader, kind, hasher: reader.hasher(&first.domain), list: None };
        let mut read: HashMap<usize, (Totals, Option<Box<dyn Tally>>)> = HashMap::new();
        let mut maps = Vec::with_capacity(self.maps.len());
        for (number, map, tally) in self.maps {
            read.insert(number, (Totals::default(), tally));
            maps.push((number, map));
        }
        let mut units: Vec<_> = self.kept.into_iter().collect();
        units.sort_by_key(|(place, _)| *place);
        for ((group, number), users) in units {
            let Some((of, unit)) = self.groups.get(&group).and_then(|of| Some((of, of.units.get(number)?)))
            else {
                continue;
            };
            check(unit.bytes())?;
            let (hashes, raw) = match hashing.unit(&group, of, number) {
                Ok(Ok(unit)) => unit,
                Ok(Err(what)) => {
                    for (map, _) in users {
                        if read.remove(&map).is_some() {
                            verified.wrong.push((map, what.to_string()));
                        }
                    }
                    continue;
                }
                Err(error) if error.is_of_object() => {
                    read.retain(|map, _| !users.iter().any(|(user, _)| user == map));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (map, keep) in users {
                let Some((totals, tally)) = read.get_mut(&map) else { continue };
                if let Some(tally) = tally {
                    tell_kept(tally.as_mut(), UnitOf { unit, names: &of.names }, &keep, &hashes, &raw);
                }
                let positions = keep.ranges(unit.items).into_iter().flatten();
                for (hash, len) in positions.filter_map(|at| hashes.get(at as usize)) {
                    totals.add(*hash, *len);
                }
            }
        }
        for (number, map) in maps {
            let read = read.get(&number);
            match read.map(|(totals, tally)| compare(kind, totals, tally.as_deref(), map)) {
                Some(Ok(())) => drop(verified.right.insert(number)),
                Some(Err(what)) => verified.wrong.push((number, what)),
                None => {}
            }
        }
        Ok(())
    }
}

/// Hashes units, and holds the item list of the group that was looked at last.
struct Hashing<'r> {
    reader: &'r ChunkReader<'r>,
    kind: &'static dyn AnyKind,
    hasher: ItemHasher,
    /// None within: it is gone, or nobody needs it.
    list: Option<(ChunkId, Option<Vec<u8>>)>,
}

impl Hashing<'_> {
    /// Hash and length of every item of a unit, and its bytes if it is one chunk. Where readers
    /// need lists, the group's must say the same.
    fn unit(
        &mut self,
        group: &ChunkId,
        of: &Group,
        number: usize,
    ) -> Result<Result<(Hashes, Vec<u8>), &'static str>, RepoError> {
        let Some(unit) = of.units.get(number) else { return Ok(Err(NOT_WHOLE)) };
        if let [chunk] = unit.chunks.as_slice() {
            let raw = self.reader.fetch(&chunk.child(), ChunkKind::Data)?;
            let mut listed = Vec::new();
            let unit = UnitOf { unit, names: &of.names };
            let wanted = self.kind.keeps_lists().then_some(&mut listed);
            let hashes = self.kind.hashes(&self.hasher, unit, &raw, wanted);
            let place = of.listed(number, self.kind.listed());
            if hashes.is_ok()
                && self.kind.keeps_lists()
                && let Some(list) = self.list(group, of)?
                && list.get(place) != Some(listed.as_slice())
            {
                return Ok(Err("the item list of a group is not that of its items"));
            }
            return Ok(hashes.map(|hashes| (hashes, raw)));
        }
        let (mut state, mut ends) = (self.hasher.begin(), false);
        for chunk in &unit.chunks {
            let raw = self.reader.fetch(&chunk.child(), ChunkKind::Data)?;
            items::piece(&mut state, &raw);
            ends = self.kind.ends_item(&raw);
        }
        let hashes = vec![(items::finish(&state), unit.bytes())];
        Ok(if ends { Ok((hashes, Vec::new())) } else { Err(NOT_WHOLE) })
    }

    /// The item list of a group, if it is there.
    fn list(&mut self, group: &ChunkId, of: &Group) -> Result<Option<&[u8]>, RepoError> {
        if self.list.as_ref().is_none_or(|(known, _)| known != group) {
            let fetch = |list| self.reader.fetch(&list, ChunkKind::ItemList);
            let list = match of.list_child(self.kind.listed()).map(fetch) {
                Some(Ok(list)) => Some(list),
                // Those who look at chunks tell of one that is damaged.
                Some(Err(error)) if error.is_of_object() => None,
                Some(Err(error)) => return Err(error),
                None => None,
            };
            self.list = Some((*group, list));
        }
        Ok(self.list.as_ref().and_then(|(_, list)| list.as_deref()))
    }
}
