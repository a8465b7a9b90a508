//! A repository that is named by its section of the file: where it is, what opens it, how its
//! storage is reached. What is typed wins.

use clap::{Args as _, Command, FromArgMatches};

use super::file::{Config, Section};
use super::keys::URL;
use crate::args::{Repository, Storage};
use crate::error::Failure;

impl Config {
    /// What was typed, over the section that the repository is named by. `has_secret`: something
    /// else opens it, so that the section's secret is not asked for.
    pub fn resolve(&self, typed: Repository, has_secret: bool) -> Result<Repository, Failure> {
        let Some(section) = typed.repo.as_ref().and_then(|name| self.repositories.get(name)) else {
            return Ok(typed);
        };
        let Repository { repo, identity, passphrase_file, passphrase, writer_key, no_cache, storage } =
            of_section(section)?;
        let is_typed = typed.identity.is_some()
            || typed.passphrase_file.is_some()
            || typed.passphrase
            || typed.writer_key.is_some();
        let or_typed = |typed, own| if is_typed || has_secret { typed } else { own };
        Ok(Repository {
            repo,
            identity: or_typed(typed.identity, identity),
            passphrase_file: or_typed(typed.passphrase_file, passphrase_file),
            passphrase: if is_typed || has_secret { typed.passphrase } else { passphrase },
            writer_key: or_typed(typed.writer_key, writer_key),
            no_cache: typed.no_cache || no_cache,
            storage: over(typed.storage, storage),
        })
    }

    /// A storage that is named by a repository's section: its URL, and how it is reached.
    pub fn storage(&self, named: &str, typed: Storage) -> Result<(String, Storage), Failure> {
        let typed = Repository { repo: Some(named.into()), storage: typed, ..Repository::default() };
        let found = self.resolve(typed, true)?;
        Ok((found.repo.unwrap_or_default(), found.storage))
    }
}

fn over(typed: Storage, of_file: Storage) -> Storage {
    let Storage { mut storage_option, limit_upload, limit_download } = of_file;
    // Of two with one key the later counts.
    storage_option.extend(typed.storage_option);
    Storage {
        storage_option,
        limit_upload: typed.limit_upload.or(limit_upload),
        limit_download: typed.limit_download.or(limit_download),
    }
}

/// A section as if it had been typed.
fn of_section(section: &Section) -> Result<Repository, Failure> {
    let mut words = Vec::new();
    for (name, setting) in section {
        match &setting.key.option {
            Some(_) if name == URL => words.push(format!("--repo={}", setting.value).into()),
            Some((_, long)) => words.extend(setting.value.as_arguments(long, false)),
            None if setting.value.to_string().is_empty() => {}
            None => words.push(format!("--storage-option={name}={}", setting.value).into()),
        }
    }
    let command = Repository::augment_args(Command::new("repositories")).no_binary_name(true);
    let found =
        command.try_get_matches_from(words).and_then(|matches| Repository::from_arg_matches(&matches));
    // Each value was checked when the file was read.
    found.map_err(|error| Failure::usage(error.to_string(), "see [repositories.NAME] in pgark.toml"))
}
