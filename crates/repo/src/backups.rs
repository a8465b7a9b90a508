//! Backups as readers see them: listing, opening, and the way to their data.

use std::sync::Arc;

use crate::RepoError;
use crate::at_once::both;
use crate::ids::BackupId;
use crate::index::Index;
use crate::manifest::{self, BackupHead, Entry, Manifest};
use crate::names::ManifestName;
use crate::object::damaged;
use crate::reader::DataReader;
use crate::repository::Repository;

/// One backup with its entries.
#[derive(Clone, Debug)]
pub struct Backup {
    /// What its manifest says.
    pub head: BackupHead,
    /// Sorted by path.
    pub entries: Vec<Entry>,
}

impl Repository {
    /// Every backup, oldest first, each manifest verified. One that is damaged in both copies is
    /// set aside with a warning ([`Repository::set_aside`]); one of a writer who may not write it
    /// is passed over.
    pub fn backups(&self) -> Result<Vec<BackupHead>, RepoError> {
        Ok(self.manifests()?.iter().map(Manifest::head).collect())
    }

    fn manifests(&self) -> Result<Vec<Manifest>, RepoError> {
        let mut manifests = manifest::read_all(&self.unlocked)?.warned(&self.unlocked);
        manifests.retain(|manifest| match &manifest.distrust {
            None => true,
            Some(why) => {
                self.unlocked
                    .warn_once(format!("backup {} is passed over: its signature: {why}", manifest.name.id));
                false
            }
        });
        manifest::remember(&self.unlocked, &manifests)?;
        Ok(manifests)
    }

    /// What has a manifest's name and cannot be read as one, in either copy: the id in its name,
    /// and what is wrong.
    pub fn set_aside(&self) -> Result<Vec<(BackupId, RepoError)>, RepoError> {
        let all = manifest::read_all(&self.unlocked)?;
        Ok(all.set_aside.into_iter().map(|aside| (aside.name.id, aside.error)).collect())
    }

    /// The newest backups of a cluster, the newest last. What cannot be read or trusted is passed
    /// over: a writer leans on what is good.
    pub fn newest_backups(&self, cluster: &str, most: usize) -> Result<Vec<BackupHead>, RepoError> {
        let (names, _) = manifest::list_timed(&self.unlocked, &self.keys().cluster_hash(cluster))?;
        let mut heads = Vec::new();
        for (name, stored) in names.iter().rev().take(most) {
            match manifest::read(&self.unlocked, name, |_| {}) {
                Ok(manifest) if manifest.distrust.is_none() => {
                    heads.push(BackupHead { stored: *stored, ..manifest.head() });
                }
                Ok(_) => {}
                Err(error @ (RepoError::Store(_) | RepoError::Cancelled)) => return Err(error),
                Err(error) => self.detail(&format!("backup {} is passed over: {error}", name.id)),
            }
        }
        heads.sort_by_key(|head| (head.moment(), head.sequence));
        Ok(heads)
    }

    /// One backup with its entries.
    pub fn open_backup(&self, id: BackupId) -> Result<Backup, RepoError> {
        let names = manifest::list(&self.unlocked, "")?.into_iter().filter(|name| name.id == id);
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
        let (manifests, index) = both(|| self.manifests(), || self.index.to_read(&self.unlocked));
        let manifests = manifests?;
        let chosen = choose(manifests.iter().map(Manifest::head).collect())?;
        let manifest = manifests.iter().find(|manifest| manifest.name.id == chosen.id);
        Ok(self.open_manifest(manifest.ok_or(RepoError::UnknownBackup { id: chosen.id })?, index?)?)
    }

    /// One backup with its entries, by what [`Repository::backups`] or
    /// [`Repository::newest_backups`] told of it just now.
    pub fn open_head(&self, head: &BackupHead) -> Result<Backup, RepoError> {
        let cluster = self.keys().cluster_hash(&head.cluster);
        self.open_named(&ManifestName { cluster, sequence: head.sequence, id: head.id })
    }

    fn open_named(&self, name: &ManifestName) -> Result<Backup, RepoError> {
        let manifest = manifest::read(&self.unlocked, name, |error| {
            self.warn(&format!("{error}; the second copy is used"))
        })?;
        if let Some(why) = &manifest.distrust {
            return Err(damaged(name.name(), format!("the signature: {why}")));
        }
        self.open_manifest(&manifest, self.index.to_read(&self.unlocked)?)
    }

    fn open_manifest(&self, manifest: &Manifest, index: Arc<Index>) -> Result<Backup, RepoError> {
        let reader = self.chunks(index);
        Ok(Backup { head: manifest.head(), entries: manifest::read_entries(&reader, manifest)? })
    }

    /// Opens data for reading.
    ///
    /// # Errors
    /// [`RepoError::NeedsReaderSecret`] with a writer key.
    pub fn reader(&self) -> Result<DataReader<'_>, RepoError> {
        if !self.can_read_data() {
            return Err(RepoError::NeedsReaderSecret);
        }
        Ok(DataReader::new(self.chunks(self.index.to_read(&self.unlocked)?)))
    }
}
