//! Old rows whose unit may have lost others, for backups that leave no deleted row behind
//! (`--rewrite-deleted`).
//!
//! A chunk can be named again only if each of its rows is still there, which is known when the last
//! of them has come. Until then the rows that came are held by their unit. A unit that is complete
//! lets them go: they are only counted. At the end, and when too much is held, units are given up:
//! their rows are stored again, and nothing of their chunks is named.

use std::collections::HashMap;

use pgark_repo::{ItemHash, MapWriter};

use super::matching::Position;
use super::scope::Scope;
use crate::OpsError;

/// So many bytes are held. Rows come in the order of units: most units are complete when the next
/// begins.
const MOST: usize = 16 << 20;

#[derive(Default)]
struct Unit {
    /// Items that its chunks hold.
    items: u32,
    bytes: Vec<u8>,
    rows: Vec<(ItemHash, usize)>,
    /// When a row of it came last.
    touched: u64,
}

impl Unit {
    fn is_complete(&self) -> bool {
        self.rows.len() as u64 == u64::from(self.items)
    }
}

/// The rows that are held.
#[derive(Default)]
pub(super) struct Held {
    units: HashMap<Position, Unit>,
    bytes: usize,
    clock: u64,
}

impl Held {
    /// Holds a row that was found old.
    pub(super) fn hold(&mut self, (place, items): (Position, u32), row: &[u8], hash: ItemHash) {
        self.clock += 1;
        self.bytes += row.len();
        let unit = self.units.entry(place).or_default();
        unit.items = items;
        unit.touched = self.clock;
        unit.bytes.extend_from_slice(row);
        unit.rows.push((hash, row.len()));
    }

    /// Releases the unit of which a row came last, if that was its last row; and gives units up
    /// while too much is held, those first of which no row came for longest.
    pub(super) fn settle(
        &mut self,
        place: Position,
        scope: &mut Scope<'_>,
        writer: &mut MapWriter<'_>,
    ) -> Result<(), OpsError> {
        if self.units.get(&place).is_some_and(Unit::is_complete) {
            self.keep(place, writer);
        }
        while self.bytes > MOST {
            let oldest = self.units.iter().min_by_key(|(_, unit)| unit.touched).map(|(place, _)| *place);
            let Some(oldest) = oldest else { return Ok(()) };
            self.let_go(oldest, scope, writer)?;
        }
        Ok(())
    }

    /// No row comes any more: complete units are kept, all others are stored again.
    pub(super) fn finish(
        &mut self,
        scope: &mut Scope<'_>,
        writer: &mut MapWriter<'_>,
    ) -> Result<(), OpsError> {
        let mut places: Vec<Position> = self.units.keys().copied().collect();
        places.sort_unstable();
        places.into_iter().try_for_each(|place| self.let_go(place, scope, writer))
    }

    /// Nothing is old after all: every row that is held is stored.
    pub(super) fn store_all(&mut self, writer: &mut MapWriter<'_>) -> Result<(), OpsError> {
        let mut units: Vec<(Position, Unit)> = std::mem::take(&mut self.units).into_iter().collect();
        units.sort_unstable_by_key(|(place, _)| *place);
        self.bytes = 0;
        units.iter().try_for_each(|(_, unit)| store(unit, writer))
    }

    fn keep(&mut self, place: Position, writer: &mut MapWriter<'_>) {
        if let Some(unit) = self.units.remove(&place) {
            self.bytes -= unit.bytes.len();
            unit.rows.iter().for_each(|(hash, len)| writer.keep(*hash, *len));
        }
    }

    /// Keeps a unit that is complete, and gives up one that is not.
    fn let_go(
        &mut self,
        place: Position,
        scope: &mut Scope<'_>,
        writer: &mut MapWriter<'_>,
    ) -> Result<(), OpsError> {
        if self.units.get(&place).is_some_and(Unit::is_complete) {
            self.keep(place, writer);
            return Ok(());
        }
        let Some(unit) = self.units.remove(&place) else { return Ok(()) };
        self.bytes -= unit.bytes.len();
        scope.give_up_unit(place, unit.rows.len() as u64);
        store(&unit, writer)
    }
}

fn store(unit: &Unit, writer: &mut MapWriter<'_>) -> Result<(), OpsError> {
    let mut bytes = unit.bytes.as_slice();
    for (hash, len) in &unit.rows {
        let (row, rest) = bytes.split_at_checked(*len).unwrap_or_default();
        bytes = rest;
        writer.add(row, *hash)?;
    }
    Ok(())
}
