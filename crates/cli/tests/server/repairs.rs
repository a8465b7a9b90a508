//! Damage: what a check says, what heals, what `repair` keeps; and copies in another repository.

use std::path::PathBuf;
use std::process::Command;

use pgark_testkit::Cluster;
use pgark_testkit::oracle::{Snapshot, assert_same};

use super::support::{Desk, files, stock};

fn source() -> Cluster {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE good (n int PRIMARY KEY, text text); CREATE TABLE bad (n int PRIMARY KEY, text text);
         INSERT INTO good SELECT g, md5(g::text) FROM generate_series(1, 30000) g;
         INSERT INTO bad SELECT g, md5((-g)::text) FROM generate_series(1, 30000) g",
    );
    cluster
}

fn packs(desk: &Desk) -> Vec<PathBuf> {
    files(&desk.repo().join("packs"))
}

/// Flips bits of the pack that the second backup added: the rows of one table.
fn damage(desk: &Desk, before: &[PathBuf]) {
    let new = packs(desk).into_iter().filter(|pack| !before.contains(pack));
    let pack = new.max_by_key(|pack| std::fs::metadata(pack).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&pack, bytes).unwrap();
}

#[test]
fn what_is_lost_is_named_and_the_rest_restores() {
    let cluster = source();
    let desk = Desk::with_identity();
    desk.backup(&cluster, "d");
    let before = packs(&desk);
    cluster.sql("d", "UPDATE bad SET text = md5(text)");
    let hurt = desk.backup(&cluster, "d");
    damage(&desk, &before);
    desk.ok(&["tag", &hurt, "--add", "monday"]);
    let said = String::from_utf8(desk.run(&["check", "--read-data"]).stdout).unwrap();
    assert!(said.contains(&format!("backup {hurt}: it has lost /db/d/data/public.bad")), "{said}");
    assert!(said.contains("everything else can be restored"), "{said}");
    // Nothing is dropped for what may not come back.
    let d = cluster.conninfo("d");
    let said = desk.fails(1, &["restore", &hurt, "--clean", "--dbname", &d]);
    assert!(said.contains("is damaged: dropped objects might not be restored"), "{said}");
    let planned = desk.run(&["repair", "backups", "--read-data", "--dry-run"]);
    assert_eq!(planned.status.code(), Some(3));
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 2);
    let output = desk.run(&["repair", "backups", "--read-data", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", super::support::text(&output.stderr));
    let repaired: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let now = repaired["backups"][0]["now"].as_str().unwrap();
    assert_eq!(repaired["backups"][0]["backup"], hurt.as_str());
    let shown = desk.json(&["show", now, "--json"]);
    assert_eq!(shown["status"], "incomplete");
    let lost = serde_json::json!({
        "kind": "rows", "database": "d", "schema": "public", "name": "bad", "reason": "damaged in the repository",
    });
    assert_eq!(shown["missing"], serde_json::json!([lost]), "{shown}");
    assert!(desk.ok(&["tag", now]).contains("monday"));
    assert!(desk.ok(&["repair", "backups", "--read-data"]).contains("no backup is damaged"));
    let said = desk.fails(1, &["restore", now, "--clean", "--dbname", &d]);
    assert!(said.contains("table public.bad") && !said.contains("table public.good"), "{said}");
    assert_eq!(cluster.psql_text("d", "SELECT count(*) FROM bad"), "30000");
    // What is left of it restores; the table that is lost comes without rows.
    desk.run(&["restore", now, "--create", "--dbname", &cluster.conninfo("rest")]);
    assert_eq!(cluster.psql_text("rest", "SELECT count(*) FROM good"), "30000");
    assert_eq!(cluster.psql_text("rest", "SELECT count(*) FROM bad"), "0");
    // The rows are still in the database: the next backup stores them, and is whole.
    let next = desk.backup(&cluster, "d");
    desk.ok(&["restore", &next, "--create", "--dbname", &cluster.conninfo("whole")]);
    assert_eq!(cluster.psql_text("whole", "SELECT count(*) FROM bad"), "30000");
    // A full backup leans on nothing.
    let full = desk.ok(&["backup", "--full", "--json", "--dbname", &cluster.conninfo("d")]);
    let full: serde_json::Value = serde_json::from_str(&full).unwrap();
    assert!(full["bytes_added"].as_u64().unwrap() > 1_000_000, "{full}");
}

#[test]
fn an_index_that_is_lost_is_made_anew() {
    let cluster = source();
    let desk = Desk::with_identity();
    let id = desk.backup(&cluster, "d");
    let before = Snapshot::take(&cluster, "d");
    for file in files(&desk.repo().join("index")) {
        std::fs::write(file, b"not what it was").unwrap();
    }
    // Nothing is deleted while it is not known what a backup needs.
    let output = desk.run(&["prune", "--grace", "0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("repair index") && said.contains("nothing is deleted"), "{said}");
    assert!(desk.ok(&["repair", "index"]).contains("could not be read"));
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    desk.ok(&["restore", &id, "--create", "--dbname", &cluster.conninfo("back")]);
    let mut after = Snapshot::take(&cluster, "back");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);
}

#[test]
fn copies_live_under_other_keys() {
    let cluster = source();
    let desk = Desk::with_identity();
    let first = desk.backup(&cluster, "d");
    cluster.sql("d", "INSERT INTO good SELECT g, 'x' FROM generate_series(40000, 41000) g");
    let second = desk.backup(&cluster, "d");
    desk.ok(&["tag", &second, "--add", "pinned"]);
    let before = Snapshot::take(&cluster, "d");
    // The second home has an identity of its own.
    let there = desk.path("there").display().to_string();
    let key = desk.path("there.txt").display().to_string();
    stock(Command::new("age-keygen").args(["-o", &key]));
    let recipient = stock(Command::new("age-keygen").args(["-y", &key]));
    desk.ok(&["init", "--repo", &there, "--recipient", recipient.trim()]);
    let here = desk.repo().display().to_string();
    let copied = desk.ok(&["copy", &here, &there, "--backup", &second]);
    assert!(copied.contains("1 copied"), "{copied}");
    let copied = desk.json(&["copy", &here, &there, "--json"]);
    assert_eq!((&copied["there"], &copied["copied"][0]["from"]), (&1.into(), &first.as_str().into()));
    assert!(desk.ok(&["copy", &here, &there]).contains("0 copied, 2 already there"));
    // Time, tag and content are those of the original; only the other identity reads it.
    let mut other = Desk::plain();
    other.secret_is(vec!["--identity".into(), key]);
    let listed = other.json(&["list", "--repo", &there, "--json"])["backups"].clone();
    let original = desk.json(&["list", "--json"])["backups"].clone();
    let times = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|backup| backup["time"].to_string()).collect()
    };
    assert_eq!(times(&listed), times(&original));
    assert!(other.ok(&["tag", "latest", "--repo", &there]).contains("pinned"));
    assert!(other.ok(&["check", "--repo", &there, "--read-data"]).contains("no problem"));
    other.ok(&["restore", "latest", "--repo", &there, "--create", "--dbname", &cluster.conninfo("back")]);
    let mut after = Snapshot::take(&cluster, "back");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);
    assert!(desk.fails(1, &["list", "--repo", &there]).contains("does not open"));
    assert!(desk.fails(1, &["copy", &here, &here]).contains("the same repository"));
    // A copy of what is damaged names it, and takes the rest.
    let packs_before = packs(&desk);
    cluster.sql("d", "UPDATE bad SET text = md5(text || 'y')");
    let hurt = desk.backup(&cluster, "d");
    damage(&desk, &packs_before);
    let output = desk.run(&["copy", &here, &there]);
    let said = super::support::text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("1 could not be read"), "{said}");
    assert!(super::support::text(&output.stderr).contains(&hurt));
    assert_eq!(other.json(&["list", "--repo", &there, "--json"])["backups"].as_array().unwrap().len(), 2);
}

