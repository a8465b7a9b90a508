//! Tags of backups: small signed objects next to the manifests, in two copies; the newest number
//! wins (FORMAT.md, "Tags").
//!
//! Tags decide what a policy may forget. Where the newest ones of a backup cannot be read, or are
//! gone in one copy, that is known: the other copy serves, and without it nobody may take the
//! backup for one without tags.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::PutOutcome;

use crate::at_once::{both, each};
use crate::codec::Extensions;
use crate::ids::BackupId;
use crate::manifest::BackupHead;
use crate::names::{ManifestName, TagsName, Which};
use crate::object::{self, Kind, damaged};
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::secrets::Keys;
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
    #[n(3)]
    more: Extensions,
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

/// Whose tags they are: the cluster's hash, and the backup.
type Of = (String, BackupId);

fn below(folder: &str, of: &Of, number: u64) -> String {
    TagsName { cluster: of.0.clone(), id: of.1, number }.below(folder)
}

/// The right that it takes to put tags of this number. The first come with a backup; to change them
/// changes what a policy forgets.
pub(crate) fn right(number: u64) -> Right {
    if number == 1 { Right::Backup } else { Right::Forget }
}

/// In which copies one number is there: the first, the second.
type Copies = (bool, bool);

/// What is listed of every backup, or of one: numbers, and where they are.
fn list(repository: &Unlocked, of: Option<&Of>) -> Result<BTreeMap<Of, BTreeMap<u64, Copies>>, RepoError> {
    let one = |folder: &str| {
        let below = of.map_or_else(|| folder.to_string(), |(cluster, id)| format!("{folder}{cluster}/{id}/"));
        repository.store.list(&below)
    };
    let (copies, first) = both(|| one(COPIES), || one(FOLDER));
    let (copies, first) = (copies?, first?);
    Ok(sort(&repository.keys, first.iter().chain(&copies).map(|meta| meta.name.as_str())))
}

/// Names by backup and number; those that the keys at hand open.
fn sort<'n>(keys: &Keys, names: impl Iterator<Item = &'n str>) -> BTreeMap<Of, BTreeMap<u64, Copies>> {
    let mut found: BTreeMap<Of, BTreeMap<u64, Copies>> = BTreeMap::new();
    let mut add = |name: TagsName, second: bool| {
        let copies = found.entry((name.cluster, name.id)).or_default().entry(name.number).or_default();
        if second { copies.1 = true } else { copies.0 = true }
    };
    for name in names.filter(|name| names::is_own(keys, name)) {
        if let Some(name) = TagsName::parse_below(FOLDER, name) {
            add(name, false);
        } else if let Some(name) = TagsName::parse_below(COPIES, name) {
            add(name, true);
        }
    }
    found
}

fn list_of(repository: &Unlocked, of: &Of) -> Result<BTreeMap<u64, Copies>, RepoError> {
    Ok(list(repository, Some(of))?.remove(of).unwrap_or_default())
}

/// Reads one copy.
fn read(repository: &Unlocked, folder: &str, of: &Of, number: u64) -> Result<BTreeSet<String>, RepoError> {
    let (object, name) = (below(folder, of, number), below(FOLDER, of, number));
    let bytes = object::get(&repository.store, &object)?;
    let needs = (right(number), Scope::Cluster(&of.0));
    let body = repository.open_signed(Kind::Tags, &name, &object, needs, &bytes)?;
    let body: Body = codec::decode(&body).map_err(|what| damaged(&object, what))?;
    if body.id != ByteArray::from(of.1.0) {
        return Err(damaged(&object, "its name and its content differ"));
    }
    if body.tags.len() > MOST || body.tags.iter().any(|tag| tag.len() > LONGEST) {
        return Err(damaged(&object, "it has too many or too long tags"));
    }
    Ok(body.tags.into_iter().collect())
}

/// What is known of a backup's tags.
#[derive(Default)]
struct Newest {
    /// The newest that count, and their number.
    found: Option<(u64, BTreeSet<String>)>,
    /// Newer ones that cannot be read, in either copy: the backup may have any.
    unread: Option<RepoError>,
}

