//! Arguments that say how a storage is reached, and `pgark storage`.

use std::collections::BTreeMap;

use clap::{Args as ClapArgs, Subcommand};

/// How the storage is reached.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Storage")]
pub struct Storage {
    /// Option of the storage: region, endpoint, ca_file, …; may be given several times (`pgark storage test --help` lists them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub storage_option: Vec<(String, String)>,
    /// Send at most so many bytes per second: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit_upload: Option<u64>,
    /// Receive at most so many bytes per second: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit_download: Option<u64>,
    /// What pgark.toml says of it.
    #[arg(skip)]
    pub from_file: BTreeMap<String, String>,
}

/// When a repository is looked at.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Past {
    /// See the repository as it was then, behind what was deleted or overwritten since (S3 buckets with versioning): a time, or how
    /// long ago
    #[arg(long, value_name = "TIME", value_parser = super::moment)]
    pub as_of: Option<jiff::Timestamp>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark storage test s3://backups/main --storage-option region=eu-west-1
  pgark storage test sftp://backup@host/srv/pgark --json")]
pub struct StorageCommand {
    #[command(subcommand)]
    pub action: StorageAction,
}

#[derive(Debug, Subcommand)]
pub enum StorageAction {
    /// Try what a storage can, and how fast it is
    Test(StorageTest),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_TEST)]
pub struct StorageTest {
    /// The storage: a directory, a URL, or the name of a repository in pgark.toml (default: what PGARK_REPO says)
    #[arg(value_name = "URL", env = "PGARK_REPO")]
    pub url: String,
    #[command(flatten)]
    pub storage: Storage,
    /// Do not measure throughput, which moves 128 MiB in each direction
    #[arg(long)]
    pub quick: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// The one place that lists options and sources of credentials.
const AFTER_TEST: &str = "Examples:
  pgark storage test s3://backups/main --storage-option region=eu-west-1
  pgark storage test s3://backups/main --storage-option endpoint=https://minio.example.com
  pgark storage test gs://backups/main --storage-option key_file=/etc/pgark/gcs.json
  pgark storage test azblob://backups/main --storage-option account=acme
  pgark storage test sftp://backup@host/srv/pgark --storage-option ssh_key=/etc/pgark/id_ed25519

Everything happens in the folder probe/ of the storage, which is empty again at the end. A repository that is there is not touched; a
folder (not a bucket) that is missing is made.

Storage options (also keys of [repositories.NAME] in pgark.toml):
  S3             region, endpoint, path_style, profile, role_arn, external_id, sts_endpoint, sse, sse_kms_key, object_lock, lock_for
  gs             key_file
  azblob         account, key_file
  sftp           ssh_key, ssh_key_passphrase_file, password_file, known_hosts
  S3, gs, azblob endpoint, storage_class, ca_file
  all            connections, timeout, retry_for, limit_upload, limit_download

Credentials are in no URL and no option. The first that is there counts:
  S3      profile of the option; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; AWS_WEB_IDENTITY_TOKEN_FILE with
          AWS_ROLE_ARN; AWS_PROFILE or `default` in ~/.aws/credentials and ~/.aws/config; the container's; the instance's
  gs      key_file or GOOGLE_APPLICATION_CREDENTIALS; CLOUDSDK_AUTH_ACCESS_TOKEN; gcloud's application default credentials; the instance's
  azblob  key_file; AZURE_STORAGE_KEY; AZURE_STORAGE_SAS_TOKEN; AZURE_STORAGE_CONNECTION_STRING; AZURE_CLIENT_ID with
          AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE; `az login`; the instance's
  sftp    ssh_key, else the agent (SSH_AUTH_SOCK) and the keys that ~/.ssh/config names, or ~/.ssh/id_ed25519, id_ecdsa, id_rsa
          (PGARK_SSH_KEY_PASSPHRASE unlocks); password_file or PGARK_SFTP_PASSWORD. The host may be one of ~/.ssh/config, and must
          stand in known_hosts

Exit codes: 0 fit for any number of writers; 1 unfit, or it could not be tried; 2 wrong usage; 3 fit with limits, which are named.";

pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if key.is_empty() || value.is_empty() {
        return Err("write KEY=VALUE, neither of them empty".into());
    }
    Ok((key.to_string(), value.to_string()))
}

/// Bytes per second: `500k`, `20M`, `1G`; a bare number is bytes.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no rate; write bytes per second: 500k, 20M");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '/');
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    let unit =
        text.get(digits.len()..).unwrap_or_default().trim_end_matches("/s").trim_end_matches(['b', 'B']);
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|rate| *rate > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #[test]
    fn rates_have_units() {
        for (text, rate) in
            [("7", 7), ("500k", 500_000), ("20MB", 20_000_000), ("1MiB/s", 1 << 20), ("2G", 2_000_000_000)]
        {
            assert_eq!(super::rate(text), Ok(rate), "{text}");
        }
        for bad in ["", "0", "fast", "-1", "1.5M", "1 fortnight", "99999999999999999G"] {
            assert!(super::rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_help_lists_every_option() {
        for key in crate::storage::KEYS {
            assert!(super::AFTER_TEST.contains(key.name), "{}", key.name);
        }
    }
}
