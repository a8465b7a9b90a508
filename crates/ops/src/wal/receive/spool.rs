//! The spool of a receiver: segments on the local disk, from the moment at which their bytes come
//! until the repository has them.
//!
//! One file for each segment, under its name, which grows as the bytes come. A receiver that starts
//! goes on with what is there, as far as its records are whole: what was not synced may be torn.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal_name::{SegmentName, SegmentSize};

use crate::OpsError;

/// Held by the receiver whose spool it is.
const LOCK: &str = "lock";

/// The folder.
pub(super) struct Spool {
    folder: PathBuf,
    _lock: File,
}

/// The end of the spool, where bytes come in.
pub(super) struct SpoolWriter<'s> {
    spool: &'s Spool,
    size: SegmentSize,
    open: Option<(SegmentName, File)>,
    /// Bytes that a crash of the host may take away.
    unsynced: u64,
}

impl Spool {
    /// Opens a spool, and makes it if it is not there.
    ///
    /// # Errors
    /// The folder cannot be used, or another receiver uses it.
    pub(super) fn open(folder: &Path) -> Result<Spool, OpsError> {
        let failed = |source| failure("make the spool", folder, source);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(|source| failure("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Spool { folder: folder.to_path_buf(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(OpsError::refused(
                format!("another receiver uses the spool {}", folder.display()),
                "end it first; two receivers need a slot and a spool each",
            )),
            Err(fs::TryLockError::Error(source)) => Err(failure("lock", &path, source)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The segments in it, in their order.
    pub(super) fn segments(&self) -> Result<Vec<SegmentName>, OpsError> {
        let failed = |source| failure("list", &self.folder, source);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(super::super::file::segment_of));
        }
        found.sort();
        Ok(found)
    }

    /// Bytes of a segment from one offset to another one.
    ///
    /// # Errors
    /// They are not there.
    pub(super) fn read(&self, segment: SegmentName, from: u64, to: u64) -> Result<Vec<u8>, OpsError> {
        let path = self.path(segment);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut content =
                Vec::with_capacity(usize::try_from(to.saturating_sub(from)).unwrap_or_default());
            file.take(to.saturating_sub(from)).read_to_end(&mut content)?;
            match content.len() as u64 == to.saturating_sub(from) {
                true => Ok(content),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        read().map_err(|source| failure("read", &path, source))
    }

    /// All that is there of a segment, at most so many bytes; None: nothing.
    pub(super) fn front(&self, segment: SegmentName, most: u64) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        File::open(self.path(segment)).ok()?.take(most).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Cuts a segment off behind so many bytes.
    pub(super) fn cut(&self, segment: SegmentName, bytes: u64) -> Result<(), OpsError> {
        let path = self.path(segment);
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.set_len(bytes)).map_err(|source| failure("cut off", &path, source))
    }

    /// Removes a segment, which may be gone.
    pub(super) fn remove(&self, segment: SegmentName) -> Result<(), OpsError> {
        let path = self.path(segment);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure("remove", &path, error)),
            _ => Ok(()),
        }
    }

    pub(super) fn writer(&self, size: SegmentSize) -> SpoolWriter<'_> {
        SpoolWriter { spool: self, size, open: None, unsynced: 0 }
    }

    fn path(&self, segment: SegmentName) -> PathBuf {
        self.folder.join(segment.to_string())
    }
}

impl SpoolWriter<'_> {
    /// Writes bytes to where they belong. They are not synced.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub(super) fn write(&mut self, timeline: u32, at: Lsn, bytes: &[u8]) -> Result<(), OpsError> {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let segment = SegmentName::of(timeline, at, self.size);
            let offset = self.size.offset_of(at);
            let room = usize::try_from(u64::from(self.size.bytes()) - offset).unwrap_or(usize::MAX);
            let (own, others) = rest.split_at(rest.len().min(room));
            let failed = |source| failure("write", &self.spool.path(segment), source);
            if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
                self.sync()?;
                self.open = Some((segment, self.spool.begin(segment, offset).map_err(failed)?));
            }
            if let Some((_, file)) = &mut self.open {
                file.write_all(own).map_err(failed)?;
            }
            self.unsynced += own.len() as u64;
            (at, rest) = (Lsn(at.0 + own.len() as u64), others);
        }
        Ok(())
    }

    /// Bytes that are not synced.
    pub(super) fn unsynced(&self) -> u64 {
        self.unsynced
    }

    /// Makes sure that all of it outlives a crash of the host.
    pub(super) fn sync(&mut self) -> Result<(), OpsError> {
        if let Some((segment, file)) = self.open.as_ref().filter(|_| self.unsynced > 0) {
            file.sync_data().map_err(|source| failure("sync", &self.spool.path(*segment), source))?;
        }
        self.unsynced = 0;
        Ok(())
    }
}

impl Spool {
    /// Opens a segment for what comes at an offset: what is behind that goes.
    fn begin(&self, segment: SegmentName, offset: u64) -> io::Result<File> {
        let path = self.path(segment);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(file)
    }
}

fn failure(doing: &'static str, path: &Path, source: io::Error) -> OpsError {
    OpsError::File { doing, path: path.to_path_buf(), source }
}
