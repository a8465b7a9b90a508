//! Restores over directories that are not empty: what differs is written, what is not in the backup
//! is deleted, and whatever must not be touched is not.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use pgark_testkit::Cluster;
use pgark_testkit::oracle::assert_same;
use serde_json::Value;
use tempfile::TempDir;

use super::physical::{amcheck, back_up, fill, id, logged, pg_checksums, relation_files, source, verify};
use super::support::Desk;

const PAGE: usize = 8192;

/// A folder that the servers of the tests can enter.
fn open_folder(cluster: &Cluster) -> TempDir {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    cluster.own(folder.path());
    folder
}

/// Restores over a directory.
#[track_caller]
fn delta(desk: &Desk, id: &str, to: &Path, more: &[&str]) -> Value {
    let to = to.display().to_string();
    desk.json(&[&["restore", id, "--to-dir", &to, "--delta", "--json"], more].concat())
}

#[track_caller]
fn refused(desk: &Desk, id: &str, to: &Path, more: &[&str]) -> String {
    let to = to.display().to_string();
    desk.fails(1, &[&["restore", id, "--to-dir", &to, "--delta"], more].concat())
}

fn number(said: &Value, pointer: &str) -> u64 {
    said.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {said}"))
}

/// Everything below a directory, links not followed: kind, owner, mode, content.
fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let what = if meta.is_dir() {
                folders.push(path.clone());
                "folder".to_string()
            } else if meta.is_symlink() {
                format!("to {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("{} bytes, {:x}", meta.len(), content(&path))
            };
            let below = path.strip_prefix(directory).unwrap().to_owned();
            found.insert(below, format!("{what} {}:{} {:o}", meta.uid(), meta.gid(), meta.mode()));
        }
    }
    found
}

fn content(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(path).unwrap().hash(&mut hasher);
    hasher.finish()
}

/// What two restores of one backup may differ in: when they were made.
fn without_times(mut tree: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    tree.remove(Path::new("backup_manifest"));
    tree
}

fn put(path: &Path, block: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, (block * PAGE) as u64).unwrap();
}

fn flip(path: &Path, block: usize, byte: usize) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let at = (block * PAGE + byte) as u64;
    let mut one = [0];
    file.read_exact_at(&mut one, at).unwrap();
    file.write_all_at(&[one[0] ^ 0x20], at).unwrap();
}

/// Pages of a file from this one on that are not zeros.
fn pages(path: &Path, from: usize) -> u64 {
    let bytes = fs::read(path).unwrap();
    let is_filled = |page: &&[u8]| page.iter().any(|byte| *byte != 0);
    bytes.chunks(PAGE).skip(from).filter(is_filled).count() as u64
}

/// Onto a directory that is equal already, no page is fetched.
#[test]
fn a_delta_onto_an_equal_directory_fetches_no_page() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    let id = id(&back_up(&desk, &cluster));
    let server = cluster.restored(|to| {
        let to_dir = to.display().to_string();
        let full = desk.json(&["restore", &id, "--to-dir", &to_dir, "--json"]);
        assert!(full.get("delta").is_none(), "{full}");
        let before = without_times(tree(to));
        let again = delta(&desk, &id, to, &[]);
        assert_eq!(number(&again, "/delta/pages_different"), 0, "{again}");
        assert!(number(&again, "/delta/pages_compared") > 1000, "{again}");
        // What the restore itself had added.
        assert_eq!(number(&again, "/delta/files_deleted"), 2, "{again}");
        assert_eq!(number(&again, "/delta/folders_deleted"), 0, "{again}");
        assert_eq!((&again["files"], &again["bytes"]), (&full["files"], &full["bytes"]));
        let (full, again) = (number(&full, "/bytes_fetched"), number(&again, "/bytes_fetched"));
        assert!(again * 5 < full, "{again} of {full} bytes fetched");
        assert_eq!(without_times(tree(to)), before);
        verify(&cluster, to);
    });
    assert_same(&logged(&cluster, "d"), &logged(&server, "d"));
}

