//! Rewriting index objects: without packs that are gone, and few instead of many.
//!
//! The new object names those that it replaces; they are deleted after it was put. Readers that
//! listed the old ones list again. What a crash leaves between is superseded, and the next prune
//! deletes it.

use std::collections::{HashMap, HashSet};

use pgark_store::Storage;

use crate::RepoError;
use crate::ids::{Compartment, Hash, ObjectHash};
use crate::index::object::{self as index_object, IndexContent, IndexRecord};
use crate::index::{self, Index, Judged, PackTable};
use crate::object;
use crate::pack;
use crate::repository::Repository;

/// Records of a new object.
const PER_OBJECT: usize = 1 << 20;
/// Objects with fewer records are small, and so many small ones are merged.
const SMALL: usize = 64 << 10;
const MANY: usize = 8;

/// An index object that counts.
struct Known {
    name: String,
    records: usize,
    packs: Vec<ObjectHash>,
    supersedes: Vec<ObjectHash>,
}

pub(super) fn run(repository: &Repository, compartment: Compartment) -> Result<(), RepoError> {
    let store = repository.store();
    let listed = Index::list_whole(store, compartment)?;
    let mut known: Vec<Known> = Vec::new();
    for name in listed.keys() {
        repository.store().cancel().check()?;
        // What cannot be read stays as it is: `repair index` replaces it.
        let Some(Judged { content, counts, .. }) =
            index::read_judged(&repository.unlocked, compartment, name)?
        else {
            continue;
        };
        if counts {
            known.push(Known {
                name: name.clone(),
                records: content.records.len(),
                packs: content.packs.iter().map(|pack| pack.hash).collect(),
                supersedes: content.supersedes,
            });
        } else {
            store.delete(name)?;
        }
    }
    // After the index objects: a pack was put before the object that names it.
    let there = pack::list(store, compartment)?;
    let mut gone: HashMap<ObjectHash, bool> = HashMap::new();
    let mut is_gone = |hash: &ObjectHash| -> Result<bool, RepoError> {
        if there.contains_key(hash) {
            return Ok(false);
        }
        if let Some(gone) = gone.get(hash) {
            return Ok(*gone);
        }
        let is_gone = pack::is_gone(store, compartment, hash)?;
        gone.insert(*hash, is_gone);
        Ok(is_gone)
    };
    let mut superseded: HashSet<String> = HashSet::new();
    for newer in known.iter().filter(|newer| !newer.supersedes.is_empty()) {
        for hash in &newer.supersedes {
            let old = index_object::name(compartment, hash);
            // Who supersedes what he does not hold would take it from everybody.
            if old != newer.name
                && listed.contains_key(&old)
                && covers(repository, compartment, (&newer.name, &old), &mut is_gone)?
            {
                superseded.insert(old);
            }
        }
    }
    if !superseded.is_empty() {
        settle(store)?;
    }
    for name in &superseded {
        store.delete(name)?;
    }
    known.retain(|known| !superseded.contains(&known.name));
    let many_small = known.iter().filter(|known| known.records < SMALL).count() >= MANY;
    let mut old: Vec<String> = Vec::new();
    for known in &known {
        let mut names_gone = false;
        for pack in &known.packs {
            names_gone |= is_gone(pack)?;
        }
        if names_gone || (many_small && known.records < SMALL) {
            old.push(known.name.clone());
        }
    }
    let mut new =
        New { repository, compartment, content: IndexContent::default(), packs: PackTable::default() };
    for name in &old {
        repository.store().cancel().check()?;
        let Some(content) = read(repository, compartment, name)? else { continue };
        let mut stays = Vec::with_capacity(content.packs.len());
        for pack in &content.packs {
            stays.push(!is_gone(&pack.hash)?);
        }
        new.add(name, &content, &stays);
        if new.content.records.len() >= PER_OBJECT {
            new.put()?;
        }
    }
    new.put()
}

/// An index object, if it is there, can be read, and counts.
fn read(
    repository: &Repository,
    compartment: Compartment,
    name: &str,
) -> Result<Option<IndexContent>, RepoError> {
    let judged = index::read_judged(&repository.unlocked, compartment, name)?;
    Ok(judged.filter(|judged| judged.counts).map(|judged| judged.content))
}

/// Whether an index object holds all that another one says of packs that are there.
fn covers(
    repository: &Repository,
    compartment: Compartment,
    (newer, old): (&str, &str),
    is_gone: &mut dyn FnMut(&ObjectHash) -> Result<bool, RepoError>,
) -> Result<bool, RepoError> {
    let (Some(newer), Some(old)) =
        (read(repository, compartment, newer)?, read(repository, compartment, old)?)
    else {
        return Ok(false);
    };
    let place = |content: &IndexContent, record: &IndexRecord| {
        let pack = content.packs.get(record.pack as usize)?;
        Some((record.id, pack.hash, pack.size))
    };
    let held: HashSet<_> = newer.records.iter().filter_map(|record| place(&newer, record)).collect();
    let packs: HashSet<(ObjectHash, u64)> = newer.packs.iter().map(|pack| (pack.hash, pack.size)).collect();
    for pack in &old.packs {
        if !packs.contains(&(pack.hash, pack.size)) && !is_gone(&pack.hash)? {
            return Ok(false);
        }
    }
    let is_held = |record: &IndexRecord| {
        let place = place(&old, record);
        place.is_none_or(|place| !packs.contains(&(place.1, place.2)) || held.contains(&place))
    };
    Ok(old.records.iter().all(is_held))
}

/// On a storage whose lists are late: until they show what was put.
pub(crate) fn settle(store: &Storage) -> Result<(), RepoError> {
    Ok(store.cancel().sleep(store.capabilities().list_lateness * 2)?)
}

struct New<'r> {
    repository: &'r Repository,
    compartment: Compartment,
    content: IndexContent,
    packs: PackTable,
}

impl New<'_> {
    fn add(&mut self, name: &str, old: &IndexContent, stays: &[bool]) {
        let mut numbers = Vec::with_capacity(old.packs.len());
        for (pack, stays) in old.packs.iter().zip(stays) {
            numbers.push(stays.then(|| self.packs.number(*pack)));
        }
        for record in &old.records {
            if let Some(Some(pack)) = numbers.get(record.pack as usize) {
                self.content.records.push(IndexRecord { pack: *pack, ..*record });
            }
        }
        self.content.supersedes.extend(index_object::parse_name(name).map(|(_, hash)| hash));
    }

    fn put(&mut self) -> Result<(), RepoError> {
        let mut content = std::mem::take(&mut self.content);
        let packs = std::mem::take(&mut self.packs);
        content.packs = packs.packs;
        let old: Vec<String> =
            content.supersedes.iter().map(|hash| index_object::name(self.compartment, hash)).collect();
        if old.is_empty() {
            return Ok(());
        }
        let store = self.repository.store();
        if !content.records.is_empty() {
            let bytes = index_object::encode(self.repository.keys(), self.compartment, content)?;
            let name = index_object::name(self.compartment, &Hash::of(&bytes));
            object::put(store, &name, bytes)?;
            settle(store)?;
        }
        for name in old {
            store.delete(&name)?;
        }
        Ok(())
    }
}
