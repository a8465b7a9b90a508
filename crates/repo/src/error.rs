//! What can go wrong in a repository.

use pgark_store::{Cancelled, StoreError};

use crate::BackupId;

/// Why the repository refused or failed. Messages are verb phrases or statements; the cause is in
/// `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The storage holds no repository.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// The storage.
        location: String,
    },
    /// The storage holds one already.
    #[error("a repository already exists at {location}")]
    AlreadyARepository {
        /// The storage.
        location: String,
    },
    /// The repository needs a newer program.
    #[error("the repository has a newer format than this program knows: {what}")]
    NewerFormat {
        /// The version or feature that is not known.
        what: String,
    },
    /// The repository was made by an earlier program, before its format was settled.
    #[error("the repository has an earlier edition of the format, which this program cannot read")]
    OlderFormat,
    /// No key slot opens with the given secret, or the key is of another repository.
    #[error("the given secret does not open this repository")]
    WrongKey,
    /// The repository is encrypted and no secret was given.
    #[error("the repository is encrypted and no secret was given")]
    NeedsKey,
    /// The writer secret opens no data.
    #[error("the writer key cannot read data")]
    NeedsReaderSecret,
    /// Keys and writers are the owner's to change, and a writer key is at hand.
    #[error("keys and writers are changed with the owner's secret, and a writer key was used")]
    NeedsOwner,
    /// No writer has this name.
    #[error("no writer is called {which:?}")]
    UnknownWriter {
        /// The name.
        which: String,
        /// The names of the writers.
        known: Vec<String>,
    },
    /// No slot has this id, or is for this recipient.
    #[error("no key slot is called {which:?}")]
    UnknownSlot {
        /// What was given.
        which: String,
        /// Ids and recipients of the slots.
        known: Vec<String>,
    },
    /// The keys were rotated since this key was made.
    #[error("the repository's keys were rotated: epoch {epoch} is newer than this key")]
    KeyOfOlderEpoch {
        /// The epoch that is needed.
        epoch: u32,
    },
    /// The key is for some clusters, and this is of another.
    #[error("this key is only for {own}: it opens nothing of {other}")]
    OtherCluster {
        /// The clusters of the key.
        own: String,
        /// The other.
        other: String,
    },
    /// The newest list of writers that can be read is older than one that is known to have been
    /// there.
    #[error(
        "list of writers {known} is missing or damaged in both copies: the newest that can be read is {found}"
    )]
    ListOfWritersLost {
        /// The number of the newest that is known.
        known: u64,
        /// The newest that can be read.
        found: u64,
    },
    /// There are folders that a later version may have made.
    #[error("{location} has folders that this version does not know: {folders}")]
    UnknownFolders {
        /// The storage.
        location: String,
        /// Their names, separated by commas.
        folders: String,
    },
    /// A change of keys that cannot be made.
    #[error("{what}")]
    Keys {
        /// What is in the way.
        what: String,
    },
    /// The clear header is not the one that this host remembers.
    #[error(
        "the repository at {location} is not the one that this host knows: its fingerprint is {found}, but was {known}"
    )]
    FingerprintChanged {
        /// The storage.
        location: String,
        /// What this host remembers.
        known: String,
        /// What the storage shows.
        found: String,
    },
    /// The clear header is not the one that someone said it would be.
    #[error("the repository at {location} has the fingerprint {found}, not {given}")]
    OtherFingerprint {
        /// The storage.
        location: String,
        /// What was said.
        given: String,
        /// What the storage shows.
        found: String,
    },
    /// This host has no folder to remember anything in.
    #[error("this host has no folder to remember a repository in")]
    NoMemory,
    /// A secret was given for a repository that calls itself unencrypted.
    #[error("a secret was given, but the repository says it is unencrypted")]
    SecretForPlainRepository,
    /// The passphrase is too easy to guess.
    #[error("the passphrase is too weak: {why}")]
    WeakPassphrase {
        /// Why.
        why: &'static str,
    },
    /// Not a usable secret at all.
    #[error("the {what} cannot be read: {why}")]
    BadSecret {
        /// Which kind of secret.
        what: &'static str,
        /// What is wrong, without the secret.
        why: String,
    },
    /// A plugin of age failed, or is not on this host.
    #[error("the {what} cannot be read: {why}")]
    Plugin {
        /// For which kind of secret it was asked.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// An object's bytes are not what was put.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// The stored object.
        object: String,
        /// What is wrong.
        what: String,
    },
    /// An object that must be there is not.
    #[error("{object} is missing")]
    Missing {
        /// The stored object, or the chunk.
        object: String,
    },
    /// No such backup.
    #[error("this repository has no backup {id}")]
    UnknownBackup {
        /// The id.
        id: BackupId,
    },
    /// What is to be written breaks a limit of the format.
    #[error("{what} exceeds the limits of the format")]
    TooLarge {
        /// What is too large.
        what: String,
    },
    /// The local cache or memory of this host failed.
    #[error("{doing} {path}")]
    Local {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A cryptographic operation failed for no reason of the data (no randomness, for one).
    #[error("{0} failed")]
    Crypto(&'static str),
    /// The storage failed.
    #[error(transparent)]
    Store(StoreError),
    /// The storage does not honour put-if-absent, so that one writer at a time is safe; and another
    /// is at work.
    #[error("backup {id} is being written to {location}, which is safe for only one writer at a time")]
    AnotherWriter {
        /// The storage.
        location: String,
        /// The cluster that was to be written.
        cluster: String,
        /// The other's id.
        id: String,
        /// When it will be taken for dead if nothing more is heard of it.
        until: jiff::Timestamp,
    },
    /// Another backup of the cluster is being written, and both are to be the only one.
    #[error("backup {id} of cluster {cluster} is being made {}, since {since:.0}", on(.host))]
    AnotherBackup {
        /// The cluster.
        cluster: String,
        /// The other's id.
        id: String,
        /// The other's host; empty where it does not say it.
        host: String,
        /// When it began, by the storage's clock.
        since: jiff::Timestamp,
    },
    /// Nobody has such a session.
    #[error("no session of backup {id} is in the repository")]
    UnknownSession {
        /// The backup's id.
        id: BackupId,
    },
    /// A session whose writer seems to be at work.
    #[error("backup {id} is at work: its session was renewed at {heard:.0}")]
    SessionAtWork {
        /// The backup's id.
        id: BackupId,
        /// When it was last heard of, by the storage's clock.
        heard: jiff::Timestamp,
    },
    /// A prune deleted a pack that the backup depends on, or is about to; nothing was committed.
    #[error("a prune removed {pack}, which this backup depends on: the backup was not committed")]
    PrunedAway {
        /// The pack.
        pack: String,
    },
    /// A file of WAL is there with another content: two servers archive under one name.
    #[error(
        "{file} of cluster {cluster} is in the repository with another content, archived {} at {time:.0}",
        on(.host)
    )]
    OtherWal {
        /// The file.
        file: String,
        /// The cluster.
        cluster: String,
        /// Where the other one was archived; empty where it is not known.
        host: String,
        /// When, by that host's clock.
        time: jiff::Timestamp,
    },
    /// The cluster has the WAL of another system.
    #[error("cluster {cluster} has the WAL of the system {known}, and this is of {found}")]
    OtherSystem {
        /// The cluster.
        cluster: String,
        /// The system identifier that it has.
        known: u64,
        /// The other one.
        found: u64,
    },
    /// Stopped from outside.
    #[error("cancelled")]
    Cancelled,
    /// The manifest's put was not answered (the network broke, the job was stopped), nor the
    /// question whether it is there: the storage may have taken it.
    #[error("it is not known whether backup {id} was committed")]
    CommitUnsure {
        /// The backup's id.
        id: String,
        /// How the put ended.
        source: Box<RepoError>,
    },
}

