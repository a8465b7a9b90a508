//! Forgetting a backup: a signed tombstone first, then its manifest goes (FORMAT.md, "Forget").
//!
//! The tombstone's put is the commit: from then on the backup is not listed, even if its manifest
//! still stands or is put back by somebody who kept a copy. Its chunks stay until `prune` finds
//! that nobody else needs them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::at_once::each;
use crate::ids::{BackupId, ObjectHash};
use crate::manifest::{self, ManifestName};
use crate::manifest_cache::ManifestCache;
use crate::object::{self, Kind, damaged};
use crate::repository::Repository;
use crate::{RepoError, codec, signed, tags};

pub(crate) const FOLDER: &str = "forgotten/";

#[derive(Encode, Decode)]
#[cbor(array)]
struct Tombstone {
    #[n(0)]
    id: ByteArray<8>,
    /// Microseconds since 1970.
    #[n(1)]
    time: i64,
    /// BLAKE3 of the manifest's bytes; none if it could not be read.
    #[n(2)]
    manifest: Option<ObjectHash>,
}

/// What a tombstone says.
pub(crate) struct Forgotten {
    /// Of somebody who may write today: only then it hides a manifest that still stands.
    pub trusted: bool,
    pub manifest: Option<ObjectHash>,
}

/// Names of all tombstones of a cluster (`""`: of all), as the manifests that they stand for.
pub(crate) fn list(repository: &Repository, cluster: &str) -> Result<BTreeSet<ManifestName>, RepoError> {
    let folder = if cluster.is_empty() { FOLDER.to_string() } else { format!("{FOLDER}{cluster}/") };
    let metas = repository.store.list(&folder)?;
    Ok(metas.iter().filter_map(|meta| ManifestName::parse_below(FOLDER, &meta.name)).collect())
}

/// The verified tombstone of a manifest, if there is one.
pub(crate) fn read(repository: &Repository, name: &ManifestName) -> Result<Option<Forgotten>, RepoError> {
    let object = name.below(FOLDER);
    let Some(bytes) = object::get_if_there(&repository.store, &object)? else { return Ok(None) };
    let opened = signed::open_any(&repository.keys, Kind::Tombstone, &object, &object, &bytes)?;
    let trusted = repository.judge(&opened.signer, None).is_ok();
    let tombstone: Tombstone = codec::decode(&opened.body).map_err(|what| damaged(&object, what))?;
    if tombstone.id != ByteArray::from(name.id.0) {
        return Err(damaged(&object, "its name and its content differ"));
    }
    Ok(Some(Forgotten { trusted, manifest: tombstone.manifest }))
}

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
    /// goes at once. Returns how many were there; somebody else may have been faster.
    pub fn forget_all(&self, ids: &[BackupId]) -> Result<usize, RepoError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids: BTreeSet<&BackupId> = ids.iter().collect();
        let names: Vec<ManifestName> =
            manifest::list(self, "")?.into_iter().filter(|name| ids.contains(&name.id)).collect();
        let known = ManifestCache::open(self);
        let bury = |name: &ManifestName| {
            self.store.cancel().check()?;
            self.bury(name, known.get(self, name).map(|manifest| manifest.hash))
        };
        each(&names, bury).collect::<Result<(), RepoError>>()?;
        // The copies first: a manifest without copy is seen to be one, a copy without manifest
        // would still be listed.
        let copies: Vec<String> = names.iter().map(ManifestName::copy).collect();
        let first: Vec<String> = names.iter().map(ManifestName::name).collect();
        let ids: BTreeSet<BackupId> = names.iter().map(|name| name.id).collect();
        let tags = tags::names_of(self, &ids)?;
        for objects in [copies, first, tags] {
            each(&objects, |name| self.store.delete(name)).collect::<Result<(), _>>()?;
        }
        Ok(names.len())
    }

    /// Puts the tombstone. `hash`: of the manifest, where it is known already.
    fn bury(&self, name: &ManifestName, hash: Option<ObjectHash>) -> Result<(), RepoError> {
        let id = name.id;
        let hash = match hash {
            Some(hash) => Some(hash),
            None => match manifest::read(self, name, |_| {}) {
                Ok(manifest) => Some(manifest.hash),
                Err(error) if error.is_of_object() => None,
                Err(error) => return Err(error),
            },
        };
        let object = name.below(FOLDER);
        let tombstone =
            Tombstone { id: ByteArray::from(id.0), time: Timestamp::now().as_microsecond(), manifest: hash };
        let bytes = signed::seal(self, Kind::Tombstone, &object, codec::encode(&tombstone))?;
        match object::put_regardless(&self.store, &object, bytes.clone()) {
            // Somebody else forgot it at the same moment.
            Err(RepoError::Damaged { .. }) if read(self, name)?.is_some() => Ok(()),
            other => other,
        }
    }

    /// Removes manifests that have a tombstone: what a crash in [`Repository::forget`] left, or
    /// somebody put back.
    pub(crate) fn finish_forgetting(&self) -> Result<(), RepoError> {
        let forgotten = list(self, "")?;
        for name in manifest::list_all(self, "")?.keys().filter(|name| forgotten.contains(*name)) {
            // A tombstone that does not verify removes nothing.
            if matches!(read(self, name), Ok(Some(tombstone)) if tombstone.trusted) {
                remove(self, name)?;
            }
        }
        Ok(())
    }
}

/// In the order of [`Repository::forget_all`].
fn remove(repository: &Repository, name: &ManifestName) -> Result<(), RepoError> {
    repository.store.delete(&name.copy())?;
    repository.store.delete(&name.name())?;
    tags::remove_all(repository, name.id)
}
