//! `pgark forget`, `prune`, `tag`, `stats`.

use std::process::ExitCode;

use pgark_ops::retention::{self, Choice, Decision, Policy};
use pgark_ops::{Job, OpsError, prune as ops};
use pgark_ops::{PruneReport, Repository};

use crate::args::{Forget, Keep, Prune, Stats, Tag};
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
use crate::output::{self, Align};
use crate::{progress, repository};

/// The policy that options or the file describe.
pub fn policy(keep: &Keep) -> Policy {
    Policy {
        last: keep.keep_last,
        hourly: keep.keep_hourly,
        daily: keep.keep_daily,
        weekly: keep.keep_weekly,
        monthly: keep.keep_monthly,
        yearly: keep.keep_yearly,
        within: keep.keep_within,
        min: keep.keep_min,
        tags: keep.keep_tag.clone(),
        dropped: keep.keep_dropped,
    }
}

/// Forgets what was named, or what the policy does not keep.
pub fn forget(context: &Context, args: Forget) -> Result<ExitCode, Failure> {
    let policy = policy(&args.keep);
    let choice = if !args.backups.is_empty() {
        let names = args.backups.iter().map(|text| args.of.backup(text)).collect();
        Choice::These { names, even_last: args.even_last }
    } else if policy.is_empty() {
        return Err(Failure::usage(
            "nothing says which backups are to stay",
            "name backups by their ids, give --keep-… options, or a policy in [clusters.NAME] of pgark.toml with --cluster NAME",
        ));
    } else {
        Choice::Policy { policy, cluster: args.of.cluster.clone() }
    };
    let repository = repository::open(context, &args.repository)?;
    let (decisions, pruned) = {
        let job = progress::watched_job(&context.common)?;
        let decisions = retention::forget(&repository, &choice, args.dry_run, &job)?;
        let pruned = match args.prune {
            true => Some(
                run_prune(&repository, args.dry_run, &job)
                    .map_err(|error| behind_forget(&decisions, error))?,
            ),
            false => None,
        };
        (decisions, pruned)
    };
    if args.json {
        output::json(&decisions)?;
    } else {
        show_decisions(&decisions, args.dry_run)?;
    }
    tell_lost(&decisions, args.dry_run);
    match pruned {
        Some(report) => {
            tracing::info!("{}", in_words(&report, args.dry_run));
            Ok(tell_refused(&report))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// An interrupt of the prune behind: what was forgotten is forgotten.
fn behind_forget(decisions: &[Decision], error: OpsError) -> OpsError {
    let gone: Vec<&str> =
        decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.id.as_str()).collect();
    match error.is_cancelled() && !gone.is_empty() {
        true => OpsError::Interrupted {
            left: format!(
                "forgotten: {}; the prune behind it was not finished, and the next one goes on",
                gone.join(", ")
            ),
        },
        false => error,
    }
}

fn run_prune(repository: &Repository, dry_run: bool, job: &Job) -> Result<PruneReport, OpsError> {
    ops::run(repository, &ops::Options { dry_run, ..ops::Options::default() }, job)
}

/// The policy of `pgark.toml`, behind a backup: what was forgotten goes to the log.
pub fn forget_after_backup(
    repository: &Repository,
    keep: &Keep,
    cluster: &str,
    job: &Job,
) -> Result<(), OpsError> {
    let choice = Choice::Policy { policy: policy(keep), cluster: Some(cluster.to_string()) };
    let decisions = retention::forget(repository, &choice, false, job)?;
    let gone: Vec<&str> =
        decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.id.as_str()).collect();
    if !gone.is_empty() {
        tracing::info!("forgotten by the policy: {}", gone.join(", "));
    }
    tell_lost(&decisions, false);
    Ok(())
}

/// Databases that no backup holds any more, and backups that no rule judges.
fn tell_lost(decisions: &[Decision], dry_run: bool) {
    for decision in decisions.iter().filter(|decision| !decision.last_of.is_empty()) {
        tracing::warn!(
            "backup {} {} the last good one of {} (cluster {})",
            decision.id,
            if dry_run { "would go, and is" } else { "is forgotten, and was" },
            decision.last_of.join(", "),
            decision.cluster
        );
    }
    for decision in decisions.iter().filter(|decision| decision.ahead && decision.keep) {
        tracing::warn!(
            "the time {} of backup {} lies ahead of the storage's clock: no rule counts it; `pgark forget {}` removes it",
            decision.time,
            decision.id,
            decision.id
        );
    }
}

fn show_decisions(decisions: &[Decision], dry_run: bool) -> Result<(), Failure> {
    let word = |decision: &Decision| match (decision.keep, dry_run) {
        (true, _) => "stays",
        (false, true) => "would go",
        (false, false) => "forgotten",
    };
    let rows: Vec<Vec<String>> = decisions
        .iter()
        .map(|decision| {
            vec![
                word(decision).to_string(),
                decision.id.clone(),
                decision.time.clone(),
                decision.cluster.clone(),
                decision.databases.join(","),
                output::status(&decision.status, decision.partial, decision.ahead),
                decision.reasons.join(", "),
            ]
        })
        .collect();
    let columns = ["", "ID", "TIME", "CLUSTER", "DATABASES", "STATUS", "WHY"].map(|name| (name, Align::Left));
    output::table(&columns, &rows)
}

/// Frees what no backup needs.
pub fn prune(context: &Context, args: Prune) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let options = ops::Options {
        grace: args.grace,
        repack_below: args.repack_below,
        erase: args.erase,
        dry_run: args.dry_run,
    };
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &options, &job)?
    };
    if args.json {
        output::json(&serde_json::json!({
            "packs": report.packs,
            "bytes": report.bytes,
            "bytes_live": report.bytes_live,
            "packs_deleted": report.packs_deleted,
            "bytes_deleted": report.bytes_deleted,
            "packs_waiting": report.packs_waiting,
            "bytes_waiting": report.bytes_waiting,
            "packs_repacked": report.packs_repacked,
            "bytes_moved": report.bytes_moved,
            "sessions": report.sessions,
            "next": report.next.map(|next| next.to_string()),
            "missing": report.missing,
            "packs_refused": report.packs_refused,
            "bytes_refused": report.bytes_refused,
            "refused": report.refused,
            "packs_held": report.packs_held,
            "bytes_held": report.bytes_held,
            "held_by": report.held_by,
            "copies_put": report.copies_put,
            "dry_run": args.dry_run,
        }))?;
    } else {
        output::line(&in_words(&report, args.dry_run))?;
    }
    Ok(tell_refused(&report))
}

