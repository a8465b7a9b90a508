//! `backup`: live databases of one cluster, whole, into the repository, in one backup.
//!
//! **Order.** The first connection finds out what there is (`cluster`). For each database a lead
//! connection locks every table, takes a snapshot and reads the catalog (`lead`, `catalog`); a
//! throw-away `pg_dump` on the same snapshot yields the archive's table of contents and is then
//! ended (`tap`). Workers import the snapshot and copy tables, largest first, each straight into
//! the repository (`crew`, `copy`, `work`): one queue for all databases. Roles and tablespaces,
//! settings and access files, which take no part in a snapshot, are read meanwhile (`globals`,
//! `cluster`). The repository then commits in its own order; its manifest's put is the commit.
//!
//! **Several databases.** Each has a snapshot of its own (PostgreSQL has none across databases).
//! Staggered, the default: taken when the workers will soon need it, released when the database is
//! copied. Together: all are taken before the first byte. A small database together with others is
//! copied over its lead connection: another would cost more than its rows.
//!
//! **What changes under us.** Locks come before the snapshot. Where that is not possible (filters
//! choose, a table is new, the lock table is short) a table that is dropped, truncated or altered
//! between snapshot and lock makes that database start again on a new snapshot, before any of its
//! bytes is stored. After the locks nothing of the kind can happen.
//!
//! **Locks.** Workers lock NOWAIT. Where that fails, DDL is queueing behind the lead's lock: the
//! lead, which holds the lock, copies that table itself; waiting would be a deadlock that the
//! server cannot see (trap 1).
//!
//! **Cancel and failure.** One failed table ends its database (or, with `keep_going`, is named and
//! the backup is incomplete). A database that fails leaves the others good, and the backup
//! incomplete; if it is the only one, there is no backup. On cancel every connection is told to
//! stop and then shut; pg_dump is killed; nothing was committed, so nothing is left but
//! unreferenced packs, which the next backup reuses.

mod catalog;
mod cluster;
mod copy;
mod crew;
mod database;
mod databases;
mod definitions;
mod describe;
mod destination;
mod dry_run;
mod facts_for_masking;
mod globals;
mod large_objects;
mod lead;
mod mapping;
mod masking;
mod patterns;
mod proof;
mod request;
mod selector;
mod standby;
mod tap;
mod toc_entry;
mod work;

use std::collections::BTreeMap;
use std::thread;
use std::time::Instant;

use pgark_repo::{Addition, BackupHead, BackupWriter, Class, Entry, NewBackup, Repository, WriteOptions};

use crate::advice::{Setting, advice};
pub use crate::cluster::Beside;
use crate::cluster::described::ClusterFacts;
use crate::cluster::{Report, name, settings, turn};
pub use crate::facts::Filters;
use crate::facts::{About, BackupKind, DatabaseRead, Masked, Note};
pub use crate::logical::rowmap::{Mode as RowMapMode, RowMaps};
use crate::record::seconds;
use crate::watch::Watch;
use crate::{BackupOutcome, BackupRecord, Job, OpsError, TableDetail, paths};
use cluster::Survey;
use crew::Crew;
use definitions::Recall;
use describe::{DatabaseReport, Finished};
use destination::{Destination, SecondRepository, Uncommitted};
pub use dry_run::{Plan, PlannedDatabase, PlannedTable, dry_run};
use mapping::RowMapping;
pub use request::{Databases, Request, Snapshots};
use standby::Pause;

/// Backs up what was asked for. The returned record's `status` is `incomplete` if some of it is
/// missing.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupOutcome, OpsError> {
    run_with_second(repository, None, request, job).map(|(outcome, _)| outcome)
}

/// What became of the second repository: its backup's id, or why there is none.
pub type Second = Result<String, OpsError>;

