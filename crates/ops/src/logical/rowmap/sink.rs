//! Where the rows of one COPY go: successive parts, each plain or under a map.

use std::sync::Arc;

use pgark_repo::{BackupWriter, Class, Cut, MapTarget, PartSummary, StreamWriter};

use super::earlier::EarlierTable;
use super::part::MapPart;
use super::scope::Scope;
use super::{MapNote, Rules, Way, Whole};
use crate::OpsError;

/// A part's rows at most (trap 9): one COPY is cut into successive parts.
const ROWS_PER_PART: u64 = 500_000;
/// A part's bytes at most, about: the list of its units must fit a chunk.
const BYTES_PER_PART: u64 = 1 << 30;
/// So much is looked at to decide whether a map pays.
const LOOKED_AT: usize = 128 << 10;

/// Which rows one COPY brings.
pub(crate) struct Rows {
    /// What fixes their text: settings in the first half, columns in the second.
    pub identity: [u8; 16],
    /// First heap page, and the first behind.
    pub from: u64,
    pub to: Option<u64>,
    /// What the newest backup holds of the table.
    pub earlier: Option<Arc<EarlierTable>>,
    pub rules: Rules,
}

/// Takes the rows of one COPY.
pub(crate) struct RowSink<'a> {
    writer: &'a BackupWriter<'a>,
    rows: Rows,
    open: Open<'a>,
    rows_in_open: u64,
    bytes_in_open: u64,
    rows_all: u64,
    done: StoredCopy,
    /// Where the next part's rows probably were.
    last: Option<usize>,
}

/// What came of one COPY.
#[derive(Default)]
pub(crate) struct StoredCopy {
    pub parts: Vec<PartSummary>,
    pub rows: u64,
    pub maps: MapNote,
}

impl StoredCopy {
    /// What several COPYs of one table gave, one behind the other.
    pub(crate) fn joined(several: &[StoredCopy]) -> StoredCopy {
        let mut whole = StoredCopy::default();
        for one in several {
            whole.parts.extend(one.parts.iter().cloned());
            whole.rows += one.rows;
            whole.maps.add(&one.maps);
        }
        whole
    }
}

enum Open<'a> {
    /// It is not known yet whether a map pays: what came so far.
    Undecided(Vec<u8>),
    Plain(StreamWriter<'a>),
    Map(Box<MapPart<'a>>),
}

impl<'a> RowSink<'a> {
    pub(crate) fn new(writer: &'a BackupWriter<'a>, rows: Rows) -> Result<RowSink<'a>, OpsError> {
        let mut sink = RowSink {
            writer,
            rows,
            open: Open::Undecided(Vec::new()),
            rows_in_open: 0,
            bytes_in_open: 0,
            rows_all: 0,
            done: StoredCopy::default(),
            last: None,
        };
        sink.begin()?;
        Ok(sink)
    }

    /// Begins a part.
    fn begin(&mut self) -> Result<(), OpsError> {
        (self.rows_in_open, self.bytes_in_open) = (0, 0);
        self.open = match self.rows.rules.way {
            Way::Plain => self.plain(),
            Way::Salted => Open::Plain(self.writer.salted_stream()),
            Way::Mapped => self.map()?,
            // What was under a map stays there.
            Way::AsItPays if self.rows.earlier.is_some() => self.map()?,
            Way::AsItPays => Open::Undecided(Vec::new()),
        };
        Ok(())
    }

    fn plain(&self) -> Open<'a> {
        Open::Plain(self.writer.stream(Class::Data, Cut::Rows))
    }

    fn map(&self) -> Result<Open<'a>, OpsError> {
        let Rows { identity, from, to, rules, .. } = self.rows;
        let (mut scope, mut whole) = (None, None);
        match &self.rows.earlier {
            None => whole = Some(Whole::First),
            Some(earlier) => match earlier.other_form(&identity) {
                Some(why) => whole = Some(why),
                None => {
                    let overlapping = earlier.overlapping(from, to);
                    let first = self.last.or(overlapping.first().copied());
                    let first: Vec<usize> = first.into_iter().collect();
                    scope = Some(Scope::new(self.writer, Arc::clone(earlier), identity, rules, &first)?);
                }
            },
        }
        let target = MapTarget { identity, domain: self.writer.domain().to_vec(), from };
        let mut writer = self.writer.map(pgark_repo::Rows, target);
        if rules.rewrite_deleted {
            writer.leave_no_lists_behind();
        }
        Ok(Open::Map(Box::new(MapPart::new(writer, scope, whole, rules.rewrite_deleted))))
    }

    /// One row, or a piece of one; `ends`: the last. "Messages sent from the backend will always
    /// correspond to single data rows" (PostgreSQL documentation, Message Formats, CopyData).
    #[inline]
    pub(crate) fn write(&mut self, piece: &[u8], ends: bool) -> Result<(), OpsError> {
        self.bytes_in_open += piece.len() as u64;
        match &mut self.open {
            Open::Plain(stream) => stream.write(piece)?,
            Open::Map(map) => map.write(piece, ends)?,
            Open::Undecided(held) => {
                held.extend_from_slice(piece);
                if held.len() >= LOOKED_AT {
                    self.decide(ends)?;
                }
            }
        }
        if ends {
            self.rows_in_open += 1;
            self.rows_all += 1;
            if self.rows_in_open == ROWS_PER_PART || self.bytes_in_open >= BYTES_PER_PART {
                self.end()?;
                self.begin()?;
            }
        }
        Ok(())
    }

    /// Now enough is known; `ends`: what is held ends with a row's end.
    fn decide(&mut self, ends: bool) -> Result<(), OpsError> {
        let Open::Undecided(held) = &mut self.open else { return Ok(()) };
        let held = std::mem::take(held);
        let rows = self.rows_in_open + u64::from(ends);
        let compressed = zstd::bulk::compress(&held, 1).map_or(held.len(), |bytes| bytes.len());
        if (compressed as u64) < rows * self.rows.rules.pays_from {
            self.open = self.plain();
        } else {
            self.open = self.map()?;
        }
        self.replay(&held)
    }

    fn replay(&mut self, held: &[u8]) -> Result<(), OpsError> {
        match &mut self.open {
            Open::Plain(stream) => stream.write(held)?,
            Open::Map(map) => {
                for row in held.split_inclusive(|byte| *byte == b'\n') {
                    map.write(row, row.ends_with(b"\n"))?;
                }
            }
            Open::Undecided(_) => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), OpsError> {
        if let Open::Undecided(held) = &mut self.open {
            // A part this small is stored as it is.
            let held = std::mem::take(held);
            self.open = self.plain();
            self.replay(&held)?;
        }
        match std::mem::replace(&mut self.open, Open::Undecided(Vec::new())) {
            Open::Plain(stream) => self.done.parts.push(stream.finish()?),
            Open::Map(map) => {
                let (part, note, last) = map.finish()?;
                self.done.parts.push(part);
                self.done.maps.add(&note);
                self.last = last;
            }
            Open::Undecided(_) => {}
        }
        Ok(())
    }

    /// `rows` is the server's own count: a difference means that bytes were lost on the way.
    pub(crate) fn finish(mut self, rows: u64) -> Result<StoredCopy, OpsError> {
        if rows != self.rows_all {
            return Err(OpsError::refused(
                format!("the server counts {rows} rows, {} arrived", self.rows_all),
                "this is a defect of pgark; please report it",
            ));
        }
        if self.rows_in_open > 0 || self.done.parts.is_empty() {
            self.end()?;
        }
        self.done.rows = rows;
        Ok(self.done)
    }
}
