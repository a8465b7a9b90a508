//! Every chunk that a backup refers to, against what was found wrong with packs; and maps against
//! their items.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::places::BadPlaces;
use super::{AffectedBackup, Check, CheckLevel};
use crate::ids::{ChunkId, Hash};
use crate::index::Index;
use crate::lock::lock;
use crate::manifest::{ListReader, Manifest, Sub};
use crate::map::{self, Group, Keeping, MapRef, Part};
use crate::reader::{ChunkReader, root_child};
use crate::stream::{Child, ChunkKind, StreamRef};
use crate::{RepoError, codec};

impl Check<'_> {
    /// Follows every reference of every backup.
    pub(super) fn references(
        &self,
        index: &Arc<Index>,
        bad: &BadPlaces,
        manifests: &[Manifest],
    ) -> Result<(), RepoError> {
        let reader = self.repository.chunks(Arc::clone(index))?;
        let wrong_maps = match self.level {
            CheckLevel::Data => self.maps(&reader, manifests)?,
            _ => HashMap::new(),
        };
        let groups = HashMap::new();
        let list = self.repository.unlocked.writers();
        let suspects = lock(&self.found).note_suspects(index, &list);
        let mut walk = Walk {
            check: self,
            reader: &reader,
            index,
            bad,
            suspects,
            known: HashMap::new(),
            groups,
            units: 0,
            wrong_maps,
        };
        for manifest in manifests {
            self.repository.store().cancel().check()?;
            let id = manifest.name.id;
            // Without these everything can be restored all the same.
            let mut problems = walk.stream(&manifest.body.additions)?;
            let mut hurt = AffectedBackup { backup: id, entries: Vec::new(), whole: false };
            if let Err(error) = walk.list(manifest, &mut problems, &mut hurt) {
                hurt.whole = true;
                problems.insert(lock(&self.found).note(&manifest.name.name(), error)?);
            }
            if hurt.whole || !hurt.entries.is_empty() {
                lock(&self.found).hurt.push(hurt);
            }
            let mut found = lock(&self.found);
            for problem in problems {
                // Of a backup that does not count it is told anyway.
                if found.is_problem(problem) || manifest.distrust.is_none() {
                    found.touch(problem, id);
                }
            }
        }
        Ok(())
    }

    /// What the items of maps come to, against what the maps say: the maps of one part in all its
    /// backups share chunks, and are looked at together. Of a check of some packs only, the same
    /// share of parts. Returns problems by the hash of the map's own encoding.
    fn maps(
        &self,
        reader: &ChunkReader<'_>,
        manifests: &[Manifest],
    ) -> Result<HashMap<ChunkId, usize>, RepoError> {
        let mut families: BTreeMap<Hash, BTreeMap<ChunkId, (Box<MapRef>, String)>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for manifest in manifests {
            // A list that cannot be read is reported by those who follow references.
            let told = self.maps_of(reader, manifest, &mut seen, &mut |path, number, map| {
                let family = (&manifest.name.cluster, path, map.kind, map.from(), map.domain().to_vec());
                let family = Hash::of(format!("{family:?}").as_bytes());
                let name = Hash::of(&codec::encode(map));
                if self.is_drawn(&family) && !lock(&self.known).maps.contains(&name) {
                    let label = format!("part {} of {path}", number + 1);
                    families.entry(family).or_default().insert(name, (Box::new(map.clone()), label));
                }
            });
            match told {
                Err(error) if !error.is_of_object() => return Err(error),
                _ => {}
            }
        }
        let mut wrong = HashMap::new();
        for maps in families.into_values() {
            let refs: Vec<&MapRef> = maps.values().map(|(map, _)| &**map).collect();
            let found = map::verify(reader, &refs, &mut |_| Ok(self.repository.store().cancel().check()?))?;
            for (number, what) in found.wrong {
                if let Some((name, (_, label))) = maps.iter().nth(number) {
                    wrong.insert(*name, lock(&self.found).add(label, what));
                }
            }
            let right = maps.keys().enumerate().filter(|(number, _)| found.right.contains(number));
            lock(&self.known).maps.extend(right.map(|(_, name)| *name));
        }
        Ok(wrong)
    }

    /// Shows the maps of a backup: path of the entry, number of the part, map. Of sublists that
    /// several backups of a cluster share, once.
    fn maps_of(
        &self,
        reader: &ChunkReader<'_>,
        manifest: &Manifest,
        seen: &mut HashSet<(String, ChunkId)>,
        see: &mut dyn FnMut(&String, usize, &MapRef),
    ) -> Result<(), RepoError> {
        let list = manifest.open_list(reader)?;
        let mut list = ListReader::new(reader, &list, "");
        let mut wanted =
            |sub: &Sub, level: u8| Ok(level > 0 || !seen.contains(&(manifest.name.cluster.clone(), sub.id)));
        let mut read = Vec::new();
        while let Some((sub, records)) = list.next_leaf(&mut wanted)? {
            self.repository.store().cancel().check()?;
            for record in records {
                let entry = record.read(reader)?;
                for (number, part) in entry.parts.iter().enumerate() {
                    if let Part::Map(map) = part {
                        see(&entry.path, number, map);
                    }
                }
            }
            read.push((manifest.name.cluster.clone(), sub.id));
        }
        seen.extend(read);
        Ok(())
    }
}

