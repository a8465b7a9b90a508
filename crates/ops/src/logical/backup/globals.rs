//! Roles, memberships, tablespaces and their settings: pg_dumpall's own text (trap 11).

use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use pgark_bytes::sql;

use super::cluster::Survey;
use crate::cluster::Report;
use crate::error::with_causes;
use crate::facts::Missing;
use crate::logical::psql::{self, Guard};
use crate::session::prepare_child;
use crate::shortage::{PATIENCE, PAUSE, is_shortage};
use crate::tools::sister;
use crate::{Job, OpsError, options, paths};

/// What pg_dumpall gave.
pub(super) enum Globals {
    Whole(Vec<u8>),
    /// The role has no right to read `pg_authid`.
    WithoutPasswords(Vec<u8>),
    Missing(OpsError),
}

impl Globals {
    fn of(sql: Result<Vec<u8>, OpsError>, sees_passwords: bool) -> Globals {
        match sql {
            Ok(sql) if sees_passwords => Globals::Whole(sql),
            Ok(sql) => Globals::WithoutPasswords(sql),
            Err(error) => Globals::Missing(error),
        }
    }

    /// The SQL, if there is any; the report hears what is missing.
    pub(super) fn into_sql(self, report: &mut Report) -> Option<Vec<u8>> {
        match self {
            Globals::Whole(sql) => Some(sql),
            Globals::WithoutPasswords(sql) => {
                report.warn(
                    "/globals.sql contains no password hashes: the role has no right to read pg_authid (GRANT SELECT ON pg_authid to the role)",
                );
                Some(sql)
            }
            Globals::Missing(error) => {
                report.lost(Missing::entry(paths::GLOBALS, None, with_causes(&error)));
                None
            }
        }
    }
}

/// The globals as SQL, for a masked backup without password hashes.
///
/// Where the role has no right to read password hashes, they come without them and the report says
/// so; where pg_dumpall fails, they are missing and the report says that.
pub(super) fn read(survey: &Survey, is_masked: bool, job: &Job) -> Result<Globals, OpsError> {
    let mut more = Vec::new();
    let wants_passwords = survey.sees_passwords && !is_masked;
    if !wants_passwords {
        more.push(options::NO_ROLE_PASSWORDS.to_string());
    }
    if survey.connection.parameter("server_encoding") != Some("SQL_ASCII") {
        more.push(format!("{}=UTF8", options::ENCODING));
    }
    match dump(survey, &more) {
        // Of a masked backup nobody misses them.
        Ok(sql) => Ok(Globals::of(restricted(sql, &survey.tool.version), survey.sees_passwords || is_masked)),
        Err(_) if job.cancel.is_cancelled() => Err(OpsError::Cancelled),
        Err(error) => Ok(Globals::Missing(error)),
    }
}

/// Whether pg_dumpall may have found no connection free: it does not always repeat the server's
/// words.
pub(super) fn may_be_shortage(error: &OpsError) -> bool {
    is_shortage(error)
        || matches!(error, OpsError::Tool { what, .. } if what.contains("could not connect to database"))
}

/// The same, waiting a while for a connection.
pub(super) fn read_patiently(survey: &Survey, is_masked: bool, job: &Job) -> Result<Globals, OpsError> {
    let begun = Instant::now();
    loop {
        match read(survey, is_masked, job)? {
            Globals::Missing(error) if may_be_shortage(&error) && begun.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            other => return Ok(other),
        }
    }
}

/// Whether an identifier holds a line break. pg_dumpall names every role in a statement before it
/// names one in a comment.
fn has_broken_name(text: &[u8]) -> bool {
    sql::tokenize(text)
        .filter_map(|token| token.ident())
        .any(|name| name.iter().any(|b| matches!(b, b'\n' | b'\r')))
}

/// Old versions of pg_dumpall write no `\restrict`, and line breaks of names into comments.
fn restricted(text: Vec<u8>, version: &str) -> Result<Vec<u8>, OpsError> {
    if psql::keeps_comments_closed(version) {
        return Ok(text);
    }
    if has_broken_name(&text) {
        return Err(OpsError::refused(
            "the name of a role or tablespace contains a line break, and this pg_dumpall would write it as SQL: rename it, or \
             install pg_dumpall 13.22, 14.19, 15.14, 16.10, 17.6 or newer",
            "see CVE-2025-8715",
        ));
    }
    Guard::new(true)?.around(&text)
}

fn dump(survey: &Survey, more: &[String]) -> Result<Vec<u8>, OpsError> {
    let program = sister(&survey.tool, "pg_dumpall");
    let mut command = Command::new(&program);
    command
        .args([options::GLOBALS_ONLY, options::NO_PASSWORD])
        .args(more)
        .arg(options::DATABASE)
        .arg(survey.pinned.dbname());
    if let Some(role) = survey.pinned.role() {
        command.arg(format!("{}={role}", options::ROLE));
    }
    prepare_child(&mut command, &survey.pinned, &survey.login);
    let output = command.stdin(Stdio::null()).output().map_err(|source| {
        let program = program.display().to_string();
        OpsError::NotStarted { program, source }
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(OpsError::Tool {
        program: program.display().to_string(),
        what: String::from_utf8_lossy(&output.stderr).trim().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_name_is_seen() {
        assert!(has_broken_name(b"CREATE ROLE \"a\nALTER ROLE x SUPERUSER; --\";\n"));
        assert!(!has_broken_name(b"-- it's \"\nCREATE ROLE \"a b\";\nCOMMENT ON ROLE x IS 'a\nb';\n"));
    }

    #[test]
    fn old_text_is_restricted() {
        let text = b"--\n-- x\n--\n\nCREATE ROLE a;\n".to_vec();
        assert!(restricted(text.clone(), "15.13").unwrap().starts_with(b"\\restrict "));
        assert_eq!(restricted(text.clone(), "15.14").unwrap(), text);
        let broken = b"CREATE ROLE \"a\nALTER ROLE x SUPERUSER; --\";\n".to_vec();
        assert!(restricted(broken.clone(), "15.13").is_err());
        assert_eq!(restricted(broken.clone(), "18.0").unwrap(), broken);
    }
}
