//! Before the first object: refuse what is not possible, then make the target ready (create it, or drop what the backup
//! holds).

use std::collections::HashSet;

use pgark_bytes::archive::statements;
use pgark_pg::Connection;

use super::{Databases, Place, Request, Target, globals, target};
use crate::backup::Watch;
use crate::error::Doing;
use crate::holders;
use crate::maintenance::Maintenance;
use crate::record::About;
use crate::{Job, OpsError};

/// Every reason that is known beforehand why this restore cannot work; nothing is touched. Foreign keys to tables that are
/// neither restored nor there are taken out of the plan, and noted.
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
    // Inside of the target, if there is one.
    let mut inside = match place.target {
        Target::Create if exists(&mut connection, place.conninfo.dbname())? => {
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
    }
    if let Some(inside) = inside.as_mut() {
        refuse_what_never_ends(place, inside)?;
    }
    leave_out_cut_keys(place, inside.as_mut(), notes)
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
            .map(|entry| (entry.namespace.clone().unwrap_or_default(), entry.tag_bytes().to_vec()))
            .collect();
        let present = target::present(inside, &relations)?;
        let there: Vec<String> = relations
            .iter()
            .zip(present)
            .filter(|(_, is_there)| *is_there)
            .map(|((schema, name), _)| {
                format!("{}.{}", String::from_utf8_lossy(schema), String::from_utf8_lossy(name))
            })
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        return Err(OpsError::refused(
            format!("the target database {database:?} has {} already", some(&there)),
            "restore into another database, load rows only with --data-only, or add --clean to drop them first; nothing was \
             touched",
        ));
    }
    let objects = target::user_objects(inside)?;
    if objects.is_empty() {
        return Ok(());
    }
    let or = match place.target {
        Target::Create => "or restore under another name",
        _ => "or add --clean to drop what the backup holds",
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

/// At most five names.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and more") } else { shown }
}

/// A foreign key needs the table that it refers to.
fn leave_out_cut_keys(
    place: &mut Place<'_>,
    inside: Option<&mut Connection>,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let parents: Vec<(Vec<u8>, Vec<u8>)> =
        place.picked.cut_keys.iter().map(|key| key.parent.clone()).collect();
    let present = match inside {
        Some(inside) => target::present(inside, &parents)?,
        None => vec![false; parents.len()],
    };
    for (key, is_there) in std::mem::take(&mut place.picked.cut_keys).into_iter().zip(present) {
        if is_there {
            continue;
        }
        place.picked.selection.remove(key.dump_id);
        notes.push(format!(
            "foreign key {} is left out: its parent table {}.{} is neither restored nor in the target",
            key.tag,
            String::from_utf8_lossy(&key.parent.0),
            String::from_utf8_lossy(&key.parent.1)
        ));
    }
    Ok(())
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
        Target::Create => create(place, job, watch),
        // Part of that transaction.
        Target::Clean if place.request.single_transaction => Ok(()),
        Target::Clean => {
            job.progress.phase("drop what the backup holds");
            let mut connection = target::connect(place, watch)?;
            connection.execute("BEGIN").doing("begin to drop objects")?;
            drop_all(place, &mut connection, notes)?;
            connection.execute("COMMIT").doing("commit the drops")
        }
    }
}

/// The archive's own CREATE DATABASE (encoding, locale, template0) under the target's name. Its properties follow with
/// the other entries.
fn create(place: &Place<'_>, job: &Job, watch: &Watch) -> Result<(), OpsError> {
    let mut connection = connect_to_maintenance(place.request, watch)?;
    let name = place.conninfo.dbname();
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
    let definition = statements::for_server(entry.defn_bytes(), connection.server_version() / 10_000);
    let sql = statements::rename_database(&definition, from, name.as_bytes());
    connection.simple_bytes(&sql).map(|_| ()).doing(format!("create database {name}"))
}

/// The database that was given comes first, unless it is the target itself, which need not be there.
pub(super) fn connect_to_maintenance(request: &Request, watch: &Watch) -> Result<Connection, OpsError> {
    let given = request.conninfo.dbname();
    let is_target = match &request.databases {
        Databases::One { to, .. } => to.as_deref().is_none_or(|to| to == given),
        Databases::Named(_) | Databases::All | Databases::None => false,
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

/// Drops what the backup holds, in the connection's transaction: either all of it or, where something else depends on it,
/// nothing. What is not there is noted, unless that was to be expected.
pub(super) fn drop_all(
    place: &Place<'_>,
    connection: &mut Connection,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let chosen = |index: usize| {
        place.contents.archive.entries.get(index).is_some_and(|entry| !place.picked.is_helper(entry.dump_id))
    };
    let mut left: Vec<Vec<u8>> =
        statements::drop_statements(&place.contents.archive, &place.picked.selection, &place.options)
            .into_iter()
            .filter(|(index, _)| chosen(*index))
            .map(|(_, drop)| drop.sql)
            .collect();
    if !place.request.if_exists {
        connection.take_notices();
        connection.execute("SET client_min_messages = notice").doing("begin to drop objects")?;
    }
    // What cannot be dropped yet (a partition's share of a constraint, something that a later drop frees) is tried again
    // after the rest, for as long as a round drops anything.
    loop {
        let (failed, first_error) = drop_round(connection, &left)?;
        match first_error {
            None => break,
            Some(error) if failed.len() == left.len() => return Err(error),
            Some(_) => left = failed,
        }
    }
    if !place.request.if_exists {
        notes.extend(connection.take_notices().into_iter().map(|notice| notice.message));
        connection.execute("SET client_min_messages = warning").doing("drop objects")?;
    }
    Ok(())
}

/// Tries every drop under a savepoint. Returns those that failed, and the first one's error.
fn drop_round(
    connection: &mut Connection,
    drops: &[Vec<u8>],
) -> Result<(Vec<Vec<u8>>, Option<OpsError>), OpsError> {
    let mut failed = Vec::new();
    let mut first_error = None;
    for drop in drops {
        connection.execute("SAVEPOINT one_drop").doing("begin to drop an object")?;
        let text = String::from_utf8_lossy(drop).trim().to_string();
        let result = connection.simple_bytes(drop).doing(format!("run `{text}`; nothing was dropped"));
        match result {
            Ok(_) => connection.execute("RELEASE SAVEPOINT one_drop").doing("drop an object")?,
            Err(error) if error.is_refusal() => {
                connection.execute("ROLLBACK TO SAVEPOINT one_drop").doing("leave a failed drop")?;
                failed.push(drop.clone());
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((failed, first_error))
}
