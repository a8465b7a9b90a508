//! `pgark export`.

use std::process::ExitCode;

use pgark_ops::export as ops;

use crate::args::{Export, Format, Selection};
use crate::commands::selection::{self, chosen};
use crate::context::Context;
use crate::environment::default_jobs;
use crate::error::Failure;
use crate::json::Document;
use crate::{output, progress, repository};

/// Writes a backup as files for stock tools.
pub fn run(context: &Context, args: Export) -> Result<ExitCode, Failure> {
    let to_stream = args.output.as_os_str() == "-";
    if args.json && to_stream {
        return Err(Failure::usage(
            "--json and --output - both write to standard output",
            "give only one of them",
        ));
    }
    if args.create && !matches!(args.format, Format::Plain) {
        return Err(Failure::usage(
            "--create is for --format plain",
            "with archives, pg_restore --create decides",
        ));
    }
    if args.no_restrict && !matches!(args.format, Format::Plain | Format::Directory) {
        return Err(Failure::usage(
            "--no-restrict is for --format plain, and for the globals.sql of --format directory",
            "the other formats contain no SQL for psql",
        ));
    }
    if matches!(args.format, Format::Csv) {
        refuse_unfit_for_csv(&args.selection)?;
    }
    if args.jobs.is_some() && !matches!(args.format, Format::Directory) {
        return Err(Failure::usage(
            "--jobs is for --format directory",
            "the other formats are a single stream",
        ));
    }
    let name = args.source.which.backup(&args.backup);
    let database = selection::databases(&name, args.database.into_iter().collect())?.pop();
    let repository = repository::open_as_of(context, &args.source.repository, &args.source.past)?;
    let request = ops::Request {
        backup: args.source.which.backup_for(&args.backup, database.clone()),
        database,
        format: match args.format {
            Format::Directory => ops::Format::Directory,
            Format::Custom => ops::Format::Custom,
            Format::Tar => ops::Format::Tar,
            Format::Plain => ops::Format::Plain,
            Format::Csv => ops::Format::Csv,
        },
        output: if to_stream { ops::Output::Stream } else { ops::Output::Path(args.output) },
        compress: args.compress,
        for_major: args.for_version,
        with_database: args.create,
        restrict: !args.no_restrict,
        no_owner: args.selection.no_owner,
        no_privileges: args.selection.no_privileges,
        choice: chosen(args.selection)?,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
    };
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &request, &mut std::io::stdout().lock(), &job)?
    };
    if args.json {
        output::json(&Document::Export(&report))?;
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

/// A CSV file holds rows and nothing else.
fn refuse_unfit_for_csv(selection: &Selection) -> Result<(), Failure> {
    if selection.table.is_empty() {
        return Err(Failure::usage("--format csv exports one table", "name it: --table SCHEMA.NAME"));
    }
    let of_definitions = selection.schema_only
        || !selection.section.is_empty()
        || selection.no_owner
        || selection.no_privileges
        || selection.no_tablespaces
        || selection.no_comments
        || selection.no_publications
        || selection.no_subscriptions;
    if of_definitions {
        return Err(Failure::usage(
            "--format csv contains only rows; options for definitions do not apply",
            "give --table, and --exclude-table if need be",
        ));
    }
    Ok(())
}
