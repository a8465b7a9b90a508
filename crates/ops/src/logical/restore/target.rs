//! The target before it is touched: is the plan possible there? And the connection that every
//! worker uses.

use std::collections::{BTreeSet, HashMap, HashSet};

use pgark_bytes::archive::statements::{self, session_setup};
use pgark_pg::{ConnInfo, Connection, Use};

use super::place::DatabaseRestore;
use super::request::{Databases, Request};
use crate::OpsError;
use crate::advice::{Operation, Setting, advice};
use crate::error::Doing;
use crate::hex;
use crate::maintenance::Maintenance;
use crate::session::{self, TARGET, Text};
use crate::shortage::patiently;
use crate::watch::Watch;

/// Opens a connection that restores, for one who holds no other.
pub(super) fn connect(place: &DatabaseRestore<'_>, watch: &Watch) -> Result<Connection, OpsError> {
    patiently(watch, || connect_beside(place, watch))
}

/// The same for one together with others: where the server gives no more connections, that is an
/// error at once. Its settings are those of [`Use::Load`], which do not wait for the disk at each
/// commit (a restore that breaks off is done again anyway, and one that succeeds ends with a commit
/// that waits, `Plan::make_durable`), and those that the archive was written under.
pub(super) fn connect_beside(place: &DatabaseRestore<'_>, watch: &Watch) -> Result<Connection, OpsError> {
    let replica: &[_] = &[("session_replication_role", "replica")];
    let more = if place.request.load.replica_role { replica } else { &[] };
    let mut connection =
        session::open_with(&place.conninfo, Use::Load, Text::ToRead, more, watch, TARGET)?.connection;
    let setup = session_setup(&place.contents.archive, connection.server_version() / 10_000);
    connection.simple_bytes(&setup.join(&b'\n')).doing("prepare a connection to the target")?;
    Ok(connection)
}

/// A connection for looking at the target's catalog, and for what is done in addition to restoring:
/// text in UTF-8.
pub(super) fn connect_to_look(conninfo: &ConnInfo, watch: &Watch) -> Result<Connection, OpsError> {
    let open = || session::open(conninfo, Use::Read, Text::ToRead, watch, TARGET);
    Ok(patiently(watch, open)?.connection)
}

/// A standby or an older major cannot take the backup.
pub(super) fn refuse_unfit_server(connection: &mut Connection, source_version: i32) -> Result<(), OpsError> {
    let (target, source) = (connection.server_version() / 10_000, source_version / 10_000);
    if target < source {
        return Err(OpsError::refused(
            format!("the target is PostgreSQL {target}, older than the backup's {source}"),
            format!("restore into a server of version {source} or newer; nothing was changed"),
        ));
    }
    let rows = connection.query("SELECT pg_catalog.pg_is_in_recovery()", &[]).doing("check the target")?;
    match rows.first().map(|row| row.str(0)).transpose().doing("check the target")? {
        Some("f") => Ok(()),
        _ => Err(OpsError::refused(
            "the target is a standby, which is read-only",
            "restore into its primary; nothing was changed",
        )),
    }
}

