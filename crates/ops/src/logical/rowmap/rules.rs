//! Which old units are written again although their rows did not change.
//!
//! **Rewriting.** A unit that lost rows is fetched whole by every restore. Of the units with less than 60 % of their rows alive
//! the worst are condemned, but no more in one backup than 2 % of the part's rows, or as many as changed last time if that is more:
//! uniform change ages all units alike, and without a cap a whole generation would fall due in one night (facts: 26 % instead of
//! 2.8). With it a restore reads at most about 1.5 times its bytes at 2 % change for each backup.
//!
//! **Merging.** Where little changes, each backup adds a tiny unit to each part. When eight units of one size class have come
//! together (below 8 KiB of kept rows; below 64 KiB), all of the class are condemned and become one. So a row is written at most
//! twice more in its life, a part has at most sixteen tiny units, and the rest are as large as a restore likes them.
//!
//! **Erasure.** `condemn_dead` condemns every unit of which the earlier backup left a row out. Units of which this backup would
//! leave one out are given up as the rows come (`held`).

use std::collections::HashSet;

use pgark_repo::{EarlierMap, EarlierUnit};

/// Units with a smaller share of live rows are due.
const LIVE_SHARE: f64 = 0.6;
/// At most this share of the part's rows is written again in one backup.
const CAP: f64 = 0.02;
/// Size classes of tiny units: kept bytes below.
const TINY: [u64; 2] = [8 << 10, 64 << 10];
/// So many of one class are merged.
const MERGED: usize = 8;

/// The units that are written again, and how many rows they keep.
pub(super) fn condemned(map: &EarlierMap, condemn_dead: bool) -> (HashSet<(usize, usize)>, u64) {
    let units: Vec<EarlierUnit> = map.units().collect();
    let mut condemned: HashSet<(usize, usize)> = HashSet::new();
    if condemn_dead {
        condemned.extend(units.iter().filter(|unit| unit.items_kept < unit.items).map(|unit| unit.place));
    }
    let mut due: Vec<&EarlierUnit> = units.iter().filter(|unit| live_share(unit) < LIVE_SHARE).collect();
    due.sort_by(|a, b| live_share(a).total_cmp(&live_share(b)));
    let mut room = cap(map);
    for (number, unit) in due.into_iter().enumerate() {
        // One always, or a small part would never be mended.
        if number > 0 && room < u64::from(unit.items_kept) {
            break;
        }
        room = room.saturating_sub(u64::from(unit.items_kept));
        condemned.insert(unit.place);
    }
    for (class, below) in TINY.iter().enumerate() {
        let from = class.checked_sub(1).and_then(|class| TINY.get(class)).copied().unwrap_or(0);
        let tiny: Vec<&EarlierUnit> =
            units.iter().filter(|unit| (from..*below).contains(&kept_bytes(unit))).collect();
        if tiny.len() >= MERGED {
            condemned.extend(tiny.iter().map(|unit| unit.place));
        }
    }
    let rows = units.iter().filter(|unit| condemned.contains(&unit.place));
    let rows = rows.map(|unit| u64::from(unit.items_kept)).sum();
    (condemned, rows)
}

fn live_share(unit: &EarlierUnit) -> f64 {
    f64::from(unit.items_kept) / f64::from(unit.items.max(1))
}

/// About: rows are taken to be of one length.
fn kept_bytes(unit: &EarlierUnit) -> u64 {
    unit.bytes * u64::from(unit.items_kept) / u64::from(unit.items.max(1))
}

/// Rows that may be written again: 2 %, or as many as changed last time, up to a tenth.
fn cap(map: &EarlierMap) -> u64 {
    map.changed.min(map.items / 10).max((map.items as f64 * CAP) as u64)
}
