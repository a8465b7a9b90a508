//! What of a database is taken out of a backup: options that restore and export share.

use std::path::PathBuf;

use super::text::text;

use clap::{Args as ClapArgs, ValueEnum};

/// Which objects of a database.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "What of the database")]
pub struct Selection {
    /// Only this part; may be given several times. Data and post-data go into what an earlier step made
    #[arg(long, value_enum, value_name = "PART")]
    pub section: Vec<Section>,
    /// Definitions only: no rows, no large objects, no sequence values; materialised views stay unfilled
    #[arg(long, conflicts_with = "section")]
    pub schema_only: bool,
    /// Rows, large objects and sequence values only, into tables that are there; materialised views are filled
    #[arg(long, conflicts_with_all = ["section", "schema_only"])]
    pub data_only: bool,
    /// Only schemas that match
    #[arg(short = 'n', long, value_name = "PATTERN", value_parser = text())]
    pub schema: Vec<String>,
    /// Not the schemas that match
    #[arg(short = 'N', long, value_name = "PATTERN", value_parser = text())]
    pub exclude_schema: Vec<String>,
    /// Only tables, views, sequences that match, with their partitions and child tables, indexes, constraints, triggers, and
    /// the types that they need
    #[arg(short = 't', long, value_name = "PATTERN", value_parser = text())]
    pub table: Vec<String>,
    /// Not the tables, views, sequences that match, nor their partitions and child tables
    #[arg(short = 'T', long, value_name = "PATTERN", value_parser = text())]
    pub exclude_table: Vec<String>,
    /// --table and --exclude-table of a partitioned table, or of one that others inherit from, do not take these along
    #[arg(long)]
    pub no_children: bool,
    /// Only the entries that this file lists (see `pgark restore --list`)
    #[arg(short = 'L', long, value_name = "FILE")]
    pub use_list: Option<PathBuf>,
    /// Fail if a pattern matches nothing
    #[arg(long)]
    pub strict_names: bool,
    /// No owners: everything belongs to the connecting role
    #[arg(short = 'O', long)]
    pub no_owner: bool,
    /// No GRANT and REVOKE
    #[arg(short = 'x', long)]
    pub no_privileges: bool,
    /// Everything goes to the default tablespace
    #[arg(long)]
    pub no_tablespaces: bool,
    /// No comments
    #[arg(long)]
    pub no_comments: bool,
    /// No publications
    #[arg(long)]
    pub no_publications: bool,
    /// No subscriptions
    #[arg(long)]
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