/// A manifest that is rotten in both copies, and a lost and a rotten tag, through the program:
/// everything else goes on, nothing that may be needed goes, and people are told what to do.
#[test]
fn what_cannot_be_read_is_in_nobodys_way() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g, md5(g::text) AS m FROM generate_series(1, 20000) g");
    let desk = Desk::with_identity();
    desk.expects(&["is set aside", "the second copy is used", "cannot be read", "could not be read"]);
    let mut ids = Vec::new();
    for round in 0..4 {
        // Without row maps each backup has a pack that no other needs.
        let backup = ["backup", "--row-map", "off", "--dbname", &cluster.conninfo("d")];
        ids.push(desk.ok(&backup).trim().to_string());
        cluster.sql("d", &format!("UPDATE t SET m = md5(m) WHERE g % 4 = {round}"));
    }
    desk.ok(&["tag", &ids[0], "--add", "pinned"]);
    desk.ok(&["tag", &ids[2], "--add", "pinned"]);
    let objects = |part: &str, id: &str| -> Vec<PathBuf> {
        let all = super::support::files(&desk.repo());
        let is_of = |path: &PathBuf| {
            let name = path.strip_prefix(desk.repo()).unwrap().display().to_string();
            name.contains(part) && name.contains(id)
        };
        all.into_iter().filter(is_of).collect()
    };
    for path in objects("manifests/", &ids[1]) {
        std::fs::write(path, b"rot").unwrap();
    }
    // The first copy of one pin is lost; both of another rot.
    for path in objects("tags/", &ids[0]) {
        if !path.to_string_lossy().contains("/copies/") {
            std::fs::remove_file(path).unwrap();
        }
    }
    for path in objects("tags/", &ids[2]) {
        std::fs::write(path, b"rot").unwrap();
    }
    // This host knew the manifest, and does not need the object: another one does.
    std::fs::remove_dir_all(desk.path("cache")).unwrap();
    let listed = desk.run(&["list", "--json"]);
    assert!(listed.status.success());
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&listed.stdout).unwrap()["backups"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(said.contains(&ids[1]) && said.contains("set aside"), "{said}");
    assert!(desk.fails(1, &["show", &ids[1][..8]]).contains("damaged"));
    for args in [
        vec!["show", "latest"],
        vec!["cat", &format!("{}:/globals.sql", ids[3])],
        vec!["stats"],
        vec!["restore", &ids[0], "--create", "--dbname", &cluster.conninfo("back")],
        vec!["backup", "--dbname", &cluster.conninfo("d")],
    ] {
        desk.ok(&args);
    }
    let checked = desk.run(&["check"]);
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && told.contains(&format!("/{}/", ids[0])), "{told}");
    assert!(told.contains(&format!("/{}/", ids[2])) && told.contains(&ids[1]), "{told}");
    // Both pins hold.
    desk.ok(&["forget", "--keep-last", "1"]);
    let left: Vec<String> = desk.json(&["list", "--json"])["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|backup| backup["id"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(left.len(), 3);
    assert!(left.contains(&ids[0]) && left.contains(&ids[2]), "{left:?}");
    assert!(desk.fails(1, &["forget", &ids[2]]).contains("could be pinned"));
    assert!(desk.fails(1, &["tag", &ids[2]]).contains("cannot be read"));
    let said = desk.fails(3, &["prune", "--grace", "0"]);
    assert!(said.contains(&ids[1]) && said.contains("pgark forget ID"), "{said}");
    assert!(desk.fails(3, &["repair", "objects"]).is_empty() || !objects("tags/", &ids[0]).is_empty());
    assert_eq!(objects("tags/", &ids[0]).len(), 2);
    // People say what becomes of what is lost.
    desk.ok(&["tag", &ids[2], "--remove", "pinned"]);
    desk.ok(&["forget", &ids[1], &ids[2]]);
    desk.ok(&["prune", "--grace", "0"]);
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    assert!(desk.ok(&["repair", "objects"]).contains("all copies are intact"));
    desk.ok(&["restore", &ids[0], "--create", "--dbname", &cluster.conninfo("again")]);
}
