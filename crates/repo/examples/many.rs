//! `many FOLDER COUNT`: a repository with so many backups, and how long listing them takes
//! (`./bench scale`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

use std::path::Path;
use std::time::Instant;

use pgark_repo::*;
use pgark_store::DirStore;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(&arguments[0]);
    let count: u32 = arguments[1].parse().unwrap();
    let identity = age::x25519::Identity::generate();
    let store = Storage::uncancelled(DirStore::create(folder.join("many")).unwrap());
    init(
        &store,
        Protection::Recipients(vec![identity.to_public().to_string()]),
        &[],
        &LocalFolders::default(),
    )
    .unwrap();
    let local = LocalFolders { cache: Some(folder.join("cache")), state: None };
    let open = || {
        use age::secrecy::ExposeSecret;
        let unlock = Unlock::Identity(identity.to_string().expose_secret().to_string().into());
        let store = Storage::uncancelled(DirStore::open(folder.join("many")).unwrap());
        Repository::open(store, unlock, local.clone()).unwrap()
    };
    let repository = open();
    for number in 0..count {
        // A cluster for each hundred: a writer looks at its own cluster's chain.
        let cluster = format!("cluster {}", number / 100);
        let options = WriteOptions::of(cluster, "test");
        let about = vec![b'x'; 600];
        let new = NewBackup { kind: "logical".into(), complete: true, about, time: None };
        repository.write_backup::<_, RepoError>(&options, |_| Ok((new, ()))).unwrap();
    }
    let timed = |what: &str| {
        let repository = open();
        let begun = Instant::now();
        assert_eq!(repository.backups().unwrap().len(), count as usize);
        println!("list of {count} backups, {what}: {:.2} s", begun.elapsed().as_secs_f64());
    };
    timed("with nothing remembered");
    timed("from a warm cache");
    let repository = open();
    let id = repository.backups().unwrap().pop().unwrap().id;
    let begun = Instant::now();
    repository.open_backup(id).unwrap();
    println!("one of them opened: {:.2} s", begun.elapsed().as_secs_f64());
}