/// Objects of users in the connected database, at most six names: everything that did not come with
/// `template0`, but for extensions with all that is theirs, and schemas that hold nothing. Services
/// hand out databases that have such, and `CREATE EXTENSION IF NOT EXISTS` goes on.
pub(super) fn user_objects(connection: &mut Connection) -> Result<Vec<String>, OpsError> {
    const FIRST_USER_OID: u32 = 16_384;
    let kinds = [
        // Indexes and sequences of columns go with their tables, which may be an extension's.
        (
            "pg_class",
            "relkind NOT IN ('i', 'I', 't') AND relpersistence <> 't' AND NOT (relkind = 'S' AND EXISTS (SELECT FROM \
             pg_catalog.pg_depend o WHERE o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objid = x.oid \
             AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.deptype IN ('a', 'i')))",
        ),
        ("pg_proc", "true"),
        ("pg_type", "typrelid = 0 AND typelem = 0 AND typtype <> 'm'"),
        ("pg_operator", "true"),
        ("pg_collation", "true"),
        ("pg_conversion", "true"),
        ("pg_ts_config", "true"),
        ("pg_ts_dict", "true"),
        ("pg_event_trigger", "true"),
        ("pg_publication", "true"),
        ("pg_foreign_data_wrapper", "true"),
        ("pg_foreign_server", "true"),
    ];
    let selects: Vec<String> = kinds
        .iter()
        .map(|(catalog, condition)| {
            format!(
                "SELECT pg_catalog.pg_describe_object('pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, 0) \
                 FROM pg_catalog.{catalog} x WHERE x.oid >= {FIRST_USER_OID} AND {} \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass \
                                 AND d.objid = x.oid AND d.deptype = 'e')",
                condition
            )
        })
        .chain([
            "SELECT 'large object ' || oid::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata".to_string(),
        ])
        .collect();
    let sql = format!("SELECT * FROM ({}) objects LIMIT 6", selects.join(" UNION ALL "));
    let doing = "find objects in the target";
    let rows = connection.query(&sql, &[]).doing(doing)?;
    Ok(rows
        .iter()
        .map(|row| String::from_utf8_lossy(row.get(0).unwrap_or(b"an object")).into_owned())
        .collect())
}

/// The schemas of the connected database.
pub(super) fn schemas(connection: &mut Connection) -> Result<HashSet<Vec<u8>>, OpsError> {
    let rows = connection
        .query("SELECT nspname FROM pg_catalog.pg_namespace", &[])
        .doing("read the target's schemas")?;
    Ok(rows.iter().filter_map(|row| row.get(0)).map(<[u8]>::to_vec).collect())
}

/// Extensions of the connected database and their schemas.
pub(super) fn extensions(connection: &mut Connection) -> Result<HashMap<Vec<u8>, Vec<u8>>, OpsError> {
    let rows = connection
        .query(
            "SELECT e.extname, n.nspname FROM pg_catalog.pg_extension e \
             JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace",
            &[],
        )
        .doing("read the target's extensions")?;
    let bytes = |row: &pgark_pg::Row, column| row.get(column).unwrap_or_default().to_vec();
    Ok(rows.iter().map(|row| (bytes(row, 0), bytes(row, 1))).collect())
}

