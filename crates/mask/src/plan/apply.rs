//! One row: split, read what rules need, make the fictions in their order, write the row again.
//!
//! Columns that no rule changes keep their bytes as the server wrote them.

use std::collections::BTreeSet;

use pgark_bytes::copy_text;

use super::records::Record;
use super::{ColumnPlan, Fiction, TablePlan};
use crate::draw::Draw;
use crate::literals::Literals;
use crate::row::{MaskedRow, RawRow};
use crate::rules::{Engine, Otherwise};
use crate::transformer::{Answer, Draws, Plain, Refusal, Row};
use crate::transformers::PERSON;

/// A row that cannot be masked. It names no plain value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// A rule refuses a value.
    #[error("column {column}: {refusal}")]
    Column {
        /// The column.
        column: String,
        /// Why.
        refusal: Refusal,
    },
    /// A masked row has a value that a unique key cannot be proved with.
    #[error("the unique key {key} cannot be proved: {refusal}")]
    Key {
        /// The constraint or index.
        key: String,
        /// Why.
        refusal: Refusal,
    },
    /// The row has another number of fields than the table has columns.
    #[error("a row has {found} fields where the table has {expected} columns")]
    Fields {
        /// Columns of the table, as COPY writes them.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
}

/// Masks the rows of one table, one after the other. Each thread has its own.
#[derive(Debug)]
pub struct Masker<'p> {
    plan: &'p TablePlan,
    /// Texts of the plain values that rules read, one behind the other.
    texts: String,
    plain: Vec<Cell>,
    masked: Vec<Made>,
    canonical: Vec<u8>,
    row: Vec<u8>,
    /// Of the row that is being masked: where each field ends.
    ends: Vec<usize>,
    /// The columns whose text is read.
    read: Vec<usize>,
    /// The columns that may change, in their order.
    changed: Vec<usize>,
    key_hashes: Vec<Option<u64>>,
    /// What definitions hold, to be recognised among plain values; and which of it was, with the
    /// column.
    definitions: Option<&'p Literals>,
    met: BTreeSet<(usize, usize)>,
    counts: Counts,
}

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that came in.
    pub rows: u64,
    /// Rows that a condition left out.
    pub dropped: u64,
    /// Rows that a condition left plain, whole or in a column.
    pub plain: u64,
}

/// A plain value: where its text is in [`Masker::texts`].
#[derive(Clone, Copy, Debug, Default)]
enum Cell {
    #[default]
    Unread,
    Null,
    Text {
        start: usize,
        end: usize,
    },
}

/// A fiction.
#[derive(Debug, Default)]
struct Made {
    text: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// The field as it came.
    #[default]
    AsItCame,
    Null,
    Text,
}

/// The row as transformers see it.
struct View<'v> {
    texts: &'v str,
    plain: &'v [Cell],
    masked: &'v [Made],
}

impl Row for View<'_> {
    fn plain(&self, column: usize) -> Option<&str> {
        match self.plain.get(column) {
            Some(Cell::Text { start, end }) => self.texts.get(*start..*end),
            _ => None,
        }
    }

    fn masked(&self, column: usize) -> Option<&str> {
        let made = self.masked.get(column)?;
        match made.state {
            State::AsItCame => self.plain(column),
            State::Null => None,
            State::Text => Some(&made.text),
        }
    }
}

/// The masked row, as predicates of indexes see it when it is restored.
struct Restored<'v>(View<'v>);

impl Row for Restored<'_> {
    fn plain(&self, column: usize) -> Option<&str> {
        self.0.masked(column)
    }

    fn masked(&self, column: usize) -> Option<&str> {
        self.0.masked(column)
    }
}

/// What a row's subject decides, for each engine that asks it.
struct OfSubject {
    keyed: Draw,
    run: Option<Draw>,
}

impl OfSubject {
    /// None: the row alone decides.
    fn draw(&self, engine: Engine) -> Option<&Draw> {
        match engine {
            Engine::Keyed => Some(&self.keyed),
            Engine::Run => self.run.as_ref(),
            Engine::Random => None,
        }
    }
}

