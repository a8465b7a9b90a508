//! What a backup says of itself: the record that `list` shows, and the notes beside each entry.

use std::collections::BTreeMap;
use std::time::Duration;

use pgark_repo::{Backup, BackupHead, BackupWriter, Class, Entry};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::OpsError;
use crate::facts::{BackupKind, Filters, Missing, Selection, Server};
use crate::logical::rowmap::MapNote;

/// One backup as `list --json` and `backup --json` print it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupRecord {
    /// 16 hex digits.
    pub id: String,
    /// When the backup's manifest was written: RFC 3339, UTC.
    pub time: String,
    /// The cluster's name.
    pub cluster: String,
    /// Which engine made it.
    pub kind: BackupKind,
    /// `complete` or `incomplete`.
    pub status: String,
    /// Made with filters: it holds a part of what there was, and is `latest` only with `--partial`.
    #[serde(default)]
    pub partial: bool,
    /// Its time lies ahead of the storage's clock: it is never `latest`, and no rule of `forget`
    /// counts it.
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
    pub missing: Vec<Missing>,
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

/// The part of the record that the manifest carries (the repository knows id, time, kind and bytes
/// added): the maker's facts of FORMAT.md, as JSON. What a backup's kind does not have is left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    pub databases: Vec<String>,
    pub bytes_raw: u64,
    pub seconds: f64,
    pub warnings: Vec<String>,
    /// What is missing from an incomplete backup.
    pub missing: Vec<Missing>,
    /// Of which backup of another repository this is a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// By name: when and how each database was read.
    pub reads: BTreeMap<String, DatabaseRead>,
    /// Which databases were asked for; nothing where the connection named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Which server of the cluster was read.
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[serde(default)]
pub struct DatabaseRead {
    /// RFC 3339, UTC.
    pub snapshot_time: String,
    /// Where the WAL was then; on a standby, up to where it was replayed.
    pub lsn: String,
    /// From the snapshot to the last row.
    pub seconds: f64,
    /// What of it was asked for, where that was not all.
    #[serde(skip_serializing_if = "Filters::is_default")]
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
    /// Of a newer version of this program; it stands beside the entry as it is.
    #[serde(other, skip_serializing)]
    OfNewer,
}

/// Writes a small content as one entry.
pub(crate) fn write_whole(
    writer: &BackupWriter<'_>,
    path: String,
    class: Class,
    content: &[u8],
    note: &Note,
) -> Result<(), OpsError> {
    let mut entry = writer.entry(path, class);
    entry.write(content)?;
    Ok(entry.finish(note.to_bytes())?)
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
            kind: BackupKind::of(head),
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
    /// The facts of a backup. Of a kind that this version does not know they may be anything.
    ///
    /// # Errors
    /// Facts of a known kind that cannot be read.
    pub(crate) fn of(head: &BackupHead) -> Result<About, OpsError> {
        match serde_json::from_slice(&head.about) {
            Ok(about) => Ok(about),
            Err(_) if !BackupKind::of(head).is_known() => Ok(About::default()),
            Err(_) => Err(OpsError::Record { backup: head.id.to_string(), what: "the record".into() }),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain strings and numbers to memory cannot fail; nothing would be refused on
        // reading.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// These facts in place of those of `head`, of which what this version does not know stays.
    pub(crate) fn over(&self, head: &BackupHead) -> Vec<u8> {
        let Ok(mut facts) = serde_json::from_slice(&head.about) else { return self.to_bytes() };
        merge(&mut facts, serde_json::to_value(self).unwrap_or_default());
        facts.to_string().into_bytes()
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

    /// What the backup lacks of one of its databases.
    pub(crate) fn missing_of(&self, database: &str) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(move |missing| missing.is_of(database))
    }
}

/// Puts the members of one JSON object into another, and those of objects within it.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

impl Note {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain strings and numbers to memory cannot fail; an empty note would be
        // refused on reading.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The note beside an entry; none if it is of a known kind and cannot be understood.
    pub(crate) fn read(entry: &Entry) -> Option<Note> {
        serde_json::from_slice(&entry.about).ok()
    }

    pub(crate) fn of(backup: &Backup, entry: &Entry) -> Result<Note, OpsError> {
        Self::read(entry).ok_or_else(|| OpsError::Record {
            backup: backup.head.id.to_string(),
            what: format!("the note beside {}", entry.path),
        })
    }

    /// What the note of an entry calls it, whether this version knows that or not.
    pub(crate) fn kind_of(entry: &Entry) -> String {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let kind: Option<Kind> = serde_json::from_slice(&entry.about).ok();
        kind.map_or_else(|| "unknown".to_string(), |note| note.kind.replace('_', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(note: &str) -> Entry {
        Entry {
            path: "/db/d/x".into(),
            class: Class::Data,
            parts: Vec::new(),
            bytes_raw: 0,
            bytes_added: 0,
            about: note.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_note_of_a_newer_version_is_no_failure() {
        let newer = entry(r#"{"kind":"wal_segment","timeline":3}"#);
        assert!(matches!(Note::read(&newer), Some(Note::OfNewer)));
        assert_eq!(Note::kind_of(&newer), "wal segment");
        // More in a note that is known says nothing against it; less does.
        let more = entry(r#"{"kind":"toc","database":"d","lines":3}"#);
        assert!(matches!(Note::read(&more), Some(Note::Toc { database }) if database == "d"));
        let ours = entry(&String::from_utf8(Note::Globals.to_bytes()).unwrap());
        assert_eq!((Note::kind_of(&ours).as_str(), Note::kind_of(&more).as_str()), ("globals", "toc"));
        assert!(Note::read(&entry(r#"{"kind":"table","database":"d"}"#)).is_none());
        assert!(Note::read(&entry("")).is_none() && Note::read(&entry("{}")).is_none());
    }

    #[test]
    fn facts_that_are_written_again_keep_what_a_newer_version_added() {
        let mut facts = serde_json::json!({
            "databases": ["d"], "warnings": [], "missing": [], "mask": "rules",
            "reads": { "d": { "lsn": "0/1", "seconds": 1.0, "snapshot_time": "", "sampled": true } },
        });
        let mut about: About = serde_json::from_value(facts.clone()).unwrap();
        about.missing.push(Missing::rows("d", "public", "t", "damaged in the repository"));
        merge(&mut facts, serde_json::to_value(&about).unwrap());
        assert_eq!(facts["mask"], "rules");
        assert_eq!(facts["reads"]["d"]["sampled"], true);
        assert_eq!(facts["missing"][0]["name"], "t");
    }
}
