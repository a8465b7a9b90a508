//! What operators run by the clock: one backup at a time, freshness, sessions, hooks.

use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use pgark_testkit::{Cluster, wait_for};

use super::support::{Desk, Session, files, text, wait_until};

fn source(databases: &[&str]) -> Cluster {
    let cluster = Cluster::start();
    for database in databases {
        cluster.create_database(database);
        cluster.sql(database, "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 1000) g");
    }
    cluster
}

/// A backup that is at work until its table is let go: its session is put, and it waits for a lock.
pub struct Held {
    child: Child,
    blocker: Session,
}

impl Held {
    pub fn start(desk: &Desk, cluster: &Cluster, db: &str, options: &[&str]) -> Held {
        let mut blocker = Session::open(cluster, db);
        blocker.send("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
        let locked = "SELECT count(*) = 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 't'::regclass";
        wait_until(cluster, db, locked);
        let info = cluster.conninfo(db);
        let args = [&["backup", "--dbname", &info, "--lock-wait-timeout", "10min"], options].concat();
        let child = desk.spawn(&args);
        wait_until(cluster, db, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted");
        Held { child, blocker }
    }

    /// Lets it go, and waits for its end.
    #[track_caller]
    fn finish(mut self) {
        self.blocker.send("COMMIT");
        self.blocker.end();
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// As a crash or the OOM killer ends it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.blocker.send("COMMIT");
        self.blocker.end();
    }
}

#[test]
fn one_backup_of_a_cluster_at_a_time() {
    let cluster = source(&["d", "e"]);
    let desk = Desk::plain();
    let held = Held::start(&desk, &cluster, "d", &[]);
    // Whatever databases are chosen.
    let e = cluster.conninfo("e");
    let said = desk.example("Another backup of the cluster is being made", 1, &["backup", "--dbname", &e]);
    assert!(said.contains("is being made on host ") && said.contains("--wait"), "{said}");
    // A wait that is too short, and what pgark.toml says, which gives way to what is typed.
    let began = Instant::now();
    desk.fails(1, &["backup", "--dbname", &e, "--wait=1s"]);
    assert!(began.elapsed().as_millis() >= 1000);
    let config = desk.path("pgark.toml");
    std::fs::write(&config, "[backup]\nwait = true\n").unwrap();
    let config = config.display().to_string();
    desk.fails(1, &["backup", "--dbname", &e, "--config", &config, "--no-wait"]);
    // Who says so, and another cluster, go on; a copy is no backup of the server. The first backup
    // that is committed gives the cluster its name.
    desk.ok(&["backup", "--dbname", &e, "--allow-concurrent"]);
    desk.ok(&["backup", "--dbname", &e, "--cluster", "other"]);
    // One that waits begins when the other has ended.
    let waiting = desk.spawn(&["backup", "--dbname", &e, "--config", &config]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 2);
    held.finish();
    let output = waiting.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("this one waits until it has ended"), "{said}");
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 4);
}

/// A signal ends the wait, and a backup that was killed on this host is not waited for.
#[test]
fn what_a_killed_backup_leaves_is_not_waited_for() {
    let cluster = source(&["d"]);
    let desk = Desk::plain();
    let held = Held::start(&desk, &cluster, "d", &[]);
    let d = cluster.conninfo("d");
    let waiting = desk.spawn(&["backup", "--dbname", &d, "--wait"]);
    std::thread::sleep(Duration::from_millis(700));
    super::support::stock(std::process::Command::new("kill").args(["-TERM", &waiting.id().to_string()]));
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    held.kill();
    wait_for("the session of the one that was killed", || desk.repo().join("sessions").exists());
    desk.backup(&cluster, "d");
}

/// Sets the times of a session's objects back.
fn silent_for(desk: &Desk, seconds: u64) {
    for file in files(&desk.repo().join("sessions")) {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }
}

