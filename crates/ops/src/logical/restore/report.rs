//! What came of a restore.

use std::time::Instant;

use pgark_repo::DataReader;
use schemars::JsonSchema;
use serde::Serialize;

use crate::OpsError;
use crate::advice::Advice;
use crate::logical::choose::PlannedObject;
use crate::record::seconds;

/// What was restored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RestoreReport {
    /// Id of the backup.
    pub id: String,
    /// Name of the target database; several are separated by a comma and a space. Empty if only
    /// roles and tablespaces were restored.
    pub database: String,
    /// `complete`; `incomplete` if an object failed or is missing from the backup; `planned` for a
    /// dry run; `refused` for a dry run of a restore that would not begin (`refusal` says why).
    pub status: &'static str,
    /// Number of tables whose rows were loaded.
    pub tables: u64,
    /// Number of rows loaded.
    pub rows: u64,
    /// Size in bytes of the rows (as COPY text) and large objects.
    pub bytes: u64,
    /// Bytes fetched from the repository.
    pub bytes_fetched: u64,
    /// Duration in seconds.
    pub seconds: f64,
    /// Objects that failed, or that are missing from the backup.
    pub errors: Vec<ObjectError>,
    /// Warnings: differences between target and backup that were left alone, what was left out on
    /// purpose, tables that could not be analyzed.
    pub notes: Vec<String>,
    /// Rows that `--on-conflict skip` left out because they violate a constraint.
    pub skipped: Vec<SkippedRows>,
    /// Objects that would be restored, in this order. Only for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<PlannedObject>>,
    /// Objects that would be dropped first. Only for a dry run with `--clean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops: Option<Vec<PlannedDrop>>,
    /// Why the restore would not begin. Only for a dry run with `--clean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// An object of the target that would be dropped.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedDrop {
    /// Kind and name of the object.
    pub object: String,
    /// Number of rows of a table, as the target's planner estimates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Size of a table in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why the object, or a part of it, would not be restored. Absent: all of it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Why a planned restore would not begin.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub hint: Option<Advice>,
}

/// An object, or a row, that could not be restored.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ObjectError {
    /// Kind and name of the object; for a row, its COPY text.
    pub object: String,
    /// The server's message, or why it was not tried.
    pub message: String,
    /// The statement that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl ObjectError {
    pub(crate) fn new(object: impl Into<String>, message: impl Into<String>) -> ObjectError {
        ObjectError { object: object.into(), message: message.into(), statement: None }
    }
}

/// The rows of one table that were left out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SkippedRows {
    /// Schema and name of the table.
    pub table: String,
    /// Number of rows left out.
    pub rows: u64,
    /// The first of them, with the reason.
    pub examples: Vec<ObjectError>,
}

impl Refusal {
    pub(super) fn of(error: &OpsError) -> Refusal {
        Refusal { error: error.to_string(), hint: error.hint() }
    }
}

impl RestoreReport {
    /// Of nothing yet; `databases`: the targets.
    pub(super) fn new(id: String, databases: &[&str]) -> RestoreReport {
        RestoreReport {
            id,
            database: databases.join(", "),
            status: "complete",
            tables: 0,
            rows: 0,
            bytes: 0,
            bytes_fetched: 0,
            seconds: 0.0,
            errors: Vec::new(),
            notes: Vec::new(),
            skipped: Vec::new(),
            plan: None,
            drops: None,
            refusal: None,
        }
    }

    /// Everything is done that could be; `lacking`: what the backup does not have.
    pub(super) fn end(&mut self, lacking: Vec<ObjectError>) {
        self.errors.extend(lacking);
        if !self.errors.is_empty() {
            self.status = "incomplete";
        }
    }

    pub(super) fn timed(mut self, started: Instant, reader: &DataReader<'_>) -> RestoreReport {
        self.seconds = seconds(started.elapsed());
        self.bytes_fetched = reader.bytes_fetched();
        self
    }

    /// What came of one database; `of`: its name, where there are several.
    pub(super) fn add(&mut self, outcome: Outcome, of: Option<&str>) {
        self.tables += outcome.tables;
        self.rows += outcome.rows;
        self.bytes += outcome.bytes;
        self.skipped.extend(outcome.skipped);
        self.notes.extend(outcome.notes.into_iter().map(|note| match of {
            Some(database) => format!("database {database}: {note}"),
            None => note,
        }));
        self.errors.extend(outcome.errors.into_iter().map(|error| match of {
            Some(database) => {
                ObjectError { object: format!("database {database}: {}", error.object), ..error }
            }
            None => error,
        }));
    }
}

/// What came of one database so far.
#[derive(Default)]
pub(super) struct Outcome {
    pub tables: u64,
    pub rows: u64,
    pub bytes: u64,
    pub errors: Vec<ObjectError>,
    /// What is to be known, and keeps nothing from being restored.
    pub notes: Vec<String>,
    pub skipped: Vec<SkippedRows>,
}
