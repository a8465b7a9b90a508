//! The parts and entries of the backup that is being written. The writer collects them: an entry
//! stands in the backup once it is finished, and what was begun and not finished does not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::RepoError;
use crate::lock::lock;
use crate::manifest::Entry;
use crate::map::Part;
use crate::stream::Class;

/// A part of an entry that was written.
#[derive(Clone, Debug)]
pub struct PartSummary {
    /// What stands in the entry.
    pub part: Part,
    /// Raw length.
    pub bytes_raw: u64,
    added: Vec<Arc<AtomicU64>>,
}

impl PartSummary {
    pub(crate) fn new(part: Part, added: Vec<Arc<AtomicU64>>) -> PartSummary {
        PartSummary { bytes_raw: part.bytes_raw(), part, added }
    }

    /// Sealed bytes that were stored for this part and were nowhere before. Exact when all its
    /// chunks are sealed; of parts with equal chunks, the first has them.
    pub(crate) fn bytes_added(&self) -> u64 {
        self.added.iter().map(|added| added.load(Ordering::Relaxed)).sum()
    }
}

/// A finished entry. What it added is known once its chunks are sealed.
pub(super) struct Finished {
    pub class: Class,
    pub parts: Vec<PartSummary>,
    /// What it added when it was first written, if this backup only keeps it.
    pub added_before: u64,
    pub about: Vec<u8>,
}

/// The finished entries, by path.
#[derive(Default)]
pub(super) struct Entries(Mutex<BTreeMap<String, Finished>>);

impl Entries {
    pub(super) fn put(&self, path: String, entry: Finished) -> Result<(), RepoError> {
        match lock(&self.0).insert(path, entry) {
            None => Ok(()),
            Some(_) => Err(RepoError::TooLarge { what: "a path that occurs twice".into() }),
        }
    }

    /// An entry of an earlier backup, as it is.
    pub(super) fn keep(&self, entry: &Entry) -> Result<(), RepoError> {
        let parts = entry.parts.iter().map(|part| PartSummary::new(part.clone(), Vec::new())).collect();
        let (class, about) = (entry.class, entry.about.clone());
        self.put(entry.path.clone(), Finished { class, parts, added_before: entry.bytes_added, about })
    }

    pub(super) fn bytes_raw(&self) -> u64 {
        let entries = lock(&self.0);
        entries.values().flat_map(|entry| &entry.parts).map(|part| part.bytes_raw).sum()
    }

    pub(super) fn digests(&self, path: &str) -> Vec<String> {
        let entries = lock(&self.0);
        let parts = entries.get(path).map(|entry| entry.parts.as_slice()).unwrap_or_default();
        parts.iter().map(|part| part.part.digest()).collect()
    }

    /// All of them, sorted by path. Call when every chunk is sealed: only then are the added bytes
    /// known.
    pub(super) fn take(&self) -> Vec<Entry> {
        let entries = std::mem::take(&mut *lock(&self.0));
        let entry = |(path, entry): (String, Finished)| Entry {
            path,
            class: entry.class,
            bytes_raw: entry.parts.iter().map(|part| part.bytes_raw).sum(),
            bytes_added: entry.added_before + entry.parts.iter().map(PartSummary::bytes_added).sum::<u64>(),
            parts: entry.parts.into_iter().map(|part| part.part).collect(),
            about: entry.about,
        };
        entries.into_iter().map(entry).collect()
    }
}
