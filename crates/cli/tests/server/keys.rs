//! Keys through the program: slots that stock age opens, writers held to their cluster, revocation,
//! rotation.

use std::process::Command;

use pgark_testkit::Cluster;

use super::support::{Desk, files, text};

fn source() -> Cluster {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 5000)");
    cluster
}

/// docs/keys.md, word for word: a slot is an age file, and holds the keyring.
#[test]
fn stock_age_opens_a_slot() {
    let desk = Desk::with_identity();
    let identity = desk.path("identity.txt").display().to_string();
    let slot = files(&desk.repo().join("keys")).remove(0);
    let output = Command::new("age").args(["-d", "-i", &identity]).arg(&slot).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let header: serde_json::Value =
        serde_json::from_slice(&std::fs::read(desk.repo().join("pgark.json")).unwrap()).unwrap();
    let hex: String = output.stdout.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(hex.starts_with("88"), "an array of eight: {}", &hex[..8]);
    assert!(hex.contains(header["data_public_key"].as_str().unwrap()));
}

/// A host that has a writer key: what reads no data works, everything else is refused and says why.
#[test]
fn every_verb_with_a_writer_key() {
    let cluster = source();
    let mut desk = Desk::with_identity();
    let id = desk.backup(&cluster, "d");
    let key = desk.path("db7.key").display().to_string();
    let made = desk.ok(&["key", "writer", "db7", "--cluster", "prod", "--out", &key]);
    assert!(made.contains("db7"), "{made}");
    let again = desk.fails(2, &["key", "writer", "db7", "--out", &key]);
    assert!(again.contains("already exists"), "{again}");
    let owner = desk.without_secret();
    desk.secret_is(vec!["--writer-key".into(), key.clone()]);
    let conninfo = cluster.conninfo("d");
    let second = desk.ok(&["backup", "--cluster", "prod", "--dbname", &conninfo]);
    let second = second.trim();
    for works in [
        vec!["list"],
        vec!["check"],
        vec!["check", "--level", "objects"],
        vec!["stats"],
        vec!["key", "list"],
        vec!["tag", second, "--add", "x"],
        vec!["repair", "index"],
        vec!["prune"],
        vec!["ls", second],
    ] {
        desk.ok(&works);
    }
    let output = desk.path("out").display().to_string();
    let target = cluster.conninfo("x");
    for refused in [
        vec!["restore", second, "--create", "--dbname", &target],
        vec!["cat", "latest:/globals.sql", "--cluster", "prod"],
        vec!["export", second, "--output", &output],
        vec!["check", "--read-data"],
        vec!["diff", second, second],
        vec!["repair", "backups", "--read-data"],
        vec!["key", "writer", "x", "--out", &output],
        vec!["key", "revoke", "db7"],
        vec!["key", "rotate"],
        vec!["key", "remove", "0000"],
        vec!["key", "add", "--recipient", "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"],
    ] {
        let said = desk.fails(1, &refused);
        assert!(said.contains("writer key"), "{refused:?}: {said}");
    }
    let said = desk.example(
        "A writer of another cluster",
        1,
        &["backup", "--cluster", "other", "--dbname", &conninfo],
    );
    assert!(said.contains("only for prod"), "{said}");
    // A backup of another cluster is not there for him.
    let said = desk.fails(1, &["show", &id]);
    assert!(said.contains(&id), "{said}");
    desk.ok(&["forget", second, "--even-last"]);
    desk.secret_is(owner.clone());
    desk.ok(&["key", "revoke", "db7"]);
    desk.secret_is(vec!["--writer-key".into(), key]);
    let said =
        desk.example("A writer that was revoked", 1, &["backup", "--cluster", "prod", "--dbname", &conninfo]);
    assert!(said.contains("revoked"), "{said}");
    desk.secret_is(owner);
    assert!(desk.ok(&["key", "list"]).contains("revoked"));
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}

