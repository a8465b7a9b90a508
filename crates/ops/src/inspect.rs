//! Look into a repository: `list`, `show`, `ls`, `cat`.

use std::io::Write;

use pgark_repo::{Backup, Entry, Repository};
use serde::Serialize;

use crate::advice::{Operation, advice};
use crate::facts::{About, Note};
use crate::logical::toc;
use crate::select::{self, Wanted};
use crate::{BackupDetail, BackupName, BackupRecord, DatabaseDetail, Job, OpsError, TableDetail, paths};

/// Every backup, of one cluster or of all, oldest first.
pub fn list(repository: &Repository, cluster: Option<&str>) -> Result<Vec<BackupRecord>, OpsError> {
    let heads = repository.backups()?;
    let own = heads.iter().filter(|head| cluster.is_none_or(|cluster| head.cluster == cluster));
    own.map(BackupRecord::of).collect()
}

/// One backup with its databases and tables.
pub fn show(repository: &Repository, name: &BackupName) -> Result<BackupDetail, OpsError> {
    let backup = open(repository, name, Wanted::Any)?;
    let about = About::of(&backup.head)?;
    let mut contents: Vec<DatabaseDetail> = about
        .databases
        .iter()
        .map(|name| DatabaseDetail {
            database: name.clone(),
            tables: 0,
            rows: 0,
            large_objects: 0,
            bytes_raw: 0,
            bytes_added: 0,
            read: about.reads.get(name).cloned().unwrap_or_default(),
        })
        .collect();
    let mut tables = Vec::new();
    for entry in backup.entries_with_additions()? {
        let (entry, addition) = entry?;
        let (database, rows, objects) = match Note::of(&backup, &entry)? {
            note @ Note::Table { .. } => match TableDetail::of(note, &entry, &addition) {
                Some(table) => {
                    let (database, rows) = (table.database.clone(), table.rows);
                    tables.push(table);
                    (database, Some(rows), 0)
                }
                None => continue,
            },
            Note::LargeObjects { database, objects } => (database, None, objects),
            Note::Toc { database, .. } | Note::Definition { database } => (database, None, 0),
            Note::Globals | Note::Manifest | Note::Settings | Note::ServerFile { .. } | Note::OfNewer => {
                continue;
            }
        };
        if let Some(detail) = contents.iter_mut().find(|detail| detail.database == database) {
            detail.tables += u64::from(rows.is_some());
            detail.rows += rows.unwrap_or(0);
            detail.large_objects += objects;
            detail.bytes_raw += entry.bytes_raw;
            detail.bytes_added += addition.bytes;
        }
    }
    Ok(BackupDetail { record: BackupRecord::of(&backup.head)?, missing: about.missing, contents, tables })
}

/// One line of `ls`.
#[derive(Debug, Serialize)]
pub struct EntryLine {
    /// The entry's path.
    pub path: String,
    /// `table`, `large objects`, `toc`, `definition`, `globals`, `manifest`, `settings`,
    /// `server file`, or what a newer version calls it.
    pub kind: String,
    /// Bytes of its content.
    pub bytes_raw: u64,
}

/// The entries of a backup, all or below a path (`ID` or `ID:/PATH`).
pub fn ls(repository: &Repository, place: &BackupName) -> Result<Vec<EntryLine>, OpsError> {
    let (id, path) = split(&place.text);
    let path = &*paths::as_stored(path);
    let backup = open(repository, &place.with_text(id), Wanted::Any)?;
    let mut lines = Vec::new();
    for entry in backup.entries_below(path.trim_end_matches('/')) {
        let entry = entry?;
        if is_below(&entry.path, path) {
            let (kind, bytes_raw) = (Note::kind_of(&entry), shown_bytes(&entry));
            lines.push(EntryLine { path: entry.path, kind, bytes_raw });
        }
    }
    if lines.is_empty() {
        return Err(no_entry(id, path));
    }
    Ok(lines)
}

/// Writes the content of one entry (`ID:/PATH`).
pub fn cat(
    repository: &Repository,
    place: &BackupName,
    output: &mut dyn Write,
    job: &Job,
) -> Result<(), OpsError> {
    let repository = &job.on(repository);
    let text = &place.text;
    let (id, path) = split(text);
    let path = &*paths::as_stored(path);
    if path.is_empty() {
        return Err(OpsError::Usage(advice![
            format!("{text:?} names no entry; write ID:/PATH as "),
            Operation::ListEntries { backup: None },
            " shows it",
        ]));
    }
    let backup = open(repository, &place.with_text(id), Wanted::Any)?;
    let entry = backup.entry(path)?.ok_or_else(|| no_entry(id, path))?;
    let reader = repository.reader(&backup.head)?;
    if let Some(Note::Toc { bytes: Some(_), .. }) = Note::read(&entry) {
        let archive = toc::from_entry(&reader, &entry, true)?;
        output.write_all(&toc::directory_toc(&archive)).map_err(OpsError::Output)?;
        return output.flush().map_err(OpsError::Output);
    }
    let mut content = reader.read(&entry);
    while let Some(chunk) = content.next_chunk()? {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        output.write_all(&chunk).map_err(OpsError::Output)?;
    }
    output.flush().map_err(OpsError::Output)
}

/// So many bytes does `cat` write.
fn shown_bytes(entry: &Entry) -> u64 {
    match Note::read(entry) {
        Some(Note::Toc { bytes: Some(bytes), .. }) => bytes,
        _ => entry.bytes_raw,
    }
}

pub(crate) fn open<'r>(
    repository: &'r Repository,
    name: &BackupName,
    wanted: Wanted,
) -> Result<Backup<'r>, OpsError> {
    let opened =
        repository.open_chosen(|heads| select::choose(heads, name, wanted, &|text| repository.warn(text)));
    opened.map_err(|error: OpsError| match error {
        OpsError::Repository(_) => error,
        error => select::or_set_aside(repository, name, error),
    })
}

/// Splits `ID:/PATH`; `latest:DB` keeps its colon, since a path begins with a slash.
fn split(text: &str) -> (&str, &str) {
    match text.find(":/") {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn no_entry(id: &str, path: &str) -> OpsError {
    OpsError::refused(
        format!("backup {id} holds no entry {path}"),
        advice![Operation::ListEntries { backup: Some(id.to_string()) }, " shows its entries"],
    )
}

#[cfg(test)]
mod tests {
    use super::{is_below, split};

    #[test]
    fn a_path_begins_at_colon_slash() {
        assert_eq!(split("latest:shop"), ("latest:shop", ""));
        assert_eq!(split("latest:shop:/db/shop/toc.dat"), ("latest:shop", "/db/shop/toc.dat"));
        assert_eq!(split("12ab:/globals.sql"), ("12ab", "/globals.sql"));
    }

    #[test]
    fn below_means_a_whole_component() {
        assert!(is_below("/db/shop/toc.dat", "/db/shop"));
        assert!(is_below("/db/shop/toc.dat", ""));
        assert!(!is_below("/db/shop2/toc.dat", "/db/shop"));
    }
}
