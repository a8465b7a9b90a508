//! `backup`: live databases of one cluster, whole, into the repository, in one backup.
//!
//! **Order.** The first connection finds out what there is (`cluster`). For each database a lead connection takes a snapshot,
//! reads the catalog and locks every table (`lead`, `catalog`); a throw-away `pg_dump` on the same snapshot yields the
//! archive's table of contents and is then ended (`tap`). Workers import the snapshot and copy tables, largest first, each
//! straight into the repository (`crew`, `copy`, `work`): one queue for all databases. Roles and tablespaces, settings and access
//! files, which take no part in a snapshot, are read meanwhile (`globals`, `cluster`). The repository then commits in its own
//! order; its manifest's put is the commit.
//!
//! **Several databases.** Each has a snapshot of its own (PostgreSQL has none across databases). Staggered, the default: taken
//! when the workers will soon need it, released when the database is copied. Together: all are taken before the first byte.
//!
//! **What changes under us.** A table that is dropped, truncated or altered between snapshot and lock makes that
//! database start again on a new snapshot, before any of its bytes is stored. After the locks nothing of the kind can happen.
//!
//! **Locks.** Workers lock NOWAIT. Where that fails, DDL is queueing behind the lead's lock: the lead, which holds the
//! lock, copies that table itself; waiting would be a deadlock that the server cannot see (TRAPS 1).
//!
//! **Cancel and failure.** One failed table ends its database (or, with `keep_going`, is named and the backup is incomplete). A
//! database that fails leaves the others good, and the backup incomplete; if it is the only one, there is no backup.
//! On cancel every connection is told to stop and then shut; pg_dump is killed; nothing was committed, so nothing is
//! left but unreferenced packs, which the next backup reuses.

mod catalog;
mod cluster;
mod copy;
mod crew;
mod database;
mod describe;
mod globals;
pub(crate) mod large_objects;
mod lead;
mod request;
mod standby;
mod tap;
mod watch;
mod work;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use pgark_repo::{BackupWriter, Class, Cut, NewBackup, NewEntry, Repository, WriteOptions};

use crate::record::{About, DatabaseRead, Note, Written, seconds};
pub use crate::rowmap::{Mode as RowMapMode, RowMaps};
use crate::{BackupOutcome, BackupRecord, Job, OpsError, TableDetail, paths};
pub(crate) use catalog::reading_encoding;
use cluster::Survey;
use crew::{Crew, StopOnPanic};
use database::{Common, Finished, Frozen};
use describe::ClusterFacts;
pub use request::{Databases, Filters, Request, Snapshots};
use standby::Pause;
pub(crate) use tap::only_connection_environment;
pub(crate) use watch::Watch;
use work::RowMapping;

/// Backs up what was asked for. The returned record's `status` is `incomplete` if some of it is missing.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupOutcome, OpsError> {
    let started = Instant::now();
    request.refuse_nonsense()?;
    let watch = Watch::new(&job.cancel);
    let result = watch.during(|| back_up(repository, request, job, &watch, started));
    // A connection that was shut by a cancel reports a broken socket; the cause is the cancel.
    match result {
        Err(_) if job.cancel.is_cancelled() => Err(OpsError::Cancelled),
        other => other,
    }
}

fn back_up(
    repository: &Repository,
    request: &Request,
    job: &Job,
    watch: &Watch,
    started: Instant,
) -> Result<BackupOutcome, OpsError> {
    job.progress.phase("look at the cluster");
    let mut survey = Survey::of(request, job, watch)?;
    let pause = Pause::begin(&mut survey, request, job, watch)?;
    let options = WriteOptions {
        cluster: request.cluster.clone().unwrap_or_else(|| survey.system_identifier.clone()),
        jobs: request.jobs,
        compression_level: request.compression_level,
        full: request.full,
    };
    let maps = RowMapping::new(repository, request, &options.cluster)?;
    let mut report = Report::default();
    survey.tell_unmatched(&mut report);
    let result = repository.write_backup(&options, &job.cancel, |writer| {
        let mut small = server_entries(writer, &mut survey, &mut report)?;
        let facts = ClusterFacts::read(&mut survey.connection)?;
        let crew = Crew::new(writer, job, watch, request.keep_going, &maps);
        let mut finished = databases(&crew, &survey, request, &mut report, &mut small)?;
        let mut stream = writer.stream(Class::Metadata, Cut::Content);
        describe::manifest(&options.cluster, &survey, &facts, &mut finished, &mut |text| {
            Ok(stream.write(text.as_bytes())?)
        })?;
        small.push(Written {
            path: paths::MANIFEST.into(),
            class: Class::Metadata,
            note: Note::Manifest,
            parts: vec![stream.finish()?],
        });
        writer.settle()?;
        let mut entries: Vec<NewEntry> = small.into_iter().map(Written::into_entry).collect();
        let mut reads = BTreeMap::new();
        for database in finished {
            entries.extend(database.small.into_iter().map(Written::into_entry));
            entries.extend(database.copied.into_entries(&database.report.name));
            reads.insert(database.report.name, database.report.read);
        }
        let tables: Vec<TableDetail> =
            entries.iter().filter_map(|entry| TableDetail::of(Note::read(entry)?, entry)).collect();
        Ok::<_, OpsError>((new_backup(report, entries, reads, &survey, started), tables))
    });
    // On every way out: whatever happened to the backup, the standby goes on.
    pause.end(job)?;
    let (head, tables) = result?;
    Ok(BackupOutcome { record: BackupRecord::of(&head)?, tables })
}

