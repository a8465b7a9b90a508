//! `pgark forget`, `prune`, `tag`, `stats`.

use std::process::ExitCode;

use pgark_ops::BackupName;
use pgark_ops::operate::tidy;
use pgark_ops::prune::{self as ops, Pruned};
use pgark_ops::retention::{self, Decision, Policy, WhatToForget};

use crate::args::{Forget, GroupBy, Keep, Prune, Stats, Tag};
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository, when};

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
        group_by: match keep.group_by {
            GroupBy::Database => retention::GroupBy::Database,
            GroupBy::Selection => retention::GroupBy::Selection,
            GroupBy::Databases => retention::GroupBy::Databases,
            GroupBy::Cluster => retention::GroupBy::Cluster,
        },
    }
}

/// Forgets what was named, or what the policy does not keep.
pub fn forget(context: &Context, args: Forget) -> Result<ExitCode, Failure> {
    let policy = policy(&args.keep);
    let choice = if !args.backups.is_empty() {
        let names = args.backups.iter().map(|text| args.of.backup(text)).collect();
        WhatToForget::These { names, even_last: args.even_last }
    } else if policy.is_empty() {
        return Err(Failure::usage(
            "no retention policy given",
            &format!(
                "name backups by their ids, give --keep-… options, or a policy in [clusters.NAME] of pgark.toml with --cluster \
                 NAME; {}",
                context.config.whereabouts()
            ),
        ));
    } else {
        WhatToForget::Policy { policy, cluster: args.of.cluster.clone() }
    };
    let repository = repository::open(context, &args.repository)?;
    let prune = ops::Options { wal_window: args.wal_window, ..ops::Options::default() };
    let prune = args.prune.then_some(prune);
    let report = {
        let job = progress::watched_job(&context.common)?;
        tidy::run(&repository, &choice, prune.as_ref(), args.dry_run, &job)?
    };
    if args.json {
        output::json(&Document::Forget(&report))?;
    } else {
        show_decisions(&report.decisions, args.dry_run)?;
    }
    tell_lost(&report.decisions, args.dry_run);
    match report.pruned {
        Some(report) => {
            tracing::info!("{}", in_words(&report));
            Ok(tell_refused(&report))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Databases that no backup holds any more, and backups that no rule judges.
pub fn tell_lost(decisions: &[Decision], dry_run: bool) {
    for decision in decisions.iter().filter(|decision| !decision.last_of.is_empty()) {
        tracing::warn!(
            "backup {} {} the last complete backup of {} (cluster {})",
            decision.id,
            if dry_run { "would be removed, and is" } else { "was removed, and was" },
            decision.last_of.join(", "),
            decision.cluster
        );
    }
    for decision in decisions.iter().filter(|decision| decision.ahead && decision.keep) {
        tracing::warn!(
            "the time {} of backup {} is ahead of the storage's clock: the rules ignore it; `pgark forget {}` removes it",
            when::of_report(&decision.time),
            decision.id,
            decision.id
        );
    }
}

fn show_decisions(decisions: &[Decision], dry_run: bool) -> Result<(), Failure> {
    let word = |decision: &Decision| match (decision.keep, dry_run) {
        (true, _) => "keep",
        (false, true) => "would remove",
        (false, false) => "removed",
    };
    let rows: Vec<Vec<String>> = decisions
        .iter()
        .map(|decision| {
            vec![
                word(decision).to_string(),
                decision.id.clone(),
                when::of_report(&decision.time),
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
    let packs = ops::PruneOptions {
        grace: args.grace,
        repack_below: args.repack_below,
        erase: args.erase,
        dry_run: args.dry_run,
    };
    let options = ops::Options { packs, wal_window: args.wal_window };
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &options, &job)?
    };
    if args.json {
        output::json(&Document::Prune(&report))?;
    } else {
        output::line(&in_words(&report))?;
    }
    Ok(tell_refused(&report))
}

/// Names what the storage did not let us delete: that was asked for, and is not done.
fn tell_refused(pruned: &Pruned) -> ExitCode {
    let Pruned { packs: report, wal } = pruned;
    for archive in wal {
        if let Some(why) = &archive.kept {
            tracing::info!("the archived WAL of cluster {} is kept: {why}", archive.cluster);
        }
    }
    let refused: Vec<&String> =
        report.refused.iter().chain(wal.iter().flat_map(|archive| &archive.refused)).collect();
    for what in &report.held_by {
        tracing::warn!("nothing is deleted, because it is not known what this references: {what}");
    }
    if report.packs_held > 0 {
        tracing::warn!(
            "otherwise {} in {} packs could be deleted: `pgark forget ID` removes a backup that cannot be read",
            output::bytes(report.bytes_held),
            output::count(report.packs_held),
        );
        return ExitCode::from(INCOMPLETE);
    }
    if refused.is_empty() {
        return ExitCode::SUCCESS;
    }
    for name in refused {
        tracing::warn!("not deleted: {name}");
    }
    tracing::warn!(
        "the storage refused to delete {} packs ({}): prune with credentials that have delete permission, or when their lock has expired",
        output::count(report.packs_refused),
        output::bytes(report.bytes_refused),
    );
    ExitCode::from(INCOMPLETE)
}

fn in_words(pruned: &Pruned) -> String {
    let Pruned { packs: report, wal } = pruned;
    let would = if report.dry_run { "would be " } else { "" };
    let mut text = format!(
        "{} of {} in packs referenced; {} in {} packs {would}deleted",
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
        let waiting = output::bytes(report.bytes_waiting);
        match &report.next {
            Some(next) => text.push_str(&format!(
                "; {waiting} can be deleted by a prune after {} ({})",
                when::to_the_minute(*next),
                when::until(*next)
            )),
            None => text.push_str(&format!("; {waiting} can be deleted by a later prune")),
        }
        match report.sessions {
            0 => {}
            1 => text
                .push_str(", and when a backup that is being written has ended (`pgark sessions` shows it)"),
            several => text.push_str(&format!(
                ", and when {} backups that are being written have ended (`pgark sessions` shows them)",
                output::count(several)
            )),
        }
    } else if report.sessions > 0 {
        text.push_str(&format!("; backups being written: {}", output::count(report.sessions)));
    }
    let files: u64 = wal.iter().map(|archive| archive.files_deleted).sum();
    if files > 0 {
        let bytes = output::bytes(wal.iter().map(|archive| archive.bytes_deleted).sum());
        text.push_str(&format!(
            "; {bytes} in {} of archived WAL {would}deleted",
            output::number_of(files, "file")
        ));
    }
    if report.bytes_refused > 0 {
        text.push_str(&format!("; {} could not be deleted", output::bytes(report.bytes_refused)));
    }
    if report.missing {
        text.push_str("; a backup needs a chunk that is missing: run `pgark check`");
    }
    text
}

/// Refuses a tag that was typed where backups are named.
fn refuse_bare_tags(backups: &[String]) -> Result<(), Failure> {
    let (names, words): (Vec<&String>, Vec<&String>) =
        backups.iter().partition(|text| BackupName::is_possible(text));
    let Some(word) = words.first() else { return Ok(()) };
    let backup = names.first().map_or("ID", |name| name.as_str());
    Err(Failure::usage(
        format!("{word:?} does not name a backup"),
        &format!(
            "to add it as a tag: `pgark tag {backup} --add {word}`; to remove it: `pgark tag {backup} --remove {word}`"
        ),
    ))
}

/// Changes tags, and prints them.
pub fn tag(context: &Context, args: Tag) -> Result<ExitCode, Failure> {
    refuse_bare_tags(&args.backups)?;
    let repository = repository::open(context, &args.repository)?;
    let names: Vec<_> = args.backups.iter().map(|text| args.which.backup(text)).collect();
    let tagged = retention::tag(&repository, &names, &args.add, &args.remove)?;
    if args.json {
        output::json(&Document::Tag { backups: &tagged })?;
        return Ok(ExitCode::SUCCESS);
    }
    for backup in tagged {
        output::line(&format!("{}  {}", backup.id, backup.tags.join(" ")))?;
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
        output::json(&Document::Stats(&stats))?;
        return Ok(ExitCode::SUCCESS);
    }
    let times = |part: u64, what: &str| match part {
        0 => String::new(),
        part => format!("  ({:.1}:1 {what})", stats.bytes_raw as f64 / part as f64),
    };
    for (name, value) in [
        ("backups", output::count(stats.backups)),
        ("raw", output::bytes(stats.bytes_raw)),
        (
            "unique",
            format!("{}{}", output::bytes(stats.bytes_unique), times(stats.bytes_unique, "deduplication")),
        ),
        (
            "sealed",
            format!("{}{}", output::bytes(stats.bytes_sealed), times(stats.bytes_sealed, "with compression")),
        ),
        ("stored", format!("{}{}", output::bytes(stats.bytes_stored), times(stats.bytes_stored, "overall"))),
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
                when::of_report(&own.newest),
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
