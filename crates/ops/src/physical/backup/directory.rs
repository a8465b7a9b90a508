//! The data directory on this host: which one it is, and the proof that the server runs in it.
//!
//! A standby, a clone or a restored copy on the same host has the same system identifier, and a
//! server in a container has a path that means something else here. So the directory must have a
//! `postmaster.pid` of a living process that began when the server says it did and listens on its
//! port, and a `pg_control` of its system (trap 24).

use std::path::{Path, PathBuf};

use pgark_bytes::control_file::ControlFile;
use pgark_datadir::prove::Process;
use pgark_datadir::{DataDir, Stop, prove};

use super::request::Request;
use super::survey::Survey;
use crate::OpsError;
use crate::advice::{Setting, advice};

/// The file notes when the process began; the server tells when it began its work, which on a busy
/// host is later.
const SAME_START: i64 = 30;

/// Opens the data directory of the server.
///
/// # Errors
/// It is not here, cannot be read, or is another server's.
pub(super) fn open(request: &Request, survey: &Survey, stop: Stop<'_>) -> Result<DataDir, OpsError> {
    let path = path(request, survey)?;
    let directory = DataDir::open(&path).map_err(|error| not_here(&path, &error))?;
    belongs(&directory, &path, survey, stop)?;
    Ok(directory)
}

fn path(request: &Request, survey: &Survey) -> Result<PathBuf, OpsError> {
    if let Some(given) = &request.pgdata {
        return Ok(given.clone());
    }
    survey.data_directory.as_ref().map(PathBuf::from).ok_or_else(|| {
        OpsError::refused(
            "the role has no right to see where the data directory is",
            advice![
                "name it with ",
                Setting::DataDirectory.to("PATH"),
                ", or GRANT pg_read_all_settings to the role, or use ",
                Setting::Source.to("wire")
            ],
        )
    })
}

/// The directory cannot be read here.
fn not_here(path: &Path, error: &pgark_datadir::Error) -> OpsError {
    OpsError::refused(
        format!("{}: {}", path.display(), crate::error::with_causes(error)),
        advice![
            "run pgark on the server's host, as the OS user of the server or as root, or use ",
            Setting::Source.to("wire")
        ],
    )
}

fn belongs(directory: &DataDir, path: &Path, survey: &Survey, stop: Stop<'_>) -> Result<(), OpsError> {
    let other = |why: String| {
        let hint = advice!["name the data directory of the server with ", Setting::DataDirectory.to("PATH")];
        Err(OpsError::refused(
            format!("{} is not the data directory of the server: {why}", path.display()),
            hint,
        ))
    };
    let major = prove::major(directory).map_err(|error| not_here(path, &error))?;
    if i64::from(major) != i64::from(survey.server_version / 10_000) {
        return other(format!("it is of PostgreSQL {major}, the server is {}", survey.server_version_text));
    }
    let is_whole = |bytes: &[u8]| ControlFile::parse(bytes).is_ok();
    let control = prove::control(directory, &is_whole, stop).map_err(|error| not_here(path, &error))?;
    let identifier =
        ControlFile::parse(&control).map(|control| control.system_identifier).unwrap_or_default();
    if identifier != survey.system_identifier {
        return other(format!(
            "its system identifier is {identifier}, that of the server {}",
            survey.system_identifier
        ));
    }
    let Some(pid) = prove::postmaster(directory).map_err(|error| not_here(path, &error))? else {
        return other("no server runs in it (it has no postmaster.pid)".into());
    };
    if (pid.started_at - survey.started).abs() > SAME_START {
        return other("its server was started at another time (a standby or a clone on this host?)".into());
    }
    // Not seen at all, it may be the server of a container whose directory is mounted here.
    if prove::process(directory, &pid).map_err(|error| not_here(path, &error))? == Process::Elsewhere {
        return other("its server is gone, and another process has its number".into());
    }
    if survey.port != 0 && pid.port != 0 && pid.port != survey.port {
        return other(format!("its server listens on port {}, the server on {}", pid.port, survey.port));
    }
    Ok(())
}
