//! The files in which this host keeps an index: one, and next to it a small one of what came since,
//! so that a large one is not rewritten for each backup.
//!
//! Each holds a run and, at its end, what belongs to it: the index objects that were merged with
//! the packs that each names, the table of packs, filter and fences. Sums under a key of the
//! repository say that they are ours; anything else counts as not there. An index object that is
//! gone since takes nothing away but the packs that no other one names: what it said of the others
//! was true when its signer said it, and packs never change. Who must know what the index objects
//! of today say, and no more (a check, a prune), has the files made again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use super::filter::Filter;
use super::layers::{Layers, Numbers};
use super::object::PackEntry;
use super::run::{Run, SumKey};
use super::table::{Listed, PackTable};
use super::temporary::{local, temporary};
use crate::secrets::{Keys, LocalFolders, private_folder};
use crate::{RepoError, codec};

const MAGIC: &[u8; 8] = b"pgarkix3";
/// What came since is kept apart while it is less than one part in so many.
const PARTS: u64 = 8;
/// A smaller file is rewritten each time.
const LARGE: u64 = if cfg!(test) { 64 } else { 256 << 10 };

/// An index object that was merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub signer: Vec<u8>,
    /// Numbers of the packs that it names.
    pub packs: Vec<u32>,
}

/// Index objects that were merged, by name.
pub(super) type Objects = BTreeMap<String, Merged>;

/// Index objects and what they say, as this host has it.
#[derive(Default)]
pub(super) struct Kept {
    pub objects: Objects,
    /// The files' numbers.
    pub packs: PackTable,
    pub base: Option<Base>,
    pub newer: Option<Arc<Run>>,
    /// Some of it is in no index object any more.
    pub is_more: bool,
}

/// The large file.
pub(super) struct Base {
    pub run: Arc<Run>,
    salt: [u8; 32],
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Meta {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    repository: Vec<u8>,
    #[n(1)]
    objects: Vec<(String, ByteVec, Vec<u32>)>,
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
    /// The salt of the file that this one belongs to; none: it is alone.
    #[n(7)]
    beside: Option<ByteArray<32>>,
    #[n(8)]
    is_more: bool,
}

/// The key of the sums of one file's pages: another for each file, so that no page of an older one
/// fits.
fn sum_key(keys: &Keys, salt: &[u8; 32]) -> SumKey {
    *blake3::keyed_hash(&keys.cache_key("index"), salt).as_bytes()
}

fn newer_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push("-newer");
    name.into()
}

/// Removes the files. Where they cannot be removed the next command finds the same.
pub(super) fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_file(newer_path(path));
}

impl Kept {
    /// What the files at this path hold; nothing where the large one is not wholly right.
    pub(super) fn open(path: &Path, keys: &Keys) -> Kept {
        let Some((meta, run)) = open_file(path, keys).filter(|(meta, _)| meta.beside.is_none()) else {
            return Kept::default();
        };
        let base = Base { run: Arc::new(run), salt: meta.salt.into() };
        let is_beside = |(meta, _): &(Meta, Run)| meta.beside == Some(base.salt.into());
        let newer = open_file(&newer_path(path), keys).filter(is_beside);
        let (meta, newer) = match newer {
            Some((newer, run)) => (newer, Some(Arc::new(run))),
            None => (meta, None),
        };
        let Some(packs) = table(&meta.packs) else { return Kept::default() };
        let object = |(name, signer, packs): (String, ByteVec, Vec<u32>)| {
            (name, Merged { signer: signer.into(), packs })
        };
        let objects = meta.objects.into_iter().map(object).collect();
        Kept { objects, packs, base: Some(base), newer, is_more: meta.is_more }
    }

    /// Forgets index objects that are gone. False where most of it is gone: an index was rebuilt,
    /// perhaps because there were lies in the old one.
    pub(super) fn keep_listed(&mut self, listed: &Listed) -> bool {
        let named = |kept: &Kept| kept.objects.values().map(|merged| merged.packs.len()).sum::<usize>();
        let (objects, before) = (self.objects.len(), named(self));
        self.objects.retain(|name, _| listed.contains_key(name));
        self.is_more |= self.objects.len() < objects;
        2 * named(self) >= before
    }

