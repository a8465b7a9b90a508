//! Which of a backup's objects a restore or an export is asked for.

use std::collections::HashSet;

use pgark_bytes::archive::filter::{Children, Chosen, ForeignKey, Names, foreign_keys};
use pgark_bytes::archive::order::{Selection, postponed};
use pgark_bytes::archive::statements::Options;
use pgark_bytes::archive::{Section, TocEntry};
use pgark_bytes::pattern::{Pattern, PatternError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::OpsError;
use crate::advice::{Advice, Operation, advice};
use crate::logical::contents::Contents;

/// The three parts of a dump, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpSection {
    /// Everything up to the rows.
    PreData,
    /// Rows, large objects, sequence values.
    Data,
    /// Indexes, constraints, triggers, rules and what else comes after the rows.
    PostData,
}

/// What a restore or an export takes of a backup. By default: all of it.
#[derive(Clone, Debug, Default)]
pub struct ContentsFilter {
    /// Only these parts; empty: all.
    pub parts: Vec<DumpSection>,
    /// Definitions only: no rows, no large objects, no sequence values.
    pub schema_only: bool,
    /// With [`DumpSection::Data`] as the only part: all that [`Self::schema_only`] leaves out,
    /// whichever part it is in: large objects themselves with their owners, privileges and
    /// comments.
    pub data_only: bool,
    /// Everything goes to the default tablespace.
    pub no_tablespaces: bool,
    /// No comments.
    pub no_comments: bool,
    /// No publications.
    pub no_publications: bool,
    /// No subscriptions.
    pub no_subscriptions: bool,
    /// Only schemas that match.
    pub schema: Vec<String>,
    /// Not the schemas that match.
    pub exclude_schema: Vec<String>,
    /// Only relations that match, with what belongs to them and what they need.
    pub table: Vec<String>,
    /// Not the relations that match.
    pub exclude_table: Vec<String>,
    /// A table that a pattern names does not bring its partitions, and the tables that inherit from
    /// it.
    pub no_children: bool,
    /// Only the entries of this list: the numbers that lines of `--list` begin with.
    pub list: Option<HashSet<i32>>,
    /// A pattern that matches nothing is an error.
    pub strict_names: bool,
}

/// One object of a plan, in the order of a restore by one worker.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedObject {
    /// Number of the entry, as it is used in the list for `--use-list`.
    pub entry: i32,
    /// Kind and name of the object.
    pub object: String,
    /// Number of rows to load, for the data of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Size of the rows in bytes of COPY text, or of the large objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The chosen entries of one database.
pub(crate) struct Picked {
    pub selection: Selection,
    names: Option<Chosen>,
    is_listed: bool,
    /// Foreign keys among them whose parent table is not.
    pub cut_keys: Vec<ForeignKey>,
    /// Foreign keys whose parent table an extension is expected to bring, which is among the chosen
    /// entries.
    pub keys_to_extensions: HashSet<i32>,
}

impl Picked {
    /// Partitions and child tables that came along with tables that were named.
    pub(crate) fn children(&self) -> Children {
        self.names.as_ref().map(Chosen::children).unwrap_or_default()
    }

    /// Whether the entry is there only for others: one that the target has already will do.
    pub(crate) fn is_helper(&self, dump_id: i32) -> bool {
        self.names.as_ref().is_some_and(|names| names.is_helper(dump_id))
    }

    /// Whether only some schemas or tables are restored: then the target need not be empty.
    pub(crate) fn is_some_of_it(&self) -> bool {
        self.names.is_some() || self.is_listed
    }
}

impl ContentsFilter {
    /// Whether definitions are made: only then has the target to be empty.
    pub(crate) fn makes_definitions(&self) -> bool {
        self.parts.is_empty() || self.parts.contains(&DumpSection::PreData)
    }

    /// Whether definitions and rows are restored, whatever is left out of them by kind.
    pub(crate) fn is_all(&self) -> bool {
        self.parts.is_empty() && !self.schema_only
    }

    /// Whether rows are loaded.
    pub(crate) fn loads_data(&self) -> bool {
        !self.schema_only && (self.parts.is_empty() || self.parts.contains(&DumpSection::Data))
    }

