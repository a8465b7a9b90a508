//! What can go wrong. A file that vanished is not an error: servers drop files.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

use pgark_bytes::postmaster_pid::PostmasterPidError;

/// Why a data directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    #[error("{doing} {}", .path.display())]
    Io {
        /// What was being done, such as "open the file".
        doing: &'static str,
        /// The file or folder: the data directory's own path, and what is below it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no `PG_VERSION` in it.
    #[error("{} is not a data directory of PostgreSQL: it has no file PG_VERSION", .path.display())]
    NotADataDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// `PG_VERSION` has no major version, or one before 10.
    #[error("{} has {text:?}, which is not the major version of a data directory", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What is in it.
        text: String,
    },
    /// `postmaster.pid` is not one.
    #[error("read {}", .path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PostmasterPidError,
    },
    /// `pg_control` was never found whole.
    #[error("{} is damaged: it was read {reads} times, and never whole", .path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// How often it was read.
        reads: u32,
    },
    /// A tablespace's link leads nowhere.
    #[error("the directory of tablespace {oid}, {}, cannot be opened", .location.display())]
    Tablespace {
        /// The tablespace.
        oid: u32,
        /// Where the link in `pg_tblspc` leads.
        location: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something that was a file when the folder was read is something else now.
    #[error("{} was replaced by something that is not a file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Something that was a folder is something else now.
    #[error("{} was replaced by something that is not a folder", .path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// More names in one folder than can be counted (4 GiB of them).
    #[error("{} has too many files", .path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: PathBuf, source: impl Into<io::Error>) -> Error {
        Error::Io { doing, path, source: source.into() }
    }
}

/// Bytes as a path.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Whether a name is gone.
pub(crate) fn is_gone(error: Errno) -> bool {
    error == Errno::NOENT
}
