//! Index objects anew: without packs that are gone, and few instead of many.
//!
//! The new object names those that it replaces; they are deleted after it was put. Readers that
//! listed the old ones list again. What a crash leaves between is superseded, and the next prune
//! deletes it.

use std::collections::{HashMap, HashSet};

use pgark_store::Storage;

use crate::RepoError;
use crate::ids::{Hash, ObjectHash};
use crate::index::object::{self as index_object, IndexContent};
use crate::index::{Index, read_object};
use crate::object;
use crate::pack;
use crate::repository::Repository;

/// Records of a new object.
const PER_OBJECT: usize = 1 << 20;
/// Objects with fewer records are small, and so many small ones are merged.
const SMALL: usize = 64 << 10;
const MANY: usize = 8;

pub(super) fn run(repository: &Repository) -> Result<(), RepoError> {
    let store = repository.store();
    let listed = Index::list_whole(store)?;
    let mut contents: Vec<(String, usize, Vec<ObjectHash>, Vec<ObjectHash>)> = Vec::new();
    for name in listed.keys() {
        repository.store().cancel().check()?;
        match read_object(store, repository.keys(), name) {
            Ok(content) => contents.push((
                name.clone(),
                content.records.len(),
                content.packs.iter().map(|pack| pack.hash).collect(),
                content.supersedes,
            )),
            // What cannot be read stays as it is: `repair index` replaces it.
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    // After the index objects: a pack was put before the object that names it.
    let there: HashSet<ObjectHash> =
        store.list("packs/")?.iter().filter_map(|meta| pack::parse_name(&meta.name)).collect();
    let mut known: HashMap<ObjectHash, bool> = HashMap::new();
    let mut is_gone = |hash: &ObjectHash| -> Result<bool, RepoError> {
        if there.contains(hash) {
            return Ok(false);
        }
        if let Some(gone) = known.get(hash) {
            return Ok(*gone);
        }
        let gone = pack::is_gone(store, hash)?;
        known.insert(*hash, gone);
        Ok(gone)
    };
    let superseded: HashSet<String> = contents
        .iter()
        .flat_map(|(_, _, _, supersedes)| supersedes)
        .map(index_object::name)
        .filter(|name| listed.contains_key(name))
        .collect();
    if !superseded.is_empty() {
        settle(store)?;
    }
    for name in &superseded {
        store.delete(name)?;
    }
    contents.retain(|(name, ..)| !superseded.contains(name));
    let many_small = contents.iter().filter(|(_, records, ..)| *records < SMALL).count() >= MANY;
    let mut old: Vec<String> = Vec::new();
    for (name, records, packs, _) in &contents {
        let mut names_gone = false;
        for pack in packs {
            names_gone |= is_gone(pack)?;
        }
        if names_gone || (many_small && *records < SMALL) {
            old.push(name.clone());
        }
    }
    let mut new = New { repository, content: IndexContent::default(), numbers: HashMap::new() };
    for name in &old {
        repository.store().cancel().check()?;
        let content = match read_object(store, repository.keys(), name) {
            Ok(content) => content,
            Err(RepoError::Missing { .. }) => continue,
            Err(error) => return Err(error),
        };
        let mut stays = Vec::with_capacity(content.packs.len());
        for pack in &content.packs {
            stays.push(!is_gone(&pack.hash)?);
        }
        new.add(name, &content, &stays)?;
        if new.content.records.len() >= PER_OBJECT {
            new.put()?;
        }
    }
    new.put()
}

/// On a storage whose lists are late: until they show what was put.
pub(crate) fn settle(store: &Storage) -> Result<(), RepoError> {
    Ok(store.cancel().sleep(store.capabilities().list_lateness * 2)?)
}

struct New<'r> {
    repository: &'r Repository,
    content: IndexContent,
    numbers: HashMap<ObjectHash, u32>,
}

impl New<'_> {
    fn add(&mut self, name: &str, old: &IndexContent, stays: &[bool]) -> Result<(), RepoError> {
        let mut numbers = Vec::with_capacity(old.packs.len());
        for (pack, stays) in old.packs.iter().zip(stays) {
            numbers.push(stays.then(|| {
                let packs = &mut self.content.packs;
                *self.numbers.entry(pack.hash).or_insert_with(|| {
                    packs.push(*pack);
                    u32::try_from(packs.len() - 1).unwrap_or(u32::MAX)
                })
            }));
        }
        for record in &old.records {
            if let Some(Some(pack)) = numbers.get(record.pack as usize) {
                self.content.records.push(index_object::IndexRecord { pack: *pack, ..*record });
            }
        }
        self.content.supersedes.extend(index_object::parse_name(name));
        Ok(())
    }

    fn put(&mut self) -> Result<(), RepoError> {
        let content = std::mem::take(&mut self.content);
        self.numbers.clear();
        let old: Vec<String> = content.supersedes.iter().map(index_object::name).collect();
        if old.is_empty() {
            return Ok(());
        }
        let store = self.repository.store();
        if !content.records.is_empty() {
            let bytes = index_object::encode(self.repository.keys(), content)?;
            let name = index_object::name(&Hash::of(&bytes));
            object::put(store, &name, bytes)?;
            settle(store)?;
        }
        for name in old {
            store.delete(&name)?;
        }
        Ok(())
    }
}
