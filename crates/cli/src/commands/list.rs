//! `pgark list`.

use std::process::ExitCode;

use pgark_ops::inspect::{self as ops, ListFilter};
use pgark_ops::wal::times;
use pgark_ops::{BackupRecord, BackupStatus, Repository};

use crate::args::{List, Status};
use crate::context::Context;
use crate::environment::default_jobs;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};
use crate::when::{self, Moment};
use crate::{progress, repository};

/// Backups, oldest first.
pub fn run(context: &Context, args: List) -> Result<ExitCode, Failure> {
    let repository = repository::open_as_of(context, &args.repository, &args.past)?;
    if args.times {
        return times(context, &repository, args);
    }
    let listed = ops::list(&repository, &filter(&args))?;
    if args.json {
        output::json(&Document::List { backups: &listed.backups })?;
    } else if args.wide {
        wide(&listed.backups)?;
    } else {
        narrow(&listed.backups, listed.digits, output::width())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The moments that can be recovered.
fn times(context: &Context, repository: &Repository, args: List) -> Result<ExitCode, Failure> {
    let request = times::Request { cluster: args.of.cluster, jobs: default_jobs() };
    let report = {
        let job = progress::watched_job(&context.common)?;
        times::run(repository, &request, &job)?
    };
    if args.json {
        output::json(&Document::RecoverableTimes(&report))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("cluster {}, system identifier {}", report.cluster, report.system_identifier))?;
    output::line("")?;
    let said = |time: &Option<String>| time.as_deref().map_or_else(|| "-".into(), when::of_report);
    let spans = report.timelines.iter().flat_map(|timeline| {
        timeline.spans.iter().map(|span| {
            vec![
                timeline.timeline.to_string(),
                span.backup.clone(),
                said(&span.from_time),
                said(&span.to_time),
                span.from_lsn.clone(),
                span.to_lsn.clone(),
                output::count(span.commits),
            ]
        })
    });
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("TIMELINE", right),
        ("BACKUP", left),
        ("FROM", left),
        ("LAST TRANSACTION", left),
        ("FROM LSN", left),
        ("TO LSN", left),
        ("COMMITS", right),
    ];
    output::table(&columns, &spans.collect::<Vec<_>>())?;
    for timeline in &report.timelines {
        for span in &timeline.spans {
            if let Some(why) = &span.broken {
                output::line(&format!(
                    "timeline {} is broken off at {}: {why}",
                    timeline.timeline, span.to_lsn
                ))?;
            }
        }
    }
    let points = report.timelines.iter().flat_map(|timeline| {
        let row = |point: &times::RecoverablePoint| {
            vec![point.name.clone(), timeline.timeline.to_string(), point.lsn.clone(), said(&point.time)]
        };
        timeline.restore_points.iter().map(row)
    });
    let points: Vec<_> = points.collect();
    if points.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    output::line("")?;
    let columns = [("RESTORE POINT", left), ("TIMELINE", right), ("LSN", left), ("TIME", left)];
    output::table(&columns, &points)?;
    Ok(ExitCode::SUCCESS)
}

fn filter(args: &List) -> ListFilter {
    ListFilter {
        cluster: args.of.cluster.clone(),
        databases: args.database.clone(),
        since: args.since.map(Moment::start),
        until: args.until.map(Moment::end),
        status: args.status.map(|status| match status {
            Status::Complete => BackupStatus::Complete,
            Status::Incomplete => BackupStatus::Incomplete,
        }),
        tags: args.tag.clone(),
        last: args.last.map(|last| last as usize),
    }
}

/// Everything, however wide.
fn wide(backups: &[BackupRecord]) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = backups
        .iter()
        .map(|backup| {
            vec![
                backup.id.clone(),
                when::of_report(time(backup)),
                backup.cluster.clone(),
                backup.databases.join(","),
                backup.kind.to_string(),
                output::bytes(backup.bytes_raw),
                output::bytes(backup.bytes_added),
                output::seconds(backup.seconds),
                output::status(&backup.status, backup.partial, backup.ahead),
                backup.tags.join(","),
            ]
        })
        .collect();
    let (left, right) = (Align::Left, Align::Right);
    let columns = [
        ("ID", left),
        ("TIME", left),
        ("CLUSTER", left),
        ("DATABASES", left),
        ("KIND", left),
        ("SIZE", right),
        ("ADDED", right),
        ("TOOK", right),
        ("STATUS", left),
        ("TAGS", left),
    ];
    output::table(&columns, &rows)
}

