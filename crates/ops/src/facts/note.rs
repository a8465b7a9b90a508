//! The note of each entry of a backup; and apart from that what the backup did for it, which is
//! another thing each night.

use std::collections::BTreeMap;

use pgark_repo::{Addition, Backup, BackupWriter, Class, Entry, Part};
use serde::{Deserialize, Serialize};

use crate::OpsError;
use crate::logical::rowmap::{MapNote, Whole};

/// What an entry is, as far as restore and export care; kept in the entry's notes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Note {
    /// COPY text of one table.
    Table {
        database: String,
        schema: String,
        name: String,
        /// Tells its entry in the table of contents: dump ids shift with every object that is new.
        /// 0 where that is told by the path (a script that was imported has no OIDs).
        #[serde(default, skip_serializing_if = "is_zero")]
        oid: u32,
        rows: u64,
    },
    /// Frames of large objects (`pgark_bytes::large_objects`).
    LargeObjects { database: String, objects: u64 },
    /// The archive's table of contents.
    Toc {
        database: String,
        /// It is kept with numbers that do not shift (`pgark_bytes::archive::stable`); so long is
        /// it in pg_dump's directory format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// The SQL that makes the database itself: creation, owner, settings, privileges.
    Definition { database: String },
    /// What masking has to know of the database (`pgark_mask::catalog`).
    Catalog { database: String },
    /// Roles, memberships, tablespaces and their settings, as SQL.
    Globals,
    /// The manifest of the cluster.
    Manifest,
    /// The server's settings.
    Settings,
    /// A file of the server's configuration, by its path there.
    ServerFile { path: String },
    /// A folder of a data directory; its files are those that consist of pages, under maps.
    Folder {
        #[serde(flatten)]
        owned: Owned,
        /// Permissions of its files.
        file_mode: u16,
        files: u64,
        /// Their lengths together.
        bytes: u64,
        /// Bundles of small files are not ranges of names: their first backup was over the wire.
        #[serde(default, skip_serializing_if = "is_zero")]
        mixed: bool,
    },
    /// A file of a data directory that does not consist of pages.
    File {
        #[serde(flatten)]
        owned: Owned,
        /// Last modification: RFC 3339, UTC.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        modified: String,
    },
    /// A segment of the WAL.
    Wal,
    /// Of a newer version of this program; it is kept with the entry as it is.
    #[serde(other, skip_serializing)]
    OfNewer,
}

/// Who has a file or folder, and what they may do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owned {
    /// Permissions, as the low twelve bits of the mode.
    pub mode: u16,
    /// The user's name; the number where there is no name.
    pub owner: String,
    /// The group's.
    pub group: String,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
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

    /// The note of an entry; none if it is of a known kind and cannot be understood.
    pub(crate) fn read(entry: &Entry) -> Option<Note> {
        serde_json::from_slice(&entry.about).ok()
    }

    pub(crate) fn of(backup: &Backup<'_>, entry: &Entry) -> Result<Note, OpsError> {
        Self::read(entry).ok_or_else(|| OpsError::Record {
            backup: backup.head.id.to_string(),
            what: format!("the note of {}", entry.path),
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

/// What row maps did for a table in one backup, as it is in the additions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MapsDone {
    #[serde(default, skip_serializing_if = "is_zero")]
    rows_new: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    whole: BTreeMap<Whole, u64>,
}

impl MapsDone {
    /// Empty if nothing was done.
    pub(crate) fn to_bytes(note: &MapNote) -> Vec<u8> {
        let done = MapsDone { rows_new: note.rows_new, whole: note.whole.clone() };
        if done == MapsDone::default() { Vec::new() } else { serde_json::to_vec(&done).unwrap_or_default() }
    }

    /// None: no part of the entry is under a map.
    pub(crate) fn of(entry: &Entry, addition: &Addition) -> Option<MapNote> {
        let parts = entry.parts.iter().filter(|part| matches!(part, Part::Map(_))).count() as u64;
        let done: MapsDone = serde_json::from_slice(&addition.about).unwrap_or_default();
        (parts > 0).then_some(MapNote { rows_new: done.rows_new, parts, whole: done.whole })
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
        assert!(matches!(Note::read(&more), Some(Note::Toc { database, .. }) if database == "d"));
        let ours = entry(&String::from_utf8(Note::Globals.to_bytes()).unwrap());
        assert_eq!((Note::kind_of(&ours).as_str(), Note::kind_of(&more).as_str()), ("globals", "toc"));
        assert!(Note::read(&entry(r#"{"kind":"table","database":"d"}"#)).is_none());
        assert!(Note::read(&entry("")).is_none() && Note::read(&entry("{}")).is_none());
    }
}
