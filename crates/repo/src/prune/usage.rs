//! How much of each pack is needed: the index and the ids that live, read side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::RepoError;
use crate::ids::{ChunkId, Hash, ObjectHash};
use crate::index::object::PackEntry;
use crate::index::{Index, Record, Run};
use crate::pack::Listed;
use crate::prune::trash::Trash;
use crate::quarantine::Quarantine;

/// What may be said of a pack before anything is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It is not there.
    Absent,
    /// A pruner, perhaps one that is gone, has announced that it deletes it; or it has another size
    /// than the index says, and perhaps something of it can be read: nothing may rely on it, and
    /// what is nowhere else keeps it.
    Announced,
    /// We are deleting it.
    Doomed,
    /// It was made with a key that someone else had: it stays while something in it is needed, and
    /// stands for no other place.
    Suspect,
    /// A pruner marked it, or it is to be repacked: better another place.
    Marked,
    Good,
}

/// What a pack of the index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Sealed bytes of chunks that live, and have this as their place.
    pub live: u64,
    /// Sealed bytes of all chunks.
    pub all: u64,
}

/// By number of the index's pack table.
pub(crate) struct Usage {
    pub packs: Vec<Use>,
    /// A chunk that a backup needs has no place that counts.
    pub missing: bool,
    /// Of living chunks that the index names in several packs: those that keep it.
    pub kept: HashMap<ChunkId, Keepers>,
}

/// The packs that keep a chunk.
pub(crate) struct Keepers {
    pub packs: Vec<u32>,
    /// Its places differ, or could not all be compared: nothing says which is the true one.
    pub is_doubtful: bool,
}

/// What directories say of sealed chunks.
#[derive(Default)]
pub(crate) struct Digests {
    /// By pack and chunk; none where the directory does not have the chunk. What is not here could
    /// not be read.
    pub known: HashMap<(u32, ChunkId), Option<Sealed>>,
    /// Writers, by number.
    pub makers: Vec<Vec<u8>>,
}

/// One sealed chunk.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    /// BLAKE3 of its bytes.
    pub digest: Hash,
    /// Who sealed it.
    pub maker: usize,
}

impl Digests {
    /// The number of a writer.
    pub(crate) fn maker(&mut self, key: &[u8]) -> usize {
        let known = self.makers.iter().position(|maker| maker == key);
        known.unwrap_or_else(|| {
            self.makers.push(key.to_vec());
            self.makers.len() - 1
        })
    }
}

/// Who proves that places are equal.
pub(crate) trait Prover {
    /// What directories say of these chunks, by number of their packs.
    fn digests(
        &mut self,
        wanted: &BTreeMap<u32, Vec<ChunkId>>,
        entry: &dyn Fn(u32) -> Option<PackEntry>,
    ) -> Result<Digests, RepoError>;

    /// Whether a pack's bytes are what its name and its directory say.
    fn is_whole(&mut self, entry: &PackEntry) -> Result<bool, RepoError>;
}

/// What is known of the places of chunks before they are counted.
pub(crate) struct Places<'p> {
    pub index: &'p Index,
    /// By number of the index's pack table.
    pub standing: &'p [Standing],
    pub listed: &'p HashMap<ObjectHash, Listed>,
    pub rotten: &'p Quarantine,
}

fn local(source: io::Error) -> RepoError {
    RepoError::Local { doing: "read the local index", path: "of this prune".into(), source }
}

impl Standing {
    /// Nobody is deleting it, and it may be trusted: what others hold can be deleted.
    fn is_secure(self) -> bool {
        self >= Standing::Marked
    }
}

impl Places<'_> {
    fn of(&self, place: &Record) -> Standing {
        let own = self.standing.get(place.pack as usize).copied().unwrap_or(Standing::Absent);
        let is_rotten = !self.rotten.is_empty()
            && self.index.packs.get(place.pack).is_some_and(|pack| self.rotten.holds(&pack.hash, &place.id));
        // Perhaps it can be read after all: it stays unless the chunk is elsewhere.
        if is_rotten { own.min(Standing::Announced) } else { own }
    }

    fn entry(&self, number: u32) -> Option<PackEntry> {
        self.index.packs.get(number).copied()
    }

    /// When the storage took a pack.
    fn put(&self, number: u32) -> SystemTime {
        let entry = self.index.packs.get(number);
        let listed = entry.and_then(|entry| self.listed.get(&entry.hash));
        listed.map_or(SystemTime::UNIX_EPOCH, |listed| listed.put)
    }
}

