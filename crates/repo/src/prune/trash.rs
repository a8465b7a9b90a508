//! What is in `trash/`: lists of packs that pruners signed (FORMAT.md, "Prune").
//!
//! *Marks* say that nobody needs a pack; *intents*, that it is being deleted now. Each run puts at
//! most one list of either for a compartment. An intent is never taken back, and its list outlives
//! its packs by [`INTENTS_STAY`]: so a writer learns from a few small objects which packs went
//! since it looked, and need not list the packs themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use minicbor::{Decode, Encode};
use pgark_store::{ObjectMeta, Storage, StoreError};

use crate::at_once::each;
use crate::codec::Extensions;
use crate::ids::{Compartment, ObjectHash};
use crate::object::{self, Kind};
use crate::rights::{Right, Scope};
use crate::secrets::Keys;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, names, signed};

pub(crate) const FOLDER: &str = "trash/";

/// A list of intents stays so long after it was put, and while someone is at work who began before
/// it. A writer that was at work for half of it, or that was taken for dead, lists the packs before
/// it commits.
pub(crate) const INTENTS_STAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Packs of one list at most.
pub(crate) const MOST: usize = 1_000_000;

/// One list of a pruner.
pub(crate) struct Said {
    pub name: String,
    /// The packs are being deleted, or are gone; else they are marked.
    pub intents: bool,
    /// When the storage took the list.
    pub put: SystemTime,
    /// Since when each pack is marked, or announced, by the storage's clock.
    pub packs: BTreeMap<ObjectHash, SystemTime>,
}

/// The lists of a compartment, of those who have the right to prune there.
#[derive(Clone, Default)]
pub(crate) struct Trash {
    pub lists: Vec<Arc<Said>>,
    /// A list of intents cannot be read, or is of someone who was revoked, perhaps while he was
    /// deleting: which packs are going is not known whole.
    pub is_unsure: bool,
    /// Names of lists that say nothing, and when the storage took them.
    pub idle: Vec<(String, SystemTime)>,
}

/// Packs with the moment since when they are marked; none: since their list was put.
pub(crate) type Since = BTreeMap<ObjectHash, Option<SystemTime>>;

#[derive(Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    packs: Vec<Entry>,
    #[n(1)]
    more: Extensions,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Entry {
    #[n(0)]
    pack: ObjectHash,
    /// Microseconds since 1970, of an earlier list.
    #[n(1)]
    since: Option<i64>,
}

pub(crate) fn name(compartment: Compartment, pruner: &str, intents: bool) -> String {
    format!("{FOLDER}{compartment}/{pruner}.{}", if intents { "intents" } else { "marks" })
}

/// The bytes of a list of this name.
pub(crate) fn make(keys: &Keys, name: &str, packs: &Since, intents: bool) -> Result<Vec<u8>, RepoError> {
    let micros = |since: &SystemTime| {
        let age = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
    };
    let entry = |(pack, since): (&ObjectHash, &Option<SystemTime>)| Entry {
        pack: *pack,
        since: since.as_ref().map(micros),
    };
    let body = Body { packs: packs.iter().map(entry).collect(), more: Extensions::default() };
    signed::seal(keys, kind(intents), name, codec::encode(&body))
}

/// Of a list's object.
pub(crate) fn kind(intents: bool) -> Kind {
    if intents { Kind::Intents } else { Kind::Marks }
}

/// What the storage says of a list.
struct Listed {
    name: String,
    intents: bool,
    put: SystemTime,
}

fn list(store: &Storage, compartment: Compartment) -> Result<Vec<Listed>, StoreError> {
    let parse = |meta: ObjectMeta| {
        let (_, _, intents) = names::trash(&meta.name)?;
        Some(Listed { name: meta.name, intents, put: meta.modified })
    };
    Ok(store.list(&format!("{FOLDER}{compartment}/"))?.into_iter().filter_map(parse).collect())
}

