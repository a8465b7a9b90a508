//! Restores to a point in time: pgark chooses the backup and the timeline, proves the WAL, and the
//! server stops where it was told to.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pgark_testkit::{Cluster, in_full};
use serde_json::Value;

use super::physical::id;
use super::support::{Desk, text};
use super::wal::{Script, archiving, archiving_as, await_archived, own_all, switch};

/// A transaction of the ledger, and what is known of the moment behind it.
#[derive(Clone, Debug)]
struct Event {
    id: usize,
    xid: String,
    /// Behind its commit, and before the next one begins.
    time: String,
    lsn: String,
    name: String,
}

/// Writes rows of the ledger one after the other, while other transactions go on.
fn write(cluster: &Cluster, ids: std::ops::Range<usize>) -> Vec<Event> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                cluster.sql("postgres", "INSERT INTO noise SELECT generate_series(1, 50)");
            }
        });
        let events = ids.map(|id| event(cluster, id)).collect();
        stop.store(true, Ordering::Relaxed);
        events
    })
}

fn event(cluster: &Cluster, id: usize) -> Event {
    let insert = format!("INSERT INTO ledger VALUES ({id}) RETURNING pg_current_xact_id()");
    let xid = cluster.psql_text("postgres", &insert).lines().next().unwrap().to_string();
    let name = format!("behind {id}");
    let behind = format!(
        "SELECT clock_timestamp() AT TIME ZONE 'UTC', pg_current_wal_insert_lsn(), pg_create_restore_point('{name}')"
    );
    let behind = cluster.psql_text("postgres", &behind);
    let mut columns = behind.split('|');
    let time = format!("{}Z", columns.next().unwrap().replace(' ', "T"));
    let lsn = columns.next().unwrap().to_string();
    thread::sleep(Duration::from_millis(2));
    Event { id, xid, time, lsn, name }
}

/// Restores to a target, and starts the server. Its ledger, and what the restore said.
fn restored(desk: &Desk, cluster: &Cluster, script: &Script, more: &[&str]) -> (Cluster, Value) {
    let mut report = Value::Null;
    let server = cluster.beside(|to| {
        let (to_text, command) = (to.display().to_string(), script.fetch());
        let fixed = ["restore", "latest", "--to-dir", &to_text, "--restore-command", &command, "--json"];
        report = serde_json::from_str(&desk.ok(&[&fixed[..], more].concat())).unwrap();
        own_all(cluster, to);
    });
    server.start_again();
    (server, report)
}

fn ledger(server: &Cluster) -> Vec<usize> {
    let ids = server
        .psql_text("postgres", "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM ledger");
    ids.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn ids(events: &[Event]) -> Vec<usize> {
    events.iter().map(|event| event.id).collect()
}

/// Makes a physical backup of a server that archives into the same repository: what is new there is
/// for the server's user, too.
fn backed_up(desk: &Desk, cluster: &Cluster) -> String {
    let conninfo = cluster.conninfo("postgres");
    let report = desk.json(&["backup", "--physical", "--json", "--cluster", "shop", "--dbname", &conninfo]);
    let backup = id(&report);
    own_all(cluster, &desk.repo());
    backup
}

fn begin(cluster: &Cluster) {
    cluster.sql("postgres", "CREATE TABLE ledger (id int PRIMARY KEY); CREATE TABLE noise (n int)");
}

fn archive_all(cluster: &Cluster, script: &Script) {
    let last = switch(cluster);
    await_archived(cluster, &last, script);
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }
}

/// Random targets of all kinds, on three timelines with a backup on each: the ledger has exactly
/// the transactions up to the target.
#[test]
fn any_target_has_the_transactions_up_to_it() {
    let targets = if in_full("100 random targets of a recovery") { 100 } else { 10 };
    let script = Script::new();
    recover_to_random_targets(archiving(&script), &script, targets);
}

