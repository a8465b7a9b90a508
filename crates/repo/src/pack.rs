//! Packs: sealed chunks in one object, with a directory of them at the end (FORMAT.md, "Packs").

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use pgark_store::{ObjectMeta, Storage, StoreError};

use crate::codec::Extensions;
use crate::cut::LARGEST;
use crate::ids::{ChunkId, Compartment, ObjectHash, hex, unhex};
use crate::object::{self, HEAD, Kind, StoredKey, damaged};
use crate::secrets::{Keys, PackKey, Room};
use crate::stream::ChunkKind;
use crate::{RepoError, codec, signed};

/// A pack is closed when it holds so many bytes; in large repositories when it holds more
/// ([`bytes_for`]).
pub(crate) const PACK_BYTES: usize = 16 << 20;
const MOST_PACK_BYTES: usize = 128 << 20;
/// Packs grow where there would be more of them than this.
const MANY_PACKS: u64 = 16 << 10;
/// Or so many chunks: the directory of very many tiny ones must leave the pack small enough.
const PACK_CHUNKS: usize = 64 << 10;
/// No pack is larger: the limit plus one chunk, which at worst does not shrink, plus the directory.
pub(crate) const LARGEST_PACK: u64 = 192 << 20;
/// Sealing adds so many bytes.
pub(crate) const TAG: usize = 16;
const END: &[u8; 8] = b"pgarkend";
/// Lengths of the counted key and of the sealed directory, then [`END`].
const TRAILER: usize = 16;
/// Chunks of a pack at most: a pack full of the smallest.
const MOST_CHUNKS: usize = 1 << 20;
const MOST_KEYS: usize = 4096;

/// A key of the pack's key table.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct KeyRecord {
    #[n(0)]
    pub key_id: ByteArray<16>,
    #[n(1)]
    pub key: StoredKey,
    /// Public key of the writer who sealed with it; it stays when a prune moves what it sealed.
    #[n(2)]
    pub maker: ByteVec,
}

/// One sealed chunk of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ChunkRecord {
    #[n(0)]
    pub id: ChunkId,
    #[n(1)]
    pub kind: u8,
    /// Of the pack's key table.
    #[n(2)]
    pub key_id: ByteArray<16>,
    #[n(3)]
    pub nonce: ByteArray<12>,
    /// From the start of the pack.
    #[n(4)]
    pub offset: u32,
    #[n(5)]
    pub sealed_len: u32,
    #[n(6)]
    pub raw_len: u32,
    #[n(7)]
    pub compressed: bool,
    /// BLAKE3 of the sealed bytes: prune moves them unopened.
    #[n(8)]
    pub digest: ByteArray<32>,
    /// The mask domain that the id is made with: empty for plain content, else 16 bytes.
    #[n(9)]
    pub domain: ByteVec,
}

/// The directory at the end of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Directory {
    #[n(0)]
    pub keys: Vec<KeyRecord>,
    #[n(1)]
    pub chunks: Vec<ChunkRecord>,
    #[n(2)]
    pub more: Extensions,
    /// Whose signature it carries.
    #[cbor(skip)]
    pub signer: Vec<u8>,
}

/// Where the packs of a compartment are.
pub(crate) fn folder(compartment: Compartment) -> String {
    format!("packs/{compartment}/")
}

/// The name of a pack.
pub(crate) fn name(compartment: Compartment, hash: &ObjectHash) -> String {
    let text = hash.to_string();
    format!("{}{}/{text}", folder(compartment), text.get(..2).unwrap_or("00"))
}

/// The compartment and the hash in a pack's name.
pub(crate) fn parse_name(name: &str) -> Option<(Compartment, ObjectHash)> {
    let (compartment, rest) = name.strip_prefix("packs/")?.split_once('/')?;
    let (folder, text) = rest.split_once('/')?;
    let hash = ObjectHash::from_array(unhex(text)?);
    (folder == text.get(..2)?).then_some((Compartment::parse(compartment)?, hash))
}

/// What a list says of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub size: u64,
    /// When the storage took it.
    pub put: SystemTime,
}

/// The packs of a compartment that are there.
pub(crate) fn list(
    store: &Storage,
    compartment: Compartment,
) -> Result<HashMap<ObjectHash, Listed>, RepoError> {
    list_below(store, &folder(compartment))
}

