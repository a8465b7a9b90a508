//! A physical backup that is only planned: what it would take, and what would make it impossible.
//!
//! The server is asked what a backup asks it first, the directory is proved to be the server's, and
//! scanned; where the server would send the files, it tells how large its databases are. Nothing is
//! changed there: no slot is made, and the server does not begin a backup. Nothing is put into the
//! repository, not even a session.

use pgark_datadir::scan::{Scan, ScanOptions, scan};
use pgark_pg::Connection;
use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

use super::earlier::MOST_BACKUPS;
use super::files::{refuse_links, tell};
use super::request::Request;
use super::source::{Chosen, Open};
use super::survey::Survey;
use super::wire::WAL_SENDERS;
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
    /// Where the files would come from.
    pub source: PhysicalSource,
    /// Why from there.
    pub source_reason: String,
    /// The data directory on this host. Null: the server sends the files.
    pub data_directory: Option<String>,
    /// Whether the cluster has data checksums: only then damaged pages are found.
    pub checksums_on: bool,
    /// Number of files. Null: the server sends them, and nobody has counted them.
    pub files: Option<u64>,
    /// Number of folders. Null as for files.
    pub folders: Option<u64>,
    /// Size in bytes of all files, without the WAL; where the server sends them, of all databases,
    /// as it says it. Null: the role is not allowed to ask.
    pub bytes: Option<u64>,
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
    /// Size in bytes of its files. Null: the server sends them, and nobody has counted them.
    pub bytes: Option<u64>,
}

/// Finds out what a backup of this request would take.
pub fn dry_run(repository: &Repository, request: &Request, job: &Job) -> Result<Plan, OpsError> {
    request.refuse_label()?;
    let repository = &job.on(repository);
    let watch = Watch::new(&job.cancel);
    watch.during_job(|| plan(repository, request, job, &watch))
}

fn plan(repository: &Repository, request: &Request, job: &Job, watch: &Watch) -> Result<Plan, OpsError> {
    let stop = || job.cancel.is_cancelled();
    job.progress.phase("reading the cluster's properties");
    let (survey, mut connection) = Survey::of(request, watch)?;
    let chosen = Chosen::of(request, &survey, job, &stop)?;
    let cluster = name::of(repository, request.cluster.as_deref(), survey.who())?;
    let mut report = Report::default();
    let newest = repository.newest_backups(&cluster, MOST_BACKUPS)?;
    for warning in survey.server.compare(request.cluster.as_deref(), &survey.identifier, &newest)? {
        report.warn(&warning);
    }
    let mut refused = Vec::new();
    let found = match &chosen.source {
        Open::Wire => None,
        Open::Files(directory) => {
            job.progress.phase("scanning the data directory");
            let found = scan(directory, &ScanOptions::default(), &stop)?;
            tell(&found, &mut report);
            refused.extend(refuse_links(&found).err().map(|error| with_causes(&error)));
            Some(found)
        }
    };
    if request.beside != Beside::Run {
        refused.extend(repository.refusal_of_another_backup(&cluster)?.map(|error| error.to_string()));
    }
    refused.extend(used_up(&mut connection, if found.is_some() { 1 } else { WAL_SENDERS })?);
    let last = newest.iter().rev().find(|head| BackupKind::of(head) == BackupKind::Physical);
    Ok(Plan {
        cluster,
        server_version: survey.server_version_text.clone(),
        system_identifier: survey.identifier.clone(),
        timeline: survey.timeline,
        source: chosen.source(),
        source_reason: chosen.why.clone(),
        data_directory: match &chosen.source {
            Open::Files(directory) => Some(directory.path().display().to_string()),
            Open::Wire => None,
        },
        checksums_on: survey.checksums,
        files: found.as_ref().map(|found| found.files() as u64),
        folders: found.as_ref().map(|found| found.folders.len() as u64),
        bytes: match &found {
            Some(found) => Some(found.bytes()),
            None => bytes_of_databases(&mut connection)?,
        },
        tablespaces: survey.tablespaces.iter().map(|one| planned(one, found.as_ref())).collect(),
        warnings: report.warnings,
        refused,
        last: last.map(|head| Ok::<_, OpsError>(LastRun::of(head, &About::of(head)?))).transpose()?,
    })
}

fn planned(tablespace: &BackedUpTablespace, found: Option<&Scan>) -> PlannedTablespace {
    let link = format!("pg_tblspc/{}/", tablespace.oid);
    let bytes = found.map(|found| {
        let own = found.folders.iter().filter(|folder| folder.path.starts_with(link.as_bytes()));
        own.map(|folder| folder.pages.bytes() + folder.others.bytes()).sum()
    });
    PlannedTablespace { tablespace: tablespace.clone(), bytes }
}

/// The size of all databases, if the role may ask for that of each.
fn bytes_of_databases(connection: &mut Connection) -> Result<Option<u64>, OpsError> {
    let doing = "ask for the size of the databases";
    let rows = connection
        .query(
            "SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') \
                 OR pg_catalog.bool_and(pg_catalog.has_database_privilege(oid, 'CONNECT')) \
               THEN (SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database) END \
             FROM pg_catalog.pg_database",
            &[],
        )
        .doing(doing)?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(row.opt_str(0).doing(doing)?.and_then(|bytes| bytes.parse().ok()))
}

/// A backup needs a slot and so many walsenders, which it would find missing only when it begins.
/// Those of other roles are counted, too, whatever this role is allowed to see of them.
fn used_up(connection: &mut Connection, wal_senders: u32) -> Result<Vec<String>, OpsError> {
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
    for (at, setting, what, needed) in [
        (0, "max_replication_slots", "replication slots", 1),
        (2, "max_wal_senders", "walsenders", u64::from(wal_senders)),
    ] {
        let (used, most) = (number(at)?, number(at + 1)?);
        if used + needed > most {
            let free = match most.saturating_sub(used) {
                0 => format!("no free {what}"),
                free => format!("{free} free {what}, and {needed} are needed"),
            };
            reasons.push(format!("the server has {free}: {setting} is {most}, and {used} are used"));
        }
    }
    Ok(reasons)
}