/// A server goes on for a while, and then back to the moment of a backup, in its own directory.
#[test]
fn a_cluster_that_went_on_goes_back() {
    let cluster = source();
    fill(&cluster, "d", 5_000);
    cluster.create_database("dropped_later");
    let (space, moved) = (open_folder(&cluster), open_folder(&cluster));
    let spaced = space.path().join("space");
    fs::create_dir(&spaced).unwrap();
    cluster.own(&spaced);
    cluster.sql(
        "d",
        &format!(
            "CREATE TABLESPACE space LOCATION '{}'; CREATE TABLE there (a) TABLESPACE space AS \
             SELECT repeat('x', g % 99) FROM generate_series(1, 30000) g",
            spaced.display()
        ),
    );
    let desk = Desk::with_identity();
    let before = logged(&cluster, "d");
    let backup = id(&back_up(&desk, &cluster));
    cluster.sql("d", "UPDATE t SET text = 'other' WHERE id % 50 = 0; DROP TABLE big; VACUUM FULL t");
    cluster.sql("d", "CREATE TABLE newer TABLESPACE space AS SELECT * FROM there; DELETE FROM there");
    cluster.sql("d", "CREATE INDEX ON newer (a); SELECT lo_unlink(9005); SELECT nextval('s'); TRUNCATE u");
    cluster.create_database("made_later");
    cluster.drop_database("dropped_later");
    let later = open_folder(&cluster);
    let latest = later.path().join("later");
    fs::create_dir(&latest).unwrap();
    cluster.own(&latest);
    cluster.sql("d", &format!("CREATE TABLESPACE later LOCATION '{}'", latest.display()));
    cluster.sql("d", "CREATE TABLE latest TABLESPACE later AS SELECT 1 a");
    cluster.stop();
    let data = cluster.data_directory();
    // Folders of other majors in the directory of a tablespace are not ours.
    fs::create_dir(spaced.join("PG_9.6_201608131")).unwrap();
    fs::write(spaced.join("PG_9.6_201608131/kept"), "kept").unwrap();
    desk.expects(&["nothing in it is touched"]);
    let said = delta(&desk, &backup, &data, &[]);
    assert!(number(&said, "/delta/pages_different") > 100, "{said}");
    assert!(number(&said, "/delta/files_deleted") > 100, "{said}");
    assert!(number(&said, "/delta/folders_deleted") >= 1, "{said}");
    assert!(said["notes"].to_string().contains(&latest.display().to_string()), "{said}");
    // The tablespace that the backup does not have keeps its files; its link is gone.
    assert!(fs::read_dir(&latest).unwrap().count() == 1);
    assert_eq!(fs::read_dir(data.join("pg_tblspc")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(spaced.join("PG_9.6_201608131/kept")).unwrap(), "kept");
    fs::remove_dir_all(spaced.join("PG_9.6_201608131")).unwrap();
    verify(&cluster, &data);
    // Byte for byte a fresh restore.
    let elsewhere = moved.path().join("fresh");
    let place = format!("space={}", moved.path().join("space").display());
    desk.ok(&["restore", &backup, "--to-dir", &elsewhere.display().to_string(), "--tablespace", &place]);
    let mut fresh = tree(&elsewhere);
    let mut own = tree(&data);
    for differs in ["backup_manifest", "tablespace_map"] {
        assert!(fresh.remove(Path::new(differs)).is_some() && own.remove(Path::new(differs)).is_some());
    }
    let links = |tree: &mut BTreeMap<PathBuf, String>| tree.retain(|path, _| !path.starts_with("pg_tblspc"));
    links(&mut fresh);
    links(&mut own);
    assert_eq!(own, fresh);
    assert_eq!(relation_files(&data), relation_files(&elsewhere));
    cluster.start_again();
    assert_same(&before, &logged(&cluster, "d"));
    assert_eq!(
        cluster.psql_text("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'made_later'"),
        "0"
    );
    assert_eq!(cluster.psql_text("d", "SELECT count(*) FROM there"), "30000");
    cluster.sql("d", "INSERT INTO t VALUES (-1, 'new', '{}'); CHECKPOINT");
    amcheck(&cluster);
    cluster.stop();
    pg_checksums(&cluster);
}

/// Whatever happened to files: pages are right again, and counted.
#[test]
fn damage_is_mended_and_counted() {
    let cluster = source();
    fill(&cluster, "d", 5_000);
    let path = |cluster: &Cluster, relation: &str| {
        let path = cluster.psql_text("d", &format!("SELECT pg_relation_filepath('{relation}')"));
        cluster.data_directory().join(path)
    };
    let [table, index, text, gin] =
        ["t", "t_pkey", "t_text_idx", "t_tags_idx"].map(|relation| path(&cluster, relation));
    let vm = table.with_file_name(format!("{}_vm", table.file_name().unwrap().to_str().unwrap()));
    // Pages of zeros at the end, as a crash leaves them.
    cluster.stop();
    let zeros = fs::metadata(&table).unwrap().len();
    OpenOptions::new().write(true).open(&table).unwrap().set_len(zeros + 3 * PAGE as u64).unwrap();
    cluster.start_again();
    let desk = Desk::with_identity();
    let before = logged(&cluster, "d");
    let backup = id(&back_up(&desk, &cluster));
    cluster.stop();
    let data = cluster.data_directory();
    delta(&desk, &backup, &data, &[]);
    let right = without_times(tree(&data));
    let outside = open_folder(&cluster);
    desk.expects(&["nothing in it is touched"]);
    fs::write(outside.path().join("precious"), "precious").unwrap();

    let mut different = 0;
    for (path, block, byte) in [(&table, 0, 5), (&table, 7, 8191), (&table, 63, 100), (&index, 2, 4000)] {
        flip(path, block, byte);
        different += 1;
    }
    let second = fs::read(&table).unwrap()[8 * PAGE..9 * PAGE].to_vec();
    put(&table, 9, &second);
    // A page that is all zeros in the backup, and one that is not.
    put(&table, (zeros / PAGE as u64) as usize + 1, &second);
    put(&table, 20, &[0; PAGE]);
    different += 3;
    // Shorter, longer, gone.
    let last = fs::metadata(&text).unwrap().len() as usize / PAGE - 4;
    different += pages(&text, last);
    OpenOptions::new().write(true).open(&text).unwrap().set_len((last * PAGE) as u64 + 77).unwrap();
    let length = fs::metadata(&index).unwrap().len();
    OpenOptions::new().write(true).open(&index).unwrap().write_all_at(&[7; 3 * PAGE + 5], length).unwrap();
    different += pages(&vm, 0);
    fs::remove_file(&vm).unwrap();
    // Another name of it, elsewhere, is of someone else now.
    let shared = outside.path().join("shared");
    fs::hard_link(&gin, &shared).unwrap();
    flip(&shared, 1, 1);
    let theirs = fs::read(&shared).unwrap();
    different += pages(&gin, 0);
    // A small file, one that is not pages, and what is not in the backup.
    fs::write(data.join("pg_ident.conf"), "x").unwrap();
    fs::remove_file(data.join("global/pg_filenode.map")).unwrap();
    fs::write(table.with_file_name("999999"), "extra").unwrap();
    fs::create_dir_all(data.join("base/777/inner")).unwrap();
    fs::write(data.join("base/777/inner/x"), "extra").unwrap();
    symlink(outside.path(), data.join("base/777/link")).unwrap();
    symlink(outside.path(), data.join("pg_tblspc/4711")).unwrap();
    fs::write(data.join("standby.signal"), "").unwrap();
    fs::write(data.join("postmaster.pid"), "999999999\n/nowhere\n1\n5432\n\n\n\nready\n").unwrap();
    fs::remove_dir_all(data.join("pg_subtrans")).unwrap();
    symlink(outside.path(), data.join("pg_subtrans")).unwrap();
    let deleted = ["999999", "x", "link", "4711", "standby.signal", "postmaster.pid", "pg_subtrans"];

    let said = delta(&desk, &backup, &data, &[]);
    assert_eq!(number(&said, "/delta/pages_different"), different, "{said}");
    // And what the first restore had added.
    assert_eq!(number(&said, "/delta/files_deleted"), deleted.len() as u64 + 2, "{said}");
    assert_eq!(number(&said, "/delta/folders_deleted"), 2, "{said}");
    let mended = without_times(tree(&data));
    for (path, what) in &right {
        assert_eq!(mended.get(path), Some(what), "{}", path.display());
    }
    assert_eq!(mended.len(), right.len());
    assert_eq!(fs::read(&shared).unwrap(), theirs);
    assert_eq!(fs::read_to_string(outside.path().join("precious")).unwrap(), "precious");
    verify(&cluster, &data);

    // Without holes, and with them again.
    let sparse = fs::metadata(&table).unwrap().blocks();
    delta(&desk, &backup, &data, &["--no-sparse"]);
    assert!(fs::metadata(&table).unwrap().blocks() >= sparse);
    assert!(fs::metadata(&table).unwrap().blocks() * 512 >= fs::metadata(&table).unwrap().len());
    assert_eq!(without_times(tree(&data)), right);
    verify(&cluster, &data);
    cluster.start_again();
    assert_same(&before, &logged(&cluster, "d"));
    amcheck(&cluster);
}

/// What must not be written over is refused, and nothing of it is touched.
#[test]
fn what_a_delta_refuses() {
    let cluster = source();
    cluster.create_database("d");
    let folder = open_folder(&cluster);
    let space = folder.path().join("space");
    fs::create_dir(&space).unwrap();
    cluster.own(&space);
    cluster.sql("d", &format!("CREATE TABLESPACE there LOCATION '{}'", space.display()));
    cluster.sql("d", "CREATE TABLE t TABLESPACE there AS SELECT 1 a");
    let desk = Desk::plain();
    let backup = id(&back_up(&desk, &cluster));
    let moved = format!("there={}", folder.path().join("moved").display());
    let moved = ["--tablespace", moved.as_str()];
    let data = cluster.data_directory();

    // A server that runs.
    let said = desk.example(
        "A delta restore into the directory of a running server",
        1,
        &["restore", &backup, "--to-dir", &data.display().to_string(), "--delta"],
    );
    assert!(said.contains("a server runs in") && said.contains("stop it"), "{said}");
    assert_eq!(cluster.psql_text("d", "SELECT a FROM t"), "1");
    assert!(data.join("global/pg_control").exists());

    // A copy of a data directory leads to the tablespaces of the original.
    let copy = folder.path().join("copy");
    let copied = Command::new("cp").arg("-a").arg(&data).arg(&copy).status().unwrap();
    assert!(copied.success());
    fs::remove_file(copy.join("postmaster.pid")).unwrap();
    let said = refused(&desk, &backup, &copy, &[]);
    assert!(said.contains("uses it") && said.contains("space"), "{said}");
    assert_eq!(cluster.psql_text("d", "SELECT a FROM t"), "1");
    cluster.stop();

    // Another cluster, and what it says without --force.
    let other = source();
    other.create_database("others");
    other.stop();
    let before = tree(&other.data_directory());
    let to = other.data_directory();
    let to_dir = to.display().to_string();
    let said = desk.example(
        "A delta restore into the directory of another cluster",
        1,
        &[&["restore", &backup, "--to-dir", &to_dir, "--delta"], &moved[..]].concat(),
    );
    assert!(said.contains("system identifier") && said.contains("--force"), "{said}");
    let said = desk.fails(1, &[&["restore", &backup, "--to-dir", &to_dir], &moved[..]].concat());
    assert!(said.contains("is not empty") && said.contains("--delta"), "{said}");
    // Tablespaces go where they were only over what the directory's own links lead to.
    let said = refused(&desk, &backup, &to, &["--force"]);
    assert!(said.contains("is not empty") && said.contains("--tablespace"), "{said}");
    // Another major, also with --force.
    let version = fs::read_to_string(to.join("PG_VERSION")).unwrap();
    fs::write(to.join("PG_VERSION"), "12\n").unwrap();
    for more in [&moved[..], &["--force", moved[0], moved[1]]] {
        let said = refused(&desk, &backup, &to, more);
        assert!(said.contains("is a data directory of PostgreSQL 12"), "{said}");
    }
    fs::write(to.join("PG_VERSION"), version).unwrap();
    // A lock file that cannot be read.
    fs::write(to.join("postmaster.pid"), "").unwrap();
    let said = refused(&desk, &backup, &to, &["--force", moved[0], moved[1]]);
    assert!(said.contains("a server may run") && said.contains("remove that file"), "{said}");
    fs::remove_file(to.join("postmaster.pid")).unwrap();
    let after = tree(&to);
    for (path, what) in &before {
        assert_eq!(after.get(path), Some(what), "{}", path.display());
    }
    assert_eq!(before.len(), after.len());

    // No data directory at all.
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letter"), "dear").unwrap();
    for more in [&moved[..], &["--force", moved[0], moved[1]]] {
        assert!(refused(&desk, &backup, &home, more).contains("not a data directory"));
    }
    symlink(&to, folder.path().join("link")).unwrap();
    assert!(refused(&desk, &backup, &folder.path().join("link"), &moved).contains("symbolic link"));
    assert_eq!(fs::read_to_string(home.join("letter")).unwrap(), "dear");

    // The repository is not in the way of a restore, of either kind.
    let inside = desk.repo().join("restored");
    for more in [&["--delta"][..], &[]] {
        let inside = inside.display().to_string();
        let arguments = [&["restore", &backup, "--to-dir", &inside], more, &moved[..]].concat();
        assert!(desk.fails(1, &arguments).contains("is inside of the repository"));
    }
    assert!(!inside.exists());
    let around = to.join("base/repository");
    desk.ok(&["init", "--no-encryption", "--repo", &around.display().to_string()]);
    desk.ok(&["copy", &desk.url(), &around.display().to_string(), "--backup", &backup]);
    let said = refused(
        &desk,
        "latest",
        &to,
        &["--force", "--repo", &around.display().to_string(), moved[0], moved[1]],
    );
    assert!(said.contains("the repository") && said.contains("is inside of"), "{said}");
    assert!(around.exists());
    fs::remove_dir_all(&around).unwrap();

    // Usage.
    for arguments in [&["--force"][..], &["--start", "--dry-run"], &["--delta", "--start", "--dry-run"]] {
        desk.fails(2, &[&["restore", &backup, "--to-dir", &to_dir], arguments].concat());
    }
    for option in ["--delta", "--start", "--no-sparse"] {
        assert!(desk.fails(2, &["restore", &backup, option, "--dbname", "x"]).contains("--to-dir"));
    }

    // A dry run looks, and changes nothing; then it goes as spelled out.
    let force = ["--force", moved[0], moved[1]];
    let said = delta(&desk, &backup, &to, &[&force[..], &["--dry-run"]].concat());
    assert!(said["dry_run"] == true && said.get("delta").is_none(), "{said}");
    assert_eq!(tree(&to).len(), before.len());
    delta(&desk, &backup, &to, &force);
    verify(&cluster, &to);
    assert_eq!(tree(&space).len(), tree(&folder.path().join("moved")).len());
    // The directory of the cluster itself, stopped: its own tablespace is written over.
    delta(&desk, &backup, &data, &[]);
    cluster.start_again();
    assert_eq!(cluster.psql_text("d", "SELECT a FROM t"), "1");
    // An empty directory is restored into as ever.
    let empty = folder.path().join("empty");
    let elsewhere = format!("there={}", folder.path().join("again").display());
    assert!(delta(&desk, &backup, &empty, &["--tablespace", &elsewhere]).get("delta").is_none());
}

/// Killed at any moment, a restore goes on with `--delta`, and no server starts before that.
#[test]
fn a_restore_that_was_broken_off_goes_on() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let folder = open_folder(&cluster);
    let space = folder.path().join("space");
    fs::create_dir(&space).unwrap();
    cluster.own(&space);
    cluster.sql("d", &format!("CREATE TABLESPACE there LOCATION '{}'", space.display()));
    cluster.sql("d", "CREATE TABLE spaced TABLESPACE there AS SELECT g a FROM generate_series(1, 50000) g");
    let desk = Desk::with_identity();
    let first = id(&back_up(&desk, &cluster));
    cluster.sql(
        "d",
        "UPDATE t SET text = md5(text); UPDATE spaced SET a = a + 1; CREATE DATABASE other TEMPLATE d",
    );
    let later = logged(&cluster, "d");
    let second = id(&back_up(&desk, &cluster));
    let (mut broken, mut plain) = (0, 0);
    let rounds = if std::env::var_os("PGARK_TEST_FULL").is_some() { 60 } else { 10u64 };
    for round in 0..rounds {
        let place = open_folder(&cluster);
        let spaces = place.path().join("spaces");
        fs::create_dir(&spaces).unwrap();
        cluster.own(&spaces);
        let spaces = spaces.display().to_string();
        let server = cluster.beside(|to| {
            let to_dir = to.display().to_string();
            let restore = |id: &str, more: &[&str]| {
                let mut arguments = vec!["restore", id, "--to-dir", &to_dir, "--all-tablespaces", &spaces];
                arguments.extend(more);
                arguments.into_iter().map(str::to_string).collect::<Vec<_>>()
            };
            // The first into nothing, the next one over what is there.
            let is_plain = round % 2 == 0;
            let mut child = if is_plain {
                desk.spawn(&words(&restore(&second, &[])))
            } else {
                desk.ok(&words(&restore(&first, &[])));
                desk.spawn(&words(&restore(&second, &["--delta"])))
            };
            thread::sleep(Duration::from_millis(20 + round * 37 % 400));
            child.kill().unwrap();
            let ended = child.wait().unwrap().success();
            if !ended && to.exists() && !to.join("global/pg_control").exists() {
                broken += 1;
                plain += u64::from(is_plain);
                let mut start = cluster.as_server("postgres");
                start.arg("-D").arg(to).args(["-c", "listen_addresses=", "-k"]).arg(place.path());
                assert!(!start.output().unwrap().status.success());
                if to.join("global/pg_control.pgark").exists() {
                    // A restore into it says how to go on.
                    let said = desk.fails(1, &words(&restore(&second, &[])));
                    assert!(said.contains("not empty") && said.contains("--delta"), "round {round}: {said}");
                }
            }
            desk.json(&words(&restore(&second, &["--delta", "--json"])));
            verify(&cluster, to);
            let held: Vec<_> = fs::read_dir(to.join("global")).unwrap().flatten().collect();
            assert!(!held.iter().any(|entry| entry.file_name().to_string_lossy().contains("pgark")));
        });
        server.start_again();
        assert_same(&later, &logged(&server, "d"));
    }
    assert!(broken > 0 && plain > 0, "{broken} restores were broken off, {plain} of them into nothing");
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
