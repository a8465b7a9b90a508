//! Verification of a whole repository (FORMAT.md, "Check"). A problem never ends it; a storage that
//! cannot be read does.
//!
//! First every index object, then every pack that the index names (a few threads), then every
//! manifest with its chain, and at last every chunk that a backup refers to, against what was found
//! before. So each problem carries the backups that it touches. What no index and no manifest names
//! is garbage of a crash, and no problem.
//!
//! **Concurrent writers.** Backups come, are forgotten and pruned while a check looks: what it
//! listed may be gone when it reads. So a look that finds something wrong lists the repository's
//! names again at its end. If they are not what they were at its beginning, it looks again, at what
//! was found wrong and at what is new. What is told was found while nothing changed, or in look
//! after look.

mod manifests;
mod packs;
mod places;
mod quarantined;
mod references;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::RepoError;
use crate::at_once::each;
use crate::ids::{BackupId, ChunkId, Compartment, Hash, ObjectHash};
use crate::index::{Index, Listed};
use crate::lock::lock;
use crate::manifest::{self, BackupHead, Manifest};
use crate::names;
use crate::names::Which;
use crate::pack;
use crate::prune::live::Live;
use crate::prune::usage;
use crate::quarantine;
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::secrets::{self, slots};
use crate::writers::{self, Writers};
use places::BadPlaces;

/// How deep a check looks. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckLevel {
    /// Signatures, chains, lists, trees, the index, sizes and directories of packs.
    Structure,
    /// The hash of every object's bytes. The writer secret is enough.
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
    /// Of the packs this share (per cent), chosen again each time, is looked at so deep; of the
    /// others the structure.
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

/// A backup with something missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedBackup {
    /// The backup.
    pub backup: BackupId,
    /// Paths of entries that cannot be read whole; everything else of it can be restored.
    pub entries: Vec<String>,
    /// Its manifest or its list of entries cannot be read: nothing of it can be restored.
    pub whole: bool,
}

/// A backup that needs packs which were made with a key that someone else had. Nothing of it is
/// known to be lost: what is junk is found by [`CheckLevel::Data`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspectBackup {
    /// The backup.
    pub backup: BackupId,
    /// The writer whose key it was.
    pub writer: String,
    /// Since when someone else may have had it.
    pub since: Timestamp,
    /// How many of these packs it needs.
    pub packs: u64,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// How deep it looked.
    pub level: CheckLevel,
    /// Everything that is wrong; empty if all is well.
    pub problems: Vec<Problem>,
    /// Backups with something missing, and what.
    pub hurt: Vec<AffectedBackup>,
    /// Backups that need packs which were made with a key that someone else had.
    pub suspect: Vec<SuspectBackup>,
    /// Backups whose time lies ahead of the storage's clock: id, their time, when they were stored.
    pub ahead: Vec<(BackupId, Timestamp, Timestamp)>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of these objects (on the storage; a check of the structure reads only a part of them).
    pub bytes: u64,
    /// What lies in the storage and is no object of a repository: files of others, in nobody's way.
    pub foreign: Vec<String>,
}

/// So often a check looks while the repository changes.
const LOOKS: usize = 5;
/// A second copy that is missing for longer than this will not come by itself.
const COPY_TAKES: Duration = Duration::from_secs(600);
/// Where the names are that change.
const CHANGING: [&str; 7] =
    ["manifests/", "copies/", "forgotten/", "tags/", "writers/", slots::FOLDER, slots::COPIES];

/// The names of everything that changes, with their times.
#[derive(PartialEq, Eq)]
struct State(BTreeMap<String, SystemTime>);

impl State {
    fn list(repository: &Repository) -> Result<State, RepoError> {
        let mut found = BTreeMap::new();
        for listed in each(&CHANGING, |folder| names::list(repository.store(), folder)) {
            let own = listed?.into_iter().filter(|meta| names::is_own(repository.keys(), &meta.name));
            found.extend(own.map(|meta| (meta.name, meta.modified)));
        }
        Ok(State(found))
    }

