//! Slots, writers, revocation, rotation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use age::secrecy::ExposeSecret;
use common::*;
use jiff::Timestamp;
use pgark_repo::*;

fn open_with(place: &Place, unlock: Unlock) -> Result<Repository, RepoError> {
    Repository::open(place.storage(), unlock, LocalFolders::default())
}

fn writer(place: &Place, key: &SecretString) -> Result<Repository, RepoError> {
    open_with(place, Unlock::WriterKey(key.expose_secret().to_string().into()))
}

fn small(seed: u64) -> Content {
    vec![("/a".into(), Class::Data, rows(seed, 100_000))]
}

#[test]
fn slots_come_and_go() {
    let place = Place::encrypted();
    let owner = place.open();
    let head = backup(&owner, 1, &small(1));
    let second = age::x25519::Identity::generate();
    let added = owner.add_slots(&Protection::Recipients(vec![second.to_public().to_string()])).unwrap();
    let passphrase = || SecretString::from("five quiet otters swim north".to_string());
    owner.add_slots(&Protection::Passphrase(passphrase())).unwrap();
    assert_eq!(owner.key_list().unwrap().slots.len(), 3);
    let identity = |identity: &age::x25519::Identity| {
        Unlock::Identity(identity.to_string().expose_secret().to_string().into())
    };
    compare(&open_with(&place, identity(&second)).unwrap(), head.id, &small(1)).unwrap();
    compare(&open_with(&place, Unlock::Passphrase(passphrase())).unwrap(), head.id, &small(1)).unwrap();
    // By the beginning of its id, then by recipient.
    assert_eq!(owner.remove_slot(&added[0][..6]).unwrap(), added[0]);
    assert!(matches!(open_with(&place, identity(&second)), Err(RepoError::WrongKey)));
    assert!(matches!(owner.remove_slot("0000"), Err(RepoError::UnknownSlot { .. })));
    let first = owner.key_list().unwrap().slots.into_iter().find_map(|slot| slot.recipient).unwrap();
    owner.remove_slot(&first).unwrap();
    let last = owner.key_list().unwrap().slots.remove(0);
    let said = owner.remove_slot(&last.id).unwrap_err().to_string();
    assert!(said.contains("last slot"), "{said}");
    assert_eq!(place.storage().list("keys/").unwrap().len(), 1);
    assert_eq!(place.storage().list("keys-copy/").unwrap().len(), 1);
    assert_clean(&owner);
    let weak = owner.add_slots(&Protection::Passphrase("aaaaaaaaaaaaaaa".to_string().into()));
    assert!(matches!(weak, Err(RepoError::WeakPassphrase { .. })));
}

