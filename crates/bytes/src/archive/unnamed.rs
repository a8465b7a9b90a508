//! Dependencies between triggers, partitions and their parents that an archive leaves out.

use std::collections::{HashMap, HashSet};

use super::model::{Section, TocEntry};
use super::passes::{Pass, pass};

/// A trigger that a partition inherits and only sets another way (`ALTER TABLE … ENABLE|DISABLE
/// TRIGGER`) names no dependency on the trigger that it inherits: it waits for every trigger that
/// is created. The indexes of entries that wait, each with what it waits for.
pub(super) fn unnamed_triggers(entries: &[TocEntry]) -> Vec<(usize, Vec<i32>)> {
    let is_setting =
        |e: &TocEntry| e.kind() == "TRIGGER" && e.defn_bytes().trim_ascii_start().starts_with(b"ALTER TABLE");
    let created: Vec<i32> =
        entries.iter().filter(|e| e.kind() == "TRIGGER" && !is_setting(e)).map(|e| e.dump_id).collect();
    let lacks = |e: &TocEntry| created.iter().copied().filter(|id| !e.dependencies.contains(id)).collect();
    entries.iter().enumerate().filter(|(_, e)| is_setting(e)).map(|(index, e)| (index, lacks(e))).collect()
}

/// The partitions, and theirs, of each partitioned table, by dump id. What attaches a partition
/// depends on it and on its parent, and has its name. (pg_dump before 14 writes that into the
/// table's own entry: there nothing is found.)
pub(super) fn partitions(entries: &[TocEntry]) -> HashMap<i32, Vec<i32>> {
    let tables: HashMap<i32, &TocEntry> =
        entries.iter().filter(|e| e.kind() == "TABLE").map(|e| (e.dump_id, e)).collect();
    let mut below: HashMap<i32, Vec<i32>> = HashMap::new();
    for attach in entries.iter().filter(|e| e.kind() == "TABLE ATTACH") {
        let named = |id: &&i32| {
            let table = tables.get(*id);
            table.is_some_and(|table| table.tag == attach.tag && table.namespace == attach.namespace)
        };
        let Some(&child) = attach.dependencies.iter().find(named) else { continue };
        let is_parent = |id: &&i32| **id != child && tables.contains_key(*id);
        if let Some(&parent) = attach.dependencies.iter().find(is_parent) {
            below.entry(parent).or_default().push(child);
        }
    }
    let all = |root: i32| {
        let (mut found, mut open) = (Vec::new(), vec![root]);
        let mut seen = HashSet::from([root]);
        while let Some(table) = open.pop() {
            for &child in below.get(&table).into_iter().flatten().filter(|child| seen.insert(**child)) {
                found.push(child);
                open.push(child);
            }
        }
        found
    };
    below.keys().map(|&root| (root, all(root))).collect()
}

/// Post-data of partitioned tables, except indexes, which are made table by table: the indexes of
/// entries, each with the partitions that it does not name.
pub(super) fn unnamed_partitions(entries: &[TocEntry]) -> Vec<(usize, Vec<i32>)> {
    let below = partitions(entries);
    if below.is_empty() {
        return Vec::new();
    }
    let goes_down = |e: &TocEntry| {
        e.section == Section::PostData
            && pass(e) == Pass::Main
            && !matches!(e.kind(), "INDEX" | "INDEX ATTACH")
    };
    let missing = |e: &TocEntry| {
        let known: HashSet<i32> = e.dependencies.iter().copied().collect();
        let mut ids: Vec<i32> =
            e.dependencies.iter().filter_map(|id| below.get(id)).flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !known.contains(id));
        ids
    };
    let entries = entries.iter().enumerate().filter(|(_, e)| goes_down(e));
    entries.map(|(index, e)| (index, missing(e))).filter(|(_, ids)| !ids.is_empty()).collect()
}
