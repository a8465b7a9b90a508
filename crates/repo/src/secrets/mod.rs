//! Secrets of a repository: what each opens, and how it is kept (FORMAT.md, section "Secrets").
//!
//! `create` and `open` are the doors; `Keys` is what the rest of the repository works with. Nothing
//! outside this module sees key bytes.

mod copies;
mod header;
mod keyring;
mod keys;
mod local;
mod sealing;
pub(crate) mod slots;
mod writer_key;

use std::fmt;
use std::path::PathBuf;

use age::secrecy::SecretString;
use age::secrecy::zeroize::Zeroizing;
use pgark_store::{PutOutcome, Storage};

use crate::{RepoError, writers};
pub(crate) use copies::{check as check_copies, check_header, check_slot};
pub(crate) use header::HEADERS;
pub use header::Header;
use keyring::Keyring;
pub use keys::{Keys, WrappedKey};
pub use local::{Heads, private_folder};
pub use sealing::PackKey;
pub use slots::generate_passphrase;

/// 16 random bytes, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryId(pub [u8; 16]);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a new repository is protected.
pub enum Protection {
    /// `age` X25519 recipients (`age1…`): each of their identities opens it.
    Recipients(Vec<String>),
    /// One passphrase.
    Passphrase(SecretString),
    /// Not at all: anybody who reads the storage reads the backups. Integrity is still checked.
    None,
}

/// What opens a repository.
pub enum Unlock {
    /// The contents of an `age` identity file.
    Identity(SecretString),
    /// The passphrase.
    Passphrase(SecretString),
    /// A writer key (one line, `PGARK-WRITER-KEY-1-…`): backs up, cannot read data.
    WriterKey(SecretString),
    /// Nothing: for unencrypted repositories.
    Nothing,
}

/// Folders of this host. Without them the repository works, slower and without memory.
#[derive(Clone, Debug, Default)]
pub struct LocalFolders {
    /// For the index; safe to lose.
    pub cache: Option<PathBuf>,
    /// For fingerprints and the newest backups seen: guards against a replaced repository.
    pub state: Option<PathBuf>,
}

/// A new repository.
pub struct Initialised {
    /// Its id.
    pub id: RepositoryId,
    /// Its fingerprint, for people to compare.
    pub fingerprint: String,
    /// The writer key in its text form; none if unencrypted.
    pub writer_key: Option<SecretString>,
}

/// Creates a repository: the key slot first, the header last; the header's put is the commit. What
/// this host remembers of an older one at the same place gives way.
pub fn create(
    store: &Storage,
    protection: Protection,
    local: &LocalFolders,
) -> Result<Initialised, RepoError> {
    if header::exists(store)? {
        return Err(RepoError::AlreadyARepository { location: store.location() });
    }
    let keyring = match &protection {
        Protection::None => None,
        _ => Some(Keyring::generate()?),
    };
    let data_public =
        keyring.as_ref().map(|keyring| keyring.current().map(|epoch| epoch.data_public)).transpose()?;
    let header = Header::new(keyring.is_some(), data_public)?;
    let keys = match keyring {
        None => Keys::plain(&header),
        Some(keyring) => Keys::of(&header, keyring)?,
    };
    let writer_key = if keys.encrypted { Some(writers::begin(store, &keys, &protection)?) } else { None };
    if header.put(store)? == PutOutcome::AlreadyExists {
        return Err(RepoError::AlreadyARepository { location: store.location() });
    }
    local::remember_new(local, &store.place(), &header);
    Ok(Initialised { id: header.id, fingerprint: header.fingerprint(), writer_key })
}

/// Opens a repository with what is given, and compares it with what this host remembers. Where the
/// header does not pass, its copy is tried.
pub(crate) fn open(
    store: &Storage,
    first: &Header,
    unlock: &Unlock,
    local: &LocalFolders,
) -> Result<Keys, RepoError> {
    let error = match open_by(store, unlock, local, first) {
        Err(error @ (RepoError::FingerprintChanged { .. } | RepoError::Damaged { .. })) => error,
        other => return other,
    };
    match Header::copy(store)? {
        Some(copy) if copy.hash() != first.hash() => {
            let keys = open_by(store, unlock, local, &copy).map_err(|_| error)?;
            tracing::warn!("{} is damaged or was replaced; its copy is used", header::NAME);
            Ok(keys)
        }
        _ => Err(error),
    }
}

fn open_by(
    store: &Storage,
    unlock: &Unlock,
    local: &LocalFolders,
    header: &Header,
) -> Result<Keys, RepoError> {
    local::compare(local, store, header)?;
    let keys = match (header.encrypted, unlock) {
        (false, Unlock::Nothing) => Keys::plain(header),
        (false, _) => return Err(RepoError::SecretForPlainRepository),
        (true, Unlock::Nothing) => return Err(RepoError::NeedsKey),
        (true, Unlock::WriterKey(text)) => Keys::of(header, writer_key::from_text(header, text)?)?,
        (true, unlock) => Keys::of(header, newest(header, &slots::open(store, unlock)?)?)?,
    };
    local::remember(local, &store.place(), header)?;
    Ok(keys)
}

/// Of the keyrings that a secret opens, the one with the most epochs: a rotation that broke off
/// leaves two. One that is not of this header, or whose keys do not belong together, was put there
/// by somebody else.
fn newest(header: &Header, opened: &[Zeroizing<Vec<u8>>]) -> Result<Keyring, RepoError> {
    let mut found: Option<Keyring> = None;
    let mut wrong = None;
    for bytes in opened {
        let keyring = match Keyring::from_bytes(bytes) {
            Ok((keyring, bound_to))
                if bound_to == header.hash() && keyring.is_sound(header.data_public)? =>
            {
                keyring
            }
            Ok(_) => {
                wrong.get_or_insert(RepoError::Damaged {
                    object: header::NAME.into(),
                    what: "it is not the header that the key slot was made for".into(),
                });
                continue;
            }
            Err(error) => {
                wrong.get_or_insert(error);
                continue;
            }
        };
        if found.as_ref().is_none_or(|known| known.epochs.len() < keyring.epochs.len()) {
            found = Some(keyring);
        }
    }
    match (found, wrong) {
        (Some(keyring), None) => Ok(keyring),
        (Some(keyring), Some(error)) => {
            tracing::warn!("a key slot is passed over, it is not this repository's: {error}");
            Ok(keyring)
        }
        (None, error) => Err(error.unwrap_or(RepoError::WrongKey)),
    }
}
