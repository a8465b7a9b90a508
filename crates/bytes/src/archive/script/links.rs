//! Dependencies between the entries of a script, found in the SQL.

use std::collections::HashMap;

use super::super::model::{Section, TocEntry};
use super::super::order::{Pass, pass};
use crate::sql::{Token, split, tokenize};

/// Objects by schema and name, and those in no schema by kind and name.
#[derive(Default)]
struct Known {
    qualified: HashMap<(Vec<u8>, Vec<u8>), Vec<i32>>,
    plain: HashMap<(&'static str, Vec<u8>), i32>,
    /// Extensions by the schema of their objects.
    extensions: HashMap<Vec<u8>, Vec<i32>>,
    /// Groups of large objects by tag, `FIRST..LAST`.
    groups: HashMap<Vec<u8>, i32>,
}

/// The word before a name in no schema, and the kind that it says.
const PLAIN: [(&str, &str); 8] = [
    ("server", "SERVER"),
    ("wrapper", "FOREIGN DATA WRAPPER"),
    ("language", "PROCEDURAL LANGUAGE"),
    ("publication", "PUBLICATION"),
    ("subscription", "SUBSCRIPTION"),
    ("schema", "SCHEMA"),
    ("extension", "EXTENSION"),
    ("trigger", "EVENT TRIGGER"),
];

/// Gives every entry the earlier ones that it names, the relation that it belongs to first, and
/// keeps what comes after the rows in the script's order, except that indexes, keys and triggers
/// may be made side by side.
pub(super) fn find(entries: &mut [TocEntry]) {
    let mut known = Known::default();
    let mut object = None;
    for entry in entries.iter_mut() {
        entry.dependencies = known.of(entry);
        if let Some(group) = known.group(entry) {
            entry.dependencies = vec![group];
            once_for_all(entry);
        }
        match entry.kind() {
            // pg_dump writes these right behind their object, which may have no qualified name (a
            // trigger, a rule).
            "COMMENT" | "SECURITY LABEL" => {
                entry.dependencies.extend(object.filter(|id| !entry.dependencies.contains(id)));
            }
            "ACL" => {}
            _ => object = Some(entry.dump_id),
        }
        known.add(entry);
    }
    in_order(entries, Pass::Main);
    in_order(entries, Pass::PostAcl);
}

impl Known {
    fn add(&mut self, entry: &TocEntry) {
        let kind = entry.kind();
        if let Some((_, kind)) = PLAIN.iter().find(|(_, own)| *own == kind) {
            self.plain.insert((kind, entry.tag_bytes().to_vec()), entry.dump_id);
            if *kind == "EXTENSION"
                && let Some(schema) = name_behind(entry.defn_bytes(), "schema")
            {
                self.extensions.entry(schema).or_default().push(entry.dump_id);
            }
        } else if kind == "BLOB METADATA" {
            self.groups.insert(entry.tag_bytes().to_vec(), entry.dump_id);
        } else if kind == "ACCESS METHOD" {
            self.plain.insert(("ACCESS METHOD", entry.tag_bytes().to_vec()), entry.dump_id);
        } else if entry.namespace.as_deref().is_some_and(|schema| !schema.is_empty())
            && matches!(entry.section, Section::PreData | Section::PostData)
        {
            // A routine's tag has its arguments.
            let name = entry.tag_bytes().split(|byte| *byte == b'(').next().unwrap_or_default().to_vec();
            let place = (entry.namespace.clone().unwrap_or_default(), name);
            self.qualified.entry(place).or_default().push(entry.dump_id);
        }
    }

    /// The group of large objects whose contents or properties the entry holds.
    fn group(&self, entry: &TocEntry) -> Option<i32> {
        let tag = match entry.kind() {
            "BLOBS" => entry.tag_bytes(),
            _ => entry.tag_bytes().strip_prefix(b"LARGE OBJECTS ")?,
        };
        self.groups.get(tag).copied()
    }

