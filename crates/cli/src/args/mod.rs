//! What the user typed, exactly: parsing touches nothing. Help, man pages and completions come from here.

mod configuration;
mod keys;
mod restore;
mod selection;
mod storage;
mod text;
mod upkeep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use pgark_ops::BackupName;

pub use configuration::{Config, ConfigAction, Convert, Foreign};
pub use keys::{Key, KeyAction, KeyAdd, KeyList, KeyRotate, KeyWriter};
pub use restore::{Choice, OnConflict, Restore};
pub use selection::{Section, Selection};
pub use storage::{Past, Storage, StorageAction, StorageCommand, StorageTest, rate};
use text::text;
pub use upkeep::{
    Copy, Forget, Keep, Prune, Repair, RepairAction, RepairBackups, RepairIndex, RepairObjects, Stats, Tag,
};

const EXIT_CODES: &str = "Exit codes:
  0    all done
  1    failed; nothing half-made counts
  2    wrong usage
  3    finished, but something that was asked for is missing (it is named)
  130  interrupted";

/// Keeps PostgreSQL clusters safe and gets them back.
///
/// Backs up live databases into an encrypted, deduplicating repository, and restores any backup, whole.
#[derive(Debug, Parser)]
#[command(name = "pgark", version, after_help = EXIT_CODES, arg_required_else_help = true, propagate_version = true)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub action: Action,
}

/// Options of every command.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// Say nothing but warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Configuration file (default: pgark.toml in this user's configuration folder, else /etc/pgark/pgark.toml)
    #[arg(long, global = true, value_name = "FILE", env = "PGARK_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create a repository
    Init(Init),
    /// Back up databases
    Backup(Backup),
    /// Restore a backup into a database
    Restore(Restore),
    /// Write a backup as files for stock pg_restore
    Export(Export),
    /// Take a dump of another program into the repository
    Import(Import),
    /// List the backups of a repository
    List(List),
    /// Show one backup and its tables
    Show(Show),
    /// Show what changed from one backup to another
    Diff(Diff),
    /// List the entries of a backup
    Ls(Ls),
    /// Write one entry of a backup to standard output
    Cat(Cat),
    /// Check that everything stored is still what was put there
    Check(Check),
    /// Forget backups: those that are named, or that a policy does not keep
    Forget(Forget),
    /// Free what no backup needs
    Prune(Prune),
    /// Copy backups into another repository, under its keys
    Copy(Copy),
    /// Make the index anew, or backups without what is lost of them
    Repair(Repair),
    /// List, add, remove and rotate keys; make keys for hosts that back up
    Key(Key),
    /// Add and remove tags of backups
    Tag(Tag),
    /// Show what the repository holds, and how it grows
    Stats(Stats),
    /// Find out whether a storage can be trusted, and how fast it is
    Storage(StorageCommand),
    /// Show, check, print or convert configuration files
    Config(Config),
    /// Print completions for a shell
    Completions(Completions),
    /// Write man pages
    Man(Man),
}

/// Where the repository is and what opens it.
#[derive(Debug, Default, ClapArgs)]
#[command(group = ArgGroup::new("secret").multiple(false))]
pub struct Repository {
    /// The repository: a directory, s3://, gs://, azblob:// or sftp:// (see `pgark storage test --help`), or the name of one in
    /// pgark.toml (default: what pgark.toml says)
    #[arg(long, value_name = "URL", env = "PGARK_REPO")]
    pub repo: Option<String>,
    /// age identity file that opens it (default: what PGARK_IDENTITY names)
    #[arg(long, value_name = "FILE", group = "secret")]
    pub identity: Option<PathBuf>,
    /// File whose first line is the passphrase (PGARK_PASSPHRASE holds the passphrase itself)
    #[arg(long, value_name = "FILE", group = "secret")]
    pub passphrase_file: Option<PathBuf>,
    /// Writer key file: backs up and cannot read data (default: the one that `init` left on this host)
    #[arg(long, value_name = "FILE", group = "secret")]
    pub writer_key: Option<PathBuf>,
    /// Keep no index on this host's disk: slower
    #[arg(long)]
    pub no_cache: bool,
    #[command(flatten)]
    pub storage: Storage,
    /// Of commands that can look back.
    #[arg(skip)]
    pub as_of: Option<jiff::Timestamp>,
}

