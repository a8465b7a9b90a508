//! Physical backups over the replication protocol, restored and judged by PostgreSQL's own tools.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pgark_testkit::oracle::assert_same;
use pgark_testkit::{Cluster, is_full};
use serde_json::Value;
use tempfile::TempDir;

use super::physical::{
    Receiving, amcheck, back_up, back_up_from, fill, id, logged, pg_checksums, relation_files, restored,
    source, verify, while_a_ledger_grows,
};
use super::support::Desk;

/// What `--json` says of the pages that were stored.
fn new_pages(said: &Value) -> u64 {
    said["physical"]["pages"]["new"].as_u64().unwrap()
}

/// While a writer commits to a ledger, its server sends all files, those of a tablespace too. The
/// next backup stores what changed.
#[test]
fn a_server_sends_its_files_while_it_works() {
    let cluster = Cluster::builder().initdb_arg("--data-checksums").start();
    fill(&cluster, "d", 20_000);
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    cluster.own(folder.path());
    cluster.sql("d", &format!("CREATE TABLESPACE fast LOCATION '{}'", folder.path().display()));
    let desk = Desk::with_identity();
    let first = while_a_ledger_grows(&cluster, "fast", || back_up_from(&desk, &cluster, "wire"));
    assert_eq!(first["physical"]["source_reason"], "asked for", "{first}");
    let spaces = TempDir::new_in("/tmp").unwrap();
    cluster.own(spaces.path());
    let back = |id: &str, name: &str| {
        let place = format!("fast={}", spaces.path().join(name).display());
        cluster.restored(|to| {
            desk.ok(&["restore", id, "--to-dir", &to.display().to_string(), "--tablespace", &place]);
            verify(&cluster, to);
            // As they are on the server.
            for path in ["", "base", "global/pg_control", "postgresql.conf", "pg_wal", "pg_replslot"] {
                let mode = |root: &std::path::Path| root.join(path).metadata().unwrap().permissions().mode();
                assert_eq!(mode(to), mode(&cluster.data_directory()), "{path}");
            }
        })
    };
    let server = back(&id(&first), "first");
    assert!(server.psql_text("d", "SELECT count(*) FROM ledger").parse::<u32>().unwrap() >= 100);
    let whole = "SELECT max(n) = count(*) AND (SELECT count(*) FROM other) = count(*) FROM ledger";
    assert_eq!(server.psql_text("d", whole), "t");
    assert_eq!(server.psql_text("d", "SELECT count(*) FROM u"), "0", "unlogged tables come back empty");
    amcheck(&server);
    server.stop();
    pg_checksums(&server);
    cluster.sql("d", "DELETE FROM t WHERE id % 9 = 0; SELECT lo_put(9003, 7, 'abc'); CREATE DATABASE late");
    let second = back_up_from(&desk, &cluster, "wire");
    let pages = &second["physical"]["pages"];
    assert!(pages["new"].as_u64().unwrap() < pages["total"].as_u64().unwrap(), "{second}");
    let server = back(&id(&second), "second");
    assert_same(&logged(&cluster, "d"), &logged(&server, "d"));
    amcheck(&server);
    server.stop();
    pg_checksums(&server);
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    let left = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(cluster.psql_text("postgres", left), "0");
}

