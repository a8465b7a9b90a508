//! Some tables or schemas out of an archive, with all that belongs to them and all that they need.
//!
//! `pg_restore -t` restores a bare table: without its indexes, constraints and defaults, without
//! the types that its columns have, and only where its schema exists. That is seldom what someone
//! means who wants a table back. Here a chosen relation brings **what belongs to it** (rows,
//! defaults, owned sequences, indexes, constraints, triggers, rules, policies, statistics,
//! comments, privileges) and **what it needs** (its schema, types, functions, extensions, as the
//! archive's dependencies name them). What it needs may be in the target already: see
//! [`Chosen::is_helper`].

use std::collections::{HashMap, HashSet};

use super::family::{Inheritance, QualifiedName, inheritance, qualified};
use super::model::{Archive, Section, TocEntry};
use crate::names::shown;
use crate::pattern::Pattern;
use crate::sql::{self, Token};

/// Patterns of schemas and relations, with pg_dump's rules: where tables are named, schemas say
/// nothing.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Only these schemas.
    pub schemas: Vec<Pattern>,
    /// Without these schemas.
    pub exclude_schemas: Vec<Pattern>,
    /// Only these tables, views, materialised views, sequences, foreign tables.
    pub tables: Vec<Pattern>,
    /// Without these.
    pub exclude_tables: Vec<Pattern>,
    /// A parent does not bring (or take along, where it is excluded) its partitions and the tables
    /// that inherit from it: pg_dump's own way.
    pub without_children: bool,
    /// Who inherits from whom, where the archive has no definitions that say it.
    pub inheritance: Vec<Inheritance>,
}

/// The entries that names choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    wanted: HashSet<i32>,
    helpers: HashSet<i32>,
    children: Children,
}

/// How many relations patterns reached that they do not match: partitions, and tables that inherit,
/// of all levels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Children {
    /// With tables that are chosen.
    pub chosen: usize,
    /// With tables that are excluded.
    pub excluded: usize,
}

impl Children {
    /// The same for people, a line each.
    pub fn told(self) -> Vec<String> {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 partition or child table {what}")),
            _ => Some(format!("{count} partitions or child tables {what}")),
        };
        let chosen = counted(self.chosen, "included with the parent tables");
        chosen.into_iter().chain(counted(self.excluded, "excluded with the parent tables")).collect()
    }
}

impl Chosen {
    /// Whether the entry is to be restored.
    pub fn contains(&self, dump_id: i32) -> bool {
        self.wanted.contains(&dump_id) || self.helpers.contains(&dump_id)
    }

    /// The children that came along with their parents.
    pub fn children(&self) -> Children {
        self.children
    }

    /// Whether the entry is there only because a chosen one needs it: one that the target has
    /// already will do.
    pub fn is_helper(&self, dump_id: i32) -> bool {
        self.helpers.contains(&dump_id) && !self.wanted.contains(&dump_id)
    }
}

