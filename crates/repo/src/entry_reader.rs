//! Reading entries: their parts one after the other, streams, maps and salted streams alike.

use std::collections::VecDeque;
use std::ops::Range;

use crate::RepoError;
use crate::manifest::Entry;
use crate::map::{ItemReader, Part, SALT};
use crate::object::damaged;
use crate::reader::{ChunkReader, DataReader, StreamReader};

impl DataReader<'_> {
    /// Begins to read a part of this entry.
    pub fn read_part(&self, entry: &Entry, number: usize) -> Result<PartReader<'_>, RepoError> {
        let label = format!("part {} of {}", number + 1, entry.path);
        let part = entry.parts.get(number).ok_or_else(|| damaged(&label, "there is no such part"))?;
        PartReader::new(self.chunks(), part, label)
    }

    /// Begins to read an entry: all its parts, one after the other.
    pub fn read(&self, entry: &Entry) -> EntryReader<'_> {
        EntryReader::new(self.chunks(), entry, 0..entry.parts.len())
    }

    /// Begins to read some parts of an entry.
    pub fn read_parts(&self, entry: &Entry, parts: Range<usize>) -> EntryReader<'_> {
        EntryReader::new(self.chunks(), entry, parts)
    }

    /// The whole content of an entry.
    ///
    /// # Errors
    /// [`RepoError::TooLarge`] if it is, or says that it is, longer than `most` bytes: it is held
    /// in memory.
    pub fn read_whole(&self, entry: &Entry, most: u64) -> Result<Vec<u8>, RepoError> {
        let too_large = || RepoError::TooLarge { what: format!("the length of {}", entry.path) };
        let said = entry.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes_raw()));
        if said.is_none_or(|said| said > most) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut content = self.read(entry);
        while let Some(chunk) = content.next_chunk()? {
            if (bytes.len() + chunk.len()) as u64 > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Reads one part. Memory: as `StreamReader`; of a map also its description.
pub struct PartReader<'r> {
    inner: Inner<'r>,
    label: String,
}

enum Inner<'r> {
    Stream(StreamReader<'r>),
    Map(Box<ItemReader<'r>>),
    /// And how much content is to come.
    Salted(StreamReader<'r>, u64),
}

impl<'r> PartReader<'r> {
    /// `label` names the part in errors about a map's content.
    pub(crate) fn new(
        reader: &'r ChunkReader<'r>,
        part: &Part,
        label: String,
    ) -> Result<PartReader<'r>, RepoError> {
        let inner = match part {
            Part::Stream(stream) => Inner::Stream(reader.read(stream)?),
            Part::Map(map) => Inner::Map(Box::new(ItemReader::new(reader, map, label.clone(), None)?)),
            Part::Salted(salted) => Inner::Salted(reader.read(&salted.stream)?, salted.content),
        };
        Ok(PartReader { inner, label })
    }

    /// The next raw bytes, verified; None at the end, where a map's number of items, bytes and sum
    /// are right. Of a map never empty, and whole items unless one item is longer than a chunk.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, RepoError> {
        match &mut self.inner {
            Inner::Stream(stream) => stream.next_chunk(),
            Inner::Map(map) => Ok(map.next_items()?.map(|items| items.bytes)),
            Inner::Salted(stream, left) => {
                let wrong = || damaged(&self.label, "its salted chunks are not of its length");
                let Some(mut chunk) = stream.next_chunk()? else {
                    return if *left == 0 { Ok(None) } else { Err(wrong()) };
                };
                let content = chunk.len().checked_sub(SALT).filter(|content| *content > 0);
                let rest = content.and_then(|content| left.checked_sub(content as u64));
                *left = rest.ok_or_else(wrong)?;
                chunk.drain(..SALT);
                Ok(Some(chunk))
            }
        }
    }

    fn stream(&mut self) -> &mut StreamReader<'r> {
        match &mut self.inner {
            Inner::Stream(stream) | Inner::Salted(stream, _) => stream,
            Inner::Map(map) => map.chunks(),
        }
    }

    fn start(mut self) -> Result<PartReader<'r>, RepoError> {
        self.stream().start()?;
        Ok(self)
    }
}

/// Reads all parts of an entry, one after the other.
pub struct EntryReader<'r> {
    reader: &'r ChunkReader<'r>,
    path: String,
    parts: VecDeque<Part>,
    number: usize,
    open: Option<PartReader<'r>>,
    /// Behind a network: the part after the open one, whose first bytes are under way. Its error
    /// waits for its turn.
    next: Option<Result<PartReader<'r>, RepoError>>,
}

impl<'r> EntryReader<'r> {
    pub(crate) fn new(reader: &'r ChunkReader<'r>, entry: &Entry, parts: Range<usize>) -> EntryReader<'r> {
        let (path, number) = (entry.path.clone(), parts.start);
        let parts = entry.parts.get(parts).unwrap_or_default().iter().cloned().collect();
        EntryReader { reader, path, parts, number, open: None, next: None }
    }

    /// The next raw bytes, verified; None at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, RepoError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(chunk) = open.next_chunk()? {
                    if self.next.is_none() && open.stream().is_ending() {
                        self.next = self.begin_next().map(|next| next.and_then(PartReader::start));
                    }
                    return Ok(Some(chunk));
                }
                self.open = None;
            }
            let Some(next) = self.next.take().or_else(|| self.begin_next()) else { return Ok(None) };
            self.open = Some(next?);
        }
    }

    fn begin_next(&mut self) -> Option<Result<PartReader<'r>, RepoError>> {
        let part = self.parts.pop_front()?;
        self.number += 1;
        let label = format!("part {} of {}", self.number, self.path);
        Some(PartReader::new(self.reader, &part, label))
    }
}
