//! The packs that an index knows, and the index objects that are there.

use std::collections::BTreeMap;

use super::object::{IndexContent, PackEntry};
use crate::ids::ObjectHash;

/// Names of index objects, and how large these are.
pub(crate) type Listed = BTreeMap<String, u64>;

/// The packs that an index knows, by number.
#[derive(Clone, Default)]
pub(crate) struct PackTable {
    pub packs: Vec<PackEntry>,
    /// By hash and size: an index object that names another size than the pack has speaks of
    /// another pack.
    numbers: BTreeMap<(ObjectHash, u64), u32>,
}

impl PackTable {
    /// Adds the packs of an index object; their numbers, in its order.
    pub(crate) fn add(&mut self, content: &IndexContent) -> Vec<u32> {
        content.packs.iter().map(|pack| self.number(*pack)).collect()
    }

    pub(crate) fn number(&mut self, pack: PackEntry) -> u32 {
        *self.numbers.entry((pack.hash, pack.size)).or_insert_with(|| {
            self.packs.push(pack);
            u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
        })
    }

    pub(crate) fn find(&self, hash: &ObjectHash, size: u64) -> Option<u32> {
        self.numbers.get(&(*hash, size)).copied()
    }

    /// Every number of a pack, whatever size index objects say that it has.
    pub(crate) fn all(&self, hash: &ObjectHash) -> impl Iterator<Item = u32> {
        self.numbers.range((*hash, 0)..=(*hash, u64::MAX)).map(|(_, number)| *number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&PackEntry> {
        self.packs.get(number as usize)
    }
}
