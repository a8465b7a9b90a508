//! What cannot be read is in nobody else's way; what is kept twice is mended; files of others are
//! nobody's business.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use common::*;
use pgark_repo::*;
use pgark_store::{Capabilities, ObjectMeta, PutOutcome, StoreError};

fn small(seed: u64) -> Content {
    vec![
        ("/a".into(), Class::Data, rows(seed, 200_000)),
        ("/map/b".into(), Class::Data, mixed(seed, 150_000)),
        ("/list".into(), Class::Metadata, rows(seed + 50, 2000)),
    ]
}

fn now() -> PruneOptions {
    PruneOptions { grace: Duration::ZERO, ..PruneOptions::default() }
}

fn prune(repository: &Repository) -> PruneReport {
    repository.prune(&now(), &|_| {}).unwrap()
}

fn add(tags: &mut BTreeSet<String>, tag: &str) {
    tags.insert(tag.into());
}

/// As another host sees it, which remembers nothing.
fn stranger(place: &Place) -> Repository {
    place.open_on(Arc::new(place.store()), LocalFolders::default())
}

fn root(place: &Place) -> PathBuf {
    place.dir.path().join("repo")
}

fn named(place: &Place, part: &str, id: BackupId) -> Vec<String> {
    let names = place.objects().into_iter().map(|meta| meta.name);
    names.filter(|name| name.contains(part) && name.contains(&id.to_string())).collect()
}