/// A writer of one cluster writes that one; revoked, it writes nothing, and what it wrote stays
/// good.
#[test]
fn writers_are_held_to_their_cluster_and_revoked() {
    let place = Place::encrypted();
    let owner = place.open();
    let key = owner.add_writer("db7", Some(&["shop".into()]), &Right::ALL).unwrap();
    let other = owner.add_writer("db8", Some(&["other".into()]), &Right::ALL).unwrap();
    let head = backup(&writer(&place, &key).unwrap(), 1, &small(1));
    let stranger = writer(&place, &other).unwrap();
    let said = try_backup(&stranger, 1, &small(2), &Cancel::new()).unwrap_err().to_string();
    assert!(said.contains("only for other") && said.contains("cluster shop"), "{said}");
    compare(&place.open(), head.id, &small(1)).unwrap();
    // It keeps on trying with the list that it knew: what it puts counts for nothing.
    let late = writer(&place, &key).unwrap();
    owner.revoke_writer("db7").unwrap();
    let said = try_backup(&late, 1, &small(3), &Cancel::new()).unwrap_err().to_string();
    assert!(said.contains("revoked"), "{said}");
    assert!(matches!(owner.revoke_writer("db7"), Err(RepoError::Keys { .. })));
    compare(&place.open(), head.id, &small(1)).unwrap();
    assert_clean(&place.open());
    // The same name again: a new key, and what the old one wrote stays good.
    let again = owner.add_writer("db7", None, &Right::ALL).unwrap();
    let second = backup(&writer(&place, &again).unwrap(), 1, &small(4));
    let third = owner.add_writer("db7", None, &Right::ALL).unwrap();
    assert!(try_backup(&writer(&place, &again).unwrap(), 1, &small(5), &Cancel::new()).is_err());
    backup(&writer(&place, &third).unwrap(), 1, &small(5));
    assert_eq!(place.open().backups().unwrap().len(), 3);
    compare(&place.open(), second.id, &small(4)).unwrap();
    // Writers manage no keys and read no data.
    let repository = writer(&place, &third).unwrap();
    for refused in [
        repository.add_writer("x", None, &Right::ALL).map(|_| ()),
        repository.revoke_writer("db8"),
        repository.rotate_keys(None, true).map(|_| ()),
        repository.remove_slot("0000").map(|_| ()),
        repository
            .add_slots(&Protection::Passphrase("five quiet otters swim".to_string().into()))
            .map(|_| ()),
    ] {
        assert!(matches!(refused, Err(RepoError::NeedsOwner)), "{refused:?}");
    }
    for refused in [
        repository.reader(&second).map(|_| ()),
        repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(RepoError::NeedsReaderSecret)), "{refused:?}");
    }
    // A name that there is not, and one that is revoked.
    let unknown = owner.revoke_writer("db9");
    assert!(matches!(&unknown, Err(RepoError::UnknownWriter { known, .. }) if known.contains(&"db7".into())));
}

/// Manifests that a revoked writer, or one of another cluster, put by a program of its own.
#[test]
fn what_a_writer_may_not_write_does_not_count() {
    let place = Place::encrypted();
    let owner = place.open();
    let key = owner.add_writer("db7", None, &Right::ALL).unwrap();
    let good = backup(&writer(&place, &key).unwrap(), 1, &small(1));
    // A list that an attacker kept: the writer's program believes that it may write.
    let lists = place.storage().list("writers/").unwrap();
    let newest = lists.last().unwrap().name.clone();
    let late = writer(&place, &key).unwrap();
    owner.revoke_writer("db7").unwrap();
    let revoked = place.storage().list("writers/").unwrap().last().unwrap().name.clone();
    assert!(revoked > newest);
    let kept = place.storage().get(&revoked).unwrap();
    let copy = format!("copies/{revoked}");
    place.storage().delete(&revoked).unwrap();
    place.storage().delete(&copy).unwrap();
    let bad = backup(&late, 1, &small(2));
    place.storage().put_if_absent(&revoked, kept.clone().into()).unwrap();
    place.storage().put_if_absent(&copy, kept.clone().into()).unwrap();
    let fresh = place.open();
    assert_eq!(fresh.backups().unwrap(), std::slice::from_ref(&good));
    let said = fresh.open_backup(bad.id).unwrap_err().to_string();
    assert!(said.contains("revoked"), "{said}");
    let report = check(&fresh, CheckLevel::Structure);
    assert!(report.problems.iter().any(|problem| problem.what.contains("revoked")), "{:#?}", report.problems);
    // The owner forgets it; a prune takes what only it needed, and what nobody signed who may.
    fresh.forget(bad.id).unwrap();
    let now = PruneOptions { grace: std::time::Duration::ZERO, ..PruneOptions::default() };
    fresh.prune(&now, &|_| {}).unwrap();
    assert_clean(&place.open());
    // A list that is not what its name says is none: the one before holds, and the check tells.
    place.storage().put_if_absent("writers/00000099", kept.clone().into()).unwrap();
    assert_eq!(place.open().backups().unwrap(), std::slice::from_ref(&good));
    assert!(
        check(&place.open(), CheckLevel::Structure)
            .problems
            .iter()
            .any(|problem| problem.object.contains("99"))
    );
}

