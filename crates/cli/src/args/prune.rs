//! Arguments of `pgark prune`.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::repository::Repository;
use crate::values::duration;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark prune --repo /backup/main
  pgark prune --repo /backup/main --dry-run
  pgark prune --repo /backup/main --erase --grace 0      # deleted rows must go now; no other host is at work

Needs no lock and runs beside backups and restores of any host: what nobody needs is marked, and a prune that runs later than the
grace time deletes it. Chunks are moved sealed: the writer key suffices.

While a manifest, a list or a draft cannot be read, nobody knows what it needs: nothing is deleted then, and it is named. `pgark forget ID`
lets go of such a backup; `pgark repair backups` replaces one of which only a part is lost.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something could not be deleted, because the storage did not let it, or because a backup
that cannot be read may need it; 130 interrupted.")]
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