/// Whose backups.
#[derive(Debug, ClapArgs)]
pub struct OfCluster {
    /// Only backups of this cluster: what `latest` means where a repository holds several
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
}

impl OfCluster {
    /// The backup that this text means.
    pub fn backup(&self, text: &str) -> BackupName {
        let (text, cluster) = (text.to_string(), self.cluster.clone());
        BackupName { text, cluster, partial: false, databases: Vec::new() }
    }
}

/// Which backup `latest` is.
#[derive(Debug, ClapArgs)]
pub struct Which {
    #[command(flatten)]
    pub of: OfCluster,
    /// `latest` can also be a backup that was made with filters, and holds a part of its databases
    #[arg(long)]
    pub partial: bool,
}

impl Which {
    /// The backup that this text means.
    pub fn backup(&self, text: &str) -> BackupName {
        BackupName { partial: self.partial, ..self.of.backup(text) }
    }

    /// The backup that this text means where only these databases of it are wanted.
    pub fn backup_for(&self, text: &str, databases: impl IntoIterator<Item = String>) -> BackupName {
        BackupName { databases: databases.into_iter().collect(), ..self.backup(text) }
    }
}

/// How to reach the server.
#[derive(Debug, ClapArgs)]
pub struct Server {
    /// Server host or socket directory
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Server port
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Role to connect as
    #[arg(short = 'U', long, value_name = "NAME", value_parser = text())]
    pub username: Option<String>,
}

/// When the snapshots of several databases are taken.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Snapshots {
    /// Each when its database's turn comes, released when it is copied
    Staggered,
    /// All before the first byte: needs a connection for each database
    Together,
}

/// What of a database is backed up, by pg_dump's options.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "What of each database")]
pub struct Filters {
    /// Only schemas that match
    #[arg(short = 'n', long, value_name = "PATTERN", value_parser = text())]
    pub schema: Vec<String>,
    /// Not the schemas that match
    #[arg(short = 'N', long, value_name = "PATTERN", value_parser = text())]
    pub exclude_schema: Vec<String>,
    /// Only tables, views, sequences that match, with their partitions and child tables
    #[arg(short = 't', long, value_name = "PATTERN", value_parser = text())]
    pub table: Vec<String>,
    /// Not the tables, views, sequences that match, nor their partitions and child tables
    #[arg(short = 'T', long, value_name = "PATTERN", value_parser = text())]
    pub exclude_table: Vec<String>,
    /// Only extensions that match (pg_dump 14 or newer)
    #[arg(short = 'e', long, value_name = "PATTERN", value_parser = text())]
    pub extension: Vec<String>,
    /// No rows of tables that match, nor of their partitions and child tables
    #[arg(long, value_name = "PATTERN", value_parser = text())]
    pub exclude_table_data: Vec<String>,
    /// Also the rows of foreign tables of servers that match
    #[arg(long, value_name = "PATTERN", value_parser = text())]
    pub include_foreign_data: Vec<String>,
    /// --table, --exclude-table and --exclude-table-data of a partitioned table, or of one that others inherit from, do not take
    /// these along
    #[arg(long)]
    pub no_children: bool,
    /// Definitions only
    #[arg(long, conflicts_with = "data_only")]
    pub schema_only: bool,
    /// Rows, large objects and sequence values only
    #[arg(long)]
    pub data_only: bool,
    /// No large objects
    #[arg(long)]
    pub no_large_objects: bool,
    /// Fail if a pattern matches nothing
    #[arg(long)]
    pub strict_names: bool,
    /// Store only rows that are new: of tables where it pays (auto: a row compresses to at least 32 bytes), of all, or of none
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub row_map: RowMap,
    /// Store only new rows of tables that match, whatever --row-map says
    #[arg(long, value_name = "PATTERN", value_parser = text())]
    pub row_map_on: Vec<String>,
    /// Store tables that match as bytes, whatever --row-map and --row-map-on say
    #[arg(long, value_name = "PATTERN", value_parser = text())]
    pub row_map_off: Vec<String>,
}

