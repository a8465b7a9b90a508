//! Which entries of an archive are to be restored.

use std::collections::HashSet;

use super::model::{Archive, TocEntry};
use super::options::Options;

/// A set of dump ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    ids: HashSet<i32>,
}

impl Selection {
    /// Everything that `pg_restore` would restore under these options and no filter: without the
    /// three entries that are settings, without privileges if so asked, and with the database
    /// itself (its creation, properties, privileges, comment and labels) only where it is to be
    /// created.
    pub fn of(archive: &Archive, options: &Options) -> Selection {
        archive.entries.iter().filter(|e| wanted(e, options)).map(|e| e.dump_id).collect()
    }

    /// Whether the entry with this dump id is selected.
    pub fn contains(&self, dump_id: i32) -> bool {
        self.ids.contains(&dump_id)
    }

    /// Adds one entry.
    pub fn insert(&mut self, dump_id: i32) {
        self.ids.insert(dump_id);
    }

    /// Takes one entry out.
    pub fn remove(&mut self, dump_id: i32) {
        self.ids.remove(&dump_id);
    }

    /// Keeps the entries that pass the test.
    pub fn retain(&mut self, archive: &Archive, mut test: impl FnMut(&TocEntry) -> bool) {
        for entry in &archive.entries {
            if self.ids.contains(&entry.dump_id) && !test(entry) {
                self.ids.remove(&entry.dump_id);
            }
        }
    }

    /// After a filter: takes out privileges, comments and security labels of which no dependency is
    /// selected any more, as `pg_restore` does under its filters. Those of the database itself
    /// stay.
    pub fn remove_orphans(&mut self, archive: &Archive) {
        // An ACL may depend on another ACL, but only ever on one that comes before it.
        for entry in &archive.entries {
            let satellite = matches!(entry.kind(), "ACL" | "COMMENT" | "SECURITY LABEL");
            if satellite
                && !entry.tag_bytes().starts_with(b"DATABASE ")
                && !entry.dependencies.iter().any(|d| self.ids.contains(d))
            {
                self.ids.remove(&entry.dump_id);
            }
        }
    }

    /// How many entries are selected.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl FromIterator<i32> for Selection {
    fn from_iter<I: IntoIterator<Item = i32>>(ids: I) -> Self {
        Selection { ids: ids.into_iter().collect() }
    }
}

impl TocEntry {
    /// ENCODING, STDSTRINGS and SEARCHPATH: settings of every session, never restored as entries.
    pub fn is_setting(&self) -> bool {
        matches!(self.kind(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH")
    }

    /// Privileges: ACL, DEFAULT ACL (and ACL LANGUAGE of very old archives).
    pub fn is_acl(&self) -> bool {
        matches!(self.kind(), "ACL" | "ACL LANGUAGE" | "DEFAULT ACL")
    }

    /// The database itself, its properties, or privileges, comment or label on it: restored only
    /// where the database is created.
    pub fn is_about_database(&self) -> bool {
        match self.kind() {
            "DATABASE" | "DATABASE PROPERTIES" => true,
            "ACL" | "COMMENT" | "SECURITY LABEL" => self.tag_bytes().starts_with(b"DATABASE "),
            _ => false,
        }
    }

    /// The rows go in through the root of a partition tree: such a table must never be emptied
    /// first.
    pub fn loads_via_partition_root(&self) -> bool {
        self.kind() == "TABLE DATA" && self.defn_bytes().starts_with(b"-- load via partition root ")
    }
}

fn wanted(entry: &TocEntry, options: &Options) -> bool {
    if entry.is_setting() {
        return false;
    }
    if entry.is_about_database() && !options.create_database {
        return false;
    }
    if options.no_privileges && entry.is_acl() {
        return false;
    }
    // An entry with neither definition nor data stands for dependencies only.
    entry.had_dumper || !entry.defn_bytes().is_empty()
}
