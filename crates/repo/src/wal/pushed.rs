//! What this host has archived already: a server asks for one segment after the other, and a call
//! that archived several leaves a note for the next ones.
//!
//! A note is a file with the BLAKE3 of what was archived. It is written when the repository has the
//! file, and counts only for the very same bytes. It is safe to lose.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::name::WalName;
use crate::ids::hex;
use crate::secrets::{LocalFolders, write_whole};

/// A note that nobody has asked for is not needed any more after so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Where received WAL waits on this host; None: it keeps no state. The words tell the receiver from
/// every other one: the place of the repository, the cluster, the slot.
pub fn wal_spool(local: &LocalFolders, receiver: &str) -> Option<PathBuf> {
    local.state.as_ref().map(|state| state.join("wal-receive").join(folder_of(receiver)))
}

/// A name for what is known by some words.
fn folder_of(words: &str) -> String {
    hex(&blake3::hash(words.as_bytes()).as_bytes()[..16])
}

/// Notes of one archive.
pub struct WalPushed {
    folder: Option<PathBuf>,
}

impl WalPushed {
    /// Of the archive that these words tell from every other one: the place of the repository, the
    /// cluster. Where this host keeps no state, there are none.
    pub fn of(local: &LocalFolders, archive: &str) -> WalPushed {
        let folder = |state: &PathBuf| state.join("wal-pushed").join(folder_of(archive));
        WalPushed { folder: local.state.as_ref().map(folder) }
    }

    /// Whether notes can be left at all.
    pub fn are_kept(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether this file was archived with this content.
    pub fn has(&self, name: &WalName, content: &[u8]) -> bool {
        let noted = self.file(name).and_then(|file| fs::read_to_string(file).ok());
        noted.is_some_and(|noted| noted == note(content))
    }

    /// Notes that it was. Where that is not possible, it is archived once more.
    pub fn note(&self, name: &WalName, content: &[u8]) {
        let Some(file) = self.file(name) else { return };
        if let Err(error) = write_whole(&file, note(content).as_bytes()) {
            tracing::debug!("{} cannot be written: {error}", file.display());
        }
    }

    /// Removes old notes.
    pub fn tidy(&self) {
        let Some(files) = self.folder.as_ref().and_then(|folder| folder.read_dir().ok()) else { return };
        for file in files.flatten() {
            let written = file.metadata().and_then(|about| about.modified());
            let is_old = written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > KEPT));
            if is_old && let Err(error) = fs::remove_file(file.path()) {
                tracing::debug!("{} cannot be removed: {error}", file.path().display());
            }
        }
    }

    fn file(&self, name: &WalName) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(name.file()))
    }
}

fn note(content: &[u8]) -> String {
    format!("{}\n", blake3::hash(content).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_for_the_same_bytes_of_the_same_archive() {
        let dir = tempfile::tempdir().unwrap();
        let local = LocalFolders { cache: None, state: Some(dir.path().into()) };
        let (one, other) = (WalPushed::of(&local, "a"), WalPushed::of(&local, "b"));
        let name = WalName::parse("000000010000000000000001").unwrap();
        assert!(!one.has(&name, b"wal"));
        one.note(&name, b"wal");
        assert!(one.has(&name, b"wal") && !one.has(&name, b"law") && !other.has(&name, b"wal"));
        assert!(!one.has(&WalName::parse("000000010000000000000002").unwrap(), b"wal"));
        // One that is not whole counts for nothing.
        fs::write(one.file(&name).unwrap(), "0123").unwrap();
        assert!(!one.has(&name, b"wal"));
        one.tidy();
        let nowhere = WalPushed::of(&LocalFolders::default(), "a");
        nowhere.note(&name, b"wal");
        assert!(!nowhere.has(&name, b"wal") && !nowhere.are_kept());
    }
}
