//! Plain dumps: the rows and large objects of a script, at the places where they lie.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use pgark_bytes::archive::script::{self, Database};
use pgark_bytes::archive::{Archive, CreatedAt};

use super::item::{Item, Take, file_error};
use super::rows::{damaged, unreadable};
use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::error::with_causes;

/// One database of a script.
#[derive(Clone)]
pub(super) struct ScriptedDatabase {
    path: PathBuf,
    database: Arc<Database>,
}

/// Its databases, and its globals where it has any. Templates that hold nothing are left out.
/// `database`: the name of one that the script does not name.
pub(super) fn open(
    path: &Path,
    database: Option<&str>,
) -> Result<(Vec<ScriptedDatabase>, Option<Vec<u8>>), OpsError> {
    let file = File::open(path).map_err(|source| file_error(path, source))?;
    let written = file.metadata().and_then(|metadata| metadata.modified());
    let created =
        written.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_secs());
    let mut input = BufReader::with_capacity(1 << 18, file);
    let read = script::read_script(&mut input, database.map(str::as_bytes)).map_err(|error| {
        OpsError::refused(
            format!("{}: {}", path.display(), with_causes(&error)),
            advice![
                "taken are whole scripts of pg_dumpall and pg_dump; of one that was made without pg_dump --create ",
                Setting::Database.to("NAME"),
                " says the database. Others can be run with psql in an empty cluster, and that backed up",
            ],
        )
    })?;
    let mut parts = Vec::new();
    for mut database in read.databases {
        let header = &mut database.archive.header;
        if let Some(created) = created.filter(|_| header.created == CreatedAt::UNKNOWN) {
            header.created = calendar(created);
        }
        let is_template = header.dbname.as_deref() == Some(b"template1");
        let holds =
            database.archive.entries.iter().any(|entry| !entry.is_setting() && !entry.is_about_database());
        if !is_template || holds {
            parts.push(ScriptedDatabase { path: path.to_path_buf(), database: Arc::new(database) });
        }
    }
    Ok((parts, Some(read.globals).filter(|globals| !globals.is_empty())))
}

/// The script's last change, as the time of its making (UTC).
fn calendar(seconds: u64) -> CreatedAt {
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or_default()).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    CreatedAt {
        second: time.second().into(),
        minute: time.minute().into(),
        hour: time.hour().into(),
        day: time.day().into(),
        month: i32::from(time.month()) - 1,
        year: i32::from(time.year()) - 1900,
        is_dst: 0,
    }
}

impl ScriptedDatabase {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.database.archive
    }

    pub(super) fn read(&self, archive: &Archive, take: &mut Take<'_>) -> Result<(), OpsError> {
        let mut file = File::open(&self.path).map_err(|source| file_error(&self.path, source))?;
        for (dump_id, range) in &self.database.data {
            let Some(toc) = archive.entry(*dump_id) else { continue };
            file.seek(SeekFrom::Start(range.start)).map_err(|source| file_error(&self.path, source))?;
            let mut content =
                BufReader::with_capacity(1 << 18, Read::by_ref(&mut file).take(range.end - range.start));
            if toc.kind() == "BLOBS" {
                large_objects(&mut content, take)?;
            } else {
                take(Item::Rows { toc, content: &mut content })?;
            }
        }
        Ok(())
    }
}

/// `SELECT pg_catalog.lo_open('OID', 131072);`, any number of
/// `SELECT pg_catalog.lowrite(0, '\x…');`, and `SELECT pg_catalog.lo_close(0);`, for each object.
fn large_objects(input: &mut dyn BufRead, take: &mut Take<'_>) -> Result<(), OpsError> {
    let mut line = Vec::new();
    while next_line(input, &mut line)? {
        let Some(rest) = line.strip_prefix(b"SELECT pg_catalog.lo_open('") else { continue };
        let oid = rest.split(|byte| *byte == b'\'').next().and_then(|oid| std::str::from_utf8(oid).ok());
        let oid = oid
            .and_then(|oid| oid.parse().ok())
            .ok_or_else(|| damaged(NAME, "has a call without a number"))?;
        let mut content = Calls { input, piece: Vec::new(), at: 0, closed: false };
        take(Item::LargeObject { oid, content: &mut content })?;
        if !content.closed {
            return Err(damaged(NAME, "end before the last one ends"));
        }
    }
    Ok(())
}

const NAME: &str = "the large objects of the script";

fn next_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, OpsError> {
    line.clear();
    input.read_until(b'\n', line).map(|read| read > 0).map_err(|source| unreadable(NAME, source))
}

/// The bytes that the calls write into one object.
struct Calls<'c> {
    input: &'c mut dyn BufRead,
    piece: Vec<u8>,
    at: usize,
    closed: bool,
}

impl Read for Calls<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = Vec::new();
        while self.at == self.piece.len() {
            if self.closed {
                return Ok(0);
            }
            line.clear();
            if self.input.read_until(b'\n', &mut line)? == 0 {
                return Ok(0);
            }
            let call = line.trim_ascii_end();
            if call == b"SELECT pg_catalog.lo_close(0);" {
                self.closed = true;
            } else {
                let hex = call
                    .strip_prefix(br"SELECT pg_catalog.lowrite(0, '\")
                    // Twice where backslashes escape in plain strings.
                    .map(|rest| rest.strip_prefix(br"\").unwrap_or(rest))
                    .and_then(|rest| rest.strip_prefix(b"x"))
                    .and_then(|rest| rest.strip_suffix(b"');"))
                    .ok_or_else(|| io::Error::other("a line is not a call that writes"))?;
                self.piece = crate::hex::decode(hex)
                    .ok_or_else(|| io::Error::other("the bytes are not hexadecimal"))?;
                self.at = 0;
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}
