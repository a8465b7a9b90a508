//! `pgark show`, `ls`, `cat`.

use std::process::ExitCode;

use pgark_ops::{Fact, FactValue, inspect as ops};

use crate::args::{Cat, Ls, Show};
use crate::commands::backup::whole;
use crate::context::Context;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository, when};

/// One backup and its tables.
pub fn show(context: &Context, args: Show) -> Result<ExitCode, Failure> {
    let detail = ops::show(
        &repository::open_as_of(context, &args.source.repository, &args.source.past)?,
        &args.source.which.backup(&args.backup),
    )?;
    if args.json {
        output::json(&Document::Show(&detail))?;
        return Ok(ExitCode::SUCCESS);
    }
    for Fact { name, value } in detail.facts() {
        let value = match value {
            FactValue::Text(text) => text,
            FactValue::Time(time) => when::of_report(&time),
            FactValue::Status { status, partial, ahead } => output::status(&status, partial, ahead),
            FactValue::Bytes(bytes) => output::bytes(bytes),
            FactValue::Seconds(seconds) => output::seconds(seconds),
        };
        output::line(&format!("{name:<10} {value}"))?;
    }
    if detail.physical.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    output::line("")?;
    let left = |name: &'static str| (name, Align::Left);
    let right = |name: &'static str| (name, Align::Right);
    let rows: Vec<Vec<String>> = detail
        .contents
        .iter()
        .map(|database| {
            vec![
                database.database.clone(),
                output::count(database.tables),
                output::count(database.rows),
                output::count(database.large_objects),
                output::bytes(database.bytes_raw),
                output::bytes(database.bytes_added),
                output::seconds(database.read.seconds),
                when::of_report(&database.read.snapshot_time),
                database.read.lsn.clone(),
            ]
        })
        .collect();
    let columns = [
        left("DATABASE"),
        right("TABLES"),
        right("ROWS"),
        right("OBJECTS"),
        right("RAW"),
        right("ADDED"),
        right("TOOK"),
        left("SNAPSHOT"),
        left("LSN"),
    ];
    output::table(&columns, &rows)?;
    output::line("")?;
    let several = detail.contents.len() > 1;
    let rows: Vec<Vec<String>> = detail
        .tables
        .iter()
        .map(|table| {
            let name = format!("{}.{}", table.schema, table.name);
            vec![
                if several { format!("{}: {name}", table.database) } else { name },
                output::count(table.rows),
                table.row_map.as_ref().map_or_else(|| "-".to_string(), |map| output::count(map.rows_new)),
                output::bytes(table.bytes_raw),
                output::bytes(table.bytes_added),
                match table.salted {
                    true => "salted, stored whole".to_string(),
                    false => table.row_map.as_ref().map(whole).unwrap_or_default(),
                },
            ]
        })
        .collect();
    let columns = [left("TABLE"), right("ROWS"), right("NEW"), right("RAW"), right("ADDED"), left("ROW MAP")];
    output::table(&columns, &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// The entries of a backup.
pub fn ls(context: &Context, args: Ls) -> Result<ExitCode, Failure> {
    let entries = ops::ls(
        &repository::open_as_of(context, &args.source.repository, &args.source.past)?,
        &args.source.which.backup(&args.place),
    )?;
    if args.json {
        output::json(&Document::Ls { entries: &entries })?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = entries
        .into_iter()
        .map(|entry| vec![output::bytes(entry.bytes_raw), entry.kind, entry.path])
        .collect();
    output::table(&[("RAW", Align::Right), ("KIND", Align::Left), ("PATH", Align::Left)], &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// One entry's content.
pub fn cat(context: &Context, args: Cat) -> Result<ExitCode, Failure> {
    let repository = repository::open_as_of(context, &args.source.repository, &args.source.past)?;
    let job = progress::watched_job(&context.common)?;
    ops::cat(&repository, &args.source.which.backup(&args.place), &mut std::io::stdout().lock(), &job)?;
    Ok(ExitCode::SUCCESS)
}
