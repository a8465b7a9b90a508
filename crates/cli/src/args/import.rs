//! Arguments of `pgark import`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::repository::Repository;
use super::text::text;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark import /var/backups/shop.dump --repo /backup/main --cluster shop-2024
  pgark import /var/backups/greenmask/1717000000000 --repo /backup/main
  pgark import /var/backups/all.sql --repo /backup/main --cluster old-server
  pgark import /var/backups/shop.sql --database shop --repo /backup/main

Accepted are archives of pg_dump (directory, custom, tar; versions 1.12 to 1.16), scripts of pg_dumpall and pg_dump (with COPY, not
INSERT; of one made without --create, --database says which database it is of), dump directories of Greenmask, and what Plakar's PostgreSQL integration lays out (a directory with
manifest.json, globals.sql and *.dump, or all.sql). Incomplete dumps are refused, and dumps with rows but no
definitions (--data-only). Unpack compressed files first.
The time shown of an imported backup is that of the dump, as the dump says it: the local time of its host (of a script: of
`-- Started on`, which pg_dump -v writes, else the file's last change). `latest` never means an imported backup where there are
others, and the rules of forget judge imported backups for themselves, by the time of the import.
Standard output is the new backup's id.

Exit codes: 0 imported; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Import {
    /// The dump: a file or a directory
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Name of the database, of a plain SQL dump that does not say it (made without
    /// `pg_dump --create`)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub database: Option<String>,
    /// Name of the cluster (default: the name that the repository has for the system identifier in
    /// a manifest next to the dump, else the identifier itself; `imported` if there is no manifest)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// zstd level
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19), hide_short_help = true)]
    pub compression_level: i32,
    /// Threads that compress (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Print the backup as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}
