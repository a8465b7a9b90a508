//! Who is allowed to write: the owner's signed lists of writers, and of key slots (FORMAT.md,
//! "Lists of writers").
//!
//! Every list is whole, and names the one before it by its hash; the newest one applies. Each is
//! signed by the owner's key of its time; a new owner's key is signed by the one before, down to
//! the first, which the header binds. What a writer may do is in the list: its clusters, and its
//! rights. Of a writer that was revoked, and of an owner's key that was replaced, the objects that
//! count are there by their hashes; nothing else of it counts. Where someone else had a writer's
//! key, the packs that were made with it are there, too. `access.rs` and `compromised.rs` change
//! the list.
//!
//! **Never a step back.** Lists are read in their order, from the one that this host remembers. One
//! that does not go on from the owner of the one before is skipped. So an owner's key of before a
//! rotation makes no list that counts, and a list that was there once is missed when it is gone: by
//! the hosts that saw it, and by everybody as soon as a manifest names it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use age::secrecy::SecretString;
use jiff::Timestamp;
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::at_once::{both, each};
use crate::codec::Extensions;
use crate::ids::{Compartment, Hash, ObjectHash, hex};
use crate::object::{Kind, damaged};
use crate::rights::{Claim, Right, Scope};
use crate::secrets::{Keys, KnownList, Protection, Room, recipients, slots};
use crate::{RepoError, codec, names, object, signed};

const FOLDER: &str = "writers/";
const COPIES: &str = "copies/writers/";
/// The writer key that `init` leaves on its host.
const FIRST: &str = "first";
/// Keys that an owner had, one after the other.
const MOST_OWNERS: usize = 1000;
/// A key is revoked by the clock of the owner's host, and the storage has its own: microseconds
/// that they may differ.
const CLOCKS: i64 = 300_000_000;
/// The extension of a list that says when each former key of the owner was replaced.
const REPLACED: &str = "replaced";

#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Body {
    #[n(0)]
    pub number: u64,
    /// Microseconds since 1970.
    #[n(1)]
    pub time: i64,
    /// BLAKE3 of the bytes of the list before this one; none in the first.
    #[n(2)]
    pub previous: Option<ObjectHash>,
    /// Every key that the owner had, the newest last. Empty in an unencrypted repository.
    #[n(3)]
    pub owners: Vec<Owner>,
    #[n(4)]
    pub writers: Vec<Writer>,
    #[n(5)]
    pub slots: Vec<Slot>,
    #[n(6)]
    pub features: Features,
    #[n(7)]
    pub more: Extensions,
}

/// A key by which the owner signs, or signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Owner {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub public: Vec<u8>,
    /// By the key before it; empty for the first.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: Vec<u8>,
    /// Objects that count though their key was replaced.
    #[n(2)]
    pub accepted: Vec<ObjectHash>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Writer {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub public: Vec<u8>,
    #[n(1)]
    pub name: String,
    /// The only clusters that it may write; none: any.
    #[n(2)]
    pub clusters: Option<Vec<Cluster>>,
    /// Names of rights; one that this program does not know is kept.
    #[n(3)]
    pub rights: Vec<String>,
    /// Since when it may write no more.
    #[n(4)]
    pub revoked: Option<i64>,
    /// Objects that count all the same.
    #[n(5)]
    pub accepted: Vec<ObjectHash>,
    /// Someone else had its key.
    #[n(6)]
    pub compromised: Option<Compromised>,
    #[n(7)]
    pub more: Extensions,
}

/// Since when someone else may have signed with a writer's key, and what was made with it since.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Compromised {
    /// By the storage's clock, in microseconds since 1970.
    #[n(0)]
    pub since: i64,
    /// Packs that the storage took since and that the key has made, sorted: nothing depends on them
    /// any more.
    #[n(1)]
    pub packs: Vec<ObjectHash>,
}

/// A cluster of a writer. Its name is sealed for those who open its compartment: writers of other
/// clusters see that there is one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Cluster {
    #[n(0)]
    pub hash: ByteArray<16>,
    #[n(1)]
    pub compartment: ByteArray<16>,
    #[n(2)]
    pub name: ByteVec,
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
    #[n(2)]
    pub more: Extensions,
}

