//! Traps 3, 4, 6 to 14: one test each that fails without its rule.

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, zoo};

use super::support::{Desk, stock};

/// Trap 3: a ctid range reads its own table, not the children's rows.
#[test]
fn ranges_do_not_read_inheritance_children() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE parent (a int, b text); CREATE TABLE child () INHERITS (parent);
         ALTER TABLE parent ALTER b SET STORAGE PLAIN; ALTER TABLE child ALTER b SET STORAGE PLAIN;
         INSERT INTO parent SELECT g, repeat('p', 7000) FROM generate_series(1, 14000) g;
         INSERT INTO child SELECT g, 'c' FROM generate_series(1, 500) g;",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let shown = desk.json(&["show", &id, "--json"]);
    let rows: Vec<(String, u64)> = shown["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| (table["name"].as_str().unwrap().to_string(), table["rows"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows, [("child".to_string(), 500), ("parent".to_string(), 14000)]);
}

/// Trap 4: the caller's PGCLIENTENCODING and PGOPTIONS reach neither pg_dump nor the workers.
#[test]
fn the_callers_encoding_does_not_leak() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT 'žluťoučký'::text AS a, timestamp '2020-02-03' AS b");
    let desk = Desk::plain();
    let output = desk
        .command(&["backup", "--dbname", &cluster.conninfo("d")])
        .env("PGCLIENTENCODING", "LATIN1")
        .env("PGOPTIONS", "-c DateStyle=German -c extra_float_digits=0")
        .output()
        .unwrap();
    assert!(output.status.success());
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    assert_eq!(desk.ok(&["cat", &format!("{id}:/db/d/data/public.t")]), "žluťoučký\t2020-02-03 00:00:00\n");
    let folder = desk.path("dump");
    desk.ok(&["export", &id, "--format", "directory", "--output", &folder.display().to_string()]);
    let script = stock(cluster.client("pg_restore").args(["-f", "-"]).arg(&folder));
    assert!(script.contains("client_encoding = 'UTF8'"), "{script}");
}

/// Trap 6: without SELECT on one table: named and refused, or left out and named.
#[test]
fn a_table_without_the_right_to_read_it() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE clerk LOGIN; CREATE TABLE open_one AS SELECT 1 AS a; GRANT SELECT ON open_one TO clerk;
         CREATE TABLE secret_one AS SELECT 2 AS a;",
    );
    let desk = Desk::plain();
    let info = cluster.conninfo_as("d", "clerk", None);
    let said = desk.example("A table without the right to read it", 1, &["backup", "--dbname", &info]);
    assert!(said.contains("public.secret_one") && said.contains("--keep-going"), "{said}");
    assert_eq!(desk.ok(&["list", "--json"]).trim(), r#"{"format":1,"backups":[]}"#);

    let output = desk.run(&["backup", "--dbname", &info, "--keep-going", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let backup: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(backup["status"], "incomplete");
    assert!(backup["warnings"].to_string().contains("secret_one"), "{backup}");
    let id = backup["id"].as_str().unwrap();
    assert_eq!(desk.ok(&["cat", &format!("{id}:/db/d/data/public.open_one")]), "1\n");
    // An incomplete backup is never `latest`.
    desk.fails(1, &["show", "latest"]);
    // A whole restore of it says what is not there; a part that is, is complete.
    let restored = |name: &str, more: &[&str]| {
        let target = cluster.conninfo(name);
        let output = desk.run(&[&["restore", id, "--dbname", &target, "--create", "--json"], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report, said)
    };
    let (code, report, said) = restored("whole", &[]);
    assert_eq!((code, &report["status"]), (Some(3), &"incomplete".into()), "{said}");
    assert!(
        said.contains("table public.secret_one of database d: it is not in this backup, which is incomplete"),
        "{said}"
    );
    assert_eq!(cluster.psql_text("whole", "TABLE open_one"), "1");
    let (code, report, said) = restored("part", &["--table", "open_one"]);
    assert_eq!((code, &report["status"]), (Some(0), &"complete".into()), "{said}");
    let (code, report, said) = restored("planned", &["--dry-run"]);
    assert_eq!((code, &report["status"]), (Some(0), &"planned".into()), "{said}");
    assert!(said.contains("table public.secret_one of database d: it is not in this backup"), "{said}");
    let out = desk.path("out").display().to_string();
    let said = desk.fails(1, &["export", id, "--format", "plain", "--output", &out]);
    assert!(said.contains("is incomplete: table public.secret_one of database d is missing"), "{said}");
    assert!(!desk.path("out").exists());
    // The same among several databases, of which another is whole.
    cluster.create_database("e");
    cluster.sql("e", "CREATE TABLE t AS SELECT 1 AS a; GRANT SELECT ON t TO clerk");
    let info = cluster.conninfo_as("postgres", "clerk", None);
    let chosen = ["--database", "d", "--database", "e"];
    let output = desk.run(&[&["backup", "--dbname", &info, "--keep-going", "--json"][..], &chosen].concat());
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let backup: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = backup["id"].as_str().unwrap();
    let into = |of: &str, name: &str| {
        let target = cluster.conninfo(name);
        desk.run(&["restore", id, "--database", of, "--as", name, "--create", "--dbname", &target])
    };
    let output = into("d", "d_again");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("public.secret_one of database d: it is not in this backup"), "{said}");
    let output = into("e", "e_again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let other = Cluster::start();
    let output = desk.run(&["restore", id, "--all", "--globals", "--dbname", &other.conninfo("postgres")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("public.secret_one of database d: it is not in this backup"), "{said}");
    assert_eq!(other.psql_text("e", "TABLE t"), "1");
}

/// Trap 8: no client programs of the server's major or newer.
#[test]
fn a_pg_dump_that_is_missing_or_too_old() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::start();
    cluster.create_database("d");
    let desk = Desk::plain();
    let info = cluster.conninfo("d");
    let said = desk.example(
        "A pg_dump that is missing",
        1,
        &["backup", "--dbname", &info, "--pg-dump", "/nowhere/pg_dump"],
    );
    assert!(said.contains("/nowhere/pg_dump"), "{said}");
    let old = desk.path("pg_dump");
    std::fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.9'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = desk.example(
        "A pg_dump that is too old",
        1,
        &["backup", "--dbname", &info, "--pg-dump", &old.display().to_string()],
    );
    assert!(said.contains("12.9") && said.contains("too old"), "{said}");
}

/// Trap 9: no part holds more than half a million rows, and nothing is lost at the seams.
#[test]
fn a_table_of_many_short_rows_is_cut_into_parts() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 1200000) g");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let copied = desk.ok(&["cat", &format!("{id}:/db/d/data/public.t")]);
    assert_eq!(copied.lines().count(), 1_200_000);
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    assert_eq!(cluster.psql_text("back", "SELECT sum(a) FROM t").trim(), "720000600000");
}

