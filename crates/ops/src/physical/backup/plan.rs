//! What is copied: the files of each folder, in pieces of work.
//!
//! Small files of a folder share maps: a map of its own would cost each of them more than it holds.
//! Which files make a bundle depends on their names alone, and a file stays where it is while its
//! size goes up and down around the limit: so most bundles are those of the backup before. Bundles
//! of a backup over the wire have files in another order; these are continued as they are.

use std::collections::BTreeMap;

use pgark_datadir::scan::{FileRecord, Folder, Scan};
use pgark_repo::{BackupWriter, MapRef, ends_bundle};

use super::earlier::{Earlier, EarlierFolder, EarlierPart};
use super::known::Known;
use crate::{OpsError, paths};

/// Files of at least so many pages have maps of their own, ...
const OWN: u64 = 128;
/// ... and keep them while they have so many.
const STAYS_OWN: u64 = 64;

/// Whether a file of so many pages has maps of its own; `had_own`: whether it had them in the
/// backup before.
pub(super) fn is_own(pages: u64, had_own: impl FnOnce() -> bool) -> bool {
    pages >= OWN || (pages >= STAYS_OWN && had_own())
}

/// What is done for a file in addition to its pages, as bytes.
const PER_FILE: u64 = 16 << 10;

/// A folder with its work.
pub(super) struct PlannedFolder<'s> {
    pub folder: &'s Folder,
    /// The path of its entry.
    pub entry: String,
    /// In the order of the parts of its entry.
    pub parts: Vec<PlannedPart>,
    earlier: &'s EarlierFolder,
}

/// Files that one worker copies.
pub(super) enum PlannedPart {
    /// Small files, which share a map.
    Bundle(Bundle),
    /// The number of a file with maps of its own.
    File(u32),
}

/// Small files by their numbers.
pub(super) struct Bundle {
    numbers: Vec<u32>,
    /// The number of the earlier bundle that it continues. None: it may have files of any.
    continues: Option<usize>,
}

impl PlannedPart {
    fn numbers(&self) -> &[u32] {
        match self {
            PlannedPart::Bundle(bundle) => &bundle.numbers,
            PlannedPart::File(number) => std::slice::from_ref(number),
        }
    }
}

impl<'s> PlannedFolder<'s> {
    fn new(
        folder: &'s Folder,
        page_size: u32,
        earlier: &'s Earlier,
        writer: &BackupWriter<'_>,
    ) -> Result<PlannedFolder<'s>, OpsError> {
        let entry = paths::in_data_directory(&folder.path);
        let earlier = earlier.of(&entry);
        let mut known = Known::new(earlier);
        if earlier.is_mixed {
            known.read(writer)?;
        }
        let (mut parts, mut numbers) = (Vec::new(), Vec::new());
        let mut continued: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        let by_name = |numbers: &mut Vec<u32>| {
            PlannedPart::Bundle(Bundle { numbers: std::mem::take(numbers), continues: None })
        };
        for (number, file) in (0u32..).zip(folder.pages.iter()) {
            let pages = file.bytes.div_ceil(page_size.into());
            let had_own = || {
                let own = |part: &EarlierPart| !part.covered.is_bundle && part.covered.first == file.name;
                earlier.parts.iter().any(own)
            };
            if is_own(pages, had_own) {
                parts.push(PlannedPart::File(number));
                continue;
            }
            let was = known.part_of(file.name).filter(|at| known.is_bundle(*at));
            if let Some(at) = was.or_else(|| known.take_in(None)) {
                continued.entry(at).or_default().push(number);
                continue;
            }
            numbers.push(number);
            if ends_bundle(numbers.len(), file.name) {
                parts.push(by_name(&mut numbers));
            }
        }
        if !numbers.is_empty() {
            parts.push(by_name(&mut numbers));
        }
        parts.extend(
            continued
                .into_iter()
                .map(|(at, numbers)| PlannedPart::Bundle(Bundle { numbers, continues: Some(at) })),
        );
        Ok(PlannedFolder { folder, entry, parts, earlier })
    }

    /// Whether its bundles are not ranges of names.
    pub(super) fn is_mixed(&self) -> bool {
        self.earlier.is_mixed
    }

    /// The files of a part, with their numbers.
    pub(super) fn files(&self, part: &PlannedPart) -> impl Iterator<Item = (u32, FileRecord<'s>)> {
        let files = &self.folder.pages;
        let numbers = part.numbers().to_vec().into_iter();
        numbers.filter_map(|number| Some((number, files.get(number as usize)?)))
    }

    /// Maps of the backup before that may have pages of a bundle's files.
    pub(super) fn earlier_of_bundle(&self, part: &PlannedPart) -> Vec<&'s MapRef> {
        let files = &self.folder.pages;
        let name = |number: &u32| files.get(*number as usize).map(|file| file.name);
        let numbers = part.numbers();
        let (Some(first), Some(last)) = (numbers.first().and_then(name), numbers.last().and_then(name))
        else {
            return Vec::new();
        };
        let continues = match part {
            PlannedPart::Bundle(bundle) => bundle.continues,
            PlannedPart::File(_) => None,
        };
        let meets = |(at, part): &(usize, &EarlierPart)| {
            let covered = &part.covered;
            // A small file that was a large one has one map there.
            let has_its =
                || numbers.binary_search_by(|number| name(number).cmp(&Some(&covered.first))).is_ok();
            match (continues, covered.is_bundle) {
                (Some(continued), true) => *at == continued,
                (Some(_), false) => covered.from == 0 && has_its(),
                (None, _) => covered.first.as_slice() <= last && covered.last.as_slice() >= first,
            }
        };
        self.earlier.parts.iter().enumerate().filter(meets).map(|(_, part)| &part.map).collect()
    }

    /// Maps of the backup before that may have pages of a file from this one on.
    pub(super) fn earlier_of_file(&self, name: &[u8], from: u64) -> Vec<&'s MapRef> {
        let has = |part: &&EarlierPart| {
            part.covered.may_have(name) && (part.covered.is_bundle || part.covered.from == from)
        };
        self.earlier.parts.iter().filter(has).map(|part| &part.map).collect()
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
    writer: &BackupWriter<'_>,
) -> Result<(Vec<PlannedFolder<'s>>, Vec<Task>), OpsError> {
    let planned = |folder| PlannedFolder::new(folder, page_size, earlier, writer);
    let folders: Vec<PlannedFolder<'s>> = scan.folders.iter().map(planned).collect::<Result<_, _>>()?;
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
    Ok((folders, tasks))
}
