//! The chunks that backups need: every id below every manifest, as one sorted file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::RepoError;
use crate::ids::{ChunkId, Hash};
use crate::index::{self, Record, Run};
use crate::manifest::{self, Entry, ListReader, Manifest, Sub};
use crate::map::kind::AnyKind;
use crate::map::{self, MapRef, Part};
use crate::reader::ChunkReader;
use crate::stream::StreamRef;
use crate::unlocked::Unlocked;

/// Ids in memory before they become a file.
const BATCH: usize = 512 << 10;
/// Item lists serve the next backup alone: those of an entry's newest backups are kept, so many of
/// any kind, and so many complete ones.
const LISTS_OF: u8 = 2;

/// Gathers the ids below manifests. Trees that several backups share are walked once.
pub(crate) struct Live<'r> {
    repository: &'r Unlocked,
    seen_nodes: HashSet<ChunkId>,
    seen_manifests: HashSet<crate::BackupId>,
    /// By cluster and id.
    seen_leaves: HashMap<(String, ChunkId), SeenLeaf>,
    /// Maps that were walked, by the root of their stream; true: with their lists.
    seen_maps: HashMap<ChunkId, bool>,
    groups: HashMap<ChunkId, GroupUse>,
    batch: Vec<Record>,
    runs: Vec<Arc<Run>>,
}

/// What maps need of one group of units. The group is read when all maps were seen.
struct GroupUse {
    kind: &'static dyn AnyKind,
    raw_len: u32,
    /// A bit for each unit that some map keeps something of.
    kept: Vec<u8>,
    lists: bool,
    /// What the ids gathered so far cover.
    gathered: (Vec<u8>, bool),
}

/// What is known of a sublist of a cluster.
#[derive(Default)]
struct SeenLeaf {
    /// How many newer backups had it: of any kind, and complete ones.
    any: u8,
    complete: u8,
    /// Whether an entry of it is under a map; None: its entries were not all looked at.
    has_maps: Option<bool>,
}

/// How many newer backups hold an entry: of any kind, and complete ones.
type Newer = HashMap<u64, (u8, u8)>;

