//! The repository: encrypted, deduplicating, immutable objects over a [`Store`]. It knows nothing
//! of PostgreSQL.
//!
//! `FORMAT.md` describes every byte. [`init`] makes a repository, [`Repository::open`] opens one;
//! [`Repository::for_job`] gives an open one to a job, whose cancel ends what is asked through it;
//! [`Repository::write_backup`] writes, [`Repository::backups`], [`Repository::open_backup`] and
//! [`Repository::reader`] read, [`Repository::check`] verifies.
//!
//! Levels, the lowest first; a file uses those of its level and below, and a test (`circles.rs` of
//! the testkit) lets no two files use each other:
//!
//! 1. `error`, `host`, `ids`, `rights`, `codec`, `cut`, `stream`: values, and their bytes.
//! 2. `announcement`, `secrets`, `object`, `signed`, `pack`, `index::object`, `wal::name`, `names`:
//!    one object, sealed, and what it is called.
//! 3. `writers`, `unlocked`: who is allowed to sign; the storage with its keys.
//! 4. `tombstone`, `manifest`, `sessions`, `draft`, `quarantine`, `index`, `reader`, and what reads
//!    in `map`: objects of each kind, and the chunks in packs. They take an `Unlocked` or less.
//! 5. `repository`: the face, and the loaded index.
//! 6. `backups`, `at_work`, `tags`, `writer` (with what `map` writes), `forget`, `prune`, `check`,
//!    `mend`, `repair`, `access`, `compromised`, `cache_file`, `init`, `trust`, `wal`: one file or
//!    folder for each thing that is done with a repository.
//!
//! What is to be told of a job goes to its listener ([`Repository::heard_by`]); what caches and
//! readers say in passing, which serve all jobs and know none, goes to `tracing`.

mod access;
mod ahead;
mod announcement;
mod at_once;
mod at_work;
#[cfg(test)]
mod attacks;
mod backups;
mod blocks;
mod cache_file;
mod check;
mod codec;
mod compromised;
mod contents;
mod cut;
mod draft;
mod entry_reader;
mod error;
mod forget;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod guesses;
mod host;
mod ids;
mod index;
mod init;
mod lock;
#[cfg(feature = "lying")]
mod lying;
#[cfg(feature = "measure")]
pub use index::measure;
mod manifest;
mod map;
mod mend;
mod names;
mod object;
mod pack;
#[cfg(test)]
mod properties;
mod prune;
mod quarantine;
mod random;
mod reader;
mod repair;
mod repository;
mod rights;
pub mod secrets;
mod sessions;
mod signed;
mod stream;
mod tags;
mod tombstone;
mod trust;
mod unlocked;
#[cfg(test)]
mod vectors;
mod wal;
mod writer;
mod writers;

pub use access::{KeyList, SlotInfo, WriterInfo};
/// Secrets as the doors of a repository take them.
pub use age::secrecy::{ExposeSecret, SecretString};
pub use at_work::{SessionState, WriterSession};
pub use backups::{Backup, Entries, EntriesAndAdditions};
pub use cache_file::CacheFile;
pub use check::{
    AffectedBackup, CheckLevel, CheckOptions, CheckProgress, CheckReport, Problem, SuspectBackup,
};
pub use compromised::Revocation;
pub use contents::Contents;
pub use cut::Cut;
pub use entry_reader::{EntryReader, PartReader};
pub use error::RepoError;
pub use host::{Host, host_is};
pub use ids::{BackupId, NoBackupId, RepositoryId};
pub use init::{Initialised, init};
pub use manifest::{Addition, Additions, BackupHead, Entry};
pub use map::{
    Address, AddressRun, Addresses, Covered, DueUnits, EarlierMap, EarlierUnit, FileCrc, FileDifference,
    Files, Grain, ItemHash, ItemHasher, ItemKind, ItemReader, KeptItems, ListedPage, ListedUnit, MOST_FILES,
    MOST_PAGES, MapLists, MapRef, MapTarget, MapWriter, Measured, PageFile, PageWriter, Pages, PagesDone,
    PagesOf, Part, Rows, SaltedRef, Tally, UnitName, UsedItems, crc32c, ends_bundle,
};
pub use mend::Mended;
pub use names::others_at_top;
pub use pgark_store::{Cancel, Storage, Store};
pub use prune::{PruneOptions, PruneReport};
pub use random::bytes as random_bytes;
pub use reader::DataReader;
pub use repair::RepairedIndex;
pub use repository::Repository;
pub use rights::Right;
/// Folders of objects that are needed for a while only: no lock is put on them.
pub const TEMPORARY: [&str; 4] = ["sessions/", "drafts/", "trash/", pgark_store::probe::FOLDER];

pub use secrets::{Asker, Header, asker_is, format_name, generate_passphrase};
pub use secrets::{LocalFolders, Protection, Unlock};
pub use stream::Class;
pub use tags::BackupTags;
pub use trust::{Fingerprint, NoFingerprint, Sight};
pub use wal::{
    WalAhead, WalArchive, WalDigest, WalHeader, WalKind, WalListed, WalName, WalPushed, WalPut, WalRetired,
    WalRetirement, WalUnfinished, wal_spool,
};
pub use writer::{BackupWriter, EntryWriter, NewBackup, PartSummary, StreamWriter, WriteOptions};
