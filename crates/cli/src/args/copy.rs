//! Arguments of `pgark copy`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs};

use super::text::text;
use super::which::OfCluster;
use crate::values::{pair, rate};
use crate::when::{Moment, moment};

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("secret_there").multiple(false), after_help = "Examples:
  pgark copy /backup/main /mnt/second/main --identity identity.txt --to-writer-key second.key
  pgark copy main second --cluster prod --since 30d         # names of pgark.toml
  pgark copy main second --backup 4f0c9a11
  pgark copy /backup/main s3://second/main --to-storage-option region=eu-west-1 --limit-upload 20M

Chunks are read, verified and stored under the keys of the second repository, which deduplicates them itself. Backups that
DST already has are skipped, so an interrupted copy can be run again to continue. Times and tags are kept. Archived WAL is copied, too,
from the oldest physical backup on. Reading needs the identity or the passphrase of the first; writing, the writer key of the second
(default: the one that `init` left on this host).

Exit codes: 0 all copied; 1 failed; 2 wrong usage; 3 some could not be read and are named; 130 interrupted.")]
pub struct Copy {
    /// Repository to read: a directory, a URL, or a name in pgark.toml
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Repository to write
    #[arg(value_name = "DST")]
    pub target: String,
    /// age identity file that opens SRC (default: PGARK_IDENTITY)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "passphrase"])]
    pub identity: Option<PathBuf>,
    /// File whose first line is the passphrase of SRC
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// Ask for the passphrase of SRC on the terminal
    #[arg(long)]
    pub passphrase: bool,
    /// Writer key file of DST
    #[arg(long, value_name = "FILE", group = "secret_there")]
    pub to_writer_key: Option<PathBuf>,
    /// age identity file that opens DST
    #[arg(long, value_name = "FILE", group = "secret_there")]
    pub to_identity: Option<PathBuf>,
    /// File whose first line is the passphrase of DST
    #[arg(long, value_name = "FILE", group = "secret_there")]
    pub to_passphrase_file: Option<PathBuf>,
    /// Ask for the passphrase of DST on the terminal
    #[arg(long, group = "secret_there")]
    pub to_passphrase: bool,
    /// Storage option of SRC; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, hide_short_help = true)]
    pub storage_option: Vec<(String, String)>,
    /// Storage option of DST; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, hide_short_help = true)]
    pub to_storage_option: Vec<(String, String)>,
    /// Send at most this many bytes per second to DST: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = rate, hide_short_help = true)]
    pub limit_upload: Option<u64>,
    /// Receive at most this many bytes per second from SRC: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = rate, hide_short_help = true)]
    pub limit_download: Option<u64>,
    /// Only this backup: its id, or a unique prefix of at least 4 digits; may be given several
    /// times
    #[arg(long, value_name = "ID", value_parser = text())]
    pub backup: Vec<String>,
    /// Only backups since then: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Entries read and stored in parallel (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Do not copy the archived WAL that the physical backups need
    #[arg(long)]
    pub no_wal: bool,
    /// zstd level
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19), hide_short_help = true)]
    pub compression_level: i32,
    /// Print the new backups as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub of: OfCluster,
}
