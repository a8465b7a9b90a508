//! An open repository.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use pgark_store::{Cancel, Storage};

use crate::RepoError;
use crate::at_once::both;
use crate::ids::BackupId;
use crate::index::{Index, Listed};
use crate::manifest::{self, BackupHead, Entry, Manifest, ManifestName};
use crate::map::ItemHasher;
use crate::object::damaged;
use crate::reader::{ChunkReader, DataReader};
use crate::secrets::{
    self, Header, Heads, Initialised, Keys, LocalFolders, Protection, RepositoryId, Unlock,
};
use crate::stream::{ChunkKind, StreamRef};
use crate::writer::lock;
use crate::writers::Writers;

/// Longest list of entries that is read: it is held in memory whole.
pub(crate) const LONGEST_LIST: u64 = 1 << 30;

/// A repository on one storage, opened, as one job sees it: every request that its methods make
/// ends with that job ([`Storage`]). Many threads may use it at once, and [`Repository::for_job`]
/// gives it to any number of jobs. Its methods block; the head of `pgark_store` says what that
/// means to asynchronous callers.
pub struct Repository {
    pub(crate) store: Storage,
    pub(crate) keys: Arc<Keys>,
    pub(crate) local: Arc<LocalFolders>,
    pub(crate) known: Arc<Known>,
}

/// What was found out about a repository, for all of its jobs.
pub(crate) struct Known {
    index: Mutex<Option<Arc<Index>>>,
    pub(crate) writers: Mutex<Arc<Writers>>,
    /// Warnings that were given: each once.
    told: Mutex<HashSet<String>>,
    #[cfg(feature = "weak_hashes")]
    listed_bits: std::sync::atomic::AtomicU64,
}

/// One backup with its entries.
#[derive(Clone, Debug)]
pub struct Backup {
    /// What its manifest says.
    pub head: BackupHead,
    /// Sorted by path.
    pub entries: Vec<Entry>,
}

