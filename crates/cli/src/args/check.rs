//! Arguments of `pgark check`.

use clap::{Args as ClapArgs, ValueEnum};

use super::repository::{Past, Repository};
use crate::when::{Moment, moment};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark check --repo /backup/main
  pgark check --repo /backup/main --read-data --json
  pgark check --repo /backup/main --since 1d --read-data=10

Damaged data is recorded in the repository. Later backups no longer reuse it; when they see the same rows they store them again,
which also repairs the older backups. Leftovers of a crash are not a problem. Reading data needs the identity or the passphrase.

Exit codes: 0 no problem; 1 problems, or the check failed; 2 wrong usage; 130 interrupted.")]
pub struct Check {
    /// How deep
    #[arg(long, value_enum, default_value_t = Level::Structure, conflicts_with = "read_data")]
    pub level: Level,
    /// The same as --level data; with a number, for that share of the packs, a new random choice
    /// each time
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub read_data: Option<u8>,
    /// Only backups since then, and what they need: a time like 2026-11-01T00:00:00Z, or how long
    /// ago: 7d, 36h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub repository: Repository,
}

/// How deep a check goes.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Level {
    /// Manifests, signatures, lists, index and sizes
    Structure,
    /// Also the hash of every stored object
    Objects,
    /// Also every chunk, opened and compared with its id
    Data,
}
