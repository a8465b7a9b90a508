//! Manifests: one signed object per backup, chained per cluster (FORMAT.md, "Manifests").

mod body;
mod cache;
mod chain;
mod entries;
mod list;

pub use body::BackupHead;
pub(crate) use body::{Body, LONGEST_ABOUT, Manifest, Previous, decode, encode};
pub(crate) use cache::ManifestCache;
pub(crate) use chain::{check_chain, why_misnamed, why_nobodys};
pub use entries::Entry;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use entries::decode_entries;
pub(crate) use entries::{LONGEST_LIST, encode_entries, read_entries};
pub(crate) use list::{
    All, Timed, is_gone, list, list_all, list_both, list_timed, read, read_all, remember, stored,
};
