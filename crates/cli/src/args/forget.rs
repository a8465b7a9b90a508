//! Arguments of `pgark forget`.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::keep::{Keep, POLICY};
use super::repository::Repository;
use super::text::text;
use super::which::OfCluster;
use crate::values::duration;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  pgark forget --keep-within 30d --keep-min 3 --prune
  pgark forget --cluster prod              # by the policy of [clusters.prod] in pgark.toml
  pgark forget 4f0c9a11

Backups of the same database of a cluster, made with the same filters, form a series; a backup of several databases is
kept if one of them needs it. Incomplete backups are ignored by the rules. The newest complete backup of each database, and any
backup tagged `pinned`, are always kept. A database that is missing from newer backups of the whole cluster was dropped: its last
backup is kept for --keep-dropped, then the rules apply. A backup that was made while its host's clock was ahead is kept and
ignored by the rules; remove it by its ID. Days and weeks are those of UTC. Space is freed by `pgark prune`, or with --prune.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Forget {
    /// Forget these: an id, or a unique prefix of at least 4 digits
    #[arg(value_name = "ID", conflicts_with = POLICY, value_parser = text())]
    pub backups: Vec<String>,
    #[command(flatten)]
    pub keep: Keep,
    /// With ID: even if no good backup of the same databases is left
    #[arg(long, requires = "backups")]
    pub even_last: bool,
    /// Show what would be forgotten, and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Then free the space, as `pgark prune` does
    #[arg(long)]
    pub prune: bool,
    /// With --prune: delete archived WAL that is only needed for moments before so long ago, such
    /// as 30d (default: keep it from the oldest physical backup on)
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "prune")]
    pub wal_window: Option<Duration>,
    /// Print the decisions as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub of: OfCluster,
    #[command(flatten)]
    pub repository: Repository,
}
