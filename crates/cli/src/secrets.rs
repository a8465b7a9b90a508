//! Files with secrets: read with care, written for their owner alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use pgark_ops::{ExposeSecret, SecretString};

use crate::error::Failure;
use crate::recipients::is_secret;
use crate::{signals, terminal, tilde};

/// A secret file larger than this is a mistake.
const LARGEST_SECRET: u64 = 1 << 20;

/// The first line of a file.
pub fn passphrase_file(path: &Path) -> Result<SecretString, Failure> {
    secret_line("passphrase file", path)
}

/// Asks for a passphrase on the terminal. `of`: whose it is.
pub fn ask_passphrase(of: &str) -> Result<SecretString, Failure> {
    if !terminal::is_there() {
        return Err(Failure::usage(
            "a passphrase is to be asked for on the terminal, and there is none",
            "give --passphrase-file FILE, or set PGARK_PASSPHRASE",
        ));
    }
    // A signal must find the terminal showing again what is typed.
    signals::cancel_on_signal()?;
    let answer = SecretString::from(terminal::ask(&format!("Passphrase {of}:"), true)?);
    let line = first_line(answer.expose_secret());
    if line.is_empty() {
        return Err(Failure::usage("no passphrase was typed", "nothing was changed"));
    }
    Ok(SecretString::from(line.to_string()))
}

/// Asks twice for a new passphrase: what was typed wrong once would open nothing.
pub fn ask_new_passphrase(of: &str) -> Result<SecretString, Failure> {
    let first = ask_passphrase(of)?;
    let again = ask_passphrase("again, to be sure")?;
    match first.expose_secret() == again.expose_secret() {
        true => Ok(first),
        false => Err(Failure::usage("the two passphrases differ", "nothing was made; try again")),
    }
}

/// The first line of a file with a secret.
pub fn secret_line(what: &str, path: &Path) -> Result<SecretString, Failure> {
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

/// The first line, without what editors of other systems put around it: a byte order mark, a
/// carriage return.
pub fn first_line(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').split(['\n', '\r']).next().unwrap_or_default()
}

/// A file with a secret, whole.
pub fn secret_file(what: &str, path: &Path) -> Result<SecretString, Failure> {
    tilde::refuse(what, path.as_os_str())?;
    refuse_key_as_path(what, path)?;
    let doing = || format!("read the {what} {}", path.display());
    let length = fs::metadata(path).map_err(|source| Failure::input(doing(), source))?.len();
    if length > LARGEST_SECRET {
        return Err(Failure::usage(
            format!("the {what} {} has {length} bytes", path.display()),
            "name another file",
        ));
    }
    let mut text = fs::read_to_string(path).map_err(|source| Failure::input(doing(), source))?;
    if text.starts_with('\u{feff}') {
        text = text.trim_start_matches('\u{feff}').to_string();
    }
    Ok(SecretString::from(text))
}

/// A key that was typed where its file belongs.
fn refuse_key_as_path(what: &str, path: &Path) -> Result<(), Failure> {
    let text = path.to_string_lossy();
    if is_secret(&text) || text.trim().to_ascii_uppercase().starts_with("PGARK-WRITER-KEY-") {
        return Err(Failure::usage(
            format!("the {what} is the name of a file, and a secret key was given"),
            "write the key into a file that only you can read (mode 0600), and name that. What was typed may be in the shell's \
             history: a new key is safer",
        ));
    }
    if text.starts_with("age1") && !path.exists() {
        return Err(Failure::usage(
            format!("the {what} is the name of a file, and {text} is a public key (a recipient)"),
            "name the file that holds the secret key: the one that `age-keygen -o FILE` wrote",
        ));
    }
    Ok(())
}

/// Writes a secret to a new file, readable by its owner alone.
pub fn write_secret(path: &Path, what: &str, secret: &SecretString) -> Result<(), Failure> {
    let line = SecretString::from(format!("{}\n", secret.expose_secret()));
    new_private_file(path, line.expose_secret(), || format!("write the {what} to {}", path.display()))
}

/// Writes a new file that its owner alone can read. `doing`: what fails if it cannot be written.
pub fn new_private_file(path: &Path, text: &str, doing: impl Fn() -> String) -> Result<(), Failure> {
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
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| Failure::file(doing(), source))
}
