//! `pgark check`.

use std::process::ExitCode;

use pgark_ops::check::{self as ops, CheckReport};
use pgark_ops::freshness::{self, Freshness, Wish};
use pgark_ops::{Job, Repository};

use crate::args::{Check, Level};
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::when::{self, Moment};
use crate::{output, progress, repository};

/// Checks the repository, and how old the newest backups are. Problems end with exit code 1, a
/// backup that is too old with 3.
pub fn run(context: &Context, args: Check) -> Result<ExitCode, Failure> {
    let repository = repository::open_as_of(context, &args.repository, &args.past)?;
    let job = progress::watched_job(&context.common)?;
    let freshness = wish(&args).map(|wish| freshness::judge(&repository, &wish, &job)).transpose()?;
    let reads =
        args.max_age.is_none() || args.level.is_some() || args.read_data.is_some() || args.since.is_some();
    let report = reads.then(|| check(&repository, &args, job)).transpose()?;
    let is_sound = report.as_ref().is_none_or(|report| report.ok);
    let is_fresh = freshness.as_ref().is_none_or(|freshness| freshness.fresh);
    if !args.json {
        report.as_ref().map_or(Ok(()), show)?;
        freshness.as_ref().map_or(Ok(()), show_freshness)?;
    } else if let Some(report) = report {
        let ok = report.ok && is_fresh;
        let report = CheckReport { ok, ..report };
        output::json(&Document::Check { report: &report, freshness: freshness.as_ref() })?;
    } else if let Some(freshness) = &freshness {
        output::json(&Document::CheckAge { ok: is_fresh, freshness })?;
    }
    Ok(match (is_sound, is_fresh) {
        (false, _) => ExitCode::FAILURE,
        (true, false) => ExitCode::from(INCOMPLETE),
        (true, true) => ExitCode::SUCCESS,
    })
}

fn wish(args: &Check) -> Option<Wish> {
    Some(Wish {
        max_age: args.max_age?,
        cluster: args.cluster.clone(),
        databases: args.database.clone(),
        partial: args.partial,
        now: args.past.as_of.map_or_else(jiff::Timestamp::now, Moment::start),
    })
}

fn check(repository: &Repository, args: &Check, job: Job) -> Result<CheckReport, Failure> {
    let level = match (args.read_data, args.level) {
        (Some(_), _) | (None, Some(Level::Data)) => ops::Level::Data,
        (None, Some(Level::Objects)) => ops::Level::Objects,
        (None, Some(Level::Structure) | None) => ops::Level::Structure,
    };
    let options =
        ops::Options { level, since: args.since.map(Moment::start), percent: args.read_data.unwrap_or(100) };
    Ok(ops::run(repository, &options, &job)?)
}

/// One line for each cluster or database that was judged.
fn show_freshness(freshness: &Freshness) -> Result<(), Failure> {
    for newest in &freshness.judged {
        let of = match (&newest.cluster, &newest.database) {
            (Some(cluster), Some(database)) => format!("database {database} of cluster {cluster}"),
            (Some(cluster), None) => format!("cluster {cluster}"),
            (None, Some(database)) => format!("database {database}"),
            (None, None) => "the repository".to_string(),
        };
        let word = if newest.fresh { "ok" } else { "too old" };
        let part = newest.newer_part.as_ref().map_or_else(String::new, |part| {
            format!("; {part} is newer, and contains only a part (--partial counts it)")
        });
        output::line(&match (&newest.backup, &newest.time, newest.age_seconds) {
            (Some(backup), Some(time), Some(age)) => format!(
                "{word}: {of}: the newest complete backup {backup}, of {}, is {} old ({} allowed){part}",
                when::of_report(time),
                when::age(age),
                when::age(freshness.max_age_seconds),
            ),
            _ => format!("{word}: {of}: no complete backup{part}"),
        })?;
    }
    Ok(())
}

fn show(report: &CheckReport) -> Result<(), Failure> {
    for problem in &report.problems {
        output::line(&format!("{}: {}", problem.object, problem.what))?;
        if !problem.backups.is_empty() {
            output::line(&format!("  needed by {}", problem.backups.join(", ")))?;
        }
    }
    for hurt in &report.hurt {
        output::line(&format!("backup {}: {}", hurt.backup, ops::in_words(hurt)))?;
    }
    for suspect in &report.suspect {
        output::line(&format!(
            "backup {}: {} of the packs that it needs were made with the key of the writer {} since {}, when someone else \
             may have had it. `pgark check --read-data` tells whether they hold what they should; the next backup stores \
             again what it needs of them, and `pgark forget {}` removes this one",
            suspect.backup,
            output::count(suspect.packs),
            suspect.writer,
            when::of_report(&suspect.since),
            suspect.backup
        ))?;
    }
    for ahead in &report.ahead {
        output::line(&format!(
            "backup {}: its time {} is ahead of the storage's clock, which said {}: it is never `latest`, and no rule of \
             `forget` counts it (`pgark forget {}` removes it)",
            ahead.backup,
            when::of_report(&ahead.time),
            when::of_report(&ahead.stored),
            ahead.backup
        ))?;
    }
    if !report.foreign.is_empty() {
        let shown: Vec<String> =
            report.foreign.iter().take(10).map(|name| name.escape_debug().to_string()).collect();
        let more = match report.foreign.len() {
            0..=10 => String::new(),
            all => format!(" and {} more", output::count(all as u64 - 10)),
        };
        output::line(&format!("note: not of this repository, and ignored: {}{more}", shown.join(", ")))?;
    }
    let verdict = if report.ok { "no problem".into() } else { format!("{} problems", report.problems.len()) };
    let (objects, read) = (output::count(report.objects), output::bytes(report.bytes));
    output::line(&format!("{verdict} at level {} ({objects} objects, {read} read)", report.level))
}
