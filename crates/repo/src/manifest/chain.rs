//! The chain of a cluster's manifests, and what has a manifest's name and is none.

use std::collections::BTreeMap;

use super::body::Manifest;
use crate::ids::BackupId;
use crate::names::{ManifestName, Which};
use crate::object::{self, Kind};
use crate::tombstone::{self, Forgotten};
use crate::unlocked::Unlocked;
use crate::{RepoError, signed};

/// Why something that has a manifest's name is provably none: each of its copies is, byte for byte,
/// another manifest of this repository, and no manifest names it as the one before. What is damaged
/// in any other way may have been a manifest.
pub(crate) fn why_nobodys(
    repository: &Unlocked,
    name: &ManifestName,
    good: &[Manifest],
) -> Result<Option<String>, RepoError> {
    let is_named = good.iter().any(|manifest| {
        let previous = manifest.body.previous.as_ref();
        manifest.name.cluster == name.cluster
            && previous.is_some_and(|own| (own.sequence, own.id.into()) == (name.sequence, name.id.0))
    });
    if is_named {
        return Ok(None);
    }
    let names: Vec<&ManifestName> = good.iter().map(|manifest| &manifest.name).collect();
    why_misnamed(repository, name, &names)
}

/// Why something is the manifest of another backup: one of `names`, or one that was forgotten.
pub(crate) fn why_misnamed(
    repository: &Unlocked,
    name: &ManifestName,
    names: &[&ManifestName],
) -> Result<Option<String>, RepoError> {
    let forgotten = tombstone::list(repository, Which::All)?;
    let mut why = None;
    for object in [name.name(), name.copy()] {
        let bytes = match object::get_if_there(&repository.store, &object) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) if error.is_of_object() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_of = |other: &&ManifestName| {
            *other != name
                && signed::open(&repository.keys, Kind::Manifest, &other.name(), &object, &bytes).is_ok()
        };
        match names.iter().copied().chain(&forgotten).find(is_of) {
            Some(other) => {
                why = Some(format!("it is the manifest of backup {}, under another name", other.id))
            }
            None => return Ok(None),
        }
    }
    Ok(why)
}

/// What is wrong with the chain of these manifests: a predecessor that is gone or another.
///
/// One that was forgotten is not missing: `forgotten` says what hash its tombstone gives, if it has
/// one.
pub(crate) fn check_chain(
    manifests: &[Manifest],
    mut forgotten: impl FnMut(&ManifestName) -> Option<Forgotten>,
) -> Vec<(BackupId, String, String)> {
    let known: BTreeMap<(&str, u64, BackupId), &Manifest> = manifests
        .iter()
        .map(|manifest| {
            ((manifest.name.cluster.as_str(), manifest.name.sequence, manifest.name.id), manifest)
        })
        .collect();
    let mut problems = Vec::new();
    for manifest in manifests {
        let Some(previous) = &manifest.body.previous else { continue };
        let cluster = manifest.name.cluster.clone();
        let name = ManifestName { cluster, sequence: previous.sequence, id: BackupId(previous.id.into()) };
        match known.get(&(name.cluster.as_str(), name.sequence, name.id)) {
            None if forgotten(&name)
                .is_some_and(|tombstone| tombstone.manifest.is_none_or(|hash| hash == previous.hash)) => {}
            None => problems.push((
                manifest.name.id,
                name.name(),
                format!(
                    "it is missing or damaged, and backup {} names it as its predecessor",
                    manifest.name.id
                ),
            )),
            Some(found) if found.hash != previous.hash => problems.push((
                manifest.name.id,
                name.name(),
                format!("it is not the one that backup {} names as its predecessor", manifest.name.id),
            )),
            Some(_) => {}
        }
    }
    problems
}
