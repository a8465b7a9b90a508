//! What is left out, by name and place.
//!
//! Sources: `excludeFiles`, `excludeDirContents` and `sendDir` (PostgreSQL 15,
//! `src/backend/backup/basebackup.c`), `PG_TEMP_FILE_PREFIX` (`src/include/common/file_utils.h`).

/// Folders of the data directory that are taken empty: a start makes their content again, or it
/// would mean something wrong in a copy (slots of replication).
const EMPTIED: [&[u8]; 7] = [
    b"pg_dynshmem",
    b"pg_notify",
    b"pg_replslot",
    b"pg_serial",
    b"pg_snapshots",
    b"pg_stat_tmp",
    b"pg_subtrans",
];

/// Files that are left out wherever they are.
const FILES: [&[u8]; 8] = [
    b"backup_label",
    b"backup_manifest",
    b"backup_manifest.tmp",
    b"current_logfiles.tmp",
    b"postgresql.auto.conf.tmp",
    b"postmaster.opts",
    b"postmaster.pid",
    b"tablespace_map",
];

/// Files of the data directory itself that the server would send, and that would give a restored
/// directory another meaning: a recovery that nobody asked for, and leftovers of one.
const SIGNALS: [&[u8]; 4] =
    [b"backup_label.old", b"recovery.signal", b"standby.signal", b"tablespace_map.old"];

/// Prefix of the relation cache's file, which may have a process number behind it.
const RELATION_CACHE: &[u8] = b"pg_internal.init";

/// Temporary files and folders of them.
const TEMPORARY: &[u8] = b"pgsql_tmp";

/// What happens to a folder in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    /// It is taken with its content.
    Whole,
    /// It is taken, its content is not.
    Empty,
    /// `pg_wal`: of its content only some folders are taken, empty ([`IN_WAL`]).
    Wal,
    /// It is not taken.
    Nothing,
}

/// Folders in `pg_wal` that a server expects, or makes (17 and newer: `summaries`).
pub(super) const IN_WAL: [&[u8]; 2] = [b"pg_wal/archive_status", b"pg_wal/summaries"];

/// Whether a name is temporary, of a file or folder.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY)
}

/// Whether a file or link is left out for its name.
pub(super) fn is_left_out(folder: &[u8], name: &[u8]) -> bool {
    FILES.contains(&name)
        || name.starts_with(RELATION_CACHE)
        || (folder.is_empty() && SIGNALS.contains(&name))
}

/// Whether a file of the data directory, which the server sends, would give a restored directory
/// another meaning; a backup leaves it out.
pub fn changes_a_restore(path: &[u8]) -> bool {
    SIGNALS.contains(&path)
}

/// What happens to the folder `name` in `folder`; `is_version` says which folders of a tablespace
/// belong to this server.
pub(super) fn child(folder: &[u8], name: &[u8], is_version: impl Fn(&[u8]) -> bool) -> Child {
    if is_temporary(name) {
        Child::Nothing
    } else if folder.is_empty() && EMPTIED.contains(&name) {
        Child::Empty
    } else if folder.is_empty() && name == b"pg_wal" {
        Child::Wal
    } else if is_tablespace(folder) && !is_version(name) {
        Child::Nothing
    } else {
        Child::Whole
    }
}

/// Whether it is the folder of a tablespace, whose content may also be of other majors.
pub(super) fn is_tablespace(folder: &[u8]) -> bool {
    folder.strip_prefix(b"pg_tblspc/").is_some_and(|oid| crate::names::number(oid).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_out_by_name_and_place() {
        for name in ["postmaster.pid", "backup_label", "pg_internal.init", "pg_internal.init.123"] {
            assert!(is_left_out(b"", name.as_bytes()) && is_left_out(b"base/5", name.as_bytes()), "{name}");
        }
        for name in ["recovery.signal", "standby.signal", "backup_label.old", "tablespace_map.old"] {
            assert!(is_left_out(b"", name.as_bytes()) && !is_left_out(b"base/5", name.as_bytes()), "{name}");
        }
        for name in ["postgresql.auto.conf", "current_logfiles", "PG_VERSION", "backup_labels"] {
            assert!(!is_left_out(b"", name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn folders_are_taken_whole_empty_or_not() {
        let of = |folder: &str, name: &str| {
            child(folder.as_bytes(), name.as_bytes(), |name| name == b"PG_15_202209061")
        };
        assert_eq!((of("", "pg_replslot"), of("log", "pg_replslot")), (Child::Empty, Child::Whole));
        assert_eq!((of("", "pg_wal"), of("base", "pg_wal")), (Child::Wal, Child::Whole));
        assert_eq!((of("base", "pgsql_tmp"), of("base", "5")), (Child::Nothing, Child::Whole));
        assert_eq!(of("pg_tblspc/16400", "PG_15_202209061"), Child::Whole);
        assert_eq!(of("pg_tblspc/16400", "PG_14_202107181"), Child::Nothing);
        assert_eq!(of("pg_tblspc/16400/PG_15_202209061", "5"), Child::Whole);
    }
}
