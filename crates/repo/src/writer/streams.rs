//! The writer of one stream: cuts, names and deduplicates in the caller's thread; only new chunks
//! go on to the sealers.

use std::borrow::Cow;
use std::sync::Arc;

use super::entries::{Added, PartSummary};
use super::session::{Lane, Session};
use crate::RepoError;
use crate::cut::{Cut, WINDOW, ends_behind};
use crate::ids::{ChunkId, Hash};
use crate::map::{Part, SALT, SaltedRef};
use crate::random;
use crate::stream::{Child, ChunkKind, Class, Node, StreamRef, node_ends, node_of_records_ends};

/// Bytes are collected up to this before they are cut: the rest that is moved to the front stays
/// small compared with it.
const COLLECT: usize = 4 * WINDOW;

/// Writes one stream. Dropping it unfinished leaves chunks that nothing uses, and is no error.
pub struct StreamWriter<'a> {
    session: &'a Session<'a>,
    lane: Lane<'a>,
    class: Class,
    cut: Cut,
    id_key: [u8; 32],
    buffer: Vec<u8>,
    /// Cutting is tried again when the buffer holds so much.
    wanted: usize,
    /// Where the record that is being written began: how many bytes of the stream came before.
    record: u64,
    bytes: u64,
    /// Each chunk begins with a salt. All salts so far have so many bytes.
    salts: Option<u64>,
    /// Children that no node holds yet, by level.
    levels: Vec<Vec<Child>>,
    added: Arc<Added>,
}

