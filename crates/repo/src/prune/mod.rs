//! Prune: frees what no backup needs, concurrently with writers on other hosts, without locks
//! (FORMAT.md, "Prune").
//!
//! **Order.** A *survey* lists drafts, manifests, index, trash and packs, in this order, and counts
//! how much of each pack lives. Packs of which nothing lives get a mark; packs of which little
//! lives are repacked (sealed chunks move unopened) and then get a mark. A pack whose mark is older
//! than the grace time, and than every session that is alive, is doomed: an intent is put, **then a
//! second survey is made**, and only what is dead in that one, too, is deleted. At last index
//! objects that name packs which are gone are rewritten.
//!
//! **Why nothing is lost.** A writer puts its draft, then looks at the trash, then puts the
//! manifest. If its draft is there when we list drafts, the pack stays. If not, our intent was
//! there before its look, and it stops: an intent is never taken back, and its list outlives its
//! packs by days; who was at work for days looks at the packs, too. A draft is removed only behind
//! its manifest, so drafts are listed before manifests. Nobody depends on a pack with an intent:
//! what lives there after all is moved away by the next run. Marks and sessions are for the
//! writers' comfort: safety does not hang on them. `model.rs` tries this order, and orders that are
//! wrong, against random schedules.
//!
//! **Crashes** leave marks, intents and packs that no index names; the next prune, of whoever, goes
//! on from there.
//!
//! **Compartments** are pruned one after the other: nothing in one needs anything of another.
//!
//! **Places of one chunk** are traded for one another only where they are proved to hold the same
//! sealed bytes (`proof.rs`): an index object, or a pack's directory, may lie.
//!
//! **Memory.** The ids that live and the index stay in files; in memory are two filters, the packs'
//! table and one pack.

pub(crate) mod live;
#[cfg(test)]
mod model;
pub(crate) mod proof;
mod reindex;
mod repack;
pub(crate) use reindex::settle;
pub(crate) mod trash;
pub(crate) mod usage;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use pgark_store::Storage;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::at_once::{MOST, each};
use crate::ids::{BackupId, Compartment, ObjectHash};
use crate::index::Index;
use crate::manifest::{self};
use crate::names;
use crate::names::Which;
use crate::object;
use crate::pack::{self, Listed};
use crate::quarantine::{self, Quarantine};
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::sessions;
use crate::{RepoError, draft, mend, random, tombstone};
use live::Live;
use proof::Proof;
use repack::Sources;
use trash::{INTENTS_STAY, Since, Trash};
use usage::{Places, Standing, Usage};

/// A draft pins its packs so long.
const DRAFTS_PIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Small backups leave small packs; so many of them become few.
const SMALL_PACK: u64 = 4 << 20;
const MANY_SMALL: usize = 64;
/// From so many index objects on it is worth reading them all to see whether they can be fewer.
const MANY_INDEXES: usize = 16;
/// Where a storage is tried out, and leftovers of that.
const PROBES: &str = pgark_store::probe::FOLDER;
/// So many objects that could not be deleted are named.
const REFUSED_NAMED: usize = 10;
/// What a dead session left is removed after so long.
const SWEEP: Duration = Duration::from_secs(24 * 3600);
/// An object's time may be that of the first byte of its put, some time before a list shows it: a
/// session that is younger than a mark by less might not have seen it, and its backup would have to
/// give up when it finds its pack gone. The grace time, but at least and at most this.
const PUT_TAKES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));

/// What to prune and how.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// How old a mark must be before its pack may be deleted.
    pub grace: Duration,
    /// Packs of which less than this share (per cent) lives are repacked.
    pub repack_below: u8,
    /// Every pack that holds a dead chunk is repacked.
    pub erase: bool,
    /// Change nothing.
    pub dry_run: bool,
}

impl Default for PruneOptions {
    /// A day of grace; packs of which less than four fifths lives are repacked.
    fn default() -> PruneOptions {
        PruneOptions { grace: Duration::from_secs(24 * 3600), repack_below: 80, erase: false, dry_run: false }
    }
}

