//! The catalog as the snapshot sees it, in a few set-based queries.

use std::collections::{HashMap, HashSet};

use pgark_bytes::names::shown;
use pgark_bytes::sql::quote_ident_bytes;
use pgark_pg::Connection;

use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::error::Doing;

/// A table's qualified name: UTF-8, or in a SQL_ASCII database the bytes as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub schema: Vec<u8>,
    pub name: Vec<u8>,
}

impl TableName {
    /// `"schema"."table"`, for the lead connection.
    pub(crate) fn quoted(&self) -> Vec<u8> {
        [quote_ident_bytes(&self.schema), quote_ident_bytes(&self.name)].join(b".".as_slice())
    }
}

/// For people.
impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", shown(&self.schema), shown(&self.name))
    }
}

/// One table that holds data or is locked for its definition.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub oid: u32,
    pub name: TableName,
    /// `r`, `p` (partitioned: locked, holds no rows) or `f` (foreign: cannot be locked; its rows
    /// are elsewhere).
    pub kind: char,
    /// Uses the heap access method, so that ctid ranges mean pages.
    pub is_heap: bool,
    /// Pages of the main fork.
    pub heap_pages: u64,
    /// Bytes of main fork and TOAST.
    pub bytes: u64,
    /// File node and columns; see [`Catalog::fingerprints`].
    pub fingerprint: String,
    /// A hash of the columns' names and types, as COPY writes them.
    pub columns: String,
    /// The rows that an extension declares as configuration, if this is such a table: `WHERE …` or
    /// nothing.
    pub extension_condition: Option<String>,
    /// Row-level security applies to the role: COPY is refused, since it would not read all rows.
    pub hides_rows: bool,
    /// Rows were updated or deleted since the server counts; None: it has counted nothing.
    pub changes: Option<bool>,
    readable: bool,
    in_extension: bool,
}

/// What the lead read.
pub(crate) struct Catalog {
    pub tables: Vec<Table>,
    by_oid: HashMap<u32, usize>,
    /// The tables that filters leave, where there are filters.
    chosen: Option<HashSet<u32>>,
}

/// Whether rows were updated or deleted, as the server's statistics count them. They count nothing
/// on a standby, with `track_counts = off`, and after a crash or an upgrade.
const CHANGES: &str = "CASE WHEN pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid) \
                                 + pg_catalog.pg_stat_get_tuples_deleted(c.oid) > 0 \
                            THEN pg_catalog.pg_stat_get_tuples_updated(c.oid) + pg_catalog.pg_stat_get_tuples_deleted(c.oid) > 0 END";

/// Tables of users: no system schemas, no TOAST, no other session's temporary tables.
const USER_TABLES: &str = "c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' \
     AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'";

/// About how many locks the server's lock table has room for.
pub(super) const FREE_LOCKS: &str = "SELECT pg_catalog.current_setting('max_locks_per_transaction')::bigint * \
     (pg_catalog.current_setting('max_connections')::bigint + \
      pg_catalog.current_setting('max_prepared_transactions')::bigint) - \
     (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks)";

/// Tables that extensions own, with the rows of each that are configuration: `WHERE …` or nothing.
const EXTENSION_TABLES: &str = "SELECT d.objid, e.extname, \
            (SELECT coalesce(e.extcondition[i], '') \
             FROM pg_catalog.generate_subscripts(e.extconfig, 1) i WHERE e.extconfig[i] = d.objid) AS condition \
     FROM pg_catalog.pg_depend d \
     JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0 \
       AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'";

/// Whether the role has the right to read a table.
const READABLE: &str =
    "pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')";

/// Of each table `c` in schema `n`: what a truncation, a rewrite or a change of its columns
/// changes. Read table by table: in a small database the rows of the system's own tables are most.
const FINGERPRINT: &str = "pg_catalog.md5(c.relfilenode || ' ' || c.relname || ' ' || n.nspname || ' ' \
        || coalesce(pg_catalog.md5(a.form), ''))";

