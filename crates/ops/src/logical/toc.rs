//! The table of contents in pg_dump's directory format: how backups keep it, and exports write it.

use pgark_bytes::archive::{self, Archive, DirectoryCompression, TocEntry};

/// `toc.dat` of a directory archive with plain data files.
pub(crate) fn directory_toc(archive: &Archive) -> Vec<u8> {
    archive::write_directory_toc(archive, &|toc| data_file(archive, toc), DirectoryCompression::None)
}

/// The name that pg_dump gives an entry's data file (PostgreSQL 15 and 17, pg_backup_directory.c,
/// `_ArchiveEntry`). From archive version 1.16 each BLOBS entry has its own list.
pub(crate) fn data_file(archive: &Archive, toc: &TocEntry) -> Option<String> {
    match toc.kind() {
        _ if !toc.had_dumper => None,
        "BLOBS" => Some(blobs_toc(archive, toc)),
        _ => Some(format!("{}.dat", toc.dump_id)),
    }
}

/// The list of the large objects of a BLOBS entry.
pub(crate) fn blobs_toc(archive: &Archive, toc: &TocEntry) -> String {
    if archive.header.version >= archive::ArchiveVersion::V1_16 {
        format!("blobs_{}.toc", toc.dump_id)
    } else {
        "blobs.toc".to_string()
    }
}