/// Features that were added since the repository was made, by what needs them. A program that does
/// not know one refuses to do that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Features {
    #[n(0)]
    pub read: Vec<String>,
    #[n(1)]
    pub write: Vec<String>,
    #[n(2)]
    pub prune: Vec<String>,
}

/// Features that this program knows.
const KNOWN_FEATURES: &[&str] = &[];

/// The first feature that this program does not know.
fn unknown(features: &[String]) -> Result<(), RepoError> {
    match features.iter().find(|feature| !KNOWN_FEATURES.contains(&feature.as_str())) {
        Some(feature) => Err(RepoError::NewerFormat { what: format!("feature {feature}") }),
        None => Ok(()),
    }
}

/// The list that applies.
#[derive(Default)]
pub(crate) struct Writers {
    pub body: Body,
    /// BLAKE3 of its bytes.
    pub hash: Option<ObjectHash>,
    /// A newer list that must have been there, as far as is known: nothing may be written.
    pub lost: Option<u64>,
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

/// What an owner's key signs of the next one.
fn succession(keys: &Keys, position: usize, public: &[u8]) -> Vec<u8> {
    let position = u32::try_from(position).unwrap_or(u32::MAX);
    [b"pgark owner".as_slice(), &keys.repository.0, &position.to_le_bytes(), public].concat()
}

/// Opens the bytes that was under `object` as the list of this number, and verifies what can be
/// verified of one list: the seal, the signature of its newest owner, and the owners' succession.
pub(crate) fn decode(keys: &Keys, number: u64, object: &str, bytes: &[u8]) -> Result<Body, RepoError> {
    let opened = signed::open(keys, Kind::Writers, &name(number), object, bytes)?;
    let body: Body = codec::decode(&opened.body).map_err(|what| damaged(object, what))?;
    let wrong = |what: &str| Err(damaged(object, what));
    if body.number != number {
        return wrong("its name and its content differ");
    }
    if !keys.encrypted {
        return if body.owners.is_empty() { Ok(body) } else { wrong("it names an owner") };
    }
    let first = body.owners.first().is_some_and(|first| first.public == keys.first_owner());
    if !first || body.owners.len() > MOST_OWNERS {
        return wrong("its first owner is not the one that the header names");
    }
    for (position, (before, owner)) in (1..).zip(body.owners.iter().zip(body.owners.iter().skip(1))) {
        let signed = succession(keys, position, &owner.public);
        if keys.verify(&before.public, &signed, &owner.signature).is_err() {
            return wrong("an owner's key in it was not signed by its predecessor");
        }
    }
    if body.owners.last().is_none_or(|last| last.public != opened.signer) {
        return wrong("the signature: it is not the owner's");
    }
    Ok(body)
}

/// Why a list does not go on from the one before it.
fn why_not_next(before: &Body, next: &Body) -> Option<&'static str> {
    let same = |(before, next): (&Owner, &Owner)| before.public == next.public;
    let goes_on =
        next.owners.len() >= before.owners.len() && before.owners.iter().zip(&next.owners).all(same);
    (!goes_on).then_some("it is signed by a key that is not the owner's, or that was replaced")
}

/// The lists of a repository, read in their order.
struct Walk<'w> {
    store: &'w Storage,
    /// What a secret opens the repository with: the list says which of them holds.
    candidates: &'w [Keys],
    last: Option<(Body, ObjectHash)>,
    /// Lists above the last good one that cannot be read in either copy, and why.
    unread: BTreeMap<u64, RepoError>,
    /// What is wrong with lists and their copies.
    wrong: Vec<(String, RepoError)>,
}

