//! What an operator asks for, by subject: one module per thing.
//!
//! `logical` makes and reads backups of what SQL shows, `physical` those of data directories,
//! `upkeep` cares for the repository, and what they share is next to them. `backup`, `restore`,
//! `export`, `inspect` and `check` each have a `run`-like entry that reads as a page of contents.
//! Nothing here knows a terminal, an environment variable or a home folder: the program hands such
//! things in as values ([`Job`], the requests), and gets records and reports back. All that is told
//! on the way goes to the job's [`Progress`]: there is no other log here.

mod advice;
mod cluster;
mod command;
pub mod diff;
mod error;
mod facts;
mod hex;
mod holders;
pub mod inspect;
mod lock;
mod logical;
mod maintenance;
pub mod masking;
mod nearest;
pub mod operate;
mod options;
mod paths;
pub mod physical;
mod record;
pub mod repository;
mod select;
mod session;
mod shortage;
mod storage_report;
mod tools;
mod traffic;
mod upkeep;
pub mod wal;
mod watch;
mod workers;

use std::sync::Arc;

pub use advice::{Advice, Operation, Setting, Way};
pub use error::OpsError;
pub use facts::{
    BackedUpTablespace, BackupKind, BackupStatus, ChecksumFailure, DatabaseRead, Masked, Missing,
    MissingKind, PageCounts, Physical, PhysicalSource, StoredWhole, WalTaken,
};
pub use logical::{backup, export, import, restore, rowmap};
pub use nearest::nearest;
pub use pgark_bytes::lsn::Lsn;
pub use pgark_pg::{ConnInfo, Environment};
pub use pgark_repo::ExposeSecret;
pub use pgark_repo::{Asker, asker_is, format_name};
pub use pgark_repo::{
    BackupId, Fingerprint, Host, Initialised, LocalFolders, Protection, RepoError, Repository, Right,
    SecretString, Unlock, WalAhead, WalPushed, host_is, wal_spool,
};
pub use pgark_store::Cancel;
use pgark_store::Listener;

/// What was typed in a terminal whose locale is not UTF-8, as text
/// (`pgark_bytes::encoding::of_locale`).
pub use pgark_bytes::encoding::of_locale as text_of_locale;

/// Storages: URLs, what opens them, what they can.
pub mod storage {
    pub use crate::storage_report::{Finding, StorageReport, words_of};
    pub use pgark_store::probe::Verdict;
    pub use pgark_store::{
        AzureConfig, AzureCredentials, BadUrl, Bucket, Cause, GcsConfig, GcsCredentials, Lock, LockMode,
        S3Config, S3Credentials, S3Encryption, SftpConfig, SftpPlace, StorageUrl, StoreError, Target,
        TrafficReport, Usage, ssh_patterns,
    };
}
pub use pgark_store::environment_is;
pub use record::{
    BackupDetail, BackupOutcome, BackupRecord, DatabaseDetail, Fact, FactValue, LastRun, TableDetail,
};
pub use select::BackupName;
pub use traffic::{Requests, WithRequests};
pub use upkeep::{check, copy, freshness, keys, prune, repair, retention, sessions};

/// What one run of an operation is given in addition to its request: how to stop it and whom to
/// tell how far it is.
#[derive(Clone)]
pub struct Job {
    /// Set from outside to end the job cleanly.
    pub cancel: Cancel,
    /// Told about phases, bytes and objects.
    pub progress: Arc<dyn Progress>,
}

impl Job {
    /// A job that nobody watches.
    pub fn quiet() -> Job {
        Job { cancel: Cancel::new(), progress: Arc::new(Silent) }
    }

    /// The repository as this job sees it: what it asks ends with the job, whoever opened the
    /// repository.
    pub(crate) fn on(&self, repository: &Repository) -> Repository {
        repository.for_job(&self.cancel).heard_by(Arc::new(Ear(Arc::clone(&self.progress))))
    }
}

/// Hears for a job's [`Progress`] what its repository tells.
struct Ear(Arc<dyn Progress>);

impl Listener for Ear {
    fn warn(&self, text: &str) {
        self.0.warn(text);
    }

    fn detail(&self, text: &str) {
        self.0.detail(text);
    }
}

/// Receives the progress of a job. Called from many threads at once.
pub trait Progress: Send + Sync {
    /// A new phase begins ("read the catalog", "copy tables", …).
    fn phase(&self, name: &str);
    /// The phase's expected bytes; may be called again with a better estimate.
    fn total_bytes(&self, bytes: u64);
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);
    /// Of this kind of work ("indexes", "constraints") so many of so many are done.
    fn counted(&self, what: &str, done: u64, of: u64);
    /// Work on an object (a table, an index) begins.
    fn object_started(&self, name: &str);
    /// Work on an object ended.
    fn object_done(&self, name: &str);
    /// Something the operator should know, which does not stop the job.
    fn warn(&self, text: &str);
    /// A line for the log.
    fn info(&self, text: &str);
    /// A detail, for those who look for the cause of something.
    fn detail(&self, text: &str);
}

struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str) {}
    fn total_bytes(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn counted(&self, _: &str, _: u64, _: u64) {}
    fn object_started(&self, _: &str) {}
    fn object_done(&self, _: &str) {}
    fn warn(&self, _: &str) {}
    fn info(&self, _: &str) {}
    fn detail(&self, _: &str) {}
}
