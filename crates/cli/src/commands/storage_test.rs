//! `pgark storage test`.

use std::process::ExitCode;

use pgark_ops::storage::{Finding, StorageReport, Verdict, words_of};

use crate::args::{StorageAction, StorageCommand, StorageTest};
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::{output, progress, repository};

/// Runs a subcommand of `storage`.
pub fn run(context: &Context, args: StorageCommand) -> Result<ExitCode, Failure> {
    match args.action {
        StorageAction::Test(args) => test(context, args),
    }
}

fn test(context: &Context, args: StorageTest) -> Result<ExitCode, Failure> {
    let place = repository::new_place(context, &args.url, args.storage)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        place.probe(!args.quick, &job)?
    };
    if args.json {
        output::json(&Document::StorageTest(&report))?
    } else {
        show(&report)?
    }
    Ok(match report.verdict {
        Verdict::Fit => ExitCode::SUCCESS,
        Verdict::FitWithLimits => ExitCode::from(INCOMPLETE),
        Verdict::Unfit => ExitCode::FAILURE,
    })
}

/// What a new repository's owner should know, in the log.
pub fn advise(report: &StorageReport) {
    for advice in &report.advice {
        tracing::warn!("{advice}");
    }
}

fn findings(report: &StorageReport) -> [(&'static str, &Finding); 4] {
    [
        ("put-if-absent", &report.put_if_absent),
        ("read after write", &report.read_after_write),
        ("list after write", &report.list_after_write),
        ("delete", &report.delete),
    ]
}

fn show(report: &StorageReport) -> Result<(), Failure> {
    let line = |name: &str, value: &str| output::line(&format!("{name:<18} {value}"));
    line("storage", &report.storage)?;
    for (name, finding) in findings(report) {
        match finding {
            Finding::Good => line(name, "yes")?,
            Finding::Bad(why) => line(name, &format!("NO: {why}"))?,
            Finding::Unknown(why) => line(name, &format!("not allowed: {why}"))?,
        }
    }
    for (name, known) in [("versions kept", report.versions), ("object lock", report.object_lock)] {
        line(
            name,
            match known {
                Some(true) => "yes",
                Some(false) => "no",
                None => "cannot be asked",
            },
        )?;
    }
    let milliseconds = |seconds: f64| format!("{:.1} ms", seconds * 1000.0);
    line(
        "latency",
        &format!(
            "put {}, get {}, list {}",
            milliseconds(report.put_seconds),
            milliseconds(report.get_seconds),
            milliseconds(report.list_seconds)
        ),
    )?;
    if let (Some(up), Some(down)) = (report.upload_bytes_per_second, report.download_bytes_per_second) {
        line(
            "throughput",
            &format!("{}/s up, {}/s down", output::bytes(up as u64), output::bytes(down as u64)),
        )?;
    }
    line("clock", &format!("{} s from the storage's", report.clock_skew_seconds))?;
    line("verdict", words_of(report.verdict))?;
    for advice in &report.advice {
        output::line(&format!("- {advice}"))?;
    }
    Ok(())
}
