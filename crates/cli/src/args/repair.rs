//! Arguments of `pgark repair`.

use clap::{Args as ClapArgs, Subcommand};

use super::repository::Repository;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark repair index --repo /backup/main
  pgark repair backups --repo /backup/main --read-data
  pgark repair objects --repo /backup/main

First look: `pgark check --read-data`. A damaged chunk is stored anew by the next backup that meets it; `pgark backup --full` meets all.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something is lost (it is named); 130 interrupted.")]
pub struct Repair {
    #[command(subcommand)]
    pub action: RepairAction,
}

#[derive(Debug, Subcommand)]
pub enum RepairAction {
    /// Make the index anew from the packs alone
    #[command(after_help = "Examples:
  pgark repair index --repo /backup/main

The writer key suffices; other hosts may be at work meanwhile.")]
    Index(RepairIndex),
    /// Replace backups of which something is lost by ones without it, incomplete and of the same
    /// time
    #[command(after_help = "Examples:
  pgark repair backups --repo /backup/main --dry-run
  pgark repair backups --repo /backup/main --read-data

Nothing that can still be read is dropped. A backup whose manifest is lost is named and left: `pgark forget ID` removes it.")]
    Backups(RepairBackups),
    /// Put missing or damaged second copies back, and remove what is provably nobody's
    #[command(after_help = "Examples:
  pgark repair objects --repo /backup/main --dry-run
  pgark repair objects --repo /backup/main

Manifests, tags, lists of writers, key slots and the header are stored twice. A copy that is missing or damaged is put again from the
good one. Removed is only what is provably nobody's: a manifest under another backup's name, drafts and tags of backups that are
forgotten. What cannot be read and may be a backup is named and left. The writer key suffices.")]
    Objects(RepairObjects),
}

#[derive(Debug, ClapArgs)]
pub struct RepairObjects {
    #[command(flatten)]
    pub repository: Repository,
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct RepairIndex {
    #[command(flatten)]
    pub repository: Repository,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct RepairBackups {
    #[command(flatten)]
    pub repository: Repository,
    /// Open every chunk first; else what is missing or of a wrong size counts as lost
    #[arg(long)]
    pub read_data: bool,
    /// Show what is lost of which backup
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}
