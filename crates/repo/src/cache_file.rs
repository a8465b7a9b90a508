//! Files that a caller keeps in this host's cache: what it found out, and would find out again.
//!
//! They are sealed under a key of the repository. Who can only read this host's files learns
//! nothing of them, and who can only write them cannot make one that counts. They are safe to lose:
//! whatever is wrong with one, it is as if there were none.
//!
//! A file is magic (8 bytes), nonce (12 bytes), then the sealed bytes (AES-256-GCM; additional data
//! is the file's name in its folder).

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::repository::Repository;
use crate::secrets::{PackKey, write_whole};
use crate::{RepoError, random};

const MAGIC: &[u8; 8] = b"pgarkcf1";
const NONCE_BYTES: usize = 12;

/// One such file; there may be nothing in it yet.
pub struct CacheFile {
    path: PathBuf,
    name: String,
    key: PackKey,
}

impl Repository {
    /// The file of this name among those of one purpose. None: this host keeps no cache.
    pub fn cache_file(&self, purpose: &str, name: &[u8]) -> Result<Option<CacheFile>, RepoError> {
        let Some(folder) = self.cache_folder(purpose) else { return Ok(None) };
        // What it is called is the caller's business alone.
        let hash = blake3::keyed_hash(&self.keys().cache_key("names of files"), name);
        let name = hash.to_hex().chars().take(32).collect::<String>();
        Ok(Some(CacheFile { path: folder.join(&name), name, key: self.keys().local_file_key(purpose)? }))
    }

    /// Removes the files of one purpose that were neither read nor written for so long.
    pub fn tidy_cache_files(&self, purpose: &str, unused_for: Duration) {
        let Some(files) = self.cache_folder(purpose).and_then(|folder| folder.read_dir().ok()) else {
            return;
        };
        for file in files.flatten() {
            let used = file.metadata().and_then(|about| about.modified());
            let is_old = used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > unused_for));
            if is_old && let Err(error) = std::fs::remove_file(file.path()) {
                tracing::debug!("{} cannot be removed: {error}", file.path().display());
            }
        }
    }

    fn cache_folder(&self, purpose: &str) -> Option<PathBuf> {
        Some(self.unlocked.local.cache.as_ref()?.join(format!("{purpose}-{}", self.id())))
    }
}

impl CacheFile {
    /// What was written last, if it is whole.
    pub fn read(&self) -> Option<Vec<u8>> {
        let bytes = std::fs::read(&self.path).ok()?;
        let (nonce, sealed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<NONCE_BYTES>()?;
        let opened = self.key.open_in_place(nonce, self.name.as_bytes(), sealed.to_vec())?;
        // That it is in use; where this cannot be recorded, it is made again one day.
        if let Ok(file) = File::options().append(true).open(&self.path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(opened)
    }

    /// Writes it whole, in the place of what was there. That it cannot be written costs time only.
    pub fn write(&self, bytes: Vec<u8>) {
        let sealed = match self.sealed(bytes) {
            Ok(sealed) => sealed,
            Err(error) => {
                return tracing::debug!("nothing can be cached at {}: {error}", self.path.display());
            }
        };
        if let Err(error) = write_whole(&self.path, &sealed) {
            tracing::debug!("nothing can be cached at {}: {error}", self.path.display());
        }
    }

    fn sealed(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>, RepoError> {
        let nonce: [u8; NONCE_BYTES] = random::bytes()?;
        self.key.seal_in_place(&nonce, self.name.as_bytes(), &mut bytes)?;
        Ok([MAGIC.as_slice(), &nonce, &bytes].concat())
    }
}