/// Objects are younger than a second copy takes: make them old.
fn age(place: &Place) {
    for meta in place.objects() {
        let file = std::fs::File::options().append(true).open(root(place).join(meta.name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }
}

/// A manifest that is rotten in both copies: everything else goes on, and nothing that it may need
/// is deleted.
#[test]
fn a_rotten_manifest_is_set_aside() {
    for rot in [b"".as_slice(), b"rot", b"pgark\x06\x07\x00 of a newer program"] {
        let place = Place::encrypted();
        let heads: Vec<BackupHead> = (1..=4).map(|seed| backup(&place.open(), 1, &small(seed))).collect();
        for name in named(&place, "manifests/", heads[1].id) {
            std::fs::write(root(&place).join(name), rot).unwrap();
        }
        let repository = stranger(&place);
        assert_eq!(repository.backups().unwrap(), [heads[0].clone(), heads[2].clone(), heads[3].clone()]);
        for at in [0, 2, 3] {
            compare(&repository, heads[at].id, &small(at as u64 + 1)).unwrap();
        }
        assert!(repository.open_backup(heads[1].id).unwrap_err().is_of_object());
        assert_eq!(repository.set_aside().unwrap()[0].0, heads[1].id);
        // Who is forgotten is forgotten; what it held may be the rotten one's, and stays.
        repository.forget(heads[0].id).unwrap();
        let report = prune(&repository);
        assert!(
            report.packs_held > 0 && report.packs_deleted == 0 && report.held_by.len() == 1,
            "{report:?}"
        );
        let fifth = backup(&stranger(&place), 1, &small(5));
        compare(&stranger(&place), fifth.id, &small(5)).unwrap();
        repository.contents().unwrap();
        let report = check(&repository, CheckLevel::Data);
        assert!(report.problems.iter().all(|problem| problem.object.contains(&heads[1].id.to_string())));
        assert!(report.hurt.iter().any(|hurt| hurt.backup == heads[1].id && hurt.whole));
        // `mend` cannot know whose it was. Letting go of it is for people to say.
        let mended = repository.mend(false).unwrap();
        assert_eq!((mended.removed.len(), mended.left.len()), (0, 1), "{mended:?}");
        repository.forget(heads[1].id).unwrap();
        let report = prune(&stranger(&place));
        assert!(report.packs_deleted > 0 && report.held_by.is_empty(), "{report:?}");
        for (at, seed) in [(2, 3), (3, 4)] {
            compare(&stranger(&place), heads[at].id, &small(seed)).unwrap();
        }
        assert_clean(&stranger(&place));
    }
}

/// A host that has read the manifest before knows what it needs: it prunes, and keeps exactly that.
#[test]
fn who_remembers_a_rotten_manifest_prunes() {
    let place = Place::encrypted();
    let heads: Vec<BackupHead> = (1..=3).map(|seed| backup(&place.open(), 1, &small(seed))).collect();
    assert_eq!(place.open().backups().unwrap().len(), 3);
    let kept: Vec<(PathBuf, Vec<u8>)> = named(&place, "manifests/", heads[1].id)
        .into_iter()
        .map(|name| root(&place).join(name))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    for (path, _) in &kept {
        std::fs::write(path, b"rot").unwrap();
    }
    place.open().forget(heads[0].id).unwrap();
    let report = prune(&place.open());
    assert!(report.held_by.is_empty() && report.packs_deleted > 0, "{report:?}");
    for (path, bytes) in &kept {
        std::fs::write(path, bytes).unwrap();
    }
    compare(&stranger(&place), heads[1].id, &small(2)).unwrap();
    assert_clean(&stranger(&place));
}

/// A file that somebody copied or renamed: it opens as the manifest that it is, so that it is
/// nobody's under this name.
#[test]
fn a_manifest_under_another_name_is_nobodys() {
    for place in [Place::encrypted(), Place::plain()] {
        let heads: Vec<BackupHead> = (1..=3).map(|seed| backup(&place.open(), 1, &small(seed))).collect();
        let name = named(&place, "manifests/", heads[0].id)
            .into_iter()
            .find(|name| !name.contains("copies"))
            .unwrap();
        let id = heads[0].id.to_string();
        let bytes = std::fs::read(root(&place).join(&name)).unwrap();
        // Under another id; and under the same id at another place, which must not be taken for the
        // backup.
        let strays = [
            name.replace(&id, "0123456789abcdef"),
            name.replace("0000000000000001-", "0000000000000000-"),
            name.replace("0000000000000001-", "0000000000000099-"),
        ];
        for stray in &strays {
            std::fs::write(root(&place).join(stray), &bytes).unwrap();
        }
        let repository = stranger(&place);
        assert_eq!(repository.backups().unwrap(), heads);
        compare(&repository, heads[0].id, &small(1)).unwrap();
        repository.forget(heads[1].id).unwrap();
        assert!(prune(&repository).packs_deleted > 0);
        let fourth = backup(&stranger(&place), 1, &small(4));
        let dry = repository.mend(true).unwrap();
        let mended = repository.mend(false).unwrap();
        assert_eq!(dry, mended);
        let removed: BTreeSet<String> = mended.removed.into_iter().map(|(name, _)| name).collect();
        assert_eq!(removed, strays.iter().cloned().collect());
        let fresh = stranger(&place);
        assert_eq!(fresh.backups().unwrap(), [heads[0].clone(), heads[2].clone(), fourth]);
        assert_clean(&fresh);
    }
}

/// Index objects and drafts that cannot be read: a prune goes on as far as it is safe.
#[test]
fn a_rotten_index_object_keeps_what_only_it_names() {
    let place = Place::encrypted();
    let heads: Vec<BackupHead> = (1..=3).map(|seed| backup(&place.open(), 1, &small(seed))).collect();
    let index = place.storage().list("index/").unwrap();
    for stray in [index[1].name.clone(), format!("index/{}/{}", only_cluster(&place), "5c".repeat(32))] {
        std::fs::write(root(&place).join(stray), b"pgark\x03\x09\x00").unwrap();
    }
    let packs = || place.storage().list("packs/").unwrap().len();
    let before = packs();
    let repository = stranger(&place);
    repository.forget(heads[2].id).unwrap();
    prune(&repository);
    assert!(packs() <= before);
    repository.repair_index(&|_, _| {}).unwrap();
    for (at, seed) in [(0, 1), (1, 2)] {
        compare(&stranger(&place), heads[at].id, &small(seed)).unwrap();
    }
    assert_clean(&stranger(&place));
    // A draft of a backup that was written pins nothing, rotten or not.
    let drafts = root(&place).join("drafts").join(only_cluster(&place));
    std::fs::create_dir_all(&drafts).unwrap();
    std::fs::write(drafts.join(heads[0].id.to_string()), b"rot").unwrap();
    repository.forget(heads[1].id).unwrap();
    let report = prune(&repository);
    assert!(report.held_by.is_empty() && report.packs_deleted > 0, "{report:?}");
    assert_eq!(repository.mend(false).unwrap().removed.len(), 1);
    compare(&stranger(&place), heads[0].id, &small(1)).unwrap();
}

/// Whatever is kept twice is missed by the check when one copy is gone or rotten, and put back by
/// `mend`; a prune puts what is gone.
#[test]
fn second_copies_are_missed_and_mended() {
    for gone in [true, false] {
        let place = Place::encrypted();
        let head = backup(&place.open(), 1, &small(1));
        place.open().change_tags(head.id, |tags| add(tags, "pinned")).unwrap();
        let twice: Vec<String> = place
            .objects()
            .into_iter()
            .map(|meta| meta.name)
            .filter(|name| {
                ["copies/", "keys", "pgark.json", "manifests/", "tags/", "writers/"]
                    .iter()
                    .any(|part| name.starts_with(part))
            })
            .collect();
        assert_eq!(twice.len(), 10, "{twice:?}");
        assert_clean(&stranger(&place));
        age(&place);
        for name in &twice {
            let path = root(&place).join(name);
            let good = std::fs::read(&path).unwrap();
            let repository = stranger(&place);
            match gone {
                true => std::fs::remove_file(&path).unwrap(),
                false => std::fs::write(&path, b"rot").unwrap(),
            }
            let report = check(&repository, CheckLevel::Structure);
            assert!(report.problems.iter().any(|problem| problem.object == *name), "{name}: {report:#?}");
            compare(&stranger(&place), head.id, &small(1)).unwrap();
            assert!(
                stranger(&place).tags().unwrap().get(&head.id).is_some_and(|tags| tags.contains("pinned"))
            );
            if gone && name.contains('e') && name.len() % 2 == 0 {
                assert_eq!(prune(&repository).copies_put, 1, "{name}");
            } else {
                assert_eq!(repository.mend(false).unwrap().put, std::slice::from_ref(name));
            }
            assert_eq!(std::fs::read(&path).unwrap(), good, "{name}");
            age(&place);
            assert_clean(&stranger(&place));
        }
    }
}

/// Tags that cannot be read in either copy are not taken for none.
#[test]
fn rotten_tags_are_known_to_be_unreadable() {
    let place = Place::encrypted();
    let head = backup(&place.open(), 1, &small(1));
    let repository = place.open();
    repository.change_tags(head.id, |tags| add(tags, "pinned")).unwrap();
    for name in named(&place, "tags/", head.id) {
        std::fs::write(root(&place).join(name), b"rot").unwrap();
    }
    let tags = stranger(&place).tags().unwrap();
    assert!(tags.get(&head.id).is_none() && tags.unreadable(&head.id).is_some() && !tags.is_empty());
    let report = check(&repository, CheckLevel::Structure);
    assert!(report.problems.iter().all(|problem| problem.backups == [head.id]), "{report:#?}");
    assert_eq!(report.problems.len(), 2, "{report:#?}");
    // Somebody says what they are.
    repository.change_tags(head.id, BTreeSet::clear).unwrap();
    assert!(stranger(&place).tags().unwrap().is_empty());
    assert_clean(&stranger(&place));
}

/// Litter in every folder: no command minds it, no prune removes it, and the check names it once.
#[test]
fn files_of_others_are_left_alone() {
    let place = Place::encrypted();
    let first = backup(&place.open(), 1, &small(1));
    let second = backup(&place.open(), 1, &small(2));
    place.open().change_tags(first.id, |tags| add(tags, "x")).unwrap();
    place.open().forget(first.id).unwrap();
    prune(&place.open());
    for folder in ["drafts", "sessions", "trash", "quarantine", "probe", "sessions/0123456789abcdef", "tags"]
    {
        std::fs::create_dir_all(root(&place).join(folder)).unwrap();
    }
    let mut folders = vec![root(&place)];
    let mut litter: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        let mut first_file = None;
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().is_dir() {
                // A storage's own folder, which it sweeps.
                folders.extend(Some(entry.path()).filter(|path| !path.ends_with(".tmp")));
            } else {
                first_file = Some(entry.path());
            }
        }
        for name in ["desktop.ini", ".DS_Store", "Thumbs.db", ".nfs000001", "._x", "ehthumbs.db"] {
            litter.push(folder.join(name));
            std::fs::write(litter.last().unwrap(), b"litter").unwrap();
        }
        std::fs::create_dir_all(folder.join("@eaDir")).unwrap();
        litter.push(folder.join("@eaDir/x"));
        std::fs::write(folder.join("@eaDir/x"), b"litter").unwrap();
        if let Some(file) = first_file {
            for end in [".bak", ".sync-conflict-20260101-101010-abc", "~"] {
                let copy = PathBuf::from(format!("{}{end}", file.display()));
                std::fs::copy(&file, &copy).unwrap();
                litter.push(copy);
            }
        }
    }
    for path in &litter {
        let old = SystemTime::now() - Duration::from_secs(60 * 24 * 3600);
        std::fs::File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let repository = stranger(&place);
    assert_eq!(repository.backups().unwrap(), std::slice::from_ref(&second));
    compare(&repository, second.id, &small(2)).unwrap();
    let report = check(&repository, CheckLevel::Data);
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    let told: BTreeSet<&String> = report.foreign.iter().collect();
    assert_eq!(told.len(), report.foreign.len());
    for name in ["desktop.ini", "drafts/desktop.ini", ".DS_Store", "@eaDir/", "packs/@eaDir/"] {
        assert!(told.contains(&name.to_string()), "{name}: {told:#?}");
    }
    let third = backup(&repository, 1, &small(3));
    repository.forget(second.id).unwrap();
    repository.change_tags(third.id, |tags| add(tags, "y")).unwrap();
    let report = prune(&repository);
    assert!(report.packs_deleted > 0 && report.held_by.is_empty(), "{report:?}");
    repository.repair_index(&|_, _| {}).unwrap();
    assert_eq!(repository.mend(false).unwrap(), Mended::default());
    repository.contents().unwrap();
    assert!(repository.quarantined_backups().unwrap().is_empty());
    compare(&stranger(&place), third.id, &small(3)).unwrap();
    assert_clean(&stranger(&place));
    let removed: Vec<&PathBuf> = litter.iter().filter(|path| !path.exists()).collect();
    assert!(removed.is_empty(), "{removed:?}");
}

/// Calls something at one call of the storage.
struct Meddling<'m> {
    store: pgark_store::DirStore,
    calls: AtomicUsize,
    at: usize,
    meddle: Box<dyn Fn() + Send + Sync + 'm>,
}

