//! Arguments of `pgark restore`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::selection::Selection;
use super::server::{SERVER, Server};
use super::target::Point;
use super::text::text;
use super::which::Source;
use crate::values::pair;

/// Heading of the options that choose databases and globals.
pub const CHOICE: &str = "Databases and globals";
/// Heading of the options for data directories.
pub const DIRECTORY: &str = "Data directory";

/// Options that mean nothing where a data directory is restored.
const OF_DATABASES: [&str; 34] = [
    "dbname",
    "maintenance_db",
    "create",
    "clean",
    "role",
    "exit_on_error",
    "single_transaction",
    "no_analyze",
    "disable_triggers",
    "replica_role",
    "overriding_system_value",
    "hook",
    "list",
    "all",
    "database",
    "target",
    "globals",
    "globals_only",
    "section",
    "schema_only",
    "data_only",
    "schema",
    "exclude_schema",
    "table",
    "exclude_table",
    "no_children",
    "use_list",
    "strict_names",
    "no_owner",
    "no_privileges",
    "no_tablespaces",
    "no_comments",
    "no_publications",
    "no_subscriptions",
];

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark restore latest --repo /backup/main --dbname shop_restored --create
  pgark restore 4f0c --repo /backup/main --dbname 'host=db2 dbname=shop'
  pgark restore latest:shop --repo /backup/main --dbname shop --clean --exit-on-error
  pgark restore latest --repo /backup/main --all --globals --dbname 'host=db2'
  pgark restore latest --repo /backup/main --database shop --as shop_copy --create --dbname 'host=db2'
  pgark restore latest --repo /backup/main --database shop --dbname shop --table public.orders
  pgark restore latest --repo /backup/main --database shop --list > list; pgark restore latest … --use-list list
  pgark restore latest --repo /backup/main --dbname shop_empty --schema-only --dry-run
  pgark restore latest --repo /backup/main --to-dir /var/lib/postgresql/restored
  pgark restore latest --repo /backup/main --to-dir /var/lib/postgresql/15/main --delta
  pgark restore latest --repo /backup/main --to-dir /var/lib/postgresql/restored --target-time '2026-11-30 14:24'

Without --create or --clean the target database must exist and contain no user objects. With --table, --schema or --use-list, it
can contain other objects, but not the ones being restored. With --all, missing databases are created. Whatever makes the
restore impossible (missing roles, an older server, a database that is not empty) is reported before the target is changed.

