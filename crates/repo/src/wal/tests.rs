//! Archived WAL: what is put comes back, what was changed is noticed, and who counts.

use std::fs::File;
use std::time::{Duration, SystemTime};

use age::secrecy::{ExposeSecret, SecretString};
use pgark_store::{DirStore, Storage};

use super::object;
use crate::*;

/// A repository in a folder, and what opens it; none: it is not encrypted.
struct Place {
    dir: tempfile::TempDir,
    identity: Option<SecretString>,
}

const SYSTEM: u64 = 7_412_345_678_901_234_567;

impl Place {
    fn new(encrypted: bool) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = Storage::uncancelled(DirStore::create(dir.path().join("repo")).unwrap());
        let identity = age::x25519::Identity::generate();
        let protection = match encrypted {
            true => Protection::Recipients(vec![identity.to_public().to_string()]),
            false => Protection::None,
        };
        init(&store, protection, &[], &LocalFolders::default()).unwrap();
        Place { dir, identity: encrypted.then(|| identity.to_string()) }
    }

    fn open(&self, unlock: Unlock) -> Repository {
        let store = Storage::uncancelled(DirStore::open(self.dir.path().join("repo")).unwrap());
        Repository::open(store, unlock, LocalFolders::default()).unwrap()
    }

    fn owner(&self) -> Repository {
        let identity = self.identity.as_ref().map(|identity| identity.expose_secret().to_string());
        self.open(identity.map_or(Unlock::Nothing, |identity| Unlock::Identity(identity.into())))
    }

    fn writer(&self, key: &SecretString) -> Repository {
        self.open(Unlock::WriterKey(key.expose_secret().to_string().into()))
    }

    /// A writer of this cluster alone.
    fn new_writer(&self, name: &str, cluster: &str) -> SecretString {
        self.owner().add_writer(name, Some(&[cluster.to_string()]), &[Right::Backup]).unwrap()
    }

    fn path(&self, repository: &Repository, name: &WalName) -> std::path::PathBuf {
        let archive = repository.wal("shop", SYSTEM).unwrap();
        self.dir.path().join("repo").join(name.below(&archive.folder))
    }
}

fn name(number: u32) -> WalName {
    WalName::parse(&format!("0000000100000000{number:08X}")).unwrap()
}

/// Bytes that do not compress, and zeros behind.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let half = len / 2;
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out[..half]);
    out
}

fn put(repository: &Repository, number: u32, content: &[u8]) -> Result<WalPut, RepoError> {
    let archive = repository.wal("shop", SYSTEM)?;
    archive.begin(repository, false)?;
    archive.put(&name(number), content, b"{}", 1)
}

fn get(repository: &Repository, number: u32) -> Result<Option<Vec<u8>>, RepoError> {
    let found = repository.wal("shop", SYSTEM)?.get(&name(number))?;
    Ok(found.map(|(_, content)| content))
}

#[test]
fn what_is_put_comes_back() {
    for encrypted in [true, false] {
        let place = Place::new(encrypted);
        let owner = place.owner();
        let archive = owner.wal("shop", SYSTEM).unwrap();
        assert!(!archive.exists().unwrap() && owner.wal_clusters().unwrap().is_empty());
        archive.begin(&owner, false).unwrap();
        let history = WalName::parse("00000002.history").unwrap();
        let files = [
            (name(1), content(1, 3 << 20)),
            (name(2), content(2, (1 << 20) + 1)),
            (name(300), Vec::new()),
            (history.clone(), b"1\t0/5000000\tno recovery target specified\n".to_vec()),
        ];
        for (file, content) in &files {
            assert!(matches!(archive.put(file, content, b"facts", 1).unwrap(), WalPut::Stored { .. }));
            // The same once more is no error.
            assert_eq!(archive.put(file, content, b"other facts", 3).unwrap(), WalPut::WasThere);
            let (header, back) = archive.get(file).unwrap().unwrap();
            assert!(back == *content);
            assert_eq!((header.bytes, header.facts.as_slice()), (content.len() as u64, b"facts".as_slice()));
            assert_eq!(archive.header(file).unwrap().unwrap(), header);
        }
        // Another content is.
        let error = archive.put(&name(1), &content(7, 3 << 20), b"", 1).unwrap_err();
        assert!(matches!(error, RepoError::OtherWal { .. }), "{error}");
        assert!(archive.get(&name(1)).unwrap().unwrap().1 == files[0].1);
        assert_eq!(archive.get(&name(9)).unwrap(), None);
        assert_eq!(archive.header(&name(9)).unwrap(), None);
        let listed: Vec<WalName> = archive.list(None).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(listed, [name(1), name(2), name(300), history]);
        let after = archive.segments_after(&name(1)).unwrap();
        assert_eq!(after.iter().map(|file| &file.name).collect::<Vec<_>>(), [&name(2), &name(300)]);
        assert_eq!(owner.wal_clusters().unwrap(), [("shop".to_string(), SYSTEM)]);
        let large = vec![0; object::LARGEST_FILE + 1];
        assert!(matches!(archive.put(&name(4), &large, b"", 1), Err(RepoError::TooLarge { .. })));
        // It is no stranger's, and neither a check nor a prune minds it.
        assert!(owner.check(&CheckOptions::all(CheckLevel::Structure), &|_| {}).unwrap().foreign.is_empty());
        let now = PruneOptions { grace: Duration::ZERO, repack_below: 100, erase: false, dry_run: false };
        owner.prune(&now, &|_| {}).unwrap();
        assert_eq!(archive.list(None).unwrap().len(), 4);
    }
}

