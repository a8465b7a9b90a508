//! What came of a restore.

use std::time::Instant;

use pgark_repo::DataReader;
use serde::Serialize;

use crate::OpsError;
use crate::advice::Advice;
use crate::logical::choose::PlannedObject;
use crate::record::seconds;

/// What was restored.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// The backup's id.
    pub id: String,
    /// The database that was restored into; several are joined by commas.
    pub database: String,
    /// `complete`, `incomplete` when an object failed or the backup did not have it; of a dry run
    /// `planned`, or `refused` where [`RestoreReport::refusal`] says why.
    pub status: &'static str,
    /// Tables whose rows were loaded.
    pub tables: u64,
    /// Rows loaded.
    pub rows: u64,
    /// Bytes of rows and large objects.
    pub bytes: u64,
    /// Bytes that were fetched from the repository for them.
    pub bytes_fetched: u64,
    /// How long it took.
    pub seconds: f64,
    /// What failed.
    pub errors: Vec<ObjectError>,
    /// What is other in the target than in the backup and was left as it is; what was left out on
    /// purpose; tables that could not be analyzed.
    pub notes: Vec<String>,
    /// Rows that were left out because they violate a constraint: how many, and the first of each
    /// table.
    pub skipped: Vec<SkippedRows>,
    /// What would be restored: of a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<PlannedObject>>,
    /// What would be dropped before: of a dry run with `Target::Clean` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops: Option<Vec<PlannedDrop>>,
    /// Why the restore would refuse to drop that: of a dry run with `Target::Clean` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// One object that the target has and that would be dropped.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedDrop {
    /// Kind and name.
    pub object: String,
    /// Rows of a table, as the target's planner counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why it, or something of it, would not come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Why a planned restore would not begin.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
}

/// One object that could not be restored.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectError {
    /// Kind and name.
    pub object: String,
    /// The server's words.
    pub message: String,
    /// The statement that failed, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl ObjectError {
    pub(crate) fn new(object: impl Into<String>, message: impl Into<String>) -> ObjectError {
        ObjectError { object: object.into(), message: message.into(), statement: None }
    }
}

/// Rows of one table that were left out.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedRows {
    /// Schema and name.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// The first of them: COPY text, and the reason.
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
