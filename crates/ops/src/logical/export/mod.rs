//! `export`: one database of a backup in pg_dump's own formats, for stock `pg_restore` and `psql`, or one table as CSV.
//!
//! What is exported is chosen as a restore chooses it (`crate::logical::choose`), before any format sees it: formats write what is there.
//! One TABLE DATA entry per table, always: several entries for one table lose rows silently under `pg_restore -j`
//! (TRAPS 17). A directory or file is written under another name beside the one that was asked for, synced, and renamed at
//! the end: what has its final name is whole.

mod compress;
mod csv;
mod custom;
mod directory;
mod file;
mod large_objects;
mod plain;
mod tar;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use pgark_bytes::archive::filter::{load_parents_first, parents_in_front};
use pgark_bytes::archive::order::name_all_dependencies;
use pgark_bytes::archive::statements::{Options, without_owner};
use pgark_bytes::archive::{Archive, ArchiveVersion, Format as HeaderFormat, TocEntry, convert};
use pgark_repo::{DataReader, Entry, Repository};
use serde::Serialize;

pub use compress::Method;
pub(crate) use directory::directory_toc;

use crate::logical::choose::{self, Choice, Picked};
use crate::logical::contents::Contents;
use crate::record::About;
use crate::select::Wanted;
use crate::{BackupName, Job, OpsError, inspect, paths};

/// pg_dump's formats, and CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A directory of files, written by several threads; `pg_restore -j` reads it in parallel.
    Directory,
    /// One file; `pg_restore -j` reads it in parallel, if it was not written to a pipe.
    Custom,
    /// A tar file, uncompressed.
    Tar,
    /// SQL for psql.
    Plain,
    /// The rows of one table, as `COPY … (FORMAT csv, HEADER)` writes them.
    Csv,
}

/// Where an export goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A directory or file to make; it must not exist (a directory may be empty).
    Path(PathBuf),
    /// Standard output.
    Stream,
}

