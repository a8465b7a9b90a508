//! The proof that masked rows keep the unique keys of their tables.
//!
//! Each masked row has a number of 64 bits for each key that it takes part in
//! (`Masker::key_hashes`): rows whose keys are equal have equal numbers. The proof collects the
//! numbers of all rows and looks for some that occur more than once.
//!
//! **Chance.** Rows whose keys differ can have equal numbers as well: among N rows of a key, the
//! probability of one such pair is about N² / 2^65. For 200 million rows that is 1 in 900; for 10
//! million rows, 1 in 370,000. Such a pair ends a good backup; the next run has another key, and
//! with it other numbers. Rows whose keys are equal always have equal numbers: no duplicate goes
//! unseen.
//!
//! **Memory.** At most 1,048,576 numbers of a key and 4,194,304 of all keys are held: 32 MiB, and
//! up to 64 MiB with what vectors reserve. Each thread that writes a run has 8 MiB more. The end
//! reads one key after the other and has 8 MiB of buffers for all of its runs, or 4 KiB for each if
//! there are more than 2,048. The 200 million rows of a key are 191 runs, that is 1.6 GB on disk,
//! and each run has a buffer of 43 KiB. They are more runs, and shorter ones, only where other keys
//! fill the memory at the same time.
//!
//! **Disk.** Sorted runs are written one behind the other to one file without a name in the folder
//! for temporary files; it is made when the first run is written. The numbers are made with a key
//! of this run that is never stored, so they tell nothing of the rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::OpsError;
use crate::lock::lock;

/// The most numbers of one key that are held, and the length of a run on disk.
const MOST_OF_KEY: usize = 1 << 20;

/// The most numbers of all keys that are held.
const MOST_OF_ALL: usize = 4 << 20;

/// Bytes of buffers for all runs of a key.
const BUFFERS: usize = 8 << 20;

/// The fewest bytes of a run's buffer.
const LEAST_BUFFER: usize = 4 << 10;

/// Numbers between two looks at whether the backup was cancelled.
const UNCHECKED: u64 = 1 << 16;

/// Numbers that are written at a time.
const WRITTEN: usize = 32 << 10;

/// Bytes of a number.
const NUMBER: usize = size_of::<u64>();

/// The numbers of all rows by key. Threads share it.
pub(crate) struct KeyProofs {
    held: Mutex<Held>,
    spilled: Mutex<Spilled>,
    limits: Limits,
}

/// How much is held.
#[derive(Clone, Copy)]
struct Limits {
    of_key: usize,
    of_all: usize,
    buffers: usize,
    least_buffer: usize,
}

/// What is in memory.
struct Held {
    /// By key.
    numbers: Vec<Vec<u64>>,
    /// Of all keys.
    total: usize,
}

/// What is on disk.
#[derive(Default)]
struct Spilled {
    file: Option<Arc<File>>,
    /// Where the next run begins.
    end: u64,
    /// By key.
    runs: Vec<Vec<Run>>,
}

/// Where the numbers of a run are in the file, in bytes.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u64,
    to: u64,
}

impl KeyProofs {
    /// For so many keys, whose numbers begin at 0.
    pub(crate) fn new(keys: usize) -> KeyProofs {
        let limits =
            Limits { of_key: MOST_OF_KEY, of_all: MOST_OF_ALL, buffers: BUFFERS, least_buffer: LEAST_BUFFER };
        KeyProofs::with_limits(keys, limits)
    }

    fn with_limits(keys: usize, limits: Limits) -> KeyProofs {
        KeyProofs {
            held: Mutex::new(Held { numbers: vec![Vec::new(); keys], total: 0 }),
            spilled: Mutex::new(Spilled { file: None, end: 0, runs: vec![Vec::new(); keys] }),
            limits,
        }
    }

