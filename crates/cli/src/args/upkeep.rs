//! Arguments of what a repository needs over the years: `forget`, `prune`, `tag`, `stats`.

use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs};

use super::{OfCluster, Repository, duration};

/// What a policy keeps.
#[derive(Clone, Debug, Default, ClapArgs, PartialEq, Eq)]
#[command(next_help_heading = "What stays (each rule adds to the others)")]
pub struct Keep {
    /// The newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_last: u32,
    /// The newest of each of N hours
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_hourly: u32,
    /// The newest of each of N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_daily: u32,
    /// The newest of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_weekly: u32,
    /// The newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_monthly: u32,
    /// The newest of each of N years
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_yearly: u32,
    /// All of so long before the newest: 36h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep_within: Option<Duration>,
    /// Never fewer than N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_min: u32,
    /// Those with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub keep_tag: Vec<String>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  pgark forget --keep-within 30d --keep-min 3 --prune
  pgark forget --cluster prod              # by the policy of [clusters.prod] in pgark.toml
  pgark forget 4f0c9a11

Backups of one cluster and the same databases are judged together. Incomplete backups count for nothing; the newest good one and
what is tagged `pinned` always stay. Days and weeks are those of UTC. Space is freed by `pgark prune`, or with --prune.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Forget {
    /// Forget these: an id, or a unique prefix of at least 4 digits
    #[arg(value_name = "ID", conflicts_with_all = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within", "keep_min", "keep_tag"])]
    pub backups: Vec<String>,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub of: OfCluster,
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
    /// Print the decisions as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark prune --repo /backup/main
  pgark prune --repo /backup/main --dry-run
  pgark prune --repo /backup/main --erase --grace 0      # deleted rows must go now; no other host is at work

Needs no lock and runs beside backups and restores of any host: what nobody needs is marked, and a prune that runs later than the
grace time deletes it. Chunks are moved sealed: the writer key suffices.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Prune {
    #[command(flatten)]
    pub repository: Repository,
    /// How long what nobody needs waits before it is deleted
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub grace: Duration,
    /// Packs of which less than this share is needed are packed anew
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub repack_below: u8,
    /// Leave no chunk that nobody needs, whatever it costs to move the others
    #[arg(long)]
    pub erase: bool,
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("change").multiple(true), after_help = "Examples:
  pgark tag latest --add pinned --repo /backup/main      # no policy and no `forget` removes it
  pgark tag 4f0c --add release-8.1 --remove pinned --repo /backup/main

Prints each backup's tags. Without --add and --remove nothing is changed.

Exit codes: 0 done; 1 failed; 2 wrong usage.")]
pub struct Tag {
    /// Backup: its id, a unique prefix of at least 4 digits, `latest` or `latest:DB`
    #[arg(value_name = "ID", required = true)]
    pub backups: Vec<String>,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub of: OfCluster,
    /// Add this tag; may be given several times
    #[arg(long, value_name = "TAG", value_parser = tag, group = "change")]
    pub add: Vec<String>,
    /// Remove this tag; may be given several times
    #[arg(long, value_name = "TAG", value_parser = tag, group = "change")]
    pub remove: Vec<String>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark stats --repo /backup/main
  pgark stats --repo /backup/main --json

The writer key suffices. `unique` counts every chunk that a backup needs once, as it was read; `sealed` is the same, compressed and
encrypted; `stored` is all that lies on the storage.

Exit codes: 0 shown; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Stats {
    #[command(flatten)]
    pub repository: Repository,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A tag is a word.
fn tag(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|letter| letter.is_alphanumeric() || "._:-+".contains(letter));
    if fits { Ok(text.to_string()) } else { Err("a tag has 1 to 64 letters, digits and . _ : - +".into()) }
}