    /// Whether an object has been there for so long that its second copy is missing for good. The
    /// storage's clock is not asked: its newest object tells, or our own clock.
    fn is_old(&self, name: &str) -> bool {
        let now = self.0.values().max().copied().unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::now());
        let put = self.0.get(name).copied();
        put.is_some_and(|put| now.duration_since(put).unwrap_or_default() > COPY_TAKES)
    }
}

/// What earlier looks found good: it is not read again.
#[derive(Default)]
struct Known {
    packs: HashSet<(Compartment, ObjectHash)>,
    maps: HashSet<ChunkId>,
}

/// What one look found.
struct Look {
    state: State,
    /// By compartment.
    parts: Vec<PartLook>,
    /// Backups whose time lies ahead of the storage's clock.
    ahead: Vec<(BackupId, Timestamp, Timestamp)>,
    found: Found,
}

/// What one look found in one compartment.
struct PartLook {
    index: Arc<Index>,
    bad: BadPlaces,
    /// Packs that were looked at.
    packs: Vec<ObjectHash>,
}

impl Look {
    fn indexes(&self) -> Vec<Listed> {
        self.parts.iter().map(|part| part.index.listed.clone()).collect()
    }
}

#[derive(Default)]
struct Found {
    hurt: Vec<AffectedBackup>,
    problems: Vec<(Problem, BTreeSet<BackupId>)>,
    /// Problems that are none unless a backup needs the object.
    harmless: HashSet<usize>,
    /// Those that are none at all: packs that were made with a key which someone else had; whose
    /// key it was, and since when.
    suspects: HashMap<usize, (String, Timestamp)>,
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
            RepoError::NewerFormat { what } => Ok(self.add(name, format!("it has a newer format: {what}"))),
            // Or a flipped bit that looks like one.
            RepoError::KeyOfOlderEpoch { epoch } => {
                Ok(self.add(name, format!("it needs a key of epoch {epoch}, which was not given")))
            }
            other => Err(other),
        }
    }

    /// Nothing that would be told.
    fn is_empty(&self) -> bool {
        self.told().is_empty()
    }

    /// What would be told.
    fn told(&self) -> HashSet<(String, String)> {
        let told = self.problems.iter().enumerate().filter(|(number, (_, backups))| {
            self.is_problem(*number) && (!backups.is_empty() || !self.harmless.contains(number))
        });
        told.map(|(_, (problem, _))| (problem.object.clone(), problem.what.clone())).collect()
    }

    /// Whether it is one, and not something to be reported as well.
    fn is_problem(&self, number: usize) -> bool {
        !self.suspects.contains_key(&number)
    }

    /// The packs of an index that were made with a key which someone else had: they are recorded,
    /// and with them later the backups that need them.
    fn note_suspects(&mut self, index: &Index, list: &Writers) -> HashMap<u32, usize> {
        let suspects = list.suspects();
        let mut found = HashMap::new();
        for (number, pack) in (0u32..).zip(&index.packs.packs) {
            let Some(writer) = suspects.get(&pack.hash) else { continue };
            let Some(compromised) = &writer.compromised else { continue };
            let since = Timestamp::from_microsecond(compromised.since).unwrap_or(Timestamp::UNIX_EPOCH);
            let what = format!("it was written with the key of writer {}", writer.name);
            let noted = self.add(pack::name(index.compartment, &pack.hash), what);
            self.suspects.insert(noted, (writer.name.clone(), since));
            found.insert(number, noted);
        }
        found
    }

    /// The backups that need such packs.
    fn suspect_backups(&self) -> Vec<SuspectBackup> {
        let mut counts: BTreeMap<(BackupId, String, Timestamp), u64> = BTreeMap::new();
        for (number, (writer, since)) in &self.suspects {
            let touched = self.problems.get(*number).into_iter().flat_map(|(_, backups)| backups);
            for backup in touched {
                *counts.entry((*backup, writer.clone(), *since)).or_default() += 1;
            }
        }
        let of = |((backup, writer, since), packs)| SuspectBackup { backup, writer, since, packs };
        counts.into_iter().map(of).collect()
    }

    /// Forgets what was not told before, and backups that miss nothing else.
    fn keep(&mut self, before: &HashSet<(String, String)>) {
        let mut touched = HashSet::new();
        for (number, (problem, backups)) in self.problems.iter_mut().enumerate() {
            if self.suspects.contains_key(&number) {
                continue;
            }
            if before.contains(&(problem.object.clone(), problem.what.clone())) {
                touched.extend(backups.iter().copied());
            } else {
                backups.clear();
                self.harmless.insert(number);
            }
        }
        self.hurt.retain(|hurt| touched.contains(&hurt.backup));
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
    on_progress: &'a (dyn Fn(CheckProgress) + Sync),
    progress: Mutex<CheckProgress>,
    /// Objects are counted in the first look.
    counts: AtomicBool,
    /// Of this look.
    found: Mutex<Found>,
    known: Mutex<Known>,
}

