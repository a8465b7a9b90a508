//! Random damage to any stored object: found by the check, or by reading, and never wrong data.
//!
//! 300 faults in every run, 10,000 with `PGARK_TEST_FULL=1`. The rows of the table that `./test`
//! prints are left in `target/tmp/faults/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use pgark_repo::*;
use pgark_store::{Fault, Faulty, Operation};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// What an object is, by its place: damage to the first kinds must be found, to the others found or
/// harmless.
fn kind(root: &Path, path: &Path) -> &'static str {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
    let kinds = [
        "packs",
        "index",
        "manifests",
        "copies",
        "keys-copy",
        "keys",
        "pgark.json",
        "sessions",
        "drafts",
        "trash",
        "forgotten",
        "tags",
        "quarantine",
        "writers",
    ];
    kinds
        .into_iter()
        .find(|kind| name.starts_with(kind))
        .unwrap_or_else(|| panic!("{name} is of no known kind"))
}

fn harmless(kind: &str) -> bool {
    matches!(kind, "sessions" | "drafts" | "trash" | "quarantine")
}

/// Two backups, a third that broke off after its packs, and objects of the first that nothing needs
/// any more.
fn place() -> (Place, Vec<(BackupId, Content)>, Vec<PathBuf>) {
    let place = Place::encrypted();
    // What a writer would take away at its end stays, as after a kill.
    let no_deletes = Faulty::new(place.store(), Operation::Delete, Fault::GoneFrom(0));
    let repository = place.open_on(Arc::new(no_deletes), place.local());
    let mut known = Vec::new();
    for seed in [1, 2] {
        let content: Content = vec![
            ("/db/shop/data/1".into(), Class::Data, rows(seed, 600_000)),
            ("/db/shop/data/2".into(), Class::Data, rows(7, 200_000)),
            ("/map/3".into(), Class::Data, mixed(seed, 400_000)),
            ("/list".into(), Class::Metadata, rows(seed + 10, 60_000)),
        ];
        known.push((backup(&repository, 1, &content).id, content));
    }
    // One forgotten in the middle (its manifest stays, as after a crash behind the tombstone),
    // tags, a mark, a list more.
    let names = || -> Vec<String> { place.objects().into_iter().map(|meta| meta.name).collect() };
    let before_it = names();
    let gone = backup(&repository, 1, &vec![("/gone".into(), Class::Data, rows(20, 300_000))]);
    let of_it: Vec<String> = names().into_iter().filter(|name| !before_it.contains(name)).collect();
    known.push((backup(&repository, 1, &known[0].1).id, known[0].1.clone()));
    let _ = repository.forget(gone.id);
    for (id, _) in &known {
        repository.change_tags(*id, |tags| tags.extend(["monday".to_string()])).unwrap();
    }
    repository.add_writer("db7", None, &Right::ALL).unwrap();
    let committed: Vec<PathBuf> = names()
        .into_iter()
        .filter(|name| !of_it.contains(name))
        .map(|name| place.dir.path().join("repo").join(name))
        .collect();
    let day = PruneOptions {
        grace: std::time::Duration::from_secs(86_400),
        repack_below: 80,
        erase: false,
        dry_run: false,
    };
    let _ = place.open_on(Arc::new(place.store()), place.local()).prune(&day, &|_| {});
    let pack = place.storage().list("packs/").unwrap().remove(0).name;
    let parts: Vec<&str> = pack.split('/').collect();
    let record = format!("quarantine/{}/{}/0123456789abcdef", parts[1], parts[3]);
    place.storage().put_if_absent(&record, "rot".into()).unwrap();
    let before_the_end = Faulty::new(place.store(), Operation::Put, Fault::GoneFrom(3));
    let broken = place.open_on(Arc::new(before_the_end), place.local());
    let content: Content = vec![("/db/shop/data/1".into(), Class::Data, rows(3, 600_000))];
    assert!(try_backup(&broken, 1, &content, &Cancel::new()).is_err());
    (place, known, committed)
}

