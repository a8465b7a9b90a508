//! The `restore_command` of a restored server: this program, with the repository and the secret
//! that it was called with. It is written into a file of the server, so it names files and never a
//! secret itself.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pgark_ops::physical::restore::FetchCommand;

use crate::args::Repository as Options;
use crate::context::Context;
use crate::environment::variable;
use crate::error::Failure;
use crate::repository;

/// The command, up to what the restore finds out.
///
/// # Errors
/// What opens the repository was typed, or is in the environment: the server has neither.
pub fn fetch_command(
    context: &Context,
    options: &Options,
    given: Option<&String>,
) -> Result<FetchCommand, Failure> {
    if let Some(given) = given {
        return Ok(FetchCommand::Given(given.clone()));
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::refused(&format!("find the program itself: {error}"), None))?;
    let resolved = repository::resolved(context, options)?;
    let mut words = vec!["--repo".into(), place(&resolved.repo.clone().unwrap_or_default())];
    for (key, value) in &resolved.storage.storage_option {
        words.extend(["--storage-option".into(), format!("{key}={value}")]);
    }
    if let Some(rate) = resolved.storage.limit_download {
        words.extend(["--limit-download".into(), rate.to_string()]);
    }
    if resolved.no_cache {
        words.push("--no-cache".into());
    }
    if let Some((option, file)) = secret(&resolved)? {
        warn_if_only_root_reads(&file);
        words.extend([option.into(), whole(&file)]);
    }
    let program = program.display().to_string();
    Ok(FetchCommand::Own {
        program,
        options: words,
        cluster: "--cluster",
        up_to: "--up-to",
        with_partial: "--with-partial",
    })
}

/// The option and the file that open the repository; None: nothing does, it is not encrypted.
fn secret(resolved: &Options) -> Result<Option<(&'static str, PathBuf)>, Failure> {
    let no_file = |what: &str| {
        Failure::usage(
            format!("the restored server could not open the repository: {what}"),
            "name a file with --identity or --passphrase-file, or give the whole --restore-command",
        )
    };
    if let Some(path) = &resolved.identity {
        return Ok(Some(("--identity", path.clone())));
    }
    if let Some(path) = &resolved.passphrase_file {
        return Ok(Some(("--passphrase-file", path.clone())));
    }
    if resolved.passphrase {
        return Err(no_file("the passphrase is typed"));
    }
    if resolved.writer_key.is_some() {
        // The restore itself says that this key reads no data.
        return Ok(None);
    }
    match (variable("PGARK_IDENTITY"), variable("PGARK_PASSPHRASE")) {
        (Some(path), _) => Ok(Some(("--identity", path.into()))),
        (None, Some(_)) => {
            Err(no_file("the passphrase is in PGARK_PASSPHRASE, which the server does not have"))
        }
        (None, None) => Ok(None),
    }
}

/// PostgreSQL does not run as root: its server could not open the repository.
fn warn_if_only_root_reads(file: &Path) {
    let is_roots = std::fs::metadata(file).is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o077 == 0);
    if is_roots {
        tracing::warn!(
            "only root can read {}: the user of the restored server must be able to, or its recovery stops",
            file.display()
        );
    }
}

/// A folder by its whole path; anything else as it is.
fn place(url: &str) -> String {
    match url.contains("://") {
        true => url.to_string(),
        false => whole(Path::new(url)),
    }
}

fn whole(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
