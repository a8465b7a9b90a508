//! Doors for the fuzz targets: parsers of stored objects, in an unencrypted repository without a
//! storage.

use crate::codec;
use crate::ids::Compartment;
use crate::index::object as index_object;
use crate::manifest::{self, Body};
use crate::map::cards::Cards;
use crate::map::{self, Pages, Rows};
use crate::object::{self, Kind};
use crate::pack::{self, Directory};
pub use crate::secrets::Keys;
use crate::stream::Node;

const COMPARTMENT: Compartment = Compartment([5; 16]);

/// Keys of an unencrypted repository.
pub fn keys() -> Keys {
    Keys::for_fuzzing()
}

/// A pack's directory, as found and as sealed by a writer who lies.
pub fn pack_directory(keys: &Keys, bytes: &[u8]) {
    let _ = pack::parse(keys, COMPARTMENT, "packs/x", bytes);
    if let Ok(directory) = codec::decode::<Directory>(bytes) {
        let _ = pack::check_directory(&directory, Kind::DataPack, bytes.len() as u64);
        let _ = pack::check_directory(&directory, Kind::MetadataPack, u64::MAX);
    }
}

/// An index object.
pub fn index(keys: &Keys, bytes: &[u8]) {
    let _ = index_object::decode(keys, COMPARTMENT, "index/x", bytes);
}

/// A manifest's body, its sublists of entries and the nodes above them, its additions.
pub fn manifest(keys: &Keys, bytes: &[u8]) {
    let _ = object::open(keys, Kind::Manifest, &format!("manifests/{COMPARTMENT}/x"), bytes);
    let _ = codec::decode::<Body>(bytes);
    let _ = manifest::decode_leaf(bytes);
    for level in 1..=3 {
        let _ = manifest::decode_node(bytes, level);
    }
    let mut additions = manifest::AdditionDecoder::default();
    for piece in bytes.chunks(7) {
        additions.feed(piece);
        while let Ok(Some(_)) = additions.next() {}
    }
    let _ = Node::decode(bytes);
}

/// A map's records, a group of units, what is kept of it, and a unit's items; of every kind.
pub fn map(bytes: &[u8]) {
    map::fuzz::<Rows>(&Rows, bytes);
    map::fuzz::<Cards>(&Cards, bytes);
    map::fuzz::<Pages>(&Pages, bytes);
}