/// Which tables are stored under row maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RowMap {
    /// Where it pays
    #[default]
    Auto,
    /// All
    On,
    /// None
    Off,
}

#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("protection").required(true).multiple(false),
    after_help = "Examples:
  pgark init --repo /backup/main --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
  pgark init --repo /backup/main --passphrase-file /etc/pgark/passphrase
  pgark init --repo /backup/main --new-passphrase-file /root/pgark-passphrase
  pgark init --repo s3://backups/main --storage-option region=eu-west-1 --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
  pgark init --repo /backup/scratch --no-encryption

First it is tried whether the storage does what a repository needs; see `pgark storage test`.

With recipients or a passphrase, the writer key is left in this host's configuration folder: backups then need no
secret on this host, and a thief of the host cannot read them.

Exit codes: 0 created; 1 failed, or a repository is there already; 2 wrong usage."
)]
pub struct Init {
    /// The new repository: a directory, s3://, gs://, azblob:// or sftp:// (see `pgark storage test --help`), or the name of one
    /// in pgark.toml
    #[arg(long, value_name = "URL", env = "PGARK_REPO")]
    pub repo: String,
    #[command(flatten)]
    pub storage: Storage,
    /// age public key whose identity opens the repository; may be given several times
    #[arg(long, value_name = "AGE_PUBLIC_KEY", group = "protection")]
    pub recipient: Vec<String>,
    /// File whose first line is the passphrase that opens the repository
    #[arg(long, value_name = "FILE", group = "protection")]
    pub passphrase_file: Option<PathBuf>,
    /// Draw a passphrase of 150 random bits, write it to this new file, and use it
    #[arg(long, value_name = "FILE", group = "protection")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Do not encrypt: whoever reads the storage reads the backups
    #[arg(long, group = "protection")]
    pub no_encryption: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark backup --repo /backup/main --dbname shop
  pgark backup --repo /backup/main --dbname 'host=db1 user=backup dbname=shop sslmode=verify-full' --jobs 4
  pgark backup --repo /backup/main --dbname postgresql://backup@db1,db2/shop?target_session_attrs=standby --json
  pgark backup --repo /backup/main --all --exclude-database 'test_*'
  pgark backup --repo /backup/main --also s3://second-site/main --all
  pgark backup --repo /backup/main --dbname shop --exclude-table-data 'log.*' --table 'public.*' --table 'log.*'

Patterns are psql's: * and ?, names folded to lower case unless in double quotes, SCHEMA.NAME. A standby's replay is paused
meanwhile. Standard output is the new backup's id. Connection parameters not given come from the environment (PGHOST, …), the
service file and .pgpass, as with psql.

Exit codes: 0 complete; 1 failed; 2 wrong usage; 3 incomplete (--keep-going), or not in the second repository (--also): the id is
printed; 130 interrupted.")]
pub struct Backup {
    #[command(flatten)]
    pub repository: Repository,
    /// Database name, connection string or URI
    #[arg(short, long, value_name = "CONNINFO", value_parser = text())]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// SET ROLE to this role after connecting, in pg_dump too
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub role: Option<String>,
    /// Back up every database that allows connections, in one backup; --dbname is then only where to connect first
    #[arg(short, long)]
    pub all: bool,
    /// With --all or --database: connect to this database first (default: the one of --dbname, those of --database, postgres,
    /// template1, defaultdb, whichever lets the role in)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub maintenance_db: Option<String>,
    /// Back up the databases that match; may be given several times
    #[arg(long, value_name = "PATTERN", conflicts_with = "all", value_parser = text())]
    pub database: Vec<String>,
    /// Leave out the databases that match; may be given several times. Implies --all without --database
    #[arg(long, value_name = "PATTERN", value_parser = text())]
    pub exclude_database: Vec<String>,
    /// Template databases too
    #[arg(long)]
    pub with_templates: bool,
    /// When snapshots of several databases are taken
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Snapshots::Staggered)]
    pub snapshots: Snapshots,
    #[command(flatten)]
    pub filters: Filters,
    /// Of databases that pgark.toml has sections for.
    #[arg(skip)]
    pub filters_of: BTreeMap<String, Filters>,
    /// The cluster's policy in pgark.toml.
    #[arg(skip)]
    pub keep: Keep,
    /// Whether it is applied behind the backup.
    #[arg(skip)]
    pub forget_after_backup: bool,
    /// Parallel connections (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Name of the cluster (default: its system identifier). What pgark.toml says in [clusters.NAME] then holds, too
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// zstd level
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub compression_level: i32,
    /// Use this pg_dump (default: the server's major version, else the lowest newer one)
    #[arg(long, value_name = "PATH")]
    pub pg_dump: Option<PathBuf>,
    /// How long the first table locks may wait: 500ms, 30s, 5min
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub lock_wait_timeout: Duration,
    /// On a standby: how long to wait for a moment at which replay can be paused; 0 does not pause it
    #[arg(long, value_name = "TIME", default_value = "60min", value_parser = duration)]
    pub pause_timeout: Duration,
    /// Go on without what cannot be read; the backup is then incomplete (exit code 3)
    #[arg(long)]
    pub keep_going: bool,
    /// Store everything anew, leaning on nothing that the repository holds already
    #[arg(long)]
    pub full: bool,
    /// Store the backup in this repository, too, reading the server once: a URL, or a name in pgark.toml. It is opened by what
    /// pgark.toml says, or by the writer key that `init` left on this host; if it fails, the first is good (exit code 3)
    #[arg(long, value_name = "URL")]
    pub also: Option<String>,
    /// Storage option of --also; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = storage::pair, requires = "also")]
    pub also_storage_option: Vec<(String, String)>,
    /// Name no chunk that holds a deleted row: the other rows of such chunks are stored again. When the older backups are
    /// forgotten, `pgark prune --erase` removes the deleted rows
    #[arg(long)]
    pub condemn_dead: bool,
    /// Print the backup as JSON
    #[arg(long)]
    pub json: bool,
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