/// What a prune did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PruneReport {
    /// Number of packs before the prune.
    pub packs: u64,
    /// Size of these packs in bytes.
    pub bytes: u64,
    /// Bytes in them that backups need.
    pub bytes_live: u64,
    /// Number of packs deleted.
    pub packs_deleted: u64,
    /// Size of the deleted packs in bytes.
    pub bytes_deleted: u64,
    /// Number of packs that are marked for deletion and wait for the end of the grace time.
    pub packs_waiting: u64,
    /// Size of the waiting packs in bytes.
    pub bytes_waiting: u64,
    /// Number of packs that were repacked: what backups need of them was moved into new packs.
    pub packs_repacked: u64,
    /// Bytes that were moved.
    pub bytes_moved: u64,
    /// Number of backups that are being written; objects that they may need are kept until they
    /// end.
    pub sessions: u64,
    /// When the first waiting pack can be deleted, by the storage's clock: RFC 3339, UTC. Null: no
    /// pack is waiting.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "Option<String>")]
    pub next: Option<Timestamp>,
    /// Whether a backup needs a chunk that is in no pack; run `pgark check`. Nothing that might
    /// contain the chunk was deleted.
    pub missing: bool,
    /// Number of unreferenced packs that the storage refused to delete.
    pub packs_refused: u64,
    /// Size of the refused packs in bytes.
    pub bytes_refused: u64,
    /// Names of the first objects of any kind that could not be deleted.
    pub refused: Vec<String>,
    /// Number of packs that were left alone because an object that may need them cannot be read.
    pub packs_held: u64,
    /// Bytes in these packs that nothing is known to need.
    pub bytes_held: u64,
    /// Names of the manifests, lists and drafts that cannot be read.
    pub held_by: Vec<String>,
    /// Number of second copies that were missing and were written again.
    pub copies_put: u64,
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
}

impl PruneReport {
    fn note_refused(&mut self, name: &str) {
        if self.refused.len() < REFUSED_NAMED {
            self.refused.push(name.to_string());
        }
    }

    fn refuse(&mut self, pack: &str, size: u64) {
        self.packs_refused += 1;
        self.bytes_refused += size;
        self.note_refused(pack);
    }

    fn wait(&mut self, size: u64, marked: SystemTime, grace: Duration) {
        self.packs_waiting += 1;
        self.bytes_waiting += size;
        let ready = Timestamp::try_from(marked + grace).ok();
        self.next = match (self.next, ready) {
            (Some(known), Some(ready)) => Some(known.min(ready)),
            (known, ready) => known.or(ready),
        };
    }
}

fn as_text<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(to)
}

/// The repository at one moment.
struct Survey {
    /// By drafts.
    pinned: HashSet<ObjectHash>,
    /// What cannot be read and may need anything: nothing is dead while there is one.
    unknown: Vec<String>,
    index: Arc<Index>,
    listed: HashMap<ObjectHash, Listed>,
    trash: Trash,
    standing: Vec<Standing>,
    /// Packs that were made with a key that someone else had.
    suspects: HashSet<ObjectHash>,
    usage: Usage,
}

impl Survey {
    /// Sealed bytes of a pack that live; none for one that the index does not know.
    fn live(&self, pack: &ObjectHash) -> u64 {
        self.index
            .packs
            .all(pack)
            .filter_map(|number| self.usage.packs.get(number as usize))
            .map(|own| own.live)
            .sum()
    }

    fn sources(&self) -> Sources<'_> {
        Sources { index: &self.index, listed: &self.listed, usage: &self.usage }
    }

    /// 0 for one that is not there.
    fn size(&self, pack: &ObjectHash) -> u64 {
        self.listed.get(pack).map_or(0, |listed| listed.size)
    }

    /// Nothing of it is needed, and all that may need it could be read.
    fn is_dead(&self, pack: &ObjectHash) -> bool {
        self.unknown.is_empty() && self.seems_dead(pack)
    }

    /// Nothing of it is needed, as far as this survey knows.
    fn seems_dead(&self, pack: &ObjectHash) -> bool {
        let is_gap = self.usage.missing || !self.index.unreadable.is_empty();
        let orphan_may_hold = is_gap && self.index.packs.all(pack).next().is_none();
        self.live(pack) == 0 && !self.pinned.contains(pack) && !orphan_may_hold
    }
}

/// The packs that drafts name; and drafts that cannot be read: of which backup, and what is wrong.
type Drafts = (HashSet<ObjectHash>, Vec<(BackupId, String)>);