/// The same into a second repository too, reading the server once. What goes wrong with the second
/// is in the answer, and takes nothing from the first.
pub fn run_with_second(
    repository: &Repository,
    second: Option<&Repository>,
    request: &Request,
    job: &Job,
) -> Result<(BackupOutcome, Option<Second>), OpsError> {
    request.refuse_nonsense()?;
    if second.is_some_and(|second| second.id() == repository.id()) {
        return Err(OpsError::refused(
            "both repositories are the same",
            advice!["give ", Setting::Also, " another one"],
        ));
    }
    let repository = &job.on(repository);
    let second = second.map(|second| job.on(second));
    turn::wait_for(repository, request.beside, job, || {
        let (watch, started) = (Watch::new(&job.cancel), Instant::now());
        watch.during_job(|| back_up(repository, second.as_ref(), request, job, &watch, started))
    })
}

fn back_up(
    repository: &Repository,
    second: Option<&Repository>,
    request: &Request,
    job: &Job,
    watch: &Watch,
    started: Instant,
) -> Result<(BackupOutcome, Option<Second>), OpsError> {
    let masked = request.mask.as_ref().map(masking::masked_by).transpose()?;
    let (masked, domain) = masked.unzip();
    job.progress.phase("reading the cluster's properties");
    let mut survey = Survey::of(request, job, watch)?;
    let cluster = name::of(repository, request.cluster.as_deref(), survey.who())?;
    let options = WriteOptions {
        cluster,
        jobs: request.jobs,
        compression_level: request.compression_level,
        full: request.full,
        purpose: "backup",
        alone: request.beside != Beside::Run,
        domain,
    };
    turn::refuse_early(repository, request.beside, &options.cluster)?;
    let pause = Pause::begin(&mut survey, request, job, watch)?;
    let run = Run { repository, request, job, watch, options, masked, started };
    let result = match second {
        None => run.back_up_into_first(&mut survey, None).map(|(outcome, _)| (outcome, None)),
        Some(second) => {
            run.back_up_into_both(second, &mut survey).map(|(outcome, second)| (outcome, Some(second)))
        }
    };
    // On every way out: whatever happened to the backup, the standby goes on.
    pause.end(job)?;
    result
}

/// One backup: what its steps share.
struct Run<'a> {
    repository: &'a Repository,
    request: &'a Request,
    job: &'a Job,
    watch: &'a Watch,
    options: WriteOptions,
    masked: Option<Masked>,
    started: Instant,
}

