//! Arguments of `pgark backup`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, ValueEnum};
use pgark_ops::backup::Beside;

use super::filters::Filters;
use super::hooks::Hooks;
use super::keep::Keep;
use super::repository::Repository;
use super::server::{SERVER, Server};
use super::text::text;
use crate::values::{duration, pair, rate};

/// Options that select databases, one of which is enough: one on the command line replaces all of
/// them in a file.
pub const DATABASES: &str = "databases";

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new(DATABASES).args(["all", "database", "exclude_database"]).multiple(true), after_help = "Examples:
  pgark backup shop --repo /backup/main
  pgark backup --repo /backup/main --dbname 'host=db1 user=backup dbname=shop sslmode=verify-full' --jobs 4
  pgark backup --repo /backup/main --dbname postgresql://backup@db1,db2/shop?target_session_attrs=standby --json
  pgark backup --repo /backup/main --all --exclude-database 'test_*'
  pgark backup --repo /backup/main --also s3://second-site/main --all
  pgark backup --repo /backup/main --all --dry-run
  pgark backup --repo /backup/main --all --wait=2h
  pgark backup --repo /backup/main --dbname shop --exclude-table-data 'log.*' --table 'public.*' --table 'log.*'
  pgark backup shop --repo /backup/test-data --mask shop.toml
  pgark backup --physical --repo /backup/main --dbname 'host=/run/postgresql user=postgres'
  pgark backup --physical --source wire --repo /backup/main --dbname 'host=db1 user=backup dbname=postgres'

Patterns are psql's: * and ?, names folded to lower case unless in double quotes, SCHEMA.NAME. A standby's replay is paused
meanwhile. Standard output is the new backup's id. Connection parameters not given come from the environment (PGHOST, …), the
service file and .pgpass, as with psql.

Hooks find in their environment PGARK_HOOK (pre, post or failure), PGARK_STATUS (starting, complete, incomplete, failed,
interrupted), PGARK_CLUSTER, PGARK_BACKUP_ID, PGARK_DATABASES (one in each line), PGARK_BYTES_READ, PGARK_BYTES_ADDED,
PGARK_SECONDS, PGARK_ERROR as far as these are known, and the connection parameters of the server (PGHOST, …). They do not see
PGARK_PASSPHRASE or the credentials of storages.

