//! Opens the repository that the options name, with the secret that is there.

use std::path::{Path, PathBuf};

use pgark_ops::repository::{OpenStorage, connect};
use pgark_ops::{LocalFolders, Repository, SecretString, Unlock};

use crate::args::{Past, Repository as Options, Storage};
use crate::context::Context;
use crate::environment::{configuration, local_folders, variable};
use crate::error::Failure;
use crate::secrets::{first_line, passphrase_file, secret_file};
use crate::when::Moment;
use crate::{signals, storage};

/// Opens it as it is now.
pub fn open(context: &Context, options: &Options) -> Result<Repository, Failure> {
    open_as_of(context, options, &Past::default())
}

/// Opens it as it was.
pub fn open_as_of(context: &Context, options: &Options, past: &Past) -> Result<Repository, Failure> {
    let options = first(context, options)?;
    open_with(&options, past, unlock)
}

/// Opens the second repository of a command: what the environment says is of the first.
pub fn open_second(context: &Context, options: Options) -> Result<Repository, Failure> {
    let options = context.config.resolve(options, false)?;
    open_with(&options, &Past::default(), |options, place| match typed(options)? {
        Some(unlock) => Ok(unlock),
        None => left_on_this_host(place),
    })
}

/// The options with what the file says of the repository that they name.
fn first(context: &Context, options: &Options) -> Result<Options, Failure> {
    let in_environment = ["PGARK_IDENTITY", "PGARK_PASSPHRASE"].iter().any(|name| variable(name).is_some());
    context.config.resolve(options.clone(), in_environment)
}

fn open_with(
    options: &Options,
    past: &Past,
    unlock: impl FnOnce(&Options, &OpenStorage) -> Result<Unlock, Failure>,
) -> Result<Repository, Failure> {
    let place = place(options, past)?;
    let unlock = unlock(options, &place)?;
    // What this host keeps and remembers is of now.
    let local = if place.is_past() { LocalFolders::default() } else { local_folders(options.no_cache) };
    Ok(place.open(unlock, local)?)
}

/// Opens the storage.
fn place(options: &Options, past: &Past) -> Result<OpenStorage, Failure> {
    let url = options.repo.clone().ok_or_else(|| {
        Failure::usage(
            "no repository is named",
            "give --repo URL, set PGARK_REPO, or write `repository = \"URL\"` into pgark.toml",
        )
    })?;
    reach(&url, &options.storage, past.as_of.map(Moment::start), false)
}

/// Reaches a storage; `create` makes a directory or folder that is missing.
fn reach(
    url: &str,
    options: &Storage,
    as_of: Option<jiff::Timestamp>,
    create: bool,
) -> Result<OpenStorage, Failure> {
    let found = storage::resolve(url, options, as_of.map(Into::into))?;
    // A signal must end what waits for a storage, too.
    signals::cancel_on_signal()?;
    Ok(connect(found.target, found.usage, create, signals::cancel())?)
}

/// Reaches a storage that is named by a URL or by its section of pgark.toml, for something new.
pub fn new_place(context: &Context, named: &str, typed: Storage) -> Result<OpenStorage, Failure> {
    let (url, storage) = context.config.storage(named, typed)?;
    reach(&url, &storage, None, true)
}

/// Reaches the storage of a repository that is named by a URL or by its section of pgark.toml.
pub fn known_place(context: &Context, named: &str, typed: Storage) -> Result<OpenStorage, Failure> {
    let (url, storage) = context.config.storage(named, typed)?;
    reach(&url, &storage, None, false)
}

/// Options before environment; then the writer key that `init` left on this host; else nothing.
fn unlock(options: &Options, place: &OpenStorage) -> Result<Unlock, Failure> {
    if let Some(unlock) = typed(options)? {
        return Ok(unlock);
    }
    if let Some(path) = variable("PGARK_IDENTITY") {
        return Ok(Unlock::Identity(secret_file("identity file", Path::new(&path))?));
    }
    if let Some(passphrase) = variable("PGARK_PASSPHRASE") {
        let text = passphrase
            .into_string()
            .map_err(|_| Failure::usage("PGARK_PASSPHRASE is not UTF-8", "use --passphrase-file"))?;
        let line = first_line(&text);
        if line.is_empty() {
            return Err(Failure::usage(
                "the first line of PGARK_PASSPHRASE is empty",
                "write the passphrase there",
            ));
        }
        return Ok(Unlock::Passphrase(SecretString::from(line.to_string())));
    }
    left_on_this_host(place)
}

/// The passphrase, if that is what opens the repository.
pub fn passphrase(context: &Context, options: &Options) -> Result<Option<SecretString>, Failure> {
    let options = first(context, options)?;
    match unlock(&options, &place(&options, &Past::default())?)? {
        Unlock::Passphrase(passphrase) => Ok(Some(passphrase)),
        _ => Ok(None),
    }
}

/// What the options name.
fn typed(options: &Options) -> Result<Option<Unlock>, Failure> {
    if let Some(path) = &options.identity {
        return Ok(Some(Unlock::Identity(secret_file("identity file", path)?)));
    }
    if let Some(path) = &options.passphrase_file {
        return Ok(Some(Unlock::Passphrase(passphrase_file(path)?)));
    }
    if let Some(path) = &options.writer_key {
        return Ok(Some(Unlock::WriterKey(secret_file("writer key", path)?)));
    }
    Ok(None)
}

/// The writer key that `init` left here; nothing for an unencrypted repository.
fn left_on_this_host(place: &OpenStorage) -> Result<Unlock, Failure> {
    let left = writer_key_file(&place.peek_id()?).filter(|path| path.exists());
    match left {
        Some(path) => Ok(Unlock::WriterKey(secret_file("writer key", &path)?)),
        None => Ok(Unlock::Nothing),
    }
}

/// Where the writer key of a repository lies on this host.
pub fn writer_key_file(repository: &str) -> Option<PathBuf> {
    Some(configuration()?.join(repository).join("writer.key"))
}