/// Two systems do not archive under one cluster's name, unless someone says so.
#[test]
fn another_system_is_refused_until_it_is_adopted() {
    let place = Place::new(true);
    let owner = place.owner();
    put(&owner, 1, b"one").unwrap();
    let other = owner.wal("shop", 5).unwrap();
    let error = other.begin(&owner, false).unwrap_err();
    assert!(matches!(error, RepoError::OtherSystem { known: SYSTEM, found: 5, .. }), "{error}");
    other.begin(&owner, true).unwrap();
    other.begin(&owner, false).unwrap();
    assert_eq!(owner.wal_systems("shop").unwrap(), [SYSTEM, 5]);
    other.put(&name(1), b"of the other", b"", 1).unwrap();
    assert_eq!(get(&owner, 1).unwrap().unwrap(), b"one");
    // Another cluster may have the same system: a clone.
    owner.wal("clone", SYSTEM).unwrap().begin(&owner, false).unwrap();
    assert_eq!(owner.wal("clone", SYSTEM).unwrap().get(&name(1)).unwrap(), None);
}

/// Whoever has a writer key of the cluster archives, and reads what is said of files, not them.
#[test]
fn a_writer_archives_and_cannot_read() {
    let place = Place::new(true);
    let writer = place.writer(&place.new_writer("db1", "shop"));
    put(&writer, 1, &content(1, 100_000)).unwrap();
    assert_eq!(put(&writer, 1, &content(1, 100_000)).unwrap(), WalPut::WasThere);
    let archive = writer.wal("shop", SYSTEM).unwrap();
    assert_eq!(archive.header(&name(1)).unwrap().unwrap().bytes, 100_000);
    assert!(matches!(archive.get(&name(1)), Err(RepoError::NeedsReaderSecret)));
    assert_eq!(writer.wal_clusters().unwrap(), [("shop".to_string(), SYSTEM)]);
    assert!(writer.wal("other", SYSTEM).is_err());
    let other = place.writer(&place.new_writer("db2", "other"));
    assert!(other.wal("shop", SYSTEM).is_err() && other.wal_clusters().unwrap().is_empty());
    assert!(get(&place.owner(), 1).unwrap().unwrap() == content(1, 100_000));
}

/// No bit of an object can be changed, no end cut off, and it is no other file's.
#[test]
fn every_change_is_noticed() {
    for encrypted in [true, false] {
        let place = Place::new(encrypted);
        let owner = place.owner();
        put(&owner, 1, &content(1, 3_000)).unwrap();
        let path = place.path(&owner, &name(1));
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1 << (at % 8);
            std::fs::write(&path, &torn).unwrap();
            let error = get(&owner, 1).unwrap_err();
            assert!(error.is_of_object(), "byte {at}: {error}");
            // A header is read without the bytes behind it.
            let header = owner.wal("shop", SYSTEM).unwrap().header(&name(1));
            assert!(header.is_ok() || header.is_err_and(|error| error.is_of_object()), "byte {at}");
        }
        for len in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(get(&owner, 1).unwrap_err().is_of_object(), "cut at {len}");
        }
        std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(get(&owner, 1).is_err());
        std::fs::write(&path, &whole).unwrap();
        assert!(get(&owner, 1).unwrap().is_some());
        std::fs::copy(&path, place.path(&owner, &name(2))).unwrap();
        assert!(get(&owner, 2).unwrap_err().is_of_object());
        // It is in the way of the true one.
        assert!(put(&owner, 2, b"two").is_err());
    }
}

