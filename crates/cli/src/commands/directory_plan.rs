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
        plan.data_directory.as_ref().unwrap_or(&plan.source_reason),
        if plan.checksums_on { "on" } else { "off: damaged pages are not found" },
    ))?;
    let files = plan.files.zip(plan.folders).map(|(files, folders)| {
        format!("{} in {}, ", output::number_of(files, "file"), output::number_of(folders, "folder"))
    });
    output::line(&format!(
        "{}{}, and the WAL that is written meanwhile",
        files.unwrap_or_default(),
        plan.bytes.map_or("files of unknown size".to_string(), output::bytes),
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
                    planned.bytes.map_or("-".to_string(), output::bytes),
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
