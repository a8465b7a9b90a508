//! What a stolen writer key can do: lying objects of every kind, put during honest backups, prunes
//! and checks. Nothing honest is lost, hidden or misread.

mod cells;

use std::collections::BTreeSet;
use std::sync::Arc;

use age::secrecy::{ExposeSecret, SecretString};
use jiff::Timestamp;
use minicbor::bytes::{ByteArray, ByteVec};
use pgark_store::{DirStore, Storage};

use crate::announcement::Announcement;
use crate::codec::Extensions;
use crate::ids::{ChunkId, Compartment, Hash, ObjectHash};
use crate::index::object::{self as index_object, IndexContent, IndexRecord, PackEntry};
use crate::object::{self, Kind};
use crate::pack::{self, Builder, ChunkRecord, KeyRecord, PACK_BYTES};
use crate::properties::Random;
use crate::prune::trash;
use crate::rights::Right;
use crate::secrets::Room;
use crate::*;

/// A repository in a folder, and what opens it.
struct Place {
    dir: tempfile::TempDir,
    identity: SecretString,
}

const SHOP: &str = "shop";
const TEST: &str = "test";

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let store = Storage::uncancelled(DirStore::create(dir.path().join("repo")).unwrap());
        let protection = Protection::Recipients(vec![identity.to_public().to_string()]);
        init(&store, protection, &[], &LocalFolders::default()).unwrap();
        Place { dir, identity: identity.to_string() }
    }

    fn storage(&self) -> Storage {
        Storage::uncancelled(DirStore::open(self.dir.path().join("repo")).unwrap())
    }

    fn owner(&self) -> Repository {
        self.open(Unlock::Identity(self.identity.expose_secret().to_string().into())).unwrap()
    }

    fn open(&self, unlock: Unlock) -> Result<Repository, RepoError> {
        Repository::open(self.storage(), unlock, LocalFolders::default())
    }

    fn writer(&self, key: &SecretString) -> Repository {
        self.open(Unlock::WriterKey(key.expose_secret().to_string().into())).unwrap()
    }
}

/// Bytes that do not compress, by a seed.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

type Content = Vec<(String, Vec<u8>)>;

fn content(seeds: &[u64]) -> Content {
    seeds.iter().map(|seed| (format!("/{seed}"), bytes(*seed, 150_000))).collect()
}

