//! Forgetting a backup: a signed tombstone first, then its manifest goes (FORMAT.md, "Forget").
//!
//! The tombstone's put is the commit: from then on the backup is not listed, even if its manifest
//! still exists or is put back by someone who kept a copy. Its chunks stay until `prune` finds that
//! nobody else needs them.

use std::collections::BTreeSet;

use crate::at_once::each;
use crate::ids::{BackupId, ObjectHash};
use crate::manifest::{self, ManifestCache};
use crate::names::{ManifestName, Which};
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::unlocked::Unlocked;
use crate::{RepoError, tags, tombstone};

impl Repository {
    /// Forgets a backup, damaged ones too. What only it needed is freed by [`Repository::prune`].
    ///
    /// # Errors
    /// [`RepoError::UnknownBackup`]; failures of the storage. After an error the backup may be
    /// forgotten already.
    pub fn forget(&self, id: BackupId) -> Result<(), RepoError> {
        match self.forget_all(&[id])? {
            0 => Err(RepoError::UnknownBackup { id }),
            _ => Ok(()),
        }
    }

    /// [`Repository::forget`] of many: names are listed once, and what does not wait for another
    /// goes at once. Returns how many were there; someone else may have been faster.
    pub fn forget_all(&self, ids: &[BackupId]) -> Result<usize, RepoError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids: BTreeSet<&BackupId> = ids.iter().collect();
        let names: Vec<ManifestName> = manifest::list(&self.unlocked, Which::All)?
            .into_iter()
            .filter(|name| ids.contains(&name.id))
            .collect();
        let clusters: BTreeSet<&String> = names.iter().map(|name| &name.cluster).collect();
        let scopes: Vec<Scope<'_>> = clusters.into_iter().map(|cluster| Scope::Cluster(cluster)).collect();
        self.unlocked.refuse_stranger(Right::Forget, &scopes)?;
        let known = ManifestCache::open(&self.unlocked);
        let bury = |name: &ManifestName| {
            self.store().cancel().check()?;
            self.bury(name, known.get(&self.unlocked, name).map(|manifest| manifest.hash))
        };
        each(&names, bury).collect::<Result<(), RepoError>>()?;
        // The copies first: a manifest without copy is seen to be one, a copy without manifest
        // would still be listed.
        let copies: Vec<String> = names.iter().map(ManifestName::copy).collect();
        let first: Vec<String> = names.iter().map(ManifestName::name).collect();
        let tags = tags::names_of(&self.unlocked, &names.iter().collect::<Vec<_>>())?;
        for objects in [copies, first, tags] {
            each(&objects, |name| self.store().delete(name)).collect::<Result<(), _>>()?;
        }
        Ok(names.len())
    }

    /// Puts the tombstone. `hash`: of the manifest, where it is known already.
    fn bury(&self, name: &ManifestName, hash: Option<ObjectHash>) -> Result<(), RepoError> {
        let hash = match hash {
            Some(hash) => Some(hash),
            None => match manifest::read(&self.unlocked, name, |_| {}) {
                Ok(manifest) => Some(manifest.hash),
                Err(error) if error.is_of_object() => None,
                Err(error) => return Err(error),
            },
        };
        tombstone::put(&self.unlocked, name, hash)
    }

    /// Removes manifests that have a tombstone: what a crash in [`Repository::forget`] left, or
    /// someone put back.
    pub(crate) fn finish_forgetting(&self) -> Result<(), RepoError> {
        let forgotten = tombstone::list(&self.unlocked, Which::All)?;
        for name in
            manifest::list_all(&self.unlocked, Which::All)?.keys().filter(|name| forgotten.contains(*name))
        {
            // A tombstone that does not verify removes nothing.
            if matches!(tombstone::read(&self.unlocked, name), Ok(Some(tombstone)) if tombstone.trusted) {
                remove(&self.unlocked, name)?;
            }
        }
        Ok(())
    }
}

/// In the order of [`Repository::forget_all`].
fn remove(repository: &Unlocked, name: &ManifestName) -> Result<(), RepoError> {
    repository.store.delete(&name.copy())?;
    repository.store.delete(&name.name())?;
    tags::remove_all(repository, name)
}
