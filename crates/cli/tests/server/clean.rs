//! `--clean`: nothing is dropped that the same restore does not bring back.

use pgark_testkit::Cluster;
use pgark_testkit::oracle::{Snapshot, assert_same};

use super::support::{Desk, Session, text, wait_until};

const MODEL: &str = "
    CREATE TABLE p (id int, d int) PARTITION BY RANGE (d);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
    CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
    INSERT INTO p SELECT g, g % 20 FROM generate_series(1, 3000) g; CREATE INDEX ON p (id);
    CREATE TYPE en AS ENUM ('a'); CREATE EXTENSION hstore; CREATE SCHEMA s; CREATE SEQUENCE s.counter;
    CREATE FUNCTION f(a int, OUT b en) LANGUAGE sql AS $$ SELECT 'a'::en $$;
    CREATE TABLE plain (a int PRIMARY KEY, b text CHECK (b <> 'x'), h hstore, e en DEFAULT (f(1))); INSERT INTO plain VALUES (1, 'a');
    CREATE VIEW v AS SELECT * FROM plain; CREATE MATERIALIZED VIEW m AS SELECT * FROM plain;
    CREATE TABLE base (a int); INSERT INTO base VALUES (1); CREATE TABLE heir (b int) INHERITS (base); INSERT INTO heir VALUES (2, 2);
    CREATE PUBLICATION pu FOR TABLE base; SELECT nextval('s.counter'); SELECT lo_from_bytea(77, 'x'); ANALYZE;";

/// A restore that must not touch anything says what it would have lost.
#[track_caller]
fn refused(cluster: &Cluster, desk: &Desk, restore: &[&str], words: &[&str]) -> String {
    let before = Snapshot::take(cluster, "d");
    let said = desk.fails(1, restore);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    assert!(said.contains("nothing was touched") || said.contains("nothing was dropped"), "{said}");
    assert_same(&before, &Snapshot::take(cluster, "d"));
    said
}

#[test]
fn nothing_goes_that_does_not_come_back() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", MODEL);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let d = cluster.conninfo("d");
    let clean = |more: &[&'static str]| -> Vec<String> {
        let args = ["restore", &id, "--dbname", &d, "--clean"];
        args.iter().chain(more).map(|arg| arg.to_string()).collect()
    };
    let refuses = |more: &[&'static str], words: &[&str]| {
        let args = clean(more);
        refused(&cluster, &desk, &args.iter().map(String::as_str).collect::<Vec<_>>(), words)
    };
    let succeeds = |more: &[&'static str]| {
        let args = clean(more);
        desk.ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let source = Snapshot::take(&cluster, "d");

    // The whole over itself: dropped and brought back.
    let plan = succeeds(&["--dry-run"]);
    for line in [
        "drop table public.p1  (about 1",
        "drop extension hstore",
        "drop view public.v",
        "drop publication pu",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    assert!(!plan.contains("NOT BROUGHT BACK") && !plan.contains("drop function public.hstore_in"), "{plan}");
    succeeds(&[]);
    assert_same(&source, &Snapshot::take(&cluster, "d"));

    // A partition that the backup does not know, and what belongs to tables and is younger than the backup.
    cluster.sql(
        "d",
        "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30); INSERT INTO p VALUES (1, 25);
         CREATE INDEX extra ON plain (b); ALTER TABLE plain ADD c int CONSTRAINT cc CHECK (c > 0); CREATE POLICY po ON plain;
         ALTER PUBLICATION pu ADD TABLE plain; CREATE TRIGGER tr BEFORE UPDATE ON base FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    );
    let extra = [
        "table public.p3",
        "index public.extra",
        "no column c",
        "constraint cc on public.plain",
        "policy po on public.plain",
        "trigger tr on public.base",
        "publication relation public.plain",
    ];
    refuses(&[], &extra);
    refuses(&["--single-transaction"], &extra);
    let args = clean(&["--dry-run", "--json"]);
    let output = desk.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "refused");
    let lost = |object: &str| {
        let drops = report["drops"].as_array().unwrap();
        drops.iter().find(|drop| drop["object"] == object).unwrap()["lost"].is_string()
    };
    assert!(lost("table public.p3") && !lost("table public.p2"), "{report}");
    // Whoever wants that says so.
    succeeds(&["--accept-loss"]);
    assert_same(&source, &Snapshot::take(&cluster, "d"));

    // Definitions without their rows.
    refuses(&["--schema-only"], &["table public.plain", "table public.p1", "its rows are not among"]);
    refuses(&["--schema-only", "-n", "s"], &["sequence s.counter"]);
    refuses(&["--schema-only", "-t", "p*"], &["cannot drop", "view public.v depends on table public.plain"]);
    // What depends on what goes, and stays; what is inherited from it.
    refuses(&["-t", "base"], &["table public.heir depends on table public.base"]);
    cluster.sql("d", "CREATE VIEW leans AS SELECT * FROM plain; CREATE TABLE child (a int REFERENCES plain)");
    let said = refuses(&[], &["view public.leans depends on table public.plain", "child_a_fkey"]);
    assert_eq!(said.matches("child_a_fkey").count(), 1, "{said}");
    refuses(&["--accept-loss"], &["view public.leans depends"]);
    cluster.sql("d", "DROP VIEW leans; DROP TABLE child");
    // What the archive has as a table is something else here.
    cluster.sql("d", "CREATE TABLE x AS SELECT 1 AS a; DROP VIEW v; CREATE TABLE v (a int)");
    refuses(&[], &["v"]);
    cluster.sql("d", "DROP TABLE v, x");
    succeeds(&[]);
    assert_same(&source, &Snapshot::take(&cluster, "d"));
    desk.fails(2, &["restore", &id, "--dbname", &d, "--accept-loss"]);
}

