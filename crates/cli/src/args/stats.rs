//! Arguments of `pgark stats`.

use clap::Args as ClapArgs;

use super::repository::Repository;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark stats --repo /backup/main
  pgark stats --repo /backup/main --json

The writer key is enough. `unique` counts every chunk that a backup needs once, uncompressed; `sealed` is the same, compressed and
encrypted; `stored` is everything on the storage.

Exit codes: 0 shown; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Stats {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}
