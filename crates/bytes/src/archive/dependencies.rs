//! Dependencies that a schedule knows and an archive leaves out, written into it: for other
//! programs that restore it.

use std::collections::{HashMap, HashSet};

use super::model::{Archive, Section, TocEntry};
use super::order::postponed;
use super::selection::Selection;
use super::unnamed::{unnamed_partitions, unnamed_triggers};
use super::waits::Waits;

/// Writes into the archive what its dependencies leave out and a
/// [`Schedule`](super::order::Schedule) knows, for a parallel pg_restore of it: an inherited
/// trigger is set after it was made; what is done to a partitioned table waits for its partitions;
/// rights in a schema come after those on it; indexes of partitions are attached one after the
/// other; what functions read is there before they are called; definitions that need post-data are
/// post-data.
pub fn name_all_dependencies(archive: &mut Archive) {
    name_waits(archive);
    let postponed = postponed(archive);
    for entry in archive.entries.iter_mut().filter(|e| e.section == Section::PreData) {
        if postponed.contains(&entry.dump_id) {
            entry.section = Section::PostData;
        }
    }
    for (index, triggers) in unnamed_triggers(&archive.entries) {
        if let Some(entry) = archive.entries.get_mut(index) {
            entry.dependencies.extend(triggers);
        }
    }
    for (index, below) in unnamed_partitions(&archive.entries) {
        if let Some(entry) = archive.entries.get_mut(index) {
            entry.dependencies.extend(below);
        }
    }
    // Who grants on by what he was granted must be let into the schema first.
    let schemas: HashMap<Vec<u8>, i32> = archive
        .entries
        .iter()
        .filter(|entry| entry.kind() == "ACL")
        .filter_map(|entry| Some((entry.tag_bytes().strip_prefix(b"SCHEMA ")?.to_vec(), entry.dump_id)))
        .collect();
    for entry in archive.entries.iter_mut().filter(|entry| entry.kind() == "ACL") {
        let schema = entry.namespace.as_ref().and_then(|schema| schemas.get(schema)).copied();
        entry
            .dependencies
            .extend(schema.filter(|id| *id != entry.dump_id && !entry.dependencies.contains(id)));
    }
    let mut last = None;
    for entry in archive.entries.iter_mut().filter(|entry| entry.kind() == "INDEX ATTACH") {
        entry.dependencies.extend(last.filter(|id| !entry.dependencies.contains(id)));
        last = Some(entry.dump_id);
    }
}

/// What [`Waits`] says, as dependencies and as the order of rows.
fn name_waits(archive: &mut Archive) {
    let all: Selection = archive.entries.iter().map(|entry| entry.dump_id).collect();
    let waits = Waits::of(&archive.entries, &all, true);
    let entries = &archive.entries;
    let postponed = postponed(archive);
    let ids: Vec<i32> = entries.iter().map(|entry| entry.dump_id).collect();
    let id = |index: usize| ids.get(index).copied();
    let late: HashSet<usize> = waits.late.iter().copied().collect();
    let plain: Vec<i32> = entries
        .iter()
        .enumerate()
        .filter(|(index, e)| {
            e.section == Section::Data && !late.contains(index) && !postponed.contains(&e.dump_id)
        })
        .map(|(_, e)| e.dump_id)
        .collect();
    let mut more: Vec<(usize, Vec<i32>)> = waits
        .on
        .iter()
        .map(|(&index, others)| (index, others.iter().filter_map(|&o| id(o)).collect()))
        .collect();
    let mut before = plain;
    for &index in &waits.late {
        more.push((index, before));
        before = id(index).into_iter().collect();
    }
    // All rows are named once, by the first of those that wait for them. The others wait for that
    // one.
    for &index in &waits.after_rows {
        more.push((index, before));
        before = waits.after_rows.first().and_then(|&first| id(first)).into_iter().collect();
    }
    let moved = waits.moved(entries);
    for (index, others) in more {
        if let Some(entry) = archive.entries.get_mut(index) {
            let known: HashSet<i32> = entry.dependencies.iter().copied().chain([entry.dump_id]).collect();
            entry.dependencies.extend(others.into_iter().filter(|other| !known.contains(other)));
        }
    }
    let taken: Vec<(usize, TocEntry)> = moved
        .into_iter()
        .filter_map(|(place, index)| Some((place, archive.entries.get(index)?.clone())))
        .collect();
    for (place, entry) in taken {
        if let Some(slot) = archive.entries.get_mut(place) {
            *slot = entry;
        }
    }
}
