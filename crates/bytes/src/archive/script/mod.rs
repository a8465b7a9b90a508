//! A plain dump (of pg_dump or pg_dumpall) read as archives: one per database, and the
//! globals as text.
//!
//! A script does not have what an archive has in addition to its SQL. It is found again so:
//!
//! | archive | script |
//! |---|---|
//! | kind, tag, schema, owner | the comment above each object: `-- Name: t; Type: TABLE; Schema: s; Owner: o` |
//! | owner | `ALTER … OWNER TO` of the object, which becomes a field, so that a restore may leave it out |
//! | tablespace, access method | `SET default_tablespace`, `SET default_table_access_method` before the object |
//! | drop statement | made from the statement that sets the owner; only for kinds that have an owner, and for foreign keys |
//! | dependencies | qualified names in the definitions (pg_dump writes them with an empty search path), and the order |
//! | rows | `COPY … FROM stdin;` up to `\.`: the range of bytes |
//!
//! A comment counts only where no statement is open, so that names and texts that look like one do
//! no harm. Line feeds in names are blanks in comments (pg_dump's `sanitize_line`); the name is
//! then taken from the SQL.
//!
//! Source of the layout: output of pg_dump and pg_dumpall 13 to 18; documentation, "pg_dumpall".

mod entry;
mod links;

use std::io::BufRead;
use std::ops::Range;

use super::model::{Archive, ArchiveVersion, Compression, CreatedAt, Format, Header, TocEntry};
use crate::sql::{Gather, Kind, Token, tokenize};
use entry::Heading;

/// A whole script.
#[derive(Debug, Default)]
pub struct Script {
    /// Roles, memberships, tablespaces; empty where the script is of one database.
    pub globals: Vec<u8>,
    /// In the script's order.
    pub databases: Vec<Database>,
}

/// One database of a script.
#[derive(Debug)]
pub struct Database {
    /// Its table of contents; the format is [`Format::Tar`], the time of creation
    /// [`CreatedAt::UNKNOWN`] unless the script says it.
    pub archive: Archive,
    /// Per entry with data, by dump id: where its rows (with the end mark), or the calls that write
    /// large objects, lie.
    pub data: Vec<(i32, Range<u64>)>,
}

