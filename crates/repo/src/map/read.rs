//! Reading parts back, maps included: each chunk once, front to back, and at the end what it came to against what the map says.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use super::items::{self, ItemHasher, Totals};
use super::{Group, Keep, MOST_KEPT, MapRef, Part, Unit, UnitChunk, decode_keeps, group, records};
use crate::RepoError;
use crate::ids::ChunkId;
use crate::manifest::Entry as BackupEntry;
use crate::object::damaged;
use crate::reader::{ChunkReader, StreamReader};
use crate::stream::ChunkKind;

/// Reads one part. Memory: as `StreamReader`; of a map also its description.
pub struct PartReader<'r>(Inner<'r>);

enum Inner<'r> {
    Stream(StreamReader<'r>),
    Map(Box<MapReader<'r>>),
}

impl<'r> PartReader<'r> {
    /// `label` names the part in errors about a map's content.
    pub(crate) fn new(
        reader: &'r ChunkReader<'r>,
        part: &Part,
        label: String,
    ) -> Result<PartReader<'r>, RepoError> {
        Ok(PartReader(match part {
            Part::Stream(stream) => Inner::Stream(reader.read(stream)?),
            Part::Map(map) => Inner::Map(Box::new(MapReader::new(reader, map, label)?)),
        }))
    }

    /// The next raw bytes, verified; None at the end, where a map's number of items, bytes and sum are right. Of a map never empty, and
    /// whole items unless one item is longer than a chunk.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, RepoError> {
        match &mut self.0 {
            Inner::Stream(stream) => stream.next_chunk(),
            Inner::Map(map) => map.next_chunk(),
        }
    }

    fn stream(&self) -> &StreamReader<'r> {
        match &self.0 {
            Inner::Stream(stream) => stream,
            Inner::Map(map) => &map.chunks,
        }
    }

    fn start(mut self) -> Result<PartReader<'r>, RepoError> {
        match &mut self.0 {
            Inner::Stream(stream) => stream.start()?,
            Inner::Map(map) => map.chunks.start()?,
        }
        Ok(self)
    }
}

/// Reads all parts of an entry, one after the other.
pub struct EntryReader<'r> {
    reader: &'r ChunkReader<'r>,
    path: String,
    parts: VecDeque<Part>,
    number: usize,
    open: Option<PartReader<'r>>,
    /// Behind a network: the part after the open one, whose first bytes are under way. Its error waits for its turn.
    next: Option<Result<PartReader<'r>, RepoError>>,
}

impl<'r> EntryReader<'r> {
    pub(crate) fn new(
        reader: &'r ChunkReader<'r>,
        entry: &BackupEntry,
        parts: Range<usize>,
    ) -> EntryReader<'r> {
        let (path, number) = (entry.path.clone(), parts.start);
        let parts = entry.parts.get(parts).unwrap_or_default().iter().cloned().collect();
        EntryReader { reader, path, parts, number, open: None, next: None }
    }

    /// The next raw bytes, verified; None at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, RepoError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(chunk) = open.next_chunk()? {
                    if self.next.is_none() && open.stream().is_ending() {
                        self.next = self.begin_next().map(|next| next.and_then(PartReader::start));
                    }
                    return Ok(Some(chunk));
                }
                self.open = None;
            }
            let Some(next) = self.next.take().or_else(|| self.begin_next()) else { return Ok(None) };
            self.open = Some(next?);
        }
    }

    fn begin_next(&mut self) -> Option<Result<PartReader<'r>, RepoError>> {
        let part = self.parts.pop_front()?;
        self.number += 1;
        let label = format!("part {} of {}", self.number, self.path);
        Some(PartReader::new(self.reader, &part, label))
    }
}

/// A kept unit and what is kept of it.
struct Kept {
    unit: Unit,
    keep: Keep,
}

struct MapReader<'r> {
    label: String,
    map: MapRef,
    hasher: ItemHasher,
    units: VecDeque<Kept>,
    chunks: StreamReader<'r>,
    /// An item of several chunks is being read: its hash so far, and the chunks to come.
    long: Option<(siphasher::sip128::SipHasher24, usize, u64)>,
    read: Totals,
}

