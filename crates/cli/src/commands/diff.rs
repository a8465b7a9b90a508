//! `pgark diff`.

use std::process::ExitCode;

use pgark_ops::diff as ops;

use crate::args::Diff;
use crate::commands::{directory_diff, selection};
use crate::context::Context;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository};

/// Compares two backups and shows what differs.
pub fn run(context: &Context, args: Diff) -> Result<ExitCode, Failure> {
    let which = &args.source.which;
    let mut database = args.database;
    for text in [&args.a, &args.b] {
        database = selection::databases(&which.backup(text), database.into_iter().collect())?.pop();
    }
    let repository = repository::open_as_of(context, &args.source.repository, &args.source.past)?;
    let difference = {
        let job = progress::watched_job(&context.common)?;
        ops::run(
            &repository,
            &which.backup_for(&args.a, database.clone()),
            &which.backup_for(&args.b, database.clone()),
            database.as_deref(),
            &job,
        )?
    };
    match difference {
        ops::Difference::Databases(report) if args.json => output::json(&Document::Diff(&report))?,
        ops::Difference::Databases(report) => show(&report)?,
        ops::Difference::DataDirectory(report) if args.json => {
            output::json(&Document::DiffDirectory(&report))?
        }
        ops::Difference::DataDirectory(report) => directory_diff::show(&report)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what differs between databases.
fn show(report: &ops::DiffReport) -> Result<(), Failure> {
    if report.is_empty() {
        output::line(&format!("no differences between {} and {}", report.a, report.b))?;
        return Ok(());
    }
    for name in &report.databases_added {
        output::line(&format!("+ database {name}"))?;
    }
    for name in &report.databases_removed {
        output::line(&format!("- database {name}"))?;
    }
    for object in &report.objects {
        output::line(&format!("{} {}: {}", object.database, object.object, object.change))?;
        for line in object.lines.lines() {
            output::line(&format!("    {line}"))?;
        }
    }
    tables(&report.tables)?;
    values("SETTING", &report.settings)?;
    values("ROLE OR TABLESPACE", &report.globals)
}

fn tables(tables: &[ops::TableChange]) -> Result<(), Failure> {
    if tables.is_empty() {
        return Ok(());
    }
    let number = |number: Option<u64>| number.map_or_else(|| "-".into(), output::count);
    let bytes = |number: Option<u64>| number.map_or_else(|| "-".into(), output::bytes);
    let rows: Vec<Vec<String>> = tables
        .iter()
        .map(|table| {
            let change = match table.rows {
                (Some(a), Some(b)) if b >= a => format!("+{}", output::count(b - a)),
                (Some(a), Some(b)) => format!("-{}", output::count(a - b)),
                (None, _) => "added".into(),
                (_, None) => "removed".into(),
            };
            vec![
                format!("{}: {}", table.database, table.table),
                number(table.rows.0),
                number(table.rows.1),
                change,
                bytes(table.bytes.0),
                bytes(table.bytes.1),
            ]
        })
        .collect();
    let columns = [
        ("TABLE", Align::Left),
        ("ROWS A", Align::Right),
        ("ROWS B", Align::Right),
        ("CHANGE", Align::Right),
        ("BYTES A", Align::Right),
        ("BYTES B", Align::Right),
    ];
    output::line("")?;
    output::table(&columns, &rows)
}

fn values(title: &str, values: &[ops::ValueChange]) -> Result<(), Failure> {
    if values.is_empty() {
        return Ok(());
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> =
        values.iter().map(|value| vec![value.name.clone(), text(&value.a), text(&value.b)]).collect();
    output::line("")?;
    output::table(&[(title, Align::Left), ("A", Align::Left), ("B", Align::Left)], &rows)
}