/// What the archive needs that the server does not have: roles, tablespaces, extensions. All of it
/// is listed at once.
pub(super) fn refuse_missing(
    connection: &mut Connection,
    place: &DatabaseRestore<'_>,
    roles_to_come: &BTreeSet<String>,
    tablespaces_to_come: &BTreeSet<String>,
) -> Result<(), OpsError> {
    let (archive, selection, options) = (&place.contents.archive, &place.picked.selection, &place.options);
    let wanted = || archive.entries.iter().filter(|entry| selection.contains(entry.dump_id));
    let roles: BTreeSet<String> = statements::required_roles(archive, selection, options)
        .into_iter()
        .map(|role| String::from_utf8_lossy(&role).into_owned())
        .collect();
    let tablespaces: BTreeSet<String> = wanted()
        .filter(|_| !options.no_tablespaces)
        .filter_map(|entry| entry.tablespace.as_deref())
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let extensions: BTreeSet<String> = wanted()
        .filter(|entry| entry.kind() == "EXTENSION")
        .map(|entry| entry.tag_str().into_owned())
        .collect();
    let mut missing = Vec::new();
    for (what, needed, sql) in [
        ("role", &roles, "SELECT rolname FROM pg_catalog.pg_roles"),
        ("tablespace", &tablespaces, "SELECT spcname FROM pg_catalog.pg_tablespace"),
        ("extension", &extensions, "SELECT name FROM pg_catalog.pg_available_extensions"),
    ] {
        if needed.is_empty() {
            continue;
        }
        let doing = "read the target's roles, tablespaces and extensions";
        let mut present = BTreeSet::new();
        for row in connection.query(sql, &[]).doing(doing)? {
            present.insert(String::from_utf8_lossy(row.get(0).unwrap_or_default()).into_owned());
        }
        // What the globals of this very restore will make.
        match what {
            "role" => present.extend(roles_to_come.iter().cloned()),
            "tablespace" => present.extend(tablespaces_to_come.iter().cloned()),
            _ => {}
        }
        let lacking: Vec<&str> = needed.difference(&present).map(String::as_str).collect();
        if !lacking.is_empty() {
            let plural = if lacking.len() == 1 { "" } else { "s" };
            missing.push(format!("{what}{plural} {}", lacking.join(", ")));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(OpsError::refused(
        format!("the target server is missing {}", missing.join("; ")),
        advice![
            "restore them with ",
            Setting::Globals,
            " (",
            Operation::ShowGlobals,
            " shows roles and tablespaces), or restore without roles: ",
            Setting::NoOwner,
            " ",
            Setting::NoPrivileges,
            "; nothing was changed",
        ],
    ))
}

/// Which of these relations (names in UTF-8, or bytes that have no encoding) the connected database
/// has.
pub(super) fn present(
    connection: &mut Connection,
    relations: &[(Vec<u8>, Vec<u8>)],
) -> Result<Vec<bool>, OpsError> {
    let doing = "find tables in the target";
    let mut found = Vec::with_capacity(relations.len());
    for (schema, name) in relations {
        let from =
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
        let rows = match (std::str::from_utf8(schema), std::str::from_utf8(name)) {
            (Ok(schema), Ok(name)) => connection.query(
                &format!("{from} WHERE n.nspname = $1 AND c.relname = $2"),
                &[Some(schema), Some(name)],
            ),
            _ => {
                let bytes = |name: &str| {
                    format!(
                        "pg_catalog.convert_to({name}::pg_catalog.text, pg_catalog.getdatabaseencoding())"
                    )
                };
                let is = |name: &str, at: u8| format!("{} = pg_catalog.decode(${at}, 'hex')", bytes(name));
                connection.query(
                    &format!("{from} WHERE {} AND {}", is("n.nspname", 1), is("c.relname", 2)),
                    &[Some(&hex::encode(schema)), Some(&hex::encode(name))],
                )
            }
        }
        .doing(doing)?;
        found.push(!rows.is_empty());
    }
    Ok(found)
}

/// Whether this is the very database that the backup was made of.
pub(super) fn is_the_source(connection: &mut Connection, system_identifier: &str) -> Result<bool, OpsError> {
    let sql = "SELECT CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') \
               THEN (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()) END";
    let doing = "check the target";
    let rows = connection.query(sql, &[]).doing(doing)?;
    Ok(rows.first().map(|row| row.opt_str(0)).transpose().doing(doing)?.flatten() == Some(system_identifier))
}

/// The database that was given comes first, unless it is the target itself, which need not be
/// there.
pub(super) fn connect_to_maintenance(request: &Request, watch: &Watch) -> Result<Connection, OpsError> {
    let given = request.conninfo.dbname();
    let is_target = match &request.databases {
        Databases::One { to, .. } => to.as_deref().is_none_or(|to| to == given),
        // It may be one of them.
        Databases::Named(_) | Databases::All | Databases::None => true,
    };
    let maintenance = Maintenance {
        named: request.maintenance_db.as_deref(),
        likely: Some(given).filter(|_| !is_target).into_iter().collect(),
        unlikely: Some(given).filter(|_| is_target),
    };
    maintenance.connect(&request.session(), |conninfo| connect_to_look(conninfo, watch))
}

/// Whether there is a database of this name.
pub(super) fn exists(connection: &mut Connection, database: &str) -> Result<bool, OpsError> {
    let rows = connection
        .query("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", &[Some(database)])
        .doing("find the target database")?;
    Ok(!rows.is_empty())
}
