//! Where each chunk is: the union of all index objects, as one sorted local file.
//!
//! The local file is a cache: it is used again when every index object in it is still there, new
//! index objects are merged into it, and anything wrong with it makes it be built again. It carries
//! sums under a key of the repository. A page that is found damaged only when it is looked at holds
//! nothing, as far as anybody knows: a writer stores its chunks again, and a reader takes a new
//! index, since the file is removed. Without a cache folder an unlinked temporary file serves.
//! Memory: see [`run`]; while merging, 128 Ki records of each index object and one page of each run
//! come on top.

mod current;
mod filter;
#[cfg(feature = "measure")]
pub mod measure;
pub(crate) mod object;
pub(crate) mod run;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::at_once::each_within;
use crate::ids::{ChunkId, Compartment, ObjectHash};
use crate::secrets::{Keys, LocalFolders, private_folder};
use crate::unlocked::Unlocked;
use crate::{RepoError, codec};
pub(crate) use current::CurrentIndex;
use filter::Filter;
use object::{IndexContent, PackEntry};
pub(crate) use run::{Record, Run};
use run::{SumKey, UNNAMED};

/// The packs that an index knows, by number.
#[derive(Clone, Default)]
pub(crate) struct PackTable {
    pub packs: Vec<PackEntry>,
    /// By hash and size: an index object that names another size than the pack has speaks of
    /// another pack.
    numbers: BTreeMap<(ObjectHash, u64), u32>,
}

impl PackTable {
    /// Adds the packs of an index object; their numbers, in its order.
    pub(crate) fn add(&mut self, content: &IndexContent) -> Vec<u32> {
        content.packs.iter().map(|pack| self.number(*pack)).collect()
    }

    pub(crate) fn number(&mut self, pack: PackEntry) -> u32 {
        *self.numbers.entry((pack.hash, pack.size)).or_insert_with(|| {
            self.packs.push(pack);
            u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
        })
    }

    pub(crate) fn find(&self, hash: &ObjectHash, size: u64) -> Option<u32> {
        self.numbers.get(&(*hash, size)).copied()
    }

