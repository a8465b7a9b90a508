//! What a backup is asked for: which databases, what of each, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pgark_pg::ConnInfo;

use super::selector::Selector;
use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::cluster::Beside;
use crate::facts::{Filters, Selection};
use crate::logical::rowmap::RowMaps;
use crate::masking::Loaded;

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
    /// On a standby: pause replay for the time of the copy, waiting at most this long for a moment
    /// without exclusive locks.
    pub pause_timeout: Option<Duration>,
    /// Go on without what cannot be read; the backup is then incomplete.
    pub keep_going: bool,
    /// Store everything again, whatever the repository holds already.
    pub full: bool,
    /// Which tables are stored under row maps, where a database has no choice of its own.
    pub row_maps: RowMaps,
    /// Databases with a choice of their own.
    pub row_maps_of: BTreeMap<String, RowMaps>,
    /// Write every chunk again that still holds deleted rows.
    pub rewrite_deleted: bool,
    /// The rules that mask every row; None: rows stay as they are.
    pub mask: Option<Loaded>,
    /// What is done while another backup of the cluster is being made.
    pub beside: Beside,
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

/// When the snapshots of several databases are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshots {
    /// Each when its database's turn comes; released when that database is copied.
    Staggered,
    /// All before the first byte is copied: nearly one moment, held to the end by a connection for
    /// each database.
    Together,
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
            maps.salted()?;
        }
        for filters in std::iter::once(&self.filters).chain(self.filters_of.values()) {
            Selector::of(filters)?;
            if filters.schema_only && filters.data_only {
                return Err(OpsError::Usage(advice![
                    Setting::SchemaOnly,
                    " and ",
                    Setting::DataOnly,
                    " leave nothing",
                ]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Request {
    pub(super) fn for_tests(filters: Filters) -> Request {
        let conninfo = ConnInfo::resolve("host=/nowhere", &pgark_pg::Environment::default());
        Request {
            conninfo: conninfo.unwrap(),
            maintenance_db: None,
            role: None,
            databases: Databases::Connected,
            filters,
            filters_of: BTreeMap::new(),
            snapshots: Snapshots::Staggered,
            jobs: 1,
            cluster: None,
            compression_level: 1,
            pg_dump: None,
            search_path: Vec::new(),
            lock_wait_timeout: Duration::ZERO,
            pause_timeout: None,
            keep_going: false,
            full: false,
            row_maps: RowMaps::default(),
            row_maps_of: BTreeMap::new(),
            rewrite_deleted: false,
            mask: None,
            beside: Beside::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Databases;

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
}