impl<'p> Masker<'p> {
    /// For the rows of a table.
    pub fn new(plan: &'p TablePlan) -> Masker<'p> {
        let columns = plan.columns.len();
        let read = plan.needed.iter().enumerate().filter(|(_, needed)| **needed).map(|(at, _)| at);
        let recorded = plan.record.iter().flat_map(|record| record.program.columns());
        let mut changed: Vec<usize> = recorded.chain(plan.order.iter().copied()).collect();
        changed.sort_unstable();
        changed.dedup();
        Masker {
            plan,
            ends: Vec::with_capacity(columns),
            read: read.collect(),
            changed,
            texts: String::new(),
            plain: vec![Cell::Unread; columns],
            masked: (0..columns).map(|_| Made::default()).collect(),
            canonical: Vec::new(),
            row: Vec::new(),
            key_hashes: Vec::with_capacity(plan.keys.len()),
            definitions: None,
            met: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// Looks for plain values of masked columns among what definitions hold.
    pub fn watch(&mut self, definitions: &'p Literals) {
        self.definitions = Some(definitions).filter(|definitions| !definitions.is_empty());
    }

    /// The plain values that definitions hold: of each the object and the column.
    pub fn met(&self) -> impl Iterator<Item = (&str, &str)> {
        let found = self.met.iter().filter_map(|met| Some((self.definitions?, met)));
        found.flat_map(|(definitions, (text, column))| {
            definitions.objects(*text).map(|object| (object, self.plan.name_of(*column)))
        })
    }

    /// Notes the masked columns of the row whose plain value some definition holds.
    fn compare(&mut self, definitions: &Literals) {
        let view = View { texts: &self.texts, plain: &self.plain, masked: &self.masked };
        for at in &self.changed {
            let Some(made) = self.masked.get(*at).filter(|made| made.state != State::AsItCame) else {
                continue;
            };
            // What the fiction repeats hides nothing.
            let value = view.plain(*at).filter(|plain| made.state == State::Null || made.text != *plain);
            if let Some(text) = value.and_then(|value| definitions.find(value)) {
                self.met.insert((text, *at));
            }
        }
    }

    /// What became of the rows so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the last masked row is to the keys of [`TablePlan::keys_to_prove`], in their order:
    /// rows of one number have equal keys, except for one pair in 2^64. None: the row takes no
    /// part, since a column is NULL, or the predicate of a partial index is not true.
    ///
    /// It is empty when the last row was dropped or refused.
    pub fn key_hashes(&self) -> &[Option<u64>] {
        &self.key_hashes
    }

    /// The masked row; None: a condition leaves it out.
    ///
    /// # Errors
    /// A value that its rule cannot make a fiction of, or that a key cannot be proved with.
    pub fn mask(&mut self, row: RawRow<'_>) -> Result<Option<MaskedRow<'_>>, MaskError> {
        self.counts.rows += 1;
        self.key_hashes.clear();
        if self.plan.rows_none {
            self.counts.dropped += 1;
            return Ok(None);
        }
        self.read(row)?;
        let whole = match &self.plan.when {
            Some((condition, otherwise)) => match self.holds(condition, "when")? {
                true => None,
                false => Some(*otherwise),
            },
            None => None,
        };
        match whole {
            Some(Otherwise::Drop) => {
                self.counts.dropped += 1;
                return Ok(None);
            }
            Some(Otherwise::Keep) => self.counts.plain += 1,
            Some(Otherwise::Null) => {
                for at in &self.changed {
                    if let Some(made) = self.masked.get_mut(*at) {
                        made.state = State::Null;
                    }
                }
            }
            None => {
                let plan = self.plan;
                let subject = self.subject(plan)?;
                if let Some(record) = &plan.record {
                    self.record(record, subject.as_ref().and_then(|of| of.draw(record.engine)), row)?;
                }
                for at in &plan.order {
                    if let Some(ColumnPlan { name, fiction: Some(fiction) }) = plan.columns.get(*at) {
                        let subject = subject.as_ref().and_then(|of| of.draw(fiction.engine));
                        self.make(*at, fiction, subject, row).map_err(|refusal| of_column(name, refusal))?;
                    }
                }
            }
        }
        if let Some(definitions) = self.definitions {
            self.compare(definitions);
        }
        self.write(row)?;
        self.hash_keys()?;
        Ok(Some(MaskedRow::new(&self.row)))
    }

    /// What the masked row is to each key.
    fn hash_keys(&mut self) -> Result<(), MaskError> {
        let row = Restored(View { texts: &self.texts, plain: &self.plain, masked: &self.masked });
        for key in &self.plan.keys {
            let hash = key.hash(&row, &mut self.canonical);
            let hash = hash.map_err(|refusal| MaskError::Key { key: key.name().to_string(), refusal });
            match hash {
                Ok(hash) => self.key_hashes.push(hash),
                Err(error) => {
                    self.key_hashes.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Splits the row and reads the columns that rules need.
    fn read(&mut self, row: RawRow<'_>) -> Result<(), MaskError> {
        let Masker { plan, texts, plain, masked, ends, read, changed, .. } = self;
        let bytes = row.bytes();
        texts.clear();
        ends.clear();
        // A table without columns has rows without fields.
        if !plan.columns.is_empty() {
            ends.extend(memchr::memchr_iter(b'\t', bytes));
            ends.push(bytes.len());
        }
        if ends.len() != plan.columns.len() {
            return Err(MaskError::Fields { expected: plan.columns.len(), found: ends.len() });
        }
        for at in changed.iter() {
            if let Some(made) = masked.get_mut(*at) {
                made.state = State::AsItCame;
            }
        }
        for at in read.iter() {
            let (Some(cell), Some(raw)) = (plain.get_mut(*at), bytes.get(place(ends, *at))) else { continue };
            *cell = match raw {
                copy_text::NULL => Cell::Null,
                _ => {
                    let start = texts.len();
                    let decoded = plan.charset.decode(&copy_text::unescape(raw), texts);
                    decoded.map_err(|refusal| of_column(plan.name_of(*at), refusal))?;
                    Cell::Text { start, end: texts.len() }
                }
            };
        }
        Ok(())
    }

    fn view(&self) -> View<'_> {
        View { texts: &self.texts, plain: &self.plain, masked: &self.masked }
    }

    fn holds(&self, condition: &crate::condition::Condition, what: &str) -> Result<bool, MaskError> {
        // Unknown is not true.
        condition
            .holds(&self.view())
            .map(|truth| truth == Some(true))
            .map_err(|refusal| of_column(what, refusal))
    }

    /// What the row's subject decides.
    fn subject(&mut self, plan: &TablePlan) -> Result<Option<OfSubject>, MaskError> {
        let Some(subject) = &plan.subject else { return Ok(None) };
        let view = View { texts: &self.texts, plain: &self.plain, masked: &self.masked };
        let Some(text) = view.plain(subject.column) else { return Ok(None) };
        self.canonical.clear();
        let written = subject.form.write(text, &mut self.canonical);
        written.map_err(|refusal| of_column(plan.name_of(subject.column), refusal))?;
        let draw = |key| {
            let draw = Draw::of(key, &self.canonical);
            if subject.has_persons { draw.remember(PERSON) } else { draw }
        };
        Ok(Some(OfSubject { keyed: draw(subject.keyed), run: subject.run.map(draw) }))
    }

    /// Makes the fictions of a record. Its bits are the row's own.
    fn record(&mut self, record: &Record, subject: Option<&Draw>, row: RawRow<'_>) -> Result<(), MaskError> {
        let plain = Plain {
            text: "",
            canonical: row.bytes(),
            is_null: false,
            draw: Draw::of(record.key, row.bytes()),
            subject: subject.cloned(),
            row: &self.view(),
        };
        let fictions = record.program.fictions(&plain).map_err(|refusal| of_column("record", refusal))?;
        for (at, text) in record.program.columns().zip(fictions) {
            if let Some(made) = self.masked.get_mut(at) {
                made.state = if text.is_some() { State::Text } else { State::Null };
                made.text = text.unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Makes one fiction.
    fn make(
        &mut self,
        at: usize,
        fiction: &Fiction,
        subject: Option<&Draw>,
        row: RawRow<'_>,
    ) -> Result<(), Refusal> {
        if let Some((condition, otherwise)) = &fiction.when
            && condition.holds(&self.view())? != Some(true)
        {
            return self.otherwise(at, *otherwise);
        }
        let is_null = matches!(self.plain.get(at), Some(Cell::Null));
        if is_null && !fiction.replaces_null {
            return Ok(());
        }
        let mut text = self.masked.get_mut(at).map(|made| std::mem::take(&mut made.text)).unwrap_or_default();
        text.clear();
        self.canonical.clear();
        let view = View { texts: &self.texts, plain: &self.plain, masked: &self.masked };
        let value = view.plain(at).unwrap_or_default();
        if is_null {
            // No value is written so.
            self.canonical.push(0);
        } else {
            fiction.form.write(value, &mut self.canonical)?;
        }
        let draw = match fiction.engine {
            Engine::Keyed | Engine::Run => {
                let own = || Draw::of(fiction.key, &self.canonical);
                subject.filter(|_| fiction.transformer.draws() != Draws::Value).cloned().unwrap_or_else(own)
            }
            // By row: rows that are equal in all columns are one.
            Engine::Random => Draw::of(fiction.key, row.bytes()),
        };
        let plain = Plain {
            text: value,
            canonical: &self.canonical,
            is_null,
            draw,
            subject: subject.cloned(),
            row: &view,
        };
        let answer = fiction.transformer.fiction(&plain, &mut text)?;
        if answer == Answer::Text
            && let Some(most) = fiction.most_chars
            && text.len() > most as usize
            && text.chars().count() > most as usize
        {
            return Err(Refusal::new(format!(
                "a fiction is longer than the {most} characters of the column"
            )));
        }
        if answer == Answer::Null && fiction.not_null {
            return Err(Refusal::new("the rule makes it NULL, which the column does not take"));
        }
        if let Some(made) = self.masked.get_mut(at) {
            made.text = text;
            made.state = match answer {
                Answer::Text => State::Text,
                Answer::Null => State::Null,
                Answer::Same => State::AsItCame,
            };
        }
        Ok(())
    }

    fn otherwise(&mut self, at: usize, otherwise: Otherwise) -> Result<(), Refusal> {
        match otherwise {
            Otherwise::Keep => self.counts.plain += 1,
            Otherwise::Null => {
                if let Some(made) = self.masked.get_mut(at) {
                    made.state = State::Null;
                }
            }
            Otherwise::Drop => return Err(Refusal::new("a column's condition cannot leave out the row")),
        }
        Ok(())
    }

    /// Writes the row: changed columns again, and what is between them as it came.
    fn write(&mut self, row: RawRow<'_>) -> Result<(), MaskError> {
        let Masker { plan, masked, row: out, ends, changed, .. } = self;
        let bytes = row.bytes();
        out.clear();
        let mut written = 0;
        for at in changed.iter() {
            let Some(made) = masked.get(*at).filter(|made| made.state != State::AsItCame) else { continue };
            let place = place(ends, *at);
            out.extend_from_slice(bytes.get(written..place.start).unwrap_or_default());
            written = place.end;
            if made.state == State::Null {
                out.extend_from_slice(copy_text::NULL);
                continue;
            }
            let fiction = plan.charset.encode(&made.text);
            let fiction = fiction.map_err(|refusal| of_column(plan.name_of(*at), refusal))?;
            copy_text::escape_into(Some(&fiction), out);
        }
        out.extend_from_slice(bytes.get(written..).unwrap_or_default());
        out.push(b'\n');
        Ok(())
    }
}

/// Where a field is in its row, by the ends of all fields.
fn place(ends: &[usize], field: usize) -> std::ops::Range<usize> {
    let start = field.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| end + 1);
    start..ends.get(field).copied().unwrap_or(start)
}

fn of_column(column: &str, refusal: Refusal) -> MaskError {
    MaskError::Column { column: column.to_string(), refusal }
}
