//! `pgark init`.

use std::process::ExitCode;

use pgark_ops::{Protection, repository as ops};

use crate::args::{Common, Init};
use crate::error::Failure;
use crate::{output, repository};

/// Creates a repository, prints its id and fingerprint, and leaves the writer key on this host.
pub fn run(_: &Common, args: Init) -> Result<ExitCode, Failure> {
    let protection = match (&args.passphrase_file, args.no_encryption) {
        (Some(file), _) => Protection::Passphrase(repository::passphrase_file(file)?),
        (None, true) => Protection::None,
        (None, false) => Protection::Recipients(args.recipient),
    };
    let made = ops::init(&args.repo, protection)?;
    output::line(&format!("repository {}", made.id))?;
    output::line(&format!("fingerprint {}", made.fingerprint))?;
    let Some(key) = made.writer_key else {
        tracing::warn!("this repository is not encrypted: whoever reads {} reads the backups", args.repo);
        return Ok(ExitCode::SUCCESS);
    };
    match repository::writer_key_file(&made.id.to_string()) {
        Some(path) => {
            repository::keep_writer_key(&path, &key)?;
            tracing::info!(
                "the writer key of this host is in {}: backups need no other secret",
                path.display()
            );
        }
        None => tracing::warn!("there is no configuration folder on this host: no writer key was left"),
    }
    tracing::info!("keep the identity or passphrase in a safe place: without it nothing can be restored");
    Ok(ExitCode::SUCCESS)
}
