//! Look into a repository: `list`, `show`, `ls`, `cat`.

use std::collections::BTreeSet;
use std::io::Write;

use jiff::Timestamp;
use pgark_repo::{Backup, Entry, Repository};
use schemars::JsonSchema;
use serde::Serialize;

use crate::advice::{Operation, advice};
use crate::facts::{About, BackupStatus, Note};
use crate::logical::toc;
use crate::nearest;
use crate::physical::files;
use crate::select::{self, Wanted};
use crate::{BackupDetail, BackupName, BackupRecord, DatabaseDetail, Job, OpsError, TableDetail, paths};

/// Which backups are listed: those that all of these let through.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Of this cluster.
    pub cluster: Option<String>,
    /// That hold any of these databases; empty: all.
    pub databases: Vec<String>,
    /// Whose content is of then or later.
    pub since: Option<Timestamp>,
    /// Whose content is of then or earlier.
    pub until: Option<Timestamp>,
    /// With this status.
    pub status: Option<BackupStatus>,
    /// With any of these tags; empty: all.
    pub tags: Vec<String>,
    /// Of what is left only the newest so many.
    pub last: Option<usize>,
}

/// Backups, oldest first.
#[derive(Debug)]
pub struct Listed {
    /// Those that the filter lets through.
    pub backups: Vec<BackupRecord>,
    /// So many digits of an id name one backup of all that the repository holds.
    pub digits: usize,
}

/// An id is never shown with fewer digits: it stays unique for a while.
const FEWEST_DIGITS: usize = 8;

/// The backups of a repository, oldest first, with their tags.
///
/// # Errors
/// A cluster of which there is no backup, and what the repository says.
pub fn list(repository: &Repository, filter: &ListFilter) -> Result<Listed, OpsError> {
    let heads = repository.backups()?;
    let digits = digits(&heads.iter().map(|head| head.id.to_string()).collect::<Vec<_>>());
    select::refuse_unknown_cluster(&heads, filter.cluster.as_deref())?;
    let tags = repository.tags()?;
    let mut backups = Vec::new();
    for head in heads.iter().filter(|head| filter.cluster.as_ref().is_none_or(|name| head.cluster == *name)) {
        let mut record = BackupRecord::of(head)?;
        record.tags = tags.get(&head.id).into_iter().flatten().cloned().collect();
        if filter.lets_through(&record) {
            if let Some(why) = tags.unreadable(&head.id) {
                repository.warn(&format!("the tags of backup {} cannot be read: {why}", head.id));
            }
            backups.push(record);
        }
    }
    if let Some(last) = filter.last {
        backups.drain(..backups.len().saturating_sub(last));
    }
    Ok(Listed { backups, digits })
}

impl ListFilter {
    fn lets_through(&self, record: &BackupRecord) -> bool {
        let any = |wanted: &[String], own: &[String]| {
            wanted.is_empty() || wanted.iter().any(|wanted| own.contains(wanted))
        };
        let time = record.content_time();
        any(&self.databases, &record.databases)
            && any(&self.tags, &record.tags)
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time <= until))
            && self.status.as_ref().is_none_or(|status| record.status == *status)
    }
}

/// With how many digits each of these ids, all of one length, is another one.
fn digits(ids: &[String]) -> usize {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let alike = |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count() + 1;
    sorted.windows(2).map(alike).max().unwrap_or(0).max(FEWEST_DIGITS)
}

/// One backup with its databases and tables; of `ID:DB` with this database alone.
pub fn show(repository: &Repository, name: &BackupName) -> Result<BackupDetail, OpsError> {
    let backup = open(repository, name, Wanted::Any)?;
    let about = About::of(&backup.head)?;
    let is_wanted = |database: &str| name.database().is_none_or(|wanted| database == wanted);
    let mut contents: Vec<DatabaseDetail> = about
        .databases
        .iter()
        .filter(|database| is_wanted(database))
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
                Some(table) if !is_wanted(&table.database) => continue,
                Some(table) => {
                    let (database, rows) = (table.database.clone(), table.rows);
                    tables.push(table);
                    (database, Some(rows), 0)
                }
                None => continue,
            },
            Note::LargeObjects { database, objects } => (database, None, objects),
            Note::Toc { database, .. } | Note::Definition { database } | Note::Catalog { database } => {
                (database, None, 0)
            }
            Note::Globals
            | Note::Manifest
            | Note::Settings
            | Note::ServerFile { .. }
            | Note::Folder { .. }
            | Note::File { .. }
            | Note::Wal
            | Note::OfNewer => continue,
        };
        if let Some(detail) = contents.iter_mut().find(|detail| detail.database == database) {
            detail.tables += u64::from(rows.is_some());
            detail.rows += rows.unwrap_or(0);
            detail.large_objects += objects;
            detail.bytes_raw += entry.bytes_raw;
            detail.bytes_added += addition.bytes;
        }
    }
    let mut record = BackupRecord::of(&backup.head)?;
    record.tags = Vec::from_iter(repository.tags_of(&backup.head)?);
    let system_identifier = Some(about.system_identifier).filter(|identifier| !identifier.is_empty());
    // What is in a data directory is not told by database.
    if about.physical.is_some() {
        contents.clear();
    }
    let physical = about.physical;
    Ok(BackupDetail { record, system_identifier, missing: about.missing, physical, contents, tables })
}

/// An entry of a backup.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Entry")]
pub struct EntryLine {
    /// Path of the entry.
    pub path: String,
    /// `table`, `large objects`, `toc`, `definition`, `catalog`, `globals`, `manifest`,
    /// `settings`, `server file`; of physical backups `folder` (of a data directory), `page file`
    /// (a file in it that consists of pages), `file`, `wal`; or what a newer version calls it.
    pub kind: String,
    /// Size of its content in bytes, before deduplication and compression.
    pub bytes_raw: u64,
}

