//! `pgark wal receive`: the WAL of real servers as it is written, whatever goes away meanwhile.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgark_testkit::storage::{Moto, Network, Proxy};
use pgark_testkit::{Builder, Cluster, in_full};
use serde_json::Value;

use super::support::{Desk, Home, files, stock, text, wait_until};
use super::wal::{Script, own_all, switch};

/// A receiver at work.
struct Receiver {
    child: Child,
    log: PathBuf,
}

impl Receiver {
    fn start(desk: &Desk, conninfo: &str, more: &[&str]) -> Receiver {
        let log = desk.path(&format!("receive-{}.log", files(&desk.path("")).len()));
        let fixed =
            ["wal", "receive", "--dbname", conninfo, "--create-slot", "--cluster", "shop", "--verbose"];
        let mut command = desk.command(&[&fixed[..], more].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Receiver { child: command.spawn().unwrap(), log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn await_said(&mut self, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.said().contains(what) {
            let ended = self.child.try_wait().unwrap();
            assert!(Instant::now() < until && ended.is_none(), "{what}: {ended:?} {}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end.
    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn terminate(mut self) -> String {
        stock(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        assert!(self.end().success(), "{}", self.said());
        self.said()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.end();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server whose commits wait as they do by default.
fn builder() -> Builder {
    Cluster::builder().conf("autovacuum = off").conf("synchronous_commit = on")
}

fn conninfo(cluster: &Cluster) -> String {
    cluster.conninfo("postgres")
}

/// Waits until all that the server has flushed is told as flushed for the slot.
#[track_caller]
fn await_received(cluster: &Cluster, receiver: &Receiver) {
    let flushed = cluster.psql_text("postgres", "SELECT pg_current_wal_flush_lsn()");
    let sql = format!(
        "SELECT coalesce(bool_or(restart_lsn >= '{flushed}'), false) FROM pg_replication_slots WHERE slot_name = 'pgark'"
    );
    let until = Instant::now() + Duration::from_secs(60);
    while cluster.psql_text("postgres", &sql) != "t" {
        assert!(Instant::now() < until, "{flushed} is not received: {}", receiver.said());
        thread::sleep(Duration::from_millis(20));
    }
}

fn check(desk: &Desk, more: &[&str]) -> Value {
    let output = desk.run(&[&["wal", "check", "--json"], more].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// The objects of segments, or of pieces, in their order.
fn objects(desk: &Desk, is_piece: bool) -> Vec<PathBuf> {
    let mut found: Vec<_> = files(&desk.repo().join("wal"))
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.len() == if is_piece { 42 } else { 24 }))
        .collect();
    found.sort();
    found
}

fn segment_of(object: &std::path::Path) -> String {
    object.file_name().unwrap().to_string_lossy()[..24].to_uppercase()
}

/// What is received is what the server wrote, byte for byte, with the receiver killed in between;
/// pieces go as their segments come, and what is there of the last one is given on demand.
#[test]
fn what_is_received_is_the_servers_wal() {
    let cluster = builder().conf("wal_keep_size = 1GB").start();
    let desk = Desk::with_identity();
    let fill = |rows: usize| {
        cluster.sql("postgres", &format!("INSERT INTO t SELECT generate_series(1, {rows})"));
    };
    cluster.sql("postgres", "CREATE TABLE t (n int)");
    let options = ["--flush-interval", "200ms"];
    let receiver = Receiver::start(&desk, &conninfo(&cluster), &options);
    for _ in 0..5 {
        fill(60_000);
        await_received(&cluster, &receiver);
    }
    switch(&cluster);
    fill(200_000);
    await_received(&cluster, &receiver);
    receiver.kill();
    // What was not synced may be torn.
    let spooled = files(&desk.path("state").join("pgark/wal-receive"));
    let spooled: Vec<&PathBuf> = spooled.iter().filter(|path| !path.ends_with("lock")).collect();
    let torn = spooled.iter().max().unwrap();
    File::options().append(true).open(torn).unwrap().write_all(&[0xAB; 5000]).unwrap();
    fill(200_000);
    switch(&cluster);
    fill(1000);
    let receiver = Receiver::start(&desk, &conninfo(&cluster), &options);
    for _ in 0..40 {
        fill(10);
        await_received(&cluster, &receiver);
    }
    let lsn = |text: &str| text.parse::<pgark_bytes::lsn::Lsn>().unwrap();
    let flushed = lsn(&cluster.psql_text("postgres", "SELECT pg_current_wal_flush_lsn()"));
    await_received(&cluster, &receiver);
    let report = check(&desk, &["--read-data"]);
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &serde_json::json!([])), "{report}");
    let timeline = &report["timelines"][0];
    assert!(lsn(timeline["to_lsn"].as_str().unwrap()) >= flushed, "{flushed}: {report}");
    assert!(timeline["segments"].as_u64().unwrap() >= 4, "{report}");
    assert!(timeline["unfinished"]["pieces"].as_u64().unwrap() <= 40, "{report}");
    let shown = desk.ok(&["wal", "list"]);
    assert!(shown.contains("not full yet: 00000001"), "{shown}");
    let said = receiver.terminate();
    // Up to a position, which may be there already.
    let up_to = cluster.psql_text("postgres", "SELECT pg_current_wal_flush_lsn()");
    desk.expects(&["max_slot_wal_keep_size is -1"]);
    for _ in 0..2 {
        let info = conninfo(&cluster);
        desk.ok(&["wal", "receive", "--dbname", &info, "--cluster", "shop", "--endpos", &up_to]);
    }
    let report = check(&desk, &[]);
    let timeline = &report["timelines"][0];
    assert!(said.contains("ended: the WAL of cluster shop is archived up to"), "{said}");
    let segments = objects(&desk, false);
    let whole: Vec<String> = segments.iter().map(|object| segment_of(object)).collect();
    let pieces = objects(&desk, true);
    assert!(!pieces.is_empty());
    for piece in &pieces {
        assert!(!whole.contains(&segment_of(piece)), "{} stays", piece.display());
    }
    // As a server asks for it.
    let data = desk.path("data");
    fs::create_dir_all(data.join("global")).unwrap();
    let control = "global/pg_control";
    fs::copy(cluster.data_directory().join(control), data.join(control)).unwrap();
    let data_directory = data.display().to_string();
    let to = desk.path("fetched");
    let to_text = to.display().to_string();
    let fetch = |name: &str, more: &[&str], code: i32| {
        let _ = fs::remove_file(&to);
        let fixed = ["wal", "fetch", name, &to_text, "--pgdata", &data_directory, "--cluster", "shop"];
        let output = desk.run(&[&fixed[..], more].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name} {more:?}: {said}");
        fs::read(&to).unwrap_or_default()
    };
    let of_server = |name: &str| fs::read(cluster.data_directory().join("pg_wal").join(name)).unwrap();
    for name in &whole {
        assert!(fetch(name, &[], 0) == of_server(name), "{name}");
        assert!(fetch(name, &["--with-partial"], 0) == of_server(name), "{name}");
    }
    let last = segment_of(pieces.last().unwrap());
    fetch(&last, &[], 1);
    let unfinished = fetch(&last, &["--with-partial"], 0);
    let (end, size) = (timeline["unfinished"]["bytes"].as_u64().unwrap() as usize, 16 << 20);
    assert_eq!(unfinished.len(), size);
    assert!(unfinished[..end] == of_server(&last)[..end] && unfinished[end..].iter().all(|byte| *byte == 0));
    // A standby would not ask for the rest.
    let signal = data.join("standby.signal");
    fs::write(&signal, "").unwrap();
    fetch(&last, &["--with-partial"], 1);
    fs::remove_file(&signal).unwrap();
    // Nothing is taken for the end that is not: a whole segment in front of a piece is a hole.
    fs::remove_file(segments.last().unwrap()).unwrap();
    let missing = whole.last().unwrap();
    fetch(missing, &["--with-partial", "--timeout", "4s"], 126);
    let said = desk.fails(1, &["wal", "check"]);
    assert!(said.contains(&format!("{missing} is missing")), "{said}");
}

/// Writes rows one after the other until it is told to end; those that the server acknowledged.
fn write_until(cluster: &Cluster, from: usize, stop: &AtomicBool, acknowledged: &Mutex<Vec<usize>>) {
    for id in from.. {
        if stop.load(Ordering::Relaxed)
            || cluster.try_sql("postgres", &format!("INSERT INTO ledger VALUES ({id})")).is_err()
        {
            return;
        }
        acknowledged.lock().unwrap().push(id);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }
}

/// A server, its receiver and the storage go away at any moment: each transaction that the server
/// had acknowledged is in the repository.
#[test]
fn no_acknowledged_transaction_is_lost() {
    let rounds = if in_full("100 losses of a server with a synchronous receiver") { 100 } else { 4 };
    let script = Script::new();
    let cluster = builder().start();
    cluster.sql("postgres", "CREATE TABLE ledger (id int PRIMARY KEY)");
    let desk = Desk::with_identity();
    let info = conninfo(&cluster);
    desk.json(&["backup", "--physical", "--json", "--cluster", "shop", "--dbname", &info]);
    script.install(&desk, &cluster);
    let mut random = Random(17);
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let receiver = Receiver::start(&desk, &conninfo(&cluster), &["--synchronous"]);
        let is_synchronous = "ALTER SYSTEM SET synchronous_standby_names = 'pgark'";
        cluster.sql("postgres", is_synchronous);
        cluster.reload();
        let sql =
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn IS NOT NULL";
        wait_until(&cluster, "postgres", &format!("SELECT ({sql}) = 1"));
        let (stop, own) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let moment = Duration::from_millis(random.below(900));
        thread::scope(|scope| {
            for writer in 0..3 {
                let from = (round * 3 + writer + 1) * 1_000_000;
                let (stop, own, cluster) = (&stop, &own, &cluster);
                scope.spawn(move || write_until(cluster, from, stop, own));
            }
            let until = Instant::now() + Duration::from_secs(60);
            while own.lock().unwrap().is_empty() && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
            thread::sleep(moment);
            let away = desk.path("away");
            match round % 4 {
                0 => {
                    cluster.stop_immediate();
                    receiver.kill();
                }
                1 => {
                    receiver.kill();
                    thread::sleep(Duration::from_millis(100));
                    cluster.stop_immediate();
                }
                // The storage goes first.
                2 => {
                    fs::rename(desk.repo(), &away).unwrap();
                    thread::sleep(Duration::from_millis(300));
                    cluster.stop_immediate();
                    receiver.kill();
                    fs::rename(&away, desk.repo()).unwrap();
                }
                // The server alone; what its receiver has is archived.
                _ => {
                    cluster.stop_immediate();
                    receiver.terminate();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        let own = own.into_inner().unwrap();
        assert!(!own.is_empty(), "nothing was acknowledged in round {round}");
        acknowledged.extend(own);
        own_all(&cluster, &desk.repo());
        let report = check(&desk, &["--read-data"]);
        assert_eq!(report["ok"], true, "{report}");
        let server = restored_to_the_end(&desk, &cluster, &script);
        let ledger = server.psql_text("postgres", "SELECT string_agg(id::text, ' ') FROM ledger");
        let ledger: std::collections::BTreeSet<usize> =
            ledger.split(' ').map(|id| id.parse().unwrap()).collect();
        let lost: Vec<&usize> = acknowledged.iter().filter(|id| !ledger.contains(id)).collect();
        assert!(
            lost.is_empty(),
            "round {round}: {lost:?} of {} are lost: {report}\n{}\n{}",
            acknowledged.len(),
            server.log(),
            cluster.log()
        );
        // The next round goes on with the old server.
        cluster.start_again();
    }
}

/// Restores the newest backup to the end of what was received, and starts it.
fn restored_to_the_end(desk: &Desk, cluster: &Cluster, script: &Script) -> Cluster {
    let command = format!("{} --with-partial --cluster shop", script.fetch());
    let server = cluster.beside(|to| {
        let to_text = to.display().to_string();
        let fixed =
            ["restore", "latest", "--to-dir", &to_text, "--target-latest", "--restore-command", &command];
        desk.ok(&fixed);
        let conf = to.join("postgresql.auto.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, format!("{text}synchronous_standby_names = ''\n")).unwrap();
        own_all(cluster, to);
    });
    server.start_again();
    server
}

/// After a failover the receiver goes on with the new primary, wherever it was: behind the fork, at
/// it, or ahead of it.
#[test]
fn a_receiver_follows_a_failover() {
    for ahead in [-1, 0, 1] {
        let script = Script::new();
        let primary = builder().conf("wal_keep_size = 1GB").start();
        primary.sql("postgres", "CREATE TABLE t (n int)");
        let desk = Desk::with_identity();
        let conninfo = conninfo(&primary);
        desk.json(&["backup", "--physical", "--json", "--cluster", "shop", "--dbname", &conninfo]);
        script.install(&desk, &primary);
        let standby = primary.standby();
        let hosts = format!(
            "host={},{} port={},{} user=postgres dbname=postgres target_session_attrs=read-write",
            primary.socket_directory().display(),
            standby.socket_directory().display(),
            primary.port(),
            standby.port()
        );
        let row = |cluster: &Cluster, n: i32| cluster.sql("postgres", &format!("INSERT INTO t VALUES ({n})"));
        let options = ["--flush-interval", "200ms"];
        let mut receiver = Receiver::start(&desk, &hosts, &options);
        row(&primary, 1);
        await_received(&primary, &receiver);
        let is_there = |n: i32| {
            let sql = format!("SELECT count(*) = 1 FROM t WHERE n = {n}");
            wait_until(&standby, "postgres", &sql);
        };
        is_there(1);
        match ahead {
            // It is away while the standby gets more.
            -1 => {
                receiver.kill();
                row(&primary, 2);
                switch(&primary);
                row(&primary, 3);
                is_there(3);
                primary.stop_immediate();
                standby.sql("postgres", "SELECT pg_promote()");
                receiver = Receiver::start(&desk, &hosts, &options);
            }
            0 => {
                is_there(1);
                primary.stop();
            }
            // The standby is away while the primary writes what only the receiver gets.
            _ => {
                standby.stop();
                row(&primary, 2);
                switch(&primary);
                row(&primary, 3);
                await_received(&primary, &receiver);
                primary.stop_immediate();
                standby.start_again();
            }
        }
        if ahead >= 0 {
            standby.sql("postgres", "SELECT pg_promote()");
        }
        row(&standby, 10);
        await_received(&standby, &receiver);
        receiver.await_said("on timeline 2");
        if ahead == 1 {
            receiver.await_said("the server left timeline 1 at");
        }
        switch(&standby);
        row(&standby, 11);
        await_received(&standby, &receiver);
        receiver.terminate();
        own_all(&primary, &desk.repo());
        let report = check(&desk, &["--read-data"]);
        assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &serde_json::json!([])), "{report}");
        assert_eq!(report["timelines"][1]["parent"], 1, "{report}");
        let server = restored_to_the_end(&desk, &primary, &script);
        let rows = |server: &Cluster| {
            server.psql_text("postgres", "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t")
        };
        assert_eq!(rows(&server), rows(&standby), "{ahead}: {}", server.log());
    }
}

/// WAL that the server does not have any more is named, and missed only if the operator says so.
#[test]
fn a_gap_is_named_and_accepted() {
    let cluster = builder().conf("min_wal_size = 32MB").conf("max_wal_size = 32MB").start();
    let desk = Desk::with_identity();
    cluster.sql("postgres", "CREATE TABLE t (n int)");
    let receiver = Receiver::start(&desk, &conninfo(&cluster), &["--flush-interval", "100ms"]);
    await_received(&cluster, &receiver);
    // Two receivers of one slot, and of one spool.
    let second = |more: &[&str]| {
        let info = conninfo(&cluster);
        let fixed = ["wal", "receive", "--cluster", "shop", "--dbname", &info];
        desk.fails(1, &[&fixed[..], more].concat())
    };
    let said = second(&[]);
    assert!(said.contains("another receiver uses the spool"), "{said}");
    let other = desk.path("other-spool").display().to_string();
    let said = second(&["--spool", &other]);
    assert!(
        said.contains("is active") && said.contains("wait until the session that uses the slot"),
        "{said}"
    );
    let said = second(&["--spool", &other, "--slot", "nothing"]);
    assert!(said.contains("\"nothing\" does not exist") && said.contains("--create-slot"), "{said}");
    receiver.terminate();
    let info = conninfo(&cluster);
    desk.ok(&["wal", "receive", "--drop-slot", "--dbname", &info]);
    desk.fails(1, &["wal", "receive", "--drop-slot", "--dbname", &info]);
    for _ in 0..6 {
        switch(&cluster);
        cluster.sql("postgres", "INSERT INTO t SELECT generate_series(1, 1000)");
        cluster.sql("postgres", "CHECKPOINT");
    }
    let said = second(&["--create-slot"]);
    assert!(
        said.contains("has already been removed")
            && said.contains("is not on the server any more, and not in the repository")
            && said.contains("--accept-gap"),
        "{said}"
    );
    let mut receiver = Receiver::start(&desk, &info, &["--accept-gap", "--flush-interval", "100ms"]);
    await_received(&cluster, &receiver);
    receiver.await_said("is not on the server any more");
    switch(&cluster);
    await_received(&cluster, &receiver);
    receiver.terminate();
    let report = check(&desk, &["--read-data"]);
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &serde_json::json!([])), "{report}");
    let gap = &report["timelines"][0]["gaps"][0];
    assert_eq!(gap["accepted"], true, "{report}");
    let shown = desk.run(&["wal", "check"]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("accepted when it was received"), "{shown}");
}

/// A storage that stands still ends no connection, and is told of; a server that shuts down waits
/// for what is on its way, however long pieces may wait.
#[test]
fn a_storage_that_hangs_ends_no_connection() {
    let cluster = builder().conf("wal_sender_timeout = 2s").conf("max_slot_wal_keep_size = 1GB").start();
    let moto = Moto::start();
    moto.make_bucket("backups");
    let proxy = Proxy::start(moto.port(), Network::default());
    let home = Home::s3("s3://backups/main", &format!("http://127.0.0.1:{}", proxy.port()), "a", "b");
    let desk = Desk::with_identity_at(Some(home));
    let stalled = desk.path("stalled");
    let on_stall = format!("echo \"$PGARK_STALL\" >> {}", stalled.display());
    let options = ["--flush-interval", "100ms", "--max-lag", "3s", "--on-stall", &on_stall];
    let mut receiver = Receiver::start(&desk, &conninfo(&cluster), &options);
    await_received(&cluster, &receiver);
    let sender = "SELECT pid FROM pg_stat_replication";
    let before = cluster.psql_text("postgres", sender);
    proxy.stall();
    cluster.sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000)");
    thread::sleep(Duration::from_secs(8));
    assert_eq!(cluster.psql_text("postgres", sender), before, "{}", receiver.said());
    proxy.heal();
    await_received(&cluster, &receiver);
    assert_eq!(cluster.psql_text("postgres", sender), before, "{}", receiver.said());
    let said = fs::read_to_string(&stalled).unwrap();
    assert!(said.contains("nothing could be archived for"), "{said}");
    // Without a command, it ends.
    receiver.terminate();
    receiver = Receiver::start(&desk, &conninfo(&cluster), &["--flush-interval", "1h", "--max-lag", "1s"]);
    receiver.await_said("receiving the WAL");
    assert!(!receiver.end().success());
    assert!(receiver.said().contains("nothing could be archived for"), "{}", receiver.said());
    // A server that shuts down is not kept waiting.
    let mut receiver = Receiver::start(&desk, &conninfo(&cluster), &["--flush-interval", "1h"]);
    await_received_by_flush(&cluster);
    cluster.sql("postgres", "INSERT INTO t VALUES (1)");
    let began = Instant::now();
    cluster.stop();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}: {}", began.elapsed(), receiver.said());
    receiver.await_said("begun again");
    cluster.start_again();
    await_received_by_flush(&cluster);
    receiver.terminate();
    assert_eq!(check(&desk, &[])["ok"], true);
}

/// Waits until someone receives.
fn await_received_by_flush(cluster: &Cluster) {
    let sql = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'";
    wait_until(cluster, "postgres", sql);
}

/// What is acknowledged from the spool is archived by the next receiver, even if the server is
/// gone.
#[test]
fn a_spool_outlives_its_receiver_and_its_server() {
    let script = Script::new();
    let cluster = builder().start();
    cluster.sql("postgres", "CREATE TABLE t (n int)");
    let desk = Desk::with_identity();
    let info = conninfo(&cluster);
    desk.json(&["backup", "--physical", "--json", "--cluster", "shop", "--dbname", &info]);
    script.install(&desk, &cluster);
    let receiver = Receiver::start(&desk, &info, &["--flush-interval", "1h", "--ack", "spool"]);
    let sql = "SELECT count(*) = 1 FROM pg_stat_replication WHERE flush_lsn = pg_current_wal_flush_lsn()";
    for n in 0..3 {
        cluster.sql("postgres", &format!("INSERT INTO t VALUES ({n})"));
        wait_until(&cluster, "postgres", sql);
        switch(&cluster);
    }
    cluster.sql("postgres", "INSERT INTO t VALUES (3)");
    wait_until(&cluster, "postgres", sql);
    assert!(receiver.said().contains("if this host is lost"), "{}", receiver.said());
    cluster.stop_immediate();
    receiver.kill();
    // The server is not there any more.
    let said = desk.fails(1, &["wal", "receive", "--cluster", "shop", "--dbname", &info]);
    assert!(said.contains("connect"), "{said}");
    own_all(&cluster, &desk.repo());
    let report = check(&desk, &["--read-data"]);
    assert_eq!(report["ok"], true, "{report}");
    let server = restored_to_the_end(&desk, &cluster, &script);
    assert_eq!(server.psql_text("postgres", "SELECT count(*) FROM t"), "4");
    // A copy has what there is of the last segment, too.
    let copy = Desk::with_identity();
    let (source, target) = (desk.url(), copy.url());
    let there = copy.path("identity.txt").display().to_string();
    let words = ["copy", source.as_str(), &target, "--to-identity", &there, "--json"];
    desk.ok(&words);
    let unfinished = |desk: &Desk| check(desk, &["--read-data"])["timelines"][0]["unfinished"].clone();
    assert_eq!(unfinished(&copy)["bytes"], unfinished(&desk)["bytes"]);
    let again: Value = serde_json::from_str(&desk.ok(&words)).unwrap();
    assert_eq!(again["wal"][0]["copied"], 0, "{again}");
    // A piece that could not be deleted means nothing once its segment is there, and a prune
    // deletes it.
    let piece = objects(&desk, true).pop().unwrap();
    let bytes = fs::read(&piece).unwrap();
    cluster.start_again();
    let receiver = Receiver::start(&desk, &conninfo(&cluster), &["--flush-interval", "100ms"]);
    await_received(&cluster, &receiver);
    switch(&cluster);
    await_received(&cluster, &receiver);
    receiver.terminate();
    assert!(!piece.exists());
    fs::write(&piece, bytes).unwrap();
    let report = check(&desk, &["--read-data"]);
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &serde_json::json!([])), "{report}");
    desk.ok(&["prune", "--grace", "0"]);
    assert!(!piece.exists());
    assert_eq!(check(&desk, &["--read-data"])["ok"], true);
}
