//! Roles, memberships, tablespaces and their settings: pg_dumpall's own text (TRAPS 11).

use std::process::{Command, Stdio};

use pgark_pg::ConnInfo;

use super::Report;
use super::lead::Lead;
use super::tap::only_connection_environment;
use crate::tools::{Tool, sister};
use crate::{Job, OpsError};

/// The globals as SQL. Where the role may not read password hashes, the globals come without them and the report says
/// so; where even that fails, they are missing and the report says that.
pub(crate) fn read(
    tool: &Tool,
    conninfo: &ConnInfo,
    lead: &Lead,
    job: &Job,
    report: &mut Report,
) -> Result<Vec<u8>, OpsError> {
    job.progress.phase("read roles and tablespaces");
    let pinned = conninfo.for_host_of(&lead.connection);
    let first = dump(tool, &pinned, lead, &[]);
    let error = match first {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    job.cancel.check().map_err(|_| OpsError::Cancelled)?;
    match dump(tool, &pinned, lead, &["--no-role-passwords"]) {
        Ok(text) => {
            report
                .warnings
                .push("the role may not read pg_authid: /globals.sql holds no password hashes".into());
            Ok(text)
        }
        Err(_) => {
            report.lost("/globals.sql", &error.to_string());
            Ok(Vec::new())
        }
    }
}

fn dump(tool: &Tool, pinned: &ConnInfo, lead: &Lead, more: &[&str]) -> Result<Vec<u8>, OpsError> {
    let program = sister(tool, "pg_dumpall");
    let mut command = Command::new(&program);
    command.args(["--globals-only", "--no-password"]).args(more).arg("--database").arg(&lead.database);
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
