//! What an index of very many chunks costs: for `./bench scale`, on made-up ids.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pgark_store::{DirStore, Storage};

use super::kept::{Files, Kept, Merged};
use super::object::PackEntry;
use super::{Index, PackTable, Record, Run, sorted_run};
use crate::RepoError;
use crate::ids::{ChunkId, Compartment, Hash};
use crate::prune::usage::{self, Digests, Places, Prover, Standing};
use crate::quarantine::Quarantine;
use crate::secrets::{Keys, LocalFolders};

/// Chunks of a pack of 16 MiB at 25 KB sealed.
const PER_PACK: u64 = 640;
/// As [`super::BATCH`].
const BATCH: u64 = super::BATCH as u64;

/// One point of the curve. Times in seconds.
#[derive(Debug)]
pub struct Figures {
    /// Chunks.
    pub chunks: u64,
    /// Sorting all ids into the local file, from nothing.
    pub build: f64,
    /// Bytes of the local file.
    pub file: u64,
    /// Opening it in a later run.
    pub open: f64,
    /// Looking up an id that is not there, per second.
    pub misses: f64,
    /// One that is, anywhere in the file.
    pub hits: f64,
    /// The same of 200,000 that are looked up together, sorting them included.
    pub together: f64,
    /// Counting what of each pack lives, when nine of ten chunks do: what a prune does twice.
    pub count: f64,
}

fn id(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn local(source: io::Error) -> RepoError {
    RepoError::Local { doing: "write", path: "the folder of the measurement".into(), source }
}

/// Measures an index of so many chunks, in a folder.
pub fn figures(chunks: u64, folder: &Path) -> Result<Figures, RepoError> {
    let keys = Keys::for_fuzzing();
    let folders = LocalFolders { cache: Some(folder.to_path_buf()), state: None };
    let path = folder.join("index");
    let mut packs = PackTable::default();
    for number in 0..chunks.div_ceil(PER_PACK) {
        packs.number(PackEntry { hash: id(u64::MAX - number), size: 16 << 20 });
    }
    let record = |number: u64| Record {
        id: id(number),
        pack: (number / PER_PACK) as u32,
        raw_len: 65_536,
        sealed_len: 25_000,
        kind: 1,
    };
    let begun = Instant::now();
    let mut runs = Vec::new();
    for first in (0..chunks).step_by(BATCH as usize) {
        let mut batch: Vec<Record> = (first..chunks.min(first + BATCH)).map(record).collect();
        runs.push(Arc::new(sorted_run(super::temporary(&folders)?, &mut batch)?));
    }
    let store = Storage::uncancelled(DirStore::create(folder.join("store"))?);
    let objects = [(
        "index".to_string(),
        Merged { signer: Vec::new(), packs: (0..packs.packs.len() as u32).collect() },
    )];
    let kept = Kept { objects: objects.into(), packs, base: None, newer: None, is_more: false };
    drop(kept.add(runs, &Files { path: Some(&path), store: &store, folders: &folders, keys: &keys })?);
    let build = begun.elapsed().as_secs_f64();
    let file = File::open(&path).and_then(|file| file.metadata()).map_err(local)?.len();

    let begun = Instant::now();
    let kept = Kept::open(&path, &keys);
    let (packs, records) = kept.seen();
    if kept.base.is_none() {
        return Err(crate::object::damaged("the local index", "it does not open"));
    }
    let open = begun.elapsed().as_secs_f64();
    let index = Index {
        compartment: Compartment([0; 16]),
        packs,
        records,
        is_more: false,
        listed: BTreeMap::new(),
        unreadable: Vec::new(),
        distrusted: Vec::new(),
        file: None,
        rotten: AtomicBool::new(false),
    };

    let rate = |count: u64, from: &dyn Fn(u64) -> u64, there: bool| -> Result<f64, RepoError> {
        let begun = Instant::now();
        for number in 0..count {
            let found = !index.find(&id(from(number)))?.is_empty();
            if found != there {
                return Err(crate::object::damaged("the local index", "it gives a wrong answer"));
            }
        }
        Ok(count as f64 / begun.elapsed().as_secs_f64())
    };
    let misses = rate(1_000_000, &|number| chunks + number, false)?;
    let hits = rate(200_000, &|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % chunks, true)?;

    let begun = Instant::now();
    let mut ids: Vec<ChunkId> =
        (0..200_000u64).map(|number| id(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % chunks)).collect();
    ids.sort_unstable();
    let mut found = 0u64;
    index.find_sorted(&ids, &mut |_, _| found += 1)?;
    let together = ids.len() as f64 / begun.elapsed().as_secs_f64();
    if found != ids.len() as u64 {
        return Err(crate::object::damaged("the local index", "it gives a wrong answer"));
    }

    let lives =
        index.records.iter().enumerate().filter(|(number, _)| number % 10 != 0).map(|(_, record)| record);
    let live =
        Arc::new(Run::write(super::temporary(&folders)?, super::run::UNNAMED, chunks, lives).map_err(local)?);
    let standing = vec![Standing::Good; index.packs.packs.len()];
    let begun = Instant::now();
    let (listed, rotten) = (HashMap::new(), Quarantine::default());
    let places = Places { index: &index, standing: &standing, listed: &listed, rotten: &rotten };
    let usage = usage::count(&places, &live, &mut Nobody)?;
    let count = begun.elapsed().as_secs_f64();
    let (living, all) = usage.packs.iter().fold((0, 0), |sum, own| (sum.0 + own.live, sum.1 + own.all));
    if usage.missing || all != chunks * 25_000 || living != (chunks - chunks.div_ceil(10)) * 25_000 {
        return Err(crate::object::damaged("the count", "it is wrong"));
    }
    Ok(Figures { chunks, build, file, open, misses, hits, together, count })
}

/// Proves nothing: every chunk has one place.
struct Nobody;

impl Prover for Nobody {
    fn digests(
        &mut self,
        _: &BTreeMap<u32, Vec<ChunkId>>,
        _: &dyn Fn(u32) -> Option<PackEntry>,
    ) -> Result<Digests, RepoError> {
        Ok(Digests::default())
    }

    fn is_whole(&mut self, _: &PackEntry) -> Result<bool, RepoError> {
        Ok(false)
    }
}
