//! Matching rows against the rows of one earlier part, by 64 bits of keyed hash each.

use std::collections::HashSet;

use pgark_repo::{BackupWriter, EarlierMap, EarlierUnit, RepoError, UnitName};

/// So many rows beyond the expected one are looked at: rows between were deleted.
const AHEAD: u32 = 8;
/// Of rows with equal hashes so many are looked at.
const EQUALS: usize = 16;
const NONE: u32 = u32::MAX;

/// The old rows of one earlier part, and which of them are used.
pub(super) struct OldRows {
    map: EarlierMap,
    units: Vec<OldUnit>,
    /// What the list holds of each kept row, unit by unit.
    listed: Vec<u64>,
    used: Vec<bool>,
    /// The unit that matched last.
    last: usize,
    /// Hash table of first rows by hash; rows of equal hash are chained, the first in the part
    /// first.
    slots: Vec<u32>,
    next: Vec<u32>,
}

/// A unit among those of the parts in scope: the part's number, and the unit's.
pub(super) type Position = (usize, usize);

struct OldUnit {
    unit: EarlierUnit,
    start: u32,
    end: u32,
    /// Behind its last match: the row that is expected next.
    expected: u32,
    /// Behind a row that was found out of its place: expected as well.
    guessed: u32,
    /// Its rows are stored again: none of them is old any more.
    given_up: bool,
}

impl OldUnit {
    /// Whether a row at this place is where one is expected.
    fn expects(&self, row: u32) -> bool {
        if self.given_up {
            return false;
        }
        let near = |place: u32| place != NONE && row >= place && row - place <= AHEAD;
        near(self.expected) || near(self.guessed)
    }
}

impl OldRows {
    /// The rows of a part's units, without those that are to be written again and those that
    /// `taken` knows from other parts.
    pub(super) fn new(
        writer: &BackupWriter<'_>,
        mut map: EarlierMap,
        condemned: &HashSet<(usize, usize)>,
        taken: &mut HashSet<UnitName>,
    ) -> Result<OldRows, RepoError> {
        let (mut units, mut listed) = (Vec::new(), Vec::new());
        for unit in map.units() {
            if condemned.contains(&unit.place) || !taken.insert(unit.name) {
                continue;
            }
            let start = listed.len() as u32;
            map.listed(&unit, &mut listed);
            let end = listed.len() as u32;
            units.push(OldUnit { unit, start, end, expected: start, guessed: NONE, given_up: false });
        }
        writer.release_lists(&mut map)?;
        let (slots, next) = index(&listed);
        Ok(OldRows { map, units, used: vec![false; listed.len()], listed, last: 0, slots, next })
    }

    /// How many rows there are to match.
    pub(super) fn rows(&self) -> usize {
        self.listed.len()
    }

    /// Uses the old row that is where the next one is expected after the last match.
    #[inline]
    pub(super) fn step(&mut self, hash: u64) -> bool {
        let Some(unit) = self.units.get_mut(self.last).filter(|unit| !unit.given_up) else { return false };
        let to = unit.end.min(unit.expected.saturating_add(AHEAD + 1));
        for row in unit.expected..to {
            if self.listed.get(row as usize) == Some(&hash) && self.used.get(row as usize) == Some(&false) {
                unit.expected = row + 1;
                if let Some(used) = self.used.get_mut(row as usize) {
                    *used = true;
                }
                return true;
            }
        }
        false
    }

    /// Uses an old row of this hash that is where some unit expects one. If there is one elsewhere,
    /// the row behind it is expected from now on.
    pub(super) fn find(&mut self, hash: u64) -> bool {
        let Some(slot) = self.slot(hash) else { return false };
        // Rows that are used need not be looked at again.
        let mut row = self.slots.get(slot).copied().unwrap_or(NONE);
        while row != NONE && self.used.get(row as usize) == Some(&true) {
            let next = self.next.get(row as usize).copied().unwrap_or(NONE);
            if next == NONE {
                return false;
            }
            row = next;
        }
        if let Some(first) = self.slots.get_mut(slot) {
            *first = row;
        }
        let mut elsewhere = None;
        for _ in 0..EQUALS {
            if row == NONE {
                break;
            }
            if self.used.get(row as usize) == Some(&false) {
                let number = self.units.partition_point(|unit| unit.end <= row);
                let Some(unit) = self.units.get_mut(number) else { return false };
                if unit.expects(row) {
                    unit.expected = row + 1;
                    unit.guessed = NONE;
                    self.last = number;
                    if let Some(used) = self.used.get_mut(row as usize) {
                        *used = true;
                    }
                    return true;
                }
                elsewhere.get_or_insert((number, row));
            }
            row = self.next.get(row as usize).copied().unwrap_or(NONE);
        }
        if let Some((number, row)) = elsewhere
            && let Some(unit) = self.units.get_mut(number)
        {
            unit.guessed = row + 1;
        }
        false
    }

    fn slot(&self, hash: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots.get(slot).copied() {
                None | Some(NONE) => return None,
                Some(row) if self.listed.get(row as usize) == Some(&hash) => return Some(slot),
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    /// The unit of the row that was used last, and how many items its chunks hold.
    pub(super) fn last(&self) -> (usize, u32) {
        (self.last, self.units.get(self.last).map_or(0, |unit| unit.unit.items))
    }

    /// Uses no row of a unit any more, and none that was used so far.
    pub(super) fn give_up(&mut self, number: usize) {
        if let Some(unit) = self.units.get_mut(number) {
            unit.given_up = true;
            // Used permanently: the rows block no chain of matches.
            if let Some(used) = self.used.get_mut(unit.start as usize..unit.end as usize) {
                used.fill(true);
            }
        }
    }

    /// Whether any row is used.
    pub(super) fn is_used(&self) -> bool {
        self.used.contains(&true)
    }

    /// The units of which rows are used, with a flag for each row that the earlier map kept.
    pub(super) fn used(&self) -> Vec<(EarlierUnit, Vec<bool>)> {
        let of = |unit: &OldUnit| {
            let flags = self.used.get(unit.start as usize..unit.end as usize).unwrap_or_default();
            (!unit.given_up && flags.contains(&true)).then(|| (unit.unit.clone(), flags.to_vec()))
        };
        self.units.iter().filter_map(of).collect()
    }

    pub(super) fn map(&self) -> &EarlierMap {
        &self.map
    }
}

/// Slots (a power of two, at most half full) and chains.
fn index(listed: &[u64]) -> (Vec<u32>, Vec<u32>) {
    if listed.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut slots = vec![NONE; (listed.len() * 2).next_power_of_two()];
    let mut next = vec![NONE; listed.len()];
    let mask = slots.len() - 1;
    // From the last row to the first, so that the first of equal rows heads its chain.
    for (row, hash) in listed.iter().enumerate().rev() {
        let mut slot = *hash as usize & mask;
        while let Some(head) = slots.get_mut(slot) {
            if *head == NONE || listed.get(*head as usize) == Some(hash) {
                if let Some(next) = next.get_mut(row) {
                    *next = *head;
                }
                *head = row as u32;
                break;
            }
            slot = (slot + 1) & mask;
        }
    }
    (slots, next)
}
