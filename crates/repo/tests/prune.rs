//! Forget and prune: what nobody needs goes, what anybody needs stays, whatever happens beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use common::*;
use pgark_repo::*;
use pgark_store::{Capabilities, Fault, Faulty, ObjectMeta, Operation, PutOutcome, StoreError};

fn now() -> PruneOptions {
    PruneOptions { grace: Duration::ZERO, repack_below: 80, erase: false, dry_run: false }
}

fn prune(repository: &Repository, options: PruneOptions) -> PruneReport {
    repository.prune(&options, &|_| {}).unwrap()
}

fn pack_bytes(place: &Place) -> u64 {
    place.storage().list("packs/").unwrap().iter().map(|meta| meta.size).sum()
}

/// Nothing is left in the trash but lists of packs that were deleted.
fn assert_announced_is_gone(place: &Place) {
    let mut left = place.storage().list("trash/").unwrap();
    // Lists stay for a while, those of marks until the next prune; and what tells the time, where
    // an answer was lost.
    let stays = |name: &str| {
        name.starts_with("trash/clock/") || name.ends_with(".intents") || name.ends_with(".marks")
    };
    left.retain(|meta| !stays(&meta.name));
    assert!(left.is_empty(), "{left:?}");
    let announced = place.open().announced_packs().unwrap();
    let there = place.storage().list("packs/").unwrap();
    let still_there: Vec<_> = there.iter().filter(|meta| announced.contains(&meta.name)).collect();
    assert!(still_there.is_empty(), "{still_there:?}");
}

/// One table's rows, and a part of another backup's.
fn halves(seed: u64) -> Content {
    vec![
        ("/own".into(), Class::Data, rows(seed, 1_500_000)),
        ("/shared".into(), Class::Data, rows(7, 300_000)),
        ("/map/h".into(), Class::Data, mixed(seed, 400_000)),
        ("/list".into(), Class::Metadata, format!("list {seed}").into_bytes()),
    ]
}

#[test]
fn what_only_a_forgotten_backup_needed_is_freed() {
    for place in [Place::encrypted(), Place::plain()] {
        let repository = place.open();
        let (first, second) = (backup(&repository, 2, &halves(1)), backup(&repository, 2, &halves(2)));
        let full = pack_bytes(&place);
        // Without anything forgotten nothing is to do.
        let nothing = prune(&repository, now());
        assert_eq!(
            (nothing.packs_deleted, nothing.packs_repacked, nothing.packs_waiting),
            (0, 0, 0),
            "{nothing:?}"
        );
        repository.forget(first.id).unwrap();
        assert!(matches!(repository.forget(first.id), Err(RepoError::UnknownBackup { .. })));
        assert_eq!(repository.backups().unwrap().len(), 1);
        assert_clean(&repository);
        let planned = prune(&repository, PruneOptions { dry_run: true, ..now() });
        assert_eq!(pack_bytes(&place), full);
        let report = prune(&repository, now());
        assert!(report.packs_deleted > 0 && report.packs_repacked > 0, "{report:?}");
        assert_eq!(
            (planned.packs_repacked, planned.bytes_moved),
            (report.packs_repacked, report.bytes_moved)
        );
        assert!(pack_bytes(&place) < full * 2 / 3, "{} of {full}", pack_bytes(&place));
        assert_announced_is_gone(&place);
        compare(&repository, second.id, &halves(2)).unwrap();
        compare(&place.open(), second.id, &halves(2)).unwrap();
        assert_clean(&place.open());
        // The next backup goes on with the chain, and the last one frees everything.
        let third = backup(&place.open(), 1, &halves(3));
        assert_eq!(third.sequence, 3);
        assert_clean(&place.open());
        for head in [second, third] {
            repository.forget(head.id).unwrap();
        }
        prune(&repository, now());
        assert_eq!(pack_bytes(&place), 0);
        assert!(place.storage().list("index/").unwrap().is_empty());
        assert_clean(&place.open());
        assert_eq!(backup(&place.open(), 1, &halves(4)).sequence, 4);
    }
}

#[test]
fn a_writer_key_prunes_and_moves_what_it_cannot_read() {
    let place = Place::encrypted();
    let (first, second) = (backup(&place.open(), 2, &halves(1)), backup(&place.open(), 2, &halves(2)));
    let writer = place.open_as_writer();
    writer.forget(first.id).unwrap();
    let report = prune(&writer, now());
    assert!(report.bytes_moved > 50_000, "{report:?}");
    compare(&place.open(), second.id, &halves(2)).unwrap();
    assert_clean(&place.open());
}

