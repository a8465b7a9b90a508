//! Which files a map of pages covers, and what they come to (FORMAT.md, section 6d).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::address::LONGEST_NAME;
use super::part::MapRef;
use crate::codec;

/// The number of the kind of items that pages are.
pub(super) const KIND: u8 = 2;
/// A map covers at most so many pages of a file.
pub const MOST_PAGES: u64 = 131_072;
/// Files of a bundle at most.
pub const MOST_FILES: usize = 1024;

/// A bundle has at least so many files, unless it is the last one.
const LEAST_FILES: usize = 64;

/// A file, or what one map covers of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageFile {
    /// Its name below the folder that the entry describes.
    pub name: Vec<u8>,
    /// How many of its bytes are covered.
    pub bytes: u64,
    /// CRC32C of these bytes.
    pub crc32c: u32,
}

/// What a map of pages covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Bytes of a page.
    pub page_size: u64,
    /// The first page that is covered; of a bundle 0.
    pub from: u64,
    /// Whether these are whole files, which share the map.
    pub is_bundle: bool,
    /// Sorted by name.
    pub files: Vec<PageFile>,
}

/// The same as maps have it: their facts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Facts {
    #[n(0)]
    page_size: u32,
    #[n(1)]
    files: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum What {
    #[n(0)]
    One(#[n(0)] Record),
    #[n(1)]
    Bundle(#[n(0)] Bundle),
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Record {
    #[n(0)]
    name: ByteVec,
    #[n(1)]
    bytes: u64,
    #[n(2)]
    crc32c: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Bundle {
    #[n(0)]
    first: ByteVec,
    #[n(1)]
    last: ByteVec,
    #[n(2)]
    number: u32,
}

impl Record {
    fn of(file: &PageFile) -> Record {
        Record { name: file.name.clone().into(), bytes: file.bytes, crc32c: file.crc32c }
    }

    fn file(self) -> PageFile {
        PageFile { name: self.name.into(), bytes: self.bytes, crc32c: self.crc32c }
    }
}

const WRONG: &str = "which files it covers has an impossible shape";

impl Files {
    /// Facts and more of a map that covers these.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let page_size = u32::try_from(self.page_size).unwrap_or(u32::MAX);
        let (what, more) = match self.files.as_slice() {
            [one] if !self.is_bundle => (What::One(Record::of(one)), Vec::new()),
            files => {
                let name =
                    |file: Option<&PageFile>| file.map(|file| file.name.clone()).unwrap_or_default().into();
                let number = u32::try_from(files.len()).unwrap_or(u32::MAX);
                let bundle = Bundle { first: name(files.first()), last: name(files.last()), number };
                let records = files.iter().flat_map(|file| codec::encode(&Record::of(file))).collect();
                (What::Bundle(bundle), records)
            }
        };
        (codec::encode(&Facts { page_size, files: what }), more)
    }

    /// What a map covers; `more` is the stream of that name.
    pub(crate) fn of(map: &MapRef, more: &[u8]) -> Result<Files, &'static str> {
        let facts: Facts = codec::decode(&map.facts).map_err(|_| WRONG)?;
        let page_size = u64::from(facts.page_size);
        if !is_page_size(page_size) || map.identity() != identity(facts.page_size) {
            return Err("its pages have an impossible size");
        }
        let (is_bundle, files) = match facts.files {
            What::One(one) if more.is_empty() => (false, vec![one.file()]),
            What::Bundle(bundle) if map.from == 0 => (true, bundle.files(more)?),
            _ => return Err(WRONG),
        };
        let is_possible = |file: &PageFile| {
            (1..=LONGEST_NAME).contains(&file.name.len()) && file.bytes <= MOST_PAGES * page_size
        };
        let rise = files.windows(2).all(|two| two.first().map(|a| &a.name) < two.last().map(|b| &b.name));
        if !files.iter().all(is_possible) || !rise || map.from > u64::from(u32::MAX) - MOST_PAGES {
            return Err(WRONG);
        }
        Ok(Files { page_size, from: map.from, is_bundle, files })
    }

    /// The page behind the last one that is covered of a file.
    pub fn end(&self, file: &PageFile) -> u64 {
        self.from + file.bytes.div_ceil(self.page_size)
    }
}

impl Bundle {
    fn files(self, more: &[u8]) -> Result<Vec<PageFile>, &'static str> {
        let mut files: Vec<PageFile> = Vec::new();
        codec::decode_each(more, |record: Record| {
            files.push(record.file());
            if files.len() > MOST_FILES { Err(WRONG) } else { Ok(()) }
        })?;
        let name = |file: Option<&PageFile>| file.map(|file| file.name.clone());
        let ends = (name(files.first()), name(files.last()));
        let says = (Some(self.first.into()), Some(self.last.into()));
        if ends == says && files.len() == self.number as usize { Ok(files) } else { Err(WRONG) }
    }
}

/// Of which files a map has pages, as its facts say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The first name.
    pub first: Vec<u8>,
    /// The last name: of one file the first.
    pub last: Vec<u8>,
    /// The first page; of a bundle 0.
    pub from: u64,
    /// Whether these are whole files, which share the map.
    pub is_bundle: bool,
}

impl Covered {
    /// Whether a file of this name can be in it.
    pub fn may_have(&self, name: &[u8]) -> bool {
        (self.first.as_slice()..=self.last.as_slice()).contains(&name)
    }
}

impl MapRef {
    /// Of which files it has pages; None if it is not a map of pages.
    pub fn covered(&self) -> Option<Covered> {
        let facts: Facts = codec::decode(&self.facts).ok().filter(|_| self.kind == KIND)?;
        let from = self.from;
        Some(match facts.files {
            What::One(Record { name, .. }) => {
                let name = Vec::from(name);
                Covered { first: name.clone(), last: name, from, is_bundle: false }
            }
            What::Bundle(Bundle { first, last, .. }) => {
                Covered { first: first.into(), last: last.into(), from, is_bundle: true }
            }
        })
    }
}

/// Whether a bundle that has so many files ends with the one of this name: so a file that comes or
/// goes changes one bundle, or two.
pub fn ends_bundle(files: usize, name: &[u8]) -> bool {
    files >= MOST_FILES
        || (files >= LEAST_FILES && blake3::hash(name).as_bytes().first().is_some_and(|first| *first == 0))
}

/// PostgreSQL's block sizes: powers of two from 1 to 32 KiB.
pub(super) fn is_page_size(bytes: u64) -> bool {
    bytes.is_power_of_two() && (1 << 10..=32 << 10).contains(&bytes)
}

/// The identity of maps of pages: their size.
pub(crate) fn identity(page_size: u32) -> [u8; 16] {
    let mut identity = [0; 16];
    for (to, from) in identity.iter_mut().zip(page_size.to_le_bytes()) {
        *to = from;
    }
    identity
}