    fn names(&self, contents: &Contents) -> Result<Names, OpsError> {
        let names = (|| {
            Ok::<_, PatternError>(Names {
                schemas: Pattern::plains(&self.schema)?,
                exclude_schemas: Pattern::plains(&self.exclude_schema)?,
                tables: Pattern::relations(&self.table)?,
                exclude_tables: Pattern::relations(&self.exclude_table)?,
                without_children: self.no_children,
                inheritance: contents.inheritance.clone(),
            })
        })();
        names.map_err(|error| OpsError::Usage(error.to_string().into()))
    }

    fn wants(&self, entry: &TocEntry, postponed: &HashSet<i32>) -> bool {
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
        let is_unlisted = self.list.as_ref().is_some_and(|list| !list.contains(&entry.dump_id));
        !(left_out || hangs_on_it || is_unwanted_data || is_unlisted)
            && self.wants_part(entry, postponed.contains(&entry.dump_id))
    }

    fn wants_part(&self, entry: &TocEntry, is_postponed: bool) -> bool {
        if self.data_only {
            return is_data(entry);
        }
        let part = match entry.section {
            // It cannot be made before what it needs.
            Section::PreData | Section::Data if is_postponed => DumpSection::PostData,
            Section::PreData => DumpSection::PreData,
            Section::Data => DumpSection::Data,
            Section::PostData => DumpSection::PostData,
            // What belongs to no part goes with what it belongs to: see
            // `Selection::remove_orphans`.
            Section::None => return true,
        };
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Rows, large objects with all that hangs on them, and sequence values (pg_restore counts the same
/// as data under `--schema-only`, pg_backup_archiver.c, `_tocEntryRequired`); and, as for
/// `pg_dump --schema-only`, the filling of materialised views.
fn is_data(entry: &TocEntry) -> bool {
    let of_large_object = entry.tag_bytes().starts_with(b"LARGE OBJECT");
    match entry.kind() {
        // Filled without rows, a view would be empty and look as if it were not.
        "BLOB" | "BLOB METADATA" | "SEQUENCE SET" | "MATERIALIZED VIEW DATA" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => of_large_object,
        _ => entry.section == Section::Data,
    }
}

/// The entries that the choice asks for.
pub(crate) fn select(
    contents: &Contents,
    choice: &ContentsFilter,
    options: &Options,
) -> Result<Picked, OpsError> {
    let archive = &contents.archive;
    let mut selection = Selection::of(archive, options);
    let postponed = postponed(archive);
    selection.retain(archive, |entry| choice.wants(entry, &postponed));
    if !choice.parts.is_empty() {
        selection.remove_orphans(archive);
    }
    refuse_unknown_numbers(contents, choice)?;
    let is_listed = choice.list.is_some();
    let names = choice.names(contents)?;
    if names.is_empty() {
        // A backup made with filters can be without a parent, too.
        let (cut_keys, keys_to_extensions) = cut_keys(contents, &selection, &Chosen::default());
        return Ok(Picked { selection, names: None, is_listed, cut_keys, keys_to_extensions });
    }
    let unmatched = names.unmatched(archive);
    if choice.strict_names && !unmatched.is_empty() {
        return Err(OpsError::refused(
            format!("nothing in database {} matches {}", contents.database, unmatched.join(", ")),
            see_names(),
        ));
    }
    let chosen = names.choose(archive);
    selection.retain(archive, |entry| chosen.contains(entry.dump_id));
    let is_named = |entry: &TocEntry| selection.contains(entry.dump_id) && !entry.is_about_database();
    if !archive.entries.iter().any(is_named) {
        return Err(OpsError::refused(
            format!("these names leave nothing of database {}", contents.database),
            see_names(),
        ));
    }
    let (cut_keys, keys_to_extensions) = cut_keys(contents, &selection, &chosen);
    Ok(Picked { selection, names: Some(chosen), is_listed, cut_keys, keys_to_extensions })
}

fn see_names() -> Advice {
    advice![
        Operation::ListRestore,
        " shows what exists; names are folded to lower case unless in double quotes",
    ]
}

/// A list that was written for another backup would silently restore less.
fn refuse_unknown_numbers(contents: &Contents, choice: &ContentsFilter) -> Result<(), OpsError> {
    let Some(list) = &choice.list else { return Ok(()) };
    let known: HashSet<i32> = contents.archive.entries.iter().map(|entry| entry.dump_id).collect();
    let mut unknown: Vec<i32> = list.difference(&known).copied().collect();
    unknown.sort_unstable();
    match unknown.first() {
        None => Ok(()),
        Some(first) => Err(OpsError::refused(
            format!(
                "the list names entry {first}, which database {} of this backup does not have",
                contents.database
            ),
            advice!["write the list again: ", Operation::ListRestore],
        )),
    }
}

/// Selected foreign keys whose parent table is not selected; and apart from these the keys whose
/// parent an extension brings that is selected: the archive has no entry for such a table, and the
/// key depends on the extension instead.
fn cut_keys(contents: &Contents, selection: &Selection, chosen: &Chosen) -> (Vec<ForeignKey>, HashSet<i32>) {
    let entries = &contents.archive.entries;
    let tables: HashSet<(&[u8], &[u8])> = entries
        .iter()
        .filter(|entry| {
            entry.kind() == "TABLE" && selection.contains(entry.dump_id) && !chosen.is_helper(entry.dump_id)
        })
        .map(|entry| (entry.namespace.as_deref().unwrap_or_default(), entry.tag_bytes()))
        .collect();
    let extensions: HashSet<i32> = entries
        .iter()
        .filter(|entry| entry.kind() == "EXTENSION" && selection.contains(entry.dump_id))
        .map(|entry| entry.dump_id)
        .collect();
    let defined: HashSet<(&[u8], &[u8])> = entries
        .iter()
        .filter(|entry| entry.kind() == "TABLE")
        .map(|entry| (entry.namespace.as_deref().unwrap_or_default(), entry.tag_bytes()))
        .collect();
    let needs_extension = |key: &ForeignKey| {
        let entry = entries.iter().find(|entry| entry.dump_id == key.dump_id);
        entry.is_some_and(|entry| entry.dependencies.iter().any(|id| extensions.contains(id)))
    };
    let mut cut = foreign_keys(&contents.archive);
    cut.retain(|key| selection.contains(key.dump_id) && !tables.contains(&(&*key.parent.0, &*key.parent.1)));
    let (brought, cut): (Vec<ForeignKey>, Vec<ForeignKey>) = cut
        .into_iter()
        .partition(|key| !defined.contains(&(&*key.parent.0, &*key.parent.1)) && needs_extension(key));
    (cut, brought.into_iter().map(|key| key.dump_id).collect())
}

/// The selected objects, in the order of a restore by one worker.
pub(crate) fn plan(contents: &Contents, selection: &Selection) -> Vec<PlannedObject> {
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
            PlannedObject { entry: toc.dump_id, object: toc.describe(), rows, bytes }
        })
        .collect()
}

/// The entries of a database that would be restored.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The database's name.
    pub database: String,
    /// How many entries it has, whether selected or not.
    pub entries: usize,
    /// The selected ones as `pg_restore --list` writes them, in the archive's order, a line each.
    pub lines: String,
}