#[test]
fn the_grace_time_is_waited_for_and_marked_packs_serve_nobody() {
    let place = Place::encrypted();
    let repository = place.open();
    let first = backup(&repository, 1, &halves(1));
    repository.forget(first.id).unwrap();
    let day = PruneOptions { grace: Duration::from_secs(86_400), ..now() };
    for _ in 0..2 {
        let report = prune(&repository, day);
        assert_eq!((report.packs_deleted, report.packs_waiting), (0, report.packs), "{report:?}");
        assert!(report.next.is_some() && report.bytes_waiting > 100_000);
    }
    // The same rows are stored anew. Then each chunk lies in two packs, sealed by two keys: nobody
    // without the reader secret can tell that they are equal, and the older one stays.
    let again = backup(&place.open(), 1, &halves(1));
    assert!(again.bytes_added > 500_000, "{}", again.bytes_added);
    let report = prune(&repository, now());
    assert!(report.packs_deleted >= 1, "{report:?}");
    assert!(pack_bytes(&place) < again.bytes_added * 5 / 4, "{report:?}");
    compare(&place.open(), again.id, &halves(1)).unwrap();
    assert_clean(&place.open());
}

/// One entry of rows, whole.
fn write_rows(writer: &BackupWriter<'_>, path: &str, bytes: &[u8]) -> Result<(), RepoError> {
    let mut entry = writer.entry(path, Class::Data);
    let mut stream = entry.stream(Cut::Rows);
    stream.write(bytes)?;
    entry.add(stream.finish()?);
    entry.finish(Vec::new())
}

/// A backup that is being written keeps what it began before; a reader finds what was moved.
#[test]
fn writers_and_readers_go_on() {
    let place = Place::encrypted();
    let repository = place.open();
    let (first, second) = (backup(&repository, 1, &halves(1)), backup(&repository, 1, &halves(2)));
    let reader_of = place.open();
    let reader = reader_of.reader(&reader_of.backups().unwrap()[0]).unwrap();
    let entries = entries(&reader_of.open_backup(second.id).unwrap()).unwrap();
    let (third, ()) = place
        .open()
        .write_backup::<(), RepoError>(&options(1), |writer| {
            // It leans on the packs of a backup that is forgotten while it runs.
            write_rows(writer, "/own", &rows(1, 1_500_000))?;
            repository.forget(first.id)?;
            let report = prune(&repository, now());
            assert_eq!(report.sessions, 1, "{report:?}");
            assert_eq!(report.packs_deleted, 0, "{report:?}");
            let (kind, about) = ("x".into(), Vec::new());
            Ok((NewBackup { kind, complete: true, about, time: None }, ()))
        })
        .unwrap();
    assert_eq!(added(&place.open().open_backup(third.id).unwrap())["/own"], 0);
    compare(&place.open(), third.id, &vec![("/own".into(), Class::Data, rows(1, 1_500_000))]).unwrap();
    repository.forget(third.id).unwrap();
    assert!(prune(&repository, now()).packs_deleted > 0);
    // The reader's index is from before.
    for (path, _, bytes) in halves(2) {
        let entry = entries.iter().find(|entry| entry.path == path).unwrap();
        assert!(read_entry(&reader, entry).unwrap() == bytes, "{path}");
    }
    assert_clean(&place.open());
}

/// Names that somebody without a key has put say nothing of a backup: not that it is over, not that
/// it is forgotten. A pruner that believed them would race its commit.
#[test]
fn names_without_signatures_end_no_backup() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &halves(1));
    let cluster = only_cluster(&place);
    let repository = place.open();
    let (made, ()) = repository
        .write_backup::<(), RepoError>(&options(1), |writer| {
            write_rows(writer, "/own", &rows(1, 1_500_000))?;
            repository.forget(first.id)?;
            let session = place.storage().list("sessions/").unwrap().remove(0).name;
            let id = session.split('/').nth(1).unwrap().to_string();
            for folder in ["forgotten", "manifests", "copies/manifests"] {
                for sequence in [2u64, 99] {
                    let name = format!("{folder}/{cluster}/{sequence:016}-{id}");
                    place.storage().put_if_absent(&name, Bytes::new()).unwrap();
                }
            }
            let report = prune(&repository, now());
            assert_eq!((report.sessions, report.packs_deleted), (1, 0), "{report:?}");
            let (kind, about) = ("x".into(), Vec::new());
            Ok((NewBackup { kind, complete: true, about, time: None }, ()))
        })
        .unwrap();
    compare(&place.open(), made.id, &vec![("/own".into(), Class::Data, rows(1, 1_500_000))]).unwrap();
}

