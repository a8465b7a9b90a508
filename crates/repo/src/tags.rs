//! Tags of backups: small signed objects beside the manifests, the newest number wins (FORMAT.md, "Tags").

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::PutOutcome;

use crate::ids::{BackupId, unhex};
use crate::object::{self, Kind, damaged};
use crate::repository::Repository;
use crate::{RepoError, codec, manifest, signed};

const FOLDER: &str = "tags/";
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

fn name(id: BackupId, number: u64) -> String {
    format!("{FOLDER}{id}/{number:08}")
}

fn parse(name: &str) -> Option<(BackupId, u64)> {
    let (id, number) = name.strip_prefix(FOLDER)?.split_once('/')?;
    let digits = number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((BackupId(unhex(id)?), number.parse().ok().filter(|_| digits)?))
}

impl Repository {
    /// The tags of every backup that has any.
    pub fn tags(&self) -> Result<BTreeMap<BackupId, BTreeSet<String>>, RepoError> {
        let mut newest: BTreeMap<BackupId, u64> = BTreeMap::new();
        for (id, number) in self.store.list(FOLDER)?.iter().filter_map(|meta| parse(&meta.name)) {
            let known = newest.entry(id).or_default();
            *known = number.max(*known);
        }
        let mut found = BTreeMap::new();
        for (id, number) in newest {
            let tags = read(self, id, number)?.unwrap_or_default();
            if !tags.is_empty() {
                found.insert(id, tags);
            }
        }
        Ok(found)
    }

    /// Objects of tags that cannot be read, and why.
    pub(crate) fn check_tags(&self) -> Result<Vec<(String, RepoError)>, RepoError> {
        let mut wrong = Vec::new();
        for meta in self.store.list(FOLDER)? {
            let Some((id, number)) = parse(&meta.name) else { continue };
            match read(self, id, number) {
                Ok(_) => {}
                Err(error @ RepoError::Store(_)) => return Err(error),
                Err(error) => wrong.push((meta.name, error)),
            }
        }
        Ok(wrong)
    }

    /// Changes the tags of a backup; `change` may be called again if somebody else changes them at the same moment.
    pub fn change_tags(
        &self,
        id: BackupId,
        change: impl Fn(&mut BTreeSet<String>),
    ) -> Result<BTreeSet<String>, RepoError> {
        if !manifest::list(self, "")?.iter().any(|name| name.id == id) {
            return Err(RepoError::UnknownBackup { id });
        }
        loop {
            let folder = format!("{FOLDER}{id}/");
            let last =
                self.store.list(&folder)?.iter().filter_map(|meta| parse(&meta.name)).map(|(_, n)| n).max();
            let before = match last {
                Some(number) => read(self, id, number)?.unwrap_or_default(),
                None => BTreeSet::new(),
            };
            let mut tags = before.clone();
            change(&mut tags);
            if tags.len() > MOST || tags.iter().any(|tag| tag.is_empty() || tag.len() > LONGEST) {
                return Err(RepoError::TooLarge { what: "the number or length of tags".into() });
            }
            if tags == before {
                return Ok(tags);
            }
            let object = name(id, last.map_or(1, |last| last + 1));
            let body = Body {
                id: ByteArray::from(id.0),
                time: Timestamp::now().as_microsecond(),
                tags: tags.iter().cloned().collect(),
            };
            let bytes = signed::seal(self, Kind::Tags, &object, codec::encode(&body))?;
            if self.store.put_if_absent(&object, bytes.clone().into())? == PutOutcome::Created
                || self.store.get(&object)? == bytes
            {
                if let Some(last) = last {
                    match self.store.delete(&name(id, last)) {
                        // A key that may not delete: the newest list counts.
                        Err(error) if error.is_denied() => {}
                        other => other?,
                    }
                }
                return Ok(tags);
            }
        }
    }
}

fn read(repository: &Repository, id: BackupId, number: u64) -> Result<Option<BTreeSet<String>>, RepoError> {
    let object = name(id, number);
    let Some(bytes) = object::get_if_there(&*repository.store, &object)? else { return Ok(None) };
    let body = signed::open(repository, Kind::Tags, &object, &object, &bytes)?;
    let body: Body = codec::decode(&body).map_err(|what| damaged(&object, what))?;
    if body.id != ByteArray::from(id.0) {
        return Err(damaged(&object, "its name and its content differ"));
    }
    Ok(Some(body.tags.into_iter().collect()))
}

/// The objects of these backups.
pub(crate) fn names_of(repository: &Repository, ids: &BTreeSet<BackupId>) -> Result<Vec<String>, RepoError> {
    let folder = match ids.first() {
        Some(id) if ids.len() == 1 => format!("{FOLDER}{id}/"),
        _ => FOLDER.to_string(),
    };
    let metas = repository.store.list(&folder)?.into_iter();
    Ok(metas
        .filter(|meta| parse(&meta.name).is_some_and(|(id, _)| ids.contains(&id)))
        .map(|meta| meta.name)
        .collect())
}

/// Of a backup that is forgotten.
pub(crate) fn remove_all(repository: &Repository, id: BackupId) -> Result<(), RepoError> {
    for meta in repository.store.list(&format!("{FOLDER}{id}/"))? {
        repository.store.delete(&meta.name)?;
    }
    Ok(())
}
