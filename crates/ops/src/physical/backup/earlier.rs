//! What the newest physical backup of the cluster holds of each folder.

use std::collections::HashMap;

use pgark_repo::{BackupHead, Covered, MapRef, Part, RepoError, Repository};

use crate::facts::{About, BackupKind};
use crate::{OpsError, paths};

/// How far back a backup is looked for: logical ones may be in between.
pub(super) const MOST_BACKUPS: usize = 256;

/// The maps of each folder, by its entry's path.
#[derive(Default)]
pub(super) struct Earlier {
    folders: HashMap<String, Vec<EarlierPart>>,
    /// Why the newest one is not it.
    pub whole: Option<String>,
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
                Ok(folders) => return Ok(Earlier { folders, whole: None }),
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
        self.folders.values().flatten().map(|part| &part.map).collect()
    }

    /// The maps of a folder.
    pub(super) fn of(&self, entry: &str) -> &[EarlierPart] {
        self.folders.get(entry).map_or(&[], Vec::as_slice)
    }
}

fn folders(
    repository: &Repository,
    head: &BackupHead,
) -> Result<HashMap<String, Vec<EarlierPart>>, RepoError> {
    let backup = repository.open_head(head)?;
    let mut folders = HashMap::new();
    for entry in backup.entries_below(paths::DATA_DIRECTORY) {
        let entry = entry?;
        let maps = entry.parts.into_iter().filter_map(|part| match part {
            Part::Map(map) => Some(EarlierPart { covered: map.covered()?, map: *map }),
            _ => None,
        });
        let maps: Vec<EarlierPart> = maps.collect();
        if !maps.is_empty() {
            folders.insert(entry.path, maps);
        }
    }
    Ok(folders)
}
