//! Writing the pages of files under one map: each page is compared with the one that was at its
//! place, and stored if it differs.
//!
//! **Units.** Where nothing of an aligned run of pages is kept, the run is a unit of its own: such
//! runs of two files with equal content are equal chunks, and so are those of a file whose list was
//! lost. All other new pages are packed, in the order in which they come. In a bundle a unit ends
//! with a file once it is half full, so that copies of a folder in which one file differs have
//! other units in common.
//!
//! **Old pages** come from the maps of the newest backup that has the entry. A file was in one of
//! them, but a unit may be in several: bundles end elsewhere when files come and go. Who does not
//! know from the start which files will come adds their maps when they do
//! ([`BackupWriter::compare`]).
//!
//! **Order.** The files of a bundle come in any order: a server that is asked for a base backup
//! sends them as its file system lists them. The map's description is sorted at the end.
//!
//! **Memory.** 24 bytes for each old page, and up to three units of pages.

use std::collections::HashMap;

use super::files::{Files, PageFile, is_page_size};
use super::kind::Measured;
use super::pages::{ListedPage, Pages};
use super::write::{MapTarget, MapWriter, UsedItems};
use super::{Address, EarlierMap, EarlierUnit, MapRef};
use crate::RepoError;
use crate::writer::{BackupWriter, PartSummary};

/// Bytes of an aligned run.
const RUN: usize = 512 << 10;

/// What became of the pages of one map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagesDone {
    /// Pages that the files have.
    pub total: u64,
    /// Pages of zeros: nothing is stored of them.
    pub zero: u64,
    /// Pages that differ from the one that was at their place, or that nobody had before.
    pub new: u64,
    /// Pages that did not change and are stored again, because few were left around them.
    pub rewritten: u64,
    /// Bytes of the pages that are not zeros.
    pub bytes: u64,
    /// Bytes of the units that a reader of these pages reads.
    pub read: u64,
}

impl std::ops::AddAssign for PagesDone {
    fn add_assign(&mut self, other: PagesDone) {
        self.total += other.total;
        self.zero += other.zero;
        self.new += other.new;
        self.rewritten += other.rewritten;
        self.bytes += other.bytes;
        self.read += other.read;
    }
}

/// What one map of pages is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagesOf {
    /// Bytes of a page: a power of two from 1 to 32 KiB.
    pub page_size: u32,
    /// The first page of the file that is covered; of a bundle 0.
    pub from: u32,
    /// Whether several whole files share the map.
    pub is_bundle: bool,
}

/// Writes the pages of one file, or part of one, or of a bundle of files, under one map. Dropping
/// it unfinished leaves chunks that nothing uses, and is no error.
pub struct PageWriter<'a> {
    map: MapWriter<'a, Pages>,
    identity: [u8; 16],
    of: PagesOf,
    earlier: Vec<EarlierMap<Pages>>,
    /// The old units, which may be used, of each earlier map.
    units: Vec<OldUnit>,
    old: HashMap<Vec<u8>, Vec<OldPage>>,
    files: Vec<PageFile>,
    open: Option<OpenFile>,
    /// Bytes of the aligned run that has begun.
    run: Vec<u8>,
    packed: Packed,
    done: PagesDone,
}

struct OldUnit {
    /// Which earlier map it is of.
    map: usize,
    unit: EarlierUnit,
    /// Of each item that the map kept, whether it is used again.
    used: Vec<bool>,
    /// It is written again.
    is_due: bool,
}

#[derive(Clone, Copy)]
struct OldPage {
    number: u32,
    unit: u32,
    /// Among the items that the map kept of the unit.
    position: u32,
    listed: ListedPage,
}

/// The file that is being written.
struct OpenFile {
    name: Vec<u8>,
    bytes: u64,
    crc: crc_fast::Digest,
    /// Its old pages, by their numbers, and how far they were looked at.
    old: Vec<OldPage>,
    at: usize,
    /// The number of the next page.
    next: u32,
}

/// New pages that wait for others, to be a unit together.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    pages: Vec<(Vec<u8>, u32, Measured<ListedPage>)>,
}

/// What is to be done with a page of a run.
enum Page {
    Zero,
    Kept,
    New(Measured<ListedPage>),
}

