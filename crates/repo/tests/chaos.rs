//! A storage that fails, stalls, answers twice, lists late and returns short reads: what was
//! committed is whole for all that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use pgark_repo::*;
use pgark_store::{Capabilities, ObjectMeta, PutOutcome, StoreError};

/// So late are lists at most.
const LATE: Duration = Duration::from_millis(30);

/// When each object was put or deleted by anybody of this test, and what it was: for lists that are
/// late.
type Changes = Arc<Mutex<BTreeMap<String, (Instant, Option<ObjectMeta>)>>>;

struct Chaos<S> {
    inner: S,
    random: Mutex<u64>,
    changes: Changes,
    /// One of so many calls misbehaves; 0: none does, but lists stay late.
    one_of: u64,
}

impl<S: Store> Chaos<S> {
    fn draw(&self, below: u64) -> u64 {
        let mut state = self.random.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 3) % below
    }

    fn hits(&self) -> bool {
        if self.one_of > 0 && self.draw(self.one_of) == 0 {
            std::thread::sleep(Duration::from_millis(self.draw(8)));
            return self.draw(2) == 0;
        }
        false
    }

    fn failure(&self, object: &str) -> StoreError {
        // Some pass when tried again, some do not.
        let kind = if self.draw(3) == 0 { io::ErrorKind::Other } else { io::ErrorKind::TimedOut };
        StoreError::Io { operation: "reach", object: object.into(), source: io::Error::new(kind, "chaos") }
    }

    fn changed(&self, name: &str, before: Option<ObjectMeta>) {
        self.changes.lock().unwrap().insert(name.into(), (Instant::now(), before));
    }
}

impl<S: Store> Store for Chaos<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { list_lateness: LATE, ..self.inner.capabilities() }
    }

    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        if self.hits() {
            match self.draw(3) {
                0 => return Err(self.failure(name)),
                1 => {
                    // Done, and the answer is lost; or it comes for a second try that nobody made.
                    if self.inner.put_if_absent(name, bytes.clone(), cancel)? == PutOutcome::Created {
                        self.changed(name, None);
                    }
                    return if self.draw(2) == 0 {
                        Err(self.failure(name))
                    } else {
                        Ok(PutOutcome::AlreadyExists)
                    };
                }
                _ => {}
            }
        }
        let outcome = self.inner.put_if_absent(name, bytes, cancel)?;
        if outcome == PutOutcome::Created {
            self.changed(name, None);
        }
        Ok(outcome)
    }

    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let hits = self.hits();
        let mut bytes = self.inner.get(name, cancel)?;
        if hits {
            if self.draw(2) == 0 {
                return Err(self.failure(name));
            }
            bytes.truncate(self.draw(bytes.len() as u64 + 1) as usize);
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let hits = self.hits();
        let mut bytes = self.inner.get_range(name, offset, len, cancel)?;
        if hits {
            if self.draw(2) == 0 {
                return Err(self.failure(name));
            }
            bytes.truncate(self.draw(bytes.len() as u64 + 1) as usize);
        }
        Ok(bytes)
    }

    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        if self.hits() { Err(self.failure(name)) } else { self.inner.stat(name, cancel) }
    }

    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        if self.hits() {
            return Err(self.failure(prefix));
        }
        let mut listed = self.inner.list(prefix, cancel)?;
        let changes = self.changes.lock().unwrap();
        let recent = |name: &str| changes.get(name).filter(|(at, _)| at.elapsed() < LATE * 2 / 3);
        // What was put just now is missing, what was deleted just now is still there: by chance.
        listed.retain(|meta| {
            !(recent(&meta.name).is_some_and(|(_, before)| before.is_none()) && self.draw(2) == 0)
        });
        for (name, (at, before)) in changes.iter().filter(|(name, _)| name.starts_with(prefix)) {
            if let Some(meta) = before
                && at.elapsed() < LATE * 2 / 3
                && self.draw(2) == 0
                && !listed.iter().any(|known| known.name == *name)
            {
                listed.push(meta.clone());
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        let hits = self.hits();
        if hits && self.draw(2) == 0 {
            return Err(self.failure(name));
        }
        let before = self.inner.stat(name, cancel).ok();
        self.inner.delete(name, cancel)?;
        if before.is_some() {
            self.changed(name, before);
        }
        if hits { Err(self.failure(name)) } else { Ok(()) }
    }
}

