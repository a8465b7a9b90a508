//! Secrets of a repository: what each opens, and how it is kept (FORMAT.md, section "Secrets").
//!
//! `begin`, `commit` and `open` are the doors; `Keys` is what the rest of the repository works
//! with. Nothing outside this module sees key bytes.

mod asker;
mod copies;
mod header;
mod keyring;
mod keys;
mod local;
mod plugin;
pub(crate) mod recipients;
mod sealing;
mod signing;
pub(crate) mod slots;
mod ssh;
mod unlock;
mod writer_key;

use std::collections::HashSet;

use age::secrecy::zeroize::Zeroizing;
use pgark_store::{PutOutcome, Storage};

use crate::RepoError;
use crate::ids::RepositoryId;
pub use asker::{Asker, asker_is};
pub(crate) use copies::{check as check_copies, check_header, check_slot};
pub(crate) use header::HEADERS;
pub use header::{Header, format_name};
use keyring::Keyring;
pub(crate) use keys::{CompartmentKeys, Room};
pub use keys::{Keys, WrappedKey};
pub use local::{Heads, LocalFolders, private_folder};
pub(crate) use local::{KnownList, remembered, replace, write_whole};
pub use sealing::PackKey;
pub use slots::generate_passphrase;
pub use unlock::{Protection, Unlock};

/// Header and keys of a repository that is to be made; nothing is put yet. `shared`: groups of
/// clusters that are to share keys.
pub(crate) fn begin(
    store: &Storage,
    protection: &Protection,
    shared: &[Vec<String>],
) -> Result<(Header, Keys), RepoError> {
    if header::exists(store)? {
        return Err(RepoError::AlreadyARepository { location: store.location() });
    }
    let mut id = [0; 16];
    sealing::random(&mut id)?;
    let id = RepositoryId(id);
    let keyring = match protection {
        Protection::None => None,
        _ => Some(Keyring::generate()?),
    };
    let roots =
        keyring.as_ref().and_then(|keyring| keyring.roots.clone()).unwrap_or_else(|| keys::plain_roots(id));
    let hashes = |group: &Vec<String>| group.iter().map(|name| keys::cluster_hash(&roots, name)).collect();
    let shared: Vec<Vec<[u8; 16]>> = shared.iter().map(hashes).collect();
    let public = match &keyring {
        Some(keyring) => Some((keyring.current()?.data_public, keyring.owner_public)),
        None => None,
    };
    let header = Header::new(id, public, &shared)?;
    let keys = match keyring {
        None => Keys::plain(&header),
        Some(keyring) => Keys::of(&header, keyring)?,
    };
    Ok((header, keys))
}

/// Puts the header, which is the commit of a new repository. What this host remembers of an older
/// one at the same place gives way; its fingerprint is the answer.
pub(crate) fn commit(
    store: &Storage,
    header: &Header,
    local: &LocalFolders,
) -> Result<Option<String>, RepoError> {
    if header.put(store)? == PutOutcome::AlreadyExists {
        return Err(RepoError::AlreadyARepository { location: store.location() });
    }
    Ok(local::remember_new(local, store, header))
}

/// What a secret opens a repository with, and compares it with what this host remembers. Where the
/// header does not pass, its copy is tried.
///
/// Several keyrings can be in slots that one secret opens: a rotation that broke off leaves two,
/// and who knows a recipient can seal one of his own making. The owner's lists say which one
/// applies.
pub(crate) fn open(
    store: &Storage,
    first: &Header,
    unlock: &Unlock,
    local: &LocalFolders,
) -> Result<Vec<Keys>, RepoError> {
    let error = match open_by(store, unlock, local, first) {
        Err(error @ (RepoError::FingerprintChanged { .. } | RepoError::Damaged { .. })) => error,
        other => return other,
    };
    match Header::copy(store)? {
        Some(copy) if copy.hash() != first.hash() => {
            let keys = open_by(store, unlock, local, &copy).map_err(|_| error)?;
            store.warn(&format!("{} is damaged or was replaced; using its copy", header::NAME));
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
) -> Result<Vec<Keys>, RepoError> {
    local::compare(local, store, header)?;
    let keys = match (header.encrypted, unlock) {
        (false, Unlock::Nothing) => vec![Keys::plain(header)],
        (false, _) => return Err(RepoError::SecretForPlainRepository),
        (true, Unlock::Nothing) => return Err(RepoError::NeedsKey),
        (true, Unlock::WriterKey(text)) => vec![Keys::of(header, writer_key::from_text(header, text)?)?],
        (true, unlock) => {
            let sound = sound(header, &slots::open(store, unlock)?, store)?;
            sound.into_iter().map(|keyring| Keys::of(header, keyring)).collect::<Result<_, _>>()?
        }
    };
    local::remember(local, store, header);
    Ok(keys)
}

/// Of the keyrings that a secret opens, each once, the one with the most epochs first. One that is
/// not of this header, or whose keys do not belong together, was put there by someone else.
fn sound(header: &Header, opened: &[Zeroizing<Vec<u8>>], store: &Storage) -> Result<Vec<Keyring>, RepoError> {
    let mut found: Vec<Keyring> = Vec::new();
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut wrong = None;
    for bytes in opened.iter().filter(|bytes| seen.insert(bytes.as_slice())) {
        match Keyring::from_bytes(bytes) {
            Ok((keyring, bound_to))
                if bound_to == header.hash() && keyring.is_sound(header.data_public)? =>
            {
                found.push(keyring);
            }
            Ok(_) => {
                wrong.get_or_insert(RepoError::Damaged {
                    object: header::NAME.into(),
                    what: "it is not the header that the key slot was made for".into(),
                });
            }
            Err(error) => {
                wrong.get_or_insert(error);
            }
        }
    }
    match (found.is_empty(), wrong) {
        (true, error) => return Err(error.unwrap_or(RepoError::WrongKey)),
        (false, Some(error)) => {
            store.warn(&format!("a key slot is ignored, it does not belong to this repository: {error}"));
        }
        (false, None) => {}
    }
    found.sort_by_key(|keyring| std::cmp::Reverse(keyring.epochs.len()));
    Ok(found)
}