    /// Every number of a pack, whatever size index objects say that it has.
    pub(crate) fn all(&self, hash: &ObjectHash) -> impl Iterator<Item = u32> {
        self.numbers.range((*hash, 0)..=(*hash, u64::MAX)).map(|(_, number)| *number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&PackEntry> {
        self.packs.get(number as usize)
    }
}

/// Names of index objects, and how large these are.
pub(crate) type Listed = BTreeMap<String, u64>;

/// All index objects of a compartment at one moment, as far as those who signed them may write
/// there.
pub(crate) struct Index {
    pub compartment: Compartment,
    pub packs: PackTable,
    pub run: Arc<Run>,
    /// The index objects listed, readable or not.
    pub listed: Listed,
    /// Index objects that could not be read, and why. Their chunks count as absent.
    pub unreadable: Vec<(String, RepoError)>,
    /// Index objects whose signature is good for nothing, and why: they are passed over.
    pub distrusted: Vec<(String, String)>,
    /// The local file that it came from, or that it became.
    file: Option<PathBuf>,
    /// A page of that file is damaged.
    rotten: AtomicBool,
}

/// Records are collected in memory up to this number, then sorted into a run.
const BATCH: usize = 512 << 10;
/// Index objects that are read at once, in bytes: decoded they take about as many again.
const AT_ONCE: u64 = 8 << 20;
/// How often the list of index objects is made anew while prunes replace them.
const TRIES: u32 = 10;
const CACHE_MAGIC: &[u8; 8] = b"pgarkix2";

#[derive(Encode, Decode)]
#[cbor(array)]
struct CacheMeta {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    repository: Vec<u8>,
    /// Names of the index objects in it, and who signed each.
    #[n(1)]
    objects: Vec<(String, ByteVec)>,
    #[n(2)]
    packs: Vec<PackEntry>,
    #[n(3)]
    records: u64,
    #[n(4)]
    fences: Vec<u64>,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    filter: Vec<u8>,
    /// What the key of the pages' sums is made of.
    #[n(6)]
    salt: ByteArray<32>,
}

/// Index objects that were merged: names, and who signed each.
type Merged = BTreeMap<String, Vec<u8>>;

/// The key of the sums of one file's pages: another for each file, so that no page of an older one
/// fits.
fn sum_key(keys: &Keys, salt: &[u8; 32]) -> SumKey {
    *blake3::keyed_hash(&keys.cache_key("index"), salt).as_bytes()
}

fn local(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> RepoError {
    let path = path.display().to_string();
    move |source| RepoError::Local { doing, path: path.clone(), source }
}

/// A file without a name, in the cache folder if there is one.
pub(crate) fn temporary(folders: &LocalFolders) -> Result<File, RepoError> {
    if let Some(cache) = &folders.cache
        && private_folder(cache).is_ok()
        && let Ok(file) = tempfile::tempfile_in(cache)
    {
        return Ok(file);
    }
    tempfile::tempfile()
        .map_err(local("make a temporary file for the index in", Path::new("the temporary folder")))
}

impl Index {
    /// All index objects of a compartment.
    pub(crate) fn list(store: &Storage, compartment: Compartment) -> Result<Listed, RepoError> {
        Ok(store
            .list(&object::folder(compartment))?
            .into_iter()
            .filter(|meta| object::parse_name(&meta.name).is_some())
            .map(|meta| (meta.name, meta.size))
            .collect())
    }

    /// The names at one moment: a list that is made while a prune puts a new object and then
    /// deletes an old one may lack both, but then the next list differs.
    pub(crate) fn list_whole(store: &Storage, compartment: Compartment) -> Result<Listed, RepoError> {
        Index::list_after(store, compartment, Index::list(store, compartment)?)
    }

    /// [`Index::list_whole`] behind a list that was made just now.
    fn list_after(
        store: &Storage,
        compartment: Compartment,
        mut listed: Listed,
    ) -> Result<Listed, RepoError> {
        for _ in 0..TRIES {
            let again = Index::list(store, compartment)?;
            if again == listed {
                break;
            }
            listed = again;
        }
        Ok(listed)
    }

    /// [`Index::load_listed`], again where a prune replaced an index object between the list and
    /// the reading. `listed`: as it was just now.
    pub(crate) fn load(
        repository: &Unlocked,
        compartment: Compartment,
        use_cache: bool,
        mut listed: Listed,
    ) -> Result<Index, RepoError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Index::load_listed(repository, compartment, use_cache, listed) {
                Err(RepoError::Missing { .. }) if tries < TRIES => {
                    listed = Index::list(&repository.store, compartment)?;
                }
                other => return other,
            }
        }
    }

    /// Loads the union of all index objects. An unreadable one is noted, not an error: what only it
    /// knows is absent. `use_cache`: whether the local cache may serve and be written.
    fn load_listed(
        repository: &Unlocked,
        compartment: Compartment,
        use_cache: bool,
        listed: Listed,
    ) -> Result<Index, RepoError> {
        let Unlocked { store, keys, local, .. } = repository;
        let listed = Index::list_after(store, compartment, listed)?;
        let path = local
            .cache
            .as_ref()
            .filter(|_| use_cache)
            .map(|cache| cache.join(format!("index-{}-{compartment}", keys.repository)));
        let load = Load { repository, compartment, listed: &listed, cache: path.as_deref() };
        // What was merged before may be of somebody whose word counts no more.
        let counts = |(name, signer): (&String, &Vec<u8>)| {
            listed.contains_key(name) && load.counts(name, signer).is_ok()
        };
        if let Some(path) = &path
            && let Some((merged, packs, run)) = open_cache(path, keys)
            && merged.iter().all(counts)
        {
            match load.merge_into(merged, packs, Some(Arc::new(run))) {
                Err(RepoError::Local { .. }) => {
                    store.warn(&format!("the local index {} is damaged: it is made again", path.display()));
                }
                other => return other,
            }
        }
        load.merge_into(Merged::new(), PackTable::default(), None)
    }
}

/// One loading of the index.
struct Load<'l> {
    repository: &'l Unlocked,
    compartment: Compartment,
    listed: &'l Listed,
    cache: Option<&'l Path>,
}