#[test]
fn any_object_damaged_in_any_way() {
    let full = std::env::var_os("PGARK_TEST_FULL").is_some_and(|value| value == "1");
    let faults = if full { 10_000 } else { 300 };
    let (place, known, committed) = place();
    let root = place.dir.path().join("repo");
    let mut by_kind: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
    for meta in place.objects() {
        let path = root.join(meta.name);
        by_kind.entry(kind(&root, &path)).or_default().push(path);
    }
    assert!(by_kind.len() >= 8, "{:?}", by_kind.keys());
    let kinds: Vec<&'static str> = by_kind.keys().copied().collect();
    let mut random = Random(0x5eed_0001);
    let mut found: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for number in 0..faults {
        let kind = kinds[random.below(kinds.len())];
        let path = &by_kind[kind][random.below(by_kind[kind].len())];
        let good = std::fs::read(path).unwrap();
        let twin = &by_kind[kind][random.below(by_kind[kind].len())];
        let (damage, bytes): (&str, Option<Vec<u8>>) = match random.below(6) {
            0 => {
                let mut torn = good.clone();
                let at = random.below(torn.len());
                torn[at] ^= 1 << random.below(8);
                ("a flipped bit", Some(torn))
            }
            1 => ("cut off", Some(good[..random.below(good.len())].to_vec())),
            2 => ("gone", None),
            3 => (
                "longer",
                Some([good.as_slice(), &vec![random.below(256) as u8; 1 + random.below(500)]].concat()),
            ),
            4 => ("another of its kind", Some(std::fs::read(twin).unwrap())),
            _ => {
                let mut torn = good.clone();
                let (from, len) = (random.below(torn.len()), 1 + random.below(4096));
                let end = (from + len).min(torn.len());
                torn[from..end].fill(0);
                ("zeroes", Some(torn))
            }
        };
        if bytes.as_deref() == Some(good.as_slice()) {
            continue;
        }
        std::fs::remove_file(path).unwrap();
        let gone = bytes.is_none();
        if let Some(bytes) = bytes {
            std::fs::write(path, bytes).unwrap();
        }
        let what = format!("fault {number}: {} {damage}", path.display());
        let local = LocalFolders { cache: None, state: place.local().state };
        let store: Arc<dyn Store> = Arc::new(place.store());
        let count = found.entry(kind).or_default();
        count.0 += 1;
        match Repository::open(Storage::new(store, Cancel::new()), place.unlock(), local) {
            Err(error) => {
                // The header in both copies cannot be damaged at once here; a slot has its copy.
                panic!("{what}: the repository does not open: {error}");
            }
            Ok(repository) => {
                let report = check(&repository, CheckLevel::Data);
                let told = !report.problems.is_empty();
                // Either an error or the right bytes: `compare` panics on wrong ones.
                let read = known.iter().all(|(id, content)| compare(&repository, *id, content).is_ok());
                // Objects of the broken-off backup that no index names are garbage, whole or not;
                // so are a missing second copy of a manifest, and slots that are gone from one
                // folder (told all the same).
                let needed = committed.contains(path) && !harmless(kind);
                // Nor do tags that are gone show, nor a tombstone whose manifest stands.
                let lost_copy = gone && matches!(kind, "copies" | "tags" | "forgotten");
                assert!(told || !needed || lost_copy, "{what}: not found by the check");
                assert!(read || told, "{what}: not readable, and the check says nothing");
                count.1 += usize::from(told);
                count.2 += usize::from(read);
            }
        }
        let _ = std::fs::remove_file(path);
        std::fs::write(path, &good).unwrap();
    }
    assert_clean(&place.open());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    std::fs::create_dir_all(&folder).unwrap();
    let rows: Vec<String> = found
        .iter()
        .map(|(kind, (faults, told, read))| {
            format!("| stored objects: {kind} | {faults} | {told} found by check, {read} harmless to readers; never wrong data |\n")
        })
        .collect();
    std::fs::write(folder.join("stored objects.md"), rows.concat()).unwrap();
}
