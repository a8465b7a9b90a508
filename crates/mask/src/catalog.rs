//! What masking has to know of a database, as `/db/DB/catalog.json` of every backup holds it and as
//! a live server gives it: tables with columns, constraints with the keys that they refer to,
//! indexes, types with their domains, enum labels and elements, and collations.
//!
//! Names are text: where a database's names are no UTF-8 (SQL_ASCII), they are as `names::shown`
//! writes them. Oids only tie the facts of one file together.
//!
//! What a member has no value for, or has nothing in, is left out when it is written.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The facts of one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// 1.
    pub format: u32,
    /// The database's name.
    pub database: String,
    /// The server's encoding of the database: `UTF8`, `LATIN1`, …
    pub encoding: String,
    /// The database's `LC_CTYPE`: it decides what `lower()` does, and with it citext, unless
    /// `provider` is another one than `c`.
    pub ctype: String,
    /// Where the database's collation comes from: c libc, i ICU, b the server itself.
    pub provider: char,
    /// The locale of that collation, if it does not come from libc.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The server's version as a number: 150004.
    pub server_version: u32,
    /// Every type that a column of the tables has, with the types that those are made of.
    pub types: Vec<TypeFacts>,
    /// Collations of columns that are not the database's.
    pub collations: Vec<CollationFacts>,
    /// Tables, partitioned tables and foreign tables, by schema and name.
    pub tables: Vec<TableFacts>,
}

/// A type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TypeFacts {
    /// Its oid in `pg_type`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name: `int4`, `_int4`, `email_address`.
    pub name: String,
    /// `pg_type.typtype`: b base, c composite, d domain, e enum, r range, m multirange.
    pub kind: char,
    /// Of an array: the type of its elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<u32>,
    /// Of a domain: the type that it is over, and that type's modifier (-1: none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u32>,
    /// See `base`.
    pub modifier: i32,
    /// Of a domain: NULL is refused.
    #[serde(skip_serializing_if = "is_false")]
    pub not_null: bool,
    /// Of a domain: its default as the server writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Of a domain: its checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckFacts>,
    /// Of an enum: its labels in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Of a composite type: its attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeFacts>,
    /// Of a range or multirange: the type of its bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtype: Option<u32>,
    /// The extension that made it: `citext`, `hstore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
}

/// A check of a domain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckFacts {
    /// The constraint's name.
    pub name: String,
    /// `CHECK (…)`, as the server writes it.
    pub definition: String,
}

/// An attribute of a composite type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributeFacts {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: u32,
    /// Its type's modifier; -1: none.
    pub modifier: i32,
    /// Its collation, where it is not the database's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collation: Option<u32>,
}

/// A collation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollationFacts {
    /// Its oid in `pg_collation`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Where it comes from: c libc, i ICU, b the server itself.
    pub provider: char,
    /// The provider's name of it: `und-u-ks-level2`; of libc, its `LC_CTYPE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Of ICU: rules in addition to the locale's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// False: texts of other bytes may be equal.
    pub deterministic: bool,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableFacts {
    /// Its oid in `pg_class`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`: r, p (partitioned) or f (foreign).
    pub kind: char,
    /// The tables that it inherits from, or that it is a partition of, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<u32>,
    /// It is a partition of its only parent.
    #[serde(skip_serializing_if = "is_false")]
    pub is_partition: bool,
    /// Of a partition: the rows that it takes, as the server writes it: `FOR VALUES IN ('eu')`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// Of a partitioned table: its method and key, as the server writes it: `RANGE (at)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioned_by: Option<String>,
    /// Of a partitioned table: the columns that its key reads, also inside of expressions;
    /// these come last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partition_key: Vec<String>,
    /// Columns in their order; dropped ones are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnFacts>,
    /// Primary keys, UNIQUE, foreign keys, CHECK and EXCLUDE, those that come from a parent too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<ConstraintFacts>,
    /// Indexes, those of constraints too; not those that the server does not use, since they are
    /// unfinished.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexFacts>,
    /// Triggers that users made and that are on when rows come in (BEFORE and AFTER INSERT, of rows
    /// and of statements).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<String>,
    /// Policies of row-level security, with the columns that they read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyFacts>,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type's oid.
    pub r#type: u32,
    /// Its type as SQL writes it: `character varying(20)`.
    pub sql_type: String,
    /// Its type's modifier; -1: none.
    pub modifier: i32,
    /// NULL is refused.
    #[serde(skip_serializing_if = "is_false")]
    pub not_null: bool,
    /// Of an identity column: a (`GENERATED ALWAYS`) or d (`BY DEFAULT`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<char>,
    /// It is `GENERATED ALWAYS AS (…)`; COPY does not hold it.
    #[serde(skip_serializing_if = "is_false")]
    pub generated: bool,
    /// Its default as the server writes it, where it has one: `'new'::text`; of a generated column
    /// its expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Of a generated column: the columns that it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generated_from: Vec<String>,
    /// Its collation, where it is not the database's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collation: Option<u32>,
}

/// A constraint of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConstraintFacts {
    /// Its name.
    pub name: String,
    /// `pg_constraint.contype`: p, u, f, c or x.
    pub kind: char,
    /// The columns that it is on, or that it reads, in its order. What the expressions of an
    /// EXCLUDE read is with its index; that a CHECK reads the whole row as one value, `definition`
    /// alone says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// As the server writes it.
    pub definition: String,
    /// Of a foreign key: the key that it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<KeyFacts>,
}

/// The key that a foreign key refers to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyFacts {
    /// The table's oid.
    pub table: u32,
    /// Its columns, in the order of the foreign key's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexFacts {
    /// Its name.
    pub name: String,
    /// Two rows of equal keys are refused.
    #[serde(skip_serializing_if = "is_false")]
    pub unique: bool,
    /// Its keys in their order: a column's name, or None for an expression.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Option<String>>,
    /// Of each key the collation, where it is not the database's own; nothing, if none has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collations: Vec<Option<u32>>,
    /// Its expressions, as the server writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<String>,
    /// The columns that its expressions and its predicate read, apart from those that are keys of
    /// it themselves or are included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Of a partial index: its predicate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// As the server writes it.
    pub definition: String,
}

/// A policy of row-level security.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyFacts {
    /// Its name.
    pub name: String,
    /// The columns of its table that it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Its `USING` expression, as the server writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
    /// Its `WITH CHECK` expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Catalog {
    /// The place of each table in [`Catalog::tables`], by its oid.
    pub fn places(&self) -> HashMap<u32, usize> {
        self.tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect()
    }

    /// A table by its oid.
    pub fn table(&self, oid: u32) -> Option<&TableFacts> {
        self.tables.iter().find(|table| table.oid == oid)
    }

    /// A table by its names.
    pub fn table_named(&self, schema: &str, name: &str) -> Option<&TableFacts> {
        self.tables.iter().find(|table| table.schema == schema && table.name == name)
    }

    /// A type by its oid.
    pub fn type_of(&self, oid: u32) -> Option<&TypeFacts> {
        self.types.iter().find(|found| found.oid == oid)
    }
}

impl TableFacts {
    /// `schema.name`.
    pub fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }
}
