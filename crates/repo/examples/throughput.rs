//! How fast streams are written and read: `cargo run -p pgark-repo --example throughput FILE JOBS`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use pgark_repo::*;
use pgark_store::DirStore;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let bytes = std::fs::read(arguments.next().expect("a file")).unwrap();
    let jobs: usize = arguments.next().expect("jobs").parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(DirStore::create(dir.path().join("r")).unwrap());
    init(&*store, Protection::None).unwrap();
    let repository = Repository::open(store, Unlock::Nothing, LocalFolders::default()).unwrap();
    for round in 0..2 {
        let start = Instant::now();
        let options = WriteOptions { cluster: "c".into(), jobs, compression_level: 1, full: false };
        let (head, ()) = repository
            .write_backup(&options, &Cancel::new(), |writer| {
                let parts = std::thread::scope(|scope| {
                    let half = bytes.len() / 2;
                    let threads: Vec<_> = [&bytes[..half], &bytes[half..]]
                        .map(|part| {
                            scope.spawn(move || {
                                let mut stream = writer.stream(Class::Data, Cut::Rows);
                                for piece in part.chunks(8192) {
                                    stream.write(piece)?;
                                }
                                Ok::<_, RepoError>(stream.finish()?.stream)
                            })
                        })
                        .into();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Result<Vec<_>, _>>()
                })?;
                let entry = NewEntry {
                    path: "/a".into(),
                    class: Class::Data,
                    parts,
                    bytes_raw: bytes.len() as u64,
                    bytes_added: 0,
                    about: Vec::new(),
                };
                let new = NewBackup {
                    kind: "x".into(),
                    complete: true,
                    entries: vec![entry],
                    about: Vec::new(),
                    time: None,
                };
                Ok::<_, RepoError>((new, ()))
            })
            .unwrap();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "round {round}: {:.0} MB/s, {} bytes stored",
            bytes.len() as f64 / 1e6 / seconds,
            head.bytes_added
        );
        let start = Instant::now();
        let reader = repository.reader().unwrap();
        for part in &repository.open_backup(head.id).unwrap().entries[0].parts {
            let mut stream = reader.read(part).unwrap();
            while stream.next_chunk().unwrap().is_some() {}
        }
        println!("  read: {:.0} MB/s", bytes.len() as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
}
