//! Pages of files: a page's address is its file and its number there, a list holds of each 64 bits
//! of keyed hash and its CRC32C, and what no page covers is zeros (FORMAT.md, section 6d).
//!
//! A page is compared only with the page that was at the same place, and both of its hashes must be
//! equal: no birthday helps, and by chance it happens once in 2^96 comparisons. BLAKE3 takes eight
//! blocks of a page at once (facts: 2.7 GB/s a core, SipHash 1.8).
//!
//! The sum of a map is made from what lists hold, so that pages which were not read count, too. So
//! it says nothing of a page whose two hashes are those of another one: each file's CRC32C, made
//! from the bytes when they were read, shows that.

use std::collections::HashMap;

use super::address::{Address, AddressRun, Addresses};
use super::crc::{FileCrc, crc32c};
use super::files::{self, Files, PageFile, is_page_size};
use super::items::{ItemHash, ItemHasher};
use super::kind::{Grain, ItemKind, Measured, Tally, sealed};
use super::part::MapRef;

/// A unit ends with so many bytes, ...
const UNIT_BYTES: usize = 512 << 10;
/// ... or with so many pages, if they are small.
const UNIT_PAGES: u32 = 128;

/// Items that are pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages;

/// What the list holds of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPage {
    /// 64 bits of its keyed hash.
    pub hash: u64,
    /// Its CRC32C.
    pub crc32c: u32,
}

impl Pages {
    /// What a page that the list describes adds to the sum: nobody has to read it.
    pub(crate) fn hash(hasher: &ItemHasher, listed: ListedPage, address: Address<'_>) -> ItemHash {
        let mut whole = [0u8; 64];
        let length = Pages::LISTED + 4 + address.name.len();
        let (hash, crc32c) = (listed.hash.to_le_bytes(), listed.crc32c.to_le_bytes());
        let parts = [&hash[..], &crc32c, &address.number.to_le_bytes(), address.name];
        match whole.get_mut(..length) {
            // Names of relation files are short.
            Some(short) => {
                let mut rest = short;
                for part in parts {
                    let (own, others) = rest.split_at_mut(part.len());
                    own.copy_from_slice(part);
                    rest = others;
                }
                hasher.hash(&whole[..length])
            }
            None => hasher.hash(&parts.concat()),
        }
    }
}

impl sealed::Sealed for Pages {}

impl ItemKind for Pages {
    const NUMBER: u8 = files::KIND;
    const WORD: &'static str = "pages";
    const HAS_ADDRESSES: bool = true;
    const HAS_LONG_ITEMS: bool = false;
    const KEEPS_LISTS: bool = true;
    const LISTED: usize = 12;
    const GRAIN: Grain = Grain::Pages;
    type Listed = ListedPage;

    #[inline]
    fn put_listed(listed: ListedPage, list: &mut Vec<u8>) {
        list.extend_from_slice(&listed.hash.to_le_bytes());
        list.extend_from_slice(&listed.crc32c.to_le_bytes());
    }

    #[inline]
    fn get_listed(record: &[u8]) -> ListedPage {
        let (hash, crc) = record.split_at_checked(8).unwrap_or_default();
        ListedPage {
            hash: hash.try_into().map(u64::from_le_bytes).unwrap_or_default(),
            crc32c: crc.try_into().map(u32::from_le_bytes).unwrap_or_default(),
        }
    }

    fn measure(hasher: &ItemHasher, item: &[u8], address: Address<'_>) -> Measured<ListedPage> {
        let listed = ListedPage { hash: hasher.page(item), crc32c: hasher.weak(crc32c(item)) };
        Measured { listed, hash: Pages::hash(hasher, listed, address) }
    }

    fn split(bytes: &[u8], items: u32, see: impl FnMut(&[u8])) -> bool {
        let size = bytes.len() / items.max(1) as usize;
        if !is_page_size(size as u64) || bytes.len() != size * items as usize {
            return false;
        }
        bytes.chunks_exact(size).for_each(see);
        true
    }

    fn ends_item(_: &[u8]) -> bool {
        false
    }

    fn ends_unit(bytes: usize, items: u32, _: (ItemHash, usize)) -> bool {
        bytes >= UNIT_BYTES || items >= UNIT_PAGES
    }

