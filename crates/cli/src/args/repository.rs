//! Where a repository is, what opens it, how its storage is reached, and when it is looked at.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs};

use crate::values::{pair, rate};
use crate::when::{Moment, moment};

/// Heading of the options that name a repository and what opens it.
pub const REPOSITORY: &str = "Repository";
/// The group of options, one of which opens a repository.
pub const SECRET: &str = "secret";
/// Heading of the options that say how a storage is reached.
pub const STORAGE: &str = "Storage";

/// Where the repository is and what opens it.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(group = ArgGroup::new(SECRET).multiple(false))]
pub struct Repository {
    /// The repository: a directory, s3://, gs://, azblob:// or sftp:// (see
    /// `pgark storage test --help`), or the name of one in pgark.toml (default: the one in
    /// pgark.toml)
    #[arg(long, alias = "repository", value_name = "URL", env = "PGARK_REPO", help_heading = REPOSITORY)]
    pub repo: Option<String>,
    /// age identity file, or private ed25519 SSH key, that opens it (default:
    /// PGARK_IDENTITY)
    #[arg(long, value_name = "FILE", group = SECRET, help_heading = REPOSITORY)]
    pub identity: Option<PathBuf>,
    /// File whose first line is the passphrase (PGARK_PASSPHRASE contains the passphrase itself)
    #[arg(long, value_name = "FILE", group = SECRET, help_heading = REPOSITORY, hide_short_help = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Ask for the passphrase on the terminal
    #[arg(long, group = SECRET, help_heading = REPOSITORY)]
    pub passphrase: bool,
    /// Writer key file: can back up, cannot read data (default: the one that `init` wrote on this
    /// host)
    #[arg(long, value_name = "FILE", group = SECRET, help_heading = REPOSITORY, hide_short_help = true)]
    pub writer_key: Option<PathBuf>,
    /// Do not cache the index and definitions on this host's disk: slower
    #[arg(long, help_heading = REPOSITORY, hide_short_help = true)]
    pub no_cache: bool,
    #[command(flatten)]
    pub storage: Storage,
}

/// How the storage is reached.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Storage {
    /// Option of the storage: region, endpoint, ca_file, …; may be given several times
    /// (`pgark storage test --help` lists them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = STORAGE, hide_short_help = true)]
    pub storage_option: Vec<(String, String)>,
    /// Send at most this many bytes per second: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = STORAGE, hide_short_help = true)]
    pub limit_upload: Option<u64>,
    /// Receive at most this many bytes per second: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = STORAGE, hide_short_help = true)]
    pub limit_download: Option<u64>,
}

/// When a repository is looked at.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Past {
    /// Read the repository as it was at this time, before later deletions and changes (S3 buckets
    /// with versioning): a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment, hide_short_help = true)]
    pub as_of: Option<Moment>,
}
