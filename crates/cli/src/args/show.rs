//! Arguments of `pgark show`.

use clap::Args as ClapArgs;

use super::text::text;
use super::which::Source;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark show latest --repo /backup/main
  pgark show 4f0c --repo /backup/main --json

Exit codes: 0 shown; 1 failed; 2 wrong usage.")]
pub struct Show {
    /// Backup: its id, a unique prefix of at least 4 digits, or `latest`; `latest:DB` or `ID:DB`
    /// means one database of it
    #[arg(value_name = "ID", value_parser = text())]
    pub backup: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub source: Source,
}