impl Walk<'_> {
    /// One list: from either copy, by any of the candidates.
    fn one(&mut self, number: u64, first: Option<Vec<u8>>, look_at_both: bool) -> Result<(), RepoError> {
        let (mut found, mut error, mut too_new) = (None, None, 0);
        for (object, bytes) in [(name(number), first), (copy_name(number), None)] {
            if found.is_some() && !look_at_both {
                break;
            }
            let bytes = match bytes {
                Some(bytes) => Ok(bytes),
                None => object::get(self.store, &object),
            };
            let read = bytes.and_then(|bytes| self.open(number, &object, &bytes));
            match read {
                Ok(list) => drop(found.get_or_insert(list)),
                Err(failure) if !failure.is_of_object() => return Err(failure),
                Err(failure) => {
                    too_new += u32::from(matches!(failure, RepoError::KeyOfOlderEpoch { .. }));
                    self.wrong.push((object, copied(&failure)));
                    // A missing one says less than a damaged one; and a newer epoch is one only
                    // where both copies say so: else it is a flipped bit.
                    let says_more = !matches!(error, Some(RepoError::Damaged { .. }));
                    if says_more || too_new == 2 {
                        error = Some(failure);
                    }
                }
            }
        }
        match found {
            Some(list) => {
                self.last = Some(list);
                self.unread.clear();
            }
            None => {
                drop(self.unread.insert(number, error.unwrap_or(RepoError::Missing { object: name(number) })))
            }
        }
        Ok(())
    }

    fn open(&self, number: u64, object: &str, bytes: &[u8]) -> Result<(Body, ObjectHash), RepoError> {
        let mut first = None;
        for keys in self.candidates {
            match decode(keys, number, object, bytes) {
                Ok(body) => {
                    let why = self.last.as_ref().and_then(|(before, _)| why_not_next(before, &body));
                    return match why {
                        Some(why) => Err(damaged(object, why)),
                        None => Ok((body, Hash::of(bytes))),
                    };
                }
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or(RepoError::WrongKey))
    }
}

/// An error about an object once more, to be told in two places.
fn copied(error: &RepoError) -> RepoError {
    match error {
        RepoError::Damaged { object, what } => damaged(object, what.clone()),
        RepoError::Missing { object } => RepoError::Missing { object: object.clone() },
        RepoError::KeyOfOlderEpoch { epoch } => RepoError::KeyOfOlderEpoch { epoch: *epoch },
        other => damaged("a list of writers", other.to_string()),
    }
}

impl Writers {
    /// The owner's public key of today.
    pub(crate) fn owner(&self) -> &[u8] {
        self.body.owners.last().map_or(&[], |owner| &owner.public)
    }

    /// Whether the list names a signer.
    pub(crate) fn knows(&self, signer: &[u8]) -> bool {
        self.body.writers.iter().any(|writer| writer.public == signer)
            || self.body.owners.iter().any(|owner| owner.public == signer)
    }

    /// Whether the list names a signer who is allowed to write no more: a writer that was revoked,
    /// or an owner's key that was replaced.
    pub(crate) fn is_revoked(&self, signer: &[u8]) -> bool {
        self.revoked(signer).is_some()
            || (signer != self.owner() && self.body.owners.iter().any(|owner| owner.public == signer))
    }

    /// Whether a signature is good for something; else why not.
    pub(crate) fn judge(&self, signer: &[u8], claim: Claim<'_>) -> Result<(), String> {
        if signer == self.owner() {
            return Ok(());
        }
        let is_accepted = |accepted: &[ObjectHash]| claim.hash.is_some_and(|hash| accepted.contains(hash));
        if let Some(owner) = self.body.owners.iter().find(|owner| owner.public == signer) {
            return match is_accepted(&owner.accepted) {
                true => Ok(()),
                false => Err("it belongs to an owner's key that was replaced".into()),
            };
        }
        let Some(writer) = self.body.writers.iter().find(|writer| writer.public == signer) else {
            return Err("it belongs to a writer that this repository does not know".into());
        };
        if is_accepted(&writer.accepted) {
            return Ok(());
        }
        let name = &writer.name;
        if writer.revoked.is_some() {
            return Err(format!("the writer {name} was revoked"));
        }
        writer.may(claim)
    }

