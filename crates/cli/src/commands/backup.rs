//! `pgark backup`.

use std::process::ExitCode;

use pgark_ops::operate::hooks::{Ended, Hooks, How};
use pgark_ops::operate::nightly::{self, Nightly, Second, What};
use pgark_ops::rowmap::MapNote;
use pgark_ops::{BackupOutcome, BackupRecord, OpsError, Repository, backup as ops, nearest};

use crate::args::{Backup, Filters, Keep, Repository as Options, RowMap, Snapshots, Storage};
use crate::context::Context;
use crate::environment::{default_jobs, search_path};
use crate::error::{Failure, INCOMPLETE, INTERRUPTED};
use crate::json::Document;
use crate::server::connection;
use crate::{output, progress, repository};

fn databases(args: &Backup) -> ops::Databases {
    if !args.all && args.database.is_empty() && args.exclude_database.is_empty() {
        return ops::Databases::Connected;
    }
    ops::Databases::Matching {
        include: args.database.clone(),
        exclude: args.exclude_database.clone(),
        templates: args.with_templates,
    }
}

fn filters(args: Filters) -> ops::Filters {
    ops::Filters {
        schema: args.schema,
        exclude_schema: args.exclude_schema,
        table: args.table,
        exclude_table: args.exclude_table,
        extension: args.extension,
        exclude_table_data: args.exclude_table_data,
        include_foreign_data: args.include_foreign_data,
        no_children: args.no_children,
        schema_only: args.schema_only,
        data_only: args.data_only,
        no_large_objects: args.no_large_objects,
        strict_names: args.strict_names,
    }
}

fn row_maps(args: &Filters) -> ops::RowMaps {
    ops::RowMaps {
        mode: match args.row_map {
            RowMap::Auto => ops::RowMapMode::Auto,
            RowMap::On => ops::RowMapMode::On,
            RowMap::Off => ops::RowMapMode::Off,
        },
        on: args.row_map_on.clone(),
        off: args.row_map_off.clone(),
        salted: args.salted.clone(),
    }
}

/// What the options ask for.
fn request(args: &Backup) -> Result<ops::Request, Failure> {
    let databases = databases(args);
    if args.with_templates && databases == ops::Databases::Connected {
        return Err(Failure::usage(
            "--with-templates applies only to --all and --database",
            "give it with --all",
        ));
    }
    if args.maintenance_db.is_some() && databases == ops::Databases::Connected {
        return Err(Failure::usage(
            "--maintenance-db is the database to connect to first, and --dbname already names the only one",
            "give it with --all or --database",
        ));
    }
    let filters_of = args.filters_of.iter();
    Ok(ops::Request {
        conninfo: connection(
            args.connection.as_ref().or(args.dbname.as_ref()).map_or("", String::as_str),
            &args.server,
        )?,
        maintenance_db: args.maintenance_db.clone(),
        role: args.role.clone(),
        databases,
        filters: filters(args.filters.clone()),
        filters_of: filters_of.clone().map(|(name, own)| (name.clone(), filters(own.clone()))).collect(),
        snapshots: match args.snapshots {
            Snapshots::Staggered => ops::Snapshots::Staggered,
            Snapshots::Together => ops::Snapshots::Together,
        },
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        cluster: args.cluster.clone(),
        compression_level: args.compression_level,
        pg_dump: args.pg_dump.clone(),
        search_path: search_path(),
        lock_wait_timeout: args.lock_wait_timeout,
        pause_timeout: Some(args.pause_timeout).filter(|timeout| !timeout.is_zero()),
        keep_going: args.keep_going,
        full: args.full,
        row_maps: row_maps(&args.filters),
        row_maps_of: filters_of.map(|(name, own)| (name.clone(), row_maps(own))).collect(),
        rewrite_deleted: args.rewrite_deleted,
        mask: args.mask.as_deref().map(super::mask::load).transpose()?,
        beside: args.beside(),
    })
}