impl Repository {
    /// Verifies everything to the given depth and reports all that is wrong.
    ///
    /// # Errors
    /// [`RepoError::NeedsReaderSecret`] for [`CheckLevel::Data`] with a writer key; failures of the
    /// storage; cancelled.
    pub fn check(
        &self,
        options: &CheckOptions,
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
            drawn_by: crate::random::bytes()?,
            on_progress,
            progress: Mutex::new(progress),
            counts: AtomicBool::new(true),
            found: Mutex::default(),
            known: Mutex::default(),
        };
        check.run()
    }
}

impl Check<'_> {
    fn run(self) -> Result<CheckReport, RepoError> {
        let repository = self.repository;
        let mut looks = 0;
        let mut before: Option<HashSet<(String, String)>> = None;
        let look = loop {
            looks += 1;
            let mut look = self.look()?;
            if look.found.is_empty() {
                break look;
            }
            let state = State::list(repository)?;
            let compartments = look.parts.iter().map(|part| part.index.compartment);
            let indexes: Result<Vec<Listed>, RepoError> =
                compartments.map(|compartment| Index::list(repository.store(), compartment)).collect();
            let is_still = state == look.state && indexes? == look.indexes();
            look.state = state;
            if is_still {
                break look;
            }
            if looks == LOOKS {
                // It changes all the time: what was found twice is told.
                if let Some(before) = before {
                    look.found.keep(&before);
                }
                break look;
            }
            repository.detail("the repository changed during the check: checking again");
            before = Some(look.found.told());
            self.counts.store(false, Ordering::Relaxed);
            self.remember(&look);
        };
        for part in &look.parts {
            self.quarantine(&part.index, &part.bad);
        }
        let progress = *lock(&self.progress);
        let suspect = look.found.suspect_backups();
        let (harmless, suspects, hurt) = (look.found.harmless, look.found.suspects, look.found.hurt);
        let problems = look
            .found
            .problems
            .into_iter()
            .enumerate()
            .filter(|(number, (_, backups))| {
                !suspects.contains_key(number) && (!backups.is_empty() || !harmless.contains(number))
            })
            .map(|(_, problem)| problem)
            .map(|(problem, backups)| Problem { backups: backups.into_iter().collect(), ..problem });
        let foreign = names::foreign(repository.store()).unwrap_or_else(|error| {
            repository.detail(&format!("files that do not belong to the repository are not listed: {error}"));
            Vec::new()
        });
        Ok(CheckReport {
            level: self.level,
            problems: problems.collect(),
            hurt,
            suspect,
            ahead: look.ahead,
            objects: progress.objects,
            bytes: progress.bytes,
            foreign,
        })
    }

    /// Looks at everything once.
    fn look(&self) -> Result<Look, RepoError> {
        let repository = self.repository;
        *lock(&self.found) = Found::default();
        // What this host remembers was there before the lists are made.
        let heads: Vec<(String, u64, String)> = repository
            .unlocked
            .heads()?
            .iter()
            .map(|(cluster, sequence, hash)| (cluster.to_string(), sequence, hash.to_string()))
            .collect();
        let state = State::list(repository)?;
        // Manifests before the index: whatever they name was there before them, so a backup that is
        // committed meanwhile is no problem.
        let (names, _) = manifest::list_timed(&repository.unlocked, Which::All)?;
        repository.unlocked.read_writers()?;
        let mut indexes = Vec::new();
        for compartment in repository.compartments_in(&names::OF_BACKUPS)? {
            let listed = Index::list(repository.store(), compartment)?;
            indexes.push(Arc::new(Index::load(&repository.unlocked, compartment, false, listed)?));
        }
        self.header_and_slots(&state)?;
        indexes.iter().try_for_each(|index| self.index_objects(index))?;
        let mut manifests = self.manifests(names, &heads, &state)?;
        self.newest_list(&manifests);
        let ahead = manifests.iter().map(Manifest::head).filter(BackupHead::is_ahead);
        let ahead = ahead.filter_map(|head| Some((head.id, head.time, head.stored?))).collect();
        if let Some(since) = self.options.since {
            manifests.retain(|manifest| manifest.moment() >= since);
        }
        let mut by_compartment: HashMap<Compartment, Vec<Manifest>> = HashMap::new();
        for manifest in manifests {
            if let Some(compartment) = repository.keys().compartment_of(&manifest.name.cluster) {
                by_compartment.entry(compartment).or_default().push(manifest);
            }
        }
        let mut rooms = Vec::new();
        for index in indexes {
            let manifests = by_compartment.remove(&index.compartment).unwrap_or_default();
            let wanted = match self.options.since {
                None => None,
                Some(_) => self.needed_packs(&index, &manifests)?,
            };
            let sizes = pack::list(repository.store(), index.compartment)?;
            rooms.push((index, manifests, wanted, sizes));
        }
        if self.counts.load(Ordering::Relaxed) {
            self.count_small_objects()?;
            for (index, _, wanted, sizes) in &rooms {
                self.count_packs(index, wanted.as_ref(), sizes);
            }
        }
        let mut parts = Vec::new();
        for (index, manifests, wanted, sizes) in rooms {
            let bad = self.packs(&index, &sizes, wanted.as_ref())?;
            self.references(&index, &bad, &manifests)?;
            let packs = (0u32..)
                .zip(&index.packs.packs)
                .filter(|(number, pack)| {
                    sizes.get(&pack.hash).is_some_and(|listed| listed.size == pack.size)
                        && wanted.as_ref().is_none_or(|wanted| wanted.contains(number))
                })
                .map(|(_, pack)| pack.hash)
                .collect();
            parts.push(PartLook { index, bad, packs });
        }
        let found = std::mem::take(&mut *lock(&self.found));
        Ok(Look { state, parts, ahead, found })
    }

    /// What a look found good need not be read again.
    fn remember(&self, look: &Look) {
        for part in &look.parts {
            let hash = |number: u32| part.index.packs.get(number).map(|pack| pack.hash);
            let bad: HashSet<ObjectHash> = part
                .bad
                .packs
                .keys()
                .copied()
                .chain(part.bad.chunks.keys().map(|(number, _)| *number))
                .filter_map(hash)
                .collect();
            let good = part.packs.iter().filter(|pack| !bad.contains(*pack));
            lock(&self.known).packs.extend(good.map(|pack| (part.index.compartment, *pack)));
        }
    }

    fn step(&self, bytes: u64) -> Result<(), RepoError> {
        self.repository.store().cancel().check()?;
        if !self.counts.load(Ordering::Relaxed) {
            return Ok(());
        }
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
        let reader = self.repository.chunks(Arc::clone(index))?;
        let mut live = Live::new(&self.repository.unlocked);
        let unknown = live.add(&reader, manifests)?;
        let (gathered, unread) = live.sorted(&reader)?;
        if !unknown.is_empty() || !unread.is_empty() {
            return Ok(None);
        }
        let mut wanted = HashSet::new();
        usage::each_chunk(index, &gathered, |places, lives| {
            if lives {
                wanted.extend(places.iter().map(|place| place.pack));
            }
            Ok(())
        })?;
        Ok(Some(wanted))
    }

    /// Whether a pack is among those that are looked at as deep as was asked.
    fn is_drawn(&self, pack: &ObjectHash) -> bool {
        let mut bytes = self.drawn_by.to_vec();
        bytes.extend_from_slice(&pack.0);
        self.options.percent >= 100 || Hash::of(&bytes).prefix() % 100 < u64::from(self.options.percent)
    }

    /// Records what is damaged, so that no later backup depends on it. That it cannot be recorded
    /// changes no verdict.
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
        // What rotted since a moment of the past is not what rotted then, and nobody will depend on
        // it.
        if rotten.is_empty() || self.repository.store().is_past() {
            return;
        }
        let unlocked = &self.repository.unlocked;
        let noted = unlocked
            .refuse_stranger(Right::Check, &[Scope::Compartment(index.compartment)])
            .and_then(|()| quarantine::add(unlocked, index.compartment, &rotten));
        if let Err(error) = noted {
            self.repository.warn(&format!(
                "the damage cannot be recorded, and later backups may reuse the damaged data: {error}"
            ));
        }
    }

    /// The totals of progress: what is not many.
    fn count_small_objects(&self) -> Result<(), RepoError> {
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
            let listed = names::list(self.repository.store(), folder)?;
            for meta in listed.iter().filter(|meta| names::is_own(self.repository.keys(), &meta.name)) {
                progress.objects_total += 1;
                progress.bytes_total += meta.size;
            }
        }
        Ok(())
    }

    /// And the packs of one compartment.
    fn count_packs(
        &self,
        index: &Index,
        wanted: Option<&HashSet<u32>>,
        listed: &HashMap<ObjectHash, pack::Listed>,
    ) {
        let mut progress = lock(&self.progress);
        for (number, pack) in (0u32..).zip(&index.packs.packs) {
            if let Some(listed) =
                listed.get(&pack.hash).filter(|_| wanted.is_none_or(|own| own.contains(&number)))
            {
                progress.objects_total += 1;
                progress.bytes_total += listed.size;
            }
        }
    }

    fn header_and_slots(&self, state: &State) -> Result<(), RepoError> {
        let repository = self.repository;
        let slots = repository.unlocked.listed_slots();
        let wrong = secrets::check_copies(repository.store(), repository.keys(), &slots, &mut |bytes| {
            self.step(bytes)
        })?;
        for (object, what) in wrong {
            lock(&self.found).add(object, what);
        }
        let wrong = Writers::check(repository.store(), repository.keys(), &mut |bytes| self.step(bytes))?;
        for (object, error) in wrong {
            self.note_copy(&object, error, state)?;
        }
        for (backup, object, error) in repository.check_tags()? {
            if let Some(problem) = self.note_copy(&object, error, state)? {
                lock(&self.found).touch(problem, backup);
            }
        }
        Ok(())
    }

    /// Notes what is wrong with an object that is kept twice. The second copy is put right behind
    /// the first: while that is young, it may be on its way.
    fn note_copy(&self, object: &str, error: RepoError, state: &State) -> Result<Option<usize>, RepoError> {
        let is_on_its_way = object.strip_prefix("copies/").is_some_and(|first| !state.is_old(first));
        match error {
            RepoError::Missing { .. } if is_on_its_way => Ok(None),
            error => lock(&self.found).note(object, error).map(Some),
        }
    }

    /// A list of writers that was there once, as this host or a backup knows, and is gone.
    fn newest_list(&self, manifests: &[Manifest]) {
        let list = self.repository.unlocked.writers();
        let trusted = manifests.iter().filter(|manifest| manifest.distrust.is_none());
        let named = trusted.map(|manifest| manifest.body.list.number);
        let newest = list.lost.into_iter().chain(named).max().unwrap_or(0);
        let object = writers::name(newest);
        let mut found = lock(&self.found);
        let is_told = found.problems.iter().any(|(problem, _)| problem.object == object);
        if newest > list.body.number && !is_told {
            found.add(object, "both copies are missing: it is not certain who is allowed to write");
        }
    }

    /// Loading the index read each index object whole and compared its hash; what was wrong is told
    /// here.
    fn index_objects(&self, index: &Index) -> Result<(), RepoError> {
        for size in index.listed.values() {
            self.step(*size)?;
        }
        for (name, error) in &index.unreadable {
            let what = match error {
                RepoError::Damaged { what, .. } => what.clone(),
                other => other.to_string(),
            };
            lock(&self.found).add(name, what);
        }
        for (name, why) in &index.distrusted {
            lock(&self.found).add(name, format!("the signature: {why}"));
        }
        Ok(())
    }
}
