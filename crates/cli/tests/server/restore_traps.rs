//! Traps 7, 10, 11, 13 and 15: what a restore must do beyond loading rows.

use pgark_testkit::{Cluster, require, zoo};

use super::support::{Desk, Session, wait_until};

/// Traps 7 and 13: an extension's configuration tables come back with the user's rows only once,
/// and what the extension's own script put into them stays.
#[test]
fn configuration_tables_keep_what_their_extension_put_there() {
    let cluster = Cluster::start();
    assert!(zoo::install_extension(&cluster), "the server's share folder cannot be written");
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE EXTENSION pgark_zoo;
         INSERT INTO zoo_settings VALUES (10, 'from the user', false), (11, 'too', false);
         INSERT INTO zoo_config VALUES ('k', 'v'); INSERT INTO zoo_fixed VALUES (99);",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let stored = desk.ok(&["cat", &format!("{id}:/db/d/data/public.zoo_settings")]);
    assert_eq!(stored, "10\tfrom the user\tf\n11\ttoo\tf\n", "the extension's own rows are not the user's");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    let settings = "SELECT string_agg(id::text, ',' ORDER BY id) FROM zoo_settings";
    assert_eq!(cluster.psql_text("back", settings), "1,2,10,11", "a table that was found was emptied");
    assert_eq!(cluster.psql_text("back", "SELECT string_agg(value, ',') FROM zoo_config"), "v");
    assert_eq!(cluster.psql_text("back", "SELECT count(*) FROM zoo_fixed"), "3", "no configuration table");
}

/// Trap 13: a table that is there although this restore failed to create it is another's; its rows
/// stay.
#[test]
fn a_table_that_somebody_else_made_meanwhile_is_not_emptied() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE a_first (id int); CREATE TABLE z_found (a int); INSERT INTO z_found VALUES (1), (2)",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    cluster.create_database("back");
    let mut other = Session::open(&cluster, "back");
    other.send("BEGIN; CREATE TABLE public.z_found (a int); INSERT INTO public.z_found VALUES (-1)");
    wait_until(
        &cluster,
        "back",
        "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = 'back')",
    );
    // Not committed yet: the target looks empty. Our CREATE TABLE waits for the other's end, and
    // then fails.
    let child = desk.spawn(&["restore", &id, "--dbname", &cluster.conninfo("back")]);
    wait_until(
        &cluster,
        "postgres",
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%z_found%'",
    );
    other.send("COMMIT");
    let output = child.wait_with_output().unwrap();
    other.end();
    let said = super::support::text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("z_found"), "{said}");
    let rows = cluster.psql_text("back", "SELECT string_agg(a::text, ',' ORDER BY a) FROM z_found");
    assert_eq!(rows, "-1", "the other's table was emptied or filled");
}

/// Trap 10: a sequence's value is never behind the rows that came with it.
#[test]
fn sequences_are_ahead_of_the_rows() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE t (id bigserial PRIMARY KEY, filler text); CREATE TABLE pause AS SELECT 1 AS a",
    );
    let mut writer = Session::open(&cluster, "d");
    writer.send(
        "DO $$ BEGIN FOR i IN 1..100000 LOOP INSERT INTO t (filler) SELECT 'x' FROM generate_series(1, 20);
           COMMIT; END LOOP; END $$",
    );
    wait_until(&cluster, "d", "SELECT count(*) > 1000 FROM t");
    let desk = Desk::plain();
    let ids: Vec<String> = (0..3).map(|_| desk.backup(&cluster, "d")).collect();
    cluster.kill_backends_named("psql");
    writer.end();
    for (number, id) in ids.iter().enumerate() {
        let name = format!("back{number}");
        desk.ok(&["restore", id, "--dbname", &cluster.conninfo(&name), "--create"]);
        assert_eq!(
            cluster.psql_text(&name, "SELECT last_value >= (SELECT max(id) FROM t) FROM t_id_seq"),
            "t",
            "the next insert would fail"
        );
        cluster.sql(&name, "INSERT INTO t (filler) VALUES ('the next one')");
    }
}

