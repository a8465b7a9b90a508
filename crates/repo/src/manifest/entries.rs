//! The entries of a backup, and what one backup did for them.

use minicbor::{Decode, Encode};

use crate::map::Part;
use crate::object::damaged;
use crate::reader::ChunkReader;
use crate::stream::{ChunkKind, Class, StreamRef};
use crate::{RepoError, codec};

/// Longest stream of additions, or of the parts of one entry.
const LONGEST_STREAM: u64 = 1 << 30;
pub(crate) const LONGEST_PATH: usize = 4096;
/// The facts of an entry, and those of an addition.
const LONGEST_FACTS: usize = 64 << 10;
/// The encoding of parts that are in the entry itself.
pub(crate) const PARTS_HERE: usize = 16 << 10;
/// Raw bytes of an entry: 1 PiB, far above the largest table. A tree that repeats one chunk may
/// claim any length.
pub(crate) const LONGEST_ENTRY: u64 = 1 << 50;

/// One entry of a backup: what it is. What the backup did for it is its [`Addition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, unique in the backup.
    pub path: String,
    /// Who is allowed to read it.
    pub class: Class,
    /// Its content: these parts, one after the other.
    pub parts: Vec<Part>,
    /// Raw length of the content.
    pub bytes_raw: u64,
    /// Its maker's own facts.
    pub about: Vec<u8>,
}

/// What a backup did for one of its entries; nothing, for most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Addition {
    /// Of the entry.
    #[n(0)]
    pub path: String,
    /// Sealed bytes stored for it, which were nowhere before.
    #[n(1)]
    pub bytes: u64,
    /// Of each map among the entry's parts the items that no earlier map had, in the maker's
    /// counting; empty if that is 0 of all.
    #[n(2)]
    pub changed: Vec<u64>,
    /// Its maker's own facts.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub about: Vec<u8>,
}

impl Addition {
    pub(crate) fn is_nothing(&self) -> bool {
        self.bytes == 0 && self.changed.iter().all(|changed| *changed == 0) && self.about.is_empty()
    }
}

/// An entry as a sublist holds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Record {
    #[n(0)]
    pub path: String,
    #[n(1)]
    pub class: Class,
    #[n(2)]
    pub parts: Parts,
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub about: Vec<u8>,
}

/// Where the parts of an entry are.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Parts {
    #[n(0)]
    Here(#[n(0)] Vec<Part>),
    /// In a stream of their own: a sublist with them would be too large.
    #[n(1)]
    Apart(#[n(0)] StreamRef),
}

impl Parts {
    /// The stream that they are in, if they do.
    pub(crate) fn apart(&self) -> Option<&StreamRef> {
        match self {
            Parts::Here(_) => None,
            Parts::Apart(stream) => Some(stream),
        }
    }
}

impl Record {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.path.is_empty() || self.path.len() > LONGEST_PATH {
            return Err("the length of an entry's path");
        }
        if self.about.len() > LONGEST_FACTS {
            return Err("the length of an entry's facts");
        }
        match &self.parts {
            Parts::Here(parts) => bytes_of(parts).map(drop),
            Parts::Apart(stream) if stream.bytes > LONGEST_STREAM => Err("the number of an entry's parts"),
            Parts::Apart(_) => Ok(()),
        }
    }

    /// The entry, with its parts.
    pub(crate) fn read(self, reader: &ChunkReader<'_>) -> Result<Entry, RepoError> {
        let Record { path, class, parts, about } = self;
        let parts = match parts {
            Parts::Here(parts) => parts,
            Parts::Apart(stream) => {
                let bytes = read_stream(reader, &stream, &path)?;
                let mut parts = Vec::new();
                codec::decode_each(&bytes, |part: Part| {
                    parts.push(part);
                    Ok(())
                })
                .map_err(|what| damaged(format!("the parts of {path}"), what))?;
                parts
            }
        };
        let bytes_raw = bytes_of(&parts).map_err(|what| damaged(&path, what))?;
        Ok(Entry { path, class, parts, bytes_raw, about })
    }
}