/// Trap 12: foreign keys in opposite directions must not deadlock the workers.
#[test]
fn foreign_keys_in_opposite_directions() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    let mut sql = String::new();
    for pair in 0..6 {
        sql.push_str(&format!(
            "CREATE TABLE l{pair} (id int PRIMARY KEY, r int); CREATE TABLE r{pair} (id int PRIMARY KEY, l int);
             INSERT INTO l{pair} SELECT g, g FROM generate_series(1, 20000) g;
             INSERT INTO r{pair} SELECT g, g FROM generate_series(1, 20000) g;
             ALTER TABLE l{pair} ADD FOREIGN KEY (r) REFERENCES r{pair} DEFERRABLE INITIALLY DEFERRED;
             ALTER TABLE r{pair} ADD FOREIGN KEY (l) REFERENCES l{pair} DEFERRABLE INITIALLY DEFERRED;"
        ));
    }
    cluster.sql("d", &sql);
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "d");
    let id = desk.backup(&cluster, "d");
    for round in 0..3 {
        let name = format!("back{round}");
        desk.ok(&["restore", &id, "--dbname", &cluster.conninfo(&name), "--create", "--jobs", "4"]);
        assert_same(&before, &Snapshot::take(&cluster, &name));
    }
    assert!(!cluster.log().contains("deadlock detected"), "the server saw a deadlock");
}

/// Trap 13: a restore never empties a table that it found.
#[test]
fn restored_tables_are_frozen_and_found_ones_are_kept() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g AS a, 'some text' AS b FROM generate_series(1, 20000) g");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    // HEAP_XMIN_FROZEN is hinted on every row of a table that was loaded with FREEZE.
    cluster.sql("back", "CREATE EXTENSION pageinspect");
    let frozen = "SELECT bool_and((t_infomask & 768) = 768) FROM heap_page_items(get_raw_page('t', 0))";
    assert_eq!(cluster.psql_text("back", frozen).trim(), "t");
}

/// Trap 14: a restore goes only where it is told to.
#[test]
fn a_restore_needs_its_target_named() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let output = desk.command(&["restore", &id]).env("PGDATABASE", "d").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// Trap 17: one TABLE DATA file per table, though it was copied in ranges; stock parallel restore
/// loses nothing.
#[test]
fn a_table_copied_in_ranges_exports_as_one() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE t (a int PRIMARY KEY, b text); ALTER TABLE t ALTER b SET STORAGE PLAIN;
         INSERT INTO t SELECT g, repeat('p', 4000) FROM generate_series(1, 40000) g",
    );
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "d");
    let id = desk.backup(&cluster, "d");
    let folder = desk.path("dump");
    desk.ok(&["export", &id, "--format", "directory", "--output", &folder.display().to_string()]);
    let listed = stock(cluster.client("pg_restore").arg("-l").arg(&folder));
    assert_eq!(listed.matches("TABLE DATA public t ").count(), 1);
    cluster.create_database("back");
    stock(cluster.client("pg_restore").args(["-j4", "-d", &cluster.conninfo("back")]).arg(&folder));
    assert_same(&before, &Snapshot::take(&cluster, "back"));
}

/// The newest major, with its own archive version.
#[test]
fn a_newer_major_round_trips() {
    let Some(builder) = pgark_testkit::require(18) else { return };
    let cluster = builder.start();
    cluster.create_database("zoo");
    zoo::load(&cluster, "zoo");
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "zoo");
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    let id =
        desk.ok(&["backup", "--dbname", &cluster.conninfo("zoo"), "--pg-dump", &pg_dump]).trim().to_string();
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    assert_same(&before, &Snapshot::take(&cluster, "back"));
    let folder = desk.path("dump");
    desk.ok(&["export", &id, "--format", "directory", "--output", &folder.display().to_string()]);
    cluster.create_database("stock");
    stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo("stock")]).arg(&folder));
    let mut exported = Snapshot::take(&cluster, "stock");
    exported.database.clone_from(&before.database);
    assert_same(&before, &exported);

    // Not into an older server.
    let old = Cluster::start();
    let said = desk.fails(1, &["restore", &id, "--dbname", &old.conninfo("back"), "--create"]);
    super::support::example("A target of an older major", 1, &said);
    assert!(said.contains("older"), "{said}");
}
