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
        for record in self.index.find(id)? {
            let pack = self.index.packs.get(record.pack);
            let is_rotten =
                !self.rotten.is_empty() && pack.is_some_and(|pack| self.rotten.holds(&pack.hash, id));
            if self.usable.get(record.pack as usize) == Some(&true) && !is_rotten {
                if let Some(referenced) = self.referenced.get(record.pack as usize).filter(|_| lean) {
                    referenced.store(true, Ordering::Relaxed);
                }
                // Of several all are reused: which of them holds it, a reader finds out.
                is_there = true;
            }
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