/// `a.form` of [`FINGERPRINT`], and in `a.columns` the columns as COPY writes them.
const COLUMNS: &str = "CROSS JOIN LATERAL (SELECT \
            pg_catalog.string_agg(attnum::text || ' ' || attname || ' ' || atttypid::text || ' ' \
               || atttypmod::text || ' ' || attgenerated::text, ',' ORDER BY attnum) AS form, \
            pg_catalog.string_agg(attname || ' ' || pg_catalog.format_type(atttypid, atttypmod), ',' ORDER BY attnum) \
               FILTER (WHERE attgenerated = '') AS columns \
        FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a";

impl Catalog {
    pub(crate) fn read(connection: &mut Connection) -> Result<Catalog, OpsError> {
        let sql = format!(
            "SELECT c.oid, n.nspname, c.relname, c.relkind, \
                    coalesce(am.amname = 'heap', false), \
                    coalesce(pg_catalog.pg_relation_size(c.oid), 0), \
                    coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0), \
                    {READABLE}, x.extname IS NOT NULL, x.condition, pg_catalog.md5(a.columns), {FINGERPRINT}, \
                    c.relrowsecurity AND pg_catalog.row_security_active(c.oid), {CHANGES} \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
             LEFT JOIN ({EXTENSION_TABLES}) x ON x.objid = c.oid \
             {COLUMNS} \
             WHERE {USER_TABLES} ORDER BY c.oid"
        );
        let rows = connection.query(&sql, &[]).doing("read the tables from the catalog")?;
        let doing = "read the tables from the catalog";
        let page_bytes = 8192;
        let mut tables = Vec::with_capacity(rows.len());
        for row in &rows {
            let oid: u32 = row.parse(0).doing(doing)?;
            if row.get(7).is_none() {
                // The privilege functions look at the present: the snapshot's table is gone.
                let name = String::from_utf8_lossy(row.get(2).unwrap_or_default());
                return Err(OpsError::Stale { what: format!("{name} was dropped") });
            }
            let heap: u64 = row.parse(5).doing(doing)?;
            let toast: u64 = row.parse(6).doing(doing)?;
            tables.push(Table {
                oid,
                name: TableName {
                    schema: row.get(1).unwrap_or_default().to_vec(),
                    name: row.get(2).unwrap_or_default().to_vec(),
                },
                kind: row.str(3).doing(doing)?.chars().next().unwrap_or('r'),
                is_heap: row.str(4).doing(doing)? == "t",
                heap_pages: heap / page_bytes,
                bytes: heap + toast,
                fingerprint: row.str(11).doing(doing)?.to_string(),
                columns: row.opt_str(10).doing(doing)?.unwrap_or_default().to_string(),
                hides_rows: row.str(12).doing(doing)? == "t",
                changes: row.opt_str(13).doing(doing)?.map(|changes| changes == "t"),
                readable: row.str(7).doing(doing)? == "t",
                in_extension: row.str(8).doing(doing)? == "t",
                extension_condition: row.opt_str(9).doing(doing)?.map(str::to_string),
            });
        }
        let by_oid = tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
        Ok(Catalog { tables, by_oid, chosen: None })
    }

    /// Per table: file node and columns, as the connection's snapshot sees them. Two views that
    /// agree mean that the table was neither truncated, rewritten nor altered in between.
    pub(crate) fn fingerprints(connection: &mut Connection) -> Result<HashMap<u32, String>, OpsError> {
        let doing = "read the tables' columns";
        let sql = format!(
            "SELECT c.oid, {FINGERPRINT} FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace {COLUMNS} WHERE {USER_TABLES}"
        );
        let mut found = HashMap::new();
        for row in connection.query(&sql, &[]).doing(doing)? {
            found.insert(row.parse(0).doing(doing)?, row.str(1).doing(doing)?.to_string());
        }
        Ok(found)
    }

