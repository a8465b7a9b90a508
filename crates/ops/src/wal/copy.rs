//! Archived WAL into another repository, with the backups that need it: decrypted, verified, and
//! archived again under the keys of that one.
//!
//! What the target has under the same name stays. So a copy that was broken off goes on where it
//! was, and a server may archive into both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use pgark_repo::{RepoError, Repository, WalArchive, WalKind, WalListed, WalName, WalPut};
use schemars::JsonSchema;
use serde::Serialize;

use super::archived::Archived;
use super::candidate::Candidate;
use super::retention::Needs;
use crate::error::with_causes;
use crate::lock::lock;
use crate::{Job, OpsError, workers};

/// WAL of one system that was copied.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "CopiedWal")]
pub struct CopiedWal {
    /// Name of the cluster.
    pub cluster: String,
    /// System identifier, in decimal.
    pub system_identifier: String,
    /// Number of files that were copied.
    pub copied: u64,
    /// Number of files that the target already had.
    pub there: u64,
    /// Size in bytes of the new objects.
    pub bytes_added: u64,
    /// Files that could not be read at the source. Nothing of them is in the target.
    pub failed: Vec<FailedFile>,
}

/// A file of WAL that could not be copied.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FailedWalCopy")]
pub struct FailedFile {
    /// The file.
    pub file: String,
    /// Why it could not be copied.
    pub error: String,
}

/// How it is copied.
pub(crate) struct Copying<'a> {
    pub source: &'a Repository,
    pub target: &'a Repository,
    pub jobs: usize,
    pub compression_level: i32,
    pub job: &'a Job,
}

impl Copying<'_> {
    /// Copies what these physical backups of one cluster need, by their systems.
    ///
    /// # Errors
    /// What the repositories say of something else than a file of the source.
    pub(crate) fn run(&self, cluster: &str, backups: Vec<Candidate>) -> Result<Vec<CopiedWal>, OpsError> {
        let mut of_systems: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for backup in backups {
            of_systems.entry(backup.system_identifier.clone()).or_default().push(backup);
        }
        let mut copied = Vec::new();
        let systems = self.source.wal_systems(cluster)?;
        for system in &systems {
            if let Some(backups) = of_systems.get(&system.to_string()) {
                copied.push(self.one(cluster, *system, backups, systems.last() == Some(system))?);
            }
        }
        Ok(copied)
    }

    /// `is_newest`: the cluster has the WAL of this system now, and so will that of the target.
    fn one(
        &self,
        cluster: &str,
        system: u64,
        backups: &[Candidate],
        is_newest: bool,
    ) -> Result<CopiedWal, OpsError> {
        self.job.progress.phase("listing the WAL");
        let source = self.source.wal(cluster, system)?;
        let archived = Archived::read(&source)?;
        archived.problems.iter().for_each(|problem| self.job.progress.warn(problem));
        let needs = Needs::of(&archived.histories(), backups, None);
        let is_wanted =
            |file: &&WalListed| !needs.not(file, archived.size) && file.name.kind() != WalKind::Piece;
        let mut files: Vec<&WalListed> = archived.listed.iter().filter(is_wanted).collect();
        let target = self.target.wal(cluster, system)?;
        target.begin(self.target, is_newest)?;
        let there: BTreeSet<WalName> = target.list(None)?.into_iter().map(|file| file.name).collect();
        let wanted = files.len();
        files.retain(|file| !there.contains(&file.name));
        let report = Mutex::new(CopiedWal {
            cluster: cluster.to_string(),
            system_identifier: system.to_string(),
            there: (wanted - files.len()) as u64,
            ..CopiedWal::default()
        });
        self.job.progress.phase("copying the WAL");
        self.job.progress.total_bytes(files.iter().map(|file| file.stored).sum());
        // The oldest first.
        workers::each(self.jobs, files.into_iter(), |file| self.file(&source, &target, file, &report))?;
        for pieces in archived.timelines.values().flat_map(|found| found.pieces.values()) {
            if pieces.first().is_some_and(|piece| !needs.not(piece, archived.size)) {
                self.unfinished(&source, &target, pieces, &report)?;
            }
        }
        Ok(report.into_inner().unwrap_or_else(|poison| poison.into_inner()))
    }

    /// Copies a segment that is not whole: as one piece.
    fn unfinished(
        &self,
        source: &WalArchive<'_>,
        target: &WalArchive<'_>,
        pieces: &[WalListed],
        report: &Mutex<CopiedWal>,
    ) -> Result<(), OpsError> {
        self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        let segment = pieces.first().and_then(|piece| piece.name.piece_of()).map(|(segment, ..)| segment);
        let (Some(found), Some(segment)) = (source.assemble(pieces)?, segment) else { return Ok(()) };
        let end = u32::try_from(found.content.len()).unwrap_or(u32::MAX);
        let Some(piece) = WalName::piece(&segment, 0, end) else { return Ok(()) };
        let mut digest = target.begin_digest();
        digest.feed(&found.content);
        let level = self.compression_level;
        count(target.put_piece(&piece, &found.content, &digest, &found.facts, level)?, report);
        Ok(())
    }

    fn file(
        &self,
        source: &WalArchive<'_>,
        target: &WalArchive<'_>,
        file: &WalListed,
        report: &Mutex<CopiedWal>,
    ) -> Result<(), OpsError> {
        self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        let failed = |error: RepoError| {
            let (file, error) = (file.name.file().to_string(), with_causes(&error));
            self.job.progress.warn(&format!("{file} is not copied: {error}"));
            lock(report).failed.push(FailedFile { file, error });
        };
        match source.get(&file.name) {
            Ok(Some((header, content))) => {
                count(target.put(&file.name, &content, &header.facts, self.compression_level)?, report);
            }
            // Pruned since it was listed.
            Ok(None) => {}
            Err(error) if error.is_of_object() => failed(error),
            Err(error) => return Err(error.into()),
        }
        self.job.progress.advance(file.stored);
        Ok(())
    }
}

fn count(put: WalPut, report: &Mutex<CopiedWal>) {
    let mut report = lock(report);
    match put {
        WalPut::Stored { bytes } => {
            report.copied += 1;
            report.bytes_added += bytes;
        }
        WalPut::WasThere => report.there += 1,
    }
}
