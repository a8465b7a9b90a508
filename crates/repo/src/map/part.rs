//! A part of an entry as the list of entries names it: a stream, a map, or a salted stream.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::codec;
use crate::stream::{ChunkKind, StreamRef};

/// One part of an entry's content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Part {
    /// Bytes one after the other.
    #[n(0)]
    Stream(#[n(0)] StreamRef),
    /// A set of items.
    #[n(1)]
    Map(#[n(0)] Box<MapRef>),
    /// Bytes one after the other, of which nothing can be guessed.
    #[n(2)]
    Salted(#[n(0)] SaltedRef),
}

impl Part {
    /// Raw length in bytes.
    pub fn bytes_raw(&self) -> u64 {
        match self {
            Part::Stream(stream) => stream.bytes_raw(),
            Part::Map(map) => map.bytes,
            Part::Salted(salted) => salted.content,
        }
    }

    /// Whether nobody can test guesses of its content without the reader secret.
    pub fn is_salted(&self) -> bool {
        matches!(self, Part::Salted(_))
    }

    /// The content's keyed hash in hex: within one repository and class, parts with equal digests
    /// have equal content; of a map, whatever the order of its items. None of a salted part: equal
    /// content has another id each time.
    pub fn digest(&self) -> Option<String> {
        Some(match self {
            Part::Salted(_) => return None,
            Part::Stream(stream) => stream.digest(),
            Part::Map(map) => {
                let more = map.more.as_ref().map(|more| more.root);
                let what = (map.kind, &map.facts, more);
                let whole = codec::encode(&(what, map.items, map.bytes, map.sum));
                crate::ids::hex(blake3::hash(&whole).as_bytes())
            }
        })
    }

    /// The streams that this part is or is described by.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamRef> {
        let (first, others) = match self {
            Part::Stream(stream) => (stream, [None, None]),
            Part::Map(map) => (&map.units, [Some(&map.keeps), map.more.as_ref()]),
            Part::Salted(salted) => (&salted.stream, [None, None]),
        };
        std::iter::once(first).chain(others.into_iter().flatten())
    }
}

/// Names a salted stream: each of its chunks begins with `SALT` random bytes, which are no
/// content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct SaltedRef {
    /// With the salts: whoever looks at chunks sees an ordinary stream.
    #[n(0)]
    pub(crate) stream: StreamRef,
    /// Raw length without them.
    #[n(1)]
    pub(crate) content: u64,
}

/// Random bytes in front of each chunk of a salted stream.
pub(crate) const SALT: usize = 32;

impl SaltedRef {
    /// Whether its lengths can be those of a salted stream.
    pub(crate) fn is_possible(&self) -> bool {
        let salts = self.stream.bytes.checked_sub(self.content);
        let is_data = self.stream.kind() == Some(ChunkKind::Data);
        is_data && salts.is_some_and(|salts| salts % SALT as u64 == 0 && (salts == 0) == (self.content == 0))
    }
}

/// Names a map and says what it must come to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct MapRef {
    /// The number of its items' kind.
    #[n(0)]
    pub(crate) kind: u8,
    /// Groups and which of their units are used: a metadata stream of [`Record`]s.
    #[n(1)]
    pub(crate) units: StreamRef,
    /// What is kept of each used unit; empty if all is.
    #[n(2)]
    pub(crate) keeps: StreamRef,
    /// What else the kind says of the map.
    #[n(3)]
    pub(crate) more: Option<StreamRef>,
    /// What fixes the form of the items, in the maker's terms. Items of other identities are never
    /// matched.
    #[n(4)]
    pub(crate) identity: ByteArray<16>,
    /// The mask domain: part of the chunks' ids and of the items' hashes. Empty for plain data.
    #[n(5)]
    pub(crate) domain: ByteVec,
    /// Where the items begin, in the maker's terms (rows: the first heap page).
    #[n(6)]
    pub(crate) from: u64,
    #[n(7)]
    pub(crate) items: u64,
    /// Raw bytes of all items.
    #[n(8)]
    pub(crate) bytes: u64,
    /// Sum modulo 2^128 of the items' hashes, little-endian.
    #[n(9)]
    pub(crate) sum: ByteArray<16>,
    /// The kind's own facts.
    #[n(10)]
    pub(crate) facts: ByteVec,
}

impl MapRef {
    /// What fixes the form of its items.
    pub fn identity(&self) -> [u8; 16] {
        self.identity.into()
    }

    /// Its mask domain.
    pub fn domain(&self) -> &[u8] {
        &self.domain
    }

    /// Where its items begin, in the maker's terms.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// How many items it holds.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The kind's own facts.
    pub fn facts(&self) -> &[u8] {
        &self.facts
    }
}
