//! `pgark mask`: rules are checked, tried and locked.

use std::path::Path;
use std::process::ExitCode;

use pgark_ops::masking::check::{self, CheckReport, FindingReport, Strictness, Verdict};
use pgark_ops::masking::preview::{self, Preview, Request};
use pgark_ops::masking::{self, Facts, Loaded, RulesFile, test, transformers, value};

use crate::args::{
    Against, Mask, MaskAction, MaskCheck, MaskList, MaskLock, MaskPreview, MaskShow, MaskTest, MaskValue,
};
use crate::commands::selection;
use crate::context::Context;
use crate::environment::variable;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository, server};

/// Runs a subcommand of `mask`.
pub fn run(context: &Context, args: Mask) -> Result<ExitCode, Failure> {
    match args.action {
        MaskAction::Check(args) => check(context, args),
        MaskAction::Preview(args) => preview(context, args),
        MaskAction::Value(args) => value(context, args),
        MaskAction::Lock(args) => lock(context, args),
        MaskAction::Test(args) => test(args),
        MaskAction::List(args) => list(args),
        MaskAction::Show(args) => show(args),
    }
}

/// Reads a rules file. Its variables are the environment's.
pub fn load(path: &Path) -> Result<Loaded, Failure> {
    let variables = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    Ok(masking::load(&RulesFile { path, variables: &variables })?)
}

fn facts(context: &Context, against: Against) -> Result<Facts, Failure> {
    let Some(backup) = against.backup else {
        let conninfo = server::connection(against.dbname.as_deref().unwrap_or_default(), &against.server)?;
        let job = progress::watched_job(&context.common)?;
        return Ok(Facts::live(&conninfo, &job)?);
    };
    let source = against.source;
    let database = selection::databases(&source.which.backup(&backup), Vec::new())?.pop();
    let repository = repository::open_as_of(context, &source.repository, &source.past)?;
    let job = progress::watched_job(&context.common)?;
    let name = source.which.backup_for(&backup, database.clone());
    Ok(Facts::of_backup(&repository, &name, database.as_deref(), &job)?)
}

fn check(context: &Context, args: MaskCheck) -> Result<ExitCode, Failure> {
    let loaded = load(&args.rules)?;
    let lock = loaded.lock(args.lock.as_deref())?;
    if args.locked && lock.is_none() {
        let lock = args.rules.with_file_name(masking::LOCK);
        return Err(Failure::refused(
            &format!("--locked needs a lock of these rules, and {} is none", lock.display()),
            Some("`pgark mask lock` writes it"),
        ));
    }
    let facts = facts(context, args.against)?;
    let how = Strictness { locked: args.locked, strict: args.strict };
    let report = check::run(&loaded, &facts, lock.as_ref(), how);
    if args.json {
        output::json(&Document::MaskCheck(&report))?;
    } else {
        tell(&report)?;
    }
    Ok(match report.verdict(how) {
        Verdict::Clean => ExitCode::SUCCESS,
        Verdict::Errors => ExitCode::FAILURE,
        Verdict::Warnings => ExitCode::from(INCOMPLETE),
    })
}

fn tell(report: &CheckReport) -> Result<(), Failure> {
    for finding in &report.findings {
        tell_finding(finding)?;
    }
    let summary = &report.summary;
    let accepted = report.findings.iter().filter(|finding| finding.accepted.is_some()).count();
    output::line(&format!(
        "{}, {}, {} accepted; {}: {} masked, {} kept, {} undecided",
        output::number_of(summary.error as u64, "error"),
        output::number_of(summary.warning as u64, "warning"),
        accepted,
        output::number_of(summary.columns as u64, "column"),
        summary.masked,
        summary.kept,
        summary.undecided
    ))
}

fn tell_finding(finding: &FindingReport) -> Result<(), Failure> {
    let place = match (finding.line, finding.at) {
        (Some(line), Some(at)) => format!("{}:{line}:{at}", finding.file),
        _ => finding.file.clone(),
    };
    let on: Vec<&str> = finding.table.iter().chain(&finding.column).map(String::as_str).collect();
    let on = if on.is_empty() { String::new() } else { format!("{}: ", on.join(".")) };
    let severity = match finding.severity {
        check::Severity::Error => "error",
        check::Severity::Warning if finding.accepted.is_some() => "accepted",
        check::Severity::Warning => "warning",
        check::Severity::Info => "info",
    };
    output::line(&format!("{place}: {severity} {}: {on}{}", finding.code, finding.message))?;
    if let Some(because) = &finding.accepted {
        return output::line(&format!("    accepted: {because}"));
    }
    if finding.hint.is_empty() { Ok(()) } else { output::line(&format!("    {}", finding.hint)) }
}

