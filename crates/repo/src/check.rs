//! Verification of a whole repository (FORMAT.md, "Check"). A problem never ends it; a storage that cannot be read does.
//!
//! First every index object, then every pack that the index names (a few threads), then every manifest with its chain, and
//! at last every chunk that a backup refers to, against what was found before. So each problem carries the backups that it
//! touches. What no index and no manifest names is garbage of a crash, and no problem.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::Timestamp;
use pgark_store::Cancel;

use crate::RepoError;
use crate::forget;
use crate::ids::{BackupId, ChunkId, Hash, ObjectHash};
use crate::index::{Index, object as index_object};
use crate::manifest::{self, Manifest};
use crate::map::{self, Group, MapRef, Part};
use crate::object::{self, inside};
use crate::pack;
use crate::prune::live::Live;
use crate::prune::usage;
use crate::quarantine;
use crate::reader::{ChunkReader, root_child};
use crate::repository::Repository;
use crate::secrets;
use crate::stream::{Child, ChunkKind, StreamRef};
use crate::writer::lock;
use crate::writers::Writers;

/// How deep a check looks. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckLevel {
    /// Signatures, chains, lists, trees, the index, sizes and directories of packs.
    Structure,
    /// The hash of every object's bytes. The writer secret suffices.
    Objects,
    /// Every chunk is opened and its id verified. Needs the reader secret.
    Data,
}

/// What to check, and how deep.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions {
    /// How deep.
    pub level: CheckLevel,
    /// Only backups made since, and the packs that they need.
    pub since: Option<Timestamp>,
    /// Of the packs this share (per cent), drawn anew each time, is looked at so deep; of the others the structure.
    pub percent: u8,
}

impl CheckOptions {
    /// Everything, so deep.
    pub fn all(level: CheckLevel) -> CheckOptions {
        CheckOptions { level, since: None, percent: 100 }
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckProgress {
    /// Objects looked at.
    pub objects: u64,
    /// Objects to look at.
    pub objects_total: u64,
    /// Bytes of the objects looked at.
    pub bytes: u64,
    /// Bytes of all objects to look at.
    pub bytes_total: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object, or the chunk where no object can be named.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Backups that need it.
    pub backups: Vec<BackupId>,
}

/// A backup that lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hurt {
    /// The backup.
    pub backup: BackupId,
    /// Paths of entries that cannot be read whole; everything else of it can be restored.
    pub entries: Vec<String>,
    /// Its manifest or its list of entries cannot be read: nothing of it can be restored.
    pub whole: bool,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// How deep it looked.
    pub level: CheckLevel,
    /// Everything that is wrong; empty if all is well.
    pub problems: Vec<Problem>,
    /// Backups that lack something, and what.
    pub hurt: Vec<Hurt>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of these objects (on the storage; a check of the structure reads only a part of them).
    pub bytes: u64,
}

const THREADS: usize = 4;

#[derive(Default)]
struct Found {
    hurt: Vec<Hurt>,
    problems: Vec<(Problem, BTreeSet<BackupId>)>,
    /// Problems that are none unless a backup needs the object.
    harmless: HashSet<usize>,
    numbers: HashMap<(String, String), usize>,
}

impl Found {
    fn add(&mut self, object: impl Into<String>, what: impl Into<String>) -> usize {
        let (object, what) = (object.into(), what.into());
        let problems = &mut self.problems;
        *self.numbers.entry((object.clone(), what.clone())).or_insert_with(|| {
            problems.push((Problem { object, what, backups: Vec::new() }, BTreeSet::new()));
            problems.len() - 1
        })
    }

    /// Notes an error about an object; errors of the storage itself end the check.
    fn note(&mut self, name: &str, error: RepoError) -> Result<usize, RepoError> {
        match error {
            RepoError::Damaged { object, what } => Ok(self.add(object, what)),
            RepoError::Missing { object } => Ok(self.add(object, "it is missing")),
            RepoError::NewerFormat { what } => Ok(self.add(name, format!("it is of a newer format: {what}"))),
            // Or a flipped bit that looks like one.
            RepoError::KeyOfOlderEpoch { epoch } => {
                Ok(self.add(name, format!("it needs a key of epoch {epoch}, which this one is not")))
            }
            other => Err(other),
        }
    }

