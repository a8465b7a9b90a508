//! What an interrupted command says it leaves behind is what it leaves behind.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::storage::{Moto, Network, Proxy};
use pgark_testkit::{Cluster, is_full, wait_for};

use super::support::{Desk, Home, stock, text, wait_until};

/// Ends the program as a service manager does, and returns what it said.
#[track_caller]
fn terminate(child: Child) -> String {
    stock(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    said
}

#[test]
fn a_restore_of_all_goes_on_where_it_was_stopped() {
    let (source, target) = (Cluster::start(), Cluster::start());
    let names = ["a", "b", "c"];
    for name in names {
        source.create_database(name);
        source.sql(name, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, g::text FROM generate_series(1, 500) g");
        source.sql("postgres", &format!("COMMENT ON DATABASE {name} IS 'this is {name}'"));
    }
    source.sql("postgres", "COMMENT ON DATABASE c IS NULL");
    let desk = Desk::plain();
    let id = desk.ok(&["backup", "--all", "--dbname", &source.conninfo("postgres")]).trim().to_string();
    let flag = desk.path("loaded");
    // Held in the second database, with its rows and without its key.
    let hook =
        format!("after-data=command:if [ $PGARK_DATABASE = b ]; then touch {}; sleep 60; fi", flag.display());
    let conninfo = target.conninfo("postgres");
    let restore = ["restore", &id, "--all", "--dbname", &conninfo];
    let child = desk.spawn(&[&restore[..], &["--hook", &hook]].concat());
    wait_for("the second database's rows", || flag.exists());
    let said = terminate(child);
    for left in [
        "database \"a\" restored",
        "database \"b\" is incomplete, and what was restored stays in it (run the same command again: it creates this database again)",
        "nothing was changed in databases \"c\", \"postgres\"",
        "hooks have run",
    ] {
        assert!(said.contains(left), "{left}: {said}");
    }
    assert_eq!(target.psql_text("a", "SELECT count(*) FROM t"), "500");
    assert_eq!(
        target.psql_text(
            "b",
            "SELECT count(*), (SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass) FROM t"
        ),
        "500|0"
    );
    assert!(target.try_sql("c", "SELECT 1").is_err());

    // Another backup's restore does not take it for its own; and nobody's work is thrown away.
    let other = desk.ok(&["backup", "--all", "--dbname", &source.conninfo("postgres")]).trim().to_string();
    let said = desk.fails(1, &["restore", &other, "--all", "--dbname", &conninfo]);
    assert!(said.contains(&format!("was left by an unfinished restore of backup {id}")), "{said}");
    target.sql("b", "CREATE TABLE mine (a int)");
    let said = desk.example("An unfinished restore with other objects", 1, &restore);
    assert!(said.contains("contains other objects: table public.mine"), "{said}");
    target.sql("b", "DROP TABLE mine");

    // Run again, it goes on. What is done in a whole database in the meantime stays.
    target.sql("a", "INSERT INTO t VALUES (501, 'new')");
    let output = desk.run(&restore);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("database a is skipped") && said.contains("database b is created again"), "{said}");
    assert_eq!(target.psql_text("a", "SELECT count(*) FROM t"), "501");
    target.sql("a", "DELETE FROM t WHERE id = 501");
    for name in names {
        assert_same(&Snapshot::take(&source, name), &Snapshot::take(&target, name));
    }
    let comments = "SELECT string_agg(coalesce(shobj_description(oid, 'pg_database'), '-'), ',' ORDER BY datname) FROM pg_database WHERE datname IN ('a', 'b', 'c')";
    assert_eq!(target.psql_text("postgres", comments), "this is a,this is b,-");
    // It is over: a third run finds databases that are not empty.
    assert!(desk.fails(1, &restore).contains("not empty"));
}

#[test]
fn what_is_said_to_be_left_is_left() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (a int, b bytea); INSERT INTO t VALUES (1, 'x')");
    let desk = Desk::plain();
    let small = desk.backup(&cluster, "d");
    // Bytes that no compression makes fewer.
    cluster.sql("d", "INSERT INTO t SELECT g, decode(string_agg(md5(random()::text), ''), 'hex') FROM generate_series(1, 300) g, generate_series(1, 1600) i GROUP BY g");
    let large = desk.backup(&cluster, "d");

    // A copy: the first backup is whole, the second is not there.
    let other = desk.path("other");
    let other = other.to_str().unwrap();
    desk.ok(&["init", "--no-encryption", "--repo", other]);
    let listed = || desk.json(&["list", "--json", "--repo", other])["backups"].as_array().unwrap().clone();
    let child = desk.spawn(&["copy", &desk.url(), other, "--limit-upload", "500k"]);
    wait_for("the first copy", || listed().len() == 1);
    let said = terminate(child);
    let copies = listed();
    assert_eq!(copies.len(), 1);
    let copy = copies[0]["id"].as_str().unwrap();
    assert!(
        said.contains(&format!(
            "interrupted: completely copied: {small} as {copy}; run the same command again"
        )),
        "{said}"
    );

    // An export leaves nothing.
    let dump = desk.path("dump");
    let partial = desk.path("dump.partial");
    let child = desk.spawn(&[
        "export",
        &large,
        "--format",
        "custom",
        "--output",
        dump.to_str().unwrap(),
        "--limit-download",
        "500k",
    ]);
    wait_for("the export", || partial.exists());
    let said = terminate(child);
    assert!(said.contains("interrupted: nothing was exported"), "{said}");
    assert!(!Path::exists(&dump) && !Path::exists(&partial));

    // A restore in one transaction changes nothing.
    cluster.create_database("one");
    let one = cluster.conninfo("one");
    let child = desk.spawn(&[
        "restore",
        &large,
        "--dbname",
        &one,
        "--single-transaction",
        "--limit-download",
        "500k",
    ]);
    wait_until(
        &cluster,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'one' AND query LIKE 'COPY%')",
    );
    let said = terminate(child);
    assert!(said.contains("interrupted: nothing was changed in database \"one\""), "{said}");
    assert_eq!(cluster.psql_text("one", "SELECT to_regclass('t') IS NULL"), "t");

    // Into tables that are there: all of a table's rows or none.
    cluster.sql("one", "CREATE TABLE t (a int, b bytea)");
    let child = desk.spawn(&["restore", &large, "--dbname", &one, "--data-only", "--limit-download", "500k"]);
    wait_until(
        &cluster,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'one' AND query LIKE 'COPY%')",
    );
    let said = terminate(child);
    assert!(said.contains("each table has either all of its rows or none"), "{said}");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM t"), "0");

    // Before anything was touched.
    let lock = cluster
        .client("psql")
        .args(["-Xqd", &one, "-c", "BEGIN; LOCK TABLE pg_publication; SELECT pg_sleep(60)"])
        .spawn()
        .unwrap();
    wait_until(
        &cluster,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE pg_publication%' AND wait_event = 'PgSleep')",
    );
    let child = desk.spawn(&["restore", &large, "--dbname", &one, "--clean"]);
    wait_until(&cluster, "one", "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)");
    let said = terminate(child);
    assert!(said.contains("interrupted: nothing was changed in the target"), "{said}");
    let mut lock = lock;
    lock.kill().unwrap();
    lock.wait().unwrap();
    cluster.kill_backends_named("psql");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM t"), "0");
}

