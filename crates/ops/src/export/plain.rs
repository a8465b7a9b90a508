//! Plain SQL for psql: what `pg_dump --create` writes.
//!
//! The database's creation, owner, settings (also those of roles in it), comment and privileges are in it; pg_dump without
//! `--create` loses them. From the minor versions on whose pg_dump does so, the script begins with `\restrict` and a random
//! key (CVE-2025-8714): psql then runs no other backslash command up to the `\unrestrict` with the same key.

use std::io::{Read, Write};

use pgark_bytes::archive::order::{Selection, serial_order};
use pgark_bytes::archive::statements::{self, Options, SessionState, for_server, session_setup};
use pgark_bytes::archive::{Archive, TocEntry};

use super::compress::Compressor;
use super::file::Target;
use super::{END_OF_ROWS, Source, large_objects};
use crate::OpsError;

/// Bytes of a large object that one statement writes.
const STEP: usize = 16 << 10;

/// Writes the script. Returns the number of large objects.
pub(super) fn write(source: &Source<'_>, to: &mut Target<'_>) -> Result<u64, OpsError> {
    let folder = tempfile::tempdir().map_err(OpsError::Output)?;
    let objects = large_objects::spill(source, folder.path())?;
    let stream = source.method.file(Bytes { to, failed: None }).map_err(OpsError::Output)?;
    let mut script = Script { stream, archive: &source.archive, key: restrict_key(&source.archive)? };
    script.begin()?;
    let options = Options { create_database: source.with_database, ..Options::default() };
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

fn entry_database(archive: &Archive) -> &[u8] {
    archive.entries.iter().find(|entry| entry.kind() == "DATABASE").map_or(b"", TocEntry::tag_bytes)
}

/// The output as a writer; what went wrong is kept.
struct Bytes<'t, 'o> {
    to: &'t mut Target<'o>,
    failed: Option<OpsError>,
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
    key: Option<String>,
}

impl Script<'_, '_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        self.stream.write_all(bytes).map_err(OpsError::Output)
    }

    fn begin(&mut self) -> Result<(), OpsError> {
        let header = &self.archive.header;
        let text = |bytes: &Option<Vec<u8>>| one_line(bytes.as_deref().unwrap_or_default());
        let head = format!(
            "--\n-- PostgreSQL database dump\n--\n\n{}-- Dumped from database version {}\n-- Dumped by pg_dump version {}, exported by pgark {}\n\n",
            self.restrict("\\restrict"),
            text(&header.server_version),
            text(&header.dump_version),
            env!("CARGO_PKG_VERSION"),
        );
        self.put(head.as_bytes())
    }

    fn restrict(&self, command: &str) -> String {
        self.key.as_ref().map(|key| format!("{command} {key}\n\n")).unwrap_or_default()
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
        if *state == SessionState::default() && entry.kind() == "DATABASE" {
            self.set_up(major)?;
        }
        let head = format!(
            "--\n-- Name: {}; Type: {}; Schema: {}; Owner: {}\n--\n\n",
            one_line(entry.tag_bytes()),
            entry.kind(),
            match entry.namespace.as_deref() {
                None | Some(b"") => "-".to_string(),
                Some(schema) => one_line(schema),
            },
            one_line(entry.owner.as_deref().unwrap_or_default()),
        );
        self.put(head.as_bytes())?;
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

    /// psql's way to another database; no backslash command but `\unrestrict` passes a restricted psql.
    fn connect(&mut self, database: &[u8]) -> Result<(), OpsError> {
        let plain = !database.is_empty()
            && database.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        let before = self.restrict("\\unrestrict");
        self.put(before.as_bytes())?;
        if plain {
            self.put(&[b"\\connect ".as_slice(), database, b"\n\n"].concat())?;
        } else {
            // A connection string in psql's double quotes: those of the name are doubled, its quotes and backslashes escaped.
            let mut conninfo = b"dbname='".to_vec();
            for byte in database {
                if matches!(byte, b'\'' | b'\\') {
                    conninfo.push(b'\\');
                }
                conninfo.push(*byte);
            }
            conninfo.push(b'\'');
            let quoted: Vec<u8> = conninfo
                .iter()
                .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }))
                .collect();
            self.put(&[b"\\connect -reuse-previous=on \"".as_slice(), &quoted, b"\"\n\n"].concat())?;
        }
        let after = self.restrict("\\restrict");
        self.put(after.as_bytes())
    }

    fn large_object(&mut self, oid: u32, path: &std::path::Path) -> Result<(), OpsError> {
        let at = |source| super::file::file_error("read", path, source);
        let mut file = std::fs::File::open(path).map_err(at)?;
        // 131072 is INV_WRITE; the first descriptor of a transaction is 0.
        self.put(format!("SELECT pg_catalog.lo_open('{oid}', 131072);\n").as_bytes())?;
        let mut buffer = vec![0; STEP];
        loop {
            let read = file.read(&mut buffer).map_err(at)?;
            if read == 0 {
                break;
            }
            let mut line = String::from("SELECT pg_catalog.lowrite(0, '\\x");
            for byte in buffer.get(..read).unwrap_or_default() {
                line.push_str(&format!("{byte:02x}"));
            }
            line.push_str("');\n");
            self.put(line.as_bytes())?;
        }
        self.put(b"SELECT pg_catalog.lo_close(0);\n\n")
    }

    fn end(mut self) -> Result<(), OpsError> {
        let tail =
            format!("--\n-- PostgreSQL database dump complete\n--\n\n{}", self.restrict("\\unrestrict"));
        self.put(tail.as_bytes())?;
        let bytes = self.stream.finish().map_err(OpsError::Output)?;
        bytes.failed.map_or(Ok(()), Err)
    }
}

/// A name in a comment: no line of it may become a command.
fn one_line(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(['\n', '\r'], " ")
}

/// A key for `\restrict`, if the pg_dump that made the archive writes one: 13.22, 14.19, 15.14, 16.10, 17.6 and newer.
fn restrict_key(archive: &Archive) -> Result<Option<String>, OpsError> {
    let text =
        String::from_utf8_lossy(archive.header.dump_version.as_deref().unwrap_or_default()).into_owned();
    let mut numbers =
        text.split(|sign: char| !sign.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let first = match major {
        13 => 22,
        14 => 19,
        15 => 14,
        16 => 10,
        17 => 6,
        18.. => 0,
        _ => return Ok(None),
    };
    if minor < first {
        return Ok(None);
    }
    let secret = crate::repository::generate_passphrase()?;
    use pgark_repo::ExposeSecret;
    let key: String = secret.expose_secret().chars().filter(char::is_ascii_alphanumeric).collect();
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn no_name_ends_a_comment() {
        assert_eq!(one_line(b"a\nDROP TABLE x;\r"), "a DROP TABLE x; ");
    }
}
