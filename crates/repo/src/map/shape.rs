//! What a map is made of, as FORMAT.md has it: records, groups, units, and what is kept of each.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::address::Run;
use crate::codec;
use crate::ids::ChunkId;
use crate::stream::Child;

/// Groups that a map names; groups with equal content have one id, and may come twice.
pub(crate) const MOST_RECORDS: usize = 4096;

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
    /// The addresses of its items, if they have any.
    #[n(2)]
    pub runs: Vec<Run>,
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
    /// The number of the items' kind.
    #[n(0)]
    pub kind: u8,
    /// The item list.
    #[n(1)]
    pub list: Option<ChunkId>,
    /// Names that the runs of units speak of.
    #[n(2)]
    pub names: Vec<ByteVec>,
    #[n(3)]
    pub units: Vec<Unit>,
}

impl Group {
    pub(crate) fn items(&self) -> u64 {
        self.units.iter().map(|unit| u64::from(unit.items)).sum()
    }

    /// The item list as something to fetch; `listed`: bytes of it for each item.
    pub(crate) fn list_child(&self, listed: usize) -> Option<Child> {
        let bytes = self.items() * listed as u64;
        let raw_len = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.list.map(|id| Child { id, bytes, raw_len })
    }

    /// Where a unit's records are in the list.
    pub(crate) fn listed(&self, unit: usize, listed: usize) -> std::ops::Range<usize> {
        let items = |unit: &Unit| unit.items as usize;
        let start: usize = self.units.iter().take(unit).map(items).sum();
        let end = start + self.units.get(unit).map_or(0, items);
        start * listed..end * listed
    }
}

/// One record of a map: a group, and which of its units are used.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Record {
    #[n(0)]
    pub group: ChunkId,
    /// Of the group's encoding.
    #[n(1)]
    pub raw_len: u32,
    /// A bit for each unit, the least first; no zero byte at the end.
    #[n(2)]
    pub used: ByteVec,
}

impl Record {
    pub(crate) fn new(group: ChunkId, raw_len: u32, keeps: &[Keep]) -> Record {
        let mut used = vec![0u8; keeps.len().div_ceil(8)];
        for (at, _) in keeps.iter().enumerate().filter(|(_, keep)| **keep != Keep::Nothing) {
            if let Some(byte) = used.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
        }
        while used.pop_if(|last| *last == 0).is_some() {}
        Record { group, raw_len, used: ByteVec::from(used) }
    }

    pub(crate) fn child(&self) -> Child {
        Child { id: self.group, bytes: u64::from(self.raw_len), raw_len: self.raw_len }
    }

    /// The numbers of the units that are used.
    pub(crate) fn used(&self) -> impl Iterator<Item = usize> + '_ {
        let bytes = self.used.iter().enumerate();
        bytes.flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit)
        })
    }

    /// The units that are used.
    pub(crate) fn used_of<'g>(&self, group: &'g Group) -> Result<Vec<&'g Unit>, &'static str> {
        let used: Option<Vec<&Unit>> = self.used().map(|at| group.units.get(at)).collect();
        used.ok_or("it uses units that its group does not have")
    }
}

