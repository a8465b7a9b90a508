//! Who may what, as the owner changes it: key slots, writers, the rotation of keys (FORMAT.md,
//! "Writers and slots").

use std::collections::{BTreeMap, BTreeSet};

use age::secrecy::SecretString;
use jiff::Timestamp;
use pgark_store::PutOutcome;

use crate::at_once::each;
use crate::ids::ObjectHash;
use crate::object::{self, Kind};
use crate::prune::trash;
use crate::repository::Repository;
use crate::rights::Right;
use crate::secrets::{Keys, KnownList, Protection, recipients, slots};
use crate::writers::{self, Body, Slot, Writer, Writers};
use crate::{RepoError, codec, ids, index, manifest, names, signed, tags};

/// A writer as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterInfo {
    /// Its name.
    pub name: String,
    /// Its public key, the first 16 hex digits.
    pub key: String,
    /// The only clusters that it may write; none: any. One whose name the key at hand does not open
    /// is shown by its hash.
    pub clusters: Option<Vec<String>>,
    /// What it may do there.
    pub rights: Vec<String>,
    /// Since when it may write no more.
    pub revoked: Option<Timestamp>,
    /// Since when someone else may have had its key, and how many packs were made with it since.
    pub compromised: Option<(Timestamp, u64)>,
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

/// Hashes of the objects that count, by the keys that signed them.
pub(crate) type Signed = BTreeMap<Vec<u8>, BTreeSet<ObjectHash>>;

/// Signed objects besides manifests: their folders, and what each is.
const SIGNED: [(&str, What); 5] = [
    ("forgotten/", |_| Some((Kind::Tombstone, Right::Forget))),
    ("tags/", of_tags),
    ("copies/tags/", of_tags),
    ("quarantine/", |_| Some((Kind::Quarantine, Right::Check))),
    ("trash/", |name| names::trash(name).map(|(.., intents)| (trash::kind(intents), Right::Prune))),
];

/// The kind of an object, and the right that it takes to put one, by its name.
type What = fn(&str) -> Option<(Kind, Right)>;

fn of_tags(name: &str) -> Option<(Kind, Right)> {
    let tags = names::TagsName::parse_below("tags/", name);
    Some((Kind::Tags, tags.map_or(Right::Forget, |name| tags::right(name.number))))
}

fn id_of(slot: &str) -> String {
    slot.trim_start_matches("1-").trim_end_matches(".age").to_string()
}

