//! `export`: one database of a backup in pg_dump's own formats, for stock `pg_restore` and `psql`.
//!
//! One TABLE DATA entry per table, always: several entries for one table lose rows silently under `pg_restore -j`
//! (TRAPS 17). A directory or file is written under another name beside the one that was asked for, synced, and renamed at
//! the end: what has its final name is whole.

mod compress;
mod custom;
mod directory;
mod file;
mod large_objects;
mod plain;
mod tar;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use pgark_bytes::archive::order::name_all_dependencies;
use pgark_bytes::archive::{Archive, ArchiveVersion, Format as HeaderFormat, TocEntry, convert};
use pgark_repo::{DataReader, Entry, Repository};
use serde::Serialize;

pub use compress::Method;
pub(crate) use directory::directory_toc;

use crate::contents::Contents;
use crate::record::About;
use crate::{BackupName, Job, OpsError, inspect, paths};

/// pg_dump's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A directory of files, written by several threads; `pg_restore -j` reads it in parallel.
    Directory,
    /// One file; `pg_restore -j` reads it in parallel, if it was not written to a pipe.
    Custom,
    /// A tar file, uncompressed.
    Tar,
    /// SQL for psql, with the database's own creation, settings and privileges.
    Plain,
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
    /// A plain script makes the database itself, too.
    with_database: bool,
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
    let method = request.method()?;
    let backup = inspect::open(repository, &request.backup)?;
    let reader = repository.reader()?;
    let contents = Contents::of(&backup, &reader, request.database.as_deref())?;
    let about = About::of(&backup.head)?;
    contents.refuse_incomplete(&backup, &about)?;
    let globals = backup.entries.iter().find(|entry| entry.path == paths::GLOBALS);
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
            (Format::Tar | Format::Plain, None) => Ok(Method::None),
            (Format::Tar, Some(method)) if method != Method::None => Err(OpsError::Usage(
                "a tar archive is not compressed; write --compress none, or another format".into(),
            )),
            (_, Some(method)) => Ok(method),
        }
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
            with_database: request.with_database,
            reader,
            job,
        })
    }

    fn write(&self, format: Format, to: &mut file::Target<'_>) -> Result<u64, OpsError> {
        match format {
            Format::Custom => custom::write(self, to),
            Format::Tar => tar::write(self, to),
            Format::Plain => plain::write(self, to),
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