#[test]
fn sessions_are_listed_and_ended() {
    let cluster = source(&["d"]);
    let desk = Desk::with_identity();
    assert_eq!(desk.json(&["sessions", "--json"])["sessions"], serde_json::json!([]));
    let held = Held::start(&desk, &cluster, "d", &["--cluster", "prod"]);
    let found = desk.json(&["sessions", "--json"]);
    let session = &found["sessions"][0];
    assert_eq!(found["sessions"].as_array().unwrap().len(), 1);
    for (key, value) in
        [("cluster", "prod"), ("purpose", "backup"), ("host", hostname().as_str()), ("state", "at_work")]
    {
        assert_eq!(session[key], value, "{found}");
    }
    assert_eq!(session["prune_waits"], true);
    let id = session["id"].as_str().unwrap();
    let table = desk.ok(&["sessions"]);
    assert!(table.contains(id) && table.contains("at work") && table.contains("waits"), "{table}");
    // It looks alive.
    let said = desk.example("A session that is at work", 1, &["sessions", "--end", &id[..6]]);
    assert!(said.contains("is at work") && said.contains("--force"), "{said}");
    assert!(desk.fails(1, &["sessions", "--end", "ffff"]).contains(&format!("there are {id}")));
    assert!(desk.fails(2, &["sessions", "--end", "ff"]).contains("at least 4"));
    assert!(desk.fails(2, &["sessions", "--force"]).contains("--end"));
    held.kill();
    // This host knows that its process is gone.
    assert_eq!(desk.json(&["sessions", "--json"])["sessions"][0]["state"], "gone");
    assert_eq!(desk.json(&["prune", "--json"])["sessions"], 1);
    silent_for(&desk, 2 * 3600);
    assert_eq!(desk.json(&["sessions", "--json"])["sessions"][0]["state"], "dead");
    silent_for(&desk, 0);
    let ended = desk.json(&["sessions", "--end", id, "--json"]);
    assert_eq!((&ended["id"], &ended["state"]), (&serde_json::json!(id), &serde_json::json!("gone")));
    assert_eq!(desk.json(&["prune", "--json"])["sessions"], 0);
    assert_eq!(files(&desk.repo().join("sessions")).len(), 0);
    assert!(desk.ok(&["sessions"]).lines().count() == 1);
}

/// The session of a backup that lives is ended by force: it goes on, and what it commits is whole.
#[test]
fn a_backup_whose_session_was_ended_is_whole_or_none() {
    let cluster = source(&["d"]);
    let desk = Desk::with_identity();
    let before = desk.backup(&cluster, "d");
    let held = Held::start(&desk, &cluster, "d", &[]);
    let id = desk.json(&["sessions", "--json"])["sessions"][0]["id"].as_str().unwrap().to_string();
    // What it depends on is deleted meanwhile, if no session makes the prune wait.
    desk.ok(&["forget", &before, "--even-last"]);
    let said = desk.ok(&["prune", "--grace", "0", "--dry-run"]);
    let waits = ", and when a backup that is being written has ended (`pgark sessions` shows it)";
    assert!(said.contains(waits), "{said}");
    desk.ok(&["sessions", "--end", &id, "--force"]);
    for _ in 0..3 {
        desk.ok(&["prune", "--grace", "0"]);
    }
    let Held { child, mut blocker } = held;
    blocker.send("COMMIT");
    blocker.end();
    let output = child.wait_with_output().unwrap();
    assert_eq!(desk.json(&["check", "--read-data", "--json"])["ok"], true);
    let listed = &desk.json(&["list", "--json"])["backups"];
    match output.status.code() {
        Some(0) => assert_eq!(listed[0]["id"], id.as_str()),
        code => {
            assert_eq!((code, listed.as_array().unwrap().len()), (Some(1), 0), "{}", text(&output.stderr));
            assert!(text(&output.stderr).contains("prune"), "{}", text(&output.stderr));
        }
    }
    desk.backup(&cluster, "d");
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_string()
}

