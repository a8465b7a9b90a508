//! The table "What a stolen key can do" of docs/keys.md, cell by cell: what each thief reads, what
//! he destroys or hides, which backups of his are listed, what he stops; and what someone does who
//! may delete on the storage. Thieves have programs of their own: what ours refuses is put by hand.

use std::time::{Duration, SystemTime};

use super::*;
use crate::index;
use crate::names::ManifestName;
use crate::stream::ChunkKind;

/// What a thief has: a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    NoKey,
    MayBackUp,
    AllRights,
    Revoked,
    OldEpoch,
    OtherCluster,
    Owner,
    FormerOwner,
}

impl Has {
    const ALL: [Has; 8] = [
        Has::NoKey,
        Has::MayBackUp,
        Has::AllRights,
        Has::Revoked,
        Has::OldEpoch,
        Has::OtherCluster,
        Has::Owner,
        Has::FormerOwner,
    ];
}

/// What one thief meets.
struct Scene {
    place: Place,
    /// He opened the repository while he might.
    thief: Thief,
    /// A host of the cluster [`SHOP`].
    honest: Repository,
    /// A backup of [`SHOP`], and one of [`TEST`], of before his key lost its worth.
    before: BackupHead,
    test: BackupHead,
    /// One of [`SHOP`] of afterwards.
    after: BackupHead,
}

/// Small enough to be one chunk: what a guess is tried at.
fn guessed() -> Vec<u8> {
    bytes(4711, 3000)
}

fn rows_before() -> Content {
    [content(&[1, 2]), vec![("/guessed".into(), guessed())]].concat()
}

fn rows_after() -> Content {
    content(&[1, 3])
}

fn scene(has: Has) -> Scene {
    let place = Place::new();
    let writer = |name: &str, cluster: &str, rights: &[Right]| {
        let clusters = [cluster.to_string()];
        place.writer(&place.owner().add_writer(name, Some(&clusters), rights).unwrap())
    };
    let second = age::x25519::Identity::generate();
    let recipient = second.to_public().to_string();
    let repository = match has {
        Has::NoKey => keyless(&place),
        Has::MayBackUp => writer("thief", SHOP, &[Right::Backup]),
        Has::AllRights | Has::Revoked | Has::OldEpoch => writer("thief", SHOP, &Right::ALL),
        Has::OtherCluster => writer("thief", TEST, &Right::ALL),
        Has::Owner => place.owner(),
        Has::FormerOwner => {
            place.owner().add_slots(&Protection::Recipients(vec![recipient.clone()])).unwrap();
            place.open(Unlock::Identity(second.to_string().expose_secret().to_string().into())).unwrap()
        }
    };
    let before = backup(&place.owner(), SHOP, &rows_before()).unwrap();
    let test = backup(&place.owner(), TEST, &rows_before()).unwrap();
    match has {
        Has::Revoked => place.owner().revoke_writer("thief").unwrap(),
        Has::OldEpoch => drop(place.owner().rotate_keys(None, false).unwrap()),
        Has::FormerOwner => {
            place.owner().remove_slot(&recipient).unwrap();
            place.owner().rotate_keys(None, false).unwrap();
        }
        _ => {}
    }
    let honest = writer("honest", SHOP, &Right::ALL);
    let after = backup(&honest, SHOP, &rows_after()).unwrap();
    let compartment = place.owner().unlocked.compartment_of(SHOP).unwrap();
    let thief = Thief { repository, compartment, random: Random(9) };
    Scene { place, thief, honest, before, test, after }
}

impl Scene {
    /// The thief turns to this cluster.
    fn turn_to(&mut self, cluster: &str) {
        self.thief.compartment = self.place.owner().unlocked.compartment_of(cluster).unwrap();
    }

    fn name(&self, head: &BackupHead) -> ManifestName {
        name_of(&self.place.owner(), head)
    }

    /// Whether he reads of a backup its metadata, and its rows.
    fn reads(&self, head: &BackupHead) -> (bool, bool) {
        let thief = &self.thief.repository;
        let metadata = manifest::read(&thief.unlocked, &self.name(head), |_| {}).is_ok();
        let rows = || {
            let backup = thief.open_backup(head.id).ok()?;
            let entry = backup.entry("/1").ok()??;
            thief.reader(&backup.head).ok()?.read_whole(&entry, 1 << 30).ok()
        };
        (metadata, rows().is_some_and(|read| read == bytes(1, 150_000)))
    }

