//! How much of each pack is needed: the index and the ids that live, read side by side.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use crate::RepoError;
use crate::ids::ObjectHash;
use crate::index::{Index, Record, Run};
use crate::quarantine::Quarantine;

/// What may be said of a pack before anything is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It is not there.
    Absent,
    /// Another pruner, perhaps one that is gone, is deleting it; or it has another size than the
    /// index says, and perhaps something of it can be read: nothing may lean on it, and what is
    /// nowhere else keeps it.
    Foreign,
    /// We are deleting it.
    Doomed,
    /// A pruner marked it, or it is to be packed anew: better another place.
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
}

fn local(source: io::Error) -> RepoError {
    RepoError::Local { doing: "read the local index", path: "of this prune".into(), source }
}

impl Standing {
    /// Nobody is deleting it: what others hold may go.
    fn is_secure(self) -> bool {
        self >= Standing::Marked
    }
}

/// Counts, giving each live chunk one place: of several the one in better standing, then in the
/// fuller pack. A chunk without a place that nobody is deleting keeps all its places: of two
/// pruners each would else lean on what the other deletes.
pub(crate) fn count(
    index: &Index,
    live: &Arc<Run>,
    standing: &[Standing],
    rotten: &Quarantine,
) -> Result<Usage, RepoError> {
    let mut usage = Usage { packs: vec![Use::default(); index.packs.packs.len()], missing: false };
    let of = |place: &Record| {
        let own = standing.get(place.pack as usize).copied().unwrap_or(Standing::Absent);
        let is_rotten = !rotten.is_empty()
            && index.packs.get(place.pack).is_some_and(|pack| rotten.holds(&pack.hash, &place.id));
        // Perhaps it can be read after all: it stays unless the chunk is elsewhere.
        if is_rotten { own.min(Standing::Foreign) } else { own }
    };
    let mut several = false;
    each_chunk(index, live, |places, lives| {
        for place in places {
            if let Some(own) = usage.packs.get_mut(place.pack as usize) {
                own.all += u64::from(place.sealed_len);
            }
        }
        if !lives {
            return;
        }
        let secure = places.iter().filter(|place| of(place).is_secure()).count();
        let there = places.iter().filter(|place| of(place) > Standing::Absent);
        match secure {
            0 => {
                usage.missing |= there.clone().next().is_none();
                there.for_each(|place| add(&mut usage.packs, place));
            }
            1 => there.filter(|place| of(place).is_secure()).for_each(|place| add(&mut usage.packs, place)),
            _ => several = true,
        }
    })?;
    if several {
        let alone: Vec<u64> = usage.packs.iter().map(|own| own.live).collect();
        each_chunk(index, live, |places, lives| {
            let there: Vec<&Record> = places.iter().filter(|place| lives && of(place).is_secure()).collect();
            let best = there.iter().max_by_key(|place| {
                (of(place), alone.get(place.pack as usize).copied().unwrap_or(0), place.pack)
            });
            if let Some(best) = best.filter(|_| there.len() > 1) {
                add(&mut usage.packs, best);
            }
        })?;
    }
    Ok(usage)
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
    mut see: impl FnMut(&[Record], bool),
) -> Result<(), RepoError> {
    let mut wanted = live.iter().peekable();
    let mut places: Vec<Record> = Vec::new();
    let mut records = index.run.iter();
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
                    see(&[], true);
                }
                wanted.next();
            }
            see(&places, lives);
            places.clear();
        }
        match next {
            Some(record) => places.push(record),
            None => break,
        }
    }
    while peek(&mut wanted)?.is_some() {
        see(&[], true);
        wanted.next();
    }
    Ok(())
}

fn peek(
    wanted: &mut std::iter::Peekable<impl Iterator<Item = io::Result<Record>>>,
) -> Result<Option<crate::ids::ChunkId>, RepoError> {
    match wanted.peek() {
        None => Ok(None),
        Some(Ok(record)) => Ok(Some(record.id)),
        Some(Err(_)) => match wanted.next() {
            Some(Err(source)) => Err(local(source)),
            _ => Ok(None),
        },
    }
}

/// The standing of every pack of the index.
pub(crate) fn standings(
    index: &Index,
    sizes: &HashMap<ObjectHash, u64>,
    foreign: &HashSet<ObjectHash>,
    doomed: &HashSet<ObjectHash>,
    marked: &HashSet<ObjectHash>,
) -> Vec<Standing> {
    let of = |hash: &ObjectHash, size: u64| match sizes.get(hash) {
        Some(there) if *there == size => {
            if doomed.contains(hash) {
                Standing::Doomed
            } else if foreign.contains(hash) {
                Standing::Foreign
            } else if marked.contains(hash) {
                Standing::Marked
            } else {
                Standing::Good
            }
        }
        Some(_) => Standing::Foreign,
        None => Standing::Absent,
    };
    index.packs.packs.iter().map(|pack| of(&pack.hash, pack.size)).collect()
}