    /// The same of something that the storage has received already: what a key has signed before it
    /// was revoked, replaced, or known to someone else counts. It is for what is too much to be
    /// accepted by its hash.
    pub(crate) fn judge_received(
        &self,
        signer: &[u8],
        claim: Claim<'_>,
        received: Timestamp,
    ) -> Result<(), String> {
        let received = received.as_microsecond();
        let known = self.body.owners.iter().position(|owner| owner.public == signer);
        if let Some(position) = known.filter(|position| position + 1 < self.body.owners.len()) {
            return match self.body.replaced().get(position) {
                Some(replaced) if received < replaced.saturating_add(CLOCKS) => Ok(()),
                _ => Err("it belongs to an owner's key that was replaced before".into()),
            };
        }
        let Some(writer) = self.body.writers.iter().find(|writer| writer.public == signer) else {
            return self.judge(signer, claim);
        };
        let revoked = writer.revoked.map(|revoked| revoked.saturating_add(CLOCKS));
        let since = writer.compromised.as_ref().map(|compromised| compromised.since);
        match revoked.into_iter().chain(since).min() {
            Some(until) if received >= until => Err(format!("the writer {} was revoked before", writer.name)),
            _ => writer.may(claim),
        }
    }

    /// Since when a writer may write no more, in microseconds since 1970.
    pub(crate) fn revoked(&self, signer: &[u8]) -> Option<i64> {
        self.body.writers.iter().find(|writer| writer.public == signer)?.revoked
    }

    /// Packs that were made with a key which someone else had, and whose key it was. No backup
    /// depends on them any more, and no prune trades another place for one in them.
    pub(crate) fn suspects(&self) -> HashMap<ObjectHash, &Writer> {
        let mut found = HashMap::new();
        for writer in &self.body.writers {
            let packs = writer.compromised.iter().flat_map(|own| &own.packs);
            found.extend(packs.map(|pack| (*pack, writer)));
        }
        found
    }

    /// The list that applies, and which of the candidates it belongs to. `known`: what this host
    /// remembers, and what the list before was.
    ///
    /// # Errors
    /// [`RepoError::KeyOfOlderEpoch`] where the newest is sealed for later keys;
    /// [`RepoError::NewerFormat`]; none can be read at all.
    pub(crate) fn read(
        store: &Storage,
        candidates: &[Keys],
        known: Option<&KnownList>,
    ) -> Result<(usize, Writers), RepoError> {
        let walk = Writers::walk(store, candidates, known, false)?;
        let newest = walk.unread.last_key_value();
        if let Some((_, RepoError::KeyOfOlderEpoch { epoch })) = newest {
            return Err(RepoError::KeyOfOlderEpoch { epoch: *epoch });
        }
        let Some((body, hash)) = walk.last else {
            let missing = || RepoError::Missing { object: "the list of writers (writers/)".into() };
            return Err(walk.unread.into_values().next().unwrap_or_else(missing));
        };
        for (object, error) in &walk.wrong {
            if object == &name(body.number) {
                store.warn(&format!("using the copy of the list of writers: {error}"));
            }
        }
        unknown(&body.features.read)?;
        // The next one cannot be read: perhaps it says that someone may write no more. Names
        // further on are nobody's.
        let next = body.number + 1;
        let damaged_next = walk.unread.contains_key(&next);
        let remembered = known.map(|known| known.number).filter(|number| *number > body.number);
        let lost = remembered.or(damaged_next.then_some(next));
        let is_owners = |keys: &&Keys| body.owners.iter().any(|owner| owner.public == keys.owner_public());
        let newest = |keys: &&Keys| body.owners.last().is_none_or(|last| last.public == keys.owner_public());
        let find = |fits: &dyn Fn(&&Keys) -> bool| candidates.iter().position(|keys| fits(&keys));
        let chosen = find(&newest).or_else(|| find(&is_owners)).ok_or_else(|| {
            damaged(name(body.number), "it belongs to an owner that this key does not know")
        })?;
        Ok((chosen, Writers { body, hash: Some(hash), lost }))
    }