    /// The table of the packs that index objects name, and what the numbers of the files are in it.
    fn compact(&self) -> (PackTable, Option<Numbers>) {
        let named: BTreeSet<u32> =
            self.objects.values().flat_map(|object| object.packs.iter().copied()).collect();
        if named.len() == self.packs.packs.len() {
            return (self.packs.clone(), None);
        }
        let (mut table, mut numbers) = (PackTable::default(), Vec::with_capacity(self.packs.packs.len()));
        for (number, pack) in (0u32..).zip(&self.packs.packs) {
            numbers.push(named.contains(&number).then(|| table.number(*pack)));
        }
        (table, Some(Arc::new(numbers)))
    }

    /// The packs that index objects name, and their records.
    pub(super) fn seen(&self) -> (PackTable, Layers) {
        let (packs, numbers) = self.compact();
        let base = self.base.as_ref().map(|base| Arc::clone(&base.run));
        (packs, Layers::new(base.into_iter().chain(self.newer.clone()).collect(), numbers))
    }

    /// Adds runs whose index objects and packs are here already, and keeps all in the files.
    pub(super) fn add(self, new: Vec<Arc<Run>>, files: &Files<'_>) -> Result<Kept, RepoError> {
        let newer: Vec<Arc<Run>> = self.newer.iter().cloned().chain(new).collect();
        let few = newer.iter().map(|run| run.records).sum::<u64>();
        if let Some(path) = files.path
            && let Some(base) = &self.base
            && base.run.records >= LARGE
            && few.saturating_mul(PARTS) <= base.run.records
        {
            let (layers, path) = (Layers::new(newer, None), newer_path(path));
            let (run, _) = files.write(Some(&path), &layers, &self, Some(base.salt))?;
            return Ok(Kept { newer: Some(Arc::new(run)), ..self });
        }
        let (packs, numbers) = self.compact();
        let base = self.base.iter().map(|base| Arc::clone(&base.run));
        let layers = Layers::new(base.chain(newer).collect(), numbers.clone());
        let mut all = Kept { packs, base: None, newer: None, ..self };
        if let Some(numbers) = numbers {
            for object in all.objects.values_mut() {
                let of = |number: &u32| numbers.get(*number as usize).copied().flatten();
                object.packs = object.packs.iter().filter_map(of).collect();
            }
        }
        let (run, salt) = files.write(files.path, &layers, &all, None)?;
        if let Some(path) = files.path {
            // One that stays is next to another file, and counts for nothing.
            let _ = std::fs::remove_file(newer_path(path));
        }
        all.base = Some(Base { run: Arc::new(run), salt });
        Ok(all)
    }
}

/// Where this host keeps an index.
pub(super) struct Files<'f> {
    /// None: in temporary files.
    pub path: Option<&'f Path>,
    pub store: &'f Storage,
    pub folders: &'f LocalFolders,
    pub keys: &'f Keys,
}

impl Files<'_> {
    /// Writes records and what belongs to them; a file that cannot be kept is a temporary one.
    fn write(
        &self,
        path: Option<&Path>,
        layers: &Layers,
        kept: &Kept,
        beside: Option<[u8; 32]>,
    ) -> Result<(Run, [u8; 32]), RepoError> {
        let warn = |path: &Path, error: std::io::Error| {
            self.store.warn(&format!("the local index cannot be cached at {}: {error}", path.display()));
        };
        let named = path.and_then(|path| named_file(path).map_err(|error| warn(path, error)).ok());
        let (file, name) = match named.map(tempfile::NamedTempFile::into_parts) {
            Some((file, name)) => (file, Some(name)),
            None => (temporary(self.folders)?, None),
        };
        let salt: [u8; 32] = crate::random::bytes()?;
        let run = Run::write(file, sum_key(self.keys, &salt), layers.at_most(), layers.iter())
            .map_err(local("write the local index", Path::new("of this host")))?;
        if let (Some(path), Some(name)) = (path, name) {
            let object = |(name, merged): (&String, &Merged)| {
                (name.clone(), ByteVec::from(merged.signer.clone()), merged.packs.clone())
            };
            let meta = Meta {
                repository: self.keys.repository.0.to_vec(),
                objects: kept.objects.iter().map(object).collect(),
                packs: kept.packs.packs.clone(),
                records: run.records,
                fences: run.fences().to_vec(),
                filter: run.filter().as_bytes().to_vec(),
                salt: ByteArray::from(salt),
                beside: beside.map(ByteArray::from),
                is_more: kept.is_more,
            };
            let meta = codec::encode(&meta);
            let mut tail = meta.clone();
            tail.extend_from_slice(&(meta.len() as u64).to_le_bytes());
            tail.extend_from_slice(blake3::keyed_hash(&self.keys.cache_key("index"), &meta).as_bytes());
            tail.extend_from_slice(MAGIC);
            let kept = run
                .file()
                .write_all_at(&tail, run.page_bytes())
                .and_then(|()| run.file().flush())
                .and_then(|()| name.persist(path).map_err(|error| error.error));
            if let Err(error) = kept {
                warn(path, error);
            }
        }
        Ok((run, salt))
    }
}

