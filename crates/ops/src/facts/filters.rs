//! What was asked for: which databases, and what of each, as a backup's record keeps it.

use pgark_bytes::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options;

/// Which databases were asked for, as a backup's record keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Selection {
    /// Patterns; empty: every database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Patterns of what is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Template databases too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub templates: bool,
}

impl Selection {
    /// The same selection in one form, whatever the order of its patterns.
    pub(crate) fn normal(&self) -> String {
        let mut normal = self.clone();
        for patterns in [&mut normal.include, &mut normal.exclude] {
            patterns.sort();
            patterns.dedup();
        }
        serde_json::to_string(&normal).unwrap_or_default()
    }

    /// Whether a database of this name would have been taken, had it been there.
    pub(crate) fn takes(&self, database: &str) -> bool {
        let any = |patterns: &[String]| {
            Pattern::plains(patterns)
                .is_ok_and(|patterns| patterns.iter().any(|pattern| pattern.matches(database.as_bytes())))
        };
        let named = self.include.iter().any(|pattern| pattern == database);
        let is_template = matches!(database, "template0" | "template1") && !self.templates && !named;
        (self.include.is_empty() || named || any(&self.include)) && !is_template && !any(&self.exclude)
    }
}

/// Which part of a database is taken, by pg_dump's options of the same names and with the same
/// meaning. By default: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Filters {
    /// Patterns: only these schemas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schema: Vec<String>,
    /// Patterns: without these schemas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schema: Vec<String>,
    /// Patterns: only these tables, views and sequences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<String>,
    /// Patterns: without these tables, views and sequences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table: Vec<String>,
    /// Patterns: only these extensions (pg_dump 14 and newer).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extension: Vec<String>,
    /// Patterns: without the rows of these tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
    /// Patterns: with the rows of the foreign tables on these foreign servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_foreign_data: Vec<String>,
    /// Without the partitions of the tables that a pattern names, and the tables that inherit from
    /// them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_children: bool,
    /// Without rows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub schema_only: bool,
    /// Without definitions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub data_only: bool,
    /// Without large objects.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_large_objects: bool,
    /// Whether each pattern had to match something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict_names: bool,
}

impl Filters {
    /// Whether all objects are taken (their rows may still be left out).
    pub(crate) fn take_all_objects(&self) -> bool {
        [&self.schema, &self.exclude_schema, &self.table, &self.exclude_table]
            .iter()
            .all(|patterns| patterns.is_empty())
    }

    /// Whether anything is left out or added.
    pub fn is_default(&self) -> bool {
        Filters { strict_names: false, no_children: false, ..self.clone() } == Filters::default()
    }

    /// Whether something is left out: what holds more than pg_dump takes by itself is whole, too.
    pub fn is_part(&self) -> bool {
        Filters { strict_names: false, no_children: false, include_foreign_data: Vec::new(), ..self.clone() }
            != Filters::default()
    }

    /// The same filters in one form: backups are of one series if theirs are the same.
    pub(crate) fn normal(&self) -> Filters {
        let no_children = self.no_children && self.name_tables();
        let mut normal = Filters { strict_names: false, no_children, ..self.clone() };
        for patterns in [
            &mut normal.schema,
            &mut normal.exclude_schema,
            &mut normal.table,
            &mut normal.exclude_table,
            &mut normal.extension,
            &mut normal.exclude_table_data,
            &mut normal.include_foreign_data,
        ] {
            patterns.sort();
            patterns.dedup();
        }
        normal
    }

    /// What they take and leave out, for people.
    pub fn describe(&self) -> String {
        let patterns = [
            ("only schemas", &self.schema),
            ("without schemas", &self.exclude_schema),
            ("only tables", &self.table),
            ("without tables", &self.exclude_table),
            ("only extensions", &self.extension),
            ("without rows of", &self.exclude_table_data),
            ("with rows of foreign servers", &self.include_foreign_data),
        ];
        let patterns = patterns.into_iter().filter(|(_, list)| !list.is_empty());
        let mut told: Vec<String> =
            patterns.map(|(what, list)| format!("{what} {}", list.join(", "))).collect();
        for (wanted, what) in [
            (self.no_children, "without their partitions and child tables"),
            (self.schema_only, "definitions only"),
            (self.data_only, "rows only"),
            (self.no_large_objects, "without large objects"),
        ] {
            if wanted {
                told.push(what.to_string());
            }
        }
        told.join("; ")
    }

    /// Every pattern, by pg_dump's options.
    pub(crate) fn patterns(&self) -> [(&'static str, &[String]); 7] {
        [
            (options::SCHEMA, &self.schema),
            (options::EXCLUDE_SCHEMA, &self.exclude_schema),
            (options::TABLE, &self.table),
            (options::EXCLUDE_TABLE, &self.exclude_table),
            (options::EXTENSION, &self.extension),
            (options::EXCLUDE_TABLE_DATA, &self.exclude_table_data),
            (options::INCLUDE_FOREIGN_DATA, &self.include_foreign_data),
        ]
    }

    fn name_tables(&self) -> bool {
        [&self.table, &self.exclude_table, &self.exclude_table_data].iter().any(|list| !list.is_empty())
    }

    /// Whether partitions and tables that inherit come, or go, with the tables that patterns name.
    pub(crate) fn bring_children(&self) -> bool {
        !self.no_children && self.name_tables()
    }

    /// pg_dump's own options that are no patterns.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let mut arguments = Vec::new();
        for (wanted, option) in [
            (self.schema_only, options::SCHEMA_ONLY),
            (self.data_only, options::DATA_ONLY),
            (self.no_large_objects, options::NO_BLOBS),
            (self.strict_names, options::STRICT_NAMES),
        ] {
            if wanted {
                arguments.push(option);
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_leaves_something_out() {
        let more =
            Filters { include_foreign_data: vec!["*".into()], strict_names: true, ..Filters::default() };
        assert!(!more.is_part() && more.normal() != Filters::default());
        for part in [
            Filters { schema_only: true, ..Filters::default() },
            Filters { table: vec!["b".into(), "a".into(), "b".into()], ..Filters::default() },
            Filters { exclude_table_data: vec!["log".into()], ..Filters::default() },
        ] {
            assert!(part.is_part());
        }
        let (one, other) = (
            Filters { table: vec!["b".into(), "a".into()], ..Filters::default() },
            Filters { table: vec!["a".into(), "b".into()], strict_names: true, ..Filters::default() },
        );
        assert_eq!(one.normal(), other.normal());
        assert_eq!(
            Filters { no_large_objects: true, ..one }.describe(),
            "only tables b, a; without large objects"
        );
    }
}