/// Makes a new repository on a storage.
pub fn init(store: &Storage, protection: Protection, local: &LocalFolders) -> Result<Initialised, RepoError> {
    secrets::create(store, protection, local)
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
        let keys = secrets::open(&store, header, &unlock, &local)?;
        let writers = Mutex::new(Arc::new(Writers::read(&store, &keys)?));
        let known = Known {
            index: Mutex::default(),
            writers,
            told: Mutex::default(),
            #[cfg(feature = "weak_hashes")]
            listed_bits: std::sync::atomic::AtomicU64::new(u64::MAX),
        };
        Ok(Repository { store, keys: Arc::new(keys), local: Arc::new(local), known: Arc::new(known) })
    }

    /// The same open repository for another job: what is asked through it ends with `cancel` and
    /// with nothing else. What was read already (the index, the list of writers) serves all jobs.
    pub fn for_job(&self, cancel: &Cancel) -> Repository {
        Repository {
            store: self.store.for_job(cancel),
            keys: Arc::clone(&self.keys),
            local: Arc::clone(&self.local),
            known: Arc::clone(&self.known),
        }
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.keys.repository
    }

    /// What its storage was asked so far, and what moved; None where nobody counts.
    pub fn traffic(&self) -> Option<pgark_store::TrafficReport> {
        self.store.traffic()
    }

    /// Its fingerprint, for people to compare.
    pub fn fingerprint(&self) -> String {
        self.keys.fingerprint()
    }

    /// Whether the secret at hand opens data.
    pub fn can_read_data(&self) -> bool {
        self.keys.can_read_data()
    }

    /// Whether it is encrypted.
    pub fn encrypted(&self) -> bool {
        self.keys.encrypted
    }

    /// Every backup, oldest first, each manifest verified. One that is damaged in both copies is
    /// set aside with a warning ([`Repository::set_aside`]); one of a writer who may not write it
    /// is passed over.
    pub fn backups(&self) -> Result<Vec<BackupHead>, RepoError> {
        Ok(self.manifests()?.iter().map(Manifest::head).collect())
    }

    fn manifests(&self) -> Result<Vec<Manifest>, RepoError> {
        let mut manifests = manifest::read_all(self)?.warned(self);
        manifests.retain(|manifest| match &manifest.distrust {
            None => true,
            Some(why) => {
                self.warn_once(format!("backup {} is passed over: its signature: {why}", manifest.name.id));
                false
            }
        });
        self.remember(&manifests)?;
        Ok(manifests)
    }

    /// What has a manifest's name and cannot be read as one, in either copy: the id in its name,
    /// and what is wrong.
    pub fn set_aside(&self) -> Result<Vec<(BackupId, RepoError)>, RepoError> {
        let all = manifest::read_all(self)?;
        Ok(all.set_aside.into_iter().map(|aside| (aside.name.id, aside.error)).collect())
    }

    /// Warns, unless the same was said before.
    pub(crate) fn warn_once(&self, warning: String) {
        if !lock(&self.known.told).contains(&warning) {
            tracing::warn!("{warning}");
            lock(&self.known.told).insert(warning);
        }
    }

    /// The newest backups of a cluster, the newest last. What cannot be read or trusted is passed
    /// over: a writer leans on what is good.
    pub fn newest_backups(&self, cluster: &str, most: usize) -> Result<Vec<BackupHead>, RepoError> {
        let (names, _) = manifest::list_timed(self, &self.keys.cluster_hash(cluster))?;
        let mut heads = Vec::new();
        for (name, stored) in names.iter().rev().take(most) {
            match manifest::read(self, name, |_| {}) {
                Ok(manifest) if manifest.distrust.is_none() => {
                    heads.push(BackupHead { stored: *stored, ..manifest.head() });
                }
                Ok(_) => {}
                Err(error @ (RepoError::Store(_) | RepoError::Cancelled)) => return Err(error),
                Err(error) => tracing::debug!("backup {} is passed over: {error}", name.id),
            }
        }
        heads.sort_by_key(|head| (head.moment(), head.sequence));
        Ok(heads)
    }

    /// One backup with its entries.
    pub fn open_backup(&self, id: BackupId) -> Result<Backup, RepoError> {
        let names = manifest::list(self, "")?.into_iter().filter(|name| name.id == id);
        let mut first = None;
        // Something else may stand under a name with the same id.
        for name in names {
            match self.open_named(&name) {
                Err(error) if error.is_of_object() => drop(first.get_or_insert(error)),
                other => return other,
            }
        }
        Err(first.unwrap_or(RepoError::UnknownBackup { id }))
    }

    /// The backup that `choose` takes out of all of them ([`Repository::backups`]), with its
    /// entries. The index is read beside the manifests, and none of these twice.
    pub fn open_chosen<E: From<RepoError>>(
        &self,
        choose: impl FnOnce(Vec<BackupHead>) -> Result<BackupHead, E>,
    ) -> Result<Backup, E> {
        let (manifests, index) = both(|| self.manifests(), || self.index_to_read());
        let manifests = manifests?;
        let chosen = choose(manifests.iter().map(Manifest::head).collect())?;
        let manifest = manifests.iter().find(|manifest| manifest.name.id == chosen.id);
        Ok(self.open_manifest(manifest.ok_or(RepoError::UnknownBackup { id: chosen.id })?, index?)?)
    }

    /// One backup with its entries, by what [`Repository::backups`] or
    /// [`Repository::newest_backups`] told of it just now.
    pub fn open_head(&self, head: &BackupHead) -> Result<Backup, RepoError> {
        let cluster = self.keys.cluster_hash(&head.cluster);
        self.open_named(&ManifestName { cluster, sequence: head.sequence, id: head.id })
    }

    fn open_named(&self, name: &ManifestName) -> Result<Backup, RepoError> {
        let manifest =
            manifest::read(self, name, |error| tracing::warn!("{error}; the second copy is used"))?;
        if let Some(why) = &manifest.distrust {
            return Err(damaged(name.name(), format!("the signature: {why}")));
        }
        self.open_manifest(&manifest, self.index_to_read()?)
    }

    fn open_manifest(&self, manifest: &Manifest, index: Arc<Index>) -> Result<Backup, RepoError> {
        let reader = ChunkReader::new(self, index);
        Ok(Backup { head: manifest.head(), entries: self.entries(&reader, manifest)? })
    }

    /// The entries of a backup.
    pub(crate) fn entries(
        &self,
        reader: &ChunkReader<'_>,
        manifest: &Manifest,
    ) -> Result<Vec<Entry>, RepoError> {
        let list: &StreamRef = &manifest.body.entries;
        let name = format!("the list of entries of backup {}", manifest.name.id);
        if list.bytes > LONGEST_LIST || list.kind() != Some(ChunkKind::Metadata) {
            return Err(damaged(name, "it has an impossible length or class"));
        }
        let mut bytes = Vec::new();
        let mut stream = reader.read(list)?;
        while let Some(chunk) = stream.next_chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        let entries = manifest::decode_entries(&bytes).map_err(|what| damaged(&name, what))?;
        if entries.len() as u64 != manifest.body.entry_count {
            return Err(damaged(name, "it has not as many entries as the manifest says"));
        }
        Ok(entries)
    }

    /// Opens data for reading.
    ///
    /// # Errors
    /// [`RepoError::NeedsReaderSecret`] with a writer key.
    pub fn reader(&self) -> Result<DataReader<'_>, RepoError> {
        if !self.can_read_data() {
            return Err(RepoError::NeedsReaderSecret);
        }
        Ok(DataReader::new(ChunkReader::new(self, self.index_to_read()?)))
    }

    /// Hashes the items of maps of a mask domain.
    pub(crate) fn item_hasher(&self, domain: &[u8]) -> ItemHasher {
        let key = self.keys.item_key(domain);
        #[cfg(feature = "weak_hashes")]
        return ItemHasher::new(&key, self.known.listed_bits.load(std::sync::atomic::Ordering::Relaxed));
        #[cfg(not(feature = "weak_hashes"))]
        ItemHasher::new(&key, u64::MAX)
    }

    /// Cuts what item lists hold of each hash to so many bits, for tests that want collisions.
    #[cfg(feature = "weak_hashes")]
    pub fn cut_item_hashes(&self, bits: u32) {
        let mask = u64::MAX >> 64u32.saturating_sub(bits).min(63);
        self.known.listed_bits.store(mask, std::sync::atomic::Ordering::Relaxed);
    }

    /// The index as it is now: the loaded one if no index object came or went.
    pub(crate) fn index(&self) -> Result<Arc<Index>, RepoError> {
        self.index_after(Index::list(&self.store)?)
    }

    /// [`Repository::index`] behind a list of its objects that was made just now.
    pub(crate) fn index_after(&self, listed: Listed) -> Result<Arc<Index>, RepoError> {
        let mut loaded = lock(&self.known.index);
        if let Some(index) = &*loaded
            && index.unreadable.is_empty()
            && !index.is_rotten()
            && listed == index.listed
        {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(Index::load(&self.store, &self.keys, &self.local, true, listed)?);
        *loaded = Some(Arc::clone(&index));
        Ok(index)
    }

    /// The index for those who need all of it: every page of its local file is looked at.
    pub(crate) fn whole_index(&self) -> Result<Arc<Index>, RepoError> {
        let index = self.index()?;
        if index.is_whole() { Ok(index) } else { self.index() }
    }

    /// The index for readers: the loaded one, if there is one. Who misses something in it looks for
    /// a newer one.
    fn index_to_read(&self) -> Result<Arc<Index>, RepoError> {
        let is_good = |index: &&Arc<Index>| index.unreadable.is_empty() && !index.is_rotten();
        let loaded = lock(&self.known.index).as_ref().filter(is_good).cloned();
        loaded.map_or_else(|| self.index(), Ok)
    }

    pub(crate) fn forget_index(&self) {
        *lock(&self.known.index) = None;
    }

    pub(crate) fn heads(&self) -> Result<Heads, RepoError> {
        Heads::read(&self.local, self.keys.repository)
    }

    /// Remembers the newest manifests on this host.
    pub(crate) fn remember<'m>(
        &self,
        manifests: impl IntoIterator<Item = &'m Manifest>,
    ) -> Result<(), RepoError> {
        let mut heads = self.heads()?;
        for manifest in manifests {
            heads.remember(&manifest.name.cluster, manifest.name.sequence, &manifest.hash.to_string())?;
        }
        Ok(())
    }
}