/// The records in the bytes of a map's units.
pub(crate) fn decode_records(bytes: &[u8]) -> Result<Vec<Record>, &'static str> {
    let mut records = Vec::new();
    codec::decode_each(bytes, |record: Record| {
        if records.len() >= MOST_RECORDS {
            return Err("it refers to more groups than a map can");
        }
        if record.used.last().is_none_or(|last| *last == 0) {
            return Err("which units it uses has an impossible shape");
        }
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// What is kept of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    All,
    /// Alternately items skipped and items taken, from the first on; what follows the last run is
    /// not kept.
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

    /// What either keeps of a unit that has so many items.
    pub(crate) fn join(&self, other: &Keep, items: u32) -> Keep {
        let both = [self, other].map(|keep| keep.ranges(items)).concat();
        let mut positions: Vec<u32> = both.into_iter().flatten().collect();
        positions.sort_unstable();
        positions.dedup();
        Keep::of(items, positions.into_iter())
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

/// The keeps of a map: for each used unit 1 for all, else 1 + the number of runs and two numbers
/// for each. Nothing at all if every used unit is kept whole.
pub(crate) fn encode_keeps<'k>(keeps: impl Iterator<Item = &'k Keep>) -> Vec<u8> {
    let (mut out, mut are_whole) = (Vec::new(), true);
    for keep in keeps {
        match keep {
            Keep::Nothing => {}
            Keep::All => out.push(1),
            Keep::Runs(runs) => {
                are_whole = false;
                put_number(u32::try_from(runs.len() + 1).unwrap_or(u32::MAX), &mut out);
                for (skip, take) in runs {
                    put_number(*skip, &mut out);
                    put_number(*take, &mut out);
                }
            }
        }
    }
    if are_whole { Vec::new() } else { out }
}

const WRONG_KEEPS: &str = "what it keeps of a unit has an impossible shape";

/// The keeps of a map, read record by record.
pub(crate) struct Keeps {
    bytes: Vec<u8>,
    at: usize,
    /// Some unit was not kept whole.
    has_runs: bool,
}

impl Keeps {
    pub(crate) fn new(bytes: Vec<u8>) -> Keeps {
        Keeps { bytes, at: 0, has_runs: false }
    }

    /// What is kept of each unit of a record's group. Only what [`Keep::of`] makes is accepted.
    pub(crate) fn take(&mut self, record: &Record, units: &[Unit]) -> Result<Vec<Keep>, &'static str> {
        let mut keeps = vec![Keep::Nothing; units.len()];
        for number in record.used() {
            let (Some(unit), Some(keep)) = (units.get(number), keeps.get_mut(number)) else {
                return Err("it uses units that its group does not have");
            };
            *keep = self.one(Some(unit.items))?;
        }
        Ok(keeps)
    }

    /// Skips a record whose group cannot be read.
    pub(crate) fn skip(&mut self, record: &Record) -> Result<(), &'static str> {
        record.used().try_for_each(|_| self.one(None).map(drop))
    }

    /// Nothing is left, and nothing says more than it must.
    pub(crate) fn end(&self) -> Result<(), &'static str> {
        let is_read = self.at == self.bytes.len();
        if is_read && (self.bytes.is_empty() || self.has_runs) { Ok(()) } else { Err(WRONG_KEEPS) }
    }

    /// What is kept of the next unit; of one whose items are not known, only that it ends where it
    /// should.
    fn one(&mut self, items: Option<u32>) -> Result<Keep, &'static str> {
        if self.bytes.is_empty() {
            return Ok(Keep::All);
        }
        let mut bytes = self.bytes.get(self.at..).unwrap_or_default();
        let keep = match take_number(&mut bytes).ok_or(WRONG_KEEPS)? {
            0 => return Err(WRONG_KEEPS),
            1 => Keep::All,
            more => {
                let mut runs = Vec::new();
                let mut end = 0u64;
                for number in 1..more {
                    let skip = take_number(&mut bytes).ok_or(WRONG_KEEPS)?;
                    let take = take_number(&mut bytes).ok_or(WRONG_KEEPS)?;
                    end += u64::from(skip) + u64::from(take);
                    let most = items.map_or(u64::MAX, u64::from);
                    if take == 0 || (skip == 0 && number > 1) || end > most {
                        return Err(WRONG_KEEPS);
                    }
                    runs.push((skip, take));
                }
                if items.is_some_and(|items| runs == [(0, items)]) {
                    return Err(WRONG_KEEPS);
                }
                self.has_runs = true;
                Keep::Runs(runs)
            }
        };
        self.at = self.bytes.len() - bytes.len();
        Ok(keep)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Keep, Keeps, Record, Unit, UnitChunk, encode_keeps};
    use crate::ids::Hash;

    fn unit(items: u32) -> Unit {
        Unit { chunks: vec![UnitChunk { id: Hash([1; 32]), raw_len: 9 }], items, runs: Vec::new() }
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
            let record = Record::new(Hash([2; 32]), 9, &keeps);
            let used: Vec<usize> = record.used().collect();
            let of_flags = flags.iter().enumerate().filter(|(_, flags)| flags.contains(&true));
            prop_assert_eq!(used, of_flags.map(|(at, _)| at).collect::<Vec<usize>>());
            let mut reading = Keeps::new(encode_keeps(keeps.iter()));
            prop_assert_eq!(reading.take(&record, &units).unwrap(), keeps.clone());
            prop_assert!(reading.end().is_ok());
            // Passing over it comes to the same end.
            let mut passing = Keeps::new(encode_keeps(keeps.iter()));
            passing.skip(&record).unwrap();
            prop_assert!(passing.end().is_ok());
        }

        #[test]
        fn other_bytes_are_refused_or_mean_one_thing(bytes in prop::collection::vec(any::<u8>(), 0..12), items in 1u32..300) {
            let units = [unit(items), unit(items)];
            let record = Record::new(Hash([2; 32]), 9, &[Keep::All, Keep::All]);
            let mut reading = Keeps::new(bytes.clone());
            if let Ok(keeps) = reading.take(&record, &units) && reading.end().is_ok() {
                prop_assert_eq!(encode_keeps(keeps.iter()), bytes);
            }
        }
    }
}
