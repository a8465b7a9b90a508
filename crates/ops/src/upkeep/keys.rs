//! Keys: slots that open a repository, writers that may write to it, and rotation.

use pgark_repo::{Protection, Repository, Right, SecretString};
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
    });
    Ok(KeyList { epoch: list.epoch, slots: slots.collect(), writers: writers.collect() })
}

/// Everything that opens a repository, or writes to it.
#[derive(Clone, Debug, Serialize)]
pub struct KeyList {
    /// The newest epoch.
    pub epoch: u32,
    /// Key slots.
    pub slots: Vec<Slot>,
    /// Writers, revoked ones too.
    pub writers: Vec<Writer>,
}

/// A key slot.
#[derive(Clone, Debug, Serialize)]
pub struct Slot {
    /// Its id: 16 hex digits.
    pub id: String,
    /// The age recipient; none: a passphrase.
    pub recipient: Option<String>,
}

/// A writer.
#[derive(Clone, Debug, Serialize)]
pub struct Writer {
    /// Its name.
    pub name: String,
    /// Its public key, the first 16 hex digits.
    pub key: String,
    /// The only clusters that it can write; none: any.
    pub clusters: Option<Vec<String>>,
    /// What it may do there: backup, forget, prune, check.
    pub rights: Vec<String>,
    /// Since when it can write no more.
    pub revoked: Option<String>,
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
