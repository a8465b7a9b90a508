//! Who may write: the owner's signed list of writers, and of key slots (FORMAT.md, "Writers and
//! slots").
//!
//! Every list is whole; the highest number holds. A writer that was revoked is known by what it had
//! written until then: the hashes of these manifests stand in the list, and nothing else of it
//! counts. `access.rs` changes the list.

use std::collections::BTreeSet;

use age::secrecy::SecretString;
use jiff::Timestamp;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::at_once::both;
use crate::ids::ObjectHash;
use crate::object::{Kind, damaged};
use crate::secrets::{Keys, Protection, slots};
use crate::{RepoError, codec, names, signed};

const FOLDER: &str = "writers/";
const COPIES: &str = "copies/writers/";
/// The writer key that `init` leaves on its host.
const FIRST: &str = "first";

#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Body {
    #[n(0)]
    pub number: u64,
    /// Microseconds since 1970.
    #[n(1)]
    pub time: i64,
    #[n(2)]
    pub writers: Vec<Writer>,
    #[n(3)]
    pub slots: Vec<Slot>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Writer {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub public: Vec<u8>,
    #[n(1)]
    pub name: String,
    /// The only cluster that it may write; none: any.
    #[n(2)]
    pub cluster: Option<String>,
    /// Since when it may write no more.
    #[n(3)]
    pub revoked: Option<i64>,
    /// Manifests that count all the same.
    #[n(4)]
    pub accepted: Vec<ObjectHash>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Slot {
    /// Below `keys/`.
    #[n(0)]
    pub name: String,
    /// The age recipient; none: a passphrase.
    #[n(1)]
    pub recipient: Option<String>,
}

/// The list that holds.
#[derive(Default)]
pub(crate) struct Writers {
    pub body: Body,
}

pub(crate) fn name(number: u64) -> String {
    format!("{FOLDER}{number:08}")
}

pub(crate) fn copy_name(number: u64) -> String {
    format!("copies/{}", name(number))
}

/// Numbers of the lists that are there, in either copy.
fn numbers(store: &Storage) -> Result<BTreeSet<u64>, RepoError> {
    let (first, copies) = both(|| store.list(FOLDER), || store.list(COPIES));
    let (first, copies) = (first?, copies?);
    Ok(first.iter().chain(&copies).filter_map(|meta| parse(&meta.name)).collect())
}

/// The number in the name of a list or of its copy.
pub(crate) fn parse(name: &str) -> Option<u64> {
    names::writers(FOLDER, name).or_else(|| names::writers(COPIES, name))
}

/// One copy of a list, verified.
fn read_one(store: &Storage, keys: &Keys, number: u64, object: &str) -> Result<Body, RepoError> {
    decode(keys, number, object, &crate::object::get(store, object)?)
}

/// Opens and verifies the bytes that stood under `object` as the list of this number.
pub(crate) fn decode(keys: &Keys, number: u64, object: &str, bytes: &[u8]) -> Result<Body, RepoError> {
    let opened = signed::open(keys, Kind::Writers, &name(number), object, bytes)?;
    if opened.signer != keys.owner_public() {
        return Err(damaged(object, "the signature: it is not the owner's"));
    }
    let body: Body = codec::decode(&opened.body).map_err(|what| damaged(object, what))?;
    if body.number == number { Ok(body) } else { Err(damaged(object, "its name and its content differ")) }
}

impl Writers {
    /// Whether the list names a signer.
    pub(crate) fn knows(&self, signer: &[u8]) -> bool {
        self.body.writers.iter().any(|writer| writer.public == signer)
    }

    /// Whether a signer of the list may sign: anything (`about` none), or a manifest of this
    /// cluster and hash.
    pub(crate) fn judge(&self, signer: &[u8], about: Option<(&str, &ObjectHash)>) -> Result<(), String> {
        let Some(writer) = self.body.writers.iter().find(|writer| writer.public == signer) else {
            return Err("it is of a writer that this repository does not know".into());
        };
        if writer.revoked.is_some() && about.is_none_or(|(_, hash)| !writer.accepted.contains(hash)) {
            return Err(format!("the writer {} was revoked", writer.name));
        }
        match (&writer.cluster, about) {
            (Some(own), Some((cluster, _))) if own != cluster => {
                Err(format!("the writer {} may write cluster {own} only, not {cluster}", writer.name))
            }
            _ => Ok(()),
        }
    }

    /// The newest list, from either copy; an empty one in an unencrypted repository. Where both
    /// copies are damaged, the one before holds, with a warning: backups must be readable for all
    /// that. `check` tells what is damaged.
    pub(crate) fn read(store: &Storage, keys: &Keys) -> Result<Writers, RepoError> {
        if !keys.encrypted {
            return Ok(Writers::default());
        }
        let mut first = None;
        for number in numbers(store)?.into_iter().rev() {
            let mut too_new = 0;
            for object in [name(number), copy_name(number)] {
                match read_one(store, keys, number, &object) {
                    Ok(body) => {
                        if let Some(error) = first {
                            store.warn(&format!("the list of writers is taken from {object}: {error}"));
                        }
                        return Ok(Writers { body });
                    }
                    Err(error @ RepoError::Store(_)) => return Err(error),
                    // In both copies it is no flipped bit.
                    Err(error @ RepoError::KeyOfOlderEpoch { .. }) => {
                        too_new += 1;
                        if too_new == 2 {
                            return Err(error);
                        }
                        first.get_or_insert(error);
                    }
                    Err(error) => drop(first.get_or_insert(error)),
                }
            }
        }
        Err(first.unwrap_or_else(|| RepoError::Missing { object: "the list of writers (writers/)".into() }))
    }

    /// What is wrong with the lists and their copies: object and error.
    pub(crate) fn check(
        store: &Storage,
        keys: &Keys,
        on_object: &mut dyn FnMut(u64) -> Result<(), RepoError>,
    ) -> Result<Vec<(String, RepoError)>, RepoError> {
        let mut wrong = Vec::new();
        if !keys.encrypted {
            return Ok(wrong);
        }
        let numbers = numbers(store)?;
        if numbers.is_empty() {
            wrong.push((FOLDER.to_string(), RepoError::Missing { object: "writers/00000001".into() }));
        }
        for number in numbers {
            for object in [name(number), copy_name(number)] {
                on_object(store.stat(&object).map_or(0, |meta| meta.size))?;
                match read_one(store, keys, number, &object) {
                    Ok(_) => {}
                    Err(error @ RepoError::Store(_)) => return Err(error),
                    Err(error) => wrong.push((object, error)),
                }
            }
        }
        Ok(wrong)
    }
}

/// The first list of a new repository: its slots, and the writer whose key is returned.
pub(crate) fn begin(
    store: &Storage,
    keys: &Keys,
    protection: &Protection,
) -> Result<SecretString, RepoError> {
    let (key, public) = keys.new_writer()?;
    let slots = put_slots(store, keys, protection)?;
    let first = Writer { public, name: FIRST.into(), cluster: None, revoked: None, accepted: Vec::new() };
    let body = Body { number: 1, time: Timestamp::now().as_microsecond(), writers: vec![first], slots };
    let bytes = signed::seal(keys, Kind::Writers, &name(1), codec::encode(&body))?;
    store.put_if_absent(&name(1), bytes.clone().into())?;
    store.put_if_absent(&copy_name(1), bytes.into())?;
    Ok(key)
}

/// One slot for each recipient, so that each can be taken away.
pub(crate) fn put_slots(
    store: &Storage,
    keys: &Keys,
    protection: &Protection,
) -> Result<Vec<Slot>, RepoError> {
    let keyring = keys.for_slot()?;
    let mut found = Vec::new();
    let mut put = |protection: &Protection, recipient: Option<String>| {
        if let Some(name) = slots::put(store, protection, &keyring)? {
            found.push(Slot { name, recipient });
        }
        Ok::<_, RepoError>(())
    };
    match protection {
        Protection::Recipients(recipients) => {
            for recipient in recipients {
                put(&Protection::Recipients(vec![recipient.clone()]), Some(recipient.trim().to_string()))?;
            }
        }
        other => put(other, None)?,
    }
    Ok(found)
}
