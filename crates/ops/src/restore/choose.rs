//! Which of the backup's objects a restore is asked for.

use pgark_bytes::archive::order::Selection;
use pgark_bytes::archive::statements::Options;
use pgark_bytes::archive::{Section, TocEntry};
use serde::Serialize;

use super::Request;
use crate::contents::Contents;

/// The three parts of a dump, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything up to the rows.
    PreData,
    /// Rows, large objects, sequence values.
    Data,
    /// Indexes, constraints, triggers, rules and what else comes after the rows.
    PostData,
}

/// What a restore takes of a backup. By default: all of it.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only these parts; empty: all.
    pub parts: Vec<Part>,
    /// Definitions only: no rows, no large objects, no sequence values.
    pub schema_only: bool,
    /// Everything goes to the default tablespace.
    pub no_tablespaces: bool,
    /// No comments.
    pub no_comments: bool,
    /// No publications.
    pub no_publications: bool,
    /// No subscriptions.
    pub no_subscriptions: bool,
}

/// One object of a plan, in the order of a restore by one worker.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedObject {
    /// Kind and name.
    pub object: String,
    /// Rows to load, of a table's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Choice {
    /// Whether definitions are made: only then has the target to be empty.
    pub(super) fn makes_definitions(&self) -> bool {
        self.parts.is_empty() || self.parts.contains(&Part::PreData)
    }

    /// Whether rows are loaded.
    pub(super) fn loads_data(&self) -> bool {
        !self.schema_only && (self.parts.is_empty() || self.parts.contains(&Part::Data))
    }

    fn wants(&self, entry: &TocEntry) -> bool {
        let left_out = match entry.kind() {
            "COMMENT" if self.no_comments => true,
            "PUBLICATION" | "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" => self.no_publications,
            "SUBSCRIPTION" | "SUBSCRIPTION TABLE" => self.no_subscriptions,
            _ => false,
        };
        // A comment or a label on what is left out.
        let is_on = |kind: &[u8]| {
            matches!(entry.kind(), "COMMENT" | "SECURITY LABEL") && entry.tag_bytes().starts_with(kind)
        };
        let hangs_on_it = (self.no_publications && is_on(b"PUBLICATION "))
            || (self.no_subscriptions && is_on(b"SUBSCRIPTION "));
        let is_unwanted_data = self.schema_only && is_data(entry);
        !(left_out || hangs_on_it || is_unwanted_data) && self.wants_part(entry)
    }

    fn wants_part(&self, entry: &TocEntry) -> bool {
        let part = match entry.section {
            Section::PreData => Part::PreData,
            Section::Data => Part::Data,
            Section::PostData => Part::PostData,
            // What belongs to no part goes with what it belongs to: see `Selection::remove_orphans`.
            Section::None => return true,
        };
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Rows, large objects with all that hangs on them, and sequence values (pg_restore counts the same as data under
/// `--schema-only`, pg_backup_archiver.c, `_tocEntryRequired`).
fn is_data(entry: &TocEntry) -> bool {
    let of_large_object = entry.tag_bytes().starts_with(b"LARGE OBJECT");
    match entry.kind() {
        "BLOB" | "BLOB METADATA" | "SEQUENCE SET" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => of_large_object,
        _ => entry.section == Section::Data,
    }
}

/// The entries that the request asks for.
pub(super) fn select(contents: &Contents, request: &Request, options: &Options) -> Selection {
    let mut selection = Selection::of(&contents.archive, options);
    selection.retain(&contents.archive, |entry| request.choice.wants(entry));
    if !request.choice.parts.is_empty() {
        selection.remove_orphans(&contents.archive);
    }
    selection
}

/// The selected objects, in the order of a restore by one worker.
pub(super) fn plan(contents: &Contents, selection: &Selection) -> Vec<PlannedObject> {
    let entries = &contents.archive.entries;
    pgark_bytes::archive::order::serial_order(&contents.archive, selection)
        .into_iter()
        .filter_map(|index| entries.get(index))
        .map(|toc| {
            let (rows, bytes) = match (toc.kind(), contents.tables.get(&toc.dump_id)) {
                ("TABLE DATA", Some((entry, rows))) => (Some(*rows), Some(entry.bytes_raw)),
                ("BLOBS", _) => (None, contents.large_objects.as_ref().map(|entry| entry.bytes_raw)),
                _ => (None, None),
            };
            PlannedObject { object: toc.describe(), rows, bytes }
        })
        .collect()
}
