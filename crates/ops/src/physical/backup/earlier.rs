//! What the newest physical backup of the cluster holds of each folder.

use std::collections::HashMap;

use pgark_repo::{BackupHead, Covered, Entry, MapRef, Part, RepoError, Repository};

use crate::facts::{About, BackupKind, Note};
use crate::{OpsError, paths};

/// How far back a backup is looked for: logical ones may be in between.
pub(super) const MOST_BACKUPS: usize = 256;

/// The maps of each folder, by its entry's path.
#[derive(Default)]
pub(super) struct Earlier {
    folders: HashMap<String, EarlierFolder>,
    /// Of folders that it does not have.
    none: EarlierFolder,
    /// Why the newest one is not it.
    pub whole: Option<String>,
}

/// A folder of an earlier backup.
#[derive(Default)]
pub(super) struct EarlierFolder {
    pub parts: Vec<EarlierPart>,
    /// Its bundles are not ranges of names.
    pub is_mixed: bool,
}

/// A map of an earlier backup.
pub(super) struct EarlierPart {
    pub map: MapRef,
    pub covered: Covered,
}

impl Earlier {
    /// Opens the newest physical backup of this system that can be read.
    pub(super) fn find(
        repository: &Repository,
        cluster: &str,
        identifier: &str,
    ) -> Result<Earlier, OpsError> {
        let mut earlier = Earlier::default();
        for head in repository.newest_backups(cluster, MOST_BACKUPS)?.iter().rev() {
            if BackupKind::of(head) != BackupKind::Physical {
                continue;
            }
            let known = About::of(head)?.system_identifier;
            if known != identifier {
                earlier.whole = Some(format!(
                    "the newest physical backup, {}, has the system identifier {known}: pg_upgrade or initdb made \
                     another system",
                    head.id
                ));
                return Ok(earlier);
            }
            match folders(repository, head) {
                Ok(folders) => return Ok(Earlier { folders, ..Earlier::default() }),
                Err(error) if error.is_cancelled() || matches!(error, RepoError::Store(_)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    repository.detail(&format!("backup {} is not used: {error}", head.id));
                    earlier.whole = Some(format!("backup {} cannot be read: {error}", head.id));
                }
            }
        }
        Ok(earlier)
    }

    /// All maps.
    pub(super) fn maps(&self) -> Vec<&MapRef> {
        self.folders.values().flat_map(|folder| &folder.parts).map(|part| &part.map).collect()
    }

    /// What there is of a folder.
    pub(super) fn of(&self, entry: &str) -> &EarlierFolder {
        self.folders.get(entry).unwrap_or(&self.none)
    }
}

impl EarlierFolder {
    /// Of the folder's entry.
    pub(super) fn of(entry: Entry) -> EarlierFolder {
        let is_mixed = matches!(Note::read(&entry), Some(Note::Folder { mixed: true, .. }));
        let maps = entry.parts.into_iter().filter_map(|part| match part {
            Part::Map(map) => Some(EarlierPart { covered: map.covered()?, map: *map }),
            _ => None,
        });
        EarlierFolder { parts: maps.collect(), is_mixed }
    }
}

fn folders(repository: &Repository, head: &BackupHead) -> Result<HashMap<String, EarlierFolder>, RepoError> {
    let backup = repository.open_head(head)?;
    let mut folders = HashMap::new();
    for entry in backup.entries_below(paths::DATA_DIRECTORY) {
        let entry = entry?;
        let path = entry.path.clone();
        let folder = EarlierFolder::of(entry);
        if !folder.parts.is_empty() {
            folders.insert(path, folder);
        }
    }
    Ok(folders)
}
