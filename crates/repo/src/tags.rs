//! Tags of backups: small signed objects beside the manifests, in two copies; the newest number
//! wins (FORMAT.md, "Tags").
//!
//! Tags decide what a policy may forget. Where the newest ones of a backup cannot be read, or are
//! gone in one copy, that is known: the other copy serves, and without it nobody may take the
//! backup for one without tags.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::{PutOutcome, Storage};

use crate::at_once::{both, each};
use crate::ids::BackupId;
use crate::object::{self, Kind, damaged};
use crate::repository::Repository;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, manifest, names, signed};

const FOLDER: &str = "tags/";
/// Where the second copy of each is, byte for byte.
const COPIES: &str = "copies/tags/";
const MOST: usize = 64;
const LONGEST: usize = 128;

#[derive(Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    id: ByteArray<8>,
    #[n(1)]
    time: i64,
    /// Sorted.
    #[n(2)]
    tags: Vec<String>,
}

/// The tags of every backup.
#[derive(Clone, Debug, Default)]
pub struct BackupTags {
    known: BTreeMap<BackupId, BTreeSet<String>>,
    unreadable: BTreeMap<BackupId, String>,
}

impl BackupTags {
    /// A backup's tags, if it has any that can be read.
    pub fn get(&self, id: &BackupId) -> Option<&BTreeSet<String>> {
        self.known.get(id)
    }

    /// Why the tags of a backup cannot be read: it may have any.
    pub fn unreadable(&self, id: &BackupId) -> Option<&str> {
        self.unreadable.get(id).map(String::as_str)
    }

    /// No backup has tags.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unreadable.is_empty()
    }
}

fn below(folder: &str, id: BackupId, number: u64) -> String {
    format!("{folder}{id}/{number:08}")
}

/// In which copies one number is there: the first, the second.
type Copies = (bool, bool);

/// What is listed of every backup, or of one: numbers, and where they are.
fn list(
    store: &Storage,
    of: Option<BackupId>,
) -> Result<BTreeMap<BackupId, BTreeMap<u64, Copies>>, RepoError> {
    let one = |folder: &str| {
        let below = of.map_or_else(|| folder.to_string(), |id| format!("{folder}{id}/"));
        store.list(&below)
    };
    let (copies, first) = both(|| one(COPIES), || one(FOLDER));
    let (copies, first) = (copies?, first?);
    Ok(sort(first.iter().chain(&copies).map(|meta| meta.name.as_str())))
}

/// Names by backup and number.
fn sort<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<BackupId, BTreeMap<u64, Copies>> {
    let mut found: BTreeMap<BackupId, BTreeMap<u64, Copies>> = BTreeMap::new();
    for name in names {
        if let Some((id, number)) = names::tags(FOLDER, name) {
            found.entry(id).or_default().entry(number).or_default().0 = true;
        } else if let Some((id, number)) = names::tags(COPIES, name) {
            found.entry(id).or_default().entry(number).or_default().1 = true;
        }
    }
    found
}

fn list_of(store: &Storage, id: BackupId) -> Result<BTreeMap<u64, Copies>, RepoError> {
    Ok(list(store, Some(id))?.remove(&id).unwrap_or_default())
}

/// Reads one copy.
fn read(
    repository: &Unlocked,
    folder: &str,
    id: BackupId,
    number: u64,
) -> Result<BTreeSet<String>, RepoError> {
    let (object, name) = (below(folder, id, number), below(FOLDER, id, number));
    let bytes = object::get(&repository.store, &object)?;
    let body = repository.open_signed(Kind::Tags, &name, &object, &bytes)?;
    let body: Body = codec::decode(&body).map_err(|what| damaged(&object, what))?;
    if body.id != ByteArray::from(id.0) {
        return Err(damaged(&object, "its name and its content differ"));
    }
    if body.tags.len() > MOST || body.tags.iter().any(|tag| tag.len() > LONGEST) {
        return Err(damaged(&object, "it has too many or too long tags"));
    }
    Ok(body.tags.into_iter().collect())
}

