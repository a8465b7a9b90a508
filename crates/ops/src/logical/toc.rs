//! The table of contents in pg_dump's directory format, as `cat` and exports write it; and how
//! backups keep it, so that it is stored in proportion to what changed.

use pgark_bytes::archive::{self, Archive, ArchiveError, DirectoryCompression, TocEntry, stable};
use pgark_repo::{Backup, DataReader, Entry};

use crate::facts::Note;
use crate::logical::whole::read_whole;
use crate::{OpsError, paths};

/// Takes a piece of a part, and its name.
type Piece<'p> = &'p mut dyn FnMut(&[u8], &[u8]) -> Result<(), OpsError>;

/// What the entry of a table of contents holds.
pub(crate) enum StoredToc {
    /// With numbers that do not shift; and its length in the directory format.
    Settled(Box<Archive>, u64),
    /// In the directory format, because it would not come back from the other as it was.
    AsItIs(Vec<u8>),
}

impl StoredToc {
    pub(crate) fn of(archive: &Archive) -> StoredToc {
        let toc = directory_toc(archive);
        match settled(&toc) {
            Some(settled) => StoredToc::Settled(Box::new(settled), toc.len() as u64),
            None => StoredToc::AsItIs(toc),
        }
    }

    /// What its note says.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            StoredToc::Settled(_, bytes) => Some(*bytes),
            StoredToc::AsItIs(_) => None,
        }
    }

    /// Its parts: `piece` takes pieces of one, each with a name that it has in every backup, `end`
    /// ends one. The header, which tells when it was made, is a part for itself.
    pub(crate) fn write(
        &self,
        piece: Piece<'_>,
        end: &mut dyn FnMut() -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        match self {
            StoredToc::Settled(settled, _) => {
                let (head, mut entries) = archive::toc_pieces(settled);
                piece(&head, b"")?;
                // And the entry with what shifts.
                piece(&entries.next().unwrap_or_default(), b"")?;
                end()?;
                for (entry, bytes) in settled.entries.iter().skip(1).zip(entries) {
                    piece(&bytes, &name_of(entry))?;
                }
            }
            StoredToc::AsItIs(toc) => piece(toc, b"")?,
        }
        end()
    }
}

/// The same with numbers that do not shift; None if it would not come back from them as it was.
fn settled(toc: &[u8]) -> Option<Archive> {
    let settled = stable::settled(archive::read_toc(&mut &*toc).ok()?)?;
    let back =
        stable::restored(archive::read_toc(&mut archive::write_toc(&settled).as_slice()).ok()?).ok()?;
    let back = with_files(back);
    let (head, entries) = archive::toc_pieces(&back);
    let mut rest = toc.strip_prefix(&*head)?;
    for entry in entries {
        rest = rest.strip_prefix(&*entry)?;
    }
    rest.is_empty().then_some(settled)
}

fn name_of(toc: &TocEntry) -> Vec<u8> {
    let namespace = toc.namespace.as_deref().unwrap_or_default();
    [toc.desc.as_deref().unwrap_or_default(), namespace, toc.tag_bytes()].join(b"\0".as_slice())
}

/// The table of contents of a database.
pub(crate) fn read(
    backup: &Backup<'_>,
    reader: &DataReader<'_>,
    database: &str,
) -> Result<Option<Archive>, OpsError> {
    let Some(entry) = backup.entry(&paths::toc(database))? else { return Ok(None) };
    let Note::Toc { bytes, .. } = Note::of(backup, &entry)? else { return Ok(None) };
    from_entry(reader, &entry, bytes.is_some()).map(Some)
}

/// The table of contents that an entry holds.
pub(crate) fn from_entry(
    reader: &DataReader<'_>,
    entry: &Entry,
    is_settled: bool,
) -> Result<Archive, OpsError> {
    let bytes = read_whole(reader, entry)?;
    let read = || -> Result<Archive, ArchiveError> {
        let archive = archive::read_toc(&mut bytes.as_slice())?;
        match is_settled {
            true => stable::restored(archive).map(with_files),
            false => Ok(archive),
        }
    };
    read().map_err(|source| OpsError::Archive { of: entry.path.clone(), source })
}

/// With the names of its data files.
fn with_files(mut archive: Archive) -> Archive {
    let names: Vec<_> = archive.entries.iter().map(|toc| data_file(&archive, toc)).collect();
    for (toc, name) in archive.entries.iter_mut().zip(names) {
        toc.file_name = Some(name.unwrap_or_default().into_bytes());
    }
    archive
}

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