impl<'r> MapReader<'r> {
    fn new(reader: &'r ChunkReader<'r>, map: &MapRef, label: String) -> Result<MapReader<'r>, RepoError> {
        let (mut units, mut chunks) = (VecDeque::new(), 0);
        for record in records(reader, map)? {
            let group = group(reader, &record)?;
            let keeps = decode_keeps(&record.kept, &group.units).map_err(|what| damaged(&label, what))?;
            let kept = group.units.into_iter().zip(keeps).filter(|(_, keep)| *keep != Keep::Nothing);
            for (unit, keep) in kept {
                chunks += unit.chunks.len();
                if chunks > MOST_KEPT {
                    return Err(damaged(&label, "its map keeps more chunks than any map"));
                }
                units.push_back(Kept { unit, keep });
            }
        }
        let children = units.iter().flat_map(|kept| &kept.unit.chunks).map(UnitChunk::child).collect();
        Ok(MapReader {
            label,
            hasher: reader.hasher(&map.domain),
            map: map.clone(),
            units,
            chunks: reader.read_chunks(children, ChunkKind::Data),
            long: None,
            read: Totals::default(),
        })
    }

    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, RepoError> {
        if let Some((mut state, left, bytes)) = self.long.take() {
            let raw = self.fetch()?;
            items::piece(&mut state, &raw);
            self.long_goes_on(state, left - 1, bytes + raw.len() as u64, &raw)?;
            return Ok(Some(raw));
        }
        let Some(kept) = self.units.pop_front() else {
            return self.check_totals().map(|()| None);
        };
        let raw = self.fetch()?;
        if kept.unit.chunks.len() > 1 {
            let mut state = self.hasher.begin();
            items::piece(&mut state, &raw);
            self.long_goes_on(state, kept.unit.chunks.len() - 1, raw.len() as u64, &raw)?;
            return Ok(Some(raw));
        }
        let (hasher, read) = (&self.hasher, &mut self.read);
        let chosen = take_items(raw, &kept.unit, &kept.keep, |item| {
            read.add(hasher.hash(item), item.len() as u64);
        });
        chosen.map(Some).map_err(|what| damaged(&self.label, what))
    }

    fn fetch(&mut self) -> Result<Vec<u8>, RepoError> {
        self.chunks.next_chunk()?.ok_or_else(|| damaged(&self.label, "its chunks end before its units"))
    }

    fn long_goes_on(
        &mut self,
        state: siphasher::sip128::SipHasher24,
        left: usize,
        bytes: u64,
        last: &[u8],
    ) -> Result<(), RepoError> {
        if left > 0 {
            self.long = Some((state, left, bytes));
        } else if last.ends_with(b"\n") {
            self.read.add(items::finish(&state), bytes);
        } else {
            return Err(damaged(&self.label, NOT_WHOLE));
        }
        Ok(())
    }

    fn check_totals(&self) -> Result<(), RepoError> {
        compare(&self.read, &self.map).map_err(|what| damaged(&self.label, what))
    }
}

pub(super) const NOT_WHOLE: &str = "a unit does not hold the items that its group says";

/// What a map's items came to, against what it says.
pub(super) fn compare(read: &Totals, map: &MapRef) -> Result<(), String> {
    if (read.items, read.bytes) != (map.items, map.bytes) {
        return Err(format!(
            "{} rows of {} bytes were read, {} rows of {} bytes were backed up",
            read.items, read.bytes, map.items, map.bytes
        ));
    }
    if read.sum.to_le_bytes() != *map.sum {
        return Err(format!(
            "its {} rows are not those that were backed up: the sum of their hashes differs",
            read.items
        ));
    }
    Ok(())
}

/// The kept items of a unit of one chunk, each shown to `see`.
pub(crate) fn take_items(
    raw: Vec<u8>,
    unit: &Unit,
    keep: &Keep,
    mut see: impl FnMut(&[u8]),
) -> Result<Vec<u8>, &'static str> {
    let mut ranges = keep.ranges(unit.items).into_iter().peekable();
    let mut chosen = Vec::new();
    let (mut start, mut number) = (0, 0u32);
    for end in memchr::memchr_iter(b'\n', &raw) {
        let item = raw.get(start..=end).unwrap_or_default();
        while ranges.next_if(|range| range.end <= number).is_some() {}
        if ranges.peek().is_some_and(|range| range.contains(&number)) {
            see(item);
            if *keep != Keep::All {
                chosen.extend_from_slice(item);
            }
        }
        (start, number) = (end + 1, number + 1);
    }
    if number != unit.items || start != raw.len() {
        return Err(NOT_WHOLE);
    }
    Ok(if *keep == Keep::All { raw } else { chosen })
}