/// Those of them whose hashes begin with this byte.
pub(crate) fn list_of_byte(
    store: &Storage,
    compartment: Compartment,
    first: u8,
) -> Result<HashMap<ObjectHash, Listed>, RepoError> {
    list_below(store, &format!("{}{first:02x}/", folder(compartment)))
}

fn list_below(store: &Storage, folder: &str) -> Result<HashMap<ObjectHash, Listed>, RepoError> {
    let listed = store.list(folder)?;
    let of =
        |meta: &ObjectMeta| Some((parse_name(&meta.name)?.1, Listed { size: meta.size, put: meta.modified }));
    Ok(listed.iter().filter_map(of).collect())
}

impl Directory {
    /// Who sealed with a key of the pack, as far as its signer may say so: for himself, or for
    /// everybody if he may prune, and so may have moved it.
    pub(crate) fn maker<'d>(&'d self, key: &'d KeyRecord, signer_may_prune: bool) -> &'d [u8] {
        if signer_may_prune { &key.maker } else { &self.signer }
    }
}

/// Whether every sealed chunk in a pack's bytes has the hash that the directory names.
pub(crate) fn holds_what_it_says(directory: &Directory, bytes: &[u8]) -> bool {
    directory.chunks.iter().all(|chunk| {
        let from = chunk.offset as usize;
        let sealed = bytes.get(from..from + chunk.sealed_len as usize);
        sealed.is_some_and(|sealed| blake3::hash(sealed).as_bytes().as_slice() == chunk.digest.as_slice())
    })
}

