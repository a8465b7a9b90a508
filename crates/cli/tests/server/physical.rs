//! Physical backups of real servers, restored and judged by PostgreSQL's own tools.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, in_full, is_full};
use serde_json::Value;
use tempfile::TempDir;

use super::support::Desk;

/// A cluster with data checksums.
pub(super) fn source() -> Cluster {
    let quiet = Cluster::builder().conf("autovacuum = off").conf("bgwriter_lru_maxpages = 0");
    quiet.initdb_arg("--data-checksums").start()
}

/// A physical backup; what `--json` says of it.
#[track_caller]
pub(super) fn back_up(desk: &Desk, cluster: &Cluster) -> Value {
    let said = desk.json(&["backup", "--physical", "--json", "--dbname", &cluster.conninfo("postgres")]);
    assert_eq!((&said["kind"], &said["status"]), (&"physical".into(), &"complete".into()), "{said}");
    assert_eq!(said["physical"]["pages"]["failed"], 0, "{said}");
    assert_eq!(said["physical"]["source"], "files", "{said}");
    said
}

/// The same from this source.
#[track_caller]
pub(super) fn back_up_from(desk: &Desk, cluster: &Cluster, source: &str) -> Value {
    let conninfo = cluster.conninfo("postgres");
    let said = desk.json(&["backup", "--physical", "--source", source, "--json", "--dbname", &conninfo]);
    assert_eq!(
        (&said["status"], &said["physical"]["source"]),
        (&"complete".into(), &source.into()),
        "{said}"
    );
    assert_eq!(said["physical"]["pages"]["failed"], 0, "{said}");
    said
}

pub(super) fn id(said: &Value) -> String {
    said["id"].as_str().unwrap().to_string()
}

/// Restores a backup, lets `look` see the directory, and starts its server.
pub(super) fn restored(desk: &Desk, cluster: &Cluster, id: &str, look: impl FnOnce(&Path)) -> Cluster {
    cluster.restored(|to| {
        desk.ok(&["restore", id, "--to-dir", &to.display().to_string()]);
        verify(cluster, to);
        look(to);
    })
}

/// `pg_verifybackup`: every file, its CRC32C, and the WAL.
#[track_caller]
pub(super) fn verify(cluster: &Cluster, directory: &Path) {
    verify_with(cluster, directory, &[]);
}

#[track_caller]
pub(super) fn verify_with(cluster: &Cluster, directory: &Path, more: &[&str]) {
    let output = cluster.as_server("pg_verifybackup").args(more).arg(directory).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("successfully verified"), "{said}");
}

