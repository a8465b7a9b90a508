//! Are the header and the key slots, and the second copy of each, still what was put there?

use std::collections::{BTreeMap, BTreeSet};

use pgark_store::{Store, StoreError};

use super::header::{self, Header, hex};
use super::{Keys, slots};
use crate::RepoError;

/// What is wrong with header and slots: object and words. `on_object` is told the size of each one that was read.
///
/// A slot's name holds the hash of its bytes, so that a changed one shows without the key that opens it. A slot that is gone
/// with its copy does not show: nothing says how many there were.
pub(crate) fn check(
    store: &dyn Store,
    keys: &Keys,
    on_object: &mut dyn FnMut(u64) -> Result<(), RepoError>,
) -> Result<Vec<(String, String)>, RepoError> {
    let mut problems = Vec::new();
    for name in [header::NAME, header::COPY] {
        let wrong = match get(store, name)? {
            None => Some("it is missing".to_string()),
            Some(bytes) => {
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
    let mut present: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for folder in [slots::FOLDER, slots::COPIES] {
        for meta in store.list(folder)? {
            let slot = meta.name.trim_start_matches(folder).to_string();
            let Some(hash) = slot.strip_prefix("1-").and_then(|rest| rest.strip_suffix(".age")) else {
                problems.push((meta.name, "it is no key slot".into()));
                continue;
            };
            on_object(meta.size)?;
            // The list may be older than the removal of a slot.
            let Some(bytes) = get(store, &meta.name)? else { continue };
            if hex(&blake3::hash(&bytes).as_bytes()[..8]) != hash {
                problems.push((meta.name, "its bytes do not have the hash that is its name".into()));
            }
            present.entry(folder).or_default().insert(slot);
        }
    }
    let slots_of = |folder: &str| present.get(folder).cloned().unwrap_or_default();
    for (folder, other) in [(slots::FOLDER, slots::COPIES), (slots::COPIES, slots::FOLDER)] {
        for slot in slots_of(other).difference(&slots_of(folder)) {
            problems.push((format!("{folder}{slot}"), "it is missing".into()));
        }
    }
    if keys.encrypted && present.is_empty() {
        problems.push((
            slots::FOLDER.into(),
            "there is no key slot: only a writer key opens this repository".into(),
        ));
    }
    Ok(problems)
}

fn get(store: &dyn Store, name: &str) -> Result<Option<Vec<u8>>, RepoError> {
    match store.get(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
