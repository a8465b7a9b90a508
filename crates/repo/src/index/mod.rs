//! Where each chunk is: the union of all index objects, as one sorted local file.
//!
//! The local file is a cache: new index objects are merged into it, what is gone is left out
//! (`kept.rs`), and anything wrong with it makes it be built again. It carries sums under a key of
//! the repository. A page that is found damaged only when it is looked at holds
//! nothing, as far as anybody knows: a writer stores its chunks again, and a reader takes a new
//! index, since the file is removed. Without a cache folder an unlinked temporary file serves.
//! Memory: see [`run`]; while merging, 128 Ki records of each index object and one page of each run
//! come on top.

mod current;
mod filter;
mod kept;
mod layers;
#[cfg(feature = "measure")]
pub mod measure;
pub(crate) mod object;
pub(crate) mod run;
mod table;
mod temporary;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgark_store::Storage;

use crate::RepoError;
use crate::at_once::each_within;
use crate::ids::{ChunkId, Compartment, ObjectHash};
use crate::unlocked::Unlocked;
pub(crate) use current::CurrentIndex;
use kept::{Files, Kept, Merged};
pub(crate) use layers::Layers;
use object::IndexContent;
use run::UNNAMED;
pub(crate) use run::{Record, Run};
pub(crate) use table::{Listed, PackTable};
use temporary::local;
pub(crate) use temporary::temporary;

/// All index objects of a compartment at one moment, as far as those who signed them may write
/// there.
pub(crate) struct Index {
    pub compartment: Compartment,
    pub packs: PackTable,
    pub records: Layers,
    /// This host's file says more than the index objects of today: what others said before of packs
    /// that are still named.
    is_more: bool,
    /// The index objects listed, readable or not.
    pub listed: Listed,
    /// Index objects that could not be read, and why. Their chunks count as absent.
    pub unreadable: Vec<(String, RepoError)>,
    /// Index objects whose signature is good for nothing, and why: they are skipped.
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
/// How often the list of index objects is built again while prunes replace them.
const TRIES: u32 = 10;
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
    /// deletes an old one may have neither, but then the next list differs.
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

    /// Loads the union of all index objects. An unreadable one is recorded, not an error: what only
    /// it knows is absent. `use_cache`: whether the local cache may serve and be written.
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
        let kept = path.as_deref().map(|path| Kept::open(path, keys)).unwrap_or_default();
        // What was merged before may be of someone whose word counts no more.
        if kept.base.is_some()
            && kept.objects.iter().all(|(name, merged)| load.counts(name, &merged.signer).is_ok())
        {
            match (load.merge_into(kept), &path) {
                (Err(RepoError::Local { .. }), Some(path)) => {
                    store.warn(&format!("the local index {} is damaged: it is rebuilt", path.display()));
                }
                (other, _) => return other,
            }
        }
        load.merge_into(Kept::default())
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