/// Every page's checksum, of a directory whose server is stopped.
#[track_caller]
pub(super) fn pg_checksums(cluster: &Cluster) {
    let output =
        cluster.as_server("pg_checksums").arg("--check").arg("-D").arg(cluster.data_directory()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Heaps and indexes: each row of a table is in its indexes, and nothing else.
#[track_caller]
pub(super) fn amcheck(cluster: &Cluster) {
    let output = cluster
        .client("pg_amcheck")
        .args(["--all", "--install-missing", "--heapallindexed"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}

/// Every file below a folder that is one of a relation, with its bytes.
pub(super) fn relation_files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn add(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                add(root, &path, files);
            } else if name.starts_with(|sign: char| sign.is_ascii_digit()) {
                let below = path.strip_prefix(root).unwrap().display().to_string();
                files.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    for folder in ["base", "global", "pg_tblspc", "pg_xact"] {
        add(directory, &directory.join(folder), &mut files);
    }
    files
}

/// The unlogged table of [`fill`], as snapshots name it.
const UNLOGGED: &str = "public.u";

/// A database's state, without the rows that no backup has.
pub(super) fn logged(cluster: &Cluster, db: &str) -> Snapshot {
    let mut snapshot = Snapshot::take(cluster, db);
    assert!(snapshot.tables.remove(UNLOGGED).is_some());
    snapshot
}

/// A table with an index of each common kind, and large objects.
pub(super) fn fill(cluster: &Cluster, db: &str, rows: u32) {
    cluster.create_database(db);
    cluster.sql(
        db,
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, text text, tags int[]); \
             INSERT INTO t SELECT g, repeat(md5(g::text), 8), ARRAY[g, g % 7] FROM generate_series(1, {rows}) g; \
             CREATE INDEX ON t (text); CREATE INDEX ON t USING gin (tags); CREATE INDEX ON t USING brin (id); \
             CREATE TABLE big (id int, data text); ALTER TABLE big ALTER data SET STORAGE external; \
             INSERT INTO big SELECT g, repeat(md5(g::text), 200) FROM generate_series(1, 300) g; \
             CREATE SEQUENCE s; SELECT setval('s', 4711); SELECT lo_from_bytea(9000 + g, repeat('x', g * 500)::bytea) \
             FROM generate_series(1, 20) g; CREATE UNLOGGED TABLE u AS SELECT 1 a; VACUUM ANALYZE;"
        ),
    );
}

/// A `pg_receivewal`, which takes one of the server's replication connections until it is dropped.
pub(super) struct Receiving {
    child: std::process::Child,
    _folder: TempDir,
}

impl Receiving {
    /// Returns when it is connected.
    pub(super) fn from(cluster: &Cluster) -> Receiving {
        let folder = TempDir::new_in("/tmp").unwrap();
        let mut command = cluster.client("pg_receivewal");
        let child = command.arg("--no-loop").arg("-D").arg(folder.path()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while cluster.psql_text("postgres", "SELECT count(*) FROM pg_stat_replication") != "1" {
            assert!(Instant::now() < until, "pg_receivewal does not connect");
            thread::sleep(Duration::from_millis(50));
        }
        Receiving { child, _folder: folder }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Backs up while a writer commits to a ledger, which is in this tablespace, and changes what
/// [`fill`] made. Each transaction adds a row to `ledger` and one to `other`.
pub(super) fn while_a_ledger_grows(
    cluster: &Cluster,
    tablespace: &str,
    back_up: impl FnOnce() -> Value,
) -> Value {
    cluster.sql(
        "d",
        &format!(
            "CREATE TABLE ledger (n int PRIMARY KEY) TABLESPACE {tablespace}; CREATE TABLE other (n int); \
             CREATE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN FOR n IN 1..1000000 LOOP \
               INSERT INTO ledger VALUES (n); INSERT INTO other VALUES (n); UPDATE t SET text = text || 'x' WHERE id = n % 20000 + 1; \
               COMMIT; END LOOP; END $$;"
        ),
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let work = cluster.try_sql("d", "SET application_name = 'worker'; CALL work()");
            assert!(work.is_err() && done.load(Ordering::Acquire), "the writer ended early: {work:?}");
        });
        let until = Instant::now() + Duration::from_secs(60);
        while cluster.psql_text("d", "SELECT count(*) < 100 FROM ledger") == "t" {
            assert!(Instant::now() < until, "the writer does not write");
        }
        let said = back_up();
        done.store(true, Ordering::Release);
        cluster.kill_backends_named("worker");
        said
    })
}

/// While a writer commits to a ledger, a backup is taken: all that was committed before its end is
/// there, nothing half, and PostgreSQL's tools find nothing wrong.
#[test]
fn a_data_directory_comes_back_while_its_server_works() {
    let cluster = Cluster::builder().initdb_arg("--data-checksums").start();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    let said = while_a_ledger_grows(&cluster, "pg_default", || back_up(&desk, &cluster));
    let stop = said["physical"]["stop_lsn"].as_str().unwrap();
    let restored = restored(&desk, &cluster, &id(&said), |_| {});
    let count = restored.psql_text("d", "SELECT count(*) FROM ledger").parse::<u32>().unwrap();
    assert!(count >= 100);
    // No gap, and each row with its sister of the same transaction.
    let whole = "SELECT max(n) = count(*) AND (SELECT count(*) FROM other) = count(*) FROM ledger";
    assert_eq!(restored.psql_text("d", whole), "t");
    // The backup's last moment is after what was committed when it was asked to end.
    assert!(restored.log().contains("consistent recovery state reached"), "{stop}");
    let sums = "SELECT sum(length(text)) FROM t";
    assert!(restored.psql_text("d", sums).parse::<u64>().unwrap() > 20_000 * 256);
    amcheck(&restored);
    assert_eq!(restored.psql_text("d", "SELECT count(*) FROM u"), "0", "unlogged tables come back empty");
    assert_eq!(restored.psql_text("d", "SHOW archive_mode"), "off");
    restored.stop();
    pg_checksums(&restored);
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}

/// What changes between backups is stored, whatever changed it; and any backup can be forgotten.
#[test]
fn each_of_many_backups_restores_to_its_own_moment() {
    let cluster = source();
    fill(&cluster, "d", 5_000);
    let folder = TempDir::new_in("/tmp").unwrap();
    cluster.own(folder.path());
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    cluster.sql("d", &format!("CREATE TABLESPACE fast LOCATION '{}'", folder.path().display()));
    let desk = Desk::with_identity();
    desk.expects(&["tablespace"]);
    let oid = cluster.psql_text("d", "SELECT max(oid::int) + 1000 FROM pg_database");
    let copied = match cluster.major() >= 15 {
        true => format!("CREATE DATABASE copied STRATEGY file_copy OID = {oid}"),
        false => "CREATE DATABASE copied".to_string(),
    };
    let logged_copy = match cluster.major() >= 15 {
        true => "CREATE DATABASE other STRATEGY wal_log",
        false => "CREATE DATABASE other",
    };
    let mut rounds: Vec<Vec<&str>> = vec![
        vec![],
        vec!["UPDATE t SET text = 'a' || text WHERE id % 100 = 3"],
        vec!["DELETE FROM t WHERE id % 9 = 0", "VACUUM t"],
        vec![&copied, "CREATE INDEX late ON t (length(text))"],
        vec!["VACUUM FULL t", "SELECT nextval('s')", "SELECT lo_put(9003, 7, 'abc')"],
        vec!["DROP DATABASE copied", &copied, "ALTER TABLE big SET TABLESPACE fast"],
        vec!["TRUNCATE big", "ALTER TABLE u SET LOGGED", "INSERT INTO u SELECT generate_series(1, 5000)"],
        vec!["REINDEX TABLE t", "ALTER TABLE u SET UNLOGGED", "SELECT lo_unlink(9001)"],
        vec!["INSERT INTO t SELECT g, md5(g::text), ARRAY[g] FROM generate_series(100000, 103000) g"],
        vec!["ALTER TABLE big SET TABLESPACE pg_default", "CLUSTER t USING t_pkey", "DROP INDEX late"],
    ];
    let some = "UPDATE t SET text = md5(random()::text) WHERE random() < 0.05";
    let more: Vec<Vec<&str>> = vec![
        vec![logged_copy, "CREATE TABLE grown AS SELECT g FROM generate_series(1, 200000) g"],
        vec![
            "DELETE FROM grown WHERE g > 100000",
            "VACUUM grown",
            "ALTER DATABASE copied SET TABLESPACE fast",
        ],
        vec!["VACUUM (FREEZE) t", some],
        vec!["ALTER DATABASE copied SET TABLESPACE pg_default", "REINDEX DATABASE d"],
        vec!["DROP TABLE grown", "CREATE TABLE grown AS SELECT g FROM generate_series(1, 50000) g", some],
        vec![
            "SELECT setval('s', 100000)",
            "SELECT lo_create(9100)",
            "SELECT lo_put(9100, 0, repeat('x', 300000)::bytea)",
        ],
        vec!["DELETE FROM t WHERE random() < 0.1", "VACUUM t", some],
        vec!["DROP DATABASE other", "DROP DATABASE copied", &copied],
        vec!["INSERT INTO grown SELECT generate_series(1, 100000)", "CREATE INDEX ON grown (g)", some],
        vec!["VACUUM FULL", some],
    ];
    if is_full() {
        rounds.extend(more);
    }
    let mut backups = Vec::new();
    for (number, statements) in rounds.iter().enumerate() {
        for statement in statements {
            cluster.sql("d", statement);
        }
        let before = Snapshot::take(&cluster, "d");
        cluster.sql("d", "CHECKPOINT");
        let said = back_up(&desk, &cluster);
        // Nothing has written to the files since the backup's own checkpoint.
        let files = relation_files(&cluster.data_directory());
        let pages = &said["physical"]["pages"];
        let (new, total) = (pages["new"].as_u64().unwrap(), pages["total"].as_u64().unwrap());
        assert!(number == 0 || new < total, "{said}");
        backups.push((id(&said), files, before));
    }
    // An unchanged server: nothing but the WAL and the control file.
    let said = back_up(&desk, &cluster);
    assert!(said["physical"]["pages"]["new"].as_u64().unwrap() < 20, "{said}");
    for number in [2, 3, 6] {
        desk.ok(&["forget", &backups[number].0]);
    }
    desk.ok(&["prune", "--grace", "0"]);
    desk.ok(&["prune", "--grace", "0"]);
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    for (number, (id, files, before)) in backups.iter().enumerate() {
        if [2, 3, 6].contains(&number) {
            assert!(desk.fails(1, &["restore", id, "--to-dir", "/tmp/never"]).contains("no backup"));
            continue;
        }
        let spaces = TempDir::new_in("/tmp").unwrap();
        cluster.own(spaces.path());
        let elsewhere = spaces.path().join("fast");
        let server = cluster.restored(|to| {
            let place = format!("fast={}", elsewhere.display());
            let to_dir = to.display().to_string();
            desk.ok(&["restore", id, "--to-dir", &to_dir, "--tablespace", &place]);
            verify(&cluster, to);
            let own = relation_files(to);
            for (path, bytes) in files {
                // Of an unlogged table a backup has the fork that it starts from.
                let relation = path.split('_').next().unwrap_or_default();
                let is_unlogged = files.contains_key(&format!("{relation}_init"));
                match own.get(path) {
                    Some(own) => assert!(own == bytes, "round {number}: {path} differs"),
                    None => assert!(is_unlogged, "round {number}: {path} is not there"),
                }
            }
        });
        // Rows of an unlogged table are in no backup.
        let is_logged = number == 6;
        let [before, after] = [before.clone(), Snapshot::take(&server, "d")].map(|mut snapshot| {
            if !is_logged {
                snapshot.tables.remove(UNLOGGED);
            }
            snapshot
        });
        assert_same(&before, &after);
        // An index-only scan, which trusts the visibility map, counts as a sequential one does.
        let count = |setting: &str| {
            server
                .psql_text("d", &format!("SET {setting} = off; SELECT count(*) FROM t WHERE id > 0"))
                .replace("SET", "")
        };
        assert_eq!(count("enable_seqscan"), count("enable_indexscan"), "round {number}");
        amcheck(&server);
        server.stop();
        pg_checksums(&server);
    }
}

/// Databases made of one template share their pages.
#[test]
fn copies_of_a_database_cost_little() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    let desk = Desk::with_identity();
    let first = back_up(&desk, &cluster);
    for number in 0..6 {
        let strategy = if cluster.major() >= 15 { " STRATEGY file_copy" } else { "" };
        cluster.sql("postgres", &format!("CREATE DATABASE d{number} TEMPLATE d{strategy}"));
    }
    let second = back_up(&desk, &cluster);
    let (first, second) = (first["bytes_added"].as_u64().unwrap(), second["bytes_added"].as_u64().unwrap());
    assert!(second * 100 < first * 6 * 3, "six copies added {second}, the first backup {first}");
}

/// Pages that are damaged on the server's disk are named, kept as they are, and make the backup one
/// that retention does not count on.
#[test]
fn damaged_pages_are_named() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    let desk = Desk::with_identity();
    let good = id(&back_up(&desk, &cluster));
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
    // One bit; the page of another block; a page of a future that this server never had.
    let mut flipped = page(&path, 3);
    flipped[5000] ^= 0x10;
    put(&path, 3, &flipped);
    put(&path, 7, &page(&path, 8));
    let mut future = page(&index, 2);
    future[0..4].copy_from_slice(&0x7777u32.to_le_bytes());
    put(&index, 2, &future);
    cluster.start_again();
    desk.expects(&["damaged"]);
    let run = desk.run(&["backup", "--physical", "--json", "--dbname", &cluster.conninfo("postgres")]);
    assert_eq!(run.status.code(), Some(3), "{}", String::from_utf8_lossy(&run.stderr));
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(
        (&said["status"], &said["physical"]["pages"]["failed"]),
        (&"complete".into(), &3.into()),
        "{said}"
    );
    let failures = said["physical"]["checksum_failures"].as_array().unwrap();
    let blocks =
        |path: &str| failures.iter().find(|failure| failure["path"] == path).unwrap()["blocks"].clone();
    assert_eq!(blocks(&path), serde_json::json!([3, 7]));
    assert_eq!(blocks(&index), serde_json::json!([2]));
    // Retention keeps the last one without damage.
    desk.ok(&["forget", "--keep-last", "1"]);
    let list = desk.json(&["list", "--json"]);
    let ids: Vec<&str> =
        list["backups"].as_array().unwrap().iter().map(|backup| backup["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [good.as_str(), said["id"].as_str().unwrap()]);
    // They are in the backup as they were.
    let cat = format!("{}:/pgdata/{path}", said["id"].as_str().unwrap());
    let output = desk.run(&["cat", &cat]);
    assert!(output.stdout == fs::read(cluster.data_directory().join(&path)).unwrap());
}

/// Single files of a backup, by their paths.
#[test]
fn files_of_a_backup_can_be_listed_and_read() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    cluster.sql("d", "CHECKPOINT");
    let desk = Desk::plain();
    let first = id(&back_up(&desk, &cluster));
    cluster.sql("d", "UPDATE t SET text = 'b' WHERE id % 50 = 0; CHECKPOINT");
    let second = id(&back_up(&desk, &cluster));
    assert_ne!(first, second);
    let listed = desk.json(&["ls", &format!("{second}:/pgdata/base"), "--json"]);
    let listed: BTreeMap<&str, u64> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["path"].as_str().unwrap(), entry["bytes_raw"].as_u64().unwrap()))
        .collect();
    for (path, bytes) in relation_files(&cluster.data_directory()) {
        let path = format!("/pgdata/{path}");
        if path.starts_with("/pgdata/base") && listed.contains_key(path.as_str()) {
            assert_eq!(listed[path.as_str()], bytes.len() as u64, "{path}");
        }
    }
    for of in ["t", "t_pkey", "pg_class"] {
        let path = cluster.psql_text("d", &format!("SELECT pg_relation_filepath('{of}')"));
        let output = desk.run(&["cat", &format!("{second}:/pgdata/{path}")]);
        assert!(
            output.status.success()
                && output.stdout == fs::read(cluster.data_directory().join(&path)).unwrap()
        );
    }
    let said = desk.fails(1, &["cat", &format!("{second}:/pgdata/global")]);
    assert!(said.contains("is a folder") && said.contains("ls"), "{said}");
    assert!(desk.fails(1, &["cat", &format!("{second}:/pgdata/base/5/none")]).contains("no entry"));
    let version = desk.ok(&["cat", &format!("{second}:/pgdata/PG_VERSION")]);
    assert_eq!(version.trim(), cluster.major().to_string());
    let shown = desk.ok(&["show", &second]);
    assert!(shown.contains("physical") && shown.contains("WAL"), "{shown}");
    // A copy is a whole backup, too.
    let other = Desk::plain();
    desk.ok(&["copy", &desk.url(), &other.url(), "--backup", &second]);
    let server = cluster.restored(|to| {
        other.ok(&["restore", "latest", "--to-dir", &to.display().to_string()]);
        verify(&cluster, to);
    });
    assert_same(&logged(&cluster, "d"), &logged(&server, "d"));
}

