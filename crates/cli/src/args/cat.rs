//! Arguments of `pgark cat`.

use clap::Args as ClapArgs;

use super::text::text;
use super::which::Source;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark cat latest:/globals.sql --repo /backup/main
  pgark cat 4f0c:/db/shop/data/public.orders --repo /backup/main | wc -l

A table is its COPY text, all rows, without the end mark.

Exit codes: 0 written; 1 failed; 2 wrong usage.")]
pub struct Cat {
    /// Backup and path of an entry, as `pgark ls` shows it
    #[arg(value_name = "ID:/PATH", value_parser = text())]
    pub place: String,
    #[command(flatten)]
    pub source: Source,
}
