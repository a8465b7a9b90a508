//! What is at a path of this host.

use std::path::{Component, Path, PathBuf};

use crate::OpsError;

/// The nearest folder above that exists.
pub(super) fn existing(path: &Path) -> PathBuf {
    let mut path = path;
    while !path.exists() {
        match path.parent() {
            Some(parent) if parent != Path::new("") => path = parent,
            Some(_) => return PathBuf::from("."),
            None => break,
        }
    }
    path.to_owned()
}

/// Without `.`, `..` and links, as far as it exists.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let there = existing(path);
    let rest = path.strip_prefix(&there).unwrap_or(Path::new(""));
    let mut resolved = there.canonicalize().unwrap_or(there);
    for part in rest.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}

/// Bytes on the disks that files in these directories have.
pub(super) fn room<'p>(targets: impl Iterator<Item = &'p Path>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0u64;
    let mut folders: Vec<PathBuf> = targets.map(Path::to_owned).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Of the entry itself: links are not followed.
            let Ok(meta) = entry.metadata() else { continue };
            match meta.is_dir() {
                true => folders.push(entry.path()),
                false => bytes = bytes.saturating_add(meta.blocks().saturating_mul(512)),
            }
        }
    }
    bytes
}

/// It exists, and is a directory or a link to one.
pub(super) fn refuse_no_directory(path: &Path) -> Result<(), OpsError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(not_a_directory(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OpsError::File { doing: "look at", path: path.to_owned(), source }),
    }
}

fn not_a_directory(path: &Path) -> OpsError {
    OpsError::refused(format!("{} is not a directory", path.display()), "name another one")
}

/// Whether there is something in a directory. A link to one is refused, and what is none.
pub(super) fn is_filled(path: &Path) -> Result<bool, OpsError> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(OpsError::File { doing: "look at", path: path.to_owned(), source }),
    };
    if meta.is_symlink() {
        return Err(OpsError::refused(
            format!("{} is a symbolic link", path.display()),
            "name the directory that it leads to, if that is meant",
        ));
    }
    if !meta.is_dir() {
        return Err(not_a_directory(path));
    }
    let mut entries = std::fs::read_dir(path).map_err(|source| OpsError::File {
        doing: "read the directory",
        path: path.to_owned(),
        source,
    })?;
    Ok(entries.next().is_some())
}
