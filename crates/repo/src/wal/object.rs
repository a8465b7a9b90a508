//! One object of WAL: a sealed header that every holder of a key reads, and the file's bytes in
//! frames that only holders of the data key read (FORMAT.md, section 12).

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::name::{WalKind, WalName};
use crate::codec::Extensions;
use crate::object::{self, HEAD, Kind, StoredKey, damaged};
use crate::secrets::{Keys, PackKey, Room};
use crate::{RepoError, codec, random, signed};

/// Raw bytes of a frame.
const FRAME: usize = 1 << 20;
/// A file has at most so many bytes: its object must fit what storages take.
pub(super) const LARGEST_FILE: usize = 128 << 20;
/// A sealed header has at most so many.
const LARGEST_HEADER: usize = 8 << 20;
/// What is read first, to have the header of most objects with one request.
pub(super) const FIRST_READ: u64 = 32 << 10;

/// The body of a header.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Header {
    #[n(0)]
    pub cluster: String,
    #[n(1)]
    pub system_identifier: u64,
    /// When it was archived, in microseconds since 1970.
    #[n(2)]
    pub time: i64,
    /// The host that archived it.
    #[n(3)]
    pub host: String,
    /// Raw bytes.
    #[n(4)]
    pub bytes: u64,
    /// Keyed BLAKE3 of the raw bytes; of a piece, of the segment from its beginning to the end of
    /// the piece.
    #[n(5)]
    pub digest: ByteArray<32>,
    /// What the maker says of the content.
    #[n(6)]
    pub facts: ByteVec,
    #[n(7)]
    pub key_id: ByteArray<16>,
    #[n(8)]
    pub key: StoredKey,
    /// Sealed bytes of each frame.
    #[n(9)]
    pub frames: Vec<u32>,
    #[n(10)]
    pub more: Extensions,
}

/// The kind of the object of a file.
pub(super) fn kind_of(name: &WalName) -> Kind {
    match name.kind() {
        WalKind::Segment => Kind::WalSegment,
        WalKind::Piece => Kind::WalPiece,
        WalKind::Partial | WalKind::BackupHistory | WalKind::History => Kind::WalFile,
    }
}

fn frame_aad(keys: &Keys, name: &str, number: u32, is_last: bool) -> Vec<u8> {
    let mut aad = b"pgark wal frame".to_vec();
    aad.extend_from_slice(&keys.repository.0);
    aad.extend_from_slice(&number.to_le_bytes());
    aad.push(u8::from(is_last));
    aad.extend_from_slice(name.as_bytes());
    aad
}

/// The parts of a file that become frames: at least one.
fn pieces(content: &[u8]) -> Vec<&[u8]> {
    if content.is_empty() { vec![content] } else { content.chunks(FRAME).collect() }
}