/// One run over one compartment.
struct Prune<'r> {
    repository: &'r Repository,
    compartment: Compartment,
    options: &'r PruneOptions,
    on_phase: &'r dyn Fn(&str),
    pruner: &'r str,
    now: SystemTime,
    /// The storage lets us delete; known from the first try.
    may_delete: bool,
    /// Backups that were committed once: a key without delete permission leaves their drafts and
    /// sessions behind.
    forgotten: HashSet<BackupId>,
    /// As it was last read.
    trash: Trash,
    live: Live<'r>,
    proof: Proof<'r>,
    report: &'r mut PruneReport,
}

impl Repository {
    /// Frees what no backup needs. The writer secret is enough. A first prune marks, a later one
    /// (after the grace time) deletes; any number may run at once, on any hosts.
    ///
    /// While a manifest, draft, list or tree node cannot be read, what it needs is not known: no
    /// pack is deleted, marked or repacked, and the report says why ([`PruneReport::held_by`]).
    ///
    /// # Errors
    /// [`RepoError::UnknownFolders`]; failures of the storage; cancelled.
    pub fn prune(&self, options: &PruneOptions, on_phase: &dyn Fn(&str)) -> Result<PruneReport, RepoError> {
        let pruner = random::backup_id()?.to_string();
        let compartments = self.compartments()?;
        let scopes: Vec<Scope<'_>> = compartments.iter().copied().map(Scope::Compartment).collect();
        self.unlocked.refuse_stranger(Right::Prune, &scopes)?;
        names::refuse_unknown_folders(self.store())?;
        let dry = options.dry_run;
        let (now, may_delete) = if dry { (SystemTime::now(), true) } else { storage_clock(self, &pruner)? };
        let mut report = PruneReport { dry_run: dry, ..PruneReport::default() };
        if !dry {
            match self.finish_forgetting() {
                // The backup is forgotten all the same; that its manifest is there is said.
                Err(RepoError::Store(error)) if error.is_denied() => report.note_refused(&error.to_string()),
                other => other?,
            }
        }
        let pruned = compartments.into_iter().try_for_each(|compartment| {
            let mut prune = Prune {
                repository: self,
                compartment,
                options,
                on_phase,
                pruner: &pruner,
                now,
                may_delete,
                forgotten: forgotten(self, compartment)?,
                trash: Trash::default(),
                live: Live::new(&self.unlocked),
                proof: Proof::new(self, compartment)?,
                report: &mut report,
            };
            prune.run()
        });
        self.index.forget();
        pruned?;
        if !dry {
            for folder in ["trash/clock/", PROBES] {
                let old = names::list(self.store(), folder)?.into_iter();
                let old: Vec<String> =
                    old.filter(|meta| age(now, meta.modified) > SWEEP).map(|meta| meta.name).collect();
                remove_all(self.store(), &old, &mut report)?;
            }
            report.copies_put = mend::put_missing(&self.unlocked)?;
        }
        Ok(report)
    }
}

/// Deletes objects, a few at once; those that the storage does not let us delete are recorded.
fn remove_all(store: &Storage, names: &[String], report: &mut PruneReport) -> Result<(), RepoError> {
    for (name, answer) in names.iter().zip(each(names, |name| store.delete(name))) {
        match answer {
            Err(error) if error.is_denied() => report.note_refused(name),
            other => other?,
        }
    }
    Ok(())
}

/// The storage's own clock: the time of an object that is put for it; and whether that could be
/// deleted again.
pub(crate) fn storage_clock(repository: &Repository, pruner: &str) -> Result<(SystemTime, bool), RepoError> {
    let name = trash::clock_name(pruner);
    object::put_regardless(repository.store(), &name, &b"pgark clock"[..])?;
    let meta = repository.store().stat(&name)?;
    match repository.store().delete(&name) {
        Ok(()) => Ok((meta.modified, true)),
        Err(error) if error.is_denied() => Ok((meta.modified, false)),
        Err(error) => Err(error.into()),
    }
}

/// The backups of a compartment with a draft or session objects that were forgotten.
fn forgotten(repository: &Repository, compartment: Compartment) -> Result<HashSet<BackupId>, RepoError> {
    let mut backups = HashSet::new();
    for folder in [draft::folder(compartment), sessions::folder(compartment)] {
        let listed = names::list(repository.store(), &folder)?;
        backups.extend(listed.iter().filter_map(|meta| backup_of(&meta.name)));
    }
    tombstone::forgotten_of(&repository.unlocked, &backups)
}