Exit codes: 0 all restored; 1 failed; 2 wrong usage; 3 some objects failed (they are named); 130 interrupted.")]
pub struct Restore {
    /// Backup: its id, a unique prefix of at least 4 digits, or `latest`; `latest:DB` or `ID:DB`
    /// means one database of it
    #[arg(value_name = "ID", value_parser = text())]
    pub backup: String,
    /// Target database: name, connection string or URI; never taken from the environment. With
    /// --all, --as or several --database only where to connect
    #[arg(short, long, value_name = "CONNINFO", value_parser = text(), help_heading = SERVER)]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// Connect to this database to create the target, and for roles (default: the first of these
    /// that the role can connect to: the one of --dbname if that is not the target, postgres,
    /// template1, defaultdb)
    #[arg(long, value_name = "NAME", value_parser = text(), hide_short_help = true)]
    pub maintenance_db: Option<String>,
    /// Restore a physical backup into this directory, which is absent or empty unless --delta is
    /// given (docs/physical.md)
    #[arg(long, value_name = "PATH", conflicts_with_all = OF_DATABASES)]
    pub to_dir: Option<PathBuf>,
    /// Restore over the directory of a stopped server of the same cluster, or continue a restore
    /// that was broken off: compare pages, write those that differ, and delete what is not in the
    /// backup
    #[arg(long, requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub delta: bool,
    /// With --delta: restore even over the directory of another cluster. Everything in it is
    /// replaced or deleted
    #[arg(long, requires = "delta", help_heading = DIRECTORY, hide_short_help = true)]
    pub force: bool,
    /// Then start its server, reachable only over a socket in a new folder, and wait until it
    /// accepts writes
    #[arg(long, requires = "to_dir", conflicts_with = "dry_run", help_heading = DIRECTORY, hide_short_help = true)]
    pub start: bool,
    /// Where a tablespace goes, by its OID or name; may be given several times (default: where it
    /// was)
    #[arg(long, value_name = "TABLESPACE=PATH", value_parser = pair, requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub tablespace: Vec<(String, String)>,
    /// A folder for the directories of all other tablespaces
    #[arg(long, value_name = "PATH", requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub all_tablespaces: Option<PathBuf>,
    /// Put the WAL into this directory; pg_wal becomes a link to it
    #[arg(long, value_name = "PATH", requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub waldir: Option<PathBuf>,
    /// Write pages of zeros, instead of leaving holes in files
    #[arg(long, requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub no_sparse: bool,
    /// Also restore configuration files that were outside of the data directory, into it
    #[arg(long, requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub with_config: bool,
    /// Do not turn off archive_mode: the restored server would archive its WAL where the original
    /// one does
    #[arg(long, requires = "to_dir", help_heading = DIRECTORY, hide_short_help = true)]
    pub keep_archiving: bool,
    #[command(flatten)]
    pub point: Point,
    #[command(flatten)]
    pub choice: DatabaseArgs,
    /// Create the database with its properties
    #[arg(long, conflicts_with_all = ["clean", "section", "data_only"])]
    pub create: bool,
    /// First drop the objects that the backup contains. Refused if that would drop something that
    /// this run does not restore: rows, partitions, indexes, columns, … (--dry-run shows all of
    /// it)
    #[arg(long, conflicts_with_all = ["section", "data_only"])]
    pub clean: bool,
    /// With --clean: also drop, permanently, what this run does not restore
    #[arg(long, requires = "clean", hide_short_help = true)]
    pub accept_loss: bool,
    /// With --clean: do not warn about objects that do not exist
    #[arg(long, requires = "clean", hide_short_help = true)]
    pub if_exists: bool,
    /// SET ROLE to this role after connecting
    #[arg(long, value_name = "NAME", value_parser = text(), hide_short_help = true)]
    pub role: Option<String>,
    /// Parallel connections, helpers of index builds included (default: the number of cores, at
    /// most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Stop at the first object that fails
    #[arg(long, hide_short_help = true)]
    pub exit_on_error: bool,
    /// All or nothing: one transaction over one connection
    #[arg(short = '1', long, conflicts_with_all = ["create", "all", "jobs"], hide_short_help = true)]
    pub single_transaction: bool,
    /// Do not gather planner statistics at the end
    #[arg(long, hide_short_help = true)]
    pub no_analyze: bool,
    /// Disable the triggers of existing tables while their rows are loaded (superuser)
    #[arg(long, hide_short_help = true)]
    pub disable_triggers: bool,
    /// Load rows under session_replication_role = replica: no triggers, no foreign keys (superuser)
    #[arg(long, hide_short_help = true)]
    pub replica_role: bool,
    /// What to do with rows that violate a constraint of an existing table
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnConflict::Fail, hide_short_help = true)]
    pub on_conflict: OnConflict,
    /// With --on-conflict skip: insert into columns GENERATED ALWAYS AS IDENTITY
    #[arg(long, hide_short_help = true)]
    pub overriding_system_value: bool,
    /// Run something at a moment of the restore: MOMENT=sql:SQL, MOMENT=file:FILE.sql or
    /// MOMENT=command:COMMAND, with MOMENT one of before-pre-data, after-pre-data, before-data,
    /// after-data, before-post-data, after-post-data
    #[arg(long, value_name = "MOMENT=ACTION", hide_short_help = true)]
    pub hook: Vec<String>,
    /// Check that the restore is possible and print what would be restored, in order; change
    /// nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the entries that would be restored, as a list for --use-list; does not connect to a
    /// server
    #[arg(long, conflicts_with_all = ["dry_run", "json", "all"], hide_short_help = true)]
    pub list: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub source: Source,
}

/// What happens to rows that are in the way.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum OnConflict {
    /// The table's rows fail
    Fail,
    /// They are left out and counted; -v writes the first of each table into the log
    Skip,
}

/// What of the backup is restored.
#[derive(Debug, ClapArgs)]
pub struct DatabaseArgs {
    /// The backup's database; may be given several times. Several keep their names
    #[arg(long, value_name = "NAME", conflicts_with = "all", value_parser = text(), help_heading = CHOICE)]
    pub database: Vec<String>,
    /// The target database's name
    #[arg(long = "as", value_name = "NAME", conflicts_with = "all", value_parser = text(), help_heading = CHOICE)]
    pub target: Option<String>,
    /// Every database of the backup, under its own name
    #[arg(short, long, conflicts_with_all = ["section", "data_only", "use_list"], help_heading = CHOICE)]
    pub all: bool,
    /// Roles, memberships and tablespaces first: missing ones are created, existing ones are left
    /// alone, and differences are listed
    #[arg(long, help_heading = CHOICE)]
    pub globals: bool,
    /// Only roles, memberships and tablespaces
    #[arg(long, conflicts_with_all = ["all", "database", "target"], help_heading = CHOICE, hide_short_help = true)]
    pub globals_only: bool,
    #[command(flatten)]
    pub filters: Selection,
}
