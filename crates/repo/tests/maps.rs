//! Maps: what they share, what they keep apart, and what is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use pgark_repo::*;

/// Path, identity, mask domain, rows.
type Set<'s> = (&'s str, [u8; 16], Vec<u8>, &'s [u8]);

/// A backup of these rows, each set under a map of its own identity and mask domain. Returns what
/// each added.
fn write(repository: &Repository, sets: &[Set<'_>]) -> (BackupHead, Vec<u64>) {
    let written = repository.write_backup(&options(1), |writer| {
        for (path, identity, domain, bytes) in sets {
            let target = MapTarget { identity: *identity, domain: domain.clone(), from: 0 };
            let mut map = writer.map(Rows, target);
            for row in bytes.split_inclusive(|byte| *byte == b'\n') {
                let hash = map.hasher().hash(row);
                map.add(row, hash)?;
            }
            let mut entry = writer.entry(*path, Class::Data);
            entry.add(map.finish(&[], 0)?);
            entry.finish(b"{}".to_vec())?;
        }
        let (kind, about) = ("logical".into(), b"{}".to_vec());
        Ok::<_, RepoError>((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    let (written, ()) = written.unwrap();
    let added = added(&repository.open_backup(written.id).unwrap());
    (written, sets.iter().map(|(path, ..)| added[*path]).collect())
}

#[test]
fn mask_domains_share_nothing() {
    for place in [Place::encrypted(), Place::plain()] {
        let repository = place.open();
        let rows = rows(1, 800_000);
        let sets: [Set<'_>; 4] = [
            ("/map/plain", [1; 16], Vec::new(), &rows),
            ("/map/again", [2; 16], Vec::new(), &rows),
            ("/map/masked", [3; 16], vec![7; 16], &rows),
            ("/map/otherwise", [4; 16], vec![8; 16], &rows),
        ];
        let (head, added) = write(&repository, &sets);
        // Another identity alone is no reason to store equal bytes twice; another mask is.
        assert!(added[1] < 1000, "{added:?}");
        assert!(added[2] > added[0] * 9 / 10 && added[3] > added[0] * 9 / 10, "{added:?}");
        let content = sets.iter().map(|(path, ..)| (path.to_string(), Class::Data, rows.clone())).collect();
        compare(&repository, head.id, &content).unwrap();
        assert_clean(&repository);
        // And both survive what moves chunks and looks into them.
        let extra = backup(&repository, 1, &vec![("/own".into(), Class::Data, common::rows(5, 3_000_000))]);
        repository.forget(extra.id).unwrap();
        let options =
            PruneOptions { grace: std::time::Duration::ZERO, repack_below: 99, ..PruneOptions::default() };
        repository.prune(&options, &|_| {}).unwrap();
        repository.repair_index(&|_, _| {}).unwrap();
        compare(&place.open(), head.id, &content).unwrap();
        assert_clean(&place.open());
    }
}

/// Item lists are found again under the keys of the writer alone, and nothing else of the rows is.
#[test]
fn a_writer_key_suffices_to_lean_on_a_map() {
    let place = Place::encrypted();
    let content = |seed| vec![("/map/t".to_string(), Class::Data, mixed(seed, 900_000))];
    let first = backup(&place.open_as_writer(), 1, &content(1));
    let second = backup(&place.open_as_writer(), 1, &content(2));
    assert!(second.bytes_added * 4 < first.bytes_added, "{} of {}", second.bytes_added, first.bytes_added);
    assert!(matches!(
        {
            let writer = place.open_as_writer();
            writer.reader(&writer.backups().unwrap()[0]).map(drop)
        },
        Err(RepoError::NeedsReaderSecret)
    ));
    for (head, seed) in [(first, 1), (second, 2)] {
        compare(&place.open(), head.id, &content(seed)).unwrap();
    }
    assert_clean(&place.open());
}

/// What this host keeps of maps may be damaged, old or gone.
#[test]
fn a_damaged_local_cache_costs_nothing_but_time() {
    let place = Place::encrypted();
    let content = |seed| vec![("/map/t".to_string(), Class::Data, mixed(seed, 900_000))];
    backup(&place.open(), 1, &content(1));
    let mut files = 0;
    for folder in std::fs::read_dir(place.dir.path().join("cache")).unwrap().flatten() {
        if folder.file_name().to_string_lossy().starts_with("items-") {
            for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
                for file in std::fs::read_dir(entry.path()).unwrap().flatten() {
                    let mut bytes = std::fs::read(file.path()).unwrap();
                    bytes[0] ^= 1;
                    std::fs::write(file.path(), bytes).unwrap();
                    files += 1;
                }
            }
        }
    }
    assert!(files >= 3, "a map, a group and a list are kept: {files}");
    let second = backup(&place.open(), 1, &content(2));
    assert!(second.bytes_added < 100_000, "{}", second.bytes_added);
    compare(&place.open(), second.id, &content(2)).unwrap();
}

/// A map goes into another repository with what it keeps, under the other's keys, and the next one
/// stores only what is new there.
#[test]
fn maps_are_copied_as_maps() {
    let (place, other) = (Place::encrypted(), Place::encrypted());
    let content = |seed| vec![("/map/t".to_string(), Class::Data, mixed(seed, 900_000))];
    let (repository, target) = (place.open(), other.open());
    let mut added = Vec::new();
    for seed in 1..4 {
        let head = backup(&repository, 1, &content(seed));
        let opened = repository.open_backup(head.id).unwrap();
        let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
        let (copy, ()) = target
            .write_backup(&options(1), |writer| {
                let entry = opened.entries().next().unwrap()?;
                writer.copy_entry(&reader, &entry, Vec::new(), Cut::Rows, &mut |_| {})?;
                let (kind, about) = ("logical".into(), b"{}".to_vec());
                Ok::<_, RepoError>((NewBackup { kind, complete: true, about, time: None }, ()))
            })
            .unwrap();
        compare(&target, copy.id, &content(seed)).unwrap();
        added.push(copy.bytes_added);
    }
    assert!(added[1] * 3 < added[0] && added[2] * 3 < added[0], "{added:?}");
    assert_clean(&other.open());
    // A copy has no item lists: the first backup behind it stores its rows whole, the next leans on
    // that.
    let units = |bytes: u64| bytes * 3 < added[0];
    backup(&target, 1, &content(5));
    assert!(units(backup(&target, 1, &content(6)).bytes_added));
}

/// The hash is the one that FORMAT.md names: the reference implementation's test vectors.
#[test]
fn item_hashes_are_siphash() {
    use siphasher::sip128::SipHasher24;
    let key: Vec<u8> = (0..16).collect();
    let hasher = SipHasher24::new_with_key(key.as_slice().try_into().unwrap());
    let empty =
        [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93];
    assert_eq!(hasher.hash(&[]).as_bytes(), empty);
    assert_eq!(hasher.hash(&[]).as_u128(), u128::from_le_bytes(empty));
    let one =
        [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45];
    assert_eq!(hasher.hash(&[0]).as_bytes(), one);
}

/// A writer leans on the newest backup that can be read; one whose manifest rotted in both copies
/// is no reason to fail.
#[test]
fn a_rotten_manifest_is_passed_over() {
    let place = Place::encrypted();
    let content = |seed| vec![("/map/t".to_string(), Class::Data, mixed(seed, 400_000))];
    let repository = place.open();
    let first = backup(&repository, 1, &content(1));
    let second = backup(&repository, 1, &content(2));
    for meta in place.objects() {
        if meta.name.ends_with(&second.id.to_string()) && meta.name.contains("manifests/") {
            let path = place.dir.path().join("repo").join(&meta.name);
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let fresh = place.open_on(std::sync::Arc::new(place.store()), LocalFolders::default());
    let newest: Vec<BackupId> = fresh.newest_backups("shop", 9).unwrap().iter().map(|head| head.id).collect();
    assert_eq!(newest, [first.id]);
    assert!(fresh.newest_backups("other", 9).unwrap().is_empty());
    let third = backup(&fresh, 1, &content(3));
    compare(&fresh, third.id, &content(3)).unwrap();
}
