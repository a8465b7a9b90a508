//! `pgark restore-point`.

use std::process::ExitCode;

use pgark_ops::wal::restore_point as ops;

use crate::args::RestorePoint;
use crate::context::Context;
use crate::error::Failure;
use crate::json::Document;
use crate::server::connection;
use crate::{output, progress, when};

/// Makes a restore point on a server.
pub fn run(context: &Context, args: RestorePoint) -> Result<ExitCode, Failure> {
    let request = ops::Request {
        conninfo: connection(args.dbname.as_deref().unwrap_or_default(), &args.server)?,
        maintenance_db: args.maintenance_db,
        name: args.name,
        switch: args.switch_wal,
    };
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&request, &job)?
    };
    if args.json {
        output::json(&Document::RestorePoint(&report))?;
    }
    let until = match report.switched {
        true => "which is ended, and is archived next".to_string(),
        false => format!("and can be recovered to once {} is archived", report.segment),
    };
    tracing::info!(
        "restore point {:?} is at {} in {}, {}, {until}",
        report.name,
        report.lsn,
        report.segment,
        when::of_report_exactly(&report.time)
    );
    Ok(ExitCode::SUCCESS)
}
