//! The files of the data directory on this host: scanned once, and read by several workers while
//! the server writes them.

use pgark_bytes::control_file::ControlFile;
use pgark_datadir::scan::{Location, Scan, ScanOptions, scan};
use pgark_datadir::{DataDir, prove};
use pgark_pg::Connection;
use pgark_repo::{BackupWriter, Class};

use super::crew::Crew;
use super::pace::Pace;
use super::shared::{Copy, MOVE_BACK, Shared, is_needed};
use super::survey::Survey;
use super::{plan, window};
use crate::cluster::Report;
use crate::facts::{Note, Owned, write_whole};
use crate::physical::owners::Owners;
use crate::{OpsError, paths};

/// Begins the backup in the server, copies its files, and ends it.
pub(super) fn copy(
    shared: &Shared<'_>,
    directory: &DataDir,
    connection: &mut Connection,
    report: &mut Report,
) -> Result<Copy, OpsError> {
    let Shared { request, job, writer, survey, earlier, ends, .. } = *shared;
    let stop = || shared.is_stopped();
    job.progress.phase("waiting for the server's checkpoint");
    let start = window::start(connection, request)?;
    ends.began(start);
    job.progress.phase("copying files");
    let found = scan(directory, &ScanOptions::default(), &stop)?;
    refuse_links(&found)?;
    tell(&found, report);
    job.progress.total_bytes(found.bytes());
    let owners = Owners::default();
    let (folders, tasks) = plan::plan(&found, survey.page_size, earlier, writer)?;
    let pace = Pace::new(request.rate);
    let crew = Crew::new(writer, directory, job, &owners, pace, survey, start, &folders, &stop);
    let mut copied = crew.copy(tasks, request.jobs)?;
    job.progress.phase("ending the backup in the server");
    control(writer, directory, survey, &found, &stop)?;
    let stopped = window::stop(connection)?;
    ends.ended(stopped.lsn);
    crew.look_again(&mut copied, stopped.lsn, &mut || window::end_of_wal(connection))?;
    let mode = found.folders.first().map_or(0o600, |folder| folder.mode & 0o660);
    for (name, content) in [("backup_label", &stopped.label), ("tablespace_map", &stopped.tablespace_map)] {
        if !content.is_empty() {
            let owned = Owned { mode, ..Owned::default() };
            let note = Note::File { owned, modified: String::new() };
            let path = paths::in_data_directory(name.as_bytes());
            write_whole(writer, path, Class::Data, content, &note)?;
        }
    }
    Ok(Copy {
        start,
        stop: stopped.lsn,
        label: stopped.label,
        copied,
        folders: folders.len() as u64,
        replication: None,
    })
}

/// A link in the place of a folder that a server needs would leave it out of the backup.
pub(super) fn refuse_links(found: &Scan) -> Result<(), OpsError> {
    match found.links.iter().find(|link| is_needed(&link.path)) {
        None => Ok(()),
        Some(link) => Err(OpsError::refused(
            format!(
                "{} in the data directory is a symbolic link to {}: it would not be in the backup",
                String::from_utf8_lossy(&link.path),
                String::from_utf8_lossy(&link.target)
            ),
            MOVE_BACK,
        )),
    }
}

/// What a scan found that is not in the backup.
pub(super) fn tell(found: &Scan, report: &mut Report) {
    for link in &found.links {
        report.warn(&format!(
            "{} is a symbolic link to {}, which PostgreSQL did not make: it is not followed, and not in the backup",
            String::from_utf8_lossy(&link.path),
            String::from_utf8_lossy(&link.target)
        ));
    }
    for path in &found.special {
        report.warn(&format!("{} is not a file, and not in the backup", String::from_utf8_lossy(path)));
    }
    for tablespace in &found.tablespaces {
        if tablespace.location == Location::InPlace {
            report.warn(&format!(
                "tablespace {} is inside of the data directory (allow_in_place_tablespaces)",
                tablespace.oid
            ));
        }
    }
}

/// `pg_control`, the last of all files: what it says of the cluster must not be older than they.
fn control(
    writer: &BackupWriter<'_>,
    directory: &DataDir,
    survey: &Survey,
    found: &Scan,
    stop: &dyn Fn() -> bool,
) -> Result<(), OpsError> {
    let is_whole = |bytes: &[u8]| ControlFile::parse(bytes).is_ok();
    let content = prove::control(directory, &is_whole, stop)?;
    let identifier = ControlFile::parse(&content).map(|control| control.system_identifier).ok();
    if identifier != Some(survey.system_identifier) {
        return Err(OpsError::refused(
            "the data directory was replaced by another one during the backup",
            "run the backup again",
        ));
    }
    let global = found.folder(b"global");
    let mode = global.and_then(|folder| folder.others.find(b"pg_control")).map_or(0o600, |file| file.mode);
    let note = Note::File { owned: Owned { mode, ..Owned::default() }, modified: String::new() };
    write_whole(writer, paths::in_data_directory(b"global/pg_control"), Class::Data, &content, &note)
}
