//! The records of an index as they lie in this host's files: a large run, and a small one of what
//! came since. They name packs by numbers of the files' table; a reader sees the numbers of a table
//! of those packs that index objects name today.

use std::io;
use std::sync::Arc;

use super::run::{self, Record, Run};
use crate::ids::ChunkId;

/// The number of a pack today, by its number in the files; none: no index object names it any more.
pub(super) type Numbers = Arc<Vec<Option<u32>>>;

/// The records of one index.
pub(crate) struct Layers {
    runs: Vec<Arc<Run>>,
    /// None: the tables are the same.
    numbers: Option<Numbers>,
}

fn renumber(numbers: Option<&Numbers>, record: Record) -> Option<Record> {
    match numbers {
        None => Some(record),
        Some(numbers) => {
            let pack = numbers.get(record.pack as usize).copied().flatten()?;
            Some(Record { pack, ..record })
        }
    }
}

impl Layers {
    pub(super) fn new(runs: Vec<Arc<Run>>, numbers: Option<Numbers>) -> Layers {
        Layers { runs, numbers }
    }

    /// Every record of this id.
    pub(crate) fn find(&self, id: &ChunkId) -> io::Result<Vec<Record>> {
        let mut found = Vec::new();
        for run in &self.runs {
            found.extend(
                run.find(id)?.into_iter().filter_map(|record| renumber(self.numbers.as_ref(), record)),
            );
        }
        if self.runs.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        Ok(found)
    }

    /// Every record of each of these ids, which are sorted, with the id's position among them. One
    /// that is in both runs comes twice.
    pub(super) fn find_sorted(&self, ids: &[ChunkId], see: &mut dyn FnMut(usize, Record)) -> io::Result<()> {
        for run in &self.runs {
            run.find_sorted(ids, &mut |number, record| {
                if let Some(record) = renumber(self.numbers.as_ref(), record) {
                    see(number, record);
                }
            })?;
        }
        Ok(())
    }

    /// All records in order, without doubles.
    pub(crate) fn iter(&self) -> impl Iterator<Item = io::Result<Record>> + use<> {
        let numbers = self.numbers.clone();
        // The numbers of packs that are left keep their order, and so do the records.
        run::merge(&self.runs)
            .filter_map(move |record| record.map(|record| renumber(numbers.as_ref(), record)).transpose())
    }

    /// How many there are, doubles and records of packs that are gone included.
    pub(super) fn at_most(&self) -> u64 {
        self.runs.iter().map(|run| run.records).sum()
    }

    /// Whether every page is as it was written.
    pub(super) fn is_whole(&self) -> bool {
        self.runs.iter().all(|run| run.is_whole())
    }
}
