//! What ties chosen objects to others: foreign keys, partitions and publications need both ends.
//!
//! With `--table` the other end may be in the target, or nowhere. A tie whose other end is nowhere
//! is left out and noted: it is no error of the restore. A partition whose parent is in the target
//! already is attached to it, last of all: by then its own indexes are there, which the server
//! takes for the parent's instead of making new ones under their names.

use std::collections::HashSet;

use pgark_bytes::archive::filter::foreign_keys;
use pgark_bytes::archive::identity::{attached_to, publication};
use pgark_bytes::archive::{Archive, Section, TocEntry};
use pgark_bytes::names;
use pgark_pg::Connection;

use super::place::DatabaseRestore;
use super::target;
use crate::OpsError;
use crate::error::Doing;

/// Schema and name.
type Name = (Vec<u8>, Vec<u8>);

/// A name of the archive, for people.
fn shown(archive: &Archive, name: &Name) -> String {
    let (schema, name) = archive.matched(name);
    format!("{}.{}", names::shown(&schema), names::shown(&name))
}

/// Settles every tie; `inside` is the target, if it exists.
pub(super) fn settle(
    place: &mut DatabaseRestore<'_>,
    mut inside: Option<&mut Connection>,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    leave_out_cut_keys(place, inside.as_deref_mut(), notes)?;
    leave_out_publications(place, inside.as_deref_mut(), notes)?;
    attach_partitions(place, inside.as_deref_mut(), notes)?;
    match inside {
        Some(inside) if place.picked.is_some_of_it() => name_what_stays_away(place, inside, notes),
        _ => Ok(()),
    }
}

/// Whether relations that the archive names are in the target.
fn present(
    archive: &Archive,
    inside: Option<&mut Connection>,
    relations: &[Name],
) -> Result<Vec<bool>, OpsError> {
    match inside {
        Some(inside) => {
            let names: Vec<Name> = relations.iter().map(|name| archive.matched(name)).collect();
            target::present(inside, &names)
        }
        None => Ok(vec![false; relations.len()]),
    }
}

/// A foreign key needs the table that it refers to.
fn leave_out_cut_keys(
    place: &mut DatabaseRestore<'_>,
    inside: Option<&mut Connection>,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let parents: Vec<(Vec<u8>, Vec<u8>)> =
        place.picked.cut_keys.iter().map(|key| key.parent.clone()).collect();
    let present = present(&place.contents.archive, inside, &parents)?;
    for (key, is_there) in std::mem::take(&mut place.picked.cut_keys).into_iter().zip(present) {
        if is_there {
            continue;
        }
        place.picked.selection.remove(key.dump_id);
        notes.push(format!(
            "foreign key {} is left out: its parent table {} is neither restored nor in the target",
            key.tag,
            key.parent_shown(),
        ));
    }
    Ok(())
}

/// A table goes into the publications that are restored or there.
fn leave_out_publications(
    place: &mut DatabaseRestore<'_>,
    inside: Option<&mut Connection>,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let (archive, selection) = (&place.contents.archive, &mut place.picked.selection);
    let made: HashSet<Vec<u8>> = archive
        .entries
        .iter()
        .filter(|entry| entry.kind() == "PUBLICATION" && selection.contains(entry.dump_id))
        .map(|entry| entry.tag_bytes().to_vec())
        .collect();
    let members: Vec<(&TocEntry, Vec<u8>)> = archive
        .entries
        .iter()
        .filter(|entry| selection.contains(entry.dump_id))
        .filter_map(|entry| Some((entry, publication(entry)?)))
        .filter(|(_, name)| !made.contains(name))
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let mut there: HashSet<Vec<u8>> = HashSet::new();
    let mut of_all_tables: HashSet<Vec<u8>> = HashSet::new();
    if let Some(inside) = inside {
        let rows = inside
            .query("SELECT pubname, puballtables FROM pg_catalog.pg_publication", &[])
            .doing("find publications in the target")?;
        for row in rows {
            let name = row.get(0).unwrap_or_default().to_vec();
            if row.get(1) == Some(b"t") {
                of_all_tables.insert(name)
            } else {
                there.insert(name)
            };
        }
    }
    for (entry, name) in members {
        if there.contains(&name) {
            continue;
        }
        selection.remove(entry.dump_id);
        // Such a publication has it already.
        if !of_all_tables.contains(&name) {
            notes.push(format!(
                "{} is left out: publication {} is neither restored nor in the target",
                entry.describe(),
                String::from_utf8_lossy(&name)
            ));
        }
    }
    Ok(())
}

