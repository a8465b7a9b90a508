//! Who holds the locks that someone waits for: sessions, and prepared transactions, which no
//! session has any more and which stay until someone ends them.

use pgark_bytes::sql::quote_literal;
use pgark_pg::{Connection, Row};

use crate::OpsError;
use crate::advice::Advice;
use crate::error::Doing;

/// Prepared transactions with their locks. `pg_locks` of PostgreSQL 14 and newer shows them under
/// the virtual transaction of the session that prepared them; the lock on their own id tells which
/// they are.
const PREPARED: &str = "SELECT t.virtualtransaction, p.gid, p.owner, p.database, \
            pg_catalog.to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since \
     FROM pg_catalog.pg_prepared_xacts p JOIN pg_catalog.pg_locks t ON t.transactionid = p.transaction \
       AND t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock' AND t.pid IS NULL";

/// One who keeps others from a table.
pub(crate) struct Holder {
    /// Schema and name.
    pub table: String,
    /// For people: the table and who has it.
    pub told: String,
    /// Of a prepared transaction: SQL that ends it.
    end: Option<String>,
}

/// Who holds, or waits for, exclusive locks on tables of the connected database: at most five.
pub(crate) fn of_exclusive_locks(connection: &mut Connection) -> Result<Vec<Holder>, OpsError> {
    read(connection, "l.mode = 'AccessExclusiveLock'", "LIMIT 5")
}

/// Which prepared transactions hold locks on tables of the connected database, and so end only by
/// hand. `to_drop`: any lock keeps others from dropping a table; else those that keep them from
/// writing.
pub(crate) fn prepared(connection: &mut Connection, to_drop: bool) -> Result<Vec<Holder>, OpsError> {
    match to_drop {
        true => read(connection, "p.gid IS NOT NULL", ""),
        false => read(
            connection,
            "p.gid IS NOT NULL AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock', \
             'ShareUpdateExclusiveLock')",
            "",
        ),
    }
}

fn read(connection: &mut Connection, condition: &str, limit: &str) -> Result<Vec<Holder>, OpsError> {
    let doing = "find out who holds the locks";
    let sql = format!(
        "SELECT DISTINCT pg_catalog.format('%s.%s', n.nspname, c.relname), l.granted, l.pid, a.application_name, \
                p.gid, p.owner, p.since \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database() \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         LEFT JOIN ({PREPARED}) p ON l.pid IS NULL AND p.virtualtransaction = l.virtualtransaction \
               AND p.database = d.datname \
         WHERE l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'm') \
           AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND {condition} \
         ORDER BY l.granted DESC, 1, 3 {limit}"
    );
    let rows = connection.query(&sql, &[]).doing(doing)?;
    Ok(rows.iter().map(Holder::of).collect())
}

impl Holder {
    fn of(row: &Row) -> Holder {
        let text = |at: usize| row.get(at).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let table = text(0).unwrap_or_default();
        let application = match text(3).unwrap_or_default() {
            name if name.is_empty() => String::new(),
            name => format!(" ({name})"),
        };
        let mut end = None;
        let told = match (text(4), text(2)) {
            (Some(gid), _) => {
                let gid = quote_literal(&gid);
                end = Some(format!("COMMIT PREPARED {gid} or ROLLBACK PREPARED {gid}"));
                format!(
                    "{table} is locked by the prepared transaction {gid} of role {}, prepared {}",
                    text(5).unwrap_or_default(),
                    text(6).unwrap_or_default()
                )
            }
            (None, Some(pid)) if row.get(1) == Some(b"t") => {
                format!("{table} is locked by process {pid}{application}")
            }
            (None, Some(pid)) => format!("process {pid}{application} waits to lock {table}"),
            (None, None) => format!("{table} is locked by a transaction without a session"),
        };
        Holder { table, told, end }
    }
}

/// What they are, for people.
pub(crate) fn told(holders: &[Holder]) -> String {
    let told: Vec<&str> = holders.iter().map(|holder| holder.told.as_str()).collect();
    told.join("; ")
}

/// What to do about them.
pub(crate) fn hint(holders: &[Holder], database: &str, otherwise: Advice) -> Advice {
    let mut ends: Vec<&str> = holders.iter().filter_map(|holder| holder.end.as_deref()).collect();
    ends.sort_unstable();
    ends.dedup();
    match ends.is_empty() {
        true => otherwise,
        false => format!(
            "a prepared transaction no longer belongs to a session; in database {database:?} run {}",
            ends.join("; ")
        )
        .into(),
    }
}
