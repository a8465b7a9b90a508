//! Moving living chunks out of packs that are mostly dead: sealed bytes, records and keys as they
//! are, unopened.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::proof::Proof;
use super::usage::Usage;
use crate::RepoError;
use crate::ids::{ChunkId, Compartment, Hash, ObjectHash};
use crate::index::object::{IndexContent, IndexRecord, PackEntry};
use crate::index::{Index, Run, object as index_object};
use crate::object::{self, Kind};
use crate::pack::{self, Builder, ChunkRecord, KeyRecord, Listed};
use crate::repository::Repository;

/// Memory for packs: the source, and those that are filled.
const ROOM: usize = 192 << 20;
/// An index object is put when so many chunks were moved.
const PER_INDEX: usize = 256 << 10;

/// What was moved.
pub(super) struct Outcome {
    /// Packs that hold nothing any more that is not elsewhere.
    pub packs: Vec<ObjectHash>,
    pub bytes: u64,
}

/// What a survey says of the packs that chunks are moved from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'s> {
    pub index: &'s Index,
    pub listed: &'s HashMap<ObjectHash, Listed>,
    pub usage: &'s Usage,
}

struct Repack<'r, 'p> {
    repository: &'r Repository,
    compartment: Compartment,
    /// Of data packs.
    pack_bytes: usize,
    proof: &'p mut Proof<'r>,
    open: [Filling; 2],
    waiting: IndexContent,
    /// Sources whose chunks are in builders or waiting.
    sources: Vec<ObjectHash>,
    bytes: u64,
}

/// A new pack, and the chunks in it.
struct Filling {
    builder: Builder,
    /// A pack holds a chunk once.
    chunks: HashSet<ChunkId>,
}

/// Moves what lives in the packs `sparse`. A pack that is damaged is left as it is.
pub(super) fn run<'r>(
    repository: &'r Repository,
    from: Sources<'_>,
    live: &Arc<Run>,
    sparse: &[ObjectHash],
    proof: &mut Proof<'r>,
) -> Result<Outcome, RepoError> {
    let index = from.index;
    let compartment = index.compartment;
    let stored = from.listed.values().map(|listed| listed.size).sum();
    let pack_bytes = pack::bytes_for(stored, ROOM);
    let filling = |kind| Filling {
        builder: Builder::new(compartment, kind, pack_bytes, Vec::new()),
        chunks: HashSet::new(),
    };
    let mut repack = Repack {
        repository,
        compartment,
        pack_bytes,
        proof,
        open: [Kind::DataPack, Kind::MetadataPack].map(filling),
        waiting: IndexContent::default(),
        sources: Vec::new(),
        bytes: 0,
    };
    let mut moved = HashSet::new();
    for source in sparse {
        repository.store().cancel().check()?;
        let name = pack::name(compartment, source);
        let Some(listed) = from.listed.get(source) else { continue };
        let Some(number) = index.packs.find(source, listed.size) else { continue };
        let bytes = match object::get(repository.store(), &name) {
            Ok(bytes) => bytes,
            // Another pruner was faster; or it is lost, which is not for prune to say.
            Err(RepoError::Missing { .. }) => continue,
            Err(error) => return Err(error),
        };
        let directory = match pack::parse(repository.keys(), compartment, &name, &bytes) {
            Ok((_, directory))
                if Hash::of(&bytes) == *source && pack::holds_what_it_says(&directory, &bytes) =>
            {
                directory
            }
            Ok(_) => {
                repository
                    .warn(&format!("{name} is damaged and not changed: its bytes do not have its hash"));
                continue;
            }
            Err(error) => {
                repository.warn(&format!("{name} is damaged and not changed: {error}"));
                continue;
            }
        };
        // Where a chunk lives in several packs and they are not equal, nothing says which is the
        // true one: they stay as they are.
        let is_doubtful = |chunk: &ChunkRecord| {
            from.usage
                .kept
                .get(&chunk.id)
                .is_some_and(|kept| kept.is_doubtful && kept.packs.len() > 1 && kept.packs.contains(&number))
        };
        if directory.chunks.iter().any(is_doubtful) {
            continue;
        }
        repack.sources.push(*source);
        let may_prune = repository.unlocked.may_prune(&directory.signer, compartment);
        for chunk in &directory.chunks {
            let find = |run: &Run| {
                run.find(&chunk.id).map_err(|source| RepoError::Local {
                    doing: "read the local index",
                    path: "of this prune".into(),
                    source,
                })
            };
            if find(live)?.is_empty() || moved.contains(&(chunk.id, chunk.digest)) {
                continue;
            }
            // Of several places the one that the survey keeps is moved.
            if from.usage.kept.get(&chunk.id).is_some_and(|kept| !kept.packs.contains(&number)) {
                continue;
            }
            let at = chunk.offset as usize;
            let sealed = bytes.get(at..at + chunk.sealed_len as usize).unwrap_or_default();
            let key = directory.keys.iter().find(|key| key.key_id == chunk.key_id);
            let Some(key) = key else { continue };
            let maker = directory.maker(key, may_prune).to_vec().into();
            repack.add(chunk, &KeyRecord { maker, ..key.clone() }, sealed)?;
            moved.insert((chunk.id, chunk.digest));
        }
    }
    repack.finish()
}