/// The WAL elsewhere, files without holes, configuration from outside, archiving as it was.
#[test]
fn a_restore_is_put_where_it_is_wanted() {
    let outside = TempDir::new_in("/tmp").unwrap();
    let cluster = source();
    cluster.own(outside.path());
    fill(&cluster, "d", 500);
    let hba = outside.path().join("pg_hba.conf");
    fs::copy(cluster.data_directory().join("pg_hba.conf"), &hba).unwrap();
    cluster.own(&hba);
    cluster.stop();
    let conf = cluster.data_directory().join("postgresql.conf");
    let mut text = fs::read_to_string(&conf).unwrap();
    text.push_str(&format!(
        "hba_file = '{}'\narchive_mode = on\narchive_command = '/bin/true'\n",
        hba.display()
    ));
    fs::write(&conf, text).unwrap();
    fs::remove_file(cluster.data_directory().join("pg_hba.conf")).unwrap();
    cluster.start_again();
    let desk = Desk::with_identity();
    let id = id(&back_up(&desk, &cluster));
    let dry = desk.run(&["restore", &id, "--to-dir", "/tmp/pgark-never-made", "--dry-run"]);
    assert!(dry.status.success() && !Path::new("/tmp/pgark-never-made").exists());
    let wal = outside.path().join("wal");
    let (wal_dir, sizes) = (wal.display().to_string(), AtomicBool::new(false));
    let server = cluster.beside(|to| {
        let to_dir = to.display().to_string();
        let said = desk.json(&[
            "restore",
            &id,
            "--to-dir",
            &to_dir,
            "--waldir",
            &wal_dir,
            "--no-sparse",
            "--with-config",
            "--keep-archiving",
            "--json",
        ]);
        assert!(said["files"].as_u64().unwrap() > 900, "{said}");
        verify(&cluster, to);
        assert_eq!(fs::read_link(to.join("pg_wal")).unwrap(), wal);
        assert!(to.join("pg_hba.conf").is_file());
        assert!(!fs::read_to_string(to.join("postgresql.auto.conf")).unwrap().contains("archive_mode"));
        let large = to.join(cluster.psql_text("d", "SELECT pg_relation_filepath('big')"));
        sizes.store(
            large.metadata().unwrap().blocks() * 512 >= large.metadata().unwrap().len(),
            Ordering::Release,
        );
    });
    assert!(sizes.load(Ordering::Acquire), "holes in a file");
    server.start_again();
    assert_eq!(server.psql_text("d", "SHOW archive_mode"), "on");
    assert_eq!(server.psql_text("d", "SELECT count(*) FROM t"), "500");
}

