//! Sorted records of fixed size in a local file, looked up by one read of one page.
//!
//! A page is 4096 bytes: up to 85 records of 48 bytes, then 16 bytes of BLAKE3 over its number and
//! them, under a key that each file that is kept has for itself: neither rot of a local disk nor
//! someone who writes there becomes a false "already stored". In memory there are ten filter bits
//! per record and the first eight bytes of each page's first id: 133 MB for 100 million chunks,
//! whose file has 4.8 GB.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::filter::Filter;
use crate::ids::{ChunkId, Hash};

pub(crate) const PAGE: usize = 4096;
const RECORD: usize = 48;
const PER_PAGE: usize = 85;

/// Where one copy of a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub id: ChunkId,
    /// Position in the pack table.
    pub pack: u32,
    pub raw_len: u32,
    pub sealed_len: u32,
    pub kind: u8,
}

impl Record {
    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..32].copy_from_slice(&self.id.0);
        bytes[32..36].copy_from_slice(&self.pack.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.sealed_len.to_le_bytes());
        bytes[44] = self.kind;
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[..32]);
        Some(Record {
            id: Hash(id),
            pack: number(32),
            raw_len: number(36),
            sealed_len: number(40),
            kind: bytes[44],
        })
    }
}

/// A sorted file of records with its filter and fences.
pub(crate) struct Run {
    file: File,
    /// Of the pages' sums.
    key: SumKey,
    /// Where the records' pages begin is always 0.
    pub records: u64,
    fences: Vec<u64>,
    filter: Filter,
}

fn rotten() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a page of the local index is damaged")
}

/// What the sums of a file's pages are made with.
pub(crate) type SumKey = [u8; 32];

/// Of files without a name, which nobody else can write.
pub(crate) const UNNAMED: SumKey = [0; 32];

fn sum(key: &SumKey, number: usize, bytes: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&(number as u64).to_le_bytes()).update(bytes);
    let mut sum = [0; 16];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    sum
}

impl Run {
    /// Writes records that come sorted and without doubles.
    pub(crate) fn write(
        file: File,
        key: SumKey,
        at_most: u64,
        records: impl Iterator<Item = io::Result<Record>>,
    ) -> io::Result<Run> {
        let mut out = BufWriter::with_capacity(256 << 10, file);
        let mut filter = Filter::with_capacity(at_most);
        let (mut fences, mut count, mut page) = (Vec::new(), 0u64, Vec::with_capacity(PAGE));
        let mut pages = 0;
        let mut flush = |page: &mut Vec<u8>, out: &mut BufWriter<File>| {
            page.resize(PAGE - 16, 0);
            let sum = sum(&key, pages, page);
            pages += 1;
            page.extend_from_slice(&sum);
            let written = out.write_all(page);
            page.clear();
            written
        };
        for record in records {
            let record = record?;
            if page.is_empty() {
                fences.push(record.id.prefix());
            }
            filter.insert(&record.id);
            page.extend_from_slice(&record.to_bytes());
            count += 1;
            if page.len() == PER_PAGE * RECORD {
                flush(&mut page, &mut out)?;
            }
        }
        if !page.is_empty() {
            flush(&mut page, &mut out)?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Run { file, key, records: count, fences, filter })
    }

