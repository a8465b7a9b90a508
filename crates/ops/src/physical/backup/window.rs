//! The beginning and the end of a backup in the server: between them everything that changes in the
//! files is in the WAL (PostgreSQL documentation, "Making a Base Backup Using the Low Level API").
//!
//! Both happen in one session, which stays open and outside of transactions: an open one would keep
//! VACUUM from its work for the time of the copy. If the session ends, so does the backup in the
//! server, and nothing is left behind there: only the form of 13 and 14 that nobody uses any more
//! (exclusive) leaves a file.

use pgark_bytes::lsn::Lsn;
use pgark_pg::Connection;

use super::request::{Checkpoint, Request};
use crate::OpsError;
use crate::error::Doing;

/// What the server said at the end.
pub(super) struct Stopped {
    /// Recovery is consistent from here on.
    pub lsn: Lsn,
    /// `backup_label`, byte for byte.
    pub label: Vec<u8>,
    /// `tablespace_map`; empty: there are no tablespaces.
    pub tablespace_map: Vec<u8>,
}

/// Begins the backup: waits for a checkpoint, and returns where recovery will begin.
pub(super) fn start(connection: &mut Connection, request: &Request) -> Result<Lsn, OpsError> {
    let doing = "begin the backup in the server";
    let sql = match connection.server_version() >= 150_000 {
        true => "SELECT pg_catalog.pg_backup_start($1, $2)",
        false => "SELECT pg_catalog.pg_start_backup($1, $2, false)",
    };
    let fast = match request.checkpoint {
        Checkpoint::Fast => "true",
        Checkpoint::Spread => "false",
    };
    let rows = connection.query(sql, &[Some(&request.label), Some(fast)]).doing(doing)?;
    let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
    row.parse(0).doing(doing)
}

/// Ends the backup. The server does not wait until its archive has the WAL: the backup brings its
/// own.
pub(super) fn stop(connection: &mut Connection) -> Result<Stopped, OpsError> {
    let doing = "end the backup in the server";
    let function = match connection.server_version() >= 150_000 {
        true => "pg_catalog.pg_backup_stop(false)",
        false => "pg_catalog.pg_stop_backup(false, false)",
    };
    // As bytes of the database's encoding, which is that of the files: nothing is converted.
    let bytes = |column: &str| {
        format!("pg_catalog.encode(pg_catalog.convert_to({column}, pg_catalog.getdatabaseencoding()), 'hex')")
    };
    let (label, map) = (bytes("labelfile"), bytes("spcmapfile"));
    let rows = connection.query(&format!("SELECT lsn, {label}, {map} FROM {function}"), &[]).doing(doing)?;
    let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
    let file = |at: usize| {
        let text = row.opt_str(at).doing(doing)?.unwrap_or_default();
        crate::hex::decode(text.as_bytes())
            .ok_or_else(|| OpsError::refused(doing, "the server's answer cannot be read"))
    };
    Ok(Stopped { lsn: row.parse(0).doing(doing)?, label: file(1)?, tablespace_map: file(2)? })
}

/// How far the WAL is written: no page can be newer.
pub(super) fn end_of_wal(connection: &mut Connection) -> Result<Lsn, OpsError> {
    let doing = "read how far the WAL is written";
    let rows = connection.query("SELECT pg_catalog.pg_current_wal_insert_lsn()", &[]).doing(doing)?;
    let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
    row.parse(0).doing(doing)
}