#[test]
fn rows_that_the_backup_does_not_have_are_not_dropped() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE kept (a int); INSERT INTO kept VALUES (1); CREATE TABLE log (a int); INSERT INTO log VALUES (1)");
    let desk = Desk::plain();
    let d = cluster.conninfo("d");
    let id = desk.ok(&["backup", "--dbname", &d, "--exclude-table-data", "log"]).trim().to_string();
    let clean = ["restore", &id, "--dbname", &d, "--clean"];
    refused(&cluster, &desk, &clean, &["table public.log", "its rows are not among"]);
    // Only its definition is replaced where there are no rows to lose.
    cluster.sql("d", "DELETE FROM log");
    desk.ok(&clean);
    // Rows and partitions that come between the first look and the drops: the second look is behind the lock.
    cluster.sql("d", "CREATE TABLE p (a int) PARTITION BY LIST (a)");
    let id = desk.ok(&["backup", "--dbname", &d, "--exclude-table-data", "log"]).trim().to_string();
    let mut session = Session::open(&cluster, "d");
    session.send("BEGIN; CREATE TABLE p1 PARTITION OF p DEFAULT; INSERT INTO log VALUES (1)");
    wait_until(&cluster, "d", "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'log'::regclass)");
    let restore = desk.spawn(&["restore", &id, "--dbname", &d, "--clean"]);
    wait_until(&cluster, "d", "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)");
    session.send("COMMIT");
    session.end();
    let output = restore.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("table public.p1") && said.contains("table public.log"), "{said}");
    assert_eq!(
        cluster.psql_text("d", "SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM kept)"),
        "2"
    );
}

/// Views that pg_dump writes in two pieces (they group by a primary key, or need each other in a circle), with types of their own:
/// over themselves, over an older form, and into a database that has nothing of it.
#[test]
fn views_in_two_pieces() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TYPE st AS ENUM ('a', 'b'); CREATE COLLATION cc FROM \"C\"; CREATE DOMAIN dm AS int;
         CREATE TABLE t (id int PRIMARY KEY, s st, n text COLLATE cc, d dm); INSERT INTO t VALUES (1, 'a', 'x', 2);
         CREATE VIEW v1 AS SELECT id, s, n, d, count(*) FROM t GROUP BY id; CREATE VIEW v2 AS SELECT * FROM v1;
         CREATE FUNCTION f(v1) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v3 AS SELECT f(v1.*) FROM v1;
         CREATE VIEW c1 AS SELECT 1 AS a; CREATE VIEW c2 AS SELECT a FROM c1; CREATE OR REPLACE VIEW c1 AS SELECT a FROM c2;
         CREATE RULE ins AS ON INSERT TO v1 DO INSTEAD INSERT INTO t (id) VALUES (new.id); CREATE MATERIALIZED VIEW mv AS SELECT * FROM v1",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let source = Snapshot::take(&cluster, "d");
    let older = "CREATE TABLE t (id int, n text); CREATE VIEW v1 AS SELECT n, id FROM t; CREATE VIEW c2 AS SELECT 1 AS b";
    for (number, (before, more)) in
        [("", "--if-exists"), (older, "--if-exists"), (older, "--single-transaction")].into_iter().enumerate()
    {
        let name = format!("r{number}");
        cluster.create_database(&name);
        cluster.sql(&name, before);
        // Twice: over what was there, and over itself.
        for _ in 0..2 {
            desk.ok(&["restore", &id, "--dbname", &cluster.conninfo(&name), "--clean", more]);
            let mut after = Snapshot::take(&cluster, &name);
            after.database.clone_from(&source.database);
            assert_same(&source, &after);
        }
    }
}
