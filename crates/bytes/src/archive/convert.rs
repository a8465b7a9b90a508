//! An archive as an older `pg_restore` reads it.
//!
//! Up to 1.15 an archive has one BLOB entry for each large object and one BLOBS entry with the
//! contents of all; from 1.16 a BLOB METADATA entry stands for a group of objects with one owner
//! and one set of privileges, each followed by a BLOBS entry of its own (PostgreSQL 17, pg_dump.c,
//! `getLOs` and `dumpLO`).

use std::collections::HashMap;

use super::model::{Archive, ArchiveVersion, Section, TocEntry};
use super::statements::{Options, SessionState, statements};

/// The archive in at most this version. A newer version is never made of an older one.
pub fn at_most(mut archive: Archive, version: ArchiveVersion) -> Archive {
    if archive.header.version <= version {
        return archive;
    }
    if archive.header.version >= ArchiveVersion::V1_16 && version < ArchiveVersion::V1_16 {
        archive.entries = single_objects(&archive);
    }
    archive.header.version = version;
    archive
}

/// The object ids of a BLOB METADATA entry: one a line.
pub fn group_members(group: &TocEntry) -> Vec<u32> {
    group
        .defn_bytes()
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line.trim_ascii()).ok()?.parse().ok())
        .collect()
}

fn single_objects(archive: &Archive) -> Vec<TocEntry> {
    let mut next_id = archive.entries.iter().map(|entry| entry.dump_id).max().unwrap_or(0);
    // Per group, its objects and the new entry of each.
    let mut groups: HashMap<i32, Vec<(u32, i32)>> = HashMap::new();
    let mut contents: Option<i32> = None;
    let mut out = Vec::with_capacity(archive.entries.len());
    for entry in &archive.entries {
        let group = entry.dependencies.iter().find(|id| groups.contains_key(id)).copied();
        match (entry.kind(), group) {
            ("BLOB METADATA", _) => {
                let members = group_members(entry).into_iter().map(|oid| {
                    next_id = next_id.saturating_add(1);
                    out.push(one_object(entry, oid, next_id));
                    (oid, next_id)
                });
                groups.insert(entry.dump_id, members.collect());
            }
            // The first one stands for all: in it, all objects are listed.
            ("BLOBS", _) => {
                if contents.is_none() {
                    contents = Some(entry.dump_id);
                    let objects = groups.values().flatten().map(|(_, id)| *id).collect();
                    out.push(TocEntry {
                        dependencies: objects,
                        tag: Some(b"BLOBS".to_vec()),
                        ..entry.clone()
                    });
                }
            }
            ("ACL", Some(group)) if entry.tag_bytes().starts_with(b"LARGE OBJECTS") => {
                let sql = statements(archive, entry, &Options::default(), &mut SessionState::default());
                for (oid, id) in groups.get(&group).into_iter().flatten() {
                    next_id = next_id.saturating_add(1);
                    out.push(privileges(entry, &sql, *oid, *id, next_id));
                }
            }
            (_, Some(group)) => {
                // A comment or a label is on one of the group.
                let tag = String::from_utf8_lossy(entry.tag_bytes());
                let oid: Option<u32> = tag.strip_prefix("LARGE OBJECT ").and_then(|oid| oid.parse().ok());
                let members = groups.get(&group).map_or(&[][..], Vec::as_slice);
                let id = members.iter().find(|(other, _)| Some(*other) == oid).map(|(_, id)| *id);
                let dependencies = entry
                    .dependencies
                    .iter()
                    .map(|other| if *other == group { id.unwrap_or(*other) } else { *other });
                out.push(TocEntry { dependencies: dependencies.collect(), ..entry.clone() });
            }
            _ => out.push(entry.clone()),
        }
    }
    // The contents may come before a later group: what they depend on is known only now.
    let all: Vec<i32> = {
        let mut ids: Vec<i32> = groups.values().flatten().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids
    };
    for entry in out.iter_mut().filter(|entry| Some(entry.dump_id) == contents) {
        entry.dependencies.clone_from(&all);
    }
    out
}

fn one_object(group: &TocEntry, oid: u32, dump_id: i32) -> TocEntry {
    TocEntry {
        dump_id,
        had_dumper: false,
        oid,
        tag: Some(oid.to_string().into_bytes()),
        desc: Some(b"BLOB".to_vec()),
        section: Section::PreData,
        defn: Some(format!("SELECT pg_catalog.lo_create('{oid}');\n").into_bytes()),
        drop_stmt: Some(format!("SELECT pg_catalog.lo_unlink('{oid}');\n").into_bytes()),
        copy_stmt: None,
        dependencies: Vec::new(),
        shown: None,
        ..group.clone()
    }
}

/// The commands of a group's privileges that are on this object.
fn privileges(
    group: &TocEntry,
    sql: &[super::statements::Statement],
    oid: u32,
    object: i32,
    dump_id: i32,
) -> TocEntry {
    let name = format!("LARGE OBJECT {oid} ");
    let mut defn = Vec::new();
    for statement in sql {
        for command in crate::sql::split(&statement.sql) {
            if memchr::memmem::find(command, name.as_bytes()).is_some() {
                let command = command.trim_ascii();
                defn.extend_from_slice(command.strip_suffix(b";").unwrap_or(command));
                defn.extend_from_slice(b";\n");
            }
        }
    }
    TocEntry {
        dump_id,
        tag: Some(format!("LARGE OBJECT {oid}").into_bytes()),
        defn: Some(defn),
        dependencies: vec![object],
        shown: None,
        ..group.clone()
    }
}