    fn walk<'w>(
        store: &'w Storage,
        candidates: &'w [Keys],
        known: Option<&KnownList>,
        look_at_both: bool,
    ) -> Result<Walk<'w>, RepoError> {
        let mut walk = Walk { store, candidates, last: None, unread: BTreeMap::new(), wrong: Vec::new() };
        let numbers: Vec<u64> = numbers(store)?.into_iter().collect();
        // What this host remembers was verified, down to the first.
        let start = known.map_or(0, |known| numbers.partition_point(|number| *number < known.number));
        let (_, rest) = numbers.split_at(start);
        for (number, bytes) in
            rest.iter().zip(each(rest, |number| object::get_if_there(store, &name(*number))))
        {
            walk.one(*number, first_copy(bytes)?, look_at_both)?;
            let is_other = |known: &KnownList| {
                known.number == *number
                    && walk.last.as_ref().is_none_or(|(_, hash)| hash.to_string() != known.hash)
            };
            if start > 0 && known.is_some_and(is_other) {
                // Another one under the number that is remembered: all are read, from the first.
                return Writers::walk(store, candidates, None, look_at_both);
            }
        }
        match walk.last.is_none() && start > 0 {
            true => Writers::walk(store, candidates, None, look_at_both),
            false => Ok(walk),
        }
    }

    /// What is wrong with the lists, their chain and their copies: object and error.
    pub(crate) fn check(
        store: &Storage,
        keys: &Keys,
        on_object: &mut dyn FnMut(u64) -> Result<(), RepoError>,
    ) -> Result<Vec<(String, RepoError)>, RepoError> {
        let candidates = std::slice::from_ref(keys);
        let mut wrong = Vec::new();
        let numbers: Vec<u64> = numbers(store)?.into_iter().collect();
        if numbers.is_empty() {
            wrong.push((FOLDER.to_string(), RepoError::Missing { object: name(1) }));
        }
        let mut walk = Walk { store, candidates, last: None, unread: BTreeMap::new(), wrong: Vec::new() };
        for number in numbers {
            for object in [name(number), copy_name(number)] {
                on_object(store.stat(&object).map_or(0, |meta| meta.size))?;
            }
            let before = walk.last.as_ref().map(|(_, hash)| *hash);
            let bytes = first_copy(object::get_if_there(store, &name(number)))?;
            walk.one(number, bytes, true)?;
            if let Some((body, _)) = walk.last.as_ref().filter(|(body, _)| body.number == number)
                && body.previous != before
            {
                let what = "it names another list as its predecessor: one is missing, or cannot be read";
                wrong.push((name(number), damaged(name(number), what)));
            }
        }
        wrong.extend(walk.wrong);
        Ok(wrong)
    }

    /// Why nothing may be written, or pruned, by this list.
    ///
    /// # Errors
    /// [`RepoError::ListOfWritersLost`]; [`RepoError::NewerFormat`] by a feature.
    pub(crate) fn refuse_if_lost(&self, needs: &[String]) -> Result<(), RepoError> {
        match self.lost {
            Some(known) => Err(RepoError::ListOfWritersLost { known, found: self.body.number }),
            None => unknown(needs),
        }
    }
}

/// The first copy's bytes; none where it is missing or too large, which reading it says again.
fn first_copy(bytes: Result<Option<Vec<u8>>, RepoError>) -> Result<Option<Vec<u8>>, RepoError> {
    match bytes {
        Err(error) if error.is_of_object() => Ok(None),
        other => other,
    }
}

/// The first list of a new repository: its owner, its slots, and the writer whose key is returned.
pub(crate) fn begin(
    store: &Storage,
    keys: &Keys,
    protection: &Protection,
) -> Result<Option<SecretString>, RepoError> {
    let mut body = Body { number: 1, time: Timestamp::now().as_microsecond(), ..Body::default() };
    let mut first = None;
    if keys.encrypted {
        let (key, public) = keys.new_writer(None)?;
        body.slots = put_slots(store, keys, protection)?;
        body.writers.push(new_writer(keys, public, FIRST, None, &Right::ALL)?);
        body.owners.push(Owner {
            public: keys.first_owner().to_vec(),
            signature: Vec::new(),
            accepted: Vec::new(),
        });
        first = Some(key);
    }
    let bytes = signed::seal(keys, Kind::Writers, &name(1), codec::encode(&body))?;
    store.put_if_absent(&name(1), bytes.clone().into())?;
    store.put_if_absent(&copy_name(1), bytes.into())?;
    Ok(first)
}

