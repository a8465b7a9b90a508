//! Roles, memberships, tablespaces and their settings: pg_dumpall's own text (TRAPS 11).

use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use pgark_pg::ConnInfo;
use pgark_store::Child;

use super::Report;
use super::cluster::Survey;
use super::tap::only_connection_environment;
use crate::shortage::{PATIENCE, PAUSE, is_shortage};
use crate::tools::{Tool, sister};
use crate::{Job, OpsError};

/// What pg_dumpall gave.
pub(super) enum Globals {
    Whole(Vec<u8>),
    /// The role may not read `pg_authid`.
    WithoutPasswords(Vec<u8>),
    Missing(OpsError),
}

impl Globals {
    /// The SQL, if there is any; the report hears what is missing.
    pub(super) fn into_sql(self, report: &mut Report) -> Option<Vec<u8>> {
        match self {
            Globals::Whole(sql) => Some(sql),
            Globals::WithoutPasswords(sql) => {
                report.warn(
                    "/globals.sql holds no password hashes: the role may not read pg_authid (GRANT SELECT ON pg_authid to the role)",
                );
                Some(sql)
            }
            Globals::Missing(error) => {
                report.lost("/globals.sql", &error.to_string());
                None
            }
        }
    }
}

/// The globals as SQL. Where the role may not read password hashes, they come without them and the report says so; where
/// pg_dumpall fails, they are missing and the report says that.
pub(super) fn read(survey: &Survey, job: &Job) -> Result<Globals, OpsError> {
    let more: &[&str] = if survey.sees_passwords { &[] } else { &["--no-role-passwords"] };
    let mut more = more.to_vec();
    if survey.connection.parameter("server_encoding") != Some("SQL_ASCII") {
        more.push("--encoding=UTF8");
    }
    match dump(&survey.tool, &survey.pinned, survey.pinned.dbname(), &more) {
        Ok(sql) if survey.sees_passwords => Ok(Globals::Whole(sql)),
        Ok(sql) => Ok(Globals::WithoutPasswords(sql)),
        Err(_) if job.cancel.is_cancelled() => Err(OpsError::Cancelled),
        Err(error) => Ok(Globals::Missing(error)),
    }
}

/// Whether pg_dumpall may have found no connection free: it does not always repeat the server's words.
pub(super) fn may_be_shortage(error: &OpsError) -> bool {
    is_shortage(error)
        || matches!(error, OpsError::Tool { what, .. } if what.contains("could not connect to database"))
}

/// The same, waiting a while for a connection.
pub(super) fn read_patiently(survey: &Survey, job: &Job) -> Result<Globals, OpsError> {
    let begun = Instant::now();
    loop {
        match read(survey, job)? {
            Globals::Missing(error) if may_be_shortage(&error) && begun.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            other => return Ok(other),
        }
    }
}

fn dump(tool: &Tool, pinned: &ConnInfo, database: &str, more: &[&str]) -> Result<Vec<u8>, OpsError> {
    let program = sister(tool, "pg_dumpall");
    let mut command = Command::new(&program);
    command.args(["--globals-only", "--no-password"]).args(more).arg("--database").arg(database);
    if let Some(role) = pinned.role() {
        command.arg(format!("--role={role}"));
    }
    only_connection_environment(&mut command, Child::Tool, pinned);
    // Unlike pg_dump it lets the settings of database and role decide how it writes a time: `VALID UNTIL '31.12.2099'`.
    command.env("PGOPTIONS", "-c DateStyle=ISO,YMD -c TimeZone=UTC -c IntervalStyle=postgres");
    let output = command.stdin(Stdio::null()).output().map_err(|source| OpsError::Tool {
        program: program.display().to_string(),
        what: format!("cannot be started: {source}"),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(OpsError::Tool {
        program: program.display().to_string(),
        what: String::from_utf8_lossy(&output.stderr).trim().to_string(),
    })
}
