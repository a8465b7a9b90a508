//! What a holder of a writer key finds out about data by guessing, with the storage at hand: of
//! plain streams and of maps whether a guess is right, of salted streams nothing.
//!
//! He reads all metadata and computes what the writer would. So everything that he can open is
//! searched for everything that he can compute from a guess.

use std::collections::HashSet;

use pgark_store::{DirStore, Storage};

use crate::ids::Hash;
use crate::pack::{self, Directory};
use crate::secrets::Protection;
use crate::stream::ChunkKind;
use crate::*;

/// A repository, and what opens it.
struct Place {
    dir: tempfile::TempDir,
    identity: SecretString,
    writer: SecretString,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let protection = Protection::Recipients(vec![identity.to_public().to_string()]);
        let store = Storage::uncancelled(DirStore::create(dir.path().join("r")).unwrap());
        let made = init(&store, protection, &[], &LocalFolders::default()).unwrap();
        Place { dir, identity: identity.to_string(), writer: made.writer_key.unwrap() }
    }

    fn open(&self, unlock: Unlock) -> Repository {
        let store = Storage::uncancelled(DirStore::open(self.dir.path().join("r")).unwrap());
        Repository::open(store, unlock, LocalFolders::default()).unwrap()
    }

    fn as_owner(&self) -> Repository {
        self.open(Unlock::Identity(self.identity.expose_secret().to_string().into()))
    }

    fn as_writer(&self) -> Repository {
        self.open(Unlock::WriterKey(self.writer.expose_secret().to_string().into()))
    }
}

/// How a table is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Mapped,
    Salted,
}

