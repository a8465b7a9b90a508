//! Rows of COPY text, each with its `\n`: a list holds half of each row's hash, and only writers
//! need it.

use super::MapRef;
use super::address::{Address, Addresses};
use super::items::{ItemHash, ItemHasher};
use super::kind::{Grain, ItemKind, Measured, sealed};

/// A unit ends at the first row behind this many bytes whose hash says so, ...
const LEAST: usize = 128 << 10;
/// ... on average after so many more, ...
const SPREAD: usize = 128 << 10;
/// ... and at last here.
const MOST: usize = 512 << 10;

/// Items that are rows of COPY text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows;

impl sealed::Sealed for Rows {}

impl ItemKind for Rows {
    const NUMBER: u8 = 1;
    const WORD: &'static str = "rows";
    const HAS_ADDRESSES: bool = false;
    const HAS_LONG_ITEMS: bool = true;
    const KEEPS_LISTS: bool = false;
    const LISTED: usize = 8;
    const GRAIN: Grain = Grain::Text;
    type Listed = u64;

    #[inline]
    fn put_listed(listed: u64, list: &mut Vec<u8>) {
        list.extend_from_slice(&listed.to_le_bytes());
    }

    #[inline]
    fn get_listed(record: &[u8]) -> u64 {
        record.try_into().map(u64::from_le_bytes).unwrap_or_default()
    }

    #[inline]
    fn measure(hasher: &ItemHasher, item: &[u8], _: Address<'_>) -> Measured<u64> {
        let hash = hasher.hash(item);
        Measured { listed: hasher.listed(hash), hash }
    }

    #[inline]
    fn split(bytes: &[u8], _: u32, mut see: impl FnMut(&[u8])) -> bool {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            see(bytes.get(start..=end).unwrap_or_default());
            start = end + 1;
        }
        start == bytes.len()
    }

    fn ends_item(piece: &[u8]) -> bool {
        piece.ends_with(b"\n")
    }

    #[inline]
    fn ends_unit(bytes: usize, _: u32, (hash, len): (ItemHash, usize)) -> bool {
        bytes >= MOST || (bytes >= LEAST && is_end(hash, len, SPREAD))
    }

    fn check(map: &MapRef, more: &[u8], _: &Addresses) -> Result<(), &'static str> {
        if map.facts.is_empty() && more.is_empty() {
            Ok(())
        } else {
            Err("it has fields that maps of rows do not have")
        }
    }
}

/// Whether a unit that is long enough ends behind this row: decided by the row, so that the cuts of
/// two backups meet again behind a difference. On average a unit goes on for `spread` bytes.
fn is_end(hash: ItemHash, len: usize, spread: usize) -> bool {
    let draw = (hash.0 >> 96) as u64;
    draw * (spread as u64) < (len as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::super::items::ItemKeys;
    use super::{ItemHasher, is_end};

    #[test]
    fn units_end_about_as_often_as_asked() {
        let hasher = ItemHasher::new(&ItemKeys { items: [1; 16], pages: [1; 32] }, u64::MAX);
        let ends = (0..100_000u32).filter(|n| is_end(hasher.hash(&n.to_le_bytes()), 100, 10_000)).count();
        assert!((900..1100).contains(&ends), "{ends}");
    }
}