    fn touch(&mut self, number: usize, backup: BackupId) {
        if let Some((_, backups)) = self.problems.get_mut(number) {
            backups.insert(backup);
        }
    }
}

struct Check<'a> {
    repository: &'a Repository,
    level: CheckLevel,
    options: &'a CheckOptions,
    /// Which packs are drawn.
    drawn_by: [u8; 8],
    cancel: &'a Cancel,
    on_progress: &'a (dyn Fn(CheckProgress) + Sync),
    progress: Mutex<CheckProgress>,
    found: Mutex<Found>,
}

/// What is wrong inside packs: with a whole pack, or with a chunk of it.
#[derive(Default)]
struct BadPlaces {
    packs: HashMap<u32, usize>,
    chunks: HashMap<(u32, ChunkId), usize>,
    /// Packs that are there and not what was put.
    rotten: HashSet<u32>,
}

impl Repository {
    /// Verifies everything to the given depth and reports all that is wrong.
    ///
    /// # Errors
    /// [`RepoError::NeedsReaderSecret`] for [`CheckLevel::Data`] with a writer key; failures of the storage; cancelled.
    pub fn check(
        &self,
        options: &CheckOptions,
        cancel: &Cancel,
        on_progress: &(dyn Fn(CheckProgress) + Sync),
    ) -> Result<CheckReport, RepoError> {
        let level = options.level;
        if level == CheckLevel::Data && !self.can_read_data() {
            return Err(RepoError::NeedsReaderSecret);
        }
        let progress = CheckProgress { objects: 0, objects_total: 0, bytes: 0, bytes_total: 0 };
        let check = Check {
            repository: self,
            level,
            options,
            drawn_by: crate::ids::random()?,
            cancel,
            on_progress,
            progress: Mutex::new(progress),
            found: Mutex::default(),
        };
        check.run()
    }
}

