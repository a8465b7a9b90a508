//! Why a storage did not do what it was asked.

use std::io;

/// An operation on a storage failed. `operation` is a verb phrase, `object` a name or a path; never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such object, or the storage itself is not there.
    #[error("{operation} {object}: it does not exist")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// The storage does not let us.
    #[error("{operation} {object}: permission denied")]
    PermissionDenied {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// The storage is full.
    #[error("{operation} {object}: no space is left")]
    NoSpace {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// The object ends before the asked range does.
    #[error("read {object}: it ends before byte {end}")]
    TooShort {
        /// On what.
        object: String,
        /// The end of the range, exclusive.
        end: u64,
    },
    /// Not a name of an object; the storage was not asked.
    #[error("{name:?} is no name of an object")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// Stopped from outside.
    #[error("cancelled")]
    Cancelled,
    /// Anything else.
    #[error("{operation} {object}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Sorts a system error.
    pub(crate) fn of(operation: &'static str, object: impl Into<String>, source: io::Error) -> StoreError {
        let object = object.into();
        match source.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound { operation, object },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::PermissionDenied { operation, object }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::NoSpace { operation, object }
            }
            _ => StoreError::Io { operation, object, source },
        }
    }

    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
            ),
            _ => false,
        }
    }
}
