//! `pgark wal receive`.

use std::path::PathBuf;
use std::process::ExitCode;

use pgark_ops::wal::receive::{self as ops, Ack};
use pgark_ops::wal_spool;

use crate::args::{AckAt, WalReceive};
use crate::context::Context;
use crate::environment::local_folders;
use crate::error::Failure;
use crate::server::connection;
use crate::{progress, repository};

/// Receives until it is told to end.
pub fn run(context: &Context, args: WalReceive) -> Result<ExitCode, Failure> {
    let conninfo = connection(args.dbname.as_deref().unwrap_or_default(), &args.server)?;
    if args.drop_slot {
        ops::drop_slot(&conninfo, &args.slot)?;
        tracing::info!("the slot {} is dropped", args.slot);
        return Ok(ExitCode::SUCCESS);
    }
    let spool = match &args.spool {
        Some(folder) => folder.clone(),
        None => default_spool(context, &args)?,
    };
    let request = ops::Request {
        conninfo,
        cluster: args.cluster,
        slot: args.slot,
        create_slot: args.create_slot,
        accept_gap: args.accept_gap,
        spool,
        spool_size: args.spool_size.bytes(),
        flush_interval: args.flush_interval,
        synchronous: args.synchronous,
        ack: match args.ack {
            AckAt::Repository => Ack::Repository,
            AckAt::Spool => Ack::Spool,
        },
        max_lag: args.max_lag.map(Into::into),
        on_stall: args.on_stall,
        endpos: args.endpos,
        compression_level: args.compression_level,
    };
    if request.ack == Ack::Spool {
        tracing::warn!(
            "the server takes WAL for safe that is in {}: if this host is lost, what is not yet in the repository is lost with it",
            request.spool.display()
        );
    }
    let repository = repository::open(context, &args.repository)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &request, &job)?
    };
    match report.archived {
        Some((timeline, lsn)) => tracing::info!(
            "ended: the WAL of cluster {} is archived up to {lsn} on timeline {timeline}",
            report.cluster
        ),
        None => tracing::info!("ended: no WAL of cluster {} has come", report.cluster),
    }
    Ok(ExitCode::SUCCESS)
}

/// That of this repository, cluster and slot.
fn default_spool(context: &Context, args: &WalReceive) -> Result<PathBuf, Failure> {
    let place = repository::named(context, &args.repository)?;
    let cluster = args.cluster.as_deref().unwrap_or_default();
    wal_spool(&local_folders(false), &format!("{place}\0{cluster}\0{}", args.slot)).ok_or_else(|| {
        Failure::usage("this user has no state folder for the spool", "name a folder with --spool")
    })
}
