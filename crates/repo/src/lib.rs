//! The repository: encrypted, deduplicating, immutable objects over a [`Store`]. It knows nothing
//! of PostgreSQL.
//!
//! `FORMAT.md` describes every byte. [`init`] makes a repository, [`Repository::open`] opens one;
//! [`Repository::for_job`] gives an open one to a job, whose cancel ends what is asked through it;
//! [`Repository::write_backup`] writes, [`Repository::backups`], [`Repository::open_backup`] and
//! [`Repository::reader`] read, [`Repository::check`] verifies.

mod ahead;
mod at_once;
mod blocks;
mod check;
mod codec;
mod contents;
mod cut;
mod error;
mod forget;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ids;
mod index;
#[cfg(feature = "measure")]
pub use index::measure;
mod manifest;
mod manifest_cache;
mod map;
mod mend;
mod names;
mod object;
mod pack;
#[cfg(test)]
mod properties;
mod prune;
mod quarantine;
mod reader;
mod repair;
mod repository;
pub mod secrets;
mod sessions;
mod signed;
mod stream;
mod tags;
mod writer;
mod writers;

/// Secrets as the doors of a repository take them.
pub use age::secrecy::{ExposeSecret, SecretString};
pub use check::{AffectedBackup, CheckLevel, CheckOptions, CheckProgress, CheckReport, Problem};
pub use contents::Contents;
pub use cut::Cut;
pub use error::RepoError;
pub use ids::{BackupId, NoBackupId};
pub use manifest::{BackupHead, Entry};
pub use map::{
    Address, AddressRun, Addresses, DueUnits, EarlierMap, EarlierUnit, EntryReader, ItemHash, ItemHasher,
    ItemKind, ItemReader, KeptItems, ListedUnit, MapLists, MapRef, MapTarget, MapWriter, Measured, Part,
    PartReader, Rows, UnitName, UsedItems,
};
pub use mend::Mended;
pub use pgark_store::{Cancel, Storage, Store};
pub use prune::{PruneOptions, PruneReport};
pub use reader::DataReader;
pub use repair::RepairedIndex;
pub use repository::{Backup, Repository, init};
/// Folders of objects that are needed for a while only: no lock is put on them.
pub const TEMPORARY: [&str; 4] = ["sessions/", "drafts/", "trash/", pgark_store::probe::FOLDER];

pub use secrets::{Header, generate_passphrase};
pub use secrets::{Initialised, LocalFolders, Protection, RepositoryId, Unlock};
pub use stream::Class;
pub use tags::BackupTags;
pub use writer::{BackupWriter, EntryWriter, NewBackup, PartSummary, StreamWriter, WriteOptions};
pub use writers::{KeyList, SlotInfo, WriterInfo};
