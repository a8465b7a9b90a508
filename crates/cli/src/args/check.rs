//! Arguments of `pgark check`.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::repository::{Past, Repository};
use super::text::text;
use crate::values::duration;
use crate::when::{Moment, moment};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark check --repo /backup/main
  pgark check --repo /backup/main --read-data --json
  pgark check --repo /backup/main --since 1d --read-data=10
  pgark check --repo /backup/main --max-age 26h          # for a monitor: is the newest backup young enough?

Damaged data is recorded in the repository. Later backups no longer reuse it; when they see the same rows they store them again,
which also repairs the older backups. Leftovers of a crash are not a problem. Reading data needs the identity or the passphrase.

With --max-age alone only the list of backups is read. The newest complete backup of each cluster must be young enough; what counts
is what `latest` would be: not an import, not one whose host's clock was wrong, not one that a check found damaged. With --level,
--read-data or --since the repository is checked, too.

Exit codes: 0 no problem; 1 problems, or the check failed; 2 wrong usage; 3 no problem, but a backup is too old (--max-age); 130
interrupted.")]
pub struct Check {
    /// How deep (default: structure)
    #[arg(long, value_enum, conflicts_with = "read_data")]
    pub level: Option<Level>,
    /// The same as --level data; with a number, only for that share of the packs, chosen at random
    /// each time
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub read_data: Option<u8>,
    /// Only backups since then, and what they need: a date, a time, or how long ago: 7d, 36h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Fail with exit code 3 if the newest complete backup of a cluster is older than this: 26h, 8d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_age: Option<Duration>,
    /// With --max-age: only this cluster
    #[arg(long, value_name = "NAME", requires = "max_age", value_parser = text())]
    pub cluster: Option<String>,
    /// With --max-age: the newest complete backup of this database, in each cluster that has it;
    /// may be given several times
    #[arg(long, value_name = "NAME", requires = "max_age", value_parser = text())]
    pub database: Vec<String>,
    /// With --max-age: count backups that were made with filters, too
    #[arg(long, requires = "max_age")]
    pub partial: bool,
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