    /// Adds rows of a key, by what [`pgark_mask::plan::Masker::key_hashes`] says of them.
    ///
    /// It is worth giving it many rows at once, as threads wait for each other.
    ///
    /// # Errors
    /// The temporary file cannot be made or written.
    pub(crate) fn add(&self, key: usize, hashes: &[u64]) -> Result<(), OpsError> {
        let mut rest = hashes;
        while !rest.is_empty() {
            let taken = {
                let mut held = lock(&self.held);
                let Held { numbers, total } = &mut *held;
                let Some(own) = numbers.get_mut(key) else { return Err(unknown(key)) };
                let fits = self.limits.of_key.saturating_sub(own.len()).min(rest.len());
                let (now, later) = rest.split_at_checked(fits).unwrap_or((rest, &[]));
                own.extend_from_slice(now);
                *total += now.len();
                rest = later;
                let is_full = own.len() >= self.limits.of_key;
                let key = match () {
                    () if is_full => Some(key),
                    () if held.total >= self.limits.of_all => Some(held.largest()),
                    () => None,
                };
                key.and_then(|key| held.take(key))
            };
            if let Some((key, run)) = taken {
                self.spill(key, run)?;
            }
        }
        Ok(())
    }

    /// Writes a run. Other threads add meanwhile, and write others.
    fn spill(&self, key: usize, mut run: Vec<u64>) -> Result<(), OpsError> {
        run.sort_unstable();
        let failed = |source| local("write the proof of a unique key in", source);
        let (file, place) = lock(&self.spilled).place(run.len()).map_err(failed)?;
        let mut buffer = Vec::with_capacity(WRITTEN * NUMBER);
        let mut at = place.from;
        for part in run.chunks(WRITTEN) {
            buffer.clear();
            buffer.extend(part.iter().flat_map(|number| number.to_le_bytes()));
            file.write_all_at(&buffer, at).map_err(failed)?;
            at += buffer.len() as u64;
        }
        if let Some(runs) = lock(&self.spilled).runs.get_mut(key) {
            runs.push(place);
        }
        Ok(())
    }

    /// For each key: how many numbers occur more than once. Zero: its rows are unique. It is called
    /// once, when no row comes any more, and leaves nothing behind.
    ///
    /// `check` is called again and again meanwhile; its error ends the work.
    ///
    /// # Errors
    /// The temporary file cannot be read, or `check` says so.
    pub(crate) fn finish(&self, check: &dyn Fn() -> Result<(), OpsError>) -> Result<Vec<u64>, OpsError> {
        let numbers = std::mem::take(&mut lock(&self.held).numbers);
        let spilled = std::mem::take(&mut *lock(&self.spilled));
        let mut duplicates = Vec::with_capacity(numbers.len());
        for (mut rest, runs) in numbers.into_iter().zip(spilled.runs) {
            check()?;
            rest.sort_unstable();
            let mut count = Count::default();
            let mut see = |number| count.see(number, check);
            match &spilled.file {
                Some(file) if !runs.is_empty() => merge(file, &runs, rest, self.limits, &mut see)?,
                _ => rest.into_iter().try_for_each(see)?,
            }
            duplicates.push(count.duplicates);
        }
        Ok(duplicates)
    }
}

impl Held {
    /// The numbers of a key, which are then held no more.
    fn take(&mut self, key: usize) -> Option<(usize, Vec<u64>)> {
        let run = std::mem::take(self.numbers.get_mut(key)?);
        self.total = self.total.saturating_sub(run.len());
        (!run.is_empty()).then_some((key, run))
    }

    /// The key that most numbers are held of.
    fn largest(&self) -> usize {
        let by_length = self.numbers.iter().enumerate().max_by_key(|(_, numbers)| numbers.len());
        by_length.map_or(0, |(key, _)| key)
    }
}

impl Spilled {
    /// The file, and where a run of so many numbers comes.
    fn place(&mut self, numbers: usize) -> io::Result<(Arc<File>, Run)> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let file = Arc::new(tempfile::tempfile_in(std::env::temp_dir())?);
                Arc::clone(self.file.insert(file))
            }
        };
        let from = self.end;
        self.end += (numbers * NUMBER) as u64;
        Ok((file, Run { from, to: self.end }))
    }
}

/// Counts numbers that come sorted.
#[derive(Default)]
struct Count {
    last: Option<u64>,
    /// The last number is counted already.
    is_counted: bool,
    duplicates: u64,
    seen: u64,
}

