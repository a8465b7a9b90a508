//! Who is writing: the session objects, which long backups renew every five minutes.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::RepoError;
use crate::announcement::Announcement;
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
/// One that was not renewed for so long, three times over, is not waited for by a backup of the
/// same cluster: two at once lose nothing, so this need not be certain.
pub(crate) const IS_SILENT: Duration = Duration::from_secs(900);

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

/// Where the objects of one session are.
pub(crate) fn folder_of(compartment: Compartment, id: BackupId) -> String {
    format!("{}{id}/", folder(compartment))
}

/// The next session object: name and bytes.
pub(crate) fn next_object(
    keys: &Keys,
    compartment: Compartment,
    id: BackupId,
    number: u64,
    said: &Announcement,
) -> Result<(String, Vec<u8>), RepoError> {
    let name = format!("{}{number:08}", folder_of(compartment, id));
    let time = Timestamp::now().as_microsecond();
    let body = SessionBody { id: ByteArray::from(id.0), number, time, more: said.to_extensions() };
    let bytes = signed::seal(keys, Kind::Session, &name, codec::encode(&body))?;
    Ok((name, bytes))
}

/// The objects of one session, by the storage's list of them.
pub(crate) struct Listed {
    pub id: BackupId,
    /// When it began, by the storage's clock.
    pub began: SystemTime,
    /// When it was last heard of.
    pub heard: SystemTime,
    /// Its newest object.
    newest: String,
}

/// A backup that is being written.
pub(crate) struct Alive {
    pub id: BackupId,
    /// When it began, by the storage's clock.
    pub began: SystemTime,
    /// When it was last heard of.
    pub heard: SystemTime,
    /// What it says of itself.
    pub said: Announcement,
}

/// Every session of a compartment that has an object.
pub(crate) fn all(
    store: &Storage,
    compartment: Compartment,
) -> Result<BTreeMap<BackupId, Listed>, RepoError> {
    let mut found: BTreeMap<BackupId, Listed> = BTreeMap::new();
    for meta in store.list(&folder(compartment))? {
        let Some((_, id, _)) = names::session(&meta.name) else { continue };
        let first = || Listed { id, began: meta.modified, heard: meta.modified, newest: meta.name.clone() };
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
/// though a key without delete permission has left its objects there.
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
    mut found: BTreeMap<BackupId, Listed>,
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
    for Listed { id, began, heard, newest } in found.into_values() {
        match read(repository, compartment, &newest) {
            Ok(Some(said)) => alive.push(Alive { id, began, heard, said }),
            Ok(None) => {}
            // Nobody waits for what someone without a right put there.
            Err(error) if error.is_of_object() => {
                repository.warn_once(format!("a session is ignored: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(alive)
}

impl Listed {
    /// What it says of itself ([`read`]).
    pub(crate) fn read(
        &self,
        repository: &Unlocked,
        compartment: Compartment,
    ) -> Result<Option<Announcement>, RepoError> {
        read(repository, compartment, &self.newest)
    }
}

/// What a session object says; none if it is not there any more. It counts if it is of someone who
/// may write backups.
fn read(
    repository: &Unlocked,
    compartment: Compartment,
    name: &str,
) -> Result<Option<Announcement>, RepoError> {
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(None) };
    let needs = (Right::Backup, Scope::Compartment(compartment));
    let body = repository.open_signed(Kind::Session, name, name, needs, &bytes)?;
    // What a later version says in another way is not understood, and the session counts.
    let said = codec::decode::<SessionBody>(&body).map(|body| Announcement::of(&body.more));
    Ok(Some(said.unwrap_or_default()))
}

/// Those of these backups that are committed or forgotten. A name alone says nothing: who holds no
/// key can write one, and a pruner must not ignore a writer that is at work.
pub(crate) fn over(
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

/// Gives way to others that must not have this session at the same time.
///
/// Where of several puts of one name more than one may be told that it was first, that is
/// everybody. Else it is the backup of the same cluster that began before this one, where both are
/// to be alone.
///
/// Both sessions list after they have put their own object: of two that begin at one moment at
/// least one sees the other. For the storages of the first kind both may give up, which is safe.
/// For backups of one cluster the later one gives up; where the storage's times do not follow the
/// order of the puts, both may go on, which is safe, too.
pub(crate) fn give_way(
    repository: &Unlocked,
    compartment: Compartment,
    own: BackupId,
    said: &Announcement,
) -> Result<(), RepoError> {
    if !is_one_alone(repository) && !said.alone {
        return Ok(());
    }
    let mut others = all(&repository.store, compartment)?;
    let own =
        others.remove(&own).map_or_else(|| (SystemTime::now(), own), |listed| (listed.began, listed.id));
    let mut others = alive_of(repository, compartment, others, own.0)?;
    if !is_one_alone(repository) {
        others.retain(|other| (other.began, other.id) < own);
    }
    in_the_way(repository, &others, &said.cluster, own.0).map_or(Ok(()), Err)
}

/// Whether the storage takes one writer at a time.
fn is_one_alone(repository: &Unlocked) -> bool {
    !repository.store.capabilities().atomic_put_if_absent
}

/// Who of these, which are alive, is in the way of a backup of this cluster that is to be alone:
/// the refusal.
pub(crate) fn in_the_way(
    repository: &Unlocked,
    others: &[Alive],
    cluster: &str,
    now: SystemTime,
) -> Option<RepoError> {
    if !is_one_alone(repository) {
        return others
            .iter()
            .find(|other| other.is_in_the_way(cluster, now))
            .map(|other| other.refuses(cluster));
    }
    others.first().map(|other| RepoError::AnotherWriter {
        location: repository.store.location(),
        cluster: cluster.into(),
        id: other.id.to_string(),
        until: Timestamp::try_from(other.heard + IS_DEAD).unwrap_or(Timestamp::MAX),
    })
}

impl Alive {
    /// Whether a backup of this cluster that is to be alone would not begin now.
    fn is_in_the_way(&self, cluster: &str, now: SystemTime) -> bool {
        self.said.alone
            && self.said.cluster == cluster
            && now.duration_since(self.heard).unwrap_or_default() <= IS_SILENT
            && !self.said.is_gone()
    }

    /// The refusal of a backup of this cluster.
    fn refuses(&self, cluster: &str) -> RepoError {
        RepoError::AnotherBackup {
            cluster: cluster.into(),
            id: self.id.to_string(),
            host: self.said.host.clone(),
            since: Timestamp::try_from(self.began).unwrap_or_default(),
        }
    }
}
