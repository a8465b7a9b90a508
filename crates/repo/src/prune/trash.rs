//! What stands in `trash/`: marks and intents of pruners. Writers go by the names alone.

use std::time::SystemTime;

use pgark_store::{Storage, StoreError};

use crate::ids::ObjectHash;
use crate::names;

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

/// All marks.
pub(crate) fn list(store: &Storage) -> Result<Vec<Mark>, StoreError> {
    let parse = |name: &str, put: SystemTime| {
        let (pack, pruner, intent) = names::mark(name)?;
        Some(Mark { name: name.to_string(), pack, pruner: pruner.to_string(), intent, put })
    };
    Ok(store.list(FOLDER)?.iter().filter_map(|meta| parse(&meta.name, meta.modified)).collect())
}

pub(super) fn name(pack: &ObjectHash, pruner: &str, intent: bool) -> String {
    format!("{FOLDER}{pack}/{pruner}.{}", if intent { "intent" } else { "mark" })
}

/// An object whose time tells the storage's own clock.
pub(super) fn clock_name(pruner: &str) -> String {
    format!("{FOLDER}clock/{pruner}")
}
