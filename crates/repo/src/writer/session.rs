//! What the threads of one backup share, and the work of the sealers, the uploaders and the
//! renewer.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use minicbor::bytes::{ByteArray, ByteVec};
use pgark_store::StoreError;

use super::buffers::Buffers;
use super::dedup::{Dedup, Found};
use super::entries::{Added, Entries};
use super::ground::{self, Ground};
use super::known::{Known, KnownUnits};
use super::options::WriteOptions;
use super::queue::Queue;
use crate::RepoError;
use crate::announcement::Announcement;
use crate::at_once::{both, each};
use crate::cut::Cutter;
use crate::ids::{BackupId, ChunkId, Compartment, Hash, ObjectHash};
use crate::index;
use crate::index::object::{IndexContent, IndexRecord, PackEntry};
use crate::lock::{lock, wait_until};
use crate::map::cache::ItemCache;
use crate::map::{Grain, ItemHasher, MapRef};
use crate::object::{self, Kind};
use crate::pack::{self, Builder, ChunkRecord, KeyRecord, PACK_BYTES};
use crate::prune::trash::Trash;
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::secrets::{CompartmentKeys, PackKey, Room};
use crate::stream::ChunkKind;
use crate::{random, sessions};

/// Raw bytes that wait for sealers, per job.
const WAITING: usize = 2 << 20;
/// Each lane fills a pack of its own once so many bytes are stored: what one writer writes then
/// lies together, and is fetched together.
const LANES_FROM: u64 = 64 << 20;
/// A sealer takes a new key after so many sealed bytes.
const PER_KEY: usize = PACK_BYTES;
/// Index and session objects of a long backup are put this often.
const RENEW: Duration = Duration::from_secs(300);
/// An index object is put early when so many chunks wait for it.
const PER_INDEX: usize = 256 << 10;
/// Packs that are put at once; behind a network as many as jobs and one more, since each put waits
/// for its answer.
const UPLOADERS: usize = 2;
/// No more are of use.
const MOST_UPLOADERS: usize = 8;
pub(super) const MOST_JOBS: usize = 256;

/// A new chunk on its way to a sealer.
struct Job {
    id: ChunkId,
    kind: ChunkKind,
    /// The mask domain.
    domain: Vec<u8>,
    /// Of the writer that it comes from.
    lane: usize,
    raw: Vec<u8>,
    grain: Grain,
    /// How well it compresses shall not be seen.
    is_padded: bool,
    /// Sealed bytes are counted here.
    added: Arc<Added>,
}

/// A closed pack on its way to the storage.
pub(super) struct Closed {
    hash: ObjectHash,
    bytes: Vec<u8>,
    chunks: Vec<ChunkRecord>,
}

pub(crate) struct Session<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a WriteOptions,
    pub(super) id: BackupId,
    pub(super) compartment: Compartment,
    said: Announcement,
    keys: CompartmentKeys,
    /// What will be in the backup.
    pub(super) entries: Entries,
    cutter: Cutter,
    dedup: Dedup,
    /// Where the units of earlier maps are.
    pub(super) known: Known,
    pub(super) began: Instant,
    /// As it was when the session began.
    pub(super) trash: Trash,
    jobs: Queue<Job>,
    uploads: Queue<Closed>,
    /// Of data packs.
    pack_bytes: usize,
    /// The pack that is being filled, if any.
    metadata: Mutex<Option<Builder>>,
    /// The same, for each lane.
    data: Vec<Mutex<Option<Builder>>>,
    /// How many writers are in each lane.
    lanes: Mutex<Vec<usize>>,
    buffers: Buffers,
    /// Packs of this session: put, or on their way.
    own: Mutex<Vec<ObjectHash>>,
    /// What was put and is in no index object yet.
    waiting: Mutex<IndexContent>,
    indexing: Mutex<()>,
    ended: Mutex<bool>,
    end: Condvar,
    stopped: AtomicBool,
    failure: Mutex<Option<RepoError>>,
    /// Sealed bytes of chunks so far.
    pub(super) sealed: AtomicU64,
    /// Bytes of all objects put so far.
    pub(super) put: AtomicU64,
    /// Names of session objects and drafts that are there.
    temporary: Mutex<Vec<String>>,
    renewals: AtomicU64,
    items: Arc<ItemCache>,
}

