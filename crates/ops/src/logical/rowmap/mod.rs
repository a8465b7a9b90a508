//! Row maps: a logical backup stores the rows that changed, and reads as a full one.
//!
//! **Why.** In a dump rows change, not blocks. Where 1 % of the rows changed anywhere, chunks of
//! bytes are all new again; the same rows under a map cost about 2 % (the repository's
//! `map` module tells how a map is stored).
//!
//! **Parts.** A COPY's rows become parts, of at most 500,000 rows or 1 GiB, so that what is held of
//! old rows stays small. A part begins at a heap page (the ctid range that was copied; 0 for whole
//! tables) and is compared with the earlier parts whose pages it shares (`earlier`, `scope`).
//!
//! **Matching** (`matching`). A row is old if its hash is where the next old row is expected:
//! behind the last match of some unit, or up to eight rows further (rows were deleted between).
//! Rows come in physical order and units were written in that order, so 98 of 100 rows match at
//! once; rows of earlier backups that were written into holes match at the place of their own unit.
//! A hash that is elsewhere is not believed: the row is stored as new, and only the place behind it
//! becomes one more where the next row may match. So a false match needs 64 equal bits at one of a
//! few places, not anywhere among all old rows; and should it happen, the map's sum, made of 128
//! bits of each row, shows it at the next check or restore. Each old row is used once.
//!
//! **Scope.** An update or delete leaves rows near where they were: the part's own pages are
//! enough. After 64 rows without a match the old part behind the one that matched last is tried too
//! (rows moved up, as VACUUM FULL does). If half of the rows are new, a sample of the whole table's
//! old rows is made once, and the parts that unmatched rows vote for are tried. If still more than
//! half of the first 4 MiB is new (CLUSTER, a rewritten table), the part is stored whole: a map
//! over rows in another order would read every old chunk for a few rows each, and would restore the
//! old order.
//!
//! **Rules** (`repo::map::rules`). Old units whose rows are mostly gone are written again, worst
//! first, a few each time; units that stay tiny are merged. Neither reads old data, which a writer
//! cannot: the rows count as new and come from the server.
//!
//! **Erasure** (`held`). `--rewrite-deleted` names no chunk that holds a row which is gone: neither
//! one of which an earlier backup left a row out, nor one of which this backup would. What is known
//! of a chunk's rows only at the end is held until then.
//!
//! **What it costs.** 8 bytes of hash for each row, once, next to its chunk. 21 bytes of memory for
//! each old row in scope, at most 21 MiB for each job.
//!
//! **Where it pays** (`auto`). Seven nightly backups decide, not one. A table of N rows, of which
//! each compresses to c bytes, and of which 1 % change each day all over it, costs 7 c N as bytes,
//! since every chunk holds a changed row. Under maps it costs about (c + 8) N and 2 % of it for
//! each night more, which is less from c = 2 on. But a table to which rows are only added costs c N
//! as bytes, and (c + 8) N under maps. Where the server has counted updates or deletes, or has
//! counted nothing, a map is made from c = 8 on: it never doubles the first backup. Where it has
//! counted inserts alone, from c = 32 on: the map costs at most a quarter, and pays off at the
//! first update.
//!
//! **Order.** A restored part has the surviving rows in their old order, then newer ones.

mod earlier;
mod held;
mod matching;
mod part;
mod scope;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pgark_bytes::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OpsError;
pub(crate) use earlier::{EarlierTables, MOST_BACKUPS};
pub(crate) use sink::{RowSink, Rows, StoredCopy};

/// Whether tables are stored under row maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Where it pays over a week.
    #[default]
    Auto,
    /// Every table.
    On,
    /// No table.
    Off,
}

/// Which tables are stored under row maps, and how.
#[derive(Clone, Debug, Default)]
pub struct RowMaps {
    /// For tables that no pattern names.
    pub mode: Mode,
    /// Patterns of tables that always are.
    pub on: Vec<String>,
    /// Patterns of tables that never are.
    pub off: Vec<String>,
    /// Patterns of tables that are stored whole and salted, whatever the others say: nobody can
    /// test guesses of their rows without the reader secret. A table brings its partitions, and the
    /// tables that inherit from it.
    pub salted: Vec<String>,
}

