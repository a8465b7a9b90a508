//! Storages that fail, jobs that are stopped, bytes that rot: no backup is ever wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::*;
use pgark_repo::*;
use pgark_store::{Fault, Faulty, Operation};

/// Every put fails once in every way: before the commit there is no backup, and the next one works.
#[test]
fn a_crash_at_any_put_is_harmless() {
    let small: Content = vec![
        ("/db/shop/data/1".into(), Class::Data, rows(1, 400_000)),
        ("/map/2".into(), Class::Data, mixed(1, 200_000)),
        ("/list".into(), Class::Metadata, b"list".to_vec()),
    ];
    let faults: [fn(usize) -> Fault; 4] =
        [Fault::GoneFrom, Fault::FailsAt, Fault::LosesAnswerAt, Fault::FullFrom];
    for fault in faults {
        for at in 0.. {
            let place = Place::encrypted();
            let before = backup(&place.open(), 1, &vec![("/old".into(), Class::Data, rows(5, 100_000))]);
            let faulty = Arc::new(Faulty::new(place.store(), Operation::Put, fault(at)));
            let repository = place.open_on(Arc::clone(&faulty) as Arc<dyn Store>, place.local());
            let result = try_backup(&repository, 2, &small, &Cancel::new());
            let reached = faulty.calls() > at;
            let heads = place.open().backups().unwrap();
            match &result {
                Ok(head) => {
                    assert_eq!(heads.last().unwrap(), head);
                    compare(&place.open(), head.id, &small).unwrap();
                }
                Err(_) => assert_eq!(heads.len(), 1, "put {at}: a failed backup shows"),
            }
            assert_eq!(heads[0], before);
            assert_clean(&place.open());
            let next = backup(&place.open(), 2, &small);
            compare(&place.open(), next.id, &small).unwrap();
            assert_clean(&place.open());
            if !reached {
                assert!(result.is_ok());
                assert!(at >= 6, "only {at} puts were seen");
                break;
            }
        }
    }
}

/// What a broken-off backup indexed is used by the next.
#[test]
fn a_broken_off_backup_is_continued() {
    let place = Place::encrypted();
    let whole = Faulty::new(place.store(), Operation::Put, Fault::GoneFrom(usize::MAX));
    let counting = Arc::new(whole);
    let cancel = Cancel::new();
    let repository = place.open_on(Arc::clone(&counting) as Arc<dyn Store>, LocalFolders::default());
    let first = try_backup(&repository, 1, &content(1), &cancel).unwrap();
    let puts = counting.calls();
    let place = Place::encrypted();
    // Both manifests are the last two puts.
    let faulty = Arc::new(Faulty::new(place.store(), Operation::Put, Fault::GoneFrom(puts - 2)));
    let repository = place.open_on(faulty, LocalFolders::default());
    assert!(try_backup(&repository, 1, &content(1), &cancel).is_err());
    assert!(place.open().backups().unwrap().is_empty());
    let second = backup(&place.open(), 1, &content(1));
    assert!(second.bytes_added * 20 < first.bytes_added, "{} of {}", second.bytes_added, first.bytes_added);
    compare(&place.open(), second.id, &content(1)).unwrap();
}

#[test]
fn work_that_fails_panics_or_is_cancelled_leaves_no_backup() {
    let place = Place::encrypted();
    let repository = place.open();
    let failed = repository.write_backup(&options(2), |writer| {
        let mut stream = writer.stream(Class::Data, Cut::Rows);
        stream.write(&rows(1, 1 << 20))?;
        Err::<(NewBackup, ()), _>(RepoError::WrongKey)
    });
    assert!(matches!(failed, Err(RepoError::WrongKey)));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = repository.write_backup::<(), RepoError>(&options(2), |_| panic!("on purpose"));
    }));
    assert!(panicked.is_err());
    let cancel = Cancel::new();
    let cancelled = repository.for_job(&cancel).write_backup::<(), RepoError>(&options(2), |writer| {
        let mut stream = writer.stream(Class::Data, Cut::Rows);
        for seed in 0.. {
            stream.write(&rows(seed, 1 << 20))?;
            if seed == 3 {
                cancel.cancel();
            }
        }
        unreachable!()
    });
    assert!(matches!(cancelled, Err(RepoError::Cancelled)));
    // Cancelled behind the work, before the commit.
    let cancel = Cancel::new();
    let late = repository.for_job(&cancel).write_backup(&options(2), |_| {
        cancel.cancel();
        let new = NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None };
        Ok::<_, RepoError>((new, ()))
    });
    assert!(matches!(late, Err(RepoError::Cancelled)));
    assert!(repository.backups().unwrap().is_empty());
    assert_clean(&repository);
    let head = backup(&repository, 2, &content(1));
    compare(&repository, head.id, &content(1)).unwrap();
    assert!(matches!(
        repository.for_job(&cancel).check(&CheckOptions::all(CheckLevel::Data), &|_| {}),
        Err(RepoError::Cancelled)
    ));
}

