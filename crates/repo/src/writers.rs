//! Who may write: the owner's signed list of writers, and of key slots (FORMAT.md, "Writers and
//! slots").
//!
//! Every list is whole; the highest number holds. A writer that was revoked is known by what it had
//! written until then: the hashes of these manifests stand in the list, and nothing else of it
//! counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use age::secrecy::SecretString;
use jiff::Timestamp;
use minicbor::{Decode, Encode};
use pgark_store::{PutOutcome, Storage};

use crate::at_once::both;
use crate::ids::ObjectHash;
use crate::object::{Kind, damaged};
use crate::repository::Repository;
use crate::secrets::{Keys, Protection, slots};
use crate::writer::lock;
use crate::{RepoError, codec, manifest, names, signed};

const FOLDER: &str = "writers/";
const COPIES: &str = "copies/writers/";
/// The writer key that `init` leaves on its host.
const FIRST: &str = "first";

#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Body {
    #[n(0)]
    number: u64,
    /// Microseconds since 1970.
    #[n(1)]
    time: i64,
    #[n(2)]
    writers: Vec<Writer>,
    #[n(3)]
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
struct Writer {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    public: Vec<u8>,
    #[n(1)]
    name: String,
    /// The only cluster that it may write; none: any.
    #[n(2)]
    cluster: Option<String>,
    /// Since when it may write no more.
    #[n(3)]
    revoked: Option<i64>,
    /// Manifests that count all the same.
    #[n(4)]
    accepted: Vec<ObjectHash>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
struct Slot {
    /// Below `keys/`.
    #[n(0)]
    name: String,
    /// The age recipient; none: a passphrase.
    #[n(1)]
    recipient: Option<String>,
}

/// The list that holds.
#[derive(Default)]
pub(crate) struct Writers {
    body: Body,
}

/// A writer as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterInfo {
    /// Its name.
    pub name: String,
    /// Its public key, the first 16 hex digits.
    pub key: String,
    /// The only cluster that it may write.
    pub cluster: Option<String>,
    /// Since when it may write no more.
    pub revoked: Option<Timestamp>,
}

/// A key slot as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its id: 16 hex digits.
    pub id: String,
    /// The age recipient; none: a passphrase.
    pub recipient: Option<String>,
}

/// Everything that opens a repository, or writes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    /// The newest epoch.
    pub epoch: u32,
    /// Key slots.
    pub slots: Vec<SlotInfo>,
    /// Writers, revoked ones too.
    pub writers: Vec<WriterInfo>,
}

fn id_of(slot: &str) -> String {
    slot.trim_start_matches("1-").trim_end_matches(".age").to_string()
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
    parse_below(FOLDER, name).or_else(|| parse_below(COPIES, name))
}

/// The number in a list's name.
pub(crate) fn parse_below(folder: &str, name: &str) -> Option<u64> {
    names::number(name.strip_prefix(folder)?, 8)
}

/// One copy of a list, verified.
fn read_one(store: &Storage, keys: &Keys, number: u64, object: &str) -> Result<Body, RepoError> {
    decode(keys, number, object, &crate::object::get(store, object)?)
}

/// Opens and verifies the bytes that stood under `object` as the list of this number.
pub(crate) fn decode(keys: &Keys, number: u64, object: &str, bytes: &[u8]) -> Result<Body, RepoError> {
    let opened = signed::open_any(keys, Kind::Writers, &name(number), object, bytes)?;
    if opened.signer != keys.owner_public() {
        return Err(damaged(object, "the signature: it is not the owner's"));
    }
    let body: Body = codec::decode(&opened.body).map_err(|what| damaged(object, what))?;
    if body.number == number { Ok(body) } else { Err(damaged(object, "its name and its content differ")) }
}

impl Writers {
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
                            tracing::warn!("the list of writers is taken from {object}: {error}");
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
    let bytes = signed::seal_with(keys, Kind::Writers, &name(1), codec::encode(&body))?;
    store.put_if_absent(&name(1), bytes.clone().into())?;
    store.put_if_absent(&copy_name(1), bytes.into())?;
    Ok(key)
}

