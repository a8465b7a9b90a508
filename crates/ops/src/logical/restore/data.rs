//! Rows and large objects on their way into the target.

use std::ops::Range;
use std::path::Path;

use pgark_bytes::archive::TocEntry;
use pgark_bytes::archive::statements::qualified_name;
use pgark_bytes::large_objects::take_frames;
use pgark_bytes::sql::{quote_ident_bytes, quote_literal_bytes};
use pgark_pg::Connection;
use pgark_repo::{DataReader, Entry};

use super::conflicts;
use super::report::SkippedRows;
use super::request::Load;
use crate::error::Doing;
use crate::error::read_all;
use crate::{Job, OpsError};

/// Bytes of COPY text from which a table of this restore is emptied and loaded frozen.
const WORTH_FREEZING: u64 = 128 << 10;

/// What every load needs.
pub(super) struct Loader<'a> {
    pub reader: &'a DataReader<'a>,
    pub job: &'a Job,
    pub load: &'a Load,
    /// The connection is in a transaction that is not the loader's.
    pub in_transaction: bool,
}

impl Loader<'_> {
    /// Loads one table. `fresh`: this run created the table, so it may be emptied and filled in one
    /// transaction, which lets the server skip WAL under `wal_level=minimal` and freeze the rows at
    /// once (trap 13). A small table is filled as it is: new files for table, TOAST and indexes and
    /// the flush at their commit cost more than its rows.
    pub(super) fn table(
        &self,
        connection: &mut Connection,
        toc: &TocEntry,
        entry: &Entry,
        fresh: bool,
    ) -> Result<(u64, Option<SkippedRows>), OpsError> {
        let freeze = fresh && entry.bytes_raw >= WORTH_FREEZING;
        let guarded = !fresh && (self.load.skip_conflicts || self.load.disable_triggers);
        if freeze || guarded {
            self.begin(connection)?;
        }
        if freeze {
            let mut truncate = b"TRUNCATE TABLE ONLY ".to_vec();
            truncate.extend(qualified_name(toc));
            connection.simple_bytes(&truncate).doing("empty the new table")?;
        }
        let triggers = if !fresh && self.load.disable_triggers {
            disable_triggers(connection, toc)?
        } else {
            Vec::new()
        };
        let loaded = if !fresh && self.load.skip_conflicts {
            conflicts::load(self.reader, self.job, connection, toc, entry, self.load.overriding_system_value)?
        } else {
            (self.copy(connection, &copy_statement(toc, freeze), entry, 0..entry.parts.len())?, None)
        };
        for statement in triggers {
            connection.simple_bytes(&statement).doing("enable the table's triggers")?;
        }
        if freeze || guarded {
            self.commit(connection)?;
        }
        Ok(loaded)
    }

    fn begin(&self, connection: &mut Connection) -> Result<(), OpsError> {
        if self.in_transaction {
            Ok(())
        } else {
            connection.execute("BEGIN").doing("start the table's transaction")
        }
    }

    fn commit(&self, connection: &mut Connection) -> Result<(), OpsError> {
        if self.in_transaction { Ok(()) } else { connection.execute("COMMIT").doing("commit the table") }
    }

    /// One COPY of some parts of a table. Returns the server's count of rows.
    pub(super) fn copy(
        &self,
        connection: &mut Connection,
        sql: &[u8],
        entry: &Entry,
        parts: Range<usize>,
    ) -> Result<u64, OpsError> {
        let mut copy = connection.copy_in(sql).doing("start to copy rows")?;
        let mut content = self.reader.read_parts(entry, parts);
        while let Some(chunk) = content.next_chunk()? {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            copy.write(&chunk).doing("copy rows")?;
            self.job.progress.advance(chunk.len() as u64);
        }
        copy.finish().doing("copy rows")
    }

    /// Writes the bytes of every large object; the objects themselves exist already.
    pub(super) fn large_objects(&self, connection: &mut Connection, entry: &Entry) -> Result<u64, OpsError> {
        let mut objects = 0;
        let mut hex = String::new();
        self.begin(connection)?;
        for number in 0..entry.parts.len() {
            let mut stream = self.reader.read_part(entry, number)?;
            let mut buffer = Vec::new();
            while let Some(chunk) = stream.next_chunk()? {
                self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
                buffer.extend_from_slice(&chunk);
                take_frames(&mut buffer, &mut |frame| {
                    if frame.offset == 0 {
                        objects += 1;
                    }
                    if frame.bytes.is_empty() {
                        return Ok(());
                    }
                    hex.clear();
                    hex.push_str("\\x");
                    crate::hex::encode_onto(&mut hex, frame.bytes);
                    let (oid, offset) = (frame.oid.to_string(), frame.offset.to_string());
                    connection
                        .query(
                            "SELECT pg_catalog.lo_put($1::pg_catalog.oid, $2::pg_catalog.int8, $3::pg_catalog.bytea)",
                            &[Some(&oid), Some(&offset), Some(&hex)],
                        )
                        .map(|_| ())
                        .doing(format!("write large object {oid}"))
                })?;
                self.job.progress.advance(chunk.len() as u64);
            }
            if !buffer.is_empty() {
                return Err(OpsError::refused(
                    format!("{} ends in the middle of a frame", Path::new(&entry.path).display()),
                    read_all(),
                ));
            }
        }
        self.commit(connection)?;
        Ok(objects)
    }
}

/// Disables the table's triggers, foreign keys' included. Returns the statements that make each
/// what it was.
fn disable_triggers(connection: &mut Connection, toc: &TocEntry) -> Result<Vec<Vec<u8>>, OpsError> {
    let doing = "disable the table's triggers";
    let table = [b"ALTER TABLE ONLY ".as_slice(), &qualified_name(toc)].concat();
    let name = quote_literal_bytes(&qualified_name(toc));
    // In the session's encoding: a parameter's text would be taken for UTF-8.
    let sql = [
        b"SELECT tgname, tgenabled FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O' AND tgrelid = "
            .as_slice(),
        &name,
        b"::pg_catalog.regclass",
    ]
    .concat();
    let mut again = vec![[&table, b" ENABLE TRIGGER ALL".as_slice()].concat()];
    for row in connection.simple_bytes(&sql).doing(doing)?.iter().flat_map(|result| &result.rows) {
        let word: &[u8] = match row.get(1) {
            Some(b"D") => b" DISABLE TRIGGER ",
            Some(b"R") => b" ENABLE REPLICA TRIGGER ",
            _ => b" ENABLE ALWAYS TRIGGER ",
        };
        again.push([&table, word, &quote_ident_bytes(row.get(0).unwrap_or_default())].concat());
    }
    connection.simple_bytes(&[&table, b" DISABLE TRIGGER ALL".as_slice()].concat()).doing(doing)?;
    Ok(again)
}

/// The archive's own COPY statement, with FREEZE where the table is this transaction's own.
pub(super) fn copy_statement(toc: &TocEntry, freeze: bool) -> Vec<u8> {
    let statement = toc.copy_stmt.as_deref().unwrap_or_default().trim_ascii_end();
    let mut sql = statement.strip_suffix(b";").unwrap_or(statement).to_vec();
    if freeze {
        sql.extend_from_slice(b" WITH (FREEZE)");
    }
    sql
}
