//! `diff`, and warnings about what filters cut.

use pgark_testkit::Cluster;

use super::support::{Desk, text};

#[test]
fn what_changed_is_shown() {
    let cluster = Cluster::start();
    for db in ["shop", "gone"] {
        cluster.create_database(db);
    }
    cluster.sql("shop", "CREATE TABLE t (a int, b text); INSERT INTO t SELECT g FROM generate_series(1, 100) g; CREATE TABLE old (x int); CREATE VIEW v AS SELECT a FROM t; CREATE ROLE app PASSWORD 'one'; CREATE ROLE leaves");
    let desk = Desk::plain();
    let dbname = cluster.conninfo("postgres");
    let all = ["backup", "--all", "--dbname", &dbname];
    let a = desk.ok(&all).trim().to_string();
    let same = desk.ok(&all).trim().to_string();
    assert!(desk.ok(&["diff", &a, &same]).contains("no differences between"));
    cluster.drop_database("gone");
    cluster.create_database("fresh");
    cluster.sql(
        "shop",
        "ALTER TABLE t ADD COLUMN c numeric DEFAULT 0; INSERT INTO t SELECT g FROM generate_series(1, 5) g; DROP TABLE old; CREATE INDEX i ON t (a); \
         CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE a > 0; ALTER ROLE app PASSWORD 'two'; DROP ROLE leaves; ALTER ROLE app SET work_mem = '8MB'",
    );
    cluster.sql("postgres", "ALTER SYSTEM SET checkpoint_timeout = '7min'");
    cluster.reload();
    super::support::wait_until(&cluster, "postgres", "SELECT current_setting('checkpoint_timeout') = '7min'");
    let b = desk.ok(&all).trim().to_string();
    let shown = desk.ok(&["diff", &a, &b]);
    for part in [
        "+ database fresh",
        "- database gone",
        "shop TABLE public.t: changed",
        "    +    c numeric DEFAULT 0",
        "shop TABLE public.old: removed",
        "shop INDEX public.i: added",
        "shop VIEW public.v: changed",
        "shop: public.t",
        "+5",
        "checkpoint_timeout",
        "420s",
        "CREATE ROLE leaves",
        "ALTER ROLE app SET work_mem",
        "hidden",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert!(!shown.contains("SCRAM") && !shown.contains("md5"), "{shown}");
    let json = desk.json(&["diff", &a, &b, "--database", "shop", "--json"]);
    assert_eq!(
        json["tables"].as_array().unwrap().iter().find(|t| t["table"] == "public.t").unwrap()["rows"],
        serde_json::json!([100, 105])
    );
    assert_eq!(json["settings"], serde_json::json!([]));
    desk.fails(1, &["diff", &a, &b, "--database", "nowhere"]);
}

#[test]
fn a_filter_that_cuts_a_parent_is_said() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int CONSTRAINT to_parent REFERENCES parent); \
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)",
    );
    let desk = Desk::plain();
    desk.expects(&["which the filters exclude"]);
    let dbname = cluster.conninfo("d");
    let record = desk.json(&["backup", "--dbname", &dbname, "--table", "child", "--json"]);
    assert!(record["warnings"].to_string().contains("to_parent refers to public.parent"), "{record}");
    // The restore leaves it out and says so; where the parent is, it is made.
    let output =
        desk.run(&["restore", "latest", "--partial", "--dbname", &cluster.conninfo("alone"), "--create"]);
    assert!(
        output.status.success() && text(&output.stderr).contains("to_parent is left out"),
        "{}",
        text(&output.stderr)
    );
    cluster.create_database("with_parent");
    cluster.sql("with_parent", "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1)");
    desk.ok(&[
        "restore",
        "latest",
        "--partial",
        "--dbname",
        &cluster.conninfo("with_parent"),
        "--table",
        "child",
    ]);
    assert_eq!(
        cluster.psql_text("with_parent", "SELECT count(*) FROM pg_constraint WHERE conname = 'to_parent'"),
        "1"
    );
    let record = desk.json(&["backup", "--dbname", &dbname, "--exclude-table-data", "parent", "--json"]);
    assert!(record["warnings"].to_string().contains("rows of public.parent"), "{record}");
    assert_eq!(desk.json(&["backup", "--dbname", &dbname, "--json"])["warnings"], serde_json::json!([]));
}
