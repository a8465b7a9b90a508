//! What a backup asks of the storage of a large repository.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/large.rs"]
mod large;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;
use large::Large;
use pgark_repo::*;
use pgark_store::DirStore;

/// 10 TB in packs of 128 MiB.
const PACKS: u64 = 80_000;
const BACKUPS: u64 = 26_000;

fn content() -> Content {
    (0..20).map(|number| (format!("/{number}"), Class::Data, rows(number, 200_000))).collect()
}

/// A large repository with two backups of this host, and its storage.
fn large() -> (Place, Arc<Large<DirStore>>) {
    let place = Place::encrypted();
    let store = Arc::new(Large::new(place.store(), Duration::ZERO));
    let repository = place.open();
    repository.put_tombstone("shop", BACKUPS).unwrap();
    let first = backup(&repository, 2, &content());
    assert_eq!(first.sequence, BACKUPS + 1);
    let packs = repository.put_index_of_many("shop", PACKS, 1).unwrap();
    store.made_up.lock().unwrap().extend(packs.into_iter().map(|name| (name, 128 << 20)));
    store.pretend_backups(&only_cluster(&place), BACKUPS);
    let second = next(&place, &store);
    assert!(second.bytes_added < 100_000, "{second:?}");
    store.take_requests();
    (place, store)
}

/// As `pgark backup` does it: the newest backups, then a new one.
fn next(place: &Place, store: &Arc<Large<DirStore>>) -> BackupHead {
    let repository = place.open_on(store.clone(), place.local());
    assert!(!repository.newest_backups("shop", 2).unwrap().is_empty());
    write(&repository)
}

fn write(repository: &Repository) -> BackupHead {
    let written = repository.write_backup::<(), RepoError>(&options(2), |writer| {
        for (path, class, bytes) in content() {
            let mut entry = writer.entry(path, class);
            let mut stream = entry.stream(Cut::Rows);
            stream.write(&bytes)?;
            entry.add(stream.finish()?);
            entry.finish(Vec::new())?;
        }
        let (kind, about) = ("x".into(), Vec::new());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    written.unwrap().0
}

#[test]
fn a_backup_without_change_asks_little_of_a_large_repository() {
    let (place, store) = large();
    let head = next(&place, &store);
    let (requests, log) = store.take_requests();
    println!("{requests} requests\n{}", log.join("\n"));
    assert!(requests <= 60, "{requests} requests");
    assert!(head.bytes_added < 100_000, "{head:?}");
    compare(&place.open(), head.id, &content()).unwrap();
}

/// Where all names of a cluster are asked for at once nothing more is to be found: they are listed
/// once to look for what to lean on, and once for the backup's number.
#[test]
fn a_young_cluster_is_listed_no_more_often_than_an_old_one() {
    let place = Place::encrypted();
    let store = Arc::new(Large::new(place.store(), Duration::ZERO));
    for backups in 0..3 {
        let repository = place.open_on(store.clone(), place.local());
        assert_eq!(repository.newest_backups("shop", 2).unwrap().len(), backups.min(2));
        write(&repository);
        let (_, log) = store.take_requests();
        assert_eq!(log.iter().filter(|asked| asked.contains("list manifests/")).count(), 2, "{log:#?}");
    }
}

/// A sixteenth of the packs is looked at: where packs are lost all are, and nothing leans on them.
#[test]
fn packs_that_a_large_repository_lost_are_noticed() {
    let (place, store) = large();
    store.is_lost.store(true, Ordering::Relaxed);
    for meta in place.storage().list("packs/").unwrap() {
        std::fs::remove_file(place.dir.path().join("repo").join(meta.name)).unwrap();
    }
    let head = next(&place, &store);
    assert!(head.bytes_added > 1_000_000, "{head:?}");
    compare(&place.open(), head.id, &content()).unwrap();
}
