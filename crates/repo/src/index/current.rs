//! The index as this process has it loaded: read again when an index object came or went.

use std::sync::{Arc, Mutex};

use super::{Index, Listed};
use crate::RepoError;
use crate::lock::lock;
use crate::unlocked::Unlocked;

/// The loaded index of one repository, for all of its jobs.
#[derive(Default)]
pub(crate) struct CurrentIndex(Mutex<Option<Arc<Index>>>);

impl CurrentIndex {
    /// The index as it is now: the loaded one if no index object came or went.
    pub(crate) fn get(&self, repository: &Unlocked) -> Result<Arc<Index>, RepoError> {
        self.after(repository, Index::list(&repository.store)?)
    }

    /// [`CurrentIndex::get`] behind a list of its objects that was made just now.
    pub(crate) fn after(&self, repository: &Unlocked, listed: Listed) -> Result<Arc<Index>, RepoError> {
        let mut loaded = lock(&self.0);
        if let Some(index) = &*loaded
            && index.unreadable.is_empty()
            && !index.is_rotten()
            && listed == index.listed
        {
            return Ok(Arc::clone(index));
        }
        let Unlocked { store, keys, local, .. } = repository;
        let index = Arc::new(Index::load(store, keys, local, true, listed)?);
        *loaded = Some(Arc::clone(&index));
        Ok(index)
    }

    /// The index for those who need all of it: every page of its local file is looked at.
    pub(crate) fn whole(&self, repository: &Unlocked) -> Result<Arc<Index>, RepoError> {
        let index = self.get(repository)?;
        if index.is_whole() { Ok(index) } else { self.get(repository) }
    }

    /// The index for readers: the loaded one, if there is one. Who misses something in it looks for
    /// a newer one.
    pub(crate) fn to_read(&self, repository: &Unlocked) -> Result<Arc<Index>, RepoError> {
        let is_good = |index: &&Arc<Index>| index.unreadable.is_empty() && !index.is_rotten();
        let loaded = lock(&self.0).as_ref().filter(is_good).cloned();
        loaded.map_or_else(|| self.get(repository), Ok)
    }

    /// Lets go of the loaded one.
    pub(crate) fn forget(&self) {
        *lock(&self.0) = None;
    }
}