    /// Whether he finds out that rows of [`SHOP`] are stored.
    fn finds(&self, rows: &[u8]) -> bool {
        let thief = &self.thief.repository;
        let compartment = self.place.owner().unlocked.compartment_of(SHOP).unwrap();
        let Ok(keys) = thief.keys().compartment(compartment) else { return false };
        let id_key = keys.chunk_id_key(ChunkKind::Data as u8, b"");
        let id = Hash(*blake3::keyed_hash(&id_key, rows).as_bytes());
        let objects = self.place.storage().list(&index_object::folder(compartment)).unwrap();
        objects.iter().any(|meta| {
            let read = index::read_object(&thief.unlocked, &meta.name);
            read.is_ok_and(|(content, _)| content.records.iter().any(|record| record.id == id))
        })
    }

    fn listed(&self) -> BTreeSet<BackupId> {
        self.place.owner().backups().unwrap().iter().map(|head| head.id).collect()
    }

    /// Every backup that is listed reads as it was made.
    fn compare_listed(&self) {
        let listed = self.listed();
        for (head, rows) in
            [(&self.before, rows_before()), (&self.test, rows_before()), (&self.after, rows_after())]
        {
            if listed.contains(&head.id) {
                compare(&self.place.owner(), head, &rows);
            }
        }
    }
}

#[test]
fn what_each_thief_reads() {
    const NOTHING: (bool, bool) = (false, false);
    const METADATA: (bool, bool) = (true, false);
    const EVERYTHING: (bool, bool) = (true, true);
    for has in Has::ALL {
        let scene = scene(has);
        let (before, after, test) = match has {
            Has::NoKey => (NOTHING, NOTHING, NOTHING),
            Has::MayBackUp | Has::AllRights | Has::Revoked => (METADATA, METADATA, NOTHING),
            Has::OldEpoch => (METADATA, NOTHING, NOTHING),
            Has::OtherCluster => (NOTHING, NOTHING, METADATA),
            Has::Owner => (EVERYTHING, EVERYTHING, EVERYTHING),
            Has::FormerOwner => (EVERYTHING, NOTHING, EVERYTHING),
        };
        let found = (scene.reads(&scene.before), scene.reads(&scene.after), scene.reads(&scene.test));
        assert_eq!(found, (before, after, test), "{has:?}");
        // Guesses at rows that are stored.
        let may_test = !matches!(has, Has::NoKey | Has::OtherCluster);
        assert_eq!((scene.finds(&guessed()), scene.finds(b"another guess")), (may_test, false), "{has:?}");
        if has == Has::Revoked {
            scene.place.owner().rotate_keys(None, false).unwrap();
            let later = backup(&scene.place.owner(), SHOP, &rows_after()).unwrap();
            assert_eq!(scene.reads(&later), NOTHING);
        }
        // What everybody sees.
        let names: Vec<String> =
            scene.place.storage().list("").unwrap().into_iter().map(|meta| meta.name).collect();
        let clusters: BTreeSet<&str> =
            names.iter().filter_map(|name| name.strip_prefix("manifests/")?.split('/').next()).collect();
        assert_eq!(clusters.len(), 2);
        assert!(names.iter().all(|name| !name.contains(SHOP) && !name.contains(TEST)));
    }
}

#[test]
fn what_each_thief_destroys() {
    for has in Has::ALL {
        let mut scene = scene(has);
        let targets = [(SHOP, scene.before.clone()), (TEST, scene.test.clone())];
        for (cluster, head) in &targets {
            scene.turn_to(cluster);
            let name = scene.name(head).below("forgotten/");
            let time = Timestamp::now().as_microsecond();
            let body = (ByteArray::from(head.id.0), time, None::<ObjectHash>, Extensions::default());
            scene.thief.sign(Kind::Tombstone, &name, &body);
            // What our program does for him; it refuses most.
            let _ = scene.thief.repository.forget(head.id);
            let _ = scene.thief.repository.prune(&now(), &|_| {});
        }
        let (of_shop, of_test) = match has {
            Has::Owner => (true, true),
            Has::AllRights => (true, false),
            Has::OtherCluster => (false, true),
            _ => (false, false),
        };
        let listed = scene.listed();
        assert_eq!(!listed.contains(&scene.before.id), of_shop, "{has:?}");
        assert_eq!(!listed.contains(&scene.test.id), of_test, "{has:?}");
        assert!(listed.contains(&scene.after.id), "{has:?}");
        scene.place.owner().prune(&now(), &|_| {}).unwrap();
        scene.compare_listed();
    }
}

