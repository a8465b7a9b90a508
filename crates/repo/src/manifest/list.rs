//! Which manifests there are, and reading them: from either copy, without those that were
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pgark_store::ObjectMeta;

use super::body::{Manifest, decode};
use super::cache::ManifestCache;
use crate::at_once::{both, each};
use crate::names::{MANIFEST_COPIES, MANIFESTS, ManifestName, Which};
use crate::unlocked::Unlocked;
use crate::{RepoError, object, tombstone};

/// Names of manifests, whether the first or the second copy is there, without those that were
/// forgotten.
pub(crate) fn list(repository: &Unlocked, which: Which<'_>) -> Result<BTreeSet<ManifestName>, RepoError> {
    Ok(list_both(repository, which)?.0)
}

/// [`list`], and the names of all tombstones.
pub(crate) fn list_both(
    repository: &Unlocked,
    which: Which<'_>,
) -> Result<(BTreeSet<ManifestName>, BTreeSet<ManifestName>), RepoError> {
    let (names, forgotten) = list_timed(repository, which)?;
    Ok((names.into_keys().collect(), forgotten))
}

/// Names of manifests, and when the storage took each, as far as it knows.
pub(crate) type Timed = BTreeMap<ManifestName, Option<Timestamp>>;

/// [`list_both`], with the storage's times.
pub(crate) fn list_timed(
    repository: &Unlocked,
    which: Which<'_>,
) -> Result<(Timed, BTreeSet<ManifestName>), RepoError> {
    let (names, forgotten) = both(|| list_all(repository, which), || tombstone::list(repository, which));
    let (mut names, forgotten) = (names?, forgotten?);
    for name in &forgotten {
        // A tombstone with its manifest is what a crash left, or a replayed manifest; only a true
        // one counts.
        if names.contains_key(name) {
            match tombstone::read(repository, name) {
                Ok(None) => {}
                Ok(Some(tombstone)) if tombstone.trusted => drop(names.remove(name)),
                Ok(Some(_)) => repository.warn_once(format!(
                    "the tombstone of backup {} is ignored: its signer has no right to forget it",
                    name.id
                )),
                Err(error) => repository.store.warn(&format!("a tombstone is ignored: {error}")),
            }
        }
    }
    Ok((names, forgotten))
}

/// [`list_timed`], and those that were forgotten and are still there.
pub(crate) fn list_all(repository: &Unlocked, which: Which<'_>) -> Result<Timed, RepoError> {
    let one = |base: &str| which.list(&repository.store, base);
    let (copies, first) = both(|| one(MANIFEST_COPIES), || one(MANIFESTS));
    let (copies, first) = (copies?, first?);
    let mut names = Timed::new();
    for meta in copies.iter().chain(&first) {
        let Some(name) = ManifestName::parse(&meta.name) else { continue };
        let Some(compartment) = repository.keys.compartment_of(&name.cluster) else { continue };
        if matches!(which, Which::Compartment(wanted) if wanted != compartment) {
            continue;
        }
        let time = names.entry(name).or_default();
        // A copy that was put again later says less.
        *time = (*time).into_iter().chain(stored(meta)).min();
    }
    Ok(names)
}