    /// Names of the tables that a backup of everything locks, as they are now, and how many locks
    /// the server's lock table has room for: outside of any transaction.
    pub(super) fn to_lock(connection: &mut Connection) -> Result<(Vec<TableName>, i64), OpsError> {
        let doing = "list the tables";
        let sql = format!(
            "SELECT n.nspname, c.relname, ({FREE_LOCKS}) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN ({EXTENSION_TABLES}) x ON x.objid = c.oid \
             WHERE {USER_TABLES} AND c.relkind <> 'f' AND {READABLE} AND (x.objid IS NULL OR x.condition IS NOT NULL) \
             ORDER BY c.oid"
        );
        let rows = connection.query(&sql, &[]).doing(doing)?;
        let free = rows.first().map(|row| row.parse(2)).transpose().doing(doing)?.unwrap_or(0);
        let name = |at: usize, row: &pgark_pg::Row| row.get(at).unwrap_or_default().to_vec();
        Ok((rows.iter().map(|row| TableName { schema: name(0, row), name: name(1, row) }).collect(), free))
    }

    pub(crate) fn table(&self, oid: u32) -> Option<&Table> {
        self.by_oid.get(&oid).and_then(|at| self.tables.get(*at))
    }

    /// What pg_dump will read or describe and what we hold still for it: everything but an
    /// extension's own tables (except its configuration tables) and what we have no right to read.
    pub(crate) fn lockable(&self) -> impl Iterator<Item = &Table> {
        self.wanted().filter(|table| table.readable)
    }

    /// What belongs into the backup and can be locked.
    fn wanted(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| {
            table.kind != 'f'
                && table.is_ours()
                && self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&table.oid))
        })
    }

    /// From now on only these tables belong into the backup.
    pub(crate) fn choose(&mut self, is_chosen: impl Fn(&Table) -> bool) {
        self.chosen =
            Some(self.tables.iter().filter(|table| is_chosen(table)).map(|table| table.oid).collect());
    }

    /// Tables that belong into the backup and that the role has no right to read.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = &Table> {
        self.wanted().filter(|table| !table.readable)
    }

    /// Names every table without the right to read it, before anything is locked (trap 6).
    pub(crate) fn refuse_unreadable(&self, role: &str, keep_going: bool) -> Result<(), OpsError> {
        let names: Vec<String> = self.unreadable().map(|table| table.name.to_string()).collect();
        if names.is_empty() || keep_going {
            return Ok(());
        }
        let mut schemas: Vec<_> =
            self.unreadable().map(|table| quote_ident_bytes(&table.name.schema)).collect();
        schemas.sort_unstable();
        schemas.dedup();
        let quoted: Vec<_> = self.unreadable().map(|table| table.name.quoted()).collect();
        let listed = |names: &[Vec<u8>]| String::from_utf8_lossy(&names.join(b", ".as_slice())).into_owned();
        Err(OpsError::refused(
            format!("the role has no right to read {}", names.join(", ")),
            advice![
                format!(
                    "GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {} TO {role} (or GRANT pg_read_all_data TO {role})",
                    listed(&schemas),
                    listed(&quoted)
                ),
                ", or back up the rest with ",
                Setting::KeepGoing,
            ],
        ))
    }
}

#[cfg(test)]
impl Catalog {
    pub(super) fn for_tests(schema: &str, name: &str) -> Catalog {
        let name = TableName { schema: schema.into(), name: name.into() };
        let tables = vec![Table { name, readable: true, ..Table::for_tests(1, 1) }];
        Catalog { by_oid: HashMap::from([(1, 0)]), tables, chosen: None }
    }
}

#[cfg(test)]
impl Table {
    pub(crate) fn for_tests(heap_pages: u64, bytes: u64) -> Table {
        Table {
            oid: 1,
            name: TableName { schema: b"s".to_vec(), name: b"t".to_vec() },
            kind: 'r',
            is_heap: true,
            heap_pages,
            bytes,
            fingerprint: String::new(),
            columns: String::new(),
            extension_condition: None,
            hides_rows: false,
            changes: None,
            readable: true,
            in_extension: false,
        }
    }
}

impl Table {
    fn is_ours(&self) -> bool {
        !self.in_extension || self.extension_condition.is_some()
    }
}
