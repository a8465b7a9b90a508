//! Every pack that the index names: size, directory, hash, chunks.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

use super::places::BadPlaces;
use super::{Check, CheckLevel};
use crate::RepoError;
use crate::ids::{ChunkId, Compartment, Hash, ObjectHash};
use crate::index::Index;
use crate::lock::{lock, wait_until};
use crate::object::{self, inside};
use crate::pack::{self, Listed};

const THREADS: usize = 4;
/// Bytes of packs in memory at once, unless it is one pack alone.
const IN_MEMORY: u64 = 64 << 20;

/// Where threads wait that would read a pack into memory while others fill it.
#[derive(Default)]
struct Memory {
    taken: Mutex<u64>,
    changed: Condvar,
}

/// A pack's part of the memory, until it is dropped.
struct Taken<'m>(&'m Memory, u64);

impl Memory {
    /// Waits for room, or until `stop` says that waiting is over.
    fn take(&self, bytes: u64, stop: &dyn Fn() -> bool) -> Taken<'_> {
        let fits = |taken: &u64| *taken == 0 || *taken + bytes <= IN_MEMORY;
        let (mut taken, _) = wait_until(&self.changed, lock(&self.taken), stop, fits);
        *taken += bytes;
        Taken(self, bytes)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *lock(&self.0.taken) -= self.1;
        self.0.changed.notify_all();
    }
}

fn local(source: std::io::Error) -> RepoError {
    RepoError::Local { doing: "read the local index", path: "of this check".into(), source }
}

