//! `pgark export`.

use std::process::ExitCode;

use pgark_ops::export as ops;

use crate::args::{Common, Export, Format};
use crate::environment::default_jobs;
use crate::error::Failure;
use crate::{output, progress, repository};

/// Writes a backup as files for stock tools.
pub fn run(common: &Common, args: Export) -> Result<ExitCode, Failure> {
    let to_stream = args.output.as_os_str() == "-";
    if args.json && to_stream {
        return Err(Failure::usage("--json and --output - both want standard output", "give one of them"));
    }
    if args.no_create && !matches!(args.format, Format::Plain) {
        return Err(Failure::usage("--no-create is for --format plain", "with archives, pg_restore decides"));
    }
    if args.jobs.is_some() && !matches!(args.format, Format::Directory) {
        return Err(Failure::usage("--jobs is for --format directory", "the other formats are one stream"));
    }
    let repository = repository::open(&args.repository)?;
    let request = ops::Request {
        backup: args.which.backup_for(&args.backup, args.database.clone()),
        database: args.database,
        format: match args.format {
            Format::Directory => ops::Format::Directory,
            Format::Custom => ops::Format::Custom,
            Format::Tar => ops::Format::Tar,
            Format::Plain => ops::Format::Plain,
        },
        output: if to_stream { ops::Output::Stream } else { ops::Output::Path(args.output) },
        compress: args.compress,
        for_major: args.for_version,
        with_database: !args.no_create,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
    };
    let report = {
        let job = progress::watched_job(common)?;
        ops::run(&repository, &request, &mut std::io::stdout().lock(), &job)?
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