Plain SQL goes into the database that psql is connected to; with --create it makes the database, with owner, settings and
privileges. Of some tables or schemas an export brings what belongs to them and the types and functions that they need.
A directory also holds globals.sql (roles and tablespaces), if nothing is filtered; `pgark cat ID:/globals.sql` gives it, too. A
directory or file appears under its name only when it is whole. An archive is readable by the pg_restore of the server's major
version and newer; --for-version makes it readable by an older one.

Exit codes: 0 written; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Export {
    /// Backup: its id, a unique prefix of at least 4 digits, `latest` or `latest:DB`
    #[arg(value_name = "ID", value_parser = text())]
    pub backup: String,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub which: Which,
    /// The backup's database, where it holds several
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub database: Option<String>,
    /// Format of the files
    #[arg(short = 'F', long, value_enum, default_value_t = Format::Directory)]
    pub format: Format,
    /// Directory or file to make; `-` is standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// Compression: none, gzip, lz4 or zstd, with :LEVEL (lz4 has none). lz4 and zstd archives need pg_restore 16. Default:
    /// gzip:1 for directory and custom, none for plain and csv
    #[arg(short = 'Z', long, value_name = "METHOD[:LEVEL]", value_parser = pgark_ops::export::Method::parse)]
    pub compress: Option<pgark_ops::export::Method>,
    /// Major version of the pg_restore (plain: of the server) that is to read it
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(i32).range(13..=18))]
    pub for_version: Option<i32>,
    /// Plain: create the database, with its owner, settings and privileges, and connect to it
    #[arg(short = 'C', long, conflicts_with_all = ["section", "data_only"])]
    pub create: bool,
    /// Write no `\restrict` into SQL, for psql older than 13.22, 14.19, 15.14, 16.10, 17.6, which does not know it. Without it,
    /// a name or a definition that an attacker put into the source can run commands on the host where psql reads the SQL
    #[arg(long)]
    pub no_restrict: bool,
    #[command(flatten)]
    pub selection: Selection,
    /// Files of a directory written at once (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark import /var/backups/shop.dump --repo /backup/main --cluster shop-2024
  pgark import /var/backups/greenmask/1717000000000 --repo /backup/main
  pgark import /var/backups/all.sql --repo /backup/main --cluster old-server

