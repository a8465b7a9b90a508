//! `pgark backup`.

use std::process::ExitCode;

use pgark_ops::operate::nightly::{self, Nightly, Second};
use pgark_ops::rowmap::MapNote;
use pgark_ops::{BackupOutcome, BackupRecord, Repository, backup as ops};

use crate::args::{Backup, Filters, Keep, Repository as Options, RowMap, Snapshots, Storage};
use crate::context::Context;
use crate::environment::{default_jobs, search_path};
use crate::error::{Failure, INCOMPLETE};
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

/// Backs up the databases and prints the new id.
pub fn run(context: &Context, args: Backup) -> Result<ExitCode, Failure> {
    let databases = databases(&args);
    if args.with_templates && databases == ops::Databases::Connected {
        return Err(Failure::usage("--with-templates has nothing to add to", "give it with --all"));
    }
    if args.maintenance_db.is_some() && databases == ops::Databases::Connected {
        return Err(Failure::usage(
            "--maintenance-db says where to look for databases, and --dbname names the only one",
            "give it with --all or --database",
        ));
    }
    let second = match args.also.as_ref().map(|url| open_also(context, url, &args)) {
        Some(Err(failure)) if failure.is_usage() => return Err(failure),
        second => second,
    };
    let row_maps_of = args.filters_of.iter().map(|(name, own)| (name.clone(), row_maps(own))).collect();
    let row_maps = row_maps(&args.filters);
    let request = ops::Request {
        conninfo: connection(args.connection.or(args.dbname).as_deref().unwrap_or_default(), &args.server)?,
        maintenance_db: args.maintenance_db,
        role: args.role,
        databases,
        filters: filters(args.filters),
        filters_of: args.filters_of.into_iter().map(|(name, own)| (name, filters(own))).collect(),
        snapshots: match args.snapshots {
            Snapshots::Staggered => ops::Snapshots::Staggered,
            Snapshots::Together => ops::Snapshots::Together,
        },
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        cluster: args.cluster,
        compression_level: args.compression_level,
        pg_dump: args.pg_dump,
        search_path: search_path(),
        lock_wait_timeout: args.lock_wait_timeout,
        pause_timeout: Some(args.pause_timeout).filter(|timeout| !timeout.is_zero()),
        keep_going: args.keep_going,
        full: args.full,
        row_maps,
        row_maps_of,
        rewrite_deleted: args.rewrite_deleted,
        beside: match args.wait {
            _ if args.allow_concurrent => ops::Beside::Run,
            Some(at_most) => ops::Beside::Wait(at_most),
            None => ops::Beside::Refuse,
        },
    };
    if args.forget_after_backup && super::upkeep::policy(&args.keep).is_empty() {
        return Err(Failure::usage(
            "--forget-after-backup is given, and no --keep-… rule says what stays",
            "give --keep-last, --keep-daily, …, or set keep_last, keep_daily, … in pgark.toml",
        ));
    }
    if !args.forget_after_backup && args.keep != Keep::default() {
        return Err(Failure::usage(
            "--keep-… rules are given, and nothing is to be forgotten",
            "give --forget-after-backup too, or run `pgark forget` with these rules",
        ));
    }
    let repository = repository::open(context, &args.repository)?;
    let nightly = Nightly {
        backup: &request,
        second: args.also.as_ref().zip(second.as_ref()).map(|(location, second)| Second {
            location: location.clone(),
            repository: second.as_ref().map_err(Failure::words),
        }),
        keep: args.forget_after_backup.then(|| super::upkeep::policy(&args.keep)),
    };
    let report = {
        let job = progress::watched_job(&context.common)?;
        nightly::run(&repository, &nightly, &job)?
    };
    if args.json {
        output::json(&report)?
    } else {
        output::line(&report.backup.record.id)?
    }
    tell_tables(&report.backup);
    tell(&report.backup.record);
    output::tell_requests(report.requests.as_ref());
    let is_complete = report.is_complete();
    // One that could not even be opened is told behind the backup that did not wait for it.
    let unopened = second.and_then(Result::err);
    tell_second(report.second, unopened, args.json);
    tell_retention(report.retention)?;
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
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
        (Some(id), _) => tracing::info!("the same is in {} as backup {id}", second.repository),
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
        tracing::info!("forgotten by the policy: {}", gone.join(", "));
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
            "`pgark show {}` tells the same of {} more tables",
            outcome.record.id,
            mapped.len() - TOLD
        );
    }
}

/// Tables that are told of behind a backup.
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
