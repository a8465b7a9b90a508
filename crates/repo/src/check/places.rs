//! Places of chunks that are not good.

use std::collections::{HashMap, HashSet};

use crate::ids::ChunkId;

/// What is wrong inside packs: with a whole pack, or with a chunk of it.
#[derive(Default)]
pub(super) struct BadPlaces {
    pub packs: HashMap<u32, usize>,
    pub chunks: HashMap<(u32, ChunkId), usize>,
    /// Chunks that the index names in a pack that does not have them.
    pub not_there: HashMap<(u32, ChunkId), usize>,
    /// Packs that are there and not what was put.
    pub rotten: HashSet<u32>,
}