impl Names {
    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        [&self.schemas, &self.exclude_schemas, &self.tables, &self.exclude_tables]
            .iter()
            .all(|list| list.is_empty())
    }

    fn takes_schema(&self, schema: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(schema));
        (self.schemas.is_empty() || any(&self.schemas)) && !any(&self.exclude_schemas)
    }

    /// What these patterns match of the archive's relations, with the children of all of it, and
    /// how many of these the patterns do not match themselves.
    fn reached(patterns: &[Pattern], family: &Family<'_>) -> (HashSet<QualifiedName>, usize) {
        let is_named = |(_, (schema, name)): &&Named<'_>| {
            patterns.iter().any(|pattern| pattern.matches_in(schema, name))
        };
        let mut names: HashSet<QualifiedName> =
            family.relations.iter().filter(is_named).map(|(name, _)| name.clone()).collect();
        let named = names.len();
        let mut open: Vec<QualifiedName> = names.iter().cloned().collect();
        while let Some(parent) = open.pop() {
            for child in family.children.get(&parent).into_iter().flatten() {
                if names.insert(child.clone()) {
                    open.push(child.clone());
                }
            }
        }
        let children = names.len() - named;
        (names, children)
    }

    /// The patterns that match nothing in the archive, as they were written.
    pub fn unmatched(&self, archive: &Archive) -> Vec<String> {
        let mut relations: Vec<(&[u8], &[u8])> =
            archive.entries.iter().filter(|e| is_relation(e)).map(TocEntry::matched_name).collect();
        for link in &self.inheritance {
            relations.extend([&link.child, &link.parent].map(|(schema, name)| (&**schema, &**name)));
        }
        let schemas: HashSet<&[u8]> = archive
            .entries
            .iter()
            .flat_map(|entry| {
                let (schema, tag) = entry.matched_name();
                [entry.namespace.as_ref().map(|_| schema), schema_made(entry).map(|_| tag)]
            })
            .flatten()
            .collect();
        let no_schema = |pattern: &&Pattern| !schemas.iter().any(|schema| pattern.matches(schema));
        let no_relation =
            |pattern: &&Pattern| !relations.iter().any(|(schema, name)| pattern.matches_in(schema, name));
        self.schemas
            .iter()
            .chain(&self.exclude_schemas)
            .filter(no_schema)
            .chain(self.tables.iter().chain(&self.exclude_tables).filter(no_relation))
            .map(|pattern| pattern.text().to_string())
            .collect()
    }

    /// The entries that these names choose. Entries about the database itself are not the filter's
    /// business and stay.
    pub fn choose(&self, archive: &Archive) -> Chosen {
        let entries = &archive.entries;
        let by_id = by_id(archive);
        let mut wanted: HashSet<i32> = HashSet::new();
        let mut relations: HashMap<i32, bool> = HashMap::new();
        let family = Family::of(archive, self);
        let (chosen, excluded) =
            (Self::reached(&self.tables, &family), Self::reached(&self.exclude_tables, &family));
        for entry in entries.iter().filter(|entry| is_relation(entry)) {
            let name = owned_name(entry);
            let is_included = match self.tables.is_empty() {
                true => self.takes_schema(entry.matched_name().0),
                false => chosen.0.contains(&name),
            };
            relations.insert(entry.dump_id, is_included && !excluded.0.contains(&name));
        }
        self.take_owned_sequences(archive, &by_id, &mut relations);
        for entry in entries {
            if entry.is_about_database() || entry.is_setting() {
                wanted.insert(entry.dump_id);
                continue;
            }
            let is_wanted = match relations.get(&entry.dump_id) {
                Some(is_taken) => *is_taken,
                // An attached index, like an attached partition, needs both sides.
                None if entry.kind() == "INDEX ATTACH" => {
                    entry.dependencies.iter().all(|id| wanted.contains(id))
                }
                None => match owner_relation(&by_id, entry, &relations) {
                    Some(is_taken) => is_taken,
                    None => self.takes_other(entry, &wanted),
                },
            };
            if is_wanted {
                wanted.insert(entry.dump_id);
            }
        }
        let helpers = if self.tables.is_empty() && self.schemas.is_empty() {
            HashSet::new()
        } else {
            needed(archive, &wanted)
        };
        let children = Children { chosen: chosen.1, excluded: excluded.1 };
        Chosen { wanted, helpers, children }
    }

    /// A sequence that a column owns goes with the column's table.
    fn take_owned_sequences(
        &self,
        archive: &Archive,
        by_id: &HashMap<i32, &TocEntry>,
        relations: &mut HashMap<i32, bool>,
    ) {
        for entry in archive.entries.iter().filter(|entry| entry.kind() == "SEQUENCE OWNED BY") {
            let tables: Vec<bool> =
                entry.dependencies.iter().filter_map(|id| relations.get(id).copied()).collect();
            let sequences: Vec<i32> = entry
                .dependencies
                .iter()
                .copied()
                .filter(|id| by_id.get(id).is_some_and(|other| other.kind() == "SEQUENCE"))
                .collect();
            if tables.contains(&true) {
                relations.extend(sequences.into_iter().map(|id| (id, true)));
            }
        }
        // The sequence of an identity column depends on its table.
        for entry in archive.entries.iter().filter(|entry| entry.kind() == "SEQUENCE") {
            if entry.dependencies.iter().any(|id| relations.get(id) == Some(&true)) {
                relations.insert(entry.dump_id, true);
            }
        }
    }

    /// Entries that belong to no relation: a schema's other objects, and what is in no schema.
    fn takes_other(&self, entry: &TocEntry, wanted: &HashSet<i32>) -> bool {
        if matches!(entry.kind(), "ACL" | "COMMENT" | "SECURITY LABEL") && !entry.dependencies.is_empty() {
            return entry.dependencies.iter().any(|id| wanted.contains(id));
        }
        if !self.tables.is_empty() {
            return false;
        }
        let (schema, tag) = entry.matched_name();
        match schema_made(entry) {
            Some(_) => self.takes_schema(tag),
            None if !schema.is_empty() => self.takes_schema(schema),
            // In no schema: extensions, large objects, publications, … go where no schema was
            // named.
            None => self.schemas.is_empty(),
        }
    }
}

