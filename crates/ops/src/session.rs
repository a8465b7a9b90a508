//! Connections whose settings are fixed: by these every backup and restore talks to a server.

use std::process::Command;

use pgark_pg::{ConnInfo, Connection, Login, Use};
use pgark_store::Child;

use crate::OpsError;
use crate::error::Doing;
use crate::tools::only_connection_environment;
use crate::watch::Watch;

/// What a backup connects to.
pub(crate) const SERVER: &str = "the server";
/// What a restore connects to.
pub(crate) const TARGET: &str = "the target";

/// A settled connection, and how it began.
pub(crate) struct Settled {
    pub connection: Connection,
    pub login: Login,
}

/// The encoding of a session's text.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// UTF-8, but nothing is converted where bytes have no encoding.
    ToRead,
    /// This one.
    In(&'a str),
}

/// Connects and fixes the settings. `to`: what is connected to, for an error.
pub(crate) fn open(
    conninfo: &ConnInfo,
    purpose: Use,
    text: Text<'_>,
    watch: &Watch,
    to: &str,
) -> Result<Settled, OpsError> {
    open_with(conninfo, purpose, text, &[], watch, to)
}

/// The same, with further settings.
pub(crate) fn open_with(
    conninfo: &ConnInfo,
    purpose: Use,
    text: Text<'_>,
    more: &[(&str, &str)],
    watch: &Watch,
    to: &str,
) -> Result<Settled, OpsError> {
    let mut connection = Connection::connect_to_settle(conninfo).doing(format!("connect to {to}"))?;
    watch.add(connection.canceller());
    let encoding = match text {
        Text::ToRead if connection.parameter("server_encoding") == Some("SQL_ASCII") => "SQL_ASCII",
        Text::ToRead => "UTF8",
        Text::In(encoding) => encoding,
    };
    let more = [more, &[("client_encoding", encoding)]].concat();
    let prove = !watch.proved.has(conninfo.dbname());
    let login =
        connection.settle(conninfo, purpose, &more, prove).doing(format!("prepare a connection to {to}"))?;
    watch.proved.add(conninfo.dbname());
    Ok(Settled { connection, login })
}

/// The SQL of a grant with the session's role kept: pg_dump writes grants of others than the owner
/// between SET and RESET SESSION AUTHORIZATION, and the latter makes the role what role and
/// database say (from the minor versions of November 2024 on).
pub(crate) fn keep_role(sql: Vec<u8>, connection: &Connection) -> Vec<u8> {
    const RESET: &[u8] = b"RESET SESSION AUTHORIZATION";
    let Some(again) = connection.role_again() else { return sql };
    if memchr::memmem::find(&sql, RESET).is_none() {
        return sql;
    }
    let mut kept = Vec::with_capacity(sql.len() + 64);
    for statement in pgark_bytes::sql::split(&sql) {
        kept.extend_from_slice(statement);
        kept.push(b'\n');
        if statement.trim_ascii().strip_suffix(b";").unwrap_or(statement).trim_ascii() == RESET {
            kept.extend_from_slice(again.as_bytes());
            kept.extend_from_slice(b";\n");
        }
    }
    kept
}

/// Gives a child (pg_dump, pg_dumpall) the connection, and the settings that it does not fix itself
/// where its session would begin with others. Returns the names of those that do not arrive,
/// because a pooler in between drops or refuses start-up options: the child then runs with those of
/// role and database.
pub(crate) fn prepare_child(command: &mut Command, conninfo: &ConnInfo, login: &Login) -> Vec<&'static str> {
    only_connection_environment(command, Child::Tool, conninfo);
    // libpq sends these two by themselves, and poolers know them: pg_dumpall fixes neither, pg_dump
    // not the second.
    command.env("PGDATESTYLE", "ISO").env("PGTZ", "UTC");
    let wanted = login.for_child();
    let with_settings = conninfo.with_settings(&wanted);
    if wanted.is_empty() || !login.pooled || Connection::options_arrive(&with_settings, &wanted) {
        if !with_settings.options().is_empty() {
            command.env("PGOPTIONS", with_settings.options());
        }
        return Vec::new();
    }
    wanted.into_iter().map(|(name, _)| name).collect()
}
