//! The parts and entries of the backup that is being written. The writer collects them: an entry is
//! in the backup once it is finished, and what was begun and not finished does not.
//!
//! Most of them lie in a temporary file: whenever some thousand have come together, they are sorted
//! and written there as one run, and at the end the runs are merged. What an entry added is known
//! when its last chunk is sealed; until then it stays in memory. How many chunks can wait for a
//! sealer is bounded, and so are these.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use minicbor::{Decode, Encode};

use crate::lock::lock;
use crate::manifest::{Addition, Entry};
use crate::map::Part;
use crate::secrets::LocalFolders;
use crate::stream::Class;
use crate::{RepoError, codec, index};

/// Entries in memory, before those of them that are settled become a run.
const IN_MEMORY: usize = 8 << 10;
/// The same in parts: a large table has thousands.
const PARTS_IN_MEMORY: usize = 64 << 10;
/// What is read of a run at once.
const READ: usize = 64 << 10;

/// What was stored of one stream or map: counted chunk by chunk, when each is sealed.
#[derive(Debug, Default)]
pub(crate) struct Added {
    bytes: AtomicU64,
    /// Chunks on their way to the sealers.
    waiting: AtomicU64,
}

impl Added {
    /// One more chunk is on its way.
    pub(super) fn wait_for_one(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// It is sealed, and has so many bytes.
    pub(super) fn came(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Whoever sees that none is waiting sees all bytes.
        self.waiting.fetch_sub(1, Ordering::Release);
    }
}

/// A part of an entry that was written.
#[derive(Clone, Debug)]
pub struct PartSummary {
    /// What is in the entry.
    pub part: Part,
    /// Raw length.
    pub bytes_raw: u64,
    /// Of a map: the items that no earlier map had, in the maker's counting.
    changed: u64,
    added: Vec<Arc<Added>>,
}

impl PartSummary {
    pub(crate) fn new(part: Part, added: Vec<Arc<Added>>) -> PartSummary {
        PartSummary { bytes_raw: part.bytes_raw(), part, changed: 0, added }
    }

    pub(crate) fn with_changed(mut self, changed: u64) -> PartSummary {
        self.changed = changed;
        self
    }

    /// Sealed bytes that were stored for this part and were nowhere before. Exact when all its
    /// chunks are sealed; of parts with equal chunks, the first has them.
    fn bytes_added(&self) -> u64 {
        self.added.iter().map(|added| added.bytes.load(Ordering::Relaxed)).sum()
    }

    /// Whether all chunks of it are sealed.
    fn is_settled(&self) -> bool {
        self.added.iter().all(|added| added.waiting.load(Ordering::Acquire) == 0)
    }
}

/// A finished entry. What it added is known once its chunks are sealed.
pub(super) struct Finished {
    pub class: Class,
    pub parts: Vec<PartSummary>,
    /// What it added when it was first written, if this backup only keeps it.
    pub before: Option<Addition>,
    /// Its maker's own facts: of the entry, and of what this backup did for it.
    pub about: Vec<u8>,
    pub about_run: Vec<u8>,
}

/// An entry as a run holds it; what is needed of [`Entry`] and [`Addition`].
#[derive(Encode, Decode)]
#[cbor(array)]
struct Spilled {
    #[n(0)]
    path: String,
    #[n(1)]
    class: Class,
    #[n(2)]
    parts: Vec<Part>,
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    about: Vec<u8>,
    #[n(4)]
    added: Addition,
}

impl Finished {
    fn settled(self, path: String) -> Spilled {
        let Finished { class, parts, before, about, about_run } = self;
        let added = before.unwrap_or_else(|| {
            let is_map = |part: &&PartSummary| matches!(part.part, Part::Map(_));
            let mut changed: Vec<u64> = parts.iter().filter(is_map).map(|part| part.changed).collect();
            if changed.iter().all(|changed| *changed == 0) {
                changed.clear();
            }
            let bytes = parts.iter().map(PartSummary::bytes_added).sum();
            Addition { path: path.clone(), bytes, changed, about: about_run }
        });
        Spilled { path, class, parts: parts.into_iter().map(|part| part.part).collect(), about, added }
    }
}

/// The finished entries.
pub(super) struct Entries {
    state: Mutex<State>,
    bytes_raw: AtomicU64,
}

#[derive(Default)]
struct State {
    recent: BTreeMap<String, Finished>,
    parts: usize,
    /// A run is written when so many entries are there.
    wanted: usize,
    runs: Option<Runs>,
}

/// Sorted runs in one temporary file.
struct Runs {
    file: File,
    /// Where each begins and ends.
    ranges: Vec<(u64, u64)>,
    end: u64,
}

fn local(source: io::Error) -> RepoError {
    RepoError::Local { doing: "keep entries in", path: "the temporary folder".into(), source }
}

impl Entries {
    pub(super) fn new() -> Entries {
        let state = State { wanted: IN_MEMORY, ..State::default() };
        Entries { state: Mutex::new(state), bytes_raw: AtomicU64::new(0) }
    }