/// A backup of one table.
fn backup(repository: &Repository, way: Way, rows: &[u8]) -> BackupHead {
    let options = WriteOptions { jobs: 2, compression_level: 3, ..WriteOptions::of("shop", "test") };
    let made = repository.write_backup::<(), RepoError>(&options, |writer| {
        let mut entry = writer.entry("/table", Class::Data);
        let mut stream = match way {
            Way::Plain => Some(writer.stream(Class::Data, Cut::Rows)),
            Way::Salted => Some(writer.salted_stream()),
            Way::Mapped => None,
        };
        if let Some(stream) = &mut stream {
            rows.chunks(10_007).try_for_each(|piece| stream.write(piece))?;
        }
        match stream {
            Some(stream) => entry.add(stream.finish()?),
            None => {
                let mut map = writer.map(Rows, MapTarget { identity: [1; 16], domain: Vec::new(), from: 0 });
                for row in rows.split_inclusive(|byte| *byte == b'\n') {
                    let hash = map.hasher().hash(row);
                    map.add(row, hash)?;
                }
                entry.add(map.finish(&[], 0)?);
            }
        }
        entry.finish(b"{}".to_vec())?;
        let (kind, about) = ("x".into(), b"{}".to_vec());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    made.unwrap().0
}

/// The directories of all packs, as this key opens them.
fn directories(repository: &Repository) -> Vec<Directory> {
    let compartment = repository.compartments().unwrap().into_iter().next().unwrap();
    let packs = pack::list(repository.store(), compartment).unwrap();
    let read = |(hash, listed): (&Hash, &pack::Listed)| {
        pack::read_directory(repository.store(), repository.keys(), compartment, hash, listed.size).unwrap().1
    };
    packs.iter().map(read).collect()
}

/// Every eight bytes, one behind the other, of all that this key opens: directories of packs,
/// chunks of metadata, bodies of manifests.
fn seen(repository: &Repository) -> HashSet<[u8; 8]> {
    let compartment = repository.compartments().unwrap().into_iter().next().unwrap();
    let reader = repository.chunks(repository.whole_index(compartment).unwrap()).unwrap();
    let mut all: Vec<Vec<u8>> = Vec::new();
    for directory in directories(repository) {
        for chunk in &directory.chunks {
            let kind = ChunkKind::from_number(chunk.kind).unwrap();
            let child = stream::Child { id: chunk.id, bytes: chunk.raw_len.into(), raw_len: chunk.raw_len };
            match (kind.is_data(), reader.fetch(&child, kind)) {
                (true, opened) => assert!(matches!(opened, Err(RepoError::NeedsReaderSecret)), "{opened:?}"),
                (false, raw) => all.push(raw.unwrap()),
            }
        }
        all.push(codec::encode(&directory));
    }
    for meta in names::list(repository.store(), "manifests/").unwrap() {
        let bytes = repository.store().get(&meta.name).unwrap();
        let kind = object::Kind::Manifest;
        all.push(signed::open(repository.keys(), kind, &meta.name, &meta.name, &bytes).unwrap().body);
    }
    all.iter().flat_map(|bytes| bytes.windows(8)).map(|eight| eight.try_into().unwrap()).collect()
}

/// Whether something that a guess of the whole table gives is among what was seen.
fn is_found(repository: &Repository, seen: &HashSet<[u8; 8]>, guess: &[u8]) -> bool {
    let compartment = repository.compartments().unwrap().into_iter().next().unwrap();
    let keys = repository.keys().compartment(compartment).unwrap();
    let hasher = repository.unlocked.item_hasher(&keys, &[]);
    let ids = (1..=5).map(|kind| blake3::keyed_hash(&keys.chunk_id_key(kind, &[]), guess));
    let first = |bytes: &[u8]| -> [u8; 8] { bytes[..8].try_into().unwrap() };
    let mut known: Vec<[u8; 8]> = ids.map(|id| first(id.as_bytes())).collect();
    known.push(first(blake3::hash(guess).as_bytes()));
    for row in guess.split_inclusive(|byte| *byte == b'\n') {
        known.push(hasher.listed(hasher.hash(row)).to_le_bytes());
    }
    known.iter().any(|eight| seen.contains(eight))
}

/// A table of one row with a four-digit number, and every number tried.
#[test]
fn guesses_find_rows_of_plain_and_mapped_tables_and_none_of_salted_ones() {
    for way in [Way::Plain, Way::Mapped, Way::Salted] {
        let place = Place::new();
        let thief = place.as_writer();
        let row = |number: u32| format!("1\tcustomer\t{number:04}\n").into_bytes();
        let head = backup(&thief, way, &row(4711));
        let seen = seen(&thief);
        let found: Vec<u32> = (0..10_000).filter(|number| is_found(&thief, &seen, &row(*number))).collect();
        assert_eq!(found, if way == Way::Salted { vec![] } else { vec![4711] }, "{way:?}");
        let owner = place.as_owner();
        let entry = owner.open_backup(head.id).unwrap().entry("/table").unwrap().unwrap();
        assert_eq!(entry.parts[0].digest().is_none(), way == Way::Salted);
        assert_eq!(owner.reader(&head).unwrap().read_whole(&entry, 1 << 20).unwrap(), row(4711));
    }
}

/// Where a salted stream is cut, and how long its sealed chunks are, tells how long it is.
#[test]
fn cuts_and_lengths_of_salted_chunks_tell_nothing_but_the_length_of_all() {
    let rows = |seed: u32, count: u32| -> Vec<u8> {
        (0..count)
            .flat_map(|number| {
                format!("{number:08}\t{:08x}\tthe same in each\n", number.wrapping_mul(seed)).into_bytes()
            })
            .collect()
    };
    let lengths = |content: &[u8]| -> Vec<(u32, bool)> {
        let place = Place::new();
        let writer = place.as_writer();
        backup(&writer, Way::Salted, content);
        let directories = directories(&writer);
        let chunks = directories.iter().flat_map(|directory| &directory.chunks);
        let data: Vec<_> = chunks.filter(|chunk| chunk.kind == 1).collect();
        for chunk in &data {
            let sealed = chunk.sealed_len as usize - pack::TAG;
            let is_padded =
                chunk.compressed && sealed.is_multiple_of(4096) && sealed < chunk.raw_len as usize;
            assert!(is_padded || (!chunk.compressed && sealed == chunk.raw_len as usize), "{chunk:?}");
        }
        let mut lengths: Vec<_> = data.iter().map(|chunk| (chunk.raw_len, chunk.compressed)).collect();
        lengths.sort_unstable();
        lengths
    };
    let (one, other) = (rows(0x9e37_79b1, 20_000), rows(0x85eb_ca6b, 20_000));
    assert_eq!((one.len(), lengths(&one)), (other.len(), lengths(&other)));
    assert_eq!(lengths(&one).last(), Some(&(256 << 10, true)));
    assert!(lengths(&rows(7, 2)).iter().all(|(_, compressed)| !compressed), "a tiny one");
}

/// A salted stream is as good as any other: it comes back, is checked, copied, kept by a prune; and
/// nothing of it is ever stored once for two backups.
#[test]
fn salted_streams_are_whole_in_each_backup_and_in_copies() {
    let content: Vec<u8> = (0..90_000u32).flat_map(|number| format!("{number}\tx\n").into_bytes()).collect();
    let place = Place::new();
    let owner = place.as_owner();
    let ids = |repository: &Repository| -> Vec<Hash> {
        let directories = directories(repository);
        let chunks = directories.iter().flat_map(|directory| &directory.chunks);
        chunks.filter(|chunk| chunk.kind == 1).map(|chunk| chunk.id).collect()
    };
    let first = backup(&owner, Way::Salted, &content);
    let before = ids(&owner);
    let second = backup(&place.as_writer(), Way::Salted, &content);
    let after: HashSet<Hash> = ids(&owner).into_iter().collect();
    assert_eq!((before.len() > 2, after.len()), (true, 2 * before.len()));
    let read = |repository: &Repository, head: &BackupHead| {
        let entry = repository.open_backup(head.id).unwrap().entry("/table").unwrap().unwrap();
        assert!(entry.parts[0].is_salted() && entry.bytes_raw == content.len() as u64);
        repository.reader(head).unwrap().read_whole(&entry, 1 << 30).unwrap() == content
    };
    let owner = place.as_owner();
    assert!(read(&owner, &first) && read(&owner, &second));
    let there = Place::new();
    let target = there.as_owner();
    let reader = owner.reader(&second).unwrap();
    let entry = owner.open_backup(second.id).unwrap().entry("/table").unwrap().unwrap();
    let options = WriteOptions { compression_level: 3, ..WriteOptions::of("shop", "test") };
    let copied = target.write_backup::<(), RepoError>(&options, |writer| {
        let mut seen = 0;
        writer.copy_entry(&reader, &entry, Vec::new(), Cut::Rows, &mut |bytes| seen += bytes)?;
        assert_eq!(seen, content.len() as u64);
        let (kind, about) = ("x".into(), b"{}".to_vec());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    assert!(read(&target, &copied.unwrap().0));
    owner.forget(first.id).unwrap();
    let now =
        PruneOptions { grace: std::time::Duration::ZERO, repack_below: 100, erase: false, dry_run: false };
    owner.prune(&now, &|_| {}).unwrap();
    let owner = place.as_owner();
    assert!(read(&owner, &second));
    for repository in [&owner, &target] {
        let report = repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
        assert_eq!(report.problems, []);
    }
}

/// Lengths that cannot be a salted stream's are refused.
#[test]
fn impossible_lengths_of_salted_parts_are_refused() {
    let part = |root: u8, bytes: u64, content: u64, class: u8| {
        let stream = stream::StreamRef { root: Hash([root; 32]), level: 0, class, bytes };
        let salted: SaltedRef = codec::decode(&codec::encode(&(&stream, content))).unwrap();
        manifest::bytes_of(&[Part::Salted(salted)])
    };
    assert_eq!((part(1, 42, 10, 1), part(0, 0, 0, 1)), (Ok(10), Ok(0)));
    for (bytes, content, class) in [(42, 10, 2), (42, 43, 1), (41, 10, 1), (10, 10, 1), (32, 0, 1), (0, 5, 1)]
    {
        assert!(part(1, bytes, content, class).is_err(), "{bytes} {content} {class}");
    }
}
