//! What is in the directory that a delta restore writes over, and whether it may.
//!
//! The directory must be that of a stopped server of the same cluster, or what a restore of it left
//! when it was broken off. Everything in it is replaced or deleted, so what it is must be certain:
//! its system identifier is in `pg_control`, or in that file under the name that it has during a
//! restore.

use std::io::Read;
use std::path::{Path, PathBuf};

use pgark_bytes::control_file::ControlFile;
use pgark_datadir::prove::Process;
use pgark_datadir::{DataDir, prove};

use super::look::{is_filled, resolved};
use super::servers;
use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::error::with_causes;
use crate::facts::About;
use crate::physical::places::{BEGUN, CONTROL, HELD_BACK, Places};

/// `pg_control` has 8192 bytes.
const MOST: u64 = 64 << 10;
const WAL: &str = "pg_wal";
const TABLESPACES: &str = "pg_tblspc";

/// A directory that is restored over.
pub(super) struct Ground {
    /// Its links, by their paths in it, and where they lead.
    links: Vec<(Vec<u8>, PathBuf)>,
}

/// What a directory says of its cluster.
enum Identity {
    None,
    Damaged,
    Is(u64),
}

impl Ground {
    /// Looks at a directory. None: there is nothing in it.
    ///
    /// # Errors
    /// It is not a data directory, or one of another major or cluster, or a server runs in it.
    pub(super) fn of(path: &Path, about: &About, force: bool) -> Result<Option<Ground>, OpsError> {
        if !is_filled(path)? {
            return Ok(None);
        }
        if is_barely_begun(path) {
            return Ok(Some(Ground { links: Vec::new() }));
        }
        let directory = DataDir::open(path)?;
        refuse_other_majors(&directory, path, about)?;
        refuse_other_clusters(&directory, path, about, force)?;
        refuse_its_server(&directory, path)?;
        let mut links = Vec::new();
        for name in [WAL.to_string()].into_iter().chain(names(&path.join(TABLESPACES))) {
            if let Ok(target) = std::fs::read_link(path.join(&name)) {
                let from = path.join(&name);
                let above = from.parent().unwrap_or(path);
                links.push((name.into_bytes(), above.join(target)));
            }
        }
        Ok(Some(Ground { links }))
    }

    /// Whether this link of the directory leads there now.
    pub(super) fn leads_to(&self, link: &[u8], target: &Path) -> bool {
        self.links.iter().any(|(name, to)| name == link && resolved(to) == resolved(target))
    }

    /// Directories to which its links lead and the restored ones will not. Nothing in them is
    /// touched.
    pub(super) fn left(&self, places: &Places) -> Vec<PathBuf> {
        let planned: Vec<PathBuf> = places.targets().map(resolved).collect();
        let is_left = |path: &&PathBuf| path.exists() && !planned.contains(&resolved(path));
        self.links.iter().map(|(_, path)| path).filter(is_left).cloned().collect()
    }

    /// Refuses directories that a server of this host has open: a copy of a data directory has
    /// links to the tablespaces of the original.
    pub(super) fn refuse_servers(&self, places: &Places) -> Result<(), OpsError> {
        let targets: Vec<&Path> = places.targets().collect();
        match servers::using(&targets) {
            None => Ok(()),
            Some((pid, path)) => Err(runs(pid, &path)),
        }
    }
}

/// A restore that was broken off before `pg_control` was whole has made nothing else yet.
pub(super) fn is_barely_begun(path: &Path) -> bool {
    let begun = String::from_utf8_lossy(BEGUN).into_owned();
    let only = |folder: &Path, known: &[String]| {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            let mut names = entries.flatten().map(|entry| entry.file_name());
            names.all(|name| known.iter().any(|known| name == known.as_str()))
        })
    };
    let (folder, file) = begun.split_once('/').unwrap_or_default();
    let is_folder = std::fs::symlink_metadata(path.join(folder)).is_ok_and(|meta| meta.is_dir());
    is_folder && only(path, &[folder.to_string()]) && only(&path.join(folder), &[file.to_string()])
}

