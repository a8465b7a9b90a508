//! The passes of a restore, and which entry belongs to which; where the rows of each table are.

use std::collections::HashMap;

use super::model::{Section, TocEntry};

/// The three passes of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Everything else.
    Main,
    /// Privileges.
    Acl,
    /// Event triggers and what belongs to them, materialised views' contents and the statistics
    /// after them.
    PostAcl,
}

/// The pass that an entry belongs to.
pub fn pass(entry: &TocEntry) -> Pass {
    if entry.is_acl() {
        return Pass::Acl;
    }
    let late = match entry.kind() {
        "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => true,
        // They go where their object goes; ACLs and view contents have none.
        "COMMENT" | "SECURITY LABEL" => entry.tag_bytes().starts_with(b"EVENT TRIGGER "),
        // Statistics of a materialised view would be overwritten by its refresh.
        "STATISTICS DATA" => entry.section == Section::PostData,
        _ => false,
    };
    if late { Pass::PostAcl } else { Pass::Main }
}

/// For each TABLE's dump id the index of its TABLE DATA entry.
pub(super) fn data_of(entries: &[TocEntry]) -> HashMap<i32, usize> {
    entries
        .iter()
        .enumerate()
        .filter(|(_, e)| e.kind() == "TABLE DATA")
        .filter_map(|(index, e)| e.dependencies.first().map(|&table| (table, index)))
        .collect()
}
