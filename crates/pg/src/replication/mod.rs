//! Replication connections: what a session is that asks for WAL instead of rows (PostgreSQL
//! documentation, chapter "Frontend/Backend Protocol", section "Streaming Replication Protocol").
//!
//! The server starts a WAL sender for it, which takes replication commands (IDENTIFY_SYSTEM,
//! TIMELINE_HISTORY, CREATE_REPLICATION_SLOT, START_REPLICATION, BASE_BACKUP, SHOW, …) by the
//! simple query protocol and nothing by the extended one. Each has a method of
//! [`Connection`](crate::Connection), and what goes wrong is a [`ReplicationFailure`], which names
//! the command:
//!
//! * `commands`: those that answer with a row or two: the system, timelines, slots;
//! * [`WalReceiver`]: WAL as it is written;
//! * [`BaseBackup`]: the files of the whole cluster.
//!
//! **Settings.** A physical replication connection refuses all SQL ("cannot execute SQL commands in
//! WAL sender for physical replication"), SET and `set_config` too. So nothing of
//! [`SETTINGS`](crate::SETTINGS) can be fixed after login. What holds there instead (tested on a
//! server):
//!
//! * `ALTER ROLE … SET` and `ALTER DATABASE … SET` have no effect on it: the server reads them when
//!   it has chosen a database, and there is none. A role's `statement_timeout` cannot end a stream.
//! * What postgresql.conf says holds: `idle_session_timeout` ends a replication connection that
//!   waits for its next command, and `wal_sender_timeout` one whose client does not answer.
//! * The start-up packet holds, and wins over postgresql.conf:
//!   [`ConnInfo::with_settings`](crate::ConnInfo::with_settings). A pooler may drop it, but no
//!   pooler serves replication connections in a mode that lends servers.
//! * SHOW tells what a setting is: [`Connection::show`](crate::Connection::show), one setting at a
//!   time.
//!
//! With a database, the connection takes SQL as well, one query string without a SHOW in front of
//! others (the server then reads it as its own command), and the settings of role and database
//! hold.

mod base_backup;
mod commands;
mod failure;
mod options;
mod wal_receiver;

pub use base_backup::{BackupEvent, BaseBackup};
pub use commands::{SlotPosition, SystemIdentification, TimelineHistory};
pub use failure::{Refusal, ReplicationCommand, ReplicationFailure};
pub use options::{BaseBackupOptions, Checkpoint, ServerCompression};
pub use wal_receiver::{TimelineSwitch, WalEvent, WalReceiver};

/// What kind of replication connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// `replication=true`: physical replication, of the whole cluster. Replication commands only.
    Physical,
    /// `replication=database`: logical replication, of the database of the connection. Replication
    /// commands, and SQL by the simple protocol.
    Database,
}

impl Replication {
    /// The value of the start-up packet's parameter.
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Replication::Physical => "true",
            Replication::Database => "database",
        }
    }
}
