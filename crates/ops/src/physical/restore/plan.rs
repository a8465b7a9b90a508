//! What a restore will write, and whether that is possible: nothing is touched before it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pgark_repo::{Backup, Entry, MapRef, Part};

use super::ground::Ground;
use super::look::{existing, room};
use super::report::RestoredTablespace;
use super::request::Request;
use super::targets;
use crate::facts::{About, Note, Owned, Physical};
use crate::physical::places::{CONTROL, Places, is_below};
use crate::{OpsError, paths};

/// Everything that is written.
pub(super) struct Plan {
    pub about: About,
    pub physical: Physical,
    pub places: Places,
    pub tablespaces: Vec<RestoredTablespace>,
    /// What is in the directory that a delta restore writes over.
    pub ground: Option<Ground>,
    /// By their paths below the data directory: parents come first.
    pub folders: Vec<PlannedFolder>,
    pub files: Vec<PlannedFile>,
    /// `pg_control`, which is written first and gets its name last.
    pub control: PlannedFile,
    /// Files of the configuration from outside.
    pub outside: Vec<Entry>,
    /// Bytes that take room on the disks.
    pub bytes: u64,
}

/// A folder, and the maps of its page files.
pub(super) struct PlannedFolder {
    pub path: Vec<u8>,
    pub owned: Owned,
    pub file_mode: u16,
    pub maps: Vec<MapRef>,
}

impl PlannedFolder {
    /// The path of a file in it.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        match self.path.is_empty() {
            true => name.to_vec(),
            false => [self.path.as_slice(), b"/", name].concat(),
        }
    }

    /// Names its maps in errors.
    pub(super) fn label(&self) -> String {
        format!("{} of the backup", String::from_utf8_lossy(&self.path))
    }
}

/// A file that does not consist of pages.
pub(super) struct PlannedFile {
    pub path: Vec<u8>,
    pub entry: Entry,
    /// None: a segment of the WAL.
    pub owned: Option<Owned>,
    pub modified: String,
}

impl Plan {
    /// Reads what the backup holds, and looks at the target. `repository` is its folder, if it is
    /// one of this host.
    pub(super) fn of(
        backup: &Backup<'_>,
        request: &Request,
        repository: Option<&Path>,
    ) -> Result<Plan, OpsError> {
        let about = About::of(&backup.head)?;
        let Some(physical) = about.physical.clone() else {
            return Err(OpsError::Record {
                backup: backup.head.id.to_string(),
                what: "the record of its files".into(),
            });
        };
        if let Some(missing) = about.missing.first() {
            return Err(OpsError::refused(
                format!("backup {} is incomplete: {missing} is missing: {}", backup.head.id, missing.reason),
                "restore another one",
            ));
        }
        let tablespaces = targets::tablespaces(&physical, request)?;
        let places = Places::new(&request.to, &tablespaces, request.wal_directory.as_deref());
        let ground = match request.delta {
            true => Ground::of(&request.to, &about, request.force)?,
            false => None,
        };
        targets::refuse(&places, &tablespaces, ground.as_ref(), repository)?;
        if let Some(ground) = &ground {
            ground.refuse_servers(&places)?;
        }
        let mut read = Contents::default();
        for entry in backup.entries() {
            read.add(backup, &physical, entry?)?;
        }
        let Contents { folders, mut files, outside, bytes } = read;
        let Some(at) = files.iter().position(|file| file.path == CONTROL) else {
            return Err(OpsError::Record { backup: backup.head.id.to_string(), what: "pg_control".into() });
        };
        let control = files.swap_remove(at);
        let plan =
            Plan { about, physical, places, tablespaces, ground, folders, files, control, outside, bytes };
        plan.refuse_full_disks()?;
        Ok(plan)
    }

    /// Compares what is needed with what is free; of tablespaces only where all are on one disk.
    /// What a delta restore writes over is room, too.
    fn refuse_full_disks(&self) -> Result<(), OpsError> {
        let mut free: BTreeMap<u64, (u64, PathBuf)> = BTreeMap::new();
        for target in self.places.targets() {
            let there = existing(target);
            let stat = rustix::fs::statvfs(&there);
            let meta = std::fs::metadata(&there);
            if let (Ok(stat), Ok(meta)) = (stat, meta) {
                use std::os::unix::fs::MetadataExt;
                let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
                free.insert(meta.dev(), (bytes, there));
            }
        }
        let sum: u64 = free.values().map(|(bytes, _)| *bytes).sum();
        if sum >= self.bytes || free.is_empty() {
            return Ok(());
        }
        if self.ground.is_some() && sum.saturating_add(room(self.places.targets())) >= self.bytes {
            return Ok(());
        }
        let disks: Vec<String> =
            free.values().map(|(bytes, path)| format!("{bytes} bytes at {}", path.display())).collect();
        Err(OpsError::refused(
            format!("the restore needs {} bytes, and there are {}", self.bytes, disks.join(" and ")),
            "free some room, or restore to another disk",
        ))
    }
}

/// What a backup holds of a data directory.
#[derive(Default)]
struct Contents {
    folders: Vec<PlannedFolder>,
    files: Vec<PlannedFile>,
    outside: Vec<Entry>,
    bytes: u64,
}

impl Contents {
    fn add(&mut self, backup: &Backup<'_>, physical: &Physical, entry: Entry) -> Result<(), OpsError> {
        let Some(path) = paths::below_data_directory(&entry.path) else {
            if entry.path.starts_with("/config/") {
                self.outside.push(entry);
            }
            return Ok(());
        };
        if !is_below(&path) {
            let what = format!("the path {:?}", entry.path);
            return Err(OpsError::Record { backup: backup.head.id.to_string(), what });
        }
        match Note::of(backup, &entry)? {
            Note::Folder { owned, file_mode, .. } => {
                let mut maps = Vec::new();
                for part in entry.parts {
                    if let Part::Map(map) = part {
                        self.bytes += map.items() * u64::from(physical.page_size);
                        maps.push(*map);
                    }
                }
                self.folders.push(PlannedFolder { path, owned, file_mode, maps });
            }
            Note::File { owned, modified } => {
                self.bytes += entry.bytes_raw;
                self.files.push(PlannedFile { path, entry, owned: Some(owned), modified });
            }
            Note::Wal => {
                self.bytes += entry.bytes_raw;
                self.files.push(PlannedFile { path, entry, owned: None, modified: String::new() });
            }
            // Of a newer version: what it is is not known, and the server may need it.
            _ => {
                return Err(OpsError::refused(
                    format!("{} was made by a newer version of pgark", entry.path),
                    "restore it with that version",
                ));
            }
        }
        Ok(())
    }
}