/// A repository behind a network that stands still when so many bytes have gone through.
struct Far {
    desk: Desk,
    proxy: Proxy,
    moto: Moto,
}

impl Far {
    fn new() -> Far {
        let moto = Moto::start();
        moto.make_bucket("backups");
        let proxy = Proxy::start(moto.port(), Network::default());
        let home = Home::s3("s3://backups/main", &format!("http://127.0.0.1:{}", proxy.port()), "a", "b");
        Far { desk: Desk::with_identity_at(Some(home)), proxy, moto }
    }

    /// Runs a command; true if it ended by itself, false if the storage stood still after so many
    /// bytes, the command was terminated, and said these words.
    #[track_caller]
    fn ends_within(&self, bytes: u64, args: &[&str], words: &str) -> bool {
        self.proxy.stall_after(bytes);
        let mut child = self.desk.spawn(args);
        let begun = Instant::now();
        loop {
            if child.try_wait().unwrap().is_some() {
                self.proxy.heal();
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
                return true;
            }
            if self.proxy.holds_bytes() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{args:?} neither ends nor waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = terminate(child);
        assert!(said.contains(&format!("interrupted: {words}")), "{args:?} after {bytes} bytes: {said}");
        // What was under way is lost, and does not arrive later.
        self.proxy.cut();
        std::thread::sleep(Duration::from_millis(300));
        self.proxy.heal();
        false
    }

    /// Stops a command again and again, each time later, until it ends by itself. `holds` looks at
    /// what was left each time.
    #[track_caller]
    fn stopped_everywhere(&self, args: &[&str], words: &str, mut holds: impl FnMut()) {
        let (mut bytes, mut stops) = (1000, 0);
        let step = step();
        while !self.ends_within(bytes, args, words) {
            holds();
            stops += 1;
            bytes *= step;
        }
        assert!(stops > 0, "{args:?} was never stopped");
    }

    fn listed(&self) -> Vec<String> {
        let list = self.desk.json(&["list", "--json"])["backups"].clone();
        list.as_array().unwrap().iter().map(|backup| backup["id"].as_str().unwrap().to_string()).collect()
    }

    /// Names of all objects of the bucket that are no leftovers of a test of the storage.
    fn objects(&self) -> Vec<String> {
        let (_, page) = self.moto.ask("GET", "/backups?list-type=2", "");
        let names = page.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        names.filter(|name| !name.contains("/probe/")).map(str::to_string).collect()
    }
}

/// By what the traffic grows until the next stop. A command that waits for its last answer, or
/// cleans up behind itself, ends 10 or 30 seconds later: closer moments are part of
/// `./test --full`.
fn step() -> u64 {
    if is_full() { 4 } else { 64 }
}

/// Maintenance that is stopped at any moment leaves what it says.
#[test]
fn upkeep_that_is_stopped_leaves_what_it_says() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    let mut far = Far::new();
    // A test of a storage opens no repository.
    let secret = far.desk.without_secret();
    let before = far.objects();
    let words = "objects of the test may be left on the storage, in its folder probe/";
    far.stopped_everywhere(&["storage", "test", "--quick", "s3://backups/main"], words, || {
        assert_eq!(far.objects(), before);
    });
    far.desk.secret_is(secret);