    fn merge_into(&self, mut kept: Kept) -> Result<Index, RepoError> {
        let Unlocked { keys, local: folders, store, .. } = self.repository;
        if !kept.keep_listed(self.listed) {
            kept = Kept::default();
        }
        let missing: Vec<(&String, u64)> = self
            .listed
            .iter()
            .filter(|(name, _)| !kept.objects.contains_key(*name))
            .map(|(name, size)| (name, *size))
            .collect();
        let mut runs: Vec<Arc<Run>> = Vec::new();
        let (mut batch, mut unreadable, mut distrusted) = (Vec::new(), Vec::new(), Vec::new());
        let read = |(name, _): &(&String, u64)| read_object(self.repository, name);
        let contents = each_within(&missing, AT_ONCE, |(_, size)| *size, read);
        for (name, content) in missing.iter().map(|(name, _)| (*name).clone()).zip(contents) {
            match content {
                Ok((content, signer)) => {
                    if let Err(why) = self.counts(&name, &signer) {
                        distrusted.push((name, why));
                        continue;
                    }
                    let numbers = kept.packs.add(&content);
                    batch.extend(content.records.iter().filter_map(|record| {
                        Some(Record {
                            id: record.id,
                            pack: *numbers.get(record.pack as usize)?,
                            raw_len: record.raw_len,
                            sealed_len: record.sealed_len,
                            kind: record.kind,
                        })
                    }));
                    kept.objects.insert(name, Merged { signer, packs: numbers });
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
        if !batch.is_empty() || (runs.is_empty() && kept.base.is_none()) {
            runs.push(Arc::new(sorted_run(temporary(folders)?, &mut batch)?));
        }
        if !runs.is_empty() {
            kept = kept.add(runs, &Files { path: self.cache, store, folders, keys })?;
        }
        Ok(self.index(&kept, unreadable, distrusted))
    }

    fn index(
        &self,
        kept: &Kept,
        unreadable: Vec<(String, RepoError)>,
        distrusted: Vec<(String, String)>,
    ) -> Index {
        let (packs, records) = kept.seen();
        Index {
            compartment: self.compartment,
            packs,
            records,
            is_more: kept.is_more,
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

    /// For those who need what the index objects say, all of it and no more: whether the local file
    /// says that, and all its pages are good. Else it is removed.
    pub(crate) fn is_whole(&self) -> bool {
        if let Some(file) = self.file.as_ref().filter(|_| self.is_more) {
            kept::remove(file);
            self.rotten.store(true, Ordering::Relaxed);
        }
        if self.file.is_some() && !self.is_rotten() && !self.records.is_whole() {
            self.set_rotten();
        }
        !self.is_rotten()
    }

    fn set_rotten(&self) {
        if !self.rotten.swap(true, Ordering::Relaxed)
            && let Some(file) = &self.file
        {
            // The index serves all jobs and knows none.
            tracing::warn!("the local index {} is damaged: it is rebuilt", file.display());
            kept::remove(file);
        }
    }

    /// Every known place of a chunk; none where the page that would name them is damaged.
    pub(crate) fn find(&self, id: &ChunkId) -> Result<Vec<Record>, RepoError> {
        match self.records.find(id) {
            Err(_) if self.file.is_some() => {
                self.set_rotten();
                Ok(Vec::new())
            }
            found => found.map_err(local("read the local index", Path::new("of this host"))),
        }
    }

    /// Shows every known place of each of these chunks, which are sorted by id, with the chunk's
    /// position among them: each page is read once. What a damaged page would name is not shown.
    pub(crate) fn find_sorted(
        &self,
        ids: &[ChunkId],
        see: &mut dyn FnMut(usize, Record),
    ) -> Result<(), RepoError> {
        match self.records.find_sorted(ids, see) {
            Err(_) if self.file.is_some() => {
                self.set_rotten();
                Ok(())
            }
            done => done.map_err(local("read the local index", Path::new("of this host"))),
        }
    }
}

#[cfg(test)]
impl Index {
    /// An index of these records, in a file that may be found damaged.
    pub(crate) fn for_tests(
        packs: PackTable,
        mut records: Vec<Record>,
        local: &std::path::Path,
        file: File,
    ) -> Index {
        let run = Arc::new(sorted_run(file, &mut records).unwrap());
        Index {
            compartment: Compartment([0; 16]),
            packs,
            records: Layers::new(vec![run], None),
            is_more: false,
            listed: Listed::new(),
            unreadable: Vec::new(),
            distrusted: Vec::new(),
            file: Some(local.to_path_buf()),
            rotten: AtomicBool::new(false),
        }
    }
}

/// An index object that can be read.
pub(crate) struct Judged {
    pub content: IndexContent,
    pub signer: Vec<u8>,
    /// Its signer has the right to write here.
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
    let at_most = runs.iter().map(|run| run.records).sum();
    Run::write(file, UNNAMED, at_most, run::merge(runs))
        .map_err(local("write the local index", Path::new("of this host")))
}