/// What to export and where to.
pub struct Request {
    /// Which backup.
    pub backup: BackupName,
    /// Its name in the backup; may be left out where the backup holds only one.
    pub database: Option<String>,
    /// In which format.
    pub format: Format,
    /// Where to.
    pub output: Output,
    /// How data is compressed; the format's default if none is given.
    pub compress: Option<Method>,
    /// The major version of the pg_restore that is to read it.
    pub for_major: Option<i32>,
    /// Of plain SQL: the database's creation, settings and privileges too.
    pub with_database: bool,
    /// Of SQL for psql: with `\restrict`, which psql knows since 2025-08.
    pub restrict: bool,
    /// What of the database.
    pub choice: Choice,
    /// Objects belong to the role that restores.
    pub no_owner: bool,
    /// Leave out GRANT and REVOKE.
    pub no_privileges: bool,
    /// Files written at once, of a directory.
    pub jobs: usize,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct ExportReport {
    /// The backup's id.
    pub id: String,
    /// The directory or file; `-` for standard output.
    pub output: PathBuf,
    /// The database.
    pub database: String,
    /// Tables with data.
    pub tables: u64,
    /// Large objects.
    pub large_objects: u64,
    /// Bytes of content.
    pub bytes_raw: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What every format needs.
struct Source<'a> {
    contents: &'a Contents,
    /// The contents' archive, in the version that is written.
    archive: Archive,
    method: Method,
    /// The major version of the server that a plain script is for.
    major: i32,
    /// What a plain script leaves out, and whether it makes the database itself, too.
    options: Options,
    restrict: bool,
    reader: &'a DataReader<'a>,
    job: &'a Job,
}

/// Writes the export. `stream` takes what goes to standard output.
pub fn run(
    repository: &Repository,
    request: &Request,
    stream: &mut dyn Write,
    job: &Job,
) -> Result<ExportReport, OpsError> {
    let started = Instant::now();
    let repository = &job.on(repository);
    let method = request.method()?;
    let backup = inspect::open(repository, &request.backup, Wanted::Logical)?;
    let reader = repository.reader()?;
    let mut contents = Contents::of(&backup, &reader, request.database.as_deref())?;
    let about = About::of(&backup.head)?;
    // Rows that are missing are told with their tables; what else the backup lacks, only the whole lacks.
    let undefined = contents.undefined(&about);
    let picked = request.take(&mut contents, job)?;
    contents.refuse_incomplete(&backup, if picked.is_some_of_it() { &[] } else { &undefined })?;
    if request.with_database {
        plain::refuse_unreachable(&contents.archive)?;
    }
    // Roles and tablespaces are of the whole.
    let globals = backup.entries.iter().find(|entry| entry.path == paths::GLOBALS);
    let globals = globals.filter(|_| !picked.is_some_of_it());
    let source = Source::new(&contents, &reader, method, request, &about, job)?;
    job.progress.phase("export");
    job.progress.total_bytes(contents.bytes_raw());
    let large_objects = match (&request.output, request.format) {
        (Output::Path(path), Format::Directory) => directory::write(&source, path, request.jobs, globals)?,
        (Output::Stream, Format::Directory) => {
            return Err(OpsError::Usage("a directory cannot be written to standard output".into()));
        }
        (Output::Path(path), format) => file::write(path, |to| source.write(format, to))?,
        (Output::Stream, format) => source.write(format, &mut file::Target::stream(stream))?,
    };
    Ok(ExportReport {
        id: backup.head.id.to_string(),
        output: match &request.output {
            Output::Path(path) => path.clone(),
            Output::Stream => "-".into(),
        },
        database: contents.database.clone(),
        tables: contents.tables.len() as u64,
        large_objects,
        bytes_raw: contents.bytes_raw(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

impl Request {
    fn method(&self) -> Result<Method, OpsError> {
        match (self.format, self.compress) {
            (Format::Directory | Format::Custom, None) => Ok(Method::Gzip(1)),
            (Format::Tar | Format::Plain | Format::Csv, None) => Ok(Method::None),
            (Format::Tar, Some(method)) if method != Method::None => Err(OpsError::Usage(
                "a tar archive is not compressed; write --compress none, or another format".into(),
            )),
            (_, Some(method)) => Ok(method),
        }
    }

    /// Whether what reads the export decides about the database itself, as pg_restore does.
    fn is_archive(&self) -> bool {
        matches!(self.format, Format::Directory | Format::Custom | Format::Tar)
    }

    fn options(&self) -> Options {
        Options {
            create_database: self.with_database || self.is_archive(),
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
            no_tablespaces: self.choice.no_tablespaces,
            ..Options::default()
        }
    }

    /// Leaves in the contents what was asked for.
    fn take(&self, contents: &mut Contents, job: &Job) -> Result<Picked, OpsError> {
        let rows_only = !self.choice.makes_definitions();
        if rows_only {
            load_parents_first(&mut contents.archive);
        }
        let picked = choose::select(contents, &self.choice, &self.options())?;
        for text in picked.children().told() {
            job.progress.info(&text);
        }
        // Rows, or what comes behind them, go where the tables are.
        for key in picked.cut_keys.iter().filter(|_| !rows_only) {
            job.progress.warn(&format!(
                "foreign key {} needs {}, which is not exported: it can be restored only where that table is",
                key.tag,
                key.parent_shown(),
            ));
        }
        // An archive always says of which database it is, whatever pg_restore then does about it.
        let is_head = |entry: &TocEntry| {
            entry.is_setting()
                || (self.is_archive() && matches!(entry.kind(), "DATABASE" | "DATABASE PROPERTIES"))
        };
        // As with pg_dump, a table says that it is in a publication only where that comes along.
        let publications: HashSet<i32> = contents
            .archive
            .entries
            .iter()
            .filter(|entry| entry.kind() == "PUBLICATION" && picked.selection.contains(entry.dump_id))
            .map(|entry| entry.dump_id)
            .collect();
        let has_its_publication = |entry: &TocEntry| {
            !matches!(entry.kind(), "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA")
                || entry.dependencies.iter().any(|id| publications.contains(id))
        };
        contents.keep(|entry| {
            is_head(entry) || (picked.selection.contains(entry.dump_id) && has_its_publication(entry))
        });
        if rows_only {
            parents_in_front(&mut contents.archive);
        }
        for entry in &mut contents.archive.entries {
            if self.no_owner {
                without_owner(entry);
            }
            if self.choice.no_tablespaces && entry.tablespace.is_some() {
                entry.tablespace = Some(Vec::new());
            }
        }
        Ok(picked)
    }
}

impl<'a> Source<'a> {
    fn new(
        contents: &'a Contents,
        reader: &'a DataReader<'a>,
        method: Method,
        request: &Request,
        about: &About,
        job: &'a Job,
    ) -> Result<Source<'a>, OpsError> {
        let version = compress::version(contents.archive.header.version, request.for_major, method)?;
        let mut archive = convert::at_most(contents.archive.clone(), version);
        archive.header.version = archive.header.version.max(version);
        name_all_dependencies(&mut archive);
        Ok(Source {
            contents,
            archive,
            method,
            major: request.for_major.unwrap_or(about.server_version / 10_000),
            options: request.options(),
            restrict: request.restrict,
            reader,
            job,
        })
    }

    fn write(&self, format: Format, to: &mut file::Target<'_>) -> Result<u64, OpsError> {
        match format {
            Format::Custom => custom::write(self, to),
            Format::Tar => tar::write(self, to),
            Format::Plain => plain::write(self, to),
            Format::Csv => csv::write(self, to),
            Format::Directory => Err(OpsError::Usage("a directory is no file".into())),
        }
    }

    /// The archive with its header as this format has it.
    fn headed(&self, format: HeaderFormat) -> Archive {
        let mut archive = self.archive.clone();
        archive.header.format = format;
        archive.header.compression = self.method.in_header(archive.header.version);
        archive
    }

    /// A table's rows as COPY text; nothing for a table that is not in the backup.
    fn rows(
        &self,
        toc: &TocEntry,
        take: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        let Some((entry, _)) = self.contents.tables.get(&toc.dump_id) else { return Ok(()) };
        let name = toc.describe();
        self.job.progress.object_started(&name);
        self.stream(entry, take)?;
        self.job.progress.object_done(&name);
        Ok(())
    }

    fn stream(
        &self,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        let mut content = self.reader.read(entry);
        while let Some(chunk) = content.next_chunk()? {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            take(&chunk)?;
            self.job.progress.advance(chunk.len() as u64);
        }
        Ok(())
    }

    /// The large objects of a BLOBS entry: all, or from 1.16 those of the BLOB METADATA entry that it depends on.
    fn members(&self, toc: &TocEntry, all: &[u32]) -> Vec<u32> {
        if self.archive.header.version < ArchiveVersion::V1_16 {
            return all.to_vec();
        }
        let metadata = toc.dependencies.iter().filter_map(|id| self.archive.entry(*id));
        metadata.filter(|other| other.kind() == "BLOB METADATA").flat_map(convert::group_members).collect()
    }

    /// The name of a BLOBS entry's list.
    fn list_name(&self, toc: &TocEntry) -> String {
        directory::blobs_toc(&self.archive, toc)
    }
}

/// The line that ends a table's rows in a data file, as script output (`pg_restore -f -`) needs it.
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";
