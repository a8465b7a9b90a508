//! What of a database is backed up: pg_dump's options, and which tables have row maps.

use clap::{Args as ClapArgs, ValueEnum};

use super::text::text;

/// Heading of these options.
pub const FILTERS: &str = "Objects in each database";

/// What of a database is backed up, by pg_dump's options.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Filters {
    /// Only schemas that match
    #[arg(short = 'n', long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS)]
    pub schema: Vec<String>,
    /// Exclude schemas that match
    #[arg(short = 'N', long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub exclude_schema: Vec<String>,
    /// Only tables, views and sequences that match, with their partitions and child tables
    #[arg(short = 't', long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS)]
    pub table: Vec<String>,
    /// Exclude tables, views and sequences that match, with their partitions and child tables
    #[arg(short = 'T', long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS)]
    pub exclude_table: Vec<String>,
    /// Only extensions that match (pg_dump 14 or newer)
    #[arg(short = 'e', long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub extension: Vec<String>,
    /// Exclude the rows of tables that match, with their partitions and child tables
    #[arg(long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub exclude_table_data: Vec<String>,
    /// Also the rows of foreign tables of servers that match
    #[arg(long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub include_foreign_data: Vec<String>,
    /// --table, --exclude-table and --exclude-table-data of a partitioned table, or of one that
    /// others inherit from, do not include its partitions or child tables
    #[arg(long, help_heading = FILTERS, hide_short_help = true)]
    pub no_children: bool,
    /// Definitions only
    #[arg(long, conflicts_with = "data_only", help_heading = FILTERS, hide_short_help = true)]
    pub schema_only: bool,
    /// Rows, large objects and sequence values only
    #[arg(long, help_heading = FILTERS, hide_short_help = true)]
    pub data_only: bool,
    /// No large objects
    #[arg(long, help_heading = FILTERS, hide_short_help = true)]
    pub no_large_objects: bool,
    /// Fail if a pattern matches nothing
    #[arg(long, help_heading = FILTERS, hide_short_help = true)]
    pub strict_names: bool,
    /// Store only new rows: of tables where that saves space (auto: a row compresses to at least 32
    /// bytes), of all, or of none
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, help_heading = FILTERS, hide_short_help = true)]
    pub row_map: RowMap,
    /// Store only new rows of tables that match, whatever --row-map says
    #[arg(long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub row_map_on: Vec<String>,
    /// Store tables that match as bytes, whatever --row-map and --row-map-on say
    #[arg(long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub row_map_off: Vec<String>,
    /// Store tables that match, with their partitions, whole in each backup and salted: then
    /// someone with the storage and a writer key cannot test guesses of their rows
    #[arg(long, value_name = "PATTERN", value_parser = text(), help_heading = FILTERS, hide_short_help = true)]
    pub salted: Vec<String>,
}

/// Which tables are stored under row maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RowMap {
    /// Tables where it saves space
    #[default]
    Auto,
    /// All
    On,
    /// None
    Off,
}
