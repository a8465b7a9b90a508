//! Slots, writers, revocation, rotation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use age::secrecy::ExposeSecret;
use common::*;
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
    assert!(matches!(owner.remove_slot("0000"), Err(RepoError::Keys { .. })));
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
    assert!(said.contains("other only") && said.contains("cluster shop"), "{said}");
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
        repository.reader(&second).map(|_| ()),
        repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(RepoError::NeedsReaderSecret)), "{refused:?}");
    }
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
