//! An open repository: the face of this crate, and what each of its jobs has at hand.
//!
//! What it does is in other files: `backups.rs` lists and opens, `writer/` writes, `forget.rs` and
//! `prune/` let go, `check/`, `mend.rs` and `repair.rs` look after it, `access.rs` changes keys.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use pgark_store::{Cancel, Listener, Storage};

use crate::at_once::each;
use crate::ids::{Compartment, RepositoryId};
use crate::index::{CurrentIndex, Index};
use crate::reader::ChunkReader;
use crate::rights::Scope;
use crate::secrets::{Header, Keys, LocalFolders, Unlock};
use crate::unlocked::Unlocked;
use crate::{RepoError, names};

/// A repository on one storage, opened, as one job sees it: every request that its methods make
/// ends with that job ([`Storage`]). Many threads may use it at once, and [`Repository::for_job`]
/// gives it to any number of jobs. Its methods block; the head of `pgark_store` says what that
/// means to asynchronous callers.
pub struct Repository {
    pub(crate) unlocked: Unlocked,
    pub(crate) index: Arc<CurrentIndex>,
}

impl Repository {
    /// Opens a repository for the job that `store` belongs to.
    ///
    /// # Errors
    /// [`RepoError::NoRepository`], [`RepoError::WrongKey`], [`RepoError::NeedsKey`],
    /// [`RepoError::SecretForPlainRepository`], [`RepoError::FingerprintChanged`],
    /// [`RepoError::NewerFormat`].
    pub fn open(store: Storage, unlock: Unlock, local: LocalFolders) -> Result<Repository, RepoError> {
        let header = Header::get(&store)?;
        Repository::open_with(store, &header, unlock, local)
    }

    /// [`Repository::open`] where the header was read just now.
    pub fn open_with(
        store: Storage,
        header: &Header,
        unlock: Unlock,
        local: LocalFolders,
    ) -> Result<Repository, RepoError> {
        let unlocked = Unlocked::new(store, header, &unlock, local)?;
        Ok(Repository { unlocked, index: Arc::default() })
    }

    /// The same open repository for another job: what is asked through it ends with `cancel` and
    /// with nothing else. What was read already (the index, the list of writers) serves all jobs.
    pub fn for_job(&self, cancel: &Cancel) -> Repository {
        Repository { unlocked: self.unlocked.for_job(cancel), index: Arc::clone(&self.index) }
    }

    /// The same, for a job whose listener this is: what is to be told of it goes there.
    #[must_use]
    pub fn heard_by(mut self, listener: Arc<dyn Listener>) -> Repository {
        self.unlocked.store = self.unlocked.store.heard_by(listener);
        self
    }

    /// Tells the job's listener what an operator should know.
    pub fn warn(&self, text: &str) {
        self.store().warn(text);
    }

    /// Tells the job's listener a detail.
    pub fn detail(&self, text: &str) {
        self.store().detail(text);
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.keys().repository
    }

    /// The folder that it is in, if it is one of this host.
    pub fn folder(&self) -> Option<PathBuf> {
        self.store().folder()
    }

    /// What its storage was asked so far, and what moved; None where nobody counts.
    pub fn traffic(&self) -> Option<pgark_store::TrafficReport> {
        self.store().traffic()
    }

    /// Its fingerprint, for people to compare.
    pub fn fingerprint(&self) -> String {
        self.keys().fingerprint()
    }

    /// Whether the secret at hand opens data.
    pub fn can_read_data(&self) -> bool {
        self.keys().can_read_data()
    }

    /// Whether it is encrypted.
    pub fn encrypted(&self) -> bool {
        self.keys().encrypted
    }

    /// The storage, for the job.
    pub(crate) fn store(&self) -> &Storage {
        &self.unlocked.store
    }

    /// The keys at hand.
    /// The clusters that the key at hand is for; None: for all.
    pub fn clusters_of_key(&self) -> Option<Vec<String>> {
        self.keys().clusters()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.unlocked.keys
    }

    /// The index of a compartment as it is now ([`CurrentIndex::get`]).
    pub(crate) fn index(&self, compartment: Compartment) -> Result<Arc<Index>, RepoError> {
        self.index.get(&self.unlocked, compartment)
    }

    /// The index of a compartment, every page of it ([`CurrentIndex::whole`]).
    pub(crate) fn whole_index(&self, compartment: Compartment) -> Result<Arc<Index>, RepoError> {
        self.index.whole(&self.unlocked, compartment)
    }

    /// Reads chunks that this index names.
    ///
    /// # Errors
    /// [`RepoError::OtherCluster`].
    pub(crate) fn chunks(&self, index: Arc<Index>) -> Result<ChunkReader<'_>, RepoError> {
        ChunkReader::new(&self.unlocked, &self.index, index)
    }

    /// The compartments that something is in, of those that the keys at hand open.
    pub(crate) fn compartments(&self) -> Result<BTreeSet<Compartment>, RepoError> {
        self.compartments_in(&names::OF_COMPARTMENTS)
    }

    /// The same, of what is below these folders.
    pub(crate) fn compartments_in(&self, folders: &[&str]) -> Result<BTreeSet<Compartment>, RepoError> {
        let mut found = BTreeSet::new();
        for listed in each(folders, |folder| names::list(self.store(), folder)) {
            for meta in listed? {
                found.extend(match names::scope(&meta.name) {
                    Some(Scope::Compartment(compartment)) => Some(compartment),
                    Some(Scope::Cluster(cluster)) => self.keys().compartment_of(cluster),
                    None => None,
                });
            }
        }
        found.retain(|compartment| self.keys().opens(*compartment));
        Ok(found)
    }

    /// Cuts what item lists hold of each hash to so many bits, for tests that want collisions.
    #[cfg(feature = "weak_hashes")]
    pub fn cut_item_hashes(&self, bits: u32) {
        self.unlocked.cut_item_hashes(bits);
    }
}
