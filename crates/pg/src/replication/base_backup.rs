//! BASE_BACKUP: the files of the whole cluster as tar archives, from a server of any version
//! (PostgreSQL documentation, "Streaming Replication Protocol", BASE_BACKUP; the two forms of its
//! answer: `pgark_bytes::protocol::base_backup`).
//!
//! A [`BaseBackup`] hides the form. Events come in this order, whatever the version:
//!
//! 1. [`BackupEvent::Started`], when the checkpoint is done: for a spread one, after minutes.
//! 2. For each tablespace, in the order of `Started`, the data directory last:
//!    [`BackupEvent::ArchiveBegins`] and its [`BackupEvent::Data`]. An archive ends where the next
//!    begins, or the manifest, or the backup.
//! 3. [`BackupEvent::ManifestBegins`] and its data, if a manifest was asked for.
//! 4. [`BackupEvent::Finished`]: only now the backup is whole.
//!
//! [`BackupEvent::Progress`] comes in between from servers of 15 and later. Data comes in pieces of
//! at most the read buffer's size, however long the server's messages are.
//!
//! **Checksums.** Where the server verifies them and finds wrong ones, it sends everything, and
//! then fails the command ([`ReplicationFailure::ChecksumFailures`]). Whether such a backup is
//! worth keeping is the caller's decision. Files and blocks are in the server's warnings
//! ([`Connection::take_notices`]; up to 5 for each file).
//!
//! **Leaving early.** [`BaseBackup::cancel`] ends the command and keeps the connection. A backup
//! that is dropped before its end takes the connection with it. In both cases the server leaves
//! backup mode.

use pgark_bytes::protocol::base_backup::{
    ArchiveName, BackupMessage, BackupMessageError, BackupTablespace, start_or_end,
};
use pgark_bytes::protocol::replication::WalPosition;

use super::failure::{ReplicationCommand, ReplicationFailure};
use super::options::BaseBackupOptions;
use crate::{Canceller, Connection, DbError, PgError, Row};

/// What comes of a base backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupEvent<'a> {
    /// The server is in backup mode.
    Started {
        /// The start of the WAL that the backup needs.
        position: WalPosition,
        /// What will come, in this order: the tablespaces, and the data directory last.
        tablespaces: Vec<BackupTablespace>,
    },
    /// A tar archive begins. Servers up to 14 leave out the blocks of zeros at its end.
    ArchiveBegins {
        /// Which tablespace it is of, and how it is compressed.
        name: ArchiveName,
        /// The tablespace's path on the server; empty for the data directory.
        location: Vec<u8>,
    },
    /// More of the archive, or of the manifest.
    Data(&'a [u8]),
    /// The manifest begins: its data is the file `backup_manifest`.
    ManifestBegins,
    /// How far the server is.
    Progress {
        /// Bytes of files that were read, of all archives.
        bytes: u64,
    },
    /// All of it was sent, and the server has left backup mode.
    Finished {
        /// The end of the WAL that the backup needs.
        position: WalPosition,
    },
}

/// A base backup that is under way.
pub struct BaseBackup<'c> {
    connection: &'c mut Connection,
    /// All archives come in one COPY, whose messages have kinds (from 15 on).
    has_kinds: bool,
    wants_manifest: bool,
    /// The rows of the result that comes.
    rows: Option<Vec<Row>>,
    start: Option<WalPosition>,
    tablespaces: Option<Vec<BackupTablespace>>,
    /// Archives that have begun.
    archives: usize,
    has_manifest: bool,
    /// A COPY is under way.
    in_copy: bool,
    /// One was, or is.
    has_copied: bool,
    /// The next piece goes on with a message that is longer than the read buffer.
    in_message: bool,
    end: Option<WalPosition>,
    /// The server is ready for the next command, or the connection is lost.
    is_over: bool,
}

impl From<BackupMessageError> for PgError {
    fn from(error: BackupMessageError) -> PgError {
        PgError::Protocol(error.to_string())
    }
}

impl Connection {
    /// Begins a base backup; the first event comes when the server's checkpoint is done.
    pub fn base_backup(&mut self, options: &BaseBackupOptions) -> Result<BaseBackup<'_>, ReplicationFailure> {
        let command = ReplicationCommand::BaseBackup;
        let has_kinds = self.has_option_lists();
        let sql = options.command(has_kinds).map_err(|what| ReplicationFailure::Option { command, what })?;
        self.send_query(sql.as_bytes()).map_err(failed)?;
        Ok(BaseBackup {
            connection: self,
            has_kinds,
            wants_manifest: options.manifest,
            rows: None,
            start: None,
            tablespaces: None,
            archives: 0,
            has_manifest: false,
            in_copy: false,
            has_copied: false,
            in_message: false,
            end: None,
            is_over: false,
        })
    }
}

