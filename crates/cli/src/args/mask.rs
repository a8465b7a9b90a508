//! Arguments of `pgark mask`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::server::{SERVER, Server};
use super::text::text;
use super::which::Source;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark mask check shop.toml --dbname shop
  pgark mask preview shop.toml --dbname shop --table public.customers
  pgark mask lock shop.toml --dbname shop

A rules file says what becomes of each column; docs/masking.md has a tutorial. The commands change nothing in the database.

Exit codes: 0 done; 1 the rules have errors, or failed; 2 wrong usage; 3 with --strict: warnings that nobody accepted.")]
pub struct Mask {
    #[command(subcommand)]
    pub action: MaskAction,
}

#[derive(Debug, Subcommand)]
pub enum MaskAction {
    /// Check rules against a database, or against a backup of it
    #[command(after_help = "Examples:
  pgark mask check shop.toml --dbname shop
  pgark mask check shop.toml latest:shop --repo /backup/main
  pgark mask check shop.toml --dbname shop --locked --strict --json

No row is read. Every finding has a code, its place in the file and what to do. Where mask.lock is next to the rules, columns that were
added, dropped or changed since then are named.

Exit codes: 0 rows can be masked; 1 they cannot; 2 wrong usage; 3 with --strict: warnings that nobody accepted.")]
    Check(MaskCheck),
    /// Show rows as they are and as they would be
    #[command(after_help = "Examples:
  pgark mask preview shop.toml --dbname shop --table public.customers
  pgark mask preview shop.toml --dbname shop --table public.orders --where 'total > 100' --rows 5 --changed

It shows plain values: that is what it is for. Columns that change although no rule of theirs says so are marked.")]
    Preview(MaskPreview),
    /// Show the fiction of one plain value
    #[command(after_help = "Examples:
  pgark mask value shop.toml public.customers.email anna@example.net --dbname shop
  pgark mask value shop.toml public.customers.id 4711 --dbname shop --reverse

With --reverse, the plain value of a fiction, where the transformer is a bijection: whoever has the mask key can turn these around.")]
    Value(MaskValue),
    /// Write mask.lock: every column with its type and its rule
    #[command(after_help = "Examples:
  pgark mask lock shop.toml --dbname shop

The file is written next to the rules. Keep both in version control: the next check names what the schema has changed.")]
    Lock(MaskLock),
    /// Run the tests of a rules file, without a server
    #[command(after_help = "Examples:
  pgark mask test shop.toml

Each [[test]] has a row and what is expected of it. Types come from mask.lock, else from how the values are written.

Exit codes: 0 all passed; 1 a test failed, or the rules have errors; 2 wrong usage.")]
    Test(MaskTest),
    /// List the transformers
    #[command(after_help = "Examples:
  pgark mask list
  pgark mask list --json")]
    List(MaskList),
    /// Show one transformer with its parameters
    #[command(after_help = "Examples:
  pgark mask show email
  pgark mask show RandomEmail

Names of Greenmask are understood.")]
    Show(MaskShow),
}

/// What rules are held against: a database of a server, or a backup.
#[derive(Debug, ClapArgs)]
pub struct Against {
    /// Backup whose facts are used in place of a server's: its id, a unique prefix, or `latest:DB`
    #[arg(value_name = "BACKUP", value_parser = text(), conflicts_with = "dbname")]
    pub backup: Option<String>,
    /// Database name, connection string or URI
    #[arg(short, long, value_name = "CONNINFO", value_parser = text(), help_heading = SERVER)]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, ClapArgs)]
pub struct MaskCheck {
    /// Rules file
    #[arg(value_name = "RULES")]
    pub rules: PathBuf,
    #[command(flatten)]
    pub against: Against,
    /// A schema that differs from the lock is an error
    #[arg(long)]
    pub locked: bool,
    /// Exit with 3 if there are warnings that nobody accepted
    #[arg(long)]
    pub strict: bool,
    /// Lock file (default: mask.lock next to the rules, if it is theirs)
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct MaskPreview {
    /// Rules file
    #[arg(value_name = "RULES")]
    pub rules: PathBuf,
    /// Table: SCHEMA.NAME
    #[arg(long, value_name = "TABLE", value_parser = text())]
    pub table: String,
    /// SQL condition that chooses rows
    #[arg(long = "where", value_name = "SQL", value_parser = text())]
    pub condition: Option<String>,
    /// Number of rows
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rows: u16,
    /// Only this column, in addition to the primary key; may be given several times
    #[arg(long = "column", value_name = "NAME", value_parser = text())]
    pub columns: Vec<String>,
    /// Only columns that change, in addition to the primary key
    #[arg(long)]
    pub changed: bool,
    /// Database name, connection string or URI
    #[arg(short, long, value_name = "CONNINFO", value_parser = text(), help_heading = SERVER)]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct MaskValue {
    /// Rules file
    #[arg(value_name = "RULES")]
    pub rules: PathBuf,
    /// Column: SCHEMA.TABLE.COLUMN
    #[arg(value_name = "COLUMN", value_parser = text())]
    pub column: String,
    /// Plain value, as PostgreSQL writes it
    #[arg(value_name = "VALUE", value_parser = text(), allow_hyphen_values = true)]
    pub value: String,
    #[command(flatten)]
    pub against: Against,
    /// VALUE is a fiction: show its plain value
    #[arg(long)]
    pub reverse: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct MaskLock {
    /// Rules file
    #[arg(value_name = "RULES")]
    pub rules: PathBuf,
    #[command(flatten)]
    pub against: Against,
    /// File to write (default: mask.lock next to the rules)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct MaskTest {
    /// Rules file
    #[arg(value_name = "RULES")]
    pub rules: PathBuf,
    /// Lock file with the columns' types (default: mask.lock next to the rules, if it is theirs)
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct MaskList {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct MaskShow {
    /// Transformer: its name, or Greenmask's
    #[arg(value_name = "TRANSFORMER")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
