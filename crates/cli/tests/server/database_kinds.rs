//! Databases of every sort: no single encoding, hostile names, and under load while they are backed
//! up.

use std::process::Stdio;

use pgark_testkit::oracle::{self, Snapshot, assert_same};
use pgark_testkit::{Cluster, zoo};

use super::support::{Desk, Session, stock};

#[test]
fn sql_ascii_comes_back() {
    let cluster = Cluster::start();
    zoo::load_sql_ascii(&cluster, "raw");
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "raw");
    let id = desk.backup(&cluster, "raw");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("raw_back"), "--create"]);
    assert_same(&before, &Snapshot::take(&cluster, "raw_back"));
    let folder = desk.path("dump");
    desk.ok(&["export", &id, "--format", "directory", "--output", &folder.display().to_string()]);
    cluster.sql("postgres", "CREATE DATABASE raw_stock ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo("raw_stock")]).arg(&folder));
    assert_eq!(oracle::row_hashes(&before), oracle::row_hashes(&Snapshot::take(&cluster, "raw_stock")));
}

/// A table that may not be read is left out by its name, in whatever encoding.
#[test]
fn what_is_left_out_is_named_in_the_databases_encoding() {
    let cluster = Cluster::start();
    zoo::load_latin1(&cluster, "alt");
    cluster.sql(
        "alt",
        "SET client_encoding = 'UTF8'; CREATE ROLE clerk LOGIN; GRANT SELECT ON LARGE OBJECT 710001 TO clerk; GRANT USAGE ON SCHEMA \"schéma\" TO clerk; GRANT SELECT ON moods TO clerk",
    );
    let desk = Desk::plain();
    let info = cluster.conninfo_as("alt", "clerk", None);
    let output = desk.run(&["backup", "--dbname", &info, "--keep-going", "--json"]);
    let said = super::support::text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("schéma.täble ÿ"), "{said}");
    let backup: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = backup["id"].as_str().unwrap();
    let copied = desk.run(&["cat", &format!("{id}:/db/alt/data/public.moods")]).stdout;
    assert_eq!(copied, b"b\xe4d\ng\xf4od\n");
}

#[test]
fn databases_with_hostile_names_come_back() {
    let cluster = Cluster::start();
    let desk = Desk::plain();
    for name in [
        "a b",
        "it's",
        "we\"ird",
        "..",
        "x/../../y",
        "100%2F",
        "dbname=postgres",
        "-U",
        "žluť",
        "back\\slash",
    ] {
        cluster.create_database(name);
        cluster.sql(name, "CREATE TABLE \"t/ .%\" AS SELECT 'kept'::text AS a");
        let id = desk.backup(&cluster, name);
        let shown = desk.json(&["show", &id, "--json"]);
        assert_eq!(shown["databases"][0], name);
        assert_eq!(shown["tables"][0]["name"], "t/ .%");
        let listed = desk.ok(&["ls", &id]);
        let path = listed
            .lines()
            .find_map(|line| line.split_whitespace().find(|word| word.contains("/data/")))
            .unwrap();
        assert_eq!(desk.ok(&["cat", &format!("{id}:{path}")]), "kept\n", "{name}: {path}");
        let back = format!("{name} again");
        desk.ok(&["restore", &format!("latest:{name}"), "--dbname", &cluster.conninfo(&back), "--create"]);
        assert_eq!(cluster.psql_text(&back, "SELECT a FROM \"t/ .%\""), "kept", "{name}");
    }
}

/// The zoo does not change; beside it in the same database pgbench runs, and DDL.
#[test]
fn the_zoo_comes_back_from_a_database_in_use() {
    let cluster = Cluster::start();
    zoo::load(&cluster, "zoo");
    let still = Snapshot::take(&cluster, "zoo");
    // The zoo's database has hostile settings of its own; pgbench must not trip over them.
    stock(
        cluster
            .client("pgbench")
            .args(["-i", "-q", "-s", "2", "zoo"])
            .env("PGOPTIONS", "-c search_path=public -c default_transaction_read_only=off"),
    );
    let mut load = cluster
        .client("pgbench")
        .args(["-c", "2", "-T", "60", "-n", "zoo"])
        .env("PGOPTIONS", "-c search_path=public -c default_transaction_read_only=off")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ddl = Session::open(&cluster, "zoo");
    ddl.send(
        "DO $$ BEGIN FOR i IN 1..300 LOOP
           EXECUTE 'CREATE TABLE public.side_' || i || ' (a int PRIMARY KEY)'; COMMIT;
           EXECUTE 'ALTER TABLE public.side_' || i || ' ADD b text'; COMMIT; PERFORM pg_sleep(0.1);
           EXECUTE 'DROP TABLE public.side_' || i; COMMIT; PERFORM pg_sleep(0.2);
         END LOOP; END $$",
    );
    let desk = Desk::with_passphrase();
    let ids: Vec<String> = (0..2).map(|_| desk.backup(&cluster, "zoo")).collect();
    assert!(load.try_wait().unwrap().is_none(), "pgbench ended before the backups did");
    load.kill().unwrap();
    load.wait().unwrap();
    cluster.kill_backends_named("psql");
    ddl.end();
    for (number, id) in ids.iter().enumerate() {
        let name = format!("zoo_back{number}");
        desk.ok(&["restore", id, "--dbname", &cluster.conninfo(&name), "--create"]);
        let back = Snapshot::take(&cluster, &name);
        for (table, rows) in oracle::row_hashes(&still) {
            // The zoo's own event trigger writes down the DDL beside it.
            if table == "zoo.ddl_log" {
                continue;
            }
            assert_eq!(Some(rows), oracle::row_hashes(&back).get(table), "{table}");
        }
        let balanced = "SELECT (SELECT sum(abalance) FROM public.pgbench_accounts) = (SELECT sum(delta) FROM public.pgbench_history)
            AND (SELECT sum(bbalance) FROM public.pgbench_branches) = (SELECT sum(tbalance) FROM public.pgbench_tellers)
            AND (SELECT sum(abalance) FROM public.pgbench_accounts) = (SELECT sum(tbalance) FROM public.pgbench_tellers)
            AND (SELECT count(*) FROM public.pgbench_history) > 0";
        assert_eq!(cluster.psql_text(&name, balanced), "t", "backup {number} mixes moments");
    }
}
