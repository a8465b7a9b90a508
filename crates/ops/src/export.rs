//! `export`: a logical backup as pg_dump's directory format, for stock `pg_restore`.
//!
//! One TABLE DATA file per table, always: several entries for one table lose rows silently under `pg_restore -j`
//! (TRAPS 17). Everything is written into `DIR.partial`, synced, and renamed at the end: a directory under its final
//! name is whole.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use flate2::write::GzEncoder;
use pgark_bytes::archive::{self, Archive, DirectoryCompression, TocEntry};
use pgark_repo::{DataReader, Entry, Repository};
use serde::Serialize;

use crate::backup::large_objects::take_frames;
use crate::contents::{Contents, read_whole};
use crate::{Job, OpsError, inspect, paths};

/// What to export and where to.
pub struct Request {
    /// Id, prefix, `latest` or `latest:DB`.
    pub backup: String,
    /// The directory to make; it must not exist, or be empty.
    pub output: PathBuf,
    /// gzip level; 0 writes plain files.
    pub compress: u32,
    /// Files written at once.
    pub jobs: usize,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct ExportReport {
    /// The backup's id.
    pub id: String,
    /// The directory.
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

/// `toc.dat` of a directory archive, with the names that pg_dump gives the data files (PostgreSQL 15 and 17,
/// pg_backup_directory.c, `_ArchiveEntry`). From archive version 1.16 each BLOBS entry has its own list.
pub(crate) fn directory_toc(archive: &Archive, compress: u32) -> Vec<u8> {
    let compression = match compress {
        0 => DirectoryCompression::None,
        level => DirectoryCompression::Gzip(i32::try_from(level).unwrap_or(9)),
    };
    let name = |toc: &TocEntry| match toc.kind() {
        _ if !toc.had_dumper => None,
        "BLOBS" => Some(blobs_toc(archive, toc)),
        _ => Some(format!("{}.dat", toc.dump_id)),
    };
    archive::write_directory_toc(archive, &name, compression)
}

fn blobs_toc(archive: &Archive, toc: &TocEntry) -> String {
    if has_blob_metadata(archive) { format!("blobs_{}.toc", toc.dump_id) } else { "blobs.toc".to_string() }
}

fn has_blob_metadata(archive: &Archive) -> bool {
    (archive.header.version.major, archive.header.version.minor) >= (1, 16)
}

/// Writes the directory.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<ExportReport, OpsError> {
    let started = Instant::now();
    let backup = inspect::open(repository, &request.backup)?;
    let reader = repository.reader()?;
    let contents = Contents::of(&backup, &reader, None)?;
    contents.refuse_incomplete(&backup)?;
    let partial = make_partial(&request.output)?;
    job.progress.phase("export");
    job.progress.total_bytes(contents.bytes_raw());
    write_tables(&contents, &reader, &partial, request, job)?;
    let large_objects = write_large_objects(&contents, &reader, &partial, job)?;
    write_file(&partial.join("toc.dat"), &directory_toc(&contents.archive, request.compress))?;
    if let Some(globals) = backup.entries.iter().find(|entry| entry.path == paths::GLOBALS) {
        write_file(&partial.join("globals.sql"), &read_whole(&reader, globals)?)?;
    }
    job.cancel.check().map_err(|_| OpsError::Cancelled)?;
    sync_folder(&partial)?;
    if request.output.exists() {
        fs::remove_dir(&request.output).map_err(|source| file_error("replace", &request.output, source))?;
    }
    fs::rename(&partial, &request.output).map_err(|source| file_error("rename", &partial, source))?;
    if let Some(parent) = request.output.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_folder(parent)?;
    }
    Ok(ExportReport {
        id: backup.head.id.to_string(),
        output: request.output.clone(),
        database: contents.database.clone(),
        tables: contents.tables.len() as u64,
        large_objects,
        bytes_raw: contents.bytes_raw(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn make_partial(output: &Path) -> Result<PathBuf, OpsError> {
    if let Ok(mut entries) = fs::read_dir(output) {
        if entries.next().is_some() {
            return Err(OpsError::refused(
                format!("{} exists and is not empty", output.display()),
                "give a directory that does not exist; nothing was written",
            ));
        }
    } else if output.exists() {
        return Err(OpsError::refused(
            format!("{} is not a directory", output.display()),
            "give another --output",
        ));
    }
    let Some(name) = output.file_name() else {
        return Err(OpsError::Usage(format!("{} cannot be made", output.display())));
    };
    let mut partial_name = name.to_os_string();
    partial_name.push(".partial");
    let partial = output.with_file_name(partial_name);
    if partial.exists() {
        return Err(OpsError::refused(
            format!("{} is there: an export was broken off, or one is running", partial.display()),
            "remove it if no export is running",
        ));
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&partial)
        .map_err(|source| file_error("make", &partial, source))?;
    Ok(partial)
}

/// Every table's file, a few at once.
fn write_tables(
    contents: &Contents,
    reader: &DataReader<'_>,
    folder: &Path,
    request: &Request,
    job: &Job,
) -> Result<(), OpsError> {
    let mut tables: Vec<(&i32, &Entry)> =
        contents.tables.iter().map(|(id, (entry, _))| (id, entry)).collect();
    tables.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.bytes_raw));
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<OpsError>> = Mutex::new(None);
    let lock = || failed.lock().unwrap_or_else(|poison| poison.into_inner());
    thread::scope(|scope| {
        for _ in 0..request.jobs.max(1) {
            scope.spawn(|| {
                while let Some((dump_id, entry)) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if lock().is_some() {
                        return;
                    }
                    if let Err(error) = write_table(reader, entry, folder, **dump_id, request.compress, job) {
                        lock().get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(|poison| poison.into_inner()).map_or(Ok(()), Err)
}

fn write_table(
    reader: &DataReader<'_>,
    entry: &Entry,
    folder: &Path,
    dump_id: i32,
    compress: u32,
    job: &Job,
) -> Result<(), OpsError> {
    let name = if compress == 0 { format!("{dump_id}.dat") } else { format!("{dump_id}.dat.gz") };
    let path = folder.join(name);
    let file = create(&path)?;
    let at = |source| file_error("write", &path, source);
    job.progress.object_started(&entry.path);
    let buffered = BufWriter::with_capacity(1 << 18, file);
    let file = if compress == 0 {
        write_rows(reader, entry, buffered, job, &path)?
    } else {
        let level = flate2::Compression::new(compress.min(9));
        let gzip = write_rows(reader, entry, GzEncoder::new(buffered, level), job, &path)?;
        gzip.finish().map_err(at)?
    };
    let file = file.into_inner().map_err(|error| at(error.into_error()))?;
    file.sync_all().map_err(at)?;
    job.progress.object_done(&entry.path);
    Ok(())
}

/// The table's COPY text and the end mark that script output (`pg_restore -f -`) needs.
fn write_rows<W: Write>(
    reader: &DataReader<'_>,
    entry: &Entry,
    mut output: W,
    job: &Job,
    path: &Path,
) -> Result<W, OpsError> {
    let at = |source| file_error("write", path, source);
    for part in &entry.parts {
        let mut stream = reader.read(part)?;
        while let Some(chunk) = stream.next_chunk()? {
            job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            output.write_all(&chunk).map_err(at)?;
            job.progress.advance(chunk.len() as u64);
        }
    }
    output.write_all(b"\\.\n\n\n").map_err(at)?;
    Ok(output)
}

/// Each object's file, and the lists that name them.
fn write_large_objects(
    contents: &Contents,
    reader: &DataReader<'_>,
    folder: &Path,
    job: &Job,
) -> Result<u64, OpsError> {
    let Some(entry) = &contents.large_objects else { return write_lists(contents, &[], folder).map(|()| 0) };
    let mut oids = Vec::new();
    for part in &entry.parts {
        let mut stream = reader.read(part)?;
        let mut buffer = Vec::new();
        while let Some(chunk) = stream.next_chunk()? {
            job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            job.progress.advance(chunk.len() as u64);
            buffer.extend_from_slice(&chunk);
            take_frames(&mut buffer, &mut |frame| {
                let path = folder.join(format!("blob_{}.dat", frame.oid));
                let at = |source| file_error("write", &path, source);
                let file = if frame.offset == 0 {
                    oids.push(frame.oid);
                    create(&path)?
                } else {
                    File::options().write(true).open(&path).map_err(at)?
                };
                file.write_all_at(frame.bytes, frame.offset).map_err(at)?;
                file.sync_all().map_err(at)
            })?;
        }
        if !buffer.is_empty() {
            return Err(OpsError::refused(
                format!("{} ends within a frame", entry.path),
                "run `pgark check --read-data`",
            ));
        }
    }
    oids.sort_unstable();
    write_lists(contents, &oids, folder)?;
    Ok(oids.len() as u64)
}

/// `oid blob_<oid>.dat` per line. From 1.16 the objects of one BLOBS entry are those of the BLOB METADATA entry before it.
fn write_lists(contents: &Contents, oids: &[u32], folder: &Path) -> Result<(), OpsError> {
    let line = |oid: &u32| format!("{oid} blob_{oid}.dat\n");
    for toc in contents.archive.entries.iter().filter(|toc| toc.kind() == "BLOBS") {
        if !has_blob_metadata(&contents.archive) {
            write_file(&folder.join("blobs.toc"), oids.iter().map(line).collect::<String>().as_bytes())?;
            continue;
        }
        let metadata = contents
            .archive
            .entries
            .iter()
            .find(|other| other.kind() == "BLOB METADATA" && toc.dependencies.contains(&other.dump_id));
        let listed: Vec<u32> = metadata
            .and_then(|other| other.defn.as_deref())
            .map(|defn| {
                defn.split(|byte| *byte == b'\n')
                    .filter_map(|oid| std::str::from_utf8(oid).ok()?.trim().parse().ok())
                    .collect()
            })
            .unwrap_or_default();
        write_file(
            &folder.join(blobs_toc(&contents.archive, toc)),
            listed.iter().map(line).collect::<String>().as_bytes(),
        )?;
    }
    Ok(())
}

fn create(path: &Path) -> Result<File, OpsError> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| file_error("create", path, source))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), OpsError> {
    let at = |source| file_error("write", path, source);
    let mut file = create(path)?;
    file.write_all(bytes).map_err(at)?;
    file.sync_all().map_err(at)
}

fn sync_folder(path: &Path) -> Result<(), OpsError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| file_error("sync", path, source))
}

fn file_error(doing: &'static str, path: &Path, source: std::io::Error) -> OpsError {
    OpsError::File { doing, path: path.to_path_buf(), source }
}
