//! `pgark restore`.

use std::process::ExitCode;

use pgark_ops::{Requests, WithRequests, restore as ops};

use crate::args::{DatabaseArgs, OnConflict, Restore, Server};
use crate::commands::selection::{self, chosen};
use crate::context::Context;
use crate::environment::default_jobs;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::server::{connection, names_database};
use crate::{hints, output, progress, repository};

/// What `--clean` would drop first.
fn show_drops(drops: &[ops::PlannedDrop]) -> Result<(), Failure> {
    for drop in drops {
        let rows = drop.rows.map(|rows| format!("about {} rows", output::count(rows)));
        let amount: Vec<String> = rows.into_iter().chain(drop.bytes.map(output::bytes)).collect();
        let amount = if amount.is_empty() { String::new() } else { format!("  ({})", amount.join(", ")) };
        let lost = drop.lost.as_ref().map(|why| format!("  NOT BROUGHT BACK: {why}")).unwrap_or_default();
        output::line(&format!("drop {}{amount}{lost}", drop.object))?;
    }
    Ok(())
}

fn show_plan(plan: &[ops::PlannedObject], database: &str) -> Result<ExitCode, Failure> {
    for object in plan {
        let amount = match (object.rows, object.bytes) {
            (Some(rows), Some(bytes)) => {
                format!("  ({} rows, {})", output::count(rows), output::bytes(bytes))
            }
            (None, Some(bytes)) => format!("  ({})", output::bytes(bytes)),
            _ => String::new(),
        };
        output::line(&format!("{}{amount}", object.object))?;
    }
    tracing::info!("{} objects would be restored into {database}; nothing was changed", plan.len());
    Ok(ExitCode::SUCCESS)
}

/// Which databases, and where they go.
fn databases(choice: &DatabaseArgs, dbname: Option<&str>) -> Result<ops::Databases, Failure> {
    if choice.globals_only {
        return Ok(ops::Databases::None);
    }
    if choice.all {
        return Ok(ops::Databases::All);
    }
    if choice.database.len() > 1 {
        if choice.target.is_some() {
            return Err(Failure::usage(
                "--as names one database, --database several",
                "restore them one by one",
            ));
        }
        return Ok(ops::Databases::Named(choice.database.clone()));
    }
    let from = choice.database.first().cloned();
    let named = match (&choice.target, dbname.map(str::trim).filter(|text| !text.is_empty())) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(text)) if names_database(text)? => {
            Some(connection(text, &Server::default())?.dbname().to_string())
        }
        (None, _) => None,
    };
    if named.is_none() && from.is_none() {
        return Err(Failure::usage(
            "no target database is given",
            "name it: --dbname NAME, a connection string with dbname, or --as NAME; --all restores every database",
        ));
    }
    Ok(ops::Databases::One { from, to: named })
}

/// `before-data=sql:…`.
fn hook(text: &str) -> Result<ops::Hook, Failure> {
    const HOW: &str = "write MOMENT=sql:SQL, MOMENT=file:FILE.sql or MOMENT=command:COMMAND";
    let (moment, action) =
        text.split_once('=').ok_or_else(|| Failure::usage(format!("{text:?} is not a hook"), HOW))?;
    let moment = ops::Moment::ALL.into_iter().find(|known| known.name() == moment).ok_or_else(|| {
        let known: Vec<&str> = ops::Moment::ALL.iter().map(|moment| moment.name()).collect();
        Failure::usage(
            format!("{moment:?} is not a moment of a restore"),
            &format!("one of {}", known.join(", ")),
        )
    })?;
    let action = match action.split_once(':') {
        Some(("sql", sql)) => ops::Action::Sql(sql.to_string()),
        Some(("command", command)) => ops::Action::Command(command.to_string()),
        Some(("file", path)) => ops::Action::Sql(
            std::fs::read_to_string(path)
                .map_err(|source| Failure::input(format!("read the hook's SQL {path}"), source))?,
        ),
        _ => return Err(Failure::usage(format!("{action:?} is not an action of a hook"), HOW)),
    };
    Ok(ops::Hook { moment, action })
}

