//! Before the first object: refuse what is not possible, then make the target ready (create it, or drop what the backup
//! holds).

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use pgark_bytes::archive::{TocEntry, statements};
use pgark_bytes::names::shown;
use pgark_pg::Connection;

use super::marks::Mark;
use super::trail::Stage;
use super::{Databases, Place, Request, Target, clean, globals, links, marks, target};
use crate::error::Doing;
use crate::holders;
use crate::maintenance::Maintenance;
use crate::record::About;
use crate::watch::Watch;
use crate::{Job, OpsError};

/// Every reason that is known beforehand why this restore cannot work; nothing is touched. What ties the chosen objects to
/// others is settled, too (`links`).
pub(super) fn refuse_impossible(
    place: &mut Place<'_>,
    about: &About,
    globals: &globals::Plan,
    watch: &Watch,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let request = place.request;
    let mut connection = match place.target {
        Target::Create => connect_to_maintenance(request, watch)?,
        Target::Existing | Target::Clean => target::connect_to_look(&place.conninfo, watch)?,
    };
    target::refuse_unfit_server(&mut connection, about.server_version)?;
    target::refuse_missing(&mut connection, place, globals)?;
    if place.is_marked() {
        look_for_earlier_run(place, &mut connection, watch, notes)?;
    }
    // Inside of the target, if there is one, and it stays.
    let mut inside = match place.target {
        Target::Create if place.earlier.is_some() => None,
        Target::Create if exists(&mut connection, place.conninfo.dbname())? => {
            // A role may have few connections.
            drop(connection);
            Some(target::connect_to_look(&place.conninfo, watch)?)
        }
        Target::Create => None,
        Target::Existing | Target::Clean => Some(connection),
    };
    if place.target != Target::Clean
        && request.choice.makes_definitions()
        && let Some(inside) = inside.as_mut()
    {
        refuse_what_is_there(place, about, inside)?;
        note_what_came_with_the_database(place, inside, notes)?;
    }
    if let Some(inside) = inside.as_mut() {
        refuse_what_never_ends(place, inside)?;
    }
    links::settle(place, inside.as_mut(), notes)
}

/// What a run that was broken off left is passed over where it is whole, and else made again, if all of it is that run's.
fn look_for_earlier_run(
    place: &mut Place<'_>,
    connection: &mut Connection,
    watch: &Watch,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let name = place.conninfo.dbname().to_string();
    let Some(mark) = marks::read(connection, &name)? else { return Ok(()) };
    match &mark {
        Mark::Whole { backup } if *backup == place.backup => {
            notes.push(format!(
                "database {name} is passed over: an earlier run that was not finished restored it whole from this backup"
            ));
        }
        Mark::Begun { backup } if *backup == place.backup => {
            let strangers = clean::strangers(place, watch)?;
            if !strangers.is_empty() {
                return Err(OpsError::refused(
                    format!(
                        "database {name:?} is an unfinished restore of this backup, and holds what is not of it: {}",
                        some(&strangers)
                    ),
                    "move that away or drop the database, and restore again; nothing was touched",
                ));
            }
            notes.push(format!(
                "database {name} is made again: an earlier run created it from this backup and did not finish it"
            ));
        }
        Mark::Begun { backup } | Mark::Whole { backup } => {
            return Err(OpsError::refused(
                format!("database {name:?} was left by a restore of backup {backup} that was not finished"),
                "run that restore again to finish it, or drop the database; nothing was touched",
            ));
        }
    }
    place.earlier = Some(mark);
    Ok(())
}