impl<'a> BackupWriter<'a> {
    /// Begins a map of pages, which are compared with those of earlier maps. No file may be in two
    /// of these. What is gone or damaged of one is as if it had never been.
    pub fn pages(&self, of: PagesOf, earlier: &[&MapRef]) -> Result<PageWriter<'_>, RepoError> {
        if !is_page_size(of.page_size.into()) {
            return Err(RepoError::TooLarge { what: format!("a page of {} bytes", of.page_size) });
        }
        let target = MapTarget::of_pages(of.page_size, of.from.into());
        let mut pages = PageWriter {
            identity: target.identity,
            map: self.map(Pages, target),
            of,
            earlier: Vec::new(),
            units: Vec::new(),
            old: HashMap::new(),
            files: Vec::new(),
            open: None,
            run: Vec::new(),
            packed: Packed::default(),
            done: PagesDone::default(),
        };
        earlier.iter().try_for_each(|map| self.compare(&mut pages, map))?;
        Ok(pages)
    }

    /// Compares the files that will begin in `pages` with one more earlier map. None of them may be
    /// in two earlier maps.
    pub fn compare(&self, pages: &mut PageWriter<'_>, map: &MapRef) -> Result<(), RepoError> {
        if map.identity() != pages.identity {
            return Ok(());
        }
        let mut map = self.earlier_map::<Pages>(map)?;
        let due = map.due(false);
        let mut listed = Vec::new();
        for unit in map.units() {
            listed.clear();
            map.listed(&unit, &mut listed);
            let mut of_unit = listed.iter().zip(0u32..);
            for run in map.addresses(&unit) {
                let old = pages.old.entry(run.name).or_default();
                let numbers = (0..run.items).map(|at| run.first.saturating_add(at));
                old.extend(numbers.zip(&mut of_unit).map(|(number, (listed, position))| OldPage {
                    number,
                    unit: u32::try_from(pages.units.len()).unwrap_or(u32::MAX),
                    position,
                    listed: *listed,
                }));
            }
            let is_due = due.places.contains(&unit.place);
            let used = vec![false; unit.items_kept as usize];
            pages.units.push(OldUnit { map: pages.earlier.len(), used, is_due, unit });
        }
        self.release_lists(&mut map)?;
        pages.earlier.push(map);
        Ok(())
    }
}