#[test]
fn whose_backups_are_listed() {
    for has in Has::ALL {
        let mut scene = scene(has);
        let targets = [(SHOP, scene.before.clone()), (TEST, scene.test.clone())];
        for (cluster, head) in &targets {
            scene.turn_to(cluster);
            let may = match has {
                Has::Owner => true,
                Has::MayBackUp | Has::AllRights => *cluster == SHOP,
                Has::OtherCluster => *cluster == TEST,
                _ => false,
            };
            let read = manifest::read(&scene.place.owner().unlocked, &scene.name(head), |_| {}).unwrap();
            let (id, mut body) = (BackupId([7; 8]), read.body);
            let name = ManifestName { sequence: head.sequence + 5, id, ..scene.name(head) };
            (body.id, body.sequence, body.previous) = (ByteArray::from(id.0), name.sequence, None);
            scene.thief.sign(Kind::Manifest, &name.name(), &body);
            let is_listed = || scene.place.owner().backups().unwrap();
            assert_eq!(is_listed().iter().any(|head| head.id == id), may, "{has:?} {cluster}");
            for name in [name.name(), name.copy()] {
                scene.place.storage().delete(&name).unwrap();
            }
            let made = backup(&scene.thief.repository, cluster, &content(&[8]));
            assert_eq!(made.is_ok(), may, "{has:?} {cluster}");
        }
        scene.compare_listed();
    }
}

/// Who may put objects stops prunes, and backups, without any key; and it is told what is in the
/// way.
#[test]
fn what_is_stopped_without_a_key_is_told() {
    let scene = scene(Has::NoKey);
    let (storage, compartment) = (scene.place.storage(), scene.thief.compartment);
    let put = |name: &str| {
        storage.put_if_absent(name, bytes(1, 200).into()).unwrap();
    };
    let gone = backup(&scene.honest, SHOP, &content(&[77])).unwrap();
    scene.honest.forget(gone.id).unwrap();
    // A draft that cannot be read may name any pack.
    let draft = format!("drafts/{compartment}/0123456789abcdef");
    put(&draft);
    let report = scene.honest.prune(&now(), &|_| {}).unwrap();
    assert!(
        report.packs_deleted == 0 && report.held_by.iter().any(|what| what.contains(&draft)),
        "{report:?}"
    );
    backup(&scene.honest, SHOP, &rows_after()).unwrap();
    storage.delete(&draft).unwrap();
    assert!(scene.honest.prune(&now(), &|_| {}).unwrap().packs_deleted > 0);
    // Lists of a pruner who has no key cost nothing.
    for intents in [false, true] {
        put(&trash::name(compartment, "0123456789abcdef", intents));
    }
    let again = backup(&scene.honest, SHOP, &rows_after()).unwrap();
    assert!(again.bytes_added < 50_000, "{}", again.bytes_added);
    // The next list of writers, which nobody can read.
    let next = scene.place.owner().unlocked.writers().body.number + 1;
    put(&writers::name(next));
    put(&writers::copy_name(next));
    let lost = |result: Result<(), RepoError>| {
        assert!(matches!(result, Err(RepoError::ListOfWritersLost { .. })), "{result:?}");
    };
    lost(backup(&scene.honest, SHOP, &rows_after()).map(drop));
    lost(scene.honest.prune(&now(), &|_| {}).map(drop));
    scene.compare_listed();
    scene.place.owner().add_writer("another", None, &[Right::Backup]).unwrap();
    backup(&scene.honest, SHOP, &rows_after()).unwrap();
    scene.honest.prune(&now(), &|_| {}).unwrap();
    scene.compare_listed();
}

/// Intents that count, put when a backup has reused their packs, stop the backup.
#[test]
fn whose_intents_stop_a_backup() {
    for has in Has::ALL {
        for cluster in [SHOP, TEST] {
            let mut scene = scene(has);
            scene.turn_to(cluster);
            let thief = &scene.thief;
            let options = WriteOptions::of(cluster, "test");
            let written = scene.place.owner().write_backup::<(), RepoError>(&options, |writer| {
                let mut entry = writer.entry("/1".to_string(), Class::Data);
                let mut stream = entry.stream(Cut::Content);
                stream.write(&bytes(1, 150_000))?;
                entry.add(stream.finish()?);
                entry.finish(Vec::new())?;
                let packs = pack::list(thief.repository.store(), thief.compartment)?;
                let all: BTreeSet<ObjectHash> = packs.into_keys().collect();
                let all: Vec<(ObjectHash,)> = all.into_iter().map(|hash| (hash,)).collect();
                let name = trash::name(thief.compartment, "0123456789abcdef", true);
                thief.sign(Kind::Intents, &name, &(all, Extensions::default()));
                let (kind, about) = ("x".into(), b"{}".to_vec());
                Ok((NewBackup { kind, complete: true, about, time: None }, ()))
            });
            let stops = matches!(
                (has, cluster),
                (Has::Owner, _) | (Has::AllRights, SHOP) | (Has::OtherCluster, TEST)
            );
            match written {
                Ok(_) => assert!(!stops, "{has:?} {cluster}"),
                Err(RepoError::PrunedAway { .. }) => assert!(stops, "{has:?} {cluster}"),
                Err(error) => panic!("{has:?} {cluster}: {error}"),
            }
            scene.compare_listed();
        }
    }
}

