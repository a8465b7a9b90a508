//! What is shown of a backup: the record of `list`, the details of `show`, the outcome of a run.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pgark_repo::{Addition, BackupHead, Entry, Part};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OpsError;
use crate::facts::{
    About, BackupKind, BackupStatus, DatabaseRead, MapsDone, Masked, Missing, Note, PageCounts, Physical,
};
use crate::logical::rowmap::MapNote;

/// What the last backup like this one read and added.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LastRun {
    /// Id of the backup: 16 hex digits.
    pub id: String,
    /// When it was made: RFC 3339, UTC.
    pub time: String,
    /// Its duration in seconds.
    pub seconds: f64,
    /// Size in bytes of what it read, before deduplication and compression.
    pub bytes_raw: u64,
    /// Bytes that it added to the storage.
    pub bytes_added: u64,
    /// Whether it was the first of its cluster; later backups usually add much less.
    pub first: bool,
}

impl LastRun {
    pub(crate) fn of(head: &BackupHead, about: &About) -> LastRun {
        LastRun {
            id: head.id.to_string(),
            time: format!("{:.0}", head.time),
            seconds: about.seconds,
            bytes_raw: about.bytes_raw,
            bytes_added: head.bytes_added,
            first: head.sequence <= 1,
        }
    }
}

/// A backup.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackupRecord {
    /// Id of the backup: 16 hex digits.
    pub id: String,
    /// When the backup was committed (its manifest was written): RFC 3339, UTC.
    pub time: String,
    /// When its content is from: when the first snapshot of its databases was taken, or `time` if
    /// no snapshot is known. RFC 3339, UTC.
    #[serde(default)]
    pub snapshot_time: String,
    /// When the dump of an imported backup was made, as the dump says it; the last one if there are
    /// several. A local time without its time zone, such as `2026-11-21T03:00:00`. Absent: it was
    /// not imported, or its dump does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dumped: Option<String>,
    /// Name of the cluster.
    pub cluster: String,
    /// What kind of backup it is.
    pub kind: BackupKind,
    /// The rules and the key that it was masked with. Absent: it is not masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<Masked>,
    /// Whether it contains everything that was asked for.
    pub status: BackupStatus,
    /// Whether it was made with filters. `latest` means such a backup only with `--partial`.
    #[serde(default)]
    pub partial: bool,
    /// Whether its time is ahead of the storage's clock. Such a backup is never `latest`, and no
    /// rule of `forget` counts it.
    #[serde(default)]
    pub ahead: bool,
    /// Names of the databases in it.
    pub databases: Vec<String>,
    /// Its tags, in alphabetical order.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Size of its content in bytes (COPY text, definitions, large objects), before deduplication
    /// and compression.
    pub bytes_raw: u64,
    /// Bytes that this backup added to the storage.
    pub bytes_added: u64,
    /// Duration in seconds, up to the commit.
    pub seconds: f64,
    /// Warnings of the run that made it.
    pub warnings: Vec<String>,
}

/// A backup with its databases and tables.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BackupDetail {
    /// The record of `list`.
    #[serde(flatten)]
    pub record: BackupRecord,
    /// System identifier of the cluster, in decimal, as `pg_controldata` shows it. Null: not known.
    pub system_identifier: Option<String>,
    /// What was asked for and is not in the backup.
    pub missing: Vec<Missing>,
    /// What was taken of the data directory. Absent: the backup is not physical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical: Option<Physical>,
    /// Each database.
    pub contents: Vec<DatabaseDetail>,
    /// Each table of each database.
    pub tables: Vec<TableDetail>,
}

/// A database of a backup.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DatabaseDetail {
    /// Name of the database.
    pub database: String,
    /// Number of tables with rows of their own.
    pub tables: u64,
    /// Number of rows of all tables.
    pub rows: u64,
    /// Number of large objects.
    pub large_objects: u64,
    /// Size in bytes, before deduplication and compression.
    pub bytes_raw: u64,
    /// Bytes that this backup added for the database, compressed and encrypted.
    pub bytes_added: u64,
    /// When and how it was read.
    #[serde(flatten)]
    pub read: DatabaseRead,
}

/// A table of a backup.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TableDetail {
    /// Name of the database.
    pub database: String,
    /// Name of the schema.
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes of COPY text.
    pub bytes_raw: u64,
    /// Bytes that this backup added for the table, compressed and encrypted.
    pub bytes_added: u64,
    /// What row maps did for the table. Absent: it is stored without a row map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_map: Option<MapNote>,
    /// True: the table is salted (`--salted`), and stored whole in each backup. Absent: it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub salted: bool,
}

/// A backup that was just made: its record, and what it did for each table.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BackupOutcome {
    /// The record of `list`.
    #[serde(flatten)]
    pub record: BackupRecord,
    /// Each table of each database. Empty: the backup is physical.
    pub tables: Vec<TableDetail>,
    /// What was taken of the data directory. Absent: the backup is not physical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical: Option<Physical>,
}

impl BackupOutcome {
    /// Whether no page was damaged on the server.
    pub fn is_sound(&self) -> bool {
        self.physical.as_ref().is_none_or(|physical| physical.pages.failed == 0)
    }
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
        if let Some(identifier) = &self.system_identifier {
            facts.push(Fact::text("system id", identifier));
        }
        if let Some(physical) = &self.physical {
            facts.extend(of_directory(physical));
        }
        if let Some(masked) = &record.masked {
            facts.push(Fact::text("masked by", masked.describe()));
        }
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

/// What is to be known of a data directory's backup at a glance.
fn of_directory(physical: &Physical) -> Vec<Fact> {
    let PageCounts { total, zero, new, rewritten, failed } = physical.pages;
    let source = String::from(physical.source.clone());
    let mut facts = vec![
        Fact::text(
            "source",
            match physical.source_reason.as_str() {
                "" => source,
                why => format!("{source} ({why})"),
            },
        ),
        Fact::text("timeline", physical.timeline.to_string()),
        Fact::text(
            "WAL",
            format!("{} to {}, {} segments", physical.start_lsn, physical.stop_lsn, physical.wal.segments),
        ),
        Fact::text("files", format!("{} in {} folders", physical.files, physical.folders)),
        Fact::text(
            "pages",
            format!("{total}: {new} new, {rewritten} stored again, {zero} of zeros, {failed} damaged"),
        ),
        Fact::text("checksums", if physical.checksums_on { "on" } else { "off" }),
    ];
    for tablespace in &physical.tablespaces {
        let location = tablespace.location.as_deref().unwrap_or("in the data directory");
        facts.push(Fact::text("tablespace", format!("{} ({}) {location}", tablespace.name, tablespace.oid)));
    }
    for failure in &physical.checksum_failures {
        let blocks: Vec<String> = failure.blocks.iter().take(10).map(ToString::to_string).collect();
        let more = if failure.count > blocks.len() as u64 { ", …" } else { "" };
        facts.push(Fact::text(
            "damaged",
            format!("{}: block {}{more}: {}", failure.path, blocks.join(", "), failure.reason),
        ));
    }
    for whole in &physical.whole {
        facts.push(Fact::text("whole", whole.reason.clone()));
    }
    facts
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
            masked: about.masked.clone(),
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