    /// A run whose parts were kept.
    pub(crate) fn restore(
        file: File,
        key: SumKey,
        records: u64,
        fences: Vec<u64>,
        filter: Filter,
    ) -> Option<Run> {
        (fences.len() as u64 == records.div_ceil(PER_PAGE as u64)).then_some(Run {
            file,
            key,
            records,
            fences,
            filter,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn fences(&self) -> &[u64] {
        &self.fences
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Bytes of the pages in the file.
    pub(crate) fn page_bytes(&self) -> u64 {
        (self.fences.len() * PAGE) as u64
    }

    fn page(&self, number: usize) -> io::Result<Vec<Record>> {
        let mut page = [0; PAGE];
        self.file.read_exact_at(&mut page, (number * PAGE) as u64)?;
        let (body, stored) = page.split_at(PAGE - 16);
        if sum(&self.key, number, body) != stored {
            return Err(rotten());
        }
        let count = self.records.saturating_sub((number * PER_PAGE) as u64).min(PER_PAGE as u64) as usize;
        body.chunks_exact(RECORD)
            .take(count)
            .map(|bytes| Record::from_bytes(bytes).ok_or_else(rotten))
            .collect()
    }

    /// Whether every page is as it was written.
    pub(crate) fn is_whole(&self) -> bool {
        (0..self.fences.len()).all(|number| self.page(number).is_ok())
    }

    /// Every record of this id.
    pub(crate) fn find(&self, id: &ChunkId) -> io::Result<Vec<Record>> {
        let mut found = Vec::new();
        if self.records == 0 || !self.filter.may_contain(id) {
            return Ok(found);
        }
        let prefix = id.prefix();
        // The last page that begins before the id may hold it already.
        let first = self.fences.partition_point(|fence| *fence < prefix).saturating_sub(1);
        for number in first..self.fences.len() {
            if self.fences.get(number).is_none_or(|fence| *fence > prefix) {
                break;
            }
            found.extend(self.page(number)?.into_iter().filter(|record| record.id == *id));
        }
        Ok(found)
    }

    /// Every record of each of these ids, which are sorted, with the id's position among them. A
    /// page is read once, whatever the number of ids that may be on it.
    pub(super) fn find_sorted(&self, ids: &[ChunkId], see: &mut dyn FnMut(usize, Record)) -> io::Result<()> {
        let mut open: Option<(usize, Vec<Record>)> = None;
        let mut first = 0;
        for (at, id) in ids.iter().enumerate() {
            let prefix = id.prefix();
            // As in `find`: fences before this one are of smaller ids.
            let ahead = self.fences.get(first..).unwrap_or_default();
            first += ahead.partition_point(|fence| *fence < prefix).saturating_sub(1);
            for number in first..self.fences.len() {
                if self.fences.get(number).is_none_or(|fence| *fence > prefix) {
                    break;
                }
                if open.as_ref().is_none_or(|(known, _)| *known != number) {
                    open = Some((number, self.page(number)?));
                }
                let records = open.as_ref().map_or(&[][..], |(_, records)| records);
                let from = records.partition_point(|record| record.id < *id);
                let own = records.get(from..).unwrap_or_default();
                own.iter().take_while(|record| record.id == *id).for_each(|record| see(at, *record));
            }
        }
        Ok(())
    }

    /// All records in order.
    pub(crate) fn iter(self: &Arc<Run>) -> impl Iterator<Item = io::Result<Record>> + use<> {
        let run = Arc::clone(self);
        (0..run.fences.len()).flat_map(move |number| match run.page(number) {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }
}

/// The records of many runs as one sorted sequence without doubles.
pub(crate) fn merge(runs: &[Arc<Run>]) -> impl Iterator<Item = io::Result<Record>> + use<> {
    let mut sources: Vec<_> =
        runs.iter().map(|run| Box::new(run.iter()) as Box<dyn Iterator<Item = _>>).collect();
    let mut heap = BinaryHeap::new();
    let mut failed = None;
    for (number, source) in sources.iter_mut().enumerate() {
        match source.next() {
            Some(Ok(record)) => heap.push(Reverse((record, number))),
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
    }
    let mut last = None;
    std::iter::from_fn(move || {
        loop {
            if let Some(error) = failed.take() {
                heap.clear();
                return Some(Err(error));
            }
            let Reverse((record, number)) = heap.pop()?;
            match sources.get_mut(number).and_then(Iterator::next) {
                Some(Ok(next)) => heap.push(Reverse((next, number))),
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
            if last != Some(record) {
                last = Some(record);
                return Some(Ok(record));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_found_as_one_is() {
        let mut random = crate::properties::Random(3);
        let mut records = Vec::new();
        for number in 0..3000u32 {
            let mut id = [0; 32];
            // Many begin with the same eight bytes, and some are there twice.
            id[0] = random.below(40) as u8;
            id[9] = random.below(60) as u8;
            records.push(Record { id: Hash(id), pack: number % 7, raw_len: 1, sealed_len: 1, kind: 0 });
        }
        records.sort();
        records.dedup();
        let all = records.len() as u64;
        let run =
            Run::write(tempfile::tempfile().unwrap(), [1; 32], all, records.into_iter().map(Ok)).unwrap();
        for often in [1, 3, 17] {
            let mut ids: Vec<ChunkId> = Vec::new();
            for number in (0..42 * 62u32).step_by(often) {
                let mut id = [0; 32];
                (id[0], id[9]) = ((number / 62) as u8, (number % 62) as u8);
                ids.extend([Hash(id)].repeat(1 + number as usize % 2));
            }
            let mut found = vec![Vec::new(); ids.len()];
            run.find_sorted(&ids, &mut |at, record| found[at].push(record)).unwrap();
            for (id, found) in ids.iter().zip(found) {
                assert_eq!(found, run.find(id).unwrap());
            }
        }
    }

    #[test]
    fn a_page_counts_under_its_own_key_and_number_only() {
        let record =
            |number: u8| Record { id: Hash([number; 32]), pack: 0, raw_len: 1, sealed_len: 1, kind: 0 };
        let records = || (1..=200).map(|number| Ok(record(number)));
        let run = Run::write(tempfile::tempfile().unwrap(), [1; 32], 200, records()).unwrap();
        assert!(run.is_whole() && run.find(&record(7).id).unwrap() == [record(7)]);
        let under = |key: SumKey| {
            let filter = Filter::from_bytes(run.filter.as_bytes().to_vec());
            Run::restore(run.file.try_clone().unwrap(), key, 200, run.fences.clone(), filter).unwrap()
        };
        assert!(under([1; 32]).is_whole() && under([2; 32]).find(&record(7).id).is_err());
        // A good page at another's place is none.
        let mut page = [0; PAGE];
        run.file.read_exact_at(&mut page, 0).unwrap();
        run.file.write_all_at(&page, PAGE as u64).unwrap();
        assert!(!run.is_whole() && run.find(&record(7).id).is_ok() && run.find(&record(100).id).is_err());
    }
}
