//! Opens the repository that the options name, with the secret that is there.

use std::path::{Path, PathBuf};

use pgark_ops::repository::{OpenStorage, connect};
use pgark_ops::storage::StoreError;
use pgark_ops::{LocalFolders, OpsError, RepoError, Repository, SecretString, Unlock, nearest};

use crate::args::{Past, Repository as Options, Storage};
use crate::context::Context;
use crate::environment::{configuration, local_folders, variable};
use crate::error::Failure;
use crate::secrets::{ask_passphrase, first_line, passphrase_file, secret_file};
use crate::when::Moment;
use crate::{signals, storage};

/// Variables that open a repository.
const SECRETS: [&str; 2] = ["PGARK_IDENTITY", "PGARK_PASSPHRASE"];

/// Opens it as it is now.
pub fn open(context: &Context, options: &Options) -> Result<Repository, Failure> {
    open_as_of(context, options, &Past::default())
}

/// Opens it as it was.
pub fn open_as_of(context: &Context, options: &Options, past: &Past) -> Result<Repository, Failure> {
    let resolved = first(context, options)?;
    open_with(&resolved, past, unlock).map_err(|failure| explain(context, options, &resolved, failure))
}

/// Opens it, and gives the passphrase, if that is what opens it.
pub fn open_with_passphrase(
    context: &Context,
    options: &Options,
) -> Result<(Repository, Option<SecretString>), Failure> {
    let resolved = first(context, options)?;
    let mut passphrase = None;
    let opened = open_with(&resolved, &Past::default(), |options, place| {
        let unlock = unlock(options, place)?;
        if let Unlock::Passphrase(own) = &unlock {
            passphrase = Some(own.clone());
        }
        Ok(unlock)
    });
    let repository = opened.map_err(|failure| explain(context, options, &resolved, failure))?;
    Ok((repository, passphrase))
}

/// Opens the second repository of a command: what the environment says is of the first.
pub fn open_second(context: &Context, options: Options) -> Result<Repository, Failure> {
    let resolved = context.config.resolve(options.clone(), false)?;
    let opened = open_with(&resolved, &Past::default(), |options, place| match typed(options)? {
        Some(unlock) => Ok(unlock),
        None => left_on_this_host(place),
    });
    opened.map_err(|failure| explain(context, &options, &resolved, failure))
}

/// Says more of a failure where it is known which of the options, of the environment or of the file
/// is to blame.
fn explain(context: &Context, named: &Options, resolved: &Options, failure: Failure) -> Failure {
    match &failure {
        Failure::Ops(OpsError::Repository(RepoError::SecretForPlainRepository)) => {
            let (secret, way) = secret_in_use(named, resolved);
            Failure::refused(
                &format!("{secret} gives a secret, and the repository is not encrypted"),
                Some(&format!(
                    "{way}. If the repository should be encrypted, do not use it: someone may have replaced it"
                )),
            )
        }
        Failure::Ops(error) => match named.repo.as_deref().and_then(|name| mistaken(context, name, error)) {
            Some(hint) => Failure::hinted(failure, hint),
            None => failure,
        },
        Failure::Own { .. } | Failure::Hinted { .. } | Failure::Typed(_) => failure,
    }
}