/// A failing storage is reported as what it is, not as "cancelled".
#[test]
fn the_first_failure_is_told() {
    let place = Place::encrypted();
    let faulty = Arc::new(Faulty::new(place.store(), Operation::Put, Fault::FullFrom(1)));
    let repository = place.open_on(faulty, place.local());
    let failed = try_backup(&repository, 2, &content(1), &Cancel::new());
    assert!(matches!(failed, Err(RepoError::Store(pgark_store::StoreError::NoSpace { .. }))), "{failed:?}");
}

/// Every object, damaged in every way, is found by the check, and never gives wrong data.
#[test]
fn damage_is_found() {
    for place in [Place::encrypted(), Place::plain()] {
        let repository = place.open();
        let small: Content = vec![
            ("/db/shop/data/1".into(), Class::Data, rows(1, 300_000)),
            ("/map/2".into(), Class::Data, mixed(1, 300_000)),
            ("/list".into(), Class::Metadata, rows(2, 50_000)),
        ];
        let other: Content = vec![("/db/shop/data/1".into(), Class::Data, rows(3, 300_000))];
        let first = backup(&repository, 1, &small);
        let second = backup(&repository, 1, &other);
        let root = place.dir.path().join("repo");
        let objects: Vec<PathBuf> = place
            .objects()
            .into_iter()
            .map(|meta| meta.name)
            .filter(|name| {
                ["packs/", "index/", "manifests/", "copies/", "keys", "pgark.json"]
                    .iter()
                    .any(|folder| name.starts_with(folder))
            })
            .map(|name| root.join(name))
            .collect();
        assert!(objects.len() >= 10, "{objects:?}");
        for (number, path) in objects.iter().enumerate() {
            let good = std::fs::read(path).unwrap();
            let folder = |path: &PathBuf| {
                path.strip_prefix(&root).unwrap().components().next().map(|c| c.as_os_str().to_owned())
            };
            let alike = |other: &&PathBuf| *other != path && folder(other) == folder(path);
            let twin = objects.iter().find(alike).or(objects.iter().find(|other| *other != path)).unwrap();
            let mut damages: Vec<Option<Vec<u8>>> =
                vec![None, Some(Vec::new()), Some(good[..good.len() - 1].to_vec())];
            damages.push(Some([good.as_slice(), b"x"].concat()));
            damages.push(Some(std::fs::read(twin).unwrap()));
            for at in [0, 6, 9, 20, good.len() / 3, good.len() / 2, good.len() - 30, good.len() - 1] {
                let mut torn = good.clone();
                torn[at] ^= 0x10;
                damages.push(Some(torn));
            }
            let grown = damages.len();
            damages.push(Some(good.clone()));
            for (kind, damage) in damages.into_iter().enumerate() {
                std::fs::remove_file(path).unwrap();
                let gone = damage.is_none();
                if let Some(bytes) = damage {
                    std::fs::write(path, bytes).unwrap();
                }
                if kind == grown {
                    // Sparse: a terabyte that takes no space, and must take no memory.
                    std::fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
                }
                let what = format!("object {number} {} damage {kind}", path.display());
                // The newest manifest's second copy and the index cache may hide a loss: look with
                // fresh eyes.
                let fresh = LocalFolders { cache: None, state: place.local().state };
                let repository = place.open_on(Arc::new(place.store()), fresh);
                let report = check(&repository, CheckLevel::Data);
                let is_copy = path.starts_with(root.join("copies"));
                assert!(!report.problems.is_empty() || (gone && is_copy), "{what}: not found");
                if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("keys")) {
                    assert!(
                        report.problems.iter().any(|problem| problem.object.starts_with("keys")),
                        "{report:#?}"
                    );
                }
                // Either an error or the right bytes: `compare` panics on wrong ones.
                let both = [compare(&repository, first.id, &small), compare(&repository, second.id, &other)];
                if path.starts_with(root.join("packs")) {
                    // No backup needs an item list, which lies in a metadata pack.
                    let only_a_list = good[5] == 2 && both.iter().all(Result::is_ok);
                    assert!(
                        only_a_list || report.problems.iter().any(|problem| !problem.backups.is_empty()),
                        "{what}: {report:#?}"
                    );
                }
                // A pack that is gone, empty or cut off is missed; one byte more behind its end is
                // not.
                if kind < 3 && path.starts_with(root.join("packs")) {
                    assert!(both.iter().any(Result::is_err), "{what}: readable");
                }
                let _ = std::fs::remove_file(path);
                std::fs::write(path, &good).unwrap();
            }
        }
        assert_clean(&place.open());
    }
}

