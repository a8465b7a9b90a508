//! What a backup says of itself: the record that `list` shows, and the notes beside each entry.

use std::collections::BTreeMap;
use std::time::Duration;

use pgark_repo::{Backup, BackupHead, BackupWriter, Class, Cut, Entry, NewEntry, PartSummary};
use serde::{Deserialize, Serialize};

use crate::logical::backup::{Filters, Selection, Server};
use crate::logical::rowmap::MapNote;
use crate::{OpsError, paths};

/// One backup as `list --json` and `backup --json` print it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupRecord {
    /// 16 hex digits.
    pub id: String,
    /// When the backup's manifest was written: RFC 3339, UTC.
    pub time: String,
    /// The cluster's name.
    pub cluster: String,
    /// `logical`.
    pub kind: String,
    /// `complete` or `incomplete`.
    pub status: String,
    /// Made with filters: it holds a part of what there was, and is `latest` only with `--partial`.
    #[serde(default)]
    pub partial: bool,
    /// Its time lies ahead of the storage's clock: it is never `latest`, and no rule of `forget` counts it.
    #[serde(default)]
    pub ahead: bool,
    /// Names of the databases inside.
    pub databases: Vec<String>,
    /// Bytes of COPY text and other content.
    pub bytes_raw: u64,
    /// All bytes that this backup put to the storage.
    pub bytes_added: u64,
    /// How long it took, up to the manifest's put.
    pub seconds: f64,
    /// What the operator was told.
    pub warnings: Vec<String>,
}

/// One backup as `show` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct BackupDetail {
    /// The record of `list`.
    #[serde(flatten)]
    pub record: BackupRecord,
    /// What was asked for and is not in it.
    pub missing: Vec<String>,
    /// Every database.
    pub contents: Vec<DatabaseDetail>,
    /// Every table of every database.
    pub tables: Vec<TableDetail>,
}

/// One database of a backup.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseDetail {
    /// Its name.
    pub database: String,
    /// Tables with rows of their own.
    pub tables: u64,
    /// Rows of all of them.
    pub rows: u64,
    /// Large objects.
    pub large_objects: u64,
    /// Bytes of all its entries.
    pub bytes_raw: u64,
    /// Sealed bytes that this backup added for it.
    pub bytes_added: u64,
    /// When and how it was read.
    #[serde(flatten)]
    pub read: DatabaseRead,
}

/// One table of a backup.
#[derive(Clone, Debug, Serialize)]
pub struct TableDetail {
    /// Database name.
    pub database: String,
    /// Schema name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// Rows stored.
    pub rows: u64,
    /// Bytes of COPY text.
    pub bytes_raw: u64,
    /// Sealed bytes that this backup added for it.
    pub bytes_added: u64,
    /// What row maps did for it; none if it is stored without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_map: Option<MapNote>,
}

/// A backup that was just made: its record, and what it did for each table.
#[derive(Clone, Debug, Serialize)]
pub struct BackupOutcome {
    /// The record of `list`.
    #[serde(flatten)]
    pub record: BackupRecord,
    /// Every table of every database.
    pub tables: Vec<TableDetail>,
}

impl TableDetail {
    /// The table that an entry holds the rows of, if it is one.
    pub(crate) fn of(note: Note, entry: &Entry) -> Option<TableDetail> {
        let Note::Table { database, schema, name, rows, maps, .. } = note else { return None };
        let (bytes_raw, bytes_added) = (entry.bytes_raw, entry.bytes_added);
        Some(TableDetail { database, schema, name, rows, bytes_raw, bytes_added, row_map: maps })
    }
}

