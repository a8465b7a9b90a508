//! Storage options: which there are, to which storages each belongs, and what its text means.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pgark_ops::nearest;
use pgark_ops::storage::{StorageUrl, Usage};

use super::surroundings::Surroundings;
use crate::args::Storage as Typed;
use crate::error::Failure;
use crate::tilde;
use crate::values::{duration, rate};

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number from, to.
    Number(i64, i64),
    /// `30s`, `5min`.
    Time,
    /// Bytes per second: `20M`.
    Rate,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// One option: this is its only declaration, for `--storage-option` and for `pgark.toml`.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// What is used without it, as TOML; empty: nothing.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

/// Every option, in the order of the help; also keys of `[repositories.NAME]`.
pub const KEYS: &[Key] = &[
    key(
        "region",
        Kind::Text,
        "\"us-east-1\"",
        "S3: the bucket's region (default: AWS_REGION, the profile's)",
    ),
    key(
        "endpoint",
        Kind::Text,
        "",
        "S3, gs, azblob: URL of a server other than Amazon's, Google's or Microsoft's",
    ),
    key(
        "path_style",
        Kind::Flag,
        "true",
        "S3: the bucket is in the path, not in the host name (default: true with an endpoint)",
    ),
    key("profile", Kind::Text, "", "S3: profile of ~/.aws/credentials and ~/.aws/config"),
    key("role_arn", Kind::Text, "", "S3: role to assume with these credentials"),
    key("external_id", Kind::Text, "", "S3: external ID required by the role"),
    key("sts_endpoint", Kind::Text, "", "S3: URL of the token service (STS) for roles"),
    key("storage_class", Kind::Text, "", "S3, gs, azblob: storage class or access tier of new objects"),
    key(
        "sse",
        Kind::OneOf(&["AES256", "aws:kms"]),
        "",
        "S3: encryption by the storage, in addition to pgark's own",
    ),
    key("sse_kms_key", Kind::Text, "", "S3: key of the key management service, with sse aws:kms"),
    key(
        "object_lock",
        Kind::OneOf(&["governance", "compliance"]),
        "",
        "S3: lock new objects, and the older ones that backups depend on",
    ),
    key(
        "lock_for",
        Kind::Time,
        "",
        "S3: how long objects stay locked, counted from the newest backup that needs them",
    ),
    key("account", Kind::Text, "", "azblob: the storage account (default: AZURE_STORAGE_ACCOUNT)"),
    key("key_file", Kind::Text, "", "gs: a service account's key; azblob: file with the account's key"),
    key(
        "ssh_key",
        Kind::Text,
        "",
        "sftp: private key file (default: the agent's, ~/.ssh/id_ed25519, id_ecdsa, id_rsa)",
    ),
    key("ssh_key_passphrase_file", Kind::Text, "", "sftp: file whose first line unlocks the key"),
    key("password_file", Kind::Text, "", "sftp: file whose first line is the password"),
    key(
        "known_hosts",
        Kind::Text,
        "",
        "sftp: file with the host's key (default: ~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts)",
    ),
    key("ca_file", Kind::Text, "", "S3, gs, azblob: PEM certificates to trust in addition to the system's"),
    key("connections", Kind::Number(1, 64), "8", "Parallel requests"),
    key("timeout", Kind::Time, "\"60s\"", "A request that transfers no byte for this long has failed"),
    key("retry_for", Kind::Time, "\"3min\"", "How long temporary failures are retried"),
    key("limit_upload", Kind::Rate, "", "Bytes per second: 500k, 20M"),
    key("limit_download", Kind::Rate, "", "Bytes per second: 500k, 20M"),
];

/// Options that only some storages have.
const OF_SCHEMES: &[(&[&str], &[&str])] = &[
    (
        &["s3"],
        &[
            "region",
            "path_style",
            "profile",
            "role_arn",
            "external_id",
            "sts_endpoint",
            "sse",
            "sse_kms_key",
            "object_lock",
            "lock_for",
        ],
    ),
    (&["s3", "gs", "azblob"], &["endpoint", "storage_class", "ca_file"]),
    (&["azblob"], &["account"]),
    (&["gs", "azblob"], &["key_file"]),
    (&["sftp"], &["ssh_key", "ssh_key_passphrase_file", "password_file", "known_hosts"]),
    (&["s3", "gs", "azblob", "sftp"], &["timeout"]),
];

