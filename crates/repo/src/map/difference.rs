//! What differs between the files of two folders, by the lists of their maps: no page is read, so a
//! writer key is enough.
//!
//! **What is skipped.** Two maps with one digest have the same pages in the same files, however
//! they are described: neither their lists nor their descriptions are read. Of a cluster in which
//! little changed that is nearly all.
//!
//! **What is compared.** A file can be in a bundle on one side and have maps of its own on the
//! other. So files are found by their names, and then each pair of maps that share files is
//! compared, with a few maps' lists in memory at a time. Two pages are equal if they are the same
//! item of the same unit, or if lists say the same of them.
//!
//! **What is gone.** Without a list nothing is known of the pages in units of its own. The length
//! and the CRC32C of the whole file, which the map has, still tell whether it changed, but not
//! where.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use super::earlier::UnitName;
use super::files::{Files, PageFile};
use super::lists::MapLists;
use super::page_files::read_files;
use super::pages::{ListedPage, Pages};
use super::{MapRef, Part};
use crate::RepoError;
use crate::reader::ChunkReader;

/// Maps of one side whose lists are in memory at once: about 3 MiB each at most.
const LOADED: usize = 4;

/// A file that is not the same in two folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDifference {
    /// Its name below the folder.
    pub name: Vec<u8>,
    /// Its length in the first folder and in the second; None where it does not exist.
    pub bytes: (Option<u64>, Option<u64>),
    /// How many of its pages differ, those that only one side has among them; None if the lists
    /// that say it are gone.
    pub pages: Option<u64>,
}

/// One of the folders: its parts, and what reads the lists.
pub(crate) struct Side<'r> {
    pub reader: &'r ChunkReader<'r>,
    pub parts: &'r [Part],
}

