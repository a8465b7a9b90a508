//! What is copied: the files of each folder, in pieces of work.
//!
//! Small files of a folder share maps: a map of its own would cost each of them more than it holds.
//! Which files make a bundle depends on their names alone, and a file stays where it is while its
//! size goes up and down around the limit: so most bundles are those of the backup before.

use pgark_datadir::scan::{FileRecord, Folder, Scan};
use pgark_repo::{MapRef, ends_bundle};

use super::earlier::{Earlier, EarlierPart};
use crate::paths;

/// Files of at least so many pages have maps of their own, ...
const OWN: u64 = 128;
/// ... and keep them while they have so many.
const STAYS_OWN: u64 = 64;
/// What is done for a file in addition to its pages, as bytes.
const PER_FILE: u64 = 16 << 10;

/// A folder with its work.
pub(super) struct PlannedFolder<'s> {
    pub folder: &'s Folder,
    /// The path of its entry.
    pub entry: String,
    /// In the order of the parts of its entry.
    pub parts: Vec<PlannedPart>,
    earlier: &'s [EarlierPart],
}

/// Files that one worker copies.
pub(super) enum PlannedPart {
    /// Numbers of small files, which share a map.
    Bundle(Vec<u32>),
    /// The number of a file with maps of its own.
    File(u32),
}

impl PlannedPart {
    fn numbers(&self) -> &[u32] {
        match self {
            PlannedPart::Bundle(numbers) => numbers,
            PlannedPart::File(number) => std::slice::from_ref(number),
        }
    }
}

impl<'s> PlannedFolder<'s> {
    fn new(folder: &'s Folder, page_size: u32, earlier: &'s Earlier) -> PlannedFolder<'s> {
        let entry = paths::in_data_directory(&folder.path);
        let earlier = earlier.of(&entry);
        let (mut parts, mut bundle) = (Vec::new(), Vec::new());
        for (number, file) in (0u32..).zip(folder.pages.iter()) {
            let pages = file.bytes.div_ceil(page_size.into());
            let had_own = || {
                let own = |part: &EarlierPart| !part.covered.is_bundle && part.covered.first == file.name;
                earlier.iter().any(own)
            };
            if pages >= OWN || (pages >= STAYS_OWN && had_own()) {
                parts.push(PlannedPart::File(number));
                continue;
            }
            bundle.push(number);
            if ends_bundle(bundle.len(), file.name) {
                parts.push(PlannedPart::Bundle(std::mem::take(&mut bundle)));
            }
        }
        if !bundle.is_empty() {
            parts.push(PlannedPart::Bundle(bundle));
        }
        PlannedFolder { folder, entry, parts, earlier }
    }

    /// The files of a part, with their numbers.
    pub(super) fn files(&self, part: &PlannedPart) -> impl Iterator<Item = (u32, FileRecord<'s>)> {
        let files = &self.folder.pages;
        let numbers = part.numbers().to_vec().into_iter();
        numbers.filter_map(|number| Some((number, files.get(number as usize)?)))
    }

    /// Maps of the backup before that may have pages of a bundle's files.
    pub(super) fn earlier_of_bundle(&self, part: &PlannedPart) -> Vec<&'s MapRef> {
        let names = || part.numbers().iter().filter_map(|number| self.folder.pages.get(*number as usize));
        let (Some(first), Some(last)) = (names().next(), names().next_back()) else { return Vec::new() };
        let meets = |part: &&EarlierPart| {
            part.covered.first.as_slice() <= last.name && part.covered.last.as_slice() >= first.name
        };
        self.earlier.iter().filter(meets).map(|part| &part.map).collect()
    }

    /// Maps of the backup before that may have pages of a file from this one on.
    pub(super) fn earlier_of_file(&self, name: &[u8], from: u64) -> Vec<&'s MapRef> {
        let has = |part: &&EarlierPart| {
            part.covered.may_have(name) && (part.covered.is_bundle || part.covered.from == from)
        };
        self.earlier.iter().filter(has).map(|part| &part.map).collect()
    }
}

/// A piece of work.
pub(super) struct Task {
    /// Which folder.
    pub folder: usize,
    pub work: Work,
    weight: u64,
}

/// What a worker does.
pub(super) enum Work {
    /// A part of the folder.
    Part(usize),
    /// Its files that do not consist of pages.
    Others,
}

/// All folders, and the work in the order in which it is begun: the largest first.
pub(super) fn plan<'s>(
    scan: &'s Scan,
    page_size: u32,
    earlier: &'s Earlier,
) -> (Vec<PlannedFolder<'s>>, Vec<Task>) {
    let folders: Vec<PlannedFolder<'s>> =
        scan.folders.iter().map(|folder| PlannedFolder::new(folder, page_size, earlier)).collect();
    let mut tasks = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        for (at, part) in folder.parts.iter().enumerate() {
            let weight = folder.files(part).map(|(_, file)| file.bytes + PER_FILE).sum();
            tasks.push(Task { folder: number, work: Work::Part(at), weight });
        }
        if !folder.folder.others.is_empty() {
            let weight = folder.folder.others.iter().map(|file| file.bytes + PER_FILE).sum();
            tasks.push(Task { folder: number, work: Work::Others, weight });
        }
    }
    // Taken from the end.
    tasks.sort_by_key(|task| task.weight);
    (folders, tasks)
}
