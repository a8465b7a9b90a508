//! What goes in comes out: every object kind, every row, on every way back.

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, shop, zoo};

use super::support::{Desk, Session, stock, text};

#[test]
fn the_zoo_comes_back_whole_and_stock_pg_restore_agrees() {
    let cluster = Cluster::start();
    cluster.create_database("zoo");
    zoo::load(&cluster, "zoo");
    let desk = Desk::with_passphrase();
    desk.expects(&["does not exist, skipping", "drop cascades to"]);
    let before = Snapshot::take(&cluster, "zoo");
    let id = desk.backup(&cluster, "zoo");

    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("zoo_back"), "--create"]);
    assert_same(&before, &Snapshot::take(&cluster, "zoo_back"));

    // Cleaned and restored once more over itself, with one worker.
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("zoo_back"), "--clean", "--jobs", "1"]);
    let mut again = Snapshot::take(&cluster, "zoo_back");
    again.database.clone_from(&before.database);
    assert_same(&before, &again);

    // Out of the repository, read by stock tools. One job: with more, pg_restore itself runs grants
    // and inherited triggers before what they need.
    let folder = desk.path("dump");
    desk.ok(&["export", &id, "--format", "directory", "--output", &folder.display().to_string()]);
    cluster.create_database("zoo_stock");
    stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo("zoo_stock")]).arg(&folder));
    let mut exported = Snapshot::take(&cluster, "zoo_stock");
    exported.database.clone_from(&before.database);
    assert_same(&before, &exported);

    let report = desk.json(&["check", "--read-data", "--json"]);
    assert_eq!(report["ok"], true, "{report}");
}

#[test]
fn latin1_comes_back() {
    let cluster = Cluster::start();
    zoo::load_latin1(&cluster, "alt");
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "alt");
    let id = desk.backup(&cluster, "alt");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("alt_back"), "--create"]);
    assert_same(&before, &Snapshot::take(&cluster, "alt_back"));
}

#[test]
fn two_backups_of_a_changing_shop_both_come_back() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    shop::load(&cluster, "shop", 30, 7);
    let desk = Desk::with_passphrase();
    let first_state = Snapshot::take(&cluster, "shop");
    let first = desk.json(&["backup", "--dbname", &cluster.conninfo("shop"), "--json"]);
    shop::change_one_percent(&cluster, "shop");
    let second_state = Snapshot::take(&cluster, "shop");
    let second = desk.json(&["backup", "--dbname", &cluster.conninfo("shop"), "--json"]);
    let third = desk.json(&["backup", "--dbname", &cluster.conninfo("shop"), "--json"]);

    for (backup, state, name) in [(&first, &first_state, "one"), (&second, &second_state, "two")] {
        let id = backup["id"].as_str().unwrap();
        desk.ok(&["restore", id, "--dbname", &cluster.conninfo(name), "--create"]);
        assert_same(state, &Snapshot::take(&cluster, name));
    }
    let added = |backup: &serde_json::Value| backup["bytes_added"].as_u64().unwrap();
    assert!(added(&third) * 20 < added(&first), "nothing changed, yet {third} after {first}");

    let list = desk.json(&["list", "--json"])["backups"].clone();
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&first, &second, &third].map(|backup| backup["id"].as_str().unwrap()));
    // Everything that was put is counted: what lies in the storage is the sum, beside header and
    // key slots.
    let stored: u64 = super::support::files(&desk.repo())
        .iter()
        .filter(|path| {
            !path.to_string_lossy().contains("/keys") && !path.to_string_lossy().contains("pgark.json")
        })
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let counted: u64 = [&first, &second, &third].into_iter().map(added).sum();
    assert!(counted >= stored, "counted {counted}, stored {stored}");
    assert!(counted < stored + 64 * 1024, "counted {counted}, stored {stored}");
}

#[test]
fn a_record_of_a_backup_keeps_the_contract() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g AS a, 'x' || g AS b FROM generate_series(1, 1000) g");
    let desk = Desk::plain();
    assert_eq!(desk.ok(&["list", "--json"]).trim(), r#"{"format":1,"backups":[]}"#);
    let backup = desk.json(&["backup", "--dbname", &cluster.conninfo("d"), "--cluster", "main", "--json"]);
    let keys: std::collections::BTreeSet<&str> =
        backup.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = [
        "id",
        "time",
        "cluster",
        "kind",
        "status",
        "databases",
        "bytes_raw",
        "bytes_added",
        "seconds",
        "warnings",
    ];
    assert!(contract.iter().all(|key| keys.contains(key)), "{keys:?}");
    assert_eq!(backup["cluster"], "main");
    assert_eq!(backup["kind"], "logical");
    assert_eq!(backup["status"], "complete");
    assert_eq!(backup["databases"], serde_json::json!(["d"]));
    assert!(backup["time"].as_str().unwrap().ends_with('Z'));

    let shown = desk.json(&["show", "latest", "--json"]);
    assert_eq!(shown["tables"][0]["schema"], "public");
    assert_eq!(shown["tables"][0]["rows"], 1000);
    let id = backup["id"].as_str().unwrap();
    let copied = desk.ok(&["cat", &format!("{}:/db/d/data/public.t", &id[..4])]);
    let direct = cluster.psql_text("d", "COPY t TO STDOUT");
    assert_eq!(copied.trim_end(), direct.trim_end());
    assert!(desk.ok(&["ls", id]).contains("/db/d/toc.dat"));
    assert!(desk.ok(&["cat", &format!("{id}:/globals.sql")]).contains("CREATE ROLE"));
    let manifest: serde_json::Value =
        serde_json::from_str(&desk.ok(&["cat", &format!("{id}:/manifest.json")])).unwrap();
    let described = manifest["databases"].as_array().unwrap().iter().find(|db| db["name"] == "d").unwrap();
    assert_eq!(described["backup"]["rows"], 1000);
    assert_eq!(shown["contents"][0]["rows"], 1000);
}

