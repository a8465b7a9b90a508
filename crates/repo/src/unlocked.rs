//! An unlocked repository: its storage, the keys that open its objects, this host's folders, and
//! the list of writers by which signatures are judged.
//!
//! Whatever reads or writes single objects (manifests, tombstones, tags, drafts, sessions, the
//! quarantine, chunks) takes this. [`crate::Repository`] is it and the loaded index.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use pgark_store::{Cancel, Storage};

use crate::ids::ObjectHash;
use crate::lock::lock;
use crate::map::ItemHasher;
use crate::object::{Kind, damaged};
use crate::secrets::{self, Header, Heads, Keys, LocalFolders, Unlock};
use crate::writers::Writers;
use crate::{RepoError, signed};

/// A repository's storage as one job sees it, and what opens the objects on it.
pub(crate) struct Unlocked {
    pub store: Storage,
    pub keys: Arc<Keys>,
    pub local: Arc<LocalFolders>,
    shared: Arc<Shared>,
}

/// What all jobs share.
struct Shared {
    writers: Mutex<Arc<Writers>>,
    /// Warnings that were given: each once.
    told: Mutex<HashSet<String>>,
    #[cfg(feature = "weak_hashes")]
    listed_bits: std::sync::atomic::AtomicU64,
}

impl Unlocked {
    /// Unlocks the repository of this header for the job that `store` belongs to.
    pub(crate) fn new(
        store: Storage,
        header: &Header,
        unlock: &Unlock,
        local: LocalFolders,
    ) -> Result<Unlocked, RepoError> {
        let keys = secrets::open(&store, header, unlock, &local)?;
        let writers = Mutex::new(Arc::new(Writers::read(&store, &keys)?));
        let shared = Arc::new(Shared {
            writers,
            told: Mutex::default(),
            #[cfg(feature = "weak_hashes")]
            listed_bits: std::sync::atomic::AtomicU64::new(u64::MAX),
        });
        Ok(Unlocked { store, keys: Arc::new(keys), local: Arc::new(local), shared })
    }

    /// The same for another job.
    pub(crate) fn for_job(&self, cancel: &Cancel) -> Unlocked {
        Unlocked {
            store: self.store.for_job(cancel),
            keys: Arc::clone(&self.keys),
            local: Arc::clone(&self.local),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether a signer may sign: anything (`about` none), or a manifest of this cluster and hash.
    pub(crate) fn judge(&self, signer: &[u8], about: Option<(&str, &ObjectHash)>) -> Result<(), String> {
        if !self.keys.encrypted || signer == self.keys.owner_public() {
            return Ok(());
        }
        let mut list = Arc::clone(&lock(&self.shared.writers));
        if !list.knows(signer)
            && let Ok(newer) = Writers::read(&self.store, &self.keys)
        {
            // Perhaps it was added since this repository was opened.
            list = self.set_writers(newer);
        }
        list.judge(signer, about)
    }

    /// What a signed object holds ([`signed::open`]), if somebody signed it who may write to this
    /// repository today.
    pub(crate) fn open_signed(
        &self,
        kind: Kind,
        name: &str,
        stood_as: &str,
        bytes: &[u8],
    ) -> Result<Vec<u8>, RepoError> {
        let opened = signed::open(&self.keys, kind, name, stood_as, bytes)?;
        self.judge(&opened.signer, None)
            .map_err(|what| damaged(stood_as, format!("the signature: {what}")))?;
        Ok(opened.body)
    }

    /// Reads the list of writers that holds now.
    pub(crate) fn read_writers(&self) -> Result<(), RepoError> {
        self.set_writers(Writers::read(&self.store, &self.keys)?);
        Ok(())
    }

    /// From now on this list of writers holds.
    pub(crate) fn set_writers(&self, writers: Writers) -> Arc<Writers> {
        let writers = Arc::new(writers);
        *lock(&self.shared.writers) = Arc::clone(&writers);
        writers
    }

    /// Names of the slots that the list names, below their folder.
    pub(crate) fn listed_slots(&self) -> Vec<String> {
        lock(&self.shared.writers).body.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// Why this key may not write this cluster.
    pub(crate) fn refuse_stranger(&self, cluster: &str) -> Result<(), RepoError> {
        let nothing = ObjectHash::of(b"");
        self.read_writers()?;
        self.judge(&self.keys.writer_public(), Some((cluster, &nothing)))
            .map_err(|what| RepoError::Keys { what: format!("this key may not write here: {what}") })
    }

    /// Warns, unless the same was said before.
    pub(crate) fn warn_once(&self, warning: String) {
        if !lock(&self.shared.told).contains(&warning) {
            self.store.warn(&warning);
            lock(&self.shared.told).insert(warning);
        }
    }

    /// The newest manifests that this host has seen.
    pub(crate) fn heads(&self) -> Result<Heads, RepoError> {
        Heads::read(&self.local, self.keys.repository)
    }

    /// Hashes the items of maps of a mask domain.
    pub(crate) fn item_hasher(&self, domain: &[u8]) -> ItemHasher {
        let key = self.keys.item_key(domain);
        #[cfg(feature = "weak_hashes")]
        return ItemHasher::new(&key, self.shared.listed_bits.load(std::sync::atomic::Ordering::Relaxed));
        #[cfg(not(feature = "weak_hashes"))]
        ItemHasher::new(&key, u64::MAX)
    }

    /// Cuts what item lists hold of each hash to so many bits, for tests that want collisions.
    #[cfg(feature = "weak_hashes")]
    pub(crate) fn cut_item_hashes(&self, bits: u32) {
        let mask = u64::MAX >> 64u32.saturating_sub(bits).min(63);
        self.shared.listed_bits.store(mask, std::sync::atomic::Ordering::Relaxed);
    }
}
