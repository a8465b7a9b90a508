//! Arguments of `pgark wal receive`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use pgark_ops::Lsn;

use super::repository::Repository;
use super::server::{SERVER, Server};
use super::text::text;
use crate::values::{MaxLag, Size, duration};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark wal receive --dbname 'host=db1 user=backup' --create-slot --repo /backup/main
  pgark wal receive --dbname 'host=db1,db2 user=backup' --create-slot --synchronous --max-lag 5min --repo s3://backups/main
  pgark wal receive --dbname 'host=db1 user=backup' --drop-slot                # when it is not needed any more

It runs until Ctrl-C or SIGTERM ends it; then it archives what it has. The role needs REPLICATION, and the server a line in
pg_hba.conf for the database \"replication\". A writer key is enough for the repository. docs/wal.md has a unit for systemd, and says
what --synchronous promises and costs.

Exit codes: 0 ended, and all is archived; 1 failed, or the repository is too far behind (--max-lag); 2 wrong usage.")]
pub struct WalReceive {
    /// Server: connection string or URI; of several hosts the first that is as asked
    #[arg(short, long, value_name = "CONNINFO", value_parser = text(), help_heading = SERVER)]
    pub dbname: Option<String>,
    #[command(flatten)]
    pub server: Server,
    /// The cluster's name (default: that of its backups)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// The replication slot
    #[arg(long, value_name = "NAME", default_value = "pgark", value_parser = text())]
    pub slot: String,
    /// Create the slot if it is not there, also after a failover
    #[arg(long)]
    pub create_slot: bool,
    /// Drop the slot, and do nothing else
    #[arg(long, conflicts_with = "create_slot")]
    pub drop_slot: bool,
    /// Go on without WAL that the server does not have any more
    #[arg(long)]
    pub accept_gap: bool,
    /// Folder in which WAL waits until it is archived (default: in the state folder of this user)
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Stop receiving while this much waits in the spool
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = Size::parse)]
    pub spool_size: Size,
    /// Archive what there is of a segment when it waits longer than this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub flush_interval: Duration,
    /// Archive what there is as soon as the last write to the storage is done: commits that wait
    /// for this receiver are then in the repository
    #[arg(long)]
    pub synchronous: bool,
    /// What the receiver reports as safe. With `spool`, commits and the slot do not wait for the
    /// repository, and a loss of this host loses what only it has
    #[arg(long, value_name = "WHERE", value_enum, default_value = "repository")]
    pub ack: AckAt,
    /// Fail when nothing could be archived for this time, or more than this waits: 5min, 2G
    #[arg(long, value_name = "TIME|SIZE", value_parser = MaxLag::parse)]
    pub max_lag: Option<MaxLag>,
    /// Run this instead of failing, once for each time that --max-lag is passed
    #[arg(long, value_name = "COMMAND", requires = "max_lag", value_parser = text())]
    pub on_stall: Option<String>,
    /// End when the WAL up to this position is archived
    #[arg(long, value_name = "LSN")]
    pub endpos: Option<Lsn>,
    /// Compression level of zstd, 1 to 19
    #[arg(short = 'Z', long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub compression_level: i32,
    #[command(flatten)]
    pub repository: Repository,
}

/// Where WAL counts as safe.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum AckAt {
    /// What the repository has
    Repository,
    /// What is on the disk of this host
    Spool,
}
