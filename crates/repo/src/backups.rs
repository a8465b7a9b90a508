//! Backups as readers see them: listing, opening, and the way to their data.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::RepoError;
use crate::at_once::both;
use crate::ids::BackupId;
use crate::manifest::{self, Addition, Additions, BackupHead, Entry, ListReader, Manifest, OpenList, Record};
use crate::map::{self, FileDifference, Files, MapRef};
use crate::names::{ManifestName, Which};
use crate::object::damaged;
use crate::reader::{ChunkReader, DataReader};
use crate::repository::Repository;
use crate::stream::StreamRef;

/// One backup that was opened: its list of entries is read as far as it is asked for.
pub struct Backup<'r> {
    /// What its manifest says.
    pub head: BackupHead,
    list: OpenList,
    additions: StreamRef,
    reader: ChunkReader<'r>,
}

impl fmt::Debug for Backup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Backup<'_> {
    /// The entry of this path, if there is one. Reads one sublist, and the nodes above it.
    pub fn entry(&self, path: &str) -> Result<Option<Entry>, RepoError> {
        let found = self.list.find(&self.reader, path)?;
        found.map(|record| record.read(&self.reader)).transpose()
    }

    /// All entries, sorted by path. A few of them are in memory at once.
    pub fn entries(&self) -> Entries<'_> {
        self.entries_below("")
    }

    /// The entries whose paths begin with this. No more of the list is read.
    pub fn entries_below(&self, prefix: &str) -> Entries<'_> {
        let list = ListReader::new(&self.reader, &self.list, prefix);
        Entries { reader: &self.reader, list, ready: VecDeque::new(), is_over: false }
    }

    /// Which files a map of pages covers. No page is read.
    ///
    /// # Errors
    /// If its items are not pages.
    pub fn page_files(&self, map: &MapRef) -> Result<Files, RepoError> {
        map::read_files(&self.reader, map)
    }

    /// Which files of a folder differ from those of a folder in another backup, sorted by name. No
    /// page is read, only what describes maps: a writer key is enough. `check` is called often, and
    /// ends the comparison with its error. Where both do not share keys, hashes of one say nothing
    /// of the other's pages: then only files are compared.
    pub fn differing_files(
        &self,
        folder: &Entry,
        other: &Backup<'_>,
        others_folder: &Entry,
        check: &mut dyn FnMut() -> Result<(), RepoError>,
    ) -> Result<Vec<FileDifference>, RepoError> {
        let own = map::Side { reader: &self.reader, parts: &folder.parts };
        let others = map::Side { reader: &other.reader, parts: &others_folder.parts };
        map::differing_files(&[own, others], check)
    }

    /// Whether equal content has equal hashes in both: their clusters share keys.
    pub fn shares_keys_with(&self, other: &Backup<'_>) -> bool {
        self.reader.compartment() == other.reader.compartment()
    }

    /// What the backup did for its entries, sorted by path: of those for which it did something.
    pub fn additions(&self) -> Result<Additions<'_>, RepoError> {
        Additions::new(&self.reader, &self.additions)
    }

    /// All entries, sorted by path, each with what the backup did for it. Where that cannot be read
    /// the entries come alone: they are whole without it.
    pub fn entries_and_their_additions(&self) -> Result<EntriesAndAdditions<'_>, RepoError> {
        let readable = self.additions().and_then(|mut all| all.try_for_each(|addition| addition.map(drop)));
        match readable {
            Ok(()) => {
                let both = self.entries_with_additions()?;
                Ok(Box::new(both.map(|both| both.map(|(entry, addition)| (entry, Some(addition))))))
            }
            Err(error) if error.is_of_object() => {
                Ok(Box::new(self.entries().map(|entry| entry.map(|entry| (entry, None)))))
            }
            Err(error) => Err(error),
        }
    }

    /// All entries, sorted by path, each with what the backup did for it.
    pub fn entries_with_additions(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Entry, Addition), RepoError>> + Send + '_, RepoError> {
        let mut additions = self.additions()?.peekable();
        Ok(self.entries().map(move |entry| {
            let entry = entry?;
            let earlier =
                |next: &Result<Addition, RepoError>| next.as_ref().is_ok_and(|next| next.path < entry.path);
            while additions.next_if(earlier).is_some() {}
            let own =
                |next: &Result<Addition, RepoError>| next.as_ref().is_ok_and(|next| next.path == entry.path);
            let addition = match additions.next_if(|next| next.is_err() || own(next)) {
                Some(addition) => addition?,
                None => Addition { path: entry.path.clone(), ..Addition::default() },
            };
            Ok((entry, addition))
        }))
    }
}

