//! A permutation as a table: one cycle through the whole domain.
//!
//! The cycle is drawn by Sattolo's algorithm ("An algorithm to generate a random cyclic
//! permutation", Information Processing Letters 22, 1986): all cycles of full length are equally
//! likely, and none of two or more values has a fixed point.

use crate::draw::Draw;
use crate::key::RuleKey;

/// Both directions of the table.
#[derive(Debug)]
pub(super) struct Cycle {
    next: Vec<u16>,
    previous: Vec<u16>,
}

impl Cycle {
    /// Of at most 65,536 values; the caller sees to that.
    pub(super) fn new(key: RuleKey, size: u32) -> Cycle {
        let mut draw = Draw::of(key, &size.to_le_bytes());
        let mut next: Vec<u16> = (0..size).map(|value| value as u16).collect();
        for last in (1..next.len()).rev() {
            // Always another place: this is what makes it one cycle.
            next.swap(last, draw.below(last as u64) as usize);
        }
        let mut previous = vec![0; next.len()];
        for (from, to) in next.iter().enumerate() {
            if let Some(place) = previous.get_mut(usize::from(*to)) {
                *place = from as u16;
            }
        }
        Cycle { next, previous }
    }

    /// What a value becomes; itself outside of the table.
    pub(super) fn next(&self, value: u128) -> u128 {
        at(&self.next, value)
    }

    /// What becomes a value; itself outside of the table.
    pub(super) fn previous(&self, value: u128) -> u128 {
        at(&self.previous, value)
    }
}

fn at(table: &[u16], value: u128) -> u128 {
    let found = usize::try_from(value).ok().and_then(|value| table.get(value));
    found.map_or(value, |found| u128::from(*found))
}