    fn check(map: &MapRef, more: &[u8], addresses: &Addresses) -> Result<(), &'static str> {
        let files = Files::of(map, more)?;
        if map.bytes != map.items.saturating_mul(files.page_size) {
            return Err("its pages are not as long as it says");
        }
        let ends = files.files.iter().map(|file| (file.name.as_slice(), files.end(file)));
        let ends: HashMap<&[u8], u64> = ends.collect();
        for (name, first, end) in addresses.extents() {
            let Some(last) = ends.get(name) else {
                return Err("it has pages of files that it does not name");
            };
            if u64::from(first) < map.from || end > *last {
                return Err("a page is outside of what it covers of its file");
            }
        }
        Ok(())
    }

    fn tally(map: &MapRef, more: &[u8]) -> Option<Box<dyn Tally>> {
        // Who reads the map has checked it.
        let files = Files::of(map, more).ok()?;
        let (page_size, from) = (files.page_size, map.from);
        let sum = |file: PageFile| (file.name, (FileCrc::of_zeros(file.bytes), file.crc32c));
        Some(Box::new(FileSums { page_size, from, files: files.files.into_iter().map(sum).collect() }))
    }
}

/// The CRC32C of every file, made from the pages that are read.
struct FileSums {
    page_size: u64,
    from: u64,
    /// As it is so far, and as it must be.
    files: HashMap<Vec<u8>, (FileCrc, u32)>,
}

impl Tally for FileSums {
    fn add(&mut self, addresses: &[AddressRun], mut items: &[u8]) {
        for run in addresses {
            let bytes = usize::try_from(u64::from(run.items) * self.page_size).unwrap_or(usize::MAX);
            let (own, others) = items.split_at_checked(bytes).unwrap_or_default();
            items = others;
            if let Some((crc, _)) = self.files.get_mut(&run.name) {
                crc.add(u64::from(run.first).saturating_sub(self.from) * self.page_size, own);
            }
        }
    }

    fn end(&self) -> Result<(), String> {
        let mut wrong: Vec<&[u8]> = self
            .files
            .iter()
            .filter(|(_, (crc, expected))| crc.crc32c() != *expected)
            .map(|(name, _)| name.as_slice())
            .collect();
        wrong.sort_unstable();
        match wrong.as_slice() {
            [] => Ok(()),
            [first, others @ ..] => {
                let name = String::from_utf8_lossy(first);
                let others = match others.len() {
                    0 => String::new(),
                    more => format!(", nor those of {more} others"),
                };
                Err(format!("the bytes of file {name:?} are not those that were backed up{others}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::items::{ItemHasher, ItemKeys};
    use super::*;

    #[test]
    fn the_sum_can_be_made_from_a_list() {
        let hasher = ItemHasher::new(&ItemKeys { items: [1; 16], pages: [2; 32] }, u64::MAX);
        let page: Vec<u8> = (0..8192u32).map(|byte| (byte / 3) as u8).collect();
        for name in [b"2619".as_slice(), b"a name that is much longer than those of relation files ever are"]
        {
            let address = Address { name, number: 77 };
            let measured = Pages::measure(&hasher, &page, address);
            let mut list = Vec::new();
            Pages::put_listed(measured.listed, &mut list);
            assert_eq!(list.len(), Pages::LISTED);
            assert_eq!(Pages::get_listed(&list), measured.listed);
            assert_eq!(Pages::hash(&hasher, Pages::get_listed(&list), address), measured.hash);
            let plain = [list.as_slice(), &77u32.to_le_bytes(), name].concat();
            assert_eq!(measured.hash, hasher.hash(&plain));
            let elsewhere = Pages::measure(&hasher, &page, Address { name, number: 78 });
            assert_eq!(elsewhere.listed, measured.listed);
            assert_ne!(elsewhere.hash, measured.hash);
        }
    }

    #[test]
    fn only_whole_pages_of_one_size_are_a_unit() {
        let split = |bytes: usize, items: u32| Pages::split(&vec![0; bytes], items, |_| {});
        assert!(split(8192, 1) && split(64 * 8192, 64) && split(32 << 10, 1) && split(8 << 10, 8));
        for (bytes, items) in
            [(8191, 1), (8193, 1), (0, 1), (512, 1), (64 << 10, 1), (3 * 8192, 2), (8192, 0)]
        {
            assert!(!split(bytes, items), "{items} pages of {bytes} bytes");
        }
    }
}
