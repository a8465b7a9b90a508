//! `pgark backup --physical` and `pgark restore --to-dir`.

use std::path::PathBuf;
use std::process::ExitCode;

use pgark_ops::physical::{backup as taking, restore as ops};
use pgark_ops::wal::point::{Target, Towards, Wish};
use pgark_ops::{Physical, Requests, WithRequests};

use crate::args::{Backup, Checkpoint, Point, Repository, Restore, Source, TargetAction, Timeline, Xid};
use crate::context::Context;
use crate::environment::{default_jobs, search_path};
use crate::error::Failure;
use crate::json::Document;
use crate::restore_command::fetch_command;
use crate::server::connection;
use crate::{output, progress, repository, when};

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
        (args.point.standby, "--standby"),
        (target(&args.point).is_some() || args.point.target_immediate, "a point in time"),
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

/// How far the server is to recover.
fn recover(context: &Context, point: &Point, options: &Repository) -> Result<ops::Recover, Failure> {
    let fetch = || fetch_command(context, options, point.restore_command.as_ref());
    if point.standby {
        return Ok(ops::Recover::Standby {
            fetch: fetch()?,
            primary_conninfo: point.primary_conninfo.clone(),
            slot: point.primary_slot_name.clone(),
        });
    }
    let Some(target) = target(point) else {
        return match point.restore_command.is_some() || point.exclusive {
            true => Err(Failure::usage(
                "there is no target: the server recovers to the end of the backup, without archived WAL",
                "name a target, such as --target-time, or leave --restore-command and --exclusive out",
            )),
            false => Ok(ops::Recover::Immediate),
        };
    };
    let towards = match point.target_timeline {
        Timeline::Latest => Towards::Latest,
        Timeline::Current => Towards::Current,
        Timeline::Number(number) => Towards::Number(number),
    };
    let wish = Wish { target, exclusive: point.exclusive, towards };
    Ok(ops::Recover::Point { wish, fetch: fetch()? })
}

/// The target that needs archived WAL.
fn target(point: &Point) -> Option<Target> {
    if point.target_latest {
        return Some(Target::Latest);
    }
    let time = point.target_time.map(|time| Target::Time(time.start()));
    let lsn = point.target_lsn.map(Target::Lsn);
    let xid = point.target_xid.map(|Xid(xid)| Target::Transaction(xid));
    time.or(lsn).or(xid).or_else(|| point.target_name.clone().map(Target::Name))
}

/// Where the recovery ends.
fn tell_recovery(recovery: &ops::RecoveryReport) {
    let value = match (recovery.target, &recovery.value) {
        (_, None) => String::new(),
        ("time", Some(time)) => format!(" {}", when::of_report_exactly(time)),
        (_, Some(value)) => format!(" {value}"),
    };
    let at = match (&recovery.lsn, &recovery.time) {
        (Some(lsn), Some(time)) if recovery.target != "time" => {
            format!(", which is at {lsn}, {}", when::of_report_exactly(time))
        }
        (Some(lsn), _) if recovery.target != "lsn" => format!(", which is at {lsn}"),
        _ => String::new(),
    };
    if let Some(wal) = &recovery.wal {
        tracing::info!(
            "recovery to {}{value}{}{at}: {} of archived WAL from {} to {} are there, without a gap, along timeline {}",
            recovery.target,
            if recovery.exclusive { " (exclusive)" } else { "" },
            output::number_of(wal.segments, "segment"),
            wal.from_lsn,
            wal.to_lsn,
            recovery.timeline.map_or_else(|| "of the backup".to_string(), |timeline| timeline.to_string()),
        );
    }
    if let Some(reached) = &recovery.reached {
        tracing::info!(
            "recovery ended at {} ({}); timeline {} begins there",
            reached.lsn,
            reached.reason,
            reached.timeline
        );
    }
}

/// Restores a data directory.
pub fn restore(context: &Context, args: Restore, to: PathBuf) -> Result<ExitCode, Failure> {
    if args.start && args.point.target_action != TargetAction::Promote {
        return Err(Failure::usage(
            "--start waits until the server accepts writes, which it does only with --target-action promote",
            "leave one of them out",
        ));
    }
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
        recover: recover(context, &args.point, &args.source.repository)?,
        action: match args.point.target_action {
            TargetAction::Pause => ops::TargetAction::Pause,
            TargetAction::Promote => ops::TargetAction::Promote,
            TargetAction::Shutdown => ops::TargetAction::Shutdown,
        },
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
    tell_recovery(&report.recovery);
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
            "a server of PostgreSQL {} started in it recovers by itself{}: pg_ctl -D {directory} start",
            report.server_version / 10_000,
            match report.recovery.action {
                Some("promote") => ", and then accepts connections",
                _ => "",
            }
        ),
    }
    output::tell_requests(requests.as_ref());
    Ok(ExitCode::SUCCESS)
}
