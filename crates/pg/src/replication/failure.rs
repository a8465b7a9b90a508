//! What can go wrong on a replication connection, and in which command.
//!
//! The same SQLSTATE means different things in different commands: 42501 at login is the missing
//! attribute REPLICATION, 55000 in START_REPLICATION a slot that lost its WAL. So a failure names
//! its command, and [`Refusal`] is what both together mean.

use std::fmt;
use std::time::Duration;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;

use crate::{DbError, PgError};

/// What the server was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicationCommand {
    /// A replication connection.
    Connect,
    /// Which system this is.
    IdentifySystem,
    /// The value of a setting.
    Show,
    /// The history file of a timeline.
    TimelineHistory,
    /// A new replication slot.
    CreateSlot,
    /// How far a replication slot is.
    ReadSlot,
    /// The end of a replication slot.
    DropSlot,
    /// WAL as it is written.
    StartReplication,
    /// A base backup.
    BaseBackup,
}

impl fmt::Display for ReplicationCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplicationCommand::Connect => "open a replication connection",
            ReplicationCommand::IdentifySystem => "IDENTIFY_SYSTEM",
            ReplicationCommand::Show => "SHOW",
            ReplicationCommand::TimelineHistory => "TIMELINE_HISTORY",
            ReplicationCommand::CreateSlot => "CREATE_REPLICATION_SLOT",
            ReplicationCommand::ReadSlot => "READ_REPLICATION_SLOT",
            ReplicationCommand::DropSlot => "DROP_REPLICATION_SLOT",
            ReplicationCommand::StartReplication => "START_REPLICATION",
            ReplicationCommand::BaseBackup => "BASE_BACKUP",
        })
    }
}

/// A replication command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicationFailure {
    /// The server refused it, or the conversation failed.
    #[error("{command}")]
    Command {
        /// What was asked for.
        command: ReplicationCommand,
        /// Why not.
        source: PgError,
    },
    /// The server does not have this command yet.
    #[error("{command} exists from PostgreSQL {since} on")]
    TooOld {
        /// What was asked for.
        command: ReplicationCommand,
        /// The first major that has it.
        since: i32,
    },
    /// An option was refused before anything was sent.
    #[error("{command}: {what}")]
    Option {
        /// What was asked for.
        command: ReplicationCommand,
        /// Why not.
        what: &'static str,
    },
    /// The stream of WAL broke.
    #[error("receive WAL behind {at}")]
    Wal {
        /// Up to here it was received.
        at: WalPosition,
        /// Why it goes no further.
        source: PgError,
    },
    /// The stream of WAL goes on at another place than it must.
    #[error("receive WAL behind {at}: the server went on at {found}")]
    Gap {
        /// Up to here it was received.
        at: WalPosition,
        /// Where the server goes on.
        found: Lsn,
    },
    /// The server does not answer any more.
    #[error("receive WAL behind {at}: the server has not answered for {} s", .silent.as_secs_f32())]
    Silent {
        /// Up to here WAL was received.
        at: WalPosition,
        /// For so long.
        silent: Duration,
    },
    /// All of a base backup was received, and then the server told that pages had wrong checksums
    /// when it read them. Which ones, its warnings say.
    #[error("BASE_BACKUP: all data was received, and the server found pages with wrong checksums")]
    ChecksumFailures {
        /// Where the backup ended.
        finished: WalPosition,
        /// The server's words.
        source: Box<DbError>,
    },
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The role does not have the attribute REPLICATION.
    NoReplicationRight,
    /// pg_hba.conf has no line that lets the role in for replication from here, or the role cannot
    /// log in at all.
    NotLetIn,
    /// The password is wrong.
    WrongPassword,
    /// `max_wal_senders` or `max_connections` is reached; the server's words say which. Under
    /// `wal_level=minimal`, the former is 0.
    ConnectionsUsedUp,
    /// A slot of this name exists.
    SlotExists,
    /// There is no slot of this name.
    NoSuchSlot,
    /// Another session uses the slot.
    SlotInUse,
    /// `max_replication_slots` is reached.
    SlotsUsedUp,
    /// The server dropped WAL that the slot should have kept: its slot is worth nothing any more.
    SlotInvalidated,
    /// The server does not have this WAL any more.
    WalRemoved,
    /// The server cannot make base backups as it is set now, or stopped being what it was when the
    /// backup began.
    BackupNotPossible,
    /// The server was built without this compression, or does not know its level.
    CompressionRefused,
    /// Pages or files of the server are damaged.
    DataCorrupted,
    /// Someone cancelled the command.
    Cancelled,
}

impl ReplicationFailure {
    /// What was asked for.
    pub fn command(&self) -> ReplicationCommand {
        match self {
            ReplicationFailure::Command { command, .. }
            | ReplicationFailure::TooOld { command, .. }
            | ReplicationFailure::Option { command, .. } => *command,
            ReplicationFailure::Wal { .. }
            | ReplicationFailure::Gap { .. }
            | ReplicationFailure::Silent { .. } => ReplicationCommand::StartReplication,
            ReplicationFailure::ChecksumFailures { .. } => ReplicationCommand::BaseBackup,
        }
    }

