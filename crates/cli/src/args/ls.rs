//! Arguments of `pgark ls`.

use clap::Args as ClapArgs;

use super::text::text;
use super::which::Source;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark ls latest --repo /backup/main
  pgark ls latest:/db/shop/data --repo /backup/main

Exit codes: 0 listed; 1 failed; 2 wrong usage.")]
pub struct Ls {
    /// Backup, and where wanted one database or a path inside it
    #[arg(value_name = "ID[:DB|:/PATH]", value_parser = text())]
    pub place: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub source: Source,
}
