//! `backup`: live databases of one cluster, whole, into the repository, in one backup.
//!
//! **Order.** The first connection finds out what there is (`cluster`). For each database a lead connection locks every table,
//! takes a snapshot and reads the catalog (`lead`, `catalog`); a throw-away `pg_dump` on the same snapshot yields the
//! archive's table of contents and is then ended (`tap`). Workers import the snapshot and copy tables, largest first, each
//! straight into the repository (`crew`, `copy`, `work`): one queue for all databases. Roles and tablespaces, settings and access
//! files, which take no part in a snapshot, are read meanwhile (`globals`, `cluster`). The repository then commits in its own
//! order; its manifest's put is the commit.
//!
//! **Several databases.** Each has a snapshot of its own (PostgreSQL has none across databases). Staggered, the default: taken
//! when the workers will soon need it, released when the database is copied. Together: all are taken before the first byte.
//! A small database beside others is copied over its lead connection: another would cost more than its rows.
//!
//! **What changes under us.** Locks come before the snapshot. Where that is not possible (filters choose, a table is new, the
//! lock table is short) a table that is dropped, truncated or altered between snapshot and lock makes that database start again on a
//! new snapshot, before any of its bytes is stored. After the locks nothing of the kind can happen.
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
mod homes;
mod large_objects;
mod lead;
mod patterns;
mod request;
mod selector;
mod server;
mod standby;
mod tap;
mod work;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use pgark_repo::{BackupHead, BackupWriter, Class, Cut, NewBackup, NewEntry, Repository, WriteOptions};

pub use crate::facts::Filters;
use crate::facts::{BackupKind, Missing};
pub use crate::logical::rowmap::{Mode as RowMapMode, RowMaps};
use crate::record::{About, DatabaseRead, Note, Written, seconds};
use crate::watch::Watch;
use crate::{BackupOutcome, BackupRecord, Job, OpsError, TableDetail, paths};
use cluster::Survey;
use crew::{Crew, StopOnPanic};
use database::{Common, Finished, Frozen};
use describe::ClusterFacts;
use globals::Globals;
use homes::Homes;
pub use request::{Databases, Request, Snapshots};
use standby::Pause;
use work::RowMapping;

/// Backs up what was asked for. The returned record's `status` is `incomplete` if some of it is missing.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupOutcome, OpsError> {
    run_with_second(repository, None, request, job).map(|(outcome, _)| outcome)
}

/// What became of the second home: its backup's id, or why there is none.
pub type Second = Result<String, OpsError>;

/// The same into a second repository too, reading the server once. What goes wrong with the second is in the answer, and takes
/// nothing from the first.
pub fn run_with_second(
    repository: &Repository,
    second: Option<&Repository>,
    request: &Request,
    job: &Job,
) -> Result<(BackupOutcome, Option<Second>), OpsError> {
    let started = Instant::now();
    request.refuse_nonsense()?;
    if second.is_some_and(|second| second.id() == repository.id()) {
        return Err(OpsError::refused("both repositories are one", "give --also another one"));
    }
    let repository = &job.on(repository);
    let second = second.map(|second| job.on(second));
    let watch = Watch::new(&job.cancel);
    let result = watch.during(|| back_up(repository, second.as_ref(), request, job, &watch, started));
    // A connection that was shut by a cancel reports a broken socket; the cause is the cancel.
    match result {
        Err(error) if job.cancel.is_cancelled() && !error.is_unsure() => Err(OpsError::Cancelled),
        other => other,
    }
}

fn back_up(
    repository: &Repository,
    second: Option<&Repository>,
    request: &Request,
    job: &Job,
    watch: &Watch,
    started: Instant,
) -> Result<(BackupOutcome, Option<Second>), OpsError> {
    job.progress.phase("look at the cluster");
    let mut survey = Survey::of(request, job, watch)?;
    let pause = Pause::begin(&mut survey, request, job, watch)?;
    let options = WriteOptions {
        cluster: request.cluster.clone().unwrap_or_else(|| survey.system_identifier.clone()),
        jobs: request.jobs,
        compression_level: request.compression_level,
        full: request.full,
    };
    let result = into_homes(second, request, &options, &mut |also| {
        first_home(repository, also, request, job, watch, &options, &mut survey, started)
    });
    // On every way out: whatever happened to the backup, the standby goes on.
    pause.end(job)?;
    result
}

/// A committed backup of the first home, and what is to be committed in the second.
type FirstHome = (BackupOutcome, Option<NewBackup>);

