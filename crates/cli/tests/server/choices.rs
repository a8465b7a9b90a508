//! A restore of some of the backup: parts, definitions only, without comments and the like; and
//! what it would do.

use pgark_testkit::oracle::{self, Snapshot, assert_same};
use pgark_testkit::{Cluster, shop, zoo};

use super::support::{Desk, stock};

#[test]
fn three_steps_make_the_whole() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    shop::load(&cluster, "shop", 10, 5);
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "shop");
    let id = desk.backup(&cluster, "shop");
    cluster.create_database("steps");
    let target = cluster.conninfo("steps");
    let restore = |part: &str| desk.ok(&["restore", &id, "--dbname", &target, "--section", part]);
    restore("pre-data");
    let counted = "SELECT count(*) FROM shop.customers";
    assert_eq!(cluster.psql_text("steps", counted), "0");
    assert_eq!(cluster.psql_text("steps", "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE relnamespace = 'shop'::regnamespace"), "0");
    // Definitions again: the target is not empty any more.
    desk.fails(1, &["restore", &id, "--dbname", &target, "--section", "pre-data"]);
    restore("data");
    restore("post-data");
    let mut after = Snapshot::take(&cluster, "steps");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);
    desk.fails(2, &["restore", &id, "--dbname", &target, "--section", "data", "--create"]);
}

/// The same definitions as stock pg_restore makes of the same archive, under each choice.
#[test]
fn choices_leave_out_what_pg_restores_leave_out() {
    let cluster = Cluster::start();
    zoo::load(&cluster, "zoo");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "zoo");
    let folder = desk.path("dump").display().to_string();
    desk.ok(&["export", &id, "--format", "directory", "--output", &folder]);
    for (number, choice) in [
        vec!["--schema-only"],
        vec!["--no-comments"],
        vec!["--no-publications", "--no-subscriptions"],
        vec!["--schema-only", "--no-comments", "--no-tablespaces", "--no-owner", "--no-privileges"],
    ]
    .iter()
    .enumerate()
    {
        let (ours, theirs) = (format!("ours{number}"), format!("theirs{number}"));
        for name in [&ours, &theirs] {
            cluster.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        }
        let target = cluster.conninfo(&ours);
        desk.ok(&[&["restore", &id, "--dbname", &target][..], choice].concat());
        let mut restore = cluster.client("pg_restore");
        stock(restore.args(choice).args(["-d", &cluster.conninfo(&theirs)]).arg(&folder));
        if choice.contains(&"--schema-only") {
            // Stock pg_restore fills materialised views, out of empty tables; here they wait for
            // the rows.
            cluster.sql(
                &theirs,
                "SET session_replication_role = replica; DO $$ DECLARE m regclass; BEGIN
                   FOR m IN SELECT oid FROM pg_class WHERE relkind = 'm' LOOP
                     EXECUTE format('REFRESH MATERIALIZED VIEW %s WITH NO DATA', m);
                   END LOOP; END $$",
            );
        }
        assert_same(&Snapshot::take(&cluster, &theirs), &Snapshot::take(&cluster, &ours));
        if choice.contains(&"--schema-only") {
            let snapshot = Snapshot::take(&cluster, &ours);
            let filled: Vec<&String> = oracle::row_hashes(&snapshot)
                .iter()
                .filter(|(_, rows)| rows.rows > 0)
                .map(|(name, _)| name)
                // The extension's script and the zoo's event trigger write rows of their own.
                .filter(|name| !name.starts_with("zoo.zoo_") && *name != "zoo.ddl_log")
                // A materialised view that counts: made anew, of nothing.
                .filter(|name| *name != "zoo.a_mat_on_mat")
                .collect();
            assert!(filled.is_empty(), "{filled:?}");
        }
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_touches_nothing() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1234)");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    cluster.create_database("back");
    let target = cluster.conninfo("back");
    let plan = desk.ok(&["restore", &id, "--dbname", &target, "--dry-run"]);
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!(lines.len(), 3, "{plan}");
    assert!(
        lines[0].starts_with("TABLE public.t") && lines[2].starts_with("CONSTRAINT public.t t_pkey"),
        "{plan}"
    );
    assert!(lines[1].contains("1 234 rows"), "{plan}");
    assert_eq!(cluster.psql_text("back", "SELECT to_regclass('t') IS NULL"), "t", "the target was touched");
    let json = desk.json(&["restore", &id, "--dbname", &target, "--dry-run", "--json"]);
    assert_eq!(json["status"], "planned");
    assert_eq!(json["plan"][1]["rows"], 1234);
    // What makes the restore impossible is said all the same.
    desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("d"), "--dry-run"]);
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("new"), "--create", "--dry-run"]);
    assert_eq!(cluster.psql_text("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'new'"), "0");
}
