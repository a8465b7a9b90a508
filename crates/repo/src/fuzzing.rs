//! Doors for the fuzz targets: parsers of stored objects, in an unencrypted repository without a storage.

use crate::codec;
use crate::index::object as index_object;
use crate::manifest::{self, Body};
use crate::map;
use crate::object::{self, Kind};
use crate::pack::{self, Directory};
pub use crate::secrets::Keys;
use crate::stream::Node;

/// Keys of an unencrypted repository.
pub fn keys() -> Keys {
    Keys::for_fuzzing()
}

/// A pack's directory, as found and as sealed by a writer who lies.
pub fn pack_directory(keys: &Keys, bytes: &[u8]) {
    let _ = pack::parse(keys, "packs/x", bytes);
    if let Ok(directory) = codec::decode::<Directory>(bytes) {
        let _ = pack::check_directory(&directory, Kind::DataPack, bytes.len() as u64);
        let _ = pack::check_directory(&directory, Kind::MetadataPack, u64::MAX);
    }
}

/// An index object.
pub fn index(keys: &Keys, bytes: &[u8]) {
    let _ = index_object::decode(keys, "index/x", bytes);
}

/// A manifest's body, its entries and its lists.
pub fn manifest(keys: &Keys, bytes: &[u8]) {
    let _ = object::open(keys, Kind::Manifest, "manifests/x", bytes);
    let _ = codec::decode::<Body>(bytes);
    let _ = manifest::decode_entries(bytes);
    let _ = Node::decode(bytes);
}

/// A map's records, a group of units, what is kept of it, and a unit's rows.
pub fn map(bytes: &[u8]) {
    let _ = map::decode_records(bytes);
    let _ = map::kept_flags(bytes);
    let Some((at, rest)) = bytes.split_first() else { return };
    let Some((group, rest)) = rest.split_at_checked(usize::from(*at)) else { return };
    let Ok(group) = map::Group::decode(group) else { return };
    let Ok(keeps) = map::decode_keeps(rest, &group.units) else { return };
    assert_eq!(map::encode_keeps(&keeps), rest, "one meaning has one encoding");
    assert_eq!(
        map::kept_flags(rest),
        Some(keeps.iter().map(|keep| *keep != map::Keep::Nothing).collect()),
        "both readings agree"
    );
    for (unit, keep) in group.units.iter().zip(&keeps) {
        let mut rows = 0;
        let taken = map::take_items(rest.to_vec(), unit, keep, |_| rows += 1);
        assert!(taken.is_err() || rows == keep.count(unit.items), "as many rows as are kept");
    }
}