/// Nor does a draft lose what it pins.
#[test]
fn a_draft_pins_whatever_stands_beside_it() {
    let place = Place::encrypted();
    backup(&place.open(), 1, &halves(1));
    let cluster = only_cluster(&place);
    // A writer that is gone between its draft and its manifest: nothing was deleted any more.
    let store = Faulty::new(place.store(), Operation::Delete, Fault::GoneFrom(0));
    let repository = place.open_on(Arc::new(store), place.local());
    backup(&repository, 1, &halves(2));
    for folder in ["manifests/", "copies/manifests/"] {
        let newest = place.storage().list(folder).unwrap().remove(1).name;
        place.storage().delete(&newest).unwrap();
    }
    let draft = place.storage().list("drafts/").unwrap().remove(0).name;
    let id = draft.rsplit('/').next().unwrap().to_string();
    let tombstone = format!("forgotten/{cluster}/0000000000000002-{id}");
    place.storage().put_if_absent(&tombstone, Bytes::new()).unwrap();
    for meta in place.storage().list("sessions/").unwrap() {
        let path = place.dir.path().join("repo").join(meta.name);
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(48 * 3600)).unwrap();
    }
    let names = || place.storage().list("packs/").unwrap().into_iter().map(|meta| meta.name);
    let packs: Vec<String> = names().collect();
    for _ in 0..2 {
        assert_eq!(prune(&place.open(), now()).sessions, 0);
    }
    assert_eq!(names().collect::<Vec<_>>(), packs);
    assert!(place.storage().stat(&draft).is_ok());
}

/// A storage at which something happens just before one call.
struct Meanwhile<S> {
    inner: S,
    is_it: fn(Operation, &str) -> bool,
    then: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl<S: Store> Meanwhile<S> {
    fn look(&self, operation: Operation, name: &str) {
        if (self.is_it)(operation, name)
            && let Some(then) = self.then.lock().unwrap().take()
        {
            then();
        }
    }
}

impl<S: Store> Store for Meanwhile<S> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.look(Operation::Put, name);
        self.inner.put_if_absent(name, bytes, cancel)
    }
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name, cancel)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(name, offset, len, cancel)
    }
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.inner.stat(name, cancel)
    }
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.look(Operation::List, prefix);
        self.inner.list(prefix, cancel)
    }
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.look(Operation::Delete, name);
        self.inner.delete(name, cancel)
    }
}

/// Bytes that nothing makes smaller.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(bytes / 8).flatten().collect()
}

/// A backup that begins while a prune without grace looks or marks keeps what it leans on, and what
/// it has put itself.
#[test]
fn a_backup_begins_in_the_middle_of_a_prune() {
    let moments: [fn(Operation, &str) -> bool; 4] = [
        |operation, name| operation == Operation::List && name == "drafts/",
        |operation, name| operation == Operation::List && name == "packs/",
        |operation, name| operation == Operation::Put && name.ends_with(".marks"),
        |operation, name| operation == Operation::List && name == "sessions/",
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let place = Place::encrypted();
        let first = backup(&place.open(), 1, &halves(1));
        place.open().forget(first.id).unwrap();
        let own = noise(number as u64 + 50, 18_000_000);
        let content: Content =
            vec![("/old".into(), Class::Data, rows(1, 1_500_000)), ("/own".into(), Class::Data, own)];
        let (start, started) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (place, content) = (&place, &content);
            let writer = scope.spawn(move || {
                started.recv().unwrap();
                let packs = place.storage().list("packs/").unwrap().len();
                place.open().write_backup::<(), RepoError>(&options(1), |writer| {
                    for (path, _, bytes) in content {
                        write_rows(writer, path, bytes)?;
                    }
                    let until = Instant::now() + Duration::from_secs(600);
                    while place.storage().list("packs/").unwrap().len() == packs {
                        assert!(Instant::now() < until, "no pack is ever full");
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    begun.send(()).unwrap();
                    ended.recv().unwrap();
                    let (kind, about) = ("x".into(), Vec::new());
                    Ok((NewBackup { kind, complete: true, about, time: None }, ()))
                })
            });
            let store = Meanwhile {
                inner: place.store(),
                is_it: moment,
                then: std::sync::Mutex::new(Some(Box::new(move || {
                    start.send(()).unwrap();
                    has_begun.recv().unwrap();
                }))),
            };
            let report = prune(&place.open_on(Arc::new(store), place.local()), now());
            assert_eq!(report.sessions, 1, "{number}: {report:?}");
            end.send(()).unwrap();
            let (made, ()) = writer.join().unwrap().unwrap_or_else(|error| panic!("{number}: {error}"));
            compare(&place.open(), made.id, content).unwrap();
        });
        prune(&place.open(), now());
        assert_clean(&place.open());
    }
}

/// Makes objects below a folder older.
fn grow_older(place: &Place, folder: &str, by: Duration) {
    for meta in place.storage().list(folder).unwrap() {
        let file = place.dir.path().join("repo").join(meta.name);
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }
}

