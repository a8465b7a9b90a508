//! The lead connection: one repeatable-read transaction that exports the snapshot and holds every
//! lock to the end.
//!
//! Where everything is taken, the tables are locked *before* the snapshot: LOCK TABLE takes none
//! (PostgreSQL documentation, LOCK), so what is locked cannot have changed between the two, and no
//! second connection has to look (trap 2). What the snapshot then shows beyond that (a table made
//! in between), and what filters choose, is locked behind it and compared.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use pgark_pg::{ConnInfo, Connection, Login, PgError, Use};

use super::catalog::{Catalog, FREE_LOCKS, TableName};
use crate::OpsError;
use crate::error::{Doing, LOCK_NOT_AVAILABLE, wait_longer};
use crate::holders::{self, Holder};
use crate::session::{self, SERVER, Settled, Text};
use crate::watch::Watch;

/// Opens a connection whose text is in the database's own encoding.
pub(crate) fn connect_reader(
    conninfo: &ConnInfo,
    encoding: &str,
    watch: &Watch,
) -> Result<Connection, OpsError> {
    Ok(session::open(conninfo, Use::Read, Text::In(encoding), watch, SERVER)?.connection)
}

/// The lead connection and the facts that it read first.
pub(crate) struct Lead {
    pub connection: Connection,
    pub snapshot: String,
    pub snapshot_time: String,
    pub database: String,
    pub encoding: String,
    /// Of the settings that fix the text of rows, those that the program does not choose itself.
    pub row_settings: String,
    /// Where the WAL was when the snapshot was taken (on a standby: replayed up to).
    pub lsn: String,
    pub server_version: i32,
    /// Whose rights count, quoted as SQL has it.
    pub role: String,
    lock_wait: Duration,
    /// How the session began: so does pg_dump's.
    pub login: Login,
    /// Objects carry security labels, which pg_dump then reads; its query for them is one of the
    /// dearest.
    pub has_labels: bool,
    /// The tables that were locked before the snapshot was taken.
    held: HashSet<u32>,
}

impl Lead {
    /// Connects, begins the transaction and exports its snapshot; `all`: locks every table before
    /// that, if the server's lock table has room.
    pub(crate) fn connect(
        conninfo: &ConnInfo,
        lock_wait: Duration,
        all: bool,
        watch: &Watch,
    ) -> Result<Lead, OpsError> {
        let Settled { mut connection, login } =
            session::open(conninfo, Use::Read, Text::ToRead, watch, SERVER)?;
        let server_version = connection.server_version();
        // Reading a table's size already waits for whoever holds it alone.
        let limit = format!("SET lock_timeout = {}", lock_wait.as_millis().max(1));
        connection.execute(&limit).doing("limit the wait for locks")?;
        let (tables, free) = if all { Catalog::to_lock(&mut connection)? } else { (Vec::new(), 0) };
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        connection.execute(begin).doing("start the backup's transaction")?;
        if has_room_twice(tables.len(), free) {
            lock_all(&mut connection, tables.iter())?;
        }
        let rows = connection
            .query(
                "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', \
                 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), d.datname, pg_catalog.pg_encoding_to_char(d.encoding), \
                 CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                      ELSE pg_catalog.pg_current_wal_lsn() END, \
                 (SELECT pg_catalog.string_agg(l.relation::pg_catalog.text, ' ') FROM pg_catalog.pg_locks l \
                  WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted), \
                 EXISTS (SELECT FROM pg_catalog.pg_seclabel) OR EXISTS (SELECT FROM pg_catalog.pg_shseclabel), \
                 pg_catalog.quote_ident(current_user), pg_catalog.pg_backend_pid() \
                 FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
                &[],
            )
            .doing("export the snapshot")?;
        let row = rows.first().ok_or_else(|| OpsError::refused("the database has no catalog row", ""))?;
        let process = row.parse(8).doing("export the snapshot")?;
        connection.check_process(process).doing("export the snapshot")?;
        let text = |i: usize| -> Result<String, OpsError> {
            Ok(row.str(i).doing("read the database's properties")?.to_string())
        };
        Ok(Lead {
            snapshot: text(0)?,
            snapshot_time: text(1)?,
            database: text(2)?,
            encoding: text(3)?,
            row_settings: format!("2 {}", text(3)?),
            lsn: row.opt_str(4).doing("read the database's properties")?.unwrap_or_default().to_string(),
            role: text(7)?,
            has_labels: text(6)? == "t",
            held: row
                .opt_str(5)
                .doing("read the database's properties")?
                .unwrap_or_default()
                .split(' ')
                .filter_map(|oid| oid.parse().ok())
                .collect(),
            server_version,
            lock_wait,
            login,
            connection,
        })
    }

    /// Whether every table was locked before the snapshot was taken.
    pub(crate) fn holds(&self, catalog: &Catalog) -> bool {
        catalog.lockable().all(|table| self.held.contains(&table.oid))
    }

