//! Manifests: one signed object per backup, chained per cluster (FORMAT.md, "Manifests").

mod body;
mod cache;
mod chain;
mod entries;
mod list;
mod sublists;
#[cfg(test)]
mod tests;

pub use body::BackupHead;
pub(crate) use body::{Body, LONGEST_ABOUT, Manifest, Previous, WritersRef, decode, encode};
pub(crate) use cache::ManifestCache;
pub(crate) use chain::{check_chain, why_misnamed, why_nobodys};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use entries::AdditionDecoder;
pub use entries::{Addition, Additions, Entry};
pub(crate) use entries::{PARTS_HERE, Parts, Record, bytes_of, encode_addition};
pub(crate) use list::{
    All, Timed, is_gone, list, list_all, list_both, list_timed, read, read_all, read_some, remember, stored,
};
pub(crate) use sublists::{ListBuilder, ListReader, ListRef, OpenList, Sub};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use sublists::{decode_leaf, decode_node};
