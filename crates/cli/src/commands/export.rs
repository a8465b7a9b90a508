//! `pgark export`.

use std::process::ExitCode;

use pgark_ops::export as ops;

use crate::args::{Common, Export, Format};
use crate::environment::default_jobs;
use crate::error::Failure;
use crate::{output, progress, repository};

/// Writes a backup as files for stock tools.
pub fn run(common: &Common, args: Export) -> Result<ExitCode, Failure> {
    let repository = repository::open(&args.repository)?;
    let request = match args.format {
        Format::Directory => ops::Request {
            backup: args.backup,
            output: args.output,
            compress: args.compress,
            jobs: args.jobs.map_or_else(default_jobs, usize::from),
        },
    };
    let report = {
        let job = progress::watched_job(common)?;
        ops::run(&repository, &request, &job)?
    };
    if args.json {
        output::json(&report)?;
    }
    tracing::info!(
        "backup {} (database {}) is in {}: {} tables, {} large objects, {} in {:.1} s",
        report.id,
        report.database,
        report.output.display(),
        output::count(report.tables),
        output::count(report.large_objects),
        output::bytes(report.bytes_raw),
        report.seconds,
    );
    Ok(ExitCode::SUCCESS)
}
