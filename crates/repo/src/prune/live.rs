//! The chunks that backups need: every id below every manifest, as one sorted file.

use std::collections::HashSet;
use std::sync::Arc;

use pgark_store::Cancel;

use crate::RepoError;
use crate::ids::ChunkId;
use crate::index::{self, Record, Run};
use crate::manifest::Manifest;
use crate::reader::ChunkReader;
use crate::repository::Repository;
use crate::stream::StreamRef;

/// Ids in memory before they become a file.
const BATCH: usize = 512 << 10;

/// Gathers the ids below manifests. Trees that several backups share are walked once.
pub(crate) struct Live<'r> {
    repository: &'r Repository,
    seen_nodes: HashSet<ChunkId>,
    seen_manifests: HashSet<crate::BackupId>,
    batch: Vec<Record>,
    runs: Vec<Arc<Run>>,
}

impl<'r> Live<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Live<'r> {
        Live {
            repository,
            seen_nodes: HashSet::new(),
            seen_manifests: HashSet::new(),
            batch: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Adds what a backup needs. Lists and tree nodes are read; a damaged one is an error.
    pub(crate) fn add(
        &mut self,
        reader: &ChunkReader<'_>,
        manifest: &Manifest,
        cancel: &Cancel,
    ) -> Result<(), RepoError> {
        if !self.seen_manifests.insert(manifest.name.id) {
            return Ok(());
        }
        self.stream(reader, &manifest.body.entries, cancel)?;
        for entry in self.repository.entries(reader, manifest)? {
            for part in &entry.parts {
                self.stream(reader, part, cancel)?;
            }
        }
        Ok(())
    }

    fn stream(
        &mut self,
        reader: &ChunkReader<'_>,
        stream: &StreamRef,
        cancel: &Cancel,
    ) -> Result<(), RepoError> {
        reader.walk(stream, &mut |child, level| {
            if level > 0 {
                cancel.check()?;
                if !self.seen_nodes.insert(child.id) {
                    return Ok(false);
                }
            }
            self.id(child.id)?;
            Ok(true)
        })
    }

    fn id(&mut self, id: ChunkId) -> Result<(), RepoError> {
        self.batch.push(Record { id, pack: 0, raw_len: 0, sealed_len: 0, kind: 0 });
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), RepoError> {
        if !self.batch.is_empty() {
            let file = index::temporary(&self.repository.local)?;
            self.runs.push(Arc::new(index::sorted_run(file, &mut self.batch)?));
        }
        Ok(())
    }

    /// All ids gathered so far.
    pub(crate) fn sorted(&mut self) -> Result<Arc<Run>, RepoError> {
        self.flush()?;
        match self.runs.as_slice() {
            [one] => Ok(Arc::clone(one)),
            many => {
                let merged = Arc::new(index::merge_runs(index::temporary(&self.repository.local)?, many)?);
                self.runs = vec![Arc::clone(&merged)];
                Ok(merged)
            }
        }
    }
}
