//! A Bloom filter over chunk ids: ten bits and seven probes per id, about 0.8 % false answers.

use crate::ids::ChunkId;

const BITS_PER_ID: u64 = 10;
const PROBES: u64 = 7;

/// Says of an id "surely not here" or "perhaps".
pub(crate) struct Filter {
    words: Vec<u8>,
}

impl Filter {
    pub(crate) fn with_capacity(ids: u64) -> Filter {
        let bytes = (ids.max(8) * BITS_PER_ID).div_ceil(8);
        Filter { words: vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)] }
    }

    pub(crate) fn from_bytes(words: Vec<u8>) -> Filter {
        Filter { words }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.words
    }

    /// Ids are keyed hashes: their own bytes serve as two independent hash functions.
    fn probes(&self, id: &ChunkId) -> impl Iterator<Item = (usize, u8)> {
        let bits = (self.words.len() as u64).saturating_mul(8).max(1);
        let (first, step) = (id.prefix(), id.second() | 1);
        (0..PROBES).map(move |probe| {
            let bit = first.wrapping_add(step.wrapping_mul(probe)) % bits;
            ((bit / 8) as usize, 1 << (bit % 8))
        })
    }

    pub(crate) fn insert(&mut self, id: &ChunkId) {
        let probes: Vec<_> = self.probes(id).collect();
        for (at, bit) in probes {
            if let Some(byte) = self.words.get_mut(at) {
                *byte |= bit;
            }
        }
    }

    pub(crate) fn may_contain(&self, id: &ChunkId) -> bool {
        self.probes(id).all(|(at, bit)| self.words.get(at).is_some_and(|byte| byte & bit != 0))
    }
}