/// Compares the files of two folders; the result is sorted by name.
///
/// # Errors
/// A map that does not say which files it covers, and failures of the storage.
pub(crate) fn differing_files(
    sides: &[Side<'_>; 2],
    check: &mut dyn FnMut() -> Result<(), RepoError>,
) -> Result<Vec<FileDifference>, RepoError> {
    let [a, b] = sides.each_ref().map(|side| maps(side.parts));
    let mut of_each = [Loader::new(&sides[0], a), Loader::new(&sides[1], b)];
    let files = Differing::find(&of_each, check)?;
    files.compare(&mut of_each, check)
}

/// The maps of pages among the parts of a folder.
fn maps(parts: &[Part]) -> Vec<&MapRef> {
    let maps = parts.iter().filter_map(|part| match part {
        Part::Map(map) => Some(map.as_ref()),
        _ => None,
    });
    maps.filter(|map| map.is_of::<Pages>()).collect()
}

/// What one map has of a file.
struct Piece {
    map: usize,
    /// The first page.
    from: u64,
    page_size: u64,
    bytes: u64,
    crc32c: u32,
}

impl Piece {
    fn of(map: usize, files: &Files, file: &PageFile) -> Piece {
        let Files { page_size, from, .. } = *files;
        Piece { map, from, page_size, bytes: file.bytes, crc32c: file.crc32c }
    }
}

/// The pieces of one file on both sides.
#[derive(Default)]
struct Pieces {
    of_each: [Vec<Piece>; 2],
}

impl Pieces {
    fn bytes(&self) -> (Option<u64>, Option<u64>) {
        let [a, b] = self.of_each.each_ref().map(|pieces| {
            let bytes = pieces.iter().map(|piece| piece.bytes).sum();
            (!pieces.is_empty()).then_some(bytes)
        });
        (a, b)
    }
}

/// Files of maps that only one side has: they may differ.
struct Differing {
    files: BTreeMap<Vec<u8>, Pieces>,
}

impl Differing {
    fn find(
        of_each: &[Loader<'_>; 2],
        check: &mut dyn FnMut() -> Result<(), RepoError>,
    ) -> Result<Differing, RepoError> {
        let known = of_each.each_ref().map(Loader::digests);
        let mut files: BTreeMap<Vec<u8>, Pieces> = BTreeMap::new();
        let mut equal = Vec::new();
        for (side, (own, other)) in of_each.iter().zip([&known[1], &known[0]]).enumerate() {
            for (number, map) in own.maps.iter().enumerate() {
                check()?;
                if digest(map).is_some_and(|digest| other.contains(&digest)) {
                    equal.push((side, number, *map));
                    continue;
                }
                let covered = read_files(own.reader, map)?;
                for file in &covered.files {
                    let pieces = files.entry(file.name.clone()).or_default();
                    if let Some(pieces) = pieces.of_each.get_mut(side) {
                        pieces.push(Piece::of(number, &covered, file));
                    }
                }
            }
        }
        // A long file has several maps, of which others may be equal: they count for its length.
        for (side, number, map) in equal {
            let Some(covered) = map.covered().filter(|covered| !covered.is_bundle) else { continue };
            let (Some(pieces), Some(own)) = (files.get_mut(&covered.first), of_each.get(side)) else {
                continue;
            };
            let covered = read_files(own.reader, map)?;
            if let (Some(pieces), Some(file)) = (pieces.of_each.get_mut(side), covered.files.first()) {
                pieces.push(Piece::of(number, &covered, file));
            }
        }
        for pieces in files.values_mut().flat_map(|pieces| &mut pieces.of_each) {
            pieces.sort_by_key(|piece| piece.from);
        }
        Ok(Differing { files })
    }

    fn compare(
        self,
        of_each: &mut [Loader<'_>; 2],
        check: &mut dyn FnMut() -> Result<(), RepoError>,
    ) -> Result<Vec<FileDifference>, RepoError> {
        let mut found: Vec<FileDifference> = Vec::with_capacity(self.files.len());
        let mut pairs = Vec::new();
        for (number, (name, pieces)) in self.files.iter().enumerate() {
            let bytes = pieces.bytes();
            let mut alone = 0;
            let [a, b] = pieces.of_each.each_ref();
            for own in a {
                match b.iter().find(|other| other.from == own.from) {
                    Some(other) => pairs.push((own, other, number)),
                    None => alone += own.bytes.div_ceil(own.page_size),
                }
            }
            let is_alone = |own: &&Piece| !a.iter().any(|other| other.from == own.from);
            alone += b.iter().filter(is_alone).map(|own| own.bytes.div_ceil(own.page_size)).sum::<u64>();
            found.push(FileDifference { name: name.clone(), bytes, pages: Some(alone) });
        }
        // What is in memory serves all pairs of the same maps.
        pairs.sort_by_key(|(own, other, number)| (own.map, other.map, *number));
        for (own, other, number) in pairs {
            check()?;
            let Some(of) = found.get_mut(number).filter(|of| of.pages.is_some()) else { continue };
            let pages = compare(of_each, &of.name, own, other)?;
            of.pages = of.pages.zip(pages).map(|(known, more)| known + more);
        }
        found.retain(|of| of.pages != Some(0) || of.bytes.0 != of.bytes.1);
        Ok(found)
    }
}

/// How many pages of one file differ in two maps; None if that cannot be known.
fn compare(
    of_each: &mut [Loader<'_>; 2],
    name: &[u8],
    own: &Piece,
    other: &Piece,
) -> Result<Option<u64>, RepoError> {
    let [a, b] = of_each;
    if own.page_size != other.page_size {
        return Ok(None);
    }
    if a.maps.get(own.map).and_then(|map| digest(map)) == b.maps.get(other.map).and_then(|map| digest(map)) {
        return Ok(Some(0));
    }
    let (short, long) = (own.bytes.min(other.bytes), own.bytes.max(other.bytes));
    // A last page that is not whole is another one if the file became longer.
    let both = if short == long { short.div_ceil(own.page_size) } else { short / own.page_size };
    let beyond = long.div_ceil(own.page_size) - both;
    let differing = match a.reader.compartment() == b.reader.compartment() {
        true => match (a.lists(own.map)?, b.lists(other.map)?) {
            (Some(a), Some(b)) => a.differing(&b, name, own.from..own.from + both),
            _ => None,
        },
        false => None,
    };
    Ok(match differing {
        Some(pages) => Some(pages + beyond),
        None if (own.bytes, own.crc32c) == (other.bytes, other.crc32c) => Some(0),
        None => None,
    })
}

/// Tells a map from all others of its folder, and two that are equal not from one another.
fn digest(map: &MapRef) -> Option<(String, u64)> {
    Some((Part::Map(Box::new(map.clone())).digest()?, map.from()))
}

/// The maps of one side, and the lists of those that were looked at last.
struct Loader<'r> {
    reader: &'r ChunkReader<'r>,
    maps: Vec<&'r MapRef>,
    /// None within: they cannot be read.
    loaded: VecDeque<(usize, Option<Rc<ListedPages>>)>,
}

impl<'r> Loader<'r> {
    fn new(side: &Side<'r>, maps: Vec<&'r MapRef>) -> Loader<'r> {
        Loader { reader: side.reader, maps, loaded: VecDeque::new() }
    }

    fn digests(&self) -> HashSet<(String, u64)> {
        self.maps.iter().filter_map(|map| digest(map)).collect()
    }

    /// The pages that a map keeps.
    fn lists(&mut self, number: usize) -> Result<Option<Rc<ListedPages>>, RepoError> {
        if let Some((_, known)) = self.loaded.iter().find(|(known, _)| *known == number) {
            return Ok(known.clone());
        }
        let Some(map) = self.maps.get(number) else { return Ok(None) };
        let read = match ListedPages::read(self.reader, map) {
            Ok(read) => Some(Rc::new(read)),
            Err(error) if error.is_of_object() => None,
            Err(error) => return Err(error),
        };
        self.loaded.truncate(LOADED - 1);
        self.loaded.push_front((number, read.clone()));
        Ok(read)
    }
}

/// The pages that one map keeps, by file, as its lists have them.
struct ListedPages {
    files: HashMap<Vec<u8>, Vec<ListedRun>>,
}

/// Pages of one file that follow one another in one unit.
struct ListedRun {
    first: u32,
    pages: u32,
    unit: UnitName,
    /// Of the first one in the unit.
    position: u32,
    /// None: the list is gone.
    listed: Option<Vec<ListedPage>>,
}

/// One page.
struct OnePage<'l> {
    number: u64,
    unit: UnitName,
    position: u32,
    listed: Option<&'l ListedPage>,
}

impl OnePage<'_> {
    /// Whether two pages are equal; None if nobody knows.
    fn equals(&self, other: &OnePage<'_>) -> Option<bool> {
        if (self.unit, self.position) == (other.unit, other.position) {
            return Some(true);
        }
        Some(self.listed? == other.listed?)
    }
}

