//! Doors for tests: objects as a writer puts them who does not follow the protocol.

use crate::RepoError;
use crate::ids::Hash;
use crate::index::object::{self as index_object, IndexContent, IndexRecord, PackEntry};
use crate::names::ManifestName;
use crate::object;
use crate::pack;
use crate::prune::trash::{self, Trash};
use crate::random;
use crate::repository::Repository;
use crate::tombstone;

impl Repository {
    /// A list of marks, or of intents, of the pack of this name alone, as a pruner leaves it that
    /// is gone. Returns its name.
    pub fn put_mark(&self, pack: &str, intents: bool) -> Result<String, RepoError> {
        let (compartment, hash) =
            pack::parse_name(pack).ok_or_else(|| RepoError::Missing { object: pack.into() })?;
        let pruner = random::backup_id()?.to_string();
        let name = trash::name(compartment, &pruner, intents);
        let bytes = trash::make(self.keys(), &name, &[(hash, None)].into(), intents)?;
        object::put(self.store(), &name, bytes)?;
        Ok(name)
    }

    /// Index objects that name so many packs of 128 MiB, which nobody has put, with so many chunks
    /// each: what a large repository looks like to those who read its index. Returns the packs'
    /// names.
    pub fn put_index_of_many(
        &self,
        cluster: &str,
        packs: u64,
        chunks_each: u64,
    ) -> Result<Vec<String>, RepoError> {
        const PER_OBJECT: u64 = 500;
        let compartment = self.unlocked.compartment_of(cluster)?;
        let mut names = Vec::new();
        for first in (0..packs).step_by(PER_OBJECT as usize) {
            let hashes: Vec<Hash> = (first..packs.min(first + PER_OBJECT))
                .map(|number| Hash::of(&[b"pack", number.to_le_bytes().as_slice()].concat()))
                .collect();
            let record = |pack: u32, chunk: u64| IndexRecord {
                id: Hash::of(&[(first + u64::from(pack)).to_le_bytes(), chunk.to_le_bytes()].concat()),
                pack,
                raw_len: 64 << 10,
                sealed_len: 20 << 10,
                kind: 1,
            };
            let of_pack = |pack: u32| (0..chunks_each).map(move |chunk| record(pack, chunk));
            let content = IndexContent {
                records: (0..).take(hashes.len()).flat_map(of_pack).collect(),
                packs: hashes.iter().map(|hash| PackEntry { hash: *hash, size: 128 << 20 }).collect(),
                supersedes: Vec::new(),
            };
            let bytes = index_object::encode(self.keys(), compartment, content)?;
            object::put(self.store(), &index_object::name(compartment, &Hash::of(&bytes)), bytes)?;
            names.extend(hashes.iter().map(|hash| pack::name(compartment, hash)));
        }
        Ok(names)
    }

    /// The tombstone of a backup that never was: the cluster's next one has the next number.
    pub fn put_tombstone(&self, cluster: &str, sequence: u64) -> Result<(), RepoError> {
        let cluster = self.keys().cluster_hash(cluster)?;
        let name = ManifestName { cluster, sequence, id: random::backup_id()? };
        tombstone::put(&self.unlocked, &name, None)
    }

    /// Names of all packs that pruners have announced.
    pub fn announced_packs(&self) -> Result<Vec<String>, RepoError> {
        let mut names = Vec::new();
        for compartment in self.compartments()? {
            let trash = Trash::read(&self.unlocked, compartment, &Trash::default())?;
            let packs = trash.intents().flat_map(|said| said.packs.keys());
            names.extend(packs.map(|pack| pack::name(compartment, pack)));
        }
        Ok(names)
    }
}
