//! Forget, prune, tags and statistics, through the program and on real backups.

use pgark_testkit::Cluster;
use pgark_testkit::oracle::{Snapshot, assert_same};

use super::support::Desk;

fn grow(cluster: &Cluster, round: u32) {
    cluster.sql(
        "d",
        &format!("INSERT INTO t SELECT {round}, g, md5(({round} * 100000 + g)::text) FROM generate_series(1, 20000) g"),
    );
}

fn source() -> Cluster {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (round int, n int, text text)");
    cluster
}

fn packs(desk: &Desk) -> u64 {
    desk.json(&["stats", "--json"])["bytes_packs"].as_u64().unwrap()
}

#[test]
fn a_policy_keeps_what_it_says_and_prune_frees_the_rest() {
    let cluster = source();
    let desk = Desk::with_identity();
    let mut ids = Vec::new();
    for round in 0..5 {
        // Every round has rows of its own: what only an older backup holds can be freed.
        cluster.sql("d", "TRUNCATE t");
        grow(&cluster, round);
        ids.push(desk.backup(&cluster, "d"));
    }
    let before = Snapshot::take(&cluster, "d");
    desk.ok(&["tag", &ids[0], "--add", "pinned", "--add", "first"]);
    assert!(desk.ok(&["tag", &ids[0]]).contains("first pinned"));
    let planned = desk.ok(&["forget", "--keep-last", "2", "--dry-run"]);
    assert_eq!(planned.matches("would remove").count(), 2, "{planned}");
    assert!(planned.contains("pinned") && planned.contains("the newest complete one"), "{planned}");
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 5);
    let full = packs(&desk);
    let decisions = desk.json(&["forget", "--keep-last", "2", "--json"]);
    let gone: Vec<&str> = decisions["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|decision| decision["keep"] == false)
        .map(|decision| decision["id"].as_str().unwrap())
        .collect();
    assert_eq!(gone, [ids[1].as_str(), ids[2].as_str()]);
    assert_eq!(packs(&desk), full);
    // The first prune marks, the one after the grace time deletes.
    let report = desk.json(&["prune", "--json"]);
    assert_eq!(report["packs_deleted"], 0);
    assert!(report["bytes_waiting"].as_u64().unwrap() > 100_000, "{report}");
    desk.ok(&["prune", "--grace", "0"]);
    assert!(packs(&desk) < full * 4 / 5, "{} of {full}", packs(&desk));
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    desk.ok(&["restore", &ids[4], "--create", "--dbname", &cluster.conninfo("again")]);
    let mut after = Snapshot::take(&cluster, "again");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);

    // Bad input: the last good one, a pinned one, nothing said, a backup that is gone.
    let said = desk.example("Forgetting a pinned backup", 1, &["forget", &ids[0]]);
    assert!(said.contains("pinned"), "{said}");
    desk.ok(&["tag", &ids[0], "--remove", "pinned"]);
    let said = desk.example("Forgetting everything", 1, &["forget", &ids[0], &ids[3], &ids[4]]);
    assert!(said.contains("last complete") && said.contains("--even-last"), "{said}");
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 3);
    assert!(desk.fails(1, &["forget", &ids[1]]).contains("no backup"));
    assert!(desk.fails(2, &["forget"]).contains("no retention policy"));
    assert!(desk.fails(2, &["forget", &ids[0], "--keep-last", "1"]).contains("cannot be used with"));
    assert!(desk.fails(2, &["prune", "--grace", "1 fortnight"]).contains("invalid duration"));
    // A policy never takes the last good one, however little it keeps.
    desk.ok(&["forget", "--keep-tag", "nothing-has-this"]);
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 1);
    desk.ok(&["forget", &ids[4], "--even-last"]);
    desk.ok(&["prune", "--grace", "0"]);
    assert_eq!(packs(&desk), 0);
    assert!(desk.ok(&["check"]).contains("no problem"));
}

#[test]
fn a_policy_in_the_file_holds_behind_each_backup() {
    let cluster = source();
    let desk = Desk::plain();
    let toml = desk.path("pgark.toml");
    let conninfo = cluster.conninfo("d");
    std::fs::write(
        &toml,
        format!("[clusters.prod]\ndbname = \"{conninfo}\"\nkeep_last = 2\nforget_after_backup = true\n"),
    )
    .unwrap();
    let config = toml.display().to_string();
    for round in 0..4 {
        grow(&cluster, round);
        let report = desk.json(&["backup", "--cluster", "prod", "--config", &config, "--json"]);
        let decisions = report["retention"]["decisions"].as_array().unwrap();
        assert_eq!(decisions.len() as u64, (round + 1).min(3) as u64, "{report}");
        assert_eq!(decisions.iter().filter(|own| own["keep"] == true).count(), decisions.len().min(2));
    }
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 2);
    let shown = desk.ok(&["config", "show", "--cluster", "prod", "--config", &config]);
    assert!(shown.lines().any(|line| line.contains("keep_last") && line.contains(":3")), "{shown}");
    std::fs::write(&toml, "[clusters.prod]\nkeep_last = 1\n").unwrap();
    let shown = desk.ok(&["forget", "--cluster", "prod", "--config", &config]);
    assert_eq!(shown.matches("removed").count(), 1, "{shown}");
    std::fs::write(&toml, format!("[clusters.prod]\ndbname = \"{conninfo}\"\nforget_after_backup = true\n"))
        .unwrap();
    assert!(desk.fails(2, &["backup", "--cluster", "prod", "--config", &config]).contains("keep_"));
    let stats = desk.json(&["stats", "--json"]);
    assert_eq!((&stats["backups"], &stats["clusters"][0]["cluster"]), (&1.into(), &"prod".into()));
    assert!(stats["bytes_unique"].as_u64() > stats["bytes_sealed"].as_u64(), "{stats}");
    assert!(desk.ok(&["stats"]).contains("prod"));
}

/// A host that has the writer key alone forgets, prunes and counts.
#[test]
fn a_writer_key_keeps_the_house() {
    let cluster = source();
    let mut desk = Desk::with_identity();
    let secret = desk.without_secret();
    grow(&cluster, 1);
    let first = desk.backup(&cluster, "d");
    cluster.sql("d", "TRUNCATE t");
    grow(&cluster, 2);
    let second = desk.backup(&cluster, "d");
    for args in [
        vec!["tag", "latest", "--add", "x"],
        vec!["forget", &first],
        vec!["prune", "--grace", "0"],
        vec!["stats"],
        vec!["check"],
        vec!["list"],
    ] {
        desk.ok(&args);
    }
    let again = cluster.conninfo("again");
    let restore = ["restore", &second, "--create", "--dbname", &again];
    assert!(desk.fails(1, &restore).contains("writer key"));
    let with_secret: Vec<&str> = restore.into_iter().chain(secret.iter().map(String::as_str)).collect();
    desk.ok(&with_secret);
    assert_eq!(cluster.psql_text("again", "SELECT count(*) FROM t"), "20000");
}