/// The selected entries.
pub(crate) fn listing(contents: &Contents, selection: &Selection) -> Listing {
    let mut text = String::new();
    for entry in &contents.archive.entries {
        if !selection.contains(entry.dump_id) {
            continue;
        }
        // A line is a line, whatever a name holds.
        let plain = |name: &str| name.replace(['\n', '\r'], " ");
        let schema = entry.namespace_str();
        text.push_str(&format!(
            "{}; {} {} {} {} {} {}\n",
            entry.dump_id,
            entry.table_oid,
            entry.oid,
            entry.kind(),
            if schema.is_empty() { "-".to_string() } else { plain(&schema) },
            plain(&entry.tag_str()),
            plain(&entry.owner_str()),
        ));
    }
    Listing { database: contents.database.clone(), entries: contents.archive.entries.len(), lines: text }
}

/// Reads a list: the number at the beginning of each line that is no comment.
pub fn parse_list(text: &str) -> Result<HashSet<i32>, String> {
    let mut list = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match line.parse::<i32>() {
            Ok(entry) if entry > 0 => list.insert(entry),
            _ => return Err(format!("line {}: {line:?} is not the number of an entry", number + 1)),
        };
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn a_list_is_numbers_before_semicolons() {
        let list =
            parse_list(";\n; a comment\n217; 1259 16385 TABLE public t postgres\n\n;218; 0 0 X - y z\n 3;\n")
                .unwrap();
        assert_eq!(list, [217, 3].into());
        assert!(parse_list("x; 1\n").unwrap_err().contains("line 1"));
        assert!(parse_list("-4; 1\n").is_err());
    }
}