/// What one source stored, the other finds again. A folder has more small files than a bundle
/// takes, and one file changes its kind.
#[test]
fn both_sources_compare_with_each_other() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    cluster.sql(
        "d",
        "DO $$ BEGIN FOR n IN 1..1300 LOOP \
         EXECUTE format('CREATE TABLE small_%s AS SELECT %s AS n, repeat(''x'', %s) AS text', n, n, n); \
         END LOOP; END $$; CHECKPOINT",
    );
    let desk = Desk::with_identity();
    let mut backups = Vec::new();
    for (number, source) in ["wire", "files", "wire", "wire", "files"].into_iter().enumerate() {
        cluster.sql("postgres", "CHECKPOINT");
        let said = back_up_from(&desk, &cluster, source);
        // Nothing has written to the files since the backup's own checkpoint.
        let files = relation_files(&cluster.data_directory());
        assert!(number == 0 || new_pages(&said) < 20, "{source}: {said}");
        assert!(number == 0 || said["physical"]["pages"]["rewritten"].as_u64().unwrap() < 100, "{said}");
        backups.push((id(&said), files));
    }
    // Some files come, some go, a large one becomes small, and a small one large.
    cluster.sql(
        "d",
        "DROP TABLE small_7, small_77, small_777; CREATE TABLE late AS SELECT 1 AS a; TRUNCATE big; \
         INSERT INTO small_5 SELECT g, repeat('y', 1000) FROM generate_series(1, 3000) g; \
         DELETE FROM t WHERE id > 2000; VACUUM t; CHECKPOINT",
    );
    for (number, source) in ["wire", "files", "wire"].into_iter().enumerate() {
        let said = back_up_from(&desk, &cluster, source);
        assert_eq!(number == 0, new_pages(&said) >= 100, "{source}: {said}");
        backups.push((id(&said), relation_files(&cluster.data_directory())));
    }
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    for (number, (id, files)) in backups.iter().enumerate().filter(|(number, _)| [2, 6].contains(number)) {
        let server = restored(&desk, &cluster, id, |to| {
            let own = relation_files(to);
            for (path, bytes) in files {
                let relation = path.split('_').next().unwrap_or_default();
                let is_unlogged = files.contains_key(&format!("{relation}_init"));
                match own.get(path) {
                    Some(own) => assert!(own == bytes, "backup {number}: {path} differs"),
                    None => assert!(is_unlogged, "backup {number}: {path} is not there"),
                }
            }
            assert!(own.len() <= files.len(), "backup {number} has more files than the server");
        });
        server.stop();
        pg_checksums(&server);
    }
}

/// Every damaged page of the server is named, though the server itself names the first few of a
/// file.
#[test]
fn damaged_pages_that_are_sent_are_named() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    let desk = Desk::with_identity();
    back_up_from(&desk, &cluster, "wire");
    let path = cluster.psql_text("d", "SELECT pg_relation_filepath('t')");
    let index = cluster.psql_text("d", "SELECT pg_relation_filepath('t_pkey')");
    cluster.stop();
    let page = |path: &str, block: u64| {
        let mut page = vec![0; 8192];
        let file = fs::File::open(cluster.data_directory().join(path)).unwrap();
        file.read_exact_at(&mut page, block * 8192).unwrap();
        page
    };
    let put = |path: &str, block: u64, bytes: &[u8]| {
        let file = fs::OpenOptions::new().write(true).open(cluster.data_directory().join(path)).unwrap();
        file.write_all_at(bytes, block * 8192).unwrap();
    };
    let flipped: Vec<u32> = [3, 7].into_iter().chain(10..20).chain([70]).collect();
    for block in &flipped {
        let mut flipped = page(&path, u64::from(*block));
        flipped[5000] ^= 0x10;
        put(&path, u64::from(*block), &flipped);
    }
    // A page of a future that this server never had: the server passes over it.
    let mut future = page(&index, 2);
    future[0..4].copy_from_slice(&0x7777u32.to_le_bytes());
    put(&index, 2, &future);
    cluster.start_again();
    desk.expects(&["damaged", "checksum"]);
    let conninfo = cluster.conninfo("postgres");
    let run = desk.run(&["backup", "--physical", "--source", "wire", "--json", "--dbname", &conninfo]);
    assert_eq!(run.status.code(), Some(3), "{}", String::from_utf8_lossy(&run.stderr));
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(said["status"], "complete", "{said}");
    assert_eq!(said["physical"]["pages"]["failed"], flipped.len() as u64 + 1, "{said}");
    let failures = said["physical"]["checksum_failures"].as_array().unwrap();
    let blocks =
        |path: &str| failures.iter().find(|failure| failure["path"] == path).unwrap()["blocks"].clone();
    assert_eq!(blocks(&path), serde_json::json!(flipped));
    assert_eq!(blocks(&index), serde_json::json!([2]));
    let output = desk.run(&["cat", &format!("{}:/pgdata/{path}", id(&said))]);
    assert!(output.stdout == fs::read(cluster.data_directory().join(&path)).unwrap());
}

