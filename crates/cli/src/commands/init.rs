//! `pgark init`.

use std::process::ExitCode;

use pgark_ops::repository::InitReport;
use pgark_ops::storage::Verdict;
use pgark_ops::{Protection, repository as ops};

use crate::args::Init;
use crate::commands::storage_test;
use crate::context::Context;
use crate::environment::local_folders;
use crate::error::Failure;
use crate::secrets::{passphrase_file, write_secret};
use crate::{output, progress, repository};

/// Creates a repository, prints its id and fingerprint, and leaves the writer key on this host.
pub fn run(context: &Context, args: Init) -> Result<ExitCode, Failure> {
    let place = repository::new_place(context, &args.repo, args.storage)?;
    let job = progress::watched_job(&context.common)?;
    if !place.has_repository()? {
        let report = place.probe(false, &job)?;
        storage_test::advise(&report);
        if report.verdict == Verdict::Unfit {
            return Err(Failure::unfit(&report.storage));
        }
    }
    drop(job);
    let protection = if let Some(file) = &args.passphrase_file {
        Protection::Passphrase(passphrase_file(file)?)
    } else if let Some(file) = &args.new_passphrase_file {
        // On disk before it protects anything: a repository whose passphrase was lost on the way
        // would be lost too.
        let passphrase = ops::generate_passphrase()?;
        write_secret(file, "passphrase", &passphrase)?;
        Protection::Passphrase(passphrase)
    } else if args.no_encryption {
        Protection::None
    } else {
        Protection::Recipients(args.recipient)
    };
    let shared: Vec<Vec<String>> = args.share_between.into_iter().map(|group| group.0).collect();
    let made = place.init(protection, &shared, &local_folders(false)).inspect_err(|_| {
        // It opens nothing, and would only be mistaken for one that does.
        if let Some(file) = &args.new_passphrase_file
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!(
                "the passphrase in {} was not used, and cannot be removed: {error}",
                file.display()
            );
        }
    })?;
    let mut report = place.made(&made);
    if let Some(key) = &made.writer_key
        && let Some(path) = repository::writer_key_file(&report.id)
    {
        write_secret(&path, "writer key", key)?;
        report.writer_key = Some(path);
    }
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!("repository {}", report.id))?;
        output::line(&format!("fingerprint {}", report.fingerprint))?;
    }
    tell(&report);
    Ok(ExitCode::SUCCESS)
}

/// What is to be kept in mind, in the log.
fn tell(report: &InitReport) {
    if let Some(replaced) = &report.replaced {
        tracing::info!(
            "this host knew another repository at {}, of the fingerprint {replaced}: from now on it expects the new one there",
            report.storage
        );
    }
    if !report.encrypted {
        tracing::warn!(
            "this repository is not encrypted: whoever reads {} reads the backups",
            report.storage
        );
        return;
    }
    match &report.writer_key {
        Some(path) => tracing::info!(
            "the writer key of this host is in {}: backups need no other secret",
            path.display()
        ),
        None => tracing::warn!("there is no configuration folder on this host: no writer key was left"),
    }
    tracing::info!("keep the identity or passphrase in a safe place: without it nothing can be restored");
}
