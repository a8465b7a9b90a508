//! Tombstones: the signed word that a backup is forgotten (FORMAT.md, "Forget").

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::codec::Extensions;
use crate::ids::{BackupId, ObjectHash};
use crate::names::{ManifestName, Which};
use crate::object::{self, Kind, damaged};
use crate::rights::{Right, Scope};
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, signed};

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
    #[n(3)]
    more: Extensions,
}

/// What a tombstone says.
pub(crate) struct Forgotten {
    /// Of someone who has the right to forget backups of the cluster: only then it hides a manifest
    /// that still exists.
    pub trusted: bool,
    pub manifest: Option<ObjectHash>,
}

/// Names of tombstones, of those that the keys at hand open, as the manifests that they stand for.
pub(crate) fn list(repository: &Unlocked, which: Which<'_>) -> Result<BTreeSet<ManifestName>, RepoError> {
    let metas = which.list(&repository.store, FOLDER)?;
    let names = metas.iter().filter_map(|meta| ManifestName::parse_below(FOLDER, &meta.name));
    Ok(names.filter(|name| repository.keys.compartment_of(&name.cluster).is_some()).collect())
}

/// The verified tombstone of a manifest, if there is one.
pub(crate) fn read(repository: &Unlocked, name: &ManifestName) -> Result<Option<Forgotten>, RepoError> {
    let object = name.below(FOLDER);
    let Some(bytes) = object::get_if_there(&repository.store, &object)? else { return Ok(None) };
    let needs = (Right::Forget, Scope::Cluster(&name.cluster));
    let (opened, verdict) = repository.open_judged(Kind::Tombstone, &object, &object, needs, &bytes)?;
    let tombstone: Tombstone = codec::decode(&opened.body).map_err(|what| damaged(&object, what))?;
    if tombstone.id != ByteArray::from(name.id.0) {
        return Err(damaged(&object, "its name and its content differ"));
    }
    Ok(Some(Forgotten { trusted: verdict.is_ok(), manifest: tombstone.manifest }))
}

/// Which of these backups someone who has the right to do so has forgotten. A name alone says
/// nothing: who holds no key can write one.
pub(crate) fn forgotten_of(
    repository: &Unlocked,
    backups: &HashSet<BackupId>,
) -> Result<HashSet<BackupId>, RepoError> {
    let mut forgotten = HashSet::new();
    if backups.is_empty() {
        return Ok(forgotten);
    }
    for name in list(repository, Which::All)?.iter().filter(|name| backups.contains(&name.id)) {
        match read(repository, name) {
            Ok(Some(tombstone)) if tombstone.trusted => drop(forgotten.insert(name.id)),
            Ok(_) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

/// Puts the tombstone of a manifest. `hash`: of the manifest's bytes, where it could be read.
pub(crate) fn put(
    repository: &Unlocked,
    name: &ManifestName,
    hash: Option<ObjectHash>,
) -> Result<(), RepoError> {
    let object = name.below(FOLDER);
    let time = Timestamp::now().as_microsecond();
    let id = ByteArray::from(name.id.0);
    let tombstone = Tombstone { id, time, manifest: hash, more: Extensions::default() };
    let bytes = signed::seal(&repository.keys, Kind::Tombstone, &object, codec::encode(&tombstone))?;
    match object::put_regardless(&repository.store, &object, bytes) {
        // Someone else forgot it at the same moment.
        Err(RepoError::Damaged { .. }) if read(repository, name)?.is_some() => Ok(()),
        other => other,
    }
}