/// Settings and access files.
fn server_entries(
    writer: &BackupWriter<'_>,
    survey: &mut Survey,
    report: &mut Report,
) -> Result<Vec<Written>, OpsError> {
    let settings = cluster::settings(&mut survey.connection, report)?;
    let mut entries =
        vec![Written::whole(writer, paths::SETTINGS.into(), Class::Data, &settings, Note::Settings)?];
    for file in cluster::access_files(&mut survey.connection, report)? {
        let note = Note::ServerFile { path: file.path };
        entries.push(Written::whole(writer, file.entry, Class::Data, &file.content, note)?);
    }
    Ok(entries)
}

/// All databases, and beside them the globals.
fn databases(
    crew: &Crew<'_>,
    survey: &Survey,
    request: &Request,
    report: &mut Report,
    small: &mut Vec<Written>,
) -> Result<Vec<Finished>, OpsError> {
    let (job, watch) = (crew.job, crew.watch);
    let several = survey.databases.len() > 1;
    let common = Common { request, survey, job, watch, several };
    if several {
        job.progress.phase(&format!("copy {} databases", survey.databases.len()));
    }
    let jobs = request.jobs.max(1);
    let (finished, globals) = thread::scope(|scope| {
        let globals = scope.spawn(|| globals::read(survey, job));
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
    if let Some(globals) = globals?.into_sql(report) {
        small.push(Written::whole(crew.writer, paths::GLOBALS.into(), Class::Data, &globals, Note::Globals)?);
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
        let frozen = common.freeze(name)?;
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
            *work::take(place) = Some(one);
        }
        Ok(())
    })?;
    let ready = common.survey.databases.len();
    in_parallel(common, crew, ready, report, |name, report| {
        match place(name).and_then(|place| work::take(place).take()) {
            Some(frozen) => common.copy(frozen, crew, report).map(Some),
            // It failed before, and the report says so.
            None => Ok(None),
        }
    })
    .map(|finished| finished.into_iter().flatten().collect())
}

/// A database's number, what came of it, and what its operator will be told.
type Ended<T> = (usize, Result<T, OpsError>, Report);

/// Does something with every database, at most `width` at once. A database that fails is reported, and the others go on; if
/// it is the only one, or if it is not the database that failed, that is the error.
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
                    work::take(&results).push((at, result, own));
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
    let mut failed = Vec::new();
    for (at, result, own) in results {
        report.warnings.extend(own.warnings);
        report.missing.extend(own.missing);
        match result {
            Ok(value) => done.push(value),
            Err(error) => failed.push((names.get(at), error)),
        }
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
        report.lost(&format!("database {name}"), &crate::error::with_causes(&error));
        common
            .job
            .progress
            .warn(&format!("database {name} is not in this backup: {}", crate::error::with_causes(&error)));
    }
    Ok(done)
}

/// What the operator will be told: warnings, and what is missing.
#[derive(Default)]
pub(crate) struct Report {
    warnings: Vec<String>,
    missing: Vec<String>,
}

impl Report {
    /// Something asked for is not in the backup.
    pub(crate) fn lost(&mut self, object: &str, why: &str) {
        self.missing.push(object.to_string());
        self.warnings.push(format!("{object} is missing: {why}"));
    }

    /// Something the operator should know.
    pub(crate) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_string());
    }
}

fn new_backup(
    report: Report,
    mut entries: Vec<NewEntry>,
    reads: BTreeMap<String, DatabaseRead>,
    survey: &Survey,
    started: Instant,
) -> NewBackup {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let about = About {
        databases: reads.keys().cloned().collect(),
        bytes_raw: entries.iter().map(|entry| entry.bytes_raw).sum(),
        seconds: seconds(started.elapsed()),
        warnings: report.warnings,
        missing: report.missing,
        imported: false,
        copied: None,
        reads,
        server_version: survey.server_version,
        system_identifier: survey.system_identifier.clone(),
    };
    NewBackup {
        kind: "logical".into(),
        complete: about.missing.is_empty(),
        about: serde_json::to_vec(&about).unwrap_or_default(),
        time: None,
        entries,
    }
}
