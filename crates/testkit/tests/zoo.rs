//! The zoo survives stock pg_dump and pg_restore as the oracle sees it: both are sound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;

use pgark_testkit::{Cluster, oracle, require, zoo};

/// The database with its properties, by stock tools.
fn stock_copy(from: &Cluster, db: &str, to: &Cluster) {
    let mut dump =
        from.client("pg_dump").args(["-Fc", "-C", "-Z0", "-d", db]).stdout(Stdio::piped()).spawn().unwrap();
    let restored = to
        .client("pg_restore")
        .args(["-C", "-d", "postgres", "--exit-on-error"])
        .stdin(dump.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(dump.wait().unwrap().success());
}

fn round_trip(from: &Cluster, to: &Cluster) {
    let loaded = zoo::load(from, "zoo é");
    zoo::load_latin1(from, "latin1");
    zoo::load_sql_ascii(from, "ascii");
    assert_eq!(zoo::install_extension(to), loaded.extension);
    let globals = from.client("pg_dumpall").arg("-g").output().unwrap();
    let roles = String::from_utf8(globals.stdout).unwrap().replace("CREATE ROLE postgres;", "");
    to.sql("postgres", &roles);
    for db in ["zoo é", "latin1", "ascii"] {
        stock_copy(from, db, to);
        let before = oracle::Snapshot::take(from, db);
        oracle::assert_same(&before, &oracle::Snapshot::take(to, db));
    }
    assert_eq!(oracle::globals(from), oracle::globals(to));
}

#[test]
fn zoo_survives_stock_tools() {
    round_trip(&Cluster::start(), &Cluster::start());
}

#[test]
fn zoo_survives_stock_tools_on_eighteen() {
    let (Some(from), Some(to)) = (require(18), require(18)) else { return };
    round_trip(&from.start(), &to.start());
}

#[test]
fn oracle_sees_changes() {
    let cluster = Cluster::start();
    zoo::load(&cluster, "zoo");
    let mut before = oracle::Snapshot::take(&cluster, "zoo");
    assert_eq!(oracle::diff(&before, &oracle::Snapshot::take(&cluster, "zoo")), Vec::<String>::new());
    for (change, trace) in [
        ("UPDATE zoo.upper SET a = 3", "rows of \"zoo.upper\""),
        ("DELETE FROM zoo.no_columns WHERE ctid = '(0,1)'", "rows of \"zoo.no_columns\""),
        ("SELECT nextval('zoo.never_called')", "sequence \"zoo.never_called\""),
        ("SELECT lo_put(700001, 0, 'x')", "large object 700001"),
        ("COMMENT ON LARGE OBJECT 700004 IS 'new'", "large object 700004"),
        ("GRANT SELECT ON LARGE OBJECT 700003 TO PUBLIC", "large object 700003"),
        ("ALTER DATABASE zoo SET work_mem = '9MB'", "database property \"setting of all: work_mem\""),
        ("GRANT CREATE ON DATABASE zoo TO PUBLIC", "database property \"acl\""),
        ("COMMENT ON TABLE zoo.upper IS 'new'", "schema +"),
        ("REFRESH MATERIALIZED VIEW zoo.mat_no_data", "rows of \"zoo.mat_no_data\""),
    ] {
        cluster.sql("zoo", change);
        let after = oracle::Snapshot::take(&cluster, "zoo");
        let seen = oracle::diff(&before, &after);
        before = after;
        assert!(seen.iter().any(|line| line.starts_with(trace)), "{change}: {seen:?}");
    }
}

#[test]
fn many_tables_load() {
    let cluster = Cluster::start();
    zoo::many_tables(&cluster, "many", 1000);
    assert_eq!(
        cluster.psql_text(
            "many",
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'many'::regnamespace"
        ),
        "1000"
    );
    assert_eq!(oracle::Snapshot::take(&cluster, "many").tables.len(), 1000);
}