/// Where a backup is made, if that is known.
fn on(host: &str) -> String {
    if host.is_empty() { "on another host".into() } else { format!("on host {host}") }
}

impl From<Cancelled> for RepoError {
    fn from(_: Cancelled) -> RepoError {
        RepoError::Cancelled
    }
}

impl From<StoreError> for RepoError {
    fn from(error: StoreError) -> RepoError {
        match error {
            StoreError::Cancelled => RepoError::Cancelled,
            error => RepoError::Store(error),
        }
    }
}

impl RepoError {
    /// Where another writer is in the way, and it helps to wait until it has ended: the cluster
    /// that was to be written.
    pub fn waits_for_another(&self) -> Option<&str> {
        match self {
            RepoError::AnotherBackup { cluster, .. } | RepoError::AnotherWriter { cluster, .. } => {
                Some(cluster)
            }
            _ => None,
        }
    }

    /// Whether a secret that was given cannot be right for any repository.
    pub fn is_usage(&self) -> bool {
        matches!(self, RepoError::BadSecret { .. } | RepoError::WeakPassphrase { .. })
    }

    /// Whether the job was stopped from outside.
    pub fn is_cancelled(&self) -> bool {
        match self {
            RepoError::Cancelled => true,
            RepoError::CommitUnsure { source, .. } => source.is_cancelled(),
            _ => false,
        }
    }

