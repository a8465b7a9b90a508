//! Making a repository.

use age::secrecy::SecretString;
use pgark_store::Storage;

use crate::ids::RepositoryId;
use crate::secrets::{self, LocalFolders, Protection};
use crate::{RepoError, writers};

/// A new repository.
pub struct Initialised {
    /// Its id.
    pub id: RepositoryId,
    /// Its fingerprint, for people to compare.
    pub fingerprint: String,
    /// The writer key in its text form; none if unencrypted.
    pub writer_key: Option<SecretString>,
    /// The fingerprint of another repository that this host remembered at this place until now.
    pub replaced: Option<String>,
}

/// Makes a new repository on a storage: the key slots first, then the list of writers; the header's
/// put is the commit. What this host remembers of an older one at the same place gives way.
///
/// Each group of `shared` are names of clusters that share keys, and chunks: who is allowed to
/// write one of them is trusted by all of them.
pub fn init(
    store: &Storage,
    protection: Protection,
    shared: &[Vec<String>],
    local: &LocalFolders,
) -> Result<Initialised, RepoError> {
    let (header, keys) = secrets::begin(store, &protection, shared)?;
    let writer_key = writers::begin(store, &keys, &protection)?;
    let replaced = secrets::commit(store, &header, local)?;
    Ok(Initialised { id: header.id, fingerprint: header.fingerprint(), writer_key, replaced })
}
