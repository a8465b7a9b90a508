//! `pgark backup`.

use std::process::ExitCode;

use pgark_ops::{BackupRecord, backup as ops};

use crate::args::{Backup, Common, Filters, Snapshots};
use crate::environment::{connection, default_jobs, search_path};
use crate::error::{Failure, INCOMPLETE};
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
        schema_only: args.schema_only,
        data_only: args.data_only,
        no_large_objects: args.no_large_objects,
        strict_names: args.strict_names,
    }
}

/// Backs up the databases and prints the new id.
pub fn run(common: &Common, args: Backup) -> Result<ExitCode, Failure> {
    let databases = databases(&args);
    if args.with_templates && databases == ops::Databases::Connected {
        return Err(Failure::usage("--with-templates has nothing to add to", "give it with --all"));
    }
    let request = ops::Request {
        conninfo: connection(args.dbname.as_deref().unwrap_or_default(), &args.server)?,
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
    };
    if args.forget_after_backup && super::upkeep::policy(&args.keep).is_empty() {
        return Err(Failure::usage(
            "forget_after_backup is set, and no keep_… rule says what stays",
            "set keep_last, keep_daily, … in the same section of pgark.toml",
        ));
    }
    let repository = repository::open(&args.repository)?;
    let (record, forgot) = {
        let job = progress::watched_job(common)?;
        let record = ops::run(&repository, &request, &job)?;
        // Only behind a good one; and what goes wrong here takes nothing from the backup.
        let forgot = match args.forget_after_backup && record.status == "complete" {
            true => super::upkeep::forget_after_backup(&repository, &args.keep, &record.cluster, &job),
            false => Ok(()),
        };
        (record, forgot)
    };
    show(&record, args.json)?;
    forgot?;
    Ok(if record.status == "complete" { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

/// The new backup's id, or all of its record, on standard output; what came of it in the log.
pub fn show(record: &BackupRecord, json: bool) -> Result<(), Failure> {
    if json {
        output::json(record)?
    } else {
        output::line(&record.id)?
    }
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
    Ok(())
}