    /// It is about one object, which is damaged, missing, or looks like one of a newer program:
    /// nothing is wrong with the storage, and other objects can be read.
    pub fn is_of_object(&self) -> bool {
        matches!(
            self,
            RepoError::Damaged { .. }
                | RepoError::Missing { .. }
                | RepoError::NewerFormat { .. }
                | RepoError::KeyOfOlderEpoch { .. }
        )
    }

    /// What a person can do about it, where that is known and is no option or command of a program.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            RepoError::NewerFormat { .. } => "use a newer pgark",
            RepoError::UnknownFolders { .. } => {
                "a newer pgark may keep data there that needs packs: prune with that version. If they belong to something else, move them out of the repository. Nothing was changed"
            }
            RepoError::OlderFormat => {
                "read it with the version that created it, and create a new repository for new backups"
            }
            RepoError::ListOfWritersLost { .. } => {
                "it is not certain who is allowed to write, so nothing is written or pruned. Restore the list from another copy of the repository, or let the owner make a new one by any change of keys"
            }
            RepoError::FingerprintChanged { .. } => {
                "someone put another repository there; if it was you, let this host trust the new one"
            }
            RepoError::OtherFingerprint { .. } => {
                "the remembered fingerprint was not changed; ask whoever created the repository for its fingerprint"
            }
            RepoError::OtherWal { .. } => {
                "what is in the repository was not changed. Two servers archive as one: is this a clone, a restored copy, or a primary that was replaced? Switch archiving off on the one that is not production, or give it another cluster name"
            }
            RepoError::NoMemory => "set a home folder or a state folder",
            RepoError::SecretForPlainRepository => {
                "if it should be encrypted, do not use it: someone may have replaced it; otherwise omit the secret"
            }
            RepoError::WeakPassphrase { .. } => "use at least 12 characters, or better five random words",
            RepoError::PrunedAway { .. } => {
                "run it again. A prune does this only if the backup gave no sign of life for an hour: was it suspended, or was the network down?"
            }
            RepoError::Store(StoreError::PermissionDenied { .. }) => {
                "check the owner and mode of the repository's files"
            }
            RepoError::Store(StoreError::NoSpace { .. }) => {
                "free space on the storage; no backup was committed"
            }
            RepoError::AnotherWriter { until, .. } => {
                return Some(format!(
                    "wait for it; if its host crashed, it is considered dead after {until:.0}. The storage ignores put-if-absent; one that supports it allows any number of writers"
                ));
            }
            RepoError::Store(error) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_string())
    }
}
