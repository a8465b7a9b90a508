//! Named immutable objects with a written contract, on each storage.
//!
//! [`Store`] is the contract for those who keep objects, [`Storage`] the handle of a job that asks
//! for them. [`DirStore`] keeps objects as files of a local directory; `cloud` in buckets of S3,
//! Google Cloud Storage and Azure; `sftp` in a folder behind SSH. A [`StorageUrl`] says where a
//! storage is, a [`Target`] what opens it, and [`open`] gives it, wrapped in what every storage
//! needs ([`Guarded`]: retries, limits, an end at a cancel). [`probe`] finds out by trying whether
//! a storage can be trusted. [`Faulty`] makes one fail on purpose, for tests. The contract suite is
//! [`contract`]: a new storage supplies a factory and inherits every test.
//!
//! Clients of storages behind a network are asynchronous; that ends at this crate's border
//! (`runtime`).
//!
//! What is to be told of a job goes to the [`Listener`] of its handle. What a [`Store`] itself says
//! (that it tries again, how long a request took) goes to `tracing`: it serves all jobs at once and
//! knows none.
//!
//! **Every call blocks** until it is answered, given up or cancelled, which can be minutes. An
//! asynchronous caller (a web server, say) makes it from `tokio::task::spawn_blocking` or a thread
//! of its own. From a worker of an asynchronous runtime it works and never panics, but that worker
//! does nothing else meanwhile.

mod cancel;
mod certificate;
mod child;
mod cloud;
mod condition;
pub mod contract;
mod directory;
mod error;
mod faulty;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod http;
mod name;
mod pace;
pub mod probe;
mod runtime;
mod sftp;
pub mod ssh_patterns;
mod storage;
mod target;
mod traffic;
mod trust;
mod url;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use cancel::{Cancel, Cancelled};
pub use child::{Child, environment_is};
pub use directory::DirStore;
pub use error::{Cause, StoreError};
pub use faulty::{Fault, Faulty, Operation};
pub use guard::Guarded;
pub use storage::{Listener, Storage};
pub use target::{
    AzureConfig, AzureCredentials, GcsConfig, GcsCredentials, Lock, LockMode, S3Config, S3Credentials,
    S3Encryption, SftpConfig, Target, Usage, open,
};
pub use traffic::TrafficReport;
pub use url::{BadUrl, Bucket, SftpPlace, StorageUrl};

/// Locks; a poisoned lock is taken as it is: no value here is left half-changed by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No object has more bytes (the repository's format is written for this): a larger one is refused
/// before it is read, so that what a damaged or hostile storage answers never takes the memory.
pub const LARGEST_OBJECT: u64 = 256 << 20;

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there now and was not before.
    Created,
    /// An object of that name was there; it was left as it is. Its bytes were not compared.
    AlreadyExists,
}

/// What a storage knows of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its full name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was put, by the storage's clock.
    pub modified: SystemTime,
}

/// What differs between storages, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Of several puts of one name at the same moment exactly one is told `Created`.
    pub atomic_put_if_absent: bool,
    /// A list shows everything that was put or deleted so long before it. Zero: everything at once.
    pub list_lateness: Duration,
    /// Two ranges of an object with at most so many bytes between them are better fetched as one.
    pub gap: u64,
    /// Whether a network lies between: worth to read ahead.
    pub remote: bool,
}

/// What object lock does to every object that is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// It cannot be deleted for so long.
    pub period: Duration,
    /// Folders whose objects are put without.
    pub except: Vec<String>,
}

/// A place that keeps named immutable objects.
///
/// **Names** are relative paths of components from `[a-z0-9._-]`, parted by `/`; no component is
/// empty or begins with a dot; at most 512 bytes. Anything else is refused with
/// [`StoreError::InvalidName`] before the storage is asked.
///
/// **Objects** are put once and never changed. Any number of processes may use one storage at once.
///
/// **Requests** belong to a job: each is given the job's [`Cancel`], and a storage behind a network
/// ends it with [`StoreError::Cancelled`] soon after that is set, whether it was sent or not. A
/// request that is made after the cancel removes what the job left; it gets a few seconds. Callers
/// ask through [`Storage`], which carries the cancel.
pub trait Store: Send + Sync {
    /// The storage for messages: no secrets.
    fn location(&self) -> String;

