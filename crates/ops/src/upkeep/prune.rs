//! Freeing what no backup needs, and what a repository holds.

use std::collections::BTreeMap;

pub use pgark_repo::PruneOptions as Options;
use pgark_repo::Repository;
use serde::Serialize;

use crate::record::About;
use crate::{Job, OpsError};

/// Marks what no backup needs, and deletes what was marked before the grace time.
pub fn run(repository: &Repository, options: &Options, job: &Job) -> Result<Pruned, OpsError> {
    let report = job.on(repository).prune(options, &|phase| job.progress.phase(phase))?;
    Ok(Pruned {
        packs: report.packs,
        bytes: report.bytes,
        bytes_live: report.bytes_live,
        packs_deleted: report.packs_deleted,
        bytes_deleted: report.bytes_deleted,
        packs_waiting: report.packs_waiting,
        bytes_waiting: report.bytes_waiting,
        packs_repacked: report.packs_repacked,
        bytes_moved: report.bytes_moved,
        sessions: report.sessions,
        next: report.next.map(|next| next.to_string()),
        missing: report.missing,
        packs_refused: report.packs_refused,
        bytes_refused: report.bytes_refused,
        refused: report.refused,
        packs_held: report.packs_held,
        bytes_held: report.bytes_held,
        held_by: report.held_by,
        copies_put: report.copies_put,
        dry_run: options.dry_run,
    })
}

/// What a prune did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Pruned {
    /// Packs that were there.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sealed bytes that backups need.
    pub bytes_live: u64,
    /// Packs deleted.
    pub packs_deleted: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Packs that are marked and wait for their grace time.
    pub packs_waiting: u64,
    /// Their bytes.
    pub bytes_waiting: u64,
    /// Packs whose live chunks were moved.
    pub packs_repacked: u64,
    /// Bytes moved.
    pub bytes_moved: u64,
    /// Backups that are being written: what they began before stays until they end.
    pub sessions: u64,
    /// When the first waiting pack can be deleted, by the storage's clock.
    pub next: Option<String>,
    /// A backup needs a chunk that is nowhere: nothing was deleted that might hold it.
    pub missing: bool,
    /// Packs that no backup needs and that the storage did not let us delete.
    pub packs_refused: u64,
    /// Their bytes.
    pub bytes_refused: u64,
    /// The first objects of any kind that could not be deleted.
    pub refused: Vec<String>,
    /// Packs that stay because something that may need them cannot be read.
    pub packs_held: u64,
    /// Bytes of them that no backup is known to need.
    pub bytes_held: u64,
    /// What cannot be read: a manifest, a list, a draft.
    pub held_by: Vec<String>,
    /// Second copies that were missing and were put.
    pub copies_put: u64,
    /// Nothing was changed.
    pub dry_run: bool,
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