#[test]
fn slots_and_rotation() {
    let cluster = source();
    let mut desk = Desk::with_identity();
    desk.expects(&["every host needs a new writer key now"]);
    let id = desk.backup(&cluster, "d");
    let file = desk.path("second").display().to_string();
    std::fs::write(&file, "five quiet otters swim north\n").unwrap();
    desk.ok(&["key", "add", "--add-passphrase-file", &file]);
    let said = desk.example("A rotation that would lose a passphrase", 1, &["key", "rotate"]);
    assert!(said.contains("passphrase"), "{said}");
    let owner = desk.without_secret();
    let passphrase = vec!["--passphrase-file".to_string(), file];
    desk.secret_is(passphrase.clone());
    assert!(desk.ok(&["key", "rotate"]).contains("epoch 2"));
    // Both open it still; the writer key that init left on this host does not.
    let json = desk.json(&["key", "list", "--json"]);
    assert_eq!((&json["epoch"], json["slots"].as_array().unwrap().len()), (&2.into(), 2));
    for secret in [owner.clone(), passphrase] {
        desk.secret_is(secret);
        desk.ok(&["check", "--read-data"]);
    }
    desk.without_secret();
    let said = desk.example(
        "A writer key from before a rotation",
        1,
        &["backup", "--dbname", &cluster.conninfo("d")],
    );
    assert!(said.contains("rotated") && said.contains("key writer"), "{said}");
    desk.secret_is(owner);
    let key = desk.path("new.key").display().to_string();
    desk.ok(&["key", "writer", "first", "--out", &key]);
    let secret = desk.without_secret();
    desk.secret_is(vec!["--writer-key".into(), key]);
    let second = desk.json(&["backup", "--json", "--dbname", &cluster.conninfo("d")]);
    assert!(second["bytes_added"].as_u64().unwrap() < 60_000, "{second}");
    desk.secret_is(secret);
    desk.ok(&["restore", &id, "--create", "--dbname", &cluster.conninfo("back")]);
    assert_eq!(cluster.psql_text("back", "SELECT count(*) FROM t"), "5000");
    let slot = desk.json(&["key", "list", "--json"])["slots"][1]["id"].as_str().unwrap().to_string();
    desk.ok(&["key", "remove", &slot]);
    let last = desk.json(&["key", "list", "--json"])["slots"][0]["id"].as_str().unwrap().to_string();
    let said = desk.example("Removing the last key slot", 1, &["key", "remove", &last]);
    assert!(said.contains("last slot"), "{said}");
}

/// A key that was stolen a while ago: what it made since counts no more, what others' backups need
/// of it is named, and the next backup stores it again.
#[test]
fn what_a_stolen_key_made_is_taken_back() {
    let cluster = source();
    let mut desk = Desk::with_identity();
    desk.expects(&["is ignored: its signature: the writer db7 was revoked"]);
    let owner = desk.without_secret();
    let backup = |desk: &mut Desk, name: &str| {
        let key = desk.path(name).display().to_string();
        if !desk.path(name).exists() {
            desk.secret_is(owner.clone());
            desk.ok(&["key", "writer", name, "--cluster", "prod", "--out", &key]);
        }
        desk.secret_is(vec!["--writer-key".into(), key]);
        let made = desk.json(&["backup", "--json", "--cluster", "prod", "--dbname", &cluster.conninfo("d")]);
        desk.secret_is(owner.clone());
        (made["id"].as_str().unwrap().to_string(), made["bytes_added"].as_u64().unwrap())
    };
    let (stolen, whole) = backup(&mut desk, "db7");
    let (leaning, little) = backup(&mut desk, "web");
    assert!(little * 2 < whole, "{little} {whole}");
    let said = desk.example(
        "A time of theft in the future",
        2,
        &["key", "revoke", "db7", "--compromised-since", "2999-01-01T00:00:00Z"],
    );
    assert!(said.contains("is in the future"), "{said}");
    let said = desk.ok(&["key", "revoke", "db7", "--compromised-since", "1h"]);
    assert!(said.contains("compromised since") && said.contains(&stolen), "{said}");
    assert!(!said.contains(&leaning), "{said}");
    let listed = desk.ok(&["list", "--wide"]);
    assert!(listed.contains(&leaning) && !listed.contains(&stolen), "{listed}");
    assert!(desk.ok(&["key", "list"]).contains("compromised since"));
    let writers = desk.json(&["key", "list", "--json"])["writers"].clone();
    let db7 = writers.as_array().unwrap().iter().find(|own| own["name"] == "db7").unwrap();
    assert!(db7["compromised_packs"].as_u64().unwrap() > 0, "{db7}");
    desk.ok(&["forget", &stolen]);
    // It is told, and is no problem: everything can be read.
    let said = desk.ok(&["check", "--read-data"]);
    assert!(said.contains(&leaning) && said.contains("key of the writer db7"), "{said}");
    let suspect = desk.json(&["check", "--json"])["suspect"].clone();
    assert_eq!((suspect.as_array().unwrap().len(), &suspect[0]["writer"]), (1, &"db7".into()), "{suspect}");
    desk.ok(&["restore", &leaning, "--create", "--dbname", &cluster.conninfo("back")]);
    assert_eq!(cluster.psql_text("back", "SELECT count(*) FROM t"), "5000");
    let (newest, again) = backup(&mut desk, "web");
    assert!(again * 2 > whole, "{again} {whole}");
    let said = desk.ok(&["check"]);
    assert!(!said.contains(&newest), "{said}");
    // What only the older one needs goes with it.
    desk.ok(&["forget", &leaning]);
    let said = desk.ok(&["check", "--read-data"]);
    assert!(!said.contains("db7"), "{said}");
}
