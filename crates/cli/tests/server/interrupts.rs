//! What an interrupted command says it leaves behind is what it leaves behind.

use std::path::Path;
use std::process::Child;

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, wait_for};

use super::support::{Desk, stock, text, wait_until};

/// Ends the program as a service manager does, and returns what it said.
#[track_caller]
fn terminate(child: Child) -> String {
    stock(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    said
}

#[test]
fn a_restore_of_all_goes_on_where_it_was_stopped() {
    let (source, target) = (Cluster::start(), Cluster::start());
    let names = ["a", "b", "c"];
    for name in names {
        source.create_database(name);
        source.sql(name, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, g::text FROM generate_series(1, 500) g");
        source.sql("postgres", &format!("COMMENT ON DATABASE {name} IS 'this is {name}'"));
    }
    source.sql("postgres", "COMMENT ON DATABASE c IS NULL");
    let desk = Desk::plain();
    let id = desk.ok(&["backup", "--all", "--dbname", &source.conninfo("postgres")]).trim().to_string();
    let flag = desk.path("loaded");
    // Held in the second database, with its rows and without its key.
    let hook =
        format!("after-data=command:if [ $PGARK_DATABASE = b ]; then touch {}; sleep 60; fi", flag.display());
    let conninfo = target.conninfo("postgres");
    let restore = ["restore", &id, "--all", "--dbname", &conninfo];
    let child = desk.spawn(&[&restore[..], &["--hook", &hook]].concat());
    wait_for("the second database's rows", || flag.exists());
    let said = terminate(child);
    for left in [
        "database \"a\" restored",
        "database \"b\" is not whole, and what was restored stays in it (run the same command again: it makes this database again)",
        "nothing was changed in databases \"c\", \"postgres\"",
        "hooks have run",
    ] {
        assert!(said.contains(left), "{left}: {said}");
    }
    assert_eq!(target.psql_text("a", "SELECT count(*) FROM t"), "500");
    assert_eq!(
        target.psql_text(
            "b",
            "SELECT count(*), (SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass) FROM t"
        ),
        "500|0"
    );
    assert!(target.try_sql("c", "SELECT 1").is_err());

    // Another backup's restore does not take it for its own; and nobody's work is thrown away.
    let other = desk.ok(&["backup", "--all", "--dbname", &source.conninfo("postgres")]).trim().to_string();
    let said = desk.fails(1, &["restore", &other, "--all", "--dbname", &conninfo]);
    assert!(said.contains(&format!("was left by a restore of backup {id} that was not finished")), "{said}");
    target.sql("b", "CREATE TABLE mine (a int)");
    let said = desk.example("An unfinished restore that somebody else has used", 1, &restore);
    assert!(said.contains("holds what is not of it: table public.mine"), "{said}");
    target.sql("b", "DROP TABLE mine");

    // Run again, it goes on. What is done in a whole database in the meantime stays.
    target.sql("a", "INSERT INTO t VALUES (501, 'new')");
    let output = desk.run(&restore);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("database a is passed over") && said.contains("database b is made again"),
        "{said}"
    );
    assert_eq!(target.psql_text("a", "SELECT count(*) FROM t"), "501");
    target.sql("a", "DELETE FROM t WHERE id = 501");
    for name in names {
        assert_same(&Snapshot::take(&source, name), &Snapshot::take(&target, name));
    }
    let comments = "SELECT string_agg(coalesce(shobj_description(oid, 'pg_database'), '-'), ',' ORDER BY datname) FROM pg_database WHERE datname IN ('a', 'b', 'c')";
    assert_eq!(target.psql_text("postgres", comments), "this is a,this is b,-");
    // It is over: a third run finds databases that are not empty.
    assert!(desk.fails(1, &restore).contains("not empty"));
}

#[test]
fn what_is_said_to_be_left_is_left() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (a int, b bytea); INSERT INTO t VALUES (1, 'x')");
    let desk = Desk::plain();
    let small = desk.backup(&cluster, "d");
    // Bytes that no compression makes fewer.
    cluster.sql("d", "INSERT INTO t SELECT g, decode(string_agg(md5(random()::text), ''), 'hex') FROM generate_series(1, 300) g, generate_series(1, 1600) i GROUP BY g");
    let large = desk.backup(&cluster, "d");

    // A copy: the first backup is whole, the second is not there.
    let other = desk.path("other");
    let other = other.to_str().unwrap();
    desk.ok(&["init", "--no-encryption", "--repo", other]);
    let listed = || desk.json(&["list", "--json", "--repo", other]).as_array().unwrap().clone();
    let child = desk.spawn(&["copy", &desk.url(), other, "--limit-upload", "500k"]);
    wait_for("the first copy", || listed().len() == 1);
    let said = terminate(child);
    let copies = listed();
    assert_eq!(copies.len(), 1);
    let copy = copies[0]["id"].as_str().unwrap();
    assert!(
        said.contains(&format!("interrupted: copied whole: {small} as {copy}; run the same command again")),
        "{said}"
    );

    // An export leaves nothing.
    let dump = desk.path("dump");
    let partial = desk.path("dump.partial");
    let child = desk.spawn(&[
        "export",
        &large,
        "--format",
        "custom",
        "--output",
        dump.to_str().unwrap(),
        "--limit-download",
        "500k",
    ]);
    wait_for("the export", || partial.exists());
    let said = terminate(child);
    assert!(said.contains("interrupted: nothing was exported"), "{said}");
    assert!(!Path::exists(&dump) && !Path::exists(&partial));

    // A restore in one transaction changes nothing.
    cluster.create_database("one");
    let one = cluster.conninfo("one");
    let child = desk.spawn(&[
        "restore",
        &large,
        "--dbname",
        &one,
        "--single-transaction",
        "--limit-download",
        "500k",
    ]);
    wait_until(
        &cluster,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'one' AND query LIKE 'COPY%')",
    );
    let said = terminate(child);
    assert!(said.contains("interrupted: nothing was changed in database \"one\""), "{said}");
    assert_eq!(cluster.psql_text("one", "SELECT to_regclass('t') IS NULL"), "t");

    // Into tables that are there: all of a table's rows or none.
    cluster.sql("one", "CREATE TABLE t (a int, b bytea)");
    let child = desk.spawn(&["restore", &large, "--dbname", &one, "--data-only", "--limit-download", "500k"]);
    wait_until(
        &cluster,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'one' AND query LIKE 'COPY%')",
    );
    let said = terminate(child);
    assert!(said.contains("each table has either all of the rows or none of them"), "{said}");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM t"), "0");

    // Before anything was touched.
    let lock = cluster
        .client("psql")
        .args(["-Xqd", &one, "-c", "BEGIN; LOCK TABLE pg_publication; SELECT pg_sleep(60)"])
        .spawn()
        .unwrap();
    wait_until(
        &cluster,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE pg_publication%' AND wait_event = 'PgSleep')",
    );
    let child = desk.spawn(&["restore", &large, "--dbname", &one, "--clean"]);
    wait_until(&cluster, "one", "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)");
    let said = terminate(child);
    assert!(said.contains("interrupted: nothing was touched in the target"), "{said}");
    let mut lock = lock;
    lock.kill().unwrap();
    lock.wait().unwrap();
    cluster.kill_backends_named("psql");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM t"), "0");
}
