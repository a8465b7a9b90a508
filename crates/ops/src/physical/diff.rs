//! `diff` of two physical backups: which files of the data directory differ, and in how many pages.
//!
//! It is made of what describes the backups: lists of entries, maps and their item lists. No page
//! and no file is read, so a writer key is enough. Both lists of entries are gone through together,
//! in the order of their paths. A file that does not consist of pages differs if its digest does.
//!
//! **Memory.** The lists of a few maps, and what is known of each file of one folder; and the
//! result, which names every file that differs.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;

use pgark_repo::{Backup, Entry, FileDifference, Part, RepoError};
use schemars::JsonSchema;
use serde::Serialize;

use super::files::{self, path as path_of};
use crate::facts::Note;
use crate::{Job, OpsError, paths};

/// What changed in the data directory from `a` to `b`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct DirectoryDiff {
    /// Id of the first backup, the older side of the comparison.
    pub a: String,
    /// Id of the second backup.
    pub b: String,
    /// Number of files that only the second backup contains.
    pub files_added: u64,
    /// Number of files that only the first backup contains.
    pub files_removed: u64,
    /// Number of files that both contain, and that differ.
    pub files_changed: u64,
    /// Number of pages that differ in these, as far as it is known.
    pub pages_changed: u64,
    /// Number of changed files whose changed pages are unknown, because the lists of their pages
    /// are damaged or gone.
    pub files_unknown: u64,
    /// Folders that differ, ordered by path.
    pub folders: Vec<FolderChange>,
    /// Files that differ, ordered by path.
    pub files: Vec<FileChange>,
}

/// A folder in which something differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FolderChange {
    /// Path of the folder in the backups.
    pub path: String,
    /// `added` or `removed`; null: both backups have the folder.
    pub change: Option<Change>,
    /// Number of files in it that only the second backup contains.
    pub files_added: u64,
    /// Number of files in it that only the first backup contains.
    pub files_removed: u64,
    /// Number of files in it that differ.
    pub files_changed: u64,
    /// Number of pages that differ in these, as far as it is known.
    pub pages_changed: u64,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileChange {
    /// Path of the file in the backups, as `ls` shows it.
    pub path: String,
    /// What became of it.
    pub change: Change,
    /// Whether the file consists of pages.
    pub is_paged: bool,
    /// Number of pages that differ; of a file that only one backup contains, all its pages. Null:
    /// it does not consist of pages, or the lists of its pages are damaged or gone.
    pub pages: Option<u64>,
    /// Size in bytes in the first and in the second backup; null where the file does not exist.
    pub bytes: (Option<u64>, Option<u64>),
}

/// What became of a file or folder: `added`, `removed` or `changed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "FileChangeKind")]
pub enum Change {
    /// Only the second backup has it.
    Added,
    /// Only the first backup has it.
    Removed,
    /// Both have it.
    Changed,
}

impl Change {
    /// The word for people, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Changed => "changed",
        }
    }

    fn of(bytes: (Option<u64>, Option<u64>)) -> Change {
        match bytes {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        }
    }
}

impl DirectoryDiff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.files.is_empty()
    }
}

/// Compares two physical backups.
pub(crate) fn compare(a: &Backup<'_>, b: &Backup<'_>, job: &Job) -> Result<DirectoryDiff, OpsError> {
    if !a.shares_keys_with(b) {
        return Err(OpsError::refused(
            format!(
                "backups {} and {} are of the clusters {} and {}, which have different keys: their hashes cannot be \
                 compared",
                a.head.id, b.head.id, a.head.cluster, b.head.cluster
            ),
            "compare two backups of one cluster",
        ));
    }
    let mut found = Found { a, b, job, folders: BTreeMap::new(), files: Vec::new() };
    let (mut own, mut others) = (a.entries().peekable(), b.entries().peekable());
    loop {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        match next(&mut own, &mut others)? {
            (None, None) => break,
            (Some(own), Some(other)) => found.both(&own, &other)?,
            (Some(own), None) => found.alone(a, &own, Change::Removed)?,
            (None, Some(other)) => found.alone(b, &other, Change::Added)?,
        }
    }
    Ok(found.report())
}

/// The entry of the next path, on one side or on both.
fn next(
    own: &mut Peekable<impl Iterator<Item = Result<Entry, RepoError>>>,
    others: &mut Peekable<impl Iterator<Item = Result<Entry, RepoError>>>,
) -> Result<(Option<Entry>, Option<Entry>), RepoError> {
    let order = match (own.peek(), others.peek()) {
        (Some(Ok(own)), Some(Ok(other))) => own.path.cmp(&other.path),
        (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
        _ => Ordering::Less,
    };
    Ok(match order {
        Ordering::Less => (own.next().transpose()?, None),
        Ordering::Greater => (None, others.next().transpose()?),
        Ordering::Equal => (own.next().transpose()?, others.next().transpose()?),
    })
}

/// What was found so far.
struct Found<'a> {
    a: &'a Backup<'a>,
    b: &'a Backup<'a>,
    job: &'a Job,
    folders: BTreeMap<String, FolderChange>,
    files: Vec<FileChange>,
}

