//! Roles, memberships, tablespaces and their settings: pg_dumpall's own text (TRAPS 11).

use std::process::{Command, Stdio};

use pgark_pg::ConnInfo;

use super::Report;
use super::tap::only_connection_environment;
use crate::tools::{Tool, sister};
use crate::{Job, OpsError};

/// What pg_dumpall gave.
pub(crate) enum Globals {
    Whole(Vec<u8>),
    /// The role may not read `pg_authid`.
    WithoutPasswords(Vec<u8>),
    Missing(OpsError),
}

impl Globals {
    /// The SQL, empty if there is none; the report hears what is missing.
    pub(crate) fn into_sql(self, report: &mut Report) -> Vec<u8> {
        match self {
            Globals::Whole(sql) => sql,
            Globals::WithoutPasswords(sql) => {
                let warning = "the role may not read pg_authid: /globals.sql holds no password hashes";
                report.warnings.push(warning.into());
                sql
            }
            Globals::Missing(error) => {
                report.lost("/globals.sql", &error.to_string());
                Vec::new()
            }
        }
    }
}

/// The globals as SQL. Where the role may not read password hashes, the globals come without them and the report says
/// so; where even that fails, they are missing and the report says that.
pub(crate) fn read(tool: &Tool, pinned: &ConnInfo, database: &str, job: &Job) -> Result<Globals, OpsError> {
    let error = match dump(tool, pinned, database, &[]) {
        Ok(sql) => return Ok(Globals::Whole(sql)),
        Err(error) => error,
    };
    job.cancel.check().map_err(|_| OpsError::Cancelled)?;
    Ok(match dump(tool, pinned, database, &["--no-role-passwords"]) {
        Ok(sql) => Globals::WithoutPasswords(sql),
        Err(_) => Globals::Missing(error),
    })
}

fn dump(tool: &Tool, pinned: &ConnInfo, database: &str, more: &[&str]) -> Result<Vec<u8>, OpsError> {
    let program = sister(tool, "pg_dumpall");
    let mut command = Command::new(&program);
    command.args(["--globals-only", "--no-password"]).args(more).arg("--database").arg(database);
    only_connection_environment(&mut command, pinned);
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
