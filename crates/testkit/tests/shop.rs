//! The shop loads, changes, and survives stock pg_dump and pg_restore as the oracle sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;
use std::time::Duration;

use pgark_testkit::{Cluster, PATIENCE, oracle, require, shop};

fn stock_copy(from: &Cluster, db: &str, to: &Cluster, new: &str) {
    let mut dump = to
        .client("pg_dump")
        .envs([("PGHOST", from.socket_directory())])
        .env("PGPORT", from.port().to_string())
        .args(["-Fc", "-d", db])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    to.create_database(new);
    let restored = to
        .client("pg_restore")
        .args(["-d", new, "--exit-on-error"])
        .stdin(dump.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(dump.wait().unwrap().success());
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
}

#[test]
fn shop_survives_stock_tools_and_changes_show() {
    let cluster = Cluster::start();
    shop::load(&cluster, "shop", 4, 7);
    shop::load(&cluster, "again", 4, 7);
    let before = oracle::Snapshot::take(&cluster, "shop");
    let again = oracle::Snapshot::take(&cluster, "again");
    let ids_differ = |key: &String| key.as_str() != "shop.documents"; // it holds large objects' ids
    for key in before.tables.keys().filter(|key| ids_differ(key)) {
        assert_eq!(before.tables[key], again.tables[key], "{key}");
    }
    stock_copy(&cluster, "shop", &cluster, "copy");
    oracle::assert_same(&before, &oracle::Snapshot::take(&cluster, "copy"));
    shop::change_one_percent(&cluster, "shop");
    shop::change_one_percent(&cluster, "shop");
    let after = oracle::Snapshot::take(&cluster, "shop");
    assert_eq!(before.schema, after.schema);
    let changed = oracle::diff(&before, &after);
    for table in ["customers", "orders_2024", "orders_later", "order_items", "documents", "revenue"] {
        assert!(
            changed.iter().any(|line| line.contains(&format!("shop.{table}\""))),
            "{table}: {changed:#?}"
        );
    }
    assert!(changed.iter().any(|line| line.starts_with("large object")));
}

#[test]
fn servers_stop_start_and_crash() {
    let cluster = Cluster::builder().auth("scram-sha-256").tcp().start();
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    cluster.restart();
    cluster.stop_immediate();
    cluster.start_again();
    cluster.crash();
    cluster.start_again();
    assert_eq!(cluster.psql_text("postgres", "SELECT * FROM t"), "1");
    assert!(cluster.try_sql("postgres", "SELECT * FROM nowhere").unwrap_err().contains("nowhere"));
    assert!(cluster.conninfo("postgres").contains("password='secret'"));
}

#[test]
fn tls_verifies() {
    let cluster = Cluster::builder().tls().hba("hostssl all all 127.0.0.1/32 trust").start();
    let connect = |conninfo: &str| {
        cluster
            .client("psql")
            .env_remove("PGHOST")
            .args(["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", conninfo])
            .output()
            .unwrap()
    };
    let conninfo = cluster.conninfo("postgres");
    assert_eq!(connect(&conninfo).stdout, b"t\n", "{conninfo}");
    let files = cluster.tls_files().unwrap();
    let wrong = conninfo.replace(files.ca.to_str().unwrap(), files.other_ca.to_str().unwrap());
    assert!(!connect(&wrong).status.success());
}

#[test]
fn eighteen_works() {
    let Some(builder) = require(18) else { return };
    let cluster = builder.start();
    shop::load(&cluster, "shop", 1, 1);
    let before = oracle::Snapshot::take(&cluster, "shop");
    stock_copy(&cluster, "shop", &cluster, "copy");
    oracle::assert_same(&before, &oracle::Snapshot::take(&cluster, "copy"));
}

#[test]
fn sessions_hold_locks() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let (mut holder, mut waiter) = (cluster.session("postgres"), cluster.session("postgres"));
    assert_eq!(holder.run("BEGIN; LOCK TABLE t; SELECT a, 'x' FROM t;"), "1|x");
    waiter.send("SELECT a + 1 FROM t");
    assert_eq!(waiter.finish(Duration::from_millis(300)), None);
    holder.run("COMMIT");
    assert_eq!(waiter.finish(PATIENCE).as_deref(), Some("2"));
    holder.run("BEGIN; LOCK TABLE t;");
    drop(holder);
    assert_eq!(waiter.run("SELECT a FROM t"), "1");
}
