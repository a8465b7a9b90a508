//! What is shown of a backup: the record of `list`, the details of `show`, the outcome of a run.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pgark_repo::{Addition, BackupHead, Entry, Part};
use serde::{Deserialize, Serialize};

use crate::OpsError;
use crate::facts::{About, BackupKind, BackupStatus, DatabaseRead, MapsDone, Missing, Note};
use crate::logical::rowmap::MapNote;

/// One backup as `list --json` and `backup --json` print it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupRecord {
    /// 16 hex digits.
    pub id: String,
    /// When the backup's manifest was written: RFC 3339, UTC.
    pub time: String,
    /// Of when its content is: when the first snapshot of its databases was taken, or `time` where
    /// none is known. RFC 3339, UTC.
    #[serde(default)]
    pub snapshot_time: String,
    /// Of an imported backup: when its dump was made, as the dump says it; of several the last. A
    /// local time, of no known zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dumped: Option<String>,
    /// The cluster's name.
    pub cluster: String,
    /// Which engine made it.
    pub kind: BackupKind,
    /// Whether all that was asked for is in it.
    pub status: BackupStatus,
    /// Made with filters: it holds a part of what there was, and is `latest` only with `--partial`.
    #[serde(default)]
    pub partial: bool,
    /// Its time lies ahead of the storage's clock: it is never `latest`, and no rule of `forget`
    /// counts it.
    #[serde(default)]
    pub ahead: bool,
    /// Names of the databases inside.
    pub databases: Vec<String>,
    /// Its tags, in order.
    #[serde(default)]
    pub tags: Vec<String>,
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
    /// It is stored whole in each backup, and salted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub salted: bool,
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

/// What is to be known of a backup at a glance: one line of it.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// What it is about. Several lines may be about the same.
    pub name: &'static str,
    /// What is so.
    #[serde(flatten)]
    pub value: FactValue,
}

/// What is so, in the unit that it has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactValue {
    /// A name, an id, a sentence.
    Text(String),
    /// A time: RFC 3339, UTC.
    Time(String),
    /// The backup's status.
    Status {
        /// Whether all that was asked for is in it.
        status: BackupStatus,
        /// Made with filters.
        partial: bool,
        /// Its time lies ahead of the storage's clock.
        ahead: bool,
    },
    /// So many bytes.
    Bytes(u64),
    /// So long.
    Seconds(f64),
}

impl BackupDetail {
    /// What is to be known at a glance, in the order in which it is shown.
    pub fn facts(&self) -> Vec<Fact> {
        let record = &self.record;
        let (partial, ahead) = (record.partial, record.ahead);
        let mut facts = vec![
            Fact::text("id", &record.id),
            match &record.dumped {
                Some(dumped) => Fact::text("dumped", dumped),
                None => Fact { name: "snapshot", value: FactValue::Time(record.snapshot_time.clone()) },
            },
            Fact {
                name: if record.dumped.is_some() { "imported" } else { "finished" },
                value: FactValue::Time(record.time.clone()),
            },
            Fact::text("cluster", &record.cluster),
            Fact::text("kind", record.kind.to_string()),
            Fact {
                name: "status",
                value: FactValue::Status { status: record.status.clone(), partial, ahead },
            },
            Fact::text("databases", record.databases.join(", ")),
            Fact { name: "raw", value: FactValue::Bytes(record.bytes_raw) },
            Fact { name: "added", value: FactValue::Bytes(record.bytes_added) },
            Fact { name: "took", value: FactValue::Seconds(record.seconds) },
        ];
        if !record.tags.is_empty() {
            facts.push(Fact::text("tags", record.tags.join(", ")));
        }
        let missing = self.missing.iter();
        facts.extend(missing.map(|missing| Fact::text("missing", format!("{missing}: {}", missing.reason))));
        facts.extend(record.warnings.iter().map(|warning| Fact::text("warning", warning)));
        for database in &self.contents {
            let filters = database.read.filters.describe();
            if !filters.is_empty() {
                facts.push(Fact::text("filters", format!("{}: {filters}", database.database)));
            }
        }
        facts
    }
}

impl Fact {
    fn text(name: &'static str, text: impl Into<String>) -> Fact {
        Fact { name, value: FactValue::Text(text.into()) }
    }
}

impl TableDetail {
    /// The table that an entry holds the rows of, if it is one.
    pub(crate) fn of(note: Note, entry: &Entry, addition: &Addition) -> Option<TableDetail> {
        let Note::Table { database, schema, name, rows, .. } = note else { return None };
        let (bytes_raw, bytes_added) = (entry.bytes_raw, addition.bytes);
        let row_map = MapsDone::of(entry, addition);
        let salted = entry.parts.iter().any(Part::is_salted);
        Some(TableDetail { database, schema, name, rows, bytes_raw, bytes_added, row_map, salted })
    }
}

/// A time in seconds, with three digits.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

impl BackupRecord {
    /// Of when its content is. A dump's own time has no zone, and is taken as UTC.
    pub(crate) fn content_time(&self) -> Option<Timestamp> {
        let dumped = self.dumped.as_ref().and_then(|text| text.parse::<DateTime>().ok());
        let dumped = dumped.and_then(|time| time.to_zoned(TimeZone::UTC).ok());
        dumped.map(|time| time.timestamp()).or_else(|| self.snapshot_time.parse().ok())
    }

    pub(crate) fn of(head: &BackupHead) -> Result<BackupRecord, OpsError> {
        let about = About::of(head)?;
        let kind = BackupKind::of(head);
        let is_imported = kind == BackupKind::Imported;
        let times = about.reads.values().map(|read| read.snapshot_time.clone());
        let dumped = times.filter(|time| !time.is_empty() && is_imported).max();
        let time = head.time.to_string();
        let snapshot = about.snapshot_time().filter(|_| !is_imported).map(str::to_string);
        Ok(BackupRecord {
            id: head.id.to_string(),
            snapshot_time: snapshot.unwrap_or_else(|| time.clone()),
            time,
            dumped,
            cluster: head.cluster.clone(),
            kind,
            status: BackupStatus::of(head),
            partial: about.is_part(),
            ahead: head.is_ahead(),
            databases: about.databases,
            tags: Vec::new(),
            bytes_raw: about.bytes_raw,
            bytes_added: head.bytes_added,
            seconds: about.seconds,
            warnings: about.warnings,
        })
    }
}
