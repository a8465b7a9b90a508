//! Quarantine: places that a check found damaged, which no later backup may depend on (FORMAT.md,
//! "Quarantine").
//!
//! A backup that meets such a chunk again stores it again, and older backups find it there. A
//! record goes with its pack.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::codec::Extensions;
use crate::ids::{ChunkId, Compartment, ObjectHash};
use crate::object::{self, Kind, damaged};
use crate::rights::{Right, Scope};
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, names, pack, random, signed};

#[derive(Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    pack: ObjectHash,
    /// Which chunks; none: all.
    #[n(1)]
    chunks: Option<Vec<ChunkId>>,
    #[n(2)]
    time: i64,
    #[n(3)]
    more: Extensions,
}

pub(crate) const FOLDER: &str = "quarantine/";

fn folder(compartment: Compartment) -> String {
    format!("{FOLDER}{compartment}/")
}

/// What must not be reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quarantine {
    pub packs: HashSet<ObjectHash>,
    pub chunks: HashMap<ObjectHash, HashSet<ChunkId>>,
}

impl Quarantine {
    /// All records of a compartment. One that cannot be read counts for its whole pack: it may be
    /// damaged for a reason. One of someone without the right to put it counts for nothing.
    pub(crate) fn read(repository: &Unlocked, compartment: Compartment) -> Result<Quarantine, RepoError> {
        let mut found = Quarantine::default();
        for meta in repository.store.list(&folder(compartment))? {
            let Some((_, hash)) = names::quarantine(&meta.name) else { continue };
            match read_one(repository, compartment, &meta.name, &hash) {
                Ok(Some(Body { chunks: Some(chunks), .. })) => {
                    found.chunks.entry(hash).or_default().extend(chunks);
                }
                Ok(Some(_)) => drop(found.packs.insert(hash)),
                Ok(None) => {}
                Err(RepoError::Damaged { object, what }) => {
                    repository
                        .store
                        .warn(&format!("{object} is damaged, so its whole pack is not reused: {what}"));
                    found.packs.insert(hash);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    pub(crate) fn holds(&self, pack: &ObjectHash, chunk: &ChunkId) -> bool {
        self.packs.contains(pack) || self.chunks.get(pack).is_some_and(|chunks| chunks.contains(chunk))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.chunks.is_empty()
    }
}

fn read_one(
    repository: &Unlocked,
    compartment: Compartment,
    name: &str,
    hash: &ObjectHash,
) -> Result<Option<Body>, RepoError> {
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(None) };
    let needs = (Right::Check, Scope::Compartment(compartment));
    let Some(body) = repository.open_or_pass_over(Kind::Quarantine, name, needs, &bytes)? else {
        return Ok(None);
    };
    let body: Body = codec::decode(&body).map_err(|what| damaged(name, what))?;
    if body.pack != *hash {
        return Err(damaged(name, "its name and its content differ"));
    }
    Ok(Some(body))
}

/// Records damaged places: per pack the chunks, or none for the whole pack. What is recorded
/// already is not recorded again.
pub(crate) fn add(
    repository: &Unlocked,
    compartment: Compartment,
    rotten: &BTreeMap<ObjectHash, Option<Vec<ChunkId>>>,
) -> Result<(), RepoError> {
    let known = Quarantine::read(repository, compartment)?;
    for (hash, chunks) in rotten {
        let is_known = match chunks {
            None => known.packs.contains(hash),
            Some(chunks) => chunks.iter().all(|chunk| known.holds(hash, chunk)),
        };
        if is_known {
            continue;
        }
        let name = format!("{}{hash}/{}", folder(compartment), random::backup_id()?);
        let time = Timestamp::now().as_microsecond();
        let body = Body { pack: *hash, chunks: chunks.clone(), time, more: Extensions::default() };
        let bytes = signed::seal(&repository.keys, Kind::Quarantine, &name, codec::encode(&body))?;
        object::put_regardless(&repository.store, &name, bytes)?;
    }
    Ok(())
}

/// Removes the records of packs that are gone.
pub(crate) fn sweep(store: &Storage, compartment: Compartment) -> Result<(), RepoError> {
    for meta in store.list(&folder(compartment))? {
        let Some((_, hash)) = names::quarantine(&meta.name) else { continue };
        if matches!(pack::is_gone(store, compartment, &hash), Ok(true)) {
            store.delete(&meta.name)?;
        }
    }
    Ok(())
}
