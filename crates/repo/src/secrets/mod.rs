//! Secrets of a repository: what each opens, and how it is kept (FORMAT.md, section "Secrets").
//!
//! `begin`, `commit` and `open` are the doors; `Keys` is what the rest of the repository works
//! with. Nothing outside this module sees key bytes.

mod copies;
mod header;
mod keyring;
mod keys;
mod local;
mod sealing;
mod signing;
pub(crate) mod slots;
mod unlock;
mod writer_key;

use age::secrecy::zeroize::Zeroizing;
use pgark_store::{PutOutcome, Storage};

use crate::RepoError;
pub(crate) use copies::{check as check_copies, check_header, check_slot};
pub(crate) use header::HEADERS;
pub use header::Header;
use keyring::Keyring;
pub use keys::{Keys, WrappedKey};
pub(crate) use local::write_whole;
pub use local::{Heads, LocalFolders, private_folder};
pub use sealing::PackKey;
pub use slots::generate_passphrase;
pub use unlock::{Protection, Unlock};

/// Header and keys of a repository that is to be made; nothing is put yet.
pub(crate) fn begin(store: &Storage, protection: &Protection) -> Result<(Header, Keys), RepoError> {
    if header::exists(store)? {
        return Err(RepoError::AlreadyARepository { location: store.location() });
    }
    let keyring = match protection {
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
    Ok((header, keys))
}

/// Puts the header, which is the commit of a new repository. What this host remembers of an older
/// one at the same place gives way.
pub(crate) fn commit(store: &Storage, header: &Header, local: &LocalFolders) -> Result<(), RepoError> {
    if header.put(store)? == PutOutcome::AlreadyExists {
        return Err(RepoError::AlreadyARepository { location: store.location() });
    }
    local::remember_new(local, store, header);
    Ok(())
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
            store.warn(&format!("{} is damaged or was replaced; its copy is used", header::NAME));
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
        (true, unlock) => Keys::of(header, newest(header, &slots::open(store, unlock)?, store)?)?,
    };
    local::remember(local, store, header);
    Ok(keys)
}

/// Of the keyrings that a secret opens, the one with the most epochs: a rotation that broke off
/// leaves two. One that is not of this header, or whose keys do not belong together, was put there
/// by somebody else.
fn newest(header: &Header, opened: &[Zeroizing<Vec<u8>>], store: &Storage) -> Result<Keyring, RepoError> {
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
            store.warn(&format!("a key slot is passed over, it is not this repository's: {error}"));
            Ok(keyring)
        }
        (None, error) => Err(error.unwrap_or(RepoError::WrongKey)),
    }
}
