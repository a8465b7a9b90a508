//! `pgark copy`.

use std::process::ExitCode;

use pgark_ops::copy as ops;

use crate::args::{Copy, Repository as Options, Storage};
use crate::context::Context;
use crate::environment::default_jobs;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::when::Moment;
use crate::{output, progress, repository};

/// Copies backups from one repository into another.
pub fn run(context: &Context, args: Copy) -> Result<ExitCode, Failure> {
    let source = Options {
        repo: Some(args.source),
        identity: args.identity,
        passphrase_file: args.passphrase_file,
        passphrase: args.passphrase,
        storage: Storage {
            storage_option: args.storage_option,
            limit_download: args.limit_download,
            ..Storage::default()
        },
        ..Options::default()
    };
    let target = Options {
        repo: Some(args.target),
        identity: args.to_identity,
        passphrase_file: args.to_passphrase_file,
        passphrase: args.to_passphrase,
        writer_key: args.to_writer_key,
        storage: Storage {
            storage_option: args.to_storage_option,
            limit_upload: args.limit_upload,
            ..Storage::default()
        },
        ..Options::default()
    };
    let source = repository::open(context, &source)?;
    let target = repository::open_second(context, target)?;
    let request = ops::Request {
        backups: args.backup.iter().map(|text| args.of.backup(text)).collect(),
        cluster: args.of.cluster,
        since: args.since.map(Moment::start),
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        compression_level: args.compression_level,
        with_wal: !args.no_wal,
    };
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&source, &target, &request, &job)?
    };
    if args.json {
        output::json(&Document::Copy(&report))?;
    } else {
        for pair in &report.copied {
            output::line(&format!("{} was copied as {}", pair.from, pair.to))?;
        }
        output::line(&format!(
            "{} copied, {} already there, {} could not be read; {} added",
            report.copied.len(),
            report.there,
            report.failed.len(),
            output::bytes(report.bytes_added),
        ))?;
        for wal in &report.wal {
            output::line(&format!(
                "WAL of cluster {}: {} copied, {} already there, {} could not be read",
                wal.cluster,
                output::number_of(wal.copied, "file"),
                output::count(wal.there),
                wal.failed.len(),
            ))?;
        }
    }
    let is_whole = report.failed.is_empty() && report.wal.iter().all(|wal| wal.failed.is_empty());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}
