//! `pgark backup --physical --dry-run`.

use std::process::ExitCode;

use pgark_ops::physical::backup::{self as ops, Plan};

use crate::args::Backup;
use crate::context::Context;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository};

/// Shows what a physical backup would take.
pub fn run(context: &Context, args: &Backup, request: &ops::Request) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let plan = {
        let job = progress::watched_job(&context.common)?;
        ops::dry_run(&repository, request, &job)?
    };
    if args.json {
        output::json(&Document::DirectoryBackupPlan(&plan))?
    } else {
        show(&plan)?
    }
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    for refused in &plan.refused {
        tracing::warn!("at this moment a backup would fail: {refused}");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(plan: &Plan) -> Result<(), Failure> {
    output::line(&format!(
        "cluster {}, PostgreSQL {}, system identifier {}, timeline {}",
        plan.cluster, plan.server_version, plan.system_identifier, plan.timeline
    ))?;
    output::line(&format!(
        "source: {} ({}), data checksums {}",
        String::from(plan.source.clone()),
        plan.data_directory,
        if plan.checksums_on { "on" } else { "off: damaged pages are not found" },
    ))?;
    output::line(&format!(
        "{} in {}, {}, and the WAL that is written meanwhile",
        output::number_of(plan.files, "file"),
        output::number_of(plan.folders, "folder"),
        output::bytes(plan.bytes),
    ))?;
    if !plan.tablespaces.is_empty() {
        let rows: Vec<Vec<String>> = plan
            .tablespaces
            .iter()
            .map(|planned| {
                let tablespace = &planned.tablespace;
                let inside = "in the data directory";
                vec![
                    tablespace.name.clone(),
                    output::bytes(planned.bytes),
                    tablespace.location.as_deref().unwrap_or(inside).to_string(),
                ]
            })
            .collect();
        let columns = [("TABLESPACE", Align::Left), ("SIZE", Align::Right), ("LOCATION", Align::Left)];
        output::line("")?;
        output::table(&columns, &rows)?;
    }
    output::line("")?;
    super::backup_plan::tell_last(plan.last.as_ref())
}