/// The paths of what is in `pg_tblspc`.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| Some(format!("{TABLESPACES}/{}", entry.file_name().to_str()?));
    entries.filter_map(name).collect()
}

fn refuse_other_majors(directory: &DataDir, path: &Path, about: &About) -> Result<(), OpsError> {
    let own = about.server_version / 10_000;
    let found = match prove::major(directory) {
        Ok(major) if i64::from(major) == i64::from(own) => return Ok(()),
        Ok(major) => format!("PostgreSQL {major}"),
        // A restore that was broken off may not have written it yet.
        Err(pgark_datadir::Error::NotADataDirectory { .. }) => return Ok(()),
        Err(pgark_datadir::Error::Version { text, .. }) => format!("PostgreSQL {text:?}"),
        Err(error) => return Err(error.into()),
    };
    Err(OpsError::refused(
        format!("{} is a data directory of {found}, the backup is of PostgreSQL {own}", path.display()),
        "restore to another directory",
    ))
}

fn refuse_other_clusters(
    directory: &DataDir,
    path: &Path,
    about: &About,
    force: bool,
) -> Result<(), OpsError> {
    let found = match identity(directory, CONTROL)? {
        Identity::None => identity(directory, HELD_BACK)?,
        found => found,
    };
    let has_version = !matches!(prove::major(directory), Err(pgark_datadir::Error::NotADataDirectory { .. }));
    let said = match found {
        Identity::Is(own) if own.to_string() == about.system_identifier => return Ok(()),
        Identity::Is(other) if has_version => format!("its system identifier is {other}"),
        Identity::Damaged if has_version => {
            "its pg_control is damaged, so that its system identifier is not known".into()
        }
        _ => {
            return Err(OpsError::refused(
                format!("{} is not empty, and is not a data directory", path.display()),
                "name the data directory of a stopped server, or an empty directory",
            ));
        }
    };
    if force {
        return Ok(());
    }
    Err(OpsError::refused(
        format!(
            "{} is not the data directory of the cluster that was backed up: {said}, that of the backup is {}",
            path.display(),
            about.system_identifier
        ),
        advice![
            Setting::Force,
            " restores over it all the same: everything in it is replaced or deleted, also in those directories of \
             its tablespaces that the restore uses"
        ],
    ))
}

fn identity(directory: &DataDir, path: &[u8]) -> Result<Identity, OpsError> {
    let mut names = path.splitn(2, |byte| *byte == b'/');
    let (folder, name) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    let opened = match directory.folder(folder) {
        Ok(Some(folder)) => folder.file(name),
        Ok(None) | Err(pgark_datadir::Error::NotAFolder { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let opened = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(Identity::None),
        Err(pgark_datadir::Error::NotAFile { .. }) => return Ok(Identity::Damaged),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    if opened.file.take(MOST).read_to_end(&mut bytes).is_err() {
        return Ok(Identity::Damaged);
    }
    Ok(ControlFile::parse(&bytes)
        .map_or(Identity::Damaged, |control| Identity::Is(control.system_identifier)))
}

fn refuse_its_server(directory: &DataDir, path: &Path) -> Result<(), OpsError> {
    let pid = match prove::postmaster(directory) {
        Ok(None) => return Ok(()),
        Ok(Some(pid)) => pid,
        Err(error @ pgark_datadir::Error::PidFile { .. }) => {
            return Err(OpsError::refused(
                format!("a server may run in {}: {}", path.display(), with_causes(&error)),
                "if none does, remove that file",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    match prove::process(directory, &pid)? {
        // Left by a server that crashed.
        Process::Gone | Process::Elsewhere => Ok(()),
        Process::Here | Process::Lives => Err(runs(pid.pid, path)),
    }
}

fn runs(pid: u32, path: &Path) -> OpsError {
    OpsError::refused(
        format!("a server runs in {} or uses it: process {pid}", path.display()),
        "stop it, or restore to another directory",
    )
}
