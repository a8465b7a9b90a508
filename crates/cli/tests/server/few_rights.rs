//! Roles that may do little: not read everything, not inherit, not connect everywhere.

use pgark_testkit::Cluster;
use serde_json::Value;

use super::support::Desk;

/// Kind, database, and the name with its schema of everything that a backup lacks.
fn missing(desk: &Desk, id: &str) -> Vec<String> {
    let shown = desk.json(&["show", id, "--json"]);
    let missing = shown["missing"].as_array().unwrap_or_else(|| panic!("{shown}"));
    let told = |one: &Value| {
        assert!(one["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{one}");
        let name: Vec<&str> = ["schema", "name"].iter().filter_map(|member| one[member].as_str()).collect();
        format!(
            "{} in {}: {}",
            one["kind"].as_str().unwrap(),
            one["database"].as_str().unwrap(),
            name.join(".")
        )
    };
    missing.iter().map(told).collect()
}

/// Neither `pg_read_all_data` nor GRANT SELECT opens large objects or tables under row-level
/// security.
#[test]
fn what_pg_read_all_data_does_not_cover_is_named_with_the_sql_that_opens_it() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader; CREATE TABLE t AS SELECT 1 AS a;
         CREATE TABLE mine AS SELECT 2 AS a; ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
         CREATE POLICY none_of_it ON mine USING (false);",
    );
    let desk = Desk::plain();
    desk.expects(&["GRANT pg_read_all_settings"]);
    let reader = cluster.conninfo_as("d", "reader", None);
    let said = desk.example("A table under row-level security", 1, &["backup", "--dbname", &reader]);
    assert!(said.contains("public.mine") && said.contains("ALTER ROLE reader BYPASSRLS"), "{said}");
    // Without its rows it is no obstacle.
    desk.ok(&["backup", "--dbname", &reader, "--exclude-table-data", "mine"]);

    let objects = cluster.psql_text(
        "d",
        "SELECT string_agg(lo_from_bytea(0, convert_to('object ' || g, 'UTF8'))::text, ' ') FROM generate_series(1, 4) g",
    );
    let objects: Vec<&str> = objects.trim().split(' ').collect();
    cluster.sql("d", &format!("GRANT SELECT ON LARGE OBJECT {} TO reader", objects[1]));
    cluster.sql("d", &format!("GRANT SELECT ON LARGE OBJECT {} TO PUBLIC", objects[3]));
    let without = ["backup", "--dbname", &reader, "--exclude-table-data", "mine"];
    let said = desk.example("A large object without the right to read it", 1, &without);
    let sql = format!("GRANT SELECT ON LARGE OBJECT {}, {} TO reader", objects[0], objects[2]);
    assert!(said.contains(&sql) && said.contains("pg_read_all_data"), "{said}");

    let output = desk.run(&["backup", "--dbname", &reader, "--keep-going"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    assert_eq!(
        missing(&desk, &id),
        [
            format!("large object in d: {}", objects[0]),
            format!("large object in d: {}", objects[2]),
            "rows in d: public.mine".to_string()
        ]
    );
    assert_eq!(desk.ok(&["cat", &format!("{id}:/db/d/data/public.t")]), "1\n");
    let output =
        desk.run(&["restore", &id, "--create", "--as", "r", "--dbname", &cluster.conninfo("postgres")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("large object {}", objects[2])) && said.contains("public.mine"), "{said}");
    for number in [1, 3] {
        let read = format!("SELECT convert_from(lo_get({}), 'UTF8')", objects[number]);
        assert_eq!(cluster.psql_text("r", &read).trim(), format!("object {}", number + 1));
    }

    cluster.sql("d", &sql);
    cluster.sql("d", "ALTER ROLE reader BYPASSRLS");
    desk.ok(&["backup", "--dbname", &reader]);
}

/// Names may hold whatever separates words.
#[test]
fn what_is_missing_is_told_once_whatever_its_name() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader; CREATE TABLE t AS SELECT 1 AS a",
    );
    for name in ["\"my t\"", "other"] {
        let table = format!(
            "CREATE TABLE {name} AS SELECT 2 AS a; ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY none_of_it ON {name} USING (false)"
        );
        cluster.sql("d", &table);
    }
    let desk = Desk::plain();
    let reader = cluster.conninfo_as("d", "reader", None);
    let output = desk.run(&["backup", "--dbname", &reader, "--keep-going"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    assert_eq!(missing(&desk, &id), ["rows in d: public.my t", "rows in d: public.other"]);
    let target = cluster.conninfo("postgres");
    let output = desk.run(&["restore", &id, "--create", "--as", "r", "--dbname", &target, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<&Value> =
        report["errors"].as_array().unwrap().iter().map(|error| &error["object"]).collect();
    assert_eq!(failed, ["TABLE DATA public.my t", "TABLE DATA public.other"], "{report}");
}

/// The same among several small databases, which are copied over one connection each: the others
/// are whole.
#[test]
fn a_small_database_that_cannot_be_read_whole_is_copied_but_for_that() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader");
    for name in ["a", "b"] {
        cluster.create_database(name);
        cluster.sql(name, "CREATE TABLE first AS SELECT 1 AS a; CREATE TABLE second AS SELECT 2 AS a");
    }
    // A row that cannot be read: its value is not in the catalog any more.
    cluster.sql("a", "CREATE TYPE e AS ENUM ('x'); CREATE TABLE bad (a e); INSERT INTO bad VALUES ('x')");
    cluster.sql("a", "DELETE FROM pg_enum WHERE enumlabel = 'x'");
    let desk = Desk::plain();
    let info = cluster.conninfo("postgres");
    let output = desk.run(&["backup", "--all", "--dbname", &info, "--keep-going"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    assert_eq!(missing(&desk, &id), ["rows in a: public.bad"]);
    for (database, table, rows) in [("a", "first", "1\n"), ("a", "second", "2\n"), ("b", "second", "2\n")] {
        assert_eq!(desk.ok(&["cat", &format!("{id}:/db/{database}/data/public.{table}")]), rows);
    }
    // Without --keep-going the database is missing, and the others are there.
    let output = desk.run(&["backup", "--all", "--dbname", &info]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(missing(&desk, String::from_utf8_lossy(&output.stdout).trim()), ["database in a: "]);
}

/// What a login may do only as another role: by --role, by `options`, by a setting of the role.
#[test]
fn a_role_that_inherits_nothing_becomes_the_one_that_may() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE owner_of_it CREATEDB; CREATE ROLE few LOGIN NOINHERIT; GRANT owner_of_it TO few;
         GRANT pg_read_all_settings TO owner_of_it;
         CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t OWNER TO owner_of_it;",
    );
    let desk = Desk::plain();
    desk.expects(&["GRANT ", "role few inherits nothing"]);
    let few = cluster.conninfo_as("d", "few", None);
    let said = desk.fails(1, &["backup", "--dbname", &few]);
    assert!(said.contains("public.t") && said.contains("TO few"), "{said}");
    let id = desk.ok(&["backup", "--dbname", &few, "--role", "owner_of_it"]);
    assert_eq!(desk.ok(&["cat", &format!("{}:/db/d/data/public.t", id.trim())]), "1\n");
    let by_options = format!("{few} options='-c role=owner_of_it'");
    desk.ok(&["backup", "--dbname", &by_options]);
    desk.ok(&["backup", "--dbname", &by_options, "--database", "d"]);
    // A restore makes its database as that role, too.
    let said =
        desk.fails(1, &["restore", id.trim(), "--as", "r", "--create", "--no-owner", "--dbname", &few]);
    assert!(said.contains("permission denied to create database"), "{said}");
    desk.ok(&[
        "restore",
        id.trim(),
        "--as",
        "r",
        "--create",
        "--no-owner",
        "--no-privileges",
        "--role",
        "owner_of_it",
        "--dbname",
        &few,
    ]);
    // An owner that inherits nothing may not make tables in its own `public`, unless it becomes
    // pg_database_owner.
    cluster.sql("postgres", "ALTER ROLE few CREATEDB");
    let made =
        ["restore", id.trim(), "--as", "own", "--create", "--no-owner", "--no-privileges", "--dbname", &few];
    desk.ok(&made);
    assert_eq!(
        cluster.psql_text("own", "SELECT tableowner FROM pg_tables WHERE tablename = 't'").trim(),
        "few"
    );
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'r'";
    assert_eq!(cluster.psql_text("r", owner).trim(), "owner_of_it");
    let said = desk.fails(1, &["backup", "--dbname", &few, "--role", "pg_monitor"]);
    assert!(said.contains("pg_monitor"), "{said}");
}

/// Hosted services let nobody into `postgres`.
#[test]
fn a_service_that_lets_nobody_into_postgres() {
    let cluster = Cluster::start();
    for name in ["home", "d"] {
        cluster.create_database(name);
    }
    cluster.sql("d", "CREATE TABLE t AS SELECT 1 AS a");
    cluster.sql(
        "postgres",
        "CREATE ROLE guest LOGIN CREATEDB; GRANT pg_read_all_data, pg_read_all_settings TO guest;
         REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;",
    );
    let desk = Desk::plain();
    desk.expects(&["GRANT EXECUTE ON FUNCTION", "database r1 is left out", "database r2 is left out"]);
    let guest = |database: &str| cluster.conninfo_as(database, "guest", None);
    let chosen = ["--database", "d", "--database", "home"];
    let backup =
        |dbname: &str, more: &[&str]| desk.ok(&[&["backup", "--dbname", dbname][..], &chosen, more].concat());
    // Any of these finds a way in.
    let id = backup(&guest("home"), &[]);
    backup(&guest("postgres"), &[]);
    backup(&guest("not_there"), &["--maintenance-db", "home"]);
    let said = desk.fails(1, &[&["backup", "--all", "--dbname", &guest("not_there")][..]].concat());
    assert!(said.contains("--maintenance-db") && said.contains("\"postgres\""), "{said}");
    // So does a restore that makes its database.
    let restore = |name: &str, dbname: &str, more: &[&str]| {
        let args = ["restore", id.trim(), "--database", "d", "--as", name, "--create", "--dbname", dbname];
        desk.ok(&[&args[..], &["--no-owner", "--no-privileges"], more].concat())
    };
    restore("r1", &guest("home"), &[]);
    restore("r2", &guest("postgres"), &["--maintenance-db", "home"]);
    assert_eq!(cluster.psql_text("r2", "TABLE t").trim(), "1");
    // One that only takes no connections, or is broken, is left out and named.
    cluster.sql("postgres", "ALTER DATABASE r1 ALLOW_CONNECTIONS false");
    cluster.sql("postgres", "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'r2'");
    cluster.sql("postgres", "GRANT CONNECT ON DATABASE postgres TO PUBLIC");
    let record = desk.json(&["backup", "--all", "--dbname", &guest("home"), "--json"]);
    assert_eq!(record["status"], "complete", "{record}");
    assert_eq!(record["databases"], serde_json::json!(["d", "home", "postgres"]));
    let warnings = record["warnings"].to_string();
    for told in
        ["database r1 is left out", "ALLOW_CONNECTIONS", "database r2 is left out", "DROP DATABASE r2"]
    {
        assert!(warnings.contains(told), "{told}: {warnings}");
    }
    let said = desk.fails(3, &["backup", "--dbname", &guest("home"), "--database", "d", "--database", "r2"]);
    assert!(said.contains("database r2 is missing") && said.contains("interrupted"), "{said}");
    let said = desk.fails(1, &["backup", "--dbname", &guest("home"), "--database", "r1"]);
    assert!(said.contains("does not allow connections"), "{said}");
    // pg_dumpall, too, goes on without them.
    desk.ok(&["backup", "--all", "--dbname", &cluster.conninfo("home")]);
    cluster.sql("postgres", "UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'r2'");
}

/// Filters of all databases: one that has nothing of it is no fault of the backup.
#[test]
fn databases_without_a_schema_are_left_out_of_a_backup_of_it() {
    let cluster = Cluster::start();
    for name in ["a", "b", "c"] {
        cluster.create_database(name);
        cluster.sql(name, "CREATE TABLE t AS SELECT 1 AS a");
    }
    cluster.sql("b", "CREATE SCHEMA sales; CREATE TABLE sales.t AS SELECT 2 AS a");
    let desk = Desk::plain();
    desk.expects(&["is left out: pg_dump: error: no matching"]);
    let info = cluster.conninfo("postgres");
    for filter in ["--schema=sales", "--table=sales.*"] {
        let record = desk.json(&["backup", "--all", filter, "--dbname", &info, "--json"]);
        assert_eq!(
            (&record["status"], &record["databases"]),
            (&"complete".into(), &serde_json::json!(["b"]))
        );
        let warnings = record["warnings"].to_string();
        assert!(
            warnings.contains("database a is left out: ") && warnings.contains("database c"),
            "{warnings}"
        );
    }
    let said = desk.fails(3, &["backup", "--all", "--schema=sales", "--strict-names", "--dbname", &info]);
    assert!(said.contains("database a"), "{said}");
    let said = desk.fails(1, &["backup", "--all", "--schema=nowhere", "--dbname", &info]);
    assert!(said.contains("no matching schemas"), "{said}");
    desk.fails(1, &["backup", "--dbname", &cluster.conninfo("a"), "--schema=sales"]);
}

/// Small plans give a role a few connections: a backup needs two at a time, a restore one.
#[test]
fn a_role_with_few_connections_backs_up_and_restores_over_those() {
    let cluster = Cluster::start();
    cluster.sql(
        "postgres",
        "CREATE ROLE few LOGIN CREATEDB; GRANT pg_read_all_data, pg_read_all_settings TO few",
    );
    for name in ["a", "b", "c"] {
        cluster.create_database(name);
        cluster.sql(
            name,
            "CREATE TABLE big AS SELECT g, repeat('x', 500) AS b FROM generate_series(1, 90000) g;
             CREATE INDEX ON big (g); CREATE TABLE small AS SELECT 1 AS a; SELECT lo_from_bytea(0, 'object');",
        );
    }
    let lo = "DO $$BEGIN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO few', (SELECT oid FROM pg_largeobject_metadata)); END$$";
    ["a", "b", "c"].iter().for_each(|name| cluster.sql(name, lo));
    let desk = Desk::plain();
    desk.expects(&["the server allows no more connections"]);
    let few = |database: &str| cluster.conninfo_as(database, "few", None);
    let limit = |count: u32| cluster.sql("postgres", &format!("ALTER ROLE few CONNECTION LIMIT {count}"));
    limit(2);
    let output = desk.run(&["backup", "--dbname", &few("a"), "-j", "4"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("allows no more connections"), "{said}");
    let output = desk.run(&["backup", "--all", "--dbname", &few("a"), "-j", "4"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    let listed = desk.ok(&["ls", &id]);
    assert!(listed.contains("/globals.sql"), "{listed}");
    limit(1);
    // pg_dump is the second one; where its definitions of last time do, one is enough.
    let backup = ["backup", "--dbname", &few("a")];
    let said = desk.example("Fewer connections than a backup needs", 1, &[&backup[..], &["--full"]].concat());
    assert!(said.contains("two connections at a time") && said.contains("CONNECTION LIMIT"), "{said}");
    assert_eq!(desk.run(&backup).status.code(), Some(0));
    let args = ["restore", &id, "--database", "b", "--as", "r", "--create", "-j", "4", "--dbname", &few("a")];
    desk.ok(&[&args[..], &["--no-owner", "--no-privileges"]].concat());
    assert_eq!(cluster.psql_text("r", "SELECT count(*), max(g) FROM big").trim(), "90000|90000");
}
