//! Pages of a directory that is restored over: those that differ are fetched and written.
//!
//! **Comparing.** The lists of a map say of each of its pages the hash and the CRC32C, at 24 bytes
//! a page in memory. The pages at these places are read in pieces of 1 MiB and hashed with the key
//! of the repository; both values must be equal, as in a backup. Pages that the map does not have
//! are zeros, so what is there must be zeros, or becomes a hole.
//!
//! **Fetching.** A unit is fetched if one of its pages differs, or if its list is gone. Of its
//! pages those that differ are written, and no others.
//!
//! **Proof.** The backup has the CRC32C of each file, made from its bytes when they were read. It
//! is compared with that of the pages as they are here now. Where it differs, all pages of the map
//! are fetched and written, as into an empty directory: so even two pages with equal hashes would
//! not be taken for each other.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::sync::atomic::Ordering;

use pgark_bytes::crc32c::{self, Joiner};
use pgark_repo::{Address, Files, ListedPage, MapLists, MapRef, PageFile, Pages, UnitName};
use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::counts::Delta;
use super::plan::PlannedFolder;
use super::write::{Writing, zeros};
use crate::OpsError;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A page of a map, by its file and number.
struct KnownPage {
    number: u32,
    unit: u32,
    hash: u64,
    /// As it is listed; once it is right in the directory, that of its bytes in the file.
    crc32c: u32,
    file: u16,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not compared yet, or found to differ.
    Different,
    /// Its list is gone.
    Unlisted,
    /// The directory has it.
    Right,
}

/// The pages of a map, sorted by file and number.
struct Known<'r> {
    lists: MapLists<'r, Pages>,
    pages: Vec<KnownPage>,
    units: Vec<UnitName>,
}

impl<'r> Known<'r> {
    fn read(writing: &Writing<'r>, map: &MapRef, files: &Files) -> Result<Known<'r>, OpsError> {
        let mut lists = writing.reader.lists::<Pages>(map)?;
        let (mut pages, mut units) = (Vec::new(), Vec::new());
        while let Some(unit) = lists.next_unit()? {
            let number = u32::try_from(units.len()).unwrap_or(u32::MAX);
            units.push(unit.unit);
            let items: u64 = unit.addresses.iter().map(|run| u64::from(run.items)).sum();
            let listed = unit.listed.filter(|listed| listed.len() as u64 == items);
            let state = if listed.is_some() { State::Different } else { State::Unlisted };
            let mut listed = listed.into_iter().flatten();
            for run in &unit.addresses {
                // Whoever reads the whole map has checked that it names the file.
                let file = files.files.binary_search_by(|file| file.name.cmp(&run.name)).unwrap_or_default();
                for page in 0..run.items {
                    let ListedPage { hash, crc32c } =
                        listed.next().unwrap_or(ListedPage { hash: 0, crc32c: 0 });
                    let (number, unit) = (run.first.saturating_add(page), number);
                    let file = u16::try_from(file).unwrap_or(u16::MAX);
                    pages.push(KnownPage { number, unit, hash, crc32c, file, state });
                }
            }
        }
        pages.sort_unstable_by_key(|page| (page.file, page.number));
        Ok(Known { lists, pages, units })
    }

    /// Where the pages of a file are among all.
    fn of(&self, file: usize) -> Range<usize> {
        let start = self.pages.partition_point(|page| usize::from(page.file) < file);
        let end = self.pages.partition_point(|page| usize::from(page.file) <= file);
        start..end
    }

    fn find(&mut self, file: usize, number: u64) -> Option<&mut KnownPage> {
        let key = (u16::try_from(file).ok()?, u32::try_from(number).ok()?);
        let at = self.pages.binary_search_by_key(&key, |page| (page.file, page.number)).ok()?;
        self.pages.get_mut(at)
    }
}

/// A page file as it is here.
struct Local {
    file: File,
    /// Bytes of it that were there, and are below its end in the backup.
    there: u64,
    /// It has holes.
    is_sparse: bool,
}

impl Writing<'_> {
    /// Makes the files of one map what they are in the backup. `is_last`: no other map has more of
    /// its file.
    pub(super) fn compare(
        &self,
        delta: &Delta,
        folder: &PlannedFolder,
        map: &MapRef,
        is_last: bool,
    ) -> Result<(), OpsError> {
        let files = self.page_files(map)?;
        let mut known = Known::read(self, map, &files)?;
        for (at, file) in files.files.iter().enumerate() {
            self.check()?;
            let local = self.open(folder, &files, file, is_last)?;
            self.compare_file(delta, folder, &files, at, &local, &mut known)?;
            self.note(file, files.from * files.page_size, &folder.path_of(&file.name));
        }
        self.fetch(folder, map, &files, &mut known)?;
        let sums = Sums::new(files.page_size);
        let is_right =
            |(at, file)| sums.is_right(files.from, file, known.pages.get(known.of(at)).unwrap_or_default());
        if !files.files.iter().enumerate().all(is_right) {
            self.job.progress.detail(&format!(
                "{} is fetched whole: its pages have the hashes of those in the backup, and are others",
                folder.label()
            ));
            let items = self.reader.read_items(map, &folder.label())?;
            self.put(folder, &files, items, |_, _, _| true)?;
        }
        Ok(())
    }

