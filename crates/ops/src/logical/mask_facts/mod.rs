//! `/db/DB/catalog.json`: what masking has to know of a database, in the members of
//! [`pgark_mask::catalog`].
//!
//! The document is one JSON object. Its first line is about the database; then each table, each
//! type and each collation has a line of its own. A line depends on its object alone, so that the
//! document is stored in proportion to what changed: tables are in the order of their names, and
//! nothing in it moves by itself. Filters of a backup choose rows and definitions; the facts are
//! those of all tables, since a table that is left out can still say what a masked one has to be.
//!
//! Everything is read from the system catalogs, which every role has the right to read. Memory is
//! for one object at a time, and for the oids of types and collations that the tables use.

mod queries;

use std::collections::BTreeSet;

use pgark_bytes::copy_text;
use pgark_bytes::names::shown_json;
use pgark_mask::catalog::{Catalog, CollationFacts, TableFacts, TypeFacts};
use pgark_pg::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::OpsError;

/// What is done, for errors.
const DOING: &str = "read the facts that masking needs";

/// What tables use: it is described behind them.
#[derive(Default)]
struct Used {
    types: BTreeSet<u32>,
    collations: BTreeSet<u32>,
}

/// Reads the facts of the database that the connection is to, in the snapshot of its transaction,
/// and hands on the document line by line, each with its `\n`. Names and definitions are UTF-8, as
/// the session has to be.
pub(crate) fn lines(
    connection: &mut Connection,
    line: &mut dyn FnMut(&str) -> Result<(), OpsError>,
) -> Result<(), OpsError> {
    let mut head = Map::new();
    each(connection, queries::DATABASE, &mut |database| {
        head = database;
        Ok(())
    })?;
    head.retain(|_, value| !value.is_null());
    let head = Value::Object(head).to_string();
    line(&format!("{},\"tables\":[\n", head.strip_suffix('}').unwrap_or(&head)))?;
    let mut used = Used::default();
    list::<TableFacts>(connection, queries::TABLES, line, &mut |table| used.by_table(table))?;
    line("],\"types\":[\n")?;
    if !used.types.is_empty() {
        let sql = queries::types(&listed(&used.types));
        list::<TypeFacts>(connection, &sql, line, &mut |made| used.by_type(made))?;
    }
    line("],\"collations\":[\n")?;
    if !used.collations.is_empty() {
        let sql = queries::collations(&listed(&used.collations));
        list::<CollationFacts>(connection, &sql, line, &mut |_| {})?;
    }
    line("]}\n")
}

/// The facts of the database that the connection is to, in the snapshot of its transaction.
///
/// # Errors
/// What the server refuses.
pub(crate) fn catalog(connection: &mut Connection) -> Result<Catalog, OpsError> {
    let mut document = String::new();
    lines(connection, &mut |line| {
        document.push_str(line);
        Ok(())
    })?;
    serde_json::from_str(&document).map_err(|_| unreadable())
}

/// What tells a line of the document from the others, and stays when its object changes: its
/// beginning, which has the oid and the name.
pub(crate) fn name_of(line: &str) -> &[u8] {
    let line = line.strip_prefix(',').unwrap_or(line).as_bytes();
    line.get(..64).unwrap_or(line)
}

impl Used {
    fn by_table(&mut self, table: &TableFacts) {
        for column in &table.columns {
            self.types.insert(column.r#type);
            self.collations.extend(column.collation);
        }
        self.collations.extend(table.indexes.iter().flat_map(|index| &index.collations).flatten());
    }

    fn by_type(&mut self, made: &TypeFacts) {
        self.collations.extend(made.attributes.iter().filter_map(|attribute| attribute.collation));
    }
}

fn listed(oids: &BTreeSet<u32>) -> String {
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    oids.join(",")
}

/// The members of a list, a line for each.
fn list<T: DeserializeOwned + Serialize>(
    connection: &mut Connection,
    sql: &str,
    line: &mut dyn FnMut(&str) -> Result<(), OpsError>,
    seen: &mut dyn FnMut(&T),
) -> Result<(), OpsError> {
    let mut comma = "";
    each(connection, sql, &mut |object: T| {
        seen(&object);
        let text = serde_json::to_string(&object).map_err(|_| unreadable())?;
        line(&format!("{comma}{text}\n"))?;
        comma = ",";
        Ok(())
    })
}

/// What a query gives, as it comes: of the rows of a query that is not a COPY, all would be in
/// memory.
fn each<T: DeserializeOwned>(
    connection: &mut Connection,
    sql: &str,
    take: &mut dyn FnMut(T) -> Result<(), OpsError>,
) -> Result<(), OpsError> {
    let sql = format!("COPY ({sql}) TO STDOUT");
    let read = connection.copy_out::<OpsError>(sql.as_bytes(), &mut |row| {
        let json = copy_text::value(row.strip_suffix(b"\n").unwrap_or(row)).unwrap_or_default();
        // A SQL_ASCII database may hold bytes that are no text.
        let object = match std::str::from_utf8(&json) {
            Ok(json) => serde_json::from_str(json),
            Err(_) => serde_json::from_str(&shown_json(&json)),
        };
        take(object.map_err(|_| unreadable())?)
    });
    match read {
        Ok(_) => Ok(()),
        Err(OpsError::Server { source, .. }) => Err(OpsError::Server { doing: DOING.into(), source }),
        Err(other) => Err(other),
    }
}

fn unreadable() -> OpsError {
    OpsError::refused(format!("{DOING}: the server's JSON cannot be read"), "this is a defect of pgark")
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_line_keeps_its_name_when_its_object_changes() {
        let line = r#"{"oid":16385,"schema":"public","name":"customers","kind":"r","columns":[]}"#;
        let changed = line.replace("[]", r#"[{"name":"id"}]"#);
        assert_eq!(name_of(line), name_of(&changed));
        assert_eq!(name_of(line), name_of(&format!(",{line}")));
        assert_ne!(name_of(line), name_of(&line.replace("16385", "16386")));
        assert_eq!(name_of("]}\n"), b"]}\n");
    }
}
