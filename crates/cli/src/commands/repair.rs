//! `pgark repair index`, `pgark repair backups`.

use std::process::ExitCode;

use pgark_ops::check::Level;
use pgark_ops::repair as ops;

use crate::args::{Repair, RepairAction, RepairBackups, RepairIndex, RepairObjects};
use crate::context::Context;
use crate::error::{Failure, INCOMPLETE};
use crate::json::Document;
use crate::{output, progress, repository};

/// Repairs; what is lost ends with exit code 3.
pub fn run(context: &Context, args: Repair) -> Result<ExitCode, Failure> {
    match args.action {
        RepairAction::Index(args) => index(context, args),
        RepairAction::Backups(args) => backups(context, args),
        RepairAction::Objects(args) => objects(context, args),
    }
}

fn objects(context: &Context, args: RepairObjects) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::objects(&repository, args.dry_run, &job)?
    };
    if args.json {
        output::json(&Document::RepairObjects(&report))?;
    } else {
        let would = if args.dry_run { "would be " } else { "" };
        for name in &report.put {
            output::line(&format!("{name}: {would}restored from the other copy"))?;
        }
        for named in &report.removed {
            output::line(&format!("{}: {would}removed: {}", named.object, named.what))?;
        }
        for named in &report.left {
            output::line(&format!("{}: not changed: {}", named.object, named.what))?;
        }
        if report.put.is_empty() && report.removed.is_empty() && report.left.is_empty() {
            output::line("all copies are intact, and every object belongs to a backup")?;
        }
    }
    Ok(verdict(!report.left.is_empty()))
}

fn verdict(is_lost: bool) -> ExitCode {
    if is_lost { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS }
}

fn index(context: &Context, args: RepairIndex) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::index(&repository, &job)?
    };
    if args.json {
        output::json(&Document::RepairIndex(&report))?;
    } else {
        for named in &report.lost {
            output::line(&format!("{}: {}", named.object, named.what))?;
        }
        output::line(&format!(
            "{} chunks in {} packs; {} index objects were replaced, {} of which could not be read",
            output::count(report.chunks),
            output::count(report.packs),
            output::count(report.replaced),
            output::count(report.unreadable),
        ))?;
    }
    Ok(verdict(!report.lost.is_empty()))
}

fn backups(context: &Context, args: RepairBackups) -> Result<ExitCode, Failure> {
    let level = if args.read_data { Level::Data } else { Level::Structure };
    let repository = repository::open(context, &args.repository)?;
    let repaired = {
        let job = progress::watched_job(&context.common)?;
        ops::backups(&repository, level, args.dry_run, &job)?
    };
    if args.json {
        output::json(&Document::RepairBackups { backups: &repaired, dry_run: args.dry_run })?;
    } else {
        for backup in &repaired {
            match &backup.now {
                Some(now) => output::line(&format!("{} was replaced by {now}, without:", backup.backup))?,
                None if args.dry_run && !backup.lost.is_empty() => {
                    output::line(&format!("{} has lost:", backup.backup))?;
                }
                None => output::line(&format!("{}: nothing of it can be read", backup.backup))?,
            }
            for path in &backup.lost {
                output::line(&format!("  {path}"))?;
            }
        }
        if repaired.is_empty() {
            output::line("no backup is damaged")?;
        }
    }
    Ok(verdict(!repaired.is_empty()))
}
