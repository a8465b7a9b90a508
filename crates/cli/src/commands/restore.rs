//! `pgark restore`.

use std::process::ExitCode;

use pgark_ops::restore as ops;

use crate::args::{Common, Restore};
use crate::environment::{connection, default_jobs};
use crate::error::{Failure, INCOMPLETE};
use crate::{output, progress, repository};

/// Restores one backup.
pub fn run(common: &Common, args: Restore) -> Result<ExitCode, Failure> {
    if args.dbname.trim().is_empty() {
        return Err(Failure::usage(
            "the target database is empty",
            "name it: --dbname NAME or a connection string",
        ));
    }
    let request = ops::Request {
        conninfo: connection(&args.dbname, &args.server)?,
        backup: args.backup,
        target: match (args.create, args.clean) {
            (true, _) => ops::Target::Create,
            (false, true) => ops::Target::Clean,
            (false, false) => ops::Target::Existing,
        },
        no_owner: args.no_owner,
        no_privileges: args.no_privileges,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        exit_on_error: args.exit_on_error,
        analyze: !args.no_analyze,
    };
    let repository = repository::open(&args.repository)?;
    let report = {
        let job = progress::watched_job(common)?;
        ops::run(&repository, &request, &job)?
    };
    if args.json {
        output::json(&report)?;
    }
    for error in &report.errors {
        tracing::error!("{}: {}", error.object, error.message);
    }
    tracing::info!(
        "backup {} is in database {}: {} tables, {} rows, {} in {:.1} s",
        report.id,
        report.database,
        output::count(report.tables),
        output::count(report.rows),
        output::bytes(report.bytes),
        report.seconds,
    );
    if report.errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!("{} objects could not be restored; they are named above", report.errors.len());
    Ok(ExitCode::from(INCOMPLETE))
}
