//! Arguments of `pgark repair`.

use clap::{Args as ClapArgs, Subcommand};

use super::repository::Repository;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark repair index --repo /backup/main
  pgark repair backups --repo /backup/main --read-data
  pgark repair objects --repo /backup/main

Start with `pgark check --read-data`. The next backup that sees the rows of a damaged chunk stores them again; `pgark backup --full` sees all.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something is lost (it is named); 130 interrupted.")]
pub struct Repair {
    #[command(subcommand)]
    pub action: RepairAction,
}

#[derive(Debug, Subcommand)]
pub enum RepairAction {
    /// Rebuild the index from the packs alone
    #[command(after_help = "Examples:
  pgark repair index --repo /backup/main

The writer key is enough; other hosts can keep working meanwhile.")]
    Index(RepairIndex),
    /// Replace each damaged backup with an incomplete one that omits what was lost
    #[command(after_help = "Examples:
  pgark repair backups --repo /backup/main --dry-run
  pgark repair backups --repo /backup/main --read-data

Nothing that can still be read is dropped. A backup whose manifest is lost is named and not changed: `pgark forget ID` removes it.")]
    Backups(RepairBackups),
    /// Restore missing or damaged second copies, and remove objects that provably belong to no
    /// backup
    #[command(after_help = "Examples:
  pgark repair objects --repo /backup/main --dry-run
  pgark repair objects --repo /backup/main

Manifests, tags, lists of writers, key slots and the header are stored twice. A missing or damaged copy is replaced from the
good one. Only objects that provably belong to no backup are removed: a manifest under another backup's name, drafts and tags of
forgotten backups. What cannot be read and could be a backup is named and not changed. The writer key is enough.")]
    Objects(RepairObjects),
}

#[derive(Debug, ClapArgs)]
pub struct RepairObjects {
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct RepairIndex {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct RepairBackups {
    /// Read every chunk first; otherwise only missing data and wrong sizes are detected
    #[arg(long)]
    pub read_data: bool,
    /// Show what each backup lost
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}
