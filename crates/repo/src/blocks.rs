//! Blocks of packs that hold small things: nodes of trees, maps, groups.
//!
//! These are read one by one and lie close together. Where a network lies between, a block around
//! each is fetched and kept for the next: a restore over 50 ms then waits for a few of them instead
//! of for hundreds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::RepoError;
use crate::ids::Hash;
use crate::lock::lock;

pub(crate) const BLOCK: u64 = 1 << 20;
/// Blocks that are kept: 16 MiB.
const KEPT: usize = 16;

#[derive(Default)]
struct Held {
    blocks: HashMap<(Hash, u64), Arc<Vec<u8>>>,
    /// Oldest first.
    order: VecDeque<(Hash, u64)>,
}

/// Blocks that were fetched. Two threads that need one at a time both fetch it.
#[derive(Default)]
pub(crate) struct Blocks(Mutex<Held>);

impl Blocks {
    /// A range of a pack of this size, from the blocks it lies in; `fetch` gets those that are not
    /// held: from, to.
    pub(crate) fn range(
        &self,
        pack: &Hash,
        size: u64,
        (from, to): (u64, u64),
        fetch: &dyn Fn(u64, u64) -> Result<Vec<u8>, RepoError>,
    ) -> Result<Vec<u8>, RepoError> {
        // A directory that says more than the pack holds: its own error comes from the storage.
        if to > size || from >= to {
            return fetch(from, to);
        }
        let mut bytes = Vec::new();
        for number in from / BLOCK..=(to - 1) / BLOCK {
            let (start, end) = (number * BLOCK, ((number + 1) * BLOCK).min(size));
            let block = match self.held(&(*pack, number)) {
                Some(block) => block,
                None => {
                    let block = Arc::new(fetch(start, end)?);
                    self.keep((*pack, number), Arc::clone(&block));
                    block
                }
            };
            let (first, last) = (from.max(start) - start, to.min(end) - start);
            let part = usize::try_from(first).ok().zip(usize::try_from(last).ok());
            bytes
                .extend_from_slice(part.and_then(|(first, last)| block.get(first..last)).unwrap_or_default());
        }
        Ok(bytes)
    }

    fn held(&self, name: &(Hash, u64)) -> Option<Arc<Vec<u8>>> {
        lock(&self.0).blocks.get(name).cloned()
    }

    fn keep(&self, name: (Hash, u64), block: Arc<Vec<u8>>) {
        let mut held = lock(&self.0);
        if held.blocks.insert(name, block).is_none() {
            held.order.push_back(name);
        }
        while held.order.len() > KEPT {
            if let Some(oldest) = held.order.pop_front() {
                held.blocks.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn ranges_come_from_blocks_and_blocks_come_once() {
        let size = 2 * BLOCK + 1000;
        let byte = |at: u64| (at % 251) as u8;
        let fetched = Cell::new(0);
        let fetch = |from: u64, to: u64| {
            fetched.set(fetched.get() + 1);
            Ok((from..to).map(byte).collect())
        };
        let blocks = Blocks::default();
        let pack = Hash::of(b"a pack");
        for (from, to) in [(0, 10), (BLOCK - 5, BLOCK + 5), (100, 2 * BLOCK + 1000), (2 * BLOCK, size)] {
            let bytes = blocks.range(&pack, size, (from, to), &fetch).unwrap();
            assert_eq!(bytes, (from..to).map(byte).collect::<Vec<u8>>(), "{from} {to}");
        }
        assert_eq!(fetched.get(), 3);
        assert_eq!(blocks.range(&pack, size, (size, size + 1), &fetch).unwrap().len(), 1);
        for number in 0..40u64 {
            blocks.range(&Hash::of(&number.to_le_bytes()), size, (0, 1), &fetch).unwrap();
        }
        assert!(blocks.0.lock().unwrap().blocks.len() <= KEPT);
    }
}