/// One slot for each recipient, so that each can be taken away.
fn put_slots(store: &Storage, keys: &Keys, protection: &Protection) -> Result<Vec<Slot>, RepoError> {
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

impl Repository {
    /// Whether a signer may sign: anything (`about` none), or a manifest of this cluster and hash.
    pub(crate) fn judge(&self, signer: &[u8], about: Option<(&str, &ObjectHash)>) -> Result<(), String> {
        if !self.keys.encrypted || signer == self.keys.owner_public() {
            return Ok(());
        }
        let mut list = Arc::clone(&lock(&self.known.writers));
        if !list.body.writers.iter().any(|writer| writer.public == signer)
            && let Ok(newer) = Writers::read(&self.store, &self.keys)
        {
            // Perhaps it was added since this repository was opened.
            list = Arc::new(newer);
            *lock(&self.known.writers) = Arc::clone(&list);
        }
        let Some(writer) = list.body.writers.iter().find(|writer| writer.public == signer) else {
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

    /// Reads the list that holds now.
    pub(crate) fn read_writers(&self) -> Result<(), RepoError> {
        *lock(&self.known.writers) = Arc::new(Writers::read(&self.store, &self.keys)?);
        Ok(())
    }

    /// Why this key may not write this cluster.
    pub(crate) fn refuse_stranger(&self, cluster: &str) -> Result<(), RepoError> {
        let nothing = ObjectHash::of(b"");
        self.read_writers()?;
        self.judge(&self.keys.writer_public(), Some((cluster, &nothing)))
            .map_err(|what| RepoError::Keys { what: format!("this key may not write here: {what}") })
    }

    /// Slots and writers.
    pub fn key_list(&self) -> Result<KeyList, RepoError> {
        let list = Writers::read(&self.store, &self.keys)?;
        let time = |time: i64| Timestamp::from_microsecond(time).unwrap_or(Timestamp::UNIX_EPOCH);
        let hex = |bytes: &[u8]| crate::ids::hex(bytes.get(..8).unwrap_or_default());
        Ok(KeyList {
            epoch: self.keys.epoch,
            slots: list
                .body
                .slots
                .iter()
                .map(|slot| SlotInfo { id: id_of(&slot.name), recipient: slot.recipient.clone() })
                .collect(),
            writers: list
                .body
                .writers
                .iter()
                .map(|writer| WriterInfo {
                    name: writer.name.clone(),
                    key: hex(&writer.public),
                    cluster: writer.cluster.clone(),
                    revoked: writer.revoked.map(time),
                })
                .collect(),
        })
    }

    /// Names of the slots that the list names, below their folder.
    pub(crate) fn listed_slots(&self) -> Vec<String> {
        lock(&self.known.writers).body.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    /// Deletes slots that the list does not name: those that were removed just now, and what a
    /// change that broke off left.
    fn remove_unlisted(&self) -> Result<(), RepoError> {
        let listed = self.listed_slots();
        for folder in [slots::FOLDER, slots::COPIES] {
            for meta in names::list(&self.store, folder)? {
                let name = meta.name.trim_start_matches(folder);
                if !listed.iter().any(|own| own == name) {
                    self.store.delete(&meta.name)?;
                }
            }
        }
        Ok(())
    }

    fn refuse_not_owner(&self) -> Result<(), RepoError> {
        if !self.keys.encrypted {
            return Err(RepoError::Keys { what: "the repository is not encrypted: it has no keys".into() });
        }
        if self.keys.is_owner() { Ok(()) } else { Err(RepoError::NeedsReaderSecret) }
    }

    /// Puts the next list; if somebody else did, his is changed in turn.
    fn change_list<T>(
        &self,
        keys: &Keys,
        mut change: impl FnMut(&mut Body) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        loop {
            let mut body = Writers::read(&self.store, keys)?.body;
            let answer = change(&mut body)?;
            body.number += 1;
            body.time = Timestamp::now().as_microsecond();
            let number = body.number;
            let object = name(number);
            let bytes = signed::seal_with(keys, Kind::Writers, &object, codec::encode(&body))?;
            let put = self.store.put_if_absent(&object, bytes.clone().into())?;
            if put == PutOutcome::Created || self.store.get(&object)? == bytes {
                self.store.put_if_absent(&copy_name(number), bytes.into())?;
                *lock(&self.known.writers) = Arc::new(Writers { body });
                return Ok(answer);
            }
        }
    }

    /// Adds key slots: whoever holds their secrets opens everything.
    pub fn add_slots(&self, protection: &Protection) -> Result<Vec<String>, RepoError> {
        self.refuse_not_owner()?;
        let slots = put_slots(&self.store, &self.keys, protection)?;
        self.change_list(&self.keys, |body| {
            body.slots.extend(slots.iter().cloned());
            Ok(slots.iter().map(|slot| id_of(&slot.name)).collect())
        })
    }

    /// Removes a slot by its id (or the beginning of it) or its recipient. Copies of the keyring
    /// that its holder made stay good: only a rotation, and at worst a copy into a new repository,
    /// helps against these.
    pub fn remove_slot(&self, which: &str) -> Result<String, RepoError> {
        self.refuse_not_owner()?;
        let gone = self.change_list(&self.keys, |body| {
            let is_it = |slot: &Slot| {
                slot.recipient.as_deref() == Some(which)
                    || (which.len() >= 4 && id_of(&slot.name).starts_with(which))
            };
            let found: Vec<usize> =
                body.slots.iter().enumerate().filter(|(_, slot)| is_it(slot)).map(|(at, _)| at).collect();
            match found.as_slice() {
                [] => Err(RepoError::Keys {
                    what: format!("no slot is {which:?}; `pgark key list` shows them"),
                }),
                [_] if body.slots.len() == 1 => Err(RepoError::Keys {
                    what: "it is the last slot: nobody could read the backups any more".into(),
                }),
                [at] => Ok(body.slots.remove(*at)),
                _ => Err(RepoError::Keys { what: format!("{which:?} is several slots") }),
            }
        })?;
        self.remove_unlisted()?;
        Ok(id_of(&gone.name))
    }

    /// A key for a writer of this name, for one cluster or for all. A writer that had the name is
    /// revoked; what it has written stays good.
    pub fn add_writer(&self, writer: &str, cluster: Option<&str>) -> Result<SecretString, RepoError> {
        self.refuse_not_owner()?;
        let accepted = self.written_by(writer)?;
        let (key, public) = self.keys.new_writer()?;
        self.change_list(&self.keys, |body| {
            revoke(body, writer, &accepted);
            body.writers.push(Writer {
                public: public.clone(),
                name: writer.to_string(),
                cluster: cluster.map(str::to_string),
                revoked: None,
                accepted: Vec::new(),
            });
            Ok(())
        })?;
        Ok(key)
    }

    /// From now on nothing of this writer counts but what it has written already.
    pub fn revoke_writer(&self, writer: &str) -> Result<(), RepoError> {
        self.refuse_not_owner()?;
        let accepted = self.written_by(writer)?;
        self.change_list(&self.keys, |body| match revoke(body, writer, &accepted) {
            true => Ok(()),
            false => Err(RepoError::Keys {
                what: format!("no writer is called {writer:?}; `pgark key list` shows them"),
            }),
        })
    }

    /// Hashes of the manifests that the writer of this name has signed, by its keys that are not
    /// revoked.
    fn written_by(&self, writer: &str) -> Result<Vec<ObjectHash>, RepoError> {
        let list = Writers::read(&self.store, &self.keys)?;
        let publics: Vec<&Vec<u8>> = list
            .body
            .writers
            .iter()
            .filter(|own| own.name == writer && own.revoked.is_none())
            .map(|own| &own.public)
            .collect();
        let manifests = manifest::read_all(self)?.warned(self);
        let own = manifests
            .iter()
            .filter(|manifest| manifest.distrust.is_none() && publics.contains(&&manifest.signer));
        Ok(own.map(|manifest| manifest.hash).collect())
    }

    /// New keys for all that is written from now on; ids stay, so that nothing is stored anew.
    /// Slots of recipients are sealed anew, and so is the passphrase if it is given; other
    /// passphrases' slots go if `drop_passphrases` says so. Writers need new keys.
    pub fn rotate_keys(
        &self,
        passphrase: Option<SecretString>,
        drop_passphrases: bool,
    ) -> Result<u32, RepoError> {
        self.refuse_not_owner()?;
        let old = Writers::read(&self.store, &self.keys)?.body.slots;
        let passphrases = old.iter().filter(|slot| slot.recipient.is_none()).count();
        let kept = usize::from(passphrase.is_some() && passphrases > 0);
        if passphrases > kept && !drop_passphrases {
            return Err(RepoError::Keys {
                what: format!(
                    "{} slots of passphrases cannot be sealed anew without their passphrases",
                    passphrases - kept
                ),
            });
        }
        let keys = self.keys.rotated()?;
        let recipients: Vec<String> = old.iter().filter_map(|slot| slot.recipient.clone()).collect();
        let mut new = Vec::new();
        if !recipients.is_empty() {
            new.extend(put_slots(&self.store, &keys, &Protection::Recipients(recipients))?);
        }
        if let Some(passphrase) = passphrase.filter(|_| passphrases > 0) {
            new.extend(put_slots(&self.store, &keys, &Protection::Passphrase(passphrase))?);
        }
        if new.is_empty() {
            return Err(RepoError::Keys { what: "no slot would be left".into() });
        }
        // Under the new keys from here on: who has only the old ones cannot read who may write.
        self.change_list(&keys, |body| {
            body.slots.retain(|slot| !old.iter().any(|old| old.name == slot.name));
            body.slots.extend(new.iter().cloned());
            Ok(())
        })?;
        self.remove_unlisted()?;
        Ok(keys.epoch)
    }
}

fn revoke(body: &mut Body, writer: &str, accepted: &[ObjectHash]) -> bool {
    let mut found = false;
    for own in body.writers.iter_mut().filter(|own| own.name == writer && own.revoked.is_none()) {
        own.revoked = Some(Timestamp::now().as_microsecond());
        own.accepted = accepted.to_vec();
        found = true;
    }
    found
}