/// A slot of another repository for the same identity, put beside ours, opens nothing and is in
/// nobody's way.
#[test]
fn a_slot_that_opens_other_keys() {
    let identity = age::x25519::Identity::generate();
    let recipient = || Protection::Recipients(vec![identity.to_public().to_string()]);
    let place = Place::encrypted();
    let head = backup(&place.open(), 1, &small(1));
    place.open().add_slots(&recipient()).unwrap();
    let other = Place::encrypted();
    other.open().add_slots(&recipient()).unwrap();
    let foreign: Vec<_> = other.storage().list("keys/").unwrap();
    for meta in foreign {
        place.storage().put_if_absent(&meta.name, other.storage().get(&meta.name).unwrap().into()).unwrap();
    }
    let unlock = || Unlock::Identity(identity.to_string().expose_secret().to_string().into());
    compare(&open_with(&place, unlock()).unwrap(), head.id, &small(1)).unwrap();
    // Alone it is no key at all.
    let own: Vec<String> = place.open().key_list().unwrap().slots.into_iter().map(|slot| slot.id).collect();
    for folder in ["keys", "keys-copy"] {
        for id in &own {
            place.storage().delete(&format!("{folder}/1-{id}.age")).unwrap();
        }
    }
    assert!(matches!(open_with(&place, unlock()), Err(RepoError::Damaged { .. })));
}

#[test]
fn a_rotation_stores_nothing_anew_and_shuts_old_keys_out() {
    let place = Place::encrypted();
    let owner = place.open();
    let old = owner.add_writer("db7", None, &Right::ALL).unwrap();
    let first = backup(&writer(&place, &old).unwrap(), 1, &content(1));
    assert_eq!(owner.rotate_keys(None, false).unwrap(), 2);
    assert!(matches!(writer(&place, &old), Err(RepoError::KeyOfOlderEpoch { epoch: 2 })));
    let owner = place.open();
    compare(&owner, first.id, &content(1)).unwrap();
    let new = owner.add_writer("db7", None, &Right::ALL).unwrap();
    let repository = writer(&place, &new).unwrap();
    let second = backup(&repository, 1, &content(1));
    assert!(second.bytes_added < 10_000, "{}", second.bytes_added);
    let third = backup(&repository, 1, &content(2));
    compare(&place.open(), third.id, &content(2)).unwrap();
    assert_clean(&place.open());
    // Chunks of both epochs move together.
    repository.forget(first.id).unwrap();
    repository.forget(second.id).unwrap();
    let now =
        PruneOptions { grace: std::time::Duration::ZERO, repack_below: 100, erase: true, dry_run: false };
    repository.prune(&now, &|_| {}).unwrap();
    compare(&place.open(), third.id, &content(2)).unwrap();
    assert_eq!(place.storage().list("keys/").unwrap().len(), 1);
    // A passphrase that nobody gave cannot be kept.
    let owner = place.open();
    owner.add_slots(&Protection::Passphrase("five quiet otters swim north".to_string().into())).unwrap();
    assert!(matches!(owner.rotate_keys(None, false), Err(RepoError::Keys { .. })));
    assert_eq!(owner.rotate_keys(Some("five quiet otters swim north".to_string().into()), false).unwrap(), 3);
    let by_passphrase =
        open_with(&place, Unlock::Passphrase("five quiet otters swim north".to_string().into()));
    compare(&by_passphrase.unwrap(), third.id, &content(2)).unwrap();
    assert!(Place::plain().open().rotate_keys(None, true).is_err());
}