/// What [`verify`] found, by number of the map.
#[derive(Default)]
pub(crate) struct Verified {
    /// Maps that are not what they say, and why.
    pub wrong: Vec<(usize, String)>,
    /// Maps that are.
    pub right: HashSet<usize>,
}

/// So many units are looked at together: more take their turns, and chunks that they share are read again.
const UNITS_AT_ONCE: usize = 1 << 20;

/// Verifies several maps that share chunks, reading each chunk once. A chunk that cannot be read is left to those who look at chunks,
/// and its maps are passed over.
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
            together.maps.retain(|(own, _)| *own != number);
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

/// Maps that are verified together.
#[derive(Default)]
struct Together<'m> {
    maps: Vec<(usize, &'m MapRef)>,
    groups: HashMap<ChunkId, Group>,
    /// What each map keeps of a unit of a group.
    kept: HashMap<(ChunkId, usize), Vec<(usize, Keep)>>,
    /// Units of groups, and those that maps keep something of.
    units: usize,
}

impl<'m> Together<'m> {
    fn add(&mut self, reader: &ChunkReader<'_>, number: usize, map: &'m MapRef) -> Result<(), RepoError> {
        self.maps.push((number, map));
        for record in records(reader, map)? {
            let group = match self.groups.entry(record.group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let group = group(reader, &record)?;
                    self.units += group.units.len();
                    unknown.insert(group)
                }
            };
            let keeps = decode_keeps(&record.kept, &group.units)
                .map_err(|what| damaged(format!("group {}", record.group), what))?;
            for (unit, keep) in keeps.into_iter().enumerate().filter(|(_, keep)| *keep != Keep::Nothing) {
                self.kept.entry((record.group, unit)).or_default().push((number, keep));
                self.units += 1;
            }
        }
        Ok(())
    }

    fn verify(
        self,
        reader: &ChunkReader<'_>,
        verified: &mut Verified,
        check: &mut dyn FnMut(u64) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        let Some((_, first)) = self.maps.first() else { return Ok(()) };
        let hasher = reader.hasher(&first.domain);
        let mut read: HashMap<usize, Totals> =
            self.maps.iter().map(|(number, _)| (*number, Totals::default())).collect();
        let mut units: Vec<_> = self.kept.into_iter().collect();
        units.sort_by_key(|(place, _)| *place);
        for ((group, number), users) in units {
            let Some(unit) = self.groups.get(&group).and_then(|group| group.units.get(number)) else {
                continue;
            };
            check(unit.bytes())?;
            let hashes = match hash_unit(reader, unit, &hasher) {
                Ok(Ok(hashes)) => hashes,
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
                let Some(totals) = read.get_mut(&map) else { continue };
                let positions = keep.ranges(unit.items).into_iter().flatten();
                for (hash, len) in positions.filter_map(|at| hashes.get(at as usize)) {
                    totals.add(*hash, *len);
                }
            }
        }
        for (number, map) in self.maps {
            match read.get(&number).map(|read| compare(read, map)) {
                Some(Ok(())) => drop(verified.right.insert(number)),
                Some(Err(what)) => verified.wrong.push((number, what)),
                None => {}
            }
        }
        Ok(())
    }
}

type Hashes = Vec<(super::ItemHash, u64)>;

/// Hash and length of every item of a unit.
fn hash_unit(
    reader: &ChunkReader<'_>,
    unit: &Unit,
    hasher: &ItemHasher,
) -> Result<Result<Hashes, &'static str>, RepoError> {
    let mut hashes = Hashes::with_capacity(unit.items as usize);
    if let [chunk] = unit.chunks.as_slice() {
        let raw = reader.fetch(&chunk.child(), ChunkKind::Data)?;
        let taken = take_items(raw, unit, &Keep::All, |item| {
            hashes.push((hasher.hash(item), item.len() as u64));
        });
        return Ok(taken.map(|_| hashes));
    }
    let (mut state, mut ends) = (hasher.begin(), false);
    for chunk in &unit.chunks {
        let raw = reader.fetch(&chunk.child(), ChunkKind::Data)?;
        items::piece(&mut state, &raw);
        ends = raw.ends_with(b"\n");
    }
    hashes.push((items::finish(&state), unit.bytes()));
    Ok(if ends { Ok(hashes) } else { Err(NOT_WHOLE) })
}
