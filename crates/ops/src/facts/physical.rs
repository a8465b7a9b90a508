//! What a physical backup says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the files of a physical backup came from: `files` (the data directory, read by pgark
/// itself), `wire` (the server, over the replication protocol), or a word that only a newer version
/// of pgark knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum PhysicalSource {
    /// The data directory.
    #[default]
    Files,
    /// The server, over the replication protocol.
    Wire,
    /// Of a newer version of this program.
    Unknown(String),
}

impl From<String> for PhysicalSource {
    fn from(name: String) -> PhysicalSource {
        match name.as_str() {
            "files" => PhysicalSource::Files,
            "wire" => PhysicalSource::Wire,
            _ => PhysicalSource::Unknown(name),
        }
    }
}

impl From<PhysicalSource> for String {
    fn from(source: PhysicalSource) -> String {
        match source {
            PhysicalSource::Files => "files".to_string(),
            PhysicalSource::Wire => "wire".to_string(),
            PhysicalSource::Unknown(name) => name,
        }
    }
}

/// What a physical backup took of a cluster, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Physical {
    /// Where the files came from.
    pub source: PhysicalSource,
    /// Why from there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_reason: String,
    /// Timeline of the server.
    pub timeline: u32,
    /// WAL position where the backup starts: recovery begins here. Such as `16/B374D848`.
    pub start_lsn: String,
    /// WAL position where the backup ends: recovery is consistent from here on.
    pub stop_lsn: String,
    /// WAL position of the checkpoint that the backup starts with.
    pub checkpoint_lsn: String,
    /// When the server started the backup: RFC 3339, UTC.
    pub start_time: String,
    /// When the server ended it: RFC 3339, UTC.
    pub stop_time: String,
    /// Whether the server was a standby.
    pub from_standby: bool,
    /// Whether the cluster has data checksums.
    pub checksums_on: bool,
    /// Size of a page in bytes.
    pub page_size: u32,
    /// Size of a WAL segment in bytes.
    pub wal_segment_size: u32,
    /// Pages of all files.
    pub pages: PageCounts,
    /// Number of files.
    pub files: u64,
    /// Number of folders.
    pub folders: u64,
    /// Pages that are damaged on the server, by file. They are in the backup as they are.
    pub checksum_failures: Vec<ChecksumFailure>,
    /// The WAL in the backup.
    pub wal: WalTaken,
    /// Tablespaces, other than `pg_default` and `pg_global`.
    pub tablespaces: Vec<BackedUpTablespace>,
    /// Bytes that a restore has to read of page files, divided by the bytes of their pages that are
    /// not zeros.
    pub read_amplification: f64,
    /// Folders that were stored whole though the backup is not the first, and why.
    pub whole: Vec<StoredWhole>,
}

/// Numbers of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PageCounts {
    /// All.
    pub total: u64,
    /// Pages of zeros.
    pub zero: u64,
    /// Pages that changed since the previous backup, or did not exist then.
    pub new: u64,
    /// Unchanged pages that were stored again, so that a restore reads less that it does not need.
    pub rewritten: u64,
    /// Pages that are damaged on the server.
    pub failed: u64,
}

/// Damaged pages of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChecksumFailure {
    /// Path of the file in the data directory.
    pub path: String,
    /// Numbers of the first damaged blocks in this file.
    pub blocks: Vec<u32>,
    /// Number of all damaged blocks.
    pub count: u64,
    /// What is wrong with the first one, as a sentence.
    pub reason: String,
}

/// WAL in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WalTaken {
    /// Number of segments.
    pub segments: u64,
    /// Their size in bytes.
    pub bytes_raw: u64,
}

/// A tablespace of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BackedUpTablespace {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Its directory on the server. Absent: it is inside of the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// Something that was stored whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoredWhole {
    /// Path of the folder in the data directory.
    pub path: String,
    /// Why, as a sentence.
    pub reason: String,
}