impl<'r> Live<'r> {
    pub(crate) fn new(repository: &'r Unlocked) -> Live<'r> {
        Live {
            repository,
            seen_nodes: HashSet::new(),
            seen_manifests: HashSet::new(),
            seen_leaves: HashMap::new(),
            seen_maps: HashMap::new(),
            groups: HashMap::new(),
            batch: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Adds what backups need. Lists and tree nodes are read; backups of which one cannot be read
    /// are returned: they may need anything. Backups that were not there at an earlier call are
    /// newer than all that were, and keep their item lists.
    pub(crate) fn add(
        &mut self,
        reader: &ChunkReader<'_>,
        manifests: &[Manifest],
    ) -> Result<Vec<(crate::BackupId, RepoError)>, RepoError> {
        let mut unknown = Vec::new();
        let all_are_new = self.seen_manifests.is_empty();
        let mut newest_first: Vec<&Manifest> = manifests.iter().collect();
        newest_first.sort_by_key(|manifest| std::cmp::Reverse((manifest.moment(), manifest.body.sequence)));
        let mut newer = Newer::new();
        for manifest in newest_first {
            self.repository.store.cancel().check()?;
            if self.seen_manifests.contains(&manifest.name.id) {
                continue;
            }
            let Err(error) = self.backup(reader, manifest, &mut newer, !all_are_new) else {
                self.seen_manifests.insert(manifest.name.id);
                continue;
            };
            if !error.is_of_object() {
                return Err(error);
            }
            // What lies below a node or map that was seen might not have been added.
            self.seen_nodes.clear();
            self.seen_maps.clear();
            self.seen_leaves.clear();
            // Forgotten meanwhile, and pruned?
            if !manifest::is_gone(self.repository, &manifest.name)? {
                unknown.push((manifest.name.id, error));
            }
        }
        Ok(unknown)
    }

    fn backup(
        &mut self,
        reader: &ChunkReader<'_>,
        manifest: &Manifest,
        newer: &mut Newer,
        keep_lists: bool,
    ) -> Result<(), RepoError> {
        self.stream(reader, &manifest.body.additions)?;
        let list = manifest.open_list(reader)?;
        let mut list = ListReader::new(reader, &list, "");
        let wanted = |live: &mut Self, sub: &Sub, level: u8| {
            live.id(sub.id)?;
            Ok(level > 0 || live.is_wanted(manifest, sub, keep_lists))
        };
        while let Some((sub, records)) = list.next_leaf(&mut |sub, level| wanted(self, sub, level))? {
            let mut has_maps = false;
            for record in records {
                self.repository.store.cancel().check()?;
                if let Some(stream) = record.parts.apart() {
                    self.stream(reader, stream)?;
                }
                let entry = record.read(reader)?;
                let lists = is_current(newer, manifest, &entry) || keep_lists;
                for part in &entry.parts {
                    for stream in part.streams() {
                        self.stream(reader, stream)?;
                    }
                    if let Part::Map(map) = part {
                        has_maps = true;
                        self.map(reader, map, lists)?;
                    }
                }
            }
            if let Some(seen) = self.seen_leaves.get_mut(&(manifest.name.cluster.clone(), sub.id)) {
                seen.has_maps = Some(has_maps);
            }
        }
        Ok(())
    }

    /// Whether the entries of a sublist must be looked at. Not if a newer backup had it and none of
    /// its entries is under a map, nor if so many newer ones of the cluster had it that no entry's
    /// lists are kept for this one.
    fn is_wanted(&mut self, manifest: &Manifest, sub: &Sub, keep_lists: bool) -> bool {
        let seen = self.seen_leaves.entry((manifest.name.cluster.clone(), sub.id)).or_default();
        let is_old = seen.any >= LISTS_OF && seen.complete >= LISTS_OF && !keep_lists;
        let is_known = match seen.has_maps {
            Some(has_maps) => !has_maps || is_old,
            None => false,
        };
        seen.any = seen.any.saturating_add(1);
        seen.complete = seen.complete.saturating_add(u8::from(manifest.body.complete));
        !is_known
    }

    fn stream(&mut self, reader: &ChunkReader<'_>, stream: &StreamRef) -> Result<(), RepoError> {
        reader.walk(stream, &mut |child, level| {
            if level > 0 {
                self.repository.store.cancel().check()?;
                if !self.seen_nodes.insert(child.id) {
                    return Ok(false);
                }
            }
            self.id(child.id)?;
            Ok(true)
        })
    }

    fn map(&mut self, reader: &ChunkReader<'_>, map: &MapRef, lists: bool) -> Result<(), RepoError> {
        match self.seen_maps.get_mut(&map.units.root) {
            Some(with_lists) if *with_lists || !lists => return Ok(()),
            Some(with_lists) => *with_lists = true,
            None => drop(self.seen_maps.insert(map.units.root, lists)),
        }
        let (kind, records) = map::records(reader, map)?;
        for record in records {
            let group = self.groups.entry(record.group).or_insert_with(|| GroupUse {
                kind,
                raw_len: record.raw_len,
                kept: Vec::new(),
                lists: false,
                gathered: (Vec::new(), false),
            });
            group.lists |= lists || kind.keeps_lists();
            if group.kept.len() < record.used.len() {
                group.kept.resize(record.used.len(), 0);
            }
            for (known, byte) in group.kept.iter_mut().zip(record.used.iter()) {
                *known |= byte;
            }
        }
        Ok(())
    }

    /// Reads the groups of which maps need more than was gathered before; the errors of those that
    /// cannot be read.
    fn gather_groups(&mut self, reader: &ChunkReader<'_>) -> Result<Vec<RepoError>, RepoError> {
        let mut groups = std::mem::take(&mut self.groups);
        let mut unknown = Vec::new();
        let gathered = self.gather(&mut groups, &mut unknown, reader);
        self.groups = groups;
        gathered.map(|()| unknown)
    }

    fn gather(
        &mut self,
        groups: &mut HashMap<ChunkId, GroupUse>,
        unknown: &mut Vec<RepoError>,
        reader: &ChunkReader<'_>,
    ) -> Result<(), RepoError> {
        for (id, of) in groups {
            if of.gathered == (of.kept.clone(), of.lists) {
                continue;
            }
            self.repository.store.cancel().check()?;
            self.id(*id)?;
            let record = map::Record { group: *id, raw_len: of.raw_len, used: of.kept.clone().into() };
            let group = match map::group(reader, &record, of.kind) {
                Ok(group) => group,
                Err(error) if error.is_of_object() => {
                    unknown.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // A list that is gone costs one whole part, and is nothing that a backup misses.
            if let Some(list) = group.list.filter(|_| of.lists)
                && reader.knows(&list)?
            {
                self.id(list)?;
            }
            for (unit, _) in group.units.iter().zip(bits(&of.kept)).filter(|(_, kept)| *kept) {
                for chunk in &unit.chunks {
                    self.id(chunk.id)?;
                }
            }
            of.gathered = (of.kept.clone(), of.lists);
        }
        Ok(())
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

    /// All ids gathered so far; and what else may be needed and is not known, because it could not
    /// be read.
    pub(crate) fn sorted(
        &mut self,
        reader: &ChunkReader<'_>,
    ) -> Result<(Arc<Run>, Vec<RepoError>), RepoError> {
        let unknown = self.gather_groups(reader)?;
        self.flush()?;
        let run = match self.runs.as_slice() {
            [one] => Arc::clone(one),
            many => {
                let merged = Arc::new(index::merge_runs(index::temporary(&self.repository.local)?, many)?);
                self.runs = vec![Arc::clone(&merged)];
                merged
            }
        };
        Ok((run, unknown))
    }
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> + '_ {
    bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
}

/// Whether an entry's lists may serve the next backup. Called for the newest backups first.
fn is_current(newer: &mut Newer, manifest: &Manifest, entry: &Entry) -> bool {
    if !entry.parts.iter().any(|part| matches!(part, Part::Map(_))) {
        return false;
    }
    let name = Hash::of(format!("{}/{}", manifest.name.cluster, entry.path).as_bytes()).prefix();
    let (any, complete) = newer.entry(name).or_default();
    let is_current = *any < LISTS_OF || (manifest.body.complete && *complete < LISTS_OF);
    *any = any.saturating_add(1);
    *complete = complete.saturating_add(u8::from(manifest.body.complete));
    is_current
}
