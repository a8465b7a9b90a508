//! [`References`] as bytes. One set of references has one form, and no other bytes are accepted.
//!
//! A number is LEB128 of at most 32 bits, in its shortest form. A rising list is the number of its
//! numbers, the first of them, and of each further one by how much it is above the one before,
//! less 1.
//!
//! | what | as |
//! |---|---|
//! | version | a byte, 1 |
//! | flags | a byte: 1 unknown (nothing else is set then, and nothing follows), 2 minimal, 4 full pages were off |
//! | tablespaces | a rising list |
//! | databases | how many; of each its tablespace and its oid; each above the one before |
//! | relations | how many pairs of tablespace and database; of each pair, above the one before, the two, and then its relations |
//! | relations of a pair | how many; of each its number, as in a rising list, a byte, and its forks |
//! | that byte | bit n: fork n follows; bit n + 4: all of fork n changed (its limit is 0), and it does not follow |
//! | a fork | its limit + 1, or 0 if it has none; a rising list of blocks in front of the limit |
//!
//! A limit + 1 has up to 33 bits. No list of relations is empty, and no relation is without a fork.

use super::heads::RelationFork;
use super::references::{Changed, FORKS, MOST_BLOCKS, MOST_FORKS, References};

const VERSION: u8 = 1;
const UNKNOWN: u8 = 1;
const MINIMAL: u8 = 2;
const FULL_PAGES_OFF: u8 = 4;

/// Bytes are not those of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferencesError {
    /// They have another form.
    #[error("read block references: they do not have the form that they have")]
    Form,
    /// They are of a newer program.
    #[error("read block references: their version is {version}, which is not known")]
    Version {
        /// Their version.
        version: u8,
    },
    /// They name more than any have.
    #[error("read block references: they name more blocks or relations than there can be")]
    TooMany,
}

impl References {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.flags()];
        if self.is_unknown {
            return out;
        }
        put_rising(self.tablespaces.iter().copied(), &mut out);
        put(self.databases.len() as u64, &mut out);
        for (tablespace, database) in &self.databases {
            put(u64::from(*tablespace), &mut out);
            put(u64::from(*database), &mut out);
        }
        let forks: Vec<_> = self.forks.iter().collect();
        let pairs = |(one, _): &(&RelationFork, &Changed), (other, _): &(&RelationFork, &Changed)| {
            (one.tablespace, one.database) == (other.tablespace, other.database)
        };
        put(forks.chunk_by(pairs).count() as u64, &mut out);
        for pair in forks.chunk_by(pairs) {
            put_pair(pair, &mut out);
        }
        out
    }

    fn flags(&self) -> u8 {
        if self.is_unknown {
            return UNKNOWN;
        }
        let minimal = if self.is_minimal { MINIMAL } else { 0 };
        minimal | if self.full_pages_off { FULL_PAGES_OFF } else { 0 }
    }

    /// From bytes.
    ///
    /// # Errors
    /// They are not those of references.
    pub fn decode(bytes: &[u8]) -> Result<References, ReferencesError> {
        let mut reader = Reader { rest: bytes, blocks: 0, things: 0 };
        let version = reader.byte()?;
        if version != VERSION {
            return Err(ReferencesError::Version { version });
        }
        let references = match reader.byte()? {
            UNKNOWN => References::unknown(),
            flags if flags & !(MINIMAL | FULL_PAGES_OFF) == 0 => {
                let (is_minimal, full_pages_off) = (flags & MINIMAL != 0, flags & FULL_PAGES_OFF != 0);
                reader.references(References { is_minimal, full_pages_off, ..References::default() })?
            }
            _ => return Err(ReferencesError::Form),
        };
        reader.rest.is_empty().then_some(references).ok_or(ReferencesError::Form)
    }
}

/// A pair of tablespace and database.
fn put_pair(forks: &[(&RelationFork, &Changed)], out: &mut Vec<u8>) {
    let Some((first, _)) = forks.first() else { return };
    put(u64::from(first.tablespace), out);
    put(u64::from(first.database), out);
    let relations = || forks.chunk_by(|(one, _), (other, _)| one.relation == other.relation);
    put(relations().count() as u64, out);
    let mut before = None;
    for relation in relations() {
        let Some((fork, _)) = relation.first() else { continue };
        put_above(&mut before, fork.relation, out);
        put_forks(relation, out);
    }
}

/// The forks of a relation.
fn put_forks(forks: &[(&RelationFork, &Changed)], out: &mut Vec<u8>) {
    let bit = |(fork, changed): &(&RelationFork, &Changed)| {
        let shift = fork.fork % FORKS + if changed.limit == Some(0) { FORKS } else { 0 };
        1u8 << shift
    };
    out.push(forks.iter().map(bit).fold(0, |byte, bit| byte | bit));
    for (_, changed) in forks.iter().filter(|(_, changed)| changed.limit != Some(0)) {
        put(changed.limit.map_or(0, |limit| u64::from(limit) + 1), out);
        put_rising(changed.blocks.iter().copied(), out);
    }
}

