//! What kind of backup it is, and its status.

use std::fmt;

use pgark_repo::BackupHead;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of backup it is: `logical` (databases, read from a live server), `masked logical` (the
/// same, with the personal data replaced by rules), `imported` (a dump that another program made),
/// `physical` (the data directory of a live server, with the WAL to make it consistent), or a kind
/// that only a newer version of pgark knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum BackupKind {
    /// Databases as SQL shows them, read from a live server.
    Logical,
    /// The same with fictions in place of what rules mask: never a copy to fall back on.
    Masked,
    /// Databases of a dump that another program made: its content may be much older than the
    /// backup.
    Imported,
    /// The data directory of a live server, and the WAL that makes it consistent.
    Physical,
    /// Of a newer version of this program.
    Unknown(String),
}

impl BackupKind {
    pub(crate) fn of(head: &BackupHead) -> BackupKind {
        BackupKind::from(head.kind.clone())
    }

    /// Whether restores, exports and comparisons of databases can read it.
    pub(crate) fn is_logical(&self) -> bool {
        matches!(self, BackupKind::Logical | BackupKind::Masked | BackupKind::Imported)
    }

    /// Whether this version knows what such a backup holds.
    pub fn is_known(&self) -> bool {
        !matches!(self, BackupKind::Unknown(_))
    }

    fn name(&self) -> &str {
        match self {
            BackupKind::Logical => "logical",
            BackupKind::Masked => "masked logical",
            BackupKind::Imported => "imported",
            BackupKind::Physical => "physical",
            BackupKind::Unknown(name) => name,
        }
    }
}

impl From<String> for BackupKind {
    fn from(name: String) -> BackupKind {
        match name.as_str() {
            "logical" => BackupKind::Logical,
            "masked logical" => BackupKind::Masked,
            "imported" => BackupKind::Imported,
            "physical" => BackupKind::Physical,
            _ => BackupKind::Unknown(name),
        }
    }
}

impl From<BackupKind> for String {
    fn from(kind: BackupKind) -> String {
        kind.name().to_string()
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a backup contains everything that was asked for: `complete`, `incomplete` (the backup
/// says what is missing), `damaged` (data in the repository is damaged), or a word that only a
/// newer version of pgark knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum BackupStatus {
    /// All of it.
    Complete,
    /// Something was left out, and the backup says what.
    Incomplete,
    /// Something of it is damaged in the repository.
    Damaged,
    /// Of a newer version of this program.
    Unknown(String),
}

impl BackupStatus {
    /// As it was made.
    pub(crate) fn of(head: &BackupHead) -> BackupStatus {
        if head.complete { BackupStatus::Complete } else { BackupStatus::Incomplete }
    }

    fn name(&self) -> &str {
        match self {
            BackupStatus::Complete => "complete",
            BackupStatus::Incomplete => "incomplete",
            BackupStatus::Damaged => "damaged",
            BackupStatus::Unknown(name) => name,
        }
    }
}

impl From<String> for BackupStatus {
    fn from(name: String) -> BackupStatus {
        use BackupStatus::{Complete, Damaged, Incomplete};
        let known = [Complete, Incomplete, Damaged];
        known.into_iter().find(|status| status.name() == name).unwrap_or(BackupStatus::Unknown(name))
    }
}

impl From<BackupStatus> for String {
    fn from(status: BackupStatus) -> String {
        status.name().to_string()
    }
}

impl fmt::Display for BackupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_newer_version_is_kept() {
        for name in ["logical", "masked logical", "imported", "physical", "masked physical", ""] {
            let text = serde_json::to_string(name).unwrap();
            let kind: BackupKind = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&kind).unwrap(), text);
            let is_known = kind.is_logical() || kind == BackupKind::Physical;
            assert_eq!((kind.is_known(), kind.to_string().as_str()), (is_known, name));
        }
    }

    #[test]
    fn a_status_of_a_newer_version_is_kept() {
        for name in ["complete", "incomplete", "damaged", "expired", ""] {
            let text = serde_json::to_string(name).unwrap();
            let status: BackupStatus = serde_json::from_str(&text).unwrap();
            assert_eq!((serde_json::to_string(&status).unwrap(), status.to_string().as_str()), (text, name));
            let is_known = !matches!(status, BackupStatus::Unknown(_));
            assert_eq!(is_known, ["complete", "incomplete", "damaged"].contains(&name));
        }
    }
}
