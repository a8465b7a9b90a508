//! Reading streams back: every byte is verified before anybody sees it.
//!
//! A stream's tree is walked lazily; chunks that follow one another in a pack are fetched by one
//! ranged get of at most 2 MiB. Where a network lies between, the next few of these gets are under
//! way while one is worked on. A chunk whose place is damaged or gone is read from its other
//! places, if it has any; if none is good, the error names the pack and what is wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::RepoError;
use crate::ahead::{Ahead, Ordered};
use crate::blocks::{BLOCK, Blocks};
use crate::ids::{ChunkId, Compartment, Hash};
use crate::index::{CurrentIndex, Index, Record};
use crate::lock::lock;
use crate::map::ItemHasher;
use crate::map::cache::ItemCache;
use crate::object::damaged;
use crate::pack::{self, ChunkRecord, Directory};
use crate::secrets::{CompartmentKeys, PackKey};
use crate::stream::{Child, ChunkKind, Node, StreamRef};
use crate::unlocked::Unlocked;

/// One get fetches at most so much, gaps included.
const FETCH: u64 = 2 << 20;
/// What the chunks of one request open to at most, if it is more than one.
const RAW_AHEAD: u64 = 8 << 20;
/// How often a chunk is looked for in a newer index, while prunes move it.
const MOST_INDEXES: usize = 10;
/// Chunks that are looked ahead; where a network lies between, so many more.
const AHEAD: usize = 64;
const FURTHER: usize = 8;
/// What is under way for one stream at once, where a network lies between: gets, and their bytes.
const UNDER_WAY: usize = 8;
const BYTES_UNDER_WAY: u64 = 8 << 20;
/// Ends of packs that are under way, 64 KiB each.
const MOST_TAILS: usize = 32;
/// Directories of packs that are kept in memory, about 50 KB each; and the chunks that all of them
/// name.
const KEPT: usize = 64;
const KEPT_CHUNKS: usize = 512 << 10;

/// A pack whose directory was read.
struct OpenPack {
    hash: Hash,
    size: u64,
    name: String,
    directory: Directory,
    places: HashMap<ChunkId, usize>,
    keys: Vec<Option<PackKey>>,
}

impl OpenPack {
    fn record(&self, id: &ChunkId) -> Option<&ChunkRecord> {
        self.directory.chunks.get(*self.places.get(id)?)
    }
}

/// Open packs by hash, each with the tick of its last use; and the clock of these ticks.
type Kept = (u64, HashMap<Hash, (u64, Arc<OpenPack>)>);

/// Reads chunks of every kind that the keys at hand open.
pub(crate) struct ChunkReader<'r> {
    repository: &'r Unlocked,
    current: &'r CurrentIndex,
    /// Replaced by a newer one when a pack is gone: a prune may have moved its chunks.
    index: Mutex<Arc<Index>>,
    packs: Mutex<Kept>,
    fetched: AtomicU64,
    /// A gap between wanted chunks up to this is fetched, too.
    gap: u64,
    /// Where a network lies between.
    ahead: Option<Ahead>,
    /// Ends of packs that are under way.
    tails: Mutex<HashMap<Hash, Ordered>>,
    blocks: Option<Blocks>,
    /// Where chunks that describe maps are kept on this host; for writers.
    cache: Option<Arc<ItemCache>>,
    compartment: Compartment,
    keys: CompartmentKeys,
    id_keys: [[u8; 32]; 5],
}

/// Reads streams of a repository whose data is open. Many threads may use one.
pub struct DataReader<'r>(ChunkReader<'r>);

impl<'r> DataReader<'r> {
    pub(crate) fn new(reader: ChunkReader<'r>) -> DataReader<'r> {
        DataReader(reader)
    }

    pub(crate) fn chunks(&self) -> &ChunkReader<'r> {
        &self.0
    }

    /// Bytes of chunks that were fetched from the storage so far.
    pub fn bytes_fetched(&self) -> u64 {
        self.0.fetched.load(Ordering::Relaxed)
    }
}

