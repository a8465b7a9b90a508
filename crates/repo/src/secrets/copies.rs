//! Are the header and the key slots, and the second copy of each, still what was put there?

use pgark_store::Store;

use super::header::{self, Header, hex};
use super::{Keys, slots};
use crate::RepoError;
use crate::object::get_if_there;

/// What is wrong with header and slots: object and words. `on_object` is told the size of each one that was read.
///
/// `listed` are the slots that the owner's list names. A slot's name holds the hash of its bytes, so that a changed one shows
/// without the key that opens it.
pub(crate) fn check(
    store: &dyn Store,
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
                match Header::parse(bytes) {
                    Ok(header) if header.fingerprint() == keys.fingerprint() => None,
                    Ok(_) => Some("it is not the header that this repository was opened with".to_string()),
                    Err(RepoError::Damaged { what, .. }) => Some(what),
                    Err(error) => Some(error.to_string()),
                }
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
                    let hash = slot.strip_prefix("1-").and_then(|rest| rest.strip_suffix(".age"));
                    let same = hash == Some(hex(&blake3::hash(&bytes).as_bytes()[..8]).as_str());
                    (!same).then(|| "its bytes do not have the hash that is its name".to_string())
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

/// An object's bytes, or what is wrong with it.
fn get(store: &dyn Store, name: &str) -> Result<Result<Vec<u8>, String>, RepoError> {
    match get_if_there(store, name) {
        Ok(Some(bytes)) => Ok(Ok(bytes)),
        Ok(None) => Ok(Err("it is missing".into())),
        Err(RepoError::Damaged { what, .. }) => Ok(Err(what)),
        Err(error) => Err(error),
    }
}
