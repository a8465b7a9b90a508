//! Freeing what no backup needs, and what a repository holds.

use std::collections::BTreeMap;

use pgark_repo::Repository;
pub use pgark_repo::{PruneOptions as Options, PruneReport as Pruned};
use serde::Serialize;

use crate::facts::About;
use crate::{Job, OpsError};

/// Marks what no backup needs, and deletes what was marked before the grace time.
pub fn run(repository: &Repository, options: &Options, job: &Job) -> Result<Pruned, OpsError> {
    Ok(job.on(repository).prune(options, &|phase| job.progress.phase(phase))?)
}

/// What a repository holds.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Backups.
    pub backups: u64,
    /// Bytes of all backups as they were read.
    pub bytes_raw: u64,
    /// Bytes of chunks that backups need, each once, as they were read.
    pub bytes_unique: u64,
    /// The same, compressed and sealed.
    pub bytes_sealed: u64,
    /// Bytes of all objects on the storage.
    pub bytes_stored: u64,
    /// Of these, packs.
    pub bytes_packs: u64,
    /// Chunks that the index knows.
    pub chunks: u64,
    /// Per cluster.
    pub clusters: Vec<ClusterStats>,
}

/// One cluster's share.
#[derive(Debug, Serialize)]
pub struct ClusterStats {
    /// Its name.
    pub cluster: String,
    /// Its backups.
    pub backups: u64,
    /// Of the first and the newest.
    pub first: String,
    /// When the newest was made.
    pub newest: String,
    /// Bytes of the newest as it was read.
    pub newest_raw: u64,
    /// What its backups that are still here added.
    pub bytes_added: u64,
    /// What a backup added on average, the first left out.
    pub added_per_backup: u64,
    /// What was added in the thirty days before the newest.
    pub added_in_30_days: u64,
}

/// Counts.
pub fn stats(repository: &Repository, job: &Job) -> Result<Stats, OpsError> {
    let repository = &job.on(repository);
    let stored = repository.contents()?;
    let heads = repository.backups()?;
    let mut by_cluster: BTreeMap<String, Vec<(pgark_repo::BackupHead, About)>> = BTreeMap::new();
    let mut bytes_raw = 0;
    for head in heads.iter().cloned() {
        let about = About::of(&head)?;
        bytes_raw += about.bytes_raw;
        by_cluster.entry(head.cluster.clone()).or_default().push((head, about));
    }
    let month = jiff::SignedDuration::from_hours(30 * 24);
    let clusters = by_cluster
        .into_iter()
        .filter_map(|(cluster, own)| {
            let ((first, _), (newest, about)) = (own.first()?, own.last()?);
            let added = |own: &[(pgark_repo::BackupHead, About)]| -> u64 {
                own.iter().map(|(head, _)| head.bytes_added).sum()
            };
            let later = own.get(1..).unwrap_or_default();
            Some(ClusterStats {
                backups: own.len() as u64,
                first: first.moment().to_string(),
                newest: newest.moment().to_string(),
                newest_raw: about.bytes_raw,
                bytes_added: added(&own),
                added_per_backup: added(later).checked_div(later.len() as u64).unwrap_or(0),
                added_in_30_days: own
                    .iter()
                    .filter(|(head, _)| newest.moment().duration_since(head.moment()) <= month)
                    .map(|(head, _)| head.bytes_added)
                    .sum(),
                cluster,
            })
        })
        .collect();
    Ok(Stats {
        backups: heads.len() as u64,
        bytes_raw,
        bytes_unique: stored.bytes_unique,
        bytes_sealed: stored.bytes_sealed,
        bytes_stored: stored.bytes_stored,
        bytes_packs: stored.bytes_packs,
        chunks: stored.chunks,
        clusters,
    })
}