/// Stops the session when dropped: at the end, by an error, or by a panic.
pub(super) struct StopOnDrop<'s, 'a>(pub &'s Session<'a>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Stops the session if its thread panics, so that nobody waits for it.
struct StopOnPanic<'s, 'a>(&'s Session<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl<'a> Session<'a> {
    /// Announces the session and finds out what is there to depend on.
    pub(super) fn begin(
        repository: &'a Repository,
        options: &'a WriteOptions,
    ) -> Result<Session<'a>, RepoError> {
        repository.store().cancel().check()?;
        let id = random::backup_id()?;
        let unlocked = &repository.unlocked;
        let compartment = unlocked.compartment_of(&options.cluster)?;
        let keys = repository.keys().compartment(compartment)?;
        let cutter = Cutter::new(keys.chunker_seed());
        let cluster = repository.keys().cluster_hash(&options.cluster)?;
        let jobs = options.jobs.clamp(1, MOST_JOBS);
        // The session object first: from then on a pruner waits for us, so the lists below stay
        // true.
        let said = Announcement::new(&options.cluster, options.purpose, options.alone);
        let (name, bytes) = sessions::next_object(repository.keys(), compartment, id, 0, &said)?;
        let put = bytes.len() as u64;
        let (announced, allowed) = both(
            || object::put(repository.store(), &name, bytes),
            || unlocked.refuse_stranger(Right::Backup, &[Scope::Cluster(&cluster)]),
        );
        announced?;
        let Ground { dedup, trash } = allowed
            .and_then(|()| {
                let (alone, ground) = both(
                    || sessions::give_way(unlocked, compartment, id, &said),
                    || ground::find(repository, compartment, options.full),
                );
                alone.and(ground)
            })
            .inspect_err(|_| remove(repository, vec![name.clone()]))?;
        // One is filled in each lane, and one of metadata; as many as jobs are on their way. Larger
        // packs, of which there are fewer, take no more memory.
        let room = (2 * jobs + 1) * PACK_BYTES;
        let stored = dedup.index().packs.packs.iter().map(|pack| pack.size).sum();
        let pack_bytes = pack::bytes_for(stored, room);
        let buffers = room / pack_bytes;
        let lanes = jobs.min(buffers - 2);
        Ok(Session {
            repository,
            options,
            id,
            compartment,
            said,
            keys,
            entries: Entries::new(),
            cutter,
            dedup,
            known: Known::default(),
            began: Instant::now(),
            trash,
            jobs: Queue::new(WAITING * jobs),
            // Bounded by the packs' buffers.
            uploads: Queue::new(usize::MAX),
            metadata: Mutex::default(),
            pack_bytes,
            data: (0..lanes).map(|_| Mutex::default()).collect(),
            lanes: Mutex::new(vec![0; lanes]),
            buffers: Buffers::new(buffers, pack_bytes),
            own: Mutex::default(),
            waiting: Mutex::default(),
            indexing: Mutex::default(),
            ended: Mutex::default(),
            end: Condvar::new(),
            stopped: AtomicBool::new(false),
            failure: Mutex::default(),
            sealed: AtomicU64::new(0),
            put: AtomicU64::new(put),
            temporary: Mutex::new(vec![name]),
            renewals: AtomicU64::new(1),
            items: Arc::new(ItemCache::open(repository.keys(), &repository.unlocked.local)),
        })
    }

    /// How many uploaders to run.
    pub(super) fn uploaders(&self) -> usize {
        match self.repository.store().capabilities().remote {
            true => (self.options.jobs + 1).clamp(UPLOADERS, MOST_UPLOADERS),
            false => UPLOADERS,
        }
    }

    pub(super) fn cutter(&self) -> &Cutter {
        &self.cutter
    }

    pub(crate) fn dedup(&self) -> &Dedup {
        &self.dedup
    }

    /// The mask domain of the backup's data; empty for plain data.
    pub(crate) fn domain(&self) -> &[u8] {
        self.options.domain.as_ref().map_or(&[], |domain| domain.as_slice())
    }

    /// The mask domain of chunks of a kind: only data has one.
    pub(crate) fn domain_of(&self, kind: ChunkKind) -> &[u8] {
        if kind.is_data() { self.domain() } else { &[] }
    }

    pub(crate) fn id_key(&self, kind: ChunkKind, domain: &[u8]) -> [u8; 32] {
        self.keys.chunk_id_key(kind as u8, domain)
    }

    /// What this host keeps of maps.
    pub(crate) fn items(&self) -> &Arc<ItemCache> {
        &self.items
    }

    /// Hashes the items of maps of a mask domain.
    pub(crate) fn hasher(&self, domain: &[u8]) -> ItemHasher {
        self.repository.unlocked.item_hasher(&self.keys, domain)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) || self.repository.store().cancel().is_cancelled()
    }

    /// An error once the session is stopped. What stopped it is reported by [`Session::failure`].
    pub(crate) fn check(&self) -> Result<(), RepoError> {
        if self.is_stopped() { Err(RepoError::Cancelled) } else { Ok(()) }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.jobs.close();
        self.uploads.close();
        *lock(&self.ended) = true;
        self.end.notify_all();
    }

    fn fail(&self, error: RepoError) {
        lock(&self.failure).get_or_insert(error);
        self.stop();
    }

    /// What a thread of the session failed with.
    pub(super) fn failure(&self) -> Option<RepoError> {
        lock(&self.failure).take()
    }

    /// A lane for one writer: the one with the fewest.
    pub(crate) fn lane(&'a self) -> Lane<'a> {
        let mut lanes = lock(&self.lanes);
        let number = (0..lanes.len()).min_by_key(|number| lanes.get(*number).copied()).unwrap_or(0);
        if let Some(writers) = lanes.get_mut(number) {
            *writers += 1;
        }
        Lane { session: self, number, grain: Grain::Text }
    }

    /// Pins a chunk that is stored already.
    pub(crate) fn lean_on(&self, id: &ChunkId) -> Result<(), RepoError> {
        if self.dedup.lean_on(id)? {
            Ok(())
        } else {
            Err(RepoError::Missing { object: format!("chunk {id}") })
        }
    }

    /// The same of a chunk of which it may be known already where it is.
    pub(crate) fn lean_on_found(&self, id: &ChunkId, found: Option<Found>) -> Result<(), RepoError> {
        match found {
            Some(found) if self.dedup.lean_on_found(id, found)? => Ok(()),
            _ => self.lean_on(id),
        }
    }

    /// Where the units of an earlier map are, as far as all of them were looked up together.
    pub(crate) fn known(&self, map: &MapRef) -> Option<Arc<KnownUnits>> {
        self.known.of(map)
    }

    /// Hands a new chunk to the sealers; waits while they are behind.
    fn submit(&self, job: Job) -> Result<(), RepoError> {
        let bytes = job.raw.len();
        if self.jobs.push(job, bytes, &|| self.is_stopped()) { Ok(()) } else { Err(RepoError::Cancelled) }
    }

    /// Puts one object and counts its bytes.
    pub(super) fn put_object(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), RepoError> {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        object::put(self.repository.store(), name, bytes)?;
        self.put.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until every submitted chunk lies in a pack.
    pub(super) fn settle(&self) -> Result<(), RepoError> {
        if self.jobs.drain(&|| self.is_stopped()) { self.check() } else { Err(RepoError::Cancelled) }
    }

    /// A thread that compresses, seals and packs.
    pub(super) fn run_sealer(&self) {
        let _guard = StopOnPanic(self);
        if let Err(error) = self.seal_jobs() {
            self.fail(error);
        }
    }

    fn seal_jobs(&self) -> Result<(), RepoError> {
        let mut sealer = Sealer::new(self);
        while let Some(job) = self.jobs.pop(&|| self.is_stopped()) {
            sealer.seal(&job)?;
            self.jobs.done();
        }
        Ok(())
    }

    /// Adds a sealed chunk to the open pack; a pack that is full goes to the uploaders.
    fn pack(
        &self,
        record: ChunkRecord,
        lane: usize,
        key: &KeyRecord,
        sealed: &[u8],
    ) -> Result<(), RepoError> {
        let is_data = ChunkKind::from_number(record.kind).is_some_and(ChunkKind::is_data);
        // What fits few packs shall not be spread over many.
        let lane = if self.sealed.load(Ordering::Relaxed) < LANES_FROM { 0 } else { lane };
        let (kind, open) = match self.data.get(lane) {
            Some(open) if is_data => (Kind::DataPack, open),
            _ => (Kind::MetadataPack, &self.metadata),
        };
        let mut open = lock(open);
        let builder = match &mut *open {
            Some(builder) => builder,
            // While every buffer is taken some pack is on its way: there are more than can be open.
            none => {
                let buffer = self.buffers.take(&|| self.is_stopped()).ok_or(RepoError::Cancelled)?;
                none.insert(Builder::new(self.compartment, kind, self.pack_bytes, buffer))
            }
        };
        builder.add(record, key, sealed)?;
        if builder.is_full()
            && let Some(full) = open.take()
        {
            drop(open);
            let closed = self.close_pack(full)?;
            self.upload_soon(closed)?;
        }
        Ok(())
    }

    fn close_pack(&self, builder: Builder) -> Result<Closed, RepoError> {
        let (hash, bytes, chunks) = builder.finish(self.repository.keys())?;
        lock(&self.own).push(hash);
        Ok(Closed { hash, bytes, chunks })
    }

    fn upload_soon(&self, closed: Closed) -> Result<(), RepoError> {
        let pushed = self.uploads.push(closed, 0, &|| self.is_stopped());
        if pushed { Ok(()) } else { Err(RepoError::Cancelled) }
    }

    /// Closes the open packs: from then on [`Session::packs`] has all.
    pub(super) fn close_packs(&self) -> Result<Vec<Closed>, RepoError> {
        let open = self.data.iter().chain([&self.metadata]).filter_map(|open| lock(open).take());
        open.map(|builder| self.close_pack(builder)).collect()
    }

    /// Puts the last packs and waits until all are put.
    pub(super) fn put_last(&self, last: Vec<Closed>) -> Result<(), RepoError> {
        for closed in last {
            self.upload_soon(closed)?;
        }
        if self.uploads.drain(&|| self.is_stopped()) { self.check() } else { Err(RepoError::Cancelled) }
    }

    /// A thread that puts packs.
    pub(super) fn run_uploader(&self) {
        let _guard = StopOnPanic(self);
        while let Some(closed) = self.uploads.pop(&|| self.is_stopped()) {
            if let Err(error) = self.upload(closed) {
                return self.fail(error);
            }
            self.uploads.done();
        }
    }

    fn upload(&self, closed: Closed) -> Result<(), RepoError> {
        let entry = PackEntry { hash: closed.hash, size: closed.bytes.len() as u64 };
        let bytes = Bytes::from(closed.bytes);
        self.put_object(&pack::name(self.compartment, &closed.hash), bytes.clone())?;
        self.buffers.give_back(bytes.try_into_mut().ok().map(Vec::from));
        let mut waiting = lock(&self.waiting);
        let number = u32::try_from(waiting.packs.len()).unwrap_or(u32::MAX);
        waiting.packs.push(entry);
        waiting.records.extend(closed.chunks.iter().map(|chunk| IndexRecord {
            id: chunk.id,
            pack: number,
            raw_len: chunk.raw_len,
            sealed_len: chunk.sealed_len,
            kind: chunk.kind,
        }));
        Ok(())
    }

    /// A thread that puts index and session objects now and then.
    pub(super) fn run_renewer(&self) {
        let _guard = StopOnPanic(self);
        if let Err(error) = self.keep() {
            self.fail(error);
        }
    }

    fn keep(&self) -> Result<(), RepoError> {
        let mut last = Instant::now();
        loop {
            let turn = Instant::now();
            let over = || turn.elapsed() > Duration::from_secs(1);
            let (held, ended) = wait_until(&self.end, lock(&self.ended), &over, |ended| *ended);
            drop(held);
            if ended || self.is_stopped() {
                return Ok(());
            }
            let due = last.elapsed() >= RENEW;
            if due || lock(&self.waiting).records.len() >= PER_INDEX {
                self.put_index(true)?;
            }
            if due {
                self.renew()?;
                last = Instant::now();
            }
        }
    }

    /// Ends the renewer: what follows is put in order by the committing thread alone.
    pub(super) fn end_keeping(&self) {
        *lock(&self.ended) = true;
        self.end.notify_all();
    }

    /// Puts what was stored since the last time as an index object.
    pub(super) fn put_index(&self, goes_on: bool) -> Result<(), RepoError> {
        let _one_at_a_time = lock(&self.indexing);
        let content = std::mem::take(&mut *lock(&self.waiting));
        if content.records.is_empty() {
            return Ok(());
        }
        let ids: Vec<ChunkId> = content.records.iter().map(|record| record.id).collect();
        let bytes = index::object::encode(self.repository.keys(), self.compartment, content)?;
        self.put_object(&index::object::name(self.compartment, &Hash::of(&bytes)), bytes)?;
        if goes_on {
            let local = &self.repository.unlocked.local;
            let record =
                |id: &ChunkId| index::Record { id: *id, pack: 0, raw_len: 0, sealed_len: 0, kind: 0 };
            let run = index::sorted_run(index::temporary(local)?, &mut ids.iter().map(record).collect())?;
            self.dedup.settle(&ids, run, local)?;
        }
        Ok(())
    }

    /// Puts the next session object and removes the one before, except the first, whose age is the
    /// session's.
    fn renew(&self) -> Result<(), RepoError> {
        let number = self.renewals.fetch_add(1, Ordering::Relaxed);
        let keys = self.repository.keys();
        let (name, bytes) = sessions::next_object(keys, self.compartment, self.id, number, &self.said)?;
        self.put_object(&name, bytes)?;
        let before = {
            let mut temporary = lock(&self.temporary);
            temporary.push(name);
            if temporary.len() > 2 { Some(temporary.remove(1)) } else { None }
        };
        remove(self.repository, before.into_iter().collect());
        Ok(())
    }

    /// Notes an object that is to go when the session ends.
    pub(super) fn goes_at_the_end(&self, name: String) {
        lock(&self.temporary).push(name);
    }

    /// Removes session object and draft: of a committed backup they are needed no more, of a failed
    /// one neither.
    pub(super) fn clean_up(&self) {
        let names = std::mem::take(&mut *lock(&self.temporary));
        remove(self.repository, names);
    }

    /// Whether the session was never away for so long that a prune took it for dead, and swept its
    /// first object. Clocks of hosts stand still while the host does.
    pub(super) fn is_known(&self) -> Result<bool, RepoError> {
        let first = lock(&self.temporary).first().cloned();
        match first.map(|first| self.repository.store().stat(&first)) {
            Some(Ok(_)) => Ok(true),
            Some(Err(StoreError::NotFound { .. })) | None => Ok(false),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Packs of earlier backups that this one depends on.
    pub(super) fn older_packs(&self) -> Vec<ObjectHash> {
        self.dedup.referenced()
    }

    /// All packs that this backup needs, sorted.
    pub(super) fn packs(&self) -> Vec<ObjectHash> {
        let mut packs = self.older_packs();
        packs.extend_from_slice(&lock(&self.own));
        packs.sort();
        packs.dedup();
        packs
    }
}

/// The way of one writer's chunks into packs.
pub(crate) struct Lane<'a> {
    session: &'a Session<'a>,
    number: usize,
    grain: Grain,
}

impl Lane<'_> {
    /// For data of this grain.
    pub(crate) fn of(mut self, grain: Grain) -> Self {
        self.grain = grain;
        self
    }

    /// Names a chunk; if it is nowhere, hands it to the sealers, who count its sealed bytes. Waits
    /// while they are behind.
    pub(crate) fn store(
        &self,
        kind: ChunkKind,
        domain: &[u8],
        id_key: &[u8; 32],
        raw: Cow<'_, [u8]>,
        added: &Arc<Added>,
    ) -> Result<ChunkId, RepoError> {
        let id = Hash(*blake3::keyed_hash(id_key, &raw).as_bytes());
        if self.session.dedup.claim(&id)? {
            let (domain, added, lane) = (domain.to_vec(), Arc::clone(added), self.number);
            added.wait_for_one();
            let (raw, is_padded) = (raw.into_owned(), false);
            let grain = if kind.is_data() { self.grain } else { Grain::Text };
            self.session.submit(Job { id, kind, domain, lane, raw, grain, is_padded, added })?;
        }
        Ok(id)
    }

    /// The same of data that is stored in any case, and whose sealed length shall tell little.
    pub(crate) fn store_padded(
        &self,
        domain: &[u8],
        id_key: &[u8; 32],
        raw: Vec<u8>,
        added: &Arc<Added>,
    ) -> Result<ChunkId, RepoError> {
        let id = Hash(*blake3::keyed_hash(id_key, &raw).as_bytes());
        self.session.dedup.claim(&id)?;
        let (added, lane, kind, domain) = (Arc::clone(added), self.number, ChunkKind::Data, domain.to_vec());
        added.wait_for_one();
        self.session.submit(Job {
            id,
            kind,
            domain,
            lane,
            raw,
            grain: self.grain,
            is_padded: true,
            added,
        })?;
        Ok(id)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        if let Some(writers) = lock(&self.session.lanes).get_mut(self.number) {
            *writers -= 1;
        }
    }
}

fn remove(repository: &Repository, names: Vec<String>) {
    let remove_one = |name: &String| {
        match repository.store().delete(name) {
            Ok(()) => {}
            // A key without delete permission: whoever prunes sweeps it.
            Err(error) if error.is_denied() => {
                repository.detail(&format!("{name} could not be removed: {error}"))
            }
            Err(error) => {
                repository.warn(&format!("{name} could not be removed, which is harmless: {error}"))
            }
        }
    };
    each(&names, remove_one).for_each(drop);
}

/// A key in use by one sealer, with its nonce counter.
struct SealKey {
    id: [u8; 16],
    key: PackKey,
    stored: KeyRecord,
    next_nonce: u64,
    sealed: usize,
}

/// Level 1 with a hash table of 2^11 entries instead of 2^13: it fits the nearest cache together
/// with the chunk. Measured on COPY text of four tables in pieces of 80 KB: a quarter faster, the
/// same size (numeric rows 2 % smaller, long text the same).
///
/// Pages have the larger table, and matches of at least five bytes: 6 to 10 % smaller than the
/// level's own parameters at the same speed (pages of a shop and of pgbench in pieces of 512 KiB).
fn compressor(level: i32, grain: Grain) -> std::io::Result<zstd::bulk::Compressor<'static>> {
    use zstd::zstd_safe::CParameter::{HashLog, MinMatch};
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    match grain {
        _ if level != 1 => {}
        Grain::Text => compressor.set_parameter(HashLog(11))?,
        Grain::Pages => {
            compressor.set_parameter(HashLog(13))?;
            compressor.set_parameter(MinMatch(5))?;
        }
    }
    Ok(compressor)
}

