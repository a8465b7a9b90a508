//! Opens the repository that the options name, with the secret that is there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pgark_ops::repository::{Place, connect};
use pgark_ops::{LocalFolders, Repository, SecretString, Unlock};

use crate::args::{Repository as Options, Storage};
use crate::config::Config;
use crate::environment::{configuration, local_folders, variable};
use crate::error::Failure;
use crate::{signals, storage};

/// A secret file larger than this is a mistake.
const LARGEST_SECRET: u64 = 1 << 20;

/// Opens it.
pub fn open(options: &Options) -> Result<Repository, Failure> {
    open_with(options, unlock)
}

/// Opens the second repository of a command: what the environment says is of the first.
pub fn open_second(options: &Options) -> Result<Repository, Failure> {
    open_with(options, |options, place| match typed(options)? {
        Some(unlock) => Ok(unlock),
        None => left_on_this_host(place),
    })
}

fn open_with(
    options: &Options,
    unlock: impl FnOnce(&Options, &Place) -> Result<Unlock, Failure>,
) -> Result<Repository, Failure> {
    let place = place(options)?;
    let unlock = unlock(options, &place)?;
    // What this host keeps and remembers is of now.
    let local = if place.is_past() { LocalFolders::default() } else { local_folders(options.no_cache) };
    Ok(place.open(unlock, local)?)
}

/// Opens the storage.
fn place(options: &Options) -> Result<Place, Failure> {
    let url = options.repo.clone().ok_or_else(|| {
        Failure::usage(
            "no repository is named",
            "give --repo URL, set PGARK_REPO, or write `repository = \"URL\"` into pgark.toml",
        )
    })?;
    reach(&url, &options.storage, options.as_of, false)
}

/// Reaches a storage; `create` makes a directory or folder that is missing.
fn reach(
    url: &str,
    options: &Storage,
    as_of: Option<jiff::Timestamp>,
    create: bool,
) -> Result<Place, Failure> {
    let found = storage::resolve(url, options, as_of.map(Into::into))?;
    // A signal must end what waits for a storage, too.
    signals::cancel_on_signal()?;
    Ok(connect(found.target, found.usage, create, signals::cancel())?)
}

/// Reaches a storage that is named by a URL or by its section of pgark.toml, for something new.
pub fn new_place(named: &str, typed: Storage, config: &Config) -> Result<Place, Failure> {
    let (url, from_file) = config.storage(named);
    reach(&url, &Storage { from_file, ..typed }, None, true)
}

/// Options before environment; then the writer key that `init` left on this host; else nothing.
fn unlock(options: &Options, place: &Place) -> Result<Unlock, Failure> {
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
pub fn passphrase(options: &Options) -> Result<Option<SecretString>, Failure> {
    match unlock(options, &place(options)?)? {
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
fn left_on_this_host(place: &Place) -> Result<Unlock, Failure> {
    let left = writer_key_file(&place.peek_id()?).filter(|path| path.exists());
    match left {
        Some(path) => Ok(Unlock::WriterKey(secret_file("writer key", &path)?)),
        None => Ok(Unlock::Nothing),
    }
}

/// The first line of a file.
pub fn passphrase_file(path: &Path) -> Result<SecretString, Failure> {
    secret_line("passphrase file", path)
}

/// The first line of a file with a secret.
pub fn secret_line(what: &str, path: &Path) -> Result<SecretString, Failure> {
    use pgark_ops::ExposeSecret;
    let text = secret_file(what, path)?;
    let line = first_line(text.expose_secret()).to_string();
    if line.is_empty() {
        return Err(Failure::usage(
            format!("the first line of the {what} {} is empty", path.display()),
            "write the secret on its first line",
        ));
    }
    Ok(SecretString::from(line))
}

/// The first line, without what editors of other systems put around it: a byte order mark, a carriage return.
fn first_line(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').split(['\n', '\r']).next().unwrap_or_default()
}

fn secret_file(what: &str, path: &Path) -> Result<SecretString, Failure> {
    let doing = || format!("read the {what} {}", path.display());
    let length = fs::metadata(path).map_err(|source| Failure::file(doing(), source))?.len();
    if length > LARGEST_SECRET {
        return Err(Failure::usage(
            format!("the {what} {} has {length} bytes", path.display()),
            "name another file",
        ));
    }
    let mut text = fs::read_to_string(path).map_err(|source| Failure::file(doing(), source))?;
    if text.starts_with('\u{feff}') {
        text = text.trim_start_matches('\u{feff}').to_string();
    }
    Ok(SecretString::from(text))
}

/// Where the writer key of a repository lies on this host.
pub fn writer_key_file(repository: &str) -> Option<PathBuf> {
    Some(configuration()?.join(repository).join("writer.key"))
}

/// Writes a secret to a new file, readable by its owner alone.
pub fn write_secret(path: &Path, what: &str, secret: &SecretString) -> Result<(), Failure> {
    use pgark_ops::ExposeSecret;
    let doing = || format!("write the {what} to {}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // Those that are missing are readable by their owner alone, whatever the umask.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Failure::file(doing(), source))?;
    }
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| Failure::file(doing(), source))?;
    writeln!(file, "{}", secret.expose_secret())
        .and_then(|()| file.sync_all())
        .map_err(|source| Failure::file(doing(), source))
}
