//! `pgark init`.

use std::process::ExitCode;

use pgark_ops::repository::{InitReport, OpenStorage};
use pgark_ops::storage::Verdict;
use pgark_ops::{OpsError, Protection, repository as ops};

use crate::args::Init;
use crate::commands::storage_test;
use crate::context::Context;
use crate::environment::local_folders;
use crate::error::Failure;
use crate::json::Document;
use crate::recipients::refuse_non_recipients;
use crate::secrets::{ask_new_passphrase, passphrase_file, write_secret};
use crate::{output, progress, repository};

/// Creates a repository, prints its id and fingerprint, and leaves the writer key on this host.
pub fn run(context: &Context, args: Init) -> Result<ExitCode, Failure> {
    // All that was typed is looked at before anything is asked, tried or made.
    refuse_non_recipients(&args.recipient)?;
    let given = given(&args)?;
    if let Some(protection) = &given {
        protection.check().map_err(OpsError::from)?;
    }
    let place = repository::new_place(context, &args.repo, args.storage)?;
    let job = progress::watched_job(&context.common)?;
    if !place.has_repository()? {
        if !args.force {
            refuse_others(&place)?;
        }
        let report = place.probe(false, &job)?;
        storage_test::advise(&report);
        if report.verdict == Verdict::Unfit {
            return Err(Failure::unfit(&report.storage));
        }
    }
    drop(job);
    let protection = match (given, &args.new_passphrase_file) {
        (Some(protection), _) => protection,
        (None, Some(file)) => {
            // On disk before it protects anything: a repository whose passphrase was lost on the
            // way would be lost too.
            let passphrase = ops::generate_passphrase()?;
            write_secret(file, "passphrase", &passphrase)?;
            Protection::Passphrase(passphrase)
        }
        (None, None) => Protection::Recipients(args.recipient),
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
        output::json(&Document::Init(&report))?;
    } else {
        output::line(&format!("repository {}", report.id))?;
        output::line(&format!("fingerprint {}", report.fingerprint))?;
    }
    tell(&report);
    Ok(ExitCode::SUCCESS)
}

/// What protects it, of what was typed; none: a passphrase that is to be drawn.
fn given(args: &Init) -> Result<Option<Protection>, Failure> {
    if let Some(file) = &args.new_passphrase_file {
        return match file.exists() {
            true => Err(Failure::refused(
                &format!("the file for the new passphrase, {}, already exists", file.display()),
                Some(
                    "name a new file, or use the passphrase in it: --passphrase-file FILE; nothing was made",
                ),
            )),
            false => Ok(None),
        };
    }
    if let Some(file) = &args.passphrase_file {
        return Ok(Some(Protection::Passphrase(passphrase_file(file)?)));
    }
    if args.passphrase {
        return Ok(Some(Protection::Passphrase(ask_new_passphrase(&format!("of {}", args.repo))?)));
    }
    Ok(Some(match args.no_encryption {
        true => Protection::None,
        false => Protection::Recipients(args.recipient.clone()),
    }))
}

/// Refuses a place with files of others: whoever cleans up there later would not know whose is
/// what.
fn refuse_others(place: &OpenStorage) -> Result<(), Failure> {
    const SHOWN: usize = 3;
    let others = place.others()?;
    if others.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = others.iter().take(SHOWN).map(String::as_str).collect();
    let more = match others.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Failure::refused(
        &format!("{} holds other files: {}{more}", place.location(), shown.join(", ")),
        Some(
            "name an empty or a new folder below it; --force creates the repository next to them. Nothing was made",
        ),
    ))
}

/// What is to be kept in mind, in the log.
fn tell(report: &InitReport) {
    if let Some(replaced) = &report.replaced {
        tracing::info!(
            "this host knew another repository at {}, with the fingerprint {replaced}: from now on it expects the new one",
            report.storage
        );
    }
    if !report.encrypted {
        tracing::warn!(
            "this repository is not encrypted: whoever can read {} can read the backups",
            report.storage
        );
        return;
    }
    match &report.writer_key {
        Some(path) => tracing::info!(
            "the writer key of this host is in {}: backups need no other secret",
            path.display()
        ),
        None => tracing::warn!("this host has no configuration folder: no writer key was written"),
    }
    tracing::info!("keep the identity or passphrase in a safe place: without it nothing can be restored");
}
