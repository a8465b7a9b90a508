//! `pgark key`.

use std::process::ExitCode;

use pgark_ops::{Protection, keys as ops};

use crate::args::{Key, KeyAction, KeyAdd, KeyList, KeyRevoke, KeyRotate, KeyWriter};
use crate::context::Context;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};
use crate::recipients::refuse_non_recipients;
use crate::secrets::{ask_new_passphrase, passphrase_file, write_secret};
use crate::{repository, when};

/// Manages key slots and writers.
pub fn run(context: &Context, args: Key) -> Result<ExitCode, Failure> {
    match args.action {
        KeyAction::List(args) => list(context, args)?,
        KeyAction::Add(args) => add(context, args)?,
        KeyAction::Remove(args) => {
            let gone = ops::remove(&repository::open(context, &args.repository)?, &args.slot)?;
            match args.json {
                true => output::json(&Document::KeyRemove { slot: &gone })?,
                false => output::line(&format!("slot {gone} was removed"))?,
            }
        }
        KeyAction::Rotate(args) => rotate(context, args)?,
        KeyAction::Writer(args) => writer(context, args)?,
        KeyAction::Revoke(args) => revoke(context, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context, args: KeyList) -> Result<(), Failure> {
    let list = ops::list(&repository::open(context, &args.repository)?)?;
    if args.json {
        return output::json(&Document::KeyList(&list));
    }
    output::line(&format!("epoch {}", list.epoch))?;
    output::line("")?;
    let rows: Vec<Vec<String>> = list
        .slots
        .into_iter()
        .map(|slot| vec![slot.id, slot.recipient.unwrap_or_else(|| "a passphrase".into())])
        .collect();
    output::table(&[("SLOT", Align::Left), ("OPENED BY", Align::Left)], &rows)?;
    output::line("")?;
    let rows: Vec<Vec<String>> = list
        .writers
        .into_iter()
        .map(|writer| {
            let revoked = writer.revoked.map(|time| format!("revoked {}", when::of_report(&time)));
            let compromised = writer
                .compromised_since
                .map(|since| (when::of_report(&since), writer.compromised_packs))
                .map(|(since, packs)| format!("compromised since {since}: {packs} packs"));
            let marks: Vec<String> = revoked.into_iter().chain(compromised).collect();
            vec![
                writer.name,
                writer.key,
                writer.clusters.map_or_else(|| "any".into(), |clusters| clusters.join(", ")),
                writer.rights.join(", "),
                marks.join(", "),
            ]
        })
        .collect();
    output::table(&["WRITER", "KEY", "CLUSTERS", "RIGHTS", ""].map(|name| (name, Align::Left)), &rows)
}

fn add(context: &Context, args: KeyAdd) -> Result<(), Failure> {
    refuse_non_recipients(&args.recipient)?;
    // What is asked on the terminal is asked when the repository is open: else two passphrases
    // would be asked for, and nobody would know which is which.
    let repository = match args.add_passphrase {
        true => Some(repository::open(context, &args.repository)?),
        false => None,
    };
    let protection = match &args.add_passphrase_file {
        Some(file) => Protection::Passphrase(passphrase_file(file)?),
        None if args.add_passphrase => Protection::Passphrase(ask_new_passphrase("that is to be added")?),
        None => Protection::Recipients(args.recipient),
    };
    let repository = match repository {
        Some(repository) => repository,
        None => repository::open(context, &args.repository)?,
    };
    let slots = ops::add(&repository, &protection)?;
    if args.json {
        return output::json(&Document::KeyAdd { slots: &slots });
    }
    for slot in slots {
        output::line(&format!("slot {slot} was added"))?;
    }
    Ok(())
}

fn rotate(context: &Context, args: KeyRotate) -> Result<(), Failure> {
    let (repository, passphrase) = repository::open_with_passphrase(context, &args.repository)?;
    let epoch = ops::rotate(&repository, passphrase, args.drop_passphrases)?;
    match args.json {
        true => output::json(&Document::KeyRotate { epoch })?,
        false => output::line(&format!("epoch {epoch}"))?,
    }
    tracing::warn!(
        "every host needs a new writer key now, this one too: `pgark key list` shows the writers, `pgark key writer NAME --output \
         FILE` creates a key"
    );
    Ok(())
}

fn writer(context: &Context, args: KeyWriter) -> Result<(), Failure> {
    if args.output.exists() {
        return Err(Failure::usage(
            format!("{} already exists", args.output.display()),
            "name a new file; nothing was changed",
        ));
    }
    let clusters = Some(args.cluster.as_slice()).filter(|clusters| !clusters.is_empty());
    let repository = repository::open(context, &args.repository)?;
    let key = ops::writer(&repository, &args.name, clusters, &args.rights)?;
    write_secret(&args.output, "writer key", &key)?;
    if args.json {
        let file = args.output.display().to_string();
        return output::json(&Document::KeyWriter { name: &args.name, file });
    }
    output::line(&format!("the key of writer {} is in {}", args.name, args.output.display()))
}

fn revoke(context: &Context, args: KeyRevoke) -> Result<(), Failure> {
    let repository = repository::open(context, &args.repository)?;
    let Some(since) = args.compromised_since else {
        ops::revoke(&repository, &args.name)?;
        return match args.json {
            true => output::json(&Document::KeyRevoke { name: &args.name, compromised: None }),
            false => output::line(&format!("writer {} is revoked", args.name)),
        };
    };
    let revoked = ops::revoke_compromised(&repository, &args.name, since.start())?;
    if args.json {
        return output::json(&Document::KeyRevoke { name: &args.name, compromised: Some(&revoked) });
    }
    output::line(&format!(
        "writer {} is revoked, compromised since {}",
        args.name,
        when::of_report(&revoked.since)
    ))?;
    output::line(&format!("{} packs are not used by later backups", output::count(revoked.packs)))?;
    for backup in &revoked.backups {
        output::line(&format!("backup {backup} no longer counts: `pgark forget {backup}` removes it"))?;
    }
    if revoked.packs > 0 {
        tracing::info!(
            "`pgark check` names the backups that use these packs; `pgark repair index` rebuilds the index from the packs alone"
        );
    }
    Ok(())
}