impl ListedPages {
    fn read(reader: &ChunkReader<'_>, map: &MapRef) -> Result<ListedPages, RepoError> {
        let mut lists = MapLists::<Pages>::new(reader, map)?;
        let mut files: HashMap<Vec<u8>, Vec<ListedRun>> = HashMap::new();
        while let Some(unit) = lists.next_unit()? {
            let mut positions = unit.positions.into_iter().flatten();
            let mut listed = unit.listed.map(Vec::into_iter);
            for run in unit.addresses {
                // A run of addresses ends where positions do.
                let position = positions.next().unwrap_or_default();
                let pages = run.items as usize;
                positions.by_ref().take(pages.saturating_sub(1)).for_each(drop);
                let listed = listed.as_mut().map(|listed| listed.by_ref().take(pages).collect());
                let listed =
                    ListedRun { first: run.first, pages: run.items, unit: unit.unit, position, listed };
                files.entry(run.name).or_default().push(listed);
            }
        }
        files.values_mut().for_each(|runs| runs.sort_by_key(|run| run.first));
        Ok(ListedPages { files })
    }

    fn pages(&self, name: &[u8]) -> impl Iterator<Item = OnePage<'_>> {
        self.files.get(name).into_iter().flatten().flat_map(|run| {
            (0..run.pages).map(move |at| OnePage {
                number: u64::from(run.first) + u64::from(at),
                unit: run.unit,
                position: run.position.saturating_add(at),
                listed: run.listed.as_ref().and_then(|listed| listed.get(at as usize)),
            })
        })
    }

    /// How many of these pages of a file differ: a page that only one of both has was zeros, or is.
    fn differing(&self, other: &ListedPages, name: &[u8], among: Range<u64>) -> Option<u64> {
        let (mut own, mut others) = (self.pages(name).peekable(), other.pages(name).peekable());
        let mut differing = 0;
        loop {
            let next = own.peek().into_iter().chain(others.peek()).map(|page| page.number).min();
            let Some(number) = next else { return Some(differing) };
            let a = own.next_if(|page| page.number == number);
            let b = others.next_if(|page| page.number == number);
            if !among.contains(&number) {
                continue;
            }
            differing += match (a, b) {
                (Some(a), Some(b)) => u64::from(!a.equals(&b)?),
                _ => 1,
            };
        }
    }
}
