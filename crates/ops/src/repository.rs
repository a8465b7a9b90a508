//! Open and create repositories on any storage.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pgark_repo::{
    Fingerprint, Header, Initialised, LocalFolders, Protection, RepoError, Repository, SecretString, Sight,
    TEMPORARY, Unlock,
};
use pgark_store::{Cancel, Storage, Target, Usage, probe};
use schemars::JsonSchema;
use serde::Serialize;

use crate::storage_report::StorageReport;
use crate::{Job, OpsError};

/// A storage that was opened.
pub struct OpenStorage {
    store: Storage,
    /// Once it was read.
    header: OnceLock<Header>,
}

/// A repository that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct InitReport {
    /// Id of the repository: 32 hex digits.
    pub id: String,
    /// Fingerprint of the repository, for people to compare.
    pub fingerprint: String,
    /// URL or path of the repository, without secrets.
    pub storage: String,
    /// Whether the repository is encrypted.
    pub encrypted: bool,
    /// File on this host that the writer key was written to. Absent: no writer key was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer_key: Option<PathBuf>,
    /// Fingerprint of another repository that this host remembered at this place until now. Absent:
    /// it remembered none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

/// A repository at a place, compared with what this host remembers of the place.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TrustReport {
    /// Id of the repository: 32 hex digits.
    pub id: String,
    /// Fingerprint of the current repository.
    pub fingerprint: String,
    /// URL or path of the repository, without secrets.
    pub storage: String,
    /// Whether the repository says that it is encrypted.
    pub encrypted: bool,
    /// Fingerprint that this host remembered until now; null: it had not seen the place.
    pub remembered: Option<String>,
    /// Whether it is a different repository from the one that this host remembered.
    pub changed: bool,
    /// Whether the second copy of the header is the one that this host remembers: one of the two
    /// copies was replaced or damaged, and the repository can be opened as it is.
    pub copy_is_remembered: bool,
}

/// A repository at a place that this host may come to trust.
pub struct Stranger<'s> {
    store: &'s Storage,
    sight: Sight,
    local: &'s LocalFolders,
}

impl Stranger<'_> {
    /// What there is to compare. Nothing was changed yet.
    pub fn report(&self) -> TrustReport {
        TrustReport {
            id: self.sight.header.id.to_string(),
            fingerprint: self.sight.header.fingerprint(),
            storage: self.store.location(),
            encrypted: self.sight.header.is_encrypted(),
            remembered: self.sight.remembered.clone(),
            changed: !self.sight.is_known(),
            copy_is_remembered: self.sight.copy_is_remembered,
        }
    }

    /// Refuses it if it is not the one that someone expects.
    pub fn expect(&self, fingerprint: &Fingerprint) -> Result<(), OpsError> {
        Ok(self.sight.expect(fingerprint, self.store)?)
    }

    /// From now on this host expects it there.
    pub fn trust(&self) -> Result<(), OpsError> {
        Ok(self.sight.trust(self.store, self.local)?)
    }
}

/// Opens a storage; `cancel` ends the attempt, and what is asked of it before a [`Job`] works on
/// it. `create` makes a directory or a folder behind SSH that is missing.
pub fn connect(
    mut target: Target,
    usage: Usage,
    create: bool,
    cancel: Cancel,
) -> Result<OpenStorage, OpsError> {
    if let Target::S3(config) = &mut target
        && let Some(lock) = &mut config.lock
    {
        lock.except = TEMPORARY.iter().map(|folder| folder.to_string()).collect();
    }
    let store = pgark_store::open(target, usage, create, cancel).map_err(OpsError::Storage)?;
    Ok(OpenStorage { store, header: OnceLock::new() })
}

impl OpenStorage {
    /// For messages: no secrets.
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// Whether it is seen as it was: what this host remembers of it is newer.
    pub fn is_past(&self) -> bool {
        self.store.is_past()
    }

    /// The id in the clear header, so that a caller can look for a local writer key.
    pub fn peek_id(&self) -> Result<String, OpsError> {
        Ok(self.header()?.id.to_string())
    }

    fn header(&self) -> Result<&Header, OpsError> {
        if let Some(header) = self.header.get() {
            return Ok(header);
        }
        let header = Header::get(&self.store)?;
        Ok(self.header.get_or_init(|| header))
    }

    /// Tries what the storage can.
    pub fn probe(&self, throughput: bool, job: &Job) -> Result<StorageReport, OpsError> {
        let progress = Arc::clone(&job.progress);
        let on_phase = move |name: &str| progress.phase(name);
        let report = probe::run(&self.store.for_job(&job.cancel), throughput, &on_phase);
        Ok(report.map_err(OpsError::Storage)?.into())
    }

    /// What lies there and is no part of a repository: files, and folders with a slash behind.
    pub fn others(&self) -> Result<Vec<String>, OpsError> {
        pgark_repo::others_at_top(&self.store).map_err(OpsError::Storage)
    }

    /// Whether a repository is there.
    pub fn has_repository(&self) -> Result<bool, OpsError> {
        match self.header() {
            Ok(_) => Ok(true),
            Err(OpsError::Repository(RepoError::NoRepository { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is to be told of a repository that was made here just now.
    pub fn made(&self, made: &Initialised) -> InitReport {
        InitReport {
            id: made.id.to_string(),
            fingerprint: made.fingerprint.clone(),
            storage: self.location(),
            encrypted: made.writer_key.is_some(),
            writer_key: None,
            replaced: made.replaced.clone(),
        }
    }

    /// What is here, compared with what this host remembers.
    pub fn stranger<'s>(&'s self, local: &'s LocalFolders) -> Result<Stranger<'s>, OpsError> {
        Ok(Stranger { store: &self.store, sight: Sight::of(&self.store, local)?, local })
    }

    /// Creates a repository; fails if one is there. This host remembers it instead of what was
    /// there before. Each group of `shared` are clusters that share keys and chunks.
    pub fn init(
        &self,
        protection: Protection,
        shared: &[Vec<String>],
        local: &LocalFolders,
    ) -> Result<Initialised, OpsError> {
        Ok(pgark_repo::init(&self.store, protection, shared, local)?)
    }

    /// Opens the repository.
    pub fn open(self, unlock: Unlock, local: LocalFolders) -> Result<Repository, OpsError> {
        self.header()?;
        let OpenStorage { store, header } = self;
        match header.into_inner() {
            Some(header) => Ok(Repository::open_with(store, &header, unlock, local)?),
            None => Ok(Repository::open(store, unlock, local)?),
        }
    }
}

/// A passphrase of 150 random bits.
pub fn generate_passphrase() -> Result<SecretString, OpsError> {
    Ok(pgark_repo::generate_passphrase()?)
}
