//! `pgark backup --physical` and `pgark restore --to-dir`.

use std::path::PathBuf;
use std::process::ExitCode;

use pgark_ops::physical::{backup as taking, restore as ops};
use pgark_ops::{Physical, Requests, WithRequests};

use crate::args::{Backup, Checkpoint, Restore, Source};
use crate::context::Context;
use crate::environment::{default_jobs, search_path};
use crate::error::Failure;
use crate::json::Document;
use crate::server::connection;
use crate::{output, progress, repository};

/// Files with damaged pages that are named.
const TOLD: usize = 10;

/// What the options of a backup ask for.
pub fn request(args: &Backup) -> Result<taking::Request, Failure> {
    refuse_others(args)?;
    if args.source == Some(Source::Wire) && args.pgdata.is_some() {
        return Err(Failure::usage(
            "--pgdata names a directory on this host, which --source wire does not read",
            "leave one of them out",
        ));
    }
    let conninfo = args.connection.as_ref().or(args.dbname.as_ref()).map_or("", String::as_str);
    Ok(taking::Request {
        conninfo: connection(conninfo, &args.server)?,
        maintenance_db: args.maintenance_db.clone(),
        source: args.source.map(|source| match source {
            Source::Files => taking::Source::Files,
            Source::Wire => taking::Source::Wire,
        }),
        pgdata: args.pgdata.clone(),
        checkpoint: match args.checkpoint {
            Checkpoint::Fast => taking::Checkpoint::Fast,
            Checkpoint::Spread => taking::Checkpoint::Spread,
        },
        label: args.label.clone(),
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        cluster: args.cluster.clone(),
        compression_level: args.compression_level,
        full: args.full,
        rate: args.rate,
        beside: args.beside(),
    })
}

/// A physical backup is of the whole server: what chooses a part of it contradicts that.
fn refuse_others(args: &Backup) -> Result<(), Failure> {
    let filters = &args.filters;
    let patterns = [
        &filters.schema,
        &filters.exclude_schema,
        &filters.table,
        &filters.exclude_table,
        &filters.extension,
        &filters.exclude_table_data,
        &filters.include_foreign_data,
    ];
    let given = [
        (!args.database.is_empty(), "--database"),
        (!args.exclude_database.is_empty(), "--exclude-database"),
        (args.mask.is_some(), "--mask"),
        (args.also.is_some(), "--also"),
        (args.role.is_some(), "--role"),
        (args.rewrite_deleted, "--rewrite-deleted"),
        (args.keep_going, "--keep-going"),
        (patterns.iter().any(|patterns| !patterns.is_empty()), "filters of tables and schemas"),
        (filters.schema_only || filters.data_only || filters.no_large_objects, "filters of contents"),
    ];
    match given.iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some((_, what)) => Err(Failure::usage(
            format!("--physical backs up the whole server, and cannot be used with {what}"),
            "leave one of them out",
        )),
    }
}

/// What came of a physical backup, in the log.
pub fn tell(physical: &Physical) {
    for failure in physical.checksum_failures.iter().take(TOLD) {
        let blocks: Vec<String> = failure.blocks.iter().take(TOLD).map(ToString::to_string).collect();
        tracing::error!(
            "{}: {} damaged pages on the server (block {}{}): {}",
            failure.path,
            output::count(failure.count),
            blocks.join(", "),
            if failure.count > blocks.len() as u64 { ", …" } else { "" },
            failure.reason
        );
    }
    let pages = physical.pages;
    tracing::info!(
        "{} of {} pages new, {} stored again, {} of zeros; WAL from {} to {}, {} segments",
        output::count(pages.new),
        output::count(pages.total),
        output::count(pages.rewritten),
        output::count(pages.zero),
        physical.start_lsn,
        physical.stop_lsn,
        physical.wal.segments
    );
}

/// What is about a directory means nothing without one: clap does not ask for it where an option of
/// databases is given.
pub fn refuse_without_directory(args: &Restore) -> Result<(), Failure> {
    let given = [
        (args.delta, "--delta"),
        (args.start, "--start"),
        (!args.tablespace.is_empty(), "--tablespace"),
        (args.all_tablespaces.is_some(), "--all-tablespaces"),
        (args.waldir.is_some(), "--waldir"),
        (args.no_sparse, "--no-sparse"),
        (args.with_config, "--with-config"),
        (args.keep_archiving, "--keep-archiving"),
    ];
    match given.iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some((_, option)) => Err(Failure::usage(
            format!("{option} is for restores of data directories"),
            "name the directory with --to-dir, or leave the option out",
        )),
    }
}

/// How to reach a server that was started, and how to stop it.
fn tell_server(server: &ops::StartedServer) {
    tracing::info!(
        "its server runs (PostgreSQL {}, process {}); its log is {}",
        server.version,
        server.process_id,
        server.log.display()
    );
    tracing::info!("connect: {}", server.connect);
    tracing::info!("stop: {}", server.stop);
}

/// Restores a data directory.
pub fn restore(context: &Context, args: Restore, to: PathBuf) -> Result<ExitCode, Failure> {
    let request = ops::Request {
        backup: args.source.which.backup(&args.backup),
        to,
        delta: args.delta,
        force: args.force,
        start: args.start.then(search_path),
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        tablespaces: args.tablespace.into_iter().map(|(key, path)| (key, PathBuf::from(path))).collect(),
        all_tablespaces: args.all_tablespaces,
        sparse: !args.no_sparse,
        wal_directory: args.waldir,
        with_config: args.with_config,
        keep_archiving: args.keep_archiving,
        dry_run: args.dry_run,
    };
    let repository = repository::open_as_of(context, &args.source.repository, &args.source.past)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &request, &job)?
    };
    let requests = Requests::of(&repository);
    if args.json {
        let told = WithRequests { report: &report, requests: requests.clone() };
        output::json(&Document::RestoreDirectory(&told))?;
    }
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    let directory = report.directory.display();
    if report.dry_run {
        tracing::info!(
            "backup {} would be restored into {directory}: {}; nothing was changed",
            report.backup,
            output::bytes(report.bytes)
        );
        return Ok(ExitCode::SUCCESS);
    }
    tracing::info!(
        "backup {} is in {directory}: {} files, {} ({} fetched) in {:.1} s",
        report.backup,
        output::count(report.files),
        output::bytes(report.bytes),
        output::bytes(report.bytes_fetched),
        report.seconds
    );
    for tablespace in &report.tablespaces {
        tracing::info!("tablespace {} is in {}", tablespace.name, tablespace.location.display());
    }
    if let Some(delta) = &report.delta {
        tracing::info!(
            "{} of {} pages were different and are written again; {} files and {} folders deleted",
            output::count(delta.pages_different),
            output::count(delta.pages_compared),
            output::count(delta.files_deleted),
            output::count(delta.folders_deleted)
        );
    }
    match &report.server {
        Some(server) => tell_server(server),
        None => tracing::info!(
            "a server of PostgreSQL {} started in it recovers by itself, and then accepts connections: pg_ctl -D {directory} start",
            report.server_version / 10_000
        ),
    }
    output::tell_requests(requests.as_ref());
    Ok(ExitCode::SUCCESS)
}
