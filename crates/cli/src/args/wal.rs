//! Arguments of `pgark wal`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::repository::Repository;
use super::text::text;
use super::wal_receive::WalReceive;
use crate::values::duration;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark wal push %p --repo /backup/main                      # archive_command in postgresql.conf
  pgark wal fetch %f %p --repo /backup/main --identity /etc/pgark/identity.txt      # restore_command
  pgark wal receive --dbname 'host=db1 user=backup' --create-slot --repo /backup/main
  pgark wal check --repo /backup/main

docs/wal.md says what a server does with the exit codes, and how a backup is recovered with archived WAL.")]
pub struct Wal {
    #[command(subcommand)]
    pub action: WalAction,
}

#[derive(Debug, Subcommand)]
pub enum WalAction {
    /// Archive a file of WAL: the archive_command of a server
    #[command(after_help = "Examples:
  pgark wal push %p --repo /backup/main                    # in archive_command
  pgark wal push pg_wal/000000010000000000000007 --repo /backup/main --cluster prod

The exit code is 0 only if the repository has the file. If it has another one of the same name, nothing is changed: two servers
archive as one. Segments that wait behind the file are archived by the way; this host notes them in its state folder, and the calls
for them return at once. A file can have at most 128 MiB.

Exit codes: 0 archived; 1 failed; 2 wrong usage; never above 125, which would make a server restart its archiver.")]
    Push(WalPush),
    /// Receive the WAL of a server as it is written, and archive it
    Receive(Box<WalReceive>),
    /// Fetch a file of archived WAL: the restore_command of a server
    #[command(after_help = "Examples:
  pgark wal fetch %f %p --repo /backup/main --identity /etc/pgark/identity.txt    # in restore_command

A server runs it in its data directory; --pgdata says where that is if someone else does. The file is verified and put under its
name only when it is whole.

Exit codes: 0 fetched; 1 proved to be absent; 126 everything else, so that recovery stops instead of ending too early. In the data
directory of a standby (standby.signal) everything else is 1: the standby asks again, and shuts down at any code above 125.")]
    Fetch(WalFetch),
    /// List the archived WAL: timelines, gaps, how far each physical backup can be recovered
    #[command(after_help = "Examples:
  pgark wal list --repo /backup/main
  pgark wal list --repo /backup/main --cluster prod --json

Only names are read. Exit codes: 0 done; 1 failed; 2 wrong usage.")]
    List(WalList),
    /// Prove that no archived WAL is missing or damaged
    #[command(after_help = "Examples:
  pgark wal check --repo /backup/main
  pgark wal check --repo /backup/main --read-data --identity identity.txt --json

Each segment must begin with the record that follows the last one of the segment before. The headers say it: a writer key is enough.
With --read-data the segments are read, too.

Exit codes: 0 no problem; 1 problems, or the check failed; 2 wrong usage.")]
    Check(WalCheck),
    /// Archive the WAL of another system under a cluster's name, as after pg_upgrade
    #[command(after_help = "Examples:
  pgark wal adopt 7412345678901234567 --cluster prod --repo /backup/main

`pg_controldata` prints the system identifier. The WAL of the system before stays.

Exit codes: 0 done; 1 failed; 2 wrong usage.")]
    Adopt(WalAdopt),
}

#[derive(Debug, ClapArgs)]
pub struct WalPush {
    /// The file: %p in archive_command
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The cluster's name (default: that of its backups)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// Archive up to this many files that wait behind it, too
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub batch: u16,
    /// Files that are archived at once
    #[arg(short, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Compression level of zstd, 1 to 19
    #[arg(short = 'Z', long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub compression_level: i32,
    /// Fail if it takes longer than this; the server then tries again
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct WalFetch {
    /// The file's name: %f in restore_command
    #[arg(value_name = "FILE", value_parser = text())]
    pub file: String,
    /// Where to put it: %p in restore_command
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The cluster's name (default: that of its backups)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// No segment behind this one is needed: it is answered as absent. `restore` writes it for a
    /// target
    #[arg(long, value_name = "SEGMENT", value_parser = text())]
    pub up_to: Option<String>,
    /// Of a segment that is not full yet, give what there is, if nothing later is there; never in
    /// the directory of a standby. `restore` writes it where it is needed
    #[arg(long)]
    pub with_partial: bool,
    /// Fetch up to this many segments ahead, in the background, into pg_wal; 0: none
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub prefetch: u16,
    /// Only fetch ahead: what a call starts in the background
    #[arg(long, hide = true)]
    pub only_ahead: bool,
    /// The data directory of the server (default: the current one)
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub pgdata: PathBuf,
    /// Fail if it takes longer than this
    #[arg(long, value_name = "TIME", default_value = "2min", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct WalList {
    /// The cluster (default: the only one that has WAL)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct WalCheck {
    /// The cluster (default: the only one that has WAL)
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// Read the segments, too
    #[arg(long)]
    pub read_data: bool,
    /// Segments that are read at once (default: the cores of this host, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct WalAdopt {
    /// The system identifier, in decimal
    #[arg(value_name = "SYSTEM")]
    pub system_identifier: u64,
    /// The cluster; must be named
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
    /// Print the systems of the cluster as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}
