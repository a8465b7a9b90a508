//! Second copies that are missing or damaged, put again from the good ones; and what is provably
//! nobody's, removed.
//!
//! Copies are the same bytes under two names, so that whoever is allowed to put can mend them: no
//! signature is made. A prune puts what is missing; what is damaged is replaced by
//! [`Repository::mend`] alone, because that deletes.

use std::collections::{BTreeMap, BTreeSet};

use pgark_store::Storage;

use crate::at_once::each;
use crate::ids::BackupId;
use crate::manifest::{self};
use crate::names::{ManifestName, Which};
use crate::object;
use crate::repository::Repository;
use crate::secrets::{self, HEADERS, slots};
use crate::unlocked::Unlocked;
use crate::{RepoError, draft, names, tags, tombstone, writers};

/// What [`Repository::mend`] did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Copies that were missing or damaged, and were put from the other one.
    pub put: Vec<String>,
    /// Objects that are nobody's, and were removed: object, and why it is nobody's.
    pub removed: Vec<(String, String)>,
    /// What cannot be read, and may be someone's: object or backup, and what is wrong.
    pub left: Vec<(String, String)>,
}

/// Two names of the same bytes.
struct Pair {
    names: [String; 2],
    kind: Pairs,
}

enum Pairs {
    Header,
    Slot,
    Manifest(ManifestName),
    Writers(u64),
}

/// What is under one of the two names of a pair.
enum State {
    Good(Vec<u8>),
    Missing,
    Damaged,
}

impl Pair {
    fn read(&self, repository: &Unlocked, object: &str) -> Result<State, RepoError> {
        let bytes = match object::get_if_there(&repository.store, object) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(State::Missing),
            Err(error) if error.is_of_object() => return Ok(State::Damaged),
            Err(error) => return Err(error),
        };
        let verdict = match &self.kind {
            Pairs::Header => secrets::check_header(&repository.keys, bytes.clone()),
            Pairs::Slot => secrets::check_slot(object, &bytes),
            Pairs::Manifest(name) => manifest::decode(repository, name.clone(), object, &bytes).map(|_| ()),
            Pairs::Writers(number) => writers::decode(&repository.keys, *number, object, &bytes).map(|_| ()),
        };
        match verdict {
            Ok(()) => Ok(State::Good(bytes)),
            Err(error) if error.is_of_object() => Ok(State::Damaged),
            Err(error) => Err(error),
        }
    }
}

/// Folders of what is kept in two copies, and of tombstones.
const FOLDERS: [&str; 7] =
    ["manifests/", "copies/", "forgotten/", "tags/", "writers/", slots::FOLDER, slots::COPIES];

/// The names that are there, of what the keys at hand open.
fn list(repository: &Unlocked) -> Result<BTreeSet<String>, RepoError> {
    let mut found = BTreeSet::new();
    for listed in each(&FOLDERS, |folder| names::list(&repository.store, folder)) {
        found.extend(listed?.into_iter().map(|meta| meta.name));
    }
    found.retain(|name| names::is_own(&repository.keys, name));
    Ok(found)
}

/// Everything that is kept in two copies, tags apart.
fn pairs(repository: &Unlocked, there: &BTreeSet<String>) -> Vec<Pair> {
    let mut found = vec![Pair { names: HEADERS.map(str::to_string), kind: Pairs::Header }];
    for slot in repository.listed_slots() {
        let names = [slots::FOLDER, slots::COPIES].map(|folder| format!("{folder}{slot}"));
        found.push(Pair { names, kind: Pairs::Slot });
    }
    // A forgotten one loses its copy first.
    let manifests: BTreeSet<ManifestName> =
        there.iter().filter_map(|name| ManifestName::parse(name)).collect();
    for name in manifests.into_iter().filter(|name| !there.contains(&name.below(tombstone::FOLDER))) {
        found.push(Pair { names: [name.name(), name.copy()], kind: Pairs::Manifest(name) });
    }
    let numbers: BTreeSet<u64> = there.iter().filter_map(|name| writers::parse(name)).collect();
    for number in numbers {
        found.push(Pair {
            names: [writers::name(number), writers::copy_name(number)],
            kind: Pairs::Writers(number),
        });
    }
    found
}

