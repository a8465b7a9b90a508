//! Which column refers to which: foreign keys of the catalog, by their own columns, and
//! `[[reference]]`s of the file.

use std::collections::HashMap;

use crate::catalog::Catalog;
use crate::finding::{Code, Finding};
use crate::rules::{Literal, Rules, Setting, VirtualReference};

/// A column: the places of its table in [`Catalog::tables`] and of itself in the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// The table.
    pub table: usize,
    /// The column.
    pub column: usize,
}

/// One column of a reference.
#[derive(Clone, Debug)]
pub struct Link {
    /// The column that refers.
    pub from: At,
    /// The column of the key that it refers to.
    pub to: At,
    /// The constraint; None: a `[[reference]]`.
    pub constraint: Option<String>,
}

/// All references of a database.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<Link>,
    from: HashMap<At, Vec<usize>>,
    /// By column: the least column of those that references tie to it.
    roots: HashMap<At, At>,
    /// By least column: all of these, in their order.
    groups: HashMap<At, Vec<At>>,
}

impl Links {
    /// Reads them.
    pub fn of(catalog: &Catalog, rules: &Rules, findings: &mut Vec<Finding>) -> Links {
        let mut links = Links::default();
        let by_oid = catalog.places();
        for (number, table) in catalog.tables.iter().enumerate() {
            for constraint in &table.constraints {
                let Some(key) = &constraint.references else { continue };
                let Some(to) = by_oid.get(&key.table) else { continue };
                for (from_name, to_name) in constraint.columns.iter().zip(&key.columns) {
                    let from = place(catalog, number, from_name);
                    if let (Some(from), Some(to)) = (from, place(catalog, *to, to_name)) {
                        links.add(Link { from, to, constraint: Some(constraint.name.clone()) });
                    }
                }
            }
        }
        for reference in &rules.references {
            links.add_virtual(catalog, reference, findings);
        }
        links.group();
        links
    }

    fn add(&mut self, link: Link) {
        // A key that refers to itself ties nothing.
        if link.from != link.to {
            self.from.entry(link.from).or_default().push(self.links.len());
            self.links.push(link);
        }
    }

    fn add_virtual(&mut self, catalog: &Catalog, reference: &VirtualReference, findings: &mut Vec<Finding>) {
        if let Some(when) = &reference.when {
            let message = "this version follows a reference for all rows, or not at all";
            let hint = "leave it out, and give the column that refers a rule of the key's kind, with when and otherwise";
            findings.push(Finding::new(Code::WrongValue, message).at(when.place).hint(hint));
            return;
        }
        let ends = (end(catalog, &reference.from, findings), end(catalog, &reference.to, findings));
        let (Some(from), Some(to)) = ends else { return };
        if from.len() != to.len() {
            let message = format!("the reference has {} columns here and {} there", from.len(), to.len());
            findings.push(Finding::new(Code::WrongValue, message).at(reference.to.place));
            return;
        }
        for (from, to) in from.into_iter().zip(to) {
            self.add(Link { from, to, constraint: None });
        }
    }

    fn group(&mut self) {
        let mut parents: HashMap<At, At> = HashMap::new();
        fn root(parents: &HashMap<At, At>, mut at: At) -> At {
            while let Some(parent) = parents.get(&at).filter(|parent| **parent != at) {
                at = *parent;
            }
            at
        }
        for link in &self.links {
            let (one, other) = (root(&parents, link.from), root(&parents, link.to));
            let (least, most) = (one.min(other), one.max(other));
            parents.insert(least, least);
            parents.insert(most, least);
        }
        let mut members: Vec<At> = parents.keys().copied().collect();
        members.sort_unstable();
        for at in members {
            let root = root(&parents, at);
            self.roots.insert(at, root);
            self.groups.entry(root).or_default().push(at);
        }
    }

    /// Every column of a reference.
    pub fn all(&self) -> &[Link] {
        &self.links
    }

    /// The references that a column is the referring end of, in the catalog's order.
    pub fn from(&self, at: At) -> impl Iterator<Item = &Link> {
        self.from.get(&at).into_iter().flatten().filter_map(|number| self.links.get(*number))
    }

    /// The columns that references tie to this one, itself among them, in their order.
    pub fn group_of(&self, at: At) -> Vec<At> {
        let group = self.roots.get(&at).and_then(|root| self.groups.get(root));
        group.cloned().unwrap_or_else(|| vec![at])
    }

    /// The column at the end of the chain of references that begins here: the key that all refer
    /// to. Of a circle, its least column.
    pub fn root_of(&self, at: At) -> At {
        let mut seen = vec![at];
        let mut last = at;
        while let Some(link) = self.from(last).next() {
            if seen.contains(&link.to) {
                return seen.into_iter().min().unwrap_or(at);
            }
            seen.push(link.to);
            last = link.to;
        }
        last
    }
}

/// The place of a column by its name.
fn place(catalog: &Catalog, table: usize, name: &str) -> Option<At> {
    let column = catalog.tables.get(table)?.columns.iter().position(|column| column.name == name)?;
    Some(At { table, column })
}

/// The place of a table by `schema.name`. Either may hold dots.
pub fn table_named(catalog: &Catalog, name: &str) -> Option<usize> {
    catalog.tables.iter().position(|table| {
        name.strip_prefix(&table.schema).and_then(|rest| rest.strip_prefix('.')) == Some(&table.name)
    })
}

/// The columns of one end of a `[[reference]]`: `schema.table(column, …)`.
fn end(catalog: &Catalog, setting: &Setting, findings: &mut Vec<Finding>) -> Option<Vec<At>> {
    let mut fault = |code, message: String| {
        findings.push(Finding::new(code, message).at(setting.place).hint("schema.table(column, …)"));
    };
    let Literal::Text(text) = &setting.value else {
        fault(Code::WrongValue, format!("a reference is {}", setting.value.what()));
        return None;
    };
    let split = text
        .split_once('(')
        .and_then(|(table, rest)| Some((table.trim(), rest.trim_end().strip_suffix(')')?)));
    let Some((table, columns)) = split else {
        fault(Code::WrongValue, format!("\"{text}\" names no columns"));
        return None;
    };
    let Some(number) = table_named(catalog, table) else {
        fault(Code::UnknownTable, format!("the database has no table {table}"));
        return None;
    };
    if columns.contains('(') {
        let message = format!("\"{text}\" is an expression, and this version follows columns");
        let hint = "leave the reference out, and give the column that it reads a rule of its own";
        findings.push(Finding::new(Code::WrongValue, message).at(setting.place).hint(hint));
        return None;
    }
    let mut found = Vec::new();
    for name in columns.split(',').map(|name| name.trim().trim_matches('"')) {
        match place(catalog, number, name) {
            Some(at) => found.push(at),
            None => {
                fault(Code::UnknownColumn, format!("{table} has no column {name}"));
                return None;
            }
        }
    }
    Some(found)
}
