//! Arguments of `pgark list`.

use clap::Args as ClapArgs;

use super::repository::{Past, Repository};
use super::which::OfCluster;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark list --repo /backup/main
  pgark list --repo /backup/main --json

Oldest first. A backup that was made with filters is marked `partial`: `latest` means it only with --partial. One that was made while
its host's clock was wrong (ahead of the storage's by more than an hour) is marked `clock ahead`: `latest` never means it.

Exit codes: 0 listed; 1 failed; 2 wrong usage.")]
pub struct List {
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub of: OfCluster,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}