/// Of which backup a draft or a session object is.
fn backup_of(name: &str) -> Option<BackupId> {
    names::draft(name).map(|(_, id)| id).or_else(|| names::session(name).map(|(_, id, _)| id))
}

/// Whether a draft or a session object is of one of these backups.
fn is_of(name: &str, backups: &HashSet<BackupId>) -> bool {
    backup_of(name).is_some_and(|id| backups.contains(&id))
}

fn age(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

impl Prune<'_> {
    fn run(&mut self) -> Result<(), RepoError> {
        let dry = self.options.dry_run;
        (self.on_phase)("finding referenced data");
        let survey = self.survey(&HashSet::new())?;
        self.report.packs += survey.listed.len() as u64;
        self.report.bytes += survey.listed.values().map(|listed| listed.size).sum::<u64>();
        self.report.bytes_live += survey.usage.packs.iter().map(|own| own.live).sum::<u64>();
        self.report.missing |= survey.usage.missing;
        if !survey.unknown.is_empty() {
            let sparse: HashSet<ObjectHash> = self.sparse(&survey).into_iter().collect();
            let dead =
                survey.listed.iter().filter(|(pack, _)| survey.seems_dead(pack) || sparse.contains(*pack));
            for (pack, Listed { size, .. }) in dead {
                self.report.packs_held += 1;
                self.report.bytes_held += size - survey.live(pack).min(*size);
            }
            self.report.held_by.extend(survey.unknown.iter().cloned());
        }
        let mut dead: Vec<ObjectHash> =
            survey.listed.keys().filter(|pack| survey.is_dead(pack)).copied().collect();
        dead.sort();
        let sparse = if survey.unknown.is_empty() { self.sparse(&survey) } else { Vec::new() };
        if !dry {
            self.sweep(&survey)?;
        }
        if !self.may_delete {
            // Marks and moved packs would only add to what cannot be removed.
            self.refuse_all(&dead, &survey);
            let alive = sessions::alive(&self.repository.unlocked, self.compartment, self.now)?;
            self.report.sessions += alive.len() as u64;
            return Ok(());
        }
        let deleted = self.report.packs_deleted;
        let moved = self.repack(&survey, &sparse)?;
        dead.extend(moved);
        self.mark(&survey, &dead)?;
        let doomed = self.doomed(&survey, &dead)?;
        if !dry && !doomed.is_empty() {
            self.delete(&survey, doomed)?;
        }
        let names_gone =
            survey.index.packs.packs.iter().any(|entry| !survey.listed.contains_key(&entry.hash));
        let many = survey.index.listed.len() >= MANY_INDEXES;
        let distrusts = !survey.index.distrusted.is_empty();
        if !dry && (self.report.packs_deleted > deleted || names_gone || many || distrusts) {
            (self.on_phase)("rewriting the index");
            reindex::run(self.repository, self.compartment)?;
        }
        if !dry {
            self.proof.keep(|pack| survey.listed.contains_key(pack))?;
        }
        Ok(())
    }

    /// Drafts before manifests, manifests before the index, the trash before packs: see the top of
    /// this file.
    fn survey(&mut self, doomed: &HashSet<ObjectHash>) -> Result<Survey, RepoError> {
        let repository = self.repository;
        let (pinned, drafts) = self.drafts()?;
        let which = Which::Compartment(self.compartment);
        let manifest::All { good: manifests, set_aside } = manifest::read_some(&repository.unlocked, which)?;
        let newest = manifests.iter().filter(|manifest| manifest.distrust.is_none());
        if let Some(named) = newest.map(|manifest| manifest.body.list.number).max() {
            repository.unlocked.refuse_older_list(named)?;
        }
        let mut unknown = Vec::new();
        for (id, what) in drafts {
            // Behind its manifest, which was listed after it, a draft pins nothing.
            if !manifests.iter().any(|manifest| manifest.name.id == id) {
                unknown.push(what);
            }
        }
        for aside in set_aside {
            if manifest::why_nobodys(&repository.unlocked, &aside.name, &manifests)?.is_none() {
                unknown.push(format!("backup {}: {}", aside.name.id, aside.error));
            }
        }
        let index = repository.whole_index(self.compartment)?;
        for (name, _) in &index.unreadable {
            repository.unlocked.warn_once(format!(
                "{name} cannot be read: packs that no other index object lists are kept; `pgark repair index` rebuilds the index"
            ));
        }
        for (name, why) in &index.distrusted {
            repository.unlocked.warn_once(format!("{name} is ignored: {why}"));
        }
        // An intent that is not there is put after this, and its pruner sees ours.
        let trash = Trash::read(&repository.unlocked, self.compartment, &self.trash)?;
        self.trash = trash.clone();
        let listed = pack::list(repository.store(), self.compartment)?;
        let reader = repository.chunks(Arc::clone(&index))?;
        let walked = self.live.add(&reader, &manifests)?;
        unknown.extend(walked.into_iter().map(|(id, error)| format!("backup {id}: {error}")));
        let (live, unread) = self.live.sorted(&reader)?;
        unknown.extend(unread.iter().map(ToString::to_string));
        let suspects: HashSet<ObjectHash> = repository.unlocked.writers().suspects().into_keys().collect();
        let standing = usage::standings(&index, &listed, doomed, &suspects, &trash);
        let rotten = Quarantine::read(&repository.unlocked, self.compartment)?;
        let places = Places { index: &index, standing: &standing, listed: &listed, rotten: &rotten };
        let usage = usage::count(&places, &live, &mut self.proof)?;
        Ok(Survey { pinned, unknown, index, listed, trash, standing, suspects, usage })
    }

    /// The packs that drafts name; and the drafts that cannot be read, which may name any until
    /// they are too old to count.
    fn drafts(&self) -> Result<Drafts, RepoError> {
        let (mut pinned, mut unknown) = (HashSet::new(), Vec::new());
        for meta in names::list(self.repository.store(), &draft::folder(self.compartment))? {
            if age(self.now, meta.modified) > DRAFTS_PIN || is_of(&meta.name, &self.forgotten) {
                continue;
            }
            let Some((_, id)) = names::draft(&meta.name) else { continue };
            match draft::read(&self.repository.unlocked, &meta.name) {
                // Else its writer is done, or gave up: the manifest, if there is one, is listed
                // after this.
                Ok(draft) => pinned.extend(draft.into_iter().flat_map(|draft| draft.packs)),
                Err(error) if error.is_of_object() => unknown.push((id, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok((pinned, unknown))
    }

    /// Removes what is no longer needed: drafts that pin nothing any more, sessions long dead, old
    /// lists of packs that are gone and forgotten by the index, and older ones that say nothing.
    fn sweep(&mut self, survey: &Survey) -> Result<(), RepoError> {
        let store = self.repository.store().clone();
        let folders = [draft::folder(self.compartment), sessions::folder(self.compartment)];
        for (folder, keep) in folders.iter().zip([DRAFTS_PIN, SWEEP]) {
            for meta in names::list(&store, folder)? {
                let is_over = age(self.now, meta.modified) > keep && !self.is_first_of_living(&meta.name)?;
                if is_over || is_of(&meta.name, &self.forgotten) {
                    self.remove(&meta.name)?;
                }
            }
        }
        let is_over = |pack: &ObjectHash| {
            !survey.listed.contains_key(pack) && survey.index.packs.all(pack).next().is_none()
        };
        let is_old = |said: &&Arc<trash::Said>| age(self.now, said.put) > INTENTS_STAY;
        let old: Vec<&Arc<trash::Said>> = survey.trash.intents().filter(is_old).collect();
        if !old.is_empty() && survey.index.unreadable.is_empty() {
            // Who is at work since before might not have seen it.
            let alive = sessions::alive(&self.repository.unlocked, self.compartment, self.now)?;
            let is_seen =
                |said: &trash::Said| alive.iter().all(|session| session.began > said.put + PUT_TAKES.1);
            let over = old.into_iter().filter(|said| is_seen(said) && said.packs.keys().all(is_over));
            let over: Vec<String> = over.map(|said| said.name.clone()).collect();
            self.remove_all(&over)?;
        }
        let idle = survey.trash.idle.iter().filter(|(_, put)| age(self.now, *put) > DRAFTS_PIN);
        let idle: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        self.remove_all(&idle)?;
        if self.may_delete { quarantine::sweep(&store, self.compartment) } else { Ok(()) }
    }

    /// Deletes an object; noted if the storage does not let us.
    fn remove(&mut self, name: &str) -> Result<(), RepoError> {
        self.remove_all(&[name.to_string()])
    }

    fn remove_all(&mut self, names: &[String]) -> Result<(), RepoError> {
        remove_all(self.repository.store(), names, self.report)
    }

    fn refuse_all(&mut self, dead: &[ObjectHash], survey: &Survey) {
        for pack in dead {
            self.refuse(pack, survey.size(pack));
        }
    }

    fn refuse(&mut self, pack: &ObjectHash, size: u64) {
        self.report.refuse(&pack::name(self.compartment, pack), size);
    }

    /// A long session's first object is old, and says when it began.
    fn is_first_of_living(&self, name: &str) -> Result<bool, RepoError> {
        let Some(folder) = name.strip_suffix("00000000").filter(|folder| folder.starts_with("sessions/"))
        else {
            return Ok(false);
        };
        let others = names::list(self.repository.store(), folder)?;
        Ok(others.iter().any(|meta| age(self.now, meta.modified) <= sessions::IS_DEAD))
    }

    /// Packs that are worth repacking; and those that live though a pruner announced that it
    /// deletes them.
    fn sparse(&self, survey: &Survey) -> Vec<ObjectHash> {
        let mut found = Vec::new();
        // What the list of writers names by its hash stays as it is.
        let is_suspect = |pack: &ObjectHash| survey.suspects.contains(pack);
        let is_small =
            |entry: &crate::index::object::PackEntry| entry.size < SMALL_PACK && !is_suspect(&entry.hash);
        let many_small =
            survey.index.packs.packs.iter().filter(|entry| is_small(entry)).count() >= MANY_SMALL;
        for ((entry, own), standing) in
            survey.index.packs.packs.iter().zip(&survey.usage.packs).zip(&survey.standing)
        {
            let little = own.live * 100 < own.all * u64::from(self.options.repack_below);
            let wanted = match standing {
                Standing::Absent | Standing::Doomed | Standing::Suspect => false,
                Standing::Announced => !is_suspect(&entry.hash),
                Standing::Marked | Standing::Good => {
                    little || (self.options.erase && own.live < own.all) || (many_small && is_small(entry))
                }
            };
            if wanted && own.live > 0 {
                found.push(entry.hash);
            }
        }
        found
    }

    fn repack(&mut self, survey: &Survey, sparse: &[ObjectHash]) -> Result<Vec<ObjectHash>, RepoError> {
        if sparse.is_empty() {
            return Ok(Vec::new());
        }
        (self.on_phase)("repacking sparse packs");
        if self.options.dry_run {
            self.report.packs_repacked += sparse.len() as u64;
            self.report.bytes_moved += sparse.iter().map(|pack| survey.live(pack)).sum::<u64>();
            return Ok(sparse.to_vec());
        }
        let reader = self.repository.chunks(Arc::clone(&survey.index))?;
        let (live, _) = self.live.sorted(&reader)?;
        let outcome = repack::run(self.repository, survey.sources(), &live, sparse, &mut self.proof)?;
        self.report.packs_repacked += outcome.packs.len() as u64;
        self.report.bytes_moved += outcome.bytes;
        Ok(outcome.packs)
    }

    /// Marks what is dead and takes marks off what lives again: by a list of its own, if no list
    /// that is there says just that. Lists that are superseded go with the next run, so that a
    /// writer who lists the trash meanwhile sees the old one or the new one.
    fn mark(&mut self, survey: &Survey, dead: &[ObjectHash]) -> Result<(), RepoError> {
        (self.on_phase)("marking unreferenced data");
        if self.options.dry_run {
            return Ok(());
        }
        let is_dead: HashSet<&ObjectHash> = dead.iter().collect();
        let lives = |pack: &ObjectHash| {
            survey.listed.contains_key(pack) && !is_dead.contains(pack) && survey.live(pack) > 0
        };
        let marked: BTreeSet<&ObjectHash> =
            survey.trash.marks().flat_map(|said| said.packs.keys()).filter(|pack| !lives(pack)).collect();
        let wanted: Since = marked
            .into_iter()
            .filter(|pack| survey.listed.contains_key(*pack))
            .chain(dead)
            .filter(|pack| !survey.trash.announces(pack))
            .take(trash::MOST)
            .map(|pack| (*pack, survey.trash.since(pack)))
            .collect();
        let says_it = |said: &trash::Said| {
            wanted.keys().all(|pack| said.packs.contains_key(pack)) && !said.packs.keys().any(lives)
        };
        let stays = survey.trash.marks().find(|said| says_it(said)).filter(|_| !wanted.is_empty());
        if stays.is_some() || wanted.is_empty() {
            let others = survey.trash.marks().map(|said| said.name.clone());
            let others: Vec<String> =
                others.filter(|name| stays.is_none_or(|stays| stays.name != *name)).collect();
            return self.remove_all(&others);
        }
        self.put_list(&wanted, false)
    }

    fn put_list(&self, packs: &Since, intents: bool) -> Result<(), RepoError> {
        let name = trash::name(self.compartment, self.pruner, intents);
        let bytes = trash::make(self.repository.keys(), &name, packs, intents)?;
        object::put(self.repository.store(), &name, bytes)
    }

    /// What may be deleted now. Sessions are listed behind the marks: a writer puts its session and
    /// then looks at the trash, so one that did not see a mark is seen here, and one that is not
    /// seen here depends on nothing that is marked.
    fn doomed(&mut self, survey: &Survey, dead: &[ObjectHash]) -> Result<Vec<ObjectHash>, RepoError> {
        let sessions = sessions::alive(&self.repository.unlocked, self.compartment, self.now)?;
        self.report.sessions += sessions.len() as u64;
        let margin = self.options.grace.clamp(PUT_TAKES.0, PUT_TAKES.1);
        let mut doomed = Vec::new();
        for pack in dead {
            let size = survey.size(pack);
            let before = survey.trash.since(pack);
            // A mark of this run is younger than every session listed.
            let may_have_missed = |began: SystemTime| before.is_none_or(|marked| began <= marked + margin);
            let waits_for_writer = sessions.iter().any(|session| may_have_missed(session.began));
            let marked = before.unwrap_or(self.now);
            if age(self.now, marked) >= self.options.grace && !waits_for_writer {
                doomed.push(*pack);
            } else {
                self.wait(size, marked);
            }
        }
        if self.options.dry_run {
            self.report.packs_deleted += doomed.len() as u64;
            self.report.bytes_deleted += doomed.iter().map(|pack| survey.size(pack)).sum::<u64>();
        }
        Ok(doomed)
    }

    fn wait(&mut self, size: u64, marked: SystemTime) {
        self.report.wait(size, marked, self.options.grace);
    }

    /// Announces, looks again, and deletes what is dead then, too. What was announced stays
    /// announced, whatever becomes of it.
    fn delete(&mut self, survey: &Survey, mut doomed: Vec<ObjectHash>) -> Result<(), RepoError> {
        (self.on_phase)("deleting data that was marked earlier");
        let is_new = |pack: &&ObjectHash| !survey.trash.announces(pack);
        let new: Since = doomed.iter().filter(is_new).take(trash::MOST).map(|pack| (*pack, None)).collect();
        doomed.retain(|pack| new.contains_key(pack) || survey.trash.announces(pack));
        if !new.is_empty() {
            self.put_list(&new, true)?;
        }
        settle(self.repository.store())?;
        let survey = self.survey(&doomed.iter().copied().collect())?;
        // Intents of a key that was revoked meanwhile say nothing to writers any more.
        self.repository.unlocked.refuse_stranger(Right::Prune, &[Scope::Compartment(self.compartment)])?;
        let size = |pack: &ObjectHash| survey.size(pack);
        let (dead, living): (Vec<&ObjectHash>, Vec<_>) = doomed.iter().partition(|pack| survey.is_dead(pack));
        for pack in living {
            self.wait(size(pack), self.now);
        }
        for batch in dead.chunks(MOST) {
            self.repository.store().cancel().check()?;
            let delete =
                |pack: &&ObjectHash| self.repository.store().delete(&pack::name(self.compartment, pack));
            let answers: Vec<_> = each(batch, delete).collect();
            let mut failed = None;
            for (pack, answer) in batch.iter().zip(answers) {
                match answer {
                    Ok(()) => {
                        self.report.packs_deleted += 1;
                        self.report.bytes_deleted += size(pack);
                    }
                    // A lock, or a right that ends at packs: another run tries again.
                    Err(error) if error.is_denied() => self.refuse(pack, size(pack)),
                    Err(error) => drop(failed.get_or_insert(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Ok(())
    }
}