    fn of(&self, entry: &TocEntry) -> Vec<i32> {
        let mut found: Vec<i32> = Vec::new();
        let mut add = |id: i32| {
            if !found.contains(&id) {
                found.push(id);
            }
        };
        let own = (entry.namespace.clone().unwrap_or_default(), entry.tag_bytes().to_vec());
        if matches!(
            entry.kind(),
            "TABLE DATA" | "SEQUENCE SET" | "MATERIALIZED VIEW DATA" | "STATISTICS DATA"
        ) {
            self.qualified.get(&own).into_iter().flatten().copied().for_each(&mut add);
            return found;
        }
        if let Some(am) = &entry.table_am
            && let Some(id) = self.plain.get(&("ACCESS METHOD", am.clone()))
        {
            add(*id);
        }
        let tokens: Vec<Token<'_>> = tokenize(entry.defn_bytes()).filter(|token| !token.is_blank()).collect();
        for (at, token) in tokens.iter().enumerate() {
            let Some(name) = token.ident() else { continue };
            let behind = |n: usize| tokens.get(at + n);
            if behind(1).is_some_and(|token| token.is_symbol(b'.'))
                && let Some(second) = behind(2).and_then(Token::ident)
            {
                let place = (name.clone(), second);
                match self.qualified.get(&place) {
                    Some(ids) => ids.iter().copied().for_each(&mut add),
                    None if place != own => {
                        self.extensions.get(&place.0).into_iter().flatten().copied().for_each(&mut add);
                    }
                    None => {}
                }
            }
            let word = at.checked_sub(1).and_then(|before| tokens.get(before)).and_then(Token::ident);
            let kind = word.and_then(|word| PLAIN.iter().find(|(own, _)| own.as_bytes() == word));
            if let Some(id) = kind.and_then(|(_, kind)| self.plain.get(&(*kind, name))) {
                add(*id);
            }
        }
        found
    }
}

/// In an archive a group's privileges are said for one object, and meant for all; a script says
/// them for each.
fn once_for_all(entry: &mut TocEntry) {
    if entry.kind() == "BLOBS" {
        return;
    }
    let about = |statement: &[u8]| {
        let tokens: Vec<Token<'_>> = tokenize(statement).filter(|token| !token.is_blank()).collect();
        tokens.windows(3).find_map(|three| match three {
            [large, object, number] if large.is_word("large") && object.is_word("object") => {
                Some(number.text.to_vec())
            }
            _ => None,
        })
    };
    let statements = split(entry.defn_bytes());
    let Some(first) = statements.iter().find_map(|statement| about(statement)) else { return };
    let kept = statements.iter().filter(|statement| about(statement).is_none_or(|number| number == first));
    let mut defn = kept.copied().collect::<Vec<_>>().join(&b"\n"[..]);
    defn.push(b'\n');
    entry.defn = Some(defn);
}

/// The name behind the first place of a word.
pub(super) fn name_behind(sql: &[u8], word: &str) -> Option<Vec<u8>> {
    let mut tokens = tokenize(sql).filter(|token| !token.is_blank());
    tokens.find(|token| token.is_word(word))?;
    tokens.next()?.ident()
}

/// Each entry of a pass waits for the one before; indexes and unique keys do not wait for each
/// other, nor do foreign keys and triggers (the schedule has its own rule for triggers that
/// partitions inherit).
fn in_order(entries: &mut [TocEntry], wanted: Pass) {
    let mut last = None;
    let mut side_by_side: Vec<i32> = Vec::new();
    let mut indexes_among = false;
    for entry in entries.iter_mut().filter(|e| e.section == Section::PostData && pass(e) == wanted) {
        let needs_indexes = matches!(entry.kind(), "FK CONSTRAINT" | "TRIGGER");
        let joins = matches!(entry.kind(), "INDEX" | "CONSTRAINT") || (needs_indexes && !indexes_among);
        if joins {
            side_by_side.push(entry.dump_id);
            indexes_among |= !needs_indexes;
        } else {
            entry.dependencies.append(&mut side_by_side);
            indexes_among = false;
        }
        entry.dependencies.extend(last);
        if !joins {
            last = Some(entry.dump_id);
        }
    }
}