/// Names what the storage did not let us delete: that was asked for, and is not done.
fn tell_refused(report: &PruneReport) -> ExitCode {
    for what in &report.held_by {
        tracing::warn!("it is not known what this needs, so nothing is deleted: {what}");
    }
    if report.packs_held > 0 {
        tracing::warn!(
            "{} in {} packs could be deleted otherwise: `pgark forget ID` lets go of a backup that cannot be read",
            output::bytes(report.bytes_held),
            output::count(report.packs_held),
        );
        return ExitCode::from(INCOMPLETE);
    }
    if report.refused.is_empty() {
        return ExitCode::SUCCESS;
    }
    for name in &report.refused {
        tracing::warn!("not deleted: {name}");
    }
    tracing::warn!(
        "the storage did not let {} packs ({}) be deleted: prune with credentials that may, or when their lock is over",
        output::count(report.packs_refused),
        output::bytes(report.bytes_refused),
    );
    ExitCode::from(INCOMPLETE)
}

fn in_words(report: &PruneReport, dry_run: bool) -> String {
    let would = if dry_run { "would be " } else { "" };
    let mut text = format!(
        "{} of {} in packs needed; {} in {} packs {would}deleted",
        output::bytes(report.bytes_live),
        output::bytes(report.bytes),
        output::bytes(report.bytes_deleted),
        output::count(report.packs_deleted),
    );
    if report.packs_repacked > 0 {
        let (moved, packs) = (output::bytes(report.bytes_moved), output::count(report.packs_repacked));
        text.push_str(&format!(", {moved} {would}moved out of {packs} packs"));
    }
    if report.packs_waiting > 0 {
        text.push_str(&format!(", {} {would}waiting", output::bytes(report.bytes_waiting)));
        if let Some(next) = report.next {
            text.push_str(&format!(": a prune after {next} deletes the first of it"));
        }
    }
    if report.bytes_refused > 0 {
        text.push_str(&format!("; {} could not be deleted", output::bytes(report.bytes_refused)));
    }
    if report.sessions > 0 {
        text.push_str(&format!("; backups being written: {}", report.sessions));
    }
    if report.missing {
        text.push_str("; a backup needs a chunk that is nowhere: run `pgark check`");
    }
    text
}

/// Changes tags, and prints them.
pub fn tag(context: &Context, args: Tag) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let names: Vec<_> = args.backups.iter().map(|text| args.which.backup(text)).collect();
    for (id, tags) in retention::tag(&repository, &names, &args.add, &args.remove)? {
        output::line(&format!("{id}  {}", tags.join(" ")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the repository holds.
pub fn stats(context: &Context, args: Stats) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let stats = {
        let job = progress::watched_job(&context.common)?;
        ops::stats(&repository, &job)?
    };
    if args.json {
        output::json(&stats)?;
        return Ok(ExitCode::SUCCESS);
    }
    let times = |part: u64| match part {
        0 => String::new(),
        part => format!("  ({:.1} times as much raw)", stats.bytes_raw as f64 / part as f64),
    };
    for (name, value) in [
        ("backups", output::count(stats.backups)),
        ("raw", output::bytes(stats.bytes_raw)),
        ("unique", format!("{}{}", output::bytes(stats.bytes_unique), times(stats.bytes_unique))),
        ("sealed", format!("{}{}", output::bytes(stats.bytes_sealed), times(stats.bytes_sealed))),
        ("stored", format!("{}{}", output::bytes(stats.bytes_stored), times(stats.bytes_stored))),
        ("in packs", output::bytes(stats.bytes_packs)),
        ("chunks", output::count(stats.chunks)),
    ] {
        output::line(&format!("{name:<10} {value}"))?;
    }
    output::line("")?;
    let rows: Vec<Vec<String>> = stats
        .clusters
        .iter()
        .map(|own| {
            vec![
                own.cluster.clone(),
                output::count(own.backups),
                own.newest.clone(),
                output::bytes(own.newest_raw),
                output::bytes(own.bytes_added),
                output::bytes(own.added_per_backup),
                output::bytes(own.added_in_30_days),
            ]
        })
        .collect();
    let columns = [
        ("CLUSTER", Align::Left),
        ("BACKUPS", Align::Right),
        ("NEWEST", Align::Left),
        ("RAW", Align::Right),
        ("ADDED", Align::Right),
        ("PER BACKUP", Align::Right),
        ("IN 30 DAYS", Align::Right),
    ];
    output::table(&columns, &rows)?;
    Ok(ExitCode::SUCCESS)
}