/// Trap 11: globals and the database's own properties are in the backup of one database.
#[test]
fn the_properties_of_the_database_come_back() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE tenant; CREATE ROLE auditor LOGIN CONNECTION LIMIT 3; GRANT tenant TO auditor WITH ADMIN OPTION;
         ALTER ROLE auditor SET work_mem = '7MB'; ALTER ROLE auditor IN DATABASE d SET work_mem = '9MB';
         ALTER DATABASE d SET search_path = pg_catalog, \"$user\"; ALTER DATABASE d CONNECTION LIMIT 17;
         COMMENT ON DATABASE d IS 'one of a kind'; GRANT TEMPORARY ON DATABASE d TO tenant;
         REVOKE CONNECT ON DATABASE d FROM PUBLIC; ALTER DATABASE d OWNER TO tenant;",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let globals = desk.ok(&["cat", &format!("{id}:/globals.sql")]);
    for words in ["CREATE ROLE auditor", "GRANT tenant TO auditor", "work_mem", "CONNECTION LIMIT 3"] {
        assert!(globals.contains(words), "{words}: {globals}");
    }
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    let properties = |db: &str| {
        cluster.psql_text(
            "postgres",
            &format!(
                "SELECT pg_get_userbyid(datdba), datconnlimit, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database'),
                   (SELECT array_agg(s.setconfig::text || coalesce(r.rolname, '') ORDER BY 1) FROM pg_db_role_setting s
                      LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid)
                 FROM pg_database d WHERE datname = '{db}'"
            ),
        )
    };
    assert_eq!(properties("back"), properties("d"));
    assert!(properties("d").contains("one of a kind"));
}

/// Trap 15: the planner knows the restored tables at once, unless told otherwise.
#[test]
fn restored_tables_have_statistics() {
    let cluster = Cluster::builder().conf("autovacuum = off").start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g AS a, g % 7 AS b FROM generate_series(1, 5000) g");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("bare"), "--create", "--no-analyze"]);
    let known = "SELECT count(*) FROM pg_stats WHERE tablename = 't'";
    assert_eq!(cluster.psql_text("back", known), "2");
    assert_eq!(cluster.psql_text("bare", known), "0");
    assert_eq!(cluster.psql_text("back", "SELECT reltuples FROM pg_class WHERE relname = 't'"), "5000");
}

/// A trigger on a partitioned table fires for no row that is restored, into whichever partition, by
/// whichever worker.
#[test]
fn triggers_of_partitioned_tables_do_not_fire() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE seen (id int); CREATE TABLE p (id int, body text) PARTITION BY RANGE (id);
         CREATE TABLE p_large PARTITION OF p FOR VALUES FROM (0) TO (400000);
         CREATE TABLE p_rest PARTITION OF p FOR VALUES FROM (400000) TO (800000) PARTITION BY RANGE (id);
         DO $$BEGIN FOR n IN 0..39 LOOP
           EXECUTE format('CREATE TABLE p_%s PARTITION OF p_rest FOR VALUES FROM (%s) TO (%s)', n, 400000 + n * 1000, 401000 + n * 1000);
         END LOOP; END$$;
         INSERT INTO p SELECT g, sha512(g::text::bytea)::text FROM generate_series(0, 439999) g;
         CREATE INDEX ON p (body); ALTER TABLE p ADD PRIMARY KEY (id);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.seen VALUES (NEW.id); RETURN NULL; END$$;
         CREATE TRIGGER watch AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    for jobs in ["2", "6"] {
        desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create", "--jobs", jobs]);
        let counted =
            cluster.psql_text("back", "SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM seen)");
        assert_eq!(counted, "440000|0");
        cluster.drop_database("back");
    }
    // So does a stock pg_restore of the export.
    let folder = desk.path("export").display().to_string();
    desk.ok(&["export", &id, "--output", &folder]);
    cluster.create_database("back");
    let stock = cluster
        .client("pg_restore")
        .args(["-j4", "-d", &cluster.conninfo("back"), &folder])
        .output()
        .unwrap();
    assert!(stock.status.success(), "{}", super::support::text(&stock.stderr));
    let counted = cluster.psql_text("back", "SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM seen)");
    assert_eq!(counted, "440000|0");
    assert!(!cluster.log().contains("deadlock detected"), "the server saw a deadlock");
}

/// From 17 on pg_dump groups large objects by owner and privileges, and each group is created by
/// itself, beside others: their contents wait for all groups. The first group has one object; the
/// others take longer to create.
#[test]
fn large_objects_are_written_when_all_groups_are_there() {
    let Some(builder) = require(18) else { return };
    let cluster = builder.conf("max_locks_per_transaction = 1024").start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE a; CREATE ROLE z;
         DO $$ DECLARE o oid; BEGIN FOR i IN 1..3000 LOOP
             o := lo_from_bytea(0, sha512(i::text::bytea));
             EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', o, CASE i WHEN 1 THEN 'a' ELSE 'z' END);
         END LOOP; END $$",
    );
    let desk = Desk::plain();
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    let id = desk.ok(&["backup", "--dbname", &cluster.conninfo("d"), "--pg-dump", &pg_dump]);
    let contents =
        "SELECT count(*), md5(string_agg(lo_get(oid), ''::bytea ORDER BY oid)) FROM pg_largeobject_metadata";
    for jobs in ["1", "2", "4"] {
        let name = format!("back{jobs}");
        desk.ok(&["restore", id.trim(), "--dbname", &cluster.conninfo(&name), "--create", "--jobs", jobs]);
        assert_eq!(cluster.psql_text(&name, contents), cluster.psql_text("d", contents));
    }
}
