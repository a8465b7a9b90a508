//! What stands beside each entry of a backup.

use pgark_repo::{Backup, BackupWriter, Class, Entry};
use serde::{Deserialize, Serialize};

use crate::OpsError;
use crate::logical::rowmap::MapNote;

/// What an entry is, as far as restore and export care; kept in the entry's notes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Note {
    /// COPY text of one table.
    Table {
        database: String,
        schema: String,
        name: String,
        dump_id: i32,
        rows: u64,
        /// What row maps did; none if no part is under one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maps: Option<MapNote>,
    },
    /// Frames of large objects (`pgark_bytes::large_objects`).
    LargeObjects { database: String, objects: u64 },
    /// The archive's table of contents.
    Toc { database: String },
    /// The SQL that makes the database itself: creation, owner, settings, privileges.
    Definition { database: String },
    /// Roles, memberships, tablespaces and their settings, as SQL.
    Globals,
    /// The manifest of the cluster.
    Manifest,
    /// The server's settings.
    Settings,
    /// A file of the server's configuration, by its path there.
    ServerFile { path: String },
    /// Of a newer version of this program; it stands beside the entry as it is.
    #[serde(other, skip_serializing)]
    OfNewer,
}

/// Writes a small content as one entry.
pub(crate) fn write_whole(
    writer: &BackupWriter<'_>,
    path: String,
    class: Class,
    content: &[u8],
    note: &Note,
) -> Result<(), OpsError> {
    let mut entry = writer.entry(path, class);
    entry.write(content)?;
    Ok(entry.finish(note.to_bytes())?)
}

impl Note {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain strings and numbers to memory cannot fail; an empty note would be
        // refused on reading.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The note beside an entry; none if it is of a known kind and cannot be understood.
    pub(crate) fn read(entry: &Entry) -> Option<Note> {
        serde_json::from_slice(&entry.about).ok()
    }

    pub(crate) fn of(backup: &Backup, entry: &Entry) -> Result<Note, OpsError> {
        Self::read(entry).ok_or_else(|| OpsError::Record {
            backup: backup.head.id.to_string(),
            what: format!("the note beside {}", entry.path),
        })
    }

    /// What the note of an entry calls it, whether this version knows that or not.
    pub(crate) fn kind_of(entry: &Entry) -> String {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let kind: Option<Kind> = serde_json::from_slice(&entry.about).ok();
        kind.map_or_else(|| "unknown".to_string(), |note| note.kind.replace('_', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(note: &str) -> Entry {
        Entry {
            path: "/db/d/x".into(),
            class: Class::Data,
            parts: Vec::new(),
            bytes_raw: 0,
            bytes_added: 0,
            about: note.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_note_of_a_newer_version_is_no_failure() {
        let newer = entry(r#"{"kind":"wal_segment","timeline":3}"#);
        assert!(matches!(Note::read(&newer), Some(Note::OfNewer)));
        assert_eq!(Note::kind_of(&newer), "wal segment");
        // More in a note that is known says nothing against it; less does.
        let more = entry(r#"{"kind":"toc","database":"d","lines":3}"#);
        assert!(matches!(Note::read(&more), Some(Note::Toc { database }) if database == "d"));
        let ours = entry(&String::from_utf8(Note::Globals.to_bytes()).unwrap());
        assert_eq!((Note::kind_of(&ours).as_str(), Note::kind_of(&more).as_str()), ("globals", "toc"));
        assert!(Note::read(&entry(r#"{"kind":"table","database":"d"}"#)).is_none());
        assert!(Note::read(&entry("")).is_none() && Note::read(&entry("{}")).is_none());
    }
}
