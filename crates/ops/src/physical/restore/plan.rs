//! What a restore will write, and whether that is possible: nothing is touched before it is.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use pgark_repo::{Backup, Entry, MapRef, Part};

use super::report::RestoredTablespace;
use super::request::Request;
use crate::advice::{Advice, Setting, advice};
use crate::facts::{About, Note, Owned, Physical};
use crate::physical::places::{self, Places};
use crate::{OpsError, paths};

/// Everything that is written.
pub(super) struct Plan {
    pub about: About,
    pub physical: Physical,
    pub places: Places,
    pub tablespaces: Vec<RestoredTablespace>,
    /// By their paths below the data directory: parents come first.
    pub folders: Vec<PlannedFolder>,
    pub files: Vec<PlannedFile>,
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

/// A file that does not consist of pages.
pub(super) struct PlannedFile {
    pub path: Vec<u8>,
    pub entry: Entry,
    /// None: a segment of the WAL.
    pub owned: Option<Owned>,
    pub modified: String,
}

impl Plan {
    /// Reads what the backup holds, and looks at the target.
    pub(super) fn of(backup: &Backup<'_>, request: &Request) -> Result<Plan, OpsError> {
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
        let tablespaces = tablespaces(&physical, request)?;
        let places = Places::new(&request.to, &tablespaces, request.wal_directory.as_deref());
        refuse_targets(&places, &tablespaces)?;
        let mut plan = Plan {
            about,
            physical,
            places,
            tablespaces,
            folders: Vec::new(),
            files: Vec::new(),
            outside: Vec::new(),
            bytes: 0,
        };
        for entry in backup.entries() {
            plan.add(backup, entry?)?;
        }
        if !plan.files.iter().any(|file| file.path == places::CONTROL) {
            return Err(OpsError::Record { backup: backup.head.id.to_string(), what: "pg_control".into() });
        }
        plan.refuse_full_disks()?;
        Ok(plan)
    }

    fn add(&mut self, backup: &Backup<'_>, entry: Entry) -> Result<(), OpsError> {
        let Some(path) = paths::below_data_directory(&entry.path) else {
            if entry.path.starts_with("/config/") {
                self.outside.push(entry);
            }
            return Ok(());
        };
        match Note::of(backup, &entry)? {
            Note::Folder { owned, file_mode, .. } => {
                let mut maps = Vec::new();
                for part in entry.parts {
                    if let Part::Map(map) = part {
                        self.bytes += map.items() * u64::from(self.physical.page_size);
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

    /// Compares what is needed with what is free; of tablespaces only where all are on one disk.
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
        let disks: Vec<String> =
            free.values().map(|(bytes, path)| format!("{bytes} bytes at {}", path.display())).collect();
        Err(OpsError::refused(
            format!("the restore needs {} bytes, and there are {}", self.bytes, disks.join(" and ")),
            "free some room, or restore to another disk",
        ))
    }
}

/// The nearest folder above that exists.
fn existing(path: &Path) -> PathBuf {
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

/// Where each tablespace goes.
fn tablespaces(physical: &Physical, request: &Request) -> Result<Vec<RestoredTablespace>, OpsError> {
    let mut known = Vec::new();
    for tablespace in &physical.tablespaces {
        let is_it =
            |(key, _): &&(String, PathBuf)| *key == tablespace.oid.to_string() || *key == tablespace.name;
        let given = request.tablespaces.iter().find(is_it).map(|(_, path)| path.clone());
        let Some(original) = &tablespace.location else {
            if given.is_some() {
                return Err(OpsError::refused(
                    format!(
                        "tablespace {} is inside of the data directory, and stays there",
                        tablespace.name
                    ),
                    "",
                ));
            }
            continue;
        };
        let below = request.all_tablespaces.as_ref().map(|folder| folder.join(&tablespace.name));
        let location = given.or(below).unwrap_or_else(|| PathBuf::from(original));
        if !location.is_absolute() {
            return Err(OpsError::refused(
                format!(
                    "the directory of tablespace {}, {}, is not absolute",
                    tablespace.name,
                    location.display()
                ),
                "PostgreSQL has absolute paths of tablespaces only",
            ));
        }
        let oid = tablespace.oid;
        known.push(RestoredTablespace { oid, name: tablespace.name.clone(), location });
    }
    for (key, _) in &request.tablespaces {
        let is_known =
            |one: &&crate::facts::BackedUpTablespace| one.oid.to_string() == *key || one.name == *key;
        if !physical.tablespaces.iter().any(|one| is_known(&one)) {
            let names: Vec<&str> = physical.tablespaces.iter().map(|one| one.name.as_str()).collect();
            return Err(OpsError::refused(
                format!("the backup has no tablespace {key:?}"),
                match names.is_empty() {
                    true => "it has none".to_string(),
                    false => format!("it has {}", names.join(", ")),
                },
            ));
        }
    }
    Ok(known)
}

/// Every target is absent or empty, and none is inside of another one.
fn refuse_targets(places: &Places, tablespaces: &[RestoredTablespace]) -> Result<(), OpsError> {
    let targets: Vec<PathBuf> = places.targets().map(Path::to_owned).collect();
    for target in &targets {
        let of = tablespaces.iter().find(|tablespace| tablespace.location == *target);
        let other = match of {
            Some(RestoredTablespace { name, .. }) => advice![
                format!("tablespace {name} would be put there; give it another directory with "),
                Setting::Tablespace.to(format!("{name}=PATH")),
            ],
            None => "name another directory, or remove what is in it".into(),
        };
        refuse_target(target, other)?;
    }
    let plain: Vec<PathBuf> = targets.iter().map(|target| resolved(target)).collect();
    for (at, one) in plain.iter().enumerate() {
        for (other_at, other) in plain.iter().enumerate() {
            if at != other_at && one.starts_with(other) {
                return Err(OpsError::refused(
                    format!("{} is inside of {}", one.display(), other.display()),
                    advice![
                        "give each tablespace and the data directory a directory of its own (",
                        Setting::Tablespace.to("OID=PATH"),
                        ")",
                    ],
                ));
            }
        }
    }
    Ok(())
}

/// Without `.`, `..` and links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
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

/// `other`: what to do where it is not empty.
fn refuse_target(path: &Path, other: Advice) -> Result<(), OpsError> {
    let shown = path.display();
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(OpsError::File { doing: "look at", path: path.to_owned(), source }),
    };
    if meta.is_symlink() {
        return Err(OpsError::refused(
            format!("{shown} is a symbolic link"),
            "name the directory that it leads to, if that is meant",
        ));
    }
    if !meta.is_dir() {
        return Err(OpsError::refused(format!("{shown} is not a directory"), "name another one"));
    }
    let mut entries = std::fs::read_dir(path).map_err(|source| OpsError::File {
        doing: "read the directory",
        path: path.to_owned(),
        source,
    })?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(OpsError::refused(format!("{shown} is not empty"), other)),
    }
}