/// [`RowMaps`] with its patterns compiled.
pub(crate) struct Chooser {
    mode: Mode,
    on: Vec<Pattern>,
    off: Vec<Pattern>,
}

impl RowMaps {
    pub(crate) fn chooser(&self) -> Result<Chooser, OpsError> {
        let compile = |patterns| {
            Pattern::relations(patterns).map_err(|error| OpsError::Usage(error.to_string().into()))
        };
        Ok(Chooser { mode: self.mode, on: compile(&self.on)?, off: compile(&self.off)? })
    }

    /// Each pattern of salted tables by itself.
    pub(crate) fn salted(&self) -> Result<Vec<(String, Vec<Pattern>)>, OpsError> {
        let one = |text: &String| {
            let compiled = Pattern::relations(std::slice::from_ref(text));
            let compiled = compiled.map_err(|error| OpsError::Usage(error.to_string().into()))?;
            Ok((text.clone(), compiled))
        };
        self.salted.iter().map(one).collect()
    }
}

impl Chooser {
    pub(crate) fn way(&self, schema: &[u8], name: &[u8]) -> Way {
        let names = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches_in(schema, name));
        match self.mode {
            _ if names(&self.off) => Way::Plain,
            _ if names(&self.on) => Way::Mapped,
            Mode::Auto => Way::AsItPays,
            Mode::On => Way::Mapped,
            Mode::Off => Way::Plain,
        }
    }
}

/// The way in which the rows of one table are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Under maps, where that pays over a week.
    AsItPays,
    /// Under maps.
    Mapped,
    /// As bytes.
    Plain,
    /// As bytes, whole each time, of which nothing can be guessed.
    Salted,
}

/// [`Rules::pays_from`] where rows are updated or deleted, or nobody knows.
pub(crate) const PAYS_WHERE_ROWS_CHANGE: u64 = 8;
/// The same where rows are only added.
pub(crate) const PAYS_WHERE_ROWS_STAY: u64 = 32;

/// How one table is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub way: Way,
    /// Compressed bytes of a row from which [`Way::AsItPays`] makes a map.
    pub pays_from: u64,
    /// Chunks that still hold deleted rows are written again, every one.
    pub rewrite_deleted: bool,
}

/// Why rows that may have been there before were stored whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whole {
    /// No earlier backup holds a map of these rows.
    First,
    /// The columns are others, or their types.
    Columns,
    /// Settings that fix the text of rows are others.
    Settings,
    /// The list of its earlier rows is gone, or their chunks are.
    Lost,
    /// More than half of the rows are new or are in another order.
    Rewritten,
}

impl Whole {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Whole::First => "first backup under a row map",
            Whole::Columns => "its columns changed",
            Whole::Settings => "settings that fix the text of rows changed",
            Whole::Lost => "the list of its earlier rows is gone",
            Whole::Rewritten => "most rows are new or in another order",
        }
    }
}

/// What row maps (docs/rowmaps.md) did for one table in one backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MapNote {
    /// Number of rows that were stored; the repository had the others already.
    pub rows_new: u64,
    /// Number of parts of the table that are stored under a row map.
    pub parts: u64,
    /// Number of these parts that were stored whole, by reason: `first` (first backup under a row
    /// map), `columns` (the columns changed), `settings` (settings that determine the text of rows
    /// changed), `lost` (the list of earlier rows, or their data, is gone), `rewritten` (most rows
    /// are new or in a different order). Absent: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub whole: BTreeMap<Whole, u64>,
}

impl MapNote {
    pub(crate) fn add(&mut self, other: &MapNote) {
        self.rows_new += other.rows_new;
        self.parts += other.parts;
        for (why, parts) in &other.whole {
            *self.whole.entry(*why).or_default() += parts;
        }
    }
}
