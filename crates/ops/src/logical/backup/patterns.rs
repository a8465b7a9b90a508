//! The filters as pg_dump takes them: patterns in the database's own encoding, and the children of
//! tables that they name.
//!
//! pg_dump reads a pattern in its connection's encoding, which is the database's (`tap`), while
//! people write UTF-8. And its `--table` leaves out the partitions of a table, and with them every
//! row: from 16 on `--table-and-children` and its sisters take them; an older one is given each
//! child by its exact name.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use pgark_bytes::archive;
use pgark_bytes::pattern::Pattern;

use super::catalog::{Catalog, Table, TableName};
use super::lead::Lead;
use crate::error::Doing;
use crate::facts::Filters;
use crate::{OpsError, options};

/// From this major on pg_dump has `--table-and-children`, `--exclude-table-and-children` and
/// `--exclude-table-data-and-children`.
const TAKES_CHILDREN: i32 = 16;

/// What filters come to in one database.
#[derive(Default)]
pub(super) struct Resolved {
    /// pg_dump's options.
    pub arguments: Vec<OsString>,
    /// Tables that patterns of tables reach as children only.
    pub children: archive::filter::Children,
    /// Patterns as pg_dump reads and repeats them, and as they were typed, where the two differ.
    typed: Vec<(Vec<u8>, String)>,
}

impl Resolved {
    /// What pg_dump says, in which it repeats patterns in the database's encoding.
    pub(super) fn readable(&self, mut words: Vec<u8>) -> String {
        for (own, typed) in &self.typed {
            let mut from = 0;
            while let Some(at) = words.get(from..).and_then(|rest| memchr::memmem::find(rest, own)) {
                words.splice(from + at..from + at + own.len(), typed.bytes());
                from += at + typed.len();
            }
        }
        String::from_utf8_lossy(&words).into_owned()
    }
}

/// Which tables are partitions of which, or inherit from them, by oid.
pub(super) struct Children(HashMap<u32, Vec<u32>>);

impl Children {
    #[cfg(test)]
    pub(super) fn none() -> Children {
        Children(HashMap::new())
    }

    /// None where the filters do not ask for any.
    pub(super) fn read(lead: &mut Lead, filters: &Filters) -> Result<Children, OpsError> {
        if filters.bring_children() { Children::all(lead) } else { Ok(Children(HashMap::new())) }
    }

    /// All that there are.
    pub(super) fn all(lead: &mut Lead) -> Result<Children, OpsError> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let doing = "read which tables are partitions or inherit";
        let sql = "SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits";
        for row in lead.connection.query(sql, &[]).doing(doing)? {
            children.entry(row.parse(0).doing(doing)?).or_default().push(row.parse(1).doing(doing)?);
        }
        Ok(Children(children))
    }

    /// The tables that patterns match, with all below these; and those that are only reached as
    /// children.
    pub(super) fn reached<'c>(
        &self,
        patterns: &[Pattern],
        catalog: &'c Catalog,
    ) -> (HashSet<u32>, Vec<&'c Table>) {
        let is_named = |name: &TableName| patterns.iter().any(|p| p.matches_in(&name.schema, &name.name));
        let mut found: HashSet<u32> =
            catalog.tables.iter().filter(|table| is_named(&table.name)).map(|table| table.oid).collect();
        let mut open: Vec<u32> = found.iter().copied().collect();
        let mut only_children = Vec::new();
        while let Some(parent) = open.pop() {
            for child in self.0.get(&parent).into_iter().flatten() {
                if found.insert(*child) {
                    open.push(*child);
                    only_children.extend(catalog.table(*child));
                }
            }
        }
        only_children.sort_by_key(|table| table.oid);
        (found, only_children)
    }
}

/// The options that make pg_dump choose what the filters say.
pub(super) fn resolve(
    filters: &Filters,
    pg_dump: i32,
    catalog: &Catalog,
    children: &Children,
    lead: &mut Lead,
) -> Result<Resolved, OpsError> {
    let mut resolved = Resolved::default();
    let itself = filters.bring_children() && pg_dump >= TAKES_CHILDREN;
    for (option, patterns) in filters.patterns() {
        let is_of_tables =
            matches!(option, options::TABLE | options::EXCLUDE_TABLE | options::EXCLUDE_TABLE_DATA);
        let with_children = if is_of_tables && itself { "-and-children" } else { "" };
        for text in patterns {
            let Some(pattern) = in_own_encoding(text, option, filters, lead)? else { continue };
            resolved.arguments.push(argument(&format!("{option}{with_children}"), &pattern));
            if pattern != text.as_bytes() {
                resolved.typed.push((pattern, text.clone()));
            }
        }
        if !is_of_tables || patterns.is_empty() {
            continue;
        }
        let compiled =
            Pattern::relations(patterns).map_err(|error| OpsError::Usage(error.to_string().into()))?;
        let (_, only_children) = children.reached(&compiled, catalog);
        match option {
            options::TABLE => resolved.children.chosen = only_children.len(),
            _ => resolved.children.excluded += only_children.len(),
        }
        if !itself {
            let names: Vec<Vec<u8>> = only_children.iter().map(|table| exactly(&table.name)).collect();
            let names = lead.in_own_encoding(&names)?;
            resolved.arguments.extend(names.iter().map(|name| argument(option, name)));
        }
    }
    resolved.arguments.extend(filters.flags().into_iter().map(OsString::from));
    Ok(resolved)
}

/// A pattern in the database's encoding. One with letters that this encoding does not have matches
/// nothing: excluded is then nothing, and what is to be included becomes a pattern that no name can
/// match.
fn in_own_encoding(
    text: &str,
    option: &str,
    filters: &Filters,
    lead: &mut Lead,
) -> Result<Option<Vec<u8>>, OpsError> {
    if let Some(bytes) = lead.try_in_own_encoding(text)? {
        return Ok(Some(bytes));
    }
    if filters.strict_names {
        return Err(OpsError::refused(
            format!("nothing in database {} matches {text}", lead.database),
            format!("the database's encoding, {}, does not have these letters", lead.encoding),
        ));
    }
    // Longer than any name.
    Ok((!EXCLUDING.contains(&option)).then(|| format!("\"{}\"", "-".repeat(64)).into_bytes()))
}

/// What says which objects are left out.
const EXCLUDING: [&str; 3] = [options::EXCLUDE_SCHEMA, options::EXCLUDE_TABLE, options::EXCLUDE_TABLE_DATA];

fn argument(option: &str, pattern: &[u8]) -> OsString {
    OsString::from_vec([option.as_bytes(), b"=", pattern].concat())
}

/// `--exclude-table` of these tables alone.
pub(super) fn without<'t>(
    tables: impl Iterator<Item = &'t Table>,
    lead: &mut Lead,
) -> Result<Vec<OsString>, OpsError> {
    let names: Vec<Vec<u8>> = tables.map(|table| exactly(&table.name)).collect();
    Ok(lead.in_own_encoding(&names)?.iter().map(|name| argument(options::EXCLUDE_TABLE, name)).collect())
}

fn double_quotes(name: &[u8]) -> Vec<u8> {
    name.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 })).collect()
}

/// A pattern that matches this one table (pg_dump's patterns are psql's: quoted parts are literal).
fn exactly(table: &TableName) -> Vec<u8> {
    let quoted = |name: &[u8]| [b"\"".as_slice(), &double_quotes(name), b"\""].concat();
    [quoted(&table.schema), quoted(&table.name)].join(b".".as_slice())
}