/// Opens the second home, if there is one, around the first: it hears of every byte, and commits when the first has.
fn into_homes(
    second: Option<&Repository>,
    request: &Request,
    options: &WriteOptions,
    first_home: &mut dyn FnMut(Option<&homes::Also<'_>>) -> Result<FirstHome, OpsError>,
) -> Result<(BackupOutcome, Option<Second>), OpsError> {
    let Some(second) = second else {
        return Ok((first_home(None)?.0, None));
    };
    let mut first = None;
    let committed = second.write_backup(options, |writer| {
        let maps = RowMapping::new(second, request, &options.cluster)?;
        let also = homes::Also::new(writer, &maps);
        let (outcome, new) = match first_home(Some(&also)) {
            Ok((outcome, new)) => (Ok(outcome), new),
            Err(error) => (Err(error), None),
        };
        let well = outcome.is_ok();
        first = Some(outcome);
        let why = also.failure();
        match (new, why) {
            (Some(new), None) if well => Ok((new, ())),
            (_, Some(why)) => Err(why),
            // The first home says what is wrong.
            _ => Err(OpsError::Cancelled),
        }
    });
    let second = committed.map(|(head, ())| head.id.to_string());
    match first {
        Some(first) => Ok((first?, Some(second))),
        // It could not even begin: the first home does not wait for it.
        None => Ok((first_home(None)?.0, Some(second))),
    }
}

#[allow(clippy::too_many_arguments, reason = "one call, from the only caller")]
fn first_home(
    repository: &Repository,
    also: Option<&homes::Also<'_>>,
    request: &Request,
    job: &Job,
    watch: &Watch,
    options: &WriteOptions,
    survey: &mut Survey,
    started: Instant,
) -> Result<FirstHome, OpsError> {
    let mut report = Report::default();
    survey.tell_unmatched(&mut report);
    let (head, (tables, new_also)) = thread::scope(|scope| {
        // Far away this takes as long as the announcement of the session, beside which it goes.
        let maps = scope.spawn(|| RowMapping::new(repository, request, &options.cluster));
        repository.write_backup(options, |writer| {
            let maps = maps.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            for warning in survey.server.compare(request, &survey.system_identifier, &maps.newest)? {
                report.warn(&warning);
            }
            let homes = Homes { main: writer, maps: &maps, also };
            let mut small = server_entries(&homes, survey, &mut report)?;
            let facts = ClusterFacts::read(&mut survey.connection)?;
            // A role may have few connections, and this one is not needed any more.
            survey.connection.hang_up();
            let crew = Crew::new(&homes, job, watch, request);
            let mut finished = databases(&crew, survey, request, &mut report, &mut small)?;
            small.push(describe_backup(&homes, options, survey, &facts, &mut finished)?);
            homes.settle()?;
            let new_also = new_in_second(&homes, request, &report, &small, &mut finished, survey, started);
            let mut entries: Vec<NewEntry> = small.into_iter().map(Written::into_entry).collect();
            for database in &finished {
                entries.extend(database.entries());
            }
            let mut reads = BTreeMap::new();
            for database in finished {
                entries.extend(database.small.into_iter().map(Written::into_entry));
                reads.insert(database.report.name, database.report.read);
            }
            let tables: Vec<TableDetail> =
                entries.iter().filter_map(|entry| TableDetail::of(Note::read(entry)?, entry)).collect();
            let new = new_backup(request, &report, entries, reads, survey, started);
            Ok::<_, OpsError>((new, (tables, new_also)))
        })
    })?;
    let mut record = BackupRecord::of(&head)?;
    record.warnings.extend(clock_ahead(&head));
    Ok((BackupOutcome { record, tables }, new_also))
}

/// Told behind a backup whose time nobody will believe.
fn clock_ahead(head: &BackupHead) -> Option<String> {
    let stored = head.stored.filter(|_| head.is_ahead())?;
    Some(format!(
        "this host's clock says {} and the storage's {stored}: the backup is never `latest`, and no rule of `forget` counts \
         it; set this host's clock",
        head.time
    ))
}

/// Writes `manifest.json`, in each home with the digests of what lies there.
fn describe_backup(
    homes: &Homes<'_>,
    options: &WriteOptions,
    survey: &Survey,
    facts: &ClusterFacts,
    finished: &mut [Finished],
) -> Result<Written, OpsError> {
    let write = |writer: &BackupWriter<'_>, finished: &mut [Finished]| -> Result<_, OpsError> {
        let mut stream = writer.stream(Class::Metadata, Cut::Content);
        describe::manifest(&options.cluster, survey, facts, finished, &mut |text| {
            Ok(stream.write(text.as_bytes())?)
        })?;
        Ok(vec![stream.finish()?])
    };
    let also = homes.also.and_then(|also| {
        also.attempt(|also| {
            refuse_less_in_second(finished)?;
            // The facts are used up by each description.
            let kept: Vec<_> = finished.iter().map(|database| database.facts.clone()).collect();
            finished.iter_mut().for_each(Finished::swap_homes);
            let written = write(also.writer, finished);
            finished.iter_mut().for_each(Finished::swap_homes);
            for (database, facts) in finished.iter_mut().zip(kept) {
                database.facts = facts;
            }
            written
        })
    });
    let parts = write(homes.main, finished)?;
    Ok(Written { path: paths::MANIFEST.into(), class: Class::Metadata, note: Note::Manifest, parts, also })
}

