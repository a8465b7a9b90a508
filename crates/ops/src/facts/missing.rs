//! What was asked for and is not in a backup.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of thing is missing: `database`, `table` (with its definition), `rows` (of a table
/// whose definition is there), `large object`, `large objects`, `entry` (another entry of the
/// backup), or a kind that only a newer version of pgark knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum MissingKind {
    /// A whole database.
    Database,
    /// A table with its definition.
    Table,
    /// The rows of a table whose definition is there.
    Rows,
    /// One large object, named by its id.
    LargeObject,
    /// Large objects that are not named one by one: `count` of them, else all of the database.
    LargeObjects,
    /// Another entry of the backup, named by its path.
    Entry,
    /// Of a newer version of this program.
    Unknown(String),
}

impl MissingKind {
    fn name(&self) -> &str {
        match self {
            MissingKind::Database => "database",
            MissingKind::Table => "table",
            MissingKind::Rows => "rows",
            MissingKind::LargeObject => "large object",
            MissingKind::LargeObjects => "large objects",
            MissingKind::Entry => "entry",
            MissingKind::Unknown(name) => name,
        }
    }
}

impl From<String> for MissingKind {
    fn from(name: String) -> MissingKind {
        use MissingKind::{Database, Entry, LargeObject, LargeObjects, Rows, Table};
        let known = [Database, Table, Rows, LargeObject, LargeObjects, Entry];
        known.into_iter().find(|kind| kind.name() == name).unwrap_or(MissingKind::Unknown(name))
    }
}

impl From<MissingKind> for String {
    fn from(kind: MissingKind) -> String {
        kind.name().to_string()
    }
}

/// Something that was asked for and is not in the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// What kind of thing is missing.
    pub kind: MissingKind,
    /// The missing database, or the database that the missing object belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Schema of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Name of a table, id of a large object, or path of an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of large objects that are not named one by one. Absent: all of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why it is missing, as a sentence.
    #[serde(default)]
    pub reason: String,
}

impl Missing {
    fn new(kind: MissingKind, reason: impl Into<String>) -> Missing {
        Missing { kind, database: None, schema: None, name: None, count: None, reason: reason.into() }
    }

    fn of(self, database: &str) -> Missing {
        Missing { database: Some(database.to_string()), ..self }
    }

    pub(crate) fn database(name: &str, reason: impl Into<String>) -> Missing {
        Missing::new(MissingKind::Database, reason).of(name)
    }

    /// A table with its definition.
    pub(crate) fn table(database: &str, schema: &str, name: &str, reason: impl Into<String>) -> Missing {
        let (schema, name) = (Some(schema.to_string()), Some(name.to_string()));
        Missing { schema, name, ..Missing::new(MissingKind::Table, reason).of(database) }
    }

    /// The rows of a table.
    pub(crate) fn rows(database: &str, schema: &str, name: &str, reason: impl Into<String>) -> Missing {
        Missing { kind: MissingKind::Rows, ..Missing::table(database, schema, name, reason) }
    }

    pub(crate) fn large_object(database: &str, object: u32, reason: impl Into<String>) -> Missing {
        let name = Some(object.to_string());
        Missing { name, ..Missing::new(MissingKind::LargeObject, reason).of(database) }
    }

    /// So many large objects, or all.
    pub(crate) fn large_objects(database: &str, count: Option<u64>, reason: impl Into<String>) -> Missing {
        Missing { count, ..Missing::new(MissingKind::LargeObjects, reason).of(database) }
    }

    /// An entry, of a database or of the whole backup.
    pub(crate) fn entry(path: &str, database: Option<&str>, reason: impl Into<String>) -> Missing {
        let database = database.map(str::to_string);
        let name = Some(path.to_string());
        Missing { database, name, ..Missing::new(MissingKind::Entry, reason) }
    }

    /// Whether it is something of this database; not the database itself.
    pub(crate) fn is_of(&self, database: &str) -> bool {
        self.kind != MissingKind::Database && self.database.as_deref() == Some(database)
    }

    /// Whether it is the rows of this table, `schema.name`.
    pub(crate) fn is_rows_of(&self, table: &str) -> bool {
        self.kind == MissingKind::Rows && self.qualified() == table
    }

    fn qualified(&self) -> String {
        let parts = [self.schema.as_deref(), self.name.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(".")
    }
}

/// What it is, without the reason.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.qualified();
        match &self.kind {
            MissingKind::Database => {
                return write!(f, "database {}", self.database.as_deref().unwrap_or_default());
            }
            MissingKind::Entry => return f.write_str(&name),
            MissingKind::Rows => write!(f, "rows of table {name}")?,
            MissingKind::LargeObjects => match self.count {
                Some(count) => write!(f, "{count} more large objects")?,
                None => f.write_str("the large objects")?,
            },
            kind if name.is_empty() => f.write_str(kind.name())?,
            kind => write!(f, "{} {name}", kind.name())?,
        }
        match &self.database {
            Some(database) => write!(f, " of database {database}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_newer_version_is_kept() {
        let missing = serde_json::json!({ "kind": "timeline", "name": "3", "reason": "gone" });
        let read: Missing = serde_json::from_value(missing.clone()).unwrap();
        assert_eq!(read.kind, MissingKind::Unknown("timeline".into()));
        assert_eq!(read.to_string(), "timeline 3");
        assert_eq!(serde_json::to_value(&read).unwrap(), missing);
    }

    #[test]
    fn what_is_missing_is_told_in_words() {
        for (missing, told) in [
            (Missing::database("d", ""), "database d"),
            (Missing::table("d", "public", "my t", ""), "table public.my t of database d"),
            (Missing::rows("d", "public", "t", ""), "rows of table public.t of database d"),
            (Missing::large_object("d", 17, ""), "large object 17 of database d"),
            (Missing::large_objects("d", None, ""), "the large objects of database d"),
            (Missing::large_objects("d", Some(3), ""), "3 more large objects of database d"),
            (Missing::entry("/db/d/toc.dat", Some("d"), ""), "/db/d/toc.dat"),
        ] {
            assert_eq!(missing.to_string(), told);
            let read: Missing = serde_json::from_value(serde_json::to_value(&missing).unwrap()).unwrap();
            assert_eq!(read, missing);
        }
    }

    #[test]
    fn what_is_missing_belongs_to_its_database() {
        let rows = Missing::rows("d", "public", "my t", "");
        assert!(rows.is_of("d") && !rows.is_of("e") && rows.is_rows_of("public.my t"));
        assert!(!Missing::table("d", "public", "my t", "").is_rows_of("public.my t"));
        assert!(!Missing::database("d", "").is_of("d"));
        assert!(Missing::entry("/db/d/toc.dat", Some("d"), "").is_of("d"));
        assert!(!Missing::entry("/globals.sql", None, "").is_of("d"));
    }
}
