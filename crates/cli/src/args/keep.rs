//! What a policy keeps: options that forget and backup share.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::values::duration;

/// Heading of these options.
pub const KEEP: &str = "What to keep (each rule adds to the others)";
/// The group of these options: a policy is one whole, and one that is typed replaces all of a
/// file's.
pub const POLICY: &str = "policy";

/// What a policy keeps.
#[derive(Clone, Debug, Default, ClapArgs, PartialEq, Eq)]
#[group(id = POLICY)]
pub struct Keep {
    /// The newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP, hide_short_help = true)]
    pub keep_last: u32,
    /// The newest of each of N hours
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP, hide_short_help = true)]
    pub keep_hourly: u32,
    /// The newest of each of N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP)]
    pub keep_daily: u32,
    /// The newest of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP)]
    pub keep_weekly: u32,
    /// The newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP)]
    pub keep_monthly: u32,
    /// The newest of each of N years
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP, hide_short_help = true)]
    pub keep_yearly: u32,
    /// Everything within this period before the newest: 36h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = KEEP, hide_short_help = true)]
    pub keep_within: Option<Duration>,
    /// Never fewer than N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = KEEP, hide_short_help = true)]
    pub keep_min: u32,
    /// Those with this tag; may be given several times
    #[arg(long, value_name = "TAG", help_heading = KEEP, hide_short_help = true)]
    pub keep_tag: Vec<String>,
    /// Among which backups the rules count. Those made with other filters are always counted
    /// apart, and the newest complete backup of each database always stays
    #[arg(long, value_enum, value_name = "HOW", default_value_t = GroupBy::Database, help_heading = KEEP, hide_short_help = true)]
    pub group_by: GroupBy,
    /// Keep the last backup of a dropped database for this long (default: 7d; 0 does not keep it)
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = KEEP, hide_short_help = true)]
    pub keep_dropped: Option<Duration>,
}

/// Among which backups of a cluster the rules of a policy count.
#[derive(Clone, Copy, Debug, Default, ValueEnum, PartialEq, Eq)]
pub enum GroupBy {
    /// Those that contain one database, for each database: neither a new database nor another
    /// selection starts the counting again
    #[default]
    #[value(name = "cluster,database")]
    Database,
    /// Those made with the same selection (--all, --database, --exclude-database), whatever
    /// databases there were
    #[value(name = "cluster,selection")]
    Selection,
    /// Those that contain exactly the same databases
    #[value(name = "cluster,databases")]
    Databases,
    /// All of the cluster
    #[value(name = "cluster")]
    Cluster,
}