/// A writer that was away for so long that a prune took it for dead, and deleted what it leans on:
/// nothing of that is there any more, and the lists of intents say so.
#[test]
fn who_was_away_while_a_prune_deleted_stops() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &halves(1));
    let stopped = place.open().write_backup::<(), RepoError>(&options(1), |writer| {
        for (path, _, bytes) in halves(1) {
            write_rows(writer, &path, &bytes)?;
        }
        place.open().forget(first.id).unwrap();
        grow_older(&place, "sessions/", Duration::from_secs(2 * 3600));
        let report = prune(&place.open(), now());
        assert!(report.packs_deleted > 0 && report.sessions == 0, "{report:?}");
        assert!(place.storage().list("packs/").unwrap().is_empty());
        assert!(place.storage().list("index/").unwrap().is_empty());
        let (kind, about) = ("x".into(), Vec::new());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    assert!(matches!(stopped, Err(RepoError::PrunedAway { .. })), "{stopped:?}");
    assert!(place.open().backups().unwrap().is_empty());
    let second = backup(&place.open(), 1, &halves(1));
    compare(&place.open(), second.id, &halves(1)).unwrap();
}

/// A pruner whose key is revoked, or replaced, may be deleting at that moment: what it announced
/// before counts by its hash.
#[test]
fn what_was_announced_stays_so_when_keys_rotate() {
    let place = Place::encrypted();
    backup(&place.open(), 1, &halves(1));
    let packs = place.storage().list("packs/").unwrap();
    for meta in &packs {
        place.open_as_writer().put_mark(&meta.name, true).unwrap();
    }
    place.open().rotate_keys(None, false).unwrap();
    assert_eq!(place.open().announced_packs().unwrap().len(), packs.len());
    let second = backup(&place.open(), 1, &halves(1));
    assert!(second.bytes_added > 700_000, "{second:?}");
}

/// Lists of intents go when they are old and all their packs are gone; a list that names a pack
/// which is still there stays, and marks go with what they mark.
#[test]
fn old_lists_go() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &halves(1));
    let second = backup(&place.open(), 1, &halves(2));
    place.open().forget(first.id).unwrap();
    prune(&place.open(), now());
    let lists = |ending: &str| {
        let listed = place.storage().list("trash/").unwrap();
        listed.iter().filter(|meta| meta.name.ends_with(ending)).count()
    };
    assert_eq!((lists(".marks"), lists(".intents")), (1, 1));
    prune(&place.open(), now());
    assert_eq!((lists(".marks"), lists(".intents")), (0, 1));
    grow_older(&place, "trash/", Duration::from_secs(6 * 24 * 3600));
    prune(&place.open(), now());
    assert_eq!(lists(".intents"), 1);
    grow_older(&place, "trash/", Duration::from_secs(8 * 24 * 3600));
    // A prune that may not touch the pack yet: somebody else's old intent on what lives.
    let pack = place.storage().list("packs/").unwrap().remove(0);
    place.open().put_mark(&pack.name, true).unwrap();
    grow_older(&place, "trash/", Duration::from_secs(8 * 24 * 3600));
    let a_day = PruneOptions { grace: Duration::from_secs(30 * 24 * 3600), ..now() };
    prune(&place.open(), a_day);
    assert_eq!(lists(".intents"), 1, "that of what is gone");
    // What lives was moved; the pack waits.
    prune(&place.open(), now());
    assert_announced_is_gone(&place);
    // Lists that nobody can read.
    let junk = format!("trash/{}/00000000000000ff", only_cluster(&place));
    for ending in [".marks", ".intents"] {
        place.storage().put_if_absent(&format!("{junk}{ending}"), Bytes::from_static(b"x")).unwrap();
    }
    prune(&place.open(), now());
    let is_there = || place.storage().list("trash/").unwrap().iter().any(|meta| meta.name.starts_with(&junk));
    assert!(is_there());
    grow_older(&place, "trash/", Duration::from_secs(31 * 24 * 3600));
    prune(&place.open(), now());
    assert!(!is_there());
    compare(&place.open(), second.id, &halves(2)).unwrap();
    assert_clean(&place.open());
}