struct Sealer<'s, 'a> {
    session: &'s Session<'a>,
    /// One for each grain that came so far.
    compressors: Vec<(Grain, zstd::bulk::Compressor<'static>)>,
    keys: [Option<SealKey>; 2],
    scratch: Vec<u8>,
}

impl<'s, 'a> Sealer<'s, 'a> {
    fn new(session: &'s Session<'a>) -> Sealer<'s, 'a> {
        Sealer { session, compressors: Vec::new(), keys: [None, None], scratch: Vec::new() }
    }

    fn seal(&mut self, job: &Job) -> Result<(), RepoError> {
        let keys = self.session.repository.keys();
        let compressed = self.compress(&job.raw, job.grain)?
            && (!job.is_padded || pack::pad(&mut self.scratch, job.raw.len()));
        if !compressed {
            self.scratch.clear();
            self.scratch.extend_from_slice(&job.raw);
        }
        let raw_len =
            u32::try_from(job.raw.len()).map_err(|_| RepoError::TooLarge { what: "a chunk".into() })?;
        let [data, metadata] = &mut self.keys;
        let slot = if job.kind.is_data() { data } else { metadata };
        if slot.as_ref().is_none_or(|key| key.sealed >= PER_KEY) {
            let id = random::bytes()?;
            let room = Room::Of(self.session.compartment);
            let (key, wrapped) =
                if job.kind.is_data() { keys.new_data_pack_key(&id)? } else { keys.new_metadata_key(room)? };
            let stored = KeyRecord {
                key_id: ByteArray::from(id),
                key: wrapped.into(),
                maker: keys.writer_public().into(),
            };
            *slot = Some(SealKey { id, key, stored, next_nonce: 0, sealed: 0 });
        }
        let Some(key) = slot else { return Err(RepoError::Crypto("making a key")) };
        let nonce = object::nonce(key.next_nonce);
        key.next_nonce += 1;
        let aad = pack::chunk_aad(keys, &job.id, job.kind as u8, raw_len, compressed);
        key.key.seal_in_place(&nonce, &aad, &mut self.scratch)?;
        key.sealed += self.scratch.len();
        let record = ChunkRecord {
            id: job.id,
            kind: job.kind as u8,
            key_id: ByteArray::from(key.id),
            nonce: ByteArray::from(nonce),
            offset: 0,
            sealed_len: u32::try_from(self.scratch.len())
                .map_err(|_| RepoError::TooLarge { what: "a chunk".into() })?,
            raw_len,
            compressed,
            digest: ByteArray::from(*blake3::hash(&self.scratch).as_bytes()),
            domain: ByteVec::from(job.domain.clone()),
        };
        self.session.pack(record, job.lane, &key.stored, &self.scratch)?;
        let len = self.scratch.len() as u64;
        job.added.came(len);
        self.session.sealed.fetch_add(len, Ordering::Relaxed);
        // One giant row must not keep its memory for the rest of the backup.
        if self.scratch.capacity() > 1 << 20 {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Compresses into the scratch buffer; false if that does not make it smaller.
    fn compress(&mut self, raw: &[u8], grain: Grain) -> Result<bool, RepoError> {
        let level = self.session.options.compression_level;
        if level == 0 {
            return Ok(false);
        }
        if !self.compressors.iter().any(|(known, _)| *known == grain) {
            let made = compressor(level, grain).map_err(|source| RepoError::Local {
                doing: "start compression",
                path: format!("at level {level}"),
                source,
            })?;
            self.compressors.push((grain, made));
        }
        let known = self.compressors.iter_mut().find(|(known, _)| *known == grain);
        let Some((_, compressor)) = known else { return Ok(false) };
        self.scratch.clear();
        // Room for the tag, too; and no more than the raw bytes: what does not fit is not smaller.
        self.scratch.reserve(raw.len() + pack::TAG);
        Ok(compressor.compress_to_buffer(raw, &mut self.scratch).is_ok_and(|len| len < raw.len()))
    }
}
