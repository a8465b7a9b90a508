//! Who is writing: the session objects, which long backups renew every five minutes.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::RepoError;
use crate::ids::BackupId;
use crate::object::{self, Kind};
use crate::secrets::Keys;
use crate::unlocked::Unlocked;
use crate::{codec, manifest, names, tombstone};

/// A session that was not renewed for so long is not waited for.
pub(crate) const IS_DEAD: Duration = Duration::from_secs(3600);
const FOLDER: &str = "sessions/";

#[derive(Encode, Decode)]
#[cbor(array)]
struct SessionBody {
    #[n(0)]
    id: ByteArray<8>,
    #[n(1)]
    number: u64,
    /// Microseconds since 1970, by the writer's clock.
    #[n(2)]
    time: i64,
}

/// The next session object: name and bytes.
pub(crate) fn next_object(keys: &Keys, id: BackupId, number: u64) -> Result<(String, Vec<u8>), RepoError> {
    let name = format!("sessions/{id}/{number:08}");
    let body = SessionBody { id: ByteArray::from(id.0), number, time: Timestamp::now().as_microsecond() };
    let bytes = object::seal(keys, Kind::Session, &name, &codec::encode(&body))?;
    Ok((name, bytes))
}

/// A backup that is being written.
pub(crate) struct Alive {
    /// The backup's id as its name has it.
    pub id: String,
    /// When it began, by the storage's clock.
    pub began: SystemTime,
    /// When it was last heard of.
    pub heard: SystemTime,
}

/// Every session that has an object.
fn all(store: &Storage) -> Result<BTreeMap<String, Alive>, RepoError> {
    let mut found: BTreeMap<String, Alive> = BTreeMap::new();
    for meta in store.list(FOLDER)? {
        let Some((id, _)) = names::session(&meta.name) else { continue };
        let first = || Alive { id: id.to_string(), began: meta.modified, heard: meta.modified };
        let known = found.entry(id.to_string()).or_insert_with(first);
        known.began = known.began.min(meta.modified);
        known.heard = known.heard.max(meta.modified);
    }
    Ok(found)
}

/// Sessions that are alive at `now`, by the storage's clock. One whose backup is committed is over,
/// though a key that may not delete has left its objects there.
pub(crate) fn alive(repository: &Unlocked, now: SystemTime) -> Result<Vec<Alive>, RepoError> {
    alive_of(repository, all(&repository.store)?, now)
}

fn alive_of(
    repository: &Unlocked,
    mut found: BTreeMap<String, Alive>,
    now: SystemTime,
) -> Result<Vec<Alive>, RepoError> {
    found.retain(|_, session| now.duration_since(session.heard).unwrap_or_default() <= IS_DEAD);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    for id in over(repository, found.keys().filter_map(|id| id.parse().ok()).collect())? {
        found.remove(&id.to_string());
    }
    Ok(found.into_values().collect())
}

/// Those of these backups that are committed or forgotten. A name alone says nothing: who holds no
/// key can write one, and a pruner must not pass over a writer that is at work.
fn over(repository: &Unlocked, backups: HashSet<BackupId>) -> Result<HashSet<BackupId>, RepoError> {
    let mut over = tombstone::forgotten_of(repository, &backups)?;
    for name in manifest::list(repository, "")?.iter().filter(|name| backups.contains(&name.id)) {
        match manifest::read(repository, name, |_| {}) {
            Ok(manifest) if manifest.distrust.is_none() => drop(over.insert(name.id)),
            Ok(_) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(over)
}

/// Where of several puts of one name more than one may be told that it was first, nobody may write
/// beside this session.
///
/// Both sessions list after they have put their own object: of two that begin at one moment at
/// least one sees the other, and both may give up, which is safe.
pub(crate) fn refuse_others(repository: &Unlocked, own: BackupId) -> Result<(), RepoError> {
    if repository.store.capabilities().atomic_put_if_absent {
        return Ok(());
    }
    let mut others = all(&repository.store)?;
    let now = others.remove(&own.to_string()).map_or_else(SystemTime::now, |own| own.heard);
    match alive_of(repository, others, now)?.into_iter().next() {
        None => Ok(()),
        Some(other) => Err(RepoError::AnotherWriter {
            location: repository.store.location(),
            id: other.id,
            until: Timestamp::try_from(other.heard + IS_DEAD).unwrap_or(Timestamp::MAX),
        }),
    }
}
