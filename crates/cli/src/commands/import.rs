//! `pgark import`.

use std::process::ExitCode;

use pgark_ops::import as ops;

use crate::args::Import;
use crate::commands::backup::tell;
use crate::context::Context;
use crate::environment::default_jobs;
use crate::error::Failure;
use crate::json::Document;
use crate::{output, progress, repository};

/// Takes a dump of another program into the repository and prints the new id.
pub fn run(context: &Context, args: Import) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let request = ops::Request {
        path: args.path,
        database: args.database,
        cluster: args.cluster,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        compression_level: args.compression_level,
    };
    let record = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &request, &job)?
    };
    if args.json {
        output::json(&Document::Import(&record))?
    } else {
        output::line(&record.id)?
    }
    tell(&record);
    Ok(ExitCode::SUCCESS)
}
