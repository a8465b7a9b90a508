//! Marks on databases that a restore makes, so that a run that was broken off can be run again.
//!
//! A database that this run creates gets a comment at once: an unfinished restore of this backup.
//! When it is whole, and as long as the run has other databases to restore, the comment says that
//! instead. At the end of the run the comment that the backup has takes its place. So a mark is
//! only ever seen after a run that was broken off, and a second run knows by it what it may skip,
//! and what it may make again because nobody else made it.

use pgark_bytes::archive::TocEntry;
use pgark_bytes::archive::statements::{self, SessionState};
use pgark_bytes::sql::{quote_ident, quote_literal};
use pgark_pg::Connection;

use super::place::{DatabaseRestore, Mark};
use super::report::ObjectError;
use super::target;
use crate::error::{Doing, with_causes};
use crate::watch::Watch;
use crate::{Job, OpsError};

const BEGUN: &str = "pgark: unfinished restore of backup ";
const WHOLE: &str = "pgark: restored whole, by a run that was not finished, from backup ";

/// The mark on a database.
pub(super) fn read(connection: &mut Connection, database: &str) -> Result<Option<Mark>, OpsError> {
    let comment = comment(connection, database)?.unwrap_or_default();
    let of = |prefix: &str| comment.strip_prefix(prefix).map(str::to_string);
    Ok(of(BEGUN)
        .map(|backup| Mark::Begun { backup })
        .or_else(|| of(WHOLE).map(|backup| Mark::Whole { backup })))
}

fn comment(connection: &mut Connection, database: &str) -> Result<Option<String>, OpsError> {
    let doing = "read the target database's comment";
    let sql = "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1";
    let rows = connection.query(sql, &[Some(database)]).doing(doing)?;
    Ok(rows.first().and_then(|row| row.get(0)).map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// Marks a database that was created just now. Who may not is not hindered: a second run will ask
/// what to do.
pub(super) fn begin(connection: &mut Connection, place: &DatabaseRestore<'_>) -> Result<(), OpsError> {
    put(connection, place, Some(&format!("{BEGUN}{}", place.backup)))
}

/// Marks a database that is restored without an error.
pub(super) fn whole(place: &DatabaseRestore<'_>, watch: &Watch) -> Result<(), OpsError> {
    let mut connection = target::connect_to_maintenance(place.request, watch)?;
    put(&mut connection, place, Some(&format!("{WHOLE}{}", place.backup)))
}

fn put(connection: &mut Connection, place: &DatabaseRestore<'_>, text: Option<&str>) -> Result<(), OpsError> {
    let database = quote_ident(place.conninfo.dbname());
    let text = text.map_or_else(|| "NULL".to_string(), quote_literal);
    match connection
        .execute(&format!("COMMENT ON DATABASE {database} IS {text}"))
        .doing("mark the target database")
    {
        Err(error) if error.is_refusal() => Ok(()),
        other => other,
    }
}

/// Whether the entry is the database's comment, whose place a mark takes for a while.
pub(super) fn is_comment(entry: &TocEntry) -> bool {
    entry.kind() == "COMMENT" && entry.tag_bytes().starts_with(b"DATABASE ")
}

/// The run is over: the mark is removed, and the backup's own comment is set.
pub(super) fn finish(
    place: &DatabaseRestore<'_>,
    job: &Job,
    watch: &Watch,
    errors: &mut Vec<ObjectError>,
) -> Result<(), OpsError> {
    let mut connection = target::connect_to_maintenance(place.request, watch)?;
    if read(&mut connection, place.conninfo.dbname())?.is_some() {
        put(&mut connection, place, None)?;
    }
    let archive = &place.contents.archive;
    let selected = |entry: &&TocEntry| is_comment(entry) && place.picked.selection.contains(entry.dump_id);
    let Some(entry) = archive.entries.iter().find(selected) else { return Ok(()) };
    for setting in statements::session_setup(archive, connection.server_version() / 10_000) {
        connection.simple_bytes(&setting).doing("prepare a connection to the target")?;
    }
    for statement in statements::statements(archive, entry, &place.options, &mut SessionState::default()) {
        let to = place.conninfo.dbname().as_bytes();
        let sql = statements::rename_database(&statement.sql, place.contents.database.as_bytes(), to);
        match connection.simple_bytes(&sql).doing(format!("restore {}", entry.describe())) {
            Ok(_) => {}
            Err(error) if error.is_refusal() && !job.cancel.is_cancelled() => {
                errors.push(ObjectError::new(entry.describe(), with_causes(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