impl Run<'_> {
    /// Into two repositories: the second hears of every byte that goes into the first, and commits
    /// when that has.
    fn back_up_into_both(
        &self,
        second: &Repository,
        survey: &mut Survey,
    ) -> Result<(BackupOutcome, Second), OpsError> {
        let mut first = None;
        // Whose turn it is, is told by the first.
        let options = WriteOptions { alone: false, ..self.options.clone() };
        let committed = second.write_backup(&options, |writer| {
            let maps = RowMapping::new(second, self.request, &self.options.cluster, self.masked.as_ref())
                .map_err(Uncommitted::SecondFailed)?;
            let second = SecondRepository::new(writer, &maps);
            let about = match self.back_up_into_first(survey, Some(&second)) {
                Ok((outcome, about)) => {
                    first = Some(Ok(outcome));
                    about
                }
                Err(error) => {
                    first = Some(Err(error));
                    return Err(Uncommitted::FirstFailed);
                }
            };
            match second.failure() {
                None => Ok((new_backup(&About { bytes_raw: writer.bytes_raw(), ..about }), ())),
                Some(why) => Err(Uncommitted::SecondFailed(why)),
            }
        });
        let outcome = match first {
            Some(first) => first?,
            // The second could not even begin: the first does not wait for it.
            None => self.back_up_into_first(survey, None)?.0,
        };
        Ok((outcome, committed.map(|(head, ())| head.id.to_string()).map_err(OpsError::from)))
    }

    /// Into the first repository, and with every entry into the second. Returns also what the
    /// second is to say of itself.
    fn back_up_into_first(
        &self,
        survey: &mut Survey,
        second: Option<&SecondRepository<'_>>,
    ) -> Result<(BackupOutcome, About), OpsError> {
        let Run { repository, request, job, watch, options, masked, .. } = self;
        let mut report = Report::default();
        survey.tell_unmatched(&mut report);
        let mut tables = Vec::new();
        let mut told = |entry: &Entry, addition: &Addition| {
            tables.extend(Note::read(entry).and_then(|note| TableDetail::of(note, entry, addition)));
        };
        let (head, about) = thread::scope(|scope| {
            // Far away this takes as long as the announcement of the session, during which it runs.
            let maps =
                scope.spawn(|| RowMapping::new(repository, request, &options.cluster, masked.as_ref()));
            let work = |writer: &BackupWriter<'_>| {
                let maps = maps.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                for warning in survey.server.compare(
                    request.cluster.as_deref(),
                    &survey.system_identifier,
                    &maps.newest,
                )? {
                    report.warn(&warning);
                }
                let destination = Destination { main: writer, maps: &maps, second };
                match masked {
                    Some(masked) => report.warnings.extend(maps.other_key(masked)),
                    None => server_entries(&destination, survey, &mut report)?,
                }
                let facts = ClusterFacts::read(&mut survey.connection)?;
                // A role may have few connections, and this one is not needed any more.
                survey.connection.hang_up();
                let crew = Crew::new(&destination, job, watch, request);
                let recall = Recall::new(Some(*repository).filter(|_| !request.full), survey);
                let finished = databases::copy_all(&crew, survey, request, &recall, &mut report)?;
                maps.tell_unmatched(&mut report);
                describe::manifest(&destination, &options.cluster, survey, &facts, &finished)?;
                let about = self.about(&finished, report, survey, writer.bytes_raw());
                Ok::<_, OpsError>((new_backup(&about), about))
            };
            repository.write_backup_told(options, work, &mut told)
        })?;
        if request.cluster.is_none() {
            name::note(repository, survey.who(), &options.cluster);
        }
        repository.tidy_cache_files(name::PURPOSE, definitions::UNUSED_FOR);
        repository.tidy_cache_files(definitions::PURPOSE, definitions::UNUSED_FOR);
        repository.tidy_cache_files(definitions::FACTS_PURPOSE, definitions::UNUSED_FOR);
        let mut record = BackupRecord::of(&head)?;
        record.warnings.extend(clock_ahead(&head));
        Ok((BackupOutcome { record, tables, physical: None }, about))
    }

    fn about(&self, finished: &[Finished], report: Report, survey: &Survey, bytes_raw: u64) -> About {
        let reads = finished.iter().map(|database| {
            let DatabaseReport { name, read } = &database.report;
            (name.clone(), read.clone())
        });
        let reads: BTreeMap<String, DatabaseRead> = reads.collect();
        About {
            databases: reads.keys().cloned().collect(),
            bytes_raw,
            seconds: seconds(self.started.elapsed()),
            warnings: report.warnings,
            missing: report.missing,
            copied: None,
            masked: self.masked.clone(),
            physical: None,
            reads,
            selection: self.request.databases.selection(),
            server: Some(survey.server.clone()),
            server_version: survey.server_version,
            system_identifier: survey.system_identifier.clone(),
        }
    }
}

fn new_backup(about: &About) -> NewBackup {
    let kind = if about.masked.is_some() { BackupKind::Masked } else { BackupKind::Logical };
    NewBackup { kind: kind.into(), complete: about.missing.is_empty(), about: about.to_bytes(), time: None }
}

/// Told behind a backup whose time nobody will believe.
fn clock_ahead(head: &BackupHead) -> Option<String> {
    let stored = head.stored.filter(|_| head.is_ahead())?;
    Some(format!(
        "this host's clock says {} and the storage's {stored}: the backup is never `latest`, and the rules of `forget` ignore \
         it; correct this host's clock",
        head.time
    ))
}

/// Settings and access files. Masked backups have none: they are for other servers, and these files
/// hold passwords and addresses of this one.
fn server_entries(
    destination: &Destination<'_>,
    survey: &mut Survey,
    report: &mut Report,
) -> Result<(), OpsError> {
    let all = settings::settings(&mut survey.connection, report)?;
    destination.whole(paths::SETTINGS, Class::Data, &all, Note::Settings)?;
    for file in settings::access_files(&mut survey.connection, report, &|_| false)? {
        let note = Note::ServerFile { path: file.path };
        destination.whole(&file.entry, Class::Data, &file.content, note)?;
    }
    Ok(())
}