/// A pack that vanished, or an index object that rotted, makes the next backup store again what was
/// in it.
#[test]
fn a_backup_never_leans_on_what_is_not_there() {
    let place = Place::encrypted();
    let content = content(1);
    backup(&place.open(), 2, &content);
    let root = place.dir.path().join("repo");
    for folder in ["packs/", "index/"] {
        for meta in place.storage().list(folder).unwrap() {
            std::fs::write(root.join(&meta.name), b"pgark").unwrap();
        }
        let repository = place.open_on(Arc::new(place.store()), LocalFolders::default());
        let head = backup(&repository, 2, &content);
        assert!(head.bytes_added > 1_000_000, "{folder}: {}", head.bytes_added);
        compare(&repository, head.id, &content).unwrap();
    }
}

/// A pruner's marks make packs absent; its intent stops the commit.
#[test]
fn marked_packs_are_absent() {
    let place = Place::encrypted();
    let content = content(1);
    backup(&place.open(), 1, &content);
    let packs = place.storage().list("packs/").unwrap();
    for meta in &packs {
        place.open().put_mark(&meta.name, false).unwrap();
    }
    let second = backup(&place.open(), 1, &content);
    assert!(second.bytes_added > 1_000_000);
    let stopped = place.open().write_backup::<(), RepoError>(&options(1), |writer| {
        let mut stream = writer.stream(Class::Data, Cut::Rows);
        stream.write(&content[0].2)?;
        stream.finish()?;
        for meta in place.storage().list("packs/").unwrap() {
            place.open().put_mark(&meta.name, true).unwrap();
        }
        Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, ()))
    });
    assert!(matches!(stopped, Err(RepoError::PrunedAway { .. })), "{stopped:?}");
    assert_eq!(place.open().backups().unwrap().len(), 2);
}

/// A chain with a hole, and a newest backup that is gone, are noticed.
#[test]
fn vanished_manifests_are_noticed() {
    for (number, gone) in [(0, "the middle"), (1, "the newest")] {
        let place = Place::encrypted();
        backup(&place.open(), 1, &content(1));
        backup(&place.open(), 1, &content(1));
        let manifests = place.storage().list("manifests/").unwrap();
        let name = &manifests[number].name;
        place.storage().delete(name).unwrap();
        place.storage().delete(&format!("copies/{name}")).unwrap();
        let report = check(&place.open(), CheckLevel::Structure);
        assert_eq!(report.problems.len(), 1, "{gone}: {:#?}", report.problems);
        // The next backup's number is above all that were seen.
        assert_eq!(backup(&place.open(), 1, &content(1)).sequence, 3);
    }
}

#[test]
fn a_damaged_cache_is_built_anew() {
    let place = Place::encrypted();
    let head = backup(&place.open(), 1, &content(1));
    compare(&place.open(), head.id, &content(1)).unwrap();
    let cached = std::fs::read_dir(place.dir.path().join("cache")).unwrap().map(|file| file.unwrap().path());
    // Beside it lies what maps are described by, which readers do not use.
    let files: Vec<_> = cached.filter(|path| path.is_file()).collect();
    assert_eq!(files.len(), 1);
    let good = std::fs::read(&files[0]).unwrap();
    for at in 0..good.len() / 64 {
        let mut torn = good.clone();
        torn[at * 64] ^= 1;
        std::fs::write(&files[0], &torn).unwrap();
        // A page of records that rotted is an error or an absence, never a false place.
        if compare(&place.open(), head.id, &content(1)).is_err() {
            std::fs::write(&files[0], &good).unwrap();
        }
    }
    for len in [0, 1, good.len() / 2, good.len() - 1] {
        std::fs::write(&files[0], &good[..len]).unwrap();
        compare(&place.open(), head.id, &content(1)).unwrap();
    }
}