/// Where the secret came from that opens a repository, and how to leave it out.
fn secret_in_use(named: &Options, resolved: &Options) -> (String, String) {
    let of = |options: &Options| {
        let given = [
            ("identity", options.identity.is_some()),
            ("passphrase-file", options.passphrase_file.is_some()),
            ("passphrase", options.passphrase),
            ("writer-key", options.writer_key.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    };
    let key = |option: &str| option.replace('-', "_");
    if let Some(option) = of(named) {
        let way = format!("leave out --{option} (in pgark.toml: {})", key(option));
        return (format!("--{option}"), way);
    }
    if let Some(option) = of(resolved) {
        let section = format!("[repositories.{}] in pgark.toml", named.repo.as_deref().unwrap_or_default());
        return (format!("{} of {section}", key(option)), format!("take {} out of {section}", key(option)));
    }
    match SECRETS.into_iter().find(|name| variable(name).is_some()) {
        Some(name) => {
            (name.to_string(), format!("it is not needed here: `env -u {name} pgark …` leaves it out"))
        }
        None => {
            ("the writer key of this host".into(), "move the file out of the configuration folder".into())
        }
    }
}

/// What to say of a place that is not there and that may have been meant as a name of the file.
fn mistaken(context: &Context, name: &str, error: &OpsError) -> Option<String> {
    let is_missing = matches!(
        error,
        OpsError::Repository(RepoError::NoRepository { .. }) | OpsError::Storage(StoreError::NotFound { .. })
    );
    if !is_missing || name.contains(['/', ':', '.']) || context.config.repositories.contains_key(name) {
        return None;
    }
    let known: Vec<&str> = context.config.repositories.keys().map(String::as_str).collect();
    let near = nearest(name, known.iter().copied()).map(|near| format!("did you mean {near:?}? "));
    let file = match (&context.config.path, known.is_empty()) {
        (None, _) => context.config.whereabouts(),
        (Some(path), true) => format!("{} has no repositories", path.display()),
        (Some(path), false) => format!("{} has the repositories {}", path.display(), known.join(", ")),
    };
    Some(format!(
        "{}{name:?} is taken for a folder here, since there is no [repositories.{name}]: {file}",
        near.unwrap_or_default()
    ))
}

/// The options with what the file says of the repository that they name.
fn first(context: &Context, options: &Options) -> Result<Options, Failure> {
    let in_environment = SECRETS.iter().any(|name| variable(name).is_some());
    if options.repo.is_none() {
        return Err(unnamed(context));
    }
    context.config.resolve(options.clone(), in_environment)
}

/// Where the repository is that the options name, in the words that open it; nothing is opened.
pub fn named(context: &Context, options: &Options) -> Result<String, Failure> {
    Ok(first(context, options)?.repo.unwrap_or_default())
}

/// The options, with what the file says of the repository that they name; nothing is opened.
pub fn resolved(context: &Context, options: &Options) -> Result<Options, Failure> {
    first(context, options)
}

/// No repository is named anywhere.
fn unnamed(context: &Context) -> Failure {
    let known: Vec<&str> = context.config.repositories.keys().map(String::as_str).collect();
    let hint = match (&context.config.path, known.is_empty()) {
        (Some(path), false) => format!(
            "{} has several, {}: name one with --repo, or say which one it is outside of the sections: repository = {:?}",
            path.display(),
            known.join(", "),
            known.first().copied().unwrap_or_default()
        ),
        (Some(path), true) => {
            format!(
                "give --repo URL, set PGARK_REPO, or write `repository = \"URL\"` into {}",
                path.display()
            )
        }
        (None, _) => format!(
            "give --repo URL, set PGARK_REPO, or write `repository = \"URL\"` into pgark.toml: {}",
            context.config.whereabouts()
        ),
    };
    Failure::usage("no repository is named", &hint)
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
    let url = options.repo.clone().unwrap_or_default();
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
    reach(&url, &storage, None, false).map_err(|failure| match &failure {
        Failure::Ops(error) => match mistaken(context, named, error) {
            Some(hint) => Failure::hinted(failure, hint),
            None => failure,
        },
        _ => failure,
    })
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

/// What the options name.
fn typed(options: &Options) -> Result<Option<Unlock>, Failure> {
    if let Some(path) = &options.identity {
        return Ok(Some(Unlock::Identity(secret_file("identity file", path)?)));
    }
    if let Some(path) = &options.passphrase_file {
        return Ok(Some(Unlock::Passphrase(passphrase_file(path)?)));
    }
    if options.passphrase {
        let of = options.repo.as_deref().unwrap_or_default();
        return Ok(Some(Unlock::Passphrase(ask_passphrase(&format!("of {of}"))?)));
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
