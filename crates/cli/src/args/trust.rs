//! Arguments of `pgark trust`.

use clap::Args as ClapArgs;
use pgark_ops::Fingerprint;

use super::repository::{REPOSITORY, Storage};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark trust --repo /backup/main
  pgark trust --repo /backup/main --fingerprint 1f09-77a0-52cc-9e4b-d301-6a8e-4417-b25c
  pgark trust --repo s3://backups/main --yes --json

This host remembers the fingerprint of the repository at each place, and refuses any other repository there. If a repository was replaced
on purpose (created again, restored from a copy), this command replaces the remembered fingerprint. It shows the remembered and the current
one, and asks. Compare the fingerprint with the one that `pgark init` printed. On a host that has not seen the place before, --fingerprint
makes sure that the first access is to the right repository.

No secret is needed.

Exit codes: 0 accepted, or already known; 1 failed, not the given fingerprint, or not accepted; 2 wrong usage, or there is no terminal to
ask on.")]
pub struct Trust {
    /// The repository: a directory, s3://, gs://, azblob:// or sftp:// (see
    /// `pgark storage test --help`), or the name of one in pgark.toml
    #[arg(long, alias = "repository", value_name = "URL", env = "PGARK_REPO", help_heading = REPOSITORY)]
    pub repo: String,
    #[command(flatten)]
    pub storage: Storage,
    /// Accept it only if it has this fingerprint, and do not ask
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "yes")]
    pub fingerprint: Option<Fingerprint>,
    /// Accept any repository, and do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
