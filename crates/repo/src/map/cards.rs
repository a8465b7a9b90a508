//! A kind for tests, as unlike rows as pages will be: items of one length, each with an address,
//! and lists that hold more than a part of one hash. The mechanism carries it without knowing it.
//!
//! A card has 1000 bytes and a place in a drawer: the drawer's name, and a number. A list has for
//! each 8 bytes of keyed hash and 4 of plain hash. The hash of the sum is made from these and the
//! address, so that it can be had from lists alone. The facts of a map are the length of a card and
//! the cards that each drawer has at most (`u32` each); `more` may repeat what they say.

use super::MapRef;
use super::address::{Address, Addresses};
use super::items::{ItemHash, ItemHasher};
use super::kind::{Grain, ItemKind, Measured, sealed};

/// Bytes of a card.
pub(crate) const CARD: usize = 1000;
/// Cards of a unit at most.
const MOST: u32 = 100;

/// Items that are cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cards;

/// What the list holds of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub keyed: u64,
    pub plain: u32,
}

impl Cards {
    /// What a card at this address adds to the sum.
    pub(crate) fn hash(hasher: &ItemHasher, listed: Listed, address: Address<'_>) -> ItemHash {
        let mut whole = Vec::with_capacity(Cards::LISTED + 4 + address.name.len());
        Cards::put_listed(listed, &mut whole);
        whole.extend_from_slice(&address.number.to_le_bytes());
        whole.extend_from_slice(address.name);
        hasher.hash(&whole)
    }

    pub(crate) fn facts(most: u32) -> Vec<u8> {
        [(CARD as u32).to_le_bytes(), most.to_le_bytes()].concat()
    }
}

impl sealed::Sealed for Cards {}

impl ItemKind for Cards {
    const NUMBER: u8 = 200;
    const WORD: &'static str = "cards";
    const HAS_ADDRESSES: bool = true;
    const HAS_LONG_ITEMS: bool = false;
    const KEEPS_LISTS: bool = true;
    const LISTED: usize = 12;
    const GRAIN: Grain = Grain::Text;
    type Listed = Listed;

    fn put_listed(listed: Listed, list: &mut Vec<u8>) {
        list.extend_from_slice(&listed.keyed.to_le_bytes());
        list.extend_from_slice(&listed.plain.to_le_bytes());
    }

    fn get_listed(record: &[u8]) -> Listed {
        let (keyed, plain) = record.split_at(8);
        Listed {
            keyed: keyed.try_into().map(u64::from_le_bytes).unwrap_or_default(),
            plain: plain.try_into().map(u32::from_le_bytes).unwrap_or_default(),
        }
    }

    fn measure(hasher: &ItemHasher, item: &[u8], address: Address<'_>) -> Measured<Listed> {
        let plain = blake3::hash(item).as_bytes().first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
        let listed = Listed { keyed: hasher.listed(hasher.hash(item)), plain };
        Measured { listed, hash: Cards::hash(hasher, listed, address) }
    }

    fn split(bytes: &[u8], items: u32, see: impl FnMut(&[u8])) -> bool {
        bytes.chunks_exact(CARD).for_each(see);
        bytes.len() == items as usize * CARD
    }

    fn ends_item(_: &[u8]) -> bool {
        false
    }

    fn ends_unit(_: usize, items: u32, _: (ItemHash, usize)) -> bool {
        items >= MOST
    }

    fn check(map: &MapRef, more: &[u8], addresses: &Addresses) -> Result<(), &'static str> {
        let most = map.facts.last_chunk().map_or(0, |four| u32::from_le_bytes(*four));
        if *map.facts != Cards::facts(most) || (!more.is_empty() && more != map.facts.as_slice()) {
            return Err("its facts are not those of cards");
        }
        if addresses.extents().any(|(_, _, end)| end > u64::from(most)) {
            return Err("a card is beyond the end of its drawer");
        }
        Ok(())
    }
}
