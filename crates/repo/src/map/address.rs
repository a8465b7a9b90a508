//! Addresses of items: a name and a number each (of a page: its file, and the block in it).
//!
//! Items of a unit mostly follow one another, so a unit says runs of them. The names that runs
//! speak of are once in the group. The chunk repeats both in front of its items: whoever holds a
//! chunk alone knows what it is, and equal items of other places are other chunks.

use std::collections::HashMap;
use std::ops::Range;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// A name has at most so many bytes.
pub(super) const LONGEST_NAME: usize = 4096;

/// Where an item belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address<'n> {
    /// Of what it is a part, in the kind's terms.
    pub name: &'n [u8],
    /// Its number there.
    pub number: u32,
}

impl Address<'static> {
    /// Of items that have none.
    pub const NONE: Address<'static> = Address { name: &[], number: 0 };
}

/// Items that follow one another under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRun {
    /// The name.
    pub name: Vec<u8>,
    /// Number of the first item.
    pub first: u32,
    /// How many there are.
    pub items: u32,
}

/// The same in a group: the name by its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Run {
    #[n(0)]
    pub name: u32,
    #[n(1)]
    pub first: u32,
    #[n(2)]
    pub items: u32,
}

impl Run {
    /// Behind its last number.
    pub(super) fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.items)
    }

    fn name_in<'n>(&self, names: &'n [ByteVec]) -> &'n [u8] {
        names.get(self.name as usize).map_or(&[], |name| name.as_slice())
    }

    pub(super) fn is_continued_by(&self, next: &Run) -> bool {
        next.name == self.name && u64::from(next.first) == self.end()
    }
}

/// Adds an item to the runs of its unit.
pub(crate) fn push(runs: &mut Vec<Run>, name: u32, number: u32) {
    let one = Run { name, first: number, items: 1 };
    match runs.last_mut() {
        Some(last) if last.is_continued_by(&one) => last.items += 1,
        _ => runs.push(one),
    }
}

/// The address of every item, in order.
pub(crate) fn all<'n>(names: &'n [ByteVec], runs: &'n [Run]) -> impl Iterator<Item = Address<'n>> {
    runs.iter().flat_map(|run| {
        let name = run.name_in(names);
        (0..run.items).map(move |at| Address { name, number: run.first.saturating_add(at) })
    })
}

/// The runs of the items in these positions.
pub(crate) fn at(runs: &[Run], positions: &[Range<u32>]) -> Vec<Run> {
    let mut chosen = Vec::new();
    let mut positions = positions.iter().peekable();
    let mut start = 0u32;
    for run in runs {
        let end = start.saturating_add(run.items);
        while let Some(range) = positions.peek().filter(|range| range.start < end) {
            let (from, to) = (range.start.max(start), range.end.min(end));
            chosen.push(Run { first: run.first + (from - start), items: to - from, ..*run });
            if range.end > end {
                break;
            }
            positions.next();
        }
        start = end;
    }
    chosen
}

/// Runs for those who do not hold the group.
pub(crate) fn told(names: &[ByteVec], runs: &[Run]) -> Vec<AddressRun> {
    let tell =
        |run: &Run| AddressRun { name: run.name_in(names).to_vec(), first: run.first, items: run.items };
    runs.iter().map(tell).collect()
}

/// What is in front of a chunk's items.
pub(crate) fn header(names: &[ByteVec], runs: &[Run]) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    let mut header = short(runs.len()).to_vec();
    for run in runs {
        let name = run.name_in(names);
        header.extend_from_slice(&short(name.len()));
        header.extend_from_slice(name);
        header.extend_from_slice(&run.first.to_le_bytes());
        header.extend_from_slice(&run.items.to_le_bytes());
    }
    header
}

/// The names of a group that is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    names: Vec<ByteVec>,
    places: HashMap<Vec<u8>, u32>,
}

impl Names {
    /// The position of a name, which is added if it is new.
    pub(crate) fn place(&mut self, name: &[u8]) -> u32 {
        // Most items have the name of the one before.
        let last = self.names.len().wrapping_sub(1);
        if self.names.get(last).is_some_and(|known| known.as_slice() == name) {
            return last as u32;
        }
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(ByteVec::from(name.to_vec()));
        self.places.insert(name.to_vec(), place);
        place
    }

    /// The same runs in other words: by the positions here.
    pub(crate) fn adopt(&mut self, names: &[ByteVec], runs: &[Run]) -> Vec<Run> {
        runs.iter().map(|run| Run { name: self.place(run.name_in(names)), ..*run }).collect()
    }

    pub(crate) fn as_slice(&self) -> &[ByteVec] {
        &self.names
    }

    pub(crate) fn into_vec(self) -> Vec<ByteVec> {
        self.names
    }
}

/// Runs of addresses of a map at most, and bytes of the names that they speak of: they are held in
/// memory.
const MOST_RUNS: usize = 1 << 20;
const MOST_NAMES: usize = 64 << 20;

/// The addresses of all items that a map keeps.
#[derive(Debug, Default)]
pub struct Addresses {
    /// For each name first numbers, and those behind the last ones.
    spans: HashMap<Vec<u8>, Vec<(u32, u64)>>,
    runs: usize,
    bytes: usize,
}

impl Addresses {
    pub(crate) fn add(&mut self, names: &[ByteVec], runs: &[Run]) -> Result<(), &'static str> {
        self.runs += runs.len();
        for run in runs {
            let name = run.name_in(names);
            match self.spans.get_mut(name) {
                Some(spans) => spans.push((run.first, run.end())),
                None => {
                    self.bytes += name.len();
                    self.spans.insert(name.to_vec(), vec![(run.first, run.end())]);
                }
            }
            if self.runs > MOST_RUNS || self.bytes > MOST_NAMES {
                return Err("its items have more addresses than a map can have");
            }
        }
        Ok(())
    }

    /// No two items have one address.
    pub(crate) fn check(&mut self) -> Result<(), &'static str> {
        let meet = |two: &[(u32, u64)]| match two {
            [(_, end), (first, _)] => u64::from(*first) < *end,
            _ => false,
        };
        for spans in self.spans.values_mut() {
            spans.sort_unstable();
            if spans.windows(2).any(meet) {
                return Err("two of its items have one address");
            }
        }
        Ok(())
    }

    /// Every name with the number of its first item, and the number behind its last one.
    pub fn extents(&self) -> impl Iterator<Item = (&[u8], u32, u64)> {
        let first = |spans: &[(u32, u64)]| spans.iter().map(|(first, _)| *first).min().unwrap_or_default();
        let end = |spans: &[(u32, u64)]| spans.iter().map(|(_, end)| *end).max().unwrap_or_default();
        self.spans.iter().map(move |(name, spans)| (name.as_slice(), first(spans), end(spans)))
    }
}