#[test]
fn a_monitor_learns_how_old_the_newest_backup_is() {
    let cluster = source(&["d", "e"]);
    let desk = Desk::with_identity();
    let nothing = desk.run(&["check", "--max-age", "26h"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert_eq!(text(&nothing.stdout), "too old: the repository: no complete backup\n");
    let made = |db: &str| {
        let id = desk.ok(&["backup", "--cluster", "prod", "--dbname", &cluster.conninfo(db)]);
        id.trim().to_string()
    };
    let id = made("d");
    std::thread::sleep(Duration::from_millis(2100));
    let other = made("e");
    // Of the cluster, and of each database.
    let fresh = desk.ok(&["check", "--max-age", "26h"]);
    assert!(
        fresh.starts_with(&format!("ok: cluster prod: the newest complete backup {other}, of ")),
        "{fresh}"
    );
    assert_eq!(fresh.lines().count(), 1);
    let found = desk.run(&["check", "--max-age", "2s", "--database", "d", "--database", "nowhere", "--json"]);
    assert_eq!(found.status.code(), Some(3));
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&found["ok"], &found["freshness"]["fresh"]), (&false.into(), &false.into()));
    let judged = found["freshness"]["judged"].as_array().unwrap();
    assert_eq!(judged[0]["backup"], id.as_str());
    assert_eq!((&judged[0]["fresh"], &judged[1]["backup"]), (&false.into(), &serde_json::Value::Null));
    assert!(found.get("level").is_none(), "nothing else was asked for: {found}");
    desk.fails(3, &["check", "--max-age", "26h", "--cluster", "pord"]);
    desk.fails(2, &["check", "--database", "d"]);
    // With the check of what is stored.
    let both = desk.json(&["check", "--max-age", "26h", "--read-data", "--json"]);
    assert_eq!(
        (&both["ok"], &both["level"], &both["freshness"]["fresh"]),
        (&true.into(), &"data".into(), &true.into())
    );
    let late = desk.run(&["check", "--max-age", "0s", "--level", "structure"]);
    assert_eq!(late.status.code(), Some(3));
    assert!(text(&late.stdout).contains("no problem at level structure"), "{}", text(&late.stdout));
    // A part is none that a restore of `latest` would take.
    let part =
        desk.ok(&["backup", "--cluster", "parts", "--schema-only", "--dbname", &cluster.conninfo("d")]);
    let said = desk.run(&["check", "--max-age", "26h", "--cluster", "parts"]);
    assert_eq!(said.status.code(), Some(3));
    assert!(text(&said.stdout).contains(&format!("{} is newer, and contains only a part", part.trim())));
    desk.ok(&["check", "--max-age", "26h", "--cluster", "parts", "--partial"]);
    // Damage is a problem before it is an age.
    let packs = files(&desk.repo().join("packs"));
    std::fs::remove_file(&packs[0]).unwrap();
    desk.fails(1, &["check", "--max-age", "0s", "--level", "structure"]);
}

/// What a hook has written into a file, by variable.
fn told(file: &std::path::Path) -> std::collections::BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.split('\u{0}').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect()
}

