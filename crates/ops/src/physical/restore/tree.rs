//! Folders and links as they are in the backup. What else is in a directory that is restored over
//! is deleted.
//!
//! **Links.** None is followed but those of tablespaces and `pg_wal` that lead where the restore
//! puts these; all others are deleted, and what they lead to is not touched. In the directory of a
//! tablespace only the folder of this major and its content are ours: servers of other majors can
//! have theirs next to it.
//!
//! **Files.** Files of pages stay, to be compared. One that has another name elsewhere is deleted
//! and written again, because the other name may be in use: `pg_upgrade --link` gives the files of
//! one cluster to another. All other files are deleted, and written again whole.

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::counts::Deleted;
use super::plan::PlannedFolder;
use super::write::Writing;
use crate::physical::places::HELD_BACK;
use crate::{Job, OpsError};

/// The file system's own, where a disk is mounted.
const LOST_AND_FOUND: &str = "lost+found";

/// What is to be in a folder.
enum Wanted {
    Folder,
    Link,
    /// Its pages are compared.
    Pages,
    /// It is written again.
    File,
    /// `pg_control` under its other name.
    Control,
}

/// Makes the data directory itself and the folder of `pg_control`, so that this can be written.
pub(super) fn begin(writing: &Writing<'_>) -> Result<(), OpsError> {
    let is_first = |folder: &&PlannedFolder| folder.path.is_empty() || folder.path == b"global";
    for folder in writing.plan.folders.iter().filter(is_first) {
        make(writing, folder, &mut Deleted::default())?;
    }
    Ok(())
}

/// Makes all folders, parents first, and the links to those that are elsewhere.
pub(super) fn build(writing: &Writing<'_>) -> Result<Deleted, OpsError> {
    let mut deleted = Deleted::default();
    let mut wanted = children(writing);
    for folder in &writing.plan.folders {
        writing.check()?;
        make(writing, folder, &mut deleted)?;
        if writing.delta.is_some() {
            let mut own = wanted.remove(folder.path.as_slice()).unwrap_or_default();
            page_files(writing, folder, &mut own)?;
            clean(writing, folder, &own, &mut deleted)?;
        }
    }
    Ok(deleted)
}

/// What is to be in each folder, except files of pages.
fn children<'p>(writing: &Writing<'p>) -> HashMap<&'p [u8], BTreeMap<Vec<u8>, Wanted>> {
    let plan = writing.plan;
    let mut wanted: HashMap<&[u8], BTreeMap<Vec<u8>, Wanted>> = HashMap::new();
    let mut add = |path: &'p [u8], what: Wanted| {
        let (folder, name) = parted(path);
        wanted.entry(folder).or_default().insert(name.to_vec(), what);
    };
    for folder in plan.folders.iter().filter(|folder| !folder.path.is_empty()) {
        add(&folder.path, if plan.places.is_link(&folder.path) { Wanted::Link } else { Wanted::Folder });
    }
    for file in &plan.files {
        add(&file.path, Wanted::File);
    }
    add(HELD_BACK, Wanted::Control);
    wanted
}

/// The folder of a path, and the name in it.
fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn page_files(
    writing: &Writing<'_>,
    folder: &PlannedFolder,
    wanted: &mut BTreeMap<Vec<u8>, Wanted>,
) -> Result<(), OpsError> {
    for map in &folder.maps {
        match map.covered() {
            Some(covered) if !covered.is_bundle => drop(wanted.insert(covered.first, Wanted::Pages)),
            _ => {
                let files = writing.page_files(map)?.files;
                wanted.extend(files.into_iter().map(|file| (file.name, Wanted::Pages)));
            }
        }
    }
    Ok(())
}

/// Makes one folder, and the link to it if it is elsewhere.
fn make(writing: &Writing<'_>, folder: &PlannedFolder, deleted: &mut Deleted) -> Result<(), OpsError> {
    let places = &writing.plan.places;
    let place = places.of(&folder.path);
    let failed = |source| OpsError::File { doing: "create", path: place.clone(), source };
    let is_target = folder.path.is_empty() || places.is_link(&folder.path);
    if writing.delta.is_some() && !is_target && look(&place)?.is_some_and(|meta| !meta.is_dir()) {
        deleted.delete(&place, writing.job)?;
    }
    let mut builder = DirBuilder::new();
    match builder.mode(u32::from(folder.owned.mode)).recursive(is_target).create(&place) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && place.is_dir() => {}
        other => other.map_err(failed)?,
    }
    std::fs::set_permissions(&place, Permissions::from_mode(u32::from(folder.owned.mode))).map_err(failed)?;
    writing.give(&place, &folder.owned)?;
    let Some(target) = places.link(&folder.path) else { return Ok(()) };
    let link = places.inside(&folder.path);
    match std::os::unix::fs::symlink(target, &link) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && leads_to(&link, target) => Ok(()),
        other => other.map_err(|source| OpsError::File { doing: "create", path: link, source }),
    }
}