Exit codes: 0 complete; 1 failed; 2 wrong usage; 3 incomplete (--keep-going), pages damaged on the server (--physical), not in
the second repository (--also), or a hook behind the backup failed: the id is printed; 130 interrupted.")]
pub struct Backup {
    /// Database to back up, as psql takes it: the same as --dbname
    #[arg(value_name = "DBNAME", conflicts_with = "dbname", value_parser = text())]
    pub connection: Option<String>,
    /// Database name, connection string or URI
    #[arg(short, long, value_name = "CONNINFO", value_parser = text(), help_heading = SERVER)]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// SET ROLE to this role after connecting, in pg_dump too
    #[arg(long, value_name = "NAME", value_parser = text(), hide_short_help = true)]
    pub role: Option<String>,
    /// Back up every database that allows connections, in one backup; --dbname is then only the
    /// database to connect to first
    #[arg(short, long)]
    pub all: bool,
    /// With --all or --database: connect to this database first (default: the first of these that
    /// the role can connect to: the one of --dbname, those of --database, postgres, template1,
    /// defaultdb)
    #[arg(long, value_name = "NAME", value_parser = text(), hide_short_help = true)]
    pub maintenance_db: Option<String>,
    /// Back up the databases that match; may be given several times
    #[arg(long, value_name = "PATTERN", conflicts_with = "all", value_parser = text())]
    pub database: Vec<String>,
    /// Exclude the databases that match; may be given several times. Implies --all without
    /// --database
    #[arg(long, value_name = "PATTERN", value_parser = text())]
    pub exclude_database: Vec<String>,
    /// Back up the data directory of the server instead of databases (docs/physical.md)
    #[arg(long)]
    pub physical: bool,
    /// With --physical: where the files come from (default: files, where the data directory is on
    /// this host and can be read, else wire)
    #[arg(long, value_enum, value_name = "SOURCE", requires = "physical", hide_short_help = true)]
    pub source: Option<Source>,
    /// With --physical: the data directory on this host (default: what the server says)
    #[arg(long, value_name = "PATH", requires = "physical", hide_short_help = true)]
    pub pgdata: Option<PathBuf>,
    /// With --physical: how the server does the checkpoint that the backup begins with
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Checkpoint::Fast, hide_short_help = true)]
    pub checkpoint: Checkpoint,
    /// With --physical: the label in backup_label
    #[arg(long, value_name = "TEXT", default_value = "pgark", value_parser = text(), hide_short_help = true)]
    pub label: String,
    /// With --physical: read or receive at most so many bytes in a second: 20M, 1G
    #[arg(long, value_name = "RATE", value_parser = rate, hide_short_help = true)]
    pub rate: Option<u64>,
    /// Include template databases
    #[arg(long, hide_short_help = true)]
    pub with_templates: bool,
    /// When snapshots of several databases are taken
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Snapshots::Staggered, hide_short_help = true)]
    pub snapshots: Snapshots,
    /// Mask the rows by this rules file (docs/masking.md). The backup is marked as masked: `latest`
    /// means it only with --masked. It contains no settings or access files of the server, no
    /// passwords of roles, and large objects without their content
    #[arg(long, value_name = "RULES")]
    pub mask: Option<PathBuf>,
    #[command(flatten)]
    pub filters: Filters,
    /// Of databases that pgark.toml has sections for.
    #[arg(skip)]
    pub filters_of: BTreeMap<String, Filters>,
    /// After a complete backup, remove backups of its cluster that the --keep-… rules do not keep,
    /// as `pgark forget` does
    #[arg(long, hide_short_help = true)]
    pub forget_after_backup: bool,
    #[command(flatten)]
    pub keep: Keep,
    #[command(flatten)]
    pub hooks: Hooks,
    /// Parallel connections (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Name of the cluster (default: the name that its earlier backups have, found by the system
    /// identifier; for the first one HOST:PORT). What pgark.toml says in [clusters.NAME] then
    /// applies, too
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// zstd level
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19), hide_short_help = true)]
    pub compression_level: i32,
    /// Use this pg_dump (default: the server's major version, else the lowest newer one)
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub pg_dump: Option<PathBuf>,
    /// How long to wait for the first table locks: 500ms, 30s, 5min
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, hide_short_help = true)]
    pub lock_wait_timeout: Duration,
    /// On a standby: how long to wait until replay can be paused; 0 does not pause it
    #[arg(long, value_name = "TIME", default_value = "60min", value_parser = duration, hide_short_help = true)]
    pub pause_timeout: Duration,
    /// Continue without what cannot be read; the backup is then incomplete (exit code 3)
    #[arg(long)]
    pub keep_going: bool,
    /// Store everything again instead of reusing data that is already in the repository
    #[arg(long, hide_short_help = true)]
    pub full: bool,
    /// Store the backup in this repository, too, reading the server once: a URL, or a name in
    /// pgark.toml. It is opened with the key from pgark.toml, or with the writer key that `init`
    /// wrote on this host; if it fails, the backup in the first is still complete (exit code 3)
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub also: Option<String>,
    /// Storage option of --also; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "also", hide_short_help = true)]
    pub also_storage_option: Vec<(String, String)>,
    /// Do not reuse chunks that contain a deleted row: store the other rows of such chunks again.
    /// When the older backups are forgotten, `pgark prune --erase` removes the deleted rows
    #[arg(long, alias = "condemn-dead", hide_short_help = true)]
    pub rewrite_deleted: bool,
    /// Print what would be backed up, how large it is, and what the last backup like it took and
    /// added; change nothing. Hooks, --also and --forget-after-backup then have no effect
    #[arg(long)]
    pub dry_run: bool,
    /// If another backup of this cluster is being made, of whatever databases and from whatever
    /// host: wait until it has ended, at most for TIME. Without this option the backup fails at
    /// once
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration, hide_short_help = true)]
    pub wait: Option<Option<Duration>>,
    /// Do not wait, whatever pgark.toml says
    #[arg(long, conflicts_with = "wait", hide_short_help = true)]
    pub no_wait: bool,
    /// Run while other backups of this cluster are being made, and let others run at the same time
    #[arg(long, conflicts_with_all = ["wait", "no_wait"], hide_short_help = true)]
    pub allow_concurrent: bool,
    /// Print the backup, or what --dry-run finds, as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

impl Backup {
    /// What is done while another backup of the cluster is at work.
    pub fn beside(&self) -> Beside {
        match self.wait {
            _ if self.allow_concurrent => Beside::Run,
            Some(at_most) => Beside::Wait(at_most),
            None => Beside::Refuse,
        }
    }
}

/// Where the files of a physical backup come from.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Source {
    /// The data directory: on the server's host, as the server's OS user or as root
    Files,
    /// The server sends them over a replication connection: from any host
    Wire,
}

/// The checkpoint that a physical backup begins with.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Checkpoint {
    /// At once
    Fast,
    /// Spread over time, as the server's own checkpoints
    Spread,
}

/// When the snapshots of several databases are taken.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Snapshots {
    /// Each when its database is copied, released afterwards
    Staggered,
    /// All at the start: needs a connection for each database
    Together,
}