/// The options of one storage.
pub struct Options {
    scheme: &'static str,
    values: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
}

/// An error about an option.
pub(super) fn wrong(key: &str, what: impl std::fmt::Display) -> Failure {
    Failure::usage(
        format!("storage option {key}: {what}"),
        "`pgark storage test --help` lists the options of each storage",
    )
}

impl Options {
    /// Those that were given, of two of one name the later; each must belong to this storage.
    pub fn of(url: &StorageUrl, typed: &Typed) -> Result<Options, Failure> {
        let mut values: BTreeMap<String, String> = typed.storage_option.iter().cloned().collect();
        for (key, rate) in [("limit_upload", typed.limit_upload), ("limit_download", typed.limit_download)] {
            if let Some(rate) = rate {
                values.insert(key.into(), rate.to_string());
            }
        }
        for (key, value) in &values {
            tilde::refuse(&format!("storage option {key}"), value.as_ref())?;
            if !KEYS.iter().any(|known| known.name == key) {
                let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
                let known = format!("there are {}", names.join(", "));
                return Err(wrong(
                    key,
                    match nearest(key, names) {
                        Some(near) => format!("there is none of that name; did you mean {near}? ({known})"),
                        None => format!("there is none of that name; {known}"),
                    },
                ));
            }
            let schemes =
                OF_SCHEMES.iter().find(|(_, keys)| keys.contains(&key.as_str())).map(|(schemes, _)| schemes);
            if schemes.is_some_and(|schemes| !schemes.contains(&url.scheme())) {
                return Err(wrong(key, format!("{url} has no such option")));
            }
        }
        Ok(Options { scheme: url.scheme(), values, asked: RefCell::default() })
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.asked.borrow_mut().insert(key.to_string());
        self.values.get(key).cloned()
    }

    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.text(key).as_deref() {
            None => Ok(None),
            Some("true" | "yes" | "1") => Ok(Some(true)),
            Some("false" | "no" | "0") => Ok(Some(false)),
            Some(other) => Err(wrong(key, format!("{other:?} is neither true nor false"))),
        }
    }

    pub fn time(&self, key: &str) -> Result<Option<Duration>, Failure> {
        self.text(key).map(|text| duration(&text).map_err(|what| wrong(key, what))).transpose()
    }

    /// How it is used, whatever it is.
    pub fn usage(&self, as_of: Option<SystemTime>, around: &Surroundings) -> Result<Usage, Failure> {
        let usual = Usage::default();
        let connections = match self.text("connections") {
            None => usual.connections,
            Some(text) => match text.parse() {
                Ok(number @ 1..=64) => number,
                _ => return Err(wrong("connections", format!("{text:?} is not a number from 1 to 64"))),
            },
        };
        let limit =
            |key: &str| self.text(key).map(|text| rate(&text).map_err(|what| wrong(key, what))).transpose();
        let mut authorities = Vec::new();
        let from_world = around.variable("AWS_CA_BUNDLE").filter(|_| self.scheme == "s3").map(PathBuf::from);
        if let Some(path) = self.path("ca_file").or(from_world) {
            let pem = std::fs::read(&path)
                .map_err(|error| wrong("ca_file", format!("read {}: {error}", path.display())))?;
            authorities.push(pem);
        }
        Ok(Usage {
            connections,
            stall: self.time("timeout")?.unwrap_or(usual.stall).max(Duration::from_secs(1)),
            retry_for: self.time("retry_for")?.unwrap_or(usual.retry_for),
            limit_upload: limit("limit_upload")?,
            limit_download: limit("limit_download")?,
            authorities,
            as_of,
        })
    }

    /// Nothing that was given may go unheard.
    pub fn all_used(&self) -> Result<(), Failure> {
        let asked = self.asked.borrow();
        match self.values.keys().find(|key| !asked.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(wrong(key, "it has no effect with the other options given")),
        }
    }
}
