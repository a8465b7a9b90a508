//! What the items of a map are: the one place that the mechanism asks.
//!
//! [`ItemKind`] is what a kind says of itself. Loops over items are compiled for each kind; who has
//! a map whose kind is known only when it is read goes through [`AnyKind`], once for each chunk.

use minicbor::bytes::ByteVec;

use super::address::{self, Address, AddressRun, Addresses};
use super::items::{ItemHash, ItemHasher, Totals};
use super::part::MapRef;
use super::shape::{Keep, Unit};

/// Kinds of items are in FORMAT.md: no other crate makes one.
pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What chunks are made of, as far as compression cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    /// Text, and all else.
    #[default]
    Text,
    /// Pages of relation files.
    Pages,
}

/// What the kept items of a map must come to in addition to number, bytes and sum.
pub trait Tally: Send {
    /// Kept items that follow one another in their unit, and the addresses of all of them.
    fn add(&mut self, addresses: &[AddressRun], items: &[u8]);
    /// Whether they came to that; if not, what is wrong.
    fn end(&self) -> Result<(), String>;
}

/// A kind of items.
pub trait ItemKind: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Names it in maps and groups.
    const NUMBER: u8;
    /// What people call its items: "rows".
    const WORD: &'static str;
    /// Whether an item has an address.
    const HAS_ADDRESSES: bool;
    /// Whether one item may take several chunks.
    const HAS_LONG_ITEMS: bool;
    /// Whether readers need lists: they stay as long as their group, and copies have them. Not with
    /// long items.
    const KEEPS_LISTS: bool;
    /// Bytes of a list for each item.
    const LISTED: usize;
    /// What its chunks are made of.
    const GRAIN: Grain;
    /// What they say.
    type Listed: Copy + PartialEq + Send;

    /// Appends the record of an item to a list.
    fn put_listed(listed: Self::Listed, list: &mut Vec<u8>);
    /// Reads a record.
    fn get_listed(record: &[u8]) -> Self::Listed;
    /// Hashes an item.
    fn measure(hasher: &ItemHasher, item: &[u8], address: Address<'_>) -> Measured<Self::Listed>;
    /// Shows each item of a unit that has so many. False if the bytes do not hold whole items.
    fn split(bytes: &[u8], items: u32, see: impl FnMut(&[u8])) -> bool;
    /// Whether a piece of a long item is its last.
    fn ends_item(piece: &[u8]) -> bool;
    /// Whether a unit that holds so many bytes and items ends behind this item, which is its last.
    fn ends_unit(bytes: usize, items: u32, last: (ItemHash, usize)) -> bool;
    /// Whether a map's facts are right, and its items within what they say. `more` is the stream of
    /// that name.
    fn check(map: &MapRef, more: &[u8], addresses: &Addresses) -> Result<(), &'static str>;

    /// What else the items of a map that passed [`ItemKind::check`] must come to, if anything. Only
    /// of kinds with addresses.
    fn tally(_map: &MapRef, _more: &[u8]) -> Option<Box<dyn Tally>> {
        None
    }
}

impl MapRef {
    /// Whether its items are of this kind.
    pub fn is_of<K: ItemKind>(&self) -> bool {
        self.kind == K::NUMBER
    }
}

/// What is known of an item by its hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured<L> {
    /// What its list holds of it.
    pub listed: L,
    /// What it adds to the map's sum.
    pub hash: ItemHash,
}

/// Hash and length of every item of a unit.
pub(crate) type Hashes = Vec<(ItemHash, u64)>;

pub(crate) const NOT_WHOLE: &str = "a unit does not contain the items that its group lists";

/// A kind that is known by its number.
pub(crate) trait AnyKind: Sync {
    fn number(&self) -> u8;
    fn word(&self) -> &'static str;
    fn has_addresses(&self) -> bool;
    fn has_long_items(&self) -> bool;
    fn keeps_lists(&self) -> bool;
    fn listed(&self) -> usize;
    fn ends_item(&self, piece: &[u8]) -> bool;
    fn grain(&self) -> Grain;
    fn check(&self, map: &MapRef, more: &[u8], addresses: &Addresses) -> Result<(), &'static str>;
    fn tally(&self, map: &MapRef, more: &[u8]) -> Option<Box<dyn Tally>>;

    /// The kept items of a unit of one chunk, one after the other; they are added to `totals`.
    fn take(
        &self,
        hasher: &ItemHasher,
        of: UnitOf<'_>,
        keep: &Keep,
        raw: Vec<u8>,
        totals: &mut Totals,
    ) -> Result<Vec<u8>, &'static str>;

    /// Every item of a unit of one chunk. Their records are appended to `list`, if one is wanted.
    fn hashes(
        &self,
        hasher: &ItemHasher,
        of: UnitOf<'_>,
        raw: &[u8],
        list: Option<&mut Vec<u8>>,
    ) -> Result<Hashes, &'static str>;
}

/// A unit, and the names of its group.
#[derive(Clone, Copy)]
pub(crate) struct UnitOf<'g> {
    pub unit: &'g Unit,
    pub names: &'g [ByteVec],
}

