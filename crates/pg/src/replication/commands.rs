//! The commands of a replication connection that answer with a row or two (PostgreSQL
//! documentation, "Streaming Replication Protocol"). What differs by version is here.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::sql::quote_ident;

use super::Replication;
use super::failure::{ReplicationCommand, ReplicationFailure};
use crate::{ConnInfo, Connection, PgError, QueryResult, Row};

/// CREATE_REPLICATION_SLOT takes options in parentheses, and READ_REPLICATION_SLOT exists.
const OPTION_LISTS: i32 = 15;

/// Which system a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentification {
    /// Made by initdb; the same on the primary, its standbys and its restored copies.
    pub system_identifier: u64,
    /// The server's timeline.
    pub timeline: u32,
    /// How far its WAL is flushed; of a standby, how far it is received and flushed.
    pub flushed: Lsn,
    /// The connection's database, of a connection that has one.
    pub dbname: Option<String>,
}

/// The history file of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    /// Its name, such as `00000002.history`.
    pub file_name: String,
    /// Its bytes as the server has them.
    pub content: Vec<u8>,
}

/// How far a physical replication slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPosition {
    /// The server keeps the WAL from here on; none before the slot was used or reserved WAL, and
    /// after it lost it.
    pub restart_lsn: Option<Lsn>,
    /// The timeline of that position.
    pub restart_timeline: Option<u32>,
}

impl Connection {
    /// Opens a connection for physical replication, to the first host that is as asked.
    pub fn connect_physical(info: &ConnInfo) -> Result<Connection, ReplicationFailure> {
        Connection::connect(&info.for_replication(Replication::Physical))
            .map_err(|source| ReplicationFailure::Command { command: ReplicationCommand::Connect, source })
    }

    /// Which system the server is, and how far its WAL is.
    pub fn identify_system(&mut self) -> Result<SystemIdentification, ReplicationFailure> {
        self.ask(ReplicationCommand::IdentifySystem, "IDENTIFY_SYSTEM", |row| {
            Ok(SystemIdentification {
                system_identifier: row.parse(0)?,
                timeline: row.parse(1)?,
                flushed: row.parse(2)?,
                dbname: row.opt_str(3)?.map(str::to_string),
            })
        })
    }

    /// The history file of a timeline. Timeline 1 has none, and is refused by the server.
    pub fn timeline_history(&mut self, timeline: u32) -> Result<TimelineHistory, ReplicationFailure> {
        let sql = format!("TIMELINE_HISTORY {timeline}");
        self.ask(ReplicationCommand::TimelineHistory, &sql, |row| {
            let content = row.get(1).ok_or(PgError::Value { column: 1, what: "it is NULL" })?;
            Ok(TimelineHistory { file_name: row.str(0)?.to_string(), content: content.to_vec() })
        })
    }

    /// Creates a physical replication slot. A temporary one is dropped when this connection ends,
    /// and after any error of it. `reserve_wal`: keeps WAL from now on, not only from the first use
    /// on; from where, [`Connection::read_slot`] says.
    pub fn create_physical_slot(
        &mut self,
        name: &str,
        temporary: bool,
        reserve_wal: bool,
    ) -> Result<(), ReplicationFailure> {
        let reserve = match (reserve_wal, self.has_option_lists()) {
            (false, _) => "",
            (true, true) => " (RESERVE_WAL)",
            (true, false) => " RESERVE_WAL",
        };
        let temporary = if temporary { " TEMPORARY" } else { "" };
        let sql = format!("CREATE_REPLICATION_SLOT {}{temporary} PHYSICAL{reserve}", quoted(name));
        self.ask(ReplicationCommand::CreateSlot, &sql, |_| Ok(()))
    }

    /// How far a physical replication slot is; `None` if there is none of this name. From 15 on.
    pub fn read_slot(&mut self, name: &str) -> Result<Option<SlotPosition>, ReplicationFailure> {
        let command = ReplicationCommand::ReadSlot;
        if !self.has_option_lists() {
            return Err(ReplicationFailure::TooOld { command, since: OPTION_LISTS });
        }
        self.ask(command, &format!("READ_REPLICATION_SLOT {}", quoted(name)), |row| {
            // A row of NULLs: there is no such slot.
            let Some(_) = row.opt_str(0)? else { return Ok(None) };
            let restart_lsn = row.opt_str(1)?.map(|_| row.parse(1)).transpose()?;
            let restart_timeline = row.opt_str(2)?.map(|_| row.parse(2)).transpose()?;
            Ok(Some(SlotPosition { restart_lsn, restart_timeline }))
        })
    }

    /// Drops a replication slot. `wait`: waits until nobody uses it, which is refused otherwise.
    pub fn drop_slot(&mut self, name: &str, wait: bool) -> Result<(), ReplicationFailure> {
        let wait = if wait { " WAIT" } else { "" };
        self.simple(&format!("DROP_REPLICATION_SLOT {}{wait}", quoted(name))).map_err(|source| {
            ReplicationFailure::Command { command: ReplicationCommand::DropSlot, source }
        })?;
        Ok(())
    }

    pub(super) fn has_option_lists(&self) -> bool {
        self.server_version() / 10_000 >= OPTION_LISTS
    }

    /// Sends a command, and reads the one row that answers it.
    fn ask<T>(
        &mut self,
        command: ReplicationCommand,
        sql: &str,
        read: impl FnOnce(&Row) -> Result<T, PgError>,
    ) -> Result<T, ReplicationFailure> {
        let results = self.simple(sql);
        results
            .and_then(|results| read(only_row(&results)?))
            .map_err(|source| ReplicationFailure::Command { command, source })
    }
}

/// The row of an answer that must have one.
pub(super) fn only_row(results: &[QueryResult]) -> Result<&Row, PgError> {
    match results.iter().flat_map(|result| &result.rows).collect::<Vec<_>>().as_slice() {
        [row] => Ok(row),
        rows => Err(PgError::Protocol(format!("{} rows instead of one", rows.len()))),
    }
}

/// Names of slots are always quoted: the replication grammar has keywords of its own.
pub(super) fn quoted(name: &str) -> String {
    let quoted = quote_ident(name);
    if quoted.starts_with('"') { quoted } else { format!("\"{quoted}\"") }
}
