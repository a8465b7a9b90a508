//! What the tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::sync::Arc;

use age::secrecy::{ExposeSecret, SecretString};
use pgark_repo::*;
use pgark_store::{DirStore, ObjectMeta};

/// A repository in a directory that goes with it.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub identity: Option<SecretString>,
    pub writer: Option<SecretString>,
}

impl Place {
    pub fn encrypted() -> Place {
        let identity = age::x25519::Identity::generate();
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::create(dir.path().join("repo")).unwrap();
        let made = init(&store, Protection::Recipients(vec![identity.to_public().to_string()])).unwrap();
        Place { dir, identity: Some(identity.to_string()), writer: made.writer_key }
    }

    pub fn plain() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::create(dir.path().join("repo")).unwrap();
        init(&store, Protection::None).unwrap();
        Place { dir, identity: None, writer: None }
    }

    pub fn unlock(&self) -> Unlock {
        match &self.identity {
            Some(identity) => Unlock::Identity(identity.expose_secret().to_string().into()),
            None => Unlock::Nothing,
        }
    }

    pub fn store(&self) -> DirStore {
        DirStore::open(self.dir.path().join("repo")).unwrap()
    }

    pub fn local(&self) -> LocalFolders {
        LocalFolders {
            cache: Some(self.dir.path().join("cache")),
            state: Some(self.dir.path().join("state")),
        }
    }

    pub fn open(&self) -> Repository {
        self.open_on(Arc::new(self.store()), self.local())
    }

    pub fn open_on(&self, store: Arc<dyn Store>, local: LocalFolders) -> Repository {
        Repository::open(store, self.unlock(), local).unwrap()
    }

    pub fn open_as_writer(&self) -> Repository {
        let key = self.writer.as_ref().unwrap().expose_secret().to_string();
        Repository::open(Arc::new(self.store()), Unlock::WriterKey(key.into()), LocalFolders::default())
            .unwrap()
    }

    pub fn objects(&self) -> Vec<ObjectMeta> {
        self.store().list("").unwrap()
    }
}

pub fn options(jobs: usize) -> WriteOptions {
    WriteOptions { cluster: "shop".into(), jobs, compression_level: 1, full: false }
}

/// Rows that look like a table's, different for each seed.
pub fn rows(seed: u64, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 200);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut id = 0u64;
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        id += 1;
        out.extend_from_slice(
            format!("{id}\t{state:016x}\tactive\tcustomer {}\t{}\n", state % 1000, state % 97).as_bytes(),
        );
    }
    out
}

pub type Content = Vec<(String, Class, Vec<u8>)>;

/// A backup with these entries, one thread each.
pub fn try_backup(
    repository: &Repository,
    jobs: usize,
    content: &Content,
    cancel: &Cancel,
) -> Result<BackupHead, RepoError> {
    let (head, ()) = repository.write_backup(&options(jobs), cancel, |writer| {
        let written: Vec<_> = std::thread::scope(|scope| {
            let one = |(path, class, bytes): &(String, Class, Vec<u8>)| {
                let (class, cut) = (*class, if *class == Class::Data { Cut::Rows } else { Cut::Content });
                let (path, bytes) = (path.clone(), bytes.clone());
                scope.spawn(move || {
                    let mut stream = writer.stream(class, cut);
                    for piece in bytes.chunks(10_007) {
                        stream.write(piece)?;
                    }
                    Ok::<_, RepoError>((path, class, stream.finish()?))
                })
            };
            let threads: Vec<_> = content.iter().map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let written: Vec<_> = written.into_iter().collect::<Result<_, _>>()?;
        writer.settle()?;
        let entries = written.into_iter().map(|(path, class, summary)| NewEntry {
            path,
            class,
            bytes_raw: summary.bytes_raw,
            bytes_added: summary.bytes_added(),
            parts: vec![summary.stream],
            about: b"{}".to_vec(),
        });
        let new = NewBackup {
            kind: "logical".into(),
            complete: true,
            entries: entries.collect(),
            about: b"{\"a\":1}".to_vec(),
            time: None,
        };
        Ok::<_, RepoError>((new, ()))
    })?;
    Ok(head)
}

pub fn backup(repository: &Repository, jobs: usize, content: &Content) -> BackupHead {
    try_backup(repository, jobs, content, &Cancel::new()).unwrap()
}

pub fn content(seed: u64) -> Content {
    vec![
        ("/db/shop/data/1".into(), Class::Data, rows(seed, 3 << 20)),
        ("/db/shop/data/2".into(), Class::Data, rows(seed + 100, 700_000)),
        ("/db/shop/data/empty".into(), Class::Data, Vec::new()),
        ("/globals.sql".into(), Class::Data, b"create role a;\n".to_vec()),
        ("/manifest.json".into(), Class::Metadata, b"{}".to_vec()),
    ]
}

pub fn read_stream(reader: &DataReader<'_>, stream: &StreamRef) -> Result<Vec<u8>, RepoError> {
    let mut bytes = Vec::new();
    let mut stream = reader.read(stream)?;
    while let Some(chunk) = stream.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads a backup back and compares it with what was written: equal, or an error; never other bytes.
pub fn compare(repository: &Repository, id: BackupId, content: &Content) -> Result<(), RepoError> {
    let backup = repository.open_backup(id)?;
    let reader = repository.reader()?;
    assert_eq!(backup.entries.len(), content.len());
    for (path, _, bytes) in content {
        let entry = backup.entries.iter().find(|entry| entry.path == *path).expect("the entry");
        let mut read = Vec::new();
        for part in &entry.parts {
            read.extend(read_stream(&reader, part)?);
        }
        assert!(read == *bytes, "wrong data came back for {path}");
    }
    Ok(())
}

pub fn check(repository: &Repository, level: CheckLevel) -> CheckReport {
    repository.check(&CheckOptions::all(level), &Cancel::new(), &|_| {}).unwrap()
}

pub fn assert_clean(repository: &Repository) {
    let report = check(repository, CheckLevel::Data);
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}
