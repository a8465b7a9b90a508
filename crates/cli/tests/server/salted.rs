//! Tables that are stored whole and salted, through the program. (That nothing of them can be
//! guessed is tried in `crates/repo/src/guesses.rs`.)

use pgark_testkit::Cluster;
use pgark_testkit::oracle::{Snapshot, assert_same};
use serde_json::{Value, json};

use super::support::{Desk, stock, text};

fn fill(cluster: &Cluster) {
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE secret AS SELECT g AS id, lpad((g * 7919 % 10000)::text, 4, '0') AS pin FROM generate_series(1, 60000) g;
         CREATE TABLE tiny AS SELECT 1 AS id, '4711' AS pin;
         CREATE TABLE nothing (id int);
         CREATE TABLE accounts (id int, region int, owner text) PARTITION BY LIST (region);
         CREATE TABLE accounts_1 PARTITION OF accounts FOR VALUES IN (1);
         CREATE TABLE accounts_2 PARTITION OF accounts FOR VALUES IN (2);
         INSERT INTO accounts SELECT g, 1 + g % 2, md5(g::text) FROM generate_series(1, 9000) g;
         CREATE TABLE plain AS SELECT g AS id, md5(g::text) AS body FROM generate_series(1, 30000) g;",
    );
}

fn table<'r>(made: &'r Value, name: &str) -> &'r Value {
    let tables = made["tables"].as_array().unwrap();
    tables.iter().find(|table| table["name"] == name).unwrap_or_else(|| panic!("{name}: {made}"))
}

/// The digests that `/manifest.json` has of a table.
fn digests(desk: &Desk, id: &str, name: &str) -> Value {
    let manifest: Value = serde_json::from_str(&desk.ok(&["cat", &format!("{id}:/manifest.json")])).unwrap();
    let databases = manifest["databases"].as_array().unwrap();
    let database = databases.iter().find(|database| database["name"] == "d").unwrap();
    let relations = database["relations"].as_array().unwrap();
    relations.iter().find(|relation| relation["name"] == name).unwrap()["digests"].clone()
}

#[test]
fn salted_tables_are_whole_in_each_backup_and_come_back() {
    let cluster = Cluster::start();
    fill(&cluster);
    let desk = Desk::with_identity();
    let info = cluster.conninfo("d");
    let salted =
        ["--salted", "secret", "--salted", "public.tiny", "--salted", "nothing", "--salted", "accounts"];
    let backup = |more: &[&str]| {
        let args =
            [&["backup", "--dbname", &info, "--json", "--row-map", "on"][..], &salted[..], more].concat();
        let output = desk.run(&args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), text(&output.stderr))
    };
    let (first, said) = backup(&[]);
    assert_eq!(said.matches("salted tables, stored whole in each backup: 5").count(), 1, "{said}");
    let names = ["secret", "tiny", "nothing", "accounts_1", "accounts_2"];
    for name in names {
        let table = table(&first, name);
        assert!(table["salted"] == true && table["row_map"].is_null(), "{table}");
    }
    assert!(table(&first, "plain")["salted"].is_null() && !table(&first, "plain")["row_map"].is_null());
    // The same once more: whole again, and the others not.
    let (second, _) = backup(&[]);
    for name in names {
        let added = |made| table(made, name)["bytes_added"].as_u64().unwrap();
        let (once, again) = (added(&first), added(&second));
        // How well a salt compresses with what follows may differ by a step of the padding.
        assert!(again.abs_diff(once) <= 3 * 4096 && (again > 0) == (name != "nothing"), "{name}: {second}");
    }
    assert_eq!(table(&second, "plain")["bytes_added"], 0);
    let (first, second) = (first["id"].as_str().unwrap(), second["id"].as_str().unwrap());
    assert_eq!(digests(&desk, second, "secret"), json!([]));
    assert_eq!(digests(&desk, second, "plain").as_array().unwrap().len(), 1);
    assert!(desk.ok(&["show", second]).contains("salted, stored whole"));
    assert!(desk.ok(&["diff", first, second]).contains("no differences between"));

    // Back out of the repository on every way.
    let mut before = Snapshot::take(&cluster, "d");
    let mut same = |name: &str| {
        let after = Snapshot::take(&cluster, name);
        before.database.clone_from(&after.database);
        assert_same(&before, &after);
    };
    desk.ok(&["restore", first, "--create", "--dbname", &cluster.conninfo("back")]);
    same("back");
    let dump = desk.path("dump.tar").display().to_string();
    desk.ok(&["export", second, "--format", "tar", "--output", &dump]);
    cluster.create_database("stock");
    stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo("stock"), &dump]));
    same("stock");
    assert_eq!(desk.ok(&["cat", &format!("{second}:/db/d/data/public.tiny")]), "1\t4711\n");
    // Its pieces end anywhere in a row.
    let csv = desk.ok(&["export", second, "--format", "csv", "--table", "secret", "--output", "-"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert!(
        rows.len() == 60_001 && rows[1..].iter().all(|row| row.split(',').count() == 2),
        "{}",
        rows.len()
    );

    // Everything else that is done with a backup.
    let other = desk.path("other").display().to_string();
    let identity = desk.path("identity.txt");
    let recipient = stock(std::process::Command::new("age-keygen").arg("-y").arg(&identity));
    desk.ok(&["init", "--repo", &other, "--recipient", recipient.trim()]);
    assert!(desk.ok(&["copy", &desk.url(), &other, "--backup", second]).contains("1 copied"));
    desk.ok(&["restore", "latest", "--repo", &other, "--create", "--dbname", &cluster.conninfo("copied")]);
    same("copied");
    desk.ok(&["forget", first]);
    desk.ok(&["prune", "--grace", "0"]);
    desk.ok(&["repair", "index"]);
    desk.ok(&["stats"]);
    for repository in [desk.url(), other] {
        assert!(desk.ok(&["check", "--repo", &repository, "--read-data"]).contains("no problem"));
    }
    // Under a map again, from the first row on.
    let plain = desk.json(&["backup", "--dbname", &info, "--json", "--row-map", "on"]);
    assert_eq!(table(&plain, "secret")["row_map"]["rows_new"], 60_000, "{plain}");
    desk.ok(&["restore", second, "--create", "--dbname", &cluster.conninfo("again")]);
    same("again");
}

/// In the file, for a cluster or one database of it; and who misspells a table hears of it.
#[test]
fn salted_tables_are_named_in_the_file() {
    let cluster = Cluster::start();
    fill(&cluster);
    let desk = Desk::with_identity();
    let config = desk.path("pgark.toml");
    std::fs::write(
        &config,
        "[clusters.c]\nsalted = [\"tiny\"]\n[clusters.c.databases.d]\nsalted = [\"secret\", \"sceret\"]\n",
    )
    .unwrap();
    let info = cluster.conninfo("d");
    let output = desk.run(&[
        "backup",
        "--dbname",
        &info,
        "--json",
        "--cluster",
        "c",
        "--config",
        config.to_str().unwrap(),
    ]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(table(&made, "secret")["salted"] == true && table(&made, "tiny")["salted"].is_null(), "{made}");
    assert!(said.contains("no table matches sceret"), "{said}");
    assert!(desk.fails(2, &["backup", "--dbname", &info, "--salted", "a.b.c.d"]).contains("a.b.c.d"));
}
