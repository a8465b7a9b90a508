//! Traps 1, 2, 5: locks, and what changes while a backup begins.

use pgark_testkit::Cluster;

use super::support::{Desk, Session, wait_until};

/// Trap 1: DDL that queues behind the lead's lock must not stop the workers behind it.
#[test]
fn ddl_that_waits_does_not_hang_the_backup() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE big AS SELECT g AS a, repeat('x', 500) AS b FROM generate_series(1, 300000) g",
    );
    cluster.sql("d", "CREATE TABLE late AS SELECT 1 AS a");
    let desk = Desk::plain();
    let info = cluster.conninfo("d");
    let child = desk.spawn(&["backup", "--dbname", &info, "--jobs", "1"]);
    // As soon as the lead holds its locks, somebody wants to alter a table that is copied last.
    wait_until(
        &cluster,
        "d",
        "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'late'::regclass AND mode = 'AccessShareLock'",
    );
    let mut ddl = Session::open(&cluster, "d");
    ddl.send("ALTER TABLE late ADD COLUMN b int");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ddl.end();
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    // With the column or without it, as one moment had it: the DDL may have come before pg_dump's
    // own lock.
    let late = desk.ok(&["cat", &format!("{id}:/db/d/data/public.late")]);
    assert!(late == "1\n" || late == "1\t\\N\n", "{late}");
    assert_eq!(desk.json(&["show", &id, "--json"])["tables"].as_array().unwrap().len(), 2);
}

/// Trap 2: tables that are truncated, rewritten, altered, dropped and made again while backups
/// begin.
#[test]
fn a_table_that_is_emptied_between_snapshot_and_lock_is_not_lost() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 100) g");
    cluster.sql("d", "CREATE TABLE gone (a int); CREATE TABLE altered (a int)");
    let desk = Desk::plain();
    let mut ddl = Session::open(&cluster, "d");
    // The table always holds 100 rows in every committed state.
    ddl.send(
        "DO $$ BEGIN FOR i IN 1..2000 LOOP
           TRUNCATE t; INSERT INTO t SELECT g FROM generate_series(1, 100) g; COMMIT;
           DROP TABLE gone; CREATE TABLE gone (a int); COMMIT;
           ALTER TABLE altered ADD COLUMN b int; COMMIT; ALTER TABLE altered DROP COLUMN b; COMMIT;
           PERFORM pg_sleep(0.4);
         END LOOP; END $$",
    );
    let mut complete = 0;
    for _ in 0..4 {
        let output = desk.run(&["backup", "--dbname", &cluster.conninfo("d")]);
        if output.status.success() {
            let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
            assert_eq!(
                desk.ok(&["cat", &format!("{id}:/db/d/data/public.t")]).lines().count(),
                100,
                "rows were lost"
            );
            complete += 1;
        } else {
            // Honest: the schema changed at every attempt. Nothing was stored under a name.
            assert_eq!(output.status.code(), Some(1));
        }
    }
    cluster.kill_backends_named("psql");
    ddl.end();
    assert!(complete > 0, "no backup succeeded between the changes");
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), complete);
}

/// Tables are locked before the snapshot is taken: one that is made while the first locks wait is
/// seen, locked behind it, and copied, and one that is emptied meanwhile is copied as the snapshot
/// has it.
#[test]
fn a_table_that_is_made_while_the_first_locks_wait_is_copied() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE held AS SELECT 1 AS a; CREATE TABLE gone AS SELECT 3 AS a");
    let mut holder = cluster.session("d");
    holder.run("BEGIN; TRUNCATE held; INSERT INTO held VALUES (2)");
    let desk = Desk::plain();
    let child = desk.spawn(&["backup", "--dbname", &cluster.conninfo("d")]);
    wait_until(
        &cluster,
        "d",
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pgark' AND wait_event_type = 'Lock'",
    );
    holder.run("CREATE TABLE made AS SELECT 4 AS a; COMMIT");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    for (table, rows) in [("held", "2\n"), ("gone", "3\n"), ("made", "4\n")] {
        assert_eq!(desk.ok(&["cat", &format!("{id}:/db/d/data/public.{table}")]), rows);
    }
}

