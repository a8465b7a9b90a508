//! Servers that run on this host, and what they have open.
//!
//! `postmaster.pid` is not enough to be sure that nobody uses a directory: that of a container's
//! server has the number of a process that is another one here, and a copy of a data directory has
//! links to the tablespaces of the original. So every process of a PostgreSQL server is looked at:
//! each works in its data directory. Other users' processes show that to root alone.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Device and inode.
type Identity = (u64, u64);

/// A process of a server that has one of these directories as its data directory, tablespace or
/// WAL directory; and which.
pub(super) fn using(directories: &[&Path]) -> Option<(u32, PathBuf)> {
    let wanted: Vec<(Identity, &Path)> =
        directories.iter().filter_map(|path| Some((identity(path)?, *path))).collect();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if !is_of_postgres(&entry.path()) {
            continue;
        }
        let data = entry.path().join("cwd");
        // All processes of a server work in one directory.
        let Some(own) = identity(&data) else { continue };
        if !seen.insert(own) {
            continue;
        }
        for used in std::iter::once(own).chain(elsewhere(&entry.path(), &data)) {
            if let Some((_, path)) = wanted.iter().find(|(identity, _)| *identity == used) {
                return Some((pid, path.to_path_buf()));
            }
        }
    }
    None
}

fn is_of_postgres(process: &Path) -> bool {
    std::fs::read_to_string(process.join("comm"))
        .is_ok_and(|name| name.starts_with("postgres") || name.starts_with("postmaster"))
}

/// Where the links of a data directory lead, in the file system that the process sees.
fn elsewhere(process: &Path, data: &Path) -> Vec<Identity> {
    let mut links = vec![data.join("pg_wal")];
    let tablespaces = std::fs::read_dir(data.join("pg_tblspc")).into_iter().flatten().flatten();
    links.extend(tablespaces.map(|entry| entry.path()));
    let target = |link: &PathBuf| {
        let target = std::fs::read_link(link).ok()?;
        match target.strip_prefix("/") {
            Ok(below) => identity(&process.join("root").join(below)),
            Err(_) => identity(&link.parent()?.join(target)),
        }
    };
    links.iter().filter_map(target).collect()
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}
