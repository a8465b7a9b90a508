//! Keys: slots that open a repository, writers that may write to it, and rotation.

use pgark_repo::{KeyList, Protection, Repository, SecretString};

use crate::OpsError;

/// Slots and writers.
pub fn list(repository: &Repository) -> Result<KeyList, OpsError> {
    Ok(repository.key_list()?)
}

/// Adds slots; returns their ids.
pub fn add(repository: &Repository, protection: &Protection) -> Result<Vec<String>, OpsError> {
    Ok(repository.add_slots(protection)?)
}

/// Removes a slot by id or recipient; returns its id.
pub fn remove(repository: &Repository, slot: &str) -> Result<String, OpsError> {
    Ok(repository.remove_slot(slot)?)
}

/// New keys from now on; returns the new epoch. `passphrase` is the one that opened the repository, if one did.
pub fn rotate(
    repository: &Repository,
    passphrase: Option<SecretString>,
    drop_passphrases: bool,
) -> Result<u32, OpsError> {
    Ok(repository.rotate_keys(passphrase, drop_passphrases)?)
}

/// A key for a writer, entered in the owner's list.
pub fn writer(repository: &Repository, name: &str, cluster: Option<&str>) -> Result<SecretString, OpsError> {
    Ok(repository.add_writer(name, cluster)?)
}

/// From now on nothing that this writer writes counts.
pub fn revoke(repository: &Repository, name: &str) -> Result<(), OpsError> {
    Ok(repository.revoke_writer(name)?)
}
