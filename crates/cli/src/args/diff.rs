//! Arguments of `pgark diff`.

use clap::Args as ClapArgs;

use super::text::text;
use super::which::Source;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark diff 4f0c latest --repo /backup/main
  pgark diff 4f0c latest --repo /backup/main --database shop --json

Compares definitions, rows and bytes of tables, and for backups of a whole cluster settings, roles and tablespaces. Passwords are
compared but not shown. Of two physical backups it compares files and their pages. This reads no data: a writer key is enough.

Exit codes: 0 compared, with or without differences; 1 failed; 2 wrong usage.")]
pub struct Diff {
    /// The older backup: its id, a unique prefix of at least 4 digits, or `latest`; `latest:DB` or
    /// `ID:DB` means one database of it
    #[arg(value_name = "A", value_parser = text())]
    pub a: String,
    /// The newer backup
    #[arg(value_name = "B", value_parser = text())]
    pub b: String,
    /// Only this database
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub database: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub source: Source,
}