fn leads_to(link: &Path, target: &Path) -> bool {
    std::fs::read_link(link).is_ok_and(|found| found == target)
}

/// What the system says of a path, of a link itself.
fn look(path: &Path) -> Result<Option<Metadata>, OpsError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpsError::File { doing: "look at", path: path.to_owned(), source }),
    }
}

/// Deletes what is not to be in a folder, and what is to be written again.
fn clean(
    writing: &Writing<'_>,
    folder: &PlannedFolder,
    wanted: &BTreeMap<Vec<u8>, Wanted>,
    deleted: &mut Deleted,
) -> Result<(), OpsError> {
    let places = &writing.plan.places;
    let place = places.of(&folder.path);
    let is_target = folder.path.is_empty() || places.is_link(&folder.path);
    let is_shared = folder.path.starts_with(b"pg_tblspc/") && places.is_link(&folder.path);
    let failed = |source| OpsError::File { doing: "read the directory", path: place.clone(), source };
    for entry in std::fs::read_dir(&place).map_err(failed)? {
        writing.check()?;
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let Some(meta) = look(&path)? else { continue };
        let name = entry.file_name();
        match wanted.get(name.as_bytes()) {
            None if is_shared || (is_target && name == LOST_AND_FOUND) => {}
            Some(Wanted::Control) => {}
            Some(Wanted::Folder) if meta.is_dir() => {}
            Some(Wanted::Link) if meta.is_symlink() => {
                let own = folder.path_of(name.as_bytes());
                if !places.link(&own).is_some_and(|target| leads_to(&path, target)) {
                    deleted.delete(&path, writing.job)?;
                }
            }
            Some(Wanted::Pages) if meta.is_file() && meta.nlink() == 1 => {}
            // These come again.
            Some(Wanted::Pages | Wanted::File) if meta.is_file() => remove(&path)?,
            _ => deleted.delete(&path, writing.job)?,
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), OpsError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| OpsError::File { doing: "delete", path: path.to_owned(), source }),
    }
}

impl Deleted {
    /// Deletes a file, a link, or a folder with all that is in it.
    fn delete(&mut self, path: &Path, job: &Job) -> Result<(), OpsError> {
        let Some(meta) = look(path)? else { return Ok(()) };
        if !meta.is_dir() {
            self.files += 1;
            return remove(path);
        }
        let above = path.parent().and_then(|above| std::fs::metadata(above).ok());
        if above.is_some_and(|above| above.dev() != meta.dev()) {
            return Err(mounted(path.to_owned()));
        }
        // Files at once, folders behind what is in them.
        let mut folders = vec![path.to_owned()];
        let mut at = 0;
        while let Some(folder) = folders.get(at).cloned() {
            at += 1;
            let failed = |source| OpsError::File { doing: "delete", path: folder.clone(), source };
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                job.cancel.check().map_err(|_| OpsError::Cancelled)?;
                let path = entry.map_err(failed)?.path();
                match look(&path)? {
                    None => {}
                    Some(own) if !own.is_dir() => {
                        self.files += 1;
                        remove(&path)?;
                    }
                    Some(own) if own.dev() != meta.dev() => return Err(mounted(path)),
                    Some(_) => folders.push(path),
                }
            }
        }
        for folder in folders.iter().rev() {
            std::fs::remove_dir(folder).map_err(|source| OpsError::File {
                doing: "delete",
                path: folder.clone(),
                source,
            })?;
            self.folders += 1;
        }
        Ok(())
    }
}

fn mounted(path: PathBuf) -> OpsError {
    OpsError::refused(
        format!("{} is not in the backup, and another file system is mounted there", path.display()),
        "unmount it, and restore again",
    )
}
