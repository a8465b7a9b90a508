//! `pgark backup --physical --dry-run`, and what a physical backup warns of.

use pgark_testkit::Cluster;

use super::physical::{Receiving, back_up, fill, source};
use super::support::{Desk, files};

/// It says what the backup takes, and changes nothing.
#[test]
fn a_dry_run_changes_nothing() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    let space = tempfile::TempDir::new_in("/tmp").unwrap();
    cluster.own(space.path());
    std::fs::set_permissions(space.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    cluster.sql("d", &format!("CREATE TABLESPACE fast LOCATION '{}'", space.path().display()));
    cluster.sql("d", "CREATE TABLE there TABLESPACE fast AS SELECT generate_series(1, 20000)");
    cluster.sql("d", "CHECKPOINT");
    let desk = Desk::with_identity();
    let before = files(&desk.repo());
    let conninfo = cluster.conninfo("postgres");
    let dry = ["backup", "--physical", "--dry-run", "--dbname", &conninfo];
    let control = || {
        let sql = "SELECT checkpoint_lsn::text FROM pg_control_checkpoint()";
        cluster.psql_text("postgres", sql)
    };
    let checkpoint = control();
    let plan = desk.json(&[&dry[..], &["--json"]].concat());
    assert_eq!(control(), checkpoint, "a backup begins with a checkpoint");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(cluster.psql_text("postgres", slots), "0");
    assert_eq!(files(&desk.repo()), before);
    assert_eq!(desk.json(&["list", "--json"])["backups"], serde_json::json!([]));
    assert_eq!((&plan["source"], &plan["checksums_on"]), (&"files".into(), &true.into()), "{plan}");
    assert_eq!(plan["data_directory"], cluster.data_directory().display().to_string());
    assert_eq!((&plan["refused"], &plan["last"]), (&serde_json::json!([]), &serde_json::Value::Null));
    assert_eq!(plan["tablespaces"][0]["name"], "fast", "{plan}");
    assert!(plan["tablespaces"][0]["bytes"].as_u64().unwrap() > 700_000, "{plan}");
    // The backup takes just that.
    let said = back_up(&desk, &cluster);
    let physical = &said["physical"];
    assert_eq!(plan["folders"], physical["folders"], "{plan} {said}");
    // pg_control is counted apart from the other files.
    assert_eq!(plan["files"].as_u64().unwrap(), physical["files"].as_u64().unwrap() + 1, "{plan} {said}");
    let wal = physical["wal"]["bytes_raw"].as_u64().unwrap();
    assert_eq!(plan["bytes"].as_u64().unwrap(), said["bytes_raw"].as_u64().unwrap() - wal + 8192);
    let again = desk.json(&[&dry[..], &["--json"]].concat());
    assert_eq!(again["last"]["id"], said["id"]);
    let shown = desk.ok(&dry);
    assert!(shown.contains("source: files") && shown.contains("fast"), "{shown}");
    assert!(shown.contains(said["id"].as_str().unwrap()), "{shown}");
}