struct Walk<'w> {
    check: &'w Check<'w>,
    reader: &'w ChunkReader<'w>,
    /// Whose numbers of packs `bad` speaks of.
    index: &'w Index,
    bad: &'w BadPlaces,
    /// Packs that were made with a key which someone else had, by number, and where that is
    /// recorded.
    suspects: HashMap<u32, usize>,
    /// Problems below each tree node that was walked: most have none.
    known: HashMap<ChunkId, BTreeSet<usize>>,
    /// Groups of units that were read lately.
    groups: HashMap<ChunkId, Group>,
    units: usize,
    /// Maps whose items are not those that were backed up.
    wrong_maps: HashMap<ChunkId, usize>,
}

/// Groups that are kept in memory, about 6 KB each; and the units of all.
const GROUPS: usize = 4096;
const UNITS: usize = 1 << 20;

impl Walk<'_> {
    /// The list of entries, and what they refer to. An error: the list cannot be read.
    fn list(
        &mut self,
        manifest: &Manifest,
        problems: &mut BTreeSet<usize>,
        hurt: &mut AffectedBackup,
    ) -> Result<(), RepoError> {
        // The root is read first: whatever is wrong with its places is reported as well.
        let root = manifest.body.entries.child();
        if let Some(root) = &root {
            problems.extend(self.chunk(root, ChunkKind::Metadata)?);
        }
        let list = manifest.open_list(self.reader)?;
        let mut list = ListReader::new(self.reader, &list, "");
        let is_root = |sub: &Sub| root.as_ref().is_some_and(|root| root.id == sub.id);
        let mut wanted = |walk: &mut Self, sub: &Sub, level: u8| {
            if !is_root(sub) {
                problems.extend(walk.chunk(&sub.child(), ChunkKind::Metadata)?);
            }
            // What backups share is looked at once, if nothing was wrong there.
            let Some(known) = walk.known.get(&sub.id).filter(|_| level == 0) else { return Ok(true) };
            let is_right = !walk.has_problem(known);
            if is_right {
                problems.extend(known);
            }
            Ok(!is_right)
        };
        let mut of_entries = BTreeSet::new();
        while let Some((sub, records)) = list.next_leaf(&mut |sub, level| wanted(self, sub, level))? {
            self.check.repository.store().cancel().check()?;
            let mut of_leaf = BTreeSet::new();
            for record in records {
                let (path, mut of_entry) = (record.path.clone(), BTreeSet::new());
                if let Some(stream) = record.parts.apart() {
                    of_entry.extend(self.stream(stream)?);
                }
                match record.read(self.reader) {
                    Ok(entry) => {
                        for part in &entry.parts {
                            of_entry.extend(self.part(part)?);
                        }
                    }
                    Err(error) => drop(of_entry.insert(lock(&self.check.found).note(&path, error)?)),
                }
                if self.has_problem(&of_entry) {
                    hurt.entries.push(path);
                }
                of_leaf.extend(of_entry);
            }
            of_entries.extend(of_leaf.iter().copied());
            self.known.insert(sub.id, of_leaf);
        }
        problems.extend(of_entries);
        Ok(())
    }

    /// Whether one of these is a problem, and not only something to be reported as well.
    fn has_problem(&self, numbers: &BTreeSet<usize>) -> bool {
        !numbers.is_empty() && {
            let found = lock(&self.check.found);
            numbers.iter().any(|number| found.is_problem(*number))
        }
    }

    fn part(&mut self, part: &Part) -> Result<BTreeSet<usize>, RepoError> {
        let map = match part {
            Part::Stream(stream) => return self.stream(stream),
            Part::Salted(salted) => return self.stream(&salted.stream),
            Part::Map(map) => map,
        };
        // Kept next to the tree nodes, under a hash of its own.
        let name = Hash::of(&codec::encode(map));
        if let Some(known) = self.known.get(&name) {
            return Ok(known.clone());
        }
        let mut problems = BTreeSet::new();
        for stream in part.streams() {
            problems.extend(self.stream(stream)?);
        }
        problems.extend(self.wrong_maps.get(&name));
        let (mut keeping, records) = match Keeping::open(self.reader, map) {
            Ok(opened) => opened,
            Err(error) => {
                problems.insert(lock(&self.check.found).note("a map", error)?);
                self.known.insert(name, problems.clone());
                return Ok(problems);
            }
        };
        let mut is_over = false;
        for record in records {
            self.check.repository.store().cancel().check()?;
            problems.extend(self.record(&record, &mut keeping, &mut is_over)?);
        }
        if !is_over && let Err(error) = keeping.end(self.reader) {
            problems.insert(lock(&self.check.found).note("a map", error)?);
        }
        self.known.insert(name, problems.clone());
        Ok(problems)
    }

    /// A group, the units of it that are used, and what is kept of them. Its item list may be gone.
    /// `is_over`: what is kept cannot be told any more, because of an error that was recorded.
    fn record(
        &mut self,
        record: &map::Record,
        keeping: &mut Keeping,
        is_over: &mut bool,
    ) -> Result<BTreeSet<usize>, RepoError> {
        let mut problems = self.chunk(&record.child(), ChunkKind::Group)?;
        if !self.groups.contains_key(&record.group) {
            match map::group(self.reader, record, keeping.kind) {
                Ok(group) => {
                    self.units += group.units.len();
                    if self.groups.len() >= GROUPS || self.units > UNITS {
                        self.groups.clear();
                        self.units = group.units.len();
                    }
                    self.groups.insert(record.group, group);
                }
                Err(error) => {
                    problems.insert(lock(&self.check.found).note("a group of units", error)?);
                    *is_over = *is_over || keeping.skip(record).is_err();
                    return Ok(problems);
                }
            }
        }
        let Some(group) = self.groups.get(&record.group) else { return Ok(problems) };
        if !*is_over && let Err(error) = keeping.take(record, group) {
            *is_over = true;
            problems.insert(lock(&self.check.found).note("a map", error)?);
        }
        match map::used_chunks(record, group) {
            Ok(chunks) => {
                for chunk in chunks {
                    problems.extend(self.chunk(&chunk.child(), ChunkKind::Data)?);
                }
            }
            Err(error) => drop(problems.insert(lock(&self.check.found).note("a map", error)?)),
        }
        Ok(problems)
    }

    fn stream(&mut self, stream: &StreamRef) -> Result<BTreeSet<usize>, RepoError> {
        let kind = stream.kind();
        match (root_child(stream), kind) {
            (Some(root), Some(kind)) if stream.level == 0 => self.chunk(&root, kind),
            (Some(root), Some(kind)) if stream.level <= crate::stream::DEEPEST => {
                self.node(&root, stream.level, kind)
            }
            (None, Some(_)) if stream.bytes == 0 => Ok(BTreeSet::new()),
            _ => Ok(BTreeSet::from([
                lock(&self.check.found).add("a stream's reference", "it has an impossible shape")
            ])),
        }
    }

    fn node(&mut self, child: &Child, level: u8, kind: ChunkKind) -> Result<BTreeSet<usize>, RepoError> {
        if let Some(known) = self.known.get(&child.id) {
            return Ok(known.clone());
        }
        self.check.repository.store().cancel().check()?;
        let mut problems = self.chunk(child, ChunkKind::Tree)?;
        match self.reader.node(child, level) {
            Ok(node) => {
                for child in &node.children {
                    problems.extend(if level == 1 {
                        self.chunk(child, kind)?
                    } else {
                        self.node(child, level - 1, kind)?
                    });
                }
            }
            Err(error) => drop(problems.insert(lock(&self.check.found).note("a tree node", error)?)),
        }
        self.known.insert(child.id, problems.clone());
        Ok(problems)
    }

    /// What is wrong with every place of a chunk, and with its having none.
    fn chunk(&self, child: &Child, kind: ChunkKind) -> Result<BTreeSet<usize>, RepoError> {
        let (mut problems, mut mismatches) = (BTreeSet::new(), BTreeSet::new());
        let places = self.index.find(&child.id)?;
        // Places that are good, in packs that may be trusted and in others.
        let (mut one_is_good, mut suspect) = (false, BTreeSet::new());
        for place in &places {
            let at = (place.pack, child.id);
            let bad =
                [self.bad.packs.get(&place.pack), self.bad.chunks.get(&at), self.bad.not_there.get(&at)];
            if bad == [None, None, None] {
                match self.suspects.get(&place.pack) {
                    Some(noted) => drop(suspect.insert(*noted)),
                    None => one_is_good = true,
                }
            }
            problems.extend(bad.into_iter().flatten());
            if place.kind != kind as u8 || (child.raw_len != 0 && place.raw_len != child.raw_len) {
                let what = "the index has another kind or length than the stream";
                mismatches.insert(lock(&self.check.found).add(format!("chunk {}", child.id), what));
            }
        }
        // Readers take the good place.
        if one_is_good || !suspect.is_empty() {
            problems.clear();
        }
        if !one_is_good {
            problems.extend(suspect);
        }
        problems.extend(mismatches);
        if places.is_empty() {
            problems.insert(
                lock(&self.check.found).add(format!("chunk {}", child.id), "it is in no index object"),
            );
        }
        Ok(problems)
    }
}
