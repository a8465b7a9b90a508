//! What was found out of the units of earlier maps before these are opened (`look_up`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::dedup::Found;
use crate::ids::ChunkId;
use crate::lock::lock;
use crate::map::MapRef;

/// No pack has this number.
const UNKNOWN: u32 = u32::MAX;

/// By the stream that names a map's groups: of each of them the packs of the chunks that it uses,
/// in their order.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<ChunkId, Arc<KnownUnits>>>);

/// The packs of the chunks that one map uses.
#[derive(Default)]
pub(crate) struct KnownUnits(Vec<Vec<u32>>);

impl Known {
    /// What is known of a map's units.
    pub(super) fn of(&self, map: &MapRef) -> Option<Arc<KnownUnits>> {
        lock(&self.0).get(&map.units.root).cloned()
    }

    /// Remembers what is known of some maps, by the same streams.
    pub(super) fn add(&self, units: impl Iterator<Item = (ChunkId, KnownUnits)>) {
        lock(&self.0).extend(units.map(|(root, units)| (root, Arc::new(units))));
    }
}

impl KnownUnits {
    /// Where the chunks are that a record of the map uses, in their order; None: to be asked.
    pub(crate) fn record(&self, number: usize) -> impl Iterator<Item = Option<Found>> + '_ {
        let packs = self.0.get(number).into_iter().flatten();
        packs.map(|pack| (*pack != UNKNOWN).then_some(Found::In(*pack)))
    }

    /// The next record uses so many chunks, of which nothing is known.
    pub(super) fn add_record(&mut self, chunks: usize) {
        self.0.push(vec![UNKNOWN; chunks]);
    }

    /// Remembers where a chunk of a record is.
    pub(super) fn set(&mut self, record: usize, chunk: usize, found: Option<Found>) {
        let place = self.0.get_mut(record).and_then(|record| record.get_mut(chunk));
        if let (Some(place), Some(Found::In(pack))) = (place, found) {
            *place = pack;
        }
    }
}
