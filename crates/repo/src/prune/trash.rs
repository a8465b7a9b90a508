//! What stands in `trash/`: marks and intents of pruners, signed. Writers go by the names of marks:
//! who puts one without a right makes them store a pack's chunks once more, and no worse.

use std::time::SystemTime;

use minicbor::{Decode, Encode};
use pgark_store::{Storage, StoreError};

use crate::codec::Extensions;
use crate::ids::{Compartment, ObjectHash};
use crate::object::{self, Kind};
use crate::rights::{Right, Scope};
use crate::secrets::Keys;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, names, signed};

pub(crate) const FOLDER: &str = "trash/";

/// What a pruner says of a pack: `trash/<pack>/<pruner>.mark` or `….intent`.
pub(crate) struct Mark {
    pub name: String,
    pub pack: ObjectHash,
    /// Who says so.
    pub pruner: String,
    /// It is about to delete the pack.
    pub intent: bool,
    /// By the storage's clock.
    pub put: SystemTime,
}

/// All marks of a compartment.
pub(crate) fn list(store: &Storage, compartment: Compartment) -> Result<Vec<Mark>, StoreError> {
    let parse = |name: &str, put: SystemTime| {
        let (_, pack, pruner, intent) = names::mark(name)?;
        Some(Mark { name: name.to_string(), pack, pruner: pruner.to_string(), intent, put })
    };
    Ok(store
        .list(&format!("{FOLDER}{compartment}/"))?
        .iter()
        .filter_map(|meta| parse(&meta.name, meta.modified))
        .collect())
}

pub(crate) fn name(compartment: Compartment, pack: &ObjectHash, pruner: &str, intent: bool) -> String {
    format!("{FOLDER}{compartment}/{pack}/{pruner}.{}", if intent { "intent" } else { "mark" })
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    pack: ObjectHash,
    #[n(1)]
    more: Extensions,
}

/// The bytes of a mark or intent of this name.
pub(crate) fn make(keys: &Keys, name: &str, pack: &ObjectHash, intent: bool) -> Result<Vec<u8>, RepoError> {
    let body = Body { pack: *pack, more: Extensions::default() };
    signed::seal(keys, kind(intent), name, codec::encode(&body))
}

fn kind(intent: bool) -> Kind {
    if intent { Kind::Intent } else { Kind::Mark }
}

/// Whether a mark or intent is there, and of somebody who may prune here. A name alone says
/// nothing: who holds no key can write one.
pub(crate) fn counts(
    repository: &Unlocked,
    compartment: Compartment,
    mark: &Mark,
) -> Result<bool, RepoError> {
    let read = || {
        let Some(bytes) = object::get_if_there(&repository.store, &mark.name)? else { return Ok(false) };
        let needs = (Right::Prune, Scope::Compartment(compartment));
        let body = repository.open_signed(kind(mark.intent), &mark.name, &mark.name, needs, &bytes)?;
        let body: Body = codec::decode(&body).map_err(|what| object::damaged(&mark.name, what))?;
        Ok(body.pack == mark.pack)
    };
    match read() {
        Err(error) if RepoError::is_of_object(&error) => {
            repository.warn_once(format!("a mark in the trash is passed over: {error}"));
            Ok(false)
        }
        other => other,
    }
}

/// An object whose time tells the storage's own clock.
pub(super) fn clock_name(pruner: &str) -> String {
    format!("{FOLDER}clock/{pruner}")
}