    pub(super) fn put(&self, path: String, entry: Finished, folders: &LocalFolders) -> Result<(), RepoError> {
        let raw = entry.parts.iter().map(|part| part.bytes_raw).sum();
        let mut state = lock(&self.state);
        state.parts += entry.parts.len();
        if state.recent.insert(path, entry).is_some() {
            return Err(occurs_twice());
        }
        self.bytes_raw.fetch_add(raw, Ordering::Relaxed);
        if state.recent.len() >= state.wanted || state.parts >= PARTS_IN_MEMORY.max(4 * state.wanted) {
            state.spill(folders)?;
        }
        Ok(())
    }

    /// An entry of an earlier backup, as it is.
    pub(super) fn keep(
        &self,
        entry: &Entry,
        added: Option<&Addition>,
        folders: &LocalFolders,
    ) -> Result<(), RepoError> {
        let parts = entry.parts.iter().map(|part| PartSummary::new(part.clone(), Vec::new())).collect();
        let (class, about, path) = (entry.class, entry.about.clone(), entry.path.clone());
        let before = added.cloned().unwrap_or_else(|| Addition { path: path.clone(), ..Addition::default() });
        let finished = Finished { class, parts, before: Some(before), about, about_run: Vec::new() };
        self.put(path, finished, folders)
    }

    pub(super) fn bytes_raw(&self) -> u64 {
        self.bytes_raw.load(Ordering::Relaxed)
    }

    /// Shows all of them, sorted by path. Call when every chunk is sealed: only then are the added
    /// bytes known.
    pub(super) fn take(
        &self,
        see: &mut dyn FnMut(Entry, Addition) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        let State { recent, runs, .. } = std::mem::take(&mut *lock(&self.state));
        let mut sources: Vec<Box<dyn Iterator<Item = Result<Spilled, RepoError>> + '_>> = Vec::new();
        sources.push(Box::new(recent.into_iter().map(|(path, finished)| Ok(finished.settled(path)))));
        if let Some(runs) = &runs {
            for (start, end) in &runs.ranges {
                let run = RunReader { file: &runs.file, at: *start, end: *end, buffer: Vec::new(), read: 0 };
                sources.push(Box::new(run));
            }
        }
        let mut waiting = BinaryHeap::new();
        let mut heads: Vec<Option<Spilled>> = Vec::new();
        for (number, source) in sources.iter_mut().enumerate() {
            let head = source.next().transpose()?;
            waiting.extend(head.as_ref().map(|head| Reverse((head.path.clone(), number))));
            heads.push(head);
        }
        let mut last: Option<String> = None;
        while let Some(Reverse((path, number))) = waiting.pop() {
            let (Some(head), Some(source)) = (heads.get_mut(number), sources.get_mut(number)) else { break };
            let Some(spilled) = head.take() else { break };
            *head = source.next().transpose()?;
            waiting.extend(head.as_ref().map(|head| Reverse((head.path.clone(), number))));
            if last.as_ref() == Some(&path) {
                return Err(occurs_twice());
            }
            last = Some(path);
            let Spilled { path, class, parts, about, added } = spilled;
            let bytes_raw = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.bytes_raw()));
            see(Entry { path, class, parts, bytes_raw, about }, added)?;
        }
        Ok(())
    }
}

fn occurs_twice() -> RepoError {
    RepoError::TooLarge { what: "a path occurs twice".into() }
}

impl State {
    /// Writes those that are settled as one run.
    fn spill(&mut self, folders: &LocalFolders) -> Result<(), RepoError> {
        let is_settled = |entry: &Finished| entry.parts.iter().all(PartSummary::is_settled);
        let (settled, recent): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.recent).into_iter().partition(|(_, entry)| is_settled(entry));
        self.recent = recent;
        self.parts = self.recent.values().map(|entry| entry.parts.len()).sum();
        self.wanted = IN_MEMORY + self.recent.len();
        if settled.is_empty() {
            return Ok(());
        }
        let runs = match &mut self.runs {
            Some(runs) => runs,
            none => {
                let file = index::temporary(folders)?;
                none.insert(Runs { file, ranges: Vec::new(), end: 0 })
            }
        };
        let (start, mut block) = (runs.end, Vec::new());
        for (path, entry) in settled {
            let record = codec::encode(&entry.settled(path));
            let len = u32::try_from(record.len())
                .map_err(|_| RepoError::TooLarge { what: "the number of an entry's parts".into() })?;
            block.extend_from_slice(&len.to_le_bytes());
            block.extend_from_slice(&record);
            if block.len() >= 1 << 20 {
                runs.write(&mut block)?;
            }
        }
        runs.write(&mut block)?;
        runs.ranges.push((start, runs.end));
        Ok(())
    }
}

