//! Plain SQL for psql: what `pg_dump` writes, and with the database itself what `pg_dump --create`
//! does.
//!
//! Without the database's creation the script goes into the database that psql is connected to.
//! With it, owner, settings (also those of roles in it), comment and privileges come along.
//! Everything but a few fixed lines lies within `\restrict` (`psql.rs`): whatever the source's
//! names and definitions hold, psql runs no command of theirs.

use std::io::{Read, Write};

use pgark_bytes::archive::order::{Selection, serial_order};
use pgark_bytes::archive::statements::{self, Options, SessionState, for_server, session_setup};
use pgark_bytes::archive::{Archive, TocEntry};

use super::compress::Compressor;
use super::file::Target;
use super::large_objects;
use super::source::{END_OF_ROWS, Source};
use crate::OpsError;
use crate::logical::psql::{Guard, Outside, in_comment};

/// Bytes of a large object that one statement writes.
const STEP: usize = 16 << 10;

/// Writes the script. Returns the number of large objects.
pub(super) fn write(source: &Source<'_>, to: &mut Target<'_>) -> Result<u64, OpsError> {
    let guard = Guard::new(source.restrict)?;
    let folder = tempfile::tempdir().map_err(OpsError::Output)?;
    let objects = large_objects::spill(source, folder.path())?;
    let stream = source.method.file(Bytes::new(to)).map_err(OpsError::Output)?;
    let mut script = Script { stream, archive: &source.archive, guard };
    script.begin()?;
    script.set_up(source.major)?;
    let options = source.options;
    let selection = Selection::of(&source.archive, &options);
    let mut state = SessionState::default();
    for entry in
        serial_order(&source.archive, &selection).into_iter().filter_map(|at| source.archive.entries.get(at))
    {
        script.entry(entry, &options, source.major, &mut state)?;
        match entry.kind() {
            "TABLE DATA" => {
                script.put(entry.copy_stmt.as_deref().unwrap_or_default())?;
                source.rows(entry, &mut |rows| script.put(rows))?;
                script.put(END_OF_ROWS)?;
            }
            "BLOBS" => {
                script.put(b"BEGIN;\n\n")?;
                for oid in source.members(entry, &objects) {
                    script.large_object(oid, &folder.path().join(large_objects::file_name(oid)))?;
                }
                script.put(b"COMMIT;\n\n")?;
            }
            "DATABASE" | "DATABASE PROPERTIES" => {
                script.connect(entry_database(&source.archive))?;
                script.set_up(source.major)?;
                state = SessionState::default();
            }
            _ => {}
        }
    }
    script.end()?;
    to.finish()?;
    Ok(objects.len() as u64)
}

/// Refuses a database whose name psql cannot be told, before anything is written.
pub(super) fn refuse_unreachable(archive: &Archive) -> Result<(), OpsError> {
    Guard::new(false)?.outside(&Outside::Connect(entry_database(archive))).map(drop)
}

fn entry_database(archive: &Archive) -> &[u8] {
    archive.entries.iter().find(|entry| entry.kind() == "DATABASE").map_or(b"", TocEntry::tag_bytes)
}

/// The output as a writer; what went wrong is kept.
pub(super) struct Bytes<'t, 'o> {
    to: &'t mut Target<'o>,
    failed: Option<OpsError>,
}

impl<'t, 'o> Bytes<'t, 'o> {
    pub(super) fn new(to: &'t mut Target<'o>) -> Bytes<'t, 'o> {
        Bytes { to, failed: None }
    }

    /// What went wrong, if anything did.
    pub(super) fn ended(self) -> Result<(), OpsError> {
        self.failed.map_or(Ok(()), Err)
    }
}