/// Why a script could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The input failed.
    #[error("read line {line}")]
    Read {
        /// From 1.
        line: u64,
        /// What the input said.
        #[source]
        source: std::io::Error,
    },
    /// Not what pg_dump writes.
    #[error("read line {line}: {what}")]
    Invalid {
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// A definition longer than this is none.
const LONGEST_STATEMENT: usize = 256 << 20;
const CLUSTER: &[u8] = b"-- PostgreSQL database cluster dump";
const CLUSTER_END: &[u8] = b"-- PostgreSQL database cluster dump complete";
const DATABASE: &[u8] = b"-- PostgreSQL database dump";
const DATABASE_END: &[u8] = b"-- PostgreSQL database dump complete";

/// Reads a script to its end. Rows are skipped; their places are in the result. `nameless`: the
/// name of a database that the script itself does not name, since it was made without
/// `pg_dump --create`.
pub fn read_script(input: &mut dyn BufRead, nameless: Option<&[u8]>) -> Result<Script, ScriptError> {
    let mut reading = Reading { nameless: nameless.map(<[u8]>::to_vec), ..Reading::default() };
    let mut line = Vec::new();
    let mut gather = Gather::default();
    loop {
        line.clear();
        reading.line += 1;
        let read = input.read_until(b'\n', &mut line).map_err(|source| reading.failed(source))?;
        if read == 0 {
            break;
        }
        reading.at += read as u64;
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        if reading.line == 1 && line.ends_with(b"\r\n") {
            return Err(reading
                .invalid("lines end with CR LF: some program changed the script, and its rows with it"));
        }
        if gather.is_empty() && !reading.begins_statement(line.trim_ascii_end())? {
            continue;
        }
        if gather.push(&line) {
            reading.statement(gather.take(), input)?;
        } else if gather.len() > LONGEST_STATEMENT {
            return Err(reading.invalid("a statement is longer than 256 MiB"));
        }
    }
    if !gather.is_empty() {
        return Err(reading.invalid("the script ends in the middle of a statement"));
    }
    reading.finish()
}

#[derive(Default)]
struct Reading {
    line: u64,
    at: u64,
    /// The script is pg_dumpall's, and whether its end was seen.
    of_cluster: bool,
    cluster_ended: bool,
    /// Name in the last `-- Database "x" dump`.
    next_name: Vec<u8>,
    /// Name of a database that the script does not name.
    nameless: Option<Vec<u8>>,
    /// When pg_dumpall began, where it says so.
    started: Option<CreatedAt>,
    done: Script,
    open: Option<Open>,
}

/// A database that is being read.
struct Open {
    name: Vec<u8>,
    ended: bool,
    started: Option<CreatedAt>,
    server_version: Option<Vec<u8>>,
    dump_version: Option<Vec<u8>>,
    settings: Vec<(&'static str, Vec<u8>)>,
    /// Backslashes escape in plain strings: `standard_conforming_strings = off`.
    escapes: bool,
    tablespace: Option<Vec<u8>>,
    table_am: Option<Vec<u8>>,
    entry: Option<entry::Open>,
    entries: Vec<TocEntry>,
    data: Vec<(i32, Range<u64>)>,
    next_id: i32,
}

impl Reading {
    fn invalid(&self, what: impl Into<String>) -> ScriptError {
        ScriptError::Invalid { line: self.line, what: what.into() }
    }

    fn failed(&self, source: std::io::Error) -> ScriptError {
        ScriptError::Read { line: self.line, source }
    }

    /// A line where no statement is open. False if the line is dealt with.
    fn begins_statement(&mut self, line: &[u8]) -> Result<bool, ScriptError> {
        if line.is_empty() {
            return Ok(false);
        }
        if line.starts_with(b"--") {
            self.comment(line)?;
            return Ok(false);
        }
        if let Some(command) = line.strip_prefix(b"\\") {
            if !["connect ", "restrict ", "unrestrict "].iter().any(|own| command.starts_with(own.as_bytes()))
            {
                let shown: String = String::from_utf8_lossy(line).chars().take(40).collect();
                return Err(self.invalid(format!("{shown:?} is not a command that pg_dump writes")));
            }
            self.close_entry()?;
            return Ok(false);
        }
        Ok(true)
    }

    fn comment(&mut self, line: &[u8]) -> Result<(), ScriptError> {
        match line {
            CLUSTER => self.of_cluster = true,
            CLUSTER_END => {
                self.close_database()?;
                self.cluster_ended = true;
            }
            DATABASE => self.open_database()?,
            DATABASE_END => {
                self.close_entry()?;
                if let Some(open) = &mut self.open {
                    open.ended = true;
                }
            }
            _ => {
                let quoted = |begin: &[u8], end: &[u8]| {
                    line.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)).map(<[u8]>::to_vec)
                };
                if let Some(name) = quoted(b"-- Database \"", b"\" dump") {
                    self.next_name = name;
                } else if let Some(time) = line.strip_prefix(b"-- Started on ") {
                    // Of pg_dump --verbose.
                    let started = CreatedAt::read(time);
                    match &mut self.open {
                        Some(open) if open.entry.is_none() => open.started = started.or(open.started),
                        None => self.started = started,
                        Some(_) => {}
                    }
                } else if let Some(open) = &mut self.open {
                    if let Some(heading) = Heading::parse(line) {
                        self.close_entry()?;
                        if let Some(open) = &mut self.open {
                            open.begin(heading);
                        }
                    } else if let Some(version) = line.strip_prefix(b"-- Dumped from database version ") {
                        open.server_version = Some(version.to_vec());
                    } else if let Some(version) = line.strip_prefix(b"-- Dumped by pg_dump version ") {
                        open.dump_version = Some(version.to_vec());
                    } else if let Some(entry) = open.entry.as_mut().filter(|_| line != b"--") {
                        entry.add(line);
                    }
                }
            }
        }
        Ok(())
    }

    fn open_database(&mut self) -> Result<(), ScriptError> {
        self.close_database()?;
        self.open = Some(Open {
            name: std::mem::take(&mut self.next_name),
            ended: false,
            started: self.started,
            server_version: None,
            dump_version: None,
            settings: Vec::new(),
            escapes: false,
            tablespace: None,
            table_am: None,
            entry: None,
            entries: Vec::new(),
            data: Vec::new(),
            next_id: 1,
        });
        Ok(())
    }

    fn close_entry(&mut self) -> Result<(), ScriptError> {
        match self.open.as_mut().map_or(Ok(()), Open::close_entry) {
            Ok(()) => Ok(()),
            Err(what) => Err(self.invalid(what)),
        }
    }

    fn close_database(&mut self) -> Result<(), ScriptError> {
        self.close_entry()?;
        let Some(open) = self.open.take() else { return Ok(()) };
        if !open.ended {
            return Err(self.invalid("the dump of a database ends too early"));
        }
        match open.into_database(self.nameless.take()) {
            Ok(database) => self.done.databases.push(database),
            Err(what) => return Err(self.invalid(what)),
        }
        Ok(())
    }

    fn statement(&mut self, sql: Vec<u8>, input: &mut dyn BufRead) -> Result<(), ScriptError> {
        let tokens: Vec<Token<'_>> = tokenize(&sql).filter(|token| !token.is_blank()).take(4).collect();
        let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
        let Some(open) = &mut self.open else {
            if word(0, "create") && word(1, "database") {
                return Err(self.invalid(
                    "CREATE DATABASE is among the roles: this is a script of pg_dumpall 10 or older",
                ));
            }
            // What pg_dumpall --clean drops first is no part of what it makes.
            if is_drop(&tokens) {
                return Ok(());
            }
            self.done.globals.extend_from_slice(&sql);
            self.done.globals.push(b'\n');
            return Ok(());
        };
        if word(0, "set") && open.setting(&tokens) {
            return Ok(());
        }
        if open.escapes && !escapes_are_doubled(&sql) {
            return Err(self.invalid("a string has a backslash escape that pg_dump does not write"));
        }
        let Some(entry) = &mut open.entry else {
            if word(0, "set") || word(0, "select") {
                open.session_setting(&sql, &tokens);
                return Ok(());
            }
            // Of pg_dump --clean --create: the database is dropped before it is made.
            if is_drop(&tokens) && (word(0, "update") || word(1, "database")) {
                return Ok(());
            }
            return Err(self.invalid("a statement does not belong to any object"));
        };
        let is_rows = entry.heading.kind == b"TABLE DATA";
        if word(0, "copy") && sql.to_ascii_lowercase().ends_with(b"from stdin;") && is_rows {
            entry.copy = Some([sql.as_slice(), b"\n"].concat());
            let begin = self.at;
            self.pass_rows(input)?;
            if let Some(entry) = self.open.as_mut().and_then(|open| open.entry.as_mut()) {
                entry.data = Some(begin..self.at);
            }
            return Ok(());
        }
        if is_rows && word(0, "insert") {
            return Err(self.invalid("rows are written as INSERT statements; a dump that was not made with pg_dump --inserts can be read"));
        }
        if entry.heading.kind == b"BLOBS" {
            // A call per large object and piece: their place is enough.
            let begin = entry.data.as_ref().map_or(self.at - sql.len() as u64 - 1, |range| range.start);
            entry.data = Some(begin..self.at);
            return Ok(());
        }
        if word(0, "set")
            && word(1, "session")
            && !matches!(entry.heading.kind.as_slice(), b"ACL" | b"DEFAULT ACL")
        {
            return Err(self.invalid("the script sets owners by SET SESSION AUTHORIZATION"));
        }
        entry.add(&sql);
        Ok(())
    }

    /// Reads over rows, to the end mark and with it.
    fn pass_rows(&mut self, input: &mut dyn BufRead) -> Result<(), ScriptError> {
        // The first bytes of the line that is being read.
        let mut head: Vec<u8> = Vec::with_capacity(4);
        loop {
            let buffer = input.fill_buf().map_err(|source| self.failed(source))?;
            if buffer.is_empty() {
                return Err(self.invalid("the script ends in the middle of rows"));
            }
            let end = memchr::memchr(b'\n', buffer);
            let used = end.map_or(buffer.len(), |end| end + 1);
            let wanted = 4 - head.len();
            head.extend(buffer.iter().take(used.min(wanted)));
            input.consume(used);
            self.at += used as u64;
            if end.is_some() {
                self.line += 1;
                if head == b"\\.\n" {
                    return Ok(());
                }
                head.clear();
            }
        }
    }

    fn finish(mut self) -> Result<Script, ScriptError> {
        if self.of_cluster && !self.cluster_ended {
            return Err(self.invalid("the script ends before its last line"));
        }
        self.close_database()?;
        if self.done.databases.is_empty() {
            return Err(self.invalid("the script contains no database"));
        }
        Ok(self.done)
    }
}

