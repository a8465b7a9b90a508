//! Named immutable objects with a written contract, on each storage.
//!
//! [`Store`] is the contract; [`DirStore`] keeps objects as files of a local directory. Wrappers of the same trait add
//! what every storage needs ([`Faulty`] makes one fail on purpose, for tests). The contract suite is [`contract`]: a new
//! storage supplies a factory and inherits every test.

mod cancel;
pub mod contract;
mod directory;
mod error;
mod faulty;
mod name;

use std::time::{Duration, SystemTime};

pub use cancel::{Cancel, Cancelled};
pub use directory::DirStore;
pub use error::StoreError;
pub use faulty::{Fault, Faulty, Operation};

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
}

/// A place that keeps named immutable objects.
///
/// **Names** are relative paths of components from `[a-z0-9._-]`, parted by `/`; no component is empty or begins with a
/// dot; at most 512 bytes. Anything else is refused with [`StoreError::InvalidName`] before the storage is asked.
///
/// **Objects** are put once and never changed. Any number of processes may use one storage at once.
pub trait Store: Send + Sync {
    /// The storage for messages: no secrets.
    fn location(&self) -> String;

    /// What this storage can do.
    fn capabilities(&self) -> Capabilities;

    /// Puts an object unless one of that name exists. On return the object is durable and whole: a crash at any moment
    /// leaves either the whole object under its name or none. An existing object is never changed.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<PutOutcome, StoreError>;

    /// The whole object; [`StoreError::NotFound`] if there is none.
    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError>;

    /// `len` bytes from `offset`. An object that ends before that is [`StoreError::TooShort`], never a short answer.
    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError>;

    /// Size and time; [`StoreError::NotFound`] if there is none.
    fn stat(&self, name: &str) -> Result<ObjectMeta, StoreError>;

    /// Every object whose name begins with `prefix` (empty, or a folder with its final `/`), each exactly once, in the
    /// order of names. Objects put or deleted meanwhile may or may not be in it. A missing folder is an empty list.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError>;

    /// Deletes an object. One that is not there is no error: of two deletes both succeed.
    fn delete(&self, name: &str) -> Result<(), StoreError>;
}