/// The columns of the narrow list, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Time,
    Cluster,
    Databases,
    Kind,
    Size,
    Status,
    Tags,
}

impl Column {
    const ALL: [Column; 8] = [
        Column::Id,
        Column::Time,
        Column::Cluster,
        Column::Databases,
        Column::Kind,
        Column::Size,
        Column::Status,
        Column::Tags,
    ];

    fn title(self) -> (&'static str, Align) {
        match self {
            Column::Id => ("ID", Align::Left),
            Column::Time => ("TIME", Align::Left),
            Column::Cluster => ("CLUSTER", Align::Left),
            Column::Databases => ("DATABASES", Align::Left),
            Column::Kind => ("KIND", Align::Left),
            Column::Size => ("SIZE", Align::Right),
            Column::Status => ("STATUS", Align::Left),
            Column::Tags => ("TAGS", Align::Left),
        }
    }

    fn cell(self, backup: &BackupRecord, digits: usize, width: usize) -> String {
        match self {
            Column::Id => backup.id.chars().take(digits).collect(),
            Column::Time if width < ROOM_FOR_SECONDS => when::of_report_to_the_minute(time(backup)),
            Column::Time => when::of_report(time(backup)),
            Column::Cluster => backup.cluster.clone(),
            Column::Databases => databases(&backup.databases),
            Column::Kind => backup.kind.to_string(),
            Column::Size => output::bytes(backup.bytes_raw),
            Column::Status => output::status(&backup.status, backup.partial, backup.ahead),
            Column::Tags => backup.tags.join(","),
        }
    }
}

/// Of when its content is; of an imported one as the dump says it.
fn time(backup: &BackupRecord) -> &str {
    backup.dumped.as_deref().unwrap_or(&backup.snapshot_time)
}

/// `shop + 3`.
fn databases(names: &[String]) -> String {
    match names {
        [] => "-".to_string(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} + {}", rest.len()),
    }
}

/// What fits: columns that say nothing go first, where there is no room; then names are cut.
fn narrow(backups: &[BackupRecord], digits: usize, width: usize) -> Result<(), Failure> {
    let cells = |column: Column| -> Vec<String> {
        backups.iter().map(|backup| column.cell(backup, digits, width)).collect()
    };
    let mut columns: Vec<(Column, Vec<String>)> =
        Column::ALL.into_iter().map(|column| (column, cells(column))).collect();
    for column in [Column::Tags, Column::Kind, Column::Cluster] {
        if room(&columns) > width {
            columns.retain(|(own, cells)| *own != column || !says_nothing(*own, cells));
        }
    }
    for column in [Column::Tags, Column::Databases, Column::Cluster, Column::Status] {
        let over = room(&columns).saturating_sub(width);
        if let Some((_, cells)) = columns.iter_mut().find(|(own, _)| *own == column) {
            let longest = output::longest(column.title().0, cells);
            let least = if column == Column::Status { SHORTEST_STATUS } else { SHORTEST };
            let fits = longest.saturating_sub(over).max(least);
            cells.iter_mut().for_each(|cell| *cell = output::cut(cell, fits));
        }
    }
    for column in [Column::Tags, Column::Kind, Column::Cluster] {
        if room(&columns) > width {
            columns.retain(|(own, _)| *own != column);
        }
    }
    let titles: Vec<(&str, Align)> = columns.iter().map(|(column, _)| column.title()).collect();
    let rows: Vec<Vec<String>> = (0..backups.len())
        .map(|at| columns.iter().filter_map(|(_, cells)| cells.get(at).cloned()).collect())
        .collect();
    output::table(&titles, &rows)
}

/// Narrower lists have times to the minute.
const ROOM_FOR_SECONDS: usize = 88;

/// No name is cut shorter than this.
const SHORTEST: usize = 8;
/// `complete…` says that there is more to know.
const SHORTEST_STATUS: usize = 9;

/// The width of a table with these columns.
fn room(columns: &[(Column, Vec<String>)]) -> usize {
    let all: usize = columns.iter().map(|(column, cells)| output::longest(column.title().0, cells) + 2).sum();
    all.saturating_sub(2)
}

/// No tags at all, one kind, one cluster.
fn says_nothing(column: Column, cells: &[String]) -> bool {
    match column {
        Column::Tags => cells.iter().all(String::is_empty),
        _ => cells.windows(2).all(|pair| pair[0] == pair[1]),
    }
}