/// Restores one backup.
pub fn run(context: &Context, mut args: Restore) -> Result<ExitCode, Failure> {
    if let Some(to) = args.to_dir.take() {
        return super::physical::restore(context, args, to);
    }
    super::physical::refuse_without_directory(&args)?;
    let name = args.source.which.backup(&args.backup);
    args.choice.database = selection::databases(&name, args.choice.database)?;
    if name.database().is_some() && args.choice.all {
        return Err(Failure::usage(
            format!("{} names one database, and --all asks for every one", name.text),
            "leave one of them out",
        ));
    }
    if args.list {
        return list(context, args);
    }
    let dbname = args.dbname.as_deref();
    let request = ops::Request {
        conninfo: connection(dbname.unwrap_or_default(), &args.server)?,
        maintenance_db: args.maintenance_db,
        databases: databases(&args.choice, dbname)?,
        backup: args.source.which.backup_for(&args.backup, args.choice.database.iter().cloned()),
        target: match (args.create, args.clean) {
            (true, _) => ops::Target::Create,
            (false, true) => ops::Target::Clean,
            (false, false) => ops::Target::Existing,
        },
        globals: args.choice.globals || args.choice.globals_only,
        no_owner: args.choice.filters.no_owner,
        no_privileges: args.choice.filters.no_privileges,
        role: args.role,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        exit_on_error: args.exit_on_error,
        single_transaction: args.single_transaction,
        if_exists: args.if_exists,
        accept_loss: args.accept_loss,
        analyze: !args.no_analyze,
        choice: chosen(args.choice.filters)?,
        load: ops::Load {
            disable_triggers: args.disable_triggers,
            replica_role: args.replica_role,
            skip_conflicts: args.on_conflict == OnConflict::Skip,
            overriding_system_value: args.overriding_system_value,
        },
        hooks: args.hook.iter().map(|text| hook(text)).collect::<Result<_, _>>()?,
        dry_run: args.dry_run,
    };
    let repository = repository::open_as_of(context, &args.source.repository, &args.source.past)?;
    let mut report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &request, &job)?
    };
    if let Some(hint) = report.refusal.as_mut().and_then(|refusal| refusal.hint.as_mut()) {
        *hint = hints::in_words(hint).into();
    }
    let requests = Requests::of(&repository);
    if args.json {
        let told = WithRequests { report: &report, requests: requests.clone() };
        output::json(&Document::Restore(&told))?;
    }
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    if let Some(plan) = &report.plan {
        if !args.json {
            show_drops(report.drops.as_deref().unwrap_or_default())?;
        }
        return match (&report.refusal, args.json) {
            (Some(refusal), _) => {
                let hint = refusal.hint.as_ref().map(ToString::to_string);
                Err(Failure::refused(&refusal.error, hint.as_deref()))
            }
            (None, true) => Ok(ExitCode::SUCCESS),
            (None, false) => show_plan(plan, &report.database),
        };
    }
    summarise(&report);
    output::tell_requests(requests.as_ref());
    if report.errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!("{} objects could not be restored; they are named above", report.errors.len());
    Ok(ExitCode::from(INCOMPLETE))
}

fn list(context: &Context, args: Restore) -> Result<ExitCode, Failure> {
    let repository = repository::open_as_of(context, &args.source.repository, &args.source.past)?;
    let database = args.choice.database.first().cloned();
    let name = args.source.which.backup_for(&args.backup, database.clone());
    let listing = ops::list(&repository, &name, database.as_deref(), &chosen(args.choice.filters)?)?;
    output::line(";")?;
    output::line(&format!("; Database {}, {} entries", listing.database, listing.entries))?;
    output::line("; A list for --use-list: delete lines, or start them with a semicolon")?;
    output::line(";")?;
    for line in listing.lines.lines() {
        output::line(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn summarise(report: &ops::RestoreReport) {
    for skipped in &report.skipped {
        tracing::warn!("{}: {} rows were skipped", skipped.table, output::count(skipped.rows));
        // Rows are data: who wants them in a log asks for them.
        for row in &skipped.examples {
            tracing::debug!("  {}: {}", row.object, row.message);
        }
    }
    let is_shown = tracing::enabled!(tracing::Level::DEBUG);
    if !is_shown && report.skipped.iter().any(|skipped| !skipped.examples.is_empty()) {
        tracing::info!(
            "-v writes the first of these rows into the log, with the reason of each; --json reports them"
        );
    }
    for error in &report.errors {
        match &error.statement {
            Some(statement) => tracing::error!("{}: {}\n  {statement}", error.object, error.message),
            None => tracing::error!("{}: {}", error.object, error.message),
        }
    }
    tracing::info!(
        "backup {} is in {}: {} tables, {} rows, {} ({} fetched) in {:.1} s",
        report.id,
        if report.database.is_empty() { "the cluster: roles and tablespaces" } else { &report.database },
        output::count(report.tables),
        output::count(report.rows),
        output::bytes(report.bytes),
        output::bytes(report.bytes_fetched),
        report.seconds,
    );
}
