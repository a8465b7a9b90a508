//! How much a repository holds: needed chunks once each, and objects on the storage.

use std::sync::Arc;

use crate::RepoError;
use crate::ids::Compartment;
use crate::manifest::{self};
use crate::names;
use crate::names::Which;
use crate::prune::live::Live;
use crate::prune::usage;
use crate::repository::Repository;

/// Sums over a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Raw bytes of the chunks that backups need, each once.
    pub bytes_unique: u64,
    /// The same chunks, compressed and sealed.
    pub bytes_sealed: u64,
    /// Bytes of all objects.
    pub bytes_stored: u64,
    /// Bytes of packs.
    pub bytes_packs: u64,
    /// Chunks that the index knows.
    pub chunks: u64,
}

impl Repository {
    /// Counts what is there and what of it is needed. The writer secret is enough.
    pub fn contents(&self) -> Result<Contents, RepoError> {
        let mut contents = Contents::default();
        for compartment in self.compartments_in(&names::OF_BACKUPS)? {
            self.count_compartment(compartment, &mut contents)?;
        }
        for meta in
            names::list_all(self.store())?.iter().filter(|meta| names::is_own(self.keys(), &meta.name))
        {
            contents.bytes_stored += meta.size;
            if meta.name.starts_with("packs/") {
                contents.bytes_packs += meta.size;
            }
        }
        Ok(contents)
    }

    fn count_compartment(&self, compartment: Compartment, contents: &mut Contents) -> Result<(), RepoError> {
        let which = Which::Compartment(compartment);
        let manifests = manifest::read_some(&self.unlocked, which)?.warned(&self.unlocked);
        let index = self.whole_index(compartment)?;
        let reader = self.chunks(Arc::clone(&index))?;
        let mut live = Live::new(&self.unlocked);
        for (backup, error) in live.add(&reader, &manifests)? {
            self.unlocked.warn_once(format!("backup {backup} is counted in part only: {error}"));
        }
        let (live, unknown) = live.sorted(&reader)?;
        unknown
            .into_iter()
            .for_each(|error| self.unlocked.warn_once(format!("what it references is not counted: {error}")));
        usage::each_chunk(&index, &live, |places, lives| {
            contents.chunks += u64::from(!places.is_empty());
            if let Some(place) = places.first().filter(|_| lives) {
                contents.bytes_unique += u64::from(place.raw_len);
                contents.bytes_sealed += u64::from(place.sealed_len);
            }
            Ok(())
        })
    }
}