impl Repository {
    /// Slots and writers.
    pub fn key_list(&self) -> Result<KeyList, RepoError> {
        let list = self.unlocked.read_writers()?;
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
                    clusters: writer
                        .clusters
                        .as_ref()
                        .map(|own| own.iter().map(|cluster| cluster.shown(self.keys())).collect()),
                    rights: writer.rights.clone(),
                    revoked: writer.revoked.map(time),
                    compromised: writer
                        .compromised
                        .as_ref()
                        .map(|own| (time(own.since), own.packs.len() as u64)),
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

    pub(crate) fn refuse_not_owner(&self) -> Result<(), RepoError> {
        if !self.keys().encrypted {
            return Err(RepoError::Keys { what: "the repository is not encrypted: it has no keys".into() });
        }
        if self.keys().is_owner() { Ok(()) } else { Err(RepoError::NeedsOwner) }
    }

    /// Puts the next list, sealed and signed with `keys`; if someone else did, his is changed in
    /// turn.
    ///
    /// # Errors
    /// [`RepoError::KeyOfOlderEpoch`] if another owner has rotated the keys.
    pub(crate) fn change_list<T>(
        &self,
        keys: &Keys,
        mut change: impl FnMut(&mut Body) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        let remembered = KnownList::read(&self.unlocked.local, self.id())?;
        // Behind any that this host remembers, and behind names that cannot be read.
        let mut free = remembered.map_or(0, |known| known.number + 1);
        loop {
            let list = self.unlocked.read_writers()?;
            let mut body = list.body.clone();
            let answer = change(&mut body)?;
            body.number = free.max(body.number + 1);
            body.time = Timestamp::now().as_microsecond();
            body.previous = list.hash;
            let number = body.number;
            let object = writers::name(number);
            if writers::parse(&object).is_none() {
                return Err(RepoError::TooLarge { what: "the number of lists of writers".into() });
            }
            let bytes = signed::seal(keys, Kind::Writers, &object, codec::encode(&body))?;
            let put = self.store().put_if_absent(&object, bytes.clone().into())?;
            if put == PutOutcome::Created || self.store().get(&object)? == bytes {
                self.store().put_if_absent(&writers::copy_name(number), bytes.clone().into())?;
                let hash = ids::Hash::of(&bytes);
                KnownList { number, hash: hash.to_string() }.remember(
                    &self.unlocked.local,
                    self.id(),
                    self.store(),
                );
                self.unlocked.set_writers(Writers { body, hash: Some(hash), lost: None });
                return Ok(answer);
            }
            free = number + 1;
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
                slot.recipient.as_deref() == Some(recipients::plain(which).as_str())
                    || (which.len() >= 4 && id_of(&slot.name).starts_with(which))
            };
            let found: Vec<usize> =
                body.slots.iter().enumerate().filter(|(_, slot)| is_it(slot)).map(|(at, _)| at).collect();
            match found.as_slice() {
                [] => Err(RepoError::UnknownSlot { which: which.into(), known: slot_names(&body.slots) }),
                [_] if body.slots.len() == 1 => Err(RepoError::Keys {
                    what: "it is the last slot: without it nobody could read the backups".into(),
                }),
                [at] => Ok(body.slots.remove(*at)),
                _ => Err(RepoError::Keys { what: format!("{which:?} matches several slots") }),
            }
        })?;
        self.remove_unlisted()?;
        Ok(id_of(&gone.name))
    }

    /// A key for a writer of this name, for some clusters or for all, with these rights. A writer
    /// that had the name is revoked; what it has written stays good.
    pub fn add_writer(
        &self,
        writer: &str,
        clusters: Option<&[String]>,
        rights: &[Right],
    ) -> Result<SecretString, RepoError> {
        self.refuse_not_owner()?;
        let signed = self.signed_by(&self.keys_of(writer), None)?;
        let (key, public) = self.keys().new_writer(clusters)?;
        let entry = writers::new_writer(self.keys(), public, writer, clusters, rights)?;
        self.change_list(self.keys(), |body| {
            revoke(body, |name| name == writer, &signed);
            body.writers.push(entry.clone());
            Ok(())
        })?;
        Ok(key)
    }

    /// From now on nothing of this writer counts but what it has written already.
    pub fn revoke_writer(&self, writer: &str) -> Result<(), RepoError> {
        self.refuse_not_owner()?;
        let signed = self.signed_by(&self.keys_of(writer), None)?;
        self.change_list(self.keys(), |body| match revoke(body, |name| name == writer, &signed) {
            true => Ok(()),
            false => match body.writers.iter().any(|own| own.name == writer) {
                true => Err(RepoError::Keys { what: format!("writer {writer:?} is revoked already") }),
                false => Err(no_writer(writer, &body.writers)),
            },
        })
    }

    /// The public keys of the writer of this name that are not revoked.
    fn keys_of(&self, writer: &str) -> Vec<Vec<u8>> {
        let list = self.unlocked.writers();
        let own = list.body.writers.iter().filter(|own| own.name == writer && own.revoked.is_none());
        own.map(|own| own.public.clone()).collect()
    }

    /// Hashes of the objects that each of these keys has signed and that count today. `until`: of
    /// these, only what the storage took before. Index objects are named all the same: they say
    /// where honest backups find what they need.
    pub(crate) fn signed_by(
        &self,
        signers: &[Vec<u8>],
        until: Option<Timestamp>,
    ) -> Result<Signed, RepoError> {
        let mut found = Signed::new();
        if signers.is_empty() {
            return Ok(found);
        }
        let mut add = |of: Option<(Vec<u8>, ObjectHash)>| {
            if let Some((signer, hash)) = of.filter(|(signer, _)| signers.contains(signer)) {
                found.entry(signer).or_default().insert(hash);
            }
        };
        for manifest in manifest::read_all(&self.unlocked)?.warned(&self.unlocked) {
            if is_before(until, manifest.stored, &manifest.name.name())? {
                add(manifest.distrust.is_none().then_some((manifest.signer, manifest.hash)));
            }
        }
        for (folder, what) in SIGNED {
            let mut objects = Vec::new();
            for meta in names::list(self.store(), folder)? {
                if is_before(until, manifest::stored(&meta), &meta.name)? {
                    objects.push(meta);
                }
            }
            for of in each(&objects, |meta| self.counting_object(&meta.name, what)) {
                add(of?);
            }
        }
        let objects = names::list(self.store(), "index/")?;
        let objects: Vec<_> =
            objects.into_iter().filter(|meta| names::is_own(self.keys(), &meta.name)).collect();
        for of in each(&objects, |meta| self.counting_index_object(&meta.name)) {
            add(of?);
        }
        Ok(found)
    }

    /// Who signed an index object, and its hash, if it counts.
    fn counting_index_object(&self, name: &str) -> Result<Option<(Vec<u8>, ObjectHash)>, RepoError> {
        let Some((compartment, hash)) = index::object::parse_name(name) else { return Ok(None) };
        let judged = index::read_judged(&self.unlocked, compartment, name)?;
        Ok(judged.filter(|judged| judged.counts).map(|judged| (judged.signer, hash)))
    }

    /// Who signed an object, and its hash, if it counts.
    fn counting_object(&self, object: &str, what: What) -> Result<Option<(Vec<u8>, ObjectHash)>, RepoError> {
        let name = object.strip_prefix("copies/").unwrap_or(object);
        let (Some((kind, right)), Some(scope)) = (what(name), names::scope(name)) else { return Ok(None) };
        let read = object::get(self.store(), object)
            .and_then(|bytes| self.unlocked.open_judged(kind, name, object, (right, scope), &bytes));
        match read {
            Ok((opened, verdict)) => Ok(verdict.is_ok().then_some((opened.signer, opened.hash))),
            Err(error) if error.is_of_object() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// New keys for all that is written from now on; ids stay, so that nothing is stored again.
    /// Slots of recipients are re-encrypted, and so is the passphrase if it is given; other
    /// passphrases' slots go if `drop_passphrases` says so. Writers need new keys.
    pub fn rotate_keys(
        &self,
        passphrase: Option<SecretString>,
        drop_passphrases: bool,
    ) -> Result<u32, RepoError> {
        self.refuse_not_owner()?;
        let list = self.unlocked.read_writers()?;
        let old = list.body.slots.clone();
        let passphrases = old.iter().filter(|slot| slot.recipient.is_none()).count();
        let kept = usize::from(passphrase.is_some() && passphrases > 0);
        if passphrases > kept && !drop_passphrases {
            return Err(RepoError::Keys {
                what: format!(
                    "passphrase slots that cannot be re-encrypted, because their passphrase was not given: {}",
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
        // What the owner's key of today has signed stays good, by its hash. From here on lists are
        // under the new keys: who has only the old ones cannot read who is allowed to write, and
        // signs nothing that counts. Writers need new keys: those of today sign nothing more that
        // counts.
        let owner = self.keys().owner_public();
        let mut signers: Vec<Vec<u8>> = list.body.writers.iter().map(|own| own.public.clone()).collect();
        signers.push(owner.clone());
        let signed = self.signed_by(&signers, None)?;
        self.change_list(&keys, |body| {
            let next = writers::successor(self.keys(), body, &keys)?;
            if let Some(today) = body.owners.last_mut() {
                today.accepted = accepted(&signed, &owner);
            }
            body.replace_owner(next);
            revoke(body, |_| true, &signed);
            body.slots.retain(|slot| !old.iter().any(|old| old.name == slot.name));
            body.slots.extend(new.iter().cloned());
            Ok(())
        })?;
        self.remove_unlisted()?;
        Ok(keys.epoch)
    }
}

/// Whether the storage took an object before a moment.
///
/// # Errors
/// It does not say when.
pub(crate) fn is_before(
    until: Option<Timestamp>,
    taken: Option<Timestamp>,
    object: &str,
) -> Result<bool, RepoError> {
    match (until, taken) {
        (None, _) => Ok(true),
        (Some(until), Some(taken)) => Ok(taken < until),
        (Some(_), None) => Err(RepoError::Keys {
            what: format!(
                "the storage does not say when it received {object}: so it is not known what was written since"
            ),
        }),
    }
}

pub(crate) fn no_writer(which: &str, writers: &[Writer]) -> RepoError {
    let known = writers.iter().map(|writer| writer.name.clone()).collect();
    RepoError::UnknownWriter { which: which.into(), known }
}

/// What slots are called by.
fn slot_names(slots: &[Slot]) -> Vec<String> {
    let of_slot = |slot: &Slot| [Some(id_of(&slot.name)), slot.recipient.clone()];
    slots.iter().flat_map(of_slot).flatten().collect()
}

/// What counts of a key though it signs no more.
pub(crate) fn accepted(signed: &Signed, key: &[u8]) -> Vec<ObjectHash> {
    signed.get(key).map(|own| own.iter().copied().collect()).unwrap_or_default()
}

/// Revokes the writers of these names; false if there is none.
fn revoke(body: &mut Body, is_meant: impl Fn(&str) -> bool, signed: &Signed) -> bool {
    let mut found = false;
    for own in body.writers.iter_mut().filter(|own| is_meant(&own.name) && own.revoked.is_none()) {
        own.revoked = Some(Timestamp::now().as_microsecond());
        own.accepted = accepted(signed, &own.public);
        found = true;
    }
    found
}
