//! A file that has its name only when it is whole, or a stream.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::OpsError;

/// Where an archive is written.
pub(super) enum Target<'a> {
    /// A new file: what is at its beginning can be written again at the end.
    File { file: BufWriter<File>, path: PathBuf },
    /// Standard output.
    Stream(BufWriter<&'a mut dyn Write>),
}

impl<'a> Target<'a> {
    pub(super) fn stream(to: &'a mut dyn Write) -> Target<'a> {
        Target::Stream(BufWriter::with_capacity(1 << 18, to))
    }

    pub(super) fn can_seek(&self) -> bool {
        matches!(self, Target::File { .. })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        match self {
            Target::File { file, path } => {
                file.write_all(bytes).map_err(|source| file_error("write", path, source))
            }
            Target::Stream(to) => to.write_all(bytes).map_err(OpsError::Output),
        }
    }

    /// Writes over the beginning of a file.
    pub(super) fn put_first(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        let Target::File { file, path } = self else { return Ok(()) };
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(bytes))
            .map_err(|source| file_error("write", path, source))
    }

    pub(super) fn finish(&mut self) -> Result<(), OpsError> {
        match self {
            Target::File { file, path } => file
                .flush()
                .and_then(|()| file.get_ref().sync_all())
                .map_err(|source| file_error("write", path, source)),
            Target::Stream(to) => to.flush().map_err(OpsError::Output),
        }
    }
}

/// Makes a file: `work` writes it under another name; it gets its own when it is whole and on disk.
pub(super) fn write(
    path: &Path,
    work: impl FnOnce(&mut Target<'_>) -> Result<u64, OpsError>,
) -> Result<u64, OpsError> {
    if path.symlink_metadata().is_ok() {
        return Err(OpsError::refused(
            format!("{} exists", path.display()),
            "give a path that does not exist; nothing was written",
        ));
    }
    let partial = partial(path)?;
    let file =
        File::options().write(true).create_new(true).mode(0o600).open(&partial).map_err(
            |source| match source.kind() {
                io::ErrorKind::AlreadyExists => in_the_way(&partial),
                _ => file_error("create", &partial, source),
            },
        )?;
    let mut target = Target::File { file: BufWriter::with_capacity(1 << 18, file), path: partial.clone() };
    let result = work(&mut target).and_then(|objects| target.finish().map(|()| objects));
    drop(target);
    match result {
        Ok(objects) => {
            fs::rename(&partial, path).map_err(|source| file_error("rename", &partial, source))?;
            sync_parent(path)?;
            Ok(objects)
        }
        Err(error) => {
            // It is of no use, and in the way of the next try; where it cannot be removed, that try
            // says so.
            let _ = fs::remove_file(&partial);
            Err(error)
        }
    }
}

/// The name under which something is written that will be called `path`.
pub(super) fn partial(path: &Path) -> Result<PathBuf, OpsError> {
    let Some(name) = path.file_name() else {
        return Err(OpsError::Usage(format!("{} cannot be created", path.display()).into()));
    };
    let mut partial_name = name.to_os_string();
    partial_name.push(".partial");
    Ok(path.with_file_name(partial_name))
}

pub(super) fn in_the_way(partial: &Path) -> OpsError {
    OpsError::refused(
        format!("{} exists: an export was interrupted, or one is running", partial.display()),
        "remove it if no export is running",
    )
}

/// Makes a rename in a folder durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), OpsError> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

pub(super) fn sync_folder(path: &Path) -> Result<(), OpsError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| file_error("sync", path, source))
}

pub(super) fn file_error(doing: &'static str, path: &Path, source: io::Error) -> OpsError {
    OpsError::File { doing, path: path.to_path_buf(), source }
}
