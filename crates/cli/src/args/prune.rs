//! Arguments of `pgark prune`.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::repository::Repository;
use crate::values::duration;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark prune --repo /backup/main
  pgark prune --repo /backup/main --dry-run
  pgark prune --repo /backup/main --erase --grace 0      # to remove deleted rows now; no other host may be writing

Needs no lock; other hosts can keep backing up and restoring meanwhile. Unreferenced data is marked, and a prune that runs after the
grace time deletes it. Chunks are moved without decrypting them: the writer key is enough. Archived WAL in front of the oldest
physical backup of its cluster is deleted, too (docs/wal.md).

While a manifest, a list or a draft cannot be read, pgark does not know which data it references: then nothing is deleted, and the object is
named. `pgark forget ID` removes such a backup; `pgark repair backups` replaces one that is only partly lost.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something could not be deleted, because the storage did not allow it, or because a backup
that cannot be read may need it; 130 interrupted.")]
pub struct Prune {
    /// How long unreferenced data is kept before it is deleted
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub grace: Duration,
    /// Rewrite packs if less than this share of them is referenced
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub repack_below: u8,
    /// Remove every unreferenced chunk, however much data must be moved
    #[arg(long)]
    pub erase: bool,
    /// Delete archived WAL that is only needed for moments before so long ago, such as 30d
    /// (default: keep it from the oldest physical backup on)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wal_window: Option<Duration>,
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}