impl Check<'_> {
    fn run(self) -> Result<CheckReport, RepoError> {
        let repository = self.repository;
        // Manifests first: whatever they name was there before them, so a backup that is committed meanwhile is no problem.
        let names = manifest::list(repository, "")?;
        let index = Index::load(
            &*repository.store,
            &repository.keys,
            &repository.local,
            false,
            Index::list(&*repository.store)?,
        )?;
        self.header_and_slots()?;
        self.index_objects(&index)?;
        let mut manifests = self.manifests(names)?;
        let index = Arc::new(index);
        let wanted = match self.options.since {
            None => None,
            Some(since) => {
                manifests.retain(|manifest| manifest.head().time >= since);
                self.needed_packs(&index, &manifests)?
            }
        };
        let sizes = self.list_objects(&index, wanted.as_ref())?;
        let bad = self.packs(&index, &sizes, wanted.as_ref())?;
        self.quarantine(&index, &bad);
        self.references(&index, &bad, &manifests)?;
        let progress = *lock(&self.progress);
        let found = self.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (harmless, hurt) = (found.harmless, found.hurt);
        let problems = found
            .problems
            .into_iter()
            .enumerate()
            .filter(|(number, (_, backups))| !backups.is_empty() || !harmless.contains(number))
            .map(|(_, problem)| problem)
            .map(|(problem, backups)| Problem { backups: backups.into_iter().collect(), ..problem });
        Ok(CheckReport {
            level: self.level,
            problems: problems.collect(),
            hurt,
            objects: progress.objects,
            bytes: progress.bytes,
        })
    }

    fn step(&self, bytes: u64) -> Result<(), RepoError> {
        self.cancel.check()?;
        let now = {
            let mut progress = lock(&self.progress);
            progress.objects += 1;
            progress.bytes += bytes;
            *progress
        };
        (self.on_progress)(now);
        Ok(())
    }

    /// The packs that these backups need; none (all, that is) if their lists cannot be walked.
    fn needed_packs(
        &self,
        index: &Arc<Index>,
        manifests: &[Manifest],
    ) -> Result<Option<HashSet<u32>>, RepoError> {
        let reader = ChunkReader::new(self.repository, Arc::clone(index));
        let mut live = Live::new(self.repository);
        let gathered =
            live.add(&reader, manifests, self.cancel).and_then(|()| live.sorted(&reader, self.cancel));
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(RepoError::Damaged { .. } | RepoError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut wanted = HashSet::new();
        usage::each_chunk(index, &gathered, |places, lives| {
            if lives {
                wanted.extend(places.iter().map(|place| place.pack));
            }
        })?;
        Ok(Some(wanted))
    }

    /// Whether a pack is among those that are looked at as deep as was asked.
    fn is_drawn(&self, pack: &ObjectHash) -> bool {
        let mut bytes = self.drawn_by.to_vec();
        bytes.extend_from_slice(&pack.0);
        self.options.percent >= 100 || Hash::of(&bytes).prefix() % 100 < u64::from(self.options.percent)
    }

    /// Notes what is rotten, so that no later backup leans on it. That it cannot be noted changes no verdict.
    fn quarantine(&self, index: &Index, bad: &BadPlaces) {
        let mut rotten: BTreeMap<ObjectHash, Option<Vec<ChunkId>>> = BTreeMap::new();
        for number in bad.rotten.iter() {
            if let Some(pack) = index.packs.get(*number) {
                rotten.insert(pack.hash, None);
            }
        }
        for (number, chunk) in bad.chunks.keys() {
            if let Some(pack) = index.packs.get(*number)
                && let Some(chunks) = rotten.entry(pack.hash).or_insert_with(|| Some(Vec::new()))
            {
                chunks.push(*chunk);
            }
        }
        // What rotted since a moment of the past is not what rotted then, and nobody will lean on it.
        if rotten.is_empty() || self.repository.store.is_past() {
            return;
        }
        if let Err(error) = quarantine::add(self.repository, &rotten) {
            tracing::warn!("what is damaged cannot be noted, and later backups may lean on it: {error}");
        }
    }

    /// Sizes of all packs; and the totals of progress.
    fn list_objects(
        &self,
        index: &Index,
        wanted: Option<&HashSet<u32>>,
    ) -> Result<HashMap<ObjectHash, u64>, RepoError> {
        let store = &self.repository.store;
        let packs: HashMap<ObjectHash, u64> = store
            .list("packs/")?
            .iter()
            .filter_map(|meta| Some((pack::parse_name(&meta.name)?, meta.size)))
            .collect();
        let mut progress = lock(&self.progress);
        for folder in [
            "keys/",
            "keys-copy/",
            "index/",
            "manifests/",
            "copies/manifests/",
            "writers/",
            "copies/writers/",
        ] {
            for meta in store.list(folder)? {
                progress.objects_total += 1;
                progress.bytes_total += meta.size;
            }
        }
        for (number, pack) in (0u32..).zip(&index.packs.packs) {
            if let Some(size) =
                packs.get(&pack.hash).filter(|_| wanted.is_none_or(|own| own.contains(&number)))
            {
                progress.objects_total += 1;
                progress.bytes_total += size;
            }
        }
        Ok(packs)
    }

    fn header_and_slots(&self) -> Result<(), RepoError> {
        let repository = self.repository;
        let slots = repository.listed_slots();
        let wrong = secrets::check_copies(&*repository.store, &repository.keys, &slots, &mut |bytes| {
            self.step(bytes)
        })?;
        for (object, what) in wrong {
            lock(&self.found).add(object, what);
        }
        let wrong = Writers::check(&*repository.store, &repository.keys, &mut |bytes| self.step(bytes))?;
        for (object, error) in wrong {
            lock(&self.found).note(&object, error)?;
        }
        for (object, error) in repository.check_tags()? {
            lock(&self.found).note(&object, error)?;
        }
        Ok(())
    }

    /// Index objects were read whole when the index was loaded; here each is read again for its hash.
    fn index_objects(&self, index: &Index) -> Result<(), RepoError> {
        for name in index.listed.keys() {
            let bytes = match object::get(&*self.repository.store, name) {
                Ok(bytes) => bytes,
                Err(error) => {
                    lock(&self.found).note(name, error)?;
                    continue;
                }
            };
            self.step(bytes.len() as u64)?;
            let wrong = match index.unreadable.iter().find(|(unreadable, _)| unreadable == name) {
                Some((_, RepoError::Damaged { what, .. })) => Some(what.clone()),
                Some((_, error)) => Some(error.to_string()),
                None if index_object::parse_name(name) != Some(Hash::of(&bytes)) => {
                    Some("its bytes do not have the hash that is its name".to_string())
                }
                None => None,
            };
            if let Some(what) = wrong {
                lock(&self.found).add(name, what);
            }
        }
        Ok(())
    }

    fn packs(
        &self,
        index: &Index,
        sizes: &HashMap<ObjectHash, u64>,
        wanted: Option<&HashSet<u32>>,
    ) -> Result<BadPlaces, RepoError> {
        let mut counts = vec![0u64; index.packs.packs.len()];
        for record in index.run.iter() {
            let record = record.map_err(|source| RepoError::Local {
                doing: "read the local index",
                path: "of this check".into(),
                source,
            })?;
            if let Some(count) = counts.get_mut(record.pack as usize) {
                *count += 1;
            }
        }
        let bad = Mutex::new(BadPlaces::default());
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while lock(&failure).is_none() {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = index.packs.packs.get(number) else { return };
                        let Ok(number) = u32::try_from(number) else { return };
                        if wanted.is_some_and(|wanted| !wanted.contains(&number)) {
                            continue;
                        }
                        let count = counts.get(number as usize).copied().unwrap_or(0);
                        let size = sizes.get(&entry.hash).copied();
                        if let Err(error) = self.pack(index, number, count, size, &bad) {
                            lock(&failure).get_or_insert(error);
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(bad.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)),
        }
    }

    fn pack(
        &self,
        index: &Index,
        number: u32,
        count: u64,
        size: Option<u64>,
        bad: &Mutex<BadPlaces>,
    ) -> Result<(), RepoError> {
        let Some(entry) = index.packs.get(number) else { return Ok(()) };
        let name = pack::name(&entry.hash);
        let level = if self.is_drawn(&entry.hash) { self.level } else { CheckLevel::Structure };
        let whole = |what: &str| {
            let problem = lock(&self.found).add(&name, what);
            let mut bad = lock(bad);
            bad.packs.entry(number).or_insert(problem);
            bad.rotten.insert(number);
        };
        let Some(size) = size else {
            // A prune deletes packs before it writes the index anew.
            let mut found = lock(&self.found);
            let problem = found.add(&name, "it is missing");
            found.harmless.insert(problem);
            lock(bad).packs.entry(number).or_insert(problem);
            return Ok(());
        };
        self.step(size)?;
        if size != entry.size {
            whole(&format!("it has {size} bytes, the index says {}", entry.size));
            return Ok(());
        }
        let repository = self.repository;
        let bytes = match level {
            CheckLevel::Structure => None,
            _ => Some(object::get(&*repository.store, &name)),
        };
        let read = match &bytes {
            None => pack::read_directory(&*repository.store, &repository.keys, &entry.hash, size)
                .map(|read| (read, None)),
            Some(Ok(bytes)) => {
                if Hash::of(bytes) != entry.hash {
                    let what = "its bytes do not have the hash that is its name";
                    // Which chunks are hurt is seen when each is opened.
                    if level == CheckLevel::Data {
                        lock(&self.found).add(&name, what);
                    } else {
                        whole(what);
                    }
                }
                pack::parse(&repository.keys, &name, bytes).map(|read| (read, Some(bytes)))
            }
            Some(Err(RepoError::Missing { .. })) => Err(RepoError::Missing { object: name.clone() }),
            Some(Err(_)) => {
                // Let the storage say it again, as an error that can be handed on.
                object::get(&*repository.store, &name).map(|_| ())?;
                return Ok(());
            }
        };
        let ((_, directory), bytes) = match read {
            Ok(read) => read,
            Err(error) => {
                let problem = lock(&self.found).note(&name, error)?;
                let mut bad = lock(bad);
                bad.packs.insert(number, problem);
                bad.rotten.insert(number);
                return Ok(());
            }
        };
        let mut seen = HashSet::new();
        for chunk in &directory.chunks {
            seen.insert(chunk.id);
            let indexed = index.find(&chunk.id)?;
            if !indexed.iter().any(|record| record.pack == number && record.raw_len == chunk.raw_len) {
                whole("its directory and the index differ");
                break;
            }
        }
        if seen.len() as u64 != count {
            whole("its directory and the index differ");
        }
        if let (CheckLevel::Data, Some(bytes)) = (level, bytes) {
            self.chunks(number, &name, &directory, bytes, bad)?;
        }
        Ok(())
    }

    /// Opens every chunk of a pack.
    fn chunks(
        &self,
        number: u32,
        name: &str,
        directory: &pack::Directory,
        bytes: &[u8],
        bad: &Mutex<BadPlaces>,
    ) -> Result<(), RepoError> {
        let keys = &self.repository.keys;
        let mut id_keys: HashMap<(u8, Vec<u8>), [u8; 32]> = HashMap::new();
        let mut opened = HashMap::new();
        for chunk in &directory.chunks {
            self.cancel.check()?;
            let from = chunk.offset as usize;
            let sealed = bytes.get(from..from + chunk.sealed_len as usize).unwrap_or_default();
            let key_id: [u8; 16] = chunk.key_id.into();
            let key = match opened.entry(key_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => match pack::open_key(keys, directory, chunk) {
                    Ok(key) => unknown.insert(key),
                    Err(error) => {
                        let problem = lock(&self.found).note(name, inside(name, error))?;
                        lock(bad).chunks.insert((number, chunk.id), problem);
                        continue;
                    }
                },
            };
            let id_key = id_keys
                .entry((chunk.kind, chunk.domain.to_vec()))
                .or_insert_with(|| keys.chunk_id_key(chunk.kind, &chunk.domain));
            if let Err(what) = pack::open_chunk(keys, key, chunk, id_key, sealed) {
                let problem = lock(&self.found).add(name, format!("chunk {}: {what}", chunk.id));
                lock(bad).chunks.insert((number, chunk.id), problem);
            }
        }
        Ok(())
    }

    fn manifests(&self, names: BTreeSet<manifest::ManifestName>) -> Result<Vec<Manifest>, RepoError> {
        let repository = self.repository;
        let store = &*repository.store;
        let mut manifests = Vec::new();
        for name in names {
            let copy = match object::get_if_there(store, &name.copy()) {
                Ok(Some(bytes)) => {
                    self.step(bytes.len() as u64)?;
                    manifest::decode(repository, name.clone(), &name.copy(), &bytes).err()
                }
                // A crash right behind the commit leaves none.
                Ok(None) => None,
                Err(error @ RepoError::Damaged { .. }) => Some(error),
                Err(error) => return Err(error),
            };
            self.step(store.stat(&name.name()).map_or(0, |meta| meta.size))?;
            let mut first = None;
            let read = manifest::read(repository, &name, |error| first = Some(error));
            let mut found = lock(&self.found);
            let full = name.name();
            for error in copy.into_iter().chain(first) {
                let problem = found.note(&full, error)?;
                found.touch(problem, name.id);
            }
            match read {
                Ok(manifest) => {
                    if let Some(why) = &manifest.distrust {
                        let problem = found.add(&full, format!("the signature: {why}"));
                        found.touch(problem, name.id);
                    }
                    manifests.push(manifest);
                }
                Err(error) => {
                    let problem = found.note(&full, error)?;
                    found.touch(problem, name.id);
                    found.hurt.push(Hurt { backup: name.id, entries: Vec::new(), whole: true });
                }
            }
        }
        let mut found = lock(&self.found);
        let mut unreadable = Vec::new();
        let forgotten = |name: &manifest::ManifestName| match forget::read(repository, name) {
            Ok(tombstone) => tombstone,
            Err(error) => {
                unreadable.push((name.below(forget::FOLDER), error));
                None
            }
        };
        let broken = manifest::check_chain(&manifests, forgotten);
        for (name, error) in unreadable {
            found.note(&name, error)?;
        }
        for (backup, object, what) in broken {
            let problem = found.add(object, what);
            found.touch(problem, backup);
        }
        for (cluster, sequence, hash) in repository.heads()?.iter() {
            let there = manifests.iter().any(|manifest| {
                manifest.name.cluster == cluster
                    && manifest.name.sequence >= sequence
                    && (manifest.name.sequence > sequence || manifest.hash.to_string() == hash)
            });
            if !there && !forgotten_since(repository, cluster, sequence, hash)? {
                found.add(
                    format!("manifests/{cluster}/{sequence:016}"),
                    "this host has seen a backup here that is gone: the newest of its cluster was removed",
                );
            }
        }
        Ok(manifests)
    }

    /// Follows every reference of every backup.
    fn references(
        &self,
        index: &Arc<Index>,
        bad: &BadPlaces,
        manifests: &[Manifest],
    ) -> Result<(), RepoError> {
        let reader = ChunkReader::new(self.repository, Arc::clone(index));
        let wrong_maps = match self.level {
            CheckLevel::Data => self.maps(&reader, manifests)?,
            _ => HashMap::new(),
        };
        let groups = HashMap::new();
        let mut walk =
            Walk { check: self, reader: &reader, index, bad, known: HashMap::new(), groups, wrong_maps };
        for manifest in manifests {
            self.cancel.check()?;
            let id = manifest.name.id;
            let mut problems = walk.stream(&manifest.body.entries)?;
            let mut hurt = Hurt { backup: id, entries: Vec::new(), whole: false };
            match self.repository.entries(&reader, manifest) {
                Ok(entries) => {
                    for entry in entries {
                        let mut of_entry = BTreeSet::new();
                        for part in &entry.parts {
                            of_entry.extend(walk.part(part)?);
                        }
                        let sum =
                            entry.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes_raw()));
                        if sum != Some(entry.bytes_raw) {
                            let what = format!("entry {} is not as long as its parts", entry.path);
                            of_entry.insert(lock(&self.found).add(manifest.name.name(), what));
                        }
                        if !of_entry.is_empty() {
                            hurt.entries.push(entry.path);
                            problems.extend(of_entry);
                        }
                    }
                }
                Err(error) => {
                    hurt.whole = true;
                    problems.insert(lock(&self.found).note(&manifest.name.name(), error)?);
                }
            }
            if hurt.whole || !hurt.entries.is_empty() {
                lock(&self.found).hurt.push(hurt);
            }
            let mut found = lock(&self.found);
            for problem in problems {
                found.touch(problem, id);
            }
        }
        Ok(())
    }
}

