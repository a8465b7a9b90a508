//! `export`: one database of a backup in pg_dump's own formats, for stock `pg_restore` and `psql`,
//! or one table as CSV.
//!
//! What is exported is chosen as a restore chooses it (`crate::logical::choose`), before any format
//! sees it: formats write what is there. One TABLE DATA entry per table, always: several entries
//! for one table lose rows silently under `pg_restore -j` (trap 17). A directory or file is written
//! under another name next to the one that was asked for, synced, and renamed at the end: what has
//! its final name is whole.

mod compress;
mod csv;
mod custom;
mod directory;
mod file;
mod large_objects;
mod plain;
mod request;
mod source;
mod tar;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

pub use compress::Method;
pub use request::{Format, Output, Request};

use crate::facts::About;
use crate::logical::contents::Contents;
use crate::select::Wanted;
use crate::{Job, OpsError, inspect, paths};
use source::Source;

/// What was written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExportReport {
    /// Id of the backup.
    pub id: String,
    /// The directory or file that was written.
    pub output: PathBuf,
    /// Name of the database.
    pub database: String,
    /// Number of tables whose rows were written.
    pub tables: u64,
    /// Number of large objects.
    pub large_objects: u64,
    /// Size of the content in bytes, before compression.
    pub bytes_raw: u64,
    /// Duration in seconds.
    pub seconds: f64,
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
    let reader = repository.reader(&backup.head)?;
    let mut contents = Contents::of(&backup, &reader, request.database.as_deref())?;
    let about = About::of(&backup.head)?;
    // Rows that are missing are told with their tables; what else the backup does not have, only
    // the whole does not have.
    let undefined = contents.undefined(&about);
    let picked = request.take(&mut contents, job)?;
    contents.refuse_incomplete(&backup, if picked.is_some_of_it() { &[] } else { &undefined })?;
    if request.with_database {
        plain::refuse_unreachable(&contents.archive)?;
    }
    // Roles and tablespaces are of the whole.
    let globals = match picked.is_some_of_it() {
        true => None,
        false => backup.entry(paths::GLOBALS)?,
    };
    let source = Source::new(&contents, &reader, method, request, &about, job)?;
    job.progress.phase("exporting");
    job.progress.total_bytes(contents.bytes_raw());
    let large_objects = match (&request.output, request.format) {
        (Output::Path(path), Format::Directory) => {
            directory::write(&source, path, request.jobs, globals.as_ref())?
        }
        (Output::Stream, Format::Directory) => {
            return Err(OpsError::Usage("a directory cannot be written to standard output".into()));
        }
        (Output::Path(path), format) => file::write(path, |to| write(&source, format, to))?,
        (Output::Stream, format) => write(&source, format, &mut file::Target::stream(stream))?,
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

fn write(source: &Source<'_>, format: Format, to: &mut file::Target<'_>) -> Result<u64, OpsError> {
    match format {
        Format::Custom => custom::write(source, to),
        Format::Tar => tar::write(source, to),
        Format::Plain => plain::write(source, to),
        Format::Csv => csv::write(source, to),
        Format::Directory => Err(OpsError::Usage("a directory is not a file".into())),
    }
}