/// One name, put by somebody without any key, ends no numbers: later backups are committed where
/// they are listed.
#[test]
fn a_name_without_a_signature_has_no_number() {
    for number in ["9999999999999999", "0000999999999999", "0000000000000007"] {
        for folders in [&["forgotten"][..], &["manifests", "copies/manifests"]] {
            let place = Place::encrypted();
            let first = backup(&place.open(), 1, &small(1));
            let cluster = only_cluster(&place);
            for folder in folders {
                let name = format!("{folder}/{cluster}/{number}-0123456789abcdef");
                place.storage().put_if_absent(&name, Vec::new().into()).unwrap();
            }
            let second = backup(&place.open(), 1, &small(2));
            // Another host, that remembers nothing.
            let bare = place.open_on(std::sync::Arc::new(place.store()), LocalFolders::default());
            let third = backup(&bare, 1, &small(3));
            let listed: Vec<BackupId> = bare.backups().unwrap().iter().map(|head| head.id).collect();
            assert_eq!(listed, [first.id, second.id, third.id], "{folders:?} {number}");
            let numbers = [first, second, third].map(|head| head.sequence);
            assert_eq!(numbers, [1, 2, 3], "{folders:?} {number}");
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn ago(by: Duration) -> Timestamp {
    Timestamp::now() - by
}

/// Everything that lies there was put so much earlier.
fn make_older(place: &Place, by: Duration) {
    for meta in place.objects() {
        let path = place.dir.path().join("repo").join(&meta.name);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(meta.modified - by).unwrap();
    }
}

fn packs(place: &Place) -> BTreeSet<String> {
    place.storage().list("packs/").unwrap().into_iter().map(|meta| meta.name).collect()
}

fn listed(place: &Place) -> Vec<BackupId> {
    place.open().backups().unwrap().iter().map(|head| head.id).collect()
}

fn shop() -> Option<&'static [String]> {
    static SHOP: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    Some(SHOP.get_or_init(|| vec!["shop".into()]))
}

fn erase() -> PruneOptions {
    PruneOptions { grace: Duration::ZERO, repack_below: 100, erase: true, dry_run: false }
}

/// A key that somebody else had: what was made with it since counts no more, what honest hosts need
/// of it stays readable and is named, and later backups store it again.
#[test]
fn what_a_stolen_key_made_is_not_leaned_on() {
    let place = Place::encrypted();
    let owner = place.open();
    let stolen = owner.add_writer("db7", shop(), &Right::ALL).unwrap();
    let honest = owner.add_writer("web", shop(), &Right::ALL).unwrap();
    let first = backup(&writer(&place, &stolen).unwrap(), 1, &small(1));
    make_older(&place, HOUR);
    let before = packs(&place);
    let late = backup(&writer(&place, &stolen).unwrap(), 1, &small(2));
    let made: BTreeSet<String> = packs(&place).difference(&before).cloned().collect();
    let leaning = backup(&writer(&place, &honest).unwrap(), 1, &small(2));
    assert!(leaning.bytes_added * 5 < late.bytes_added, "{} {}", leaning.bytes_added, late.bytes_added);
    let since = ago(HOUR / 2);
    let revocation = owner.revoke_compromised("db7", since).unwrap();
    assert_eq!((revocation.packs, &revocation.backups), (made.len() as u64, &vec![late.id]));
    // A storage tells whole seconds.
    assert!(revocation.since <= since && revocation.since.as_second() == since.as_second());
    let shown = owner.key_list().unwrap().writers.into_iter().find(|own| own.name == "db7").unwrap();
    assert_eq!(shown.compromised, Some((revocation.since, revocation.packs)));
    assert!(shown.revoked.is_some());
    assert_eq!(listed(&place), [first.id, leaning.id]);
    compare(&place.open(), first.id, &small(1)).unwrap();
    compare(&place.open(), leaning.id, &small(2)).unwrap();
    let said = place.open().open_backup(late.id).map(drop).unwrap_err().to_string();
    assert!(said.contains("revoked"), "{said}");
    assert!(try_backup(&writer(&place, &stolen).unwrap(), 1, &small(3), &Cancel::new()).is_err());
    let named = |report: CheckReport| {
        assert!(report.hurt.is_empty(), "{:#?}", report.hurt);
        let others = report.problems.iter().filter(|problem| !problem.what.contains("revoked"));
        assert_eq!(others.count(), 0, "{:#?}", report.problems);
        report.suspect
    };
    for level in [CheckLevel::Structure, CheckLevel::Data] {
        let suspect = named(check(&place.open(), level));
        assert_eq!(suspect.len(), 1, "{suspect:#?}");
        let SuspectBackup { backup, writer, since, packs } = &suspect[0];
        assert_eq!((*backup, writer.as_str(), *since), (leaning.id, "db7", revocation.since));
        assert!((1..=made.len() as u64).contains(packs), "{packs}");
    }
    // The next backup stores what it needs, and the older one finds it there.
    let again = backup(&writer(&place, &honest).unwrap(), 1, &small(2));
    assert!(again.bytes_added * 2 > late.bytes_added, "{} {}", again.bytes_added, late.bytes_added);
    assert_eq!(named(check(&place.open(), CheckLevel::Data)), []);
    // A prune leaves these packs as they are, however little of them lives.
    place.open().forget(first.id).unwrap();
    place.open().forget(late.id).unwrap();
    place.open().prune(&erase(), &|_| {}).unwrap();
    assert!(made.is_subset(&packs(&place)), "{made:?}");
    for head in [&leaning, &again] {
        compare(&place.open(), head.id, &small(2)).unwrap();
    }
    assert_clean(&place.open());
    // Once nothing in them is needed they go.
    let other = backup(&writer(&place, &honest).unwrap(), 1, &small(9));
    place.open().forget(leaning.id).unwrap();
    place.open().forget(again.id).unwrap();
    place.open().prune(&erase(), &|_| {}).unwrap();
    assert!(made.is_disjoint(&packs(&place)), "{made:?}");
    compare(&place.open(), other.id, &small(9)).unwrap();
    assert_clean(&place.open());
}

/// It may be found out later, and more than once; a moment only moves back.
#[test]
fn a_theft_may_be_found_out_later() {
    let place = Place::encrypted();
    let owner = place.open();
    let key = owner.add_writer("db7", shop(), &Right::ALL).unwrap();
    let first = backup(&writer(&place, &key).unwrap(), 1, &small(1));
    make_older(&place, HOUR);
    let second = backup(&writer(&place, &key).unwrap(), 1, &small(2));
    owner.revoke_writer("db7").unwrap();
    assert_eq!(listed(&place), [first.id, second.id]);
    let revocation = owner.revoke_compromised("db7", ago(HOUR / 2)).unwrap();
    assert_eq!(revocation.backups, [second.id]);
    assert_eq!(listed(&place), [first.id]);
    let same = owner.revoke_compromised("db7", ago(Duration::ZERO)).unwrap();
    assert_eq!((same.since, same.packs, same.backups.len()), (revocation.since, revocation.packs, 0));
    let wider = owner.revoke_compromised("db7", ago(HOUR * 2)).unwrap();
    assert!(wider.packs > revocation.packs && wider.backups == [first.id], "{wider:?}");
    assert_eq!(listed(&place), []);
    // The name belongs to a new key now: the old one is told by its digits.
    let old = owner.key_list().unwrap().writers.into_iter().find(|own| own.name == "db7").unwrap();
    let new = owner.add_writer("db7", shop(), &Right::ALL).unwrap();
    let third = backup(&writer(&place, &new).unwrap(), 1, &small(1));
    assert!(third.bytes_added * 2 > first.bytes_added, "it leans on what the old key made");
    owner.revoke_compromised(&old.key, ago(HOUR * 3)).unwrap();
    assert_eq!(listed(&place), [third.id]);
    let fourth = backup(&writer(&place, &new).unwrap(), 1, &small(1));
    assert_eq!(listed(&place), [third.id, fourth.id]);
    compare(&place.open(), fourth.id, &small(1)).unwrap();
    let unknown = owner.revoke_compromised("db8", ago(HOUR));
    assert!(matches!(unknown, Err(RepoError::UnknownWriter { .. })));
    let refused = writer(&place, &new).unwrap().revoke_compromised("db7", ago(HOUR));
    assert!(matches!(refused, Err(RepoError::NeedsOwner)), "{refused:?}");
}

/// A tombstone of a stolen key hides nothing that is put back.
#[test]
fn a_stolen_keys_tombstone_hides_nothing() {
    let place = Place::encrypted();
    let owner = place.open();
    let key = owner.add_writer("db7", shop(), &Right::ALL).unwrap();
    let head = backup(&owner, 1, &small(1));
    make_older(&place, HOUR);
    let manifests: Vec<_> = ["manifests/", "copies/manifests/"]
        .iter()
        .flat_map(|folder| place.storage().list(folder).unwrap())
        .map(|meta| (meta.name.clone(), place.storage().get(&meta.name).unwrap()))
        .collect();
    writer(&place, &key).unwrap().forget(head.id).unwrap();
    for (name, bytes) in manifests {
        place.storage().put_if_absent(&name, bytes.into()).unwrap();
    }
    assert_eq!(listed(&place), []);
    owner.revoke_compromised("db7", ago(HOUR / 2)).unwrap();
    assert_eq!(listed(&place), [head.id]);
    compare(&place.open(), head.id, &small(1)).unwrap();
}

/// What a prune has moved out of such packs is known by who sealed it; and one that is at work when
/// the theft becomes known moves nothing into packs that are trusted.
#[test]
fn what_a_prune_moves_stays_suspect() {
    for is_at_work in [false, true] {
        let place = Place::encrypted();
        let owner = place.open();
        let stolen = owner.add_writer("db7", shop(), &Right::ALL).unwrap();
        let honest = owner.add_writer("web", shop(), &Right::ALL).unwrap();
        make_older(&place, HOUR);
        let two: Content =
            vec![("/a".into(), Class::Data, rows(1, 100_000)), ("/b".into(), Class::Data, rows(2, 100_000))];
        let whole = backup(&writer(&place, &stolen).unwrap(), 1, &two);
        let half = backup(&writer(&place, &honest).unwrap(), 1, &small(1));
        writer(&place, &stolen).unwrap().forget(whole.id).unwrap();
        let found_out = || drop(place.open().revoke_compromised("db7", ago(HOUR / 2)).unwrap());
        let before = packs(&place);
        let pruned = place.open().prune(&erase(), &|phase: &str| {
            if is_at_work && phase.contains("repack") {
                found_out();
            }
        });
        match pruned {
            Ok(report) => assert!(!is_at_work && report.packs_repacked > 0, "{report:?}"),
            Err(error) => assert!(is_at_work && error.to_string().contains("stolen key"), "{error}"),
        }
        assert!(packs(&place).difference(&before).count() > 0, "nothing was moved");
        if !is_at_work {
            found_out();
        }
        let suspect = check(&place.open(), CheckLevel::Data).suspect;
        assert_eq!(suspect.len(), 1, "{is_at_work}: {suspect:#?}");
        compare(&place.open(), half.id, &small(1)).unwrap();
        let again = backup(&writer(&place, &honest).unwrap(), 1, &small(1));
        assert!(again.bytes_added * 3 > whole.bytes_added, "{} {}", again.bytes_added, whole.bytes_added);
        place.open().prune(&erase(), &|_| {}).unwrap();
        for head in [&half, &again] {
            compare(&place.open(), head.id, &small(1)).unwrap();
        }
        assert_eq!(check(&place.open(), CheckLevel::Data).suspect, []);
    }
}
