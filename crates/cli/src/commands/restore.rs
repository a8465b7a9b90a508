//! `pgark restore`.

use std::process::ExitCode;

use pgark_ops::restore as ops;

use crate::args::{Common, Restore, Section};
use crate::environment::{connection, default_jobs};
use crate::error::{Failure, INCOMPLETE};
use crate::{output, progress, repository};

fn part(section: &Section) -> ops::Part {
    match section {
        Section::PreData => ops::Part::PreData,
        Section::Data => ops::Part::Data,
        Section::PostData => ops::Part::PostData,
    }
}

fn show_plan(plan: &[ops::PlannedObject], database: &str) -> Result<ExitCode, Failure> {
    for object in plan {
        let amount = match (object.rows, object.bytes) {
            (Some(rows), Some(bytes)) => {
                format!("  ({} rows, {})", output::count(rows), output::bytes(bytes))
            }
            (None, Some(bytes)) => format!("  ({})", output::bytes(bytes)),
            _ => String::new(),
        };
        output::line(&format!("{}{amount}", object.object))?;
    }
    tracing::info!("{} objects would be restored into {database}; nothing was touched", plan.len());
    Ok(ExitCode::SUCCESS)
}

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
        choice: ops::Choice {
            parts: args.section.iter().map(part).collect(),
            schema_only: args.schema_only,
            no_tablespaces: args.no_tablespaces,
            no_comments: args.no_comments,
            no_publications: args.no_publications,
            no_subscriptions: args.no_subscriptions,
        },
        dry_run: args.dry_run,
    };
    let repository = repository::open(&args.repository)?;
    let report = {
        let job = progress::watched_job(common)?;
        ops::run(&repository, &request, &job)?
    };
    if args.json {
        output::json(&report)?;
    }
    if let Some(plan) = &report.plan {
        return if args.json { Ok(ExitCode::SUCCESS) } else { show_plan(plan, &report.database) };
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