    /// What tells this storage from every other: [`Store::location`], and the endpoint where that
    /// is not in it. Never shown.
    fn place(&self) -> String {
        self.location()
    }

    /// The folder that its objects are in, if it is one of this host.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// What this storage can do.
    fn capabilities(&self) -> Capabilities;

    /// Puts an object unless one of that name exists. On return the object is durable and whole: a
    /// crash at any moment leaves either the whole object under its name or none. An existing
    /// object is never changed.
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError>;

    /// The whole object; [`StoreError::NotFound`] if there is none, [`StoreError::TooLarge`] above
    /// [`LARGEST_OBJECT`].
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError>;

    /// `len` bytes from `offset`. An object that ends before that is [`StoreError::TooShort`],
    /// never a short answer.
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError>;

    /// The object's first bytes, at most so many; [`StoreError::NotFound`] if there is none.
    fn get_at_most(&self, name: &str, most: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let size = self.stat(name, cancel)?.size;
        self.get_range(name, 0, size.min(most), cancel)
    }

    /// Size and time; [`StoreError::NotFound`] if there is none.
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError>;

    /// Every object whose name begins with `prefix` (empty, or a folder with its final `/`), each
    /// exactly once, in the order of names. Objects put or deleted meanwhile may or may not be in
    /// it. A missing folder is an empty list.
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError>;

    /// Those of a [`Store::list`] whose names are greater than `after`. A storage that can begin
    /// there is not asked for the others.
    fn list_after(&self, prefix: &str, after: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut listed = self.list(prefix, cancel)?;
        listed.retain(|meta| meta.name.as_str() > after);
        Ok(listed)
    }

    /// Names of what lies in the storage and is no object by its name: files and folders of others,
    /// for people to see. Where that cannot be asked there are none.
    fn foreign(&self, _cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Folders at the top, besides `known`, in which there is an object; in order. None of them is
    /// looked into further than needed to find one, and the known ones are not looked into at all.
    fn other_folders(&self, known: &[&str], cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        let mut found: Vec<String> = self
            .list("", cancel)?
            .into_iter()
            .filter_map(|meta| Some(meta.name.split_once('/')?.0.to_string()))
            .filter(|folder| !known.contains(&folder.as_str()))
            .collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// What lies at the top, whoever's it is: files, and folders with a slash behind; in order.
    /// No folder is looked into.
    fn top(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        let mut found = self.foreign(cancel)?;
        found.extend(self.list("", cancel)?.into_iter().map(|meta| meta.name));
        for name in &mut found {
            if let Some(end) = name.find('/') {
                name.truncate(end + 1);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Deletes an object. One that is not there is no error: of two deletes both succeed.
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError>;

    /// What was asked so far and what moved; None where nobody counts.
    fn traffic(&self) -> Option<TrafficReport> {
        None
    }

    /// The object lock that puts of this process set; None: none.
    fn retention(&self) -> Option<Retention> {
        None
    }

    /// Makes the lock of an object last until then at least; nothing where there is no lock.
    fn retain(&self, _name: &str, _until: SystemTime, _cancel: &Cancel) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether what is deleted or overwritten stays as an older version; None where that cannot be
    /// asked.
    fn keeps_versions(&self, _cancel: &Cancel) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }

    /// Whether objects can be locked; None where that cannot be asked.
    fn can_lock(&self, _cancel: &Cancel) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }

    /// Whether this is a view of the past: nothing can be changed, and what is missing was put
    /// later.
    fn is_past(&self) -> bool {
        false
    }
}