/// When an object was put. A storage that keeps no times says 1970.
pub(crate) fn stored(meta: &ObjectMeta) -> Option<Timestamp> {
    Timestamp::try_from(meta.modified).ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// Reads a manifest; where its first copy is damaged or gone, the second. What was wrong with a
/// copy goes to `wrong`.
pub(crate) fn read(
    repository: &Unlocked,
    name: &ManifestName,
    mut wrong: impl FnMut(RepoError),
) -> Result<Manifest, RepoError> {
    // A newer version or epoch is skipped, too: a single flipped bit looks like one, and then the
    // other copy is as it was.
    let first = match read_one(repository, name, &name.name()) {
        Err(error) if error.is_of_object() => error,
        other => return other,
    };
    match read_one(repository, name, &name.copy()) {
        Ok(manifest) => {
            wrong(first);
            Ok(manifest)
        }
        // Of two errors the one that says more.
        Err(second) if !second.is_of_object() || matches!(first, RepoError::Missing { .. }) => Err(second),
        Err(_) => Err(first),
    }
}

/// Reads one copy.
pub(crate) fn read_one(
    repository: &Unlocked,
    name: &ManifestName,
    object: &str,
) -> Result<Manifest, RepoError> {
    let bytes = object::get(&repository.store, object)?;
    decode(repository, name.clone(), object, &bytes)
}

/// What has a manifest's name and cannot be read as one, in either copy.
pub(crate) struct SetAside {
    pub name: ManifestName,
    pub error: RepoError,
}

/// All manifests, oldest first; and those that cannot be read.
#[derive(Default)]
pub(crate) struct All {
    pub good: Vec<Manifest>,
    pub set_aside: Vec<SetAside>,
}

impl All {
    /// Those that can be read; a warning names each of the others, once in the life of this
    /// process.
    pub(crate) fn warned(self, repository: &Unlocked) -> Vec<Manifest> {
        for aside in &self.set_aside {
            repository.warn_once(format!(
                "backup {} is set aside: {}; `pgark check` shows more, `pgark forget {}` removes it",
                aside.name.id, aside.error, aside.name.id
            ));
        }
        self.good
    }
}

/// All manifests that the keys at hand open.
pub(crate) fn read_all(repository: &Unlocked) -> Result<All, RepoError> {
    read_some(repository, Which::All)
}

/// Some of them.
pub(crate) fn read_some(repository: &Unlocked, which: Which<'_>) -> Result<All, RepoError> {
    let mut all = All::default();
    let (names, _) = list_timed(repository, which)?;
    let mut cache = ManifestCache::open(repository);
    let mut unknown = Vec::new();
    for name in names.keys() {
        match cache.get(repository, name) {
            Some(known) => all.good.push(known),
            None => unknown.push(name),
        }
    }
    let warn = |error: RepoError| repository.warn_once(format!("{error}; using the second copy"));
    for (name, manifest) in unknown.iter().zip(each(&unknown, |name| read(repository, name, warn))) {
        match manifest {
            Ok(manifest) => {
                cache.put(&manifest);
                all.good.push(manifest);
            }
            // Forgotten since the list was made.
            Err(error) if error.is_of_object() && is_gone(repository, name)? => {}
            Err(error) if error.is_of_object() => {
                all.set_aside.push(SetAside { name: (*name).clone(), error });
            }
            Err(error) => return Err(error),
        }
    }
    cache.keep(|name| names.contains_key(name) || !matches!(which, Which::All));
    for manifest in &mut all.good {
        manifest.stored = names.get(&manifest.name).copied().flatten();
    }
    all.good.sort_by_key(|manifest| (manifest.moment(), manifest.body.sequence, manifest.name.id));
    Ok(all)
}

/// Whether a manifest that was listed has been forgotten meanwhile, or is in no list any more.
pub(crate) fn is_gone(repository: &Unlocked, name: &ManifestName) -> Result<bool, RepoError> {
    if matches!(tombstone::read(repository, name), Ok(Some(tombstone)) if tombstone.trusted) {
        return Ok(true);
    }
    Ok(!list_all(repository, Which::Cluster(&name.cluster))?.contains_key(name))
}

/// Remembers the newest manifests on this host.
pub(crate) fn remember<'m>(
    repository: &Unlocked,
    manifests: impl IntoIterator<Item = &'m Manifest>,
) -> Result<(), RepoError> {
    let mut heads = repository.heads()?;
    for manifest in manifests {
        let hash = manifest.hash.to_string();
        heads.remember(&manifest.name.cluster, manifest.name.sequence, &hash, &repository.store);
    }
    Ok(())
}
