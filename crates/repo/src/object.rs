//! What every object begins with, and objects that are sealed as one piece under a metadata key of
//! their own.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use pgark_store::{PutOutcome, Storage, StoreError};

use crate::ids::Compartment;
use crate::secrets::{Keys, PackKey, Room, WrappedKey};
use crate::{RepoError, codec};

/// First bytes of every object but `pgark.json` and key slots.
pub(crate) const MAGIC: &[u8; 5] = b"pgark";
/// The format's version: two bytes, little-endian.
pub(crate) const VERSION: u16 = 0;
/// Magic, kind, version.
pub(crate) const HEAD: usize = 8;

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    DataPack = 1,
    MetadataPack = 2,
    Index = 3,
    Session = 4,
    Draft = 5,
    Manifest = 6,
    /// A pruner's list of packs that nobody needs.
    Marks = 7,
    /// A pruner's list of packs that it deletes now.
    Intents = 8,
    Tombstone = 9,
    Quarantine = 10,
    Tags = 11,
    /// The owner's list of writers and slots.
    Writers = 12,
    /// A segment of WAL.
    WalSegment = 13,
    /// Bytes of a segment of WAL that is not whole yet.
    WalPiece = 14,
    /// Another file of a WAL archive: a history, a segment that a server left.
    WalFile = 15,
    /// That a cluster has the WAL of a system.
    WalIdentity = 20,
}

impl Kind {
    /// No object of this kind has more bytes (FORMAT.md, "Objects and names"): a larger one is
    /// refused before it is opened.
    pub(crate) fn largest(self) -> usize {
        match self {
            Kind::DataPack | Kind::MetadataPack | Kind::WalSegment | Kind::WalPiece | Kind::WalFile => {
                192 << 20
            }
            Kind::Manifest | Kind::Quarantine | Kind::Writers | Kind::Marks | Kind::Intents => 64 << 20,
            Kind::Index | Kind::Draft => 256 << 20,
            Kind::Session | Kind::Tombstone | Kind::WalIdentity => 64 << 10,
            Kind::Tags => 1 << 20,
        }
    }
}

/// The eight bytes at the start of an object.
pub(crate) fn head(kind: Kind) -> [u8; HEAD] {
    let [p, g, a, r, k] = *MAGIC;
    let [low, high] = VERSION.to_le_bytes();
    [p, g, a, r, k, kind as u8, low, high]
}

/// An error that names the object and what is wrong with it.
pub(crate) fn damaged(object: impl Into<String>, what: impl Into<String>) -> RepoError {
    RepoError::Damaged { object: object.into(), what: what.into() }
}

/// Checks the first bytes; the rest comes back.
pub(crate) fn check_head<'a>(name: &str, kinds: &[Kind], bytes: &'a [u8]) -> Result<&'a [u8], RepoError> {
    let (first, rest) = bytes.split_first_chunk::<HEAD>().ok_or_else(|| damaged(name, "it is too short"))?;
    let [p, g, a, r, k, kind, low, high] = *first;
    if [p, g, a, r, k] != *MAGIC {
        return Err(damaged(name, "it does not start with the magic bytes"));
    }
    let version = u16::from_le_bytes([low, high]);
    if version > VERSION {
        return Err(RepoError::NewerFormat { what: format!("{name} has version {version}") });
    }
    if !kinds.iter().any(|known| *known as u8 == kind) {
        return Err(damaged(name, "it is an object of another kind"));
    }
    let largest = kinds.iter().find(|known| **known as u8 == kind).map_or(0, |kind| kind.largest());
    if bytes.len() > largest {
        return Err(damaged(name, "it is larger than any object of its kind"));
    }
    Ok(rest)
}

/// A wrapped key as objects hold it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct StoredKey {
    #[n(0)]
    pub suite: u32,
    #[n(1)]
    pub epoch: u32,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

impl From<WrappedKey> for StoredKey {
    fn from(key: WrappedKey) -> StoredKey {
        StoredKey { suite: key.suite, epoch: key.epoch, bytes: key.bytes }
    }
}

impl From<StoredKey> for WrappedKey {
    fn from(key: StoredKey) -> WrappedKey {
        WrappedKey { suite: key.suite, epoch: key.epoch, bytes: key.bytes }
    }
}

/// A counted nonce.
pub(crate) fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

/// What a sealed object is bound to: repository, kind, version, and its full name (empty for
/// objects that are named by the hash of their bytes, which binds them already).
pub(crate) fn object_aad(keys: &Keys, kind: Kind, name: &str) -> Vec<u8> {
    let mut aad = b"pgark object".to_vec();
    aad.extend_from_slice(&keys.repository.0);
    aad.push(kind as u8);
    aad.extend_from_slice(&VERSION.to_le_bytes());
    aad.extend_from_slice(name.as_bytes());
    aad
}

