//! Rows and large objects on their way into the target.

use std::path::Path;

use pgark_bytes::archive::TocEntry;
use pgark_bytes::sql::quote_ident_bytes;
use pgark_pg::Connection;
use pgark_repo::{DataReader, Entry};

use crate::backup::large_objects::take_frames;
use crate::error::Doing;
use crate::{Job, OpsError};

/// Bytes of COPY text from which a table of this restore is emptied and loaded frozen.
const WORTH_FREEZING: u64 = 128 << 10;

/// What every load needs.
pub(super) struct Loader<'a> {
    pub reader: &'a DataReader<'a>,
    pub job: &'a Job,
}

impl Loader<'_> {
    /// Loads one table. `fresh`: this run created the table, so it may be emptied and filled in one transaction, which
    /// lets the server skip WAL under `wal_level=minimal` and freeze the rows at once (TRAPS 13). A small table is filled
    /// as it is: new files for table, TOAST and indexes and the flush at their commit cost more than its rows.
    pub(super) fn table(
        &self,
        connection: &mut Connection,
        toc: &TocEntry,
        entry: &Entry,
        fresh: bool,
    ) -> Result<u64, OpsError> {
        let freeze = fresh && entry.bytes_raw >= WORTH_FREEZING;
        if freeze {
            connection.execute("BEGIN").doing("begin the table's transaction")?;
            let mut truncate = b"TRUNCATE TABLE ONLY ".to_vec();
            truncate.extend(quote_ident_bytes(toc.namespace.as_deref().unwrap_or_default()));
            truncate.push(b'.');
            truncate.extend(quote_ident_bytes(toc.tag_bytes()));
            connection.simple_bytes(&truncate).doing("empty the new table")?;
        }
        let rows = self.copy(connection, &copy_statement(toc, freeze), entry)?;
        if freeze {
            connection.execute("COMMIT").doing("commit the table")?;
        }
        Ok(rows)
    }

    fn copy(&self, connection: &mut Connection, sql: &[u8], entry: &Entry) -> Result<u64, OpsError> {
        let mut copy = connection.copy_in(sql).doing("begin to copy rows")?;
        for part in &entry.parts {
            let mut stream = self.reader.read(part)?;
            while let Some(chunk) = stream.next_chunk()? {
                self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
                copy.write(&chunk).doing("copy rows")?;
                self.job.progress.advance(chunk.len() as u64);
            }
        }
        copy.finish().doing("copy rows")
    }

    /// Writes the bytes of every large object; the objects themselves exist already.
    pub(super) fn large_objects(&self, connection: &mut Connection, entry: &Entry) -> Result<u64, OpsError> {
        let mut objects = 0;
        let mut hex = String::new();
        connection.execute("BEGIN").doing("begin the large objects' transaction")?;
        for part in &entry.parts {
            let mut stream = self.reader.read(part)?;
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
                    encode(&mut hex, frame.bytes);
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
                    format!("{} ends within a frame", Path::new(&entry.path).display()),
                    "run `pgark check --read-data`",
                ));
            }
        }
        connection.execute("COMMIT").doing("commit the large objects")?;
        Ok(objects)
    }
}

/// The archive's own COPY statement, with FREEZE where the table is this transaction's own.
fn copy_statement(toc: &TocEntry, freeze: bool) -> Vec<u8> {
    let statement = toc.copy_stmt.as_deref().unwrap_or_default().trim_ascii_end();
    let mut sql = statement.strip_suffix(b";").unwrap_or(statement).to_vec();
    if freeze {
        sql.extend_from_slice(b" WITH (FREEZE)");
    }
    sql
}

/// A bytea's hex form.
fn encode(hex: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hex.clear();
    hex.push_str("\\x");
    for byte in bytes {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn bytes_become_hex() {
        let mut hex = String::new();
        encode(&mut hex, &[0, 255, 0x5c]);
        assert_eq!(hex, "\\x00ff5c");
    }
}