/// Entries, each with what its backup did for it; None where that cannot be read.
pub type EntriesAndAdditions<'r> =
    Box<dyn Iterator<Item = Result<(Entry, Option<Addition>), RepoError>> + Send + 'r>;

/// Reads entries one after the other, in the order of their paths.
pub struct Entries<'r> {
    reader: &'r ChunkReader<'r>,
    list: ListReader<'r>,
    ready: VecDeque<Record>,
    is_over: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, RepoError>;

    /// Behind an error of one entry the others follow; behind one of the list nothing does.
    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            if let Some(record) = self.ready.pop_front() {
                return Some(record.read(self.reader));
            }
            match self.list.next_leaf(&mut |_, _| Ok(true)) {
                Ok(Some((_, records))) => self.ready = records.into(),
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Repository {
    /// Every backup, oldest first, each manifest verified. One that is damaged in both copies is
    /// set aside with a warning ([`Repository::set_aside`]); one of a writer who may not write it
    /// is skipped.
    pub fn backups(&self) -> Result<Vec<BackupHead>, RepoError> {
        Ok(self.manifests()?.iter().map(Manifest::head).collect())
    }

    fn manifests(&self) -> Result<Vec<Manifest>, RepoError> {
        let mut manifests = manifest::read_all(&self.unlocked)?.warned(&self.unlocked);
        manifests.retain(|manifest| match &manifest.distrust {
            None => true,
            Some(why) => {
                self.unlocked
                    .warn_once(format!("backup {} is ignored: its signature: {why}", manifest.name.id));
                false
            }
        });
        manifest::remember(&self.unlocked, &manifests)?;
        Ok(manifests)
    }

    /// What has a manifest's name and counts as none: what cannot be read, in either copy, and what
    /// someone has signed who may not write it. The id in its name, and what is wrong.
    pub fn set_aside(&self) -> Result<Vec<(BackupId, RepoError)>, RepoError> {
        let manifest::All { good, set_aside } = manifest::read_all(&self.unlocked)?;
        let mut found: Vec<(BackupId, RepoError)> =
            set_aside.into_iter().map(|aside| (aside.name.id, aside.error)).collect();
        found.extend(good.into_iter().filter_map(|manifest| {
            let why = manifest.distrust?;
            Some((manifest.name.id, damaged(manifest.name.name(), format!("the signature: {why}"))))
        }));
        Ok(found)
    }

    /// The newest backups of a cluster, the newest last. What cannot be read or trusted is skipped:
    /// a writer uses what is good.
    pub fn newest_backups(&self, cluster: &str, most: usize) -> Result<Vec<BackupHead>, RepoError> {
        let hash = self.keys().cluster_hash(cluster)?;
        let newest = |which: Which<'_>| self.newest_of(which, most);
        let mut heads = self.unlocked.find_among_last(&hash, newest, |heads| heads.len() == most)?;
        heads.sort_by_key(|head| (head.moment(), head.sequence));
        Ok(heads)
    }

    /// The newest backup of each cluster that the keys at hand open. What cannot be read or trusted
    /// is skipped. Reads one manifest of each cluster.
    pub fn newest_of_each_cluster(&self) -> Result<Vec<BackupHead>, RepoError> {
        let (names, _) = manifest::list_timed(&self.unlocked, Which::All)?;
        let mut of_each: BTreeMap<String, manifest::Timed> = BTreeMap::new();
        for (name, stored) in names {
            of_each.entry(name.cluster.clone()).or_default().insert(name, stored);
        }
        let mut heads = Vec::new();
        for names in of_each.into_values() {
            heads.extend(self.read_newest(&names, 1)?);
        }
        Ok(heads)
    }

    fn newest_of(&self, which: Which<'_>, most: usize) -> Result<Vec<BackupHead>, RepoError> {
        let (names, _) = manifest::list_timed(&self.unlocked, which)?;
        self.read_newest(&names, most)
    }

    fn read_newest(&self, names: &manifest::Timed, most: usize) -> Result<Vec<BackupHead>, RepoError> {
        let mut heads = Vec::new();
        // A name counts for nothing before what it names is verified: who holds no key can write
        // any number of them.
        for (name, stored) in names.iter().rev() {
            if heads.len() == most {
                break;
            }
            match manifest::read(&self.unlocked, name, |_| {}) {
                Ok(manifest) if manifest.distrust.is_none() => {
                    heads.push(BackupHead { stored: *stored, ..manifest.head() });
                }
                Ok(_) => {}
                Err(error @ (RepoError::Store(_) | RepoError::Cancelled)) => return Err(error),
                Err(error) => self.detail(&format!("backup {} is ignored: {error}", name.id)),
            }
        }
        Ok(heads)
    }

    /// One backup, to read its entries.
    pub fn open_backup(&self, id: BackupId) -> Result<Backup<'_>, RepoError> {
        let names = manifest::list(&self.unlocked, Which::All)?.into_iter().filter(|name| name.id == id);
        let mut first = None;
        // Something else can be under a name with the same id.
        for name in names {
            match self.open_named(&name) {
                Err(error) if error.is_of_object() => drop(first.get_or_insert(error)),
                other => return other,
            }
        }
        Err(first.unwrap_or(RepoError::UnknownBackup { id }))
    }

    /// The backup that `choose` takes out of all of them ([`Repository::backups`]). The index is
    /// read together with the manifests where there is but one, and none of these twice.
    pub fn open_chosen<E: From<RepoError>>(
        &self,
        choose: impl FnOnce(Vec<BackupHead>) -> Result<BackupHead, E>,
    ) -> Result<Backup<'_>, E> {
        let (manifests, read) = both(|| self.manifests(), || self.read_only_index());
        let manifests = manifests?;
        let chosen = choose(manifests.iter().map(Manifest::head).collect())?;
        read?;
        let manifest = manifests.iter().find(|manifest| manifest.name.id == chosen.id);
        Ok(self.open_manifest(manifest.ok_or(RepoError::UnknownBackup { id: chosen.id })?)?)
    }

    /// Loads the index if that of a single compartment is there: no other can be asked for.
    fn read_only_index(&self) -> Result<(), RepoError> {
        let compartments = self.compartments_in(&["index/"])?;
        match compartments.iter().next() {
            Some(only) if compartments.len() == 1 => self.index.to_read(&self.unlocked, *only).map(drop),
            _ => Ok(()),
        }
    }

    /// One backup, by what [`Repository::backups`] or [`Repository::newest_backups`] told of it
    /// just now.
    pub fn open_head(&self, head: &BackupHead) -> Result<Backup<'_>, RepoError> {
        let cluster = self.keys().cluster_hash(&head.cluster)?;
        self.open_named(&ManifestName { cluster, sequence: head.sequence, id: head.id })
    }

    fn open_named(&self, name: &ManifestName) -> Result<Backup<'_>, RepoError> {
        let manifest = manifest::read(&self.unlocked, name, |error| {
            self.warn(&format!("{error}; using the second copy"))
        })?;
        if let Some(why) = &manifest.distrust {
            return Err(damaged(name.name(), format!("the signature: {why}")));
        }
        self.open_manifest(&manifest)
    }

    fn open_manifest(&self, manifest: &Manifest) -> Result<Backup<'_>, RepoError> {
        let compartment = self.unlocked.compartment_of(&manifest.body.cluster)?;
        let reader = self.chunks(self.index.to_read(&self.unlocked, compartment)?)?;
        let (list, additions) = (manifest.open_list(&reader)?, manifest.body.additions.clone());
        Ok(Backup { head: manifest.head(), list, additions, reader })
    }

    /// Opens data of a backup for reading, and of all backups of clusters that share keys with its
    /// own.
    ///
    /// # Errors
    /// [`RepoError::NeedsReaderSecret`] with a writer key.
    pub fn reader(&self, backup: &BackupHead) -> Result<DataReader<'_>, RepoError> {
        if !self.can_read_data() {
            return Err(RepoError::NeedsReaderSecret);
        }
        let compartment = self.unlocked.compartment_of(&backup.cluster)?;
        Ok(DataReader::new(self.chunks(self.index.to_read(&self.unlocked, compartment)?)?))
    }
}
