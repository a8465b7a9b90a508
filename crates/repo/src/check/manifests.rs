//! Every manifest, its copy, and the chain of each cluster.

use super::{AffectedBackup, Check, State};
use crate::RepoError;
use crate::lock::lock;
use crate::manifest::{self, Manifest};
use crate::names::{ManifestName, Which};
use crate::object;
use crate::tombstone;
use crate::unlocked::Unlocked;

impl Check<'_> {
    pub(super) fn manifests(
        &self,
        names: manifest::Timed,
        heads: &[(String, u64, String)],
        state: &State,
    ) -> Result<Vec<Manifest>, RepoError> {
        let repository = &self.repository.unlocked;
        let store = &repository.store;
        let mut manifests = Vec::new();
        for (name, stored) in names {
            let copy = match object::get_if_there(store, &name.copy()) {
                Ok(Some(bytes)) => {
                    self.step(bytes.len() as u64)?;
                    manifest::decode(repository, name.clone(), &name.copy(), &bytes).err()
                }
                Ok(None) if !state.is_old(&name.name()) => None,
                Ok(None) => Some(RepoError::Missing { object: name.copy() }),
                Err(error) if error.is_of_object() => Some(error),
                Err(error) => return Err(error),
            };
            self.step(store.stat(&name.name()).map_or(0, |meta| meta.size))?;
            let mut first = None;
            let read = manifest::read(repository, &name, |error| first = Some(error));
            if (read.is_err() || copy.is_some() || first.is_some()) && manifest::is_gone(repository, &name)? {
                continue;
            }
            let mut found = lock(&self.found);
            let full = name.name();
            for error in copy.into_iter().chain(first) {
                let problem = found.note(&full, error)?;
                found.touch(problem, name.id);
            }
            match read {
                Ok(mut manifest) => {
                    manifest.stored = stored;
                    if let Some(why) = &manifest.distrust {
                        let problem = found.add(&full, format!("the signature: {why}"));
                        found.touch(problem, name.id);
                    }
                    manifests.push(manifest);
                }
                Err(error) => {
                    let problem = found.note(&full, error)?;
                    found.touch(problem, name.id);
                    found.hurt.push(AffectedBackup { backup: name.id, entries: Vec::new(), whole: true });
                }
            }
        }
        let mut found = lock(&self.found);
        let mut unreadable = Vec::new();
        let forgotten = |name: &ManifestName| match tombstone::read(repository, name) {
            Ok(tombstone) => tombstone,
            Err(error) => {
                unreadable.push((name.below(tombstone::FOLDER), error));
                None
            }
        };
        let broken = manifest::check_chain(&manifests, forgotten);
        for (name, error) in unreadable {
            found.note(&name, error)?;
        }
        for (backup, object, what) in broken {
            let problem = found.add(object, what);
            found.touch(problem, backup);
        }
        // Of clusters that the key at hand does not open nothing is seen.
        let own = |cluster: &str| repository.keys.compartment_of(cluster).is_some();
        for (cluster, sequence, hash) in heads.iter().filter(|(cluster, ..)| own(cluster)) {
            let there = manifests.iter().any(|manifest| {
                manifest.name.cluster == *cluster
                    && manifest.name.sequence >= *sequence
                    && (manifest.name.sequence > *sequence || manifest.hash.to_string() == *hash)
            });
            if !there && !forgotten_since(repository, cluster, *sequence, hash)? {
                found.add(
                    format!("manifests/{cluster}/{sequence:016}"),
                    "this host has seen a backup here that is missing: the newest of its cluster was removed",
                );
            }
        }
        Ok(manifests)
    }
}

/// Whether a tombstone accounts for the newest backup that this host remembers of a cluster.
fn forgotten_since(
    repository: &Unlocked,
    cluster: &str,
    sequence: u64,
    hash: &str,
) -> Result<bool, RepoError> {
    for name in tombstone::list(repository, Which::Since(cluster, sequence))? {
        let tombstone = tombstone::read(repository, &name).unwrap_or_default();
        if tombstone.is_some_and(|tombstone| {
            name.sequence > sequence || tombstone.manifest.is_none_or(|own| own.to_string() == hash)
        }) {
            return Ok(true);
        }
    }
    Ok(false)
}
