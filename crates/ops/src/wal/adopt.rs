//! `wal adopt`: from now on the WAL of another system is archived under a cluster's name, as after
//! `pg_upgrade` or `initdb`.

use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Job, OpsError};

/// The system whose WAL a cluster has from now on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WalAdoptReport")]
pub struct Report {
    /// Name of the cluster.
    pub cluster: String,
    /// System identifier, in decimal.
    pub system_identifier: String,
    /// System identifiers whose WAL it had before, the newest last.
    pub before: Vec<String>,
}

/// Takes another system for a cluster. What is archived of the one before stays.
///
/// # Errors
/// What the repository says.
pub fn run(
    repository: &Repository,
    cluster: &str,
    system_identifier: u64,
    job: &Job,
) -> Result<Report, OpsError> {
    let repository = &job.on(repository);
    let before = repository.wal_systems(cluster)?;
    repository.wal(cluster, system_identifier)?.begin(repository, true)?;
    Ok(Report {
        cluster: cluster.to_string(),
        system_identifier: system_identifier.to_string(),
        before: before.iter().filter(|known| **known != system_identifier).map(ToString::to_string).collect(),
    })
}
