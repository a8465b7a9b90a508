//! A table of contents whose numbers do not shift.
//!
//! `pg_dump` numbers its objects from the start in each run: one table more, and most dump ids are
//! others, wherever they are. So that a table of contents is stored in proportion to what changed,
//! it is kept with other numbers in their place, from which [`restored`] makes it again, byte for
//! byte:
//!
//! * a dump id becomes the distance from the id of the entry of its kind before it, zigzag (0, -1,
//!   1, -2 … as 0, 1, 2, 3 …) and one more, since 0 is no dump id. `pg_dump` sorts by kind and name
//!   and counts in the order of the catalog: the distance is mostly that of yesterday;
//! * a dependency on an entry whose object has an OID that no other entry with a catalog has,
//!   becomes that OID; any other becomes its distance from the entry's own id, zigzag, one more,
//!   and negative.
//!
//! The first entry of each kind has none before it. The ids of these are the dependencies of an
//! entry without a kind that is in front of all others: whoever stores that apart stores what
//! shifts apart.
//!
//! Names of data files, which are made of dump ids, are left out.

use std::collections::HashMap;

use super::error::ArchiveError;
use super::model::{Archive, Section, TocEntry};

/// The archive with numbers that do not shift; None where some number is too large for that.
pub fn settled(mut archive: Archive) -> Option<Archive> {
    let named = named(&archive);
    let oids: HashMap<i32, i32> = named.iter().map(|(oid, id)| (*id, *oid)).collect();
    let mut last: HashMap<Vec<u8>, i32> = HashMap::new();
    let mut firsts = TocEntry::new(1, Section::None);
    firsts.file_name = Some(Vec::new());
    for entry in &mut archive.entries {
        let own = entry.dump_id;
        let before = last_of(&mut last, entry, own).unwrap_or_else(|| {
            firsts.dependencies.push(own);
            own
        });
        entry.dump_id = distance(before, own)?;
        entry.file_name = Some(Vec::new());
        for dependency in &mut entry.dependencies {
            *dependency = match oids.get(dependency) {
                Some(oid) => *oid,
                None => distance(own, *dependency)?.checked_neg()?,
            };
        }
    }
    archive.entries.insert(0, firsts);
    Some(archive)
}

/// The dump id of the entry of this one's kind before it, after which this one's comes from now on;
/// None for the first.
fn last_of(last: &mut HashMap<Vec<u8>, i32>, entry: &TocEntry, own: i32) -> Option<i32> {
    let kind = entry.desc.as_deref().unwrap_or_default();
    match last.get_mut(kind) {
        Some(last) => Some(std::mem::replace(last, own)),
        None => last.insert(kind.to_vec(), own),
    }
}

/// The archive that [`settled`] was made from, without the names of data files.
///
/// # Errors
/// [`ArchiveError::Invalid`] for numbers that are none of a settled archive.
pub fn restored(settled: Archive) -> Result<Archive, ArchiveError> {
    let mut archive = settled;
    if archive.entries.is_empty() {
        return Err(invalid(0, "the first dump ids"));
    }
    let mut firsts = archive.entries.remove(0).dependencies.into_iter();
    let mut last: HashMap<Vec<u8>, i32> = HashMap::new();
    for (number, entry) in archive.entries.iter_mut().enumerate() {
        let known = last.get(entry.desc.as_deref().unwrap_or_default()).copied();
        let before = known.or_else(|| firsts.next());
        let id = before.and_then(|before| add(before, entry.dump_id)).filter(|id| *id > 0);
        entry.dump_id = id.ok_or_else(|| invalid(number, "the dump id"))?;
        last_of(&mut last, entry, entry.dump_id);
    }
    let named = named(&archive);
    for (number, entry) in archive.entries.iter_mut().enumerate() {
        for dependency in &mut entry.dependencies {
            let id = match *dependency {
                oid @ 1.. => named.get(&oid).copied(),
                distance => distance.checked_neg().and_then(|distance| add(entry.dump_id, distance)),
            };
            *dependency = id.ok_or_else(|| invalid(number, "a dependency"))?;
        }
    }
    Ok(archive)
}

fn invalid(number: usize, field: &'static str) -> ArchiveError {
    let entry = u32::try_from(number + 1).unwrap_or(u32::MAX);
    ArchiveError::Invalid { entry, field, what: "the number is not one of a settled archive".into() }
}

/// The id of each entry that its object's OID names alone; OIDs beyond 2^31 name none.
fn named(archive: &Archive) -> HashMap<i32, i32> {
    let mut named: HashMap<i32, Option<i32>> = HashMap::new();
    for entry in archive.entries.iter().filter(|entry| entry.table_oid != 0) {
        if let Some(oid) = i32::try_from(entry.oid).ok().filter(|oid| *oid > 0) {
            named.entry(oid).and_modify(|id| *id = None).or_insert(Some(entry.dump_id));
        }
    }
    named.into_iter().filter_map(|(oid, id)| Some((oid, id?))).collect()
}