impl Runs {
    fn write(&mut self, block: &mut Vec<u8>) -> Result<(), RepoError> {
        self.file.write_all_at(block, self.end).map_err(local)?;
        self.end += block.len() as u64;
        block.clear();
        Ok(())
    }
}

/// Reads one run.
struct RunReader<'f> {
    file: &'f File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Of the buffer.
    read: usize,
}

impl RunReader<'_> {
    /// So many bytes, from the buffer or the file.
    fn bytes(&mut self, count: usize) -> Result<&[u8], RepoError> {
        if self.buffer.len() - self.read < count {
            self.buffer.drain(..self.read);
            self.read = 0;
            let held = self.buffer.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let more = (count - held).max(READ).min(left);
            self.buffer.resize(held + more, 0);
            let fresh = self.buffer.get_mut(held..).unwrap_or_default();
            self.file.read_exact_at(fresh, self.at).map_err(local)?;
            self.at += more as u64;
        }
        let from = self.read;
        self.read += count;
        self.buffer.get(from..from + count).ok_or_else(|| local(io::ErrorKind::UnexpectedEof.into()))
    }

    fn read(&mut self) -> Result<Option<Spilled>, RepoError> {
        if self.at == self.end && self.read == self.buffer.len() {
            return Ok(None);
        }
        let len = self.bytes(4)?.first_chunk().copied().unwrap_or_default();
        let record = self.bytes(u32::from_le_bytes(len) as usize)?;
        codec::decode(record)
            .map(Some)
            .map_err(|what| local(io::Error::new(io::ErrorKind::InvalidData, what)))
    }
}

impl Iterator for RunReader<'_> {
    type Item = Result<Spilled, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Hash;
    use crate::stream::StreamRef;

    fn finished(number: u64, added: Vec<Arc<Added>>) -> Finished {
        let stream = StreamRef { root: Hash::of(&number.to_le_bytes()), level: 0, class: 1, bytes: number };
        let parts = vec![PartSummary::new(Part::Stream(stream), added)];
        let (class, before) = (Class::Data, None);
        Finished { class, parts, before, about: number.to_string().into(), about_run: Vec::new() }
    }

    fn taken(entries: &Entries) -> Result<Vec<(String, u64, u64)>, RepoError> {
        let mut seen = Vec::new();
        entries.take(&mut |entry, added| {
            assert_eq!((&added.path, entry.bytes_raw.to_string().into_bytes()), (&entry.path, entry.about));
            seen.push((entry.path, entry.bytes_raw, added.bytes));
            Ok(())
        })?;
        Ok(seen)
    }

    /// Whatever lay in the file and in memory comes sorted, with what was counted last.
    #[test]
    fn entries_come_sorted_out_of_runs() {
        let (folders, entries) = (LocalFolders::default(), Entries::new());
        let count = 3 * IN_MEMORY as u64 + 5;
        let path = |number: u64| format!("/{:08}", number * 7919 % count);
        let late: Arc<Added> = Arc::default();
        late.wait_for_one();
        for number in 0..count {
            let added = if number == 3 { vec![Arc::clone(&late)] } else { vec![Arc::default()] };
            entries.put(path(number), finished(number, added), &folders).unwrap();
        }
        {
            let state = lock(&entries.state);
            assert!(state.recent.len() <= IN_MEMORY + 1 && state.recent.contains_key(&path(3)));
            assert!(state.runs.as_ref().unwrap().ranges.len() >= 3);
        }
        late.came(11);
        let mut expected: Vec<_> =
            (0..count).map(|number| (path(number), number, if number == 3 { 11 } else { 0 })).collect();
        expected.sort();
        assert_eq!(taken(&entries).unwrap(), expected);
        assert_eq!(entries.bytes_raw(), count * (count - 1) / 2);
    }

    #[test]
    fn a_path_that_occurs_twice_is_found_at_the_end_at_the_latest() {
        let (folders, entries) = (LocalFolders::default(), Entries::new());
        entries.put("/same".into(), finished(0, Vec::new()), &folders).unwrap();
        assert!(entries.put("/same".into(), finished(1, Vec::new()), &folders).is_err());
        for number in 0..IN_MEMORY as u64 {
            entries.put(format!("/{number}"), finished(number, Vec::new()), &folders).unwrap();
        }
        entries.put("/same".into(), finished(2, Vec::new()), &folders).unwrap();
        assert!(matches!(taken(&entries), Err(RepoError::TooLarge { .. })));
    }
}
