//! What `/manifest.json` says of the cluster and its databases, from outside of them.

use std::collections::HashMap;

use pgark_bytes::names::shown_json;
use pgark_pg::Connection;
use serde_json::{Map, Value, json};

use crate::OpsError;
use crate::error::Doing;

/// What the manifest says of the cluster in addition to its databases.
pub(crate) struct ClusterFacts {
    pub config: Value,
    pub roles: Vec<Value>,
    pub tablespaces: Vec<Value>,
    pub databases: Vec<Value>,
}

/// The first column of a query's rows, which is JSON.
pub(crate) fn texts(connection: &mut Connection, sql: &str, doing: &str) -> Result<Vec<String>, OpsError> {
    let rows = connection.query(sql, &[]).doing(doing)?;
    Ok(rows.iter().map(|row| json_text(row.get(0))).collect())
}

/// A SQL_ASCII database may hold bytes that are no text.
pub(crate) fn json_text(bytes: Option<&[u8]>) -> String {
    let bytes = bytes.unwrap_or(b"null");
    std::str::from_utf8(bytes).map_or_else(|_| shown_json(bytes), str::to_string)
}

fn values(connection: &mut Connection, sql: &str, doing: &str) -> Result<Vec<Value>, OpsError> {
    texts(connection, sql, doing)?
        .iter()
        .map(|text| {
            serde_json::from_str(text)
                .map_err(|_| OpsError::refused(format!("{doing}: the server's JSON cannot be read"), ""))
        })
        .collect()
}

impl ClusterFacts {
    /// Reads what needs no database.
    pub(crate) fn read(connection: &mut Connection) -> Result<ClusterFacts, OpsError> {
        let rows = connection
            // Not what this session has made of it.
            .query(
                "SELECT name, CASE source WHEN 'session' THEN reset_val ELSE setting END FROM pg_catalog.pg_settings",
                &[],
            )
            .doing("read the server's settings")?;
        let settings: HashMap<&str, &str> =
            rows.iter().filter_map(|row| Some((row.str(0).ok()?, row.opt_str(1).ok()??))).collect();
        Ok(ClusterFacts {
            config: config(&settings),
            roles: values(
                connection,
                "SELECT pg_catalog.json_build_object('name', r.rolname, 'superuser', r.rolsuper, 'replication', r.rolreplication, \
                   'can_login', r.rolcanlogin, 'create_db', r.rolcreatedb, 'create_role', r.rolcreaterole, 'inherit', r.rolinherit, \
                   'bypass_rls', r.rolbypassrls, 'connection_limit', r.rolconnlimit, \
                   'valid_until', CASE WHEN r.rolvaliduntil <> 'infinity' THEN r.rolvaliduntil END, \
                   'member_of', (SELECT coalesce(pg_catalog.json_agg(g.rolname ORDER BY g.rolname), '[]') \
                                 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid), \
                   'settings', r.rolconfig) \
                 FROM pg_catalog.pg_roles r ORDER BY r.rolname",
                "read the roles",
            )?,
            tablespaces: values(
                connection,
                "SELECT pg_catalog.json_build_object('name', t.spcname, 'owner', pg_catalog.pg_get_userbyid(t.spcowner), \
                   'location', pg_catalog.pg_tablespace_location(t.oid), 'options', coalesce(t.spcoptions, '{}'), 'acl', t.spcacl::pg_catalog.text[]) \
                 FROM pg_catalog.pg_tablespace t ORDER BY t.spcname",
                "read the tablespaces",
            )?,
            databases: values(
                connection,
                // What only some majors have is taken from the row as JSON.
                "SELECT pg_catalog.json_build_object('name', d.datname, 'owner', pg_catalog.pg_get_userbyid(d.datdba), \
                   'encoding', pg_catalog.pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype, \
                   'allow_conn', d.datallowconn, 'is_template', d.datistemplate, 'default_tablespace', t.spcname, \
                   'connection_limit', d.datconnlimit, 'acl', d.datacl::pg_catalog.text[], \
                   'locale_provider', CASE coalesce(j.row->>'datlocprovider', 'c') WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END, \
                   'locale', coalesce(j.row->>'datlocale', j.row->>'daticulocale'), 'icu_rules', j.row->>'daticurules', \
                   'collation_version', j.row->>'datcollversion', \
                   'settings', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('role', u.rolname, 'settings', s.setconfig) ORDER BY u.rolname NULLS FIRST) \
                                FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles u ON u.oid = s.setrole WHERE s.setdatabase = d.oid)) \
                 FROM pg_catalog.pg_database d LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
                 CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(d) AS row) j ORDER BY d.datname",
                "read the databases' properties",
            )?,
        })
    }
}

/// The settings that tell most of a cluster.
fn config(settings: &HashMap<&str, &str>) -> Value {
    let mut config = Map::new();
    for name in [
        "data_directory",
        "wal_level",
        "server_encoding",
        "shared_preload_libraries",
        "lc_collate",
        "lc_ctype",
        "archive_mode",
    ] {
        if let Some(value) = settings.get(name) {
            config.insert(name.into(), json!(value));
        }
    }
    if let Some(zone) = settings.get("TimeZone") {
        config.insert("timezone".into(), json!(zone));
    }
    for name in ["max_connections", "block_size", "wal_block_size"] {
        if let Some(number) = settings.get(name).and_then(|value| value.parse::<i64>().ok()) {
            config.insert(name.into(), json!(number));
        }
    }
    let is_on = |name: &str| settings.get(name) == Some(&"on");
    config.insert("data_checksums".into(), json!(is_on("data_checksums")));
    let command = settings.get("archive_command").copied().unwrap_or_default();
    config.insert("archive_command_set".into(), json!(!command.is_empty() && command != "(disabled)"));
    Value::Object(config)
}

/// The time, as the manifest has it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |time| time.to_string())
}