impl<'r> ChunkReader<'r> {
    pub(crate) fn new(
        repository: &'r Unlocked,
        current: &'r CurrentIndex,
        index: Arc<Index>,
    ) -> Result<ChunkReader<'r>, RepoError> {
        let compartment = index.compartment;
        let keys = repository.keys.compartment(compartment)?;
        let kinds =
            [ChunkKind::Data, ChunkKind::Metadata, ChunkKind::Tree, ChunkKind::ItemList, ChunkKind::Group];
        let id_keys = kinds.map(|kind| keys.chunk_id_key(kind as u8, b""));
        let index = Mutex::new(index);
        let fetched = AtomicU64::new(0);
        let storage = repository.store.capabilities();
        let ahead = storage.remote.then(|| Ahead::new(repository.store.clone()));
        let blocks = storage.remote.then(Blocks::default);
        let packs = Mutex::default();
        Ok(ChunkReader {
            repository,
            current,
            index,
            packs,
            fetched,
            gap: storage.gap,
            ahead,
            tails: Mutex::default(),
            blocks,
            cache: None,
            compartment,
            keys,
            id_keys,
        })
    }

    /// Keeps what it reads one by one of groups, lists and small maps on this host.
    pub(crate) fn with_cache(mut self, cache: Arc<ItemCache>) -> ChunkReader<'r> {
        self.cache = Some(cache);
        self
    }

    /// Under whose keys everything is that it reads.
    pub(crate) fn compartment(&self) -> Compartment {
        self.compartment
    }

    pub(crate) fn id_key(&self, kind: ChunkKind) -> &[u8; 32] {
        let [data, metadata, tree, list, group] = &self.id_keys;
        match kind {
            ChunkKind::Data => data,
            ChunkKind::Metadata => metadata,
            ChunkKind::Tree => tree,
            ChunkKind::ItemList => list,
            ChunkKind::Group => group,
        }
    }

    /// Hashes the items of maps of a mask domain.
    pub(crate) fn hasher(&self, domain: &[u8]) -> ItemHasher {
        self.repository.item_hasher(&self.keys, domain)
    }

    /// Reads chunks in this order, as one stream.
    pub(crate) fn read_chunks(&self, chunks: VecDeque<Child>, kind: ChunkKind) -> StreamReader<'_> {
        StreamReader {
            reader: self,
            kind,
            stack: Vec::new(),
            left: chunks.iter().map(|chunk| chunk.bytes).sum(),
            pending: chunks,
            planned: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    pub(crate) fn read(&self, stream: &StreamRef) -> Result<StreamReader<'_>, RepoError> {
        let kind = stream.kind().ok_or_else(|| damaged("a stream's reference", "its class is unknown"))?;
        let mut reader = self.read_chunks(VecDeque::new(), kind);
        reader.left = stream.bytes;
        if stream.bytes == 0 {
            return Ok(reader);
        }
        let raw_len = if stream.level == 0 { u32::try_from(stream.bytes).unwrap_or(u32::MAX) } else { 0 };
        let root = Child { id: stream.root, bytes: stream.bytes, raw_len };
        reader.stack.push((stream.level, VecDeque::from([root])));
        Ok(reader)
    }

    fn open_pack(&self, index: &Index, number: u32) -> Result<Arc<OpenPack>, RepoError> {
        let entry =
            index.packs.get(number).ok_or_else(|| damaged("the local index", "it does not list the pack"))?;
        {
            let mut packs = lock(&self.packs);
            packs.0 += 1;
            let tick = packs.0;
            if let Some((used, pack)) = packs.1.get_mut(&entry.hash) {
                *used = tick;
                return Ok(Arc::clone(pack));
            }
        }
        let keys = &self.repository.keys;
        let name = pack::name(self.compartment, &entry.hash);
        let fetch = |offset, len| pack::range(&self.repository.store, &name, offset, len);
        let ordered = lock(&self.tails).remove(&entry.hash).and_then(Ordered::wait);
        let (_, directory) =
            pack::read_directory_by(keys, self.compartment, &entry.hash, entry.size, &|offset, len| {
                match &ordered {
                    Some(tail) if (offset, len) == pack::tail(entry.size) => Ok(tail.clone()),
                    // Small packs are of small things, which are read from blocks.
                    _ => match self.blocks.as_ref().filter(|_| entry.size <= BLOCK) {
                        Some(blocks) => {
                            blocks.range(&entry.hash, entry.size, (offset, offset + len), &|from, to| {
                                fetch(from, to - from)
                            })
                        }
                        None => fetch(offset, len),
                    },
                }
            })?;
        let places = directory.chunks.iter().enumerate().map(|(at, chunk)| (chunk.id, at)).collect();
        let mut first: HashMap<[u8; 16], &ChunkRecord> = HashMap::new();
        for chunk in &directory.chunks {
            first.entry(chunk.key_id.into()).or_insert(chunk);
        }
        let open =
            |key_id: [u8; 16]| pack::open_key(keys, self.compartment, &directory, first.get(&key_id)?).ok();
        let opened = directory.keys.iter().map(|key| open(key.key_id.into())).collect();
        let pack =
            Arc::new(OpenPack { hash: entry.hash, size: entry.size, name, places, keys: opened, directory });
        let mut packs = lock(&self.packs);
        let mut chunks = pack.directory.chunks.len();
        chunks += packs.1.values().map(|(_, pack)| pack.directory.chunks.len()).sum::<usize>();
        while packs.1.len() >= KEPT || chunks > KEPT_CHUNKS {
            let oldest = packs.1.iter().min_by_key(|(_, (used, _))| *used).map(|(hash, _)| *hash);
            let Some((_, gone)) = oldest.and_then(|oldest| packs.1.remove(&oldest)) else { break };
            chunks -= gone.directory.chunks.len();
        }
        let tick = packs.0;
        packs.1.insert(entry.hash, (tick, Arc::clone(&pack)));
        Ok(pack)
    }

    /// Where a network lies between: orders the end of the pack that holds a chunk, unless it is
    /// open or ordered already.
    fn announce(&self, chunk: &ChunkId) {
        let Some(ahead) = &self.ahead else { return };
        let index = self.index();
        let Some(place) = index.find(chunk).ok().and_then(|places| places.first().copied()) else { return };
        let Some(entry) = index.packs.get(place.pack) else { return };
        let mut tails = lock(&self.tails);
        // Of streams that were not read to their end.
        if tails.len() > MOST_TAILS {
            tails.clear();
        }
        if !tails.contains_key(&entry.hash) && !lock(&self.packs).1.contains_key(&entry.hash) {
            let (offset, len) = pack::tail(entry.size);
            tails.insert(entry.hash, ahead.order(&pack::name(self.compartment, &entry.hash), offset, len));
        }
    }

    /// Opens one chunk from its sealed bytes.
    fn open(
        &self,
        pack: &OpenPack,
        record: &ChunkRecord,
        child: &Child,
        kind: ChunkKind,
        sealed: &[u8],
    ) -> Result<Vec<u8>, RepoError> {
        let wrong = |what: &str| damaged(&pack.name, format!("chunk {}: {what}", record.id));
        if record.kind != kind as u8 || (child.raw_len != 0 && child.raw_len != record.raw_len) {
            return Err(wrong("it has another kind or length than the stream says"));
        }
        let key = pack.directory.keys.iter().zip(&pack.keys).find(|(key, _)| key.key_id == record.key_id);
        let opened;
        let key = match key {
            Some((_, Some(key))) => key,
            _ => {
                opened = pack::open_key(&self.repository.keys, self.compartment, &pack.directory, record)
                    .map_err(|error| crate::object::inside(&pack.name, error))?;
                &opened
            }
        };
        let masked;
        let id_key = match record.domain.is_empty() {
            true => self.id_key(kind),
            false => {
                masked = self.keys.chunk_id_key(kind as u8, &record.domain);
                &masked
            }
        };
        pack::open_chunk(&self.repository.keys, key, record, id_key, sealed).map_err(wrong)
    }

    fn range(&self, pack: &OpenPack, from: u64, to: u64) -> Result<Vec<u8>, RepoError> {
        self.fetched.fetch_add(to - from, Ordering::Relaxed);
        pack::range(&self.repository.store, &pack.name, from, to - from)
    }

    /// One chunk from any of its places; where none is good, from those of a newer index.
    pub(crate) fn fetch(&self, child: &Child, kind: ChunkKind) -> Result<Vec<u8>, RepoError> {
        let Some(cache) = self.cache.as_ref().filter(|_| kind.describes_maps()) else {
            return self.fetch_stored(child, kind);
        };
        if let Some(raw) = cache.get(&child.id, self.id_key(kind)) {
            return Ok(raw);
        }
        let raw = self.fetch_stored(child, kind)?;
        cache.put(&child.id, &raw);
        Ok(raw)
    }

    fn fetch_stored(&self, child: &Child, kind: ChunkKind) -> Result<Vec<u8>, RepoError> {
        let mut index = self.index();
        for _ in 0..MOST_INDEXES {
            match self.fetch_by(&index, child, kind) {
                Err(RepoError::Missing { object }) => match self.newer(&index)? {
                    Some(newer) => index = newer,
                    None => return Err(RepoError::Missing { object }),
                },
                other => return other,
            }
        }
        self.fetch_by(&index, child, kind)
    }

    fn fetch_by(&self, index: &Index, child: &Child, kind: ChunkKind) -> Result<Vec<u8>, RepoError> {
        let mut first = None;
        for place in index.find(&child.id)? {
            let result = self.open_pack(index, place.pack).and_then(|pack| {
                let record = pack.record(&child.id).ok_or_else(|| {
                    damaged(&pack.name, format!("chunk {} is not in its directory", child.id))
                })?;
                let (from, len) = (u64::from(record.offset), u64::from(record.sealed_len));
                let fetch = |from, to| self.range(&pack, from, to);
                let sealed = match self.blocks.as_ref().filter(|_| kind != ChunkKind::Data) {
                    Some(blocks) => blocks.range(&pack.hash, pack.size, (from, from + len), &fetch)?,
                    None => fetch(from, from + len)?,
                };
                self.open(&pack, record, child, kind, &sealed)
            });
            match result {
                Ok(raw) => return Ok(raw),
                Err(error) => {
                    tracing::debug!("{error}");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| unknown(index, &child.id)))
    }

    /// Whether the index names the chunk.
    pub(crate) fn knows(&self, id: &ChunkId) -> Result<bool, RepoError> {
        Ok(!self.index().find(id)?.is_empty())
    }

    /// The index, if it has changed since `known` was read.
    fn newer(&self, known: &Arc<Index>) -> Result<Option<Arc<Index>>, RepoError> {
        let newer = self.current.get(self.repository, self.compartment)?;
        if Arc::ptr_eq(&newer, known) || newer.listed == known.listed && !known.is_rotten() {
            return Ok(None);
        }
        *lock(&self.index) = Arc::clone(&newer);
        Ok(Some(newer))
    }

    /// A node of a tree.
    pub(crate) fn node(&self, child: &Child, level: u8) -> Result<Node, RepoError> {
        let raw = self.fetch(child, ChunkKind::Tree)?;
        let wrong = |what: &str| damaged(format!("tree node {}", child.id), what);
        let node = Node::decode(&raw).map_err(wrong)?;
        if node.level != level || node.bytes() != Some(child.bytes) {
            return Err(wrong("it is not of the level and length that its parent names"));
        }
        Ok(node)
    }

    /// Every chunk below a stream, nodes before what they name: `visit` gets the chunk and its
    /// level (0: of the stream itself) and says whether to go below it.
    pub(crate) fn walk(
        &self,
        stream: &StreamRef,
        visit: &mut dyn FnMut(&Child, u8) -> Result<bool, RepoError>,
    ) -> Result<(), RepoError> {
        let mut open: Vec<(Child, u8)> =
            root_child(stream).map(|root| (root, stream.level)).into_iter().collect();
        while let Some((child, level)) = open.pop() {
            if visit(&child, level)? && level > 0 {
                open.extend(self.node(&child, level)?.children.into_iter().map(|child| (child, level - 1)));
            }
        }
        Ok(())
    }

    fn index(&self) -> Arc<Index> {
        Arc::clone(&lock(&self.index))
    }
}

