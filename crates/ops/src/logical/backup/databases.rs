//! All databases of a backup: one after the other, or all snapshots first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pgark_repo::Class;

use super::cluster::Survey;
use super::crew::{Crew, StopOnPanic};
use super::database::{Common, Frozen};
use super::definitions::Recall;
use super::describe::Finished;
use super::globals::{self, Globals};
use super::request::{Request, Snapshots};
use crate::cluster::Report;
use crate::error::with_causes;
use crate::facts::{Missing, Note};
use crate::lock::lock;
use crate::{OpsError, paths};

/// All databases, and at the same time the globals.
pub(super) fn copy_all(
    crew: &Crew<'_>,
    survey: &Survey,
    request: &Request,
    recall: &Recall<'_>,
    report: &mut Report,
) -> Result<Vec<Finished>, OpsError> {
    let (job, watch) = (crew.copier.job, crew.watch);
    let several = survey.databases.len() > 1;
    let is_masked = request.mask.is_some();
    let common = Common { request, survey, recall, job, watch, several };
    if several {
        job.progress.phase(&format!("copying {} databases", survey.databases.len()));
    }
    let jobs = request.jobs.max(1);
    let (finished, globals) = thread::scope(|scope| {
        let globals = scope.spawn(|| globals::read(survey, is_masked, job));
        for _ in 0..jobs {
            scope.spawn(|| crew.work_off());
        }
        let _end = StopOnPanic(crew);
        let finished = match request.snapshots {
            Snapshots::Staggered => staggered(&common, crew, jobs, report),
            Snapshots::Together => together(&common, crew, jobs, report),
        };
        match &finished {
            Ok(_) => crew.close(),
            Err(_) => crew.stop_all(),
        }
        (finished, globals.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let finished = finished?;
    let globals = match globals? {
        // By now all connections are free again.
        Globals::Missing(error) if globals::may_be_shortage(&error) => {
            globals::read_patiently(survey, is_masked, job)
        }
        globals => Ok(globals),
    };
    if let Some(globals) = globals?.into_sql(report) {
        crew.copier.destination.whole(paths::GLOBALS, Class::Data, &globals, Note::Globals)?;
    }
    Ok(finished)
}

/// One database after the other, a few at once: each is frozen when the workers will soon need it.
fn staggered(
    common: &Common<'_>,
    crew: &Crew<'_>,
    jobs: usize,
    report: &mut Report,
) -> Result<Vec<Finished>, OpsError> {
    in_parallel(common, crew, jobs.max(2), report, |name, report| {
        crew.wait_for_need(jobs)?;
        let (frozen, _open) = crew.with_connections(|| common.freeze(name))?;
        common.copy(frozen, crew, report)
    })
}

/// All snapshots first, then all rows.
fn together(
    common: &Common<'_>,
    crew: &Crew<'_>,
    jobs: usize,
    report: &mut Report,
) -> Result<Vec<Finished>, OpsError> {
    let frozen: Vec<Mutex<Option<Frozen>>> =
        common.survey.databases.iter().map(|_| Mutex::new(None)).collect();
    let place = |name: &str| {
        let at = common.survey.databases.iter().position(|other| other == name).unwrap_or(usize::MAX);
        frozen.get(at)
    };
    in_parallel(common, crew, jobs, report, |name, _| {
        let one = common.freeze(name)?;
        if let Some(place) = place(name) {
            *lock(place) = Some(one);
        }
        Ok(())
    })?;
    let ready = common.survey.databases.len();
    in_parallel(common, crew, ready, report, |name, report| {
        match place(name).and_then(|place| lock(place).take()) {
            Some(frozen) => common.copy(frozen, crew, report).map(Some),
            // It failed before, and the report says so.
            None => Ok(None),
        }
    })
    .map(|finished| finished.into_iter().flatten().collect())
}

/// A database's number, what came of it, and what its operator will be told.
type Ended<T> = (usize, Result<T, OpsError>, Report);

/// Does something with every database, at most `width` at once. A database that fails is reported,
/// and the others go on; if it is the only one, or if it is not the database that failed, that is
/// the error.
fn in_parallel<T: Send>(
    common: &Common<'_>,
    crew: &Crew<'_>,
    width: usize,
    report: &mut Report,
    work: impl Fn(&str, &mut Report) -> Result<T, OpsError> + Sync,
) -> Result<Vec<T>, OpsError> {
    let names = &common.survey.databases;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Ended<T>>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..width.clamp(1, names.len().max(1)) {
            scope.spawn(|| {
                let _end = StopOnPanic(crew);
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(at) else { return };
                    let mut own = Report::default();
                    let result = work(name, &mut own);
                    let ends_all =
                        result.as_ref().is_err_and(|error| !common.several || !error.is_of_one_database());
                    lock(&results).push((at, result, own));
                    if ends_all {
                        next.store(names.len(), Ordering::Relaxed);
                        crew.stop_all();
                        return;
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|poison| poison.into_inner());
    results.sort_by_key(|(at, _, _)| *at);
    let mut done = Vec::new();
    let (mut failed, mut without) = (Vec::new(), Vec::new());
    for (at, result, own) in results {
        report.warnings.extend(own.warnings);
        report.missing.extend(own.missing);
        match result {
            Ok(value) => done.push(value),
            // Filters of all databases: one that has nothing of it is no fault of the backup.
            Err(error) if names.get(at).is_some_and(|name| common.may_be_without(name, &error)) => {
                without.push((names.get(at), error));
            }
            Err(error) => failed.push((names.get(at), error)),
        }
    }
    if done.is_empty() && failed.is_empty() {
        // Then the patterns are wrong.
        failed.append(&mut without);
    }
    for (name, error) in &without {
        let name = name.map(String::as_str).unwrap_or_default();
        report.warn(&format!("database {name} is left out: {error}"));
    }
    let is_the_end = |error: &OpsError| !common.several || !error.is_of_one_database();
    // A real cause before the `Cancelled` of those that were stopped because of it.
    failed.sort_by_key(|(_, error)| (error.is_cancelled(), !is_the_end(error)));
    if failed.first().is_some_and(|(_, error)| is_the_end(error)) || done.is_empty() {
        if let Some((_, error)) = failed.into_iter().next() {
            return Err(error);
        }
        return Ok(done);
    }
    for (name, error) in failed {
        let name = name.map(String::as_str).unwrap_or_default();
        let reason = with_causes(&error);
        common.job.progress.warn(&format!("database {name} is not in this backup: {reason}"));
        report.lost(Missing::database(name, reason));
    }
    Ok(done)
}
