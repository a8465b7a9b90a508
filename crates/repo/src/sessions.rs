//! Who is writing: the session objects, which long backups renew every five minutes.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::RepoError;
use crate::codec::Extensions;
use crate::ids::{BackupId, Compartment};
use crate::names::Which;
use crate::object::{self, Kind};
use crate::rights::{Right, Scope};
use crate::secrets::Keys;
use crate::unlocked::Unlocked;
use crate::{codec, manifest, names, signed, tombstone};

/// A session that was not renewed for so long is not waited for.
pub(crate) const IS_DEAD: Duration = Duration::from_secs(3600);

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
    #[n(3)]
    more: Extensions,
}

/// Where the sessions of a compartment are.
pub(crate) fn folder(compartment: Compartment) -> String {
    format!("sessions/{compartment}/")
}

/// The next session object: name and bytes.
pub(crate) fn next_object(
    keys: &Keys,
    compartment: Compartment,
    id: BackupId,
    number: u64,
) -> Result<(String, Vec<u8>), RepoError> {
    let name = format!("{}{id}/{number:08}", folder(compartment));
    let time = Timestamp::now().as_microsecond();
    let body = SessionBody { id: ByteArray::from(id.0), number, time, more: Extensions::default() };
    let bytes = signed::seal(keys, Kind::Session, &name, codec::encode(&body))?;
    Ok((name, bytes))
}

/// A backup that is being written.
pub(crate) struct Alive {
    pub id: BackupId,
    /// When it began, by the storage's clock.
    pub began: SystemTime,
    /// When it was last heard of.
    pub heard: SystemTime,
    /// Its newest object.
    newest: String,
}

/// Every session of a compartment that has an object.
fn all(store: &Storage, compartment: Compartment) -> Result<BTreeMap<BackupId, Alive>, RepoError> {
    let mut found: BTreeMap<BackupId, Alive> = BTreeMap::new();
    for meta in store.list(&folder(compartment))? {
        let Some((_, id, _)) = names::session(&meta.name) else { continue };
        let first = || Alive { id, began: meta.modified, heard: meta.modified, newest: meta.name.clone() };
        let known = found.entry(id).or_insert_with(first);
        known.began = known.began.min(meta.modified);
        known.heard = known.heard.max(meta.modified);
        if meta.name > known.newest {
            known.newest.clone_from(&meta.name);
        }
    }
    Ok(found)
}

/// Sessions that are alive at `now`, by the storage's clock. One whose backup is committed is over,
/// though a key that may not delete has left its objects there.
pub(crate) fn alive(
    repository: &Unlocked,
    compartment: Compartment,
    now: SystemTime,
) -> Result<Vec<Alive>, RepoError> {
    alive_of(repository, compartment, all(&repository.store, compartment)?, now)
}

fn alive_of(
    repository: &Unlocked,
    compartment: Compartment,
    mut found: BTreeMap<BackupId, Alive>,
    now: SystemTime,
) -> Result<Vec<Alive>, RepoError> {
    found.retain(|_, session| now.duration_since(session.heard).unwrap_or_default() <= IS_DEAD);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    for id in over(repository, compartment, found.keys().copied().collect())? {
        found.remove(&id);
    }
    let mut alive = Vec::new();
    for session in found.into_values() {
        match is_of_writer(repository, compartment, &session.newest) {
            Ok(true) => alive.push(session),
            Ok(false) => {}
            // Nobody waits for what somebody without a right put there.
            Err(error) if error.is_of_object() => {
                repository.warn_once(format!("a session is passed over: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(alive)
}

/// Whether a session object is there, and of somebody who may write backups.
fn is_of_writer(repository: &Unlocked, compartment: Compartment, name: &str) -> Result<bool, RepoError> {
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(false) };
    let needs = (Right::Backup, Scope::Compartment(compartment));
    repository.open_signed(Kind::Session, name, name, needs, &bytes).map(|_| true)
}

/// Those of these backups that are committed or forgotten. A name alone says nothing: who holds no
/// key can write one, and a pruner must not pass over a writer that is at work.
fn over(
    repository: &Unlocked,
    compartment: Compartment,
    backups: HashSet<BackupId>,
) -> Result<HashSet<BackupId>, RepoError> {
    let mut over = tombstone::forgotten_of(repository, &backups)?;
    for name in manifest::list(repository, Which::Compartment(compartment))?
        .iter()
        .filter(|name| backups.contains(&name.id))
    {
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
pub(crate) fn refuse_others(
    repository: &Unlocked,
    compartment: Compartment,
    own: BackupId,
) -> Result<(), RepoError> {
    if repository.store.capabilities().atomic_put_if_absent {
        return Ok(());
    }
    let mut others = all(&repository.store, compartment)?;
    let now = others.remove(&own).map_or_else(SystemTime::now, |own| own.heard);
    match alive_of(repository, compartment, others, now)?.into_iter().next() {
        None => Ok(()),
        Some(other) => Err(RepoError::AnotherWriter {
            location: repository.store.location(),
            id: other.id.to_string(),
            until: Timestamp::try_from(other.heard + IS_DEAD).unwrap_or(Timestamp::MAX),
        }),
    }
}
