//! What a backup says of itself, as types: its facts, the notes of its entries, its kind and
//! status, and what is missing from it.
//!
//! Kinds are in the manifest as text. A text that this version does not know is of a newer one: it
//! is kept, shown and copied as it is, and nothing here guesses what it means.

mod about;
mod filters;
mod kinds;
mod masked;
mod missing;
mod note;
mod physical;
mod server;

pub use about::DatabaseRead;
pub(crate) use about::{About, Copied};
pub use filters::Filters;
pub(crate) use filters::Selection;
pub use kinds::{BackupKind, BackupStatus};
pub use masked::Masked;
pub use missing::{Missing, MissingKind};
pub(crate) use note::{MapsDone, Note, Owned, write_whole};
pub use physical::{
    BackedUpTablespace, ChecksumFailure, PageCounts, Physical, PhysicalSource, StoredWhole, WalTaken,
};
pub(crate) use server::Server;