/// The part of the record that the manifest carries (the repository knows id, time and bytes added).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub databases: Vec<String>,
    pub bytes_raw: u64,
    pub seconds: f64,
    pub warnings: Vec<String>,
    /// What is missing from an incomplete backup, by name.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Made of a dump of another program: its content may be much older than the backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// Of which backup of another repository this is a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// By name: when and how each database was read.
    #[serde(default)]
    pub reads: BTreeMap<String, DatabaseRead>,
    /// Which databases were asked for; nothing where the connection named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Which server of the cluster was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Major version and full number of the source server.
    pub server_version: i32,
    /// The source's system identifier, in decimal.
    pub system_identifier: String,
}

/// The original of a copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// Id of the repository.
    pub repository: String,
    /// Id of the backup.
    pub backup: String,
    /// How long the copy took.
    pub seconds: f64,
}

/// When and how one database was read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DatabaseRead {
    /// RFC 3339, UTC.
    pub snapshot_time: String,
    /// Where the WAL was then; on a standby, up to where it was replayed.
    pub lsn: String,
    /// From the snapshot to the last row.
    pub seconds: f64,
    /// What of it was asked for, where that was not all.
    #[serde(default, skip_serializing_if = "Filters::is_default")]
    pub filters: Filters,
}

/// What an entry is, as far as restore and export care; kept in the entry's notes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Note {
    /// COPY text of one table.
    Table {
        database: String,
        schema: String,
        name: String,
        dump_id: i32,
        rows: u64,
        /// What row maps did; none if no part is under one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maps: Option<MapNote>,
    },
    /// Frames of large objects (`pgark_bytes::large_objects`).
    LargeObjects { database: String, objects: u64 },
    /// The archive's table of contents.
    Toc { database: String },
    /// The SQL that makes the database itself: creation, owner, settings, privileges.
    Definition { database: String },
    /// Roles, memberships, tablespaces and their settings, as SQL.
    Globals,
    /// The manifest of the cluster.
    Manifest,
    /// The server's settings.
    Settings,
    /// A file of the server's configuration, by its path there.
    ServerFile { path: String },
}

/// An entry whose content is written, before what it added is known.
pub(crate) struct Written {
    pub path: String,
    pub class: Class,
    pub note: Note,
    pub parts: Vec<PartSummary>,
    /// The same in a second repository; None: there is none, or it failed.
    pub also: Option<Vec<PartSummary>>,
}

impl Written {
    /// Stores a small content as one stream.
    pub(crate) fn whole(
        writer: &BackupWriter<'_>,
        path: String,
        class: Class,
        content: &[u8],
        note: Note,
    ) -> Result<Written, OpsError> {
        let mut stream = writer.stream(class, Cut::Content);
        stream.write(content)?;
        Ok(Written { path, class, note, parts: vec![stream.finish()?], also: None })
    }

    /// The entry of the second repository.
    pub(crate) fn also_entry(&self) -> Option<NewEntry> {
        let parts = self.also.clone()?;
        let (path, class, note) = (self.path.clone(), self.class, self.note.clone());
        Some(Written { path, class, note, parts, also: None }.into_entry())
    }

    /// Call after `settle`: only then are the added bytes known.
    pub(crate) fn into_entry(self) -> NewEntry {
        NewEntry {
            path: self.path,
            class: self.class,
            bytes_raw: self.parts.iter().map(|part| part.bytes_raw).sum(),
            bytes_added: self.parts.iter().map(PartSummary::bytes_added).sum(),
            parts: self.parts.into_iter().map(|part| part.part).collect(),
            about: self.note.to_bytes(),
        }
    }
}

/// A time in seconds, with three digits.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

impl BackupRecord {
    pub(crate) fn of(head: &BackupHead) -> Result<BackupRecord, OpsError> {
        let about = About::of(head)?;
        Ok(BackupRecord {
            id: head.id.to_string(),
            time: head.time.to_string(),
            cluster: head.cluster.clone(),
            kind: head.kind.clone(),
            status: if head.complete { "complete" } else { "incomplete" }.to_string(),
            partial: about.is_part(),
            ahead: head.is_ahead(),
            databases: about.databases,
            bytes_raw: about.bytes_raw,
            bytes_added: head.bytes_added,
            seconds: about.seconds,
            warnings: about.warnings,
        })
    }
}

