//! Making the index anew from packs alone.

use std::collections::BTreeSet;

use crate::RepoError;
use crate::ids::Hash;
use crate::index::Index;
use crate::index::object::{self as index_object, IndexContent, IndexRecord, PackEntry};
use crate::names;
use crate::object;
use crate::pack;
use crate::repository::Repository;

/// Records of a new index object.
const PER_OBJECT: usize = 1 << 20;

/// What [`Repository::repair_index`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairedIndex {
    /// Packs whose directories were read.
    pub packs: u64,
    /// Chunks in them.
    pub chunks: u64,
    /// Index objects that were replaced.
    pub replaced: u64,
    /// Of these, those that could not be read.
    pub unreadable: u64,
    /// Packs whose directory cannot be read: their chunks are lost unless they lie elsewhere, too.
    pub lost: Vec<(String, String)>,
}

impl Repository {
    /// Reads the directory of every pack and writes new index objects, which replace all that were
    /// there. The writer secret suffices. Writers may be at work: what they put meanwhile stays.
    pub fn repair_index(&self, on_pack: &dyn Fn(u64, u64)) -> Result<RepairedIndex, RepoError> {
        let store = self.store();
        // Index objects first: whatever they name was there before them.
        let old = Index::list_whole(store)?;
        let mut report = RepairedIndex { replaced: old.len() as u64, ..RepairedIndex::default() };
        for name in old.keys() {
            match crate::index::read_object(store, self.keys(), name) {
                Err(error @ (RepoError::Store(_) | RepoError::NewerFormat { .. })) => return Err(error),
                Err(_) => report.unreadable += 1,
                Ok(_) => {}
            }
        }
        let packs = names::list(store, "packs/")?;
        let (mut content, mut new) = (IndexContent::default(), BTreeSet::new());
        for (number, meta) in packs.iter().enumerate() {
            store.cancel().check()?;
            on_pack(number as u64, packs.len() as u64);
            let Some(hash) = pack::parse_name(&meta.name) else { continue };
            let (_, directory) = match pack::read_directory(store, self.keys(), &hash, meta.size) {
                Ok(read) => read,
                // A prune deleted it since the list was made.
                Err(RepoError::Missing { .. }) => continue,
                Err(RepoError::Damaged { what, .. }) => {
                    report.lost.push((meta.name.clone(), what));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let number = u32::try_from(content.packs.len()).unwrap_or(u32::MAX);
            content.packs.push(PackEntry { hash, size: meta.size });
            content.records.extend(directory.chunks.iter().map(|chunk| IndexRecord {
                id: chunk.id,
                pack: number,
                raw_len: chunk.raw_len,
                sealed_len: chunk.sealed_len,
                kind: chunk.kind,
            }));
            report.packs += 1;
            report.chunks += directory.chunks.len() as u64;
            if content.records.len() >= PER_OBJECT {
                new.insert(self.put_index_object(std::mem::take(&mut content))?);
            }
        }
        if !content.records.is_empty() {
            new.insert(self.put_index_object(content)?);
        }
        // Only now is everything in the new ones.
        crate::prune::settle(store)?;
        for name in old.keys().filter(|name| !new.contains(*name)) {
            store.delete(name)?;
        }
        self.index.forget();
        Ok(report)
    }

    fn put_index_object(&self, content: IndexContent) -> Result<String, RepoError> {
        let bytes = index_object::encode(self.keys(), content)?;
        let name = index_object::name(&Hash::of(&bytes));
        object::put(self.store(), &name, bytes)?;
        Ok(name)
    }
}
