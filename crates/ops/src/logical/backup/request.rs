//! What a backup is asked for: which databases, what of each, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pgark_bytes::pattern::{Pattern, PatternError};
use pgark_pg::ConnInfo;
use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::patterns::Children;
use crate::OpsError;
use crate::logical::rowmap::RowMaps;

/// What to back up and how.
pub struct Request {
    /// Where to connect first; with [`Databases::Connected`] also what to back up.
    pub conninfo: ConnInfo,
    /// Where to connect first, with [`Databases::Matching`], and nowhere else.
    pub maintenance_db: Option<String>,
    /// The role that all sessions become after login.
    pub role: Option<String>,
    /// Which databases.
    pub databases: Databases,
    /// What of every database that has no filters of its own.
    pub filters: Filters,
    /// Databases with filters of their own.
    pub filters_of: BTreeMap<String, Filters>,
    /// When the databases' snapshots are taken.
    pub snapshots: Snapshots,
    /// Parallel connections that copy.
    pub jobs: usize,
    /// The cluster's name; by default its system identifier.
    pub cluster: Option<String>,
    /// zstd level.
    pub compression_level: i32,
    /// This pg_dump and no other.
    pub pg_dump: Option<PathBuf>,
    /// Folders in which programs are looked for.
    pub search_path: Vec<PathBuf>,
    /// How long the first locks may wait.
    pub lock_wait_timeout: Duration,
    /// On a standby: pause replay for the time of the copy, waiting at most this long for a moment without exclusive locks.
    pub pause_timeout: Option<Duration>,
    /// Go on without what cannot be read; the backup is then incomplete.
    pub keep_going: bool,
    /// Store everything anew, whatever the repository holds already.
    pub full: bool,
    /// Which tables are stored under row maps, where a database has no choice of its own.
    pub row_maps: RowMaps,
    /// Databases with a choice of their own.
    pub row_maps_of: BTreeMap<String, RowMaps>,
    /// Write every chunk again that still holds deleted rows.
    pub condemn_dead: bool,
}

/// Which databases of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// The one that the connection string names.
    Connected,
    /// Those that match, of those that allow connections.
    Matching {
        /// Patterns; empty: every database.
        include: Vec<String>,
        /// Patterns of what is left out.
        exclude: Vec<String>,
        /// Template databases too (without it only where a pattern names one literally).
        templates: bool,
    },
}

/// Which databases were asked for, as a backup's record keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Selection {
    /// Patterns; empty: every database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<String>,
    /// Patterns of what is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    /// Template databases too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    templates: bool,
}

impl Databases {
    /// For the record; nothing where one database was named by the connection.
    pub(super) fn selection(&self) -> Option<Selection> {
        match self {
            Databases::Connected => None,
            Databases::Matching { include, exclude, templates } => {
                let (include, exclude, templates) = (include.clone(), exclude.clone(), *templates);
                Some(Selection { include, exclude, templates })
            }
        }
    }
}

impl Selection {
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

/// When the snapshots of several databases are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshots {
    /// Each when its database's turn comes; released when that database is copied.
    Staggered,
    /// All before the first byte is copied: nearly one moment, held to the end by a connection for each database.
    Together,
}

/// What of a database, by pg_dump's options of the same names and with their meaning. By default: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// Only these schemas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schema: Vec<String>,
    /// Without these schemas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schema: Vec<String>,
    /// Only these tables, views, sequences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<String>,
    /// Without these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table: Vec<String>,
    /// Only these extensions (pg_dump 14 and newer).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extension: Vec<String>,
    /// Without the rows of these tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
    /// With the rows of the foreign tables on these servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_foreign_data: Vec<String>,
    /// A table that a pattern names does not bring its partitions, and the tables that inherit from it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_children: bool,
    /// No rows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub schema_only: bool,
    /// No definitions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub data_only: bool,
    /// No large objects.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_large_objects: bool,
    /// Every pattern must match something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict_names: bool,
}