fn put_rising(numbers: impl ExactSizeIterator<Item = u32>, out: &mut Vec<u8>) {
    put(numbers.len() as u64, out);
    let mut before = None;
    numbers.for_each(|number| put_above(&mut before, number, out));
}

/// A number above the one before.
fn put_above(before: &mut Option<u32>, number: u32, out: &mut Vec<u8>) {
    let gap = before.map_or(number, |before| number.saturating_sub(before).saturating_sub(1));
    put(u64::from(gap), out);
    *before = Some(number);
}

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'b> {
    rest: &'b [u8],
    blocks: usize,
    /// Forks, databases and tablespaces.
    things: usize,
}

impl Reader<'_> {
    fn references(&mut self, mut found: References) -> Result<References, ReferencesError> {
        let mut before = None;
        for _ in 0..self.count()? {
            found.tablespaces.insert(self.above(&mut before)?);
            self.count_thing()?;
        }
        let mut before = None;
        for _ in 0..self.count()? {
            found.databases.insert(self.pair_above(&mut before)?);
            self.count_thing()?;
        }
        let mut before = None;
        for _ in 0..self.count()? {
            let (tablespace, database) = self.pair_above(&mut before)?;
            self.relations(RelationFork { tablespace, database, relation: 0, fork: 0 }, &mut found)?;
        }
        Ok(found)
    }

    /// The relations of a pair of tablespace and database.
    fn relations(&mut self, of: RelationFork, found: &mut References) -> Result<(), ReferencesError> {
        let count = self.count()?;
        let mut before = None;
        for _ in 0..count {
            let of = RelationFork { relation: self.above(&mut before)?, ..of };
            let (named, whole) = match self.byte()? {
                0 => return Err(ReferencesError::Form),
                byte => (byte & 0x0F, byte >> FORKS),
            };
            if named & whole != 0 {
                return Err(ReferencesError::Form);
            }
            for fork in (0..FORKS).filter(|fork| (named | whole) >> fork & 1 != 0) {
                self.count_thing()?;
                let is_whole = whole >> fork & 1 != 0;
                let changed =
                    if is_whole { Changed { limit: Some(0), blocks: Vec::new() } } else { self.fork()? };
                found.forks.insert(RelationFork { fork, ..of }, changed);
            }
        }
        if count == 0 { Err(ReferencesError::Form) } else { Ok(()) }
    }

    fn fork(&mut self) -> Result<Changed, ReferencesError> {
        let limit = match self.number(33)? {
            0 => None,
            more => Some(u32::try_from(more - 1).map_err(|_| ReferencesError::Form)?),
        };
        let count = self.count()?;
        self.blocks += count;
        if self.blocks > MOST_BLOCKS {
            return Err(ReferencesError::TooMany);
        }
        let mut blocks = Vec::with_capacity(count);
        let mut before = None;
        for _ in 0..count {
            blocks.push(self.above(&mut before)?);
        }
        let is_behind = limit.zip(blocks.last()).is_some_and(|(limit, last)| limit <= *last);
        let is_empty = limit.is_none() && blocks.is_empty();
        if is_behind || is_empty || limit == Some(0) {
            return Err(ReferencesError::Form);
        }
        Ok(Changed { limit, blocks })
    }

    /// How many things follow. Each takes a byte at least, so it asks for no more memory than the
    /// bytes took.
    fn count(&mut self) -> Result<usize, ReferencesError> {
        let count = usize::try_from(self.number(32)?).map_err(|_| ReferencesError::Form)?;
        (count <= self.rest.len()).then_some(count).ok_or(ReferencesError::Form)
    }

    fn count_thing(&mut self) -> Result<(), ReferencesError> {
        self.things += 1;
        (self.things <= MOST_FORKS).then_some(()).ok_or(ReferencesError::TooMany)
    }

    fn above(&mut self, before: &mut Option<u32>) -> Result<u32, ReferencesError> {
        let gap = self.number(32)?;
        let number = before.map_or(gap, |before| u64::from(before) + 1 + gap);
        let number = u32::try_from(number).map_err(|_| ReferencesError::Form)?;
        *before = Some(number);
        Ok(number)
    }

    fn pair_above(&mut self, before: &mut Option<(u32, u32)>) -> Result<(u32, u32), ReferencesError> {
        let mut half = || u32::try_from(self.number(32)?).map_err(|_| ReferencesError::Form);
        let pair = (half()?, half()?);
        if before.is_some_and(|before| before >= pair) {
            return Err(ReferencesError::Form);
        }
        *before = Some(pair);
        Ok(pair)
    }

    fn byte(&mut self) -> Result<u8, ReferencesError> {
        let (byte, rest) = self.rest.split_first().ok_or(ReferencesError::Form)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn number(&mut self, bits: u32) -> Result<u64, ReferencesError> {
        let mut number = 0u64;
        for place in 0..5 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                let is_shortest = place == 0 || byte != 0;
                let is_number = is_shortest && number >> bits == 0;
                return is_number.then_some(number).ok_or(ReferencesError::Form);
            }
        }
        Err(ReferencesError::Form)
    }
}