/// Backs up the databases and prints the new id.
pub fn run(context: &Context, args: Backup) -> Result<ExitCode, Failure> {
    warn_of_missing_section(context, args.cluster.as_deref());
    let request = match args.physical {
        true => Request::DataDirectory(Box::new(super::physical::request(&args)?)),
        false => Request::Databases(Box::new(request(&args)?)),
    };
    if args.forget_after_backup && super::upkeep::policy(&args.keep).is_empty() {
        return Err(Failure::usage(
            "--forget-after-backup is given without a --keep-… rule",
            "give --keep-last, --keep-daily, …, or set keep_last, keep_daily, … in pgark.toml",
        ));
    }
    if !args.forget_after_backup && args.keep != Keep::default() {
        return Err(Failure::usage(
            "--keep-… rules are given without --forget-after-backup",
            "give --forget-after-backup too, or run `pgark forget` with these rules",
        ));
    }
    if args.dry_run {
        return match &request {
            Request::Databases(request) => super::backup_plan::run(context, &args, request),
            Request::DataDirectory(request) => super::directory_plan::run(context, &args, request),
        };
    }
    let conninfo = match &request {
        Request::Databases(request) => request.conninfo.clone(),
        Request::DataDirectory(request) => request.conninfo.clone(),
    };
    let hooks = Hooks {
        pre: args.hooks.hook_pre.clone(),
        post: args.hooks.hook_post.clone(),
        failure: args.hooks.hook_failure.clone(),
        limit: Some(args.hooks.hook_timeout).filter(|limit| !limit.is_zero()),
        conninfo,
        cluster: args.cluster.clone(),
    };
    let begun = before(context, &hooks);
    let done = begun.and_then(|()| back_up(context, &args, &request));
    let ended = ended(&done);
    let shown = done.and_then(|done| show(done, args.json));
    let failed = after(context, &hooks, &ended)?;
    // An error of the backup says more than one of a hook behind it.
    shown.map(|code| if code == ExitCode::SUCCESS { failed.unwrap_or(code) } else { code })
}

/// What is backed up.
enum Request {
    Databases(Box<ops::Request>),
    DataDirectory(Box<pgark_ops::physical::backup::Request>),
}

/// What was done, and why the second repository could not be opened.
struct Done {
    report: nightly::Report,
    unopened: Option<Failure>,
}

fn back_up(context: &Context, args: &Backup, request: &Request) -> Result<Done, Failure> {
    let second = match args.also.as_ref().map(|url| open_also(context, url, args)) {
        Some(Err(failure)) if failure.is_usage() => return Err(failure),
        second => second,
    };
    let repository = repository::open(context, &args.repository)?;
    let nightly = Nightly {
        backup: match request {
            Request::Databases(request) => What::Databases(request),
            Request::DataDirectory(request) => What::DataDirectory(request),
        },
        second: args.also.as_ref().zip(second.as_ref()).map(|(location, second)| Second {
            location: location.clone(),
            repository: second.as_ref().map_err(Failure::words),
        }),
        keep: args.forget_after_backup.then(|| super::upkeep::policy(&args.keep)),
    };
    let job = progress::watched_job(&context.common)?;
    let report = nightly::run(&repository, &nightly, &job)?;
    Ok(Done { report, unopened: second.and_then(Result::err) })
}

fn show(done: Done, json: bool) -> Result<ExitCode, Failure> {
    let Done { report, unopened } = done;
    if json {
        output::json(&Document::Backup(&report))?
    } else {
        output::line(&report.backup.record.id)?
    }
    tell_tables(&report.backup);
    if let Some(physical) = &report.backup.physical {
        super::physical::tell(physical);
    }
    tell(&report.backup.record);
    output::tell_requests(report.requests.as_ref());
    let is_complete = report.is_complete();
    // One that could not even be opened is told behind the backup that did not wait for it.
    tell_second(report.second, unopened, json);
    tell_retention(report.retention)?;
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn before(context: &Context, hooks: &Hooks) -> Result<(), Failure> {
    if hooks.pre.is_none() {
        return Ok(());
    }
    Ok(hooks.before(&progress::watched_job(&context.common)?)?)
}

/// Runs the hooks behind the backup. Returns the exit code where one of them failed.
fn after(context: &Context, hooks: &Hooks, ended: &Ended) -> Result<Option<ExitCode>, Failure> {
    if hooks.are_none() {
        return Ok(None);
    }
    let errors = hooks.after(ended, &progress::watched_job(&context.common)?);
    for error in errors.iter().filter(|error| !error.is_cancelled()) {
        tracing::error!("{}", crate::hints::words_of(error));
    }
    Ok(match errors.iter().any(OpsError::is_cancelled) {
        true => Some(ExitCode::from(INTERRUPTED)),
        false if errors.is_empty() => None,
        false => Some(ExitCode::from(INCOMPLETE)),
    })
}

/// What hooks are told of a backup.
fn ended(done: &Result<Done, Failure>) -> Ended {
    let report = match done {
        Ok(done) => &done.report,
        Err(failure) => {
            let how = if failure.is_interrupted() { How::Interrupted } else { How::Failed };
            return Ended { how, backup: None, error: Some(failure.words()) };
        }
    };
    let in_second = report.second.as_ref().filter(|second| second.id.is_none());
    let errors = [
        in_second.map(|second| {
            let why = second.error.as_deref().unwrap_or("it was not written");
            format!("the backup is not in {}: {why}", second.repository)
        }),
        report.retention.as_ref().and_then(|retention| retention.error.clone()),
    ];
    let mut errors: Vec<String> = errors.into_iter().flatten().collect();
    let record = report.backup.record.clone();
    let how = How::of(&record, errors.is_empty());
    if how == How::Incomplete && errors.is_empty() {
        errors.push(format!("backup {} is {}", record.id, record.status));
    }
    let error = Some(errors.join("; ")).filter(|error| !error.is_empty());
    Ended { how, backup: Some(record), error }
}

/// A new cluster needs no section; one that is called nearly as a section is a mistake, most often.
fn warn_of_missing_section(context: &Context, cluster: Option<&str>) {
    let Some(cluster) = cluster.filter(|name| !context.config.clusters.contains_key(*name)) else { return };
    if let Some(near) = nearest(cluster, context.config.clusters.keys().map(String::as_str)) {
        tracing::warn!(
            "there is no section [clusters.{cluster}] in pgark.toml: this is a backup of a cluster of that name, with none of \
             the options of [clusters.{near}]"
        );
    }
}

/// The second repository: opened by its section of pgark.toml, or by the writer key on this host.
fn open_also(context: &Context, url: &str, args: &Backup) -> Result<Repository, Failure> {
    let options = Options {
        repo: Some(url.to_string()),
        no_cache: args.repository.no_cache,
        storage: Storage {
            storage_option: args.also_storage_option.clone(),
            limit_upload: args.repository.storage.limit_upload,
            ..Storage::default()
        },
        ..Options::default()
    };
    repository::open_second(context, options)
}

/// What became of the second repository's backup.
fn tell_second(second: Option<nightly::SecondBackup>, unopened: Option<Failure>, json: bool) {
    let Some(second) = second else { return };
    match (second.id, second.failure.map(Failure::Ops).or(unopened)) {
        (Some(id), _) => tracing::info!("the same backup is in {} as {id}", second.repository),
        (None, failure) => {
            tracing::error!("the backup is not in {}:", second.repository);
            if let Some(failure) = failure {
                let _ = crate::error::report(&failure, json, "no backup was committed there");
            }
        }
    }
}

/// What the policy did behind the backup; its failure is the command's.
fn tell_retention(retention: Option<nightly::Retention>) -> Result<(), Failure> {
    let Some(retention) = retention else { return Ok(()) };
    let decisions = &retention.decisions;
    let gone: Vec<&str> =
        decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.id.as_str()).collect();
    if !gone.is_empty() {
        tracing::info!("removed by the retention policy: {}", gone.join(", "));
    }
    super::upkeep::tell_lost(decisions, false);
    retention.failure.map_or(Ok(()), |failure| Err(Failure::Ops(failure)))
}

