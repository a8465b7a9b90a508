//! The index as this process has it loaded: read again when an index object came or went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Index, Listed};
use crate::RepoError;
use crate::ids::Compartment;
use crate::lock::lock;
use crate::unlocked::Unlocked;

/// The loaded index of one repository, by compartment, for all of its jobs.
#[derive(Default)]
pub(crate) struct CurrentIndex(Mutex<HashMap<Compartment, Arc<Index>>>);

impl CurrentIndex {
    /// The index as it is now: the loaded one if no index object came or went.
    pub(crate) fn get(
        &self,
        repository: &Unlocked,
        compartment: Compartment,
    ) -> Result<Arc<Index>, RepoError> {
        self.after(repository, compartment, Index::list(&repository.store, compartment)?)
    }

    /// [`CurrentIndex::get`] behind a list of its objects that was made just now.
    pub(crate) fn after(
        &self,
        repository: &Unlocked,
        compartment: Compartment,
        listed: Listed,
    ) -> Result<Arc<Index>, RepoError> {
        let mut loaded = lock(&self.0);
        if let Some(index) = loaded.get(&compartment)
            && index.unreadable.is_empty()
            && !index.is_rotten()
            && listed == index.listed
        {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(Index::load(repository, compartment, true, listed)?);
        loaded.insert(compartment, Arc::clone(&index));
        Ok(index)
    }

    /// The index for those who need all of it: every page of its local file is looked at.
    pub(crate) fn whole(
        &self,
        repository: &Unlocked,
        compartment: Compartment,
    ) -> Result<Arc<Index>, RepoError> {
        let index = self.get(repository, compartment)?;
        if index.is_whole() { Ok(index) } else { self.get(repository, compartment) }
    }

    /// The index for readers: the loaded one, if there is one. Who misses something in it looks for
    /// a newer one.
    pub(crate) fn to_read(
        &self,
        repository: &Unlocked,
        compartment: Compartment,
    ) -> Result<Arc<Index>, RepoError> {
        let is_good = |index: &&Arc<Index>| index.unreadable.is_empty() && !index.is_rotten();
        let loaded = lock(&self.0).get(&compartment).filter(is_good).cloned();
        loaded.map_or_else(|| self.get(repository, compartment), Ok)
    }

    /// Releases what is loaded.
    pub(crate) fn forget(&self) {
        lock(&self.0).clear();
    }
}