/// Trap 5: with default settings, two sets of locks on this many tables do not fit.
#[test]
fn more_tables_than_two_sets_of_locks() {
    let cluster =
        Cluster::builder().conf("max_locks_per_transaction = 10").conf("max_connections = 20").start();
    cluster.create_database("d");
    for batch in 0..4 {
        cluster.sql(
            "d",
            &format!(
                "DO $$ BEGIN FOR i IN {}..{} LOOP EXECUTE format('CREATE TABLE t%s AS SELECT %s AS a', i, i); COMMIT; \
                 END LOOP; END $$",
                batch * 50,
                batch * 50 + 49
            ),
        );
    }
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    assert_eq!(desk.json(&["show", &id, "--json"])["tables"].as_array().unwrap().len(), 200);
    assert_eq!(desk.ok(&["cat", &format!("{id}:/db/d/data/public.t123")]), "123\n");
}

#[test]
fn the_first_locks_wait_only_as_long_as_asked() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE held (a int)");
    let mut holder = Session::open(&cluster, "d");
    holder.send("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
    wait_until(
        &cluster,
        "d",
        "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = (SELECT oid FROM pg_class WHERE relname = 'held')",
    );
    let desk = Desk::plain();
    let said = desk.example(
        "A table locked by another session",
        1,
        &["backup", "--dbname", &cluster.conninfo("d"), "--lock-wait-timeout", "1s"],
    );
    assert!(said.contains("public.held is locked by process"), "{said}");
    cluster.kill_backends_named("psql");
    holder.end();
}

/// No session has a prepared transaction, so no process is to be named: the transaction is, and the
/// SQL that ends it.
#[test]
fn a_prepared_transaction_that_holds_a_lock_is_named() {
    let cluster = Cluster::builder().conf("max_prepared_transactions = 5").start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE held AS SELECT 1 AS a; CREATE TABLE other AS SELECT 2 AS a");
    let desk = Desk::plain();
    let info = cluster.conninfo("d");
    let id = desk.backup(&cluster, "d");
    cluster
        .sql("d", "BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'it''s forgotten'");
    let ends = "ROLLBACK PREPARED 'it''s forgotten'";
    let backup = ["backup", "--dbname", &info, "--lock-wait-timeout", "1s"];
    let said = desk.example("A table locked by a prepared transaction", 1, &backup);
    assert!(
        said.contains("public.held is locked by the prepared transaction") && said.contains(ends),
        "{said}"
    );
    let said = desk.fails(1, &[&backup[..], &["--table", "held"]].concat());
    assert!(said.contains(ends), "{said}");
    // A restore that would wait for ever does not begin.
    let said = desk.fails(1, &["restore", &id, "--dbname", &info, "--clean"]);
    assert!(said.contains(ends) && said.contains("nothing was changed"), "{said}");
    cluster.sql("d", ends);
    // A lock that drops wait for, and backups do not.
    cluster.sql("d", "BEGIN; INSERT INTO held VALUES (3); PREPARE TRANSACTION 'writes'");
    desk.ok(&backup);
    let said = desk.fails(1, &["restore", &id, "--dbname", &info, "--clean"]);
    assert!(said.contains("ROLLBACK PREPARED 'writes'"), "{said}");
    desk.ok(&["restore", &id, "--dbname", &info, "--clean", "--table", "other"]);
    desk.ok(&["restore", &id, "--dbname", &info, "--data-only", "--table", "held"]);
    cluster.sql("d", "ROLLBACK PREPARED 'writes'");
    desk.ok(&["restore", &id, "--dbname", &info, "--clean"]);
    assert_eq!(cluster.psql_text("d", "TABLE held").trim(), "1");
}
