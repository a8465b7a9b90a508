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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::at_once::each_within;
use crate::ids::{ChunkId, ObjectHash};
use crate::secrets::{Keys, LocalFolders, private_folder};
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
    numbers: HashMap<ObjectHash, u32>,
}

impl PackTable {
    pub(crate) fn number(&mut self, pack: PackEntry) -> u32 {
        *self.numbers.entry(pack.hash).or_insert_with(|| {
            self.packs.push(pack);
            u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
        })
    }

    pub(crate) fn find(&self, hash: &ObjectHash) -> Option<u32> {
        self.numbers.get(hash).copied()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&PackEntry> {
        self.packs.get(number as usize)
    }
}

/// Names of index objects, and how large these are.
pub(crate) type Listed = BTreeMap<String, u64>;

/// All index objects of a repository at one moment.
pub(crate) struct Index {
    pub packs: PackTable,
    pub run: Arc<Run>,
    /// The index objects listed, readable or not.
    pub listed: Listed,
    /// Index objects that could not be read, and why. Their chunks count as absent.
    pub unreadable: Vec<(String, RepoError)>,
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
const CACHE_MAGIC: &[u8; 8] = b"pgarkix1";

#[derive(Encode, Decode)]
#[cbor(array)]
struct CacheMeta {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    repository: Vec<u8>,
    #[n(1)]
    objects: Vec<String>,
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
    /// All index objects.
    pub(crate) fn list(store: &Storage) -> Result<Listed, RepoError> {
        Ok(store
            .list("index/")?
            .into_iter()
            .filter(|meta| object::parse_name(&meta.name).is_some())
            .map(|meta| (meta.name, meta.size))
            .collect())
    }

    /// The names at one moment: a list that is made while a prune puts a new object and then
    /// deletes an old one may lack both, but then the next list differs.
    pub(crate) fn list_whole(store: &Storage) -> Result<Listed, RepoError> {
        Index::list_after(store, Index::list(store)?)
    }

    /// [`Index::list_whole`] behind a list that was made just now.
    fn list_after(store: &Storage, mut listed: Listed) -> Result<Listed, RepoError> {
        for _ in 0..TRIES {
            let again = Index::list(store)?;
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
        store: &Storage,
        keys: &Keys,
        folders: &LocalFolders,
        use_cache: bool,
        mut listed: Listed,
    ) -> Result<Index, RepoError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Index::load_listed(store, keys, folders, use_cache, listed) {
                Err(RepoError::Missing { .. }) if tries < TRIES => listed = Index::list(store)?,
                other => return other,
            }
        }
    }

    /// Loads the union of all index objects. An unreadable one is noted, not an error: what only it
    /// knows is absent. `use_cache`: whether the local cache may serve and be written.
    fn load_listed(
        store: &Storage,
        keys: &Keys,
        folders: &LocalFolders,
        use_cache: bool,
        listed: Listed,
    ) -> Result<Index, RepoError> {
        let listed = Index::list_after(store, listed)?;
        let path = folders
            .cache
            .as_ref()
            .filter(|_| use_cache)
            .map(|cache| cache.join(format!("index-{}", keys.repository)));
        if let Some(path) = &path
            && let Some((objects, packs, run)) = open_cache(path, keys)
            && objects.iter().all(|name| listed.contains_key(name))
        {
            match Index::merge_into(
                store,
                keys,
                folders,
                &listed,
                objects,
                packs,
                Some(Arc::new(run)),
                Some(path),
            ) {
                Err(RepoError::Local { .. }) => {
                    store.warn(&format!("the local index {} is damaged: it is made again", path.display()));
                }
                other => return other,
            }
        }
        Index::merge_into(
            store,
            keys,
            folders,
            &listed,
            BTreeSet::new(),
            PackTable::default(),
            None,
            path.as_deref(),
        )
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one cache")]
    fn merge_into(
        store: &Storage,
        keys: &Keys,
        folders: &LocalFolders,
        listed: &Listed,
        mut merged: BTreeSet<String>,
        mut packs: PackTable,
        known: Option<Arc<Run>>,
        cache: Option<&Path>,
    ) -> Result<Index, RepoError> {
        let missing: Vec<(&String, u64)> = listed
            .iter()
            .filter(|(name, _)| !merged.contains(*name))
            .map(|(name, size)| (name, *size))
            .collect();
        if let Some(run) = &known
            && missing.is_empty()
        {
            return Ok(Index::new(packs, Arc::clone(run), listed.clone(), Vec::new(), cache));
        }
        let mut runs: Vec<Arc<Run>> = known.into_iter().collect();
        let (mut batch, mut unreadable) = (Vec::new(), Vec::new());
        let read = |(name, _): &(&String, u64)| read_object(store, keys, name);
        let contents = each_within(&missing, AT_ONCE, |(_, size)| *size, read);
        for (name, content) in missing.iter().map(|(name, _)| (*name).clone()).zip(contents) {
            match content {
                Ok(content) => {
                    let numbers: Vec<u32> = content.packs.iter().map(|pack| packs.number(*pack)).collect();
                    batch.extend(content.records.iter().filter_map(|record| {
                        Some(Record {
                            id: record.id,
                            pack: *numbers.get(record.pack as usize)?,
                            raw_len: record.raw_len,
                            sealed_len: record.sealed_len,
                            kind: record.kind,
                        })
                    }));
                    merged.insert(name);
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
        let run = match (runs.as_slice(), cache) {
            ([one], None) => Arc::clone(one),
            (many, None) => Arc::new(merge_runs(temporary(folders)?, many)?),
            (many, Some(path)) => Arc::new(write_cache(path, store, folders, keys, &merged, &packs, many)?),
        };
        Ok(Index::new(packs, run, listed.clone(), unreadable, cache))
    }

    fn new(
        packs: PackTable,
        run: Arc<Run>,
        listed: Listed,
        unreadable: Vec<(String, RepoError)>,
        file: Option<&Path>,
    ) -> Index {
        let rotten = AtomicBool::new(false);
        Index { packs, run, listed, unreadable, file: file.map(Path::to_path_buf), rotten }
    }

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

pub(crate) fn read_object(store: &Storage, keys: &Keys, name: &str) -> Result<IndexContent, RepoError> {
    let bytes = crate::object::get(store, name)?;
    // First of all: a flipped bit in the version must not look like a newer format, which ends
    // everything.
    if object::parse_name(name) != Some(ObjectHash::of(&bytes)) {
        return Err(crate::object::damaged(name, "its bytes do not have the hash that is its name"));
    }
    object::decode(keys, name, &bytes)
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
    objects: &BTreeSet<String>,
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
            objects: objects.iter().cloned().collect(),
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
fn open_cache(path: &PathBuf, keys: &Keys) -> Option<(BTreeSet<String>, PackTable, Run)> {
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
        .then(|| (meta.objects.into_iter().collect(), packs, run))
}
