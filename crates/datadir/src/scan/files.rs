//! The files of a folder in little memory: names in one piece, records of 24 bytes.

/// The files of one folder, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Files {
    names: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    bytes: u64,
    modified: i64,
    name_at: u32,
    mode: u16,
    // No file system of Linux has longer names.
    name_bytes: u8,
}

const _: () = assert!(size_of::<Record>() == 24);

/// One file, as it was when the folder was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRecord<'a> {
    /// Its name in the folder.
    pub name: &'a [u8],
    /// Length in bytes.
    pub bytes: u64,
    /// Permission bits (the low 12).
    pub mode: u16,
    /// Last modification, nanoseconds since 1970-01-01 00:00:00 UTC.
    pub modified: i64,
}

/// The names of a folder take more than 4 GiB, or one has more than 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Files {
    /// Their number.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The file with this number, from 0.
    pub fn get(&self, number: usize) -> Option<FileRecord<'_>> {
        self.records.get(number).map(|record| self.shown(record))
    }

    /// The file of this name.
    pub fn find(&self, name: &[u8]) -> Option<FileRecord<'_>> {
        let found = self.records.binary_search_by(|record| name_of(&self.names, record).cmp(name));
        found.ok().and_then(|number| self.get(number))
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FileRecord<'_>> {
        self.records.iter().map(|record| self.shown(record))
    }

    /// The sum of their lengths.
    pub fn bytes(&self) -> u64 {
        self.records.iter().fold(0, |sum, record| sum.saturating_add(record.bytes))
    }

    /// Bytes of memory that they take besides the value itself.
    pub fn memory(&self) -> usize {
        self.names.capacity() + self.records.capacity() * size_of::<Record>()
    }

    pub(crate) fn push(&mut self, file: FileRecord<'_>) -> Result<(), Full> {
        let name_at = u32::try_from(self.names.len()).map_err(|_| Full)?;
        let name_bytes = u8::try_from(file.name.len()).map_err(|_| Full)?;
        // A vector that doubles would take up to twice the memory.
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact(self.records.len() / 8 + 16);
        }
        if self.names.capacity() - self.names.len() < file.name.len() {
            self.names.reserve_exact(self.names.len() / 8 + 256);
        }
        self.names.extend_from_slice(file.name);
        let FileRecord { bytes, modified, mode, .. } = file;
        self.records.push(Record { bytes, modified, name_at, mode, name_bytes });
        Ok(())
    }

    /// Keeps those of which `keep` says so.
    pub(crate) fn retain(&mut self, keep: impl Fn(FileRecord<'_>) -> bool) -> Result<(), Full> {
        let all = std::mem::take(self);
        all.iter().filter(|file| keep(*file)).try_for_each(|file| self.push(file))
    }

    /// Sorts, and gives back what is not needed.
    pub(crate) fn finish(&mut self) {
        let names = &self.names;
        self.records.sort_unstable_by(|one, other| name_of(names, one).cmp(name_of(names, other)));
        self.names.shrink_to_fit();
        self.records.shrink_to_fit();
    }

    fn shown(&self, record: &Record) -> FileRecord<'_> {
        let Record { bytes, modified, mode, .. } = *record;
        FileRecord { name: name_of(&self.names, record), bytes, mode, modified }
    }
}

fn name_of<'a>(names: &'a [u8], record: &Record) -> &'a [u8] {
    let at = usize::try_from(record.name_at).unwrap_or(usize::MAX);
    names.get(at..at.saturating_add(record.name_bytes.into())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn file(name: &[u8], bytes: u64) -> FileRecord<'_> {
        FileRecord { name, bytes, mode: 0o600, modified: -7 }
    }

    /// The issue allows 64 bytes a file.
    #[test]
    fn a_million_files_take_64_bytes_each_at_most() {
        let mut files = Files::default();
        let mut most = 0;
        for number in 0..1_000_000u32 {
            let suffix = ["", "_fsm", "_vm", ".12"][(number % 4) as usize];
            let name = format!("{}{suffix}", 4_294_967_295 - number);
            files.push(file(name.as_bytes(), 8192)).unwrap();
            most = most.max(files.memory());
        }
        files.finish();
        assert!(most <= 64 * files.len(), "{most}");
        assert!(files.memory() <= 40 * files.len(), "{}", files.memory());
        assert_eq!((files.len(), files.bytes()), (1_000_000, 8_192_000_000));
        let names: Vec<&[u8]> = files.iter().map(|file| file.name).collect();
        assert!(names.is_sorted());
        assert_eq!(files.find(b"4294967294_fsm"), Some(file(b"4294967294_fsm", 8192)));
        assert_eq!(files.find(b"4294967294_vm"), None);
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let mut files = Files::default();
        assert_eq!(files.push(file(&[b'x'; 256], 0)), Err(Full));
        assert_eq!(files.push(file(&[0xFF; 255], 0)), Ok(()));
        assert_eq!(files.get(0).unwrap().name, [0xFF; 255]);
        assert_eq!(files.get(1), None);
    }

    proptest! {
        #[test]
        fn they_are_a_sorted_map(all in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 1..20), any::<u64>(), 0..60), kept in any::<u64>()) {
            let mut files = Files::default();
            let mut shuffled: Vec<_> = all.iter().collect();
            shuffled.sort_by_key(|(name, bytes)| (bytes.rotate_left(17), *name));
            for (name, bytes) in shuffled {
                files.push(file(name, *bytes)).unwrap();
            }
            files.retain(|file| file.bytes & kept != 0).unwrap();
            files.finish();
            let expected: BTreeMap<_, _> = all.iter().filter(|(_, bytes)| **bytes & kept != 0).collect();
            prop_assert!(files.iter().map(|file| (file.name, file.bytes))
                .eq(expected.iter().map(|(name, bytes)| (name.as_slice(), **bytes))));
            prop_assert_eq!(files.is_empty(), expected.is_empty());
            for (name, bytes) in &all {
                let found = files.find(name).map(|file| file.bytes);
                prop_assert_eq!(found, (bytes & kept != 0).then_some(*bytes));
            }
        }
    }
}
