//! Storages on the servers of the test kit.

use std::path::PathBuf;
use std::time::Duration;

use pgark_store::{
    AzureConfig, AzureCredentials, Bucket, Cancel, GcsConfig, GcsCredentials, S3Config, S3Credentials,
    SftpConfig, SftpPlace, Storage, StoreError, Target, Usage, open,
};
use pgark_testkit::storage::{Azurite, GcsStandIn, Rclone, Sshd};
use secrecy::SecretString;

pub fn bucket(name: &str, prefix: &str) -> Bucket {
    Bucket { name: name.into(), prefix: prefix.into() }
}

pub fn keys(id: &str, secret: &str) -> S3Credentials {
    S3Credentials::Keys { id: id.into(), secret: SecretString::from(secret), token: None }
}

pub fn s3(endpoint: String, name: &str, prefix: &str, credentials: S3Credentials) -> S3Config {
    S3Config { endpoint: Some(endpoint), ..S3Config::new(bucket(name, prefix), credentials) }
}

pub fn gcs(server: &GcsStandIn, name: &str, prefix: &str) -> Target {
    Target::Gcs(GcsConfig {
        bucket: bucket(name, prefix),
        endpoint: Some(server.endpoint()),
        credentials: GcsCredentials::Token(SecretString::from("a token")),
        storage_class: None,
    })
}

pub fn azure(server: &Azurite, container: &str, prefix: &str, key: &str) -> Target {
    Target::Azure(AzureConfig {
        container: bucket(container, prefix),
        account: Azurite::ACCOUNT.into(),
        endpoint: Some(server.endpoint()),
        credentials: AzureCredentials::Key(SecretString::from(key)),
        storage_class: None,
    })
}

/// Its key and nothing else; through this port.
pub fn sftp(server: &Sshd, port: u16, folder: &str) -> SftpConfig {
    let path = format!("{}/{folder}", server.data().display());
    let keys = vec![server.key()];
    SftpConfig { keys, ..sftp_at(port, path, server.user(), server.known_hosts(port)) }
}

/// With its user's password.
pub fn rclone(server: &Rclone, folder: &str) -> SftpConfig {
    let password = Some(SecretString::from(Rclone::PASSWORD));
    let config = sftp_at(server.port(), format!("/{folder}"), "me", server.known_hosts());
    SftpConfig { password, ..config }
}

fn sftp_at(port: u16, path: String, user: &str, known_hosts: PathBuf) -> SftpConfig {
    SftpConfig {
        place: SftpPlace { user: None, host: "127.0.0.1".into(), port: Some(port), path },
        host: "127.0.0.1".into(),
        port,
        proxy: None,
        user: user.into(),
        known_hosts: vec![known_hosts],
        known_as: None,
        agent: None,
        keys: Vec::new(),
        certificates: Vec::new(),
        only_these_keys: false,
        key_passphrase: None,
        password: None,
    }
}

/// Impatient: what fails shall fail soon.
pub fn usage() -> Usage {
    Usage { stall: Duration::from_secs(20), retry_for: Duration::from_secs(20), ..Usage::default() }
}

pub fn try_open(target: Target) -> Result<Storage, StoreError> {
    open(target, usage(), true, Cancel::new())
}

pub fn opened(target: Target) -> Storage {
    try_open(target).unwrap()
}
