//! Where the files of a data directory are on this host: tablespaces and the WAL can be elsewhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::restore::RestoredTablespace;

pub(super) const CONTROL: &[u8] = b"global/pg_control";
/// Its name while a restore is not complete.
pub(super) const HELD_BACK: &[u8] = b"global/pg_control.pgark";
/// While that is being written: a restore that was broken off has a whole one, or none.
pub(super) const BEGUN: &[u8] = b"global/pg_control.pgark.new";
const WAL: &[u8] = b"pg_wal";

/// A path that stays below the directory that it begins from.
pub(super) fn is_below(path: &[u8]) -> bool {
    path.is_empty() || path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
}

/// Whether a restore into this directory was broken off.
pub(super) fn is_held_back(directory: &Path) -> bool {
    directory.join(OsStr::from_bytes(HELD_BACK)).exists()
}

/// The places of one data directory.
pub(super) struct Places {
    root: PathBuf,
    /// By the path of the link below the data directory.
    elsewhere: Vec<(Vec<u8>, PathBuf)>,
}

impl Places {
    pub(super) fn new(root: &Path, tablespaces: &[RestoredTablespace], wal: Option<&Path>) -> Places {
        let link =
            |one: &RestoredTablespace| (format!("pg_tblspc/{}", one.oid).into_bytes(), one.location.clone());
        let mut elsewhere: Vec<(Vec<u8>, PathBuf)> = tablespaces.iter().map(link).collect();
        elsewhere.extend(wal.map(|wal| (WAL.to_vec(), wal.to_owned())));
        Places { root: root.to_owned(), elsewhere }
    }

    /// Each directory that files are put into.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.root.as_path()).chain(self.elsewhere.iter().map(|(_, path)| path.as_path()))
    }

    /// The same, each with the path of the link that leads there: that of the data directory is
    /// empty.
    pub(super) fn all(&self) -> impl Iterator<Item = (&[u8], &Path)> {
        let elsewhere = self.elsewhere.iter().map(|(link, path)| (link.as_slice(), path.as_path()));
        std::iter::once((b"".as_slice(), self.root.as_path())).chain(elsewhere)
    }

    /// Where the link of this path leads, if it is one.
    pub(super) fn link(&self, path: &[u8]) -> Option<&Path> {
        self.elsewhere.iter().find(|(link, _)| link == path).map(|(_, target)| target.as_path())
    }

    /// The path of something in the data directory itself, links not followed.
    pub(super) fn inside(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    /// Whether this folder is a link.
    pub(super) fn is_link(&self, path: &[u8]) -> bool {
        self.elsewhere.iter().any(|(link, _)| link == path)
    }

    /// Where something of the data directory is.
    pub(super) fn of(&self, path: &[u8]) -> PathBuf {
        for (link, target) in &self.elsewhere {
            match path.strip_prefix(link.as_slice()) {
                Some(b"") => return target.clone(),
                Some([b'/', rest @ ..]) => return target.join(OsStr::from_bytes(rest)),
                _ => {}
            }
        }
        match path.is_empty() {
            true => self.root.clone(),
            false => self.root.join(OsStr::from_bytes(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_where_links_lead() {
        let tablespace = RestoredTablespace { oid: 16400, name: "fast".into(), location: "/ssd/t".into() };
        let places = Places::new(Path::new("/pg"), &[tablespace], Some(Path::new("/wal")));
        let of = |path: &str| places.of(path.as_bytes()).display().to_string();
        assert_eq!(of(""), "/pg");
        assert_eq!(of("base/5/1259"), "/pg/base/5/1259");
        assert_eq!(of("pg_tblspc/16400"), "/ssd/t");
        assert_eq!(of("pg_tblspc/16400/PG_15_202209061/5/16401"), "/ssd/t/PG_15_202209061/5/16401");
        assert_eq!(of("pg_tblspc/164001"), "/pg/pg_tblspc/164001");
        assert_eq!(of("pg_wal/archive_status"), "/wal/archive_status");
        assert_eq!(places.targets().count(), 3);
        assert!(places.is_link(b"pg_wal") && !places.is_link(b"pg_wal/archive_status"));
        assert_eq!(places.all().map(|(link, _)| link.len()).collect::<Vec<_>>(), [0, 15, 6]);
        assert!(is_below(b"") && is_below(b"base/5/1259") && !is_below(b"base/../x") && !is_below(b"/x"));
    }
}
