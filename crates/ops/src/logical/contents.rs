//! One database of a logical backup: its table of contents and where its rows are.

use std::collections::{BTreeSet, HashMap, HashSet};

use pgark_bytes::archive::family::Inheritance;
use pgark_bytes::archive::{Archive, TocEntry};
use pgark_repo::{Backup, DataReader, Entry};

use crate::OpsError;
use crate::advice::{Operation, Setting, advice};
use crate::facts::{About, Missing, Note};
use crate::logical::{names, toc};
use crate::paths;
use crate::select::refuse_unknown_database;

/// The entries of one database by what they are.
pub(crate) struct Contents {
    pub database: String,
    pub archive: Archive,
    /// By dump id of the TABLE DATA entry.
    pub tables: HashMap<i32, (Entry, u64)>,
    pub large_objects: Option<Entry>,
    /// Who inherits from whom, where the archive has no definitions that say it.
    pub inheritance: Vec<Inheritance>,
}

impl Contents {
    /// The contents of `database`, which may be left out where the backup holds only one.
    pub(crate) fn of(
        backup: &Backup<'_>,
        reader: &DataReader<'_>,
        database: Option<&str>,
    ) -> Result<Contents, OpsError> {
        let database = which(backup, database)?;
        let archive = toc::read(backup, reader, &database)?;
        let Some(mut archive) = archive else {
            return Err(OpsError::Record {
                backup: backup.head.id.to_string(),
                what: format!("the table of contents of database {database}"),
            });
        };
        let rows_of = || archive.entries.iter().filter(|toc| toc.had_dumper && toc.kind() != "BLOBS");
        let path = |toc: &TocEntry| {
            paths::table(&database, toc.namespace.as_deref().unwrap_or_default(), toc.tag_bytes())
        };
        let by_oid: HashMap<u32, i32> = rows_of().map(|toc| (toc.oid, toc.dump_id)).collect();
        let by_path: HashMap<String, i32> =
            rows_of().filter(|toc| toc.oid == 0).map(|toc| (path(toc), toc.dump_id)).collect();
        let (mut tables, mut large_objects) = (HashMap::new(), None);
        for entry in backup.entries_below(&paths::folder(&database)) {
            let entry = entry?;
            match Note::of(backup, &entry)? {
                Note::Table { oid, rows, .. } => {
                    let dump_id = if oid == 0 { by_path.get(&entry.path) } else { by_oid.get(&oid) };
                    if let Some(dump_id) = dump_id {
                        tables.insert(*dump_id, (entry, rows));
                    }
                }
                Note::LargeObjects { .. } => large_objects = Some(entry),
                _ => {}
            }
        }
        let inheritance = names::settle(&mut archive, backup, reader, &database)?;
        Ok(Contents { database, archive, tables, large_objects, inheritance })
    }

    pub(crate) fn bytes_raw(&self) -> u64 {
        self.tables.values().map(|(entry, _)| entry.bytes_raw).sum::<u64>()
            + self.large_objects.as_ref().map_or(0, |entry| entry.bytes_raw)
    }

    /// TABLE DATA entries of the archive that the backup holds no rows for.
    pub(crate) fn missing(&self) -> Vec<(i32, String)> {
        self.archive
            .entries
            .iter()
            .filter(|toc| {
                toc.had_dumper && toc.kind() == "TABLE DATA" && !self.tables.contains_key(&toc.dump_id)
            })
            .map(|toc| (toc.dump_id, format!("{}.{}", toc.namespace_str(), toc.tag_str())))
            .collect()
    }

    /// What the backup does not have of this database in addition to rows of tables that it
    /// defines: tables that could not even be defined, large objects.
    pub(crate) fn undefined<'a>(&self, about: &'a About) -> Vec<&'a Missing> {
        let rows = self.missing();
        let is_told = |missing: &Missing| rows.iter().any(|(_, table)| missing.is_rows_of(table));
        about.missing_of(&self.database).filter(|missing| !is_told(missing)).collect()
    }

    /// Keeps the entries that pass the test, with their rows and objects.
    pub(crate) fn keep(&mut self, mut test: impl FnMut(&TocEntry) -> bool) {
        self.archive.entries.retain(|entry| test(entry));
        let kept: HashSet<i32> = self.archive.entries.iter().map(|entry| entry.dump_id).collect();
        self.tables.retain(|dump_id, _| kept.contains(dump_id));
        if !self.archive.entries.iter().any(|entry| entry.kind() == "BLOBS") {
            self.large_objects = None;
        }
    }

    /// For a restore: the backup holds all large objects in one entry, and the first BLOBS of the
    /// archive brings them. From 1.16 there is one for each group of owner and privileges, behind
    /// what creates that group alone: the first one waits for all.
    pub(crate) fn write_objects_behind_all(&mut self) {
        let entries = &mut self.archive.entries;
        let needed: BTreeSet<i32> = entries
            .iter()
            .filter(|entry| entry.kind() == "BLOBS")
            .flat_map(|entry| entry.dependencies.iter().copied())
            .collect();
        if let Some(first) = entries.iter_mut().find(|entry| entry.kind() == "BLOBS") {
            first.dependencies = needed.into_iter().filter(|id| *id != first.dump_id).collect();
        }
    }

    /// Refuses rows that the backup does not have of these tables, and whatever else it does not
    /// have.
    pub(crate) fn refuse_incomplete(
        &self,
        backup: &Backup<'_>,
        undefined: &[&Missing],
    ) -> Result<(), OpsError> {
        let rows = self.missing().into_iter().map(|(_, name)| format!("rows of table {name}"));
        let missing: Vec<String> = rows.chain(undefined.iter().map(ToString::to_string)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(OpsError::refused(
            format!("backup {} is incomplete: {} is missing", backup.head.id, missing.join(", ")),
            advice!["export a complete backup; ", Operation::Restore, " restores the rest of this one"],
        ))
    }
}

/// The database that is meant: the one that is named, else the only one.
fn which(backup: &Backup<'_>, database: Option<&str>) -> Result<String, OpsError> {
    let there = About::of(&backup.head)?.databases;
    let id = &backup.head.id;
    match (database, there.as_slice()) {
        (Some(name), _) => {
            refuse_unknown_database(&backup.head, name)?;
            Ok(name.to_string())
        }
        (None, [one]) => Ok(one.clone()),
        (None, _) => Err(OpsError::refused(
            format!("backup {id} contains {} databases: {}", there.len(), there.join(", ")),
            advice!["choose one with ", Setting::Database.to("NAME")],
        )),
    }
}