#[test]
fn hooks_run_around_a_backup() {
    let cluster = source(&["d", "e"]);
    let desk = Desk::with_passphrase();
    let (d, seen) = (cluster.conninfo("d"), desk.path("seen"));
    std::fs::create_dir(&seen).unwrap();
    let note = |name: &str| format!("env -0 > {}/{name}; echo hello from {name}", seen.display());
    let (pre, post, failure) = (note("pre"), note("post"), note("failure"));
    let hooks = ["--hook-pre", &pre, "--hook-post", &post, "--hook-failure", &failure];
    let run = |more: &[&str]| {
        std::fs::remove_dir_all(&seen).unwrap();
        std::fs::create_dir(&seen).unwrap();
        let args = [&["backup", "--dbname", &d], &hooks[..], more].concat();
        desk.command(&args)
            .env("PGARK_PASSPHRASE", "not for hooks")
            .env("AWS_SECRET_ACCESS_KEY", "nor this")
            .output()
            .unwrap()
    };
    let output = run(&["--database", "d", "--database", "e"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("the hook pre: hello from pre") && said.contains("the hook post: hello from post"),
        "{said}"
    );
    let id = text(&output.stdout).trim().to_string();
    let (before, after) = (told(&seen.join("pre")), told(&seen.join("post")));
    assert!(!seen.join("failure").exists());
    assert_eq!((before["PGARK_STATUS"].as_str(), before["PGARK_HOOK"].as_str()), ("starting", "pre"));
    for (name, value) in
        [("STATUS", "complete"), ("HOOK", "post"), ("BACKUP_ID", &id), ("BACKUP", &id), ("DATABASES", "d\ne")]
    {
        assert_eq!(after[&format!("PGARK_{name}")], value);
    }
    let record = &desk.json(&["list", "--json"])["backups"][0];
    assert_eq!(after["PGARK_BYTES_READ"], record["bytes_raw"].to_string());
    assert_eq!(after["PGARK_BYTES_ADDED"], record["bytes_added"].to_string());
    assert_eq!(after["PGARK_CLUSTER"], record["cluster"].as_str().unwrap());
    assert!(after["PGARK_SECONDS"].parse::<f64>().unwrap() > 0.0 && !after.contains_key("PGARK_ERROR"));
    // The server, and no secret.
    assert_eq!(after["PGPORT"], cluster.port().to_string());
    for told in [&before, &after] {
        assert!(
            !told.values().any(|value| value.contains("not for hooks") || value.contains("nor this")),
            "{told:?}"
        );
        assert!(!told.contains_key("PGARK_REPO"));
    }
    // A backup that fails: nothing is there, both hooks run.
    let output = run(&["--database", "nowhere", "--strict-names"]);
    assert_eq!(output.status.code(), Some(1));
    let (failure, after) = (told(&seen.join("failure")), told(&seen.join("post")));
    for told in [&failure, &after] {
        assert_eq!(told["PGARK_STATUS"], "failed");
        assert!(
            told["PGARK_ERROR"].contains("no database matches nowhere")
                && !told.contains_key("PGARK_BACKUP_ID")
        );
    }
    // One that is incomplete.
    let output = run(&["--database", "d", "--database", "nowhere"]);
    assert_eq!(output.status.code(), Some(3));
    let failure = told(&seen.join("failure"));
    assert_eq!(failure["PGARK_STATUS"], "incomplete");
    assert_eq!(failure["PGARK_BACKUP_ID"], text(&output.stdout).trim());
    assert!(failure["PGARK_ERROR"].contains("incomplete"), "{failure:?}");
    // A repository that cannot be reached is a failure, too.
    let output = run(&["--repo", &desk.path("nowhere").display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&seen.join("failure"))["PGARK_ERROR"].contains("nowhere"));
}

#[test]
fn hooks_that_fail_or_hang() {
    let cluster = source(&["d"]);
    let desk = Desk::plain();
    let (d, mark) = (cluster.conninfo("d"), desk.path("mark"));
    let touch = format!("echo $PGARK_STATUS > {}", mark.display());
    let backups = || desk.json(&["list", "--json"])["backups"].as_array().unwrap().len();
    // No backup behind a hook that says no.
    let args = ["backup", "--dbname", &d, "--hook-pre", "echo disk is full; exit 4", "--hook-post", &touch];
    let said = desk.example("A hook before the backup fails", 1, &args);
    assert!(said.contains("run the hook pre: it ended with exit status: 4: disk is full"), "{said}");
    assert_eq!((backups(), std::fs::read_to_string(&mark).unwrap().trim()), (0, "failed"));
    // One behind it takes nothing from the backup, and the others still run.
    let output = desk.run(&["backup", "--dbname", &d, "--hook-post", "exit 5"]);
    assert_eq!((output.status.code(), backups()), (Some(3), 1), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).trim().is_empty());
    assert!(text(&output.stderr).contains("the hook post: it ended with exit status: 5"));
    // Its time is over for its children, too.
    let child = format!("(sleep 30; touch {0}) & sleep 30", desk.path("late").display());
    let began = Instant::now();
    let args = ["backup", "--dbname", &d, "--hook-pre", &child, "--hook-timeout", "1s"];
    assert!(desk.fails(1, &args).contains("did not end within 1s"));
    assert!(began.elapsed() < Duration::from_secs(20));
    // A cancel ends the hook and the backup; what puts things back still runs.
    std::fs::remove_file(&mark).unwrap();
    let begun = desk.path("begun");
    let slow = format!("touch {}; sleep 60", begun.display());
    let child = desk.spawn(&["backup", "--dbname", &d, "--hook-pre", &slow, "--hook-post", &touch]);
    wait_for("the hook", || begun.exists());
    super::support::stock(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!((backups(), std::fs::read_to_string(&mark).unwrap().trim()), (1, "interrupted"));
    let killed =
        std::process::Command::new("pgrep").args(["-f", &begun.display().to_string()]).output().unwrap();
    assert!(killed.stdout.is_empty(), "{}", text(&killed.stdout));
}

#[test]
fn rules_count_among_the_backups_that_are_asked_for() {
    let cluster = source(&["d"]);
    let desk = Desk::plain();
    let (d, postgres) = (cluster.conninfo("d"), cluster.conninfo("postgres"));
    let made = |args: &[&str]| desk.ok(&[&["backup", "--cluster", "c"], args].concat()).trim().to_string();
    let first = made(&["--all", "--dbname", &postgres]);
    let single = made(&["--dbname", &d]);
    cluster.create_database("e");
    let newest = made(&["--all", "--dbname", &postgres]);
    let kept = |args: &[&str]| -> Vec<String> {
        let decisions = desk.json(&[&["forget", "--dry-run", "--json"], args].concat());
        let kept =
            decisions["decisions"].as_array().unwrap().iter().filter(|decision| decision["keep"] == true);
        kept.map(|decision| decision["id"].as_str().unwrap().to_string()).collect()
    };
    // A new database does not start the counting again, unless that is asked for.
    assert_eq!(kept(&["--keep-last", "1"]), [newest.as_str()]);
    assert_eq!(kept(&["--keep-last", "1", "--group-by", "cluster,database"]), [newest.as_str()]);
    assert_eq!(
        kept(&["--keep-last", "1", "--group-by", "cluster,selection"]),
        [&single, &newest].map(String::as_str)
    );
    let each = [&first, &single, &newest].map(String::as_str);
    assert_eq!(kept(&["--keep-last", "1", "--group-by", "cluster,databases"]), each);
    assert_eq!(kept(&["--keep-last", "2"]), each);
    assert_eq!(kept(&["--keep-last", "2", "--group-by", "cluster"]), [&single, &newest].map(String::as_str));
    // In the file, and behind a backup.
    let config = desk.path("pgark.toml");
    std::fs::write(&config, "[forget]\nkeep_last = 1\ngroup_by = \"cluster,selection\"\n").unwrap();
    let config = config.display().to_string();
    assert_eq!(kept(&["--config", &config]), [&single, &newest].map(String::as_str));
    desk.fails(2, &["forget", "--group-by", "cluster"]);
    let backup = ["--all", "--dbname", &postgres, "--forget-after-backup", "--keep-last", "1"];
    for (groups, left) in [("cluster,databases", 3), ("cluster", 1)] {
        made(&[&backup[..], &["--group-by", groups]].concat());
        assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), left, "{groups}");
    }
}