/// Raw bytes of an entry of these parts.
pub(crate) fn bytes_of(parts: &[Part]) -> Result<u64, &'static str> {
    if parts.iter().any(|part| matches!(part, Part::Salted(salted) if !salted.is_possible())) {
        return Err("the length of a salted part");
    }
    let raw = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes_raw()));
    raw.filter(|raw| *raw <= LONGEST_ENTRY).ok_or("the length of an entry's content")
}

fn read_stream(reader: &ChunkReader<'_>, stream: &StreamRef, of: &str) -> Result<Vec<u8>, RepoError> {
    if stream.bytes > LONGEST_STREAM || stream.kind() != Some(ChunkKind::Metadata) {
        return Err(damaged(of, "its list of parts has an impossible length or class"));
    }
    let (mut bytes, mut stream) = (Vec::new(), reader.read(stream)?);
    while let Some(chunk) = stream.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The encoding of an addition.
pub(crate) fn encode_addition(addition: &Addition) -> Result<Vec<u8>, RepoError> {
    if addition.about.len() > LONGEST_FACTS {
        return Err(RepoError::TooLarge { what: "the length of an entry's facts".into() });
    }
    Ok(codec::encode(addition))
}

/// Additions out of the bytes of their stream, as these come.
#[derive(Default)]
pub(crate) struct AdditionDecoder {
    bytes: Vec<u8>,
    at: usize,
    last: Option<String>,
}

impl AdditionDecoder {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next one; None: its bytes have not come.
    pub(crate) fn next(&mut self) -> Result<Option<Addition>, &'static str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let mut decoder = minicbor::Decoder::new(rest);
        let addition: Addition = match decoder.decode() {
            Ok(addition) => addition,
            // The longest one has far less.
            Err(error) if error.is_end_of_input() && rest.len() < LONGEST_ADDITION => return Ok(None),
            Err(_) => return Err("it is not CBOR of the expected shape"),
        };
        let len = decoder.position();
        if rest.get(..len) != Some(codec::encode(&addition).as_slice()) {
            return Err("its CBOR is not canonical");
        }
        if addition.path.is_empty() || addition.path.len() > LONGEST_PATH {
            return Err("the length of an entry's path");
        }
        if addition.about.len() > LONGEST_FACTS {
            return Err("the length of an entry's facts");
        }
        if self.last.as_ref().is_some_and(|last| *last >= addition.path) {
            return Err("a path occurs twice");
        }
        self.at += len;
        self.last = Some(addition.path.clone());
        Ok(Some(addition))
    }

    /// Whether nothing is left over.
    pub(crate) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// One addition has at most so many bytes: 9 for each of 2^20 maps, and little more.
const LONGEST_ADDITION: usize = 16 << 20;

/// Reads additions one after the other.
pub struct Additions<'r> {
    stream: crate::reader::StreamReader<'r>,
    decoder: AdditionDecoder,
    is_over: bool,
}

impl<'r> Additions<'r> {
    pub(crate) fn new(reader: &'r ChunkReader<'r>, stream: &StreamRef) -> Result<Additions<'r>, RepoError> {
        if stream.bytes > LONGEST_STREAM || stream.kind() != Some(ChunkKind::Metadata) {
            return Err(damaged("what a backup added", "it has an impossible length or class"));
        }
        let stream = reader.read(stream)?;
        Ok(Additions { stream, decoder: AdditionDecoder::default(), is_over: false })
    }

    fn read(&mut self) -> Result<Option<Addition>, RepoError> {
        let wrong = |what: &str| damaged("what a backup added", what);
        loop {
            if let Some(addition) = self.decoder.next().map_err(wrong)? {
                return Ok(Some(addition));
            }
            match self.stream.next_chunk()? {
                Some(chunk) => self.decoder.feed(&chunk),
                None if self.decoder.is_done() => return Ok(None),
                None => return Err(wrong("it ends in the middle of a record")),
            }
        }
    }
}

impl Iterator for Additions<'_> {
    type Item = Result<Addition, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.read().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