/// Asks for one pack whether it is gone; a list may be older than the pack.
pub(crate) fn is_gone(
    store: &Storage,
    compartment: Compartment,
    hash: &ObjectHash,
) -> Result<bool, RepoError> {
    match store.stat(&name(compartment, hash)) {
        Ok(_) => Ok(false),
        Err(StoreError::NotFound { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

impl ObjectHash {
    pub(crate) fn from_array(bytes: [u8; 32]) -> ObjectHash {
        crate::ids::Hash(bytes)
    }
}

/// What a chunk's seal is bound to. Nothing in it names a pack or an offset: sealed chunks may
/// move.
pub(crate) fn chunk_aad(keys: &Keys, id: &ChunkId, kind: u8, raw_len: u32, compressed: bool) -> Vec<u8> {
    let mut aad = Vec::with_capacity(80);
    aad.extend_from_slice(b"pgark chunk");
    aad.extend_from_slice(&keys.repository.0);
    aad.extend_from_slice(&id.0);
    aad.push(kind);
    aad.extend_from_slice(&raw_len.to_le_bytes());
    aad.push(u8::from(compressed));
    aad
}

fn directory_aad(keys: &Keys, kind: Kind) -> Vec<u8> {
    object::object_aad(keys, kind, "directory")
}

/// How many bytes a data pack shall have in a repository of so many stored bytes, where packs in
/// memory have so much room: one is filled, one of metadata, and one on its way.
pub(crate) fn bytes_for(stored: u64, room: usize) -> usize {
    let mut bytes = PACK_BYTES;
    while bytes < MOST_PACK_BYTES && (bytes as u64) < stored / MANY_PACKS && 6 * bytes <= room {
        bytes *= 2;
    }
    bytes
}

/// A pack that is being filled.
pub(crate) struct Builder {
    compartment: Compartment,
    pub kind: Kind,
    /// It is closed when it holds so many bytes.
    most: usize,
    pub bytes: Vec<u8>,
    directory: Directory,
}

impl Builder {
    /// A pack of `most` bytes, if it is one of data.
    pub(crate) fn new(compartment: Compartment, kind: Kind, most: usize, mut buffer: Vec<u8>) -> Builder {
        buffer.clear();
        buffer.extend_from_slice(&object::head(kind));
        // Metadata is read here and there: small packs of it die, and are repacked, alone.
        let most = if kind == Kind::DataPack { most } else { PACK_BYTES };
        Builder { compartment, kind, most, bytes: buffer, directory: Directory::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.directory.chunks.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.most || self.directory.chunks.len() >= PACK_CHUNKS
    }

    /// Adds a sealed chunk; the record's offset is set here.
    pub(crate) fn add(
        &mut self,
        mut record: ChunkRecord,
        key: &KeyRecord,
        sealed: &[u8],
    ) -> Result<(), RepoError> {
        record.offset = u32::try_from(self.bytes.len())
            .map_err(|_| RepoError::TooLarge { what: "a pack".to_string() })?;
        if !self.directory.keys.iter().any(|known| known.key_id == record.key_id) {
            self.directory.keys.push(key.clone());
        }
        self.bytes.extend_from_slice(sealed);
        self.directory.chunks.push(record);
        Ok(())
    }

    /// Closes the pack: its hash, its bytes, its chunks.
    pub(crate) fn finish(
        mut self,
        keys: &Keys,
    ) -> Result<(ObjectHash, Vec<u8>, Vec<ChunkRecord>), RepoError> {
        self.directory.keys.sort_by_key(|key| key.key_id);
        let (key, wrapped) = keys.new_metadata_key(Room::Of(self.compartment))?;
        let wrapped = codec::encode(&StoredKey::from(wrapped));
        let directory = codec::encode(&self.directory);
        let mut sealed = signed::sign(keys, self.kind, &folder(self.compartment), directory)?;
        key.seal_in_place(&object::nonce(0), &directory_aad(keys, self.kind), &mut sealed)?;
        let len = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .map(u32::to_le_bytes)
                .map_err(|_| RepoError::TooLarge { what: "a pack's directory".to_string() })
        };
        self.bytes.extend_from_slice(&wrapped);
        self.bytes.extend_from_slice(&sealed);
        self.bytes.extend_from_slice(&len(&wrapped)?);
        self.bytes.extend_from_slice(&len(&sealed)?);
        self.bytes.extend_from_slice(END);
        Ok((ObjectHash::of(&self.bytes), self.bytes, self.directory.chunks))
    }
}

/// Where key and sealed directory are, from a pack's last 16 bytes: start of the key, start of the
/// directory, its end.
fn parse_trailer(name: &str, size: u64, trailer: &[u8]) -> Result<(u64, u64, u64), RepoError> {
    let wrong = || damaged(name, "its trailer is not a pack's");
    let (lengths, end) = trailer.split_first_chunk::<8>().ok_or_else(wrong)?;
    let [a, b, c, d, e, f, g, h] = *lengths;
    let wrapped = u64::from(u32::from_le_bytes([a, b, c, d]));
    let sealed = u64::from(u32::from_le_bytes([e, f, g, h]));
    let stop = size.checked_sub(TRAILER as u64).ok_or_else(wrong)?;
    let middle = stop.checked_sub(sealed).ok_or_else(wrong)?;
    let start = middle.checked_sub(wrapped).ok_or_else(wrong)?;
    if end != END || start < HEAD as u64 || size > LARGEST_PACK {
        return Err(wrong());
    }
    Ok((start, middle, stop))
}

/// Opens key and directory (`bytes` from the pack's offset `start` to its trailer) and checks every
/// record.
fn open_directory(
    keys: &Keys,
    compartment: Compartment,
    name: &str,
    kind: Kind,
    start: u64,
    wrapped: &[u8],
    sealed: &[u8],
) -> Result<Directory, RepoError> {
    let key = object::decode_key(name, wrapped)?;
    let key =
        keys.open_metadata_key(Room::Of(compartment), &key).map_err(|error| object::inside(name, error))?;
    let plain = key
        .open_in_place(&object::nonce(0), &directory_aad(keys, kind), sealed.to_vec())
        .ok_or_else(|| damaged(name, "its directory's seal does not open"))?;
    let (body, signer) = signed::verify(keys, kind, &folder(compartment), name, &plain)?;
    let mut directory: Directory =
        codec::decode(&body).map_err(|what| damaged(name, format!("its directory: {what}")))?;
    directory.signer = signer;
    check_directory(&directory, kind, start).map_err(|what| damaged(name, what))?;
    Ok(directory)
}

pub(crate) fn check_directory(directory: &Directory, kind: Kind, end: u64) -> Result<(), &'static str> {
    if directory.chunks.len() > MOST_CHUNKS || directory.keys.len() > MOST_KEYS {
        return Err("its directory is too long");
    }
    let keys: HashSet<[u8; 16]> = directory.keys.iter().map(|key| key.key_id.into()).collect();
    let mut at = HEAD as u64;
    let mut seen = HashSet::with_capacity(directory.chunks.len());
    for chunk in &directory.chunks {
        if !seen.insert(chunk.id) {
            return Err("its directory names a chunk twice");
        }
        let data = ChunkKind::from_number(chunk.kind)
            .ok_or("its directory names an unknown kind of chunk")?
            .is_data();
        if data != (kind == Kind::DataPack) {
            return Err("it contains a chunk that belongs into the other kind of pack");
        }
        if chunk.raw_len == 0 || chunk.raw_len as usize > LARGEST {
            return Err("its directory names an impossible length");
        }
        let most = chunk.raw_len as u64 + TAG as u64;
        if u64::from(chunk.sealed_len) > most
            || (chunk.sealed_len as usize) < TAG
            || u64::from(chunk.offset) != at
        {
            return Err("its directory does not follow its chunks");
        }
        if ![0, 16].contains(&chunk.domain.len()) {
            return Err("its directory names an impossible mask domain");
        }
        if !keys.contains(&<[u8; 16]>::from(chunk.key_id)) {
            return Err("its directory names a key that is not in it");
        }
        at += u64::from(chunk.sealed_len);
    }
    if at == end { Ok(()) } else { Err("its directory does not follow its chunks") }
}

/// The end of a pack of this size that is fetched first: offset and length. It holds the directory
/// of almost every pack.
pub(crate) fn tail(size: u64) -> (u64, u64) {
    let len = size.min(64 << 10);
    (size - len, len)
}

/// A range of a pack from the storage.
pub(crate) fn range(store: &Storage, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, RepoError> {
    match store.get_range(name, offset, len) {
        Err(StoreError::NotFound { .. }) => Err(RepoError::Missing { object: name.to_string() }),
        Err(StoreError::TooShort { .. }) => Err(damaged(name, "it is too short")),
        other => Ok(other?),
    }
}

/// Reads a pack's directory, and nothing else of it, from the storage.
pub(crate) fn read_directory(
    store: &Storage,
    keys: &Keys,
    compartment: Compartment,
    hash: &ObjectHash,
    size: u64,
) -> Result<(Kind, Directory), RepoError> {
    let name = name(compartment, hash);
    read_directory_by(keys, compartment, hash, size, &|offset, len| range(store, &name, offset, len))
}

/// [`read_directory`] where `range` fetches: offset and length. It asks for the [`tail`] first.
pub(crate) fn read_directory_by(
    keys: &Keys,
    compartment: Compartment,
    hash: &ObjectHash,
    size: u64,
    range: &dyn Fn(u64, u64) -> Result<Vec<u8>, RepoError>,
) -> Result<(Kind, Directory), RepoError> {
    let name = name(compartment, hash);
    if size < (HEAD + TRAILER) as u64 {
        return Err(damaged(&name, "it is too short"));
    }
    let (tail_start, tail_len) = tail(size);
    let mut tail = range(tail_start, tail_len)?;
    let trailer = tail.last_chunk::<TRAILER>().ok_or_else(|| damaged(&name, "it is too short"))?;
    let (start, middle, stop) = parse_trailer(&name, size, trailer)?;
    if start < tail_start {
        let mut more = range(start, tail_start - start)?;
        more.extend_from_slice(&tail);
        tail = more;
    }
    let base = start.min(tail_start);
    let part = |from: u64, to: u64| {
        let (from, to) = (usize::try_from(from - base).ok()?, usize::try_from(to - base).ok()?);
        tail.get(from..to)
    };
    let (Some(wrapped), Some(sealed)) = (part(start, middle), part(middle, stop)) else {
        return Err(damaged(&name, "it is too short"));
    };
    // The kind is in the head, which is not read here: the seal tells.
    let data = open_directory(keys, compartment, &name, Kind::DataPack, start, wrapped, sealed);
    match data {
        Ok(directory) => Ok((Kind::DataPack, directory)),
        Err(first) => open_directory(keys, compartment, &name, Kind::MetadataPack, start, wrapped, sealed)
            .map(|directory| (Kind::MetadataPack, directory))
            .map_err(|second| if matches!(second, RepoError::Damaged { .. }) { first } else { second }),
    }
}

/// The directory of a whole pack in memory.
pub(crate) fn parse(
    keys: &Keys,
    compartment: Compartment,
    name: &str,
    bytes: &[u8],
) -> Result<(Kind, Directory), RepoError> {
    object::check_head(name, &[Kind::DataPack, Kind::MetadataPack], bytes)?;
    let kind =
        if bytes.get(5) == Some(&(Kind::DataPack as u8)) { Kind::DataPack } else { Kind::MetadataPack };
    let trailer = bytes.last_chunk::<TRAILER>().ok_or_else(|| damaged(name, "it is too short"))?;
    let (start, middle, stop) = parse_trailer(name, bytes.len() as u64, trailer)?;
    // In a slice in memory, each fits.
    let part = |from: u64, to: u64| bytes.get(from as usize..to as usize).unwrap_or_default();
    let (wrapped, sealed) = (part(start, middle), part(middle, stop));
    Ok((kind, open_directory(keys, compartment, name, kind, start, wrapped, sealed)?))
}

/// Opens the key that a chunk is sealed with.
pub(crate) fn open_key(
    keys: &Keys,
    compartment: Compartment,
    directory: &Directory,
    record: &ChunkRecord,
) -> Result<PackKey, RepoError> {
    let key_id: [u8; 16] = record.key_id.into();
    let found = directory.keys.iter().find(|key| key.key_id == record.key_id);
    let wrapped = found
        .map(|key| key.key.clone().into())
        .ok_or_else(|| damaged(format!("key {}", hex(&key_id)), "it is not in the pack"))?;
    match ChunkKind::from_number(record.kind) {
        Some(ChunkKind::Data) => keys.open_data_pack_key(&key_id, &wrapped),
        _ => keys.open_metadata_key(Room::Of(compartment), &wrapped),
    }
}

/// Sealed lengths of chunks that are padded are multiples of it, but for the tag.
const PADDED_TO: usize = 4096;
/// A frame that decompressors skip (RFC 8878, section 3.1.2): this, and the length (`u32`,
/// little-endian) of what follows.
const PASSED_OVER: [u8; 4] = 0x184d_2a50u32.to_le_bytes();

/// Pads a compressed chunk, so that its length tells little of how well it compresses. False where
/// it would not be smaller than the raw bytes.
pub(crate) fn pad(compressed: &mut Vec<u8>, raw_len: usize) -> bool {
    let head = PASSED_OVER.len() + 4;
    let padded = (compressed.len() + head).next_multiple_of(PADDED_TO);
    let Ok(length) = u32::try_from(padded - compressed.len() - head) else { return false };
    if padded >= raw_len {
        return false;
    }
    compressed.extend_from_slice(&PASSED_OVER);
    compressed.extend_from_slice(&length.to_le_bytes());
    compressed.resize(padded, 0);
    true
}

thread_local! {
    /// A decompressor's tables are larger than most chunks: each thread makes them once.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Fills `raw`, never beyond its capacity.
fn decompress(sealed: &[u8], raw: &mut Vec<u8>) -> std::io::Result<()> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress_to_buffer(sealed, raw).map(|_| ())
    })
}

/// Opens a sealed chunk and verifies everything about it: digest, seal, length, id.
pub(crate) fn open_chunk(
    keys: &Keys,
    key: &PackKey,
    record: &ChunkRecord,
    id_key: &[u8; 32],
    sealed: &[u8],
) -> Result<Vec<u8>, &'static str> {
    if blake3::hash(sealed).as_bytes().as_slice() != record.digest.as_slice() {
        return Err("its sealed bytes are not those that were written");
    }
    let aad = chunk_aad(keys, &record.id, record.kind, record.raw_len, record.compressed);
    let nonce: [u8; 12] = record.nonce.into();
    let opened = key.open_in_place(&nonce, &aad, sealed.to_vec()).ok_or("its seal does not open")?;
    let raw_len = record.raw_len as usize;
    let raw = if record.compressed {
        let mut raw = Vec::with_capacity(raw_len.min(LARGEST));
        decompress(&opened, &mut raw).map_err(|_| "it does not decompress")?;
        raw
    } else {
        opened
    };
    if raw.len() != raw_len {
        return Err("its length is not the recorded one");
    }
    if blake3::keyed_hash(id_key, &raw).as_bytes() != &record.id.0 {
        return Err("its bytes are not those of its id");
    }
    Ok(raw)
}