/// No index object names the chunk: perhaps because one could not be read.
fn unknown(index: &Index, id: &ChunkId) -> RepoError {
    match index.unreadable.first() {
        Some((name, error)) => damaged(name, format!("chunk {id} may be listed there, but: {error}")),
        None => RepoError::Missing { object: format!("chunk {id}") },
    }
}

/// Chunks that lie near each other in a pack, and the get that brings them.
struct Run {
    chunks: Vec<Child>,
    pack: Arc<OpenPack>,
    from: u64,
    to: u64,
    /// Under way already.
    ordered: Option<Ordered>,
}

/// What is read next.
enum Planned {
    Run(Run),
    /// From any place that is good, or with the error that says what is wrong.
    Alone(Child),
}

impl Planned {
    fn bytes(&self) -> u64 {
        match self {
            Planned::Run(run) => run.to - run.from,
            Planned::Alone(_) => 0,
        }
    }
}

/// Reads one stream. Memory: about 2 MiB of sealed bytes and what they decompress to; behind a
/// network up to 10 MiB of sealed bytes.
pub struct StreamReader<'r> {
    reader: &'r ChunkReader<'r>,
    kind: ChunkKind,
    /// Children whose turn comes, by level; the last is worked on first.
    stack: Vec<(u8, VecDeque<Child>)>,
    pending: VecDeque<Child>,
    planned: VecDeque<Planned>,
    ready: VecDeque<Vec<u8>>,
    left: u64,
}