/// A prepared transaction keeps its locks until somebody ends it: a restore that needs one of those tables would wait for ever.
fn refuse_what_never_ends(place: &Place<'_>, inside: &mut Connection) -> Result<(), OpsError> {
    let tables: HashSet<String> = place
        .contents
        .archive
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind(), "TABLE" | "TABLE DATA" | "MATERIALIZED VIEW"))
        .filter(|entry| place.picked.selection.contains(entry.dump_id))
        .map(|entry| format!("{}.{}", entry.namespace_str(), entry.tag_str()))
        .collect();
    let mut found = holders::prepared(inside, place.target == Target::Clean)?;
    found.retain(|holder| tables.contains(&holder.table));
    if found.is_empty() {
        return Ok(());
    }
    let hint = holders::hint(&found, place.conninfo.dbname(), "");
    Err(OpsError::refused(
        format!("the restore would wait for ever: {}", holders::told(&found)),
        format!("{hint}; nothing was touched"),
    ))
}

/// Definitions go into an empty database; of some tables, into one that does not have these.
fn refuse_what_is_there(place: &Place<'_>, about: &About, inside: &mut Connection) -> Result<(), OpsError> {
    let database = place.conninfo.dbname();
    if place.picked.is_some_of_it() && place.target == Target::Existing {
        let relations: Vec<(Vec<u8>, Vec<u8>)> = place
            .contents
            .archive
            .entries
            .iter()
            .filter(|entry| matches!(entry.kind(), "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE"))
            .filter(|entry| {
                place.picked.selection.contains(entry.dump_id) && !place.picked.is_helper(entry.dump_id)
            })
            .map(|entry| {
                let (schema, name) = entry.matched_name();
                (schema.to_vec(), name.to_vec())
            })
            .collect();
        let present = target::present(inside, &relations)?;
        let there: Vec<String> = relations
            .iter()
            .zip(present)
            .filter(|(_, is_there)| *is_there)
            .map(|((schema, name), _)| format!("{}.{}", shown(schema), shown(name)))
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        return Err(OpsError::refused(
            format!("the target database {database:?} has {} already", some(&there)),
            "restore into another database (--as NAME --create), or load rows only with --data-only; `--clean --dry-run` shows \
             what would be dropped and what would come back if they were replaced; nothing was touched",
        ));
    }
    let objects = target::user_objects(inside)?;
    if objects.is_empty() {
        return Ok(());
    }
    let or = match place.target {
        Target::Create => "or restore under another name",
        _ => {
            "or see with `--clean --dry-run` what would be dropped and what would come back if it were replaced"
        }
    };
    let itself =
        database == place.contents.database && target::is_the_source(inside, &about.system_identifier)?;
    let whose = if itself { "the database that this backup was made of, and it " } else { "" };
    Err(OpsError::refused(
        format!(
            "the target database {database:?} is {whose}{}not empty: it holds {}",
            if itself { "is " } else { "" },
            some(&objects)
        ),
        format!("restore into an empty database, {or}; nothing was touched"),
    ))
}

/// Schemas that are there already are kept; extensions too, and then may be where the archive does not look for them.
fn note_what_came_with_the_database(
    place: &mut Place<'_>,
    inside: &mut Connection,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let (schemas, extensions) = (target::schemas(inside)?, target::extensions(inside)?);
    let (picked, archive) = (&place.picked, &place.contents.archive);
    for entry in archive.entries.iter().filter(|entry| picked.selection.contains(entry.dump_id)) {
        if entry.kind() == "SCHEMA" && schemas.contains(entry.tag_bytes()) {
            place.standing.insert(entry.dump_id);
        }
        let wanted = entry.namespace.as_deref().filter(|schema| !schema.is_empty());
        let wanted = wanted.map(<[u8]>::to_vec).or_else(|| schema_of_extension(entry));
        if entry.kind() == "EXTENSION"
            && let (Some(wanted), Some(is)) = (wanted, extensions.get(entry.tag_bytes()))
            && wanted != *is
        {
            notes.push(format!(
                "extension {} is in schema {} of the target, and in {} of the backup: what uses it there may fail; \
                 DROP EXTENSION it first, and it comes with the restore",
                entry.tag_str(),
                String::from_utf8_lossy(is),
                String::from_utf8_lossy(&wanted)
            ));
        }
    }
    Ok(())
}