/// Every put and every delete of a prune fails once in every way: nothing that a backup needs is
/// lost, and the next prune ends.
#[test]
fn a_prune_may_crash_anywhere() {
    let template = Place::encrypted();
    let repository = template.open();
    let first = backup(&repository, 1, &halves(1));
    let second = backup(&repository, 1, &halves(2));
    repository.forget(first.id).unwrap();
    // Somebody else's intent on a pack that lives, as a pruner that is gone leaves it.
    let pack = template.storage().list("packs/").unwrap().remove(0);
    template.open().put_mark(&pack.name, true).unwrap();
    let copy = |to: &std::path::Path| {
        for meta in template.objects() {
            let file = to.join(&meta.name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, template.storage().get(&meta.name).unwrap()).unwrap();
        }
    };
    let mut tried = 0;
    // Every place takes a minute; in short runs each kind of fault has its own third of them.
    let step = if std::env::var_os("PGARK_TEST_FULL").is_some() { 1 } else { 3 };
    for operation in [Operation::Put, Operation::Delete, Operation::Get, Operation::List] {
        let faults = [Fault::GoneFrom as fn(usize) -> Fault, Fault::FailsAt, Fault::LosesAnswerAt];
        for (number, fault) in faults.into_iter().enumerate() {
            for at in (number % step..).step_by(step) {
                let mut place = Place::plain();
                std::fs::remove_dir_all(place.dir.path().join("repo")).unwrap();
                copy(&place.dir.path().join("repo"));
                place.identity.clone_from(&template.identity);
                let faulty = Arc::new(Faulty::new(place.store(), operation, fault(at)));
                let result = Repository::open(
                    Storage::new(Arc::clone(&faulty) as Arc<dyn Store>, Cancel::new()),
                    place.unlock(),
                    LocalFolders::default(),
                )
                .and_then(|repository| repository.prune(&now(), &|_| {}));
                let what = format!("{operation:?} {at}: {result:?}");
                compare(&place.open(), second.id, &halves(2))
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_clean(&place.open());
                prune(&place.open(), now());
                prune(&place.open(), now());
                compare(&place.open(), second.id, &halves(2))
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_clean(&place.open());
                assert_announced_is_gone(&place);
                assert!(pack_bytes(&place) < pack_bytes(&template) * 2 / 3, "{what}");
                tried += 1;
                if faulty.calls() <= at {
                    assert!(result.is_ok(), "{what}");
                    break;
                }
            }
        }
    }
    assert!(tried > 100 / step, "{tried}");
}

struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Two writers and two pruners without any grace, side by side: every committed backup is whole.
#[test]
fn writers_and_pruners_side_by_side() {
    let seconds = if std::env::var_os("PGARK_TEST_FULL").is_some() { 600 } else { 8 };
    let place = Place::encrypted();
    let until = Instant::now() + Duration::from_secs(seconds);
    let over = AtomicBool::new(false);
    let freed = AtomicU64::new(0);
    let mut written = 0;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|number| {
                let (place, over, freed) = (&place, &over, &freed);
                scope.spawn(move || {
                    // However it ends, the pruners do.
                    let _end = SetAtEnd(over);
                    let mut count = 0u64;
                    let mut kept: Vec<(BackupId, Content)> = Vec::new();
                    // On a busy machine longer: until both sides have done enough, or never will.
                    let enough = |count: u64| count > 5 && freed.load(Ordering::Relaxed) > 10;
                    while Instant::now() < until || !(enough(count) || count > 2_000) {
                        count += 1;
                        let content: Content = vec![
                            ("/a".into(), Class::Data, rows(count % 3, 200_000)),
                            ("/b".into(), Class::Data, rows(number * 1000 + count, 60_000)),
                            ("/map/c".into(), Class::Data, mixed(number * 1000 + count, 90_000)),
                        ];
                        let repository = place.open();
                        match try_backup(&repository, 1, &content, &Cancel::new()) {
                            Ok(head) => kept.push((head.id, content)),
                            Err(error) => panic!("{error}"),
                        }
                        if kept.len() > 2 {
                            let (id, _) = kept.remove(0);
                            repository.forget(id).unwrap();
                        }
                        for (id, content) in &kept {
                            compare(&repository, *id, content).unwrap();
                        }
                    }
                    (count, kept)
                })
            })
            .collect();
        for _ in 0..2 {
            let (place, over, freed) = (&place, &over, &freed);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    freed.fetch_add(prune(&place.open(), now()).packs_deleted, Ordering::Relaxed);
                }
            });
        }
        for writer in writers {
            let (count, kept) = writer.join().unwrap();
            written += count;
            for (id, content) in kept {
                compare(&place.open(), id, &content).unwrap();
            }
        }
    });
    let pruned = freed.into_inner();
    assert!(written > 10 && pruned > 10, "{written} backups, {pruned} packs freed");
    assert_clean(&place.open());
}

#[test]
fn while_something_cannot_be_read_nothing_is_deleted() {
    for folder in ["manifests/", "drafts/"] {
        let place = Place::encrypted();
        let repository = place.open();
        let first = backup(&repository, 1, &halves(1));
        backup(&repository, 1, &halves(2));
        repository.forget(first.id).unwrap();
        let full = pack_bytes(&place);
        let root = place.dir.path().join("repo");
        let mut victims: Vec<String> =
            place.objects().into_iter().map(|meta| meta.name).filter(|name| name.contains(folder)).collect();
        if folder == "drafts/" {
            let drafts = format!("drafts/{}", only_cluster(&place));
            std::fs::create_dir_all(root.join(&drafts)).unwrap();
            victims = vec![format!("{drafts}/0123456789abcdef")];
        }
        for name in victims {
            std::fs::write(root.join(name), b"not what it was").unwrap();
        }
        let bare = place.open_on(Arc::new(place.store()), LocalFolders::default());
        let report = prune(&bare, now());
        assert_eq!(report.held_by.len(), 1, "{folder}: {report:?}");
        assert!(
            report.packs_held > 0 && report.packs_deleted == 0 && report.packs_waiting == 0,
            "{report:?}"
        );
        assert_eq!(pack_bytes(&place), full);
    }
}