    /// Opens a file, which may be new, and gives it its length.
    fn open(
        &self,
        folder: &PlannedFolder,
        files: &Files,
        file: &PageFile,
        is_last: bool,
    ) -> Result<Local, OpsError> {
        let place = self.plan.places.of(&folder.path_of(&file.name));
        let failed = |source| OpsError::File { doing: "open", path: place.clone(), source };
        // Whatever it was when its folder was looked at: nothing else is followed or waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(u32::from(folder.file_mode))
            .custom_flags(flags)
            .open(&place)
            .map_err(failed)?;
        opened.set_permissions(Permissions::from_mode(u32::from(folder.file_mode))).map_err(failed)?;
        self.give(&place, &folder.owned)?;
        let length = opened.metadata().map_err(failed)?.len();
        let end = files.from * files.page_size + file.bytes;
        if length < end || (is_last && length != end) {
            opened.set_len(end).map_err(failed)?;
        }
        let is_sparse = opened.metadata().map_err(failed)?.blocks().saturating_mul(512) < end;
        Ok(Local { file: opened, there: length.min(end), is_sparse })
    }

    /// Compares the pages of one file. Those that the backup does not have become zeros.
    fn compare_file(
        &self,
        delta: &Delta,
        folder: &PlannedFolder,
        files: &Files,
        at: usize,
        local: &Local,
        known: &mut Known<'_>,
    ) -> Result<(), OpsError> {
        let Some(file) = files.files.get(at) else { return Ok(()) };
        let place = self.plan.places.of(&folder.path_of(&file.name));
        let own = known.of(at);
        let (start, size) = (files.from * files.page_size, files.page_size);
        let end = start + file.bytes;
        let mut pages = known.pages.get_mut(own.clone()).unwrap_or_default().iter_mut().peekable();
        let mut zeroed: Vec<Range<u64>> = Vec::new();
        let mut different = 0;
        self.advance(own.len() as u64 * size);
        delta.compared.fetch_add(file.bytes.div_ceil(size), Ordering::Relaxed);
        let page_bytes = usize::try_from(size).unwrap_or(PIECE).max(1);
        let mut buffer = Vec::new();
        let mut position = start;
        while position < local.there {
            self.check()?;
            let bytes = usize::try_from(local.there - position).unwrap_or(PIECE).min(PIECE);
            buffer.resize(bytes, 0);
            local.file.read_exact_at(&mut buffer, position).map_err(|source| OpsError::File {
                doing: "read",
                path: place.clone(),
                source,
            })?;
            // What is behind the end of the last page is zeros.
            buffer.resize(bytes.next_multiple_of(page_bytes), 0);
            for (page, from) in buffer.chunks(page_bytes).zip((position..).step_by(page_bytes)) {
                let number = u32::try_from(from / size).unwrap_or(u32::MAX);
                match pages.next_if(|found| found.number == number) {
                    Some(found) if found.state == State::Unlisted => different += 1,
                    Some(found) => {
                        let address = Address { name: &file.name, number };
                        let listed = ListedPage { hash: found.hash, crc32c: found.crc32c };
                        if known.lists.measure(page, address).listed == listed {
                            found.state = State::Right;
                            found.crc32c = crc32c::checksum(within(page, from, end));
                        } else {
                            different += 1;
                        }
                    }
                    None if page.iter().all(|byte| *byte == 0) => {}
                    None => {
                        different += 1;
                        extend(&mut zeroed, from..(from + size).min(end));
                    }
                }
            }
            position += bytes as u64;
        }
        // What the file did not have.
        different += pages.count() as u64;
        delta.different.fetch_add(different, Ordering::Relaxed);
        let failed = |source| OpsError::File { doing: "write", path: place.clone(), source };
        for range in zeroed {
            self.clear(&local.file, range).map_err(failed)?;
        }
        if !self.sparse && local.is_sparse {
            let pages = known.pages.get(own).unwrap_or_default();
            for gap in gaps(pages, start..end, size) {
                zeros(&local.file, gap.start, gap.end).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Makes bytes zeros: a hole, where holes are wanted and there can be one.
    fn clear(&self, file: &File, range: Range<u64>) -> std::io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match self.sparse && fallocate(file, flags, range.start, range.end - range.start).is_ok() {
            true => Ok(()),
            false => zeros(file, range.start, range.end),
        }
    }

    /// Fetches the units of which pages differ, and writes these pages.
    fn fetch(
        &self,
        folder: &PlannedFolder,
        map: &MapRef,
        files: &Files,
        known: &mut Known<'_>,
    ) -> Result<(), OpsError> {
        let different = known.pages.iter().filter(|page| page.state != State::Right);
        let units: HashSet<UnitName> =
            different.filter_map(|page| known.units.get(page.unit as usize)).copied().collect();
        if units.is_empty() {
            return Ok(());
        }
        let items = match units.len() == known.units.len() {
            // What the whole map comes to is verified, too.
            true => self.reader.read_items(map, &folder.label())?,
            false => self.reader.read_units(map, &folder.label(), &units)?,
        };
        self.put(folder, files, items, |name, number, page| {
            let Ok(at) = files.files.binary_search_by(|file| file.name.as_slice().cmp(name)) else {
                return false;
            };
            let end = files.files.get(at).map_or(0, |file| files.from * files.page_size + file.bytes);
            match known.find(at, number) {
                Some(known) if known.state != State::Right => {
                    known.state = State::Right;
                    known.crc32c = crc32c::checksum(within(page, number * files.page_size, end));
                    true
                }
                _ => false,
            }
        })
    }
}

/// What of a page that begins here is before the end of its file.
fn within(page: &[u8], from: u64, end: u64) -> &[u8] {
    let bytes = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
    page.get(..bytes).unwrap_or(page)
}

/// Adds a range, which begins behind all others.
fn extend(ranges: &mut Vec<Range<u64>>, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}

/// The bytes between pages.
fn gaps(pages: &[KnownPage], of: Range<u64>, size: u64) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut at = of.start;
    for page in pages {
        let from = u64::from(page.number) * size;
        if from > at {
            gaps.push(at..from);
        }
        at = from + size;
    }
    if at < of.end {
        gaps.push(at..of.end);
    }
    gaps
}

/// Makes the CRC32C of files from those of their pages.
struct Sums {
    size: u64,
    joiner: Joiner,
    zeros: Vec<u8>,
    of_zeros: u32,
}

impl Sums {
    fn new(size: u64) -> Sums {
        let zeros = vec![0; usize::try_from(size).unwrap_or_default()];
        Sums { size, joiner: Joiner::new(size), of_zeros: crc32c::checksum(&zeros), zeros }
    }

    /// Whether the pages of a file, as they are here now, come to what the backup says of it.
    fn is_right(&self, from: u64, file: &PageFile, pages: &[KnownPage]) -> bool {
        let mut pages = pages.iter().peekable();
        let mut crc = crc32c::checksum(&[]);
        for number in from..from + file.bytes / self.size {
            let page = pages.next_if(|page| u64::from(page.number) == number);
            crc = self.joiner.join(crc, page.map_or(self.of_zeros, |page| page.crc32c));
        }
        // The last page may be longer than its file.
        let rest = file.bytes % self.size;
        if rest > 0 {
            let of_zeros = || crc32c::checksum(within(&self.zeros, 0, rest));
            crc = crc32c::join(crc, pages.next().map_or_else(of_zeros, |page| page.crc32c), rest);
        }
        crc == file.crc32c
    }
}

#[cfg(test)]
mod tests;