impl Check<'_> {
    pub(super) fn packs(
        &self,
        index: &Index,
        sizes: &HashMap<ObjectHash, Listed>,
        wanted: Option<&HashSet<u32>>,
    ) -> Result<BadPlaces, RepoError> {
        let mut counts = vec![0u64; index.packs.packs.len()];
        for record in index.records.iter() {
            let record = record.map_err(local)?;
            if let Some(count) = counts.get_mut(record.pack as usize) {
                *count += 1;
            }
        }
        let bad = Mutex::new(BadPlaces::default());
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let memory = Memory::default();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while lock(&failure).is_none() {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = index.packs.packs.get(number) else { return };
                        let Ok(number) = u32::try_from(number) else { return };
                        if wanted.is_some_and(|wanted| !wanted.contains(&number)) {
                            continue;
                        }
                        let count = counts.get(number as usize).copied().unwrap_or(0);
                        let size = sizes.get(&entry.hash).map(|listed| listed.size);
                        if let Err(error) = self.pack(index, number, count, size, &bad, &memory) {
                            lock(&failure).get_or_insert(error);
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(bad.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)),
        }
    }

    fn pack(
        &self,
        index: &Index,
        number: u32,
        count: u64,
        size: Option<u64>,
        bad: &Mutex<BadPlaces>,
        memory: &Memory,
    ) -> Result<(), RepoError> {
        let Some(entry) = index.packs.get(number) else { return Ok(()) };
        let name = pack::name(index.compartment, &entry.hash);
        if size == Some(entry.size) && lock(&self.known).packs.contains(&(index.compartment, entry.hash)) {
            return Ok(());
        }
        let level = if self.is_drawn(&entry.hash) { self.level } else { CheckLevel::Structure };
        let whole = |what: &str| {
            let problem = lock(&self.found).add(&name, what);
            let mut bad = lock(bad);
            bad.packs.entry(number).or_insert(problem);
            bad.rotten.insert(number);
        };
        let Some(size) = size else {
            self.missing_pack(&name, number, bad);
            return Ok(());
        };
        self.step(size)?;
        if size != entry.size {
            let what = format!("it has {size} bytes, the index says {}", entry.size);
            if index.packs.find(&entry.hash, size).is_some() {
                // Another index object says what is so: the pack is as good as before.
                let problem = lock(&self.found).add(&name, what);
                lock(bad).packs.entry(number).or_insert(problem);
            } else {
                whole(&what);
            }
            return Ok(());
        }
        let repository = self.repository;
        let stop = || repository.store().cancel().is_cancelled();
        let _taken = (level != CheckLevel::Structure).then(|| memory.take(size, &stop));
        let bytes = match level {
            CheckLevel::Structure => None,
            _ => Some(object::get(repository.store(), &name)),
        };
        let read = match &bytes {
            None => pack::read_directory(
                repository.store(),
                repository.keys(),
                index.compartment,
                &entry.hash,
                size,
            )
            .map(|read| (read, None)),
            Some(Ok(bytes)) => {
                if Hash::of(bytes) != entry.hash {
                    let what = "its bytes do not have the hash that is its name";
                    // Which chunks are damaged is seen when each is opened.
                    if level == CheckLevel::Data {
                        lock(&self.found).add(&name, what);
                    } else {
                        whole(what);
                    }
                }
                pack::parse(repository.keys(), index.compartment, &name, bytes)
                    .map(|read| (read, Some(bytes)))
            }
            Some(Err(RepoError::Missing { .. })) => Err(RepoError::Missing { object: name.clone() }),
            Some(Err(_)) => {
                // Let the storage say it again, as an error that can be handed on.
                object::get(repository.store(), &name).map(|_| ())?;
                return Ok(());
            }
        };
        let ((_, directory), bytes) = match read {
            Ok(read) => read,
            // Deleted since it was listed.
            Err(RepoError::Missing { .. }) => {
                self.missing_pack(&name, number, bad);
                return Ok(());
            }
            Err(error) => {
                let problem = lock(&self.found).note(&name, error)?;
                let mut bad = lock(bad);
                bad.packs.insert(number, problem);
                bad.rotten.insert(number);
                return Ok(());
            }
        };
        let mut seen = HashMap::new();
        let mut indexed = 0u64;
        for chunk in &directory.chunks {
            seen.insert(chunk.id, chunk.raw_len);
            let places = index.find(&chunk.id)?;
            indexed += places.iter().filter(|record| record.pack == number).count() as u64;
            if !places.iter().any(|record| record.pack == number && record.raw_len == chunk.raw_len) {
                lock(&self.found).add(
                    &name,
                    "its directory and the index differ: the index does not list one of its chunks",
                );
                break;
            }
        }
        if indexed != count {
            self.false_places(index, number, &name, &seen, bad)?;
        }
        if let (CheckLevel::Data, Some(bytes)) = (level, bytes) {
            self.chunks(index.compartment, number, &name, &directory, bytes, bad)?;
        }
        Ok(())
    }

    /// Chunks that the index names in a pack whose directory does not have them: the index is
    /// wrong, or lies; the pack is as good as before.
    fn false_places(
        &self,
        index: &Index,
        number: u32,
        name: &str,
        directory: &HashMap<ChunkId, u32>,
        bad: &Mutex<BadPlaces>,
    ) -> Result<(), RepoError> {
        let problem = lock(&self.found)
            .add(name, "its directory and the index differ: the index lists a chunk that is not in it");
        for record in index.records.iter() {
            let record = record.map_err(local)?;
            if record.pack == number && directory.get(&record.id) != Some(&record.raw_len) {
                lock(bad).not_there.insert((number, record.id), problem);
            }
        }
        Ok(())
    }

    /// A prune deletes packs before it rewrites the index: that one is missing is a problem if a
    /// backup needs it.
    fn missing_pack(&self, name: &str, number: u32, bad: &Mutex<BadPlaces>) {
        let mut found = lock(&self.found);
        let problem = found.add(name, "it is missing");
        found.harmless.insert(problem);
        lock(bad).packs.entry(number).or_insert(problem);
    }

    /// Opens every chunk of a pack.
    fn chunks(
        &self,
        compartment: Compartment,
        number: u32,
        name: &str,
        directory: &pack::Directory,
        bytes: &[u8],
        bad: &Mutex<BadPlaces>,
    ) -> Result<(), RepoError> {
        let keys = self.repository.keys();
        let own = keys.compartment(compartment)?;
        let mut id_keys: HashMap<(u8, Vec<u8>), [u8; 32]> = HashMap::new();
        let mut opened = HashMap::new();
        for chunk in &directory.chunks {
            self.repository.store().cancel().check()?;
            let from = chunk.offset as usize;
            let sealed = bytes.get(from..from + chunk.sealed_len as usize).unwrap_or_default();
            let key_id: [u8; 16] = chunk.key_id.into();
            let key = match opened.entry(key_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => match pack::open_key(keys, compartment, directory, chunk) {
                    Ok(key) => unknown.insert(key),
                    Err(error) => {
                        let problem = lock(&self.found).note(name, inside(name, error))?;
                        lock(bad).chunks.insert((number, chunk.id), problem);
                        continue;
                    }
                },
            };
            let id_key = id_keys
                .entry((chunk.kind, chunk.domain.to_vec()))
                .or_insert_with(|| own.chunk_id_key(chunk.kind, &chunk.domain));
            if let Err(what) = pack::open_chunk(keys, key, chunk, id_key, sealed) {
                let problem = lock(&self.found).add(name, format!("chunk {}: {what}", chunk.id));
                lock(bad).chunks.insert((number, chunk.id), problem);
            }
        }
        Ok(())
    }
}
