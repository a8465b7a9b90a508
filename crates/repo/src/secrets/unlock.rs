//! How a repository is protected, and what opens it.

use age::secrecy::SecretString;

/// How a new repository is protected.
pub enum Protection {
    /// `age` recipients (`age1…`, of plugins, ed25519 keys of SSH): each of their identities opens
    /// it.
    Recipients(Vec<String>),
    /// One passphrase.
    Passphrase(SecretString),
    /// Not at all: anybody who reads the storage reads the backups. Integrity is still checked.
    None,
}

/// What opens a repository.
pub enum Unlock {
    /// The contents of an `age` identity file, or of the private key file of SSH.
    Identity(SecretString),
    /// The passphrase.
    Passphrase(SecretString),
    /// A writer key (one line, `PGARK-WRITER-KEY-1-…`): backs up, cannot read data.
    WriterKey(SecretString),
    /// Nothing: for unencrypted repositories.
    Nothing,
}
