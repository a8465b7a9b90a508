//! Makes the target ready: creates it, or drops what the backup holds.

use std::sync::atomic::Ordering;

use pgark_bytes::archive::statements;
use pgark_pg::Connection;

use super::place::{DatabaseRestore, Mark};
use super::request::Target;
use super::trail::Stage;
use super::{clean, marks, target};
use crate::advice::{Setting, advice};
use crate::error::Doing;
use crate::watch::Watch;
use crate::{Job, OpsError};

/// Creates the database, or drops what the backup holds.
pub(super) fn make_ready(
    place: &DatabaseRestore<'_>,
    job: &Job,
    watch: &Watch,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    match place.target {
        Target::Existing => Ok(()),
        Target::Create => create(place, job, watch, notes),
        // Part of that transaction.
        Target::Clean if place.request.single_transaction => Ok(()),
        Target::Clean => {
            job.progress.phase("dropping the objects to be replaced");
            let mut connection = target::connect(place, watch)?;
            connection.execute("BEGIN").doing("start to drop objects")?;
            clean::drop_all(place, &mut connection, notes)?;
            place.trail.set(Stage::Dropping);
            connection.execute("COMMIT").doing("commit the drops")
        }
    }
}

/// The archive's own CREATE DATABASE (encoding, locale, template0) under the target's name. Its
/// properties follow with the other entries.
fn create(
    place: &DatabaseRestore<'_>,
    job: &Job,
    watch: &Watch,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let mut connection = target::connect_to_maintenance(place.request, watch)?;
    let name = place.conninfo.dbname();
    if matches!(place.earlier, Some(Mark::Begun { .. })) {
        let sql = format!("DROP DATABASE {}", pgark_bytes::sql::quote_ident(name));
        connection
            .execute(&sql)
            .doing(format!("drop database {name}, which an earlier run did not finish"))?;
    }
    if target::exists(&mut connection, name)? {
        job.progress.info(&format!("database {name} exists and is empty: restoring into it"));
        return Ok(());
    }
    if !place.several {
        job.progress.phase("creating the database");
    }
    let entry =
        place.contents.archive.entries.iter().find(|entry| entry.kind() == "DATABASE").ok_or_else(|| {
            OpsError::refused(
                "the backup does not contain the database's properties",
                advice!["create it, and restore without ", Setting::Create],
            )
        })?;
    let from = entry.tag_bytes();
    let mut definition = statements::for_server(entry.defn_bytes(), connection.server_version() / 10_000);
    if place.options.no_tablespaces {
        definition = statements::without_tablespace(&definition);
    }
    let sql = statements::rename_database(&definition, from, name.as_bytes());
    place.trail.set(Stage::InPart);
    connection.simple_bytes(&sql).map(|_| ()).doing(format!("create database {name}"))?;
    place.created.store(true, Ordering::Release);
    if place.is_marked() {
        marks::begin(&mut connection, place)?;
    }
    let sql = "SELECT NOT rolinherit AND NOT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let inherits_nothing = is_true(&mut connection, sql)?;
    drop(connection);
    if inherits_nothing { let_owner_in(place, watch, notes) } else { Ok(()) }
}

/// Schema `public` belongs to `pg_database_owner` (PostgreSQL 15 and newer). Who owns the database
/// and inherits nothing is a member of that role and has no right to create a table there; as that
/// role it may grant itself the right.
fn let_owner_in(place: &DatabaseRestore<'_>, watch: &Watch, notes: &mut Vec<String>) -> Result<(), OpsError> {
    let mut connection = target::connect_to_look(&place.conninfo, watch)?;
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public' \
               AND pg_catalog.pg_get_userbyid(n.nspowner) = 'pg_database_owner' \
               AND pg_catalog.pg_has_role(n.nspowner, 'MEMBER') \
               AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE'))";
    if !is_true(&mut connection, sql)? {
        return Ok(());
    }
    let doing = "grant the owner of the database rights on schema public";
    let rows = connection.query("SELECT pg_catalog.quote_ident(current_user)", &[]).doing(doing)?;
    let role = rows.first().map(|row| row.str(0)).transpose().doing(doing)?.unwrap_or_default().to_string();
    connection
        .execute(&format!("SET ROLE pg_database_owner; GRANT ALL ON SCHEMA public TO {role}"))
        .doing(doing)?;
    notes.push(format!(
        "role {role} inherits nothing, so its rights on schema public were granted to it by name"
    ));
    Ok(())
}

fn is_true(connection: &mut Connection, sql: &str) -> Result<bool, OpsError> {
    let doing = "read the role's properties";
    let rows = connection.query(sql, &[]).doing(doing)?;
    Ok(rows.first().map(|row| row.str(0)).transpose().doing(doing)? == Some("t"))
}