    /// The server's error code, if the server refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            ReplicationFailure::Command { source, .. } | ReplicationFailure::Wal { source, .. } => {
                source.sqlstate()
            }
            ReplicationFailure::ChecksumFailures { source, .. } => Some(&source.sqlstate),
            _ => None,
        }
    }

    /// What the server's refusal means, where it is a known one.
    pub fn refusal(&self) -> Option<Refusal> {
        use ReplicationCommand::{BaseBackup, Connect, CreateSlot, StartReplication};
        Some(match (self.command(), self.sqlstate()?) {
            (Connect, "42501") => Refusal::NoReplicationRight,
            (Connect, "28000") => Refusal::NotLetIn,
            (Connect, "28P01") => Refusal::WrongPassword,
            (Connect, "53300") => Refusal::ConnectionsUsedUp,
            (CreateSlot, "42710") => Refusal::SlotExists,
            (CreateSlot, "53400") => Refusal::SlotsUsedUp,
            (StartReplication, "55000") => Refusal::SlotInvalidated,
            (StartReplication, "58P01") => Refusal::WalRemoved,
            (BaseBackup, "55000") => Refusal::BackupNotPossible,
            // Nothing else in our commands is a syntax error.
            (BaseBackup, "42601" | "0A000") => Refusal::CompressionRefused,
            (_, "42704") => Refusal::NoSuchSlot,
            (_, "55006") => Refusal::SlotInUse,
            (_, "XX001") => Refusal::DataCorrupted,
            (_, "57014") => Refusal::Cancelled,
            _ => return None,
        })
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.refusal() {
            Some(Refusal::NoReplicationRight) => "ALTER ROLE … REPLICATION",
            Some(Refusal::NotLetIn) => {
                "add a line for the database \"replication\", this role and this host to pg_hba.conf of the server"
            }
            Some(Refusal::ConnectionsUsedUp) => {
                "wait until other backups and standbys end, or raise the limit: max_wal_senders (with wal_level at \
                 replica or logical), max_connections"
            }
            Some(Refusal::SlotExists) => "choose another name, or drop the slot if nothing uses it",
            Some(Refusal::NoSuchSlot) => "check the slot's name in pg_replication_slots",
            Some(Refusal::SlotInUse) => {
                "wait until the session that uses the slot ends (pg_replication_slots, active_pid)"
            }
            Some(Refusal::SlotsUsedUp) => "drop a slot that nothing uses, or raise max_replication_slots",
            Some(Refusal::SlotInvalidated) => {
                "drop the slot, create it again, and take a backup; max_slot_wal_keep_size limits what slots keep"
            }
            Some(Refusal::WalRemoved) => {
                "use a replication slot, or raise wal_keep_size; the missing WAL may be in an archive"
            }
            Some(Refusal::BackupNotPossible) => {
                "set wal_level to replica; on a standby, begin the backup again"
            }
            Some(Refusal::CompressionRefused) => {
                "let the server send without compression, or with another one"
            }
            Some(Refusal::DataCorrupted) => {
                "look for the files and blocks in the server's log, and check its disks before anything else"
            }
            Some(Refusal::WrongPassword | Refusal::Cancelled) | None => match self {
                ReplicationFailure::Command { source, .. } | ReplicationFailure::Wal { source, .. } => {
                    return source.hint();
                }
                ReplicationFailure::Silent { .. } => "check the network and the server",
                _ => return None,
            },
        };
        Some(hint.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_decides_what_a_code_means() {
        let failure = |command, sqlstate: &str| {
            let refusal = DbError { sqlstate: sqlstate.into(), ..DbError::default() };
            ReplicationFailure::Command { command, source: PgError::Db(Box::new(refusal)) }
        };
        use ReplicationCommand::*;
        for (command, sqlstate, expected) in [
            (CreateSlot, "55000", None),
            (CreateSlot, "53400", Some(Refusal::SlotsUsedUp)),
            (StartReplication, "55000", Some(Refusal::SlotInvalidated)),
            (BaseBackup, "55000", Some(Refusal::BackupNotPossible)),
            (TimelineHistory, "55000", None),
            (Connect, "42501", Some(Refusal::NoReplicationRight)),
            (BaseBackup, "42501", None),
            (TimelineHistory, "58P01", None),
            (StartReplication, "58P01", Some(Refusal::WalRemoved)),
            (DropSlot, "42704", Some(Refusal::NoSuchSlot)),
            (BaseBackup, "XX001", Some(Refusal::DataCorrupted)),
            (BaseBackup, "42601", Some(Refusal::CompressionRefused)),
            (StartReplication, "42601", None),
        ] {
            let failure = failure(command, sqlstate);
            assert_eq!(failure.refusal(), expected, "{command} {sqlstate}");
            assert_eq!((failure.command(), failure.sqlstate()), (command, Some(sqlstate)));
            assert!(expected.is_none() || failure.hint().is_some());
        }
        let at = WalPosition { timeline: 2, lsn: Lsn(7) };
        let failure = ReplicationFailure::Silent { at, silent: Duration::from_millis(1500) };
        assert_eq!(
            failure.to_string(),
            "receive WAL behind 0/7 on timeline 2: the server has not answered for 1.5 s"
        );
    }
}
