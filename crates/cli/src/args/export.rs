//! Arguments of `pgark export`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::selection::Selection;
use super::text::text;
use super::which::Source;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark export latest --repo /backup/main --format directory --output /tmp/shop.dump
  pg_restore -j4 -d shop /tmp/shop.dump
  pgark export latest:shop --repo /backup/main --format custom --compress zstd:5 --output shop.pgdump
  pgark export latest --repo /backup/main --database shop --format plain --output - | psql -d shop_copy
  pgark export latest --repo /backup/main --database shop --format plain --create --output - | psql -d postgres
  pgark export latest --repo /backup/main --format custom --schema sales --no-owner --output sales.pgdump
  pgark export latest --repo /backup/main --format csv --table sales.orders --output orders.csv
  pgark export latest --repo /backup/main --format custom --for-version 15 --output shop.pgdump

Plain SQL is restored into the database that psql is connected to; with --create it creates the database, with owner, settings and
privileges. With --table or --schema an export includes what belongs to the chosen objects and the types and functions they need.
A directory also contains globals.sql (roles and tablespaces), if nothing is filtered; `pgark cat ID:/globals.sql` prints it, too. A
directory or file gets its name only when it is complete. An archive is readable by the pg_restore of the server's major
version and newer; --for-version makes it readable by an older one.

Exit codes: 0 written; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Export {
    /// Backup: its id, a unique prefix of at least 4 digits, or `latest`; `latest:DB` or `ID:DB`
    /// means one database of it
    #[arg(value_name = "ID", value_parser = text())]
    pub backup: String,
    /// Which database of the backup, if it contains several
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub database: Option<String>,
    /// Format of the files
    #[arg(short = 'F', long, value_enum, default_value_t = Format::Directory)]
    pub format: Format,
    /// Directory or file to create; `-` is standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// Compression: none, gzip, lz4 or zstd, with :LEVEL (lz4 has none). lz4 and zstd archives need
    /// pg_restore 16. Default: gzip:1 for directory and custom, none for plain and csv
    #[arg(short = 'Z', long, value_name = "METHOD[:LEVEL]", value_parser = pgark_ops::export::Method::parse)]
    pub compress: Option<pgark_ops::export::Method>,
    /// Major version of the pg_restore (plain: of the server) that will read it
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(i32).range(13..=18), hide_short_help = true)]
    pub for_version: Option<i32>,
    /// Plain: create the database, with its owner, settings and privileges, and connect to it
    #[arg(short = 'C', long, conflicts_with_all = ["section", "data_only"])]
    pub create: bool,
    /// Write no `\restrict` into SQL, for psql older than 13.22, 14.19, 15.14, 16.10, 17.6, which
    /// does not support it. Without it, a name or a definition that an attacker put into the source
    /// can run commands on the host where psql reads the SQL
    #[arg(long, hide_short_help = true)]
    pub no_restrict: bool,
    #[command(flatten)]
    pub selection: Selection,
    /// Files of a directory written in parallel (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub source: Source,
}

/// Formats of an export.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// A directory of files: written and restored in parallel
    Directory,
    /// One file, restored in parallel
    Custom,
    /// A tar file, not compressed
    Tar,
    /// SQL for psql
    Plain,
    /// The rows of one table (--table), as psql's `\copy … csv header` reads them
    Csv,
}
