//! One part under a map: each row is old, and only counted, or new, and stored.

use pgark_repo::{ItemHash, MapWriter, PartSummary};

use super::held::Held;
use super::scope::Scope;
use super::{MapNote, Whole};
use crate::OpsError;

/// Rows up to this length are held until they end, and matched. Longer ones are stored as they
/// come; equal ones have equal chunks.
const LONG_ROW: usize = 1 << 20;
/// After so many bytes it is judged whether the part is worth matching; ...
const TRIAL: u64 = 4 << 20;
/// ... sooner in a table of which other parts were not.
const SHORT_TRIAL: u64 = 512 << 10;

pub(super) struct MapPart<'a> {
    writer: MapWriter<'a>,
    scope: Option<Scope<'a>>,
    whole: Option<Whole>,
    /// Rows that matched while the trial lasts: they are stored after all if it fails.
    trial: Option<Trial>,
    /// How long it lasts.
    trial_bytes: u64,
    /// Where no deleted row may be left behind: old rows whose unit is not complete yet. They take
    /// the trial's place.
    held: Option<Held>,
    /// A row whose end has not come yet.
    row: Vec<u8>,
    /// The row is longer than that, and what came of it is stored.
    is_long: bool,
    rows: u64,
    bytes: u64,
}

#[derive(Default)]
struct Trial {
    bytes: Vec<u8>,
    rows: Vec<(ItemHash, usize)>,
}

impl<'a> MapPart<'a> {
    /// `whole`: why there is no scope. `rewrite_deleted`: no chunk is named that holds a row which
    /// is gone.
    pub(super) fn new(
        writer: MapWriter<'a>,
        scope: Option<Scope<'a>>,
        whole: Option<Whole>,
        rewrite_deleted: bool,
    ) -> MapPart<'a> {
        let whole = whole.or_else(|| scope.as_ref().and_then(Scope::why_empty));
        let trial = scope.is_some().then(Trial::default);
        let was_rewritten = scope.as_ref().is_some_and(Scope::is_of_rewritten);
        let trial_bytes = if was_rewritten { SHORT_TRIAL } else { TRIAL };
        MapPart {
            writer,
            scope,
            whole,
            trial,
            trial_bytes,
            held: rewrite_deleted.then(Held::default),
            row: Vec::new(),
            is_long: false,
            rows: 0,
            bytes: 0,
        }
    }

    /// One row, or a piece of one; `ends`: the last.
    #[inline]
    pub(super) fn write(&mut self, piece: &[u8], ends: bool) -> Result<(), OpsError> {
        if ends && self.row.is_empty() && !self.is_long {
            return self.whole_row(piece);
        }
        self.piece(piece, ends)
    }

    fn piece(&mut self, piece: &[u8], ends: bool) -> Result<(), OpsError> {
        if !self.is_long {
            self.row.extend_from_slice(piece);
            if self.row.len() > LONG_ROW {
                self.is_long = true;
                let row = std::mem::take(&mut self.row);
                self.bytes += row.len() as u64;
                self.writer.add_piece(&row, ends)?;
            } else if ends {
                let mut row = std::mem::take(&mut self.row);
                self.whole_row(&row)?;
                row.clear();
                self.row = row;
            }
        } else {
            self.bytes += piece.len() as u64;
            self.writer.add_piece(piece, ends)?;
        }
        if ends && self.is_long {
            self.is_long = false;
            self.rows += 1;
        }
        Ok(())
    }

    fn whole_row(&mut self, row: &[u8]) -> Result<(), OpsError> {
        self.rows += 1;
        self.bytes += row.len() as u64;
        let hash = self.writer.hasher().hash(row);
        let listed = self.writer.hasher().listed(hash);
        let is_old = match &mut self.scope {
            Some(scope) => scope.find(listed)?,
            None => false,
        };
        if let (true, Some(held), Some(scope)) = (is_old, &mut self.held, &mut self.scope)
            && let Some(found) = scope.found_in()
        {
            held.hold(found, row, hash);
            if self.trial.is_none() {
                held.settle(found.0, scope, &mut self.writer)?;
            }
            return self.go_on();
        }
        match (&mut self.trial, is_old) {
            (Some(trial), true) => {
                trial.bytes.extend_from_slice(row);
                trial.rows.push((hash, row.len()));
            }
            (None, true) => self.writer.keep(hash, row.len()),
            (_, false) => self.writer.add(row, hash)?,
        }
        self.go_on()
    }

    fn go_on(&mut self) -> Result<(), OpsError> {
        if self.trial.is_some() && self.bytes >= self.trial_bytes { self.judge() } else { Ok(()) }
    }

    /// Ends the trial: if most rows are new, all are.
    fn judge(&mut self) -> Result<(), OpsError> {
        let Some(trial) = self.trial.take() else { return Ok(()) };
        let condemned = self.scope.as_ref().map_or(0, |scope| scope.condemned);
        let new = self.writer.items_new().saturating_sub(condemned);
        if new * 2 > self.rows {
            if let Some(scope) = self.scope.take().filter(|scope| !scope.is_empty()) {
                scope.give_up();
            }
            self.whole.get_or_insert(Whole::Rewritten);
            if let Some(held) = &mut self.held {
                held.store_all(&mut self.writer)?;
            }
        }
        let mut bytes = trial.bytes.as_slice();
        for (hash, len) in trial.rows {
            let (row, rest) = bytes.split_at_checked(len).unwrap_or_default();
            bytes = rest;
            match self.scope {
                Some(_) => self.writer.keep(hash, len),
                None => self.writer.add(row, hash)?,
            }
        }
        Ok(())
    }

    /// Ends the part. Returns also the earlier part that matched last.
    pub(super) fn finish(mut self) -> Result<(PartSummary, MapNote, Option<usize>), OpsError> {
        self.judge()?;
        if let (Some(held), Some(scope)) = (&mut self.held, &mut self.scope) {
            held.finish(scope, &mut self.writer)?;
        }
        let last = self.scope.as_ref().and_then(Scope::last);
        let mut note = MapNote { rows_new: self.writer.items_new(), parts: 1, ..MapNote::default() };
        if let Some(why) = self.whole.filter(|_| self.rows > 0) {
            note.whole.insert(why, 1);
        }
        let used = self.scope.as_ref().map(Scope::used).unwrap_or_default();
        let condemned = self.scope.as_ref().map_or(0, |scope| scope.condemned);
        let changed = self.writer.items_new().saturating_sub(condemned);
        Ok((self.writer.finish(&used, changed)?, note, last))
    }
}