impl Filters {
    /// Whether all objects are taken (their rows may still be left out).
    pub(super) fn take_all_objects(&self) -> bool {
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

    /// For people, as options.
    pub fn describe(&self) -> String {
        let patterns = self.patterns().into_iter();
        let patterns = patterns.flat_map(|(option, list)| list.iter().map(move |p| format!("{option}={p}")));
        let mut options: Vec<String> = patterns.chain(self.flags().into_iter().map(str::to_string)).collect();
        if self.no_children {
            options.push("--no-children".to_string());
        }
        options.join(" ").replace("--no-blobs", "--no-large-objects")
    }

    /// Every pattern, by pg_dump's options.
    pub(super) fn patterns(&self) -> [(&'static str, &[String]); 7] {
        [
            ("--schema", &self.schema),
            ("--exclude-schema", &self.exclude_schema),
            ("--table", &self.table),
            ("--exclude-table", &self.exclude_table),
            ("--extension", &self.extension),
            ("--exclude-table-data", &self.exclude_table_data),
            ("--include-foreign-data", &self.include_foreign_data),
        ]
    }

    fn name_tables(&self) -> bool {
        [&self.table, &self.exclude_table, &self.exclude_table_data].iter().any(|list| !list.is_empty())
    }

    /// Whether partitions and tables that inherit come, or go, with the tables that patterns name.
    pub(super) fn bring_children(&self) -> bool {
        !self.no_children && self.name_tables()
    }

    /// pg_dump's own options that are no patterns.
    pub(super) fn flags(&self) -> Vec<&'static str> {
        let mut arguments = Vec::new();
        for (wanted, option) in [
            (self.schema_only, "--schema-only"),
            (self.data_only, "--data-only"),
            // The name that every major knows.
            (self.no_large_objects, "--no-blobs"),
            (self.strict_names, "--strict-names"),
        ] {
            if wanted {
                arguments.push(option);
            }
        }
        arguments
    }

    /// Which tables pg_dump will take under these filters.
    pub(super) fn selector(&self) -> Result<Selector, OpsError> {
        let compiled = (|| {
            // Compiled to be refused early; pg_dump alone applies them.
            Pattern::relations(&self.exclude_table_data)?;
            Pattern::plains(&self.include_foreign_data)?;
            Pattern::plains(&self.extension)?;
            Ok::<_, PatternError>(Selector {
                schema: Pattern::plains(&self.schema)?,
                exclude_schema: Pattern::plains(&self.exclude_schema)?,
                table: Pattern::relations(&self.table)?,
                exclude_table: Pattern::relations(&self.exclude_table)?,
            })
        })();
        compiled.map_err(|error| OpsError::Usage(error.to_string()))
    }
}

/// pg_dump's choice of tables (pg_dump.c, `selectDumpableNamespace`, `selectDumpableTable`).
pub(super) struct Selector {
    schema: Vec<Pattern>,
    exclude_schema: Vec<Pattern>,
    table: Vec<Pattern>,
    exclude_table: Vec<Pattern>,
}

impl Selector {
    /// Leaves in the catalog what pg_dump will take.
    pub(super) fn choose(&self, catalog: &mut Catalog, children: &Children) {
        let (named, _) = children.reached(&self.table, catalog);
        let (excluded, _) = children.reached(&self.exclude_table, catalog);
        catalog.choose(|table| {
            let included = if self.table.is_empty() {
                self.takes_schema(&table.name.schema)
            } else {
                named.contains(&table.oid)
            };
            included && !excluded.contains(&table.oid)
        });
    }

    fn takes_schema(&self, schema: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(schema));
        (self.schema.is_empty() || any(&self.schema)) && !any(&self.exclude_schema)
    }
}

impl Request {
    /// What of this database.
    pub(super) fn filters_for(&self, database: &str) -> &Filters {
        self.filters_of.get(database).unwrap_or(&self.filters)
    }

    /// Refuses patterns that are none, and what contradicts itself.
    pub(super) fn refuse_nonsense(&self) -> Result<(), OpsError> {
        for maps in std::iter::once(&self.row_maps).chain(self.row_maps_of.values()) {
            maps.chooser()?;
        }
        for filters in std::iter::once(&self.filters).chain(self.filters_of.values()) {
            filters.selector()?;
            if filters.schema_only && filters.data_only {
                return Err(OpsError::Usage("--schema-only and --data-only leave nothing".into()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Databases, Filters};
    use crate::logical::backup::catalog::Catalog;
    use crate::logical::backup::patterns::Children;

    fn takes(filters: &Filters, schema: &str, name: &str) -> bool {
        let mut catalog = Catalog::for_tests(schema, name);
        filters.selector().unwrap().choose(&mut catalog, &Children::none());
        catalog.lockable().count() == 1
    }

    #[test]
    fn tables_are_chosen_as_pg_dump_does() {
        let filters =
            Filters { table: vec!["shop.o*".into()], schema: vec!["x".into()], ..Filters::default() };
        assert!(
            takes(&filters, "shop", "orders") && !takes(&filters, "x", "orders"),
            "-n has no effect beside -t"
        );
        let filters =
            Filters { schema: vec!["s*".into()], exclude_schema: vec!["sh*".into()], ..Filters::default() };
        assert!(takes(&filters, "sales", "t") && !takes(&filters, "shop", "t") && !takes(&filters, "a", "t"));
        let filters = Filters { exclude_table: vec!["log_*".into()], ..Filters::default() };
        assert!(!takes(&filters, "any", "log_1") && takes(&filters, "any", "t"));
    }

    #[test]
    fn a_selection_says_what_it_would_have_taken() {
        let selection = |include: &[&str], exclude: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect();
            Databases::Matching { include: texts(include), exclude: texts(exclude), templates: false }
                .selection()
                .unwrap()
        };
        assert!(selection(&[], &[]).takes("shop") && !selection(&[], &[]).takes("template1"));
        assert!(!selection(&[], &["sh*"]).takes("shop") && selection(&[], &["sh*"]).takes("crm"));
        assert!(selection(&["sh*"], &[]).takes("shop") && !selection(&["sh*"], &[]).takes("crm"));
        assert!(selection(&["Shop"], &[]).takes("Shop") && selection(&["template1"], &[]).takes("template1"));
        assert_eq!(Databases::Connected.selection(), None);
    }

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
            "--table=b --table=a --no-large-objects"
        );
    }

    #[test]
    fn the_default_takes_everything() {
        assert!(Filters::default().is_default() && Filters::default().flags().is_empty());
        assert!(takes(&Filters::default(), "any", "t"));
    }
}
