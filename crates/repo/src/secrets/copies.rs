//! Are the header and the key slots, and the second copy of each, still what was put there?

use pgark_store::Storage;

use super::header::{self, Header, hex};
use super::{Keys, slots};
use crate::RepoError;
use crate::object::get_if_there;

/// What is wrong with header and slots: object and words. `on_object` is told the size of each one
/// that was read.
///
/// `listed` are the slots that the owner's list names. A slot's name holds the hash of its bytes,
/// so that a changed one shows without the key that opens it.
pub(crate) fn check(
    store: &Storage,
    keys: &Keys,
    listed: &[String],
    on_object: &mut dyn FnMut(u64) -> Result<(), RepoError>,
) -> Result<Vec<(String, String)>, RepoError> {
    let mut problems = Vec::new();
    for name in [header::NAME, header::COPY] {
        let wrong = match get(store, name)? {
            Err(what) => Some(what),
            Ok(bytes) => {
                on_object(bytes.len() as u64)?;
                said(check_header(keys, bytes))
            }
        };
        problems.extend(wrong.map(|what| (name.to_string(), what)));
    }
    // Slots that no list names are what a change of keys left that broke off.
    for slot in listed {
        for folder in [slots::FOLDER, slots::COPIES] {
            let name = format!("{folder}{slot}");
            let wrong = match get(store, &name)? {
                Err(what) => Some(what),
                Ok(bytes) => {
                    on_object(bytes.len() as u64)?;
                    said(check_slot(&name, &bytes))
                }
            };
            problems.extend(wrong.map(|what| (name, what)));
        }
    }
    if keys.encrypted && listed.is_empty() {
        problems.push((
            slots::FOLDER.into(),
            "there is no key slot: only a writer key opens this repository".into(),
        ));
    }
    Ok(problems)
}

fn said(verdict: Result<(), RepoError>) -> Option<String> {
    match verdict {
        Ok(()) => None,
        Err(RepoError::Damaged { what, .. }) => Some(what),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether bytes are the header that this repository was opened with.
pub(crate) fn check_header(keys: &Keys, bytes: Vec<u8>) -> Result<(), RepoError> {
    let what = "it is not the header that this repository was opened with";
    match Header::parse(bytes)?.fingerprint() == keys.fingerprint() {
        true => Ok(()),
        false => Err(RepoError::Damaged { object: header::NAME.into(), what: what.into() }),
    }
}

/// Whether a slot's bytes have the hash that is in its name.
pub(crate) fn check_slot(name: &str, bytes: &[u8]) -> Result<(), RepoError> {
    let file = name.rsplit('/').next().unwrap_or_default();
    let hash = file.strip_prefix("1-").and_then(|rest| rest.strip_suffix(".age"));
    match hash == Some(hex(&blake3::hash(bytes).as_bytes()[..8]).as_str()) {
        true => Ok(()),
        false => Err(RepoError::Damaged {
            object: name.into(),
            what: "its bytes do not have the hash that is its name".into(),
        }),
    }
}

/// An object's bytes, or what is wrong with it.
fn get(store: &Storage, name: &str) -> Result<Result<Vec<u8>, String>, RepoError> {
    match get_if_there(store, name) {
        Ok(Some(bytes)) => Ok(Ok(bytes)),
        Ok(None) => Ok(Err("it is missing".into())),
        Err(RepoError::Damaged { what, .. }) => Ok(Err(what)),
        Err(error) => Err(error),
    }
}