/// A relation's name in the archive, and the one that patterns match.
type Named<'a> = (QualifiedName, (&'a [u8], &'a [u8]));

/// The relations of an archive, and who inherits from whom.
struct Family<'a> {
    relations: Vec<Named<'a>>,
    children: HashMap<QualifiedName, Vec<QualifiedName>>,
}

impl<'a> Family<'a> {
    fn of(archive: &'a Archive, names: &'a Names) -> Family<'a> {
        let relations = archive.entries.iter().filter(|entry| is_relation(entry));
        let mut relations: Vec<_> =
            relations.map(|entry| (owned_name(entry), entry.matched_name())).collect();
        let mut children: HashMap<QualifiedName, Vec<QualifiedName>> = HashMap::new();
        let names_tables = !names.tables.is_empty() || !names.exclude_tables.is_empty();
        if names_tables && !names.without_children {
            for link in inheritance(archive).into_iter().chain(names.inheritance.iter().cloned()) {
                children.entry(link.parent).or_default().push(link.child);
            }
            // A partitioned table has no rows: an archive of rows does not name it.
            for link in &names.inheritance {
                relations.push((link.parent.clone(), (&link.parent.0, &link.parent.1)));
            }
        }
        Family { relations, children }
    }
}

/// The name that a SCHEMA entry makes.
fn schema_made(entry: &TocEntry) -> Option<&[u8]> {
    (entry.kind() == "SCHEMA").then(|| entry.tag_bytes())
}

fn by_id(archive: &Archive) -> HashMap<i32, &TocEntry> {
    archive.entries.iter().map(|entry| (entry.dump_id, entry)).collect()
}

impl Archive {
    /// A relation's schema and name as patterns see them ([`TocEntry::matched_name`]).
    pub fn matched(&self, name: &QualifiedName) -> QualifiedName {
        // Only what is not ASCII can be shown otherwise than it is.
        let entry = match name.0.is_ascii() && name.1.is_ascii() {
            true => None,
            false => self.entries.iter().find(|entry| is_relation(entry) && owned_name(entry) == *name),
        };
        entry.map_or_else(
            || name.clone(),
            |entry| {
                let (schema, name) = entry.matched_name();
                (schema.to_vec(), name.to_vec())
            },
        )
    }
}

pub(super) fn is_relation(entry: &TocEntry) -> bool {
    matches!(entry.kind(), "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" | "FOREIGN TABLE")
        // An archive of rows only has no entry that they hang on.
        || (matches!(entry.kind(), "TABLE DATA" | "SEQUENCE SET") && entry.dependencies.is_empty())
}

pub(super) fn name_of(entry: &TocEntry) -> (&[u8], &[u8]) {
    (entry.namespace.as_deref().unwrap_or_default(), entry.tag_bytes())
}

