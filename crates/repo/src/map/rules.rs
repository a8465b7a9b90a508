//! Which old units are written again although their items did not change.
//!
//! **Rewriting.** A unit that lost items is fetched whole by every restore. Of the units with less
//! than 60 % of their items alive the worst are condemned, but no more in one backup than 2 % of
//! the part's items, or as many as changed last time if that is more: uniform change ages all units
//! alike, and without a cap a whole generation would fall due in one night (facts: 26 % instead of
//! 2.8). With it a restore reads at most about 1.5 times its bytes at 2 % change for each backup.
//!
//! **Merging.** Where little changes, each backup adds a tiny unit to each part. When eight units
//! of one size class have come together (below 8 KiB of kept items; below 64 KiB), all of the class
//! are condemned and become one. So an item is written at most twice more in its life, a part has
//! at most sixteen tiny units, and the rest are as large as a restore likes them.
//!
//! **Erasure.** Who leaves no dead item behind condemns every unit of which the earlier backup left
//! an item out.

use std::collections::HashSet;

use super::earlier::{EarlierMap, EarlierUnit};
use super::kind::ItemKind;

/// Units with a smaller share of live items are due.
const LIVE_SHARE: f64 = 0.6;
/// At most this share of the part's items is written again in one backup.
const CAP: f64 = 0.02;
/// Size classes of tiny units: kept bytes below.
const TINY: [u64; 2] = [8 << 10, 64 << 10];
/// So many of one class are merged.
const MERGED: usize = 8;

/// Units of an earlier map that are written again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueUnits {
    /// Their places.
    pub places: HashSet<(usize, usize)>,
    /// How many items the earlier map keeps of them.
    pub items: u64,
}

impl<K: ItemKind> EarlierMap<K> {
    /// The units that the next backup writes again. `leave_no_dead`: all that hold an item which is
    /// gone.
    pub fn due(&self, leave_no_dead: bool) -> DueUnits {
        let units: Vec<EarlierUnit> = self.units().collect();
        let mut places: HashSet<(usize, usize)> = HashSet::new();
        if leave_no_dead {
            places.extend(units.iter().filter(|unit| unit.items_kept < unit.items).map(|unit| unit.place));
        }
        let mut due: Vec<&EarlierUnit> = units.iter().filter(|unit| live_share(unit) < LIVE_SHARE).collect();
        due.sort_by(|a, b| live_share(a).total_cmp(&live_share(b)));
        let mut room = self.cap();
        for (number, unit) in due.into_iter().enumerate() {
            // One always, or a small part would never be mended.
            if number > 0 && room < u64::from(unit.items_kept) {
                break;
            }
            room = room.saturating_sub(u64::from(unit.items_kept));
            places.insert(unit.place);
        }
        for (class, below) in TINY.iter().enumerate() {
            let from = class.checked_sub(1).and_then(|class| TINY.get(class)).copied().unwrap_or(0);
            let tiny: Vec<&EarlierUnit> =
                units.iter().filter(|unit| (from..*below).contains(&kept_bytes(unit))).collect();
            if tiny.len() >= MERGED {
                places.extend(tiny.iter().map(|unit| unit.place));
            }
        }
        let items = units.iter().filter(|unit| places.contains(&unit.place));
        let items = items.map(|unit| u64::from(unit.items_kept)).sum();
        DueUnits { places, items }
    }

    /// Items that may be written again: 2 %, or as many as changed last time, up to a tenth.
    fn cap(&self) -> u64 {
        self.changed.min(self.items / 10).max((self.items as f64 * CAP) as u64)
    }
}

fn live_share(unit: &EarlierUnit) -> f64 {
    f64::from(unit.items_kept) / f64::from(unit.items.max(1))
}

/// About: items are taken to be of one length.
fn kept_bytes(unit: &EarlierUnit) -> u64 {
    unit.bytes * u64::from(unit.items_kept) / u64::from(unit.items.max(1))
}