#[test]
fn writers_and_pruners_on_a_storage_without_mercy() {
    let seconds = if std::env::var_os("PGARK_TEST_FULL").is_some() { 300 } else { 8 };
    let place = Place::encrypted();
    let changes = Changes::default();
    let chaos = |seed: u64, one_of: u64| -> Arc<dyn Store> {
        let random = Mutex::new(seed * 7919 + 1);
        Arc::new(Chaos { inner: place.store(), random, changes: Arc::clone(&changes), one_of })
    };
    let open = |store: Arc<dyn Store>| {
        Repository::open(Storage::new(store, Cancel::new()), place.unlock(), LocalFolders::default())
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    let committed: Mutex<Vec<(BackupId, Content)>> = Mutex::default();
    let counts = Mutex::new((0u64, 0u64, 0u64, 0u64));
    // On a busy machine longer: until enough has happened of everything, or never will.
    let goes_on = |round: u64| {
        let (written, failed, _, stopped) = *counts.lock().unwrap();
        Instant::now() < until || (!(written > 5 && failed > 3 && stopped > 3) && round < 5_000)
    };
    std::thread::scope(|scope| {
        for number in 0..2u64 {
            let (committed, counts, goes_on) = (&committed, &counts, &goes_on);
            scope.spawn(move || {
                let mut round = 0;
                while goes_on(round) {
                    round += 1;
                    let content: Content = vec![
                        ("/a".into(), Class::Data, rows(round % 4, 150_000)),
                        ("/b".into(), Class::Data, rows(number * 1000 + round, 40_000)),
                        ("/map/c".into(), Class::Data, mixed(number * 1000 + round, 90_000)),
                    ];
                    let made = open(chaos(number * 100_000 + round, 120))
                        .and_then(|repository| try_backup(&repository, 1, &content, &Cancel::new()));
                    match made {
                        Ok(head) => {
                            committed.lock().unwrap().push((head.id, content));
                            counts.lock().unwrap().0 += 1;
                        }
                        Err(_) => counts.lock().unwrap().1 += 1,
                    }
                    let mut all = committed.lock().unwrap();
                    if all.len() > 5 {
                        let (id, _) = all.remove(0);
                        drop(all);
                        // It may be forgotten even if the answer was a failure; it is never asked
                        // for again.
                        let _ = open(chaos(round, 12)).and_then(|repository| repository.forget(id));
                    }
                }
            });
        }
        for number in 0..2u64 {
            let (counts, goes_on) = (&counts, &goes_on);
            scope.spawn(move || {
                let mut round = 0;
                while goes_on(round) {
                    round += 1;
                    let options = PruneOptions {
                        grace: Duration::ZERO,
                        repack_below: 90,
                        erase: false,
                        dry_run: false,
                    };
                    let pruned = open(chaos(900_000 + number * 10_000 + round, 300))
                        .and_then(|repository| repository.prune(&options, &|_| {}));
                    match pruned {
                        Ok(report) => counts.lock().unwrap().2 += report.packs_deleted,
                        Err(_) => counts.lock().unwrap().3 += 1,
                    }
                }
            });
        }
    });
    let (written, failed, freed, stopped) = *counts.lock().unwrap();
    println!("{written} backups, {failed} failed, {freed} packs freed, {stopped} prunes failed");
    assert!(written > 5 && failed > 3 && stopped > 3, "{written} {failed} {freed} {stopped}");
    // On the storage as it is: every backup that was reported good is there and whole.
    let quiet = place.open();
    for (id, content) in committed.lock().unwrap().iter() {
        compare(&quiet, *id, content).unwrap();
    }
    assert_clean(&quiet);
    let options = PruneOptions { grace: Duration::ZERO, repack_below: 90, erase: false, dry_run: false };
    quiet.prune(&options, &|_| {}).unwrap();
    for (id, content) in committed.lock().unwrap().iter() {
        compare(&place.open(), *id, content).unwrap();
    }
    assert_clean(&place.open());
}
