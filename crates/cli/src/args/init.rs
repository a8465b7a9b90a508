//! Arguments of `pgark init`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs};

use super::repository::{REPOSITORY, Storage};

#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("protection").required(true).multiple(false),
    override_usage = "pgark init --repo <URL> --recipient <RECIPIENT> [OPTIONS]",
    after_help = "Examples:
  pgark init --repo /backup/main --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
  pgark init --repo /backup/main --passphrase
  pgark init --repo /backup/main --passphrase-file /etc/pgark/passphrase
  pgark init --repo /backup/main --new-passphrase-file /root/pgark-passphrase
  pgark init --repo s3://backups/main --storage-option region=eu-west-1 --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
  pgark init --repo /backup/scratch --no-encryption --json

First tests whether the storage does what a repository needs; see `pgark storage test`.

Clusters of --share-between trust each other: whoever can write one of them can tell whether another contains a given row, and the
others' backups can reuse what it stores. This cannot be changed later.

With recipients or a passphrase, the writer key is written to this host's configuration folder: backups then need no other
secret on this host, and whoever steals the host cannot read them.

Exit codes: 0 created; 1 failed, or a repository already exists there; 2 wrong usage."
)]
pub struct Init {
    /// The new repository: a directory, s3://, gs://, azblob:// or sftp:// (see
    /// `pgark storage test --help`), or the name of one in pgark.toml
    #[arg(long, alias = "repository", value_name = "URL", env = "PGARK_REPO", help_heading = REPOSITORY)]
    pub repo: String,
    /// Recipient whose identity opens the repository: age1…, ssh-ed25519 AAAA…, or one of an age
    /// plugin (age1NAME1…); may be given several times
    #[arg(long, value_name = "RECIPIENT", group = "protection")]
    pub recipient: Vec<String>,
    /// File whose first line is the passphrase that opens the repository
    #[arg(long, value_name = "FILE", group = "protection")]
    pub passphrase_file: Option<PathBuf>,
    /// Ask on the terminal for the passphrase that opens the repository, twice
    #[arg(long, group = "protection")]
    pub passphrase: bool,
    /// Generate a passphrase of 150 random bits, write it to this new file, and use it
    #[arg(long, value_name = "FILE", group = "protection")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Clusters that share keys, so that their equal data is stored once; separated by commas, may
    /// be given several times. By default each cluster has its own keys
    #[arg(long, value_name = "CLUSTER,CLUSTER", value_parser = shared_clusters)]
    pub share_between: Vec<Group>,
    /// Do not encrypt: anyone who can read the storage can read the backups
    #[arg(long, group = "protection")]
    pub no_encryption: bool,
    /// Create it even if the place holds other files: they stay, and are not looked at
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub storage: Storage,
}

/// Clusters that share keys.
#[derive(Clone, Debug)]
pub struct Group(pub Vec<String>);

fn shared_clusters(text: &str) -> Result<Group, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_string()).collect();
    let unlike = names.iter().collect::<std::collections::BTreeSet<_>>().len();
    match names.len() >= 2 && unlike == names.len() && names.iter().all(|name| !name.is_empty()) {
        true => Ok(Group(names)),
        false => Err("expected the names of two or more clusters, separated by commas".into()),
    }
}
