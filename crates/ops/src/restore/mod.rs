//! `restore`: a backup back into a database, whole.
//!
//! **Order.** Everything that can be known is looked at first (`target`): a plan that is not possible touches nothing.
//! Then the definitions up to the data, one after the other, in pg_dump's order; then rows, indexes, constraints and the
//! rest by many workers, each as soon as what it depends on is there, largest first; access rights and what must see
//! them (materialised views, event triggers) come last. The rules are pg_restore's
//! (`pgark_bytes::archive::order`); two entries whose locks could deadlock never run at once (TRAPS 12).
//!
//! **Rows.** A table that this very run created is emptied and filled in one transaction with FREEZE; any other is only
//! added to: a restore never empties a table that it found (TRAPS 13).
//!
//! **Failure.** An object that fails is named and the rest goes on; the report lists all of them (exit code 3). With
//! `exit_on_error` the first one ends the restore. A cancel stops every connection; what was restored stays, and the
//! database is not whole: the error says so.

mod choose;
mod data;
mod prepare;
mod run;
mod target;

use std::collections::HashMap;
use std::time::Instant;

use pgark_bytes::archive::statements::Options;
use pgark_pg::ConnInfo;
use pgark_repo::Repository;
use serde::Serialize;

use crate::backup::Watch;
use crate::contents::Contents;
use crate::record::About;
use crate::{Job, OpsError, inspect};

pub use choose::{Choice, Part, PlannedObject};

/// What the target is to the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It exists and holds no user objects.
    Existing,
    /// It is created, with its properties.
    Create,
    /// The objects that the backup holds are dropped first.
    Clean,
}

/// What to restore and where to.
pub struct Request {
    /// Id, prefix, `latest` or `latest:DB`.
    pub backup: String,
    /// The target database.
    pub conninfo: ConnInfo,
    /// What it is.
    pub target: Target,
    /// Objects belong to the connecting role.
    pub no_owner: bool,
    /// Leave out GRANT and REVOKE.
    pub no_privileges: bool,
    /// Parallel connections.
    pub jobs: usize,
    /// Stop at the first object that fails.
    pub exit_on_error: bool,
    /// Gather the planner's statistics at the end.
    pub analyze: bool,
    /// What of the backup.
    pub choice: Choice,
    /// Look at the target and say what would be done; touch nothing.
    pub dry_run: bool,
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// The backup's id.
    pub id: String,
    /// The database that was restored into.
    pub database: String,
    /// `complete`, `incomplete` when an object failed or the backup lacked it, or `planned` by a dry run.
    pub status: &'static str,
    /// Tables whose rows were loaded.
    pub tables: u64,
    /// Rows loaded.
    pub rows: u64,
    /// Bytes of rows and large objects.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// What failed.
    pub errors: Vec<ObjectError>,
    /// What would be restored: of a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<PlannedObject>>,
}

/// One object that could not be restored.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectError {
    /// Kind and name.
    pub object: String,
    /// The server's words.
    pub message: String,
}

/// Restores one database.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<RestoreReport, OpsError> {
    let watch = Watch::new(&job.cancel);
    match watch.during(|| restore(repository, request, job, &watch)) {
        Err(_) if job.cancel.is_cancelled() => Err(OpsError::Cancelled),
        other => other,
    }
}

fn restore(
    repository: &Repository,
    request: &Request,
    job: &Job,
    watch: &Watch,
) -> Result<RestoreReport, OpsError> {
    let started = Instant::now();
    job.progress.phase("read the backup");
    let backup = inspect::open(repository, &request.backup)?;
    let reader = repository.reader()?;
    let contents = Contents::of(&backup, &reader, None)?;
    let about = About::of(&backup.head)?;
    let options = Options {
        create_database: request.target == Target::Create,
        no_owner: request.no_owner,
        no_privileges: request.no_privileges,
        no_tablespaces: request.choice.no_tablespaces,
        ..Options::default()
    };
    let selection = choose::select(&contents, request, &options);

    job.progress.phase("look at the target");
    prepare::refuse_impossible(&contents, &selection, &options, &about, request, watch)?;
    if request.dry_run {
        return Ok(RestoreReport {
            id: backup.head.id.to_string(),
            database: request.conninfo.dbname().to_string(),
            status: "planned",
            tables: 0,
            rows: 0,
            bytes: 0,
            seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            errors: Vec::new(),
            plan: Some(choose::plan(&contents, &selection)),
        });
    }
    prepare::make_ready(&contents, &selection, &options, request, job, watch)?;

    let costs = costs(&contents);
    let plan =
        run::Plan { contents: &contents, reader: &reader, options, selection, costs, request, job, watch };
    let mut outcome = plan.carry_out()?;
    if request.analyze && request.choice.loads_data() {
        plan.analyze(&mut outcome)?;
    }
    plan.make_durable()?;
    let missing = if request.choice.loads_data() { contents.missing() } else { Vec::new() };
    for name in missing {
        let message = "its rows are not in this backup, which is incomplete".to_string();
        outcome.errors.push(ObjectError { object: format!("TABLE DATA {name}"), message });
    }
    Ok(RestoreReport {
        id: backup.head.id.to_string(),
        database: request.conninfo.dbname().to_string(),
        status: if outcome.errors.is_empty() { "complete" } else { "incomplete" },
        tables: outcome.tables,
        rows: outcome.rows,
        bytes: outcome.bytes,
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        errors: outcome.errors,
        plan: None,
    })
}

/// How long each entry will take about, in nanoseconds, by dump id. Only the order of work hangs on it.
fn costs(contents: &Contents) -> HashMap<i32, u64> {
    // Measured on PostgreSQL 15: COPY of narrow and of wide rows, B-trees, foreign keys.
    const LOAD_A_ROW: u64 = 450;
    const LOAD_A_BYTE: u64 = 8;
    const INDEX_A_ROW: u64 = 400;
    const CHECK_A_ROW: u64 = 300;
    // Even an empty table or a comment takes its round trips.
    const ANY: u64 = 300_000;
    let mut costs = HashMap::new();
    let mut rows_of: HashMap<i32, u64> = HashMap::new();
    for toc in contents.archive.entries.iter().filter(|toc| toc.kind() == "TABLE DATA") {
        if let Some((entry, rows)) = contents.tables.get(&toc.dump_id) {
            costs.insert(toc.dump_id, ANY + rows * LOAD_A_ROW + entry.bytes_raw * LOAD_A_BYTE);
            rows_of.extend(toc.dependencies.first().map(|table| (*table, *rows)));
        }
    }
    for toc in &contents.archive.entries {
        let per_row = match toc.kind() {
            "TABLE DATA" => continue,
            "BLOBS" => {
                let bytes = contents.large_objects.as_ref().map_or(0, |entry| entry.bytes_raw);
                costs.insert(toc.dump_id, ANY + bytes * LOAD_A_BYTE);
                continue;
            }
            "INDEX" | "CONSTRAINT" | "MATERIALIZED VIEW DATA" => INDEX_A_ROW,
            "FK CONSTRAINT" | "CHECK CONSTRAINT" => CHECK_A_ROW,
            _ => 0,
        };
        // The referenced table of a foreign key comes among the dependencies too; the first is the one that is read.
        let rows = toc.dependencies.iter().find_map(|id| rows_of.get(id)).copied().unwrap_or(0);
        costs.insert(toc.dump_id, ANY + rows * per_row);
    }
    costs
}