/// The newest tags of a backup, from either copy; none if there are none. The error says that
/// nobody knows them.
fn newest(
    repository: &Unlocked,
    id: BackupId,
    mut numbers: BTreeMap<u64, Copies>,
) -> Result<Option<(u64, BTreeSet<String>)>, RepoError> {
    loop {
        let Some((&number, _)) = numbers.last_key_value() else { return Ok(None) };
        let first = match read(repository, FOLDER, id, number) {
            Ok(tags) => return Ok(Some((number, tags))),
            Err(error) if error.is_of_object() => error,
            Err(error) => return Err(error),
        };
        match read(repository, COPIES, id, number) {
            Ok(tags) => {
                repository.store.warn(&format!("{first}; the second copy is used"));
                return Ok(Some((number, tags)));
            }
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
        // Changed or removed meanwhile?
        let again = list_of(&repository.store, id)?;
        if again == numbers {
            return Err(first);
        }
        numbers = again;
    }
}

impl Repository {
    /// The tags of every backup that has any.
    pub fn tags(&self) -> Result<BackupTags, RepoError> {
        let listed: Vec<_> = list(self.store(), None)?.into_iter().collect();
        let mut tags = BackupTags::default();
        for ((id, _), read) in
            listed.iter().zip(each(&listed, |(id, numbers)| newest(&self.unlocked, *id, numbers.clone())))
        {
            match read {
                Ok(None) => {}
                Ok(Some((_, own))) if own.is_empty() => {}
                Ok(Some((_, own))) => drop(tags.known.insert(*id, own)),
                Err(error) if error.is_of_object() => drop(tags.unreadable.insert(*id, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(tags)
    }

    /// What is wrong with the newest tags of each backup and their copies: backup, object, error.
    pub(crate) fn check_tags(&self) -> Result<Vec<(BackupId, String, RepoError)>, RepoError> {
        let mut wrong = Vec::new();
        for (id, numbers) in list(self.store(), None)? {
            let Some((&number, _)) = numbers.last_key_value() else { continue };
            for folder in [FOLDER, COPIES] {
                match read(&self.unlocked, folder, id, number) {
                    Ok(_) => {}
                    Err(error) if error.is_of_object() => wrong.push((id, below(folder, id, number), error)),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(wrong)
    }

    /// Changes the tags of a backup; `change` may be called again if somebody else changes them at
    /// the same moment. Tags that cannot be read are replaced by what `change` makes of none.
    pub fn change_tags(
        &self,
        id: BackupId,
        change: impl Fn(&mut BTreeSet<String>),
    ) -> Result<BTreeSet<String>, RepoError> {
        if !manifest::list(&self.unlocked, "")?.iter().any(|name| name.id == id) {
            return Err(RepoError::UnknownBackup { id });
        }
        loop {
            let numbers = list_of(self.store(), id)?;
            let last = numbers.last_key_value().map(|(number, _)| *number);
            let before = match newest(&self.unlocked, id, numbers) {
                Ok(found) => Some(found.map(|(_, tags)| tags).unwrap_or_default()),
                Err(error) if error.is_of_object() => {
                    self.warn(&format!(
                        "the tags of backup {id} could not be read, and are replaced: {error}"
                    ));
                    None
                }
                Err(error) => return Err(error),
            };
            let mut tags = before.clone().unwrap_or_default();
            change(&mut tags);
            if tags.len() > MOST || tags.iter().any(|tag| tag.is_empty() || tag.len() > LONGEST) {
                return Err(RepoError::TooLarge { what: "the number or length of tags".into() });
            }
            if before.as_ref() == Some(&tags) {
                return Ok(tags);
            }
            let number = last.map_or(1, |last| last + 1);
            let object = below(FOLDER, id, number);
            let body = Body {
                id: ByteArray::from(id.0),
                time: Timestamp::now().as_microsecond(),
                tags: tags.iter().cloned().collect(),
            };
            let bytes = signed::seal(self.keys(), Kind::Tags, &object, codec::encode(&body))?;
            if self.store().put_if_absent(&object, bytes.clone().into())? == PutOutcome::Created
                || self.store().get(&object)? == bytes
            {
                self.store().put_if_absent(&below(COPIES, id, number), bytes.into())?;
                if let Some(last) = last {
                    for folder in [FOLDER, COPIES] {
                        match self.store().delete(&below(folder, id, last)) {
                            // A key that may not delete: the newest list counts.
                            Err(error) if error.is_denied() => {}
                            other => other?,
                        }
                    }
                }
                return Ok(tags);
            }
        }
    }
}

/// Copies of newest tags that are missing while the other one is good: what to put, and its bytes.
pub(crate) fn missing_copies(
    repository: &Unlocked,
    there: &BTreeSet<String>,
) -> Result<Vec<(String, Vec<u8>)>, RepoError> {
    broken_copies(repository, there, |copies| matches!(copies, (true, false) | (false, true)))
}

/// The same of copies that are there and damaged.
pub(crate) fn damaged_copies(
    repository: &Unlocked,
    there: &BTreeSet<String>,
) -> Result<Vec<(String, Vec<u8>)>, RepoError> {
    broken_copies(repository, there, |copies| copies == (true, true))
}

fn broken_copies(
    repository: &Unlocked,
    there: &BTreeSet<String>,
    wanted: impl Fn(Copies) -> bool,
) -> Result<Vec<(String, Vec<u8>)>, RepoError> {
    let mut found = Vec::new();
    for (id, numbers) in sort(there.iter().map(String::as_str)) {
        let Some((&number, _)) = numbers.last_key_value().filter(|(_, copies)| wanted(**copies)) else {
            continue;
        };
        let [first, second] = [FOLDER, COPIES].map(|folder| read(repository, folder, id, number));
        let (from, to) = match (first, second) {
            (Ok(_), Err(error)) if error.is_of_object() => (FOLDER, COPIES),
            (Err(error), Ok(_)) if error.is_of_object() => (COPIES, FOLDER),
            (Err(error), _) | (_, Err(error)) if !error.is_of_object() => return Err(error),
            _ => continue,
        };
        if let Some(bytes) = object::get_if_there(&repository.store, &below(from, id, number))? {
            found.push((below(to, id, number), bytes));
        }
    }
    Ok(found)
}

/// Every object of tags among these names, with its backup.
pub(crate) fn listed(there: &BTreeSet<String>) -> impl Iterator<Item = (BackupId, &String)> {
    let parse = |name: &String| Some(names::tags(FOLDER, name).or_else(|| names::tags(COPIES, name))?.0);
    there.iter().filter_map(move |name| Some((parse(name)?, name)))
}

/// The objects of these backups.
pub(crate) fn names_of(store: &Storage, ids: &BTreeSet<BackupId>) -> Result<Vec<String>, RepoError> {
    let one = match ids.first() {
        Some(id) if ids.len() == 1 => Some(*id),
        _ => None,
    };
    let mut found = Vec::new();
    for (id, numbers) in list(store, one)?.into_iter().filter(|(id, _)| ids.contains(id)) {
        for (number, (first, second)) in numbers {
            found.extend(first.then(|| below(FOLDER, id, number)));
            found.extend(second.then(|| below(COPIES, id, number)));
        }
    }
    Ok(found)
}

/// Of a backup that is forgotten.
pub(crate) fn remove_all(store: &Storage, id: BackupId) -> Result<(), RepoError> {
    for name in names_of(store, &BTreeSet::from([id]))? {
        store.delete(&name)?;
    }
    Ok(())
}
