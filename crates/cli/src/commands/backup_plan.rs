//! `pgark backup --dry-run`.

use std::process::ExitCode;

use pgark_ops::LastRun;
use pgark_ops::backup::{self as ops, Plan};

use crate::args::Backup;
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository, when};

/// So many tables are shown.
const SHOWN: usize = 20;

/// Shows what a backup would take.
pub fn run(context: &Context, args: &Backup, request: &ops::Request) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let plan = {
        let job = progress::watched_job(&context.common)?;
        ops::dry_run(&repository, request, &job)?
    };
    if args.json {
        output::json(&Document::BackupPlan(&plan))?
    } else {
        show(&plan)?
    }
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(refused) = &plan.refused {
        tracing::warn!("at this moment a backup would not start: {refused}");
    }
    Ok(if plan.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn show(plan: &Plan) -> Result<(), Failure> {
    let standby = if plan.standby { ", a standby" } else { "" };
    output::line(&format!("cluster {}, PostgreSQL {}{standby}", plan.cluster, plan.server_version))?;
    output::line("")?;
    let rows: Vec<Vec<String>> = plan
        .databases
        .iter()
        .map(|database| {
            vec![
                database.database.clone(),
                output::count(database.tables.len() as u64),
                output::bytes(database.bytes),
                database.filters.clone(),
            ]
        })
        .collect();
    let columns = [
        ("DATABASE", Align::Left),
        ("TABLES", Align::Right),
        ("SIZE", Align::Right),
        ("FILTERS", Align::Left),
    ];
    output::table(&columns, &rows)?;
    output::line("")?;
    show_tables(plan)?;
    output::line(&format!(
        "{} on the server's disk (tables and large objects, without indexes)",
        output::bytes(plan.bytes)
    ))?;
    tell_last(plan.last.as_ref())
}

/// What the last backup like this one took and added.
pub(super) fn tell_last(last: Option<&LastRun>) -> Result<(), Failure> {
    output::line(&match last {
        None => {
            "no backup like this one was made before: there is nothing to estimate its time and size from"
                .into()
        }
        Some(last) => format!(
            "the last backup like this one, {} of {}, read {} in {:.0} s and added {}{}",
            last.id,
            when::of_report(&last.time),
            output::bytes(last.bytes_raw),
            last.seconds,
            output::bytes(last.bytes_added),
            if last.first {
                "; it was the first of the cluster, and later ones usually add much less"
            } else {
                ""
            },
        ),
    })
}

/// The largest tables of all databases.
fn show_tables(plan: &Plan) -> Result<(), Failure> {
    let all = plan.databases.iter();
    let mut all: Vec<_> =
        all.flat_map(|database| database.tables.iter().map(move |table| (database, table))).collect();
    all.sort_by_key(|(_, table)| std::cmp::Reverse(table.bytes));
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(SHOWN)
        .map(|(database, table)| {
            vec![
                database.database.clone(),
                format!("{}.{}", table.schema, table.name),
                output::bytes(table.bytes),
                if table.rows { "" } else { "definition only" }.to_string(),
            ]
        })
        .collect();
    let columns =
        [("DATABASE", Align::Left), ("TABLE", Align::Left), ("SIZE", Align::Right), ("", Align::Left)];
    output::table(&columns, &rows)?;
    if all.len() > SHOWN {
        let more = output::count((all.len() - SHOWN) as u64);
        output::line(&format!("and {more} smaller ones (--json lists them all)"))?;
    }
    output::line("")
}