/// Killed or interrupted at any moment: no slot and no walsender is left, the server is not in
/// backup mode, and the next backup goes on.
#[test]
fn a_killed_backup_over_the_wire_leaves_nothing() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    back_up_from(&desk, &cluster, "wire");
    let rounds = if std::env::var_os("PGARK_TEST_FULL").is_some() { 100 } else { 8 };
    for round in 0..rounds {
        cluster.sql("d", &format!("UPDATE t SET text = md5(random()::text) WHERE id % 20 = {}", round % 20));
        let conninfo = cluster.conninfo("postgres");
        let arguments =
            ["backup", "--physical", "--source", "wire", "--dbname", &conninfo, "--allow-concurrent"];
        let mut child = desk.spawn(&arguments);
        thread::sleep(Duration::from_millis(20 + (round * 97) % 700));
        match round % 2 {
            0 => child.kill().unwrap(),
            _ => drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status()),
        }
        let status = child.wait().unwrap();
        assert!(round % 2 == 0 || [Some(130), Some(0)].contains(&status.code()), "{status}");
        let until = Instant::now() + Duration::from_secs(60);
        let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_replication) \
                    + (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' \
                       OR application_name LIKE 'pgark%')";
        while cluster.psql_text("postgres", left) != "0" {
            assert!(Instant::now() < until, "the server still has something of a killed backup");
            thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    let last = back_up_from(&desk, &cluster, "wire");
    let server = restored(&desk, &cluster, &id(&last), |_| {});
    assert_same(&logged(&cluster, "d"), &logged(&server, "d"));
}

/// Through a network the server compresses what it sends.
#[test]
fn what_goes_through_a_network_is_compressed() {
    // No packet is sent by this.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let Some(address) = address.ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
    else {
        return;
    };
    let cluster = Cluster::builder()
        .initdb_arg("--data-checksums")
        .conf("listen_addresses = '*'")
        .hba(&format!("host all all {address}/32 trust"))
        .hba(&format!("host replication all {address}/32 trust"))
        .start();
    fill(&cluster, "d", 3_000);
    let desk = Desk::with_identity();
    let conninfo = format!("host={address} port={} dbname=postgres user=postgres", cluster.port());
    let run = desk.run(&[
        "backup",
        "--physical",
        "--source",
        "wire",
        "--cluster",
        "c",
        "--json",
        "--dbname",
        &conninfo,
    ]);
    let log = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{log}");
    assert_eq!(log.contains("the server compresses what it sends"), cluster.major() >= 15, "{log}");
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    let server = restored(&desk, &cluster, &id(&said), |_| {});
    assert_same(&logged(&cluster, "d"), &logged(&server, "d"));
    // A held-back one, and not through a network: as it is.
    cluster.sql("postgres", "CHECKPOINT");
    let conninfo = cluster.conninfo("postgres");
    let run = desk.run(&[
        "backup",
        "--physical",
        "--source",
        "wire",
        "--rate",
        "200M",
        "--checkpoint",
        "spread",
        "--label",
        "it's me",
        "--cluster",
        "c",
        "--json",
        "--dbname",
        &conninfo,
    ]);
    let log = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && !log.contains("compresses"), "{log}");
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    let label = desk.ok(&["cat", &format!("{}:/pgdata/backup_label", id(&said))]);
    assert!(label.contains("LABEL: it's me\n"), "{label}");
}

/// Modes and owners come from the archives, those of the data directory itself from the server.
#[test]
fn modes_and_owners_are_those_on_the_server() {
    let cluster =
        Cluster::builder().initdb_arg("--data-checksums").initdb_arg("--allow-group-access").start();
    cluster.create_database("d");
    let desk = Desk::plain();
    let said = back_up_from(&desk, &cluster, "wire");
    cluster.restored(|to| {
        desk.ok(&["restore", &id(&said), "--to-dir", &to.display().to_string()]);
        verify(&cluster, to);
        for path in ["", "base", "base/1", "base/1/1259", "global/pg_control", "PG_VERSION", "pg_wal"] {
            let of = |root: &std::path::Path| {
                use std::os::unix::fs::MetadataExt;
                let meta = root.join(path).metadata().unwrap();
                (meta.mode(), meta.uid(), meta.gid())
            };
            assert_eq!(of(to), of(&cluster.data_directory()), "{path}");
        }
    });
}

