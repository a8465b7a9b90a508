//! Keyed permutations of finite domains: each value becomes another one, and different values stay
//! different.
//!
//! [`Permutation`] permutes the numbers from 0 up to a size. Up to [`MOST_TABLED`] values it is a
//! table (`cycle`), above it a `feistel` network. [`text`] permutes strings of one shape.

mod classes;
mod cycle;
mod feistel;
pub mod text;

pub use classes::Group;
pub use feistel::{Network, Schedule};

use std::sync::Arc;

use crate::key::RuleKey;
use cycle::Cycle;

/// The most values of a domain that is permuted by a table: 128 KiB in each direction.
pub const MOST_TABLED: u128 = 1 << 16;

/// A permutation of the numbers from 0 up to `size`, without `size`. For a size of at least 2, no
/// number keeps itself. Clones share their tables.
#[derive(Clone, Debug)]
pub struct Permutation {
    size: u128,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Table(Arc<Cycle>),
    Network { schedule: Arc<Schedule>, network: Network },
}

impl Permutation {
    /// The permutation that the key decides for this size. Keys of one domain of rules give
    /// unrelated permutations for different sizes.
    pub fn new(key: RuleKey, size: u128) -> Permutation {
        let way = match u32::try_from(size) {
            Ok(few) if size <= MOST_TABLED => Way::Table(Arc::new(Cycle::new(key.part("cycle"), few))),
            _ => {
                let schedule = Schedule::new(key);
                let network = schedule.network(size, 0);
                Way::Network { schedule: Arc::new(schedule), network }
            }
        };
        Permutation { size, way }
    }

    /// How many numbers it permutes.
    pub fn size(&self) -> u128 {
        self.size
    }

    /// What a number becomes. A number outside of the domain stays as it is.
    pub fn apply(&self, number: u128) -> u128 {
        if number >= self.size {
            return number;
        }
        match &self.way {
            Way::Table(cycle) => cycle.next(number),
            Way::Network { schedule, network } => network.apply(schedule, number),
        }
    }

    /// What becomes this number. A number outside of the domain stays as it is.
    pub fn invert(&self, number: u128) -> u128 {
        if number >= self.size {
            return number;
        }
        match &self.way {
            Way::Table(cycle) => cycle.previous(number),
            Way::Network { schedule, network } => network.invert(schedule, number),
        }
    }

    /// What each number becomes, eight at a time, which is about twice as fast as one by one.
    /// False, and nothing is changed, if the size is 2^64 or more: then results may not fit.
    #[must_use]
    pub fn apply_many(&self, numbers: &mut [u64]) -> bool {
        if self.size > u128::from(u64::MAX) {
            return false;
        }
        match &self.way {
            Way::Network { schedule, network } => network.apply_many(schedule, numbers),
            Way::Table(_) => {
                for number in numbers {
                    *number = self.apply(u128::from(*number)) as u64;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