/// What makes a backup impossible is told with its cure, before anything is done.
#[test]
fn what_a_physical_backup_refuses() {
    let cluster = source();
    let desk = Desk::plain();
    let minimal = Cluster::builder().conf("wal_level = minimal").conf("max_wal_senders = 0").start();
    let physical = |conninfo: &str| ["backup", "--physical", "--dbname", conninfo].map(str::to_string);
    let fails = |conninfo: &str, more: &[&str]| {
        let mut arguments = physical(conninfo).to_vec();
        arguments.extend(more.iter().map(|text| (*text).to_string()));
        desk.fails(1, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = fails(&minimal.conninfo("postgres"), &[]);
    assert!(said.contains("wal_level is minimal") && said.contains("replica"), "{said}");
    cluster.sql("postgres", "CREATE ROLE weak LOGIN; CREATE ROLE backup LOGIN REPLICATION");
    let as_role = |role: &str| cluster.conninfo_as("postgres", role, None);
    let said = desk.example(
        "A physical backup without the rights for it",
        1,
        &["backup", "--physical", "--dbname", &as_role("weak")],
    );
    for cure in ["pg_backup_start", "pg_backup_stop", "ALTER ROLE weak REPLICATION"] {
        assert!(said.contains(cure) || cluster.major() < 15, "{cure}: {said}");
    }
    // Whoever has it may receive files over the wire, and may not read them here.
    cluster.sql("postgres", "CREATE ROLE remote LOGIN REPLICATION; GRANT pg_read_all_settings TO remote");
    let said = fails(&as_role("remote"), &[]);
    for cure in ["pg_backup_start", "pg_backup_stop", "--source wire"] {
        assert!(said.contains(cure) || cluster.major() < 15, "{cure}: {said}");
    }
    // What it says is enough.
    cluster.sql(
        "postgres",
        "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO backup; \
         GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO backup",
    );
    let said = fails(&as_role("backup"), &["--source", "files"]);
    for cure in ["--pgdata", "pg_read_all_settings", "--source wire"] {
        assert!(said.contains(cure), "{cure}: {said}");
    }
    desk.expects(&["/settings.json", "/pg_hba.conf", "pg_read_all_settings"]);
    let pgdata = cluster.data_directory().display().to_string();
    desk.ok(&["backup", "--physical", "--dbname", &as_role("backup"), "--pgdata", &pgdata]);
    // The directory of another server, of none, and of a standby of this one.
    let said =
        fails(&cluster.conninfo("postgres"), &["--pgdata", &minimal.data_directory().display().to_string()]);
    assert!(
        said.contains("not the data directory of the server") && said.contains("system identifier"),
        "{said}"
    );
    let said = fails(&cluster.conninfo("postgres"), &["--pgdata", "/tmp"]);
    assert!(said.contains("not a data directory"), "{said}");
    let standby = cluster.standby();
    let said =
        fails(&cluster.conninfo("postgres"), &["--pgdata", &standby.data_directory().display().to_string()]);
    assert!(said.contains("not the data directory of the server"), "{said}");
    let said = fails(&standby.conninfo("postgres"), &[]);
    assert!(said.contains("standby") && said.contains("primary"), "{said}");
    // Parts of a server are not for this.
    let conninfo = cluster.conninfo("postgres");
    let said = desk.fails(2, &["backup", "--physical", "--dbname", &conninfo, "--table", "t"]);
    assert!(said.contains("whole server"), "{said}");
    let said = desk.fails(2, &["backup", "--physical", "--dbname", &conninfo, "--label", "two\nlines"]);
    assert!(said.contains("label"), "{said}");
    assert!(
        cluster
            .psql_text("postgres", "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'pgark%'")
            == "0"
    );
}

/// What makes a restore impossible is told before anything is written.
#[test]
fn what_a_physical_restore_refuses() {
    let cluster = source();
    cluster.create_database("d");
    let place = TempDir::new_in("/tmp").unwrap();
    let space = place.path().join("space");
    fs::create_dir(&space).unwrap();
    cluster.own(&space);
    cluster.sql("d", &format!("CREATE TABLESPACE there LOCATION '{}'", space.display()));
    let desk = Desk::plain();
    let physical = id(&back_up(&desk, &cluster));
    let logical = desk.backup(&cluster, "d");
    let to = |name: &str| place.path().join(name).display().to_string();
    let new = to("new");
    // Where it was, the tablespace is still in use.
    let said =
        desk.example("A tablespace whose directory is in use", 1, &["restore", &physical, "--to-dir", &new]);
    assert!(said.contains("is not empty"), "{said}");
    let elsewhere = format!("there={}", to("moved"));
    fs::create_dir(to("full")).unwrap();
    fs::write(Path::new(&to("full")).join("x"), "x").unwrap();
    let restore = |directory: &str, more: &[&str]| {
        let mut arguments =
            vec!["restore", physical.as_str(), "--to-dir", directory, "--tablespace", &elsewhere];
        arguments.extend(more);
        desk.fails(1, &arguments)
    };
    assert!(restore(&to("full"), &[]).contains("is not empty"));
    std::os::unix::fs::symlink(to("none"), to("link")).unwrap();
    assert!(restore(&to("link"), &[]).contains("symbolic link"));
    assert!(restore(&format!("{}/inner", to("moved")), &[]).contains("is inside of"));
    assert!(restore(&new, &["--tablespace", "nobody=/tmp/x"]).contains("no tablespace \"nobody\""));
    assert!(restore(&new, &["--waldir", &format!("{new}/wal")]).contains("is inside of"));
    let said = desk.fails(1, &["restore", &logical, "--to-dir", &new]);
    assert!(said.contains("not a data directory"), "{said}");
    let said = desk.fails(1, &["restore", &physical, "--dbname", "x"]);
    assert!(said.contains("--to-dir"), "{said}");
    let said = desk.fails(1, &["export", &physical, "--output", &to("dump")]);
    assert!(said.contains("--to-dir") || said.contains("data directory"), "{said}");
    assert!(!Path::new(&new).exists() && !Path::new(&to("moved")).exists());
    // `latest` means what each command can use.
    let spaces = to("spaces");
    desk.ok(&["restore", "latest", "--to-dir", &new, "--all-tablespaces", &spaces]);
    assert!(Path::new(&spaces).join("there").is_dir());
    desk.ok(&["restore", "latest", "--create", "--dbname", &cluster.conninfo("again")]);
}

/// The repository is whole, the backup of `first` restores its 20,000 rows, and the next backup is
/// as good as any.
pub(super) fn goes_on(desk: &Desk, cluster: &Cluster, first: &str) {
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    let server = restored(desk, cluster, first, |_| {});
    assert_eq!(server.psql_text("d", "SELECT count(*) FROM t"), "20000");
    let last = back_up(desk, cluster);
    let server = restored(desk, cluster, &id(&last), |_| {});
    assert_same(&logged(cluster, "d"), &logged(&server, "d"));
}

/// Killed or interrupted at any moment: the server is not in backup mode, and has no slot; what was
/// there before restores, and the next backup goes on.
#[test]
fn a_killed_backup_leaves_nothing_in_the_server() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    let first = id(&back_up(&desk, &cluster));
    let rounds = if is_full() { 100 } else { 8 };
    for round in 0..rounds {
        cluster.sql("d", &format!("UPDATE t SET text = md5(random()::text) WHERE id % 20 = {}", round % 20));
        let conninfo = cluster.conninfo("postgres");
        let mut child = desk.spawn(&["backup", "--physical", "--dbname", &conninfo, "--allow-concurrent"]);
        thread::sleep(Duration::from_millis(20 + (round * 97) % 700));
        // Half of them are asked to end.
        match round % 2 {
            0 => child.kill().unwrap(),
            _ => drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status()),
        }
        let status = child.wait().unwrap();
        assert!(round % 2 == 0 || [Some(130), Some(0)].contains(&status.code()), "{status}");
        let until = Instant::now() + Duration::from_secs(60);
        let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_replication) \
                    + (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgark%')";
        while cluster.psql_text("postgres", left) != "0" {
            assert!(Instant::now() < until, "the server still has something of a killed backup");
            thread::sleep(Duration::from_millis(50));
        }
    }
    goes_on(&desk, &cluster, &first);
}

