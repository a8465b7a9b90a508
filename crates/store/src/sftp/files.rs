//! Files that stay open for the next range of them: a restore reads a pack in many ranges, and each
//! open costs a round trip.
//!
//! Objects never change, so what an open file reads is right; an object that someone deleted
//! meanwhile can still be read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use russh_sftp::client::rawsession::RawSftpSession;
use russh_sftp::protocol::{FileAttributes, OpenFlags};

use super::Wrong;
use crate::lock;

/// So many stay open on a connection, or a quarter of what the server allows, if that is less.
const KEPT: u64 = 32;

/// A file that is open for reading. It is closed when nobody holds it any more.
pub(super) struct OpenFile {
    pub(super) handle: String,
    path: String,
    sftp: Arc<RawSftpSession>,
}

impl OpenFile {
    pub(super) async fn open(sftp: &Arc<RawSftpSession>, path: &str) -> Result<OpenFile, Wrong> {
        let handle = sftp.open(path, OpenFlags::READ, FileAttributes::empty()).await?.handle;
        Ok(OpenFile { handle, path: path.to_string(), sftp: Arc::clone(sftp) })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // Without a runtime the connection itself is going away.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (sftp, handle) = (Arc::clone(&self.sftp), std::mem::take(&mut self.handle));
        // Nobody waits for that; if it fails, the handle goes with its connection.
        runtime.spawn(async move { sftp.close(handle).await });
    }
}

/// The files of one connection that stay open, the one used last at the end.
pub(super) struct OpenFiles {
    most: u64,
    kept: Mutex<VecDeque<Arc<OpenFile>>>,
}

impl OpenFiles {
    /// `allowed` is how many files the server lets be open, if it says so.
    pub(super) fn new(allowed: Option<u64>) -> OpenFiles {
        OpenFiles { most: allowed.map_or(KEPT, |allowed| KEPT.min(allowed / 4)), kept: Mutex::default() }
    }

    pub(super) fn find(&self, path: &str) -> Option<Arc<OpenFile>> {
        let mut kept = lock(&self.kept);
        let at = kept.iter().position(|file| file.path == path)?;
        let file = kept.remove(at)?;
        kept.push_back(Arc::clone(&file));
        Some(file)
    }

    pub(super) fn keep(&self, file: &Arc<OpenFile>) {
        let mut kept = lock(&self.kept);
        kept.retain(|other| other.path != file.path);
        kept.push_back(Arc::clone(file));
        if kept.len() as u64 > self.most {
            kept.pop_front();
        }
    }

    pub(super) fn forget(&self, path: &str) {
        lock(&self.kept).retain(|file| file.path != path);
    }
}
