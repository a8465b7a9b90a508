//! What the tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::collections::HashMap;
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
        let made = init(
            &Storage::uncancelled(store),
            Protection::Recipients(vec![identity.to_public().to_string()]),
            &[],
            &LocalFolders::default(),
        )
        .unwrap();
        Place { dir, identity: Some(identity.to_string()), writer: made.writer_key }
    }

    pub fn plain() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::create(dir.path().join("repo")).unwrap();
        init(&Storage::uncancelled(store), Protection::None, &[], &LocalFolders::default()).unwrap();
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

    /// The same, to ask.
    pub fn storage(&self) -> Storage {
        Storage::uncancelled(self.store())
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
        Repository::open(Storage::new(store, Cancel::new()), self.unlock(), local).unwrap()
    }

    pub fn open_as_writer(&self) -> Repository {
        let key = self.writer.as_ref().unwrap().expose_secret().to_string();
        Repository::open(self.storage(), Unlock::WriterKey(key.into()), LocalFolders::default()).unwrap()
    }

    pub fn objects(&self) -> Vec<ObjectMeta> {
        self.storage().list("").unwrap()
    }
}

/// The folder of the one cluster that has backups here.
pub fn only_cluster(place: &Place) -> String {
    let manifest = place.storage().list("manifests/").unwrap().remove(0).name;
    manifest.split('/').nth(1).unwrap().to_string()
}

pub fn options(jobs: usize) -> WriteOptions {
    WriteOptions { jobs, ..WriteOptions::of("shop", "test") }
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
    let newest = repository.backups().ok().and_then(|heads| heads.last().map(|head| head.id));
    let earlier = newest.and_then(|id| repository.open_backup(id).ok());
    let (made, ()) = repository.for_job(cancel).write_backup(&options(jobs), |writer| {
        std::thread::scope(|scope| {
            let one = |(path, class, bytes): &(String, Class, Vec<u8>)| {
                let (class, cut) = (*class, if *class == Class::Data { Cut::Rows } else { Cut::Content });
                let (path, bytes) = (path.clone(), bytes.clone());
                let earlier = earlier.as_ref();
                scope.spawn(move || {
                    if path.starts_with("/map/") {
                        let part = write_map(writer, earlier, &path, &bytes)?;
                        let mut entry = writer.entry(path, class);
                        entry.add(part);
                        return entry.finish(b"{}".to_vec());
                    }
                    let mut entry = writer.entry(path, class);
                    let mut stream = entry.stream(cut);
                    for piece in bytes.chunks(10_007) {
                        stream.write(piece)?;
                    }
                    entry.add(stream.finish()?);
                    entry.finish(b"{}".to_vec())
                })
            };
            let threads: Vec<_> = content.iter().map(one).collect();
            let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            ended.into_iter().collect::<Result<(), RepoError>>()
        })?;
        let (kind, about) = ("logical".into(), b"{\"a\":1}".to_vec());
        Ok::<_, RepoError>((NewBackup { kind, complete: true, about, time: None }, ()))
    })?;
    Ok(made)
}

/// Writes rows under a map that leans on the newest backup's map of that path, if it has one.
pub fn write_map(
    writer: &BackupWriter<'_>,
    earlier: Option<&Backup<'_>>,
    path: &str,
    bytes: &[u8],
) -> Result<PartSummary, RepoError> {
    let entry = earlier.and_then(|backup| backup.entry(path).ok().flatten());
    let earlier = match entry.as_ref().and_then(|entry| entry.parts.first()) {
        Some(Part::Map(map)) => Some(writer.earlier_map(map)?),
        _ => None,
    };
    let units: Vec<EarlierUnit> = earlier.iter().flat_map(|map| map.units()).collect();
    let mut places: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
    let mut used: Vec<Vec<bool>> = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let mut listed = Vec::new();
        earlier.as_ref().unwrap().listed(unit, &mut listed);
        for (at, hash) in listed.iter().enumerate() {
            places.entry(*hash).or_default().push((number, at));
        }
        used.push(vec![false; listed.len()]);
    }
    let mut map = writer.map(Rows, MapTarget { identity: [1; 16], domain: Vec::new(), from: 0 });
    for row in bytes.split_inclusive(|byte| *byte == b'\n') {
        let hash = map.hasher().hash(row);
        match places.get_mut(&map.hasher().listed(hash)).and_then(Vec::pop) {
            Some((unit, at)) => {
                used[unit][at] = true;
                map.keep(hash, row.len());
            }
            None => map.add(row, hash)?,
        }
    }
    let of_units = units.into_iter().zip(used).filter(|(_, used)| used.contains(&true)).collect();
    let used: Vec<UsedItems<'_>> = earlier.iter().map(|map| (map, Vec::clone(&of_units))).collect();
    let changed = map.items_new();
    map.finish(&used, changed)
}

pub fn backup(repository: &Repository, jobs: usize, content: &Content) -> BackupHead {
    try_backup(repository, jobs, content, &Cancel::new()).unwrap()
}

/// Rows of which a tenth are of the seed's own: a map keeps the others.
pub fn mixed(seed: u64, bytes: usize) -> Vec<u8> {
    [rows(4242, bytes - bytes / 10), rows(seed, bytes / 10)].concat()
}

fn sorted(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rows: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    rows.sort();
    rows
}

pub fn content(seed: u64) -> Content {
    vec![
        ("/db/shop/data/1".into(), Class::Data, rows(seed, 3 << 20)),
        ("/db/shop/data/2".into(), Class::Data, rows(seed + 100, 700_000)),
        ("/map/3".into(), Class::Data, mixed(seed, 900_000)),
        ("/db/shop/data/empty".into(), Class::Data, Vec::new()),
        ("/globals.sql".into(), Class::Data, b"create role a;\n".to_vec()),
        ("/manifest.json".into(), Class::Metadata, b"{}".to_vec()),
    ]
}

pub fn read_entry(reader: &DataReader<'_>, entry: &Entry) -> Result<Vec<u8>, RepoError> {
    let mut bytes = Vec::new();
    let mut content = reader.read(entry);
    while let Some(chunk) = content.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// All entries of a backup.
pub fn entries(backup: &Backup<'_>) -> Result<Vec<Entry>, RepoError> {
    backup.entries().collect()
}

/// What a backup stored for each of its entries, by path.
pub fn added(backup: &Backup<'_>) -> HashMap<String, u64> {
    let both = backup.entries_with_additions().unwrap().map(Result::unwrap);
    both.map(|(entry, addition)| (entry.path, addition.bytes)).collect()
}

/// Reads a backup back and compares it with what was written: equal, or an error; never other
/// bytes.
pub fn compare(repository: &Repository, id: BackupId, content: &Content) -> Result<(), RepoError> {
    let backup = repository.open_backup(id)?;
    let reader = repository.reader(&backup.head)?;
    assert_eq!(backup.head.entries, content.len() as u64);
    assert_eq!(entries(&backup)?.len(), content.len());
    for (path, _, bytes) in content {
        let entry = backup.entry(path)?.expect("the entry");
        let read = read_entry(&reader, &entry)?;
        let same = if path.starts_with("/map/") { sorted(&read) == sorted(bytes) } else { read == *bytes };
        assert!(same, "wrong data came back for {path}");
    }
    Ok(())
}

pub fn check(repository: &Repository, level: CheckLevel) -> CheckReport {
    repository.check(&CheckOptions::all(level), &|_| {}).unwrap()
}

pub fn assert_clean(repository: &Repository) {
    let report = check(repository, CheckLevel::Data);
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}