impl Count {
    fn see(&mut self, number: u64, check: &dyn Fn() -> Result<(), OpsError>) -> Result<(), OpsError> {
        self.seen += 1;
        if self.seen.is_multiple_of(UNCHECKED) {
            check()?;
        }
        if self.last != Some(number) {
            (self.last, self.is_counted) = (Some(number), false);
        } else if !self.is_counted {
            self.is_counted = true;
            self.duplicates += 1;
        }
        Ok(())
    }
}

/// One run, read from its beginning to its end.
struct Reader<'f> {
    file: &'f File,
    /// What was not read yet.
    left: Run,
    buffer: Vec<u8>,
    /// How much of the buffer was given out.
    used: usize,
    /// The bytes that the buffer may have.
    most: usize,
}

impl Reader<'_> {
    /// The next number; None: the run is at its end.
    fn number(&mut self) -> Result<Option<u64>, OpsError> {
        if self.used >= self.buffer.len() {
            let Run { from, to } = self.left;
            let left = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
            if left == 0 {
                return Ok(None);
            }
            self.buffer.resize(left.min(self.most), 0);
            self.file
                .read_exact_at(&mut self.buffer, from)
                .map_err(|source| local("read the proof of a unique key in", source))?;
            self.left.from += self.buffer.len() as u64;
            self.used = 0;
        }
        let number = self.buffer.get(self.used..).and_then(<[u8]>::first_chunk);
        self.used += NUMBER;
        Ok(number.map(|bytes| u64::from_le_bytes(*bytes)))
    }
}

/// Gives out the numbers of all runs and of `rest`, which are sorted each, in their order.
fn merge(
    file: &File,
    runs: &[Run],
    rest: Vec<u64>,
    limits: Limits,
    see: &mut dyn FnMut(u64) -> Result<(), OpsError>,
) -> Result<(), OpsError> {
    // Whole numbers in each buffer.
    let most = (limits.buffers / runs.len().max(1)).max(limits.least_buffer) / NUMBER * NUMBER;
    let new = |run: &Run| Reader { file, left: *run, buffer: Vec::new(), used: 0, most };
    let mut readers: Vec<Reader<'_>> = runs.iter().map(new).collect();
    let mut rest = rest.into_iter();
    let in_memory = readers.len();
    let mut following = |run: usize| match readers.get_mut(run) {
        Some(reader) => reader.number(),
        None => Ok(rest.next()),
    };
    let mut heap = BinaryHeap::with_capacity(in_memory + 1);
    for run in 0..=in_memory {
        heap.extend(following(run)?.map(|number| Reverse((number, run))));
    }
    while let Some(mut least) = heap.peek_mut() {
        let Reverse((number, run)) = *least;
        see(number)?;
        match following(run)? {
            Some(number) => *least = Reverse((number, run)),
            None => _ = PeekMut::pop(least),
        }
    }
    Ok(())
}

fn local(doing: &'static str, source: io::Error) -> OpsError {
    let path: PathBuf = std::env::temp_dir();
    OpsError::File { doing, path, source }
}

