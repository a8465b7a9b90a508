//! A physical backup that is only planned: what it would take, and what would make it impossible.
//!
//! The server is asked what a backup asks it first, the directory is proved to be the server's, and
//! scanned. Nothing is changed there: no slot is made, and the server does not begin a backup.
//! Nothing is put into the repository, not even a session.

use pgark_datadir::scan::{Scan, ScanOptions, scan};
use pgark_pg::Connection;
use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

use super::earlier::MOST_BACKUPS;
use super::request::Request;
use super::survey::Survey;
use super::{directory, refuse_label, refuse_links, tell};
use crate::cluster::{Beside, Report, name};
use crate::error::{Doing, with_causes};
use crate::facts::{About, BackedUpTablespace, BackupKind, PhysicalSource};
use crate::record::LastRun;
use crate::watch::Watch;
use crate::{Job, OpsError};

/// What a physical backup would take.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "DirectoryBackupPlan")]
pub struct Plan {
    /// Name of the cluster.
    pub cluster: String,
    /// Version of the server, such as `17.2`.
    pub server_version: String,
    /// System identifier of the cluster, in decimal.
    pub system_identifier: String,
    /// Timeline of the server.
    pub timeline: u32,
    /// Where the pages would be read.
    pub source: PhysicalSource,
    /// The data directory on this host.
    pub data_directory: String,
    /// Whether the cluster has data checksums: only then damaged pages are found.
    pub checksums_on: bool,
    /// Number of files.
    pub files: u64,
    /// Number of folders.
    pub folders: u64,
    /// Size in bytes of all files, without the WAL.
    pub bytes: u64,
    /// Tablespaces, other than `pg_default` and `pg_global`.
    pub tablespaces: Vec<PlannedTablespace>,
    /// Warnings that the backup would print.
    pub warnings: Vec<String>,
    /// Why a backup would fail now, each reason as a sentence. Empty: pgark found no reason.
    pub refused: Vec<String>,
    /// The last physical backup of the cluster. Null: there is none.
    pub last: Option<LastRun>,
}

/// A tablespace that would be backed up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedTablespace {
    /// The tablespace.
    #[serde(flatten)]
    pub tablespace: BackedUpTablespace,
    /// Size in bytes of its files.
    pub bytes: u64,
}

/// Finds out what a backup of this request would take.
pub fn dry_run(repository: &Repository, request: &Request, job: &Job) -> Result<Plan, OpsError> {
    refuse_label(&request.label)?;
    let repository = &job.on(repository);
    let watch = Watch::new(&job.cancel);
    watch.during_job(|| plan(repository, request, job, &watch))
}

fn plan(repository: &Repository, request: &Request, job: &Job, watch: &Watch) -> Result<Plan, OpsError> {
    let stop = || job.cancel.is_cancelled();
    job.progress.phase("reading the cluster's properties");
    let (survey, mut connection) = Survey::of(request, watch)?;
    let directory = directory::open(request, &survey, &stop)?;
    let cluster = name::of(repository, request.cluster.as_deref(), survey.who())?;
    let mut report = Report::default();
    let newest = repository.newest_backups(&cluster, MOST_BACKUPS)?;
    for warning in survey.server.compare(request.cluster.as_deref(), &survey.identifier, &newest)? {
        report.warn(&warning);
    }
    job.progress.phase("scanning the data directory");
    let found = scan(&directory, &ScanOptions::default(), &stop)?;
    tell(&found, &mut report);
    let mut refused = Vec::new();
    if let Err(error) = refuse_links(&found) {
        refused.push(with_causes(&error));
    }
    if request.beside != Beside::Run {
        refused.extend(repository.refusal_of_another_backup(&cluster)?.map(|error| error.to_string()));
    }
    refused.extend(used_up(&mut connection)?);
    let last = newest.iter().rev().find(|head| BackupKind::of(head) == BackupKind::Physical);
    Ok(Plan {
        cluster,
        server_version: survey.server_version_text.clone(),
        system_identifier: survey.identifier.clone(),
        timeline: survey.timeline,
        source: PhysicalSource::Files,
        data_directory: directory.path().display().to_string(),
        checksums_on: survey.checksums,
        files: found.files() as u64,
        folders: found.folders.len() as u64,
        bytes: found.bytes(),
        tablespaces: survey.tablespaces.iter().map(|one| planned(one, &found)).collect(),
        warnings: report.warnings,
        refused,
        last: last.map(|head| Ok::<_, OpsError>(LastRun::of(head, &About::of(head)?))).transpose()?,
    })
}

fn planned(tablespace: &BackedUpTablespace, found: &Scan) -> PlannedTablespace {
    let link = format!("pg_tblspc/{}/", tablespace.oid);
    let own = found.folders.iter().filter(|folder| folder.path.starts_with(link.as_bytes()));
    let bytes = own.map(|folder| folder.pages.bytes() + folder.others.bytes()).sum();
    PlannedTablespace { tablespace: tablespace.clone(), bytes }
}

/// A backup needs a slot and a walsender, which it would find missing only when it begins. Those of
/// other roles are counted, too, whatever this role is allowed to see of them.
fn used_up(connection: &mut Connection) -> Result<Vec<String>, OpsError> {
    let doing = "count the server's replication slots and walsenders";
    let rows = connection
        .query(
            "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots), \
             pg_catalog.current_setting('max_replication_slots')::pg_catalog.int8, \
             (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication), \
             pg_catalog.current_setting('max_wal_senders')::pg_catalog.int8",
            &[],
        )
        .doing(doing)?;
    let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
    let number = |at: usize| row.parse::<u64>(at).doing(doing);
    let mut reasons = Vec::new();
    for (at, setting, what) in
        [(0, "max_replication_slots", "replication slots"), (2, "max_wal_senders", "walsenders")]
    {
        let (used, most) = (number(at)?, number(at + 1)?);
        if used >= most {
            reasons.push(format!("the server has no free {what}: {setting} is {most}, and {used} are used"));
        }
    }
    Ok(reasons)
}
