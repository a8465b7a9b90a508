//! Streams: what an entry's content is made of, and the tree of chunk lists below it.

use minicbor::{Decode, Encode};

use crate::codec;
use crate::cut::LARGEST;
use crate::ids::ChunkId;

/// Who is allowed to read an entry's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Class {
    /// Needs the reader secret: rows, pages, WAL, definitions, settings.
    #[n(1)]
    Data,
    /// The writer secret is enough: lists, maps, statistics.
    #[n(2)]
    Metadata,
}

/// What a chunk is. Equal bytes of different kinds have different ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ChunkKind {
    Data = 1,
    Metadata = 2,
    /// A node of a stream's tree.
    Tree = 3,
    /// Hashes of a map's items.
    ItemList = 4,
    /// A group of a map's units.
    Group = 5,
}

impl ChunkKind {
    pub(crate) fn from_number(number: u8) -> Option<ChunkKind> {
        match number {
            1 => Some(ChunkKind::Data),
            2 => Some(ChunkKind::Metadata),
            3 => Some(ChunkKind::Tree),
            4 => Some(ChunkKind::ItemList),
            5 => Some(ChunkKind::Group),
            _ => None,
        }
    }

    /// Whether it is, or may be, a map, a group or an item list.
    pub(crate) fn describes_maps(self) -> bool {
        matches!(self, ChunkKind::Metadata | ChunkKind::ItemList | ChunkKind::Group)
    }

    /// Whether it is sealed for holders of the reader secret alone.
    pub(crate) fn is_data(self) -> bool {
        self == ChunkKind::Data
    }
}

impl From<Class> for ChunkKind {
    fn from(class: Class) -> ChunkKind {
        match class {
            Class::Data => ChunkKind::Data,
            Class::Metadata => ChunkKind::Metadata,
        }
    }
}

/// Names the content of a stream: the root of a tree of chunks. About 50 bytes, whatever the
/// stream's length.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct StreamRef {
    /// A chunk of the stream itself (level 0) or a tree node. All zero for an empty stream.
    #[n(0)]
    pub(crate) root: ChunkId,
    #[n(1)]
    pub(crate) level: u8,
    #[n(2)]
    pub(crate) class: ClassNumber,
    #[n(3)]
    pub(crate) bytes: u64,
}

/// [`Class`] as a hashable number.
pub(crate) type ClassNumber = u8;

impl StreamRef {
    /// Raw length in bytes.
    pub fn bytes_raw(&self) -> u64 {
        self.bytes
    }

    /// The content's keyed hash in hex: within one repository and class, equal content has equal
    /// digests.
    pub fn digest(&self) -> String {
        self.root.to_string()
    }

    pub(crate) fn kind(&self) -> Option<ChunkKind> {
        match self.class {
            1 => Some(ChunkKind::Data),
            2 => Some(ChunkKind::Metadata),
            _ => None,
        }
    }
}

/// One child of a tree node: a chunk of the stream, or a node one level below.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Child {
    #[n(0)]
    pub id: ChunkId,
    /// Raw bytes of the stream below it.
    #[n(1)]
    pub bytes: u64,
    /// Raw length of the chunk itself (of the node's encoding, above level 0).
    #[n(2)]
    pub raw_len: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Node {
    /// 1: the children are chunks of the stream.
    #[n(0)]
    pub level: u8,
    #[n(1)]
    pub children: Vec<Child>,
}

/// At most so many children in a node.
pub(crate) const FANOUT: usize = 1024;
/// From so many children on, a node ends at a child whose id says so: an insertion changes few
/// nodes.
pub(crate) const FANOUT_LEAST: usize = 256;
/// Deepest tree: far more than any stream needs (256^6 chunks).
pub(crate) const DEEPEST: u8 = 8;

impl Node {
    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Node, &'static str> {
        let node: Node = codec::decode(bytes)?;
        if node.children.is_empty() || node.children.len() > FANOUT || node.level == 0 || node.level > DEEPEST
        {
            return Err("a tree node has an impossible shape");
        }
        let wrong = |child: &Child| {
            child.raw_len == 0
                || child.raw_len as usize > LARGEST
                || (node.level == 1 && u64::from(child.raw_len) != child.bytes)
        };
        if node.children.iter().any(wrong) {
            return Err("a tree node names a chunk of an impossible length");
        }
        Ok(node)
    }

    /// Raw bytes of the stream below it; None if that is no number.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.bytes))
    }
}

/// The same above chunks of records, which are small: nodes are small, too.
const FANOUT_OF_RECORDS: usize = 16;

/// Whether a node of so many children ends behind the child with this id, above chunks of records.
pub(crate) fn node_of_records_ends(children: usize, last: &ChunkId) -> bool {
    children >= FANOUT || (children >= FANOUT_OF_RECORDS && last.second() & 0xf == 0)
}

/// Whether a node of so many children ends behind the child with this id.
pub(crate) fn node_ends(children: usize, last: &ChunkId) -> bool {
    children >= FANOUT || (children >= FANOUT_LEAST && last.second() & 0xff == 0)
}
