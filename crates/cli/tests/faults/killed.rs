//! The program ends at any moment: killed outright, or asked to stop.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgark_testkit::wait_for;

use super::bench_of_faults::{Moments, Random, Site, tell, times};
use super::support::{text, wait_until};

/// How long the command takes when nobody stops it.
fn duration(site: &Site, args: &[&str]) -> Duration {
    let begun = Instant::now();
    site.desk.ok(args);
    begun.elapsed()
}

#[test]
fn killed_at_random_moments_of_a_backup() {
    let mut site = Site::new();
    site.backup();
    site.change();
    let info = site.info();
    let whole = duration(&site, &["backup", "--dbname", &info]);
    site.verify();
    let mut moments = Moments::new(Random::new(1), whole);
    let (wanted, mut stopped) = (times(30, 180), 0);
    while stopped < wanted {
        site.change();
        let mut child = site.desk.spawn(&["backup", "--dbname", &info]);
        stopped += usize::from(moments.kill(&mut child));
        site.verify();
        if stopped % 10 == 9 {
            site.verify_all();
        }
    }
    site.verify_all();
    tell("kill -9 of a backup", stopped, &format!("clean; {} committed backups equal", site.committed()));
}

/// Forget, prune, copy and rotation, each killed at any moment, in any order, while backups come
/// and go.
#[test]
fn killed_at_random_moments_of_upkeep() {
    let mut site = Site::with(pgark_testkit::Cluster::start(), 20_000);
    let there = site.desk.path("there").display().to_string();
    site.desk.ok(&["init", "--repo", &there, "--no-encryption"]);
    let here = site.desk.repo().display().to_string();
    for _ in 0..3 {
        site.change();
        site.backup();
    }
    let (wanted, mut stopped) = (times(16, 200), 0);
    let mut moments: BTreeMap<&str, Moments> = BTreeMap::new();
    for round in 0.. {
        if stopped >= wanted {
            break;
        }
        if round % 4 == 0 {
            site.change();
            site.backup();
        }
        let oldest = site.oldest();
        let verb = ["prune", "forget", "copy", "rotate"][round % 4];
        let args: Vec<&str> = match verb {
            "prune" => vec!["prune", "--grace", "0", "--erase"],
            "forget" => vec!["forget", &oldest, "--even-last"],
            "copy" => vec!["copy", &here, &there],
            _ => vec!["key", "rotate"],
        };
        // At first a guess.
        let guess = || Moments::new(Random::new(round as u64), Duration::from_millis(80));
        let moments = moments.entry(verb).or_insert_with(guess);
        let mut child = site.desk.spawn(&args);
        stopped += usize::from(moments.kill(&mut child));
        site.may_be_gone(&oldest);
        site.verify();
        // Again, undisturbed: whoever comes next ends what was begun.
        if verb == "forget" && site.oldest() == oldest {
            continue;
        }
        let begun = Instant::now();
        if verb != "forget" {
            site.desk.ok(&args);
            moments.took(begun.elapsed());
            site.verify();
        }
    }
    site.verify_all();
    let mut second = super::support::Desk::plain();
    second.secret_is(Vec::new());
    second.ok(&["check", "--repo", &there, "--read-data"]);
    tell(
        "kill -9 of forget, prune, copy, rotate",
        stopped,
        &format!("clean; {} committed backups equal", site.committed()),
    );
}

#[test]
fn killed_at_random_moments_of_a_restore() {
    let mut site = Site::new();
    let id = site.backup()["id"].as_str().unwrap().to_string();
    let target = site.cluster.conninfo("half");
    let restore = ["restore", &id, "--dbname", &target, "--create"];
    let whole = duration(&site, &restore);
    let mut moments = Moments::new(Random::new(2), whole);
    let (wanted, mut stopped) = (times(20, 120), 0);
    let drop = |site: &Site| {
        // The server may still be at what it was asked before the kill.
        let ours = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgark'";
        wait_until(&site.cluster, "postgres", ours);
        site.cluster.sql("postgres", "DROP DATABASE IF EXISTS half WITH (FORCE)");
    };
    while stopped < wanted {
        drop(&site);
        let mut child = site.desk.spawn(&restore);
        stopped += usize::from(moments.kill(&mut child));
    }
    drop(&site);
    site.verify_all();
    tell("kill -9 of a restore", stopped, "the repository is untouched; the next restore is equal");
}

#[test]
fn cancelled_at_random_moments() {
    let mut site = Site::new();
    site.backup();
    site.change();
    let info = site.info();
    let whole = duration(&site, &["backup", "--dbname", &info]);
    site.verify();
    let mut moments = Moments::new(Random::new(3), whole);
    let (wanted, mut cancelled) = (times(12, 60), 0);
    while cancelled < wanted {
        site.change();
        let mut child = site.desk.spawn(&["backup", "--dbname", &info]);
        moments.meets(&mut child);
        let signal = if cancelled % 2 == 0 { "-INT" } else { "-TERM" };
        Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(130) => cancelled += 1,
            Some(0) => {}
            // Before the program listens to signals it ends as any program does.
            None if output.status.signal().is_some() => {}
            code => panic!("{code:?}: {}", text(&output.stderr)),
        }
        site.verify();
        let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pgark', 'pg_dump', 'pg_dumpall')";
        wait_for("the end of all connections", || site.cluster.psql_text("postgres", ours) == "0");
    }
    site.verify_all();
    tell("SIGINT and SIGTERM", cancelled, "exit 130, no connection left, clean");
}
