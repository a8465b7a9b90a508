//! Maps: content as items kept of older chunks, and new ones.
//!
//! **Purpose.** Where a little of everything changes, chunks of bytes are all new again (facts: 1 %
//! of the rows updated anywhere, 97 to 100 % of the bytes stored again). A map stores what changed
//! and still is a full description: it names chunks, old and new alike, and of each which *items*
//! (rows of COPY text, pages of files) belong to it. No chain is replayed, nothing is merged, and
//! any backup may be forgotten first.
//!
//! **Kinds.** Nothing here knows what an item is. A kind ([`ItemKind`]) says how items are split
//! out of a chunk, how one is hashed, what a list holds of it, where units end, and whether items
//! have an address. `rows` and `pages` are such; `cards` is
//! another, for tests. Loops over items are compiled for
//! each kind; a map that is read tells its kind once for each chunk.
//!
//! **Shape** (FORMAT.md, "Maps"; `shape`). New items fill *units* of about 256 KiB that end where
//! an item ends; a longer item is a unit of its own, of several chunks. The units that one part of
//! one backup adds are listed in a *group*, a small content-addressed chunk. A map names groups and
//! which of their units it uses; and in addition what is kept of each used unit: all, or runs of
//! skipped and taken items. So a part of which little changed costs the new items, one group, and a
//! few bytes for each unit that lost one. Next to the group lies its *item list*, which says of
//! each item what is enough to know it again: so a writer, who cannot read data, knows what is old
//! ([`EarlierMap`]). A list may be lost or deleted: the next backup then stores that part whole.
//!
//! **Order.** A map is a set: items come back unit by unit, survivors first, newer ones behind.
//! Each chunk is fetched once, front to back, whatever the backup's age; a description that kept
//! the order would need one open chunk for each backup that came between (facts: reading 120 times
//! the bytes after 30 rounds). Items whose place matters have an address (`address`): readers get
//! it with the bytes ([`ItemReader`]).
//!
//! **Proof.** Each map holds the number of its items, their bytes, and the sum modulo 2^128 of
//! their 128-bit keyed hashes, made from the items themselves when they were written. Readers sum
//! up what they read. A false match of what a list holds would show there, because that is less
//! than the whole hash.

pub(crate) mod address;
pub(crate) mod cache;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod cards;
mod copy;
mod crc;
mod describe;
mod description;
mod difference;
mod earlier;
mod files;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod group;
pub(crate) mod items;
pub(crate) mod kind;
mod kinds;
mod lists;
mod page_files;
#[cfg(test)]
mod page_tests;
mod page_writer;
mod pages;
mod part;
mod read;
mod rows;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use address::{Address, AddressRun, Addresses};
pub(crate) use copy::copy;
pub use crc::{FileCrc, crc32c};
pub(crate) use description::{Keeping, MOST_KEPT, group, records, used_chunks};
pub use difference::FileDifference;
pub(crate) use difference::{Side, differing_files};
pub use earlier::{EarlierMap, EarlierUnit, UnitName};
pub use files::{Covered, Files, MOST_FILES, MOST_PAGES, PageFile, ends_bundle};
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::fuzz;
pub use items::{ItemHash, ItemHasher};
pub use kind::{Grain, ItemKind, Measured, Tally};
pub use lists::{ListedUnit, MapLists};
pub(crate) use page_files::read_files;
pub use page_writer::{PageWriter, PagesDone, PagesOf};
pub use pages::{ListedPage, Pages};
pub(crate) use part::SALT;
pub use part::{MapRef, Part, SaltedRef};
pub use read::{ItemReader, KeptItems};
pub use rows::Rows;
pub use rules::DueUnits;
#[cfg(test)]
pub(crate) use shape::MOST_RECORDS;
pub(crate) use shape::{Group, Keep, Record, Unit, UnitChunk};
pub(crate) use verify::verify;
pub use write::{MapTarget, MapWriter, UsedItems};
