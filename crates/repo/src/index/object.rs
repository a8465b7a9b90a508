//! Index objects: where the chunks of some packs are, sorted, in separately sealed blocks
//! (FORMAT.md, "Index").

use minicbor::{Decode, Encode};

use super::filter::Filter;
use crate::codec::Extensions;
use crate::ids::{ChunkId, Compartment, Hash, ObjectHash, unhex};
use crate::object::{self, Kind, StoredKey, damaged};
use crate::pack::LARGEST_PACK;
use crate::secrets::{Keys, Room};
use crate::stream::ChunkKind;
use crate::{RepoError, codec, signed};

/// Chunks of a block.
const PER_BLOCK: usize = 1024;
/// Chunks of an index object at most; a writer puts one earlier.
pub(crate) const MOST_CHUNKS: usize = 4 << 20;
const MOST_PACKS: usize = 4 << 20;

/// A pack with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct PackEntry {
    #[n(0)]
    pub hash: ObjectHash,
    #[n(1)]
    pub size: u64,
}

/// Where one chunk is; `pack` counts in the object's pack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub(crate) struct IndexRecord {
    #[n(0)]
    pub id: ChunkId,
    #[n(1)]
    pub pack: u32,
    #[n(2)]
    pub raw_len: u32,
    #[n(3)]
    pub sealed_len: u32,
    #[n(4)]
    pub kind: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Head {
    #[n(0)]
    packs: Vec<PackEntry>,
    /// Index objects that this one replaces.
    #[n(1)]
    supersedes: Vec<ObjectHash>,
    #[n(2)]
    blocks: Vec<Block>,
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    filter: Vec<u8>,
    #[n(4)]
    more: Extensions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Block {
    #[n(0)]
    first: ChunkId,
    #[n(1)]
    sealed_len: u32,
    /// BLAKE3 of the sealed block: the signature of the head covers it.
    #[n(2)]
    digest: Hash,
}

/// The content of an index object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexContent {
    pub packs: Vec<PackEntry>,
    pub records: Vec<IndexRecord>,
    /// Index objects whose content this one contains, as far as it is still good.
    pub supersedes: Vec<ObjectHash>,
}

/// Where the index objects of a compartment are.
pub(crate) fn folder(compartment: Compartment) -> String {
    format!("index/{compartment}/")
}

/// The name of an index object with these bytes.
pub(crate) fn name(compartment: Compartment, hash: &ObjectHash) -> String {
    format!("{}{hash}", folder(compartment))
}

pub(crate) fn parse_name(name: &str) -> Option<(Compartment, ObjectHash)> {
    let (compartment, hash) = name.strip_prefix("index/")?.split_once('/')?;
    Some((Compartment::parse(compartment)?, ObjectHash::from_array(unhex(hash)?)))
}

/// The bytes of an index object; `records` are sorted here.
pub(crate) fn encode(
    keys: &Keys,
    compartment: Compartment,
    mut content: IndexContent,
) -> Result<Vec<u8>, RepoError> {
    content.records.sort();
    content.records.dedup();
    let (key, wrapped) = keys.new_metadata_key(Room::Of(compartment))?;
    let aad = object::object_aad(keys, Kind::Index, "");
    let mut filter = Filter::with_capacity(content.records.len() as u64);
    content.records.iter().for_each(|record| filter.insert(&record.id));
    let (mut blocks, mut sealed_blocks) = (Vec::new(), Vec::new());
    for (number, records) in (1u64..).zip(content.records.chunks(PER_BLOCK)) {
        let mut sealed = codec::encode(&records.to_vec());
        key.seal_in_place(&object::nonce(number), &aad, &mut sealed)?;
        let Some(first) = records.first() else { continue };
        let sealed_len = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        blocks.push(Block { first: first.id, sealed_len, digest: Hash::of(&sealed) });
        sealed_blocks.extend_from_slice(&sealed);
    }
    let head = Head {
        packs: content.packs,
        supersedes: content.supersedes,
        blocks,
        filter: filter.as_bytes().to_vec(),
        more: Extensions::default(),
    };
    let folder = folder(compartment);
    let mut sealed_head = signed::sign(keys, Kind::Index, &folder, codec::encode(&head))?;
    key.seal_in_place(&object::nonce(0), &aad, &mut sealed_head)?;
    let mut bytes = object::head(Kind::Index).to_vec();
    object::push_counted(&mut bytes, &codec::encode(&StoredKey::from(wrapped)))?;
    object::push_counted(&mut bytes, &sealed_head)?;
    bytes.extend_from_slice(&sealed_blocks);
    Ok(bytes)
}

/// Reads and checks a whole index object; and whose signature it carries.
pub(crate) fn decode(
    keys: &Keys,
    compartment: Compartment,
    name: &str,
    bytes: &[u8],
) -> Result<(IndexContent, Vec<u8>), RepoError> {
    let (key, mut rest) = object::open_key(keys, Room::Of(compartment), &[Kind::Index], name, bytes)?;
    let aad = object::object_aad(keys, Kind::Index, "");
    let open = |number: u64, sealed: &[u8]| {
        key.open_in_place(&object::nonce(number), &aad, sealed.to_vec())
            .ok_or_else(|| damaged(name, format!("the seal of its part {number} does not open")))
    };
    let wrong = |what: &str| damaged(name, what);
    let sealed_head = object::take_counted(&mut rest).ok_or_else(|| wrong("it is too short"))?;
    let folder = folder(compartment);
    let (head, signer) = signed::verify(keys, Kind::Index, &folder, name, &open(0, sealed_head)?)?;
    let head: Head = codec::decode(&head).map_err(wrong)?;
    if head.packs.len() > MOST_PACKS
        || head.supersedes.len() > MOST_PACKS
        || head.blocks.len() > MOST_CHUNKS / PER_BLOCK + 1
    {
        return Err(wrong("it is too large"));
    }
    if head.packs.iter().any(|pack| pack.size > LARGEST_PACK) {
        return Err(wrong("it lists a pack of an impossible size"));
    }
    let mut records: Vec<IndexRecord> = Vec::new();
    for (number, block) in (1u64..).zip(&head.blocks) {
        let (sealed, left) =
            rest.split_at_checked(block.sealed_len as usize).ok_or_else(|| wrong("it is too short"))?;
        rest = left;
        if Hash::of(sealed) != block.digest {
            return Err(wrong("a block is not the one that was signed"));
        }
        let more: Vec<IndexRecord> = codec::decode(&open(number, sealed)?).map_err(wrong)?;
        if more.first().is_none_or(|first| first.id != block.first) || more.len() > PER_BLOCK {
            return Err(wrong("a block is not the one that its head names"));
        }
        records.extend(more);
    }
    if !rest.is_empty() || !records.is_sorted() {
        return Err(wrong("its blocks are not in order"));
    }
    let bad = |record: &IndexRecord| {
        record.pack as usize >= head.packs.len() || ChunkKind::from_number(record.kind).is_none()
    };
    if records.iter().any(bad) {
        return Err(wrong("it has an invalid pack or kind"));
    }
    Ok((IndexContent { packs: head.packs, records, supersedes: head.supersedes }, signer))
}
