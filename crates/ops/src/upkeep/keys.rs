//! Keys: slots that open a repository, writers that may write to it, and rotation.

use jiff::Timestamp;
use pgark_repo::{Protection, Repository, Right, SecretString};
use schemars::JsonSchema;
use serde::Serialize;

use crate::OpsError;

/// Slots and writers.
pub fn list(repository: &Repository) -> Result<KeyList, OpsError> {
    let list = repository.key_list()?;
    let slots = list.slots.into_iter().map(|slot| Slot { id: slot.id, recipient: slot.recipient });
    let writers = list.writers.into_iter().map(|writer| Writer {
        name: writer.name,
        key: writer.key,
        clusters: writer.clusters,
        rights: writer.rights,
        revoked: writer.revoked.map(|time| time.to_string()),
        compromised_since: writer.compromised.map(|(since, _)| since.to_string()),
        compromised_packs: writer.compromised.map_or(0, |(_, packs)| packs),
    });
    Ok(KeyList { epoch: list.epoch, slots: slots.collect(), writers: writers.collect() })
}

/// Everything that opens a repository, or writes to it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct KeyList {
    /// Number of the newest epoch: it grows by one with each `key rotate`.
    pub epoch: u32,
    /// Key slots.
    pub slots: Vec<Slot>,
    /// Writers, revoked ones too.
    pub writers: Vec<Writer>,
}

/// A key slot: something that opens the repository.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Slot {
    /// Id of the slot: 16 hex digits.
    pub id: String,
    /// The age recipient; null: a passphrase opens the slot.
    pub recipient: Option<String>,
}

/// A writer: a key that can write to the repository, but cannot read data.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Writer {
    /// Name of the writer.
    pub name: String,
    /// The first 16 hex digits of its public key.
    pub key: String,
    /// Names of the clusters that it can write; null: any.
    pub clusters: Option<Vec<String>>,
    /// What it is allowed to do: `backup`, `forget`, `prune`, `check`.
    pub rights: Vec<String>,
    /// When it was revoked: RFC 3339, UTC. Null: it was not.
    pub revoked: Option<String>,
    /// Since when someone else may have had its key: RFC 3339, UTC. Null: its key is not known to
    /// be compromised.
    pub compromised_since: Option<String>,
    /// Number of packs made with its key since then; no later backup uses them.
    pub compromised_packs: u64,
}

/// Adds slots; returns their ids.
pub fn add(repository: &Repository, protection: &Protection) -> Result<Vec<String>, OpsError> {
    Ok(repository.add_slots(protection)?)
}

/// Removes a slot by id or recipient; returns its id.
pub fn remove(repository: &Repository, slot: &str) -> Result<String, OpsError> {
    Ok(repository.remove_slot(slot)?)
}

/// New keys from now on; returns the new epoch. `passphrase` is the one that opened the repository,
/// if one did.
pub fn rotate(
    repository: &Repository,
    passphrase: Option<SecretString>,
    drop_passphrases: bool,
) -> Result<u32, OpsError> {
    Ok(repository.rotate_keys(passphrase, drop_passphrases)?)
}

/// A key for a writer of some clusters, or of any, with these rights; entered in the owner's list.
pub fn writer(
    repository: &Repository,
    name: &str,
    clusters: Option<&[String]>,
    rights: &[Right],
) -> Result<SecretString, OpsError> {
    Ok(repository.add_writer(name, clusters, rights)?)
}

/// From now on nothing that this writer writes counts.
pub fn revoke(repository: &Repository, name: &str) -> Result<(), OpsError> {
    Ok(repository.revoke_writer(name)?)
}

/// The same for a writer whose key someone else may have had since then: of what it wrote since, by
/// the storage's clock, no backup counts, and no later one uses its packs. `which`: its name, or
/// the beginning of its public key.
pub fn revoke_compromised(
    repository: &Repository,
    which: &str,
    since: Timestamp,
) -> Result<Revoked, OpsError> {
    if since > Timestamp::now() {
        return Err(OpsError::Usage(format!("{since} is in the future").into()));
    }
    let revocation = repository.revoke_compromised(which, since)?;
    Ok(Revoked {
        since: revocation.since.to_string(),
        packs: revocation.packs,
        backups: revocation.backups.iter().map(ToString::to_string).collect(),
    })
}

/// What was taken back of a writer whose key someone else had.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Revoked {
    /// Since when someone else may have had the key: RFC 3339, UTC.
    pub since: String,
    /// Number of packs made with the key since then; no later backup uses them.
    pub packs: u64,
    /// Ids of the writer's backups since then; they are not listed any more.
    pub backups: Vec<String>,
}