impl Repack<'_, '_> {
    fn add(&mut self, chunk: &ChunkRecord, key: &KeyRecord, sealed: &[u8]) -> Result<(), RepoError> {
        let is_data = crate::stream::ChunkKind::from_number(chunk.kind).is_some_and(|kind| kind.is_data());
        let at = usize::from(!is_data);
        if self.open.get(at).is_some_and(|filling| filling.chunks.contains(&chunk.id)) {
            self.close(at)?;
        }
        let Some(filling) = self.open.get_mut(at) else { return Ok(()) };
        filling.chunks.insert(chunk.id);
        filling.builder.add(chunk.clone(), key, sealed)?;
        self.bytes += sealed.len() as u64;
        if filling.builder.is_full() { self.close(at) } else { Ok(()) }
    }

    /// Puts the pack that is open here, if anything is in it.
    fn close(&mut self, at: usize) -> Result<(), RepoError> {
        let Some(filling) = self.open.get_mut(at).filter(|filling| !filling.builder.is_empty()) else {
            return Ok(());
        };
        let empty = Builder::new(self.compartment, filling.builder.kind, self.pack_bytes, Vec::new());
        let builder = std::mem::replace(&mut filling.builder, empty);
        filling.chunks.clear();
        let (hash, bytes, chunks) = builder.finish(self.repository.keys())?;
        let size = bytes.len() as u64;
        object::put(self.repository.store(), &pack::name(self.compartment, &hash), bytes)?;
        self.proof.made(hash);
        let number = u32::try_from(self.waiting.packs.len()).unwrap_or(u32::MAX);
        self.waiting.packs.push(PackEntry { hash, size });
        self.waiting.records.extend(chunks.iter().map(|chunk| IndexRecord {
            id: chunk.id,
            pack: number,
            raw_len: chunk.raw_len,
            sealed_len: chunk.sealed_len,
            kind: chunk.kind,
        }));
        if self.waiting.records.len() >= PER_INDEX { self.put_index() } else { Ok(()) }
    }

    fn put_index(&mut self) -> Result<(), RepoError> {
        let content = std::mem::take(&mut self.waiting);
        if content.records.is_empty() {
            return Ok(());
        }
        self.refuse_suspects()?;
        let bytes = index_object::encode(self.repository.keys(), self.compartment, content)?;
        let name = index_object::name(self.compartment, &Hash::of(&bytes));
        object::put(self.repository.store(), &name, bytes)
    }

    /// What was moved out of a pack would be trusted though the pack is not. The list is read
    /// behind the new packs and before the index names them: whoever puts a newer one behind that
    /// looks for packs once more, and finds these.
    fn refuse_suspects(&self) -> Result<(), RepoError> {
        let list = self.repository.unlocked.read_writers()?;
        let suspects = list.suspects();
        match self.sources.iter().find(|source| suspects.contains_key(*source)) {
            None => Ok(()),
            Some(source) => Err(RepoError::Keys {
                what: format!(
                    "while it was being repacked, {} was found to be written with a stolen key: the moved data is not used; run prune again",
                    pack::name(self.compartment, source)
                ),
            }),
        }
    }

    /// Only when everything is put and in the index are the sources done with.
    fn finish(mut self) -> Result<Outcome, RepoError> {
        for at in 0..self.open.len() {
            self.close(at)?;
        }
        self.put_index()?;
        Ok(Outcome { packs: self.sources, bytes: self.bytes })
    }
}