#[test]
fn tags_come_and_go() {
    let place = Place::encrypted();
    let repository = place.open();
    let head = backup(&repository, 1, &halves(1));
    assert!(repository.tags().unwrap().is_empty());
    let tags =
        |texts: &[&str]| -> BTreeSet<String> { texts.iter().map(|text| (*text).to_string()).collect() };
    repository.change_tags(head.id, |all| all.extend(tags(&["release", "pinned"]))).unwrap();
    repository.change_tags(head.id, |all| all.retain(|tag| tag != "release")).unwrap();
    assert_eq!(place.open().tags().unwrap().get(&head.id), Some(&tags(&["pinned"])));
    assert_eq!(place.storage().list("tags/").unwrap().len(), 1);
    repository.change_tags(head.id, BTreeSet::clear).unwrap();
    assert!(repository.tags().unwrap().is_empty());
    repository.forget(head.id).unwrap();
    assert!(place.storage().list("tags/").unwrap().is_empty());
    assert!(matches!(repository.change_tags(head.id, |_| {}), Err(RepoError::UnknownBackup { .. })));
}

/// A manifest that somebody kept and put back stays forgotten; a tombstone of a stranger hides
/// nothing.
#[test]
fn replayed_manifests_stay_forgotten() {
    let place = Place::encrypted();
    let repository = place.open();
    let (first, second) = (backup(&repository, 1, &halves(1)), backup(&repository, 1, &halves(2)));
    let manifests: Vec<ObjectMeta> =
        place.objects().into_iter().filter(|meta| meta.name.contains("manifests/")).collect();
    let kept: Vec<(String, Vec<u8>)> =
        manifests.iter().map(|meta| (meta.name.clone(), place.storage().get(&meta.name).unwrap())).collect();
    repository.forget(first.id).unwrap();
    for (name, bytes) in &kept {
        place.storage().put_if_absent(name, bytes.to_vec().into()).unwrap();
    }
    assert_eq!(repository.backups().unwrap(), std::slice::from_ref(&second));
    prune(&repository, now());
    assert_eq!(place.objects().iter().filter(|meta| meta.name.contains("manifests/")).count(), 2);
    let name = kept.iter().find(|(name, _)| name.contains(&second.id.to_string())).unwrap().0.clone();
    let stranger = name.replace("copies/", "").replace("manifests/", "forgotten/");
    let true_one = place.storage().list("forgotten/").unwrap().remove(0).name;
    place.storage().put_if_absent(&stranger, place.storage().get(&true_one).unwrap().into()).unwrap();
    assert_eq!(repository.backups().unwrap(), std::slice::from_ref(&second));
    prune(&repository, now());
    compare(&place.open(), second.id, &halves(2)).unwrap();
}

/// A storage whose clock is off.
struct Shifted<S>(S, i64);

impl<S: Store> Shifted<S> {
    fn shift(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let by = Duration::from_secs(self.1.unsigned_abs());
        meta.modified = if self.1 < 0 { meta.modified - by } else { meta.modified + by };
        meta
    }
}

impl<S: Store> Store for Shifted<S> {
    fn location(&self) -> String {
        self.0.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.0.put_if_absent(name, bytes, cancel)
    }
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.0.get(name, cancel)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.0.get_range(name, offset, len, cancel)
    }
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.0.stat(name, cancel).map(|meta| self.shift(meta))
    }
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        Ok(self.0.list(prefix, cancel)?.into_iter().map(|meta| self.shift(meta)).collect())
    }
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.0.delete(name, cancel)
    }
}

/// Ages come from the storage's clock: a host whose own is an hour off deletes nothing early, and
/// nothing late.
#[test]
fn a_clock_that_is_off_changes_nothing() {
    for hours in [-1, 1] {
        let place = Place::encrypted();
        let repository = place.open_on(Arc::new(Shifted(place.store(), hours * 3600)), place.local());
        let head = backup(&repository, 1, &halves(1));
        repository.forget(head.id).unwrap();
        let half_an_hour = PruneOptions { grace: Duration::from_secs(1800), ..now() };
        assert_eq!(prune(&repository, half_an_hour).packs_deleted, 0);
        assert_eq!(prune(&repository, half_an_hour).packs_deleted, 0);
        // The marks grow old.
        for meta in place.storage().list("trash/").unwrap() {
            let file = std::fs::File::options()
                .write(true)
                .open(place.dir.path().join("repo").join(meta.name))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(1801)).unwrap();
        }
        assert!(prune(&repository, half_an_hour).packs_deleted > 0);
    }
}

