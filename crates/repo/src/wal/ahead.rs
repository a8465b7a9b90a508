//! Segments that were fetched ahead of a server: they lie in its `pg_wal` until it asks for them.
//!
//! Each is a file whose name has the segment, a hash of what tells the archive from every other
//! one, and the BLAKE3 of its content. So a file that is torn, of another archive or of an earlier
//! restore from one is not taken for what it is not: a segment of an archive never changes. That a
//! segment is absent is never noted.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use super::name::WalName;
use crate::ids::hex;

/// Held by who fetches ahead.
const LOCK: &str = "lock";
/// Digits of the hash of an archive.
const OF: usize = 32;

/// What was fetched ahead of one server.
pub struct WalAhead {
    folder: PathBuf,
    /// Behind the names of segments of this archive.
    of: String,
}

impl WalAhead {
    /// In a folder. The words tell the archive from every other one: the place of the repository,
    /// the cluster, its system.
    pub fn of(folder: PathBuf, archive: &str) -> WalAhead {
        let hash = blake3::hash(archive.as_bytes());
        WalAhead { folder, of: hex(&hash.as_bytes()[..OF / 2]) }
    }

    /// A segment, and the file that it is in; None: it was not fetched, or its file is torn.
    pub fn find(&self, segment: &WalName) -> Option<(PathBuf, Vec<u8>)> {
        let prefix = format!("{}.{}.", segment.file(), self.of);
        for entry in self.folder.read_dir().ok()?.flatten() {
            let Some(digest) =
                entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix).map(str::to_string))
            else {
                continue;
            };
            let content = fs::read(entry.path()).ok()?;
            if blake3::hash(&content).to_hex().as_str() == digest {
                return Some((entry.path(), content));
            }
            remove(entry.path());
        }
        None
    }

    /// The segments that were fetched, by their names.
    pub fn segments(&self) -> Vec<WalName> {
        let Ok(entries) = self.folder.read_dir() else { return Vec::new() };
        let own = |name: &str| {
            let (segment, rest) = name.split_once('.')?;
            rest.starts_with(&self.of).then(|| WalName::parse(segment)).flatten()
        };
        let names = entries.flatten().filter_map(|entry| own(entry.file_name().to_str()?));
        let mut names: Vec<WalName> = names.collect();
        names.sort();
        names
    }

    /// Puts a segment there, whole.
    ///
    /// # Errors
    /// The disk is full, or fails: then nothing of it stays.
    pub fn put(&self, segment: &WalName, content: &[u8]) -> io::Result<()> {
        let part = self.folder.join(format!("part.{}.{}", segment.file(), std::process::id()));
        let write = || {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
            file.write_all(content)?;
            file.sync_data()?;
            let digest = blake3::hash(content).to_hex();
            fs::rename(&part, self.folder.join(format!("{}.{}.{digest}", segment.file(), self.of)))
        };
        write().inspect_err(|_| remove(part.clone()))
    }

    /// Makes the folder, and holds it against everyone else who fetches ahead; None: someone does.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn hold(&self) -> io::Result<Option<File>> {
        if !self.folder.exists() {
            DirBuilder::new().mode(0o700).create(&self.folder)?;
        }
        let path = self.folder.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Removes all but the segments behind this one: the server has come by them.
    pub fn keep_behind(&self, segment: &WalName) {
        // Of all timelines: what follows the eight digits of the timeline is the position.
        let position = |file: &str| file.get(8..24).map(str::to_string);
        let own = position(segment.file());
        self.remove_all(|name| {
            let of =
                name.split_once('.').map(|(segment, rest)| (position(segment), rest.starts_with(&self.of)));
            of.is_some_and(|(at, is_own)| is_own && at > own)
        });
    }

    /// Removes everything: the server has come to the end.
    pub fn clear(&self) {
        if let Ok(Some(lock)) = self.hold() {
            self.remove_all(|_| false);
            drop(lock);
            remove(self.folder.join(LOCK));
            // Another one may have begun.
            let _ = fs::remove_dir(&self.folder);
        }
    }

    fn remove_all(&self, stays: impl Fn(&str) -> bool) {
        let Ok(entries) = self.folder.read_dir() else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_other = name.to_str().is_some_and(|name| name == LOCK || name.starts_with("part."));
            if !is_other && !name.to_str().is_some_and(&stays) {
                remove(entry.path());
            }
        }
    }
}

/// It is of no use any more, and does no harm.
fn remove(path: PathBuf) {
    if let Err(error) = fs::remove_file(&path) {
        tracing::debug!("{} cannot be removed: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(file: &str) -> WalName {
        WalName::parse(file).unwrap()
    }

    #[test]
    fn a_segment_is_found_whole_and_of_its_archive() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ahead");
        let (one, other) = (WalAhead::of(folder.clone(), "a"), WalAhead::of(folder.clone(), "b"));
        let [first, second, third] =
            ["000000010000000000000001", "000000010000000000000002", "000000020000000000000003"].map(name);
        assert!(one.find(&first).is_none() && one.segments().is_empty());
        let lock = one.hold().unwrap().unwrap();
        assert!(other.hold().unwrap().is_none());
        one.put(&first, b"one").unwrap();
        one.put(&second, b"two").unwrap();
        one.put(&third, b"three").unwrap();
        assert_eq!(one.segments(), [first.clone(), second.clone(), third.clone()]);
        let (path, content) = one.find(&second).unwrap();
        assert_eq!(content, b"two");
        assert!(other.find(&second).is_none() && other.segments().is_empty());
        // Torn, it is none, and goes.
        fs::write(&path, b"tw").unwrap();
        assert!(one.find(&second).is_none() && !path.exists());
        // The server has come by the first one; what another archive left goes, too.
        other.put(&third, b"of the other").unwrap();
        one.keep_behind(&second);
        assert_eq!((one.segments(), other.segments()), (vec![third], vec![]));
        drop(lock);
        one.clear();
        assert!(!folder.exists());
    }
}