    /// Whether the server's lock table has room for our locks and pg_dump's in addition to what
    /// else goes on.
    ///
    /// The table holds about `max_locks_per_transaction * (max_connections +
    /// max_prepared_transactions)` locks.
    pub(crate) fn can_lock_twice(&mut self, tables: usize) -> Result<bool, OpsError> {
        let rows = self.connection.query(FREE_LOCKS, &[]).doing("read the size of the lock table")?;
        let free: i64 = match rows.first() {
            Some(row) => row.parse(0).doing("read the size of the lock table")?,
            None => 0,
        };
        Ok(has_room_twice(tables, free))
    }

    /// Locks every table in ACCESS SHARE mode, waiting at most the lock wait timeout.
    pub(crate) fn lock(&mut self, catalog: &Catalog) -> Result<(), OpsError> {
        let set = format!("SET lock_timeout = {}", self.lock_wait.as_millis().max(1));
        self.connection.execute(&set).doing("limit the wait for locks")?;
        lock_all(&mut self.connection, catalog.lockable().map(|table| &table.name))?;
        self.connection.execute("SET lock_timeout = 0").doing("lock the tables")
    }

    /// From now on the lead reads rows, in the database's own encoding, and waits for no lock
    /// longer than asked.
    pub(crate) fn use_own_encoding(&mut self) -> Result<(), OpsError> {
        let set = format!("SET lock_timeout = {}", self.lock_wait.as_millis().max(1));
        self.connection.execute(&set).doing("limit the wait for locks")?;
        self.connection
            .query("SELECT pg_catalog.set_config('client_encoding', $1, false)", &[Some(&self.encoding)])
            .doing("set the database's own encoding")?;
        Ok(())
    }

    /// The error of a worker, or, where the lead's connection is gone and with it the snapshot that
    /// all work on, that.
    pub(crate) fn cause_of(&mut self, error: OpsError) -> OpsError {
        if error.is_cancelled() {
            return error;
        }
        let alive = self.connection.execute("SELECT 1").doing("keep the backup's snapshot");
        alive.err().filter(|lost| lost.sqlstate() != Some("25P02")).unwrap_or(error)
    }

    /// Whether names have to be converted between UTF-8 and the database's encoding.
    fn converts(&self) -> bool {
        !matches!(self.encoding.as_str(), "UTF8" | "SQL_ASCII")
    }

