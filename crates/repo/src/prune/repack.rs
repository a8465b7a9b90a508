//! Moving living chunks out of packs that are mostly dead: sealed bytes, records and keys as they
//! are, unopened.

use std::collections::HashSet;
use std::sync::Arc;

use super::usage::{Standing, Usage};
use crate::RepoError;
use crate::ids::{Hash, ObjectHash};
use crate::index::object::{IndexContent, IndexRecord, PackEntry};
use crate::index::{Index, Run, object as index_object};
use crate::object::{self, Kind};
use crate::pack::{self, Builder};
use crate::repository::Repository;

/// An index object is put when so many chunks were moved.
const PER_INDEX: usize = 256 << 10;

/// What was moved.
pub(super) struct Outcome {
    /// Packs that hold nothing any more that is not elsewhere.
    pub packs: Vec<ObjectHash>,
    pub bytes: u64,
}

struct Repack<'r> {
    repository: &'r Repository,
    builders: [Builder; 2],
    waiting: IndexContent,
    /// Sources whose chunks are in builders or waiting, and those that are done with.
    open: Vec<ObjectHash>,
    done: Outcome,
}

/// Moves what lives in the packs `sparse`. A pack that is damaged is left as it is.
pub(super) fn run(
    repository: &Repository,
    index: &Index,
    (standing, usage): (&[Standing], &Usage),
    live: &Arc<Run>,
    sparse: &[ObjectHash],
) -> Result<Outcome, RepoError> {
    let sources: HashSet<u32> = sparse.iter().filter_map(|pack| index.packs.find(pack)).collect();
    // A place in a pack that is itself about to go as dead is none.
    let stays = |number: u32| {
        let secure = standing.get(number as usize).is_some_and(|own| *own >= Standing::Marked);
        let kept = usage.packs.get(number as usize).is_some_and(|own| own.live > 0);
        secure && kept && !sources.contains(&number)
    };
    let mut repack = Repack {
        repository,
        builders: [Kind::DataPack, Kind::MetadataPack].map(|kind| Builder::new(kind, Vec::new())),
        waiting: IndexContent::default(),
        open: Vec::new(),
        done: Outcome { packs: Vec::new(), bytes: 0 },
    };
    let mut moved = HashSet::new();
    for source in sparse {
        repository.store().cancel().check()?;
        let name = pack::name(source);
        let bytes = match object::get(repository.store(), &name) {
            Ok(bytes) => bytes,
            // Another pruner was faster; or it is lost, which is not for prune to say.
            Err(RepoError::Missing { .. }) => continue,
            Err(error) => return Err(error),
        };
        let directory = match pack::parse(repository.keys(), &name, &bytes) {
            Ok((_, directory)) if Hash::of(&bytes) == *source => directory,
            Ok(_) => {
                repository
                    .warn(&format!("{name} is damaged and is left as it is: its bytes do not have its hash"));
                continue;
            }
            Err(error) => {
                repository.warn(&format!("{name} is damaged and is left as it is: {error}"));
                continue;
            }
        };
        for chunk in &directory.chunks {
            let find = |run: &Run| {
                run.find(&chunk.id).map_err(|source| RepoError::Local {
                    doing: "read the local index",
                    path: "of this prune".into(),
                    source,
                })
            };
            if find(live)?.is_empty() || moved.contains(&chunk.id) {
                continue;
            }
            if index.find(&chunk.id)?.iter().any(|place| stays(place.pack)) {
                continue;
            }
            let from = chunk.offset as usize;
            let sealed = bytes.get(from..from + chunk.sealed_len as usize).unwrap_or_default();
            let key = directory.keys.iter().find(|key| key.key_id == chunk.key_id);
            let Some(key) = key else { continue };
            repack.add(chunk, &key.key, sealed)?;
            moved.insert(chunk.id);
        }
        repack.open.push(*source);
    }
    repack.finish()
}

impl Repack<'_> {
    fn add(
        &mut self,
        chunk: &pack::ChunkRecord,
        key: &object::StoredKey,
        sealed: &[u8],
    ) -> Result<(), RepoError> {
        let is_data = crate::stream::ChunkKind::from_number(chunk.kind).is_some_and(|kind| kind.is_data());
        let [data, metadata] = &mut self.builders;
        let builder = if is_data { data } else { metadata };
        builder.add(chunk.clone(), key, sealed)?;
        self.done.bytes += sealed.len() as u64;
        if builder.is_full() {
            let kind = builder.kind;
            let full = std::mem::replace(builder, Builder::new(kind, Vec::new()));
            self.put(full)?;
        }
        Ok(())
    }

    fn put(&mut self, builder: Builder) -> Result<(), RepoError> {
        let (hash, bytes, chunks) = builder.finish(self.repository.keys())?;
        let size = bytes.len() as u64;
        object::put(self.repository.store(), &pack::name(&hash), bytes)?;
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
        let bytes = index_object::encode(self.repository.keys(), content)?;
        object::put(self.repository.store(), &index_object::name(&Hash::of(&bytes)), bytes)
    }

    /// Only when everything is put and in the index are the sources done with.
    fn finish(mut self) -> Result<Outcome, RepoError> {
        for kind in [Kind::DataPack, Kind::MetadataPack] {
            let at = usize::from(kind == Kind::MetadataPack);
            let Some(builder) = self.builders.get_mut(at) else { continue };
            if !builder.is_empty() {
                let last = std::mem::replace(builder, Builder::new(kind, Vec::new()));
                self.put(last)?;
            }
        }
        self.put_index()?;
        self.done.packs = self.open;
        Ok(self.done)
    }
}
