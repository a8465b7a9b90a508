//! The other side goes away: the server, one of its backends, pg_dump; and time limits that the
//! server sets.

use std::process::{Command, Output};
use std::time::Duration;

use pgark_testkit::{Cluster, zoo};

use super::bench_of_faults::{Random, Site, failed, tell, times};
use super::support::{Session, text};

/// So many rounds in which nothing was met mean that there is nothing to meet: a busy machine
/// misses some.
const MISSES: usize = 300;

/// Words of a connection that ended.
const GONE: [&str; 8] = [
    "connection was lost",
    "terminating connection",
    "closed the connection",
    "Connection refused",
    "Connection reset",
    "Broken pipe",
    "the database system is",
    "Is the server running",
];

fn site_with_many_tables() -> Site {
    let site = Site::with(Cluster::start(), 120_000);
    // pg_dump then takes long enough to be met.
    zoo::many_tables(&site.cluster, "d", 200);
    site
}

/// Which connection: a condition on `pg_stat_activity`.
const KINDS: [(&str, &str); 4] = [
    (
        "the lead",
        "application_name = 'pgark' AND backend_start = (SELECT min(backend_start) FROM pg_stat_activity \
           WHERE application_name = 'pgark' AND xact_start IS NOT NULL) \
         AND EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active' AND application_name = 'pgark')",
    ),
    ("a worker", "application_name = 'pgark' AND query LIKE 'COPY%' AND state = 'active'"),
    ("pg_dump", "application_name = 'pg_dump'"),
    (
        "a restoring worker",
        "application_name = 'pgark' AND query LIKE 'COPY%FROM stdin%' AND state = 'active'",
    ),
];

/// Starts the program and terminates the first backend that matches; false if none was met in time.
fn terminate(site: &Site, condition: &str, args: &[&str]) -> (Output, bool) {
    let mut hunter = Session::open(&site.cluster, "postgres");
    hunter.send(&format!(
        "DO $$ DECLARE found int; BEGIN FOR i IN 1..20000 LOOP PERFORM pg_stat_clear_snapshot();
           SELECT pid INTO found FROM pg_stat_activity WHERE {condition} LIMIT 1;
           IF found IS NOT NULL THEN PERFORM pg_terminate_backend(found); RAISE LOG 'hunter: met'; EXIT; END IF;
           PERFORM pg_sleep(0.0005); END LOOP; END $$"
    ));
    let met_before = site.cluster.log().matches("hunter: met").count();
    let output = site.desk.run(args);
    let met = site.cluster.log().matches("hunter: met").count() > met_before;
    site.cluster.kill_backends_named("psql");
    hunter.end();
    (output, met)
}

#[test]
fn any_connection_may_be_terminated() {
    let mut site = site_with_many_tables();
    let id = site.backup()["id"].as_str().unwrap().to_string();
    let (info, target) = (site.info(), site.cluster.conninfo("half"));
    let mut met_of_all = 0;
    for (name, condition) in KINDS {
        let (mut met, mut missed) = (0, 0);
        while met < times(4, 25) {
            site.change();
            let restoring = name.contains("restoring");
            let args: Vec<&str> = if restoring {
                site.cluster.drop_database("half");
                vec!["restore", &id, "--dbname", &target, "--create"]
            } else {
                vec!["backup", "--dbname", &info]
            };
            let (output, was_met) = terminate(&site, condition, &args);
            if was_met && !output.status.success() {
                met += 1;
                failed(&output, &GONE);
            } else {
                // Missed, or met when its work was done: then the result must be whole.
                assert!(output.status.success(), "{name}: {}", text(&output.stderr));
                missed += 1;
                assert!(missed < MISSES, "{name} is never met");
            }
            site.verify();
        }
        met_of_all += met;
    }
    site.cluster.drop_database("half");
    site.verify_all();
    tell(
        "pg_terminate_backend of lead, worker, pg_dump, restore",
        met_of_all,
        "failed with the cause; clean; equal",
    );
}

#[test]
fn pg_dump_may_be_killed() {
    let mut site = site_with_many_tables();
    site.backup();
    let info = site.info();
    let (mut met, mut missed, wanted) = (0, 0, times(4, 25));
    while met < wanted {
        let round = met + missed;
        site.change();
        let mut child = site.desk.spawn(&["backup", "--dbname", &info]);
        // As soon as it is there, or a little later.
        while child.try_wait().unwrap().is_none() {
            let of = ["-9", "-x", "-P", &child.id().to_string(), "pg_dump"];
            if Command::new("pkill").args(of).status().unwrap().success() && round % 3 != 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(round as u64 % 7));
        }
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            met += 1;
            failed(&output, &["pg_dump"]);
        } else {
            missed += 1;
            assert!(missed < MISSES, "pg_dump is never met");
        }
        site.verify();
    }
    site.verify_all();
    tell("kill -9 of pg_dump", met, "failed with the cause; clean; equal");
}

#[test]
fn the_server_may_crash_or_restart() {
    let mut site = Site::with(Cluster::start(), 120_000);
    site.backup();
    let info = site.info();
    let mut random = Random::new(5);
    let (mut met, mut missed, wanted) = (0, 0, times(8, 40));
    while met < wanted {
        let round = met + missed;
        site.change();
        let child = site.desk.spawn(&["backup", "--dbname", &info]);
        std::thread::sleep(Duration::from_millis(30 + random.below(260)));
        if round % 2 == 0 {
            site.cluster.crash();
            site.cluster.start_again();
        } else {
            site.cluster.restart();
        }
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            met += 1;
            failed(&output, &GONE);
        } else {
            missed += 1;
            assert!(missed < MISSES, "no backup is met by the server's end");
        }
        site.verify();
    }
    site.verify_all();
    tell("server crash and restart", met, "failed with the cause; clean; equal");
}

/// Limits that the database sets for everybody do not end a backup or a restore.
#[test]
fn time_limits_of_the_database_do_not_count() {
    let mut site = Site::new();
    site.cluster.sql(
        "postgres",
        "ALTER DATABASE d SET statement_timeout = '20ms'; ALTER DATABASE d SET idle_in_transaction_session_timeout = '20ms';
         ALTER DATABASE d SET lock_timeout = '1ms'; ALTER DATABASE d SET idle_session_timeout = '20ms';",
    );
    let state = site.desk.json(&["backup", "--dbname", &site.info(), "--json"]);
    assert_eq!(state["status"], "complete");
    site.verify();
    site.cluster.sql(
        "postgres",
        "ALTER ROLE postgres SET statement_timeout = '20ms'; ALTER ROLE postgres SET idle_in_transaction_session_timeout = '20ms';",
    );
    let id = state["id"].as_str().unwrap();
    site.desk.ok(&["backup", "--dbname", &site.info()]);
    site.desk.ok(&["restore", id, "--dbname", &site.cluster.conninfo("back"), "--create"]);
    site.cluster.sql("postgres", "ALTER ROLE postgres RESET ALL");
    assert_eq!(
        site.cluster.psql_text("back", "SET statement_timeout = 0; SELECT count(*) FROM big"),
        "60000"
    );
    tell("statement, lock and idle time limits", 6, "backup and restore complete");
}
