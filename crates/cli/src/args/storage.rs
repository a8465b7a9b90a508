//! Arguments of `pgark storage`.

use clap::{Args as ClapArgs, Subcommand};

use super::repository::Storage;

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
    /// Test what a storage can do, and how fast it is
    Test(StorageTest),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_TEST)]
pub struct StorageTest {
    /// The storage: a directory, a URL, or the name of a repository in pgark.toml (default:
    /// PGARK_REPO)
    #[arg(value_name = "URL", env = "PGARK_REPO")]
    pub url: String,
    /// Do not measure throughput, which moves 128 MiB in each direction
    #[arg(long)]
    pub quick: bool,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub storage: Storage,
}

/// The one place that lists options and sources of credentials.
const AFTER_TEST: &str = "Examples:
  pgark storage test s3://backups/main --storage-option region=eu-west-1
  pgark storage test s3://backups/main --storage-option endpoint=https://minio.example.com
  pgark storage test gs://backups/main --storage-option key_file=/etc/pgark/gcs.json
  pgark storage test azblob://backups/main --storage-option account=acme
  pgark storage test sftp://backup@host/srv/pgark --storage-option ssh_key=/etc/pgark/id_ed25519

Everything happens in the folder probe/ of the storage, which is empty again at the end. An existing repository is not changed; a
missing folder (not a bucket) is created.

Storage options (also keys of [repositories.NAME] in pgark.toml):
  S3             region, endpoint, path_style, profile, role_arn, external_id, sts_endpoint, sse, sse_kms_key, object_lock, lock_for
  gs             key_file
  azblob         account, key_file
  sftp           ssh_key, ssh_key_passphrase_file, password_file, known_hosts
  S3, gs, azblob endpoint, storage_class, ca_file
  all            connections, timeout, retry_for, limit_upload, limit_download

Credentials never go in URLs or options. The first of these that exists is used:
  S3      profile of the option; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; AWS_WEB_IDENTITY_TOKEN_FILE with
          AWS_ROLE_ARN; AWS_PROFILE or `default` in ~/.aws/credentials and ~/.aws/config; the container's; the instance's
  gs      key_file or GOOGLE_APPLICATION_CREDENTIALS; CLOUDSDK_AUTH_ACCESS_TOKEN; gcloud's application default credentials; the instance's
  azblob  key_file; AZURE_STORAGE_KEY; AZURE_STORAGE_SAS_TOKEN; AZURE_STORAGE_CONNECTION_STRING; AZURE_CLIENT_ID with
          AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE; `az login`; the instance's
  sftp    ssh_key, else the agent (SSH_AUTH_SOCK) and the keys that ~/.ssh/config names, or ~/.ssh/id_ed25519, id_ecdsa, id_rsa
          (PGARK_SSH_KEY_PASSPHRASE unlocks); password_file or PGARK_SFTP_PASSWORD. The host can be defined in ~/.ssh/config, and must
          be in known_hosts

Exit codes: 0 suitable for any number of writers; 1 unsuitable, or the test failed; 2 wrong usage; 3 suitable with limits, which are named.";

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_lists_every_option() {
        for key in crate::storage::KEYS {
            assert!(super::AFTER_TEST.contains(key.name), "{}", key.name);
        }
    }
}
