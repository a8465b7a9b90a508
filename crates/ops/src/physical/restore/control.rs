//! `pg_control` while a restore goes on: without it no server starts.
//!
//! It is the first file that a restore writes, and has another name until everything else is safe
//! on the disks. So a directory whose restore was broken off does not start, and is known by that
//! name: it says of which cluster the directory is, and a delta restore goes on with it.

use std::fs::File;
use std::path::PathBuf;

use super::write::Writing;
use crate::OpsError;
use crate::physical::places::{BEGUN, CONTROL, HELD_BACK, Places};

const FOLDER: &[u8] = b"global";

/// Takes it away from the server of a directory that is restored over. False: it has none.
pub(super) fn take_away(places: &Places) -> Result<bool, OpsError> {
    let (from, to) = (places.of(CONTROL), places.of(HELD_BACK));
    match std::fs::rename(&from, &to) {
        Ok(()) => sync_folder(places).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(renaming(from, source)),
    }
}

/// Writes that of the backup, under the other name.
pub(super) fn hold_back(writing: &Writing<'_>) -> Result<(), OpsError> {
    let places = &writing.plan.places;
    let (begun, held) = (places.of(BEGUN), places.of(HELD_BACK));
    match std::fs::remove_file(&begun) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(OpsError::File { doing: "delete", path: begun, source });
        }
        _ => {}
    }
    writing.file_at(&writing.plan.control, &begun)?;
    let synced = File::open(&begun).and_then(|file| file.sync_all());
    synced.map_err(|source| OpsError::File { doing: "sync", path: begun.clone(), source })?;
    std::fs::rename(&begun, &held).map_err(|source| renaming(begun.clone(), source))?;
    sync_folder(places)
}

/// Gives it its name: from here on a server can start.
pub(super) fn give_name(places: &Places) -> Result<(), OpsError> {
    let (from, to) = (places.of(HELD_BACK), places.of(CONTROL));
    std::fs::rename(&from, &to).map_err(|source| renaming(from, source))?;
    sync_folder(places)
}

fn renaming(path: PathBuf, source: std::io::Error) -> OpsError {
    OpsError::File { doing: "rename", path, source }
}

fn sync_folder(places: &Places) -> Result<(), OpsError> {
    let path = places.of(FOLDER);
    let synced = File::open(&path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| OpsError::File { doing: "sync", path, source })
}