    let desk = &far.desk;
    let mut ids = Vec::new();
    for round in 0..4 {
        // Bytes that no compression makes fewer.
        cluster.sql(
            "d",
            &format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT {round} AS round, decode(string_agg(md5(random()::text), ''), 'hex') AS b
                 FROM generate_series(1, 40) g, generate_series(1, 100) i GROUP BY g"
            ),
        );
        ids.push(desk.backup(&cluster, "d"));
    }

    far.stopped_everywhere(&["check"], "not everything was checked; no backup was changed", || {
        assert_eq!(far.listed(), ids);
    });

    let words = "`pgark tag ID` shows the current tags of a backup";
    far.stopped_everywhere(&["tag", &ids[3], "--add", "kept"], words, || {
        let shown = desk.ok(&["tag", &ids[3]]);
        assert!([ids[3].clone(), format!("{}  kept", ids[3])].contains(&shown.trim().to_string()), "{shown}");
    });
    assert_eq!(desk.ok(&["tag", &ids[3]]).trim(), format!("{}  kept", ids[3]));
    far.stopped_everywhere(&["tag", &ids[3]], "nothing was changed", || {});

    let gone = |listed: &[String]| ids.iter().filter(|id| !listed.contains(id)).count();
    far.stopped_everywhere(&["forget", "--keep-last", "1", "--dry-run"], "nothing was changed", || {
        assert_eq!(far.listed(), ids);
    });
    let words = "some of the backups to be removed may already be removed: `pgark list` shows the rest; no other backup was changed";
    let mut most = 0;
    far.stopped_everywhere(&["forget", "--keep-last", "1"], words, || {
        let listed = far.listed();
        assert!(gone(&listed) >= most && listed.contains(&ids[3]), "{listed:?}");
        most = gone(&listed);
    });
    assert_eq!(far.listed(), ids[3..]);

    let words = "every backup is intact; only unreferenced data was deleted, and the next prune continues";
    let full = far.objects().len();
    far.stopped_everywhere(&["prune", "--grace", "0", "--erase"], words, || {
        assert_eq!(far.listed(), ids[3..]);
        assert!(desk.ok(&["check"]).contains("no problem"));
    });
    assert!(far.objects().len() < full);
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));

    let words = "what was repaired so far stays repaired; run the same command again";
    for args in [&["repair", "index"][..], &["repair", "objects"]] {
        far.stopped_everywhere(args, words, || assert_eq!(far.listed(), ids[3..]));
    }
    far.stopped_everywhere(&["repair", "objects", "--dry-run"], "nothing was changed", || {});
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    desk.ok(&["restore", &ids[3], "--dbname", &cluster.conninfo("back"), "--create"]);
    assert_same(&Snapshot::take(&cluster, "d"), &Snapshot::take(&cluster, "back"));
}