/// The server reads what is outside of its data directory, if the role may ask it to.
#[test]
fn configuration_from_outside_is_sent() {
    let outside = TempDir::new_in("/tmp").unwrap();
    let cluster = source();
    let hba = outside.path().join("pg_hba.conf");
    fs::rename(cluster.data_directory().join("pg_hba.conf"), &hba)
        .or_else(|_| fs::copy(cluster.data_directory().join("pg_hba.conf"), &hba).map(drop))
        .unwrap();
    cluster.own(outside.path());
    cluster.own(&hba);
    let conf = cluster.data_directory().join("postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap() + &format!("hba_file = '{}'\n", hba.display());
    fs::write(&conf, text).unwrap();
    cluster.restart();
    cluster.sql("postgres", "CREATE ROLE remote LOGIN REPLICATION; GRANT pg_read_all_settings TO remote");
    let desk = Desk::plain();
    let said = back_up_from(&desk, &cluster, "wire");
    assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
    let to = TempDir::new_in("/tmp").unwrap();
    let directory = to.path().join("back").display().to_string();
    desk.ok(&["restore", &id(&said), "--to-dir", &directory, "--with-config"]);
    let back = fs::read(to.path().join("back/pg_hba.conf")).unwrap();
    assert_eq!(back, fs::read(&hba).unwrap());
    // A role that may not read files: the backup says what it has not, and is complete.
    desk.expects(&["is not in the backup", "pg_read_server_files"]);
    let conninfo = cluster.conninfo_as("postgres", "remote", None);
    let said = desk.json(&["backup", "--physical", "--source", "wire", "--json", "--dbname", &conninfo]);
    let warnings = said["warnings"].to_string();
    assert!(warnings.contains(&format!("{} is not in the backup", hba.display())), "{said}");
    assert_eq!(said["status"], "complete");
}

/// A tablespace inside of the data directory is sent from PostgreSQL 16 on; before, its backup is
/// refused.
#[test]
fn tablespaces_in_the_data_directory_are_sent_or_refused() {
    let newest = Cluster::available_majors().into_iter().max().filter(|_| is_full());
    let majors = [None, newest];
    for major in &majors[..1 + usize::from(newest.is_some())] {
        let builder = Cluster::builder().conf("allow_in_place_tablespaces = on");
        let cluster = match major {
            Some(major) => builder.major(*major).start(),
            None => builder.start(),
        };
        cluster.sql("postgres", "CREATE TABLESPACE inner_one LOCATION ''");
        cluster.sql("postgres", "CREATE TABLE t TABLESPACE inner_one AS SELECT generate_series(1, 5000) id");
        let desk = Desk::plain();
        let conninfo = cluster.conninfo("postgres");
        let wire = ["backup", "--physical", "--source", "wire", "--dbname", &conninfo];
        if cluster.major() < 16 {
            let said = desk.fails(1, &wire);
            assert!(said.contains("inner_one is inside of the data directory"), "{said}");
            desk.expects(&["is inside of the data directory"]);
        }
        let source = if cluster.major() < 16 { "files" } else { "wire" };
        let said = back_up_from(&desk, &cluster, source);
        let server = cluster.restored(|to| {
            desk.ok(&["restore", &id(&said), "--to-dir", &to.display().to_string()]);
        });
        assert_eq!(server.psql_text("postgres", "SELECT count(*) FROM t"), "5000");
    }
}

/// What makes a backup over the wire impossible is told with its cure, and nothing is committed.
#[test]
fn what_a_backup_over_the_wire_refuses() {
    let cluster = source();
    let desk = Desk::plain();
    let wire = |cluster: &Cluster, role: &str, code: i32, more: &[&str]| {
        let conninfo = cluster.conninfo_as("postgres", role, None);
        let mut arguments = vec!["backup", "--physical", "--source", "wire", "--dbname", &conninfo];
        arguments.extend(more);
        desk.fails(code, &arguments)
    };
    let role = "CREATE ROLE weak LOGIN; CREATE ROLE remote LOGIN REPLICATION";
    cluster.sql("postgres", role);
    let said = wire(&cluster, "weak", 1, &[]);
    assert!(said.contains("ALTER ROLE weak REPLICATION") && !said.contains("GRANT EXECUTE"), "{said}");
    let said = wire(&cluster, "postgres", 2, &["--rate", "10k"]);
    assert!(said.contains("32KiB"), "{said}");
    let said = wire(&cluster, "postgres", 2, &["--pgdata", "/tmp"]);
    assert!(said.contains("--pgdata") && said.contains("--source wire"), "{said}");
    let said = wire(&cluster.standby(), "postgres", 1, &[]);
    assert!(said.contains("standby") && said.contains("primary"), "{said}");
    let few = Cluster::builder().conf("max_wal_senders = 1").conf("max_replication_slots = 0").start();
    let said = wire(&few, "postgres", 1, &[]);
    assert!(said.contains("max_wal_senders is 1") && said.contains("set max_wal_senders to 10"), "{said}");
    let slots = Cluster::builder().conf("max_replication_slots = 0").hba("local replication shut reject");
    let slots = slots.start();
    let said = wire(&slots, "postgres", 1, &[]);
    assert!(said.contains("max_replication_slots"), "{said}");
    slots.sql("postgres", "CREATE ROLE shut LOGIN REPLICATION");
    let said = wire(&slots, "shut", 1, &[]);
    assert!(said.contains("pg_hba.conf") && said.contains("replication"), "{said}");
    let minimal = Cluster::builder().conf("wal_level = minimal").conf("max_wal_senders = 0").start();
    assert!(wire(&minimal, "postgres", 1, &[]).contains("wal_level is minimal"));
    // All replication connections but one are taken.
    let busy = Cluster::builder().conf("max_wal_senders = 2").start();
    let other = Receiving::from(&busy);
    let said = wire(&busy, "postgres", 1, &[]);
    assert!(said.contains("max_wal_senders"), "{said}");
    drop(other);
    assert!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().is_empty());
    // REPLICATION alone is enough, and is chosen where the directory cannot be found.
    desk.expects(&["/settings.json", "/pg_hba.conf", "pg_read_all_settings"]);
    let conninfo = cluster.conninfo_as("postgres", "remote", None);
    let said = desk.json(&["backup", "--physical", "--json", "--dbname", &conninfo]);
    assert_eq!(said["physical"]["source"], "wire", "{said}");
    assert!(said["physical"]["source_reason"].as_str().unwrap().contains("data directory"), "{said}");
    let shown = desk.ok(&["show", &id(&said)]);
    assert!(shown.contains("wire (the role has no right"), "{shown}");
    let server = restored(&desk, &cluster, &id(&said), |_| {});
    assert_eq!(server.psql_text("postgres", "SELECT 1"), "1");
}

/// A server that goes away in the middle: nothing is committed.
#[test]
fn a_server_that_goes_away_leaves_no_backup() {
    let cluster = source();
    fill(&cluster, "d", 5_000);
    let desk = Desk::plain();
    let conninfo = cluster.conninfo("postgres");
    // So slow that it lasts.
    let slow = ["backup", "--physical", "--source", "wire", "--rate", "1M", "--dbname", &conninfo];
    let mut child = desk.spawn(&slow);
    let until = Instant::now() + Duration::from_secs(60);
    let sends = "SELECT count(*) FROM pg_stat_progress_basebackup WHERE backup_streamed > 0";
    while cluster.psql_text("postgres", sends) != "1" {
        assert!(Instant::now() < until, "the backup does not begin");
        thread::sleep(Duration::from_millis(20));
    }
    cluster.stop_immediate();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().is_empty());
    cluster.start_again();
    let said = back_up(&desk, &cluster);
    assert!(said["physical"]["source_reason"].as_str().unwrap().contains("server"), "{said}");
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}
