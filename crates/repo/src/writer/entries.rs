//! The entries of the backup that is being written. The writer collects them: an entry stands in
//! the backup once it is finished, and what was begun and not finished does not.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::lock;
use super::session::Session;
use super::streams::{PartSummary, StreamWriter};
use crate::RepoError;
use crate::cut::Cut;
use crate::manifest::Entry;
use crate::stream::Class;

/// A finished entry. What it added is known once its chunks are sealed.
struct Finished {
    class: Class,
    parts: Vec<PartSummary>,
    /// What it added when it was first written, if this backup only keeps it.
    added_before: u64,
    about: Vec<u8>,
}

/// The finished entries, by path.
#[derive(Default)]
pub(super) struct Entries(Mutex<BTreeMap<String, Finished>>);

impl Entries {
    fn put(&self, path: String, entry: Finished) -> Result<(), RepoError> {
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

/// Writes one entry of a backup ([`crate::BackupWriter::entry`]). Dropped unfinished, it is no
/// entry.
pub struct EntryWriter<'a> {
    session: &'a Session<'a>,
    path: String,
    class: Class,
    parts: Vec<PartSummary>,
}

impl<'a> EntryWriter<'a> {
    pub(super) fn new(session: &'a Session<'a>, path: String, class: Class) -> EntryWriter<'a> {
        EntryWriter { session, path, class, parts: Vec::new() }
    }

    /// A new stream of the entry's class, to be [added](EntryWriter::add) when it is finished.
    pub fn stream(&self, cut: Cut) -> StreamWriter<'a> {
        StreamWriter::new(self.session, self.class, cut)
    }

    /// Adds a part behind those that are there.
    pub fn add(&mut self, part: PartSummary) {
        self.parts.push(part);
    }

    /// Adds a small content as one part.
    pub fn write(&mut self, content: &[u8]) -> Result<(), RepoError> {
        let mut stream = self.stream(Cut::Content);
        stream.write(content)?;
        self.add(stream.finish()?);
        Ok(())
    }

    /// From now on the entry stands in the backup, with its maker's own facts.
    ///
    /// # Errors
    /// The backup has an entry of this path already.
    pub fn finish(self, about: Vec<u8>) -> Result<(), RepoError> {
        let EntryWriter { session, path, class, parts } = self;
        session.entries.put(path, Finished { class, parts, added_before: 0, about })
    }
}