fn preview(context: &Context, args: MaskPreview) -> Result<ExitCode, Failure> {
    let loaded = load(&args.rules)?;
    let conninfo = server::connection(args.dbname.as_deref().unwrap_or_default(), &args.server)?;
    let request = Request {
        table: args.table,
        condition: args.condition,
        rows: args.rows.into(),
        columns: args.columns,
        changed: args.changed,
    };
    let preview = {
        let job = progress::watched_job(&context.common)?;
        let facts = Facts::live(&conninfo, &job)?;
        preview::run(&loaded, facts.catalog, &conninfo, &request, &job)?
    };
    if args.json {
        output::json(&Document::MaskPreview(&preview))?;
    } else {
        tell_rows(&preview)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Each row as a block: a line for each column, with the plain value and, where it changes, its
/// fiction.
fn tell_rows(preview: &Preview) -> Result<(), Failure> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".into());
    let names: Vec<String> = preview.columns.iter().map(|column| column.name.clone()).collect();
    let width = output::longest("", &names);
    for (number, row) in preview.rows.iter().enumerate() {
        output::line(&format!("-- {} row {}", preview.table, number + 1))?;
        for column in &preview.columns {
            let Some(value) = row.values.get(&column.name) else { continue };
            let mark =
                if value.changed && !value.by_rule { "  (!) no rule of its own changes it" } else { "" };
            let padded = format!("{:width$}", column.name);
            match value.changed {
                true => output::change(&padded, &shown(&value.plain), &shown(&value.masked), mark)?,
                false => output::line(&format!("{padded}  {}", shown(&value.plain)))?,
            }
        }
    }
    if preview.rows.is_empty() {
        output::line(&format!("no row of {} was chosen", preview.table))?;
    }
    if preview.dropped > 0 {
        output::line(&format!("{} left out by a condition", output::number_of(preview.dropped, "row")))?;
    }
    Ok(())
}

fn value(context: &Context, args: MaskValue) -> Result<ExitCode, Failure> {
    let loaded = load(&args.rules)?;
    let facts = facts(context, args.against)?;
    let report = value::run(&loaded, &facts.catalog, &args.column, &args.value, args.reverse)?;
    if args.json {
        output::json(&Document::MaskValue(&report))?;
    } else {
        let shown = if args.reverse { Some(&report.plain) } else { report.masked.as_ref() };
        output::line(shown.map_or("NULL", String::as_str))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lock(context: &Context, args: MaskLock) -> Result<ExitCode, Failure> {
    let loaded = load(&args.rules)?;
    let facts = facts(context, args.against)?;
    let text = check::lock(&loaded, &facts.catalog)?;
    let path = args.output.unwrap_or_else(|| args.rules.with_file_name(masking::LOCK));
    std::fs::write(&path, text)
        .map_err(|source| Failure::file(format!("write {}", path.display()), source))?;
    output::line(&format!("{} says what {} does to {}", path.display(), args.rules.display(), facts.from))?;
    Ok(ExitCode::SUCCESS)
}

fn test(args: MaskTest) -> Result<ExitCode, Failure> {
    let loaded = load(&args.rules)?;
    let lock = loaded.lock(args.lock.as_deref())?;
    let report = test::run(&loaded, lock.as_ref())?;
    if args.json {
        output::json(&Document::MaskTest(&report))?;
    } else {
        for test in &report.tests {
            let verdict = if test.failures.is_empty() { "passed" } else { "FAILED" };
            output::line(&format!("{}:{}: {} {verdict}", report.rules, test.line, test.table))?;
            for failure in &test.failures {
                output::line(&format!("    {failure}"))?;
            }
        }
        if report.tests.is_empty() {
            output::line(&format!("{} has no [[test]]", report.rules))?;
        }
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(args: MaskList) -> Result<ExitCode, Failure> {
    let all = transformers::all();
    if args.json {
        output::json(&Document::MaskList { transformers: &all })?;
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<String> = all.iter().map(|one| one.name.to_string()).collect();
    let promises: Vec<String> = all.iter().map(|one| one.unique.to_string()).collect();
    let columns = ["TRANSFORMER", "UNIQUE", "WHAT IT DOES"];
    let before = output::longest(columns[0], &names) + output::longest(columns[1], &promises) + 4;
    let room = output::width().saturating_sub(before);
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| vec![one.name.to_string(), one.unique.to_string(), output::cut(one.summary, room)])
        .collect();
    let left = |name| (name, Align::Left);
    output::table(&columns.map(left), &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: MaskShow) -> Result<ExitCode, Failure> {
    let one = transformers::named(&args.name)?;
    if args.json {
        output::json(&Document::MaskShow(&one))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("{}: {}", one.name, one.summary))?;
    output::line(&format!("types   {}", one.types))?;
    output::line(&format!("unique  {}", one.unique))?;
    if !one.greenmask.is_empty() {
        output::line(&format!("Greenmask calls it {}", one.greenmask.join(", ")))?;
    }
    for parameter in &one.parameters {
        let needed = match (parameter.required, parameter.default) {
            (true, _) => "required".to_string(),
            (false, "") => "optional".to_string(),
            (false, default) => format!("default {default}"),
        };
        let dynamic = if parameter.dynamic { "; may come from a column" } else { "" };
        output::line(&format!("  {}  {} ({needed}{dynamic})", parameter.name, parameter.takes))?;
        output::line(&format!("      {}", parameter.meaning))?;
    }
    Ok(ExitCode::SUCCESS)
}