/// Where the server would send the files, it tells how large its databases are.
#[test]
fn a_dry_run_over_the_wire_asks_the_server() {
    let cluster = Cluster::builder().conf("max_wal_senders = 2").start();
    let desk = Desk::plain();
    let conninfo = cluster.conninfo("postgres");
    let dry = ["backup", "--physical", "--dry-run", "--source", "wire", "--dbname", &conninfo];
    let plan = desk.json(&[&dry[..], &["--json"]].concat());
    assert_eq!((&plan["source"], &plan["source_reason"]), (&"wire".into(), &"asked for".into()), "{plan}");
    for unknown in ["data_directory", "files", "folders"] {
        assert_eq!(plan[unknown], serde_json::Value::Null, "{plan}");
    }
    assert_eq!(plan["refused"], serde_json::json!([]), "{plan}");
    let size = cluster.psql_text("postgres", "SELECT sum(pg_database_size(oid)) FROM pg_database");
    assert_eq!(plan["bytes"].to_string(), size);
    assert!(desk.ok(&dry).contains("source: wire (asked for)"));
    // It needs two replication connections, and one is taken.
    let other = Receiving::from(&cluster);
    desk.expects(&["1 free walsenders, and 2 are needed"]);
    let refused = desk.json(&[&dry[..], &["--json"]].concat())["refused"].to_string();
    assert!(refused.contains("max_wal_senders is 2, and 1 are used"), "{refused}");
    drop(other);
    // A role that may not connect to a database does not learn its size.
    cluster.sql(
        "postgres",
        "CREATE ROLE remote LOGIN REPLICATION; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC",
    );
    let conninfo = cluster.conninfo_as("postgres", "remote", None);
    let plan = desk.json(&["backup", "--physical", "--dry-run", "--json", "--dbname", &conninfo]);
    assert_eq!((&plan["source"], &plan["bytes"]), (&"wire".into(), &serde_json::Value::Null), "{plan}");
}

/// What would make the backup fail is told before it begins.
#[test]
fn a_dry_run_tells_why_a_backup_would_fail() {
    let cluster = Cluster::builder().conf("max_replication_slots = 1").start();
    cluster.sql("postgres", "CREATE ROLE weak LOGIN; SELECT pg_create_physical_replication_slot('mine')");
    let desk = Desk::plain();
    let conninfo = cluster.conninfo("postgres");
    desk.expects(&["max_replication_slots is 1, and 1 are used"]);
    let dry = ["backup", "--physical", "--dry-run", "--json", "--dbname"];
    let plan = desk.json(&[&dry[..], &[&conninfo]].concat());
    let refused = plan["refused"].as_array().unwrap();
    assert!(
        refused.len() == 1 && refused[0].as_str().unwrap().contains("no free replication slots"),
        "{plan}"
    );
    // So it is.
    let said = desk.fails(1, &["backup", "--physical", "--dbname", &conninfo]);
    assert!(said.contains("replication slots"), "{said}");
    // A role without rights, and a directory of nobody.
    let said = desk.fails(1, &[&dry[..], &[&cluster.conninfo_as("postgres", "weak", None)]].concat());
    assert!(said.contains("ALTER ROLE weak REPLICATION"), "{said}");
    let said = desk.fails(1, &[&dry[..], &[&conninfo, "--pgdata", "/tmp"]].concat());
    assert!(said.contains("not a data directory"), "{said}");
}

/// `pg_hba.conf` is in the data directory, and in the backup: nobody is warned that the role has no
/// right to read it.
#[test]
fn what_is_in_the_backup_anyway_is_not_missed() {
    let cluster = source();
    let (start, stop) = match cluster.major() >= 15 {
        true => ("pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"),
        false => ("pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"),
    };
    cluster.sql(
        "postgres",
        &format!(
            "CREATE ROLE backup LOGIN REPLICATION; GRANT EXECUTE ON FUNCTION {start}, {stop} TO backup; \
             GRANT pg_read_all_settings TO backup"
        ),
    );
    let desk = Desk::plain();
    let conninfo = cluster.conninfo_as("postgres", "backup", None);
    let said = desk.json(&["backup", "--physical", "--json", "--dbname", &conninfo]);
    assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
    let id = said["id"].as_str().unwrap();
    let hba = desk.ok(&["cat", &format!("{id}:/pgdata/pg_hba.conf")]);
    assert_eq!(hba, std::fs::read_to_string(cluster.data_directory().join("pg_hba.conf")).unwrap());
    // A logical backup does not have it, and says so.
    desk.expects(&["/pg_hba.conf and /pg_ident.conf are left out", "passwords", "pg_authid"]);
    let said = desk.json(&["backup", "--json", "--dbname", &conninfo]);
    assert!(said["warnings"].to_string().contains("/pg_hba.conf and /pg_ident.conf are left out"), "{said}");
}