fn named_file(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    private_folder(folder)?;
    tempfile::NamedTempFile::new_in(folder)
}

/// Opens one file; None for anything that is not wholly right.
fn open_file(path: &Path, keys: &Keys) -> Option<(Meta, Run)> {
    const TAIL: u64 = 8 + 32 + 8;
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, size.checked_sub(TAIL)?).ok()?;
    let (len, rest) = tail.split_first_chunk::<8>()?;
    let (sum, magic) = rest.split_first_chunk::<32>()?;
    let len = u64::from_le_bytes(*len);
    let start = size.checked_sub(TAIL)?.checked_sub(len)?;
    if magic != MAGIC {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut bytes, start).ok()?;
    if blake3::keyed_hash(&keys.cache_key("index"), &bytes).as_bytes() != sum {
        return None;
    }
    // Its sum says that it is ours: no need to compare a second encoding of what may be large.
    let mut meta: Meta = minicbor::decode(&bytes).ok()?;
    let key = sum_key(keys, &meta.salt);
    let (fences, filter) = (std::mem::take(&mut meta.fences), std::mem::take(&mut meta.filter));
    let run = Run::restore(file, key, meta.records, fences, Filter::from_bytes(filter))?;
    (meta.repository == keys.repository.0 && run.page_bytes() == start).then_some((meta, run))
}

