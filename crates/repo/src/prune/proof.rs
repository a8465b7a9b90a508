//! What is proved of places: that two of them hold the same sealed bytes.
//!
//! An index object says where chunks are, a pack's directory what their sealed bytes hash to. Both
//! were written by someone who had a key, and may lie. So one place is given up for another only
//! where the directories of both name the same hash, and the bytes of the one that stays were read
//! and have it. Which packs were read whole is kept in this host's cache: they never change.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::usage::{Digests, Prover, Sealed};
use crate::RepoError;
use crate::ids::{ChunkId, Compartment, Hash, ObjectHash};
use crate::index::object::PackEntry;
use crate::object;
use crate::pack::{self, ChunkRecord, Directory};
use crate::repository::Repository;

/// The files of this host that say which packs were read whole.
const CACHE: &str = "proved";

/// Reads packs and their directories.
pub(crate) struct Proof<'r> {
    repository: &'r Repository,
    compartment: Compartment,
    /// Packs whose bytes were read and are what their names and directories say.
    whole: HashSet<ObjectHash>,
    broken: HashSet<ObjectHash>,
    /// What this run added.
    new: HashSet<ObjectHash>,
}

impl<'r> Proof<'r> {
    pub(crate) fn new(repository: &'r Repository, compartment: Compartment) -> Result<Proof<'r>, RepoError> {
        let file = repository.cache_file(CACHE, &compartment.0)?;
        let known = file.and_then(|file| file.read()).unwrap_or_default();
        let (known, _) = known.as_chunks::<32>();
        let whole = known.iter().map(|hash| Hash(*hash)).collect();
        Ok(Proof { repository, compartment, whole, broken: HashSet::new(), new: HashSet::new() })
    }

    /// A pack that this run made itself of bytes that it read.
    pub(super) fn made(&mut self, pack: ObjectHash) {
        if self.whole.insert(pack) {
            self.new.insert(pack);
        }
    }

    /// Keeps what was proved of packs that are still there.
    pub(super) fn keep(&self, is_there: impl Fn(&ObjectHash) -> bool) -> Result<(), RepoError> {
        if !self.new.is_empty()
            && let Some(file) = self.repository.cache_file(CACHE, &self.compartment.0)?
        {
            let kept = self.whole.iter().filter(|pack| is_there(pack) || self.new.contains(*pack));
            file.write(kept.flat_map(|pack| pack.0).collect());
        }
        Ok(())
    }

    fn directory(&self, entry: &PackEntry) -> Result<Directory, RepoError> {
        let (store, keys) = (self.repository.store(), self.repository.keys());
        pack::read_directory(store, keys, self.compartment, &entry.hash, entry.size)
            .map(|(_, directory)| directory)
    }
}

impl Prover for Proof<'_> {
    fn digests(
        &mut self,
        wanted: &BTreeMap<u32, Vec<ChunkId>>,
        entry: &dyn Fn(u32) -> Option<PackEntry>,
    ) -> Result<Digests, RepoError> {
        let mut found = Digests::default();
        for (number, chunks) in wanted {
            self.repository.store().cancel().check()?;
            let Some(entry) = entry(*number) else { continue };
            match self.directory(&entry) {
                Ok(directory) => {
                    let may_prune = self.repository.unlocked.may_prune(&directory.signer, self.compartment);
                    let mut makers = HashMap::new();
                    for key in &directory.keys {
                        let maker = found.maker(directory.maker(key, may_prune));
                        makers.insert(<[u8; 16]>::from(key.key_id), maker);
                    }
                    let of: HashMap<ChunkId, &ChunkRecord> =
                        directory.chunks.iter().map(|chunk| (chunk.id, chunk)).collect();
                    for chunk in chunks {
                        let sealed = of.get(chunk).and_then(|record| {
                            let maker = *makers.get(&<[u8; 16]>::from(record.key_id))?;
                            Some(Sealed { digest: Hash(record.digest.into()), maker })
                        });
                        found.known.insert((*number, *chunk), sealed);
                    }
                }
                // What cannot be read proves nothing.
                Err(error) if error.is_of_object() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn is_whole(&mut self, entry: &PackEntry) -> Result<bool, RepoError> {
        if self.whole.contains(&entry.hash) {
            return Ok(true);
        }
        if self.broken.contains(&entry.hash) {
            return Ok(false);
        }
        self.repository.store().cancel().check()?;
        let name = pack::name(self.compartment, &entry.hash);
        let is_whole = match object::get(self.repository.store(), &name) {
            Ok(bytes) => is_whole(self.repository, self.compartment, &name, &entry.hash, &bytes)?,
            Err(error) if error.is_of_object() => false,
            Err(error) => return Err(error),
        };
        match is_whole {
            true => self.made(entry.hash),
            false => drop(self.broken.insert(entry.hash)),
        }
        Ok(is_whole)
    }
}

/// Whether a pack's bytes have its hash, and each sealed chunk the one in the directory.
fn is_whole(
    repository: &Repository,
    compartment: Compartment,
    name: &str,
    hash: &ObjectHash,
    bytes: &[u8],
) -> Result<bool, RepoError> {
    if Hash::of(bytes) != *hash {
        return Ok(false);
    }
    match pack::parse(repository.keys(), compartment, name, bytes) {
        Ok((_, directory)) => Ok(pack::holds_what_it_says(&directory, bytes)),
        Err(error) if error.is_of_object() => Ok(false),
        Err(error) => Err(error),
    }
}
