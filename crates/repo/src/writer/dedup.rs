//! Which chunks need not be stored: those of the index whose pack is there and not marked, and
//! those of this session.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::RepoError;
use crate::ids::{ChunkId, ObjectHash};
use crate::index::{self, Index, Run};
use crate::lock::lock;
use crate::quarantine::Quarantine;
use crate::secrets::LocalFolders;

const SHARDS: usize = 16;
/// So many runs of one size are merged into one of the next.
const MERGE_AT: usize = 8;

/// Ids are keyed hashes: eight of their bytes are as good as any hash.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// Where a chunk is that can be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// In this pack of the index, and in no other that can be used.
    In(u32),
    /// In several packs, or stored by this session: who reuses it asks again.
    Somewhere,
}

impl Found {
    /// One more place.
    fn and(known: Option<Found>, pack: u32) -> Found {
        match known {
            None => Found::In(pack),
            Some(Found::In(other)) if other == pack => Found::In(pack),
            Some(_) => Found::Somewhere,
        }
    }
}

type Shard = HashSet<ChunkId, BuildHasherDefault<IdHasher>>;

pub(crate) struct Dedup {
    index: Arc<Index>,
    /// Packs of the index that are there with their size and not marked for deletion.
    usable: Vec<bool>,
    /// Places that a check found damaged.
    rotten: Quarantine,
    referenced: Vec<AtomicBool>,
    /// New chunks of this session that no run holds yet.
    shards: [Mutex<Shard>; SHARDS],
    /// New chunks of this session that were put into index objects: (generation, run), oldest
    /// first.
    runs: RwLock<Vec<(u32, Arc<Run>)>>,
}

impl Dedup {
    pub(crate) fn new(index: Arc<Index>, usable: Vec<bool>, rotten: Quarantine) -> Dedup {
        let referenced = usable.iter().map(|_| AtomicBool::new(false)).collect();
        Dedup { index, usable, rotten, referenced, shards: Default::default(), runs: RwLock::default() }
    }

    /// The index that chunks are looked up in.
    pub(crate) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// True if the caller must store this chunk: it is nowhere, and nobody else was told so before.
    pub(crate) fn claim(&self, id: &ChunkId) -> Result<bool, RepoError> {
        let [first, ..] = id.0;
        let Some(shard) = self.shards.get(usize::from(first) % SHARDS) else { return Ok(true) };
        let mut shard = lock(shard);
        if shard.contains(id) || self.is_known(id, true)? {
            return Ok(false);
        }
        shard.insert(*id);
        Ok(true)
    }

    /// Whether a chunk is there to be reused; if so, its pack is one that this backup needs.
    pub(crate) fn lean_on(&self, id: &ChunkId) -> Result<bool, RepoError> {
        Ok(self.is_new(id) || self.is_known(id, true)?)
    }

    /// Where a chunk is, if it could be reused.
    pub(crate) fn find(&self, id: &ChunkId) -> Result<Option<Found>, RepoError> {
        if self.is_new(id) {
            return Ok(Some(Found::Somewhere));
        }
        let places = self.index.find(id)?;
        let usable = places.iter().filter(|place| self.is_usable(place));
        match usable.fold(None, |found, place| Some(Found::and(found, place.pack))) {
            None => Ok(self.is_known(id, false)?.then_some(Found::Somewhere)),
            found => Ok(found),
        }
    }

    /// The same of many, sorted by id, by reading the index once: but a chunk that was stored by
    /// this session is not found.
    pub(crate) fn find_sorted(&self, ids: &[ChunkId]) -> Result<Vec<Option<Found>>, RepoError> {
        let mut found = vec![None; ids.len()];
        self.index.find_sorted(ids, &mut |number, place| {
            if let Some(found) = found.get_mut(number).filter(|_| self.is_usable(&place)) {
                *found = Some(Found::and(*found, place.pack));
            }
        })?;
        Ok(found)
    }

    /// [`Dedup::lean_on`] of a chunk that was found in this session.
    pub(crate) fn lean_on_found(&self, id: &ChunkId, found: Found) -> Result<bool, RepoError> {
        match found {
            Found::In(pack) => {
                self.needs(pack);
                Ok(true)
            }
            Found::Somewhere => self.lean_on(id),
        }
    }

    /// Whether a chunk could be reused.
    pub(crate) fn stands(&self, id: &ChunkId) -> Result<bool, RepoError> {
        Ok(self.is_new(id) || self.is_known(id, false)?)
    }

    /// Whether it was stored by this session, and not long ago.
    fn is_new(&self, id: &ChunkId) -> bool {
        let [first, ..] = id.0;
        self.shards.get(usize::from(first) % SHARDS).is_some_and(|shard| lock(shard).contains(id))
    }