/// The table of these packs, in their order; None if one is there twice.
fn table(packs: &[PackEntry]) -> Option<PackTable> {
    let mut table = PackTable::default();
    (0u32..).zip(packs).all(|(number, pack)| table.number(*pack) == number).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Compartment, Hash};
    use crate::index::object::{self as index_object, IndexContent, IndexRecord};
    use crate::index::{Index, Record};
    use crate::properties::{self, Random};
    use crate::{Repository, Unlock, object};

    fn hash(random: &mut Random) -> Hash {
        Hash::of(&random.next().to_le_bytes())
    }

    fn put(repository: &Repository, compartment: Compartment, content: IndexContent) -> String {
        let bytes = index_object::encode(repository.keys(), compartment, content).unwrap();
        let name = index_object::name(compartment, &Hash::of(&bytes));
        object::put(repository.store(), &name, bytes).unwrap();
        name
    }

    /// A repository whose index this host keeps, and a compartment of it.
    fn kept() -> (tempfile::TempDir, Repository, Compartment) {
        let (dir, plain) = properties::repository();
        let local = LocalFolders { cache: Some(dir.path().join("cache")), state: None };
        let repository = Repository::open(plain.store().clone(), Unlock::Nothing, local).unwrap();
        let compartment = repository.unlocked.compartment_of("c").unwrap();
        (dir, repository, compartment)
    }

    fn load(repository: &Repository, compartment: Compartment, use_cache: bool) -> Index {
        let listed = Index::list(repository.store(), compartment).unwrap();
        Index::load(&repository.unlocked, compartment, use_cache, listed).unwrap()
    }

    /// What an index says, without the numbers of its table.
    fn said(index: &Index) -> Vec<(Hash, PackEntry, u32)> {
        let of = |record: Record| {
            assert!(index.find(&record.id).unwrap().contains(&record));
            (record.id, *index.packs.get(record.pack).unwrap(), record.raw_len)
        };
        let mut said: Vec<_> = index.records.iter().map(|record| of(record.unwrap())).collect();
        said.sort_by_key(|(id, pack, len)| (*id, pack.hash, *len));
        said
    }

    /// An index that was rebuilt leaves nothing of the old one.
    #[test]
    fn lies_go_when_an_index_is_made_anew() {
        let (_dir, repository, compartment) = kept();
        let mut random = Random(5);
        let packs = vec![PackEntry { hash: hash(&mut random), size: 10 }];
        let record = |id: Hash| IndexRecord { id, pack: 0, raw_len: 100, sealed_len: 50, kind: 1 };
        let (truth, lie) = (hash(&mut random), hash(&mut random));
        let content = |ids: &[Hash]| IndexContent {
            packs: packs.clone(),
            records: ids.iter().copied().map(record).collect(),
            supersedes: Vec::new(),
        };
        let load = || load(&repository, compartment, true);
        let old = put(&repository, compartment, content(&[truth, lie]));
        assert!(!load().find(&lie).unwrap().is_empty());
        put(&repository, compartment, content(&[truth]));
        repository.store().delete(&old).unwrap();
        let index = load();
        assert!(index.find(&lie).unwrap().is_empty() && !index.find(&truth).unwrap().is_empty());
    }

    /// The index from this host's files is the one that is read again, whatever came and went:
    /// index objects, and others in their place without packs that are gone.
    #[test]
    fn what_is_kept_is_what_is_there() {
        let (dir, repository, compartment) = kept();
        let mut random = Random(3);
        let mut contents: Vec<(String, IndexContent)> = Vec::new();
        let (mut together, mut apart) = (0, 0);
        for round in 0..300 {
            match random.below(3) {
                0 | 1 => {
                    let entry =
                        |random: &mut Random| PackEntry { hash: hash(random), size: random.next() % 1000 };
                    let packs: Vec<PackEntry> = (0..=random.below(3)).map(|_| entry(&mut random)).collect();
                    let record = |random: &mut Random| IndexRecord {
                        id: hash(random),
                        pack: random.below(packs.len()) as u32,
                        raw_len: 100,
                        sealed_len: 50,
                        kind: 1,
                    };
                    let records = (0..1 + random.below(20)).map(|_| record(&mut random)).collect();
                    let content = IndexContent { packs, records, supersedes: Vec::new() };
                    contents.push((put(&repository, compartment, content.clone()), content));
                }
                // A prune: one in the place of two, without one of their packs.
                _ if contents.len() > 2 => {
                    let (old, one) = contents.swap_remove(random.below(contents.len()));
                    let (older, other) = contents.swap_remove(random.below(contents.len()));
                    let mut merged = one.clone();
                    let first = one.packs.len() as u32;
                    merged.packs.extend(other.packs);
                    let moved = other
                        .records
                        .iter()
                        .map(|record| IndexRecord { pack: record.pack + first, ..*record });
                    merged.records.extend(moved);
                    let gone = merged.packs.len() as u32 - 1;
                    if gone > 0 && random.below(2) == 0 {
                        merged.packs.pop();
                        merged.records.retain(|record| record.pack != gone);
                    }
                    if !merged.records.is_empty() {
                        contents.push((put(&repository, compartment, merged.clone()), merged));
                    }
                    repository.store().delete(&old).unwrap();
                    repository.store().delete(&older).unwrap();
                }
                _ => {}
            }
            let load = |use_cache: bool| load(&repository, compartment, use_cache);
            let (kept, anew) = (load(true), load(false));
            assert_eq!(said(&kept), said(&anew), "round {round}");
            let hashes = |index: &Index| -> BTreeSet<Hash> {
                let named = |pack: &&PackEntry| index.packs.find(&pack.hash, pack.size).is_some();
                assert!(index.packs.packs.iter().all(|pack| named(&pack)));
                index.packs.packs.iter().map(|pack| pack.hash).collect()
            };
            assert_eq!(hashes(&kept), hashes(&anew), "round {round}");
            let path = dir
                .path()
                .join("cache")
                .join(format!("index-{}-{compartment}-newer", repository.keys().repository));
            if random.below(20) == 0 {
                let exact = repository.index.whole(&repository.unlocked, compartment).unwrap();
                assert!(!exact.is_more && said(&exact) == said(&anew), "round {round}");
            }
            if path.exists() { apart += 1 } else { together += 1 }
        }
        assert!(together > 20 && apart > 20, "{together} {apart}");
    }
}