/// A writer's entry.
pub(crate) fn new_writer(
    keys: &Keys,
    public: Vec<u8>,
    writer: &str,
    clusters: Option<&[String]>,
    rights: &[Right],
) -> Result<Writer, RepoError> {
    let own = |cluster: &String| {
        let hash = keys.cluster_hash(cluster)?;
        let compartment = keys.compartment_of(&hash).ok_or(RepoError::NeedsReaderSecret)?;
        let sealed = object::seal_in(
            keys,
            Room::Of(compartment),
            Kind::Writers,
            &cluster_object(&hash),
            cluster.as_bytes(),
        )?;
        let hash: [u8; 16] = crate::ids::unhex(&hash).ok_or(RepoError::Crypto("naming a cluster"))?;
        Ok(Cluster { hash: hash.into(), compartment: compartment.0.into(), name: sealed.into() })
    };
    let clusters =
        clusters.map(|own_clusters| own_clusters.iter().map(own).collect::<Result<_, RepoError>>());
    Ok(Writer {
        public,
        name: writer.into(),
        clusters: clusters.transpose()?,
        rights: rights.iter().map(|right| right.name().to_string()).collect(),
        revoked: None,
        accepted: Vec::new(),
        compromised: None,
        more: Extensions::default(),
    })
}

fn cluster_object(hash: &str) -> String {
    format!("name of cluster {hash}")
}

impl Writer {
    /// Whether it has a right in a place; else why not. Whether it was revoked is another question.
    fn may(&self, claim: Claim<'_>) -> Result<(), String> {
        let name = &self.name;
        let is_there = |own: &Cluster| match claim.scope {
            Scope::Cluster(hash) => hex(own.hash.as_slice()) == hash,
            Scope::Compartment(compartment) => *own.compartment == compartment.0,
        };
        if self.clusters.as_ref().is_some_and(|own| !own.iter().any(is_there)) {
            return Err(format!("the writer {name} has no right to write this cluster"));
        }
        if !self.rights.iter().any(|right| right == claim.right.name()) {
            return Err(format!("the writer {name} has no right to {}", claim.right.name()));
        }
        Ok(())
    }
}

impl Body {
    /// When each of the owner's former keys was replaced, in their order, in microseconds since
    /// 1970.
    fn replaced(&self) -> Vec<i64> {
        self.more.get(REPLACED).and_then(|bytes| codec::decode(bytes).ok()).unwrap_or_default()
    }

    /// The key of today is replaced at this moment.
    pub(crate) fn replace_owner(&mut self, next: Owner) {
        let mut replaced = self.replaced();
        // A program that did not note it: then nothing that is not accepted by its hash counts.
        replaced.resize(self.owners.len().saturating_sub(1), i64::MIN);
        replaced.push(Timestamp::now().as_microsecond());
        self.more.set(REPLACED, codec::encode(&replaced).into());
        self.owners.push(next);
    }
}

impl Cluster {
    /// Its name, if the keys at hand open it; else its hash.
    pub(crate) fn shown(&self, keys: &Keys) -> String {
        let hash = hex(self.hash.as_slice());
        let room = Room::Of(Compartment(self.compartment.into()));
        let opened = object::open_in(keys, room, Kind::Writers, &cluster_object(&hash), &self.name);
        opened.ok().and_then(|name| String::from_utf8(name).ok()).unwrap_or(hash)
    }
}

/// The next owner's entry, signed by the one of today.
pub(crate) fn successor(keys: &Keys, body: &Body, next: &Keys) -> Result<Owner, RepoError> {
    let public = next.owner_public();
    let signature = keys.sign(&succession(keys, body.owners.len(), &public))?;
    Ok(Owner { public, signature, accepted: Vec::new() })
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
            found.push(Slot { name, recipient, more: Extensions::default() });
        }
        Ok::<_, RepoError>(())
    };
    match protection {
        Protection::Recipients(recipients) => {
            for recipient in recipients {
                put(&Protection::Recipients(vec![recipient.clone()]), Some(recipients::plain(recipient)))?;
            }
        }
        other => put(other, None)?,
    }
    Ok(found)
}
