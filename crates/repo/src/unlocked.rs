//! An unlocked repository: its storage, the keys that open its objects, this host's folders, and
//! the list of writers by which signatures are judged.
//!
//! Whatever reads or writes single objects (manifests, tombstones, tags, drafts, sessions, the
//! quarantine, chunks) takes this. [`crate::Repository`] is it and the loaded index.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use pgark_store::{Cancel, Storage};

use crate::RepoError;
use crate::ids::{Compartment, ObjectHash};
use crate::lock::lock;
use crate::map::ItemHasher;
use crate::names::Which;
use crate::object::{Kind, damaged};
use crate::rights::{Claim, Right, Scope};
use crate::secrets::{self, Header, Heads, Keys, KnownList, LocalFolders, Unlock};
use crate::signed::{self, Opened};
use crate::writers::{Features, Writers};

/// So many sequences before the newest that is remembered are looked at first.
const LAST_NAMES: u64 = 32;

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

/// Remembers a list on this host, where it is newer than what is remembered.
fn remember_list(
    list: &Writers,
    known: Option<&KnownList>,
    keys: &Keys,
    local: &LocalFolders,
    store: &Storage,
) {
    let Some(hash) = list.hash else { return };
    if known.is_none_or(|known| known.number < list.body.number) {
        let newest = KnownList { number: list.body.number, hash: hash.to_string() };
        newest.remember(local, keys.repository, store);
    }
}

