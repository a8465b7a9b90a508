//! Freeing what no backup needs, and what a repository holds.

use std::collections::BTreeMap;
use std::time::Duration;

pub use pgark_repo::PruneOptions;
use pgark_repo::{PruneReport, Repository};
use schemars::JsonSchema;
use serde::Serialize;

use crate::facts::About;
use crate::wal::retention;
pub use crate::wal::retention::PrunedWal;
use crate::{Job, OpsError};

/// What to prune and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Packs, and the grace time of everything.
    pub packs: PruneOptions,
    /// Archived WAL that is only needed for moments before so long ago is deleted. None: every
    /// moment since the oldest physical backup stays recoverable.
    pub wal_window: Option<Duration>,
}

/// What a prune did, or would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PruneReport")]
pub struct Pruned {
    /// Packs, and what is about them.
    #[serde(flatten)]
    pub packs: PruneReport,
    /// Archived WAL, by cluster and system.
    pub wal: Vec<PrunedWal>,
}

/// Marks what no backup needs, and deletes what was marked before the grace time; then deletes the
/// archived WAL that no backup needs.
pub fn run(repository: &Repository, options: &Options, job: &Job) -> Result<Pruned, OpsError> {
    let repository = &job.on(repository);
    let packs = repository.prune(&options.packs, &|phase| job.progress.phase(phase))?;
    let wal = retention::prune(repository, &options.packs, options.wal_window, job)?;
    Ok(Pruned { packs, wal })
}

/// What a repository holds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stats {
    /// Number of backups.
    pub backups: u64,
    /// Size of all backups in bytes, before deduplication and compression.
    pub bytes_raw: u64,
    /// Size of the same after deduplication, in bytes.
    pub bytes_unique: u64,
    /// Size of the same after deduplication, compression and encryption, in bytes.
    pub bytes_sealed: u64,
    /// Size of all objects on the storage, in bytes.
    pub bytes_stored: u64,
    /// Size of the packs among them, in bytes.
    pub bytes_packs: u64,
    /// Number of chunks in the index.
    pub chunks: u64,
    /// Each cluster.
    pub clusters: Vec<ClusterStats>,
}

/// The backups of one cluster.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ClusterStats {
    /// Name of the cluster.
    pub cluster: String,
    /// Number of its backups.
    pub backups: u64,
    /// Time of the oldest backup: RFC 3339, UTC.
    pub first: String,
    /// Time of the newest backup: RFC 3339, UTC.
    pub newest: String,
    /// Size of the newest backup in bytes, before deduplication and compression.
    pub newest_raw: u64,
    /// Bytes that its existing backups added to the storage.
    pub bytes_added: u64,
    /// Bytes that a backup added on average, without the first one.
    pub added_per_backup: u64,
    /// Bytes that were added in the 30 days before the newest backup.
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
