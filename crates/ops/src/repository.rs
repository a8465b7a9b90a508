//! Open and create repositories on any storage.

use std::sync::Arc;

use pgark_repo::{Initialised, LocalFolders, Protection, Repository, SecretString, TEMPORARY, Unlock};
use pgark_store::{Cancel, Store, Target, Usage, probe};

use crate::{Job, OpsError};

/// A storage that was opened.
pub struct Place(Arc<dyn Store>);

/// Opens a storage; `create` makes a directory or a folder behind SSH that is missing.
pub fn connect(mut target: Target, usage: Usage, create: bool, cancel: Cancel) -> Result<Place, OpsError> {
    if let Target::S3(config) = &mut target
        && let Some(lock) = &mut config.lock
    {
        lock.except = TEMPORARY.iter().map(|folder| folder.to_string()).collect();
    }
    Ok(Place(pgark_store::open(target, usage, create, cancel).map_err(OpsError::Storage)?))
}

impl Place {
    /// For messages: no secrets.
    pub fn location(&self) -> String {
        self.0.location()
    }

    /// Whether it is seen as it was: what this host remembers of it is newer.
    pub fn is_past(&self) -> bool {
        self.0.is_past()
    }

    /// The id in the clear header, so that a caller can look for a local writer key.
    pub fn peek_id(&self) -> Result<String, OpsError> {
        Ok(pgark_repo::peek_id(&*self.0)?.to_string())
    }

    /// Tries what the storage can.
    pub fn probe(&self, throughput: bool, job: &Job) -> Result<probe::Report, OpsError> {
        let progress = Arc::clone(&job.progress);
        let on_phase = move |name: &str| progress.phase(name);
        probe::run(&*self.0, throughput, &job.cancel, &on_phase).map_err(OpsError::Storage)
    }

    /// Whether a repository is there.
    pub fn has_repository(&self) -> Result<bool, OpsError> {
        match pgark_repo::peek_id(&*self.0) {
            Ok(_) => Ok(true),
            Err(pgark_repo::RepoError::NoRepository { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a repository; fails if one is there.
    pub fn init(&self, protection: Protection) -> Result<Initialised, OpsError> {
        Ok(pgark_repo::init(&*self.0, protection)?)
    }

    /// Opens the repository.
    pub fn open(self, unlock: Unlock, local: LocalFolders) -> Result<Repository, OpsError> {
        Ok(Repository::open(self.0, unlock, local)?)
    }
}

/// A passphrase of 150 random bits.
pub fn generate_passphrase() -> Result<SecretString, OpsError> {
    Ok(pgark_repo::generate_passphrase()?)
}
