//! `import`: dumps that other programs made, into the repository as a backup that restores like any
//! other.
//!
//! Taken are pg_dump's archives (directory, custom, tar, of versions 1.12 to 1.16), a Greenmask
//! dump directory (which is pg_dump's directory format with files of its own next to it), scripts
//! of pg_dumpall and pg_dump, and what Plakar's PostgreSQL integration lays out: `manifest.json`,
//! `globals.sql` or `00000-globals.sql`, `NAME.dump` or `00001-NAME.dump`, or `all.sql` alone. Rows
//! are counted and their end marks checked; a dump that ends too early, or whose table of contents
//! promises rows that are not there, gives no backup.

mod blocks;
mod cluster;
mod item;
mod members;
mod rows;
mod script;
mod source;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Instant;

use pgark_bytes::archive::{Archive, Section, TocEntry, convert};
use pgark_repo::{BackupWriter, Class, Cut, NewBackup, Repository, StreamWriter, WriteOptions};
use serde_json::{Value, json};

use crate::advice::{Setting, advice};
use crate::facts::{About, BackupKind, DatabaseRead, Filters, Note, write_whole};
use crate::logical::psql::Guard;
use crate::logical::toc::StoredToc;
use crate::record::seconds;
use crate::{BackupRecord, Job, OpsError, paths};
use item::Item;
use rows::{ObjectSink, RowSink};
use source::{Dump, Found};

/// What to import and how.
pub struct Request {
    /// The dump: a file or a directory.
    pub path: PathBuf,
    /// The name of the database, of a script that does not say it.
    pub database: Option<String>,
    /// The cluster's name; by default the one that the repository has for the system identifier in
    /// a manifest next to the dump, else this identifier, else `imported`.
    pub cluster: Option<String>,
    /// Threads that compress and seal.
    pub jobs: usize,
    /// zstd level.
    pub compression_level: i32,
}

/// Imports one dump, or several that lie in one directory.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupRecord, OpsError> {
    let started = Instant::now();
    let repository = &job.on(repository);
    job.progress.phase("reading the dump");
    let found = source::find(&request.path, request.database.as_deref())?;
    let identifier = found.system_identifier().unwrap_or_default();
    let options = WriteOptions {
        cluster: match &request.cluster {
            Some(name) => name.clone(),
            None => cluster::name(repository, &identifier)?,
        },
        jobs: request.jobs,
        compression_level: request.compression_level,
        full: false,
        purpose: "import",
        alone: false,
        domain: None,
    };
    let (made, ()) = repository.write_backup(&options, |writer| {
        let mut taken = Taken::default();
        for dump in &found.dumps {
            job.progress.phase(&format!("importing {}", dump.path().display()));
            taken.dump(writer, dump, request.database.as_ref(), job)?;
        }
        if let Some(globals) = &found.globals {
            let sql = Guard::new(true)?.around(globals)?;
            write_whole(writer, paths::GLOBALS.into(), Class::Data, &sql, &Note::Globals)?;
        }
        let manifest = manifest(&found, &taken, &options.cluster);
        write_whole(writer, paths::MANIFEST.into(), Class::Metadata, &manifest, &Note::Manifest)?;
        Ok::<_, OpsError>((taken.into_backup(&found, &identifier, started, writer.bytes_raw()), ()))
    })?;
    BackupRecord::of(&made)
}

/// What has been imported.
#[derive(Default)]
struct Taken {
    reads: BTreeMap<String, DatabaseRead>,
    server_version: i32,
    server_version_text: String,
    rows: BTreeMap<String, u64>,
}

