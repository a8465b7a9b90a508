//! The list of a backup's entries: a tree of sublists (FORMAT.md, section 6).
//!
//! A change of one entry changes one sublist and the nodes above it; a reader finds one path by the
//! root and one node of each level. Nobody holds the whole list: a writer builds it from sorted
//! entries ([`ListBuilder`]), a reader walks it sublist by sublist ([`ListReader`]).

use std::collections::VecDeque;

use minicbor::{Decode, Encode};

use super::entries::{LONGEST_PATH, Record};
use crate::ids::{ChunkId, Hash};
use crate::object::damaged;
use crate::reader::{ChunkReader, StreamReader};
use crate::stream::{Child, ChunkKind};
use crate::{RepoError, codec};

pub(crate) const MOST_ENTRIES: u64 = 1 << 26;
/// Items of a sublist or node.
const MOST_ITEMS: usize = 256;
/// What is read of one at most.
const LARGEST: u32 = 512 << 10;
/// The highest level of a node.
const DEEPEST: u8 = 7;

/// A writer ends a sublist from here on behind a path that says so.
const LEAST_ENTRIES: usize = 16;
/// A sublist ends behind so many bytes.
const FULL_LEAF: usize = 64 << 10;
/// The same of nodes.
const LEAST_CHILDREN: usize = 64;
const FULL_NODE: usize = 128 << 10;
/// One path of so many says so: of a sublist, which one changed entry stores again, and of a node.
const CUTS_OF_ENTRIES: u64 = 32;
const CUTS_OF_CHILDREN: u64 = 64;

/// Names a list of entries.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ListRef {
    #[n(0)]
    pub root: ChunkId,
    #[n(1)]
    pub level: u8,
    #[n(2)]
    pub raw_len: u32,
}

impl ListRef {
    /// The root as a chunk; None if the list is empty.
    pub(crate) fn child(&self) -> Option<Child> {
        let root = Child { id: self.root, bytes: u64::from(self.raw_len), raw_len: self.raw_len };
        (self.raw_len != 0).then_some(root)
    }
}

/// One child of a node: a sublist, or a node one level below.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Sub {
    /// The first path below it.
    #[n(0)]
    pub first: String,
    #[n(1)]
    pub id: ChunkId,
    #[n(2)]
    pub raw_len: u32,
    /// Entries below it.
    #[n(3)]
    pub entries: u64,
}

impl Sub {
    pub(crate) fn child(&self) -> Child {
        Child { id: self.id, bytes: u64::from(self.raw_len), raw_len: self.raw_len }
    }
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Leaf {
    #[n(0)]
    level: u8,
    #[n(1)]
    entries: Vec<Record>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Node {
    #[n(0)]
    level: u8,
    #[n(1)]
    children: Vec<Sub>,
}

/// The records of a sublist.
pub(crate) fn decode_leaf(bytes: &[u8]) -> Result<Vec<Record>, &'static str> {
    let leaf: Leaf = codec::decode(bytes)?;
    if leaf.level != 0 || leaf.entries.is_empty() || leaf.entries.len() > MOST_ITEMS {
        return Err("a sublist has an impossible shape");
    }
    leaf.entries.iter().try_for_each(Record::check)?;
    if leaf.entries.iter().zip(leaf.entries.iter().skip(1)).any(|(a, b)| a.path >= b.path) {
        return Err("a path occurs twice");
    }
    Ok(leaf.entries)
}

/// The children of a node of this level.
pub(crate) fn decode_node(bytes: &[u8], level: u8) -> Result<Vec<Sub>, &'static str> {
    let node: Node = codec::decode(bytes)?;
    if node.level != level || level == 0 || node.children.is_empty() || node.children.len() > MOST_ITEMS {
        return Err("a node of the list has an impossible shape");
    }
    let is_wrong = |sub: &Sub| {
        sub.first.is_empty()
            || sub.first.len() > LONGEST_PATH
            || !(1..=LARGEST).contains(&sub.raw_len)
            || !(1..=MOST_ENTRIES).contains(&sub.entries)
    };
    if node.children.iter().any(is_wrong) {
        return Err("a node of the list names an impossible sublist");
    }
    if node.children.iter().zip(node.children.iter().skip(1)).any(|(a, b)| a.first >= b.first) {
        return Err("a path occurs twice");
    }
    Ok(node.children)
}

/// Whether a sublist (level 0) or node ends behind the item with this path.
fn cuts(path: &str, level: usize) -> bool {
    let cuts = if level == 0 { CUTS_OF_ENTRIES } else { CUTS_OF_CHILDREN };
    (Hash::of(path.as_bytes()).prefix() >> (8 * level.min(7))).is_multiple_of(cuts)
}

