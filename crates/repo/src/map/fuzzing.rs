//! Doors for the fuzz targets.

use super::address;
use super::items::{self, ItemHasher, ItemKeys};
use super::kind::{AnyKind, ItemKind, UnitOf};
use super::shape::{Group, Keep, Keeps, Record, decode_records, encode_keeps};
use crate::codec;

/// Any bytes in the place of records, a group, what is kept of it, and a unit's items.
pub(crate) fn fuzz<K: ItemKind>(kind: &K, bytes: &[u8]) {
    if let Ok(records) = decode_records(bytes) {
        let again: Vec<u8> = records.iter().flat_map(codec::encode).collect();
        assert_eq!(again, bytes, "one meaning has one encoding");
    }
    let Some((at, rest)) = bytes.split_first() else { return };
    let Some((group, rest)) = rest.split_at_checked(usize::from(*at)) else { return };
    let Ok(group) = Group::decode(group, kind) else { return };
    let all = vec![Keep::All; group.units.len()];
    let record = Record::new(crate::ids::Hash([0; 32]), 0, &all);
    let mut keeps = Keeps::new(rest.to_vec());
    let taken = keeps.take(&record, &group.units);
    let is_right = taken.is_ok() && keeps.end().is_ok();
    let mut passing = Keeps::new(rest.to_vec());
    let passed = passing.skip(&record).is_ok() && passing.end().is_ok();
    assert!(passed || !is_right, "skipping it leads to the same position");
    if let Ok(keeps) = &taken
        && is_right
    {
        assert_eq!(encode_keeps(keeps.iter()), rest, "one meaning has one encoding");
    }
    let keeps = taken.unwrap_or(all);
    let hasher = ItemHasher::new(&ItemKeys { items: [0; 16], pages: [0; 32] }, u64::MAX);
    for (unit, keep) in group.units.iter().zip(&keeps) {
        let of = UnitOf { unit, names: &group.names };
        let mut totals = items::Totals::default();
        let taken = kind.take(&hasher, of, keep, rest.to_vec(), &mut totals);
        let kept = u64::from(keep.count(unit.items));
        if let Ok(taken) = taken {
            assert_eq!(totals.items, kept, "as many items as are kept");
            assert_eq!(taken.len() as u64, totals.bytes, "nothing else than these items");
        }
        let runs = address::at(&unit.runs, &keep.ranges(unit.items));
        let addresses: u64 = runs.iter().map(|run| u64::from(run.items)).sum();
        assert!(!K::HAS_ADDRESSES || addresses == kept, "each kept item has an address");
        let mut list = Vec::new();
        if let Ok(hashes) = kind.hashes(&hasher, of, rest, Some(&mut list)) {
            assert_eq!(list.len(), hashes.len() * K::LISTED, "each item is in the list");
        }
    }
}