/// A draft of his on everything: it pins where it counts; where it cannot be read it holds a prune,
/// as anybody's bytes do, and that is told; else it is nothing.
#[test]
fn whose_drafts_hold_a_prune() {
    for has in Has::ALL {
        let scene = scene(has);
        let gone = backup(&scene.honest, SHOP, &content(&[77])).unwrap();
        scene.honest.forget(gone.id).unwrap();
        let mut packs: Vec<ObjectHash> =
            pack::list(&scene.place.storage(), scene.thief.compartment).unwrap().into_keys().collect();
        packs.sort();
        let id = BackupId([5; 8]);
        let name = format!("drafts/{}/{id}", scene.thief.compartment);
        let time = Timestamp::now().as_microsecond();
        scene.thief.sign(Kind::Draft, &name, &(ByteArray::from(id.0), time, packs, Extensions::default()));
        let report = scene.honest.prune(&now(), &|_| {}).unwrap();
        let found = (report.packs_deleted > 0, !report.held_by.is_empty());
        let expected = match has {
            Has::NoKey | Has::OtherCluster => (false, true),
            Has::MayBackUp | Has::AllRights | Has::Owner => (false, false),
            Has::Revoked | Has::OldEpoch | Has::FormerOwner => (true, false),
        };
        assert_eq!(found, expected, "{has:?}: {report:?}");
        scene.compare_listed();
    }
}

/// Who may delete on the storage takes whatever he likes, with or without a key. Nothing comes back
/// as something else, and a host that has seen the repository is told.
#[test]
fn what_is_deleted_is_told_and_nothing_is_misread() {
    type Takes = Box<dyn Fn(&str, &mut Random) -> bool>;
    let begins = |with: &'static [&'static str]| -> Takes {
        Box::new(move |name, _| with.iter().any(|with| name.starts_with(with)))
    };
    let mut takings: Vec<(String, Takes)> = vec![
        ("everything".into(), Box::new(|_, _| true)),
        ("the header".into(), begins(&["pgark.json"])),
        ("slots".into(), begins(&["keys"])),
        ("lists of writers".into(), begins(&["writers/", "copies/writers/"])),
        ("the newest list".into(), begins(&["writers/00000002", "copies/writers/00000002"])),
        ("manifests".into(), begins(&["manifests/", "copies/manifests/"])),
        ("second copies".into(), begins(&["copies/", "keys-copy/", "pgark.json.copy"])),
        ("the index".into(), begins(&["index/"])),
        ("packs".into(), begins(&["packs/"])),
    ];
    for share in [2, 5, 20] {
        for number in 0..if std::env::var_os("PGARK_TEST_FULL").is_some() { 20 } else { 3 } {
            let takes: Takes = Box::new(move |_, random| random.below(share) == 0);
            takings.push((format!("one of {share}, {number}"), takes));
        }
    }
    for (at, (what, takes)) in takings.iter().enumerate() {
        let place = Place::new();
        let local = || LocalFolders { cache: None, state: Some(place.dir.path().join("state")) };
        let host = || {
            let unlock = Unlock::Identity(place.identity.expose_secret().to_string().into());
            Repository::open(place.storage(), unlock, local())
        };
        host().unwrap().add_writer("w", None, &Right::ALL).unwrap();
        let known: Vec<(BackupHead, Content)> = (0..3)
            .map(|round| {
                let rows = content(&[1, 10 + round]);
                (backup(&host().unwrap(), SHOP, &rows).unwrap(), rows)
            })
            .collect();
        host().unwrap().backups().unwrap();
        // A second copy that is young may be on its way.
        for meta in place.storage().list("").unwrap() {
            let file =
                std::fs::File::options().write(true).open(place.dir.path().join("repo").join(&meta.name));
            file.unwrap().set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
        let mut random = Random(at as u64 * 2 + 1);
        let names: Vec<String> =
            place.storage().list("").unwrap().into_iter().map(|meta| meta.name).collect();
        let gone: Vec<&String> = names.iter().filter(|name| takes(name, &mut random)).collect();
        gone.iter().for_each(|name| place.storage().delete(name).unwrap());
        let is_told = match host() {
            Err(_) => true,
            Ok(repository) => {
                for head in repository.backups().unwrap_or_default() {
                    let (_, rows) = known.iter().find(|(own, _)| own.id == head.id).unwrap();
                    let Ok(backup) = repository.open_backup(head.id) else { continue };
                    let Ok(reader) = repository.reader(&backup.head) else { continue };
                    for (path, bytes) in rows {
                        let Ok(Some(entry)) = backup.entry(path) else { continue };
                        if let Ok(read) = reader.read_whole(&entry, 1 << 30) {
                            assert!(read == *bytes, "{what}: {path} of backup {} is misread", head.id);
                        }
                    }
                }
                let report = repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {});
                report.map_or(true, |report| !report.problems.is_empty())
            }
        };
        assert!(is_told || gone.is_empty(), "{what}: {gone:#?}");
    }
}