impl PageWriter<'_> {
    /// Begins the next file. No name comes twice.
    pub fn begin_file(&mut self, name: &[u8]) -> Result<(), RepoError> {
        self.end_file()?;
        let mut old = self.old.remove(name).unwrap_or_default();
        old.sort_unstable_by_key(|page| page.number);
        self.open = Some(OpenFile {
            name: name.to_vec(),
            bytes: 0,
            crc: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi),
            old,
            at: 0,
            next: self.of.from,
        });
        Ok(())
    }

    /// More bytes of the file. Waits while the sealers are behind.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), RepoError> {
        if let Some(file) = &mut self.open {
            file.bytes += bytes.len() as u64;
            file.crc.update(bytes);
        }
        while !bytes.is_empty() {
            // Whole runs are taken where they are.
            if self.run.is_empty()
                && let Some((run, others)) = bytes.split_at_checked(RUN)
            {
                bytes = others;
                self.take_run(run)?;
                continue;
            }
            let (own, others) = bytes.split_at(bytes.len().min(RUN - self.run.len()));
            self.run.extend_from_slice(own);
            bytes = others;
            if self.run.len() == RUN {
                self.take_rest()?;
            }
        }
        Ok(())
    }

    /// Ends the map; `PagesDone` says what became of its pages.
    pub fn finish(mut self) -> Result<(PartSummary, PagesDone), RepoError> {
        self.end_file()?;
        self.flush()?;
        let PagesOf { page_size, from, is_bundle } = self.of;
        let mut files = std::mem::take(&mut self.files);
        files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.map.cover(&Files { page_size: page_size.into(), from: from.into(), is_bundle, files });
        let mut used: Vec<UsedItems<'_, Pages>> = self.earlier.iter().map(|map| (map, Vec::new())).collect();
        let size = u64::from(page_size);
        self.done.bytes = (self.done.total - self.done.zero) * size;
        self.done.read = (self.done.new + self.done.rewritten) * size;
        for unit in self.units.into_iter().filter(|unit| unit.used.contains(&true)) {
            self.done.read += unit.unit.bytes;
            if let Some((_, units)) = used.get_mut(unit.map) {
                units.push((unit.unit, unit.used));
            }
        }
        Ok((self.map.finish(&used, self.done.new)?, self.done))
    }

    fn end_file(&mut self) -> Result<(), RepoError> {
        self.take_rest()?;
        let Some(file) = self.open.take() else { return Ok(()) };
        // A CRC of 32 bits.
        let crc32c = u32::try_from(file.crc.finalize()).unwrap_or_default();
        self.files.push(PageFile { name: file.name, bytes: file.bytes, crc32c });
        let half = self.packed.bytes.len() >= RUN / 2;
        if self.of.is_bundle && half { self.flush() } else { Ok(()) }
    }

    /// Takes what there is of a run; zeros fill its last page.
    fn take_rest(&mut self) -> Result<(), RepoError> {
        if self.run.is_empty() {
            return Ok(());
        }
        let mut run = std::mem::take(&mut self.run);
        run.resize(run.len().next_multiple_of(self.of.page_size as usize), 0);
        self.take_run(&run)?;
        run.clear();
        self.run = run;
        Ok(())
    }

    fn take_run(&mut self, run: &[u8]) -> Result<(), RepoError> {
        let Some(mut file) = self.open.take() else { return Ok(()) };
        let size = self.of.page_size as usize;
        let first = file.next;
        let pages: Vec<Page> = run.chunks_exact(size).map(|page| self.page(&mut file, page)).collect();
        let new = pages.iter().filter(|page| matches!(page, Page::New(_))).count();
        let any_kept = pages.iter().any(|page| matches!(page, Page::Kept));
        let is_own = run.len() == RUN && !any_kept && new * 2 >= pages.len();
        if is_own {
            self.map.end_unit()?;
        }
        let numbers = (0u32..).map(|at| first.saturating_add(at));
        for ((page, bytes), number) in pages.into_iter().zip(run.chunks_exact(size)).zip(numbers) {
            let Page::New(measured) = page else { continue };
            if is_own {
                self.map.add_at(bytes, Address { name: &file.name, number }, measured)?;
                continue;
            }
            self.packed.bytes.extend_from_slice(bytes);
            self.packed.pages.push((file.name.clone(), number, measured));
            if self.packed.bytes.len() >= RUN {
                self.flush()?;
            }
        }
        if is_own {
            self.map.end_unit()?;
        }
        self.open = Some(file);
        Ok(())
    }

    /// Compares the next page of the file with the old one.
    fn page(&mut self, file: &mut OpenFile, page: &[u8]) -> Page {
        let number = file.next;
        file.next = file.next.saturating_add(1);
        self.done.total += 1;
        if page.iter().all(|byte| *byte == 0) {
            self.done.zero += 1;
            return Page::Zero;
        }
        let measured = self.map.measure(page, Address { name: &file.name, number });
        while file.old.get(file.at).is_some_and(|old| old.number < number) {
            file.at += 1;
        }
        let old = file.old.get(file.at).filter(|old| old.number == number && old.listed == measured.listed);
        let Some((old, unit)) = old.and_then(|old| Some((old, self.units.get_mut(old.unit as usize)?)))
        else {
            self.done.new += 1;
            return Page::New(measured);
        };
        match unit.used.get_mut(old.position as usize) {
            Some(used) if !unit.is_due => {
                *used = true;
                self.map.keep_measured(measured, page.len());
                Page::Kept
            }
            _ => {
                self.done.rewritten += 1;
                Page::New(measured)
            }
        }
    }

    /// Makes a unit of what is packed.
    fn flush(&mut self) -> Result<(), RepoError> {
        self.map.end_unit()?;
        let packed = std::mem::take(&mut self.packed);
        let pages = packed.bytes.chunks_exact(self.of.page_size as usize);
        for ((name, number, measured), bytes) in packed.pages.into_iter().zip(pages) {
            self.map.add_at(bytes, Address { name: &name, number }, measured)?;
        }
        self.map.end_unit()
    }
}