pub(super) fn owned_name(entry: &TocEntry) -> QualifiedName {
    (entry.namespace.clone().unwrap_or_default(), entry.tag_bytes().to_vec())
}

/// For what belongs to a relation: whether that is taken. Of the relations that it depends on (a
/// foreign key on two, a rule or policy on many) it belongs to the one that its tag begins with;
/// partitions' links name both sides, and need both.
fn owner_relation(
    by_id: &HashMap<i32, &TocEntry>,
    entry: &TocEntry,
    relations: &HashMap<i32, bool>,
) -> Option<bool> {
    let names_it = |id: &&i32| {
        by_id.get(*id).is_some_and(|relation| {
            let rest = entry.tag_bytes().strip_prefix(relation.tag_bytes());
            relation.namespace == entry.namespace
                && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
        })
    };
    let of = || entry.dependencies.iter().filter(|id| relations.contains_key(id));
    let first = || of().find(names_it).or_else(|| of().next()).and_then(|id| relations.get(id).copied());
    let all = || {
        let mut of = entry.dependencies.iter().filter_map(|id| relations.get(id).copied()).peekable();
        of.peek().is_some().then(|| of.all(|is_taken| is_taken))
    };
    // Both sides have to be there: a backup of one partition knows its table only by name.
    let both = || Some(of().count() > 1 && of().all(|id| relations.get(id) == Some(&true)));
    match entry.kind() {
        "TABLE DATA"
        | "SEQUENCE SET"
        | "MATERIALIZED VIEW DATA"
        | "DEFAULT"
        | "INDEX"
        | "CONSTRAINT"
        | "FK CONSTRAINT"
        | "CHECK CONSTRAINT"
        | "TRIGGER"
        | "RULE"
        | "POLICY"
        | "ROW SECURITY"
        | "STATISTICS"
        | "STATISTICS DATA"
        | "COMMENT"
        | "ACL"
        | "SECURITY LABEL" => first(),
        "TABLE ATTACH" => both(),
        "SEQUENCE OWNED BY" | "PUBLICATION TABLE" => all(),
        _ => None,
    }
}

/// What the wanted entries need and are not: dependencies of dependencies, among the definitions
/// before the data, and the schemas of all of these.
fn needed(archive: &Archive, wanted: &HashSet<i32>) -> HashSet<i32> {
    let by_id = by_id(archive);
    let schemas: HashMap<&[u8], i32> =
        archive.entries.iter().filter_map(|entry| Some((schema_made(entry)?, entry.dump_id))).collect();
    let mut found = HashSet::new();
    let mut open: Vec<i32> = wanted.iter().copied().collect();
    while let Some(id) = open.pop() {
        let Some(entry) = by_id.get(&id) else { continue };
        // A foreign key without its parent table is left out rather than given an empty one.
        if entry.is_about_database() || entry.is_setting() || entry.kind() == "FK CONSTRAINT" {
            continue;
        }
        let schema = entry.namespace.as_deref().and_then(|schema| schemas.get(schema)).copied();
        // An index that is attached needs its parent index: those come with their own tables or not
        // at all.
        let of_definition = |id: &&i32| by_id.get(id).is_some_and(|other| other.section == Section::PreData);
        for needed in entry.dependencies.iter().filter(of_definition).copied().chain(schema) {
            if !wanted.contains(&needed) && found.insert(needed) {
                open.push(needed);
            }
        }
    }
    found
}

/// A foreign key of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Of its FK CONSTRAINT entry.
    pub dump_id: i32,
    /// The constraint's tag: table and name.
    pub tag: String,
    /// Schema and name of the table that refers.
    pub child: QualifiedName,
    /// Schema and name of the table that is referred to.
    pub parent: QualifiedName,
    /// The same as patterns see it ([`TocEntry::matched_name`]).
    pub parent_matched: QualifiedName,
}

