//! Rows into a table that has rows already: those that violate a constraint are left out and
//! listed.
//!
//! Rows go in as inserts, many to a statement, under a savepoint. A batch of which some did not go
//! in is done again row by row: only so it is known which they were, and why. All of a table's rows
//! are one transaction.

use pgark_bytes::archive::TocEntry;
use pgark_bytes::copy_text;
use pgark_bytes::sql::quote_literal_bytes;
use pgark_pg::Connection;
use pgark_repo::{DataReader, Entry};

use super::report::{ObjectError, SkippedRows};
use crate::advice::advice;
use crate::error::read_all;
use crate::error::{Doing, with_causes};
use crate::{Job, OpsError};

/// Longer than any row: fields have at most 1 GiB, and a COPY line four times as much.
const LONGEST_ROW: usize = 4 << 30;

/// Rows of one statement at most, and bytes.
const BATCH_ROWS: usize = 200;
const BATCH_BYTES: usize = 256 << 10;
/// Rows that the report shows of each table, and how much of each.
const EXAMPLES: usize = 20;
const EXAMPLE_BYTES: usize = 200;

/// Loads one table. Returns the rows that went in, and those that did not.
pub(super) fn load(
    reader: &DataReader<'_>,
    job: &Job,
    connection: &mut Connection,
    toc: &TocEntry,
    entry: &Entry,
    overriding_system_value: bool,
) -> Result<(u64, Option<SkippedRows>), OpsError> {
    let mut inserter = Inserter {
        connection,
        insert: insert_statement(toc, overriding_system_value),
        inserted: 0,
        skipped: SkippedRows {
            table: format!("{}.{}", toc.namespace_str(), toc.tag_str()),
            rows: 0,
            examples: Vec::new(),
        },
    };
    let mut buffer = Vec::new();
    let mut content = reader.read(entry);
    while let Some(chunk) = content.next_chunk()? {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        buffer.extend_from_slice(&chunk);
        let whole = copy_text::whole_rows(&buffer);
        inserter.rows(buffer.get(..whole).unwrap_or_default())?;
        buffer.drain(..whole);
        if buffer.len() > LONGEST_ROW {
            return Err(OpsError::refused(
                format!("a row of {} has more than {LONGEST_ROW} bytes", inserter.skipped.table),
                advice!["no row of PostgreSQL is that long; "].and(read_all()),
            ));
        }
        job.progress.advance(chunk.len() as u64);
    }
    if !buffer.is_empty() {
        return Err(OpsError::refused(
            format!("the data of {} ends in the middle of a row", inserter.skipped.table),
            read_all(),
        ));
    }
    let skipped = (inserter.skipped.rows > 0).then_some(inserter.skipped);
    Ok((inserter.inserted, skipped))
}

/// `INSERT INTO s.t (a, b) VALUES`, made of `COPY s.t (a, b) FROM stdin;`.
fn insert_statement(toc: &TocEntry, overriding: bool) -> Vec<u8> {
    let copy = toc.copy_stmt.as_deref().unwrap_or_default().trim_ascii();
    let copy = copy.strip_prefix(b"COPY ").unwrap_or(copy);
    let target = copy.strip_suffix(b" FROM stdin;").unwrap_or(copy).trim_ascii();
    let mut sql = [b"INSERT INTO ".as_slice(), target].concat();
    if overriding {
        sql.extend_from_slice(b" OVERRIDING SYSTEM VALUE");
    }
    sql
}

struct Inserter<'c> {
    connection: &'c mut Connection,
    insert: Vec<u8>,
    inserted: u64,
    skipped: SkippedRows,
}

impl Inserter<'_> {
    fn rows(&mut self, data: &[u8]) -> Result<(), OpsError> {
        let mut batch: Vec<&[u8]> = Vec::new();
        let mut bytes = 0;
        for row in copy_text::rows(data) {
            batch.push(row);
            bytes += row.len();
            if batch.len() == BATCH_ROWS || bytes >= BATCH_BYTES {
                self.batch(&batch)?;
                batch.clear();
                bytes = 0;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.batch(&batch) }
    }

    fn batch(&mut self, rows: &[&[u8]]) -> Result<(), OpsError> {
        self.connection.execute("SAVEPOINT batch").doing("start a batch of rows")?;
        let count = rows.len() as u64;
        match self.try_insert(rows) {
            Ok(inserted) if inserted == count => {
                self.inserted += count;
                self.connection.execute("RELEASE SAVEPOINT batch").doing("end a batch of rows")
            }
            Err(error) if !is_violation(&error) => Err(error),
            _ => {
                self.connection.execute("ROLLBACK TO SAVEPOINT batch").doing("undo a batch of rows")?;
                rows.iter().try_for_each(|row| self.one(row))?;
                self.connection.execute("RELEASE SAVEPOINT batch").doing("end a batch of rows")
            }
        }
    }

    fn one(&mut self, row: &[u8]) -> Result<(), OpsError> {
        self.connection.execute("SAVEPOINT one_row").doing("start a row")?;
        match self.try_insert(&[row]) {
            Ok(0) => self.skip(row, "a row with the same key exists".to_string()),
            Ok(_) => self.inserted += 1,
            Err(error) if is_violation(&error) => {
                self.connection.execute("ROLLBACK TO SAVEPOINT one_row").doing("leave a row")?;
                self.skip(row, with_causes(&error));
            }
            Err(error) => return Err(error),
        }
        self.connection.execute("RELEASE SAVEPOINT one_row").doing("end a row")
    }

    fn try_insert(&mut self, rows: &[&[u8]]) -> Result<u64, OpsError> {
        let mut sql = self.insert.clone();
        // A table without columns has one value only.
        if !sql.ends_with(b")") && !sql.ends_with(b"VALUE") {
            return self.without_columns(rows.len());
        }
        sql.extend_from_slice(b" VALUES ");
        for (number, row) in rows.iter().enumerate() {
            sql.extend_from_slice(if number == 0 { b"(" } else { b", (" });
            for (at, raw) in copy_text::fields(row).enumerate() {
                if at > 0 {
                    sql.extend_from_slice(b", ");
                }
                match copy_text::value(raw) {
                    Some(value) => sql.extend(quote_literal_bytes(&value)),
                    None => sql.extend_from_slice(b"NULL"),
                }
            }
            sql.push(b')');
        }
        sql.extend_from_slice(b" ON CONFLICT DO NOTHING");
        let results = self.connection.simple_bytes(&sql).doing("insert rows")?;
        Ok(results.last().map_or(0, |result| affected(&result.tag)))
    }

    fn without_columns(&mut self, rows: usize) -> Result<u64, OpsError> {
        let sql = [&self.insert, b" DEFAULT VALUES".as_slice()].concat();
        for _ in 0..rows {
            self.connection.simple_bytes(&sql).doing("insert rows")?;
        }
        Ok(rows as u64)
    }

    fn skip(&mut self, row: &[u8], reason: String) {
        self.skipped.rows += 1;
        if self.skipped.examples.len() < EXAMPLES {
            let shown = row.get(..row.len().min(EXAMPLE_BYTES)).unwrap_or_default();
            let object = String::from_utf8_lossy(shown).trim_end().to_string();
            self.skipped.examples.push(ObjectError::new(object, reason));
        }
    }
}

/// The number at the end of `INSERT 0 5`.
fn affected(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// An integrity constraint violation (SQLSTATE class 23).
fn is_violation(error: &OpsError) -> bool {
    error.sqlstate().is_some_and(|state| state.starts_with("23"))
}
