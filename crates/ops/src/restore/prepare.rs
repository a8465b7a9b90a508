//! Before the first object: refuse what is not possible, then make the target ready (create it, or drop what the backup
//! holds).

use pgark_bytes::archive::order::Selection;
use pgark_bytes::archive::statements::{self, Options};
use pgark_pg::Connection;

use super::{Request, Target, target};
use crate::backup::Watch;
use crate::error::Doing;
use crate::contents::Contents;
use crate::record::About;
use crate::{Job, OpsError};

/// Databases to connect to while the target does not exist.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Every reason that is known beforehand why this restore cannot work; nothing is touched.
pub(super) fn refuse_impossible(
    contents: &Contents,
    selection: &Selection,
    options: &Options,
    about: &About,
    request: &Request,
    watch: &Watch,
) -> Result<(), OpsError> {
    let mut connection = match request.target {
        Target::Create => connect_to_maintenance(request, watch)?,
        Target::Existing | Target::Clean => target::connect_to_look(&request.conninfo, watch)?,
    };
    target::refuse_unfit_server(&mut connection, about.server_version)?;
    target::refuse_missing(&mut connection, &contents.archive, selection, options)?;
    match request.target {
        Target::Clean => Ok(()),
        // Rows, or what comes after them, go into what an earlier step made.
        Target::Existing if !request.choice.makes_definitions() => Ok(()),
        Target::Existing => {
            let objects = target::user_objects(&mut connection)?;
            refuse_objects(
                &objects,
                request.conninfo.dbname(),
                "or add --clean to drop what the backup holds",
            )
        }
        Target::Create if exists(&mut connection, request.conninfo.dbname())? => {
            let mut inside = target::connect_to_look(&request.conninfo, watch)?;
            let objects = target::user_objects(&mut inside)?;
            refuse_objects(&objects, request.conninfo.dbname(), "or restore under another name")
        }
        Target::Create => Ok(()),
    }
}

fn refuse_objects(objects: &[String], database: &str, or: &str) -> Result<(), OpsError> {
    if objects.is_empty() {
        return Ok(());
    }
    let some = objects.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if objects.len() > 5 { " and more" } else { "" };
    Err(OpsError::refused(
        format!("the target database {database:?} is not empty: it holds {some}{more}"),
        format!("restore into an empty database, {or}; nothing was touched"),
    ))
}

/// Creates the database, or drops what the backup holds.
pub(super) fn make_ready(
    contents: &Contents,
    selection: &Selection,
    options: &Options,
    request: &Request,
    job: &Job,
    watch: &Watch,
) -> Result<(), OpsError> {
    match request.target {
        Target::Existing => Ok(()),
        Target::Create => create(contents, request, job, watch),
        Target::Clean => clean(contents, selection, options, request, job, watch),
    }
}

/// The archive's own CREATE DATABASE (encoding, locale, template0) under the target's name. Its properties follow with
/// the other entries.
fn create(contents: &Contents, request: &Request, job: &Job, watch: &Watch) -> Result<(), OpsError> {
    let mut connection = connect_to_maintenance(request, watch)?;
    let name = request.conninfo.dbname();
    if exists(&mut connection, name)? {
        job.progress.info(&format!("database {name} exists and is empty: restoring into it"));
        return Ok(());
    }
    job.progress.phase("create the database");
    let entry =
        contents.archive.entries.iter().find(|entry| entry.kind() == "DATABASE").ok_or_else(|| {
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

fn connect_to_maintenance(request: &Request, watch: &Watch) -> Result<Connection, OpsError> {
    let [first, second] = MAINTENANCE;
    match target::connect_to_look(&request.conninfo.with_dbname(first), watch) {
        // No such database: the other one is always there.
        Err(error) if error.sqlstate() == Some("3D000") => {
            target::connect_to_look(&request.conninfo.with_dbname(second), watch)
        }
        other => other,
    }
}

fn exists(connection: &mut Connection, database: &str) -> Result<bool, OpsError> {
    let rows = connection
        .query("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", &[Some(database)])
        .doing("look for the target database")?;
    Ok(!rows.is_empty())
}

/// Drops what the backup holds, in one transaction: either all of it or, where something else depends on it, nothing.
fn clean(
    contents: &Contents,
    selection: &Selection,
    options: &Options,
    request: &Request,
    job: &Job,
    watch: &Watch,
) -> Result<(), OpsError> {
    job.progress.phase("drop what the backup holds");
    let mut connection = target::connect(&request.conninfo, &contents.archive, watch)?;
    connection.execute("BEGIN").doing("begin to drop objects")?;
    let mut left: Vec<Vec<u8>> = statements::drop_statements(&contents.archive, selection, options)
        .into_iter()
        .map(|(_, drop)| drop.sql)
        .collect();
    // What cannot be dropped yet (a partition's share of a constraint, something that a later drop frees) is tried again
    // after the rest, for as long as a round drops anything.
    loop {
        let (failed, first_error) = drop_round(&mut connection, &left)?;
        match first_error {
            None => break,
            Some(error) if failed.len() == left.len() => return Err(error),
            Some(_) => left = failed,
        }
    }
    connection.execute("COMMIT").doing("commit the drops")
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
            Err(error) if error.sqlstate().is_some() => {
                connection.execute("ROLLBACK TO SAVEPOINT one_drop").doing("leave a failed drop")?;
                failed.push(drop.clone());
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((failed, first_error))
}