impl Meddling<'_> {
    fn call(&self) {
        if self.calls.fetch_add(1, Ordering::SeqCst) == self.at {
            (self.meddle)();
        }
    }
}

impl Store for Meddling<'static> {
    fn location(&self) -> String {
        self.store.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.store.put_if_absent(name, bytes, cancel)
    }
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.call();
        self.store.get(name, cancel)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.call();
        self.store.get_range(name, offset, len, cancel)
    }
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.call();
        self.store.stat(name, cancel)
    }
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.call();
        self.store.list(prefix, cancel)
    }
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.store.delete(name, cancel)
    }
}

/// At any call of a check a backup is forgotten, the repository pruned with everything packed anew,
/// the tags changed, and another backup made on this very host: nothing of that is a problem.
#[test]
fn a_check_beside_others_tells_nothing_of_what_they_do() {
    let mut at = 0;
    loop {
        let place = Arc::new(Place::plain());
        let heads: Vec<BackupHead> = (1..=2).map(|seed| backup(&place.open(), 1, &small(seed))).collect();
        for head in &heads {
            place.open().change_tags(head.id, |tags| add(tags, "x")).unwrap();
        }
        age(&place);
        let other = Arc::clone(&place);
        let (first, second) = (heads[0].id, heads[1].id);
        let meddle = move || {
            let repository = other.open();
            repository.forget(first).unwrap();
            repository.change_tags(second, |tags| add(tags, "z")).unwrap();
            let options = PruneOptions { erase: true, repack_below: 100, ..now() };
            repository.prune(&options, &|_| {}).unwrap();
            backup(&repository, 1, &small(3));
        };
        let store =
            Meddling { store: place.store(), calls: AtomicUsize::new(0), at, meddle: Box::new(meddle) };
        let store = Arc::new(store);
        let repository = place.open_on(Arc::clone(&store) as Arc<dyn Store>, place.local());
        let report = check(&repository, CheckLevel::Data);
        assert!(report.problems.is_empty(), "at call {at}: {:#?}", report.problems);
        assert!(report.hurt.is_empty() && place.storage().list("quarantine/").unwrap().is_empty());
        if store.calls.load(Ordering::SeqCst) <= at {
            assert!(at > 30, "only {at} calls were seen");
            return;
        }
        at += if at < 40 { 1 } else { 3 };
    }
}

/// Damage is still told while others write all the time.
#[test]
fn a_check_beside_others_tells_damage() {
    let place = Place::encrypted();
    let head = backup(&place.open(), 1, &small(1));
    let pack = place.storage().list("packs/").unwrap().into_iter().max_by_key(|meta| meta.size).unwrap().name;
    let path = root(&place).join(&pack);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for seed in 100.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let other: Content = vec![("/other".into(), Class::Data, rows(seed, 3000))];
                backup(&place.open(), 1, &other);
            }
        });
        let report = check(&place.open(), CheckLevel::Data);
        over.store(true, Ordering::Relaxed);
        assert!(report.problems.iter().any(|problem| problem.object == pack), "{:#?}", report.problems);
        assert!(report.hurt.iter().any(|hurt| hurt.backup == head.id), "{:#?}", report.hurt);
    });
}
