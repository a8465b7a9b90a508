//! Chunks that describe maps, kept on this host: the lists of a table are 8 bytes for each of its
//! rows, and every backup needs them again.
//!
//! One file for each chunk, under its id, which is the keyed hash of the bytes: a file that is
//! damaged or of another repository is skipped. The folder is safe to lose. Files that nobody has
//! read for a month are removed, a sixteenth of the folder with each backup.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::ids::ChunkId;
use crate::secrets::{Keys, LocalFolders, write_whole};

/// Files that were not used for so long are removed.
const KEEP: Duration = Duration::from_secs(35 * 86_400);
/// A file's time is renewed when it is older than this.
const RENEW: Duration = Duration::from_secs(86_400);

pub(crate) struct ItemCache {
    folder: Option<PathBuf>,
}

impl ItemCache {
    pub(crate) fn open(keys: &Keys, local: &LocalFolders) -> ItemCache {
        let folder = local.cache.as_ref().map(|cache| cache.join(format!("items-{}", keys.repository)));
        ItemCache { folder }
    }

    /// Whether there is a folder for it.
    pub(crate) fn is_kept(&self) -> bool {
        self.folder.is_some()
    }

    fn file(&self, id: &ChunkId) -> Option<PathBuf> {
        let name = id.to_string();
        Some(self.folder.as_ref()?.join(name.get(..2)?).join(name))
    }

    /// The bytes of a chunk, if they are here and whole.
    pub(crate) fn get(&self, id: &ChunkId, id_key: &[u8; 32]) -> Option<Vec<u8>> {
        let file = self.file(id)?;
        let bytes = std::fs::read(&file).ok()?;
        if blake3::keyed_hash(id_key, &bytes).as_bytes() != &id.0 {
            tracing::debug!("{} is damaged and ignored", file.display());
            return None;
        }
        if let Ok(file) = std::fs::File::options().append(true).open(&file)
            && age(&file.metadata().ok()?) > RENEW
        {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(bytes)
    }

    /// Keeps a chunk. That it cannot be kept costs time only.
    pub(crate) fn put(&self, id: &ChunkId, bytes: &[u8]) {
        let Some(file) = self.file(id).filter(|file| !file.exists()) else { return };
        if let Err(error) = write_whole(&file, bytes) {
            tracing::debug!("{} cannot be cached: {error}", file.display());
        }
    }

    /// Removes what nobody has read for long, in the sixteenth of the folder whose turn it is
    /// today.
    pub(crate) fn sweep(&self) {
        let Some(folder) = &self.folder else { return };
        let days =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
        for low in 0..16 {
            let Ok(files) = std::fs::read_dir(folder.join(format!("{:x}{low:x}", days % 16))) else {
                continue;
            };
            for file in files.flatten() {
                if file.metadata().is_ok_and(|meta| age(&meta) > KEEP) {
                    let _ = std::fs::remove_file(file.path());
                }
            }
        }
    }
}

fn age(meta: &std::fs::Metadata) -> Duration {
    meta.modified().ok().and_then(|then| then.elapsed().ok()).unwrap_or_default()
}