/// Keys and new repositories, too.
#[test]
fn keys_and_init_that_are_stopped_leave_what_they_say() {
    let far = Far::new();
    let desk = &far.desk;
    let slots = || desk.json(&["key", "list", "--json"])["slots"].as_array().unwrap().len();
    far.stopped_everywhere(&["key", "list"], "nothing was changed", || {});
    let recipient = |number: u64| {
        let file = desk.path(&format!("more-{number}.txt")).display().to_string();
        stock(std::process::Command::new("age-keygen").args(["-o", &file]));
        stock(std::process::Command::new("age-keygen").args(["-y", &file])).trim().to_string()
    };
    let words = "`pgark key list` shows the keys that apply now";
    let (mut bytes, mut known, mut stops) = (1000, slots(), 0);
    // Another one each time: a slot may be there although nobody was told.
    while !far.ends_within(bytes, &["key", "add", "--recipient", &recipient(bytes)], words) {
        let now = slots();
        assert!(now == known || now == known + 1, "{known} {now}");
        (bytes, known, stops) = (bytes * 3, now, stops + 1);
    }
    assert!(stops > 0 && slots() == known + 1);
    far.stopped_everywhere(&["key", "rotate"], words, || {
        assert!(far.listed().is_empty() && slots() > known);
    });

    // Everything that was stopped is begun again at the same place.
    let other = "s3://backups/other";
    let words = "`pgark list` shows whether a repository exists there now; if not, start again";
    let identity = desk.path("identity.txt").display().to_string();
    let own = stock(std::process::Command::new("age-keygen").args(["-y", &identity]));
    let init = ["init", "--recipient", own.trim(), "--repo", other];
    let there = || desk.run(&["list", "--repo", other]);
    let (mut bytes, mut stops) = (1000, 0);
    while !far.ends_within(bytes, &init, words) {
        let output = there();
        stops += 1;
        bytes *= step();
        if output.status.success() {
            break;
        }
        assert!(text(&output.stderr).contains("no repository"), "{}", text(&output.stderr));
    }
    assert!(stops > 0 && there().status.success());
    assert!(desk.ok(&["check", "--repo", other]).contains("no problem"));
}