/// Where something is not in the second home, that has failed before, and the failure is kept.
fn refuse_less_in_second(finished: &[Finished]) -> Result<(), OpsError> {
    match finished.iter().all(|database| database.copied.is_in_second()) {
        true => Ok(()),
        false => Err(OpsError::Cancelled),
    }
}

/// What the second home commits, if it has everything.
fn new_in_second(
    homes: &Homes<'_>,
    request: &Request,
    report: &Report,
    small: &[Written],
    finished: &mut [Finished],
    survey: &Survey,
    started: Instant,
) -> Option<NewBackup> {
    let also = homes.also?;
    also.attempt(|_| {
        refuse_less_in_second(finished)?;
        finished.iter_mut().for_each(Finished::swap_homes);
        let mut entries: Vec<NewEntry> = finished.iter().flat_map(|database| database.entries()).collect();
        finished.iter_mut().for_each(Finished::swap_homes);
        for written in small.iter().chain(finished.iter().flat_map(|database| &database.small)) {
            entries.push(written.also_entry().ok_or(OpsError::Cancelled)?);
        }
        let reads = finished
            .iter()
            .map(|database| (database.report.name.clone(), database.report.read.clone()))
            .collect();
        Ok(new_backup(request, report, entries, reads, survey, started))
    })
}

/// Settings and access files.
fn server_entries(
    homes: &Homes<'_>,
    survey: &mut Survey,
    report: &mut Report,
) -> Result<Vec<Written>, OpsError> {
    let settings = cluster::settings(&mut survey.connection, report)?;
    let mut entries = vec![homes.whole(paths::SETTINGS.into(), Class::Data, &settings, Note::Settings)?];
    for file in cluster::access_files(&mut survey.connection, report)? {
        let note = Note::ServerFile { path: file.path };
        entries.push(homes.whole(file.entry, Class::Data, &file.content, note)?);
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
    let globals = match globals? {
        // By now all connections are free again.
        Globals::Missing(error) if globals::may_be_shortage(&error) => globals::read_patiently(survey, job),
        globals => Ok(globals),
    };
    if let Some(globals) = globals?.into_sql(report) {
        small.push(crew.homes.whole(paths::GLOBALS.into(), Class::Data, &globals, Note::Globals)?);
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
        let reason = crate::error::with_causes(&error);
        common.job.progress.warn(&format!("database {name} is not in this backup: {reason}"));
        report.lost(Missing::database(name, reason));
    }
    Ok(done)
}

/// What the operator will be told: warnings, and what is missing.
#[derive(Default)]
pub(crate) struct Report {
    warnings: Vec<String>,
    missing: Vec<Missing>,
}

impl Report {
    /// Something asked for is not in the backup.
    pub(crate) fn lost(&mut self, missing: Missing) {
        self.warnings.push(format!("{missing} is missing: {}", missing.reason));
        self.missing.push(missing);
    }

    /// Something the operator should know.
    pub(crate) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_string());
    }
}

fn new_backup(
    request: &Request,
    report: &Report,
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
        warnings: report.warnings.clone(),
        missing: report.missing.clone(),
        copied: None,
        reads,
        selection: request.databases.selection(),
        server: Some(survey.server.clone()),
        server_version: survey.server_version,
        system_identifier: survey.system_identifier.clone(),
    };
    NewBackup {
        kind: BackupKind::Logical.into(),
        complete: about.missing.is_empty(),
        about: about.to_bytes(),
        time: None,
        entries,
    }
}
