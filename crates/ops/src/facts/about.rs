//! The maker's facts of FORMAT.md: what a backup says of itself.

use std::collections::BTreeMap;

use pgark_repo::BackupHead;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filters::{Filters, Selection};
use super::kinds::BackupKind;
use super::masked::Masked;
use super::missing::Missing;
use super::physical::Physical;
use super::server::Server;
use crate::OpsError;

/// The part of the record that the manifest carries (the repository knows id, time, kind and bytes
/// added): the maker's facts of FORMAT.md, as JSON. What a backup's kind does not have is left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    pub databases: Vec<String>,
    pub bytes_raw: u64,
    pub seconds: f64,
    pub warnings: Vec<String>,
    /// What is missing from an incomplete backup.
    pub missing: Vec<Missing>,
    /// Of which backup of another repository this is a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// What it was masked with; nothing in plain backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<Masked>,
    /// What a physical backup took; nothing in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical: Option<Physical>,
    /// By name: when and how each database was read.
    pub reads: BTreeMap<String, DatabaseRead>,
    /// Which databases were asked for; nothing where the connection named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Which server of the cluster was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Major version and full number of the source server.
    pub server_version: i32,
    /// The source's system identifier, in decimal.
    pub system_identifier: String,
}

/// The original of a copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// Id of the repository.
    pub repository: String,
    /// Id of the backup.
    pub backup: String,
    /// How long the copy took.
    pub seconds: f64,
}

/// When and how one database was read.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DatabaseRead {
    /// Time of the snapshot that was read: RFC 3339, UTC. Empty if it is not known.
    pub snapshot_time: String,
    /// WAL position of the server at that time, such as `16/B374D848`; on a standby, the replayed
    /// position. Empty if it is not known.
    pub lsn: String,
    /// Seconds from the snapshot to the last row.
    pub seconds: f64,
    /// The filters of the backup for this database. Absent: none.
    #[serde(skip_serializing_if = "Filters::is_default")]
    pub filters: Filters,
}

impl About {
    /// The facts of a backup. Of a kind that this version does not know they may be anything.
    ///
    /// # Errors
    /// Facts of a known kind that cannot be read.
    pub(crate) fn of(head: &BackupHead) -> Result<About, OpsError> {
        match serde_json::from_slice(&head.about) {
            Ok(about) => Ok(about),
            Err(_) if !BackupKind::of(head).is_known() => Ok(About::default()),
            Err(_) => Err(OpsError::Record { backup: head.id.to_string(), what: "the record".into() }),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain strings and numbers to memory cannot fail; nothing would be refused on
        // reading.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// These facts in place of those of `head`, of which what this version does not know stays.
    pub(crate) fn over(&self, head: &BackupHead) -> Vec<u8> {
        let Ok(mut facts) = serde_json::from_slice(&head.about) else { return self.to_bytes() };
        merge(&mut facts, serde_json::to_value(self).unwrap_or_default());
        facts.to_string().into_bytes()
    }

    /// The mask domain of the backup's data; None for plain data.
    ///
    /// # Errors
    /// A domain that cannot be read: to store its data as plain would be wrong.
    pub(crate) fn domain(&self, head: &BackupHead) -> Result<Option<[u8; 16]>, OpsError> {
        let Some(masked) = &self.masked else { return Ok(None) };
        let unreadable = || OpsError::Record { backup: head.id.to_string(), what: "the mask domain".into() };
        masked.domain().map(Some).ok_or_else(unreadable)
    }

    /// Whether it holds something of this database.
    pub(crate) fn holds(&self, database: &str) -> bool {
        match self.reads.is_empty() {
            true => self.databases.iter().any(|name| name == database),
            false => self.reads.contains_key(database),
        }
    }

    /// When the first snapshot of its databases was taken: RFC 3339, UTC.
    pub(crate) fn snapshot_time(&self) -> Option<&str> {
        let times = self.reads.values().map(|read| read.snapshot_time.as_str());
        times.filter(|time| !time.is_empty()).min()
    }

    /// Whether filters left something of any of its databases out.
    pub(crate) fn is_part(&self) -> bool {
        self.reads.values().any(|read| read.filters.is_part())
    }

    /// Whether filters left something of this database out.
    pub(crate) fn is_part_of(&self, database: &str) -> bool {
        self.reads.get(database).is_some_and(|read| read.filters.is_part())
    }

    /// What the backup does not have of one of its databases.
    pub(crate) fn missing_of(&self, database: &str) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(move |missing| missing.is_of(database))
    }
}

/// Puts the members of one JSON object into another, and those of objects within it.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_are_written_again_keep_what_a_newer_version_added() {
        let mut facts = serde_json::json!({
            "databases": ["d"], "warnings": [], "missing": [], "mask": "rules",
            "reads": { "d": { "lsn": "0/1", "seconds": 1.0, "snapshot_time": "", "sampled": true } },
        });
        let mut about: About = serde_json::from_value(facts.clone()).unwrap();
        about.missing.push(Missing::rows("d", "public", "t", "damaged in the repository"));
        merge(&mut facts, serde_json::to_value(&about).unwrap());
        assert_eq!(facts["mask"], "rules");
        assert_eq!(facts["reads"]["d"]["sampled"], true);
        assert_eq!(facts["missing"][0]["name"], "t");
    }
}