/// Whether an object can be read, and is of someone who has no right to change tags here: it is
/// nobody's.
fn is_nobodys(repository: &Unlocked, of: &Of, number: u64) -> bool {
    let name = below(FOLDER, of, number);
    [FOLDER, COPIES].into_iter().any(|folder| {
        let object = below(folder, of, number);
        let needs = (right(number), Scope::Cluster(&of.0));
        let judged = object::get(&repository.store, &object)
            .and_then(|bytes| repository.open_judged(Kind::Tags, &name, &object, needs, &bytes));
        judged.is_ok_and(|(_, verdict)| verdict.is_err())
    })
}

/// The newest tags of a backup, from either copy.
fn newest(repository: &Unlocked, of: &Of, mut numbers: BTreeMap<u64, Copies>) -> Result<Newest, RepoError> {
    'lists: loop {
        let mut newest = Newest::default();
        for (&number, _) in numbers.iter().rev() {
            let first = match read(repository, FOLDER, of, number) {
                Ok(tags) => {
                    newest.found = Some((number, tags));
                    break;
                }
                Err(error) if error.is_of_object() => error,
                Err(error) => return Err(error),
            };
            match read(repository, COPIES, of, number) {
                Ok(tags) => {
                    repository.store.warn(&format!("{first}; the second copy is used"));
                    newest.found = Some((number, tags));
                    break;
                }
                Err(error) if error.is_of_object() => {}
                Err(error) => return Err(error),
            }
            if is_nobodys(repository, of, number) {
                repository.warn_once(format!("{first}: it is ignored"));
                continue;
            }
            // Changed or removed meanwhile?
            let again = list_of(repository, of)?;
            if again != numbers {
                numbers = again;
                continue 'lists;
            }
            newest.unread.get_or_insert(first);
        }
        return Ok(newest);
    }
}

impl Repository {
    /// The tags of every backup that has any.
    pub fn tags(&self) -> Result<BackupTags, RepoError> {
        let listed: Vec<_> = list(&self.unlocked, None)?.into_iter().collect();
        let mut tags = BackupTags::default();
        for (((_, id), _), read) in
            listed.iter().zip(each(&listed, |(of, numbers)| newest(&self.unlocked, of, numbers.clone())))
        {
            let Newest { found, unread } = read?;
            if let Some((_, own)) = found.filter(|(_, own)| !own.is_empty()) {
                tags.known.insert(*id, own);
            }
            if let Some(error) = unread {
                tags.unreadable.insert(*id, error.to_string());
            }
        }
        Ok(tags)
    }

    /// The tags of one backup. Where they cannot be read there is a warning, and none are returned.
    pub fn tags_of(&self, backup: &BackupHead) -> Result<BTreeSet<String>, RepoError> {
        let of: Of = (self.keys().cluster_hash(&backup.cluster)?, backup.id);
        let Newest { found, unread } = newest(&self.unlocked, &of, list_of(&self.unlocked, &of)?)?;
        if let Some(error) = unread {
            self.warn(&format!("the tags of backup {} cannot be read: {error}", backup.id));
        }
        Ok(found.map(|(_, tags)| tags).unwrap_or_default())
    }