/// Puts copies that are missing. Returns how many.
pub(crate) fn put_missing(repository: &Unlocked) -> Result<u64, RepoError> {
    let store = &repository.store;
    let there = list(repository)?;
    let mut put = 0;
    for pair in pairs(repository, &there) {
        let is_there = |name: &String| HEADERS.contains(&name.as_str()) || there.contains(name);
        if pair.names.iter().all(is_there) && !matches!(pair.kind, Pairs::Header) {
            continue;
        }
        let [first, second] = &pair.names;
        let (missing, bytes) = match (pair.read(repository, first)?, pair.read(repository, second)?) {
            (State::Good(bytes), State::Missing) => (second, bytes),
            (State::Missing, State::Good(bytes)) => (first, bytes),
            _ => continue,
        };
        object::put(store, missing, bytes)?;
        put += 1;
    }
    for (name, bytes) in tags::missing_copies(repository, &there)? {
        object::put(store, &name, bytes)?;
        put += 1;
    }
    Ok(put)
}

/// Replaces an object that is there and damaged.
fn replace(store: &Storage, name: &str, bytes: Vec<u8>) -> Result<(), RepoError> {
    store.delete(name)?;
    object::put(store, name, bytes)
}

impl Repository {
    /// Puts copies that are missing or damaged from their good twins, and removes what is provably
    /// nobody's. What cannot be read and may be someone's is left, and named. The writer secret is
    /// enough.
    pub fn mend(&self, dry_run: bool) -> Result<Mended, RepoError> {
        let store = self.store();
        let mut mended = Mended::default();
        let there = list(&self.unlocked)?;
        for pair in pairs(&self.unlocked, &there) {
            store.cancel().check()?;
            let [first, second] = &pair.names;
            let (name, bytes, is_there) =
                match (pair.read(&self.unlocked, first)?, pair.read(&self.unlocked, second)?) {
                    (State::Good(bytes), State::Missing) => (second, bytes, false),
                    (State::Good(bytes), State::Damaged) => (second, bytes, true),
                    (State::Missing, State::Good(bytes)) => (first, bytes, false),
                    (State::Damaged, State::Good(bytes)) => (first, bytes, true),
                    _ => continue,
                };
            if !dry_run {
                match is_there {
                    true => replace(store, name, bytes)?,
                    false => object::put(store, name, bytes)?,
                }
            }
            mended.put.push(name.clone());
        }
        for (name, bytes) in tags::missing_copies(&self.unlocked, &there)? {
            if !dry_run {
                object::put(store, &name, bytes)?;
            }
            mended.put.push(name);
        }
        for (name, bytes) in tags::damaged_copies(&self.unlocked, &there)? {
            if !dry_run {
                replace(store, &name, bytes)?;
            }
            mended.put.push(name);
        }
        self.remove_nobodys(dry_run, &mut mended)?;
        Ok(mended)
    }

    fn remove_nobodys(&self, dry_run: bool, mended: &mut Mended) -> Result<(), RepoError> {
        let store = self.store();
        let manifest::All { good, set_aside } = manifest::read_all(&self.unlocked)?;
        let mut gone: Vec<(String, String)> = Vec::new();
        for aside in set_aside {
            match manifest::why_nobodys(&self.unlocked, &aside.name, &good)? {
                Some(why) => {
                    for name in [aside.name.copy(), aside.name.name()] {
                        if store.stat(&name).is_ok() {
                            gone.push((name, why.clone()));
                        }
                    }
                }
                None => mended.left.push((format!("backup {}", aside.name.id), aside.error.to_string())),
            }
        }
        let committed: BTreeSet<BackupId> = good.iter().map(|manifest| manifest.name.id).collect();
        let forgotten: BTreeMap<BackupId, ManifestName> =
            tombstone::list(&self.unlocked, Which::All)?.into_iter().map(|name| (name.id, name)).collect();
        let is_forgotten = |id: &BackupId| {
            let tombstone = forgotten.get(id).map(|name| tombstone::read(&self.unlocked, name));
            !committed.contains(id) && matches!(tombstone, Some(Ok(Some(tombstone))) if tombstone.trusted)
        };
        for meta in names::list(store, "drafts/")? {
            let Some((_, id)) = names::draft(&meta.name) else { continue };
            if !names::is_own(self.keys(), &meta.name) {
                continue;
            }
            match draft::read(&self.unlocked, &meta.name) {
                Ok(_) => {}
                Err(error) if error.is_of_object() => {
                    if committed.contains(&id) || is_forgotten(&id) {
                        gone.push((meta.name, "its backup was written, or is forgotten".into()));
                    } else {
                        mended.left.push((meta.name, error.to_string()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        for (id, name) in tags::listed(&list(&self.unlocked)?) {
            if is_forgotten(&id) {
                gone.push((name.clone(), "its backup is forgotten".into()));
            }
        }
        for (name, why) in gone {
            if !dry_run {
                store.delete(&name)?;
            }
            mended.removed.push((name, why));
        }
        Ok(())
    }
}
