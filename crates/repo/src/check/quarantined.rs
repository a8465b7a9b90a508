//! What the quarantine affects: without reading data, by what the index and the lists say.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::ids::{BackupId, ChunkId, Compartment, Hash};
use crate::index::Index;
use crate::manifest::{self, ListReader, Manifest, Record, Sub};
use crate::map::{self, Part};
use crate::names::Which;
use crate::quarantine::{self, Quarantine};
use crate::reader::{ChunkReader, root_child};
use crate::repository::Repository;
use crate::stream::{Child, StreamRef};
use crate::{RepoError, codec};

impl Repository {
    /// Backups that need a chunk of which every place is in quarantine. Empty, and cheap, while
    /// nothing is.
    pub fn quarantined_backups(&self) -> Result<BTreeSet<BackupId>, RepoError> {
        let mut hurt = BTreeSet::new();
        for compartment in self.compartments_in(&[quarantine::FOLDER])? {
            self.quarantined_in(compartment, &mut hurt)?;
        }
        Ok(hurt)
    }

    fn quarantined_in(
        &self,
        compartment: Compartment,
        hurt: &mut BTreeSet<BackupId>,
    ) -> Result<(), RepoError> {
        let quarantine = Quarantine::read(&self.unlocked, compartment)?;
        if quarantine.is_empty() {
            return Ok(());
        }
        let index = self.whole_index(compartment)?;
        let reader = self.chunks(Arc::clone(&index))?;
        let mut walk =
            Walk { index: &index, reader: &reader, quarantine: &quarantine, nodes: HashMap::new() };
        let which = Which::Compartment(compartment);
        for manifest in manifest::read_some(&self.unlocked, which)?.warned(&self.unlocked) {
            self.store().cancel().check()?;
            let is_hurt = walk.backup(&manifest).or_else(|error| match error.is_of_object() {
                // What says which chunks it needs cannot be read.
                true => Ok(true),
                false => Err(error),
            })?;
            if is_hurt {
                hurt.insert(manifest.name.id);
            }
        }
        Ok(())
    }
}

/// Looks below trees for chunks without a good place; each node once.
struct Walk<'w> {
    index: &'w Index,
    reader: &'w ChunkReader<'w>,
    quarantine: &'w Quarantine,
    nodes: HashMap<ChunkId, bool>,
}

impl Walk<'_> {
    fn backup(&mut self, manifest: &Manifest) -> Result<bool, RepoError> {
        let list = manifest.open_list(self.reader)?;
        let mut list = ListReader::new(self.reader, &list, "");
        let mut hurt = false;
        let mut wanted = |walk: &mut Self, sub: &Sub, level: u8| {
            let known = if level == 0 { walk.nodes.get(&sub.id).copied() } else { None };
            hurt = hurt || known == Some(true) || walk.is_rotten(&sub.id)?;
            Ok(known.is_none() && !hurt)
        };
        while let Some((sub, records)) = list.next_leaf(&mut |sub, level| wanted(self, sub, level))? {
            let mut leaf_hurt = false;
            for record in records {
                leaf_hurt = leaf_hurt || self.record(record)?;
            }
            self.nodes.insert(sub.id, leaf_hurt);
            if leaf_hurt {
                return Ok(true);
            }
        }
        Ok(hurt)
    }

    fn record(&mut self, record: Record) -> Result<bool, RepoError> {
        if let Some(stream) = record.parts.apart()
            && self.stream(stream)?
        {
            return Ok(true);
        }
        for part in &record.read(self.reader)?.parts {
            if self.part(part)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn part(&mut self, part: &Part) -> Result<bool, RepoError> {
        let map = match part {
            Part::Stream(stream) => return self.stream(stream),
            Part::Salted(salted) => return self.stream(&salted.stream),
            Part::Map(map) => map,
        };
        // Kept next to the tree nodes, under a hash of its own.
        let name = Hash::of(&codec::encode(map));
        if let Some(known) = self.nodes.get(&name) {
            return Ok(*known);
        }
        let mut hurt = false;
        for stream in part.streams() {
            hurt = hurt || self.stream(stream)?;
        }
        if !hurt {
            let (kind, records) = map::records(self.reader, map)?;
            for record in records {
                hurt = hurt || self.is_rotten(&record.group)?;
                if hurt {
                    break;
                }
                let group = map::group(self.reader, &record, kind)?;
                for chunk in map::used_chunks(&record, &group)? {
                    hurt = hurt || self.is_rotten(&chunk.id)?;
                }
            }
        }
        self.nodes.insert(name, hurt);
        Ok(hurt)
    }

    /// Whether every place of a chunk is in quarantine.
    fn is_rotten(&self, id: &ChunkId) -> Result<bool, RepoError> {
        let is_rotten = |place: &crate::index::Record| {
            self.index.packs.get(place.pack).is_some_and(|pack| self.quarantine.holds(&pack.hash, id))
        };
        Ok(self.index.find(id)?.iter().all(is_rotten))
    }

    fn stream(&mut self, stream: &StreamRef) -> Result<bool, RepoError> {
        match root_child(stream) {
            Some(root) => self.chunk(&root, stream.level),
            None => Ok(false),
        }
    }

    fn chunk(&mut self, child: &Child, level: u8) -> Result<bool, RepoError> {
        if self.is_rotten(&child.id)? {
            return Ok(true);
        }
        if level == 0 {
            return Ok(false);
        }
        if let Some(known) = self.nodes.get(&child.id) {
            return Ok(*known);
        }
        let mut hurt = false;
        for below in self.reader.node(child, level)?.children {
            hurt = hurt || self.chunk(&below, level - 1)?;
        }
        self.nodes.insert(child.id, hurt);
        Ok(hurt)
    }
}
