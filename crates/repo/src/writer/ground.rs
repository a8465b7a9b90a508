//! What a backup may depend on: the packs that are in the index and there, that no pruner has in
//! its lists, and that were not made with a key that someone else had.

use std::collections::{HashMap, HashSet};

use super::dedup::Dedup;
use crate::RepoError;
use crate::at_once::{both, each};
use crate::ids::{Compartment, ObjectHash};
use crate::index::Index;
use crate::index::object::PackEntry;
use crate::pack::{self, Listed};
use crate::prune::trash::Trash;
use crate::quarantine::Quarantine;
use crate::random;
use crate::repository::Repository;

/// Index objects of more bytes may be of very many packs: whether to list them all is decided when
/// the index was read, a round trip later.
const SMALL_INDEX: u64 = 4 << 20;
/// So many packs are listed whole: on an object storage a request for each thousand.
const LISTED_WHOLE: usize = 16_000;
/// Of more packs a sixteenth is listed, another one each time: a storage that loses packs (a rule
/// that lets objects expire, a folder that was removed) is noticed by one of the next backups.
const SAMPLE: usize = 16;

/// What there is when a session begins.
pub(super) struct Ground {
    pub dedup: Dedup,
    pub trash: Trash,
}

/// The trash is read before the index: what was moved out of a marked pack was in the index, and
/// its new pack there, before the mark.
pub(super) fn find(
    repository: &Repository,
    compartment: Compartment,
    full: bool,
) -> Result<Ground, RepoError> {
    if full {
        let index = repository.index(compartment)?;
        let usable = vec![false; index.packs.packs.len()];
        let dedup = Dedup::new(index, usable, Quarantine::default());
        return Ok(Ground {
            dedup,
            trash: Trash::read(&repository.unlocked, compartment, &Trash::default())?,
        });
    }
    let store = repository.store();
    // What does not wait for another is asked at once: far away each costs a round trip. The second
    // list of the index, which counts, is made behind the trash.
    let (trash, (rotten, listed)) = both(
        || Trash::read(&repository.unlocked, compartment, &Trash::default()),
        || both(|| Quarantine::read(&repository.unlocked, compartment), || Index::list(store, compartment)),
    );
    let (trash, rotten, listed) = (trash?, rotten?, listed?);
    let is_small = trash.is_unsure || listed.values().sum::<u64>() <= SMALL_INDEX;
    let (packs, index) = both(
        || is_small.then(|| pack::list(store, compartment)).transpose(),
        || repository.index.after(&repository.unlocked, compartment, listed),
    );
    let (packs, index) = (packs?, index?);
    for (name, error) in &index.unreadable {
        repository.warn(&format!("{name} cannot be used, so its chunks are stored again: {error}"));
    }
    for (name, why) in &index.distrusted {
        repository.warn(&format!("{name} is ignored: {why}"));
    }
    let there = match packs {
        Some(packs) => There::Listed(packs),
        None => There::look(repository, &index)?,
    };
    // The list was read when it was asked whether this key may write.
    let list = repository.unlocked.writers();
    let suspects = list.suspects();
    let usable = |pack: &PackEntry| {
        there.holds(pack)
            && !trash.holds(&pack.hash)
            && !rotten.packs.contains(&pack.hash)
            && !suspects.contains_key(&pack.hash)
    };
    let usable = index.packs.packs.iter().map(usable).collect();
    Ok(Ground { dedup: Dedup::new(index, usable, rotten), trash })
}

/// Which packs are there.
enum There {
    Listed(HashMap<ObjectHash, Listed>),
    /// Those that the index names, without those that it names with several sizes: a sample of them
    /// was there.
    Indexed {
        doubtful: HashSet<ObjectHash>,
    },
}

impl There {
    fn look(repository: &Repository, index: &Index) -> Result<There, RepoError> {
        let (store, compartment, packs) = (repository.store(), index.compartment, &index.packs);
        let is_sampled = packs.packs.len() > LISTED_WHOLE && {
            let mut first_bytes = HashSet::new();
            for byte in random::bytes::<64>()? {
                if first_bytes.len() < SAMPLE {
                    first_bytes.insert(byte);
                }
            }
            sample_is_whole(repository, index, &first_bytes)?
        };
        if !is_sampled {
            return Ok(There::Listed(pack::list(store, compartment)?));
        }
        let several = |pack: &&PackEntry| packs.all(&pack.hash).nth(1).is_some();
        Ok(There::Indexed { doubtful: packs.packs.iter().filter(several).map(|pack| pack.hash).collect() })
    }

    fn holds(&self, pack: &PackEntry) -> bool {
        match self {
            There::Listed(packs) => packs.get(&pack.hash).is_some_and(|listed| listed.size == pack.size),
            There::Indexed { doubtful } => !doubtful.contains(&pack.hash),
        }
    }
}

/// Whether the packs whose hashes begin with one of these bytes are all there.
fn sample_is_whole(
    repository: &Repository,
    index: &Index,
    first_bytes: &HashSet<u8>,
) -> Result<bool, RepoError> {
    let (store, compartment) = (repository.store(), index.compartment);
    let folders: Vec<u8> = first_bytes.iter().copied().collect();
    let mut there = HashMap::new();
    for listed in each(&folders, |first| pack::list_of_byte(store, compartment, *first)) {
        there.extend(listed?);
    }
    let there = There::Listed(there);
    let is_in_sample = |pack: &&PackEntry| first_bytes.contains(&pack.hash.0[0]);
    Ok(index.packs.packs.iter().filter(is_in_sample).all(|pack| there.holds(pack)))
}