impl Check<'_> {
    /// What the items of maps come to, against what the maps say: the maps of one part in all its backups share chunks, and are looked
    /// at together. Of a check of some packs only, the same share of parts. Returns problems by the root of the map's stream.
    fn maps(
        &self,
        reader: &ChunkReader<'_>,
        manifests: &[Manifest],
    ) -> Result<HashMap<ChunkId, usize>, RepoError> {
        let mut families: BTreeMap<Hash, BTreeMap<ChunkId, (MapRef, String)>> = BTreeMap::new();
        for manifest in manifests {
            // A list that cannot be read is told of by those who follow references.
            let Ok(entries) = self.repository.entries(reader, manifest) else { continue };
            for entry in entries {
                for (number, part) in entry.parts.iter().enumerate() {
                    let Part::Map(map) = part else { continue };
                    let family = (&manifest.name.cluster, &entry.path, map.from(), map.domain().to_vec());
                    let family = Hash::of(format!("{family:?}").as_bytes());
                    if self.is_drawn(&family) {
                        let label = format!("part {} of {}", number + 1, entry.path);
                        families.entry(family).or_default().insert(map.units.root, (map.clone(), label));
                    }
                }
            }
        }
        let mut wrong = HashMap::new();
        for maps in families.into_values() {
            let refs: Vec<&MapRef> = maps.values().map(|(map, _)| map).collect();
            for (number, what) in map::verify(reader, &refs, &mut |_| Ok(self.cancel.check()?))? {
                if let Some((root, (_, label))) = maps.iter().nth(number) {
                    wrong.insert(*root, lock(&self.found).add(label, what));
                }
            }
        }
        Ok(wrong)
    }
}