    /// `lean`: the pack that holds it is needed from now on.
    fn is_known(&self, id: &ChunkId, lean: bool) -> Result<bool, RepoError> {
        let mut is_there = false;
        for place in self.index.find(id)?.into_iter().filter(|place| self.is_usable(place)) {
            if lean {
                self.needs(place.pack);
            }
            // Of several all are reused: which of them holds it, a reader finds out.
            is_there = true;
        }
        if is_there {
            return Ok(true);
        }
        for (_, run) in self.runs.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let found = run.find(id).map_err(|source| RepoError::Local {
                doing: "read the local index",
                path: "of this backup".into(),
                source,
            })?;
            if !found.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what is in this place can be reused.
    fn is_usable(&self, place: &index::Record) -> bool {
        let pack = self.index.packs.get(place.pack);
        let is_rotten =
            !self.rotten.is_empty() && pack.is_some_and(|pack| self.rotten.holds(&pack.hash, &place.id));
        self.usable.get(place.pack as usize) == Some(&true) && !is_rotten
    }

    /// This backup depends on a pack.
    fn needs(&self, pack: u32) {
        if let Some(referenced) = self.referenced.get(pack as usize) {
            referenced.store(true, Ordering::Relaxed);
        }
    }

    /// These chunks were stored and indexed: a file remembers them from now on instead of memory.
    pub(crate) fn settle(&self, ids: &[ChunkId], run: Run, local: &LocalFolders) -> Result<(), RepoError> {
        let mut runs = self.runs.read().unwrap_or_else(PoisonError::into_inner).clone();
        runs.push((0, Arc::new(run)));
        while let Some(&(generation, _)) = runs.last() {
            let same = runs.iter().rev().take_while(|(other, _)| *other == generation).count();
            if same < MERGE_AT {
                break;
            }
            let group: Vec<_> = runs.split_off(runs.len() - same).into_iter().map(|(_, run)| run).collect();
            runs.push((generation + 1, Arc::new(index::merge_runs(index::temporary(local)?, &group)?)));
        }
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = runs;
        for id in ids {
            let [first, ..] = id.0;
            if let Some(shard) = self.shards.get(usize::from(first) % SHARDS) {
                lock(shard).remove(id);
            }
        }
        Ok(())
    }

    /// Older packs that this backup depends on.
    pub(crate) fn referenced(&self) -> Vec<ObjectHash> {
        let flagged = self.index.packs.packs.iter().zip(&self.referenced);
        flagged.filter(|(_, flag)| flag.load(Ordering::Relaxed)).map(|(pack, _)| pack.hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::ids::Hash;
    use crate::index::PackTable;
    use crate::index::object::PackEntry;

    const PACKS: u32 = 2000;

    fn id(number: u32) -> ChunkId {
        Hash::of(&number.to_le_bytes())
    }

    /// Chunks in packs, one chunk after the other.
    fn dedup(
        chunks: u32,
        folder: &std::path::Path,
        rotten: Quarantine,
        gone: &[u32],
    ) -> (Dedup, std::fs::File) {
        let mut packs = PackTable::default();
        for number in 0..PACKS {
            packs.number(PackEntry { hash: id(u32::MAX - number), size: 1 << 20 });
        }
        let record = |number| index::Record {
            id: id(number),
            pack: number % PACKS,
            raw_len: 1,
            sealed_len: 1,
            kind: 1,
        };
        let mut records: Vec<index::Record> = (0..chunks).map(record).collect();
        // One is in two packs.
        records.push(index::Record { pack: 5, ..record(4) });
        let path = folder.join("run");
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let own = file.try_clone().unwrap();
        let index = Index::for_tests(packs, records, &folder.join("index"), file);
        let usable = (0..PACKS).map(|number| !gone.contains(&number)).collect();
        (Dedup::new(Arc::new(index), usable, rotten), own)
    }

    fn sorted(ids: impl Iterator<Item = u32>) -> (Vec<ChunkId>, Vec<u32>) {
        let mut both: Vec<(ChunkId, u32)> = ids.map(|number| (id(number), number)).collect();
        both.sort_unstable();
        both.into_iter().unzip()
    }

    /// Among a million chunks those of a pack that is gone, and one that a check found damaged, are
    /// not found; all others are, in their packs.
    #[test]
    fn what_is_gone_is_not_found_among_a_million() {
        let folder = tempfile::tempdir().unwrap();
        let mut rotten = Quarantine::default();
        rotten.chunks.insert(id(u32::MAX - 9), HashSet::from([id(9)]));
        let (dedup, _) = dedup(1_000_000, folder.path(), rotten, &[77]);
        // Some are nowhere.
        let (ids, numbers) = sorted(0..1_000_500);
        let found = dedup.find_sorted(&ids).unwrap();
        for (number, found) in numbers.iter().zip(&found) {
            let expected = match number {
                4 => Some(Found::Somewhere),
                9 => None,
                1_000_000.. => None,
                number if number % PACKS == 77 => None,
                number => Some(Found::In(number % PACKS)),
            };
            assert_eq!(*found, expected, "{number}");
        }
        // Nothing of that needs a pack; what is reused then does, and no other.
        assert_eq!(dedup.referenced(), []);
        assert!(dedup.lean_on_found(&id(8), Found::In(8)).unwrap());
        assert!(dedup.lean_on_found(&id(4), Found::Somewhere).unwrap());
        assert!(!dedup.lean_on_found(&id(9), Found::Somewhere).unwrap());
        let needed = [4, 5, 8].map(|pack| id(u32::MAX - pack));
        assert_eq!(HashSet::from_iter(dedup.referenced()), HashSet::from(needed));
        for number in (0..1_000_500).step_by(997).chain([4, 9, 77]) {
            let at = numbers.iter().position(|own| *own == number).unwrap();
            assert_eq!(dedup.find(&id(number)).unwrap(), found[at], "{number}");
        }
    }

    /// A page of the local index that is damaged says nothing, and no error ends the backup.
    #[test]
    fn a_damaged_page_names_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let (dedup, file) = dedup(100_000, folder.path(), Quarantine::default(), &[]);
        let (ids, numbers) = sorted(0..100_000);
        assert!(dedup.find_sorted(&ids).unwrap().iter().all(Option::is_some));
        file.write_all_at(b"x", 4096 * 50 + 7).unwrap();
        let found = dedup.find_sorted(&ids).unwrap();
        let lost = found.iter().filter(|found| found.is_none()).count();
        assert!((1..100_000).contains(&lost), "{lost}");
        // What it does say is true.
        for (number, found) in numbers.iter().zip(found) {
            assert!(
                matches!(found, None | Some(Found::Somewhere)) || found == Some(Found::In(number % PACKS))
            );
        }
        assert!(dedup.index().is_rotten());
    }
}