Taken are archives of pg_dump (directory, custom, tar; versions 1.12 to 1.16), scripts of pg_dumpall and of pg_dump --create
(with COPY, not INSERT), dump directories of Greenmask, and what Plakar's PostgreSQL integration lays out (a directory with
manifest.json, globals.sql and *.dump, or all.sql). A dump that is not whole is refused, and one that holds rows without
definitions (--data-only). Compressed files are unpacked first, by you.
`latest` never means an imported backup where there are others.
Standard output is the new backup's id.

Exit codes: 0 imported; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Import {
    /// The dump: a file or a directory
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    #[command(flatten)]
    pub repository: Repository,
    /// Name of the cluster (default: the system identifier that a manifest beside the dump names, else `imported`)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// zstd level
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub compression_level: i32,
    /// Threads that compress (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Print the backup as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark list --repo /backup/main
  pgark list --repo /backup/main --json

Oldest first. A backup that was made with filters is marked `partial`: `latest` means it only with --partial. One that was made while
its host's clock was wrong (ahead of the storage's by more than an hour) is marked `clock ahead`: `latest` never means it.

Exit codes: 0 listed; 1 failed; 2 wrong usage.")]
pub struct List {
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub of: OfCluster,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark show latest --repo /backup/main
  pgark show 4f0c --repo /backup/main --json

Exit codes: 0 shown; 1 failed; 2 wrong usage.")]
pub struct Show {
    /// Backup: its id, a unique prefix of at least 4 digits, `latest` or `latest:DB`
    #[arg(value_name = "ID", value_parser = text())]
    pub backup: String,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark diff 4f0c latest --repo /backup/main
  pgark diff 4f0c latest --repo /backup/main --database shop --json

Compared are definitions, rows and bytes of tables, and for whole backups settings, roles and tablespaces. Passwords are compared
and not shown.

Exit codes: 0 compared, whatever was found; 1 failed; 2 wrong usage.")]
pub struct Diff {
    /// The older backup: its id, a unique prefix of at least 4 digits, `latest` or `latest:DB`
    #[arg(value_name = "A", value_parser = text())]
    pub a: String,
    /// The newer backup
    #[arg(value_name = "B", value_parser = text())]
    pub b: String,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub which: Which,
    /// Only this database
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub database: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark ls latest --repo /backup/main
  pgark ls latest:/db/shop/data --repo /backup/main

Exit codes: 0 listed; 1 failed; 2 wrong usage.")]
pub struct Ls {
    /// Backup, and where wanted a path inside it
    #[arg(value_name = "ID[:/PATH]", value_parser = text())]
    pub place: String,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub which: Which,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

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
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub which: Which,
}

/// How deep a check goes.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Level {
    /// Manifests, signatures, lists, index and sizes
    Structure,
    /// Also the hash of every stored object
    Objects,
    /// Also every chunk, opened and compared with its id
    Data,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark check --repo /backup/main
  pgark check --repo /backup/main --read-data --json
  pgark check --repo /backup/main --since 1d --read-data=10

What is found damaged is noted in the repository: no later backup leans on it, and one that meets the same rows stores them anew,
which heals older backups, too. What a crash left behind is no problem. Reading data needs the identity or the passphrase.

Exit codes: 0 no problem; 1 problems, or the check failed; 2 wrong usage; 130 interrupted.")]
pub struct Check {
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub past: Past,
    /// How deep
    #[arg(long, value_enum, default_value_t = Level::Structure, conflicts_with = "read_data")]
    pub level: Level,
    /// The same as --level data; with a number, for that share of the packs, drawn anew each time
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub read_data: Option<u8>,
    /// Only backups since then, and what they need: a time like 2026-11-01T00:00:00Z, or how long ago: 7d, 36h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<jiff::Timestamp>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark completions bash > /etc/bash_completion.d/pgark
  pgark completions fish > ~/.config/fish/completions/pgark.fish")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark man --output /usr/local/share/man/man1")]
pub struct Man {
    /// Folder for the pages
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

impl Args {
    /// Whether errors are to be JSON too.
    pub fn wants_json(&self) -> bool {
        match &self.action {
            Action::Backup(args) => args.json,
            Action::Restore(args) => args.json,
            Action::Export(args) => args.json,
            Action::List(args) => args.json,
            Action::Show(args) => args.json,
            Action::Ls(args) => args.json,
            Action::Check(args) => args.json,
            Action::Import(args) => args.json,
            Action::Config(Config { action: ConfigAction::Show(args) }) => args.json,
            Action::Config(_) => false,
            Action::Diff(args) => args.json,
            Action::Forget(args) => args.json,
            Action::Prune(args) => args.json,
            Action::Stats(args) => args.json,
            Action::Tag(_) => false,
            Action::Key(Key { action: KeyAction::List(args) }) => args.json,
            Action::Key(_) => false,
            Action::Copy(args) => args.json,
            Action::Repair(Repair { action: RepairAction::Index(args) }) => args.json,
            Action::Repair(Repair { action: RepairAction::Backups(args) }) => args.json,
            Action::Repair(Repair { action: RepairAction::Objects(args) }) => args.json,
            Action::Storage(StorageCommand { action: StorageAction::Test(args) }) => args.json,
            Action::Init(_) | Action::Cat(_) | Action::Completions(_) | Action::Man(_) => false,
        }
    }
}

impl Action {
    /// The repository's options, of commands that open one.
    pub fn repository_mut(&mut self) -> Option<&mut Repository> {
        match self {
            Action::Backup(args) => Some(&mut args.repository),
            Action::Restore(args) => Some(&mut args.repository),
            Action::Export(args) => Some(&mut args.repository),
            Action::Import(args) => Some(&mut args.repository),
            Action::List(args) => Some(&mut args.repository),
            Action::Show(args) => Some(&mut args.repository),
            Action::Diff(args) => Some(&mut args.repository),
            Action::Ls(args) => Some(&mut args.repository),
            Action::Cat(args) => Some(&mut args.repository),
            Action::Check(args) => Some(&mut args.repository),
            Action::Forget(args) => Some(&mut args.repository),
            Action::Prune(args) => Some(&mut args.repository),
            Action::Tag(args) => Some(&mut args.repository),
            Action::Key(args) => Some(args.action.repository_mut()),
            Action::Repair(Repair { action: RepairAction::Index(args) }) => Some(&mut args.repository),
            Action::Repair(Repair { action: RepairAction::Backups(args) }) => Some(&mut args.repository),
            Action::Repair(Repair { action: RepairAction::Objects(args) }) => Some(&mut args.repository),
            Action::Stats(args) => Some(&mut args.repository),
            Action::Config(args) => args.backup_mut().map(|backup| &mut backup.repository),
            Action::Copy(_)
            | Action::Init(_)
            | Action::Storage(_)
            | Action::Completions(_)
            | Action::Man(_) => None,
        }
    }

