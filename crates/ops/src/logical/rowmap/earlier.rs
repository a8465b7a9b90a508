//! What earlier backups of this cluster hold under maps, by table.
//!
//! Backups differ in what was asked for (one table hourly, all of them nightly), so each table is
//! looked for by itself: in the newest backup that holds it. The search ends where a backup took
//! its database without filters: what is not in that one is new.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pgark_repo::{BackupHead, BackupWriter, EarlierMap, MapRef, Part, RepoError, Repository};

use super::Whole;
use crate::OpsError;
use crate::facts::About;

/// How far back a table is looked for.
pub(crate) const MOST_BACKUPS: usize = 64;
/// The sample of a table's old rows has at most about so many.
const SAMPLED: u64 = 1 << 20;
/// And at most one row of so many.
const LEAST_RATE: u64 = 64;

/// Earlier backups of one cluster.
pub(crate) struct EarlierTables<'r> {
    repository: &'r Repository,
    state: Mutex<State>,
}

struct State {
    /// Not opened yet; the newest last.
    heads: Vec<BackupHead>,
    /// The newest map parts of each entry's path.
    tables: HashMap<String, Arc<EarlierTable>>,
    /// Databases of which a backup without filters was opened.
    whole: HashSet<String>,
}

/// The parts of one table in the newest backup that holds it.
pub(crate) struct EarlierTable {
    parts: Vec<MapRef>,
    /// Of each part the rows that had changed in that backup; empty: of none.
    changed: Vec<u64>,
    sample: OnceLock<Option<Sample>>,
    /// Parts that were found to hold other rows, or the same in another order.
    rewritten: AtomicU32,
}

/// Of some of a table's old rows the part that holds them, by what the lists hold of their hashes.
pub(super) struct Sample {
    rate: u64,
    parts: HashMap<u64, u32>,
}

impl Sample {
    /// Whether rows of this hash are sampled.
    pub(super) fn covers(&self, hash: u64) -> bool {
        (hash >> 32).is_multiple_of(self.rate)
    }

    pub(super) fn part(&self, hash: u64) -> Option<usize> {
        self.parts.get(&hash).map(|part| *part as usize)
    }
}

impl<'r> EarlierTables<'r> {
    /// The newest backups of a cluster, the newest last; none of them is opened.
    pub(crate) fn of(repository: &'r Repository, heads: Vec<BackupHead>) -> EarlierTables<'r> {
        let state = State { heads, tables: HashMap::new(), whole: HashSet::new() };
        EarlierTables { repository, state: Mutex::new(state) }
    }

    /// The newest maps of an entry. A backup that is damaged is skipped.
    ///
    /// # Errors
    /// Failures of the storage.
    pub(crate) fn table(&self, database: &str, path: &str) -> Result<Option<Arc<EarlierTable>>, OpsError> {
        let mut state = self.state();
        loop {
            if let Some(table) = state.tables.get(path) {
                return Ok(Some(Arc::clone(table)));
            }
            if state.whole.contains(database) {
                return Ok(None);
            }
            let Some(head) = state.heads.pop() else { return Ok(None) };
            match self.open(&mut state, &head) {
                Ok(()) => {}
                Err(error @ OpsError::Repository(RepoError::Store(_) | RepoError::Cancelled)) => {
                    return Err(error);
                }
                Err(error) => {
                    self.repository.detail(&format!("backup {} is not used: {error}", head.id));
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, state: &mut State, head: &BackupHead) -> Result<(), OpsError> {
        let about = About::of(head)?;
        let backup = self.repository.open_head(head)?;
        // How much changed last time bounds how much is written again: a hint, which may be gone.
        let additions = backup.additions().into_iter().flatten().map_while(Result::ok);
        let mut changed: HashMap<String, Vec<u64>> = additions
            .filter(|addition| !addition.changed.is_empty())
            .map(|addition| (addition.path, addition.changed))
            .collect();
        for entry in backup.entries() {
            let entry = entry?;
            let maps = entry.parts.into_iter().filter_map(|part| match part {
                Part::Map(map) => Some(*map),
                _ => None,
            });
            let parts: Vec<MapRef> = maps.collect();
            if parts.is_empty() {
                continue;
            }
            let changed = changed.remove(&entry.path).unwrap_or_default();
            let (sample, rewritten) = (OnceLock::new(), AtomicU32::new(0));
            let table = EarlierTable { parts, changed, sample, rewritten };
            state.tables.entry(entry.path).or_insert_with(|| Arc::new(table));
        }
        let whole = about.reads.into_iter().filter(|(_, read)| read.filters.is_default());
        state.whole.extend(whole.map(|(database, _)| database));
        Ok(())
    }
}

impl EarlierTable {
    /// Why none of it can be matched, if its rows have another form.
    pub(super) fn other_form(&self, identity: &[u8; 16]) -> Option<Whole> {
        let (_, columns) = identity.split_at(8);
        let known: Vec<[u8; 16]> = self.parts.iter().map(MapRef::identity).collect();
        if known.contains(identity) {
            None
        } else if known.iter().any(|known| known.ends_with(columns)) {
            Some(Whole::Settings)
        } else {
            Some(Whole::Columns)
        }
    }

    /// The numbers of the parts that share pages with the range; `to`: first page behind it.
    pub(super) fn overlapping(&self, from: u64, to: Option<u64>) -> Vec<usize> {
        let first_behind = |at: usize| {
            let own = self.parts.get(at).map(MapRef::from);
            self.parts.iter().skip(at).map(MapRef::from).find(|other| Some(*other) > own)
        };
        let overlaps = |at: &usize| {
            let Some(part) = self.parts.get(*at) else { return false };
            to.is_none_or(|to| part.from() < to) && first_behind(*at).is_none_or(|end| end > from)
        };
        (0..self.parts.len()).filter(overlaps).collect()
    }

    pub(super) fn part(&self, number: usize) -> Option<&MapRef> {
        self.parts.get(number)
    }

    pub(super) fn changed(&self, number: usize) -> u64 {
        self.changed.get(number).copied().unwrap_or(0)
    }

    pub(super) fn rewritten(&self) -> u32 {
        self.rewritten.load(Ordering::Relaxed)
    }

    pub(super) fn note_rewritten(&self) {
        self.rewritten.fetch_add(1, Ordering::Relaxed);
    }

    /// The sample of all its rows; made by the first who needs it. None if that fails: nothing is
    /// then found by voting.
    pub(super) fn sample(&self, writer: &BackupWriter<'_>, identity: &[u8; 16]) -> Option<&Sample> {
        self.sample.get_or_init(|| self.make_sample(writer, identity).ok()).as_ref()
    }

    fn make_sample(&self, writer: &BackupWriter<'_>, identity: &[u8; 16]) -> Result<Sample, OpsError> {
        let items: u64 = self.parts.iter().map(MapRef::items).sum();
        let mut sample = Sample { rate: (items / SAMPLED).max(LEAST_RATE), parts: HashMap::new() };
        for (number, part) in (0u32..).zip(&self.parts).filter(|(_, part)| part.identity() == *identity) {
            let map: EarlierMap = writer.earlier_map(part)?;
            let mut listed = Vec::new();
            for unit in map.units() {
                listed.clear();
                map.listed(&unit, &mut listed);
                for hash in &listed {
                    if sample.covers(*hash) {
                        sample.parts.entry(*hash).or_insert(number);
                    }
                }
            }
        }
        Ok(sample)
    }
}
