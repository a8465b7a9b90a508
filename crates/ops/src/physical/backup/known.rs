//! Which files of a folder were in which part of its entry in the backup before.
//!
//! Parts of other files than before would share units, and a restore would read these units for
//! each of them. So where files were put together in an order that is not that of their names, as
//! files over the wire come, they stay together.

use std::collections::{BTreeMap, HashMap};

use pgark_repo::{BackupWriter, MOST_FILES};

use super::earlier::{EarlierFolder, EarlierPart};
use crate::OpsError;

/// What the backup before has of a folder.
pub(super) struct Known<'a> {
    parts: &'a [EarlierPart],
    /// In which part each file was, or the first one of it; once it was read.
    of_names: Option<HashMap<Vec<u8>, usize>>,
    /// How many files each bundle had, and gets in addition.
    sizes: BTreeMap<usize, usize>,
}

impl<'a> Known<'a> {
    pub(super) fn new(folder: &'a EarlierFolder) -> Known<'a> {
        Known { parts: &folder.parts, of_names: None, sizes: BTreeMap::new() }
    }

    /// Reads which files are in which part, the first time.
    pub(super) fn read(&mut self, writer: &BackupWriter<'_>) -> Result<(), OpsError> {
        if self.of_names.is_some() {
            return Ok(());
        }
        let mut names = HashMap::new();
        for (at, part) in self.parts.iter().enumerate() {
            if !part.covered.is_bundle {
                names.entry(part.covered.first.clone()).or_insert(at);
                continue;
            }
            // One whose description is gone is as if it had never been.
            let files = writer.earlier_files(&part.map)?.map(|files| files.files).unwrap_or_default();
            self.sizes.insert(at, files.len());
            names.extend(files.into_iter().map(|file| (file.name, at)));
        }
        self.of_names = Some(names);
        Ok(())
    }

    /// How many bundles there were.
    pub(super) fn bundles(&self) -> usize {
        self.sizes.len()
    }

    /// The number of the part that a file was in.
    pub(super) fn part_of(&self, name: &[u8]) -> Option<usize> {
        self.of_names.as_ref()?.get(name).copied()
    }

    pub(super) fn part(&self, at: usize) -> Option<&'a EarlierPart> {
        self.parts.get(at)
    }

    pub(super) fn is_bundle(&self, at: usize) -> bool {
        self.part(at).is_some_and(|part| part.covered.is_bundle)
    }

    /// The parts that may have pages of a large file from this one on.
    pub(super) fn parts_of<'k>(&'k self, name: &'k [u8], from: u64) -> impl Iterator<Item = &'k EarlierPart> {
        let was = self.part_of(name);
        let is_one = move |(at, part): &(usize, &EarlierPart)| match part.covered.is_bundle {
            true => was == Some(*at) && from == 0,
            false => was.is_some() && part.covered.first == name && part.covered.from == from,
        };
        self.parts.iter().enumerate().filter(is_one).map(|(_, part)| part)
    }

    /// The bundle that a new file goes to: the one that was used last, if it has room for it. None:
    /// no bundle has.
    pub(super) fn take_in(&mut self, last: Option<usize>) -> Option<usize> {
        let has_room = |at: &usize| self.sizes.get(at).is_some_and(|files| *files < MOST_FILES);
        let at = last.filter(has_room).or_else(|| self.sizes.keys().copied().find(has_room))?;
        *self.sizes.get_mut(&at)? += 1;
        Some(at)
    }
}
