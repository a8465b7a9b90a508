//! The program ends at any moment: killed outright, or asked to stop.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::bench_of_faults::{Random, Site, tell, times};
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
    let mut random = Random::new(1);
    let (rounds, mut stopped) = (times(30, 180), 0);
    for round in 0..rounds {
        site.change();
        let mut child = site.desk.spawn(&["backup", "--dbname", &info]);
        std::thread::sleep(whole.mul_f64(random.below(1100) as f64 / 1000.0));
        if child.try_wait().unwrap().is_none() {
            stopped += 1;
        }
        let _ = child.kill();
        child.wait().unwrap();
        site.verify();
        if round % 10 == 9 {
            site.verify_all();
        }
    }
    assert!(stopped * 2 > rounds, "only {stopped} of {rounds} kills met a running backup");
    site.verify_all();
    tell("kill -9 of a backup", stopped, &format!("clean; {} committed backups equal", site.committed()));
}

/// Forget, prune, copy and rotation, each killed at any moment, in any order, while backups come and go.
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
    let (rounds, mut stopped) = (times(24, 300), 0);
    let mut random = Random::new(4);
    let mut longest = std::collections::BTreeMap::new();
    for round in 0..rounds {
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
        // At first a guess; then what it took the last time that it came to its end.
        let whole = *longest.get(verb).unwrap_or(&Duration::from_millis(80));
        let begun = Instant::now();
        let mut child = site.desk.spawn(&args);
        let until = whole.mul_f64(random.below(1100) as f64 / 1000.0);
        while begun.elapsed() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_none() {
            stopped += 1;
        } else {
            longest.insert(verb, begun.elapsed());
        }
        let _ = child.kill();
        child.wait().unwrap();
        site.may_be_gone(&oldest);
        site.verify();
        // Again, undisturbed: whoever comes next ends what was begun.
        if verb == "forget" && site.oldest() == oldest {
            continue;
        }
        let begun = Instant::now();
        if verb != "forget" {
            site.desk.ok(&args);
            longest.insert(verb, begun.elapsed());
            site.verify();
        }
    }
    assert!(stopped * 3 > rounds, "only {stopped} of {rounds} kills met a running command");
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
    let mut random = Random::new(2);
    let (rounds, mut stopped) = (times(20, 120), 0);
    let drop = |site: &Site| {
        // The server may still be at what it was asked before the kill.
        let ours = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgark'";
        wait_until(&site.cluster, "postgres", ours);
        site.cluster.sql("postgres", "DROP DATABASE IF EXISTS half WITH (FORCE)");
    };
    for _ in 0..rounds {
        drop(&site);
        let mut child = site.desk.spawn(&restore);
        std::thread::sleep(whole.mul_f64(random.below(1000) as f64 / 1000.0));
        if child.try_wait().unwrap().is_none() {
            stopped += 1;
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(stopped * 2 > rounds, "only {stopped} of {rounds} kills met a running restore");
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
    let mut random = Random::new(3);
    let (rounds, mut cancelled) = (times(12, 60), 0);
    for round in 0..rounds {
        site.change();
        let child = site.desk.spawn(&["backup", "--dbname", &info]);
        std::thread::sleep(Duration::from_millis(40) + whole.mul_f64(random.below(900) as f64 / 1000.0));
        let signal = if round % 2 == 0 { "-INT" } else { "-TERM" };
        Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        let asked = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(60), "it took {:?} to stop", asked.elapsed());
        match output.status.code() {
            Some(130) => cancelled += 1,
            Some(0) => {}
            // Before the program listens to signals it ends as any program does.
            None if output.status.signal().is_some() => {}
            code => panic!("{code:?}: {}", text(&output.stderr)),
        }
        site.verify();
        let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pgark', 'pg_dump', 'pg_dumpall')";
        let begun = Instant::now();
        while site.cluster.psql_text("postgres", ours) != "0" {
            assert!(begun.elapsed() < Duration::from_secs(60), "connections were left behind");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(cancelled * 2 > rounds, "only {cancelled} of {rounds} signals met a running backup");
    site.verify_all();
    tell("SIGINT and SIGTERM", cancelled, "exit 130, no connection left, clean");
}