/// An array of two, as its items' encodings are put together.
fn array(level: u8, items: usize, encoded: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len() + 8);
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    // Writing into a Vec cannot fail.
    let _ = encoder.array(2).and_then(|encoder| encoder.u8(level)?.array(items as u64).map(drop));
    bytes.extend_from_slice(encoded);
    bytes
}

/// Children of one level that no node holds yet.
#[derive(Default)]
struct Level {
    waiting: Vec<(Sub, usize)>,
    bytes: usize,
    /// They are more than one node holds: some nodes have been made.
    is_cut: bool,
}

/// Builds a list from entries that come sorted; `store` takes the raw bytes of each sublist and
/// node.
pub(crate) struct ListBuilder<S> {
    store: S,
    leaf: Vec<u8>,
    in_leaf: usize,
    first: String,
    last: Option<String>,
    entries: u64,
    levels: Vec<Level>,
}

impl<S: FnMut(Vec<u8>) -> Result<ChunkId, RepoError>> ListBuilder<S> {
    pub(crate) fn new(store: S) -> ListBuilder<S> {
        ListBuilder {
            store,
            leaf: Vec::new(),
            in_leaf: 0,
            first: String::new(),
            last: None,
            entries: 0,
            levels: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<(), RepoError> {
        let too_large = |what: &str| RepoError::TooLarge { what: what.into() };
        record.check().map_err(too_large)?;
        if self.last.as_ref().is_some_and(|last| *last >= record.path) {
            return Err(too_large("a path occurs twice"));
        }
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(too_large("the number of entries"));
        }
        if self.in_leaf == 0 {
            self.first.clone_from(&record.path);
        }
        self.leaf.extend_from_slice(&codec::encode(record));
        self.in_leaf += 1;
        self.last = Some(record.path.clone());
        let is_full = self.in_leaf >= MOST_ITEMS || self.leaf.len() >= FULL_LEAF;
        if is_full || (self.in_leaf >= LEAST_ENTRIES && cuts(&record.path, 0)) {
            self.end_leaf()?;
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<(), RepoError> {
        if self.in_leaf == 0 {
            return Ok(());
        }
        let raw = array(0, self.in_leaf, &self.leaf);
        let sub = self.stored(raw, self.first.clone(), self.in_leaf as u64)?;
        self.leaf.clear();
        self.in_leaf = 0;
        self.add_sub(0, sub)
    }

    fn stored(&mut self, raw: Vec<u8>, first: String, entries: u64) -> Result<Sub, RepoError> {
        let raw_len = u32::try_from(raw.len()).ok().filter(|len| *len <= LARGEST);
        let raw_len = raw_len.ok_or_else(|| RepoError::TooLarge { what: "a list of entries".into() })?;
        Ok(Sub { first, id: (self.store)(raw)?, raw_len, entries })
    }

    /// Adds a node of this level to those that wait to be in one.
    fn add_sub(&mut self, at: usize, sub: Sub) -> Result<(), RepoError> {
        if self.levels.len() <= at {
            self.levels.push(Level::default());
        }
        let Some(level) = self.levels.get_mut(at) else { return Ok(()) };
        let len = codec::encode(&sub).len();
        let ends = |level: &Level, sub: &Sub| {
            level.waiting.len() >= MOST_ITEMS
                || level.bytes >= FULL_NODE
                || (level.waiting.len() >= LEAST_CHILDREN && cuts(&sub.first, at + 1))
        };
        level.bytes += len;
        if level.is_cut {
            level.waiting.push((sub.clone(), len));
            return if ends(level, &sub) { self.end_node(at) } else { Ok(()) };
        }
        level.waiting.push((sub, len));
        // As long as they fit, one root holds them all: one get less for every reader.
        if level.waiting.len() <= MOST_ITEMS && level.bytes <= FULL_NODE {
            return Ok(());
        }
        level.is_cut = true;
        level.bytes = 0;
        for (sub, _) in std::mem::take(&mut level.waiting) {
            self.add_sub(at, sub)?;
        }
        Ok(())
    }

    /// Makes a node of what waits below it.
    fn end_node(&mut self, at: usize) -> Result<(), RepoError> {
        let Some(level) = self.levels.get_mut(at) else { return Ok(()) };
        level.bytes = 0;
        let waiting = std::mem::take(&mut level.waiting);
        let node = self.node(at, waiting)?;
        self.add_sub(at + 1, node)
    }

    fn node(&mut self, at: usize, children: Vec<(Sub, usize)>) -> Result<Sub, RepoError> {
        let level = u8::try_from(at + 1).ok().filter(|level| *level <= DEEPEST);
        let level = level.ok_or_else(|| RepoError::TooLarge { what: "a list of entries".into() })?;
        let first = children.first().map(|(sub, _)| sub.first.clone()).unwrap_or_default();
        let entries = children.iter().map(|(sub, _)| sub.entries).sum();
        let encoded: Vec<u8> = children.iter().flat_map(|(sub, _)| codec::encode(sub)).collect();
        self.stored(array(level, children.len(), &encoded), first, entries)
    }

    /// The list, and how many entries it has.
    pub(crate) fn finish(mut self) -> Result<(ListRef, u64), RepoError> {
        self.end_leaf()?;
        let mut at = 0;
        let (root, level) = loop {
            let Some(level) = self.levels.get_mut(at) else {
                return Ok((ListRef { root: Hash([0; 32]), level: 0, raw_len: 0 }, 0));
            };
            if level.is_cut {
                if !level.waiting.is_empty() {
                    self.end_node(at)?;
                }
                at += 1;
                continue;
            }
            let mut waiting = std::mem::take(&mut level.waiting);
            break match waiting.pop() {
                Some((only, _)) if waiting.is_empty() => (only, at),
                Some(last) => {
                    waiting.push(last);
                    (self.node(at, waiting)?, at + 1)
                }
                None => return Err(RepoError::TooLarge { what: "a list of entries".into() }),
            };
        };
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        Ok((ListRef { root: root.id, level, raw_len: root.raw_len }, self.entries))
    }
}

/// A list that was opened: its root is in memory, and good.
#[derive(Clone, Debug)]
pub(crate) struct OpenList {
    /// Names it in errors.
    name: String,
    level: u8,
    root: Root,
    /// The root itself.
    pub sub: Option<Sub>,
}

#[derive(Clone, Debug)]
enum Root {
    Leaf(Vec<Record>),
    Node(Vec<Sub>),
}

impl OpenList {
    /// Reads the root of a list of so many entries.
    pub(crate) fn open(
        reader: &ChunkReader<'_>,
        list: &ListRef,
        entries: u64,
        name: String,
    ) -> Result<OpenList, RepoError> {
        let wrong = |what: &str| damaged(&name, what);
        if list.raw_len == 0 && list.root == Hash([0; 32]) && list.level == 0 && entries == 0 {
            return Ok(OpenList { name, level: 0, root: Root::Leaf(Vec::new()), sub: None });
        }
        if list.level > DEEPEST || !(1..=LARGEST).contains(&list.raw_len) {
            return Err(wrong("it has an impossible shape"));
        }
        let mut sub = Sub { first: String::new(), id: list.root, raw_len: list.raw_len, entries };
        let raw = reader.fetch(&sub.child(), ChunkKind::Metadata)?;
        let (root, first, sum) = match list.level {
            0 => {
                let records = decode_leaf(&raw).map_err(wrong)?;
                let (first, sum) = (records.first().map(|record| record.path.clone()), records.len() as u64);
                (Root::Leaf(records), first, sum)
            }
            level => {
                let subs = decode_node(&raw, level).map_err(wrong)?;
                let sum = subs.iter().map(|sub| sub.entries).sum();
                let first = subs.first().map(|sub| sub.first.clone());
                (Root::Node(subs), first, sum)
            }
        };
        if sum != entries {
            return Err(wrong("it does not have as many entries as the manifest says"));
        }
        sub.first = first.unwrap_or_default();
        Ok(OpenList { name, level: list.level, root, sub: Some(sub) })
    }

    fn wrong(&self, what: &str) -> RepoError {
        damaged(&self.name, what)
    }

    /// The entry of a path.
    pub(crate) fn find(&self, reader: &ChunkReader<'_>, path: &str) -> Result<Option<Record>, RepoError> {
        let (mut level, mut subs) = match &self.root {
            Root::Leaf(records) => return Ok(find_in(records.clone(), path)),
            Root::Node(subs) => (self.level, subs.clone()),
        };
        loop {
            let behind = subs.partition_point(|sub| sub.first.as_str() <= path);
            let Some(sub) = behind.checked_sub(1).and_then(|at| subs.get(at)) else { return Ok(None) };
            let raw = reader.fetch(&sub.child(), ChunkKind::Metadata)?;
            level -= 1;
            if level == 0 {
                return Ok(find_in(self.leaf(sub, &raw)?, path));
            }
            subs = self.node(sub, level, &raw)?;
        }
    }

    fn node(&self, sub: &Sub, level: u8, raw: &[u8]) -> Result<Vec<Sub>, RepoError> {
        let subs = decode_node(raw, level).map_err(|what| self.wrong(what))?;
        let sum: u64 = subs.iter().map(|sub| sub.entries).sum();
        if subs.first().map(|sub| &sub.first) != Some(&sub.first) || sum != sub.entries {
            return Err(self.wrong("a node is not what its parent says"));
        }
        Ok(subs)
    }

    fn leaf(&self, sub: &Sub, raw: &[u8]) -> Result<Vec<Record>, RepoError> {
        let records = decode_leaf(raw).map_err(|what| self.wrong(what))?;
        if records.first().map(|record| &record.path) != Some(&sub.first)
            || records.len() as u64 != sub.entries
        {
            return Err(self.wrong("a sublist is not what its parent says"));
        }
        Ok(records)
    }
}

fn find_in(records: Vec<Record>, path: &str) -> Option<Record> {
    records.into_iter().find(|record| record.path == path)
}

/// Walks a list, or what of it lies below one prefix, in the order of paths.
pub(crate) struct ListReader<'r> {
    reader: &'r ChunkReader<'r>,
    list: &'r OpenList,
    prefix: String,
    /// Nodes whose turn comes: their level, and what is left of their children.
    stack: Vec<(u8, VecDeque<Sub>)>,
    /// Sublists whose chunks come next.
    leaves: VecDeque<Sub>,
    chunks: Option<StreamReader<'r>>,
    last: Option<String>,
    has_begun: bool,
}

/// What a walk is asked of each node and sublist before it is read: its level, and whether to go
/// below it.
pub(crate) type Wanted<'w> = &'w mut dyn FnMut(&Sub, u8) -> Result<bool, RepoError>;

impl<'r> ListReader<'r> {
    pub(crate) fn new(reader: &'r ChunkReader<'r>, list: &'r OpenList, prefix: &str) -> ListReader<'r> {
        ListReader {
            reader,
            list,
            prefix: prefix.into(),
            stack: Vec::new(),
            leaves: VecDeque::new(),
            chunks: None,
            last: None,
            has_begun: false,
        }
    }

    /// Those that may hold a path with the prefix.
    fn in_range(&self, subs: &[Sub]) -> VecDeque<Sub> {
        let next = subs.iter().skip(1).map(Some).chain([None]);
        let overlaps = |(sub, next): &(&Sub, Option<&Sub>)| {
            let begins = sub.first <= self.prefix || sub.first.starts_with(&self.prefix);
            begins && next.is_none_or(|next| next.first > self.prefix)
        };
        subs.iter().zip(next).filter(overlaps).map(|(sub, _)| sub.clone()).collect()
    }

    /// The next sublist that is wanted, and its entries below the prefix.
    pub(crate) fn next_leaf(&mut self, wanted: Wanted<'_>) -> Result<Option<(Sub, Vec<Record>)>, RepoError> {
        if !self.has_begun {
            self.has_begun = true;
            let Some(root) = &self.list.sub else { return Ok(None) };
            if !wanted(root, self.list.level)? {
                return Ok(None);
            }
            match &self.list.root {
                Root::Leaf(records) => return Ok(Some((root.clone(), self.below_prefix(records.clone())))),
                Root::Node(subs) => self.stack.push((self.list.level, self.in_range(subs))),
            }
        }
        loop {
            if let Some(sub) = self.leaves.pop_front() {
                return self.leaf(sub).map(Some);
            }
            let Some((level, mut subs)) = self.stack.pop() else { return Ok(None) };
            if level == 1 {
                for sub in subs {
                    if wanted(&sub, 0)? {
                        self.leaves.push_back(sub);
                    }
                }
                let children = self.leaves.iter().map(Sub::child).collect();
                self.chunks = Some(self.reader.read_chunks(children, ChunkKind::Metadata));
                continue;
            }
            let Some(sub) = subs.pop_front() else { continue };
            self.stack.push((level, subs));
            if wanted(&sub, level - 1)? {
                let raw = self.reader.fetch(&sub.child(), ChunkKind::Metadata)?;
                let below = self.list.node(&sub, level - 1, &raw)?;
                self.stack.push((level - 1, self.in_range(&below)));
            }
        }
    }

    fn leaf(&mut self, sub: Sub) -> Result<(Sub, Vec<Record>), RepoError> {
        let raw = match &mut self.chunks {
            Some(chunks) => chunks.next_chunk()?,
            None => None,
        };
        let raw = raw.ok_or_else(|| self.list.wrong("a sublist is missing"))?;
        let records = self.list.leaf(&sub, &raw)?;
        if self.last.as_ref().is_some_and(|last| *last >= sub.first) {
            return Err(self.list.wrong("a path occurs twice"));
        }
        self.last = records.last().map(|record| record.path.clone());
        Ok((sub, self.below_prefix(records)))
    }

    fn below_prefix(&self, mut records: Vec<Record>) -> Vec<Record> {
        records.retain(|record| record.path.starts_with(&self.prefix));
        records
    }
}