    /// Names that the lead read, as bytes of the database's encoding.
    pub(crate) fn in_own_encoding(&mut self, names: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, OpsError> {
        if !self.converts() || names.iter().all(|name| name.is_ascii()) {
            return Ok(names.to_vec());
        }
        let doing = "write names in the database's own encoding";
        // In hex an array needs no quotes; the text that it holds is UTF-8, as the connection's is.
        let list: Vec<String> = names.iter().map(|name| crate::hex::encode(name)).collect();
        let list = format!("{{{}}}", list.join(","));
        let sql = "SELECT pg_catalog.encode(pg_catalog.convert(pg_catalog.decode(x, 'hex'), 'UTF8', $2), 'hex') \
                   FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY u(x, at) ORDER BY at";
        let rows = self.connection.query(sql, &[Some(&list), Some(&self.encoding)]).doing(doing)?;
        let converted: Option<Vec<Vec<u8>>> =
            rows.iter().map(|row| crate::hex::decode(row.get(0).unwrap_or_default())).collect();
        converted
            .filter(|converted| converted.len() == names.len())
            .ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))
    }

    /// What someone typed, as bytes of the database's encoding; none if that does not have these
    /// letters.
    pub(crate) fn try_in_own_encoding(&mut self, text: &str) -> Result<Option<Vec<u8>>, OpsError> {
        if !self.converts() || text.is_ascii() {
            return Ok(Some(text.as_bytes().to_vec()));
        }
        // A failure must not end the transaction that holds the snapshot.
        let converted = self.under_savepoint(|lead| lead.in_own_encoding(&[text.as_bytes().to_vec()]))?;
        Ok(converted.and_then(|names| names.into_iter().next()))
    }

    /// Names out of pg_dump's archive as UTF-8; those that the server cannot convert are left out.
    pub(crate) fn in_utf8(&mut self, names: &BTreeSet<&[u8]>) -> Result<BTreeMap<Vec<u8>, String>, OpsError> {
        let mut converted = BTreeMap::new();
        if !self.converts() || names.is_empty() {
            return Ok(converted);
        }
        let all: Vec<&[u8]> = names.iter().copied().collect();
        let doing = "read names as UTF-8";
        let sql = "SELECT pg_catalog.convert_from(pg_catalog.decode(x, 'hex'), $2) \
                   FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY u(x, at) ORDER BY at";
        let mut open: Vec<&[&[u8]]> = all.chunks(1000).collect();
        while let Some(batch) = open.pop() {
            let list: Vec<String> = batch.iter().map(|name| crate::hex::encode(name)).collect();
            let list = format!("{{{}}}", list.join(","));
            let rows = self.under_savepoint(|lead| {
                lead.connection.query(sql, &[Some(&list), Some(&lead.encoding)]).doing(doing)
            })?;
            match rows {
                Some(rows) => {
                    for (name, row) in batch.iter().zip(&rows) {
                        converted.insert(name.to_vec(), row.str(0).doing(doing)?.to_string());
                    }
                }
                // One of them is the reason: the halves show which.
                None if batch.len() > 1 => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    open.extend([left, right]);
                }
                None => {}
            }
        }
        Ok(converted)
    }

    /// None: the server refused it, and the transaction is as it was.
    pub(super) fn under_savepoint<T>(
        &mut self,
        run: impl FnOnce(&mut Lead) -> Result<T, OpsError>,
    ) -> Result<Option<T>, OpsError> {
        let doing = "try what the server could refuse";
        self.connection.execute("SAVEPOINT pgark_attempt").doing(doing)?;
        match run(self) {
            Ok(value) => {
                self.connection.execute("RELEASE SAVEPOINT pgark_attempt").doing(doing)?;
                Ok(Some(value))
            }
            Err(error) if error.is_refusal() => {
                self.connection
                    .execute("ROLLBACK TO SAVEPOINT pgark_attempt; RELEASE SAVEPOINT pgark_attempt")
                    .doing(doing)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the transaction; the locks go with it. An error means that they may have gone before: a
    /// table that was truncated then would have given no rows.
    pub(crate) fn finish(&mut self) -> Result<(), OpsError> {
        self.connection.execute("COMMIT").doing("keep the locks to the end of the copy")
    }
}

/// pg_dump also locks what our list leaves out; a quarter stays for everybody else.
fn has_room_twice(tables: usize, free: i64) -> bool {
    (tables as i64).saturating_mul(2).saturating_add(200) < free / 4 * 3
}

fn lock_all<'t>(
    connection: &mut Connection,
    tables: impl Iterator<Item = &'t TableName>,
) -> Result<(), OpsError> {
    let names: Vec<Vec<u8>> = tables.map(|name| [b"ONLY ".as_slice(), &name.quoted()].concat()).collect();
    for batch in names.chunks(500) {
        let sql =
            [b"LOCK TABLE ".as_slice(), &batch.join(b", ".as_slice()), b" IN ACCESS SHARE MODE"].concat();
        connection.simple_bytes(&sql).doing("lock the tables")?;
    }
    Ok(())
}

/// After the locks: does every table still look as the snapshot sees it? Asked over a second
/// connection, whose own snapshot is newer than the locks, so that a TRUNCATE, rewrite or column
/// change in between shows (trap 2).
pub(crate) fn refuse_stale(catalog: &Catalog, conninfo: &ConnInfo, watch: &Watch) -> Result<(), OpsError> {
    let mut connection = session::open(conninfo, Use::Read, Text::ToRead, watch, SERVER)?.connection;
    let now = Catalog::fingerprints(&mut connection)?;
    for table in catalog.lockable() {
        match now.get(&table.oid) {
            Some(fingerprint) if *fingerprint == table.fingerprint => {}
            Some(_) => {
                return Err(OpsError::Stale { what: format!("{} was rewritten or altered", table.name) });
            }
            None => return Err(OpsError::Stale { what: format!("{} was dropped", table.name) }),
        }
    }
    Ok(())
}

/// A lock was not to be had in time: says whose it is, as far as the role may see that.
pub(crate) fn name_the_holders(error: OpsError, conninfo: &ConnInfo, watch: &Watch) -> OpsError {
    let is_pg_dumps = matches!(error, OpsError::LockWait { .. });
    if error.sqlstate() != Some(LOCK_NOT_AVAILABLE) && !is_pg_dumps {
        return error;
    }
    match ask_for_holders(conninfo, watch) {
        Ok(found) if !found.is_empty() => {
            let hint = holders::hint(&found, conninfo.dbname(), wait_longer());
            let told = holders::told(&found);
            OpsError::refused(format!("the tables could not be locked in time: {told}"), hint)
        }
        _ => error,
    }
}

fn ask_for_holders(conninfo: &ConnInfo, watch: &Watch) -> Result<Vec<Holder>, OpsError> {
    let mut connection = session::open(conninfo, Use::Read, Text::ToRead, watch, SERVER)?.connection;
    holders::of_exclusive_locks(&mut connection)
}

/// Whether a new snapshot can cure the error: something was dropped, renamed, truncated or altered
/// between snapshot and lock, or pg_dump found the same, or the locks ended in a deadlock.
pub(crate) fn is_stale(error: &OpsError) -> bool {
    match error {
        OpsError::Stale { .. } => true,
        // Of a connection that was never made the same codes mean something else.
        OpsError::Server { source: PgError::Connect { .. }, .. } => false,
        // undefined table, column, schema, object; "snapshot does not exist" cannot be cured by
        // waiting, but by a new one. A deadlock that the server resolved at our cost: all our locks
        // are gone, and others have theirs.
        _ => matches!(error.sqlstate(), Some("42P01" | "42703" | "3F000" | "42704" | "55000" | "40P01")),
    }
}
