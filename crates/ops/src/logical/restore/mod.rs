//! `restore`: a backup back into databases, whole or in part.
//!
//! **Order.** Everything that can be known is looked at first, for all databases (`prepare`): what
//! comes of it is a finished `plan`, and one that is not possible touches nothing. Then the
//! globals, if asked for (`globals`). Then each database: the definitions up to the data, one after
//! the other, in pg_dump's order; then rows, indexes, constraints and the rest by many workers,
//! each as soon as what it depends on is there, largest first; access rights and what must see them
//! (materialised views, event triggers) come last. The rules are pg_restore's
//! (`pgark_bytes::archive::order`); two entries whose locks could deadlock never run at once (trap
//! 12).
//!
//! **Rows.** A table that this very run created is emptied and filled in one transaction with
//! FREEZE; any other is only added to: a restore never empties a table that it found (trap 13).
//!
//! **Failure.** An object that fails is named and the rest goes on; the report lists all of them
//! (exit code 3). With `exit_on_error` the first one ends the restore; with `single_transaction` it
//! undoes it. A cancel stops every connection; what was restored stays, and the error says how far
//! each database came (`trail`). Run again, a restore of several databases skips those that are
//! whole and makes the unfinished one again (`marks`).

mod analyze;
mod clean;
mod conflicts;
mod costs;
mod data;
mod globals;
mod hooks;
mod left;
mod links;
mod marks;
mod place;
mod plan;
mod prepare;
mod ready;
mod refresh;
mod report;
mod request;
mod run;
mod steps;
mod target;
mod together;
mod trail;

use std::time::Instant;

use pgark_bytes::archive::statements::Options;
use pgark_repo::Repository;

use self::place::DatabaseRestore;
use self::plan::Plan;
use self::run::OneDatabase;
use self::trail::Stage;
use crate::logical::choose;
use crate::logical::contents::Contents;
use crate::select::Wanted;
use crate::watch::Watch;
use crate::{BackupName, Job, OpsError, inspect};

pub use crate::logical::choose::{ContentsFilter, DumpSection, Listing, PlannedObject, parse_list};
pub use hooks::{Action, Hook, Moment};
pub use report::{ObjectError, PlannedDrop, Refusal, RestoreReport, SkippedRows};
pub use request::{Databases, Load, Request, Target};

/// Restores what was asked for.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<RestoreReport, OpsError> {
    let repository = &job.on(repository);
    let watch = Watch::new(&job.cancel);
    match watch.during(|| restore(repository, request, job, &watch)) {
        Err(error @ OpsError::Interrupted { .. }) => Err(error),
        Err(_) if job.cancel.is_cancelled() => {
            Err(OpsError::Interrupted { left: "nothing was changed in the target".into() })
        }
        other => other,
    }
}

/// The entries that would be restored, as `pg_restore --list` writes them; no server is asked.
pub fn list(
    repository: &Repository,
    backup: &BackupName,
    database: Option<&str>,
    choice: &ContentsFilter,
) -> Result<Listing, OpsError> {
    let backup = inspect::open(repository, backup, Wanted::Logical)?;
    let contents = Contents::of(&backup, &repository.reader(&backup.head)?, database)?;
    let options = Options { create_database: false, ..Options::default() };
    let picked = choose::select(&contents, choice, &options)?;
    Ok(choose::listing(&contents, &picked.selection))
}

fn restore(
    repository: &Repository,
    request: &Request,
    job: &Job,
    watch: &Watch,
) -> Result<RestoreReport, OpsError> {
    let started = Instant::now();
    request.refuse_nonsense()?;
    job.progress.phase("reading the backup");
    let backup = inspect::open(repository, &request.backup, Wanted::Logical)?;
    let reader = repository.reader(&backup.head)?;
    let plan = prepare::plan(repository, &backup, &reader, request, job, watch)?;
    if request.dry_run {
        return Ok(plan.told().timed(started, &reader));
    }
    let mut report = plan.report();
    match carry_out(&plan, job, watch, &mut report) {
        Err(_) if job.cancel.is_cancelled() => {
            return Err(OpsError::Interrupted { left: left::left(&plan.places, request.globals) });
        }
        other => other?,
    }
    report.end(plan.lacking);
    Ok(report.timed(started, &reader))
}

/// The globals, then every database, then what shows that all of them are done.
fn carry_out(plan: &Plan<'_>, job: &Job, watch: &Watch, report: &mut RestoreReport) -> Result<(), OpsError> {
    plan.globals.carry_out(plan.request, watch, job, &mut report.errors)?;
    for place in plan.places.iter().filter(|place| !place.is_there_already()) {
        one_database(plan, place, job, watch, report)?;
    }
    for place in plan.places.iter().filter(|place| place.is_marked()) {
        marks::finish(place, job, watch, &mut report.errors)?;
    }
    Ok(())
}

/// From the empty target to the last commit.
fn one_database(
    plan: &Plan<'_>,
    place: &DatabaseRestore<'_>,
    job: &Job,
    watch: &Watch,
    report: &mut RestoreReport,
) -> Result<(), OpsError> {
    let request = plan.request;
    let database = place.conninfo.dbname();
    if place.several {
        job.progress.info(&format!("restoring database {database}"));
    }
    ready::make_ready(place, job, watch, &mut report.notes)?;
    place.trail.set(if request.single_transaction { Stage::Transaction } else { Stage::InPart });
    let work = OneDatabase::new(plan, place, job, watch)?;
    let mut outcome = match request.single_transaction {
        true => work.in_one_transaction(&mut report.notes)?,
        false => work.carry_out()?,
    };
    if request.analyze && request.choice.loads_data() {
        work.analyze(&mut outcome)?;
    }
    work.make_durable()?;
    place.trail.set(Stage::Done);
    outcome.errors.extend(place.rows_missing());
    if place.several && place.is_marked() && outcome.errors.is_empty() {
        marks::whole(place, watch)?;
    }
    report.add(outcome, place.several.then_some(database));
    Ok(())
}
