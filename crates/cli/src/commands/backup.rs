//! `pgark backup`.

use std::process::ExitCode;

use pgark_ops::{BackupRecord, backup as ops};

use crate::args::{Backup, Common};
use crate::environment::{connection, default_jobs, search_path};
use crate::error::{Failure, INCOMPLETE};
use crate::{output, progress, repository};

/// Backs up one database and prints the new id.
pub fn run(common: &Common, args: Backup) -> Result<ExitCode, Failure> {
    let request = ops::Request {
        conninfo: connection(args.dbname.as_deref().unwrap_or_default(), &args.server)?,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        cluster: args.cluster,
        compression_level: args.compression_level,
        pg_dump: args.pg_dump,
        search_path: search_path(),
        lock_wait_timeout: args.lock_wait_timeout,
        keep_going: args.keep_going,
    };
    let repository = repository::open(&args.repository)?;
    let record = {
        let job = progress::watched_job(common)?;
        ops::run(&repository, &request, &job)?
    };
    if args.json {
        output::json(&record)?
    } else {
        output::line(&record.id)?
    }
    summarise(&record);
    Ok(if record.status == "complete" { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn summarise(record: &BackupRecord) {
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