impl Load<'_> {
    /// Whether an index object of this signer counts; else why not.
    fn counts(&self, name: &str, signer: &[u8]) -> Result<(), String> {
        counts(self.repository, self.compartment, name, signer)
    }

    fn merge_into(
        &self,
        mut merged: Merged,
        mut packs: PackTable,
        known: Option<Arc<Run>>,
    ) -> Result<Index, RepoError> {
        let Unlocked { keys, local: folders, .. } = self.repository;
        let listed = self.listed;
        let missing: Vec<(&String, u64)> = listed
            .iter()
            .filter(|(name, _)| !merged.contains_key(*name))
            .map(|(name, size)| (name, *size))
            .collect();
        if let Some(run) = &known
            && missing.is_empty()
        {
            return Ok(self.index(packs, Arc::clone(run), Vec::new(), Vec::new()));
        }
        let mut runs: Vec<Arc<Run>> = known.into_iter().collect();
        let (mut batch, mut unreadable, mut distrusted) = (Vec::new(), Vec::new(), Vec::new());
        let read = |(name, _): &(&String, u64)| read_object(self.repository, name);
        let contents = each_within(&missing, AT_ONCE, |(_, size)| *size, read);
        let mut is_new = false;
        for (name, content) in missing.iter().map(|(name, _)| (*name).clone()).zip(contents) {
            match content {
                Ok((content, signer)) => {
                    if let Err(why) = self.counts(&name, &signer) {
                        distrusted.push((name, why));
                        continue;
                    }
                    let numbers = packs.add(&content);
                    batch.extend(content.records.iter().filter_map(|record| {
                        Some(Record {
                            id: record.id,
                            pack: *numbers.get(record.pack as usize)?,
                            raw_len: record.raw_len,
                            sealed_len: record.sealed_len,
                            kind: record.kind,
                        })
                    }));
                    is_new = true;
                    merged.insert(name, signer);
                }
                // A prune replaced it since the list was made.
                Err(RepoError::Missing { .. }) => return Err(RepoError::Missing { object: name }),
                Err(
                    error @ (RepoError::Store(_)
                    | RepoError::NewerFormat { .. }
                    | RepoError::KeyOfOlderEpoch { .. }),
                ) => return Err(error),
                Err(error) => unreadable.push((name, error)),
            }
            if batch.len() >= BATCH {
                runs.push(Arc::new(sorted_run(temporary(folders)?, &mut batch)?));
            }
        }
        if !batch.is_empty() || runs.is_empty() {
            runs.push(Arc::new(sorted_run(temporary(folders)?, &mut batch)?));
        }
        let run = match (runs.as_slice(), self.cache.filter(|_| is_new || runs.len() > 1)) {
            ([one], None) => Arc::clone(one),
            (many, None) => Arc::new(merge_runs(temporary(folders)?, many)?),
            (many, Some(path)) => {
                Arc::new(write_cache(path, &self.repository.store, folders, keys, &merged, &packs, many)?)
            }
        };
        Ok(self.index(packs, run, unreadable, distrusted))
    }

    fn index(
        &self,
        packs: PackTable,
        run: Arc<Run>,
        unreadable: Vec<(String, RepoError)>,
        distrusted: Vec<(String, String)>,
    ) -> Index {
        Index {
            compartment: self.compartment,
            packs,
            run,
            listed: self.listed.clone(),
            unreadable,
            distrusted,
            file: self.cache.map(Path::to_path_buf),
            rotten: AtomicBool::new(false),
        }
    }
}

/// Whether an index object of this name and signer counts; else why not.
pub(crate) fn counts(
    repository: &Unlocked,
    compartment: Compartment,
    name: &str,
    signer: &[u8],
) -> Result<(), String> {
    let hash = object::parse_name(name).map(|(_, hash)| hash);
    repository.may_store(signer, compartment, hash.as_ref())
}

impl Index {
    /// Whether its local file was found damaged: another one is to be loaded.
    pub(crate) fn is_rotten(&self) -> bool {
        self.rotten.load(Ordering::Relaxed)
    }

    /// For those who need every record: whether all pages of the local file are good. Else it is
    /// removed.
    pub(crate) fn is_whole(&self) -> bool {
        if self.file.is_some() && !self.is_rotten() && !self.run.is_whole() {
            self.set_rotten();
        }
        !self.is_rotten()
    }

    fn set_rotten(&self) {
        if !self.rotten.swap(true, Ordering::Relaxed)
            && let Some(file) = &self.file
        {
            // The index serves all jobs and knows none.
            tracing::warn!("the local index {} is damaged: it is made again", file.display());
            // Where it cannot be removed the next command finds the same.
            let _ = std::fs::remove_file(file);
        }
    }

    /// Every known place of a chunk; none where the page that would name them is damaged.
    pub(crate) fn find(&self, id: &ChunkId) -> Result<Vec<Record>, RepoError> {
        match self.run.find(id) {
            Err(_) if self.file.is_some() => {
                self.set_rotten();
                Ok(Vec::new())
            }
            found => found.map_err(local("read the local index", Path::new("of this host"))),
        }
    }
}

/// An index object that can be read.
pub(crate) struct Judged {
    pub content: IndexContent,
    pub signer: Vec<u8>,
    /// Its signer may write here.
    pub counts: bool,
}