/// A partition that comes without its parent: attached where the target has the parent.
fn attach_partitions(
    place: &mut DatabaseRestore<'_>,
    inside: Option<&mut Connection>,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    if !place.request.choice.makes_definitions() {
        return Ok(());
    }
    let picked = &place.picked;
    let table = |name: &Name| {
        place.contents.archive.entries.iter().find(|entry| {
            entry.kind() == "TABLE"
                && entry.namespace.as_deref().unwrap_or_default() == name.0
                && entry.tag_bytes() == name.1
        })
    };
    let comes =
        |entry: &TocEntry| picked.selection.contains(entry.dump_id) && !picked.is_helper(entry.dump_id);
    let mut alone: Vec<(i32, i32, Name, Name)> = Vec::new();
    for attach in place.contents.archive.entries.iter().filter(|entry| entry.kind() == "TABLE ATTACH") {
        let child = (attach.namespace.clone().unwrap_or_default(), attach.tag_bytes().to_vec());
        let (Some(parent), Some(entry)) = (attached_to(attach), table(&child)) else { continue };
        if comes(entry) && !table(&parent).is_some_and(comes) {
            alone.push((attach.dump_id, entry.dump_id, child, parent));
        }
    }
    let parents: Vec<Name> = alone.iter().map(|(.., parent)| parent.clone()).collect();
    let there = present(&place.contents.archive, inside, &parents)?;
    for ((attach, table, child, parent), is_there) in alone.into_iter().zip(there) {
        leave_out_index_links(place, table);
        let is_whole = place.request.choice.parts.is_empty();
        if is_there && is_whole {
            move_to_the_end(place, attach, table);
            place.picked.selection.insert(attach);
            continue;
        }
        place.picked.selection.remove(attach);
        notes.push(match is_there {
            true => format!(
                "table {} is a partition of {} and is not attached to it: attach it when its indexes exist",
                shown(&place.contents.archive, &child),
                shown(&place.contents.archive, &parent)
            ),
            false => format!(
                "table {} is a partition of {}, which is neither restored nor in the target: it is restored as an ordinary table",
                shown(&place.contents.archive, &child),
                shown(&place.contents.archive, &parent)
            ),
        });
    }
    Ok(())
}

/// The parent's indexes do not come: where the parent is in the target, attaching the table links
/// its indexes, too.
fn leave_out_index_links(place: &mut DatabaseRestore<'_>, table: i32) {
    let entries = &place.contents.archive.entries;
    let own: HashSet<i32> = entries
        .iter()
        .filter(|entry| matches!(entry.kind(), "INDEX" | "CONSTRAINT") && entry.dependencies.contains(&table))
        .map(|entry| entry.dump_id)
        .collect();
    let links = entries.iter().filter(|entry| entry.kind() == "INDEX ATTACH");
    for link in links.filter(|link| link.dependencies.iter().any(|id| own.contains(id))) {
        place.picked.selection.remove(link.dump_id);
    }
}

/// Behind the rows, indexes and constraints of the table.
fn move_to_the_end(place: &mut DatabaseRestore<'_>, attach: i32, table: i32) {
    let entries = &mut place.contents.archive.entries;
    let first: Vec<i32> = entries
        .iter()
        .filter(|entry| matches!(entry.kind(), "TABLE DATA" | "INDEX" | "CONSTRAINT" | "CHECK CONSTRAINT"))
        .filter(|entry| entry.dependencies.contains(&table))
        .map(|entry| entry.dump_id)
        .collect();
    let Some(at) = entries.iter().position(|entry| entry.dump_id == attach) else { return };
    let mut entry = entries.remove(at);
    entry.section = Section::PostData;
    entry.dependencies.extend(first);
    entries.push(entry);
}

/// What the backup has on a chosen table and is neither chosen nor in the target: a DROP … CASCADE
/// took it along with the table.
fn name_what_stays_away(
    place: &DatabaseRestore<'_>,
    inside: &mut Connection,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    if !place.request.choice.makes_definitions() {
        return Ok(());
    }
    let (archive, picked) = (&place.contents.archive, &place.picked);
    let comes =
        |entry: &TocEntry| picked.selection.contains(entry.dump_id) && !picked.is_helper(entry.dump_id);
    let tables: HashSet<Name> = archive
        .entries
        .iter()
        .filter(|entry| entry.kind() == "TABLE" && comes(entry))
        .map(|entry| (entry.namespace.clone().unwrap_or_default(), entry.tag_bytes().to_vec()))
        .collect();
    let mut keys = foreign_keys(archive);
    keys.retain(|key| !picked.selection.contains(key.dump_id) && tables.contains(&key.parent));
    keys.retain(|key| !tables.contains(&key.child));
    let children: Vec<Name> = keys.iter().map(|key| key.child.clone()).collect();
    let there = present(archive, Some(&mut *inside), &children)?;
    for (key, _) in keys.iter().zip(there).filter(|(_, is_there)| *is_there) {
        let Some(entry) = archive.entry(key.dump_id) else { continue };
        let (schema, table) = archive.matched(&key.child);
        let tag = entry.matched_name().1;
        let name = tag.strip_prefix(&*table).unwrap_or_default().trim_ascii_start();
        let (schema, table, name) = (names::shown(&schema), names::shown(&table), names::shown(name));
        let rows = inside
            .query(
                "SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = $2 AND k.conname = $3",
                &[Some(&schema), Some(&table), Some(&name)],
            )
            .doing("find foreign keys in the target")?;
        if rows.is_empty() {
            let words: Vec<String> = entry.defn_str().split_whitespace().map(str::to_string).collect();
            notes.push(format!(
                "foreign key {name} of table {} to {} is in the backup, but neither selected nor in the target; run afterwards: {}",
                shown(archive, &key.child),
                shown(archive, &key.parent),
                words.join(" ")
            ));
        }
    }
    Ok(())
}