/// The same on every major that is here.
#[test]
fn every_major_recovers_to_any_target() {
    if !in_full("recovery to a point on every major") {
        return;
    }
    for major in Cluster::available_majors() {
        let script = Script::new();
        let cluster = archiving_as(Cluster::builder().major(major), &script);
        recover_to_random_targets(cluster, &script, 12);
    }
}

fn recover_to_random_targets(cluster: Cluster, script: &Script, targets: usize) {
    begin(&cluster);
    let desk = Desk::with_identity();
    desk.expects(&["was made from another server"]);
    backed_up(&desk, &cluster);
    script.install(&desk, &cluster);
    let first = write(&cluster, 1..20);
    archive_all(&cluster, script);
    backed_up(&desk, &cluster);
    let more = write(&cluster, 20..30);
    archive_all(&cluster, script);
    cluster.stop();
    let first = [first, more].concat();
    // Timeline 2 leaves the first one at its twelfth event, and timeline 3 the second one.
    let fork = |target: [&str; 2], before: &[Event], ids_behind: std::ops::Range<usize>| {
        let (server, report) =
            restored(&desk, &cluster, script, &[&target[..], &["--keep-archiving"]].concat());
        assert_eq!(ledger(&server), ids(before), "{report}");
        backed_up(&desk, &server);
        let behind = write(&server, ids_behind);
        archive_all(&server, script);
        server.stop();
        [before, &behind].concat()
    };
    let on_second = fork(["--target-name", &first[11].name], &first[..12], 100..115);
    let on_third = fork(["--target-xid", &on_second[19].xid], &on_second[..20], 200..215);
    let report = desk.ok(&["wal", "check", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["ok"], true, "{report}");
    let mut random = Random(11);
    for number in 0..targets {
        let (timeline, events) = [("1", &first), ("2", &on_second), ("3", &on_third), ("latest", &on_third)]
            [(number + random.below(2)) % 4];
        let at = random.below(events.len());
        let event = &events[at];
        let exclusive = random.below(2) == 1;
        let kind = number % 4;
        let (option, value) = [
            ("--target-time", &event.time),
            ("--target-lsn", &event.lsn),
            ("--target-xid", &event.xid),
            ("--target-name", &event.name),
        ][kind];
        let mut options = vec!["--target-timeline", timeline, option, value];
        if exclusive && kind < 3 {
            options.push("--exclusive");
        }
        let up_to = if kind == 2 && exclusive { at } else { at + 1 };
        let (server, report) = restored(&desk, &cluster, script, &options);
        assert_eq!(ledger(&server), ids(&events[..up_to]), "{options:?}: {report}\n{}", server.log());
        assert_eq!(report["recovery"]["target"], option.trim_start_matches("--target-"), "{report}");
    }
    // All of it, and on a timeline that was left.
    for (timeline, events) in [("latest", &on_third), ("2", &on_second), ("1", &first)] {
        let (server, report) =
            restored(&desk, &cluster, script, &["--target-latest", "--target-timeline", timeline]);
        assert_eq!(ledger(&server), ids(events), "{timeline}: {report}");
    }
    // A time at which nothing happened any more, but which the WAL is known to reach.
    let shown = desk.ok(&["list", "--times"]);
    assert!(shown.contains(&first[11].name) && shown.contains("LAST TRANSACTION"), "{shown}");
    let times: Value = serde_json::from_str(&desk.ok(&["list", "--times", "--json"])).unwrap();
    let points = times["timelines"][2]["restore_points"].as_array().unwrap();
    let named = |name: &str| points.iter().any(|point| point["name"] == name);
    assert!(named(&on_third[24].name) && named(&on_third[3].name) && !named(&first[25].name), "{times}");
}

/// A time behind the last transaction is reached if the WAL shows that the clock was there; one
/// that it does not reach is refused.
#[test]
fn a_time_without_a_later_transaction_is_reached() {
    let script = Script::new();
    let cluster = archiving(&script);
    begin(&cluster);
    let desk = Desk::with_identity();
    backed_up(&desk, &cluster);
    script.install(&desk, &cluster);
    let last = event(&cluster, 1);
    let clock = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let idle = cluster.psql_text("postgres", clock);
    desk.expects(&["no transaction ended between the target"]);
    // No transaction ends, and a restore point has the time.
    thread::sleep(Duration::from_millis(1100));
    cluster.psql_text("postgres", "SELECT pg_create_restore_point('later')");
    let behind = cluster.psql_text("postgres", "SELECT pg_current_wal_insert_lsn()");
    archive_all(&cluster, &script);
    let later = cluster.psql_text("postgres", clock);
    let (server, report) = restored(&desk, &cluster, &script, &["--target-time", &idle]);
    assert_eq!(ledger(&server), [last.id], "{report}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("no transaction ended"), "{report}");
    let (server, report) = restored(&desk, &cluster, &script, &["--target-lsn", &behind]);
    assert_eq!(ledger(&server), [last.id], "{report}");
    let refused = |more: &[&str], expected: &[&str]| {
        let to = desk.path("refused");
        let to_text = to.display().to_string();
        let fixed = ["restore", "latest", "--to-dir", &to_text, "--restore-command", "false"];
        let said = desk.fails(1, &[&fixed[..], more].concat());
        expected.iter().for_each(|expected| assert!(said.contains(expected), "{expected}: {said}"));
        assert!(!to.exists(), "the target was touched");
    };
    refused(&["--target-time", &later], &["does not reach", "the last transaction ended", "--target-latest"]);
    refused(&["--target-time", "2100-01-01"], &["does not reach"]);
    refused(
        &["--target-time", "2001-01-01"],
        &["no backup had ended before the target", "--target-immediate"],
    );
    refused(&["--target-lsn", "0/100"], &["no backup had ended before the target"]);
    refused(&["--target-lsn", "F/0"], &["does not reach F/0", "it ends at"]);
    refused(&["--target-xid", "4000000000"], &["no commit of transaction 4000000000"]);
    refused(&["--target-name", "nowhere"], &["no restore point \"nowhere\"", "list --times"]);
    refused(&["--target-latest", "--target-timeline", "7"], &["no WAL of timeline 7"]);
    // Twice, and rolled back.
    cluster.psql_text("postgres", "SELECT pg_create_restore_point('later')");
    let aborted = cluster.psql_text(
        "postgres",
        "BEGIN; INSERT INTO ledger VALUES (2) RETURNING pg_current_xact_id(); ROLLBACK",
    );
    let aborted = aborted.lines().find(|line| line.parse::<u64>().is_ok()).unwrap().to_string();
    archive_all(&cluster, &script);
    refused(&["--target-name", "later"], &["several restore points", "--target-lsn"]);
    refused(&["--target-xid", &aborted], &["was rolled back"]);
    // A hole before the target.
    let segments: Vec<_> = wal_objects(&desk);
    let event = event(&cluster, 3);
    archive_all(&cluster, &script);
    fs::remove_file(segments.last().unwrap()).unwrap();
    refused(&["--target-xid", &event.xid], &["is missing, and", "proved up to", "wal check"]);
    refused(&["--target-latest"], &["is missing, and"]);
    // In front of the hole: the server reads ahead, and must not stop there.
    let (rows, conf, report) = started(&desk, &cluster, &script, "latest", &["--target-time", &idle]);
    assert_eq!(rows, [last.id], "{report}");
    assert!(conf.contains("--up-to 00000001"), "{conf}");
}

/// The last record of what is archived goes on in a segment that is not: what is whole in front of
/// it is recovered, and it is not a target.
#[test]
fn a_record_that_is_not_whole_is_not_a_target() {
    let script = Script::new();
    let cluster = archiving(&script);
    begin(&cluster);
    let desk = Desk::with_identity();
    let backup = backed_up(&desk, &cluster);
    script.install(&desk, &cluster);
    let first = event(&cluster, 1);
    // Its commit is in a segment that is not full, and not archived; the one before is.
    cluster.sql("postgres", "INSERT INTO noise SELECT generate_series(1, 400000)");
    let full = "SELECT pg_walfile_name(pg_current_wal_insert_lsn() - 16 * 1024 * 1024)";
    await_archived(&cluster, &cluster.psql_text("postgres", full), &script);
    cluster.stop_immediate();
    let report: Value = serde_json::from_str(&desk.ok(&["wal", "check", "--json"])).unwrap();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    let to = report["timelines"][0]["to_lsn"].as_str().unwrap();
    for target in [&["--target-lsn", to][..], &["--target-latest"], &["--target-xid", &first.xid]] {
        let (server, report) = restored(&desk, &cluster, &script, target);
        assert_eq!(ledger(&server), [1], "{target:?}: {report}");
        assert_eq!(server.psql_text("postgres", "SELECT count(*) FROM noise"), "0");
        assert_eq!(report["backup"], backup.as_str());
    }
    let to: pgark_bytes::lsn::Lsn = to.parse().unwrap();
    let behind = pgark_bytes::lsn::Lsn(to.0 + 8).to_string();
    let refused =
        ["restore", "latest", "--to-dir", "/tmp/nothing-is-written-here", "--restore-command", "false"];
    let said = desk.fails(1, &[&refused[..], &["--target-lsn", &behind]].concat());
    assert!(said.contains("does not reach"), "{said}");
}

/// The objects of segments, in their order.
fn wal_objects(desk: &Desk) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = super::support::files(&desk.repo())
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.len() == 24))
        .filter(|path| path.starts_with(desk.repo().join("wal")))
        .collect();
    found.sort();
    found
}

