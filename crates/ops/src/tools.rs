//! Finds PostgreSQL's own programs: the server's major by real path, else the lowest newer one
//! (trap 8).

use std::path::{Path, PathBuf};
use std::process::Command;

use pgark_pg::ConnInfo;
use pgark_store::Child;

use crate::advice::{Advice, Setting, advice};
use crate::{OpsError, options};

/// A client program and what it says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub path: PathBuf,
    pub major: i32,
    pub version: String,
}

/// Finds `pg_dump` for a server of `server_major`. A path given by the operator wins, and is still
/// checked.
pub(crate) fn find_pg_dump(
    given: Option<&Path>,
    search_path: &[PathBuf],
    server_major: i32,
) -> Result<Tool, OpsError> {
    if let Some(path) = given {
        let tool = ask_version(path)?;
        if tool.major < server_major {
            return Err(too_old(&tool, server_major));
        }
        return Ok(tool);
    }
    let mut newest_seen: Option<Tool> = None;
    let mut best: Option<Tool> = None;
    for folder in folders(search_path) {
        let path = folder.join("pg_dump");
        if is_wrapper(&path) {
            continue;
        }
        let Ok(tool) = ask_version(&path) else { continue };
        if tool.major >= server_major && best.as_ref().is_none_or(|best| tool.major < best.major) {
            best = Some(tool);
        } else if newest_seen.as_ref().is_none_or(|seen| tool.major > seen.major) {
            newest_seen = Some(tool);
        }
    }
    match (best, newest_seen) {
        (Some(tool), _) => Ok(tool),
        (None, Some(tool)) => Err(too_old(&tool, server_major)),
        (None, None) => Err(OpsError::refused(
            "find pg_dump: it is not installed on this host",
            newer_programs(server_major),
        )),
    }
}

/// Finds the program of the server itself, of exactly this major: a data directory is of one.
pub(crate) fn find_server(search_path: &[PathBuf], major: i32) -> Result<Tool, OpsError> {
    for folder in folders(search_path) {
        let path = folder.join("postgres");
        if is_wrapper(&path) {
            continue;
        }
        match ask_version(&path) {
            Ok(tool) if tool.major == major => return Ok(tool),
            _ => {}
        }
    }
    Err(OpsError::refused(
        format!("the server program of PostgreSQL {major} is not installed on this host"),
        format!("install PostgreSQL {major}, or put the folder of its programs into the search path"),
    ))
}

fn newer_programs(server_major: i32) -> Advice {
    advice![
        format!("install the client programs of PostgreSQL {server_major} or newer, or give "),
        Setting::PgDump.to("PATH"),
    ]
}

fn too_old(tool: &Tool, server_major: i32) -> OpsError {
    OpsError::refused(
        format!(
            "{} has version {}, too old for a server of version {server_major}",
            tool.path.display(),
            tool.version
        ),
        newer_programs(server_major),
    )
}

/// The other program in the same folder (`pg_dumpall`).
pub(crate) fn sister(tool: &Tool, name: &str) -> PathBuf {
    tool.path.with_file_name(name)
}

/// The places where distributions put each major in addition to the caller's own search path.
fn folders(search_path: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(majors) = std::fs::read_dir("/usr/lib/postgresql") {
        found.extend(majors.flatten().map(|major| major.path().join("bin")));
    }
    if let Ok(entries) = std::fs::read_dir("/usr") {
        found.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("pgsql-"))
                .map(|entry| entry.path().join("bin")),
        );
    }
    found.sort();
    found.extend(search_path.iter().cloned());
    found
}

/// Distributions wrap pg_dump in a script that picks a cluster and a version of its own accord.
fn is_wrapper(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0u8; 2];
    match std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) => &head == b"#!",
        Err(_) => true,
    }
}

fn ask_version(path: &Path) -> Result<Tool, OpsError> {
    let program = path.display().to_string();
    let mut command = Command::new(path);
    Child::Tool.prepare(&mut command);
    let output = command
        .arg(options::VERSION)
        .env_remove("PGOPTIONS")
        .output()
        .map_err(|source| OpsError::NotStarted { program: program.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let version = text.split_whitespace().nth(2).unwrap_or_default().to_string();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse() {
        Ok(major) if output.status.success() => Ok(Tool { path: path.to_path_buf(), major, version }),
        _ => {
            let what = format!("does not print its version (it printed {:?})", text.trim());
            Err(OpsError::Tool { program, what })
        }
    }
}

/// Every variable that libpq reads (PostgreSQL 18 documentation, section 32.15).
const LIBPQ_VARIABLES: &[&str] = &[
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGREQUIRESSL",
    "PGSSLCOMPRESSION",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLCERTMODE",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLSNI",
    "PGREQUIREPEER",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGGSSENCMODE",
    "PGKRBSRVNAME",
    "PGGSSLIB",
    "PGGSSDELEGATION",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
    "PGSYSCONFDIR",
    "PGLOCALEDIR",
];

/// A child gets the connection and nothing else of libpq's variables (PGOPTIONS and
/// PGCLIENTENCODING would change the archive, trap 4), and nothing of the repository's secrets.
pub(crate) fn only_connection_environment(command: &mut Command, child: Child, conninfo: &ConnInfo) {
    child.prepare(command);
    for name in LIBPQ_VARIABLES {
        command.env_remove(name);
    }
    command.envs(conninfo.child_environment());
    // Its words are read (`explain`), and of patterns it folds what the locale takes for capital
    // letters.
    command.env("LC_ALL", "C").env_remove("LANGUAGE");
}
