//! `pgark storage test`.

use std::process::ExitCode;

use pgark_ops::storage::{Finding, Report, Verdict};

use crate::args::{StorageAction, StorageCommand, StorageTest};
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
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
        output::json(&as_json(&report))?
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
pub fn advise(report: &Report) {
    for advice in &report.advice {
        tracing::warn!("{advice}");
    }
}

fn findings(report: &Report) -> [(&'static str, &Finding); 4] {
    [
        ("put-if-absent", &report.put_if_absent),
        ("read after write", &report.read_after_write),
        ("list after write", &report.list),
        ("delete", &report.delete),
    ]
}

fn verdict(report: &Report) -> &'static str {
    match report.verdict {
        Verdict::Fit => "fit for any number of writers",
        Verdict::FitWithLimits => "fit, with limits",
        Verdict::Unfit => "unfit",
    }
}

fn show(report: &Report) -> Result<(), Failure> {
    let line = |name: &str, value: &str| output::line(&format!("{name:<18} {value}"));
    line("storage", &report.location)?;
    for (name, finding) in findings(report) {
        match finding {
            Finding::Good => line(name, "yes")?,
            Finding::Bad(why) => line(name, &format!("NO: {why}"))?,
            Finding::Unknown(why) => line(name, &format!("not allowed: {why}"))?,
        }
    }
    for (name, known) in [("versions kept", report.versions), ("object lock", report.lock)] {
        line(
            name,
            match known {
                Some(true) => "yes",
                Some(false) => "no",
                None => "cannot be asked",
            },
        )?;
    }
    let milliseconds = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    line(
        "latency",
        &format!(
            "put {}, get {}, list {}",
            milliseconds(report.put_latency),
            milliseconds(report.get_latency),
            milliseconds(report.list_latency)
        ),
    )?;
    if let (Some(up), Some(down)) = (report.upload, report.download) {
        line(
            "throughput",
            &format!("{}/s up, {}/s down", output::bytes(up as u64), output::bytes(down as u64)),
        )?;
    }
    line("clock", &format!("{} s from the storage's", report.clock_skew))?;
    line("verdict", verdict(report))?;
    for advice in &report.advice {
        output::line(&format!("- {advice}"))?;
    }
    Ok(())
}

fn as_json(report: &Report) -> serde_json::Value {
    let finding = |finding: &Finding| match finding {
        Finding::Good => serde_json::json!({ "finding": "good" }),
        Finding::Bad(why) => serde_json::json!({ "finding": "bad", "why": why }),
        Finding::Unknown(why) => serde_json::json!({ "finding": "not allowed", "why": why }),
    };
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    serde_json::json!({
        "storage": report.location,
        "put_if_absent": finding(&report.put_if_absent),
        "read_after_write": finding(&report.read_after_write),
        "list_after_write": finding(&report.list),
        "delete": finding(&report.delete),
        "versions": report.versions,
        "object_lock": report.lock,
        "clock_skew_seconds": report.clock_skew,
        "put_seconds": seconds(report.put_latency),
        "get_seconds": seconds(report.get_latency),
        "list_seconds": seconds(report.list_latency),
        "upload_bytes_per_second": report.upload,
        "download_bytes_per_second": report.download,
        "verdict": verdict(report),
        "advice": report.advice,
    })
}