fn unknown(key: usize) -> OpsError {
    OpsError::refused(format!("prove a unique key: no key has the number {key}"), "this is a defect of pgark")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;

    const SMALL: Limits = Limits { of_key: 100, of_all: 1000, buffers: 64, least_buffer: 20 };

    fn finished(proofs: KeyProofs) -> Vec<u64> {
        proofs.finish(&|| Ok(())).unwrap()
    }

    /// Different numbers in no order.
    fn different(from: u64, count: u64) -> Vec<u64> {
        (from..from + count).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
    }

    /// The numbers of each run of a key.
    fn runs(proofs: &KeyProofs, key: usize) -> Vec<u64> {
        let spilled = lock(&proofs.spilled);
        spilled.runs[key].iter().map(|run| (run.to - run.from) / 8).collect()
    }

    #[test]
    fn different_numbers_over_several_runs() {
        let proofs = KeyProofs::with_limits(1, SMALL);
        for from in (0..1050).step_by(7) {
            proofs.add(0, &different(from, 7)).unwrap();
        }
        assert_eq!(runs(&proofs, 0), [100; 10]);
        assert_eq!(finished(proofs), [0]);
    }

    #[test]
    fn duplicates_in_a_run_and_across_runs() {
        let of = |all: &[Vec<u64>]| {
            let proofs = KeyProofs::with_limits(1, SMALL);
            for numbers in all {
                proofs.add(0, numbers).unwrap();
            }
            (runs(&proofs, 0).len(), finished(proofs))
        };
        let many = different(0, 250);
        assert_eq!(of(&[vec![7, 8, 7]]), (0, vec![1]));
        assert_eq!(of(&[vec![many[3]], many.clone()]), (2, vec![1]));
        // In the first run and in the second, and in what is still in memory.
        assert_eq!(of(&[many.clone(), vec![many[120]]]), (2, vec![1]));
        assert_eq!(of(&[many.clone(), many.clone()]), (5, vec![250]));
        // A number counts once, however often it occurs.
        assert_eq!(of(&[vec![5; 1000]]), (10, vec![1]));
        assert_eq!(of(&[vec![u64::MAX, 0, u64::MAX], many]), (2, vec![2]));
    }

    #[test]
    fn many_keys_and_keys_without_rows() {
        let proofs = KeyProofs::with_limits(5, SMALL);
        proofs.add(1, &different(0, 350)).unwrap();
        proofs.add(2, &different(0, 350)).unwrap();
        proofs.add(2, &different(100, 1)).unwrap();
        proofs.add(4, &[]).unwrap();
        assert_eq!(finished(proofs), [0, 0, 1, 0, 0]);
        assert_eq!(finished(KeyProofs::new(0)), Vec::<u64>::new());
    }

    #[test]
    fn all_keys_together_hold_a_limited_number() {
        let proofs = KeyProofs::with_limits(50, SMALL);
        for key in 0..50 {
            proofs.add(key, &different(0, 90)).unwrap();
        }
        let held = lock(&proofs.held);
        let lengths: usize = held.numbers.iter().map(Vec::len).sum();
        assert_eq!(held.total, lengths);
        assert!(lengths < SMALL.of_all, "{lengths}");
        drop(held);
        proofs.add(17, &different(3, 1)).unwrap();
        let found = finished(proofs);
        assert_eq!(found.iter().sum::<u64>(), 1);
        assert_eq!(found[17], 1);
    }

    #[test]
    fn threads_add_at_a_time() {
        let proofs = KeyProofs::with_limits(2, SMALL);
        thread::scope(|scope| {
            for worker in 0..4 {
                let proofs = &proofs;
                scope.spawn(move || {
                    for from in 0..50 {
                        proofs.add(0, &different(worker * 1000 + from * 10, 10)).unwrap();
                        proofs.add(1, &different(from * 10, 10)).unwrap();
                    }
                });
            }
        });
        assert_eq!(finished(proofs), [0, 500]);
    }

    #[test]
    fn runs_of_the_real_size() {
        let proofs = KeyProofs::new(1);
        let numbers = different(0, 2_500_000);
        numbers.chunks(10_000).for_each(|some| proofs.add(0, some).unwrap());
        proofs.add(0, &numbers[1_999_999..2_000_001]).unwrap();
        assert_eq!(runs(&proofs, 0), [1 << 20; 2]);
        assert_eq!(finished(proofs), [2]);
    }

    #[test]
    fn it_ends_when_the_backup_is_cancelled() {
        let proofs = KeyProofs::new(1);
        proofs.add(0, &different(0, 200_000)).unwrap();
        let looks = Cell::new(0);
        let check = || {
            looks.set(looks.get() + 1);
            if looks.get() > 2 { Err(OpsError::Cancelled) } else { Ok(()) }
        };
        assert!(proofs.finish(&check).unwrap_err().is_cancelled());
    }

    #[test]
    fn a_key_that_was_not_announced_is_refused() {
        assert!(KeyProofs::new(1).add(1, &[1]).is_err());
    }
}
