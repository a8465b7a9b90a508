//! Files into a repository and back, for `./bench store`: `files write|read|prune REPOSITORY …`.
//! Prints seconds.
//!
//! `write REPOSITORY JOBS rows|content FILE…` makes the encrypted repository where it is missing
//! and writes one backup with an entry per file; `read REPOSITORY JOBS` reads the newest backup;
//! `prune REPOSITORY` forgets the oldest backup and prunes without grace, with every pack packed
//! anew that holds something dead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement")]

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pgark_repo::*;
use pgark_store::DirStore;

const PASSPHRASE: &str = "five quiet otters swim north";

fn open(folder: &Path) -> Repository {
    if !folder.join("pgark.json").exists() {
        let store = Storage::uncancelled(DirStore::create(folder).unwrap());
        init(&store, Protection::Passphrase(PASSPHRASE.to_string().into()), &[], &LocalFolders::default())
            .unwrap();
    }
    let store = Storage::uncancelled(DirStore::open(folder).unwrap());
    let unlock = Unlock::Passphrase(PASSPHRASE.to_string().into());
    Repository::open(store, unlock, LocalFolders::default()).unwrap()
}

fn write(repository: &Repository, jobs: usize, cut: Cut, files: &[String]) {
    let options = WriteOptions { jobs, ..WriteOptions::of("bench", "test") };
    let (_, ()) = repository
        .write_backup(&options, |writer| {
            let next = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                let work = || {
                    let mut piece = vec![0; 64 << 10];
                    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut file = std::fs::File::open(path).unwrap();
                        let mut entry = writer.entry(path, Class::Data);
                        let mut stream = entry.stream(cut);
                        loop {
                            match file.read(&mut piece).unwrap() {
                                0 => break,
                                read => stream.write(&piece[..read])?,
                            }
                        }
                        entry.add(stream.finish()?);
                        entry.finish(Vec::new())?;
                    }
                    Ok::<_, RepoError>(())
                };
                let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
                threads.into_iter().try_for_each(|thread| thread.join().unwrap())
            })?;
            let about = Vec::new();
            Ok::<_, RepoError>((NewBackup { kind: "files".into(), complete: true, about, time: None }, ()))
        })
        .unwrap();
}

fn read(repository: &Repository, jobs: usize) {
    let newest = repository.backups().unwrap().pop().unwrap();
    let backup = repository.open_backup(newest.id).unwrap();
    let entries: Vec<_> = backup.entries().map(Result::unwrap).collect();
    let reader = repository.reader(&newest).unwrap();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut content = reader.read(entry);
                    while content.next_chunk().unwrap().is_some() {}
                }
            });
        }
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let repository = open(Path::new(&arguments[1]));
    let jobs = || arguments[2].parse().unwrap();
    let begun = Instant::now();
    let mut moved = 0;
    match arguments[0].as_str() {
        "write" => {
            let cut = if arguments[3] == "rows" { Cut::Rows } else { Cut::Content };
            write(&repository, jobs(), cut, &arguments[4..]);
        }
        "read" => read(&repository, jobs()),
        "prune" => {
            let oldest = repository.backups().unwrap().remove(0);
            repository.forget(oldest.id).unwrap();
            let options = PruneOptions {
                grace: std::time::Duration::ZERO,
                repack_below: 100,
                erase: true,
                dry_run: false,
            };
            moved = repository.prune(&options, &|_| {}).unwrap().bytes_moved;
        }
        other => panic!("{other}"),
    }
    println!("{} {moved}", begun.elapsed().as_secs_f64());
}