impl<'a> StreamWriter<'a> {
    pub(crate) fn new(session: &'a Session<'a>, class: Class, cut: Cut) -> StreamWriter<'a> {
        StreamWriter {
            session,
            lane: session.lane(),
            class,
            cut,
            id_key: session.id_key(class.into(), session.domain_of(class.into())),
            buffer: Vec::new(),
            wanted: COLLECT,
            record: 0,
            bytes: 0,
            salts: None,
            levels: vec![Vec::new()],
            added: Arc::default(),
        }
    }

    /// The same for data that nobody without the reader secret may guess: each chunk begins with
    /// random bytes, so that its id is another one each time; where it is cut, and how long it is
    /// when it is sealed, tells nothing but about how long all of it is.
    pub(crate) fn salted(session: &'a Session<'a>) -> StreamWriter<'a> {
        StreamWriter { salts: Some(0), ..StreamWriter::new(session, Class::Data, Cut::Blindly) }
    }

    /// Appends bytes to the stream. Waits while the sealers are behind. After an error the backup
    /// fails.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), RepoError> {
        // Rows come one by one, and most of them only lengthen the buffer.
        if self.buffer.len() + bytes.len() < self.wanted {
            self.bytes += bytes.len() as u64;
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_and_cut(bytes)
    }

    fn write_and_cut(&mut self, mut bytes: &[u8]) -> Result<(), RepoError> {
        self.session.check()?;
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            // A single large write is taken in pieces, so that memory stays bounded.
            let room = self.wanted.saturating_sub(self.buffer.len()).max(1);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= self.wanted {
                self.cut(false)?;
            }
        }
        Ok(())
    }

    /// Tells that a record of this name ends here. A stream of [`Cut::Records`] is cut behind some
    /// of them: which, only their names and lengths say.
    pub fn end_record(&mut self, name: &[u8]) -> Result<(), RepoError> {
        let len = usize::try_from(self.bytes - self.record).unwrap_or(usize::MAX);
        self.record = self.bytes;
        let hash = blake3::keyed_hash(&self.id_key, name);
        let hash = hash.as_bytes().first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
        if self.cut == Cut::Records && ends_behind(self.buffer.len(), len, hash) {
            self.cut_here()?;
        }
        Ok(())
    }

    /// Cuts where nothing was cut yet.
    pub(crate) fn cut_here(&mut self) -> Result<(), RepoError> {
        self.cut(true)
    }

    fn cut(&mut self, ended: bool) -> Result<(), RepoError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while let Some(rest) = buffer.get(at..).filter(|rest| !rest.is_empty())
            && let Some(len) = self.session.cutter().next(self.cut, rest, ended)
        {
            let chunk = rest.get(..len).unwrap_or(rest);
            self.add_chunk(chunk)?;
            at += chunk.len();
        }
        self.buffer = buffer;
        self.buffer.drain(..at);
        // A row that is longer than the buffer needs more of it.
        self.wanted = if at == 0 { self.buffer.len() * 2 } else { COLLECT }.max(COLLECT);
        Ok(())
    }

    fn add_chunk(&mut self, raw: &[u8]) -> Result<(), RepoError> {
        let (id, len) = match &mut self.salts {
            None => (self.store(self.class.into(), &self.id_key, raw)?, raw.len()),
            Some(salts) => {
                *salts += SALT as u64;
                let salted = [&random::bytes::<SALT>()?, raw].concat();
                let len = salted.len();
                (self.lane.store_padded(self.session.domain(), &self.id_key, salted, &self.added)?, len)
            }
        };
        let raw_len = u32::try_from(len).map_err(|_| RepoError::TooLarge { what: "a chunk".into() })?;
        self.add_child(0, Child { id, bytes: u64::from(raw_len), raw_len })
    }

    fn store(&self, kind: ChunkKind, id_key: &[u8; 32], raw: &[u8]) -> Result<ChunkId, RepoError> {
        self.lane.store(kind, self.session.domain_of(kind), id_key, Cow::Borrowed(raw), &self.added)
    }

    fn add_child(&mut self, level: usize, child: Child) -> Result<(), RepoError> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let id = child.id;
        let Some(children) = self.levels.get_mut(level) else { return Ok(()) };
        children.push(child);
        let ends = if self.cut == Cut::Records { node_of_records_ends } else { node_ends };
        if ends(children.len(), &id) { self.close_node(level) } else { Ok(()) }
    }

    /// Makes a node of the children that wait at a level.
    fn close_node(&mut self, level: usize) -> Result<(), RepoError> {
        let Some(children) = self.levels.get_mut(level).map(std::mem::take) else { return Ok(()) };
        let bytes = children.iter().map(|child| child.bytes).sum();
        let node = Node { level: u8::try_from(level + 1).unwrap_or(u8::MAX), children };
        let raw = node.encode();
        let id = self.store(ChunkKind::Tree, &self.session.id_key(ChunkKind::Tree, &[]), &raw)?;
        let raw_len =
            u32::try_from(raw.len()).map_err(|_| RepoError::TooLarge { what: "a tree node".into() })?;
        self.add_child(level + 1, Child { id, bytes, raw_len })
    }

    /// Ends the stream. Its chunks may still be on their way; the commit waits for them.
    pub fn finish(self) -> Result<PartSummary, RepoError> {
        let (content, is_salted) = (self.bytes, self.salts.is_some());
        let (stream, added) = self.finish_stream()?;
        let part = match is_salted {
            true => Part::Salted(SaltedRef { stream, content }),
            false => Part::Stream(stream),
        };
        Ok(PartSummary::new(part, vec![added]))
    }

    /// The stream itself, and where the bytes stored for it are counted.
    pub(crate) fn finish_stream(mut self) -> Result<(StreamRef, Arc<Added>), RepoError> {
        self.session.check()?;
        self.cut(true)?;
        let mut level = 0;
        let (root, height) = loop {
            let above = self.levels.iter().skip(level + 1).any(|children| !children.is_empty());
            match self.levels.get(level).map(Vec::as_slice) {
                None => break (Hash([0; 32]), 0),
                Some([only]) if !above => break (only.id, level),
                Some([]) => {}
                Some(_) => self.close_node(level)?,
            }
            level += 1;
        };
        let stream = StreamRef {
            root,
            level: u8::try_from(height).unwrap_or(u8::MAX),
            class: ChunkKind::from(self.class) as u8,
            bytes: self.bytes + self.salts.unwrap_or(0),
        };
        Ok((stream, self.added))
    }
}