impl Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.to.put(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(OpsError::Output(source)) => Err(source),
            Err(error) => {
                self.failed = Some(error);
                Err(std::io::Error::other("the output failed"))
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Script<'a, 't, 'o> {
    stream: Compressor<Bytes<'t, 'o>>,
    archive: &'a Archive,
    guard: Guard,
}

impl Script<'_, '_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        self.stream.write_all(bytes).map_err(OpsError::Output)
    }

    fn outside(&mut self, piece: Outside<'_>) -> Result<(), OpsError> {
        let text = self.guard.outside(&piece)?;
        self.put(&text)
    }

    fn begin(&mut self) -> Result<(), OpsError> {
        self.outside(Outside::Title("PostgreSQL database dump"))?;
        self.outside(Outside::Restrict)?;
        let header = &self.archive.header;
        let text = |bytes: &Option<Vec<u8>>| in_comment(bytes.as_deref().unwrap_or_default());
        let head = [
            b"-- Dumped from database version ".as_slice(),
            &text(&header.server_version),
            b"\n-- Dumped by pg_dump version ",
            &text(&header.dump_version),
            b", exported by pgark ",
            env!("CARGO_PKG_VERSION").as_bytes(),
            b"\n\n",
        ];
        self.put(&head.concat())
    }

    fn set_up(&mut self, major: i32) -> Result<(), OpsError> {
        for statement in session_setup(self.archive, major) {
            self.put(statement.trim_ascii())?;
            self.put(b"\n")?;
        }
        self.put(b"\n")
    }

    fn entry(
        &mut self,
        entry: &TocEntry,
        options: &Options,
        major: i32,
        state: &mut SessionState,
    ) -> Result<(), OpsError> {
        let name = |field: &Option<Vec<u8>>| in_comment(field.as_deref().unwrap_or_default());
        let schema = Some(name(&entry.namespace)).filter(|schema| !schema.is_empty());
        let head = [
            b"--\n-- Name: ".as_slice(),
            &in_comment(entry.tag_bytes()),
            b"; Type: ",
            &in_comment(entry.kind().as_bytes()),
            b"; Schema: ",
            schema.as_deref().unwrap_or(b"-"),
            b"; Owner: ",
            &name(&entry.owner),
            b"\n--\n\n",
        ];
        self.put(&head.concat())?;
        for statement in statements::statements(self.archive, entry, options, state) {
            let sql = match entry.kind() {
                "DATABASE" => for_server(&statement.sql, major),
                _ => statement.sql,
            };
            self.put(sql.trim_ascii_end())?;
            self.put(b"\n\n")?;
        }
        Ok(())
    }

    /// On to another database: no command but `\unrestrict` passes a restricted psql.
    fn connect(&mut self, database: &[u8]) -> Result<(), OpsError> {
        self.outside(Outside::Unrestrict)?;
        self.outside(Outside::Connect(database))?;
        self.outside(Outside::Restrict)
    }

    fn large_object(&mut self, oid: u32, path: &std::path::Path) -> Result<(), OpsError> {
        let at = |source| super::file::file_error("read", path, source);
        let mut file = std::fs::File::open(path).map_err(at)?;
        // 131072 is INV_WRITE; the first descriptor of a transaction is 0.
        self.put(format!("SELECT pg_catalog.lo_open('{oid}', 131072);\n").as_bytes())?;
        // Where backslashes escape in plain strings, that of the hexadecimal form is doubled.
        let prefix = if self.archive.standard_conforming_strings() { "\\x" } else { "\\\\x" };
        let mut buffer = vec![0; STEP];
        loop {
            let read = file.read(&mut buffer).map_err(at)?;
            if read == 0 {
                break;
            }
            let mut line = format!("SELECT pg_catalog.lowrite(0, '{prefix}");
            for byte in buffer.get(..read).unwrap_or_default() {
                line.push_str(&format!("{byte:02x}"));
            }
            line.push_str("');\n");
            self.put(line.as_bytes())?;
        }
        self.put(b"SELECT pg_catalog.lo_close(0);\n\n")
    }

    fn end(mut self) -> Result<(), OpsError> {
        self.put(b"--\n-- PostgreSQL database dump complete\n--\n\n")?;
        self.outside(Outside::Unrestrict)?;
        self.stream.finish().map_err(OpsError::Output)?.ended()
    }
}
