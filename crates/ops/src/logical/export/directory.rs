//! The directory format: `toc.dat` and a file for each table and large object, written by several
//! threads.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pgark_bytes::archive::{self, Format as HeaderFormat, TocEntry};
use pgark_repo::Entry;

use super::file::{file_error, in_the_way, partial, sync_folder, sync_parent};
use super::large_objects;
use super::source::{END_OF_ROWS, Source};
use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::logical::psql::Guard;
use crate::logical::toc::data_file;
use crate::logical::whole::read_whole;

/// Makes the directory, with the globals next to the archive. Returns the number of large objects.
pub(super) fn write(
    source: &Source<'_>,
    output: &Path,
    jobs: usize,
    globals: Option<&Entry>,
) -> Result<u64, OpsError> {
    let partial = make_partial(output)?;
    let result = fill(source, &partial, jobs, globals);
    if result.is_err() {
        // It is of no use, and in the way of the next try; where it cannot be removed, that try
        // says so.
        let _ = fs::remove_dir_all(&partial);
    }
    let objects = result?;
    if output.exists() {
        fs::remove_dir(output).map_err(|source| file_error("replace", output, source))?;
    }
    fs::rename(&partial, output).map_err(|source| file_error("rename", &partial, source))?;
    sync_parent(output)?;
    Ok(objects)
}

fn fill(source: &Source<'_>, folder: &Path, jobs: usize, globals: Option<&Entry>) -> Result<u64, OpsError> {
    write_tables(source, folder, jobs)?;
    let objects = large_objects::spill(source, folder)?;
    for oid in &objects {
        let path = folder.join(large_objects::file_name(*oid));
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|source| file_error("sync", &path, source))?;
    }
    for toc in source.archive.entries.iter().filter(|toc| toc.kind() == "BLOBS") {
        let members = source.members(toc, &objects);
        write_file(&folder.join(source.list_name(toc)), &large_objects::list(&members))?;
    }
    let mut archive = source.headed(HeaderFormat::Tar);
    for toc in &mut archive.entries {
        toc.file_name = Some(data_file(&source.archive, toc).unwrap_or_default().into_bytes());
    }
    write_file(&folder.join("toc.dat"), &archive::write_toc(&archive))?;
    if let Some(globals) = globals {
        let sql = Guard::new(source.restrict)?.around(&read_whole(source.reader, globals)?)?;
        write_file(&folder.join("globals.sql"), &sql)?;
    }
    source.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
    sync_folder(folder)?;
    Ok(objects.len() as u64)
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
            advice!["give another ", Setting::Output],
        ));
    }
    let partial = partial(output)?;
    if partial.exists() {
        return Err(in_the_way(&partial));
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&partial)
        .map_err(|source| file_error("make", &partial, source))?;
    Ok(partial)
}

/// Every table's file, a few at once, the largest first.
fn write_tables(source: &Source<'_>, folder: &Path, jobs: usize) -> Result<(), OpsError> {
    let size =
        |toc: &&TocEntry| source.contents.tables.get(&toc.dump_id).map_or(0, |(entry, _)| entry.bytes_raw);
    let mut tables: Vec<&TocEntry> =
        source.archive.entries.iter().filter(|toc| toc.had_dumper && toc.kind() == "TABLE DATA").collect();
    tables.sort_by_key(|toc| std::cmp::Reverse(size(toc)));
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<OpsError>> = Mutex::new(None);
    let lock = || failed.lock().unwrap_or_else(|poison| poison.into_inner());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(toc) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if lock().is_some() {
                        return;
                    }
                    if let Err(error) = write_table(source, toc, folder) {
                        lock().get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(|poison| poison.into_inner()).map_or(Ok(()), Err)
}

/// The table's COPY text and the end mark that script output (`pg_restore -f -`) needs.
fn write_table(source: &Source<'_>, toc: &TocEntry, folder: &Path) -> Result<(), OpsError> {
    let path = folder.join(format!("{}.dat{}", toc.dump_id, source.method.suffix()));
    let at = |source| file_error("write", &path, source);
    let buffered = BufWriter::with_capacity(1 << 18, create(&path)?);
    let mut stream = source.method.file(buffered).map_err(at)?;
    source.rows(toc, &mut |rows| stream.write_all(rows).map_err(at))?;
    stream.write_all(END_OF_ROWS).map_err(at)?;
    let file = stream.finish().map_err(at)?.into_inner().map_err(|error| at(error.into_error()))?;
    file.sync_all().map_err(at)
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