fn backup(repository: &Repository, cluster: &str, content: &Content) -> Result<BackupHead, RepoError> {
    let options = WriteOptions::of(cluster, "test");
    let written = repository.write_backup::<(), RepoError>(&options, |writer| {
        for (path, bytes) in content {
            let mut entry = writer.entry(path.clone(), Class::Data);
            let mut stream = entry.stream(Cut::Content);
            stream.write(bytes)?;
            entry.add(stream.finish()?);
            entry.finish(Vec::new())?;
        }
        let (kind, about) = ("x".into(), b"{}".to_vec());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    written.map(|(head, ())| head)
}

/// Every entry comes back as it was.
fn compare(repository: &Repository, head: &BackupHead, content: &Content) {
    let backup = repository.open_backup(head.id).unwrap();
    let reader = repository.reader(&backup.head).unwrap();
    assert_eq!(backup.head.entries, content.len() as u64);
    for (path, bytes) in content {
        let entry = backup.entry(path).unwrap().unwrap();
        assert!(reader.read_whole(&entry, 1 << 30).unwrap() == *bytes, "{path} of backup {}", head.id);
    }
}

fn now() -> PruneOptions {
    PruneOptions { grace: std::time::Duration::ZERO, repack_below: 100, erase: false, dry_run: false }
}

/// Someone with a stolen writer key, who puts what he likes into a compartment.
struct Thief {
    repository: Repository,
    /// Where he puts it.
    compartment: Compartment,
    random: Random,
}

/// What he found out about an honest pack.
struct Seen {
    hash: ObjectHash,
    size: u64,
    chunks: Vec<ChunkRecord>,
    keys: Vec<KeyRecord>,
}

impl Thief {
    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.repository.store().put_if_absent(name, bytes.into()).unwrap();
    }

    /// The packs that his key opens.
    fn seen(&self) -> Vec<Seen> {
        let (store, keys) = (self.repository.store(), self.repository.keys());
        let mut seen = Vec::new();
        for (hash, listed) in pack::list(store, self.compartment).unwrap() {
            let read = pack::read_directory(store, keys, self.compartment, &hash, listed.size);
            if let Ok((_, directory)) = read {
                let (chunks, keys) = (directory.chunks, directory.keys);
                seen.push(Seen { hash, size: listed.size, chunks, keys });
            }
        }
        seen
    }

    /// A pack of junk that says it holds these chunks; with the hashes of the true sealed bytes, or
    /// of its own.
    fn junk(&mut self, chunks: &[(ChunkRecord, KeyRecord)], borrowed: bool) -> Option<PackEntry> {
        let kind = ChunkKindOf(chunks.first()?.0.kind).pack();
        let mut builder = Builder::new(self.compartment, kind, PACK_BYTES, Vec::new());
        for (record, key) in chunks.iter().filter(|(record, _)| ChunkKindOf(record.kind).pack() == kind) {
            let junk = bytes(self.random.next(), record.sealed_len as usize);
            let digest =
                if borrowed { record.digest } else { ByteArray::from(*blake3::hash(&junk).as_bytes()) };
            let key = match borrowed {
                true => key.clone(),
                false => KeyRecord { maker: self.repository.keys().writer_public().into(), ..key.clone() },
            };
            builder.add(ChunkRecord { digest, ..record.clone() }, &key, &junk).unwrap();
        }
        let (hash, bytes, _) = builder.finish(self.repository.keys()).ok()?;
        let size = bytes.len() as u64;
        self.put(&pack::name(self.compartment, &hash), bytes);
        Some(PackEntry { hash, size })
    }

    fn index(&self, content: IndexContent) {
        let Ok(bytes) = index_object::encode(self.repository.keys(), self.compartment, content) else {
            return;
        };
        self.put(&index_object::name(self.compartment, &Hash::of(&bytes)), bytes);
    }

    fn record(record: &ChunkRecord, pack: u32) -> IndexRecord {
        IndexRecord {
            id: record.id,
            pack,
            raw_len: record.raw_len,
            sealed_len: record.sealed_len,
            kind: record.kind,
        }
    }

    /// One lying object, or a few that belong together.
    fn lie(&mut self, honest: &[BackupHead]) {
        let seen = self.seen();
        let keys = Arc::clone(&self.repository.unlocked.keys);
        let id = BackupId(self.random.next().to_le_bytes());
        let victim = honest.get(self.random.below(honest.len())).cloned();
        let time = Timestamp::now().as_microsecond();
        let compartment = self.compartment;
        let folder = |folder: &str| format!("{folder}/{compartment}");
        match self.random.below(11) {
            // Bytes that are nothing, under every kind of name.
            0 => {
                let hash = Hash::of(&self.random.next().to_le_bytes());
                let number = self.random.below(1000);
                for name in [
                    pack::name(compartment, &hash),
                    index_object::name(compartment, &hash),
                    format!("{}/{id}/00000000", folder("sessions")),
                    format!("{}/{number:016}-{id}", folder("manifests")),
                    format!("{}/{number:016}-{id}", folder("copies/manifests")),
                    format!("{}/{number:016}-{id}", folder("forgotten")),
                    format!("{}/{id}/00000001", folder("tags")),
                    format!("{}/{id}.marks", folder("trash")),
                    format!("{}/{id}.intents", folder("trash")),
                    format!("{}/{hash}/{id}", folder("quarantine")),
                    format!("keys/1-{id}.age"),
                    format!("writers/{:08}", 1000 + number),
                ] {
                    let junk = bytes(self.random.next(), 100);
                    self.put(&name, junk);
                }
            }
            // An honest object under another name, whole or with a bit flipped.
            1 => {
                let objects = self.repository.store().list("").unwrap();
                let own: Vec<_> =
                    objects.iter().filter(|meta| meta.name.contains(&compartment.to_string())).collect();
                let Some(from) = own.get(self.random.below(own.len())) else { return };
                let Ok(mut copied) = self.repository.store().get(&from.name) else { return };
                if self.random.below(2) == 0 && !copied.is_empty() {
                    let at = self.random.below(copied.len());
                    copied[at] ^= 1;
                }
                let name = match from.name.rsplit_once('-') {
                    Some((before, _)) => format!("{before}-{id}"),
                    None => pack::name(compartment, &Hash::of(&self.random.next().to_le_bytes())),
                };
                // A draft that cannot be read holds a prune: that is told, and no lie.
                if !name.starts_with("drafts/") {
                    self.put(&name, copied);
                }
            }
            // Junk in the place of living chunks, and an index object that says so.
            2 | 3 => {
                let borrowed = self.random.below(2) == 0;
                let Some(from) = seen.get(self.random.below(seen.len())) else { return };
                let of = |record: &ChunkRecord| {
                    Some((record.clone(), from.keys.iter().find(|key| key.key_id == record.key_id)?.clone()))
                };
                let chunks: Vec<_> = from.chunks.iter().filter_map(of).take(50).collect();
                let Some(entry) = self.junk(&chunks, borrowed) else { return };
                let records = chunks.iter().map(|(record, _)| Thief::record(record, 0)).collect();
                self.index(IndexContent { packs: vec![entry], records, supersedes: Vec::new() });
            }
            // Chunks where they are not, in packs of the wrong size, and all other index objects
            // superseded.
            4 | 5 => {
                let wrong = u64::from(self.random.below(2) == 0);
                let packs =
                    seen.iter().map(|seen| PackEntry { hash: seen.hash, size: seen.size + wrong }).collect();
                let count = seen.len().max(1);
                let all = seen.iter().flat_map(|seen| &seen.chunks).take(200);
                let records =
                    all.map(|record| Thief::record(record, self.random.below(count) as u32)).collect();
                let listed = self.repository.store().list(&index_object::folder(compartment)).unwrap();
                let supersedes =
                    listed.iter().filter_map(|meta| Some(index_object::parse_name(&meta.name)?.1)).collect();
                if !seen.is_empty() {
                    self.index(IndexContent { packs, records, supersedes });
                }
            }
            // Marks and intents on everything.
            6 => {
                let all = seen.iter().map(|seen| (seen.hash, None)).collect();
                for intents in [false, true] {
                    let name = trash::name(compartment, &id.to_string(), intents);
                    if let Ok(bytes) = trash::make(&keys, &name, &all, intents) {
                        self.put(&name, bytes);
                    }
                }
            }
            // Everything forgotten, untagged, damaged.
            7 => {
                let Some(victim) = victim else { return };
                let name = format!("{}/{:016}-{}", folder("forgotten"), victim.sequence, victim.id);
                let body = (ByteArray::from(victim.id.0), time, None::<ObjectHash>, Extensions::default());
                self.sign(Kind::Tombstone, &name, &body);
            }
            8 => {
                let Some(victim) = victim else { return };
                let number = 2 + self.random.below(3);
                let name = format!("{}/{}/{number:08}", folder("tags"), victim.id);
                let body = (ByteArray::from(victim.id.0), time, Vec::<String>::new(), Extensions::default());
                self.sign(Kind::Tags, &name, &body);
            }
            9 => {
                for seen in &seen {
                    let name = format!("{}/{}/{id}", folder("quarantine"), seen.hash);
                    let body = (seen.hash, None::<Vec<ChunkId>>, time, Extensions::default());
                    self.sign(Kind::Quarantine, &name, &body);
                }
            }
            // A session and a draft of nothing.
            _ => {
                let said = Announcement::default();
                if let Ok((name, bytes)) = sessions::next_object(&keys, compartment, id, 0, &said) {
                    self.put(&name, bytes);
                }
                let packs = seen.iter().map(|seen| seen.hash).collect();
                if let Ok((name, bytes)) = draft::make(&keys, compartment, id, packs) {
                    self.put(&name, bytes);
                }
            }
        }
    }

    /// Signs with his key, and seals with what keys he has.
    fn sign<T: minicbor::Encode<()>>(&self, kind: Kind, name: &str, body: &T) {
        let keys = &self.repository.unlocked.keys;
        let signed = signed::sign(keys, kind, name, codec::encode(body)).unwrap();
        let own = keys.opens(self.compartment);
        let room = if own { Room::Of(self.compartment) } else { Room::Common };
        if let Ok(bytes) = object::seal_in(keys, room, kind, name, &signed) {
            self.put(name, bytes);
        }
    }
}

/// What kind of pack a chunk belongs into.
struct ChunkKindOf(u8);

impl ChunkKindOf {
    fn pack(&self) -> Kind {
        match stream::ChunkKind::from_number(self.0).is_some_and(stream::ChunkKind::is_data) {
            true => Kind::DataPack,
            false => Kind::MetadataPack,
        }
    }
}

/// Someone without a key makes some of his own.
fn keyless(place: &Place) -> Repository {
    let mut repository = Place::new().owner();
    repository.unlocked.store = place.storage();
    repository
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stolen {
    Nothing,
    /// The key of a host that may back up, and no more.
    Current,
    Revoked,
    /// Of every cluster, from before a rotation of the keys.
    OldEpoch,
    OtherCluster,
}

fn red_team(stolen: Stolen, lies: usize, seed: u64) {
    let place = Place::new();
    let own = |rights: &[Right], name: &str, cluster: Option<&str>| {
        let clusters: Option<Vec<String>> = cluster.map(|cluster| vec![cluster.into()]);
        place.owner().add_writer(name, clusters.as_deref(), rights).unwrap()
    };
    // He opened it while he might.
    let thief = match stolen {
        Stolen::Nothing => keyless(&place),
        Stolen::Current => place.writer(&own(&[Right::Backup], "thief", Some(SHOP))),
        Stolen::Revoked => place.writer(&own(&Right::ALL, "thief", Some(SHOP))),
        Stolen::OldEpoch => place.writer(&own(&Right::ALL, "thief", None)),
        Stolen::OtherCluster => place.writer(&own(&Right::ALL, "thief", Some(TEST))),
    };
    match stolen {
        Stolen::Revoked => place.owner().revoke_writer("thief").unwrap(),
        Stolen::OldEpoch => drop(place.owner().rotate_keys(None, false).unwrap()),
        _ => {}
    }
    let honest = place.writer(&own(&Right::ALL, "honest", Some(SHOP)));
    let shared = content(&[1, 2, 3]);
    let mut known: Vec<(BackupHead, Content)> = Vec::new();
    for round in 0..3 {
        let content = [shared.clone(), content(&[10 + round, 20 + round])].concat();
        known.push((backup(&honest, SHOP, &content).unwrap(), content));
    }
    honest
        .change_tags(known[0].0.id, |tags| {
            tags.insert("pinned".into());
        })
        .unwrap();
    // Something for a prune to do.
    let gone = backup(&honest, SHOP, &content(&[77])).unwrap();
    honest.forget(gone.id).unwrap();
    let compartment = honest.unlocked.compartment_of(SHOP).unwrap();
    let mut thief = Thief { repository: thief, compartment, random: Random(seed | 1) };
    let heads = |known: &[(BackupHead, Content)]| -> Vec<BackupHead> {
        known.iter().map(|(head, _)| head.clone()).collect()
    };
    let rounds = 3;
    for round in 0..rounds {
        for _ in 0..lies / rounds {
            thief.lie(&heads(&known));
        }
        let content = [shared.clone(), content(&[100 + round as u64])].concat();
        known.push((backup(&honest, SHOP, &content).unwrap(), content));
        for pruner in [&honest, &place.owner()] {
            pruner.prune(&PruneOptions { erase: round == 1, ..now() }, &|_| {}).unwrap();
        }
        for reader in [place.owner(), place.writer(&own(&Right::ALL, "other", Some(SHOP)))] {
            let listed: BTreeSet<BackupId> = reader.backups().unwrap().iter().map(|head| head.id).collect();
            let wanted: BTreeSet<BackupId> = known.iter().map(|(head, _)| head.id).collect();
            assert_eq!(listed, wanted, "{stolen:?} {round}");
            assert!(reader.tags().unwrap().get(&known[0].0.id).is_some_and(|tags| tags.contains("pinned")));
            assert!(reader.quarantined_backups().unwrap().is_empty(), "{stolen:?} {round}");
        }
        known.iter().for_each(|(head, content)| compare(&place.owner(), head, content));
        let report = place.owner().check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
        let hurt: Vec<BackupId> = report.hurt.iter().map(|hurt| hurt.backup).collect();
        assert!(
            known.iter().all(|(head, _)| !hurt.contains(&head.id)),
            "{stolen:?} {round}: {:#?}",
            report.problems
        );
        // What lies is named.
        assert!(!report.problems.is_empty(), "{stolen:?} {round}");
    }
}

/// So many lying objects of each thief: 2,000 in all.
fn lies() -> usize {
    if std::env::var_os("PGARK_TEST_FULL").is_some() { 500 } else { 60 }
}

#[test]
fn nobody_without_a_key_destroys_anything() {
    red_team(Stolen::Nothing, lies(), 5);
}

#[test]
fn a_stolen_key_that_may_only_back_up_destroys_nothing() {
    red_team(Stolen::Current, lies(), 1);
}

#[test]
fn a_revoked_key_destroys_nothing() {
    red_team(Stolen::Revoked, lies(), 2);
}

#[test]
fn a_key_of_an_old_epoch_destroys_nothing() {
    red_team(Stolen::OldEpoch, lies(), 3);
}

#[test]
fn a_key_of_another_cluster_destroys_nothing() {
    red_team(Stolen::OtherCluster, lies(), 4);
}

/// A thief stores junk under the ids of rows that he expects, and a host depends on it without
/// reading it: a pack of junk, one of which not even the directory can be read, or an index object
/// alone that names an honest pack. Once the theft is known the host stores the rows, and both
/// backups are good.
#[test]
fn junk_of_a_stolen_key_heals_once_the_theft_is_known() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Junk {
        Pack,
        Unreadable,
        IndexAlone,
    }
    for junk in [Junk::Pack, Junk::Unreadable, Junk::IndexAlone] {
        let place = Place::new();
        let own = |name: &str| {
            let clusters = [SHOP.to_string()];
            place.owner().add_writer(name, Some(&clusters), &[Right::Backup]).unwrap()
        };
        let (stolen, honest) = (own("db7"), own("web"));
        let hour = std::time::Duration::from_secs(3600);
        backup(&place.writer(&honest), SHOP, &content(&[9])).unwrap();
        for meta in place.storage().list("").unwrap() {
            let path = place.dir.path().join("repo").join(&meta.name);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(meta.modified - 2 * hour).unwrap();
        }
        let rows = content(&[1, 2]);
        let repository = place.writer(&stolen);
        let compartment = repository.unlocked.compartment_of(SHOP).unwrap();
        let of_data =
            |seen: &Seen| seen.chunks.iter().all(|record| ChunkKindOf(record.kind).pack() == Kind::DataPack);
        let mut thief = Thief { repository, compartment, random: Random(5) };
        let older: Vec<Seen> = thief.seen().into_iter().filter(|seen| of_data(seen)).collect();
        backup(&thief.repository, SHOP, &rows).unwrap();
        let new = |seen: &Seen| of_data(seen) && older.iter().all(|older| older.hash != seen.hash);
        for seen in thief.seen().into_iter().filter(|seen| new(seen)) {
            let of = |record: &ChunkRecord| {
                Some((record.clone(), seen.keys.iter().find(|key| key.key_id == record.key_id)?.clone()))
            };
            let chunks: Vec<_> = seen.chunks.iter().filter_map(of).collect();
            let entry = match junk {
                Junk::Pack => thief.junk(&chunks, false).unwrap(),
                Junk::Unreadable => {
                    let bytes = bytes(6, 400_000);
                    let entry = PackEntry { hash: Hash::of(&bytes), size: bytes.len() as u64 };
                    thief.put(&pack::name(compartment, &entry.hash), bytes);
                    entry
                }
                Junk::IndexAlone => PackEntry { hash: older[0].hash, size: older[0].size },
            };
            let records = chunks.iter().map(|(record, _)| Thief::record(record, 0)).collect();
            thief.index(IndexContent { packs: vec![entry], records, supersedes: Vec::new() });
            place.storage().delete(&pack::name(compartment, &seen.hash)).unwrap();
        }
        let leaning = backup(&place.writer(&honest), SHOP, &rows).unwrap();
        let reads = |head: &BackupHead| {
            let owner = place.owner();
            let backup = owner.open_backup(head.id).unwrap();
            let entry = backup.entry(&rows[0].0).unwrap().unwrap();
            owner.reader(&backup.head).unwrap().read_whole(&entry, 1 << 30)
        };
        assert!(reads(&leaning).is_err(), "{junk:?}: it leans on nothing of the thief's");
        place.owner().revoke_compromised("db7", Timestamp::now() - hour).unwrap();
        if junk == Junk::IndexAlone {
            place.owner().repair_index(&|_, _| {}).unwrap();
        }
        let next = backup(&place.writer(&honest), SHOP, &rows).unwrap();
        for head in [&next, &leaning] {
            compare(&place.owner(), head, &rows);
        }
        let report = place.owner().check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
        let hurt: Vec<BackupId> = report.hurt.iter().map(|hurt| hurt.backup).collect();
        assert!(!hurt.contains(&next.id) && !hurt.contains(&leaning.id), "{junk:?}: {:#?}", report.problems);
        place.owner().prune(&now(), &|_| {}).unwrap();
        compare(&place.owner(), &next, &rows);
    }
}

/// Whoever held a slot once signs nothing that counts after a rotation, and opens no later backup.
#[test]
fn a_former_owner_is_nobody() {
    let place = Place::new();
    let second = age::x25519::Identity::generate();
    place.owner().add_slots(&Protection::Recipients(vec![second.to_public().to_string()])).unwrap();
    let former = place.open(Unlock::Identity(second.to_string().expose_secret().to_string().into())).unwrap();
    let first = backup(&former, SHOP, &content(&[1])).unwrap();
    let slots: Vec<(String, Vec<u8>)> = ["keys/", "keys-copy/"]
        .iter()
        .flat_map(|folder| place.storage().list(folder).unwrap())
        .map(|meta| (meta.name.clone(), place.storage().get(&meta.name).unwrap()))
        .collect();
    let owner = place.owner();
    let lost = second.to_public().to_string();
    owner.remove_slot(&lost).unwrap();
    owner.rotate_keys(None, false).unwrap();
    let before: Vec<String> =
        place.storage().list("writers/").unwrap().into_iter().map(|meta| meta.name).collect();
    let good = backup(&place.owner(), SHOP, &content(&[2])).unwrap();
    // He goes on with what he had open: a backup, a tombstone, a writer, a rotation of his own.
    for refused in [
        backup(&former, SHOP, &content(&[3])).map(drop),
        former.forget(good.id),
        former.add_writer("x", None, &Right::ALL).map(drop),
        former.rotate_keys(None, false).map(drop),
    ] {
        assert!(matches!(refused, Err(RepoError::KeyOfOlderEpoch { epoch: 2 })), "{refused:?}");
    }
    let after: Vec<String> =
        place.storage().list("writers/").unwrap().into_iter().map(|meta| meta.name).collect();
    assert_eq!(before, after);
    // Nor does he by hand: a list that goes on from the one that he knew, under the next number,
    // and slots that open his own keys for all who open ours.
    let his = former.keys().rotated().unwrap();
    let list = former.unlocked.writers();
    for number in [4, 5] {
        let mut body = list.body.clone();
        body.number = number;
        body.previous = list.hash;
        body.owners.push(writers::successor(former.keys(), &body, &his).unwrap());
        let mut more = his.rotated().unwrap();
        for _ in 0..3 {
            more = more.rotated().unwrap();
        }
        let recipients = vec![age_recipient(&place)];
        writers::put_slots(&place.storage(), &more, &Protection::Recipients(recipients)).unwrap();
        for name in [writers::name(number), writers::copy_name(number)] {
            let bytes =
                signed::seal(&his, Kind::Writers, &writers::name(number), codec::encode(&body)).unwrap();
            place.storage().put_if_absent(&name, bytes.into()).unwrap();
        }
    }
    for (name, bytes) in slots {
        place.storage().put_if_absent(&name, bytes.into()).unwrap();
    }
    let bad = {
        let options = WriteOptions::of(SHOP, "test");
        former.unlocked.set_writers(writers::Writers {
            body: list.body.clone(),
            hash: list.hash,
            lost: None,
        });
        let compartment = former.unlocked.compartment_of(SHOP).unwrap();
        let cluster = former.keys().cluster_hash(&options.cluster).unwrap();
        assert_eq!(cluster, compartment.to_string());
        let name = names::ManifestName { cluster, sequence: 7, id: BackupId([7; 8]) };
        let mut body = manifest::read(&former.unlocked, &name_of(&former, &first), |_| {}).unwrap().body;
        (body.id, body.sequence, body.previous) = (ByteArray::from([7; 8]), 7, None);
        let bytes = manifest::encode(former.keys(), &name, &body).unwrap();
        place.storage().put_if_absent(&name.name(), bytes.into()).unwrap();
        name.id
    };
    let owner = place.owner();
    assert_eq!(owner.key_list().unwrap().epoch, 2);
    let listed: Vec<BackupId> = owner.backups().unwrap().iter().map(|head| head.id).collect();
    assert_eq!(listed, [first.id, good.id]);
    assert!(owner.open_backup(bad).unwrap_err().to_string().contains("was replaced"));
    compare(&owner, &first, &content(&[1]));
    compare(&owner, &good, &content(&[2]));
    let report = owner.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
    assert!(
        report.problems.iter().any(|problem| problem.object.contains("writers/")),
        "{:#?}",
        report.problems
    );
}

fn age_recipient(place: &Place) -> String {
    let identity: age::x25519::Identity = place.identity.expose_secret().parse().unwrap();
    identity.to_public().to_string()
}

fn name_of(repository: &Repository, head: &BackupHead) -> names::ManifestName {
    let cluster = repository.keys().cluster_hash(&head.cluster).unwrap();
    names::ManifestName { cluster, sequence: head.sequence, id: head.id }
}

/// A list that is gone, or damaged, in both copies brings nobody back to life: neither on a host
/// that saw it, nor on one that reads a backup made by it.
#[test]
fn a_list_of_writers_is_never_stepped_back_from() {
    for gone in [true, false] {
        for host_saw_it in [true, false] {
            let place = Place::new();
            let local = |name: &str| LocalFolders { cache: None, state: Some(place.dir.path().join(name)) };
            let open = |local: LocalFolders| {
                let unlock = Unlock::Identity(place.identity.expose_secret().to_string().into());
                Repository::open(place.storage(), unlock, local).unwrap()
            };
            let key = open(local("state")).add_writer("thief", None, &Right::ALL).unwrap();
            let thief = place.writer(&key);
            open(local("state")).revoke_writer("thief").unwrap();
            let good = backup(&open(local("state")), SHOP, &content(&[1])).unwrap();
            for name in [writers::name(3), writers::copy_name(3)] {
                place.storage().delete(&name).unwrap();
                if !gone {
                    place.storage().put_if_absent(&name, bytes(1, 400).into()).unwrap();
                }
            }
            let host = open(if host_saw_it { local("state") } else { local("other") });
            let said = backup(&host, SHOP, &content(&[2])).unwrap_err();
            assert!(matches!(said, RepoError::ListOfWritersLost { known: 3, found: 2 }), "{said}");
            assert!(matches!(host.prune(&now(), &|_| {}), Err(RepoError::ListOfWritersLost { .. })));
            compare(&host, &good, &content(&[1]));
            drop(thief);
            // The owner makes a new one, behind the one that is lost.
            let owner = open(local("state"));
            owner.revoke_writer("thief").unwrap();
            let again = open(local("state"));
            backup(&again, SHOP, &content(&[2])).unwrap();
            again.prune(&now(), &|_| {}).unwrap();
            compare(&again, &good, &content(&[1]));
        }
    }
}

/// A name below `writers/` that is far from the newest is nobody's, and in nobody's way.
#[test]
fn a_name_of_a_list_far_away_is_nobodys() {
    let place = Place::new();
    place.storage().put_if_absent("writers/00000099", bytes(1, 300).into()).unwrap();
    backup(&place.owner(), SHOP, &content(&[1])).unwrap();
    place.owner().add_writer("a", None, &Right::ALL).unwrap();
    let report = place.owner().check(&CheckOptions::all(CheckLevel::Structure), &|_| {}).unwrap();
    assert!(report.problems.iter().any(|problem| problem.object.contains("00000099")));
}

/// What each right allows, and what is refused without it.
#[test]
fn rights_are_held_to() {
    for without in Right::ALL {
        let place = Place::new();
        let rights: Vec<Right> = Right::ALL.into_iter().filter(|right| *right != without).collect();
        let first = backup(&place.owner(), SHOP, &content(&[1])).unwrap();
        let second = backup(&place.owner(), SHOP, &content(&[2])).unwrap();
        let clusters = [SHOP.to_string()];
        let writer = place.writer(&place.owner().add_writer("w", Some(&clusters), &rights).unwrap());
        let told = |result: Result<(), RepoError>, needs: Right, what: &str| {
            let refused = matches!(&result, Err(RepoError::Keys { what }) if what.contains(needs.name()));
            match needs == without {
                true => assert!(refused, "{what} without {without:?}: {result:?}"),
                false => result.unwrap_or_else(|error| panic!("{what} without {without:?}: {error}")),
            }
        };
        told(backup(&writer, SHOP, &content(&[3])).map(drop), Right::Backup, "backup");
        writer.owner_tags(&place, first.id);
        told(writer.change_tags(first.id, |tags| tags.clear()).map(drop), Right::Forget, "tag");
        told(writer.forget(second.id), Right::Forget, "forget");
        told(writer.prune(&now(), &|_| {}).map(drop), Right::Prune, "prune");
        told(writer.repair_index(&|_, _| {}).map(drop), Right::Prune, "repair index");
        let gone = place.owner().backups().unwrap().iter().all(|head| head.id != second.id);
        assert_eq!(gone, without != Right::Forget);
        compare(&place.owner(), &first, &content(&[1]));
    }
}

impl Repository {
    /// Tags that the owner put, for someone to change.
    fn owner_tags(&self, place: &Place, id: BackupId) {
        place
            .owner()
            .change_tags(id, |tags| {
                tags.insert("pinned".into());
            })
            .unwrap();
    }
}

/// A key of one cluster opens nothing of another: no manifest, no list, no chunk, no id.
#[test]
fn compartments_share_nothing() {
    let place = Place::new();
    let rows = content(&[1, 2]);
    let shop = backup(&place.owner(), SHOP, &rows).unwrap();
    let test = backup(&place.owner(), TEST, &rows).unwrap();
    // The same bytes are stored for each: nobody can tell by the second that the first is there.
    assert!(test.bytes_added * 10 > shop.bytes_added * 9, "{} {}", test.bytes_added, shop.bytes_added);
    let clusters = [TEST.to_string()];
    let writer = place.writer(&place.owner().add_writer("t", Some(&clusters), &Right::ALL).unwrap());
    assert_eq!(writer.backups().unwrap().iter().map(|head| head.id).collect::<Vec<_>>(), [test.id]);
    assert!(matches!(writer.open_backup(shop.id), Err(RepoError::UnknownBackup { .. })));
    assert!(matches!(writer.keys().cluster_hash(SHOP), Err(RepoError::OtherCluster { .. })));
    let compartment = place.owner().unlocked.compartment_of(SHOP).unwrap();
    assert!(matches!(writer.keys().compartment(compartment), Err(RepoError::OtherCluster { .. })));
    for meta in place.storage().list("").unwrap() {
        if !meta.name.contains(&compartment.to_string()) {
            continue;
        }
        let bytes = place.storage().get(&meta.name).unwrap();
        let kinds = [Kind::Manifest, Kind::Index, Kind::Session, Kind::Draft];
        assert!(kinds.iter().all(|kind| object::open(writer.keys(), *kind, &meta.name, &bytes).is_err()));
        assert!(pack::parse(writer.keys(), compartment, &meta.name, &bytes).is_err(), "{}", meta.name);
    }
    // What he does in his own is his: a prune and a check of it touch nothing else.
    writer.prune(&now(), &|_| {}).unwrap();
    assert!(writer.check(&CheckOptions::all(CheckLevel::Objects), &|_| {}).unwrap().problems.is_empty());
    writer.forget(test.id).unwrap();
    writer.prune(&now(), &|_| {}).unwrap();
    compare(&place.owner(), &shop, &rows);
    // His list of writers shows that there are others, not what they are called.
    place.owner().add_writer("s", Some(&[SHOP.to_string()]), &[Right::Backup]).unwrap();
    let shown = |repository: &Repository| -> Vec<Option<Vec<String>>> {
        repository.key_list().unwrap().writers.into_iter().map(|writer| writer.clusters).collect()
    };
    assert_eq!(shown(&place.owner()), [None, Some(vec![TEST.into()]), Some(vec![SHOP.into()])]);
    assert_eq!(shown(&writer), [None, Some(vec![TEST.into()]), Some(vec![compartment.to_string()])]);
}

/// Clusters that share keys store equal data once, and their writers work in one compartment.
#[test]
fn clusters_that_share_store_once() {
    let dir = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let store = Storage::uncancelled(DirStore::create(dir.path().join("repo")).unwrap());
    let protection = Protection::Recipients(vec![identity.to_public().to_string()]);
    let shared = [vec!["prod".to_string(), "staging".to_string()]];
    init(&store, protection, &shared, &LocalFolders::default()).unwrap();
    let place = Place { dir, identity: identity.to_string() };
    let rows = content(&[1, 2, 3]);
    let prod = backup(&place.owner(), "prod", &rows).unwrap();
    let clusters = ["staging".to_string()];
    let key = place.owner().add_writer("s", Some(&clusters), &Right::ALL).unwrap();
    let staging = backup(&place.writer(&key), "staging", &rows).unwrap();
    assert!(staging.bytes_added * 20 < prod.bytes_added, "{} {}", staging.bytes_added, prod.bytes_added);
    let other = backup(&place.owner(), "other", &rows).unwrap();
    assert!(other.bytes_added * 10 > prod.bytes_added * 9);
    let refused = backup(&place.writer(&key), "prod", &rows).unwrap_err();
    assert!(matches!(refused, RepoError::OtherCluster { .. }), "{refused}");
    place.owner().forget(prod.id).unwrap();
    place.owner().prune(&now(), &|_| {}).unwrap();
    compare(&place.owner(), &staging, &rows);
    compare(&place.owner(), &other, &rows);
}

#[test]
fn byte_vectors_are_what_they_seem() {
    // An absent value in front of the last field is written.
    let key = KeyRecord {
        key_id: ByteArray::from([1; 16]),
        key: object::StoredKey { suite: 1, epoch: 1, bytes: vec![1] },
        maker: ByteVec::from(Vec::new()),
    };
    assert!(codec::decode::<KeyRecord>(&codec::encode(&key)).is_ok());
    let body = writers::Body::default();
    let encoded = codec::encode(&body);
    assert_eq!((encoded[0], encoded.last()), (0x88, Some(&0xf6)), "eight fields, the last one null");
}