impl Found<'_> {
    /// An entry that both backups have.
    fn both(&mut self, own: &Entry, other: &Entry) -> Result<(), OpsError> {
        match (is_folder(own), is_folder(other)) {
            (true, true) => {
                let stop = || self.job.cancel.check().map_err(|_| RepoError::Cancelled);
                for file in self.a.differing_files(own, self.b, other, &mut || stop())? {
                    self.page_file(own, file);
                }
                Ok(())
            }
            (false, false) => {
                if is_left_out(own) || has_equal_content(own, other) {
                    return Ok(());
                }
                self.plain_file(&own.path, (Some(own.bytes_raw), Some(other.bytes_raw)));
                Ok(())
            }
            // A file where a folder was, or the other way round.
            _ => {
                self.alone(self.a, own, Change::Removed)?;
                self.alone(self.b, other, Change::Added)
            }
        }
    }

    /// An entry that only one backup has.
    fn alone(&mut self, backup: &Backup<'_>, entry: &Entry, change: Change) -> Result<(), OpsError> {
        let on_its_side = |bytes| match change {
            Change::Added => (None, Some(bytes)),
            _ => (Some(bytes), None),
        };
        if !is_folder(entry) {
            if !is_left_out(entry) {
                self.plain_file(&entry.path, on_its_side(entry.bytes_raw));
            }
            return Ok(());
        }
        self.folder(&entry.path).change = Some(change);
        for (path, file) in files::with_pages(backup, entry)? {
            self.file(FileChange {
                path,
                change,
                is_paged: true,
                pages: Some(file.pages),
                bytes: on_its_side(file.bytes),
            });
        }
        Ok(())
    }

    fn page_file(&mut self, folder: &Entry, file: FileDifference) {
        self.file(FileChange {
            path: path_of(folder, &file.name),
            change: Change::of(file.bytes),
            is_paged: true,
            pages: file.pages,
            bytes: file.bytes,
        });
    }

    fn plain_file(&mut self, path: &str, bytes: (Option<u64>, Option<u64>)) {
        let change = Change::of(bytes);
        self.file(FileChange { path: path.to_string(), change, is_paged: false, pages: None, bytes });
    }

    fn file(&mut self, file: FileChange) {
        let path = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = self.folder(if path.is_empty() { "/" } else { path });
        match file.change {
            Change::Added => folder.files_added += 1,
            Change::Removed => folder.files_removed += 1,
            Change::Changed => {
                folder.files_changed += 1;
                folder.pages_changed += file.pages.unwrap_or(0);
            }
        }
        self.files.push(file);
    }

    fn folder(&mut self, path: &str) -> &mut FolderChange {
        let new = || FolderChange { path: path.to_string(), ..FolderChange::default() };
        self.folders.entry(path.to_string()).or_insert_with(new)
    }

    fn report(self) -> DirectoryDiff {
        let Found { a, b, folders, mut files, .. } = self;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let folders: Vec<FolderChange> = folders.into_values().collect();
        let sum = |of: fn(&FolderChange) -> u64| folders.iter().map(of).sum();
        let is_unknown =
            |file: &&FileChange| file.is_paged && file.change == Change::Changed && file.pages.is_none();
        DirectoryDiff {
            a: a.head.id.to_string(),
            b: b.head.id.to_string(),
            files_added: sum(|folder| folder.files_added),
            files_removed: sum(|folder| folder.files_removed),
            files_changed: sum(|folder| folder.files_changed),
            pages_changed: sum(|folder| folder.pages_changed),
            files_unknown: files.iter().filter(is_unknown).count() as u64,
            folders,
            files,
        }
    }
}

/// Whether an entry is a folder with files of pages.
fn is_folder(entry: &Entry) -> bool {
    matches!(Note::read(entry), Some(Note::Folder { .. }))
}

/// It tells when its backup was made, and is never the same.
fn is_left_out(entry: &Entry) -> bool {
    entry.path == paths::MANIFEST
}

/// Within the keys of one cluster, equal content has equal digests.
fn has_equal_content(own: &Entry, other: &Entry) -> bool {
    let digests = |entry: &Entry| entry.parts.iter().map(Part::digest).collect::<Option<Vec<String>>>();
    match (digests(own), digests(other)) {
        (Some(own), Some(other)) => own == other,
        _ => false,
    }
}