/// Appends a length (u32, little-endian) and the bytes.
pub(crate) fn push_counted(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), RepoError> {
    let len = u32::try_from(bytes.len()).map_err(|_| RepoError::TooLarge { what: "an object".into() })?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Splits off a length and so many bytes.
pub(crate) fn take_counted<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (taken, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some(taken)
}

/// Longest stored key: far above what HPKE needs.
const LONGEST_KEY: usize = 1024;

pub(crate) fn decode_key(name: &str, bytes: &[u8]) -> Result<WrappedKey, RepoError> {
    if bytes.len() > LONGEST_KEY {
        return Err(damaged(name, "its key is too long"));
    }
    let key: StoredKey = codec::decode(bytes).map_err(|what| damaged(name, format!("its key: {what}")))?;
    Ok(key.into())
}

/// Says which object a key or seal that did not open is in.
pub(crate) fn inside(name: &str, error: RepoError) -> RepoError {
    match error {
        RepoError::Damaged { object, what } if object != name => damaged(name, format!("{object}: {what}")),
        other => other,
    }
}

/// Whose keys open the object of this name: its second part names a cluster or a compartment.
fn room_of(keys: &Keys, name: &str) -> Result<Room, RepoError> {
    let path = name.strip_prefix("copies/").unwrap_or(name);
    let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
    if folder == "writers" {
        return Ok(Room::Common);
    }
    let of = rest.split('/').next().unwrap_or_default();
    let compartment = match folder {
        "manifests" | "forgotten" | "tags" | "wal" | "systems" => keys.compartment_of(of),
        _ => Compartment::parse(of).filter(|compartment| keys.opens(*compartment)),
    };
    compartment.map(Room::Of).ok_or_else(|| damaged(name, "its name belongs to nothing that this key opens"))
}

/// Seals `body` as the object `name`: head, counted key, sealed body.
pub(crate) fn seal(keys: &Keys, kind: Kind, name: &str, body: &[u8]) -> Result<Vec<u8>, RepoError> {
    seal_in(keys, room_of(keys, name)?, kind, name, body)
}

/// [`seal`] of what is no object by itself.
pub(crate) fn seal_in(
    keys: &Keys,
    room: Room,
    kind: Kind,
    name: &str,
    body: &[u8],
) -> Result<Vec<u8>, RepoError> {
    let (key, wrapped) = keys.new_metadata_key(room)?;
    let mut bytes = head(kind).to_vec();
    push_counted(&mut bytes, &codec::encode(&StoredKey::from(wrapped)))?;
    let mut sealed = body.to_vec();
    key.seal_in_place(&nonce(0), &object_aad(keys, kind, name), &mut sealed)?;
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// Opens what [`seal`] made.
pub(crate) fn open(keys: &Keys, kind: Kind, name: &str, bytes: &[u8]) -> Result<Vec<u8>, RepoError> {
    open_in(keys, room_of(keys, name)?, kind, name, bytes)
}

/// Opens what [`seal_in`] made.
pub(crate) fn open_in(
    keys: &Keys,
    room: Room,
    kind: Kind,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, RepoError> {
    let (key, sealed) = open_key(keys, room, &[kind], name, bytes)?;
    key.open_in_place(&nonce(0), &object_aad(keys, kind, name), sealed.to_vec())
        .ok_or_else(|| damaged(name, "its seal does not open: bytes were changed, or it had another name"))
}

/// The key at the start of a metadata object, and what follows it.
pub(crate) fn open_key<'a>(
    keys: &Keys,
    room: Room,
    kinds: &[Kind],
    name: &str,
    bytes: &'a [u8],
) -> Result<(PackKey, &'a [u8]), RepoError> {
    let mut rest = check_head(name, kinds, bytes)?;
    let key = take_counted(&mut rest).ok_or_else(|| damaged(name, "it is too short"))?;
    let key = keys.open_metadata_key(room, &decode_key(name, key)?).map_err(|error| inside(name, error))?;
    Ok((key, rest))
}

/// Puts an object, unless the job was cancelled. One of that name with the very same bytes counts
/// as put (an earlier try's answer was lost); other bytes under that name are an error.
pub(crate) fn put(store: &Storage, name: &str, bytes: impl Into<Bytes>) -> Result<(), RepoError> {
    store.cancel().check()?;
    put_regardless(store, name, bytes)
}

/// [`put`] for what completes a step that was taken: tried even if the job was cancelled.
pub(crate) fn put_regardless(store: &Storage, name: &str, bytes: impl Into<Bytes>) -> Result<(), RepoError> {
    let bytes = bytes.into();
    let outcome = store.put_if_absent(name, bytes.clone())?;
    if outcome == PutOutcome::AlreadyExists && store.get(name)? != bytes {
        return Err(damaged(name, "an object with this name and different bytes already exists"));
    }
    Ok(())
}

/// A get; None if there is no such object.
pub(crate) fn get_if_there(store: &Storage, name: &str) -> Result<Option<Vec<u8>>, RepoError> {
    match store.get(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(StoreError::TooLarge { .. }) => Err(too_large(name)),
        Err(error) => Err(error.into()),
    }
}

/// A get whose absence is [`RepoError::Missing`].
pub(crate) fn get(store: &Storage, name: &str) -> Result<Vec<u8>, RepoError> {
    match store.get(name) {
        Err(StoreError::NotFound { .. }) => Err(RepoError::Missing { object: name.to_string() }),
        Err(StoreError::TooLarge { .. }) => Err(too_large(name)),
        other => Ok(other?),
    }
}

fn too_large(name: &str) -> RepoError {
    damaged(name, "it is larger than any object")
}