impl Trash {
    /// All lists of now. Those of `known` are not read again.
    pub(crate) fn read(
        repository: &Unlocked,
        compartment: Compartment,
        known: &Trash,
    ) -> Result<Trash, RepoError> {
        let listed = list(&repository.store, compartment)?;
        let mut trash = Trash::default();
        let read = |listed: &Listed| {
            let known = known.lists.iter().find(|known| known.name == listed.name);
            match known {
                Some(known) => Ok(Read::Said(Arc::clone(known))),
                None => read_one(repository, compartment, listed),
            }
        };
        for (listed, said) in listed.iter().zip(each(&listed, read)) {
            match said {
                Ok(Read::Said(said)) => trash.lists.push(said),
                Ok(Read::Revoked) => {
                    trash.is_unsure |= listed.intents;
                    trash.idle.push((listed.name.clone(), listed.put));
                }
                Ok(Read::Nobodys) => trash.idle.push((listed.name.clone(), listed.put)),
                Err(error) if RepoError::is_of_object(&error) => {
                    repository.warn_once(format!("a list in the trash is ignored: {error}"));
                    trash.is_unsure |= listed.intents;
                    trash.idle.push((listed.name.clone(), listed.put));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(trash)
    }

    fn of(&self, intents: bool) -> impl Iterator<Item = &Arc<Said>> {
        self.lists.iter().filter(move |said| said.intents == intents)
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = &Arc<Said>> {
        self.of(false)
    }

    pub(crate) fn intents(&self) -> impl Iterator<Item = &Arc<Said>> {
        self.of(true)
    }

    /// Whether someone is deleting a pack, or has deleted it.
    pub(crate) fn announces(&self, pack: &ObjectHash) -> bool {
        self.intents().any(|said| said.packs.contains_key(pack))
    }

    /// Whether a pack is in any list: nothing new depends on it.
    pub(crate) fn holds(&self, pack: &ObjectHash) -> bool {
        self.lists.iter().any(|said| said.packs.contains_key(pack))
    }

    /// Since when a pack is marked or announced.
    pub(crate) fn since(&self, pack: &ObjectHash) -> Option<SystemTime> {
        self.lists.iter().filter_map(|said| said.packs.get(pack).copied()).min()
    }
}

/// A list that was read.
enum Read {
    Said(Arc<Said>),
    /// It is of someone who has no right to prune here any more.
    Revoked,
    /// It is gone, or of someone who has no right to prune here. A name alone says nothing: who
    /// holds no key can write one.
    Nobodys,
}

fn read_one(repository: &Unlocked, compartment: Compartment, listed: &Listed) -> Result<Read, RepoError> {
    let Listed { name, intents, put } = listed;
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(Read::Nobodys) };
    let needs = (Right::Prune, Scope::Compartment(compartment));
    let (opened, verdict) = repository.open_judged(kind(*intents), name, name, needs, &bytes)?;
    if let Err(why) = verdict {
        repository.tell_passed_over(name, &why);
        return Ok(if repository.writers().is_revoked(&opened.signer) {
            Read::Revoked
        } else {
            Read::Nobodys
        });
    }
    let damaged = |what: &str| object::damaged(name, what);
    let body: Body = codec::decode(&opened.body).map_err(damaged)?;
    if body.packs.len() > MOST || !body.packs.is_sorted_by(|one, next| one.pack < next.pack) {
        return Err(damaged("it has too many packs, or they are not in order"));
    }
    let since = |entry: &Entry| {
        let micros = entry.since.and_then(|since| u64::try_from(since).ok());
        let since = micros.map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        since.map_or(*put, |since| since.min(*put))
    };
    let packs = body.packs.iter().map(|entry| (entry.pack, since(entry))).collect();
    Ok(Read::Said(Arc::new(Said { name: name.clone(), intents: *intents, put: *put, packs })))
}

/// An object whose time tells the storage's own clock.
pub(super) fn clock_name(pruner: &str) -> String {
    format!("{FOLDER}clock/{pruner}")
}