    /// What is wrong with the newest tags of each backup and their copies: backup, object, error.
    pub(crate) fn check_tags(&self) -> Result<Vec<(BackupId, String, RepoError)>, RepoError> {
        let mut wrong = Vec::new();
        for (of, numbers) in list(&self.unlocked, None)? {
            let Some((&number, _)) = numbers.last_key_value() else { continue };
            for folder in [FOLDER, COPIES] {
                match read(&self.unlocked, folder, &of, number) {
                    Ok(_) => {}
                    Err(error) if error.is_of_object() => {
                        wrong.push((of.1, below(folder, &of, number), error));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(wrong)
    }

    /// Changes the tags of a backup; `change` may be called again if someone else changes them at
    /// the same moment. Tags that cannot be read are replaced by what `change` makes of none.
    pub fn change_tags(
        &self,
        id: BackupId,
        change: impl Fn(&mut BTreeSet<String>),
    ) -> Result<BTreeSet<String>, RepoError> {
        let names = manifest::list(&self.unlocked, Which::All)?;
        let name = names.into_iter().find(|name| name.id == id).ok_or(RepoError::UnknownBackup { id })?;
        let of: Of = (name.cluster, id);
        loop {
            let numbers = list_of(&self.unlocked, &of)?;
            let listed: Vec<u64> = numbers.keys().copied().collect();
            let Newest { found, unread } = newest(&self.unlocked, &of, numbers)?;
            let last = found.as_ref().map_or(0, |(number, _)| *number);
            let before = match unread {
                None => Some(found.map(|(_, tags)| tags).unwrap_or_default()),
                Some(error) => {
                    self.warn(&format!(
                        "the tags of backup {id} could not be read, and are replaced: {error}"
                    ));
                    None
                }
            };
            let mut tags = before.clone().unwrap_or_default();
            change(&mut tags);
            if tags.len() > MOST || tags.iter().any(|tag| tag.is_empty() || tag.len() > LONGEST) {
                return Err(RepoError::TooLarge { what: "the number or length of tags".into() });
            }
            if before.as_ref() == Some(&tags) {
                return Ok(tags);
            }
            // Behind names that are nobody's, too.
            let number = (last + 1..).find(|number| !listed.contains(number)).unwrap_or(last + 1);
            self.unlocked.refuse_stranger(right(number), &[Scope::Cluster(&of.0)])?;
            let object = below(FOLDER, &of, number);
            let body = Body {
                id: ByteArray::from(id.0),
                time: Timestamp::now().as_microsecond(),
                tags: tags.iter().cloned().collect(),
                more: Extensions::default(),
            };
            let bytes = signed::seal(self.keys(), Kind::Tags, &object, codec::encode(&body))?;
            if self.store().put_if_absent(&object, bytes.clone().into())? == PutOutcome::Created
                || self.store().get(&object)? == bytes
            {
                self.store().put_if_absent(&below(COPIES, &of, number), bytes.into())?;
                for (number, folder) in listed.iter().flat_map(|number| [(number, FOLDER), (number, COPIES)])
                {
                    match self.store().delete(&below(folder, &of, *number)) {
                        // A key without delete permission: the newest list counts.
                        Err(error) if error.is_denied() => {}
                        other => other?,
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
    for (of, numbers) in sort(&repository.keys, there.iter().map(String::as_str)) {
        let Some((&number, _)) = numbers.last_key_value().filter(|(_, copies)| wanted(**copies)) else {
            continue;
        };
        let [first, second] = [FOLDER, COPIES].map(|folder| read(repository, folder, &of, number));
        let (from, to) = match (first, second) {
            (Ok(_), Err(error)) if error.is_of_object() => (FOLDER, COPIES),
            (Err(error), Ok(_)) if error.is_of_object() => (COPIES, FOLDER),
            (Err(error), _) | (_, Err(error)) if !error.is_of_object() => return Err(error),
            _ => continue,
        };
        if let Some(bytes) = object::get_if_there(&repository.store, &below(from, &of, number))? {
            found.push((below(to, &of, number), bytes));
        }
    }
    Ok(found)
}

/// Every object of tags among these names, with its backup.
pub(crate) fn listed(there: &BTreeSet<String>) -> impl Iterator<Item = (BackupId, &String)> {
    let parse = |name: &String| {
        TagsName::parse_below(FOLDER, name)
            .or_else(|| TagsName::parse_below(COPIES, name))
            .map(|name| name.id)
    };
    there.iter().filter_map(move |name| Some((parse(name)?, name)))
}

/// The objects of the tags of these backups.
pub(crate) fn names_of(repository: &Unlocked, backups: &[&ManifestName]) -> Result<Vec<String>, RepoError> {
    let wanted: BTreeSet<Of> = backups.iter().map(|name| (name.cluster.clone(), name.id)).collect();
    let one = wanted.first().filter(|_| wanted.len() == 1);
    let mut found = Vec::new();
    for (of, numbers) in list(repository, one)?.into_iter().filter(|(of, _)| wanted.contains(of)) {
        for (number, (first, second)) in numbers {
            found.extend(first.then(|| below(FOLDER, &of, number)));
            found.extend(second.then(|| below(COPIES, &of, number)));
        }
    }
    Ok(found)
}

/// Of a backup that is forgotten.
pub(crate) fn remove_all(repository: &Unlocked, backup: &ManifestName) -> Result<(), RepoError> {
    for name in names_of(repository, &[backup])? {
        repository.store.delete(&name)?;
    }
    Ok(())
}