/// Counts, giving each live chunk one place: of several that are proved equal the one in better
/// standing, then in the fuller pack. A chunk without a place that nobody is deleting keeps all its
/// places: of two pruners each would else depend on what the other deletes.
pub(crate) fn count(
    places: &Places<'_>,
    live: &Arc<Run>,
    prover: &mut dyn Prover,
) -> Result<Usage, RepoError> {
    let index = places.index;
    let packs = vec![Use::default(); index.packs.packs.len()];
    let mut usage = Usage { packs, missing: false, kept: HashMap::new() };
    let mut several: BTreeMap<u32, Vec<ChunkId>> = BTreeMap::new();
    each_chunk(index, live, |own, lives| {
        for place in own {
            if let Some(pack) = usage.packs.get_mut(place.pack as usize) {
                pack.all += u64::from(place.sealed_len);
            }
        }
        if !lives {
            return Ok(());
        }
        let there: Vec<&Record> = own.iter().filter(|place| places.of(place) > Standing::Absent).collect();
        match there.as_slice() {
            [] => usage.missing = true,
            [one] => add(&mut usage.packs, one),
            many => many.iter().for_each(|place| several.entry(place.pack).or_default().push(place.id)),
        }
        Ok(())
    })?;
    if several.is_empty() {
        return Ok(usage);
    }
    let digests = prover.digests(&several, &|number| places.entry(number))?;
    let alone: Vec<u64> = usage.packs.iter().map(|own| own.live).collect();
    each_chunk(index, live, |own, lives| {
        let there: Vec<&Record> = own.iter().filter(|place| places.of(place) > Standing::Absent).collect();
        if lives && there.len() > 1 {
            let Kept { places: kept, equal } =
                Choice { places, digests: &digests, alone: &alone }.kept(&there, prover)?;
            usage.missing |= kept.is_empty();
            kept.iter().for_each(|place| add(&mut usage.packs, place));
            if let Some(first) = kept.first() {
                let packs = kept.iter().map(|place| place.pack).collect();
                usage.kept.insert(first.id, Keepers { packs, is_doubtful: !equal });
            }
        }
        Ok(())
    })?;
    Ok(usage)
}

/// Which of the places of one chunk are kept.
struct Choice<'c> {
    places: &'c Places<'c>,
    digests: &'c Digests,
    /// Sealed bytes that each pack holds of chunks that are nowhere else.
    alone: &'c [u64],
}

/// The places of one chunk that are kept.
struct Kept<'c> {
    places: Vec<&'c Record>,
    /// All that there are hold the same sealed bytes, as their directories say.
    equal: bool,
}

/// Places that hold the same sealed bytes, as their directories say: and the one of them that can
/// be for all.
struct Same<'c> {
    places: Vec<&'c Record>,
    /// Who sealed them, as these say.
    makers: BTreeSet<usize>,
    /// Its bytes were read, and nobody is deleting it.
    proved: Option<&'c Record>,
}