/// The program writes the restore_command itself: with files, and never a secret.
#[test]
fn a_restored_server_fetches_with_this_program() {
    let script = Script::new();
    let cluster = archiving(&script);
    begin(&cluster);
    let desk = Desk::with_identity();
    let backup = backed_up(&desk, &cluster);
    script.install(&desk, &cluster);
    // Without a repository.
    let anywhere = Desk::plain();
    let made: Value = serde_json::from_str(&anywhere.ok(&[
        "restore-point",
        "before 1",
        "--dbname",
        &cluster.conninfo("postgres"),
        "--json",
    ]))
    .unwrap();
    let event = event(&cluster, 1);
    archive_all(&cluster, &script);
    let (rows, conf, report) = started(&desk, &cluster, &script, &backup, &["--target-xid", &event.xid]);
    assert_eq!(rows, [1], "{report}");
    let reached = &report["recovery"]["reached"];
    assert_eq!(reached["timeline"], 2, "{report}");
    assert!(reached["reason"].as_str().unwrap().contains(&event.xid), "{report}");
    assert!(conf.contains("pgark wal fetch %f %p --repo /") && conf.contains("--identity"), "{conf}");
    assert!(!conf.contains("AGE-SECRET-KEY"), "{conf}");
    // The point that was made, as a plan.
    let plan = desk.ok(&[
        "restore",
        "latest",
        "--to-dir",
        "/tmp/nothing-is-written-here",
        "--target-name",
        "before 1",
        "--dry-run",
        "--json",
    ]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["recovery"]["target"], "name", "{plan}");
    assert!(plan["recovery"]["lsn"].as_str().unwrap() < made["lsn"].as_str().unwrap(), "{plan} {made}");
    assert!(!Path::new("/tmp/nothing-is-written-here").exists());
    // A passphrase that only this process has is of no use to the server.
    let said = anywhere.fails(
        2,
        &["restore", "latest", "--to-dir", "/tmp/nothing-is-written-here", "--target-latest", "--passphrase"],
    );
    assert!(said.contains("could not open the repository") && said.contains("--passphrase-file"), "{said}");
    for words in [
        vec!["--target-latest", "--target-time", "1h"],
        vec!["--exclusive"],
        vec!["--target-name", "x", "--exclusive"],
        vec!["--standby", "--target-latest"],
        vec!["--standby", "--start"],
        vec!["--target-latest", "--target-action", "pause", "--start"],
        vec!["--primary-conninfo", "host=x"],
    ] {
        desk.fails(
            2,
            &[&["restore", "latest", "--to-dir", "/tmp/nothing-is-written-here"][..], &words].concat(),
        );
    }
    desk.fails(2, &["restore", "latest", "--target-latest", "--dbname", "x"]);
    anywhere.fails(1, &["restore-point", &"x".repeat(64), "--dbname", &cluster.conninfo("postgres")]);
}