/// Whether a tombstone accounts for the newest backup that this host remembers of a cluster.
fn forgotten_since(
    repository: &Repository,
    cluster: &str,
    sequence: u64,
    hash: &str,
) -> Result<bool, RepoError> {
    for name in forget::list(repository, cluster)?.into_iter().filter(|name| name.sequence >= sequence) {
        let tombstone = forget::read(repository, &name).unwrap_or_default();
        if tombstone.is_some_and(|tombstone| {
            name.sequence > sequence || tombstone.manifest.is_none_or(|own| own.to_string() == hash)
        }) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Walk<'w> {
    check: &'w Check<'w>,
    reader: &'w ChunkReader<'w>,
    /// Whose numbers of packs `bad` speaks of.
    index: &'w Index,
    bad: &'w BadPlaces,
    /// Problems below each tree node that was walked: most have none.
    known: HashMap<ChunkId, BTreeSet<usize>>,
    /// Groups of units that were read lately.
    groups: HashMap<ChunkId, Group>,
    /// Maps whose items are not those that were backed up.
    wrong_maps: HashMap<ChunkId, usize>,
}

/// Groups that are kept in memory, about 6 KB each.
const GROUPS: usize = 4096;

impl Walk<'_> {
    fn part(&mut self, part: &Part) -> Result<BTreeSet<usize>, RepoError> {
        let Part::Map(map) = part else { return self.stream(part.stream()) };
        // Kept beside the tree nodes: under the hash of the map's own name.
        let name = Hash::of(&map.units.root.0);
        if let Some(known) = self.known.get(&name) {
            return Ok(known.clone());
        }
        let mut problems = self.stream(&map.units)?;
        problems.extend(self.wrong_maps.get(&map.units.root));
        match map::records(self.reader, map) {
            Ok(records) => {
                for record in records {
                    self.check.cancel.check()?;
                    problems.extend(self.record(&record)?);
                }
            }
            Err(error) => drop(problems.insert(lock(&self.check.found).note("a map", error)?)),
        }
        self.known.insert(name, problems.clone());
        Ok(problems)
    }

    /// A group and the units of it that are kept. Its item list may be gone.
    fn record(&mut self, record: &map::Record) -> Result<BTreeSet<usize>, RepoError> {
        let mut problems = self.chunk(&record.child(), ChunkKind::Group)?;
        if !self.groups.contains_key(&record.group) {
            match map::group(self.reader, record) {
                Ok(group) => {
                    if self.groups.len() >= GROUPS {
                        self.groups.clear();
                    }
                    self.groups.insert(record.group, group);
                }
                Err(error) => {
                    problems.insert(lock(&self.check.found).note("a group of units", error)?);
                    return Ok(problems);
                }
            }
        }
        let Some(group) = self.groups.get(&record.group) else { return Ok(problems) };
        match map::kept_chunks(record, group) {
            Ok(chunks) => {
                for chunk in chunks {
                    problems.extend(self.chunk(&chunk.child(), ChunkKind::Data)?);
                }
            }
            Err(error) => drop(problems.insert(lock(&self.check.found).note("a map", error)?)),
        }
        Ok(problems)
    }

    fn stream(&mut self, stream: &StreamRef) -> Result<BTreeSet<usize>, RepoError> {
        let kind = stream.kind();
        match (root_child(stream), kind) {
            (Some(root), Some(kind)) if stream.level == 0 => self.chunk(&root, kind),
            (Some(root), Some(kind)) if stream.level <= crate::stream::DEEPEST => {
                self.node(&root, stream.level, kind)
            }
            (None, Some(_)) if stream.bytes == 0 => Ok(BTreeSet::new()),
            _ => Ok(BTreeSet::from([
                lock(&self.check.found).add("a stream's reference", "it has an impossible shape")
            ])),
        }
    }

    fn node(&mut self, child: &Child, level: u8, kind: ChunkKind) -> Result<BTreeSet<usize>, RepoError> {
        if let Some(known) = self.known.get(&child.id) {
            return Ok(known.clone());
        }
        self.check.cancel.check()?;
        let mut problems = self.chunk(child, ChunkKind::Tree)?;
        match self.reader.node(child, level) {
            Ok(node) => {
                for child in &node.children {
                    problems.extend(if level == 1 {
                        self.chunk(child, kind)?
                    } else {
                        self.node(child, level - 1, kind)?
                    });
                }
            }
            Err(error) => drop(problems.insert(lock(&self.check.found).note("a tree node", error)?)),
        }
        self.known.insert(child.id, problems.clone());
        Ok(problems)
    }

    /// What is wrong with every place of a chunk, and with its having none.
    fn chunk(&self, child: &Child, kind: ChunkKind) -> Result<BTreeSet<usize>, RepoError> {
        let (mut problems, mut mismatches) = (BTreeSet::new(), BTreeSet::new());
        let places = self.index.find(&child.id)?;
        let mut one_is_good = false;
        for place in &places {
            let bad = [self.bad.packs.get(&place.pack), self.bad.chunks.get(&(place.pack, child.id))];
            one_is_good |= bad == [None, None];
            problems.extend(bad.into_iter().flatten());
            if place.kind != kind as u8 || (child.raw_len != 0 && place.raw_len != child.raw_len) {
                let what = "the index names another kind or length than the stream";
                mismatches.insert(lock(&self.check.found).add(format!("chunk {}", child.id), what));
            }
        }
        // Readers take the good place.
        if one_is_good {
            problems.clear();
        }
        problems.extend(mismatches);
        if places.is_empty() {
            problems.insert(
                lock(&self.check.found).add(format!("chunk {}", child.id), "it is in no index object"),
            );
        }
        Ok(problems)
    }
}
