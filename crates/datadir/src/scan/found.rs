//! What a scan found.

use super::files::Files;
use crate::names::{RelationFile, is_status_segment, number};

/// A scanned data directory. Paths are below it, with `/` between names, and are bytes.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The major version in `PG_VERSION`.
    pub major: u32,
    /// Every folder that is taken, sorted by path; the first is the directory itself (empty path).
    pub folders: Vec<Folder>,
    /// Sorted by number.
    pub tablespaces: Vec<Tablespace>,
    /// Where `pg_wal` leads, if it is a link.
    pub wal_link: Option<Vec<u8>>,
    /// Other links, which are not followed, sorted by path.
    pub links: Vec<Link>,
    /// FIFOs, sockets and devices, sorted.
    pub special: Vec<Vec<u8>>,
    /// What is not taken.
    pub left_out: LeftOut,
}

/// One folder. Those whose content is left out have no files.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Below the data directory; empty for the directory itself.
    pub path: Vec<u8>,
    /// What its pages are of.
    pub kind: FolderKind,
    /// Permission bits (the low 12); of links that are followed, those of the folder behind.
    pub mode: u16,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Files that consist of pages.
    pub pages: Files,
    /// All other files.
    pub others: Files,
}

/// What a folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// `global`: relations that all databases share.
    Global,
    /// The relations of a database in a tablespace.
    Database {
        /// The tablespace; none: `base`, the default one.
        tablespace: Option<u32>,
        /// The database.
        oid: u32,
    },
    /// `pg_xact`, `pg_commit_ts`, `pg_multixact/members`, `pg_multixact/offsets`: the status of
    /// transactions, in pages without headers and checksums.
    Status,
    /// No pages.
    Other,
}

/// A tablespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tablespace {
    /// Its number.
    pub oid: u32,
    /// Where it is.
    pub location: Location,
}

/// Where a tablespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `pg_tblspc/OID` is a link to this path.
    Link(Vec<u8>),
    /// `pg_tblspc/OID` is a folder (`allow_in_place_tablespaces`).
    InPlace,
}

/// A symbolic link that PostgreSQL did not put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its path.
    pub path: Vec<u8>,
    /// Where it leads, as it is written in it.
    pub target: Vec<u8>,
}

/// How much is not taken, in files and folders. The contents of folders that are taken empty do not
/// count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Temporary files and relations.
    pub temporary: u64,
    /// Files of unlogged relations other than their init fork.
    pub unlogged: u64,
    /// Files that a start makes again, and those that a restore puts itself.
    pub by_name: u64,
}

impl FolderKind {
    /// Of the folder with this path below the data directory.
    pub fn of(path: &[u8]) -> FolderKind {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let database = |tablespace, oid| match number(oid) {
            Some(oid) => FolderKind::Database { tablespace, oid },
            None => FolderKind::Other,
        };
        match names.as_slice() {
            [b"global"] => FolderKind::Global,
            [b"base", oid] => database(None, oid),
            [b"pg_tblspc", tablespace, version, oid] if version.starts_with(b"PG_") => {
                match number(tablespace) {
                    Some(tablespace) => database(Some(tablespace), oid),
                    None => FolderKind::Other,
                }
            }
            [b"pg_xact"] | [b"pg_commit_ts"] | [b"pg_multixact", b"members" | b"offsets"] => {
                FolderKind::Status
            }
            _ => FolderKind::Other,
        }
    }

    /// Whether a file of this name in it consists of pages.
    pub fn has_pages(self, name: &[u8]) -> bool {
        match self {
            FolderKind::Global | FolderKind::Database { .. } => RelationFile::parse(name).is_some(),
            FolderKind::Status => is_status_segment(name),
            FolderKind::Other => false,
        }
    }

    /// Whether its pages have headers and, in clusters with data checksums, checksums.
    pub fn has_headers(self) -> bool {
        matches!(self, FolderKind::Global | FolderKind::Database { .. })
    }
}

impl Scan {
    /// The folder with this path.
    pub fn folder(&self, path: &[u8]) -> Option<&Folder> {
        let found = self.folders.binary_search_by(|folder| folder.path.as_slice().cmp(path));
        found.ok().and_then(|at| self.folders.get(at))
    }

    /// How many files are taken.
    pub fn files(&self) -> usize {
        self.folders.iter().map(|folder| folder.pages.len() + folder.others.len()).sum()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.folders.iter().map(|folder| folder.pages.bytes().saturating_add(folder.others.bytes())).sum()
    }

    /// Bytes of memory that folders and files take.
    pub fn memory(&self) -> usize {
        let of_folder = |folder: &Folder| {
            size_of::<Folder>() + folder.path.capacity() + folder.pages.memory() + folder.others.memory()
        };
        self.folders.iter().map(of_folder).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_told_apart_by_their_paths() {
        let of = |path: &str| FolderKind::of(path.as_bytes());
        assert_eq!(of("global"), FolderKind::Global);
        assert_eq!(of("base/5"), FolderKind::Database { tablespace: None, oid: 5 });
        let other = FolderKind::Database { tablespace: Some(16400), oid: 5 };
        assert_eq!(of("pg_tblspc/16400/PG_15_202209061/5"), other);
        for status in ["pg_xact", "pg_commit_ts", "pg_multixact/members", "pg_multixact/offsets"] {
            assert_eq!(of(status), FolderKind::Status);
        }
        for path in [
            "",
            "base",
            "base/05",
            "base/x",
            "base/5/6",
            "global/5",
            "pg_tblspc",
            "pg_tblspc/16400",
            "pg_tblspc/16400/PG_15_202209061",
            "pg_tblspc/x/PG_15_202209061/5",
            "pg_tblspc/16400/other/5",
            "pg_multixact",
            "pg_multixact/more",
            "pg_subtrans",
            "log/pg_xact",
        ] {
            assert_eq!(of(path), FolderKind::Other, "{path}");
        }
    }

    #[test]
    fn files_with_pages() {
        let database = FolderKind::Database { tablespace: None, oid: 5 };
        for kind in [database, FolderKind::Global] {
            assert!(kind.has_headers() && kind.has_pages(b"1259_vm.1"));
            assert!(!kind.has_pages(b"PG_VERSION") && !kind.has_pages(b"pg_filenode.map"));
        }
        assert!(!FolderKind::Status.has_headers() && FolderKind::Status.has_pages(b"0000"));
        assert!(!FolderKind::Status.has_pages(b"16384_vm") && !FolderKind::Other.has_pages(b"1259"));
    }
}
