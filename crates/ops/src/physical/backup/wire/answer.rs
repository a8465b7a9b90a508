//! What the server answers to BASE_BACKUP, up to its end.

use std::io::{self, Read};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;
use pgark_pg::{BackupEvent, BaseBackup, BaseBackupOptions, Connection, ReplicationFailure};

use crate::OpsError;

/// The answer, as far as it has come.
pub(super) struct Answer<'c> {
    backup: BaseBackup<'c>,
    stop: &'c dyn Fn() -> bool,
    end: Option<WalPosition>,
    damaged: Option<String>,
}

/// The beginning of a backup.
pub(super) struct Started {
    pub position: WalPosition,
    /// About how many bytes will come.
    pub bytes: u64,
}

/// The end of a backup: everything has come.
pub(super) struct Finished {
    pub start: Lsn,
    pub position: WalPosition,
    /// The server found pages with wrong checksums: its words.
    pub damaged: Option<String>,
    /// Its warnings.
    pub notices: Vec<String>,
}

impl<'c> Answer<'c> {
    /// Asks for a backup, and waits for its beginning.
    pub(super) fn begin(
        connection: &'c mut Connection,
        options: &BaseBackupOptions,
        stop: &'c dyn Fn() -> bool,
    ) -> Result<(Answer<'c>, Started), OpsError> {
        let mut backup = connection.base_backup(options)?;
        let started = match backup.next_event()? {
            Some(BackupEvent::Started { position, tablespaces }) => {
                let kilobytes = tablespaces.iter().filter_map(|one| one.size_kb);
                let bytes = kilobytes.fold(0u64, |sum, more| sum.saturating_add(more)).saturating_mul(1024);
                Started { position, bytes }
            }
            _ => return Err(OpsError::refused("the server's answer to BASE_BACKUP has no beginning", "")),
        };
        Ok((Answer { backup, stop, end: None, damaged: None }, started))
    }

    /// What comes next; none: that was all.
    pub(super) fn next(&mut self) -> Result<Option<BackupEvent<'_>>, OpsError> {
        if (self.stop)() {
            return Err(OpsError::Cancelled);
        }
        match self.backup.next_event() {
            Ok(Some(BackupEvent::Finished { position })) => {
                self.end = Some(position);
                Ok(None)
            }
            Ok(event) => Ok(event),
            // All data has come before the server says so.
            Err(ReplicationFailure::ChecksumFailures { finished, source }) => {
                self.end = Some(finished);
                self.damaged = Some(source.message);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Hears the answer to its end.
    pub(super) fn finish(mut self, start: Lsn) -> Result<Finished, OpsError> {
        while self.next()?.is_some() {}
        let notices = self.backup.take_notices();
        let notices = notices.into_iter().filter(|notice| notice.severity == "WARNING");
        let notices = notices.map(|notice| notice.message).collect();
        match self.end {
            Some(position) => Ok(Finished { start, position, damaged: self.damaged.take(), notices }),
            None => Err(OpsError::refused("the server's answer to BASE_BACKUP has no end", "")),
        }
    }
}

/// The text of the manifest, which is the rest of an answer.
pub(super) struct ManifestText<'a, 'c> {
    answer: &'a mut Answer<'c>,
    piece: Vec<u8>,
    at: usize,
    /// Why it cannot be read on: `io::Error` says it without its kind.
    pub failed: Option<OpsError>,
}

impl<'a, 'c> ManifestText<'a, 'c> {
    pub(super) fn new(answer: &'a mut Answer<'c>) -> ManifestText<'a, 'c> {
        ManifestText { answer, piece: Vec::new(), at: 0, failed: None }
    }
}

impl Read for ManifestText<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            match self.answer.next() {
                Ok(Some(BackupEvent::Data(bytes))) => {
                    self.piece.clear();
                    self.piece.extend_from_slice(bytes);
                    self.at = 0;
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(0),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(io::Error::other("the server's answer broke off"));
                }
            }
        }
        let read = self.piece.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