/// The entries of a backup, all, of one database (`ID:DB`), or below a path (`ID:/PATH`).
pub fn ls(repository: &Repository, place: &BackupName) -> Result<Vec<EntryLine>, OpsError> {
    let (id, path) = split(&place.text);
    let name = place.with_text(id);
    let path = &*match (path, name.database()) {
        ("", Some(database)) => paths::folder(database),
        (path, _) => paths::as_stored(path),
    };
    let backup = open(repository, &name, Wanted::Any)?;
    let mut lines = Vec::new();
    for entry in backup.entries_below(path.trim_end_matches('/')) {
        let entry = entry?;
        if is_below(&entry.path, path) {
            let (kind, bytes_raw) = (Note::kind_of(&entry), shown_bytes(&entry));
            let files = files::files(&backup, &entry)?;
            lines.push(EntryLine { path: entry.path, kind, bytes_raw });
            let file = |(path, bytes_raw)| EntryLine { path, kind: "page file".to_string(), bytes_raw };
            lines.extend(files.into_iter().map(file));
        }
    }
    if lines.is_empty()
        && let Some((folder, _)) = path.rsplit_once('/')
        && let Some(entry) = backup.entry(folder)?
    {
        let files = files::files(&backup, &entry)?.into_iter().filter(|(file, _)| file == path);
        let file = |(path, bytes_raw)| EntryLine { path, kind: "page file".to_string(), bytes_raw };
        lines.extend(files.map(file));
    }
    if lines.is_empty() {
        return Err(no_entry(&backup, id, path));
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
            format!("{text:?} does not name an entry; write ID:/PATH as "),
            Operation::ListEntries { backup: None },
            " shows it",
        ]));
    }
    let backup = open(repository, &place.with_text(id), Wanted::Any)?;
    let reader = repository.reader(&backup.head)?;
    let Some(entry) = backup.entry(path)? else {
        return match files::find(&backup, path)? {
            Some(file) => file.write(&reader, output, job),
            None => Err(no_entry(&backup, id, path)),
        };
    };
    if let Some(Note::Folder { .. }) = Note::read(&entry) {
        return Err(OpsError::refused(
            format!("{path} is a folder of a data directory"),
            advice![
                "name a file in it; ",
                Operation::ListEntries { backup: Some(id.to_string()) },
                " shows them"
            ],
        ));
    }
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

fn no_entry(backup: &Backup<'_>, id: &str, path: &str) -> OpsError {
    let near = nearest_paths(backup, path);
    let near = match near.is_empty() {
        true => String::new(),
        false => format!("did you mean {}? ", near.join(" or ")),
    };
    OpsError::refused(
        format!("backup {id} has no entry {path}"),
        advice![near, Operation::ListEntries { backup: Some(id.to_string()) }, " shows its entries"],
    )
}

/// The entries and folders that were probably meant, the nearest first. What cannot be read of the
/// list is not looked at: the error that is on its way counts more.
fn nearest_paths(backup: &Backup<'_>, wanted: &str) -> Vec<String> {
    /// More would be a list to read through.
    const TOLD: usize = 3;
    let mut found: BTreeSet<(usize, String)> = BTreeSet::new();
    for entry in backup.entries_below("").map_while(Result::ok) {
        let mut path = entry.path.as_str();
        while let Some((folder, _)) = path.rsplit_once('/').filter(|_| !path.is_empty()) {
            if let Some(difference) = path_difference(wanted, path) {
                found.insert((difference, path.to_string()));
                if found.len() > TOLD {
                    found.pop_last();
                }
            }
            path = folder;
        }
    }
    // Others that are as near as nothing to what was typed do not help.
    let best = found.first().map_or(0, |(difference, _)| *difference);
    found.into_iter().filter(|(difference, _)| *difference <= best * 2).map(|(_, path)| path).collect()
}

/// How unlike two paths are: their last component must be alike, and then their folders count too.
fn path_difference(wanted: &str, path: &str) -> Option<usize> {
    let parts = |path: &'_ str| {
        path.trim_end_matches('/').rsplit_once('/').map(|(a, b)| (a.to_string(), b.to_string()))
    };
    let ((folder, name), (known_folder, known_name)) = (parts(wanted)?, parts(path)?);
    let difference = nearest::difference(&name, &known_name)?;
    Some(difference * 2 + nearest::distance(&folder, &known_folder).min(3))
}

#[cfg(test)]
mod tests {
    use super::{digits, is_below, split};

    #[test]
    fn a_path_begins_at_colon_slash() {
        assert_eq!(split("latest:shop"), ("latest:shop", ""));
        assert_eq!(split("latest:shop:/db/shop/toc.dat"), ("latest:shop", "/db/shop/toc.dat"));
        assert_eq!(split("12ab:/globals.sql"), ("12ab", "/globals.sql"));
    }

    #[test]
    fn short_ids_are_unique() {
        let ids = |texts: &[&str]| digits(&texts.iter().map(|text| (*text).to_string()).collect::<Vec<_>>());
        assert_eq!(ids(&[]), 8);
        assert_eq!(ids(&["0123456789abcdef", "1123456789abcdef"]), 8);
        assert_eq!(ids(&["0123456789abcdef", "ffff000000000000", "0123456789a00000"]), 12);
    }

    #[test]
    fn below_means_a_whole_component() {
        assert!(is_below("/db/shop/toc.dat", "/db/shop"));
        assert!(is_below("/db/shop/toc.dat", ""));
        assert!(!is_below("/db/shop2/toc.dat", "/db/shop"));
    }
}