impl Choice<'_> {
    fn kept<'c>(&self, there: &[&'c Record], prover: &mut dyn Prover) -> Result<Kept<'c>, RepoError> {
        let mut kept = Vec::new();
        let mut groups: BTreeMap<Hash, (Vec<&'c Record>, BTreeSet<usize>)> = BTreeMap::new();
        for place in there {
            match self.digests.known.get(&(place.pack, place.id)) {
                Some(Some(Sealed { digest, maker })) => {
                    let (places, makers) = groups.entry(*digest).or_default();
                    places.push(place);
                    makers.insert(*maker);
                }
                // The index names a pack that does not hold it: that is no place.
                Some(None) => {}
                // Perhaps it can be read another day, and until then proves nothing.
                None => kept.push(*place),
            }
        }
        let mut found = Vec::new();
        for (_, (mut places, makers)) in groups {
            places.sort_by_key(|place| {
                let alone = self.alone.get(place.pack as usize).copied().unwrap_or(0);
                std::cmp::Reverse((self.places.of(place), alone, place.pack))
            });
            let mut proved = None;
            for place in places.iter().filter(|place| self.places.of(place).is_secure()) {
                if let Some(entry) = self.places.entry(place.pack)
                    && prover.is_whole(&entry)?
                {
                    proved = Some(*place);
                    break;
                }
            }
            found.push(Same { places, makers, proved });
        }
        let alone = kept.is_empty() && found.len() == 1;
        for (at, same) in found.iter().enumerate() {
            // Of what one writer has sealed twice the older stays.
            if !alone && self.has_older(at, &found) {
                continue;
            }
            if let Some(proved) = same.proved {
                kept.push(proved);
                continue;
            }
            for place in &same.places {
                // What is damaged is given up once the chunk is proved to be elsewhere.
                let is_elsewhere = found.iter().any(|other| other.proved.is_some());
                let entry = self.places.entry(place.pack);
                let is_rotten = self.places.of(place) == Standing::Announced
                    && is_elsewhere
                    && entry.map_or(Ok(true), |entry| prover.is_whole(&entry).map(|whole| !whole))?;
                if !is_rotten {
                    kept.push(*place);
                }
            }
        }
        Ok(Kept { places: kept, equal: alone })
    }

    /// Whether the same writer has sealed the chunk before, in a place that is proved.
    fn has_older(&self, at: usize, all: &[Same<'_>]) -> bool {
        let age = |same: &Same<'_>| same.places.iter().map(|place| self.places.put(place.pack)).min();
        let Some(own) = all.get(at) else { return false };
        all.iter().enumerate().any(|(number, other)| {
            number != at
                && other.proved.is_some()
                && own.makers.len() == 1
                && other.makers == own.makers
                && (age(other), number) < (age(own), at)
        })
    }
}

fn add(packs: &mut [Use], place: &Record) {
    if let Some(own) = packs.get_mut(place.pack as usize) {
        own.live += u64::from(place.sealed_len);
    }
}

/// Every chunk of the index with its places, and whether it lives; live ids that the index does not
/// know come with no place.
pub(crate) fn each_chunk(
    index: &Index,
    live: &Arc<Run>,
    mut see: impl FnMut(&[Record], bool) -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let mut wanted = live.iter().peekable();
    let mut places: Vec<Record> = Vec::new();
    let mut records = index.records.iter();
    loop {
        let next = records.next().transpose().map_err(local)?;
        if let (Some(first), changed) =
            (places.first(), next.is_none_or(|next| places.first().is_some_and(|own| own.id != next.id)))
            && changed
        {
            let mut lives = false;
            while let Some(id) = peek(&mut wanted)?.filter(|id| *id <= first.id) {
                if id == first.id {
                    lives = true;
                } else {
                    see(&[], true)?;
                }
                wanted.next();
            }
            see(&places, lives)?;
            places.clear();
        }
        match next {
            Some(record) => places.push(record),
            None => break,
        }
    }
    while peek(&mut wanted)?.is_some() {
        see(&[], true)?;
        wanted.next();
    }
    Ok(())
}

fn peek(
    wanted: &mut std::iter::Peekable<impl Iterator<Item = io::Result<Record>>>,
) -> Result<Option<ChunkId>, RepoError> {
    match wanted.peek() {
        None => Ok(None),
        Some(Ok(record)) => Ok(Some(record.id)),
        Some(Err(_)) => match wanted.next() {
            Some(Err(source)) => Err(local(source)),
            _ => Ok(None),
        },
    }
}

/// The state of every pack of the index.
pub(crate) fn standings(
    index: &Index,
    listed: &HashMap<ObjectHash, Listed>,
    doomed: &HashSet<ObjectHash>,
    suspects: &HashSet<ObjectHash>,
    trash: &Trash,
) -> Vec<Standing> {
    let of = |hash: &ObjectHash, size: u64| match listed.get(hash) {
        Some(there) if there.size == size => {
            if doomed.contains(hash) {
                Standing::Doomed
            } else if trash.announces(hash) {
                Standing::Announced
            } else if suspects.contains(hash) {
                Standing::Suspect
            } else if trash.holds(hash) {
                Standing::Marked
            } else {
                Standing::Good
            }
        }
        Some(_) => Standing::Announced,
        None => Standing::Absent,
    };
    index.packs.packs.iter().map(|pack| of(&pack.hash, pack.size)).collect()
}
