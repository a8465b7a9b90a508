//! Why a storage did not do what it was asked.

use std::io;

/// An operation on a storage failed. `operation` is a verb phrase, `object` a name, a path or a
/// URL; never a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such object, or the storage itself is not there.
    #[error("{operation} {object}: it does not exist")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// The storage does not let us.
    #[error("{operation} {object}: permission denied")]
    PermissionDenied {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// The storage is full.
    #[error("{operation} {object}: no space is left")]
    NoSpace {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// The object ends before the asked range does.
    #[error("read {object}: it ends before byte {end}")]
    TooShort {
        /// On what.
        object: String,
        /// The end of the range, exclusive.
        end: u64,
    },
    /// The object, or an answer, is longer than any object or list can be.
    #[error("{operation} {object}: the object exceeds the {} MiB limit", crate::LARGEST_OBJECT >> 20)]
    TooLarge {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
    },
    /// Not a name of an object; the storage was not asked.
    #[error("{name:?} is not a valid object name")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// A storage behind a network did not do it.
    #[error("{operation} {object}: {answer}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// What it answered, or what the network did.
        answer: String,
        /// What is probably behind it.
        cause: Cause,
        /// Whether the same call may succeed a little later.
        passing: bool,
    },
    /// What was asked for cannot be had of this storage, or of options that are set.
    #[error("{what}")]
    Unsupported {
        /// What, as a sentence.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Stopped from outside.
    #[error("cancelled")]
    Cancelled,
    /// Anything else.
    #[error("{operation} {object}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// What is probably behind a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There are none, or the storage does not know them.
    Credentials,
    /// They are good, and not allowed this.
    Policy,
    /// Our clock differs from the storage's by so many seconds (ours is ahead if positive).
    ClockSkew(i64),
    /// The bucket is in another region, if the storage says so: this one.
    Region(Option<String>),
    /// There is no such bucket or container.
    NoBucket,
    /// The host's key is not the one that is known of it.
    HostKey,
    /// No key of the host is known; this is how one becomes known.
    HostUnknown(String),
    /// The host's key, or the authority that vouches for it, is revoked.
    HostKeyRevoked,
    /// The host's SSH certificate is not good.
    HostCertificate,
    /// It cannot be reached.
    Network,
    /// Nobody answers at that name and port.
    Unreachable,
    /// Its certificate is not trusted.
    Certificate,
    /// The time of its certificate is over.
    CertificateExpired,
    /// The time of its certificate has not come.
    CertificateNotYetValid,
    /// Its certificate is another host's.
    CertificateName,
    /// It answers that it is overloaded or broken.
    Overloaded,
    /// No guess.
    Unknown,
}

impl Cause {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Cause::Credentials => "check the credentials, and where they come from".into(),
            Cause::Policy => "the credentials are valid but not allowed to do this: check the policy of the bucket, container or folder".into(),
            Cause::ClockSkew(seconds) => format!(
                "this host's clock is {} s {} the storage's: correct it",
                seconds.unsigned_abs(),
                if *seconds > 0 { "ahead of" } else { "behind" }
            ),
            Cause::Region(Some(region)) => format!("the bucket is in region {region}: set the storage option region"),
            Cause::Region(None) => "the bucket is in another region: set the storage option region".into(),
            Cause::NoBucket => "the bucket or container does not exist: check its name, account, region and endpoint; pgark does not create buckets".into(),
            Cause::HostKey => "ask whoever runs the host whether its key was changed: if so, compare the fingerprint, remove the line that is named (ssh-keygen -R) and add the new key (ssh-keyscan); if not, another host answers in its place".into(),
            Cause::HostUnknown(way) => format!("compare the fingerprint with the one that the host itself shows (there: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, or the file of its kind of key), then make the host known: {way}"),
            Cause::HostKeyRevoked => "whoever has this key may be someone else: the host needs a new one, and known_hosts its line".into(),
            Cause::HostCertificate => "the host needs a new certificate of its authority, for the name that is connected to (`ssh-keygen -L -f FILE` shows one)".into(),
            Cause::Network => "the storage could not be reached: see host name, port, endpoint, network and firewall".into(),
            Cause::Unreachable => "check the name and the port (URL, endpoint), and that the server runs and a firewall lets this host in".into(),
            Cause::Certificate => "the certificate is not trusted: give the authority's certificate as the storage option ca_file".into(),
            Cause::CertificateExpired => "whoever runs the storage must renew it; if it was renewed, the server must read it again, or this host's clock is wrong".into(),
            Cause::CertificateNotYetValid => "compare the clocks of this host and of the storage; if both are right, the certificate was made for a later time".into(),
            Cause::CertificateName => "use a name that is in the certificate (URL, endpoint), or have one made for this name".into(),
            Cause::Overloaded => "the storage is overloaded or out of order: try later, or with fewer connections".into(),
            Cause::Unknown => return None,
        };
        Some(hint)
    }
}

impl StoreError {
    /// Sorts a system error.
    pub(crate) fn of(operation: &'static str, object: impl Into<String>, source: io::Error) -> StoreError {
        let object = object.into();
        match source.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound { operation, object },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::PermissionDenied { operation, object }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::NoSpace { operation, object }
            }
            _ => StoreError::Io { operation, object, source },
        }
    }

    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
            ),
            StoreError::Failed { passing, .. } => *passing,
            _ => false,
        }
    }

    /// Whether the storage knows us and does not let us.
    pub fn is_denied(&self) -> bool {
        matches!(self, StoreError::PermissionDenied { .. } | StoreError::Failed { cause: Cause::Policy, .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::Failed { cause, .. } => cause.hint(),
            StoreError::Unsupported { hint, .. } => Some(hint.clone()),
            _ => None,
        }
    }
}

/// An error and its causes in one line, none told twice.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        cause = error.source();
    }
    text
}