/// What was archived before a key was revoked or replaced counts; what came later does not.
#[test]
fn rotated_and_revoked_keys_count_for_what_was_there() {
    let place = Place::new(true);
    let writer = place.writer(&place.new_writer("db1", "shop"));
    put(&writer, 1, b"by the writer").unwrap();
    put(&place.owner(), 2, b"by the owner").unwrap();
    place.owner().rotate_keys(None, false).unwrap();
    let owner = place.owner();
    assert_eq!(get(&owner, 1).unwrap().unwrap(), b"by the writer");
    assert_eq!(get(&owner, 2).unwrap().unwrap(), b"by the owner");
    assert!(owner.wal("shop", SYSTEM).unwrap().exists().unwrap());
    assert_eq!(owner.wal_systems("shop").unwrap(), [SYSTEM]);
    // As if the storage had received it later.
    let later = |number: u32, by: Duration| {
        let file = File::options().append(true).open(place.path(&owner, &name(number))).unwrap();
        file.set_modified(SystemTime::now() + by).unwrap();
    };
    let minute = Duration::from_secs(60);
    for number in [1, 2] {
        later(number, 3 * minute);
        assert!(get(&owner, number).unwrap().is_some(), "clocks may differ");
        later(number, 10 * minute);
        let error = get(&owner, number).unwrap_err().to_string();
        assert!(error.contains("before"), "{error}");
        later(number, Duration::ZERO);
        assert!(get(&owner, number).unwrap().is_some());
    }
    // A second rotation keeps what the first one said.
    place.owner().rotate_keys(None, false).unwrap();
    let owner = place.owner();
    assert!(get(&owner, 1).unwrap().is_some() && get(&owner, 2).unwrap().is_some());
    let second = place.writer(&place.new_writer("db2", "shop"));
    put(&second, 3, b"three").unwrap();
    // The writer keys of before sign nothing more that counts: they cannot even look.
    assert!(place.owner().wal("shop", SYSTEM).is_ok());
    let hour = jiff::SignedDuration::from_hours(1);
    place.owner().revoke_compromised("db2", jiff::Timestamp::now() - hour).unwrap();
    let error = get(&place.owner(), 3).unwrap_err().to_string();
    assert!(error.contains("db2 was revoked before"), "{error}");
    // It stays in the way: nobody's bytes are replaced silently.
    assert!(put(&place.owner(), 3, b"three").is_err());
}

/// Puts a piece of a segment; its name.
fn put_piece(archive: &WalArchive<'_>, whole: &[u8], from: usize, to: usize) -> Result<WalName, RepoError> {
    let piece = WalName::piece(&name(1), from as u32, to as u32).unwrap();
    let mut digest = archive.begin_digest();
    digest.feed(&whole[..to]);
    archive.put_piece(&piece, &whole[from..to], &digest, format!("up to {to}").as_bytes(), 1)?;
    Ok(piece)
}