impl ForeignKey {
    /// The table that is referred to, for people.
    pub fn parent_shown(&self) -> String {
        let (schema, name) = &self.parent_matched;
        format!("{}.{}", shown(schema), shown(name))
    }
}

/// Every foreign key.
pub fn foreign_keys(archive: &Archive) -> Vec<ForeignKey> {
    let with_text = |key: ForeignKey| ForeignKey { parent_matched: archive.matched(&key.parent), ..key };
    let keys = archive.entries.iter().filter(|entry| entry.kind() == "FK CONSTRAINT");
    keys.filter_map(foreign_key).map(with_text).collect()
}

/// An entry's foreign key, by its definition: `ALTER TABLE ONLY s.c ADD CONSTRAINT k FOREIGN KEY
/// (…) REFERENCES s.p(…)`.
pub(super) fn foreign_key(entry: &TocEntry) -> Option<ForeignKey> {
    let tokens: Vec<Token<'_>> = sql::tokenize(entry.defn_bytes()).filter(|t| !t.is_blank()).collect();
    let table = tokens.iter().position(|token| token.is_word("table"))? + 1;
    let only = usize::from(tokens.get(table)?.is_word("only"));
    let references = tokens.iter().position(|token| token.is_word("references"))? + 1;
    let parent = qualified(&tokens, references, entry)?;
    Some(ForeignKey {
        dump_id: entry.dump_id,
        tag: entry.tag_str().into_owned(),
        child: qualified(&tokens, table + only, entry)?,
        parent_matched: parent.clone(),
        parent,
    })
}

/// Makes the rows of each table wait for those of the tables that its foreign keys refer to: for
/// rows that go into tables whose keys already exist. Keys that refer in a circle cannot all be
/// heeded.
pub fn load_parents_first(archive: &mut Archive) {
    let data: HashMap<QualifiedName, i32> = archive
        .entries
        .iter()
        .filter(|entry| entry.kind() == "TABLE DATA")
        .map(|entry| (owned_name(entry), entry.dump_id))
        .collect();
    let mut waits: HashMap<i32, Vec<i32>> = HashMap::new();
    for key in foreign_keys(archive) {
        let (Some(&child), Some(&parent)) = (data.get(&key.child), data.get(&key.parent)) else { continue };
        if child != parent && !reaches(&waits, parent, child) {
            waits.entry(child).or_default().push(parent);
        }
    }
    for entry in &mut archive.entries {
        entry.dependencies.extend(waits.remove(&entry.dump_id).unwrap_or_default());
    }
}

/// Puts each table's rows behind those that they wait for, into the places that rows have in the
/// archive: a reader that goes by the archive's order alone then loads parents first.
pub fn parents_in_front(archive: &mut Archive) {
    let is_rows = |entry: &TocEntry| entry.kind() == "TABLE DATA";
    let places: Vec<usize> =
        archive.entries.iter().enumerate().filter(|(_, entry)| is_rows(entry)).map(|(at, _)| at).collect();
    let mut rest: Vec<TocEntry> = places.iter().filter_map(|at| archive.entries.get(*at)).cloned().collect();
    let mut waiting: HashSet<i32> = rest.iter().map(|entry| entry.dump_id).collect();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let before = rest.len();
        rest.retain(|entry| {
            let is_free = !entry.dependencies.iter().any(|id| *id != entry.dump_id && waiting.contains(id));
            if is_free {
                waiting.remove(&entry.dump_id);
                ordered.push(entry.clone());
            }
            !is_free
        });
        if rest.len() == before {
            // A circle, which an archive of another program may hold: its order stays.
            ordered.append(&mut rest);
        }
    }
    for (place, entry) in places.into_iter().zip(ordered) {
        if let Some(at) = archive.entries.get_mut(place) {
            *at = entry;
        }
    }
}

/// Whether `from` waits for `to`, directly or through others.
fn reaches(waits: &HashMap<i32, Vec<i32>>, from: i32, to: i32) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            open.extend(waits.get(&id).into_iter().flatten());
        }
    }
    false
}