/// A restore that was killed does not start.
#[test]
fn half_a_restore_does_not_start() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    let id = id(&back_up(&desk, &cluster));
    let mut killed = 0;
    for round in 0..6u64 {
        let place = TempDir::new_in("/tmp").unwrap();
        let to = place.path().join("data");
        let mut child = desk.spawn(&["restore", &id, "--to-dir", &to.display().to_string()]);
        thread::sleep(Duration::from_millis(15 + round * 40));
        child.kill().unwrap();
        if child.wait().unwrap().success() || !to.exists() {
            continue;
        }
        killed += 1;
        assert!(!to.join("global/pg_control").exists(), "round {round}");
        let mut start = cluster.as_server("postgres");
        start.arg("-D").arg(&to).args(["-c", "listen_addresses=", "-k"]).arg(place.path());
        cluster.own(place.path());
        let output = start.output().unwrap();
        assert!(!output.status.success());
    }
    assert!(killed > 0);
}

/// The bytes of a folder.
pub(super) fn size_of(path: &Path) -> u64 {
    let of = |entry: fs::DirEntry| {
        let path: PathBuf = entry.path();
        if path.is_dir() { size_of(&path) } else { path.metadata().map_or(0, |meta| meta.len()) }
    };
    fs::read_dir(path).unwrap().flatten().map(of).sum()
}