/// However receivers cut a segment: the longest chain of pieces that agree is what there is of it.
#[test]
fn pieces_come_together() {
    for encrypted in [true, false] {
        let place = Place::new(encrypted);
        let owner = place.owner();
        let archive = owner.wal("shop", SYSTEM).unwrap();
        archive.begin(&owner, false).unwrap();
        let (whole, other) = (content(1, 3 << 20), content(2, 3 << 20));
        let there = || archive.assemble(&archive.pieces(&name(1)).unwrap()).unwrap();
        let goes_to = |to: usize| {
            let found = there().unwrap();
            assert!(found.content == whole[..to], "{} instead of {to}", found.content.len());
            assert_eq!(found.facts, format!("up to {to}").as_bytes());
        };
        assert_eq!(there(), None);
        // Without its beginning it is nothing.
        put_piece(&archive, &whole, 500, 1000).unwrap();
        assert_eq!(there(), None);
        put_piece(&archive, &whole, 0, 500).unwrap();
        goes_to(1000);
        // The same once more, and the same name of another segment.
        put_piece(&archive, &whole, 0, 500).unwrap();
        let error = put_piece(&archive, &other, 0, 500).unwrap_err();
        assert!(matches!(error, RepoError::OtherWal { .. }), "{error}");
        // What another server wrote does not fit, however far it goes; nor does what comes behind a
        // hole.
        put_piece(&archive, &other, 0, 600).unwrap();
        put_piece(&archive, &other, 1000, 2000).unwrap();
        put_piece(&archive, &whole, 1001, 3000).unwrap();
        goes_to(1000);
        // A second receiver of the same server, and one that puts small pieces together.
        put_piece(&archive, &whole, 700, 2 << 20).unwrap();
        goes_to(2 << 20);
        let large = put_piece(&archive, &whole, 0, 3 << 20).unwrap();
        goes_to(3 << 20);
        archive.delete_pieces(&[large, name(1)]).unwrap();
        goes_to(2 << 20);
        // The other server's goes farther now.
        put_piece(&archive, &other, 600, 3 << 20).unwrap();
        assert!(there().unwrap().content == other);
        // A header says up to where it goes, and whether two that end there are of one segment.
        let header =
            |from, to| archive.header(&WalName::piece(&name(1), from, to).unwrap()).unwrap().unwrap();
        put_piece(&archive, &whole, 100, 3 << 20).unwrap();
        assert!(!header(600, 3 << 20).agrees_with(&header(100, 3 << 20)));
        assert_eq!(header(700, 2 << 20).bytes, (2 << 20) - 700);
        // It is no stranger's, and no segment.
        assert!(owner.check(&CheckOptions::all(CheckLevel::Structure), &|_| {}).unwrap().foreign.is_empty());
        assert_eq!(archive.header(&name(1)).unwrap(), None);
        let after = |number| archive.segments_after(&name(number)).unwrap().len();
        assert_eq!((after(0), after(1)), (archive.pieces(&name(1)).unwrap().len(), 0));
        assert!(archive.pieces(&name(2)).unwrap().is_empty());
    }
}

/// A piece that was changed, cut off, or put under another name is none.
#[test]
fn a_changed_piece_is_none() {
    let place = Place::new(true);
    let owner = place.owner();
    let archive = owner.wal("shop", SYSTEM).unwrap();
    archive.begin(&owner, false).unwrap();
    let whole = content(3, 4000);
    let first = put_piece(&archive, &whole, 0, 1000).unwrap();
    let second = put_piece(&archive, &whole, 1000, 2000).unwrap();
    let there = || {
        let found = archive.assemble(&archive.pieces(&name(1)).unwrap()).unwrap();
        found.map_or(0, |found| found.content.len())
    };
    let (first, second) = (place.path(&owner, &first), place.path(&owner, &second));
    let bytes = std::fs::read(&second).unwrap();
    for at in (0..bytes.len()).step_by(5) {
        let mut torn = bytes.clone();
        torn[at] ^= 1 << (at % 8);
        std::fs::write(&second, &torn).unwrap();
        assert_eq!(there(), 1000, "byte {at}");
    }
    std::fs::write(&second, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(there(), 1000);
    std::fs::copy(&first, &second).unwrap();
    assert_eq!(there(), 1000);
    std::fs::write(&second, &bytes).unwrap();
    assert_eq!(there(), 2000);
    // Bytes of another number than the name says.
    let wrong = WalName::piece(&name(1), 2000, 3001).unwrap();
    let error = archive.put_piece(&wrong, &whole[2000..3000], &archive.begin_digest(), b"", 1);
    assert!(matches!(error, Err(RepoError::TooLarge { .. })));
    // With a writer key, nothing can be read.
    let writer = place.writer(&place.new_writer("db1", "shop"));
    let archive = writer.wal("shop", SYSTEM).unwrap();
    put_piece(&archive, &whole, 2000, 3000).unwrap();
    let pieces = archive.pieces(&name(1)).unwrap();
    assert!(matches!(archive.assemble(&pieces), Err(RepoError::NeedsReaderSecret)));
    assert_eq!(there(), 3000);
}

mod header_lengths {
    use proptest::prelude::*;

    use super::super::object::header_end;

    proptest! {
        /// Whatever an object begins with, no length of it is believed beyond the limits.
        #[test]
        fn are_bounded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            match header_end("x", &bytes) {
                Ok(Some(end)) => prop_assert!(end <= (17 << 20)),
                Ok(None) => {}
                Err(error) => prop_assert!(error.is_of_object()),
            }
        }
    }
}