#[test]
fn a_backup_under_fire_is_one_moment() {
    let cluster = Cluster::start();
    cluster.create_database("bank");
    cluster.sql(
        "bank",
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, filler text DEFAULT repeat('x', 80));
         INSERT INTO account SELECT g, 1000 FROM generate_series(1, 200000) g;",
    );
    // Each writer moves money between its own accounts, and commits only balanced books.
    let script = |writer: u32| {
        format!(
            "DO $$ DECLARE payer int; payee int; BEGIN FOR i IN 1..200000 LOOP
               payer := 1 + 2 * floor(random() * 100000)::int + {writer};
               payee := 1 + 2 * floor(random() * 100000)::int + {writer};
               UPDATE account SET balance = balance - 1 WHERE id = payer;
               UPDATE account SET balance = balance + 1 WHERE id = payee;
               IF i % 50 = 0 THEN COMMIT; END IF; END LOOP; END $$"
        )
    };
    let mut writers: Vec<Session> = (0..2).map(|_| Session::open(&cluster, "bank")).collect();
    for (number, writer) in (0..).zip(writers.iter_mut()) {
        writer.send(&script(number));
    }
    let mut ddl = Session::open(&cluster, "bank");
    ddl.send(
        "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE 'CREATE TABLE IF NOT EXISTS side AS SELECT 1 AS a';
              COMMIT; PERFORM pg_sleep(0.05); EXECUTE 'DROP TABLE IF EXISTS side'; COMMIT; PERFORM pg_sleep(0.2); END LOOP; END $$",
    );
    let desk = Desk::plain();
    let ids: Vec<String> = (0..3).map(|_| desk.backup(&cluster, "bank")).collect();
    cluster.kill_backends_named("psql");
    writers.into_iter().for_each(Session::end);
    ddl.end();
    for (number, id) in ids.iter().enumerate() {
        let name = format!("back{number}");
        desk.ok(&["restore", id, "--dbname", &cluster.conninfo(&name), "--create"]);
        let (rows, sum) = ("SELECT count(*) FROM account", "SELECT sum(balance) FROM account");
        assert_eq!(cluster.psql_text(&name, rows).trim(), "200000");
        assert_eq!(cluster.psql_text(&name, sum).trim(), "200000000", "backup {id} mixes moments");
    }
}

#[test]
fn without_owners_and_privileges_into_a_server_without_the_roles() {
    let source = Cluster::start();
    source.create_database("d");
    source.sql(
        "d",
        "CREATE ROLE keeper; CREATE ROLE reader; CREATE TABLE t (a int); INSERT INTO t VALUES (1);
         ALTER TABLE t OWNER TO keeper; GRANT SELECT ON t TO reader;",
    );
    let target = Cluster::start();
    target.create_database("d");
    let desk = Desk::plain();
    let id = desk.backup(&source, "d");
    let said = desk.example(
        "Roles missing on the target server",
        1,
        &["restore", &id, "--dbname", &target.conninfo("d")],
    );
    assert!(said.contains("keeper") && said.contains("reader"), "{said}");
    assert_eq!(
        target.psql_text("d", "SELECT to_regclass('t') IS NULL").trim(),
        "t",
        "the target was touched"
    );
    desk.ok(&["restore", &id, "--dbname", &target.conninfo("d"), "--no-owner", "--no-privileges"]);
    assert_eq!(target.psql_text("d", "SELECT a FROM t").trim(), "1");
}

#[test]
fn a_recipient_repository_opens_with_the_identity_and_backs_up_with_the_writer_key() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT 1 AS a");
    let desk = Desk::plain();
    let repo = desk.path("sealed").display().to_string();
    let identity = desk.path("key.txt").display().to_string();
    stock(std::process::Command::new("age-keygen").args(["-o", &identity]));
    let recipient = std::fs::read_to_string(&identity)
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("# public key: ").map(str::to_string))
        .unwrap();
    desk.ok(&["init", "--repo", &repo, "--recipient", &recipient]);
    // No secret given: the writer key that init left on this host.
    let id = desk.ok(&["backup", "--repo", &repo, "--dbname", &cluster.conninfo("d")]).trim().to_string();
    let path = format!("{id}:/db/d/data/public.t");
    let said = desk.example("Data asked for with a writer key", 1, &["cat", &path, "--repo", &repo]);
    assert!(said.contains("hint"), "{said}");
    assert_eq!(desk.ok(&["cat", &path, "--repo", &repo, "--identity", &identity]), "1\n");
    let raw: Vec<u8> = super::support::files(&desk.path("sealed"))
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(!text(&raw).contains("CREATE TABLE"), "definitions lie in the clear");
}