impl<K: ItemKind> AnyKind for K {
    fn number(&self) -> u8 {
        K::NUMBER
    }

    fn word(&self) -> &'static str {
        K::WORD
    }

    fn has_addresses(&self) -> bool {
        K::HAS_ADDRESSES
    }

    fn has_long_items(&self) -> bool {
        K::HAS_LONG_ITEMS
    }

    fn keeps_lists(&self) -> bool {
        K::KEEPS_LISTS
    }

    fn listed(&self) -> usize {
        K::LISTED
    }

    fn ends_item(&self, piece: &[u8]) -> bool {
        <K as ItemKind>::ends_item(piece)
    }

    fn grain(&self) -> Grain {
        K::GRAIN
    }

    fn check(&self, map: &MapRef, more: &[u8], addresses: &Addresses) -> Result<(), &'static str> {
        <K as ItemKind>::check(map, more, addresses)
    }

    fn tally(&self, map: &MapRef, more: &[u8]) -> Option<Box<dyn Tally>> {
        <K as ItemKind>::tally(map, more)
    }

    fn take(
        &self,
        hasher: &ItemHasher,
        of: UnitOf<'_>,
        keep: &Keep,
        mut raw: Vec<u8>,
        totals: &mut Totals,
    ) -> Result<Vec<u8>, &'static str> {
        let start = begins::<K>(of, &raw)?;
        let mut chosen = Vec::new();
        each::<K>(of, keep, raw.get(start..).unwrap_or_default(), |item, address| {
            totals.add(K::measure(hasher, item, address).hash, item.len() as u64);
            if *keep != Keep::All {
                chosen.extend_from_slice(item);
            }
        })?;
        if *keep != Keep::All {
            return Ok(chosen);
        }
        raw.drain(..start);
        Ok(raw)
    }

    fn hashes(
        &self,
        hasher: &ItemHasher,
        of: UnitOf<'_>,
        raw: &[u8],
        mut list: Option<&mut Vec<u8>>,
    ) -> Result<Hashes, &'static str> {
        let start = begins::<K>(of, raw)?;
        let mut hashes = Hashes::with_capacity(of.unit.items as usize);
        each::<K>(of, &Keep::All, raw.get(start..).unwrap_or_default(), |item, address| {
            let measured = K::measure(hasher, item, address);
            hashes.push((measured.hash, item.len() as u64));
            if let Some(list) = &mut list {
                K::put_listed(measured.listed, list);
            }
        })?;
        Ok(hashes)
    }
}

/// No two items of a map have one address, and its kind finds nothing wrong. `more` is the stream
/// of that name.
pub(crate) fn check_map(
    kind: &dyn AnyKind,
    map: &MapRef,
    more: &[u8],
    addresses: &mut Addresses,
) -> Result<(), &'static str> {
    addresses.check()?;
    kind.check(map, more, addresses)
}

/// Adds what a map keeps of a unit, of which all hashes are known, to its tally.
pub(crate) fn tell_kept(tally: &mut dyn Tally, of: UnitOf<'_>, keep: &Keep, hashes: &Hashes, raw: &[u8]) {
    let mut start = address::header(of.names, &of.unit.runs).len();
    let mut before = 0;
    let mut lengths = hashes.iter().map(|(_, length)| *length as usize);
    for range in keep.ranges(of.unit.items) {
        start += lengths.by_ref().take((range.start - before) as usize).sum::<usize>();
        let kept: usize = lengths.by_ref().take(range.len()).sum();
        before = range.end;
        let addresses = address::told(of.names, &address::at(&of.unit.runs, std::slice::from_ref(&range)));
        tally.add(&addresses, raw.get(start..start + kept).unwrap_or_default());
        start += kept;
    }
}

/// Where the items of a chunk begin: behind their addresses, which must be those that the group
/// says.
fn begins<K: ItemKind>(of: UnitOf<'_>, raw: &[u8]) -> Result<usize, &'static str> {
    if !K::HAS_ADDRESSES {
        return Ok(0);
    }
    let header = address::header(of.names, &of.unit.runs);
    if raw.starts_with(&header) {
        Ok(header.len())
    } else {
        Err("the addresses of a chunk differ from those of its group")
    }
}

/// Shows the kept items, each with its address.
fn each<K: ItemKind>(
    of: UnitOf<'_>,
    keep: &Keep,
    items: &[u8],
    mut see: impl FnMut(&[u8], Address<'_>),
) -> Result<(), &'static str> {
    let mut ranges = keep.ranges(of.unit.items).into_iter().peekable();
    let mut addresses = address::all(of.names, &of.unit.runs);
    let mut number = 0u32;
    let are_whole = K::split(items, of.unit.items, |item| {
        let address = match K::HAS_ADDRESSES {
            true => addresses.next().unwrap_or(Address::NONE),
            false => Address::NONE,
        };
        while ranges.next_if(|range| range.end <= number).is_some() {}
        if ranges.peek().is_some_and(|range| range.contains(&number)) {
            see(item, address);
        }
        number += 1;
    });
    if are_whole && number == of.unit.items { Ok(()) } else { Err(NOT_WHOLE) }
}