/// [`read_object`], and whether it counts; none where it is gone or cannot be read.
pub(crate) fn read_judged(
    repository: &Unlocked,
    compartment: Compartment,
    name: &str,
) -> Result<Option<Judged>, RepoError> {
    match read_object(repository, name) {
        Ok((content, signer)) => {
            let counts = counts(repository, compartment, name, &signer).is_ok();
            Ok(Some(Judged { content, signer, counts }))
        }
        Err(error) if error.is_of_object() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of an index object, and who signed it.
pub(crate) fn read_object(repository: &Unlocked, name: &str) -> Result<(IndexContent, Vec<u8>), RepoError> {
    let bytes = crate::object::get(&repository.store, name)?;
    // First of all: a flipped bit in the version must not look like a newer format, which ends
    // everything.
    match object::parse_name(name) {
        Some((compartment, hash)) if hash == ObjectHash::of(&bytes) => {
            object::decode(&repository.keys, compartment, name, &bytes)
        }
        _ => Err(crate::object::damaged(name, "its bytes do not have the hash that is its name")),
    }
}

/// Sorts records into a run and empties them.
pub(crate) fn sorted_run(file: File, records: &mut Vec<Record>) -> Result<Run, RepoError> {
    records.sort();
    records.dedup();
    let run = Run::write(file, UNNAMED, records.len() as u64, records.drain(..).map(Ok));
    run.map_err(local("write the local index", Path::new("of this host")))
}

/// Merges runs into one.
pub(crate) fn merge_runs(file: File, runs: &[Arc<Run>]) -> Result<Run, RepoError> {
    merge_under(file, UNNAMED, runs)
}

fn merge_under(file: File, key: SumKey, runs: &[Arc<Run>]) -> Result<Run, RepoError> {
    let at_most = runs.iter().map(|run| run.records).sum();
    Run::write(file, key, at_most, run::merge(runs))
        .map_err(local("write the local index", Path::new("of this host")))
}

/// Writes the merged runs as the cache; a cache that cannot be written becomes a temporary file.
fn write_cache(
    path: &Path,
    store: &Storage,
    folders: &LocalFolders,
    keys: &Keys,
    objects: &Merged,
    packs: &PackTable,
    runs: &[Arc<Run>],
) -> Result<Run, RepoError> {
    let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
    let named = private_folder(&folder).and_then(|()| tempfile::NamedTempFile::new_in(&folder));
    let (file, name) = match named {
        Ok(named) => {
            let (file, name) = named.into_parts();
            (file, Some(name))
        }
        Err(error) => {
            store.warn(&format!("the local index cannot be kept in {}: {error}", folder.display()));
            (temporary(folders)?, None)
        }
    };
    let salt: [u8; 32] = crate::random::bytes()?;
    let run = merge_under(file, sum_key(keys, &salt), runs)?;
    if let Some(name) = name {
        let meta = CacheMeta {
            repository: keys.repository.0.to_vec(),
            objects: objects.iter().map(|(name, signer)| (name.clone(), signer.clone().into())).collect(),
            packs: packs.packs.clone(),
            records: run.records,
            fences: run.fences().to_vec(),
            filter: run.filter().as_bytes().to_vec(),
            salt: ByteArray::from(salt),
        };
        let meta = codec::encode(&meta);
        let mut tail = meta.clone();
        tail.extend_from_slice(&(meta.len() as u64).to_le_bytes());
        tail.extend_from_slice(blake3::keyed_hash(&keys.cache_key("index"), &meta).as_bytes());
        tail.extend_from_slice(CACHE_MAGIC);
        let kept = run
            .file()
            .write_all_at(&tail, run.page_bytes())
            .and_then(|()| run.file().flush())
            .and_then(|()| name.persist(path).map_err(|error| error.error));
        if let Err(error) = kept {
            store.warn(&format!("the local index cannot be kept at {}: {error}", path.display()));
        }
    }
    Ok(run)
}

/// Opens the cache; None for anything that is not wholly right.
fn open_cache(path: &Path, keys: &Keys) -> Option<(Merged, PackTable, Run)> {
    const TAIL: u64 = 8 + 32 + 8;
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, size.checked_sub(TAIL)?).ok()?;
    let (len, rest) = tail.split_first_chunk::<8>()?;
    let (sum, magic) = rest.split_first_chunk::<32>()?;
    let len = u64::from_le_bytes(*len);
    let start = size.checked_sub(TAIL)?.checked_sub(len)?;
    if magic != CACHE_MAGIC {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut bytes, start).ok()?;
    if blake3::keyed_hash(&keys.cache_key("index"), &bytes).as_bytes() != sum {
        return None;
    }
    // Its sum says that it is ours: no need to compare a second encoding of what may be large.
    let meta: CacheMeta = minicbor::decode(&bytes).ok()?;
    let mut packs = PackTable::default();
    for (number, pack) in (0u32..).zip(&meta.packs) {
        if packs.number(*pack) != number {
            return None;
        }
    }
    let key = sum_key(keys, &meta.salt);
    let run = Run::restore(file, key, meta.records, meta.fences, Filter::from_bytes(meta.filter))?;
    (meta.repository == keys.repository.0 && run.page_bytes() == start)
        .then(|| (meta.objects.into_iter().map(|(name, signer)| (name, signer.into())).collect(), packs, run))
}