/// The schema in `CREATE EXTENSION IF NOT EXISTS e WITH SCHEMA s`.
fn schema_of_extension(entry: &TocEntry) -> Option<Vec<u8>> {
    let tokens: Vec<_> =
        pgark_bytes::sql::tokenize(entry.defn_bytes()).filter(|token| !token.is_blank()).collect();
    let at = tokens.iter().position(|token| token.is_word("schema"))?;
    tokens.get(at + 1)?.ident()
}

/// At most five names.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and more") } else { shown }
}

/// Creates the database, or drops what the backup holds.
pub(super) fn make_ready(
    place: &Place<'_>,
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
            job.progress.phase("drop what the backup holds");
            let mut connection = target::connect(place, watch)?;
            connection.execute("BEGIN").doing("begin to drop objects")?;
            clean::drop_all(place, &mut connection, notes)?;
            place.trail.set(Stage::Dropping);
            connection.execute("COMMIT").doing("commit the drops")
        }
    }
}

/// The archive's own CREATE DATABASE (encoding, locale, template0) under the target's name. Its properties follow with
/// the other entries.
fn create(place: &Place<'_>, job: &Job, watch: &Watch, notes: &mut Vec<String>) -> Result<(), OpsError> {
    let mut connection = connect_to_maintenance(place.request, watch)?;
    let name = place.conninfo.dbname();
    if matches!(place.earlier, Some(Mark::Begun { .. })) {
        let sql = format!("DROP DATABASE {}", pgark_bytes::sql::quote_ident(name));
        connection
            .execute(&sql)
            .doing(format!("drop database {name}, which an earlier run did not finish"))?;
    }
    if exists(&mut connection, name)? {
        job.progress.info(&format!("database {name} exists and is empty: restoring into it"));
        return Ok(());
    }
    if !place.several {
        job.progress.phase("create the database");
    }
    let entry =
        place.contents.archive.entries.iter().find(|entry| entry.kind() == "DATABASE").ok_or_else(|| {
            OpsError::refused(
                "the backup does not hold the database's properties",
                "create it, and restore without --create",
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

/// Schema `public` belongs to `pg_database_owner` (PostgreSQL 15 and newer). Who owns the database and inherits nothing is a member of
/// that role and may not make a table there; as that role it may grant itself the right.
fn let_owner_in(place: &Place<'_>, watch: &Watch, notes: &mut Vec<String>) -> Result<(), OpsError> {
    let mut connection = target::connect_to_look(&place.conninfo, watch)?;
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public' \
               AND pg_catalog.pg_get_userbyid(n.nspowner) = 'pg_database_owner' \
               AND pg_catalog.pg_has_role(n.nspowner, 'MEMBER') \
               AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE'))";
    if !is_true(&mut connection, sql)? {
        return Ok(());
    }
    let doing = "let the owner of the database into schema public";
    let rows = connection.query("SELECT pg_catalog.quote_ident(current_user)", &[]).doing(doing)?;
    let role = rows.first().map(|row| row.str(0)).transpose().doing(doing)?.unwrap_or_default().to_string();
    connection
        .execute(&format!("SET ROLE pg_database_owner; GRANT ALL ON SCHEMA public TO {role}"))
        .doing(doing)?;
    notes
        .push(format!("role {role} inherits nothing, so it was granted its rights on schema public by name"));
    Ok(())
}

fn is_true(connection: &mut Connection, sql: &str) -> Result<bool, OpsError> {
    let doing = "look at the role";
    let rows = connection.query(sql, &[]).doing(doing)?;
    Ok(rows.first().map(|row| row.str(0)).transpose().doing(doing)? == Some("t"))
}

/// The database that was given comes first, unless it is the target itself, which need not be there.
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
    maintenance.connect(&request.session(), |conninfo| target::connect_to_look(conninfo, watch))
}

fn exists(connection: &mut Connection, database: &str) -> Result<bool, OpsError> {
    let rows = connection
        .query("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", &[Some(database)])
        .doing("look for the target database")?;
    Ok(!rows.is_empty())
}