/// What row maps did: the tables that added most. And once, what tables cost that are salted.
fn tell_tables(outcome: &BackupOutcome) {
    let salted = || outcome.tables.iter().filter(|table| table.salted);
    if salted().next().is_some() {
        tracing::info!(
            "salted tables, stored whole in each backup: {}, {} added",
            salted().count(),
            output::bytes(salted().map(|table| table.bytes_added).sum())
        );
    }
    let mut mapped: Vec<_> =
        outcome.tables.iter().filter_map(|table| Some((table, table.row_map.as_ref()?))).collect();
    mapped.sort_by_key(|(table, _)| std::cmp::Reverse(table.bytes_added));
    for (table, map) in mapped.iter().take(TOLD) {
        let whole = whole(map);
        let database = match outcome.record.databases.len() {
            0 | 1 => String::new(),
            _ => format!("{}: ", table.database),
        };
        tracing::info!(
            "{database}{}.{}: {} of {} rows new, {} added{}",
            table.schema,
            table.name,
            output::count(map.rows_new),
            output::count(table.rows),
            output::bytes(table.bytes_added),
            if whole.is_empty() { String::new() } else { format!("; {whole}") },
        );
    }
    if mapped.len() > TOLD {
        tracing::info!(
            "`pgark show {}` shows the same for {} more tables",
            outcome.record.id,
            mapped.len() - TOLD
        );
    }
}

/// Tables that are reported behind a backup.
const TOLD: usize = 10;

/// Why parts of a table were stored whole, for people; empty if none was.
pub fn whole(map: &MapNote) -> String {
    let parts = |count: u64| match count == map.parts {
        true => "stored whole".to_string(),
        false => format!("{count} of {} parts stored whole", map.parts),
    };
    let reasons: Vec<String> =
        map.whole.iter().map(|(why, count)| format!("{}: {}", parts(*count), why.describe())).collect();
    reasons.join("; ")
}

/// What came of a backup, in the log.
pub fn tell(record: &BackupRecord) {
    for warning in &record.warnings {
        tracing::warn!("{warning}");
    }
    let rate = if record.seconds > 0.0 { record.bytes_raw as f64 / record.seconds } else { 0.0 };
    tracing::info!(
        "backup {} of {} is {}: {} in {:.1} s ({}/s), {} added to the repository",
        record.id,
        record.databases.join(", "),
        record.status,
        output::bytes(record.bytes_raw),
        record.seconds,
        output::bytes(rate as u64),
        output::bytes(record.bytes_added),
    );
}