impl Taken {
    /// Takes one dump. `asked`: the database that it is said to be of.
    fn dump(
        &mut self,
        writer: &BackupWriter<'_>,
        dump: &Dump,
        asked: Option<&String>,
        job: &Job,
    ) -> Result<(), OpsError> {
        let begun = Instant::now();
        let (archive, mut data) = dump.open()?;
        refuse_unfit(&archive, dump)?;
        let database =
            archive.header.dbname.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        let database = database.filter(|name| !name.is_empty()).ok_or_else(|| {
            OpsError::refused(
                format!("{} does not name its database", dump.path().display()),
                "it is damaged",
            )
        })?;
        if let Some(other) = asked.filter(|asked| **asked != database) {
            return Err(OpsError::refused(
                format!("{} says that it is of database {database:?}, not {other:?}", dump.path().display()),
                advice![
                    "leave out ",
                    Setting::Database,
                    ", which is for scripts that do not say it; a restore gives the database another name with ",
                    Setting::As.to("NAME"),
                ],
            ));
        }
        if self.reads.contains_key(&database) {
            return Err(OpsError::refused(
                format!("two dumps contain database {database}; the second is {}", dump.path().display()),
                "import them one by one",
            ));
        }
        let mut objects = ObjectSink::new(writer);
        let mut rows_of_all = 0;
        // The dump ids of tables whose rows came.
        let mut here = HashSet::new();
        data.read(&archive, &mut |item| {
            job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            match item {
                Item::Rows { toc, content } => {
                    let mut sink = RowSink::new(writer, job);
                    let name = toc.describe();
                    job.progress.object_started(&name);
                    let (parts, rows) = sink.take(content, &name)?;
                    job.progress.object_done(&name);
                    rows_of_all += rows;
                    let schema = toc.namespace.clone().unwrap_or_default();
                    here.insert(toc.dump_id);
                    let note = Note::Table {
                        database: database.clone(),
                        schema: String::from_utf8_lossy(&schema).into_owned(),
                        name: toc.tag_str().into_owned(),
                        oid: toc.oid,
                        rows,
                    };
                    let path = paths::table(&database, &schema, toc.tag_bytes());
                    let mut entry = writer.entry(path, Class::Data);
                    parts.into_iter().for_each(|part| entry.add(part));
                    entry.finish(note.to_bytes())?;
                    Ok(())
                }
                Item::LargeObject { oid, content } => objects.take(oid, content),
            }
        })?;
        refuse_missing(&archive, dump, &here, &objects)?;
        if let Some((part, objects)) = objects.finish()? {
            let note = Note::LargeObjects { database: database.clone(), objects };
            let mut entry = writer.entry(paths::large_objects(&database), Class::Data);
            entry.add(part);
            entry.finish(note.to_bytes())?;
        }
        let toc = StoredToc::of(&archive);
        let mut entry = writer.entry(paths::toc(&database), Class::Data);
        let (open, mut done) = (RefCell::new(None::<StreamWriter<'_>>), Vec::new());
        toc.write(
            &mut |piece, name| {
                let mut open = open.borrow_mut();
                let stream = open.get_or_insert_with(|| writer.stream(Class::Data, Cut::Records));
                stream.write(piece)?;
                Ok(stream.end_record(name)?)
            },
            &mut || {
                done.extend(open.take().map(StreamWriter::finish).transpose()?);
                Ok(())
            },
        )?;
        done.into_iter().for_each(|part| entry.add(part));
        entry.finish(Note::Toc { database: database.clone(), bytes: toc.bytes() }.to_bytes())?;
        let created = archive.header.created;
        let read = DatabaseRead {
            // The archive says the local time only, of no known zone.
            snapshot_time: format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                created.year + 1900,
                created.month + 1,
                created.day,
                created.hour,
                created.minute,
                created.second
            ),
            lsn: String::new(),
            seconds: seconds(begun.elapsed()),
            filters: filters(&archive),
        };
        self.reads.insert(database.clone(), read);
        self.rows.insert(database, rows_of_all);
        let text = String::from_utf8_lossy(archive.header.server_version.as_deref().unwrap_or_default())
            .into_owned();
        self.server_version = self.server_version.max(version_number(&text));
        self.server_version_text = text;
        Ok(())
    }

    fn into_backup(self, found: &Found, identifier: &str, started: Instant, bytes_raw: u64) -> NewBackup {
        let mut warnings = vec![format!("imported from {}", found.path.display())];
        if found.globals.is_none() {
            warnings.push("the dump contains no roles and tablespaces".into());
        }
        if found.dumps.iter().any(|dump| matches!(dump, source::Dump::Script(_))) {
            warnings.push(
                "a script does not say how to drop objects without owner: restore into a new database, rather than one \
                 whose objects are dropped first"
                    .into(),
            );
        }
        let about = About {
            databases: self.reads.keys().cloned().collect(),
            bytes_raw,
            seconds: seconds(started.elapsed()),
            warnings,
            missing: Vec::new(),
            copied: None,
            masked: None,
            physical: None,
            reads: self.reads,
            selection: None,
            server: None,
            server_version: self.server_version,
            system_identifier: identifier.to_string(),
        };
        NewBackup { kind: BackupKind::Imported.into(), complete: true, about: about.to_bytes(), time: None }
    }
}

/// Everything that the table of contents promises must have come.
fn refuse_missing(
    archive: &Archive,
    dump: &Dump,
    here: &HashSet<i32>,
    objects: &ObjectSink<'_>,
) -> Result<(), OpsError> {
    let missing = archive
        .entries
        .iter()
        .find(|toc| toc.had_dumper && toc.kind() == "TABLE DATA" && !here.contains(&toc.dump_id));
    if let Some(toc) = missing {
        return Err(OpsError::refused(
            format!("{} does not contain the rows of {}", dump.path().display(), toc.describe()),
            "the dump is incomplete; nothing was imported",
        ));
    }
    let promised = archive.entries.iter().any(|toc| toc.kind() == "BLOBS" && toc.had_dumper);
    let single = archive.entries.iter().filter(|toc| toc.kind() == "BLOB").count();
    let grouped: usize = archive
        .entries
        .iter()
        .filter(|toc| toc.kind() == "BLOB METADATA")
        .map(|toc| convert::group_members(toc).len())
        .sum();
    let expected = (single + grouped) as u64;
    if promised && objects.count() < expected {
        return Err(OpsError::refused(
            format!("{} contains {} of {expected} large objects", dump.path().display(), objects.count()),
            "the dump is incomplete; nothing was imported",
        ));
    }
    Ok(())
}

/// `150018` of `15.18 (Debian …)`.
fn version_number(text: &str) -> i32 {
    let mut numbers =
        text.split(|sign: char| !sign.is_ascii_digit()).map_while(|number| number.parse::<i32>().ok());
    numbers.next().unwrap_or(0) * 10_000 + numbers.next().unwrap_or(0)
}

/// What of the database the dump's own options left out, as far as it shows: then it is a part, as
/// a backup with filters is.
fn filters(archive: &Archive) -> Filters {
    let has = |kind: &str| archive.entries.iter().any(|entry| entry.kind() == kind);
    Filters { schema_only: has("TABLE") && !has("TABLE DATA"), ..Filters::default() }
}

/// Rows as statements instead of COPY cannot be read as rows; and what hangs on tables is nothing
/// without them.
fn refuse_unfit(archive: &Archive, dump: &Dump) -> Result<(), OpsError> {
    let hangs_on_tables = |entry: &TocEntry| {
        matches!(
            entry.kind(),
            "TABLE DATA" | "SEQUENCE SET" | "INDEX" | "CONSTRAINT" | "FK CONSTRAINT" | "TRIGGER"
        )
    };
    // Large objects count as data, although their entries are among the definitions.
    let defines = |entry: &TocEntry| {
        entry.section == Section::PreData
            && !entry.is_setting()
            && !entry.is_about_database()
            && !matches!(entry.kind(), "BLOB" | "BLOB METADATA")
    };
    if archive.entries.iter().any(hangs_on_tables) && !archive.entries.iter().any(defines) {
        return Err(OpsError::refused(
            format!(
                "{} contains no definitions: it was made with pg_dump --data-only or pg_dump --section",
                dump.path().display()
            ),
            "it cannot be restored on its own, so it is not a backup; import a complete dump",
        ));
    }
    let inserts = archive.entries.iter().find(|toc| {
        toc.kind() == "TABLE DATA" && toc.had_dumper && toc.copy_stmt.as_deref().is_none_or(<[u8]>::is_empty)
    });
    match inserts {
        None => Ok(()),
        Some(toc) => Err(OpsError::refused(
            format!("{} contains {} as INSERT statements", dump.path().display(), toc.describe()),
            "restore it with pg_restore, and back up the database; a dump that was not made with pg_dump --inserts can be \
             imported",
        )),
    }
}

/// The manifest that lay next to the dump, with what is known of the content; or one of our own.
fn manifest(found: &Found, taken: &Taken, cluster: &str) -> Vec<u8> {
    let mut manifest = match &found.manifest {
        Some(Value::Object(manifest)) => manifest.clone(),
        _ => serde_json::Map::new(),
    };
    let databases: Vec<Value> =
        taken.rows.iter().map(|(name, rows)| json!({ "name": name, "rows": rows })).collect();
    let mut set = |key: &str, value: Value| {
        manifest.entry(key.to_string()).or_insert(value);
    };
    set("version", json!(2));
    set("connector", json!("postgresql"));
    set("server_version", json!(taken.server_version_text));
    set("server_version_num", json!(taken.server_version));
    set("databases", Value::Array(databases.clone()));
    set("cluster", json!(cluster));
    set("program", json!(format!("pgark {}", env!("CARGO_PKG_VERSION"))));
    set("imported", json!({ "from": found.path.display().to_string(), "databases": databases }));
    serde_json::to_vec(&manifest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_numbers() {
        assert_eq!(super::version_number("15.18 (Debian 15.18-0+deb12u1)"), 150_018);
        assert_eq!(super::version_number("17devel"), 170_000);
        assert_eq!(super::version_number(""), 0);
    }
}