    /// What this command leaves behind when it is interrupted, where the operation itself does not say it better.
    pub fn left_by_interrupt(&self) -> &'static str {
        match self {
            Action::Backup(_) => {
                "no backup was committed; what was stored until now is used by the next one, or goes with a prune"
            }
            Action::Import(_) => {
                "no backup was committed; what was stored until now is used by the next import, or goes with a prune"
            }
            Action::Export(args) if args.output.as_os_str() == "-" => {
                "the output ends before its end: do not use it"
            }
            Action::Export(_) => "nothing was exported",
            Action::Prune(_) => {
                "every backup is whole; what was deleted until now was needed by none of them, and the next prune goes on"
            }
            Action::Check(_) => "not everything was checked; no backup was changed",
            Action::Init(_) => {
                "`pgark list` on that place says whether there is a repository now; if not, begin again"
            }
            Action::Key(_) => "`pgark key list` shows which keys hold now",
            Action::Tag(_) => "`pgark list` shows which tags hold now",
            Action::Repair(_) => "what was repaired until now stays repaired; run the same command again",
            Action::Storage(_) => {
                "objects of the test may be left on the storage, in a folder of the test's own"
            }
            Action::Forget(args) if args.dry_run => "nothing was changed",
            Action::Forget(_) => {
                "some of the backups to forget may be forgotten already: `pgark list` shows what is there; no other was touched"
            }
            // They say it themselves, or change nothing.
            Action::Restore(_)
            | Action::Copy(_)
            | Action::List(_)
            | Action::Show(_)
            | Action::Diff(_)
            | Action::Ls(_)
            | Action::Cat(_)
            | Action::Stats(_)
            | Action::Config(_)
            | Action::Completions(_)
            | Action::Man(_) => "nothing was changed",
        }
    }

