//! Where the facts of a database come from.

use pgark_mask::catalog::Catalog;
use pgark_mask::finding::Finding;
use pgark_pg::{ConnInfo, Use};
use pgark_repo::{BackupHead, Repository};

use crate::error::Doing;
use crate::facts::About;
use crate::logical::mask_facts;
use crate::select::{self, Wanted};
use crate::session::{SERVER, Text, open};
use crate::watch::Watch;
use crate::{BackupName, Job, OpsError, paths};

/// The facts of one database are no longer: a thousand bytes for each of two million tables.
const MOST: u64 = 2 << 30;

/// The facts of one database.
pub struct Facts {
    /// What is known of it.
    pub catalog: Catalog,
    /// Where that is from, for people: `database shop of the server`, `backup 4f0c…`.
    pub from: String,
    /// What is wrong with how it was read.
    pub findings: Vec<Finding>,
}

impl Facts {
    /// Of a live server, in the database that the connection names.
    pub fn live(conninfo: &ConnInfo, job: &Job) -> Result<Facts, OpsError> {
        let watch = Watch::new(&job.cancel);
        let (catalog, findings) = watch.during(|| {
            let mut connection = open(conninfo, Use::Read, Text::ToRead, &watch, SERVER)?.connection;
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            connection.execute(begin).doing("begin a transaction")?;
            let findings = super::session::findings(&mut connection)?;
            Ok::<_, OpsError>((mask_facts::catalog(&mut connection)?, findings))
        })?;
        Ok(Facts { from: format!("database {} of the server", catalog.database), catalog, findings })
    }

    /// Of a backup, which read them when it was made.
    pub fn of_backup(
        repository: &Repository,
        name: &BackupName,
        database: Option<&str>,
        job: &Job,
    ) -> Result<Facts, OpsError> {
        let repository = &job.on(repository);
        let backup = repository.open_head(&select::find_backup(repository, name, Wanted::Logical)?)?;
        let database = one_database(&backup.head, database)?;
        let path = paths::catalog(&database);
        let Some(entry) = backup.entry(&path)? else {
            return Err(OpsError::refused(
                format!(
                    "backup {} does not say what masking database {database} needs to know",
                    backup.head.id
                ),
                "it was imported, or made by an older version: check against the server",
            ));
        };
        let bytes = repository.reader(&backup.head)?.read_whole(&entry, MOST)?;
        let catalog = serde_json::from_slice(&bytes)
            .map_err(|_| OpsError::Record { backup: backup.head.id.to_string(), what: path })?;
        let from = format!("database {database} of backup {}", backup.head.id);
        Ok(Facts { catalog, from, findings: Vec::new() })
    }
}

/// The database that is meant: the one that was named, or the only one that the backup holds.
fn one_database(head: &BackupHead, named: Option<&str>) -> Result<String, OpsError> {
    if let Some(name) = named {
        select::refuse_unknown_database(head, name)?;
        return Ok(name.to_string());
    }
    let databases = About::of(head)?.databases;
    match databases.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(OpsError::refused(
            format!("backup {} holds several databases: {}", head.id, databases.join(", ")),
            "name one: ID:DB or latest:DB",
        )),
    }
}