impl BaseBackup<'_> {
    /// What comes next; waits for it. `None` behind [`BackupEvent::Finished`].
    pub fn next_event(&mut self) -> Result<Option<BackupEvent<'_>>, ReplicationFailure> {
        while !self.is_over {
            match self.connection.wire.tag().map_err(|error| self.lost(error))? {
                b'd' => return self.data().map(Some),
                _ => {
                    if let Some(event) = self.hear()? {
                        return Ok(Some(event));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Warnings since the last call, at most 100: those about checksums name file and block.
    pub fn take_notices(&mut self) -> Vec<DbError> {
        self.connection.take_notices()
    }

    /// Makes the server stop and leave backup mode. The connection then takes the next command.
    pub fn cancel(mut self) -> Result<(), ReplicationFailure> {
        if !self.is_over {
            self.is_over = true;
            self.connection.abandon();
        }
        self.connection.check_usable().map_err(failed)
    }

    /// The next piece of a COPY.
    fn data(&mut self) -> Result<BackupEvent<'_>, ReplicationFailure> {
        if !self.in_copy {
            return Err(self.out_of_step("data outside of a COPY"));
        }
        let Connection { wire, broken, canceller, .. } = &mut *self.connection;
        let event = wire.piece().and_then(|(frame, more)| {
            let is_raw = !self.has_kinds || self.in_message;
            self.in_message = more;
            if is_raw {
                return Ok(BackupEvent::Data(frame.body));
            }
            // Only data may be longer than the read buffer.
            match BackupMessage::parse(frame.body)? {
                BackupMessage::Data(data) if self.archives > 0 || self.has_manifest => {
                    Ok(BackupEvent::Data(data))
                }
                BackupMessage::Archive { name, location } if !more && !self.has_manifest => {
                    let name = ArchiveName::parse(name)?;
                    let listed = self.tablespaces.as_ref().and_then(|all| all.get(self.archives));
                    let listed = listed.map(|row| row.tablespace.as_ref().map(|own| own.oid));
                    if listed != Some(name.tablespace) {
                        return Err(PgError::Protocol("an archive out of turn in a base backup".into()));
                    }
                    self.archives += 1;
                    Ok(BackupEvent::ArchiveBegins { name, location: location.to_vec() })
                }
                BackupMessage::Manifest if !more && !self.has_manifest => {
                    self.has_manifest = true;
                    Ok(BackupEvent::ManifestBegins)
                }
                BackupMessage::Progress { bytes } if !more => Ok(BackupEvent::Progress { bytes }),
                _ => Err(PgError::Protocol("a message out of turn in a base backup".into())),
            }
        });
        event.map_err(|error| {
            self.is_over = true;
            cut(broken, canceller, Some(&error));
            failed(error)
        })
    }

    /// The next message, which is not data; an event if it is one.
    fn hear(&mut self) -> Result<Option<BackupEvent<'static>>, ReplicationFailure> {
        let message = self.connection.wire.message();
        let (tag, body) = match message {
            Ok(message) => (message.tag, message.body.to_vec()),
            Err(error) => return Err(self.lost(error)),
        };
        match tag {
            b'T' => self.rows = Some(Vec::new()),
            b'D' => {
                let row = Row::of_message(&body).map_err(|error| self.lost(error))?;
                match &mut self.rows {
                    Some(rows) => rows.push(row),
                    None => return Err(self.out_of_step("a row outside of a result")),
                }
            }
            b'C' => {
                if let Some(rows) = self.rows.take() {
                    return self.result(&rows).map_err(|error| self.lost(error));
                }
            }
            b'H' if self.can_copy() => {
                (self.in_copy, self.has_copied) = (true, true);
                return Ok(self.copy_begins());
            }
            b'c' if self.in_copy => self.in_copy = false,
            b'E' => return Err(self.refused(DbError::parse(&body))),
            b'Z' => return self.finished().map(Some),
            tag => {
                if !self.connection.is_aside(tag, &body) {
                    return Err(self.out_of_step(&format!("message {:?}", char::from(tag))));
                }
            }
        }
        Ok(None)
    }

    /// A result has come: the first is where the backup starts, the second the tablespaces, the
    /// third where it ends.
    fn result(&mut self, rows: &[Row]) -> Result<Option<BackupEvent<'static>>, PgError> {
        let position = || match rows {
            [row] => Ok(start_or_end([row.get(0), row.get(1)])?),
            _ => Err(PgError::Protocol("a position of several rows".into())),
        };
        let Some(start) = self.start else {
            self.start = Some(position()?);
            return Ok(None);
        };
        if self.tablespaces.is_some() {
            self.end = Some(position()?);
            return Ok(None);
        }
        let tablespaces = rows
            .iter()
            .map(|row| BackupTablespace::of_columns([row.get(0), row.get(1), row.get(2)]))
            .collect::<Result<Vec<_>, _>>()?;
        // One COPY follows for each, or as many archives: which is which must be known.
        let is_last = |at: usize| at + 1 == tablespaces.len();
        if tablespaces.is_empty()
            || tablespaces.iter().enumerate().any(|(at, row)| row.tablespace.is_none() != is_last(at))
        {
            return Err(PgError::Protocol("the data directory is not the last of the tablespaces".into()));
        }
        self.tablespaces = Some(tablespaces.clone());
        Ok(Some(BackupEvent::Started { position: start, tablespaces }))
    }

    /// Whether a COPY may begin here: one from 15 on, before that none behind the manifest's.
    fn can_copy(&self) -> bool {
        let is_in_turn = if self.has_kinds { !self.has_copied } else { !self.has_manifest };
        is_in_turn && !self.in_copy && self.tablespaces.is_some() && self.end.is_none()
    }

    /// Up to 14, each COPY is an archive, and one more is the manifest.
    fn copy_begins(&mut self) -> Option<BackupEvent<'static>> {
        if self.has_kinds {
            return None;
        }
        let tablespace = self.tablespaces.as_ref().and_then(|all| all.get(self.archives));
        let Some(BackupTablespace { tablespace, .. }) = tablespace else {
            self.has_manifest = true;
            return Some(BackupEvent::ManifestBegins);
        };
        self.archives += 1;
        let name = ArchiveName { tablespace: tablespace.as_ref().map(|own| own.oid), compression: None };
        let location = tablespace.as_ref().map(|own| own.location.clone()).unwrap_or_default();
        Some(BackupEvent::ArchiveBegins { name, location })
    }

    fn finished(&mut self) -> Result<BackupEvent<'static>, ReplicationFailure> {
        self.is_over = true;
        let archives = self.tablespaces.as_ref().map_or(0, Vec::len);
        let is_whole = self.archives == archives && self.has_manifest == self.wants_manifest && !self.in_copy;
        match self.end {
            Some(position) if is_whole => Ok(BackupEvent::Finished { position }),
            _ => Err(failed(PgError::Protocol("a base backup that ends too early".into()))),
        }
    }

    /// The server has said why it fails the command; it is ready again behind that.
    fn refused(&mut self, error: DbError) -> ReplicationFailure {
        self.is_over = true;
        // After a FATAL error nothing follows; the connection then knows.
        let _ = self.connection.until_ready();
        match self.end {
            Some(finished) if error.sqlstate == "XX001" => {
                ReplicationFailure::ChecksumFailures { finished, source: Box::new(error) }
            }
            _ => failed(PgError::Db(Box::new(error))),
        }
    }

    /// The conversation cannot go on.
    fn lost(&mut self, error: PgError) -> ReplicationFailure {
        self.is_over = true;
        cut(&mut self.connection.broken, &self.connection.canceller, Some(&error));
        failed(error)
    }

    fn out_of_step(&mut self, what: &str) -> ReplicationFailure {
        self.lost(PgError::Protocol(format!("{what} in a base backup")))
    }
}

impl Drop for BaseBackup<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            cut(&mut self.connection.broken, &self.connection.canceller, None);
        }
    }
}

/// Ends the connection, and what the server does for it.
fn cut(broken: &mut bool, canceller: &Canceller, why: Option<&PgError>) {
    *broken = true;
    // The server may wait for its checkpoint: only this stops it before it sends again. One that
    // cannot be reached any more is not asked.
    if !matches!(why, Some(PgError::Closed(_))) {
        let _ = canceller.cancel();
    }
    canceller.shutdown();
}

fn failed(source: PgError) -> ReplicationFailure {
    ReplicationFailure::Command { command: ReplicationCommand::BaseBackup, source }
}