    /// The moment that a command looks back to.
    pub fn as_of(&self) -> Option<jiff::Timestamp> {
        match self {
            Action::Restore(args) => args.past.as_of,
            Action::Export(args) => args.past.as_of,
            Action::List(args) => args.past.as_of,
            Action::Show(args) => args.past.as_of,
            Action::Diff(args) => args.past.as_of,
            Action::Ls(args) => args.past.as_of,
            Action::Cat(args) => args.past.as_of,
            Action::Check(args) => args.past.as_of,
            _ => None,
        }
    }
}

/// A time in RFC 3339, or how long ago.
fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(ago) = duration(text) {
        return jiff::Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    text.parse()
        .map_err(|_| format!("{text:?} is no time; write 2026-11-01T00:00:00Z, or how long ago: 7d, 36h"))
}

/// `500ms`, `30s`, `5min`, `24h`, `30d`, `8w`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 =
        digits.trim().parse().map_err(|_| format!("{text:?} is no time; write 500ms, 30s or 5min"))?;
    match text.get(digits.len()..).unwrap_or_default() {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "min" | "m" => times(number, 60),
        "h" => times(number, 3600),
        "d" => times(number, 24 * 3600),
        "w" => times(number, 7 * 24 * 3600),
        unit => Err(format!("{unit:?} is no unit of time; write ms, s, min, h, d or w")),
    }
}

fn times(number: u64, seconds: u64) -> Result<Duration, String> {
    // A hundred years are for ever, and still a time that clocks can be asked about.
    let most = 100 * 366 * 24 * 3600;
    let all = number.checked_mul(seconds).filter(|all| *all <= most);
    all.map(Duration::from_secs).ok_or_else(|| "too long: a hundred years at most".to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in super::Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{} has none", command.get_name());
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(super::duration("30s").unwrap().as_millis(), 30_000);
        assert_eq!(super::duration("500ms").unwrap().as_millis(), 500);
        assert_eq!(super::duration("2min").unwrap().as_secs(), 120);
        assert_eq!(super::duration("7").unwrap().as_secs(), 7);
        for bad in ["", "s", "-1s", "1h30", "1 fortnight"] {
            assert!(super::duration(bad).is_err(), "{bad}");
        }
    }
}