impl Open {
    fn begin(&mut self, heading: Heading) {
        self.entry = Some(entry::Open::new(heading, self.tablespace.clone(), self.table_am.clone()));
    }

    /// `SET default_…`, which pg_dump writes before the object that it is for.
    fn setting(&mut self, tokens: &[Token<'_>]) -> bool {
        let value = || {
            let value = tokens.get(3).map(|token| match token.kind {
                Kind::String => {
                    token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default().to_vec()
                }
                _ => token.ident().unwrap_or_default(),
            });
            Some(value.unwrap_or_default())
        };
        match tokens.get(1).and_then(Token::ident).as_deref() {
            Some(b"default_tablespace") => self.tablespace = value(),
            Some(b"default_table_access_method") => self.table_am = value(),
            _ => return false,
        }
        true
    }

    /// The settings that an archive has entries for; a restore makes the others itself.
    fn session_setting(&mut self, sql: &[u8], tokens: &[Token<'_>]) {
        let kind = match tokens.get(1).and_then(Token::ident).as_deref() {
            Some(b"client_encoding") => "ENCODING",
            Some(b"standard_conforming_strings") => "STDSTRINGS",
            Some(b"pg_catalog") if memchr::memmem::find(sql, b"'search_path'").is_some() => "SEARCHPATH",
            _ => return,
        };
        if self.settings.iter().all(|(other, _)| *other != kind) {
            self.escapes |= kind == "STDSTRINGS" && tokens.get(3).is_some_and(|value| value.is_word("off"));
            let sql = match (kind, self.escapes) {
                ("STDSTRINGS", true) => b"SET standard_conforming_strings = 'off';".as_slice(),
                ("STDSTRINGS", false) => b"SET standard_conforming_strings = 'on';".as_slice(),
                _ => sql,
            };
            self.settings.push((kind, [sql, b"\n"].concat()));
        }
    }

    fn close_entry(&mut self) -> Result<(), String> {
        let Some(open) = self.entry.take() else { return Ok(()) };
        let id = self.next_id;
        self.next_id += 1;
        if let Some(range) = &open.data {
            self.data.push((id, range.clone()));
        } else if open.heading.kind == b"TABLE DATA" {
            return Err(format!(
                "there is no COPY for the rows of {}: the script was made with pg_dump --inserts, or it is incomplete",
                String::from_utf8_lossy(&open.heading.tag)
            ));
        }
        self.entries.push(open.into_entry(id));
        Ok(())
    }

    fn into_database(mut self, nameless: Option<Vec<u8>>) -> Result<Database, String> {
        let mut next = self.next_id;
        let mut fresh = || {
            next += 1;
            next - 1
        };
        let mut entries: Vec<TocEntry> =
            self.settings.iter().map(|(kind, sql)| entry::setting(fresh(), kind, sql)).collect();
        let made = self
            .entries
            .iter()
            .find(|entry| entry.kind() == "DATABASE")
            .and_then(|entry| links::name_behind(entry.defn_bytes(), "database"));
        match made {
            Some(name) => self.name = name,
            None if self.name.is_empty() => match nameless {
                Some(name) => {
                    self.name = name;
                    entries.push(entry::database(fresh(), &self.name));
                }
                None => {
                    return Err(
                        "the script does not say which database it is of (pg_dump --create writes it)".into(),
                    );
                }
            },
            // pg_dumpall takes it for granted that these are there.
            None => entries.push(entry::database(fresh(), &self.name)),
        }
        entries.append(&mut self.entries);
        entry::true_names(&mut entries);
        let version = self.dump_version.as_deref().map_or(0, leading_number);
        let mut archive = Archive {
            header: Header {
                version: ArchiveVersion::read_by(version),
                int_size: 4,
                off_size: 8,
                format: Format::Tar,
                compression: if version >= 16 { Compression::Algorithm(0) } else { Compression::Level(0) },
                created: self.started.unwrap_or(CreatedAt::UNKNOWN),
                dbname: Some(self.name),
                server_version: self.server_version,
                dump_version: self.dump_version,
            },
            entries,
        };
        entry::owners(&mut archive);
        links::find(&mut archive.entries);
        Ok(Database { archive, data: self.data })
    }
}

/// `DROP …`, and the statement by which pg_dump makes a template one that can be dropped.
fn is_drop(tokens: &[Token<'_>]) -> bool {
    let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    word(0, "drop") || (word(0, "update") && tokens.get(3).is_some_and(|token| token.is_word("pg_database")))
}

/// Whether a backslash in a plain string is always followed by another. Then the string ends at the
/// same quote whatever `standard_conforming_strings` is, and so does every token behind it.
fn escapes_are_doubled(sql: &[u8]) -> bool {
    tokenize(sql).filter(|token| token.kind == Kind::String && token.text.starts_with(b"'")).all(|token| {
        let mut bytes = token.text.iter();
        while let Some(byte) = bytes.next() {
            if *byte == b'\\' && bytes.next() != Some(&b'\\') {
                return false;
            }
        }
        true
    })
}

/// `15` of `15.18 (Debian …)`.
fn leading_number(text: &[u8]) -> i32 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(..digits)
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
