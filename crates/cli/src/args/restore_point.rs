//! Arguments of `pgark restore-point`.

use clap::Args as ClapArgs;

use super::server::{SERVER, Server};
use super::text::text;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark restore-point 'before release 42' --dbname postgres
  pgark restore-point 'before release 42' --dbname 'host=db1 user=postgres' --switch-wal
  pgark restore latest --repo /backup/main --to-dir /var/lib/postgresql/restored --target-name 'before release 42'

It is a record in the WAL of the server: no repository is needed. A server can be recovered to it once the segment that it is in is
archived; --switch-wal ends that segment now. The role must be allowed to call pg_create_restore_point (and pg_switch_wal): superusers
are.

Exit codes: 0 made; 1 failed; 2 wrong usage.")]
pub struct RestorePoint {
    /// Its name, at most 63 bytes
    #[arg(value_name = "NAME", value_parser = text())]
    pub name: String,
    /// Server: database name, connection string or URI
    #[arg(short, long, value_name = "CONNINFO", value_parser = text(), help_heading = SERVER)]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// Connect to this database (default: the first of these that the role can connect to: the one
    /// of --dbname, postgres, template1, defaultdb)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub maintenance_db: Option<String>,
    /// End the segment of the WAL then, so that it is archived at once
    #[arg(long)]
    pub switch_wal: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