/// An idle server's next backup adds next to nothing, and reads as a full one.
#[test]
fn nothing_changed_costs_next_to_nothing() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    back_up(&desk, &cluster);
    cluster.sql("postgres", "CHECKPOINT");
    let before = size_of(&desk.repo());
    let second = back_up(&desk, &cluster);
    let added = size_of(&desk.repo()) - before;
    let raw = second["bytes_raw"].as_u64().unwrap();
    assert!(added < 60_000 && second["bytes_added"].as_u64().unwrap() < 60_000, "{added} of {raw}: {second}");
    let third =
        desk.json(&["backup", "--physical", "--full", "--json", "--dbname", &cluster.conninfo("postgres")]);
    let pages = &third["physical"]["pages"];
    assert_eq!(
        pages["new"].as_u64().unwrap() + pages["zero"].as_u64().unwrap(),
        pages["total"].as_u64().unwrap()
    );
    assert!(third["bytes_added"].as_u64().unwrap() > 1_000_000, "{third}");
}

/// Every major, each by its own tools.
#[test]
fn every_major_comes_back() {
    if !in_full("physical backups of every major") {
        return;
    }
    for major in Cluster::available_majors() {
        let cluster = Cluster::builder().major(major).initdb_arg("--data-checksums").start();
        fill(&cluster, "d", 3_000);
        let desk = Desk::with_identity();
        let mut backups = vec![back_up(&desk, &cluster)];
        cluster.sql("d", "DELETE FROM t WHERE id % 10 = 0; UPDATE t SET text = 'x' WHERE id % 7 = 0");
        for source in ["wire", "files"] {
            backups.push(back_up_from(&desk, &cluster, source));
        }
        for said in &backups[1..] {
            let server = cluster.restored(|to| {
                desk.ok(&["restore", &id(said), "--to-dir", &to.display().to_string()]);
                // Tools of another major cannot read its WAL, nor newer manifests.
                match tools_of(&cluster, "pg_verifybackup") {
                    Some(own) if own == major => verify(&cluster, to),
                    Some(_) if major <= 16 => verify_with(&cluster, to, &["--no-parse-wal"]),
                    _ => {}
                }
            });
            assert_same(&logged(&cluster, "d"), &logged(&server, "d"));
            server.stop();
            // From 13 to 16, pg_control has one form.
            if major <= 16 {
                pg_checksums(&server);
            }
        }
    }
}

/// The major version of a tool, if it can be had at all.
pub(super) fn tools_of(cluster: &Cluster, program: &str) -> Option<u32> {
    let output = Command::new(cluster.bin(program)).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split_whitespace().nth(2)?.split('.').next()?.parse().ok()
}