impl Unlocked {
    /// Unlocks the repository of this header for the job that `store` belongs to.
    pub(crate) fn new(
        store: Storage,
        header: &Header,
        unlock: &Unlock,
        local: LocalFolders,
    ) -> Result<Unlocked, RepoError> {
        let mut candidates = secrets::open(&store, header, unlock, &local)?;
        let known = KnownList::read(&local, header.id)?;
        let (chosen, writers) = Writers::read(&store, &candidates, known.as_ref())?;
        let keys = candidates.swap_remove(chosen);
        if let Some(known) = writers.lost {
            store.warn(&format!(
                "list of writers {known} is missing or damaged in both copies: using list {} to decide who is allowed to write",
                writers.body.number
            ));
        }
        remember_list(&writers, known.as_ref(), &keys, &local, &store);
        let writers = Mutex::new(Arc::new(writers));
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

    /// Whether someone's signature is good for something; else why not.
    pub(crate) fn judge(&self, signer: &[u8], claim: Claim<'_>) -> Result<(), String> {
        if !self.keys.encrypted {
            return Ok(());
        }
        let mut list = self.writers();
        if !list.knows(signer)
            && let Ok(newer) = self.newest_list()
        {
            // Perhaps it was added since this repository was opened.
            list = self.set_writers(newer);
        }
        list.judge(signer, claim)
    }

    /// Whether someone may store packs in a compartment: a writer, or a pruner who moves them. Of
    /// an index object by its hash.
    pub(crate) fn may_store(
        &self,
        signer: &[u8],
        compartment: Compartment,
        hash: Option<&ObjectHash>,
    ) -> Result<(), String> {
        let scope = Scope::Compartment(compartment);
        let may = |right| self.judge(signer, Claim { right, scope, hash });
        may(Right::Backup).or_else(|why| may(Right::Prune).map_err(|_| why))
    }

    /// Whether someone may prune in a compartment, and so speak for what others sealed.
    pub(crate) fn may_prune(&self, signer: &[u8], compartment: Compartment) -> bool {
        let scope = Scope::Compartment(compartment);
        self.judge(signer, Claim { right: Right::Prune, scope, hash: None }).is_ok()
    }

    /// A signed object ([`signed::open`]), and whether its signature is good for it; else why not.
    pub(crate) fn open_judged(
        &self,
        kind: Kind,
        name: &str,
        stood_as: &str,
        (right, scope): (Right, Scope<'_>),
        bytes: &[u8],
    ) -> Result<(Opened, Result<(), String>), RepoError> {
        let opened = signed::open(&self.keys, kind, name, stood_as, bytes)?;
        let verdict = self.judge(&opened.signer, Claim { right, scope, hash: Some(&opened.hash) });
        Ok((opened, verdict))
    }

    /// What a signed object holds, if its signature is good for it.
    pub(crate) fn open_signed(
        &self,
        kind: Kind,
        name: &str,
        stood_as: &str,
        needs: (Right, Scope<'_>),
        bytes: &[u8],
    ) -> Result<Vec<u8>, RepoError> {
        let (opened, verdict) = self.open_judged(kind, name, stood_as, needs, bytes)?;
        verdict.map_err(|what| damaged(stood_as, format!("the signature: {what}")))?;
        Ok(opened.body)
    }

    /// What a signed object holds; none, with a warning, where its signature is not good for it: it
    /// is as if it were not there.
    pub(crate) fn open_or_pass_over(
        &self,
        kind: Kind,
        name: &str,
        needs: (Right, Scope<'_>),
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, RepoError> {
        let (opened, verdict) = self.open_judged(kind, name, name, needs, bytes)?;
        match verdict {
            Ok(()) => Ok(Some(opened.body)),
            Err(why) => {
                self.tell_passed_over(name, &why);
                Ok(None)
            }
        }
    }

    /// Warns of a signed object whose signature is not good for it.
    pub(crate) fn tell_passed_over(&self, name: &str, why: &str) {
        self.warn_once(format!("{name} is ignored: the signature: {why}"));
    }

    /// The list of writers that applies, as far as this process has read.
    pub(crate) fn writers(&self) -> Arc<Writers> {
        Arc::clone(&lock(&self.shared.writers))
    }

    fn newest_list(&self) -> Result<Writers, RepoError> {
        let known = KnownList::read(&self.local, self.keys.repository)?;
        let before = self.writers();
        let loaded = before.hash.map(|hash| KnownList { number: before.body.number, hash: hash.to_string() });
        // Where this host keeps no memory, this process has one.
        let known = known.into_iter().chain(loaded).max_by_key(|known| known.number);
        let (_, list) = Writers::read(&self.store, std::slice::from_ref(&self.keys), known.as_ref())?;
        remember_list(&list, known.as_ref(), &self.keys, &self.local, &self.store);
        Ok(list)
    }

    /// Reads the list of writers that applies now.
    pub(crate) fn read_writers(&self) -> Result<Arc<Writers>, RepoError> {
        Ok(self.set_writers(self.newest_list()?))
    }

    /// From now on this list of writers holds.
    pub(crate) fn set_writers(&self, writers: Writers) -> Arc<Writers> {
        let writers = Arc::new(writers);
        *lock(&self.shared.writers) = Arc::clone(&writers);
        writers
    }

    /// What was signed by someone who knew of a newer list of writers than this process can read
    /// says that this one is not the newest.
    pub(crate) fn refuse_older_list(&self, named: u64) -> Result<(), RepoError> {
        if named <= self.writers().body.number || self.read_writers()?.body.number >= named {
            return Ok(());
        }
        Err(RepoError::ListOfWritersLost { known: named, found: self.writers().body.number })
    }

    /// Names of the slots that the list names, below their folder.
    pub(crate) fn listed_slots(&self) -> Vec<String> {
        self.writers().body.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// Why this key has no right to do something in one of these places, by the list that applies
    /// now.
    pub(crate) fn refuse_stranger(&self, right: Right, scopes: &[Scope<'_>]) -> Result<(), RepoError> {
        if scopes.is_empty() {
            return Ok(());
        }
        let list = self.read_writers()?;
        let Features { write, prune, .. } = &list.body.features;
        list.refuse_if_lost(if right == Right::Prune { prune } else { write })?;
        let own = self.keys.writer_public();
        let mut claims = scopes.iter().map(|scope| Claim { right, scope: *scope, hash: None });
        claims.try_for_each(|claim| self.judge(&own, claim)).map_err(|what| RepoError::Keys {
            what: format!("this key has no right to do that here: {what}"),
        })
    }

    /// The compartment of a cluster.
    pub(crate) fn compartment_of(&self, cluster: &str) -> Result<Compartment, RepoError> {
        let hash = self.keys.cluster_hash(cluster)?;
        self.keys.compartment_of(&hash).ok_or(RepoError::Crypto("naming the cluster's compartment"))
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

    /// What is found among the last names of a cluster, from some sequences before the newest that
    /// this host remembers; or among all, where that is not enough. Of very many names the others
    /// need not be listed, as a rule.
    pub(crate) fn find_among_last<T>(
        &self,
        cluster: &str,
        find: impl Fn(Which<'_>) -> Result<T, RepoError>,
        suffices: impl Fn(&T) -> bool,
    ) -> Result<T, RepoError> {
        let since = self.heads()?.newest(cluster).unwrap_or(0).saturating_sub(LAST_NAMES);
        if since > 0 {
            let found = find(Which::Since(cluster, since))?;
            if suffices(&found) {
                return Ok(found);
            }
        }
        find(Which::Cluster(cluster))
    }

    /// Hashes the items of maps of a mask domain.
    pub(crate) fn item_hasher(&self, keys: &secrets::CompartmentKeys, domain: &[u8]) -> ItemHasher {
        let keys = keys.item_keys(domain);
        #[cfg(feature = "weak_hashes")]
        return ItemHasher::new(&keys, self.shared.listed_bits.load(std::sync::atomic::Ordering::Relaxed));
        #[cfg(not(feature = "weak_hashes"))]
        ItemHasher::new(&keys, u64::MAX)
    }

    /// Cuts what item lists hold of each hash to so many bits, for tests that want collisions.
    #[cfg(feature = "weak_hashes")]
    pub(crate) fn cut_item_hashes(&self, bits: u32) {
        let mask = u64::MAX >> 64u32.saturating_sub(bits).min(63);
        self.shared.listed_bits.store(mask, std::sync::atomic::Ordering::Relaxed);
    }
}