#[test]
fn erase_leaves_no_dead_chunk() {
    let place = Place::encrypted();
    let repository = place.open();
    let small: Content = vec![("/a".into(), Class::Data, rows(1, 40_000))];
    let large: Content =
        vec![("/a".into(), Class::Data, rows(1, 40_000)), ("/b".into(), Class::Data, rows(2, 4_000_000))];
    // Both in one pack: little of it dies.
    let all = backup(&repository, 1, &large);
    let rest: Content = vec![("/b".into(), Class::Data, rows(2, 4_000_000))];
    let kept = backup(&repository, 1, &rest);
    drop(small);
    repository.forget(all.id).unwrap();
    let report = prune(&repository, now());
    assert!(report.bytes_live < report.bytes, "{report:?}");
    let erased = prune(&repository, PruneOptions { erase: true, ..now() });
    assert!(erased.packs_repacked > 0, "{erased:?}");
    let after = prune(&repository, PruneOptions { erase: true, ..now() });
    assert_eq!((after.packs_repacked, after.packs_deleted), (0, 0), "{after:?}");
    compare(&place.open(), kept.id, &rest).unwrap();
    assert_clean(&place.open());
}

fn break_pack(place: &Place, largest: bool) -> String {
    let mut packs = place.storage().list("packs/").unwrap();
    packs.sort_by_key(|meta| meta.size);
    let name = if largest { packs.pop().unwrap().name } else { packs.remove(0).name };
    let file = place.dir.path().join("repo").join(&name);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    name
}

/// Rot is noted; the next backup that meets the same rows stores them anew, and the older backup is
/// whole again.
#[test]
fn what_is_rotten_is_not_leaned_on_and_heals() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &halves(1));
    break_pack(&place, true);
    let report = check(&place.open(), CheckLevel::Data);
    assert_eq!((report.problems.len(), report.hurt.len()), (2, 1), "{report:#?}");
    assert_eq!(report.hurt[0].backup, first.id);
    assert_eq!(report.hurt[0].entries.len(), 1, "{report:#?}");
    assert_eq!(place.storage().list("quarantine/").unwrap().len(), 1);
    assert_eq!(place.open().quarantined_backups().unwrap(), BTreeSet::from([first.id]));
    // Noted once.
    check(&place.open(), CheckLevel::Data);
    assert_eq!(place.storage().list("quarantine/").unwrap().len(), 1);
    let second = backup(&place.open(), 1, &halves(1));
    // What a backup puts that finds everything; chunks are as long as a random key wants.
    let nothing_new = backup(&place.open(), 1, &halves(1)).bytes_added;
    assert!((nothing_new + 1000..400_000).contains(&second.bytes_added), "{}", second.bytes_added);
    for id in [first.id, second.id] {
        compare(&place.open(), id, &halves(1)).unwrap();
    }
    assert!(check(&place.open(), CheckLevel::Data).hurt.is_empty());
    assert!(place.open().quarantined_backups().unwrap().is_empty());
    // Prune keeps the good place; the note goes with the pack.
    place.open().forget(first.id).unwrap();
    prune(&place.open(), now());
    compare(&place.open(), second.id, &halves(1)).unwrap();
}

#[test]
fn a_full_backup_leans_on_nothing() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &halves(1));
    let full = WriteOptions { full: true, ..options(1) };
    let (second, ()) = place
        .open()
        .write_backup::<(), RepoError>(&full, |writer| {
            let mut entry = writer.entry("/a", Class::Data);
            let mut stream = entry.stream(Cut::Rows);
            stream.write(&rows(1, 1_500_000))?;
            entry.add(stream.finish()?);
            entry.finish(Vec::new())?;
            let (kind, about) = ("x".into(), Vec::new());
            Ok((NewBackup { kind, complete: true, about, time: None }, ()))
        })
        .unwrap();
    assert!(added(&place.open().open_backup(second.id).unwrap())["/a"] > 100_000);
    assert!(second.bytes_added > first.bytes_added / 3);
}

