//! Which earlier parts a part's rows are matched against: few at a time, found as the rows come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pgark_repo::{BackupWriter, UnitName, UsedItems};

use super::earlier::EarlierTable;
use super::matching::{OldRows, Position};
use super::{Rules, Whole};
use crate::OpsError;

/// After so many rows in a row without a match the next old part is tried.
const LOST_AFTER: u32 = 64;
/// Rows after which it is judged whether the table moved.
const JUDGED_AFTER: u64 = 2048;
/// Sampled rows that must vote for a part, and their least share of all votes.
const VOTES: u32 = 3;
const VOTE_SHARE: u32 = 20;
/// So many parts are tried by vote, ...
const MOST_VOTED: u32 = 4;
/// ... and none any more when so many parts of the table were found to be rewritten all the same.
const GIVEN_UP_AFTER: u32 = 2;
/// Old rows in scope at most: two parts of the largest, 21 MiB.
const MOST_ROWS: usize = 1_000_000;

/// The earlier parts that one part is matched against.
pub(super) struct Scope<'t> {
    writer: &'t BackupWriter<'t>,
    table: Arc<EarlierTable>,
    identity: [u8; 16],
    rules: Rules,
    old: Vec<(usize, OldRows)>,
    tried: HashSet<usize>,
    taken: HashSet<UnitName>,
    /// Which of `old` matched last.
    last: usize,
    lost: u32,
    rows: u64,
    missed: u64,
    votes: HashMap<usize, u32>,
    voted: u32,
    loaded_by_vote: u32,
    /// Rows of units that are written again by rule: they are new without having changed.
    pub(super) condemned: u64,
    /// Something of an earlier part is gone.
    pub(super) is_lossy: bool,
}

impl<'t> Scope<'t> {
    /// `first`: numbers of earlier parts to begin with.
    pub(super) fn new(
        writer: &'t BackupWriter<'t>,
        table: Arc<EarlierTable>,
        identity: [u8; 16],
        rules: Rules,
        first: &[usize],
    ) -> Result<Scope<'t>, OpsError> {
        let mut scope = Scope {
            writer,
            table,
            identity,
            rules,
            old: Vec::new(),
            tried: HashSet::new(),
            taken: HashSet::new(),
            last: 0,
            lost: 0,
            rows: 0,
            missed: 0,
            votes: HashMap::new(),
            voted: 0,
            loaded_by_vote: 0,
            condemned: 0,
            is_lossy: false,
        };
        for number in first {
            scope.load(*number)?;
        }
        Ok(scope)
    }

    /// Whether there is anything to match against.
    pub(super) fn is_empty(&self) -> bool {
        self.old.iter().all(|(_, old)| old.rows() == 0)
    }

    /// Why nothing of the parts that were tried can be reused, if so.
    pub(super) fn why_empty(&self) -> Option<Whole> {
        (self.is_empty() && self.is_lossy).then_some(Whole::Lost)
    }

    fn load(&mut self, number: usize) -> Result<bool, OpsError> {
        if !self.tried.insert(number) {
            return Ok(false);
        }
        let Some(part) = self.table.part(number).filter(|part| part.identity() == self.identity) else {
            return Ok(false);
        };
        let items = usize::try_from(part.items()).unwrap_or(usize::MAX);
        let rows = |scope: &Self| scope.old.iter().map(|(_, old)| old.rows()).sum::<usize>();
        if rows(self) + items > MOST_ROWS {
            // What was of no use so far makes room.
            self.old.retain(|(_, old)| old.is_used());
            self.last = self.last.min(self.old.len().saturating_sub(1));
        }
        if rows(self) > 0 && rows(self) + items > MOST_ROWS {
            return Ok(false);
        }
        let mut map = self.writer.earlier_map(part)?;
        map.changed = self.table.changed(number);
        self.is_lossy |= map.items_lost > 0;
        let due = map.due(self.rules.rewrite_deleted);
        self.condemned += due.items;
        self.old.push((number, OldRows::new(self.writer, map, &due.places, &mut self.taken)?));
        Ok(true)
    }

    /// Whether a row is old; if so, it is used.
    #[inline]
    pub(super) fn find(&mut self, hash: u64) -> Result<bool, OpsError> {
        self.rows += 1;
        if let Some((_, old)) = self.old.get_mut(self.last)
            && old.step(hash)
        {
            self.lost = 0;
            return Ok(true);
        }
        self.search(hash)
    }

    fn search(&mut self, hash: u64) -> Result<bool, OpsError> {
        let found = self.old.iter_mut().position(|(_, old)| old.find(hash));
        if let Some(found) = found {
            (self.last, self.lost) = (found, 0);
            return Ok(true);
        }
        self.missed += 1;
        self.lost += 1;
        if self.lost == LOST_AFTER
            && let Some((number, _)) = self.old.get(self.last)
        {
            self.load(number + 1)?;
        }
        if self.rows >= JUDGED_AFTER && self.missed * 2 > self.rows {
            self.vote(hash)?;
        }
        Ok(false)
    }

    /// The table moved: rows that are found nowhere near are looked for in a sample of all old
    /// rows.
    fn vote(&mut self, hash: u64) -> Result<(), OpsError> {
        if self.loaded_by_vote == MOST_VOTED || self.is_of_rewritten() {
            return Ok(());
        }
        let table = Arc::clone(&self.table);
        let Some(sample) = table.sample(self.writer, &self.identity) else { return Ok(()) };
        if !sample.covers(hash) {
            return Ok(());
        }
        self.voted += 1;
        let Some(part) = sample.part(hash) else { return Ok(()) };
        let votes = self.votes.entry(part).or_default();
        *votes += 1;
        if *votes >= VOTES && *votes * VOTE_SHARE >= self.voted {
            self.loaded_by_vote += u32::from(self.load(part)?);
        }
        Ok(())
    }

    /// Whether other parts of the table were found to hold other rows.
    pub(super) fn is_of_rewritten(&self) -> bool {
        self.table.rewritten() >= GIVEN_UP_AFTER
    }

    /// Notes that the part is stored whole for all that.
    pub(super) fn give_up(&self) {
        self.table.note_rewritten();
    }

    /// The part that matched last: where the rows behind this part will go on.
    pub(super) fn last(&self) -> Option<usize> {
        self.old.get(self.last).map(|(number, _)| *number)
    }

    /// The unit of the row that was found last, and how many items its chunks hold.
    pub(super) fn found_in(&self) -> Option<(Position, u32)> {
        let (part, old) = self.old.get(self.last)?;
        let (unit, items) = old.last();
        Some(((*part, unit), items))
    }

    /// Uses nothing of a unit: `rows` of its rows, which were found old, are stored again.
    pub(super) fn give_up_unit(&mut self, (part, unit): Position, rows: u64) {
        self.condemned += rows;
        if let Some((_, old)) = self.old.iter_mut().find(|(number, _)| *number == part) {
            old.give_up(unit);
        }
    }

    /// What of the earlier parts is used.
    pub(super) fn used(&self) -> Vec<UsedItems<'_>> {
        self.old.iter().map(|(_, old)| (old.map(), old.used())).collect()
    }
}