/// How far it is from one number to another: zigzag, and one more.
fn distance(from: i32, to: i32) -> Option<i32> {
    let distance = i64::from(to) - i64::from(from);
    i32::try_from(((distance << 1) ^ (distance >> 63)) + 1).ok()
}

/// The number that is so far from another.
fn add(from: i32, distance: i32) -> Option<i32> {
    let zigzag = i64::from(distance).checked_sub(1).filter(|zigzag| *zigzag >= 0)?;
    i32::try_from(i64::from(from) + ((zigzag >> 1) ^ -(zigzag & 1))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{ArchiveVersion, Compression, CreatedAt, Format, Header, read_toc, write_toc};
    use proptest::prelude::*;

    fn archive(entries: Vec<TocEntry>) -> Archive {
        let created = CreatedAt { second: 0, minute: 0, hour: 0, day: 1, month: 0, year: 126, is_dst: 0 };
        let header = Header {
            version: ArchiveVersion::V1_14,
            int_size: 4,
            off_size: 8,
            format: Format::Tar,
            compression: Compression::Level(0),
            created,
            dbname: Some(b"d".to_vec()),
            server_version: None,
            dump_version: None,
        };
        Archive { header, entries }
    }

    /// `tables` tables with rows and keys, numbered as pg_dump does.
    fn dump(tables: &[u32]) -> Archive {
        let count = tables.len() as i32;
        let mut entries = Vec::new();
        for (kind, section) in
            [("TABLE", Section::PreData), ("TABLE DATA", Section::Data), ("CONSTRAINT", Section::PostData)]
        {
            let block = entries.len() as i32 + 200 + 2 * count;
            for (number, table) in (0..).zip(tables) {
                let mut entry = TocEntry::new(block + number, section);
                entry.desc = Some(kind.into());
                entry.tag = Some(format!("t{table}").into_bytes());
                let catalogs = [("TABLE", 1259, 0), ("TABLE DATA", 0, 0), ("CONSTRAINT", 2606, 1)];
                let (_, catalog, more) = catalogs.into_iter().find(|(name, ..)| *name == kind).unwrap();
                (entry.table_oid, entry.oid) = (catalog, 16384 + table * 3 + more);
                if kind != "TABLE" {
                    // The second is of no entry of the archive.
                    entry.dependencies = vec![200 + 2 * count + number, entry.dump_id + 5000];
                }
                entry.file_name = Some(Vec::new());
                entries.push(entry);
            }
        }
        archive(entries)
    }

    #[test]
    fn one_more_table_shifts_nothing() {
        let settled = |tables: &[u32]| settled(dump(tables)).unwrap();
        let (before, after) = (settled(&[1, 2, 3, 5, 6]), settled(&[1, 2, 3, 4, 5, 6]));
        let new: Vec<_> = after
            .entries
            .iter()
            .filter(|entry| !before.entries.contains(entry))
            .map(|e| e.tag_bytes())
            .collect();
        // The new one; and in front of all others what shifts.
        assert_eq!(new, [&b""[..], b"t4", b"t4", b"t4"]);
        let plain = |tables: &[u32]| dump(tables).entries;
        let (before, after) = (plain(&[1, 2, 3, 5, 6]), plain(&[1, 2, 3, 4, 5, 6]));
        assert!(after.iter().all(|entry| !before.contains(entry)));
    }

    proptest! {
        #[test]
        fn every_archive_comes_back(
            numbers in prop::collection::vec((1i32..2_000_000_000, 0u32..4, 0u32..6, 0usize..3), 0..60),
            odd in prop::collection::vec(any::<i32>(), 0..3)
        ) {
            let ids: Vec<i32> = numbers.iter().map(|(id, ..)| *id).collect();
            let entries = numbers.iter().enumerate().map(|(at, (id, catalog, oid, kind))| {
                let mut entry = TocEntry::new(*id, Section::PreData);
                entry.desc = Some(format!("KIND {kind}").into_bytes());
                (entry.table_oid, entry.oid) = (*catalog, if *oid == 5 { u32::MAX } else { *oid });
                entry.dependencies = ids.iter().skip(at).step_by(7).copied().chain(odd.iter().copied()).collect();
                entry.file_name = Some(Vec::new());
                entry
            });
            let archive = archive(entries.collect());
            if let Some(settled) = settled(archive.clone()) {
                let read = read_toc(&mut write_toc(&settled).as_slice()).unwrap();
                prop_assert_eq!(restored(read).unwrap(), archive);
            }
        }

        #[test]
        fn no_numbers_do_harm(numbers in prop::collection::vec((any::<i32>(), any::<i32>(), 0u32..3), 0..20)) {
            let entries = numbers.iter().map(|(id, dependency, oid)| {
                let mut entry = TocEntry::new(*id, Section::PreData);
                (entry.table_oid, entry.oid) = (1, *oid);
                entry.dependencies = vec![*dependency];
                entry
            });
            if let Ok(restored) = restored(archive(entries.collect())) {
                prop_assert!(restored.entries.iter().all(|entry| entry.dump_id > 0));
            }
        }
    }
}
