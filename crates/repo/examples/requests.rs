//! `requests FOLDER CHUNKS LATENCY_MS`: what a backup without change asks of a repository of 10 TB
//! and 26,000 backups, and how long it takes to begin (`./bench scale`). The packs and the older
//! backups are made up; the index objects, the local index and the backups of this run are real.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

#[path = "../tests/common/large.rs"]
mod large;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use large::Large;
use pgark_repo::*;
use pgark_store::{Cancel, DirStore};

/// 10 TB in packs of 128 MiB.
const PACKS: u64 = 80_000;
const BACKUPS: u64 = 26_000;
const CLUSTER: &str = "shop";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(&arguments[0]).join("requests");
    let chunks: u64 = arguments[1].parse().unwrap();
    let latency = Duration::from_millis(arguments[2].parse().unwrap());
    let identity = age::x25519::Identity::generate();
    let store = DirStore::create(folder.join("repo")).unwrap();
    init(
        &Storage::uncancelled(store),
        Protection::Recipients(vec![identity.to_public().to_string()]),
        &[],
        &LocalFolders::default(),
    )
    .unwrap();
    let store = Arc::new(Large::new(DirStore::open(folder.join("repo")).unwrap(), latency));
    let local = LocalFolders { cache: Some(folder.join("cache")), state: Some(folder.join("state")) };
    let open = || {
        let unlock = Unlock::Identity(identity.to_string().expose_secret().to_string().into());
        let store: Arc<dyn Store> = store.clone();
        Repository::open(Storage::new(store, Cancel::new()), unlock, local.clone()).unwrap()
    };
    // As `pgark backup` does it: the newest backups, then a new one.
    let backup = || {
        let begun = Instant::now();
        let repository = open();
        repository.newest_backups(CLUSTER, 2).unwrap();
        let options = WriteOptions { jobs: 4, ..WriteOptions::of(CLUSTER, "test") };
        let mut start = Duration::ZERO;
        let written = repository.write_backup::<_, RepoError>(&options, |writer| {
            start = begun.elapsed();
            let mut entry = writer.entry("/rows", Class::Data);
            let mut stream = entry.stream(Cut::Rows);
            stream.write(&b"a row that never changes\n".repeat(100_000))?;
            entry.add(stream.finish()?);
            entry.finish(Vec::new())?;
            let (kind, about) = ("logical".into(), Vec::new());
            Ok((NewBackup { kind, complete: true, about, time: None }, ()))
        });
        (written.unwrap().0, start, begun.elapsed())
    };
    open().put_tombstone(CLUSTER, BACKUPS).unwrap();
    let (first, ..) = backup();
    backup();
    let packs = open().put_index_of_many(CLUSTER, PACKS, chunks / PACKS).unwrap();
    store.made_up.lock().unwrap().extend(packs.into_iter().map(|name| (name, 128 << 20)));
    let manifest = std::fs::read_dir(folder.join("repo/manifests")).unwrap().next().unwrap().unwrap();
    store.pretend_backups(manifest.file_name().to_str().unwrap(), BACKUPS);
    assert_eq!(first.sequence, BACKUPS + 1);
    println!(
        "| backup into 10 TB, {BACKUPS} backups, {chunks} chunks | requests | begins after | ends after | added |"
    );
    println!("|---|---|---|---|---|");
    for what in ["with an empty cache", "the next", "the next", "the next"] {
        store.take_requests();
        let (head, start, all) = backup();
        let (requests, _) = store.take_requests();
        println!(
            "| {what} | {requests} | {:.2} s | {:.2} s | {} |",
            start.as_secs_f64(),
            all.as_secs_f64(),
            head.bytes_added
        );
    }
}