fn number_of(at: usize) -> u32 {
    // A file has at most LARGEST_FILE / FRAME frames.
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Makes the object `name`. The header comes without key and frames.
pub(super) fn encode(
    keys: &Keys,
    room: Room,
    kind: Kind,
    name: &str,
    header: Header,
    content: &[u8],
    level: i32,
) -> Result<Vec<u8>, RepoError> {
    let key_id: [u8; 16] = random::bytes()?;
    let (data_key, wrapped) = keys.new_data_pack_key(&key_id)?;
    let mut frames = Vec::new();
    let mut lengths = Vec::new();
    let pieces = pieces(content);
    for (at, piece) in pieces.iter().enumerate() {
        let mut frame = zstd::bulk::compress(piece, level)
            .map_err(|_| RepoError::TooLarge { what: format!("a frame of {name}") })?;
        let number = number_of(at);
        let aad = frame_aad(keys, name, number, at + 1 == pieces.len());
        data_key.seal_in_place(&object::nonce(number.into()), &aad, &mut frame)?;
        lengths.push(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        frames.extend_from_slice(&frame);
    }
    let header = Header { key_id: key_id.into(), key: wrapped.into(), frames: lengths, ..header };
    let mut sealed = signed::sign(keys, kind, name, codec::encode(&header))?;
    let (key, wrapped) = keys.new_metadata_key(room)?;
    key.seal_in_place(&object::nonce(0), &object::object_aad(keys, kind, name), &mut sealed)?;
    if sealed.len() > LARGEST_HEADER {
        return Err(RepoError::TooLarge { what: format!("the header of {name}") });
    }
    let mut bytes = object::head(kind).to_vec();
    object::push_counted(&mut bytes, &codec::encode(&StoredKey::from(wrapped)))?;
    object::push_counted(&mut bytes, &sealed)?;
    bytes.extend_from_slice(&frames);
    if bytes.len() > kind.largest() {
        return Err(RepoError::TooLarge { what: name.to_string() });
    }
    Ok(bytes)
}

/// A header that was opened: whose signature it carries, and where the frames begin.
pub(super) struct Opened {
    pub header: Header,
    pub signer: Vec<u8>,
    pub frames_at: usize,
}

/// How many bytes of an object its header takes, from the first of them; None: more are needed to
/// say it.
pub(super) fn header_end(name: &str, bytes: &[u8]) -> Result<Option<usize>, RepoError> {
    let length_at = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let Some(key) = length_at(HEAD) else { return Ok(None) };
    let sealed_at = HEAD.saturating_add(4).saturating_add(key);
    if key > LARGEST_HEADER {
        return Err(damaged(name, "its key is too long"));
    }
    let Some(sealed) = length_at(sealed_at) else { return Ok(None) };
    if sealed > LARGEST_HEADER {
        return Err(damaged(name, "its header is too long"));
    }
    Ok(Some(sealed_at.saturating_add(4).saturating_add(sealed)))
}

/// Opens the header of an object, of which at least that must be there. Whether the signer may sign
/// it is for the list of writers to say.
pub(super) fn open_header(
    keys: &Keys,
    room: Room,
    kind: Kind,
    name: &str,
    bytes: &[u8],
) -> Result<Opened, RepoError> {
    let (key, mut rest) = object::open_key(keys, room, &[kind], name, bytes)?;
    let sealed = object::take_counted(&mut rest).ok_or_else(|| damaged(name, "it is too short"))?;
    let frames_at = bytes.len() - rest.len();
    let opened = key
        .open_in_place(&object::nonce(0), &object::object_aad(keys, kind, name), sealed.to_vec())
        .ok_or_else(|| damaged(name, "its seal does not open: bytes were changed, or it had another name"))?;
    let (body, signer) = signed::verify(keys, kind, name, name, &opened)?;
    let header: Header = codec::decode(&body).map_err(|what| damaged(name, what))?;
    let pieces = header.bytes.div_ceil(FRAME as u64).max(1);
    if header.frames.len() as u64 != pieces || header.bytes > LARGEST_FILE as u64 {
        return Err(damaged(name, "its header does not fit its length"));
    }
    Ok(Opened { header, signer, frames_at })
}

/// Opens the frames of an object whose header was opened.
pub(super) fn open_frames(
    keys: &Keys,
    name: &str,
    opened: &Opened,
    bytes: &[u8],
) -> Result<Vec<u8>, RepoError> {
    let Header { key_id, key, frames, bytes: length, .. } = &opened.header;
    let data_key: PackKey =
        keys.open_data_pack_key(key_id, &key.clone().into()).map_err(|error| object::inside(name, error))?;
    let length = usize::try_from(*length).unwrap_or(usize::MAX);
    let mut content = Vec::with_capacity(length.min(LARGEST_FILE));
    let mut rest = bytes.get(opened.frames_at..).unwrap_or_default();
    for (at, sealed_bytes) in frames.iter().enumerate() {
        let (sealed, behind) =
            rest.split_at_checked(*sealed_bytes as usize).ok_or_else(|| damaged(name, "it is too short"))?;
        rest = behind;
        let number = number_of(at);
        let aad = frame_aad(keys, name, number, at + 1 == frames.len());
        let packed = data_key
            .open_in_place(&object::nonce(number.into()), &aad, sealed.to_vec())
            .ok_or_else(|| damaged(name, format!("frame {number} does not open: bytes were changed")))?;
        let expected = FRAME.min(length - content.len().min(length));
        let piece = zstd::bulk::decompress(&packed, expected)
            .ok()
            .filter(|piece| piece.len() == expected)
            .ok_or_else(|| damaged(name, format!("frame {number} does not have its length")))?;
        content.extend_from_slice(&piece);
    }
    match rest.is_empty() {
        true => Ok(content),
        false => Err(damaged(name, "it is too long")),
    }
}