impl StreamReader<'_> {
    /// Behind a network: orders what is read first, so that it is under way.
    pub(crate) fn start(&mut self) -> Result<(), RepoError> {
        if self.reader.ahead.is_some() { self.plan() } else { Ok(()) }
    }

    /// Behind a network: all that is left is under way. What comes after this stream may be
    /// started.
    pub(crate) fn is_ending(&self) -> bool {
        self.reader.ahead.is_some() && self.pending.is_empty() && self.stack.is_empty()
    }

    /// The raw bytes of the next chunk, verified; None at the end of the stream.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, RepoError> {
        if self.ready.is_empty() {
            self.plan()?;
            self.fetch_some()?;
        }
        let Some(chunk) = self.ready.pop_front() else {
            return if self.left == 0 {
                Ok(None)
            } else {
                Err(damaged("a stream", "its chunks end before its length"))
            };
        };
        let wrong = || damaged("a stream", "its chunks go beyond its length");
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(wrong)?;
        Ok(Some(chunk))
    }

    /// Reads nodes until enough chunks are known.
    fn expand(&mut self) -> Result<(), RepoError> {
        let enough = if self.reader.ahead.is_some() { AHEAD * FURTHER } else { AHEAD };
        let known = self.pending.len();
        while self.pending.len() < enough {
            let Some((level, children)) = self.stack.last_mut() else { break };
            let level = *level;
            let Some(child) = children.pop_front() else {
                self.stack.pop();
                continue;
            };
            if level == 0 {
                self.pending.push_back(child);
                continue;
            }
            let node = self.reader.node(&child, level)?;
            self.stack.push((level - 1, node.children.into()));
        }
        if let Some(last) = self.pending.back().filter(|_| self.pending.len() > known) {
            self.reader.announce(&last.id);
        }
        Ok(())
    }

    /// Plans what is read next; behind a network also what comes after that.
    fn plan(&mut self) -> Result<(), RepoError> {
        let most = if self.reader.ahead.is_some() { UNDER_WAY } else { 1 };
        let under_way = |planned: &VecDeque<Planned>| -> u64 { planned.iter().map(Planned::bytes).sum() };
        while self.planned.len() < most && under_way(&self.planned) < BYTES_UNDER_WAY {
            self.expand()?;
            let Some(first) = self.pending.pop_front() else { break };
            self.planned.push_back(match self.find_run(&first) {
                Some(mut run) => {
                    self.pending.drain(..(run.chunks.len() - 1).min(self.pending.len()));
                    run.ordered = self.reader.ahead.as_ref().map(|ahead| {
                        self.reader.fetched.fetch_add(run.to - run.from, Ordering::Relaxed);
                        ahead.order(&run.pack.name, run.from, run.to - run.from)
                    });
                    Planned::Run(run)
                }
                None => Planned::Alone(first),
            });
        }
        Ok(())
    }

    /// `first` and its followers in one range of one pack; None if they cannot be looked up.
    fn find_run(&self, first: &Child) -> Option<Run> {
        let gap = self.reader.gap;
        let index = self.reader.index();
        let places: Vec<Record> = index.find(&first.id).ok()?;
        let pack = self.reader.open_pack(&index, places.first()?.pack).ok()?;
        let end_of = |record: &ChunkRecord| u64::from(record.offset) + u64::from(record.sealed_len);
        let record = pack.record(&first.id)?;
        let (mut from, mut to) = (u64::from(record.offset), end_of(record));
        let mut chunks = vec![first.clone()];
        let mut raw = u64::from(record.raw_len);
        for child in &self.pending {
            let Some(record) = pack.record(&child.id) else { break };
            // Few sealed bytes may open to very many.
            raw += u64::from(record.raw_len);
            if raw > RAW_AHEAD {
                break;
            }
            let (start, end) = (u64::from(record.offset), end_of(record));
            let near = start <= to + gap && end + gap >= from;
            if !near || to.max(end) - from.min(start) > FETCH {
                break;
            }
            (from, to) = (from.min(start), to.max(end));
            chunks.push(child.clone());
        }
        Some(Run { chunks, pack, from, to, ordered: None })
    }

    /// Fetches what was planned next.
    fn fetch_some(&mut self) -> Result<(), RepoError> {
        match self.planned.pop_front() {
            None => {}
            Some(Planned::Alone(child)) => self.ready.push_back(self.reader.fetch(&child, self.kind)?),
            Some(Planned::Run(run)) => self.open_run(run)?,
        }
        Ok(())
    }

    /// Opens the chunks of a run. One that is not good there is fetched by itself, from any place
    /// that is.
    fn open_run(&mut self, run: Run) -> Result<(), RepoError> {
        let Run { chunks, pack, from, to, ordered } = run;
        let bytes = match ordered {
            Some(ordered) => ordered.wait(),
            None => self.reader.range(&pack, from, to).ok(),
        };
        for child in chunks {
            let opened = bytes.as_ref().and_then(|bytes| {
                let record = pack.record(&child.id)?;
                let start = usize::try_from(u64::from(record.offset) - from).ok()?;
                let sealed = bytes.get(start..start + record.sealed_len as usize)?;
                let opened = self.reader.open(&pack, record, &child, self.kind, sealed);
                opened.inspect_err(|error| tracing::debug!("{error}")).ok()
            });
            match opened {
                Some(raw) => self.ready.push_back(raw),
                None => self.ready.push_back(self.reader.fetch(&child, self.kind)?),
            }
        }
        Ok(())
    }
}

/// The root of a stream as a child; None if the stream is empty.
pub(crate) fn root_child(stream: &StreamRef) -> Option<Child> {
    let raw_len = if stream.level == 0 { u32::try_from(stream.bytes).ok()? } else { 0 };
    (stream.bytes != 0 && stream.root != Hash([0; 32])).then_some(Child {
        id: stream.root,
        bytes: stream.bytes,
        raw_len,
    })
}