/// Restores and starts, with the restore_command that the program writes: the ledger, the settings
/// and the report.
fn started(
    desk: &Desk,
    cluster: &Cluster,
    script: &Script,
    backup: &str,
    more: &[&str],
) -> (Vec<usize>, String, Value) {
    let to = cluster.data_directory().with_file_name("started");
    let to_text = to.display().to_string();
    let output =
        script.run(desk, &[&["restore", backup, "--to-dir", &to_text, "--start", "--json"], more].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let connect = report["server"]["connect"].as_str().unwrap();
    let rows = shell(&format!("{connect} -Atc 'SELECT id FROM ledger ORDER BY id'"));
    let conf = fs::read_to_string(to.join("postgresql.auto.conf")).unwrap();
    shell(report["server"]["stop"].as_str().unwrap());
    (rows.lines().map(|id| id.parse().unwrap()).collect(), conf, report)
}

/// Runs a command line that was printed.
fn shell(command: &str) -> String {
    let output = std::process::Command::new("sh").arg("-c").arg(command).output().unwrap();
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A standby follows what is archived, and does not open.
#[test]
fn a_standby_follows_the_archive() {
    let script = Script::new();
    let cluster = archiving(&script);
    begin(&cluster);
    let desk = Desk::with_identity();
    backed_up(&desk, &cluster);
    script.install(&desk, &cluster);
    event(&cluster, 1);
    archive_all(&cluster, &script);
    let server = cluster.beside(|to| {
        let to_text = to.display().to_string();
        desk.ok(&[
            "restore",
            "latest",
            "--to-dir",
            &to_text,
            "--standby",
            "--restore-command",
            &script.fetch(),
        ]);
        own_all(&cluster, to);
        assert!(to.join("standby.signal").exists() && !to.join("recovery.signal").exists());
    });
    server.start_again();
    event(&cluster, 2);
    archive_all(&cluster, &script);
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while ledger(&server) != [1, 2] {
        assert!(std::time::Instant::now() < until, "{}", server.log());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.psql_text("postgres", "SELECT pg_is_in_recovery()"), "t");
}

/// WAL in front of the oldest backup goes with a prune; what is left is without gaps, and the
/// oldest backup recovers to the end.
#[test]
fn wal_that_no_backup_needs_is_pruned() {
    let script = Script::new();
    let cluster = archiving(&script);
    begin(&cluster);
    let desk = Desk::with_identity();
    let first = backed_up(&desk, &cluster);
    script.install(&desk, &cluster);
    event(&cluster, 1);
    archive_all(&cluster, &script);
    let prune = |more: &[&str]| -> Value {
        let report = desk.ok(&[&["prune", "--grace", "0", "--json"], more].concat());
        serde_json::from_str(&report).unwrap()
    };
    // What was archived of the time before the first backup.
    prune(&[]);
    let all = wal_objects(&desk);
    assert_eq!(prune(&[])["wal"][0]["files_deleted"], 0);
    assert_eq!(wal_objects(&desk), all, "the first backup needs all of it");
    let second = backed_up(&desk, &cluster);
    let kept = event(&cluster, 2);
    archive_all(&cluster, &script);
    desk.ok(&["forget", &first]);
    let before = wal_objects(&desk);
    let planned = prune(&["--dry-run"]);
    assert_eq!(wal_objects(&desk), before, "a dry run deletes nothing");
    // Younger than the grace time.
    let waiting: Value = serde_json::from_str(&desk.ok(&["prune", "--json"])).unwrap();
    assert_eq!(waiting["wal"][0]["files_deleted"], 0, "{waiting}");
    assert_eq!(waiting["wal"][0]["files_waiting"], planned["wal"][0]["files_deleted"], "{waiting}");
    let report = prune(&[]);
    let left = wal_objects(&desk);
    let deleted = report["wal"][0]["files_deleted"].as_u64().unwrap();
    assert!(deleted >= all.len() as u64 && planned["wal"][0]["files_deleted"] == deleted, "{report}");
    assert!(left.len() >= 2 && left.iter().all(|object| before.contains(object)), "{left:?}");
    let check: Value = serde_json::from_str(&desk.ok(&["wal", "check", "--read-data", "--json"])).unwrap();
    assert_eq!(check["problems"], serde_json::json!([]), "{check}");
    let (server, report) = restored(&desk, &cluster, &script, &["--target-latest"]);
    assert_eq!(report["backup"], second.as_str(), "{report}");
    assert_eq!(ledger(&server), [1, kept.id], "{report}");
    // A window that begins with the newest backup needs no more than that; one of days needs all.
    let third = backed_up(&desk, &cluster);
    archive_all(&cluster, &script);
    assert_eq!(prune(&["--wal-window", "30d"])["wal"][0]["files_deleted"], 0);
    let planned = prune(&["--wal-window", "0", "--dry-run"]);
    assert!(planned["wal"][0]["files_deleted"].as_u64().unwrap() > 0, "{planned}");
    let left = wal_objects(&desk);
    // A copy brings what its backup needs.
    let copy = Desk::with_identity();
    let target = copy.url();
    let there = copy.path("identity.txt").display().to_string();
    let url = desk.url();
    let words = ["copy", url.as_str(), &target, "--to-identity", &there, "--json"];
    let copied: Value = serde_json::from_str(&desk.ok(&words)).unwrap();
    let files = copied["wal"][0]["copied"].as_u64().unwrap();
    assert!(files >= left.len() as u64 && copied["wal"][0]["there"] == 0, "{copied}");
    let again: Value = serde_json::from_str(&desk.ok(&words)).unwrap();
    assert_eq!(
        (&again["wal"][0]["copied"], &again["wal"][0]["there"]),
        (&0.into(), &files.into()),
        "{again}"
    );
    assert_eq!(wal_objects(&copy).len(), left.len());
    let check: Value = serde_json::from_str(&copy.ok(&["wal", "check", "--read-data", "--json"])).unwrap();
    assert_eq!(check["problems"], serde_json::json!([]), "{check}");
    let planned = |desk: &Desk| -> Value {
        let to = "/tmp/nothing-is-written-here";
        let plan = ["restore", "latest", "--to-dir", to, "--target-latest", "--restore-command", "false"];
        serde_json::from_str(&desk.ok(&[&plan[..], &["--dry-run", "--json"]].concat())).unwrap()
    };
    assert_eq!(planned(&copy)["recovery"]["wal"], planned(&desk)["recovery"]["wal"]);
    // No backup: the next one may need it.
    desk.ok(&["forget", &second]);
    desk.ok(&["forget", &third, "--even-last"]);
    // It archives what it ends with.
    cluster.stop();
    let left = wal_objects(&desk);
    let report = prune(&[]);
    assert!(report["wal"][0]["kept"].as_str().unwrap().contains("no physical backup"), "{report}");
    assert_eq!(wal_objects(&desk), left);
}
