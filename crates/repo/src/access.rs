//! Who may what, as the owner changes it: key slots, writers, the rotation of keys (FORMAT.md,
//! "Writers and slots").

use age::secrecy::SecretString;
use jiff::Timestamp;
use pgark_store::PutOutcome;

use crate::ids::ObjectHash;
use crate::object::Kind;
use crate::repository::Repository;
use crate::secrets::{Keys, Protection, slots};
use crate::writers::{self, Body, Slot, Writer, Writers};
use crate::{RepoError, codec, ids, manifest, names, signed};

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

impl Repository {
    /// Slots and writers.
    pub fn key_list(&self) -> Result<KeyList, RepoError> {
        let list = Writers::read(self.store(), self.keys())?;
        let time = |time: i64| Timestamp::from_microsecond(time).unwrap_or(Timestamp::UNIX_EPOCH);
        let hex = |bytes: &[u8]| ids::hex(bytes.get(..8).unwrap_or_default());
        Ok(KeyList {
            epoch: self.keys().epoch,
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

    /// Deletes slots that the list does not name: those that were removed just now, and what a
    /// change that broke off left.
    fn remove_unlisted(&self) -> Result<(), RepoError> {
        let listed = self.unlocked.listed_slots();
        for folder in [slots::FOLDER, slots::COPIES] {
            for meta in names::list(self.store(), folder)? {
                let name = meta.name.trim_start_matches(folder);
                if !listed.iter().any(|own| own == name) {
                    self.store().delete(&meta.name)?;
                }
            }
        }
        Ok(())
    }

    fn refuse_not_owner(&self) -> Result<(), RepoError> {
        if !self.keys().encrypted {
            return Err(RepoError::Keys { what: "the repository is not encrypted: it has no keys".into() });
        }
        if self.keys().is_owner() { Ok(()) } else { Err(RepoError::NeedsReaderSecret) }
    }

    /// Puts the next list; if somebody else did, his is changed in turn.
    fn change_list<T>(
        &self,
        keys: &Keys,
        mut change: impl FnMut(&mut Body) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        loop {
            let mut body = Writers::read(self.store(), keys)?.body;
            let answer = change(&mut body)?;
            body.number += 1;
            body.time = Timestamp::now().as_microsecond();
            let number = body.number;
            let object = writers::name(number);
            let bytes = signed::seal(keys, Kind::Writers, &object, codec::encode(&body))?;
            let put = self.store().put_if_absent(&object, bytes.clone().into())?;
            if put == PutOutcome::Created || self.store().get(&object)? == bytes {
                self.store().put_if_absent(&writers::copy_name(number), bytes.into())?;
                self.unlocked.set_writers(Writers { body });
                return Ok(answer);
            }
        }
    }

    /// Adds key slots: whoever holds their secrets opens everything.
    pub fn add_slots(&self, protection: &Protection) -> Result<Vec<String>, RepoError> {
        self.refuse_not_owner()?;
        let slots = writers::put_slots(self.store(), self.keys(), protection)?;
        self.change_list(self.keys(), |body| {
            body.slots.extend(slots.iter().cloned());
            Ok(slots.iter().map(|slot| id_of(&slot.name)).collect())
        })
    }

    /// Removes a slot by its id (or the beginning of it) or its recipient. Copies of the keyring
    /// that its holder made stay good: only a rotation, and at worst a copy into a new repository,
    /// helps against these.
    pub fn remove_slot(&self, which: &str) -> Result<String, RepoError> {
        self.refuse_not_owner()?;
        let gone = self.change_list(self.keys(), |body| {
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
        let (key, public) = self.keys().new_writer()?;
        self.change_list(self.keys(), |body| {
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
        self.change_list(self.keys(), |body| match revoke(body, writer, &accepted) {
            true => Ok(()),
            false => Err(RepoError::Keys {
                what: format!("no writer is called {writer:?}; `pgark key list` shows them"),
            }),
        })
    }

    /// Hashes of the manifests that the writer of this name has signed, by its keys that are not
    /// revoked.
    fn written_by(&self, writer: &str) -> Result<Vec<ObjectHash>, RepoError> {
        let list = Writers::read(self.store(), self.keys())?;
        let publics: Vec<&Vec<u8>> = list
            .body
            .writers
            .iter()
            .filter(|own| own.name == writer && own.revoked.is_none())
            .map(|own| &own.public)
            .collect();
        let manifests = manifest::read_all(&self.unlocked)?.warned(&self.unlocked);
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
        let old = Writers::read(self.store(), self.keys())?.body.slots;
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
        let keys = self.keys().rotated()?;
        let recipients: Vec<String> = old.iter().filter_map(|slot| slot.recipient.clone()).collect();
        let mut new = Vec::new();
        if !recipients.is_empty() {
            new.extend(writers::put_slots(self.store(), &keys, &Protection::Recipients(recipients))?);
        }
        if let Some(passphrase) = passphrase.filter(|_| passphrases > 0) {
            new.extend(writers::put_slots(self.store(), &keys, &Protection::Passphrase(passphrase))?);
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
