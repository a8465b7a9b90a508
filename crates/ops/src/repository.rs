//! Open and create repositories by their URL.

use std::path::PathBuf;
use std::sync::Arc;

use pgark_repo::{Initialised, LocalFolders, Protection, Repository, SecretString, Unlock};
use pgark_store::{DirStore, Store};

use crate::OpsError;

/// Where a repository is and how to open it.
pub struct Location {
    /// A path, or `file://` and a path.
    pub url: String,
    /// The secret.
    pub unlock: Unlock,
    /// Folders of this host for cache and memory.
    pub local: LocalFolders,
}

/// Creates a repository; fails if one is there.
pub fn init(url: &str, protection: Protection) -> Result<Initialised, OpsError> {
    let store = DirStore::create(folder(url)?).map_err(OpsError::Storage)?;
    Ok(pgark_repo::init(&store, protection)?)
}

/// A passphrase of 150 random bits.
pub fn generate_passphrase() -> Result<SecretString, OpsError> {
    Ok(pgark_repo::generate_passphrase()?)
}

/// Opens a repository.
pub fn open(location: Location) -> Result<Repository, OpsError> {
    let store: Arc<dyn Store> = Arc::new(DirStore::open(folder(&location.url)?).map_err(OpsError::Storage)?);
    Ok(Repository::open(store, location.unlock, location.local)?)
}

/// The id in the clear header, so that a caller can look for a local writer key.
pub fn peek_id(url: &str) -> Result<String, OpsError> {
    let store = DirStore::open(folder(url)?).map_err(OpsError::Storage)?;
    Ok(pgark_repo::peek_id(&store)?.to_string())
}

fn folder(url: &str) -> Result<PathBuf, OpsError> {
    if let Some(path) = url.strip_prefix("file://") {
        return Ok(PathBuf::from(path));
    }
    if let Some((scheme, _)) = url.split_once("://") {
        return Err(OpsError::Usage(format!(
            "storage {scheme}:// is not known to this version; a repository lives in a local directory"
        )));
    }
    if url.is_empty() {
        return Err(OpsError::Usage("the repository's path is empty".into()));
    }
    Ok(PathBuf::from(url))
}