impl About {
    pub(crate) fn of(head: &BackupHead) -> Result<About, OpsError> {
        serde_json::from_slice(&head.about)
            .map_err(|_| OpsError::Record { backup: head.id.to_string(), what: "the record".into() })
    }

    /// Whether it holds something of this database.
    pub(crate) fn holds(&self, database: &str) -> bool {
        match self.reads.is_empty() {
            true => self.databases.iter().any(|name| name == database),
            false => self.reads.contains_key(database),
        }
    }

    /// Whether filters left something of any of its databases out.
    pub(crate) fn is_part(&self) -> bool {
        self.reads.values().any(|read| read.filters.is_part())
    }

    /// Whether filters left something of this database out.
    pub(crate) fn is_part_of(&self, database: &str) -> bool {
        self.reads.get(database).is_some_and(|read| read.filters.is_part())
    }

    /// What the backup lacks of one of its databases, by name: as `backup` and `repair` wrote it, for people.
    pub(crate) fn missing_of(&self, database: &str) -> Vec<&str> {
        let (of_it, in_it) = (format!(" of database {database}"), format!(" in {database}: "));
        let below = paths::of_database(database);
        let is_of_it = |name: &&str| {
            let is_named = name.ends_with(&of_it) || name.contains(&in_it) || name.starts_with(&below);
            // A backup of one database does not say of which.
            let is_bare = !name.contains(" of database ") && !name.starts_with(['/']);
            is_named || is_bare && self.databases.len() == 1 && !name.starts_with("database ")
        };
        self.missing.iter().map(String::as_str).filter(is_of_it).collect()
    }
}

impl Note {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain strings and numbers to memory cannot fail; an empty note would be refused on reading.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The note beside an entry, if it can be understood.
    pub(crate) fn read(entry: &Entry) -> Option<Note> {
        serde_json::from_slice(&entry.about).ok()
    }

    pub(crate) fn of(backup: &Backup, entry: &Entry) -> Result<Note, OpsError> {
        Self::read(entry).ok_or_else(|| OpsError::Record {
            backup: backup.head.id.to_string(),
            what: format!("the note beside {}", entry.path),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(databases: &[&str], missing: &[&str], of: &str) -> Vec<String> {
        let about: About = serde_json::from_value(serde_json::json!({
            "databases": databases, "missing": missing, "bytes_raw": 0, "seconds": 0.0, "warnings": [],
            "server_version": 150000, "system_identifier": "1",
        }))
        .unwrap();
        about.missing_of(of).into_iter().map(str::to_string).collect()
    }

    #[test]
    fn what_is_missing_belongs_to_its_database() {
        let of_one = [
            "public.t",
            "table public.t or one of the 3 small ones copied with it",
            "the large objects",
            "rows of public.t in d: damaged in the repository",
            "/db/d/largeobjects: damaged in the repository",
        ];
        assert_eq!(missing(&["d"], &of_one, "d"), of_one);
        let of_all = ["/globals.sql", "/settings.json: damaged in the repository", "database d is gone"];
        assert!(missing(&["e"], &of_all, "e").is_empty());
        let of_several = [
            "public.t of database d",
            "the large objects of database d",
            "rows of public.t in d: damaged in the repository",
            "/db/d/largeobjects: damaged in the repository",
        ];
        assert_eq!(missing(&["d", "e", "d2"], &of_several, "d"), of_several);
        for other in ["e", "d2", "db"] {
            assert!(missing(&["d", "e", "d2"], &of_several, other).is_empty(), "{other}");
        }
        // Of two that were asked for only one came.
        assert!(missing(&["e"], &["database d", "public.t of database d"], "e").is_empty());
        assert_eq!(missing(&["d b"], &["/db/d%20b/largeobjects: damaged"], "d b").len(), 1);
    }
}
