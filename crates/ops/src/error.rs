//! What can go wrong in an operation, with the hint that goes with it.

use std::path::PathBuf;

use pgark_bytes::archive::ArchiveError;
use pgark_bytes::large_objects::FrameTooLong;
use pgark_pg::{ConnInfoError, PgError};
use pgark_repo::RepoError;
use pgark_store::StoreError;

use crate::advice::{Advice, Operation, Setting, advice};
use crate::nearest::did_you_mean;

/// What is done about a lock that is not to be had, where nothing more is known.
pub(crate) fn wait_longer() -> Advice {
    advice!["another session has locked the tables; wait for it, or give a longer ", Setting::LockWaitTimeout]
}

/// What is done about content that is not as it was written.
pub(crate) fn read_all() -> Advice {
    advice!["run ", Operation::CheckData]
}

/// SQLSTATE lock_not_available.
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Why an operation failed. Messages are verb phrases; causes are in `source()` and not repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// The repository refused or failed.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// The storage could not be reached.
    #[error("open the storage")]
    Storage(#[source] StoreError),
    /// Connection parameters that cannot be used.
    #[error("read the connection string")]
    ConnInfo(#[from] ConnInfoError),
    /// The server refused or went away while something was done.
    #[error("{doing}")]
    Server {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The driver's error.
        #[source]
        source: PgError,
    },
    /// The server refused a statement of the archive.
    #[error("{doing}")]
    Statement {
        /// What was being done, as a verb phrase.
        doing: String,
        /// The SQL.
        statement: String,
        /// The driver's error.
        #[source]
        source: PgError,
    },
    /// The server ended a connection; what it said last.
    #[error("the connection to the target was lost")]
    Lost {
        /// The server's words.
        #[source]
        source: Box<OpsError>,
    },
    /// A table's rows could not be read or written.
    #[error("copy {table}")]
    Table {
        /// `table` and its name, schema-qualified, or `the large objects`.
        table: String,
        /// Why.
        #[source]
        source: Box<OpsError>,
    },
    /// The archive's table of contents could not be read.
    #[error("read the table of contents of {of}")]
    Archive {
        /// Which archive.
        of: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// Something was dropped, renamed, truncated or altered between a snapshot and the locks: a new
    /// snapshot can cure that.
    #[error("{what}")]
    Stale {
        /// What changed.
        what: String,
    },
    /// pg_dump found nothing that the filters choose.
    #[error("{what}")]
    NothingMatches {
        /// Its own words.
        what: String,
    },
    /// pg_dump could not lock the tables in time.
    #[error("pg_dump could not lock the tables in time: {what}")]
    LockWait {
        /// Its own words.
        what: String,
    },
    /// A data directory could not be read.
    #[error(transparent)]
    DataDirectory(#[from] pgark_datadir::Error),
    /// The server refused a replication command, or went away.
    #[error(transparent)]
    Replication(#[from] pgark_pg::ReplicationFailure),
    /// A child program could not be started.
    #[error("run {program}: cannot be started")]
    NotStarted {
        /// The program's path.
        program: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A child program failed.
    #[error("run {program}: {what}")]
    Tool {
        /// The program's path.
        program: String,
        /// Its own words, or what was wrong with it.
        what: String,
    },
    /// A file could not be read or written.
    #[error("{doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Output could not be written.
    #[error("write the output")]
    Output(#[source] std::io::Error),
    /// The operation is not possible as asked; nothing was changed.
    #[error("{what}")]
    Refused {
        /// What is wrong and where.
        what: String,
        /// What to do; empty where nobody knows.
        hint: Advice,
    },
    /// A backup's own record cannot be understood.
    #[error("read {what} of backup {backup}")]
    Record {
        /// Which backup.
        backup: String,
        /// Which part of it.
        what: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Usage(Advice),
    /// A text that cannot name a backup, or another thing, in any repository.
    #[error("{what}")]
    NoName {
        /// Which text, and what it should name.
        what: String,
        /// How such a thing is named.
        hint: Advice,
    },
    /// Stopped from outside.
    #[error("interrupted")]
    Cancelled,
    /// Stopped from outside, with what it leaves behind.
    #[error("interrupted: {left}")]
    Interrupted {
        /// What was done until then and stays, and what to do about it.
        left: String,
    },
}

impl OpsError {
    pub(crate) fn refused(what: impl Into<String>, hint: impl Into<Advice>) -> OpsError {
        OpsError::Refused { what: what.into(), hint: hint.into() }
    }

    /// The same without what may hold values of rows: of masked data no plain value may be shown.
    pub(crate) fn without_values(self) -> OpsError {
        match self {
            OpsError::Server { doing, source } => OpsError::Server { doing, source: source.without_values() },
            OpsError::Table { table, source } => {
                OpsError::Table { table, source: Box::new(source.without_values()) }
            }
            other => other,
        }
    }

    /// What the operator can do about it, where that is known.
    pub fn hint(&self) -> Option<Advice> {
        match self {
            OpsError::Refused { hint, .. } | OpsError::NoName { hint, .. } if !hint.is_empty() => {
                Some(hint.clone())
            }
            OpsError::Table { source, .. } => source.hint(),
            _ if self.sqlstate() == Some(LOCK_NOT_AVAILABLE) => Some(wait_longer()),
            OpsError::Server { source, .. } | OpsError::Statement { source, .. } => {
                source.hint().map(Advice::from)
            }
            OpsError::NotStarted { .. } => Some(advice![
                "install PostgreSQL's client programs (package postgresql-client), or give ",
                Setting::PgDump.to("PATH"),
            ]),
            OpsError::Stale { .. } => {
                Some("the schema keeps changing; run the backup again at a quieter time".into())
            }
            OpsError::NothingMatches { .. } => {
                Some("check the patterns of schemas, tables and extensions".into())
            }
            OpsError::LockWait { .. } => Some(wait_longer()),
            OpsError::Repository(RepoError::UnknownWriter { which, known }) => Some(advice![
                did_you_mean(which, known.iter().map(String::as_str)),
                Operation::ListKeys,
                " shows the writers",
            ]),
            OpsError::Repository(RepoError::UnknownSlot { which, known }) => Some(advice![
                did_you_mean(which, known.iter().map(String::as_str)),
                Operation::ListKeys,
                " shows the slots",
            ]),
            OpsError::Repository(RepoError::OtherSystem { cluster, found, .. }) => Some(advice![
                "if the system was replaced (pg_upgrade, initdb): ",
                Operation::AdoptWal { system_identifier: *found, cluster: cluster.clone() },
                "; otherwise name its own cluster with ",
                Setting::Cluster.to("NAME"),
            ]),
            OpsError::Replication(source) => source.hint().map(Advice::from),
            OpsError::Repository(source) => source.hint().map(Advice::from),
            OpsError::Storage(StoreError::NotFound { .. }) => Some(advice![
                "check the path given with ",
                Setting::Repository,
                "; ",
                Operation::Init,
                " creates a new repository",
            ]),
            OpsError::Storage(source) => source.hint().map(Advice::from),
            _ => None,
        }
    }

    /// Whether the caller asked for something that makes no sense (exit code 2).
    pub fn is_usage(&self) -> bool {
        match self {
            OpsError::Usage(_) | OpsError::NoName { .. } | OpsError::ConnInfo(_) => true,
            OpsError::Repository(source) => source.is_usage(),
            _ => false,
        }
    }

    /// Whether the job was stopped from outside (exit code 130).
    pub fn is_cancelled(&self) -> bool {
        match self {
            OpsError::Cancelled
            | OpsError::Interrupted { .. }
            | OpsError::Storage(StoreError::Cancelled)
            | OpsError::DataDirectory(pgark_datadir::Error::Cancelled) => true,
            OpsError::Repository(source) => source.is_cancelled(),
            OpsError::Table { source, .. } => source.is_cancelled(),
            _ => false,
        }
    }

    /// Whether the job ended at the very moment of a commit, and nobody knows whether the storage
    /// took it.
    pub fn is_unsure(&self) -> bool {
        matches!(self, OpsError::Repository(RepoError::CommitUnsure { .. }))
    }

    /// Whether it concerns one database, so that others may still be backed up: not the repository,
    /// not a cancel.
    pub(crate) fn is_of_one_database(&self) -> bool {
        match self {
            OpsError::Repository(_)
            | OpsError::Storage(_)
            | OpsError::Cancelled
            | OpsError::Interrupted { .. }
            | OpsError::Usage(_) => false,
            OpsError::Table { source, .. } | OpsError::Lost { source } => source.is_of_one_database(),
            _ => true,
        }
    }

    /// Whether the server refused one statement and its session goes on ([`PgError::is_refusal`]).
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            OpsError::Server { source, .. } | OpsError::Statement { source, .. } => source.is_refusal(),
            OpsError::Table { source, .. } => source.is_refusal(),
            _ => false,
        }
    }

    /// The server's error code, if the server refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            OpsError::Server { source, .. } | OpsError::Statement { source, .. } => source.sqlstate(),
            OpsError::Table { source, .. } => source.sqlstate(),
            OpsError::Replication(source) => source.sqlstate(),
            _ => None,
        }
    }
}

/// Adds what was being done to a driver error.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, OpsError>;
}

impl<T> Doing<T> for Result<T, PgError> {
    fn doing(self, what: impl Into<String>) -> Result<T, OpsError> {
        self.map_err(|source| OpsError::Server { doing: what.into(), source })
    }
}

impl From<PgError> for OpsError {
    fn from(source: PgError) -> OpsError {
        OpsError::Server { doing: "talk to the server".into(), source }
    }
}

impl From<FrameTooLong> for OpsError {
    fn from(error: FrameTooLong) -> OpsError {
        OpsError::refused(error.to_string(), read_all())
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
