//! What of a database is taken out of a backup: options that restore and export share.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::text::text;

/// Heading of these options.
pub const SELECTION: &str = "Objects in the database";

/// Which objects of a database.
#[derive(Debug, ClapArgs)]
pub struct Selection {
    /// Only this part; may be given several times. Data and post-data need what an earlier step
    /// created
    #[arg(long, value_enum, value_name = "PART", help_heading = SELECTION, hide_short_help = true)]
    pub section: Vec<Section>,
    /// Definitions only: no rows, no large objects, no sequence values; materialised views stay
    /// unfilled
    #[arg(long, conflicts_with = "section", help_heading = SELECTION)]
    pub schema_only: bool,
    /// Rows, large objects and sequence values only, into existing tables; materialised views
    /// are filled
    #[arg(long, conflicts_with_all = ["section", "schema_only"], help_heading = SELECTION)]
    pub data_only: bool,
    /// Only schemas that match
    #[arg(short = 'n', long, value_name = "PATTERN", value_parser = text(), help_heading = SELECTION)]
    pub schema: Vec<String>,
    /// Exclude schemas that match
    #[arg(short = 'N', long, value_name = "PATTERN", value_parser = text(), help_heading = SELECTION, hide_short_help = true)]
    pub exclude_schema: Vec<String>,
    /// Only tables, views and sequences that match, with their partitions and child tables,
    /// indexes, constraints, triggers, and the types that they need
    #[arg(short = 't', long, value_name = "PATTERN", value_parser = text(), help_heading = SELECTION)]
    pub table: Vec<String>,
    /// Exclude tables, views and sequences that match, with their partitions and child tables
    #[arg(short = 'T', long, value_name = "PATTERN", value_parser = text(), help_heading = SELECTION)]
    pub exclude_table: Vec<String>,
    /// --table and --exclude-table of a partitioned table, or of one that others inherit from, do
    /// not include its partitions or child tables
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub no_children: bool,
    /// Only the entries that this file lists (see `pgark restore --list`)
    #[arg(short = 'L', long, value_name = "FILE", help_heading = SELECTION, hide_short_help = true)]
    pub use_list: Option<PathBuf>,
    /// Fail if a pattern matches nothing
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub strict_names: bool,
    /// No owners: everything belongs to the connecting role
    #[arg(short = 'O', long, help_heading = SELECTION, hide_short_help = true)]
    pub no_owner: bool,
    /// No GRANT and REVOKE
    #[arg(short = 'x', long, help_heading = SELECTION, hide_short_help = true)]
    pub no_privileges: bool,
    /// Use the default tablespace for everything
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub no_tablespaces: bool,
    /// No comments
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub no_comments: bool,
    /// No publications
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub no_publications: bool,
    /// No subscriptions
    #[arg(long, help_heading = SELECTION, hide_short_help = true)]
    pub no_subscriptions: bool,
}

/// Parts of a dump.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Section {
    /// Definitions up to the rows
    PreData,
    /// Rows, large objects, sequence values
    Data,
    /// Indexes, constraints, triggers, rules
    PostData,
}
