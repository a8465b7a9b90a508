//! Archived WAL: real servers archive through `pgark wal push`, and recover through
//! `pgark wal fetch`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pgark_testkit::{Builder, Cluster, in_full};
use serde_json::Value;
use tempfile::TempDir;

use super::physical::{back_up, id};
use super::support::{Desk, files, text};

/// A script that runs the program as the server's user, with this desk's repository and folders.
pub struct Script {
    folder: TempDir,
}

impl Script {
    pub fn new() -> Script {
        Script { folder: TempDir::new_in("/tmp").unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("pgark.sh")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What a server runs as its restore_command.
    pub fn fetch(&self) -> String {
        format!("{} fetch %f %p", self.path().display())
    }

    /// Runs the copy of the program that the server's user can run, too.
    pub fn run(&self, desk: &Desk, arguments: &[&str]) -> std::process::Output {
        let own = std::process::Command::new(self.folder.path().join("pgark"));
        desk.prepared(own, arguments).stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// Makes it: until now the server could run nothing.
    pub fn install(&self, desk: &Desk, cluster: &Cluster) {
        let program = self.folder.path().join("pgark");
        fs::copy(env!("CARGO_BIN_EXE_pgark"), &program).unwrap();
        let own = self.folder.path().display();
        let secret = desk.path("identity.txt");
        let secret = match secret.exists() {
            true => format!("--identity {}", secret.display()),
            false => String::new(),
        };
        let script = format!(
            "#!/bin/sh\nexport HOME={own} PGARK_REPO={} TZ=UTC\nverb=$1; shift\n\
             [ $verb = fetch ] && secret='{secret}'\n\
             exec {own}/pgark wal $verb \"$@\" $secret 2>> {own}/log\n",
            desk.url()
        );
        let part = self.folder.path().join("part");
        fs::write(&part, script).unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).unwrap();
        cluster.own(self.folder.path());
        own_all(cluster, desk.path("").as_path());
        // Left by `init` for its host: the server's user has a home of its own.
        let keys = desk.path("config");
        if keys.exists() {
            copy_all(&keys, &self.folder.path().join(".config"));
            own_all(cluster, &self.folder.path().join(".config"));
        }
        fs::rename(&part, self.path()).unwrap();
    }
}

/// Gives a folder and what is in it to the server's user.
pub fn own_all(cluster: &Cluster, path: &Path) {
    cluster.own(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            own_all(cluster, &entry.unwrap().path());
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// A cluster that archives through a script which is not there yet.
pub fn archiving(script: &Script) -> Cluster {
    archiving_as(Cluster::builder(), script)
}

/// The same of another kind.
pub fn archiving_as(builder: Builder, script: &Script) -> Cluster {
    let archive = format!("archive_command = '{} push %p'", script.path().display());
    builder.conf("archive_mode = on").conf(&archive).conf("autovacuum = off").start()
}

/// Ends the segment that is written now; its name.
pub fn switch(cluster: &Cluster) -> String {
    cluster.psql_text("postgres", "SELECT pg_walfile_name(pg_switch_wal())")
}

/// Waits until the server takes a segment for archived.
#[track_caller]
pub fn await_archived(cluster: &Cluster, segment: &str, script: &Script) {
    let until = Instant::now() + Duration::from_secs(120);
    let sql = format!(
        "SELECT coalesce(last_archived_wal, '') >= '{segment}' FROM pg_stat_archiver WHERE last_archived_wal !~ 'history'"
    );
    while cluster.psql_text("postgres", &sql) != "t" {
        assert!(Instant::now() < until, "{segment} is not archived: {}\n{}", script.log(), cluster.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Restores a backup, and recovers it with these settings.
fn recovered(desk: &Desk, cluster: &Cluster, script: &Script, id: &str, settings: &[String]) -> Cluster {
    let server = cluster.beside(|to| {
        desk.ok(&["restore", id, "--to-dir", &to.display().to_string()]);
        // A restored directory has settings for a recovery to the backup's own end: later ones win.
        let conf = to.join("postgresql.auto.conf");
        let mut text = fs::read_to_string(&conf).unwrap();
        text.push_str(&format!("restore_command = '{} fetch %f %p'\n", script.path().display()));
        text.push_str("recovery_target = ''\nrecovery_target_timeline = 'latest'\n");
        settings.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        fs::write(&conf, text).unwrap();
        assert!(to.join("recovery.signal").exists());
        own_all(cluster, to);
    });
    server.start_again();
    server
}

fn check(desk: &Desk, more: &[&str]) -> Value {
    let output = desk.run(&[&["wal", "check", "--json"], more].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// A server archives while it writes; its backup recovers to a time, an LSN, a transaction, a
/// restore point and the end, and again from the timeline that came of it.
#[test]
fn archived_wal_recovers_to_any_moment() {
    let script = Script::new();
    let cluster = archiving(&script);
    cluster.sql(
        "postgres",
        "CREATE TABLE ledger (id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())",
    );
    let desk = Desk::with_identity();
    let backup = id(&back_up(&desk, &cluster));
    script.install(&desk, &cluster);
    let mut settings = Vec::new();
    let row = |count: usize| {
        cluster.sql("postgres", &format!("INSERT INTO ledger VALUES ({count})"));
    };
    row(1);
    let time = cluster.psql_text("postgres", "SELECT clock_timestamp()");
    settings.push((1, vec![format!("recovery_target_time = '{time}'")]));
    std::thread::sleep(Duration::from_millis(20));
    row(2);
    let lsn = cluster.psql_text("postgres", "SELECT pg_current_wal_insert_lsn()");
    settings.push((2, vec![format!("recovery_target_lsn = '{lsn}'")]));
    switch(&cluster);
    let xid = cluster.psql_text("postgres", "INSERT INTO ledger VALUES (3) RETURNING pg_current_xact_id()");
    let xid = xid.lines().next().unwrap();
    settings.push((3, vec![format!("recovery_target_xid = '{xid}'")]));
    settings
        .push((2, vec![format!("recovery_target_xid = '{xid}'"), "recovery_target_inclusive = off".into()]));
    row(4);
    cluster.sql("postgres", "SELECT pg_create_restore_point('before five')");
    settings.push((4, vec!["recovery_target_name = 'before five'".into()]));
    row(5);
    let last = switch(&cluster);
    settings.push((5, Vec::new()));
    await_archived(&cluster, &last, &script);
    let report = check(&desk, &["--read-data"]);
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &serde_json::json!([])), "{report}");
    let reach = &report["backups"][0];
    assert_eq!(reach["id"], backup.as_str());
    assert!(
        reach["restorable_to"].as_str().unwrap() > reach["restorable_from"].as_str().unwrap(),
        "{report}"
    );
    for (rows, settings) in &settings {
        let mut settings = settings.clone();
        if !settings.is_empty() {
            settings.push("recovery_target_action = 'promote'".into());
        }
        let server = recovered(&desk, &cluster, &script, &backup, &settings);
        let count = server.psql_text("postgres", "SELECT count(*) || ' ' || max(id) FROM ledger");
        assert_eq!(count, format!("{rows} {rows}"), "{settings:?}: {}", server.log());
    }
    // One goes on, on a timeline of its own, and archives that.
    cluster.stop();
    let target = [
        "recovery_target_name = 'before five'".into(),
        "recovery_target_action = 'promote'".into(),
        "archive_mode = on".into(),
    ];
    let server = recovered(&desk, &cluster, &script, &backup, &target);
    server.sql("postgres", "INSERT INTO ledger VALUES (50)");
    let last = switch(&server);
    await_archived(&server, &last, &script);
    let report = check(&desk, &["--read-data"]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["timelines"][1]["parent"], 1, "{report}");
    let again = recovered(&desk, &server, &script, &backup, &[]);
    let rows = again.psql_text("postgres", "SELECT string_agg(id::text, ' ' ORDER BY id) FROM ledger");
    assert_eq!(rows, "1 2 3 4 50");
    let shown = desk.ok(&["wal", "list"]);
    assert!(shown.contains("TIMELINE") && shown.contains(&backup), "{shown}");
}

/// A cluster that archives nothing by itself, and its first segment.
fn with_segments(count: usize) -> (Cluster, Vec<String>) {
    let cluster = Cluster::builder().conf("wal_keep_size = 1GB").conf("autovacuum = off").start();
    let mut names = Vec::new();
    for number in 0..count {
        cluster.sql("postgres", &format!("CREATE TABLE t{number} AS SELECT generate_series(1, 100)"));
        names.push(switch(&cluster));
    }
    (cluster, names)
}

fn segment(cluster: &Cluster, name: &str) -> String {
    cluster.data_directory().join("pg_wal").join(name).display().to_string()
}

/// What is no segment of this cluster, or another one of its name, is not archived.
#[test]
fn what_is_not_the_segment_is_refused() {
    let (cluster, names) = with_segments(3);
    let desk = Desk::with_identity();
    let push = |path: &str, code: i32| {
        if code == 0 {
            return desk.ok(&["wal", "push", path, "--cluster", "shop"]);
        }
        desk.fails(code, &["wal", "push", path, "--cluster", "shop"])
    };
    push(&segment(&cluster, &names[0]), 0);
    push(&segment(&cluster, &names[0]), 0);
    let other = TempDir::new_in("/tmp").unwrap();
    let write = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(segment(&cluster, &names[0])).unwrap();
        change(&mut bytes);
        let path = other.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    // Another one of the same name: here a flipped bit far behind.
    let said = push(&write(&names[0], &|bytes| bytes[9_000_000] ^= 1), 1);
    assert!(said.contains("with another content") && said.contains("Two servers archive as one"), "{said}");
    let report = check(&desk, &["--read-data"]);
    assert_eq!((&report["ok"], &report["timelines"][0]["segments"]), (&true.into(), &1.into()), "{report}");
    for (name, change, expected) in [
        (names[1].as_str(), &(|_: &mut Vec<u8>| {}) as &dyn Fn(&mut Vec<u8>), "its name says"),
        (&names[0], &|bytes: &mut Vec<u8>| bytes.truncate(1 << 20), "segments of its cluster have"),
        (&names[0], &|bytes: &mut Vec<u8>| bytes.truncate(10), "ends too early"),
        (&names[0], &|bytes: &mut Vec<u8>| bytes[0] ^= 0xFF, "magic"),
        (&names[0], &|bytes: &mut Vec<u8>| bytes.clear(), "ends too early"),
        ("0000000100000000FFFFFFFF", &|_: &mut Vec<u8>| {}, "none of this number"),
        ("backup_label", &|_: &mut Vec<u8>| {}, "not a file of WAL"),
    ] {
        let said = push(&write(name, change), 1);
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = push("/tmp/000000010000000000000001", 1);
    assert!(said.contains("No such file"), "{said}");
    // Another system under the same name, until it is said that this is meant.
    let (stranger, of_stranger) = with_segments(1);
    let said = push(&segment(&stranger, &of_stranger[0]), 1);
    assert!(said.contains("has the WAL of the system"), "{said}");
    let control = stranger.psql_text("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert!(said.contains(&format!("pgark wal adopt {control} --cluster shop")), "{said}");
    desk.ok(&["wal", "adopt", &control, "--cluster", "shop"]);
    push(&segment(&stranger, &of_stranger[0]), 0);
    assert_eq!(check(&desk, &[])["system_identifier"], control.as_str());
    // Without a name, and without a backup that has one.
    let said = desk.fails(1, &["wal", "push", &segment(&cluster, &names[1])]);
    assert!(
        said.contains("no cluster in the repository has a backup") && said.contains("--cluster"),
        "{said}"
    );
    // Usage and interruptions never restart an archiver.
    desk.fails(2, &["wal", "push"]);
    desk.fails(2, &["wal", "push", "x", "--jobs", "0"]);
}

/// A record that is damaged on the server is archived with a warning, and named by a check.
#[test]
fn a_damaged_record_is_archived_and_named() {
    let (cluster, names) = with_segments(2);
    let desk = Desk::with_identity();
    let path = segment(&cluster, &names[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    desk.expects(&["is damaged on the server"]);
    for name in &names {
        desk.ok(&["wal", "push", &segment(&cluster, name), "--cluster", "shop"]);
    }
    let output = desk.run(&["wal", "check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&format!("{} was damaged on the server", names[0])), "{said}");
}

/// While a server replays a segment, the next ones come; what lies there counts only if it is whole
/// and of this very archive.
#[test]
fn segments_are_fetched_ahead() {
    let (cluster, names) = with_segments(7);
    let desk = Desk::with_identity();
    for name in &names {
        desk.ok(&["wal", "push", &segment(&cluster, name), "--cluster", "shop"]);
    }
    let data = TempDir::new_in("/tmp").unwrap();
    for folder in ["global", "pg_wal"] {
        fs::create_dir(data.path().join(folder)).unwrap();
    }
    let control = "global/pg_control";
    fs::copy(cluster.data_directory().join(control), data.path().join(control)).unwrap();
    let to = data.path().join("pg_wal/RECOVERYXLOG");
    let ahead = data.path().join("pg_wal/pgark-ahead");
    let fetch = |name: &str, more: &[&str]| {
        let (path, folder) = (to.display().to_string(), data.path().display().to_string());
        let fixed = ["wal", "fetch", name, &path, "--pgdata", &folder, "--cluster", "shop"];
        let output = desk.run(&[&fixed[..], more].concat());
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let gets = |name: &str, more: &[&str], is_ahead: bool| {
        let (code, said) = fetch(name, more);
        assert_eq!((code, said.contains("fetched ahead")), (0, is_ahead), "{name}: {said}");
        assert!(fs::read(&to).unwrap() == fs::read(segment(&cluster, name)).unwrap(), "{name}");
    };
    let waiting = || {
        let there = if ahead.exists() { files(&ahead) } else { Vec::new() };
        let found = there.into_iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_string();
            (name.len() > 24 && !name.starts_with("part")).then(|| (name[..24].to_string(), path))
        });
        found.collect::<std::collections::BTreeMap<String, PathBuf>>()
    };
    let comes = |expected: &[String]| {
        let until = Instant::now() + Duration::from_secs(30);
        while waiting().keys().ne(expected) {
            assert!(Instant::now() < until, "{:?} instead of {expected:?}", waiting());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    gets(&names[0], &["--prefetch", "0"], false);
    assert!(!ahead.exists());
    gets(&names[0], &["--prefetch", "4"], false);
    comes(&names[1..5]);
    // It is given without the repository, and moved.
    let object =
        files(&desk.repo()).into_iter().find(|path| path.ends_with(names[1].to_lowercase())).unwrap();
    let bytes = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    gets(&names[1], &["--prefetch", "4"], true);
    fs::write(&object, bytes).unwrap();
    comes(&names[2..5]);
    // Torn, and of another archive.
    fs::write(&waiting()[&names[2]], b"torn").unwrap();
    gets(&names[2], &["--prefetch", "4"], false);
    comes(&names[3..5]);
    let of = waiting()[&names[3]].clone();
    let name = of.file_name().unwrap().to_str().unwrap();
    let other = of.with_file_name(format!("{}.{}.{}", &names[3], "0".repeat(32), &name[58..]));
    fs::rename(&of, &other).unwrap();
    gets(&names[3], &["--prefetch", "4"], false);
    comes(&names[3..7]);
    // Nothing is fetched behind what is needed; at the end all of it goes.
    fs::remove_dir_all(&ahead).unwrap();
    gets(&names[3], &["--prefetch", "4", "--up-to", &names[4]], false);
    comes(&names[4..5]);
    gets(&names[4], &["--prefetch", "4", "--up-to", &names[4]], true);
    let until = Instant::now() + Duration::from_secs(30);
    while ahead.exists() {
        assert!(Instant::now() < until, "{:?} stays", waiting());
        assert_eq!(fetch(&names[5], &["--prefetch", "4", "--up-to", &names[4]]).0, 1);
    }
}

/// Exit codes of `wal fetch` where a server recovers, and on a standby.
#[test]
fn a_server_understands_every_answer() {
    let (cluster, names) = with_segments(4);
    let desk = Desk::with_identity();
    for name in &names {
        desk.ok(&["wal", "push", &segment(&cluster, name), "--cluster", "shop"]);
    }
    let target = TempDir::new_in("/tmp").unwrap();
    fs::create_dir_all(target.path().join("global")).unwrap();
    let control = "global/pg_control";
    fs::copy(cluster.data_directory().join(control), target.path().join(control)).unwrap();
    let to = target.path().join("RECOVERYXLOG");
    let fetch = |file: &str, more: &[&str]| {
        let _ = fs::remove_file(&to);
        let (path, folder) = (to.display().to_string(), target.path().display().to_string());
        let mut arguments = vec![
            "wal",
            "fetch",
            file,
            &path,
            "--pgdata",
            &folder,
            "--cluster",
            "shop",
            "--timeout",
            "4s",
            "--prefetch",
            "0",
        ];
        arguments.extend(more);
        let output = desk.run(&arguments);
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let object = |name: &str| {
        let name = name.to_lowercase();
        files(&desk.repo()).into_iter().find(|path| path.ends_with(&name)).unwrap()
    };
    let first = object(&names[0]);
    let whole = fs::read(&first).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() - 100] ^= 1;
    let (hole, kept) = (object(&names[2]), fs::read(object(&names[2])).unwrap());
    for (mode, absent, failure) in [("recovery.signal", 1, 126), ("standby.signal", 1, 1)] {
        fs::write(target.path().join(mode), "").unwrap();
        for name in &names {
            assert_eq!(fetch(name, &[]).0, 0);
            assert!(fs::read(&to).unwrap() == fs::read(segment(&cluster, name)).unwrap());
        }
        let next = "0000000100000000000000FF";
        for file in [next, "00000002.history", "000000020000000000000001"] {
            assert_eq!(fetch(file, &[]).0, absent, "{file}");
            assert!(!to.exists());
        }
        // A hole, a flipped byte, a cut, no storage, wrong words.
        fs::remove_file(&hole).unwrap();
        let (code, said) = fetch(&names[2], &[]);
        assert!(code == failure && said.contains("a hole in the WAL"), "{code} {said}");
        // The server has that segment itself, whole to its last record; or zeros behind a page.
        let own = target.path().join("pg_wal");
        fs::create_dir_all(&own).unwrap();
        let mut bytes = fs::read(segment(&cluster, &names[2])).unwrap();
        fs::write(own.join(&names[2]), &bytes).unwrap();
        let (code, said) = fetch(&names[2], &[]);
        assert!(code == absent && !to.exists(), "{code} {said}");
        bytes[8192..].fill(0);
        fs::write(own.join(&names[2]), &bytes).unwrap();
        let (code, said) = fetch(&names[2], &[]);
        assert!(code == failure && said.contains("a hole in the WAL"), "{code} {said}");
        fs::remove_dir_all(&own).unwrap();
        // Behind what the recovery needs.
        assert_eq!(fetch(&names[3], &["--up-to", &names[2]]).0, absent);
        assert_eq!(fetch(&names[3], &["--up-to", &names[3]]).0, 0);
        fs::write(&hole, &kept).unwrap();
        for damaged in [flipped.clone(), whole[..whole.len() - 100].to_vec()] {
            fs::write(&first, damaged).unwrap();
            let (code, said) = fetch(&names[0], &[]);
            assert!(code == failure && !to.exists(), "{code} {said}");
        }
        fs::write(&first, &whole).unwrap();
        let repo = desk.repo();
        fs::rename(&repo, repo.with_extension("away")).unwrap();
        assert_eq!(fetch(&names[0], &[]).0, failure);
        fs::rename(repo.with_extension("away"), &repo).unwrap();
        assert_eq!(fetch(&names[0], &["--no-such-option"]).0, failure);
        assert_eq!(fetch("nonsense", &[]).0, failure);
        let (code, said) = fetch(&names[0], &["--cluster", "other"]);
        assert_eq!(code, failure, "{said}");
        fs::remove_file(target.path().join(mode)).unwrap();
    }
    let said = desk.fails(126, &["wal", "fetch", &names[0], "/nowhere/x", "--pgdata", "/nowhere"]);
    assert!(said.contains("pg_control"), "{said}");
}

/// What waits is archived by the way, and its own call returns at once. No call tells a server that
/// something is archived which is not.
#[test]
fn segments_that_wait_are_archived_together() {
    let script = Script::new();
    let cluster = archiving(&script);
    let desk = Desk::with_identity();
    desk.ok(&["backup", "--physical", "--dbname", &cluster.conninfo("postgres")]);
    let mut last = String::new();
    for number in 0..12 {
        cluster.sql("postgres", &format!("CREATE TABLE t{number} AS SELECT generate_series(1, 1000)"));
        last = switch(&cluster);
    }
    script.install(&desk, &cluster);
    cluster.sql("postgres", "SELECT pg_switch_wal()");
    await_archived(&cluster, &last, &script);
    let log = script.log();
    assert!(log.contains("that waited"), "{log}");
    let report = check(&desk, &["--read-data"]);
    assert_eq!(report["ok"], true, "{report}");
    let said = cluster.psql_text("postgres", "SELECT archived_count >= 12 FROM pg_stat_archiver");
    assert_eq!(said, "t");
}

/// Killed at any moment: whatever the server takes for archived is in the repository.
#[test]
fn a_killed_push_loses_nothing() {
    let kills = if in_full("100 kills of wal push") { 100 } else { 8 };
    let script = Script::new();
    let cluster = archiving(&script);
    let desk = Desk::with_identity();
    desk.ok(&["backup", "--physical", "--dbname", &cluster.conninfo("postgres")]);
    script.install(&desk, &cluster);
    let mut random = 7u64;
    let mut last = String::new();
    for number in 0..kills {
        cluster.sql("postgres", &format!("CREATE TABLE t{number} AS SELECT generate_series(1, 2000)"));
        last = switch(&cluster);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(random >> 33 & 0x7F));
        let program = script.folder.path().join("pgark").display().to_string();
        let _ = std::process::Command::new("pkill").args(["-9", "-f", &program]).status();
    }
    await_archived(&cluster, &last, &script);
    let report = check(&desk, &["--read-data"]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["timelines"][0]["gaps"], serde_json::json!([]), "{report}");
    let to = report["timelines"][0]["to_lsn"].as_str().unwrap().to_string();
    let sql = format!(
        "SELECT '{to}'::pg_lsn <= pg_current_wal_lsn() AND pg_walfile_name('{to}'::pg_lsn - 1) >= '{last}'"
    );
    assert_eq!(cluster.psql_text("postgres", &sql), "t", "{report}");
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}
