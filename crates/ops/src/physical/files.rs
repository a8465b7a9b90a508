//! Single files of a physical backup, by their paths.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use pgark_repo::{Backup, DataReader, Entry, Files, MapRef, Pages, Part, UnitName};

use crate::{Job, OpsError, paths};

/// Pages are put into order in pieces of so many bytes.
const PIECE: u64 = 8 << 20;

/// A file that consists of pages, and the maps that it is in: parts of it, in order.
pub(crate) struct FoundFile {
    path: String,
    name: Vec<u8>,
    parts: Vec<(MapRef, Files)>,
}

/// How long a file is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length {
    pub bytes: u64,
    /// Its last one need not be whole.
    pub pages: u64,
}

/// The files of an entry that is a folder: each with its length.
pub(crate) fn files(backup: &Backup<'_>, entry: &Entry) -> Result<BTreeMap<String, u64>, OpsError> {
    Ok(with_pages(backup, entry)?.into_iter().map(|(path, length)| (path, length.bytes)).collect())
}

/// The same, with the number of their pages.
pub(super) fn with_pages(backup: &Backup<'_>, entry: &Entry) -> Result<BTreeMap<String, Length>, OpsError> {
    let mut found: BTreeMap<String, Length> = BTreeMap::new();
    for part in &entry.parts {
        let Part::Map(map) = part else { continue };
        if map.is_of::<Pages>() {
            let files = backup.page_files(map)?;
            for file in &files.files {
                let length = found.entry(path(entry, &file.name)).or_default();
                length.bytes += file.bytes;
                length.pages += file.bytes.div_ceil(files.page_size);
            }
        }
    }
    Ok(found)
}

/// The path of a file in a folder.
pub(super) fn path(folder: &Entry, name: &[u8]) -> String {
    let below = paths::in_data_directory(name);
    format!("{}{}", folder.path, below.strip_prefix(paths::DATA_DIRECTORY).unwrap_or(&below))
}

/// The file with this path, if it is one that consists of pages.
pub(crate) fn find(backup: &Backup<'_>, wanted: &str) -> Result<Option<FoundFile>, OpsError> {
    let Some((folder, _)) = wanted.rsplit_once('/') else { return Ok(None) };
    let Some(entry) = backup.entry(folder)? else { return Ok(None) };
    let Some(whole) = paths::below_data_directory(wanted) else { return Ok(None) };
    let name = whole.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let mut parts = Vec::new();
    for part in &entry.parts {
        let Part::Map(map) = part else { continue };
        if map.covered().is_none_or(|covered| !covered.may_have(&name)) {
            continue;
        }
        let files = backup.page_files(map)?;
        if files.files.iter().any(|file| file.name == name) {
            parts.push(((**map).clone(), files));
        }
    }
    parts.sort_by_key(|(_, files)| files.from);
    Ok(Some(FoundFile { path: wanted.to_string(), name, parts }).filter(|found| !found.parts.is_empty()))
}

impl FoundFile {
    /// Writes its bytes, in order.
    pub(crate) fn write(
        &self,
        reader: &DataReader<'_>,
        output: &mut dyn Write,
        job: &Job,
    ) -> Result<(), OpsError> {
        for (map, files) in &self.parts {
            let Some(file) = files.files.iter().find(|file| file.name == self.name) else { continue };
            let units = self.units(reader, map)?;
            let (size, end) = (files.page_size, files.from * files.page_size + file.bytes);
            let mut at = files.from * size;
            while at < end {
                job.cancel.check().map_err(|_| OpsError::Cancelled)?;
                let to = (at + PIECE).min(end);
                let pages = at / size..to.div_ceil(size);
                let wanted: HashSet<UnitName> = units
                    .iter()
                    .filter(|(first, behind, _)| *first < pages.end && *behind > pages.start)
                    .map(|(_, _, unit)| *unit)
                    .collect();
                let piece = self.piece(reader, map, &wanted, pages, size)?;
                let length = usize::try_from(to - at).unwrap_or(usize::MAX);
                output.write_all(piece.get(..length).unwrap_or(&piece)).map_err(OpsError::Output)?;
                at = to;
            }
        }
        output.flush().map_err(OpsError::Output)
    }

    /// Runs of the file's pages, and the units that they are in.
    fn units(&self, reader: &DataReader<'_>, map: &MapRef) -> Result<Vec<(u64, u64, UnitName)>, OpsError> {
        let mut lists = reader.lists::<Pages>(map)?;
        let mut units = Vec::new();
        while let Some(unit) = lists.next_unit()? {
            for run in unit.addresses.iter().filter(|run| run.name == self.name) {
                let first = u64::from(run.first);
                units.push((first, first + u64::from(run.items), unit.unit));
            }
        }
        Ok(units)
    }

    /// These pages; those that no unit has are zeros.
    fn piece(
        &self,
        reader: &DataReader<'_>,
        map: &MapRef,
        units: &HashSet<UnitName>,
        pages: std::ops::Range<u64>,
        size: u64,
    ) -> Result<Vec<u8>, OpsError> {
        let bytes = |pages: u64| usize::try_from(pages * size).unwrap_or(usize::MAX);
        let mut piece = vec![0; bytes(pages.end - pages.start)];
        if units.is_empty() {
            return Ok(piece);
        }
        let mut items = reader.read_units(map, &self.path, units)?;
        while let Some(kept) = items.next_items()? {
            let mut content = kept.bytes.as_slice();
            for run in &kept.addresses {
                let (own, others) = content.split_at_checked(bytes(run.items.into())).unwrap_or_default();
                content = others;
                if run.name != self.name {
                    continue;
                }
                for (number, page) in (u64::from(run.first)..).zip(own.chunks(bytes(1))) {
                    let place = number.checked_sub(pages.start).filter(|_| number < pages.end).map(bytes);
                    let place = place.and_then(|at| piece.get_mut(at..at + page.len()));
                    if let Some(place) = place {
                        place.copy_from_slice(page);
                    }
                }
            }
        }
        Ok(piece)
    }
}
