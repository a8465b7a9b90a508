//! Rebuilding the index from packs alone.

use std::collections::BTreeSet;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::RepoError;
use crate::ids::{Compartment, Hash};
use crate::index::object::{self as index_object, IndexContent, IndexRecord, PackEntry};
use crate::index::{Index, PackTable};
use crate::names;
use crate::object;
use crate::pack;
use crate::repository::Repository;
use crate::rights::{Right, Scope};

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
    /// there. The writer secret is enough. Writers may be at work: what they put meanwhile stays.
    pub fn repair_index(&self, on_pack: &dyn Fn(u64, u64)) -> Result<RepairedIndex, RepoError> {
        let mut report = RepairedIndex::default();
        let compartments = self.compartments()?;
        let scopes: Vec<Scope<'_>> = compartments.iter().copied().map(Scope::Compartment).collect();
        self.unlocked.refuse_stranger(Right::Prune, &scopes)?;
        for compartment in compartments {
            self.repair_index_of(compartment, &mut report, on_pack)?;
        }
        self.index.forget();
        Ok(report)
    }

    fn repair_index_of(
        &self,
        compartment: Compartment,
        report: &mut RepairedIndex,
        on_pack: &dyn Fn(u64, u64),
    ) -> Result<(), RepoError> {
        let store = self.store();
        // Index objects first: whatever they name was there before them.
        let old = Index::list_whole(store, compartment)?;
        report.replaced += old.len() as u64;
        let mut known = PackTable::default();
        for name in old.keys() {
            match crate::index::read_object(&self.unlocked, name) {
                Err(error @ (RepoError::Store(_) | RepoError::NewerFormat { .. })) => return Err(error),
                Err(_) => report.unreadable += 1,
                Ok((content, signer)) => {
                    if crate::index::counts(&self.unlocked, compartment, name, &signer).is_ok() {
                        known.add(&content);
                    }
                }
            }
        }
        let packs = names::list(store, &pack::folder(compartment))?;
        let (mut content, mut table, mut new) =
            (IndexContent::default(), PackTable::default(), BTreeSet::new());
        for (number, meta) in packs.iter().enumerate() {
            store.cancel().check()?;
            on_pack(number as u64, packs.len() as u64);
            let Some((_, hash)) = pack::parse_name(&meta.name) else { continue };
            let (_, directory) = match pack::read_directory(store, self.keys(), compartment, &hash, meta.size)
            {
                Ok(read) => read,
                // A prune deleted it since the list was made.
                Err(RepoError::Missing { .. }) => continue,
                Err(RepoError::Damaged { what, .. }) => {
                    report.lost.push((meta.name.clone(), what));
                    continue;
                }
                Err(error) => return Err(error),
            };
            // What an index object that counts names was judged when that was put.
            if known.find(&hash, meta.size).is_none()
                && let Err(why) = self.may_have_stored(compartment, &directory.signer, meta.modified)
            {
                report.lost.push((meta.name.clone(), format!("the signature: {why}")));
                continue;
            }
            let number = table.number(PackEntry { hash, size: meta.size });
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
                new.insert(self.put_index_object(
                    compartment,
                    std::mem::take(&mut content),
                    std::mem::take(&mut table),
                )?);
            }
        }
        if !content.records.is_empty() {
            new.insert(self.put_index_object(compartment, content, table)?);
        }
        // Only now is everything in the new ones.
        crate::prune::settle(store)?;
        for name in old.keys().filter(|name| !new.contains(*name)) {
            store.delete(name)?;
        }
        Ok(())
    }

    /// Whether a pack that no index object names may be of its signer: someone who has the right to
    /// write today, or might when the storage took it.
    fn may_have_stored(
        &self,
        compartment: Compartment,
        signer: &[u8],
        put: SystemTime,
    ) -> Result<(), String> {
        let Err(why) = self.unlocked.may_store(signer, compartment, None) else { return Ok(()) };
        let revoked = self.unlocked.writers().revoked(signer);
        let put = Timestamp::try_from(put).map_or(i64::MAX, Timestamp::as_microsecond);
        if revoked.is_some_and(|revoked| put < revoked) { Ok(()) } else { Err(why) }
    }

    fn put_index_object(
        &self,
        compartment: Compartment,
        content: IndexContent,
        packs: PackTable,
    ) -> Result<String, RepoError> {
        let content = IndexContent { packs: packs.packs, ..content };
        let bytes = index_object::encode(self.keys(), compartment, content)?;
        let name = index_object::name(compartment, &Hash::of(&bytes));
        object::put(self.store(), &name, bytes)?;
        Ok(name)
    }
}
