//! Groups of units, as their kind allows them.

use minicbor::bytes::ByteVec;

use super::address::{LONGEST_NAME, Run};
use super::kind::AnyKind;
use super::shape::{Group, Unit};
use crate::codec;
use crate::cut::LARGEST;

impl Group {
    pub(crate) fn decode(bytes: &[u8], kind: &dyn AnyKind) -> Result<Group, &'static str> {
        let group: Group = codec::decode(bytes)?;
        if group.kind != kind.number() {
            return Err("a group of units is of another kind than its map");
        }
        let wrong = |unit: &Unit| {
            unit.items == 0
                || unit.chunks.is_empty()
                || (unit.chunks.len() > 1 && (unit.items > 1 || !kind.has_long_items()))
                || unit.chunks.iter().any(|chunk| chunk.raw_len == 0 || chunk.raw_len as usize > LARGEST)
        };
        let addresses = match kind.has_addresses() {
            true => addresses_are_possible(&group.names, &group.units),
            false => group.names.is_empty() && group.units.iter().all(|unit| unit.runs.is_empty()),
        };
        let fits = group.items() * kind.listed() as u64 <= LARGEST as u64;
        if group.units.is_empty() || group.units.iter().any(wrong) || !addresses || !fits {
            return Err("a group of units has an impossible shape");
        }
        Ok(group)
    }
}

/// Whether the names and runs of a group are what its units need, and nothing else.
fn addresses_are_possible(names: &[ByteVec], units: &[Unit]) -> bool {
    let mut known = 0u32;
    for unit in units {
        let mut before: Option<&Run> = None;
        let mut items = 0u64;
        for run in &unit.runs {
            // Names come in the order in which runs name them first.
            let is_known = run.name < known || (run.name == known && (known as usize) < names.len());
            let goes_on = before.is_some_and(|before| before.is_continued_by(run));
            if !is_known || goes_on || run.items == 0 || run.end() > 1 << 32 {
                return false;
            }
            known = known.max(run.name.saturating_add(1));
            items += u64::from(run.items);
            before = Some(run);
        }
        if items != u64::from(unit.items) || unit.runs.len() > usize::from(u16::MAX) {
            return false;
        }
    }
    let mut sorted: Vec<&[u8]> = names.iter().map(|name| name.as_slice()).collect();
    sorted.sort_unstable();
    let differ = sorted.windows(2).all(|two| two.first() != two.last());
    let fit = names.iter().all(|name| (1..=LONGEST_NAME).contains(&name.len()));
    known as usize == names.len() && differ && fit
}