#[test]
fn a_dry_run_tells_what_a_backup_would_take_and_changes_nothing() {
    let cluster = source(&["d", "e"]);
    cluster.sql(
        "d",
        "CREATE TABLE log AS SELECT repeat(md5(g::text), 30) AS x FROM generate_series(1, 20000) g",
    );
    cluster.sql("d", "SELECT lo_from_bytea(0, 'x')");
    let desk = Desk::with_identity();
    let (d, mark) = (cluster.conninfo("d"), desk.path("mark"));
    let hook = format!("touch {}", mark.display());
    let all = ["backup", "--all", "--dbname", &d, "--cluster", "prod", "--hook-pre", &hook];
    let plan = |more: &[&str]| desk.json(&[&all[..], &["--dry-run", "--json"], more].concat());
    let before = files(&desk.repo());
    let found = plan(&[]);
    assert_eq!((files(&desk.repo()), mark.exists()), (before, false));
    let names = |found: &serde_json::Value| -> Vec<String> {
        let databases = found["databases"].as_array().unwrap().iter();
        databases.map(|database| database["database"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(&found), ["d", "e", "postgres"]);
    assert_eq!(
        (&found["cluster"], &found["last"], &found["refused"]),
        (&"prod".into(), &serde_json::Value::Null, &serde_json::Value::Null)
    );
    let own = &found["databases"][0];
    let size = |table: &str| -> u64 {
        cluster.psql_text("d", &format!("SELECT pg_relation_size('{table}')")).trim().parse().unwrap()
    };
    assert_eq!(
        (&own["tables"][0]["name"], own["tables"][0]["bytes"].as_u64()),
        (&"log".into(), Some(size("log")))
    );
    assert_eq!(
        (&own["tables"][1]["name"], own["tables"][1]["bytes"].as_u64()),
        (&"t".into(), Some(size("t")))
    );
    let sum = size("log") + size("t") + own["large_objects_bytes"].as_u64().unwrap();
    assert!(own["bytes"].as_u64() == Some(sum) && own["large_objects_bytes"].as_u64() > Some(0), "{own}");
    // Filters, by pg_dump's rules.
    let one = plan(&["--table", "public.*", "--exclude-table", "t", "--exclude-table-data", "log"]);
    let tables = one["databases"][0]["tables"].as_array().unwrap().clone();
    assert_eq!((tables.len(), &tables[0]["name"], &tables[0]["rows"]), (1, &"log".into(), &false.into()));
    assert!(one["databases"][0]["filters"].as_str().unwrap().contains("without rows of log"));
    // For people.
    let said = desk.ok(&[&all[..], &["--dry-run"]].concat());
    assert!(said.contains("public.log") && said.contains("no backup like this one"), "{said}");
    // What the last one like it has cost.
    let made = desk.json(&[&all[..6], &["--json"]].concat());
    let id = made["id"].as_str().unwrap();
    let last = &plan(&[])["last"];
    assert_eq!(
        (&last["id"], &last["bytes_added"], &last["first"]),
        (&id.into(), &made["bytes_added"], &true.into())
    );
    assert_eq!(plan(&["--schema-only"])["last"], serde_json::Value::Null);
    // Without a name it is the cluster that the backup would be of.
    let nameless = desk.json(&["backup", "--all", "--dbname", &d, "--dry-run", "--json"]);
    assert_eq!((&nameless["cluster"], &nameless["last"]["id"]), (&"prod".into(), &id.into()));
    // A new database makes it no other one.
    cluster.create_database("f");
    assert_eq!(plan(&[])["last"]["id"], id);
    // What would be missing, and what would be refused.
    let output = desk.run(&[
        "backup",
        "--database",
        "d",
        "--database",
        "nowhere",
        "--dbname",
        &d,
        "--cluster",
        "prod",
        "--dry-run",
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("nowhere"));
    desk.fails(1, &["backup", "--database", "nowhere", "--strict-names", "--dbname", &d, "--dry-run"]);
    let held = Held::start(&desk, &cluster, "e", &["--cluster", "prod"]);
    let output = desk.run(&["backup", "--database", "d", "--dbname", &d, "--cluster", "prod", "--dry-run"]);
    assert!(
        output.status.success() && text(&output.stderr).contains("is being made"),
        "{}",
        text(&output.stderr)
    );
    held.finish();
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 2);
}