#[test]
fn an_index_is_made_anew_from_packs_alone() {
    let place = Place::encrypted();
    let (first, second) = (backup(&place.open(), 2, &halves(1)), backup(&place.open(), 2, &halves(2)));
    let root = place.dir.path().join("repo");
    let index = place.storage().list("index/").unwrap();
    std::fs::write(root.join(&index[0].name), b"not what it was").unwrap();
    std::fs::remove_file(root.join(&index[1].name)).unwrap();
    assert!(compare(&place.open(), second.id, &halves(2)).is_err());
    let writer = place.open_as_writer();
    let report = writer.repair_index(&|_, _| {}).unwrap();
    assert_eq!((report.replaced, report.unreadable, report.lost.len()), (1, 1, 0), "{report:?}");
    assert_eq!(report.packs, place.storage().list("packs/").unwrap().len() as u64);
    compare(&place.open(), first.id, &halves(1)).unwrap();
    compare(&place.open(), second.id, &halves(2)).unwrap();
    assert_clean(&place.open());
    // Again: nothing changes.
    let again = writer.repair_index(&|_, _| {}).unwrap();
    assert_eq!((again.packs, again.chunks, again.unreadable), (report.packs, report.chunks, 0));
    assert_clean(&place.open());
}

#[test]
fn a_check_in_part() {
    let place = Place::encrypted();
    backup(&place.open(), 1, &halves(1));
    let old = break_pack(&place, true);
    std::thread::sleep(Duration::from_millis(10));
    let since = jiff::Timestamp::now();
    let second = backup(&place.open(), 1, &vec![("/new".into(), Class::Data, rows(99, 500_000))]);
    let run = |options: CheckOptions| place.open().check(&options, &|_| {}).unwrap();
    let recent = run(CheckOptions { since: Some(since), ..CheckOptions::all(CheckLevel::Data) });
    assert!(recent.problems.is_empty(), "{:#?}", recent.problems);
    let all = run(CheckOptions::all(CheckLevel::Data));
    assert!(all.problems.iter().any(|problem| problem.object == old) && all.bytes > recent.bytes);
    // A third of the packs each time finds it sooner or later, and not always.
    let found = (0..60)
        .filter(|_| {
            !run(CheckOptions { percent: 33, ..CheckOptions::all(CheckLevel::Data) }).problems.is_empty()
        })
        .count();
    assert!((3..50).contains(&found), "{found} of 60");
    compare(&place.open(), second.id, &vec![("/new".into(), Class::Data, rows(99, 500_000))]).unwrap();
}

/// What is damaged may be all that is left of a backup: a prune leaves it, and says what it can.
#[test]
fn a_damaged_pack_that_is_needed_stays() {
    let place = Place::encrypted();
    let (first, second) = (backup(&place.open(), 1, &halves(1)), backup(&place.open(), 1, &halves(2)));
    let root = place.dir.path().join("repo");
    let packs = place.storage().list("packs/").unwrap();
    let largest = packs.iter().max_by_key(|meta| meta.size).unwrap();
    let bytes = std::fs::read(root.join(&largest.name)).unwrap();
    std::fs::write(root.join(&largest.name), &bytes[..bytes.len() - 100]).unwrap();
    for options in [now(), PruneOptions { erase: true, ..now() }] {
        prune(&place.open(), options);
        assert_eq!(place.storage().list("packs/").unwrap().len(), packs.len());
    }
    // Whole again, as from a copy of the storage, everything is back.
    std::fs::write(root.join(&largest.name), bytes).unwrap();
    compare(&place.open(), first.id, &halves(1)).unwrap();
    compare(&place.open(), second.id, &halves(2)).unwrap();
}

/// A later version may keep what needs packs in folders of its own: their names are like ours. What
/// is called otherwise is somebody else's.
#[test]
fn a_folder_that_is_not_known_is_refused() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &vec![("/a".into(), Class::Data, rows(1, 100_000))]);
    backup(&place.open(), 1, &vec![("/a".into(), Class::Data, rows(2, 100_000))]);
    place.open().forget(first.id).unwrap();
    let root = place.dir.path().join("repo");
    let put = |name: &str| {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), b"x").unwrap();
    };
    let names = || place.objects().into_iter().map(|meta| meta.name).collect::<Vec<_>>();
    for folder in ["segments", "pages", "checks", "runs", "later-2"] {
        put(&format!("{folder}/a/b"));
        let before = names();
        for dry_run in [true, false] {
            let options = PruneOptions { grace: Duration::ZERO, dry_run, ..PruneOptions::default() };
            let refused = place.open().prune(&options, &|_| {});
            let Err(RepoError::UnknownFolders { folders, .. }) = &refused else { panic!("{refused:?}") };
            assert_eq!(folders, folder);
        }
        assert_eq!(names(), before);
        // An empty folder holds nothing that needs anything.
        std::fs::remove_file(root.join(folder).join("a/b")).unwrap();
    }
    for litter in [
        "lost+found/x",
        ".git/x",
        "@eaDir/x",
        "old.bak/x",
        "a_b/x",
        "Backup/x",
        "wal.txt",
        "notes",
        "wal/.x",
        "wal/a/b",
    ] {
        put(litter);
    }
    let report =
        place.open().prune(&PruneOptions { grace: Duration::ZERO, ..PruneOptions::default() }, &|_| {});
    assert!(report.unwrap().packs_deleted > 0);
}
