//! Sealed metadata objects that carry a signature: manifests, tombstones, tags, quarantine, drafts,
//! sessions, marks, lists of writers (FORMAT.md, sections 7 to 9).

use minicbor::{Decode, Encode};

use crate::codec::Extensions;
use crate::ids::{Hash, ObjectHash};
use crate::object::{self, Kind, damaged};
use crate::secrets::Keys;
use crate::{RepoError, codec};

#[derive(Encode, Decode)]
#[cbor(array)]
struct Signed {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    body: Vec<u8>,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    writer: Vec<u8>,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    signature: Vec<u8>,
    #[n(3)]
    more: Extensions,
}

/// What the signature says the body is for: no signed object can pass for one of another kind.
fn purpose(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Tombstone => b"pgark tombstone",
        Kind::Quarantine => b"pgark quarantine",
        Kind::Tags => b"pgark tags",
        Kind::Writers => b"pgark writers",
        Kind::Session => b"pgark session",
        Kind::Draft => b"pgark draft",
        Kind::Marks => b"pgark marks",
        Kind::Intents => b"pgark intents",
        Kind::Index => b"pgark index",
        Kind::DataPack | Kind::MetadataPack => b"pgark pack",
        Kind::Manifest => b"pgark manifest",
        Kind::WalSegment | Kind::WalPiece | Kind::WalFile => b"pgark wal",
        Kind::WalIdentity => b"pgark wal system",
    }
}

fn signed_bytes(keys: &Keys, kind: Kind, name: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = purpose(kind).to_vec();
    bytes.extend_from_slice(&keys.repository.0);
    bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A body with its signature, for what is sealed in a way of its own. What is named by the hash of
/// its bytes is signed for its folder.
pub(crate) fn sign(keys: &Keys, kind: Kind, name: &str, body: Vec<u8>) -> Result<Vec<u8>, RepoError> {
    let signature = keys.sign(&signed_bytes(keys, kind, name, &body))?;
    let writer = keys.writer_public();
    Ok(codec::encode(&Signed { body, writer, signature, more: Extensions::default() }))
}

/// The body and the signer of what [`sign`] made; errors speak of `stood_as`.
pub(crate) fn verify(
    keys: &Keys,
    kind: Kind,
    name: &str,
    stood_as: &str,
    bytes: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), RepoError> {
    let signed: Signed = codec::decode(bytes).map_err(|what| damaged(stood_as, what))?;
    keys.verify(&signed.writer, &signed_bytes(keys, kind, name, &signed.body), &signed.signature)
        .map_err(|error| object::inside(stood_as, error))?;
    Ok((signed.body, signed.writer))
}

/// Signs and seals a body for the object `name`.
pub(crate) fn seal(keys: &Keys, kind: Kind, name: &str, body: Vec<u8>) -> Result<Vec<u8>, RepoError> {
    object::seal(keys, kind, name, &sign(keys, kind, name, body)?)
}

/// What a signed object holds, and whose signature it carries.
pub(crate) struct Opened {
    pub body: Vec<u8>,
    pub signer: Vec<u8>,
    /// Of the object's bytes.
    pub hash: ObjectHash,
}

/// Opens what [`seal`] made for `name` and verifies the signature; errors speak of `stood_as`, the
/// object that the bytes were read from. Whether the signer may sign such a thing is for `writers`
/// to say.
pub(crate) fn open(
    keys: &Keys,
    kind: Kind,
    name: &str,
    stood_as: &str,
    bytes: &[u8],
) -> Result<Opened, RepoError> {
    let opened = object::open(keys, kind, name, bytes).map_err(|error| match error {
        RepoError::Damaged { what, .. } => damaged(stood_as, what),
        other => other,
    })?;
    let (body, signer) = verify(keys, kind, name, stood_as, &opened)?;
    Ok(Opened { body, signer, hash: Hash::of(bytes) })
}
