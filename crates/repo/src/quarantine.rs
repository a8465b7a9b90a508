//! Quarantine: places that a check found rotten, which no later backup may lean on (FORMAT.md,
//! "Quarantine").
//!
//! A backup that meets such a chunk again stores it anew, and older backups find it there. A record
//! goes with its pack.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use minicbor::{Decode, Encode};
use pgark_store::Storage;

use crate::ids::{BackupId, ChunkId, Hash, ObjectHash, unhex};
use crate::index::{Index, Record};
use crate::manifest::Manifest;
use crate::map::{self, Part};
use crate::object::{self, Kind, damaged};
use crate::reader::{ChunkReader, root_child};
use crate::repository::Repository;
use crate::stream::{Child, StreamRef};
use crate::{RepoError, codec, manifest, pack, signed};

const FOLDER: &str = "quarantine/";

#[derive(Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    pack: ObjectHash,
    /// Which chunks; none: all.
    #[n(1)]
    chunks: Option<Vec<ChunkId>>,
    #[n(2)]
    time: i64,
}

/// What may not be leaned on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quarantine {
    pub packs: HashSet<ObjectHash>,
    pub chunks: HashMap<ObjectHash, HashSet<ChunkId>>,
}

impl Quarantine {
    /// All records. One that cannot be read counts for its whole pack: it may be damaged for a
    /// reason.
    pub(crate) fn read(repository: &Repository) -> Result<Quarantine, RepoError> {
        let mut found = Quarantine::default();
        for meta in repository.store.list(FOLDER)? {
            let Some(hash) = parse(&meta.name) else { continue };
            match read_one(repository, &meta.name, &hash) {
                Ok(Some(Body { chunks: Some(chunks), .. })) => {
                    found.chunks.entry(hash).or_default().extend(chunks);
                }
                Ok(Some(_)) => drop(found.packs.insert(hash)),
                Ok(None) => {}
                Err(RepoError::Damaged { object, what }) => {
                    tracing::warn!("{object} is damaged, its whole pack is not leaned on: {what}");
                    found.packs.insert(hash);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    pub(crate) fn holds(&self, pack: &ObjectHash, chunk: &ChunkId) -> bool {
        self.packs.contains(pack) || self.chunks.get(pack).is_some_and(|chunks| chunks.contains(chunk))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.chunks.is_empty()
    }
}

/// The pack that a record is of.
pub(crate) fn parse(name: &str) -> Option<ObjectHash> {
    let (pack, file) = name.strip_prefix(FOLDER)?.split_once('/')?;
    unhex::<8>(file)?;
    Some(Hash(unhex(pack)?))
}

fn read_one(repository: &Repository, name: &str, hash: &ObjectHash) -> Result<Option<Body>, RepoError> {
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(None) };
    let body = signed::open(repository, Kind::Quarantine, name, name, &bytes)?;
    let body: Body = codec::decode(&body).map_err(|what| damaged(name, what))?;
    if body.pack != *hash {
        return Err(damaged(name, "its name and its content differ"));
    }
    Ok(Some(body))
}

/// Notes rotten places: per pack the chunks, or none for the whole pack. What is noted already is
/// not noted again.
pub(crate) fn add(
    repository: &Repository,
    rotten: &BTreeMap<ObjectHash, Option<Vec<ChunkId>>>,
) -> Result<(), RepoError> {
    let known = Quarantine::read(repository)?;
    for (hash, chunks) in rotten {
        let is_known = match chunks {
            None => known.packs.contains(hash),
            Some(chunks) => chunks.iter().all(|chunk| known.holds(hash, chunk)),
        };
        if is_known {
            continue;
        }
        let name = format!("{FOLDER}{hash}/{}", BackupId::new()?);
        let body = Body { pack: *hash, chunks: chunks.clone(), time: Timestamp::now().as_microsecond() };
        let bytes = signed::seal(repository, Kind::Quarantine, &name, codec::encode(&body))?;
        object::put_regardless(&repository.store, &name, bytes)?;
    }
    Ok(())
}

/// Removes the records of packs that are gone.
pub(crate) fn sweep(store: &Storage) -> Result<(), RepoError> {
    for meta in store.list(FOLDER)? {
        let Some(hash) = parse(&meta.name) else { continue };
        if matches!(pack::is_gone(store, &hash), Ok(true)) {
            store.delete(&meta.name)?;
        }
    }
    Ok(())
}

impl Repository {
    /// Backups that need a chunk of which every place is in quarantine. Empty, and cheap, while
    /// nothing is.
    pub fn quarantined_backups(&self) -> Result<BTreeSet<BackupId>, RepoError> {
        let quarantine = Quarantine::read(self)?;
        let mut hurt = BTreeSet::new();
        if quarantine.is_empty() {
            return Ok(hurt);
        }
        let index = self.whole_index()?;
        let reader = ChunkReader::new(self, Arc::clone(&index));
        let mut walk = Walk {
            repository: self,
            index: &index,
            reader: &reader,
            quarantine: &quarantine,
            nodes: HashMap::new(),
        };
        for manifest in manifest::read_all(self)?.warned(self) {
            self.store.cancel().check()?;
            let is_hurt = walk.backup(&manifest).or_else(|error| match error.is_of_object() {
                // What says which chunks it needs cannot be read.
                true => Ok(true),
                false => Err(error),
            })?;
            if is_hurt {
                hurt.insert(manifest.name.id);
            }
        }
        Ok(hurt)
    }
}

/// Looks below trees for chunks without a good place; each node once.
struct Walk<'w> {
    repository: &'w Repository,
    index: &'w Index,
    reader: &'w ChunkReader<'w>,
    quarantine: &'w Quarantine,
    nodes: HashMap<ChunkId, bool>,
}

impl Walk<'_> {
    fn backup(&mut self, manifest: &Manifest) -> Result<bool, RepoError> {
        if self.stream(&manifest.body.entries)? {
            return Ok(true);
        }
        for entry in self.repository.entries(self.reader, manifest)? {
            for part in &entry.parts {
                if self.part(part)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn part(&mut self, part: &Part) -> Result<bool, RepoError> {
        let map = match part {
            Part::Stream(stream) => return self.stream(stream),
            Part::Map(map) => map,
        };
        // Kept beside the tree nodes, under a hash of its own.
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
        let is_rotten = |place: &Record| {
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
