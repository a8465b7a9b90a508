//! The program ends at any moment, and networks are cut, stall, are slow and lose packets, with the
//! repository on S3 and on SFTP.

use std::collections::BTreeMap;
use std::time::Duration;

use pgark_testkit::storage::{Login, Moto, Namespace, Network, Proxy, Sshd};
use pgark_testkit::{Cluster, skipped, wait_for};

use super::bench_of_faults::{Moments, Random, Site, tell, times};
use super::support::{Desk, Home, text};

/// A repository behind a network that can be made bad.
struct Far {
    site: Site,
    proxy: Proxy,
    _server: Box<dyn std::any::Any>,
}

fn s3(network: Network) -> Far {
    let moto = Moto::start();
    moto.make_bucket("backups");
    let proxy = Proxy::start(moto.port(), network);
    let home = Home::s3("s3://backups/main", &format!("http://127.0.0.1:{}", proxy.port()), "a", "b");
    far(home, proxy, Box::new(moto))
}

fn sftp(network: Network) -> Far {
    let sshd = Sshd::start(Login::Key);
    let proxy = Proxy::start(sshd.port(), network);
    let home = Home::sftp(&sshd, proxy.port());
    far(home, proxy, Box::new(sshd))
}

fn far(home: Home, proxy: Proxy, server: Box<dyn std::any::Any>) -> Far {
    let site = Site::at(Cluster::start(), 20_000, Desk::with_identity_at(Some(home)));
    Far { site, proxy, _server: server }
}

fn killed(name: &str, mut far: Far, seed: u64) {
    let site = &mut far.site;
    site.backup();
    let info = site.info();
    let (wanted, mut stopped) = (times(8, 80), 0);
    let mut moments: BTreeMap<String, Moments> = BTreeMap::new();
    for round in 0u64.. {
        if stopped >= wanted {
            break;
        }
        site.change();
        if round % 5 == 4 {
            // All others may have been killed before their commit; one must be left behind the
            // forgotten one.
            site.backup();
        }
        let oldest = site.oldest();
        let args: Vec<&str> = match round % 5 {
            3 => vec!["prune", "--grace", "0", "--erase"],
            4 => vec!["forget", &oldest, "--even-last"],
            _ => vec!["backup", "--dbname", &info],
        };
        let guess = || Moments::new(Random::new(seed + round), Duration::from_millis(700));
        let moments = moments.entry(args[0].to_string()).or_insert_with(guess);
        let mut child = site.desk.spawn(&args);
        stopped += usize::from(moments.kill(&mut child));
        site.may_be_gone(&oldest);
        site.verify();
    }
    site.verify_all();
    tell(
        &format!("kill -9 of backup, prune, forget on {name}"),
        stopped,
        &format!("clean; {} committed backups equal", site.committed()),
    );
}

#[test]
fn killed_at_random_moments_on_s3() {
    killed("S3", s3(Network::default()), 11);
}

#[test]
fn killed_at_random_moments_on_sftp() {
    killed("SFTP", sftp(Network::default()), 12);
}

/// A cut that heals is waited for; one that lasts ends the job with its cause, and a later one goes
/// on from what is stored.
fn cut(name: &str, mut far: Far) {
    far.site.backup();
    let info = far.site.info();
    let target = far.site.cluster.conninfo("cut");
    let newest = far.site.backup()["id"].as_str().unwrap().to_string();
    let jobs: [Vec<&str>; 3] = [
        vec!["backup", "--dbname", &info],
        vec!["restore", &newest, "--dbname", &target, "--create"],
        vec!["prune", "--grace", "0"],
    ];
    let mut met = 0;
    for (number, args) in jobs.iter().enumerate() {
        for lasts in [false, true] {
            if number == 1 {
                far.site.cluster.sql("postgres", "DROP DATABASE IF EXISTS cut WITH (FORCE)");
            }
            far.site.change();
            // In the middle: once the job has begun to speak with the storage.
            far.proxy.cut_after(30_000);
            let mut args = args.clone();
            args.extend(["--storage-option", if lasts { "retry_for=3s" } else { "retry_for=2min" }]);
            let mut child = far.site.desk.spawn(&args);
            wait_for("the cut, or the job's end", || {
                far.proxy.is_cut() || child.try_wait().unwrap().is_some()
            });
            // Only a prune may need so few bytes that it is not met.
            assert!(far.proxy.is_cut() || number == 2, "{name}: {args:?} moved next to nothing");
            met += usize::from(far.proxy.is_cut());
            if !lasts {
                std::thread::sleep(Duration::from_millis(1500));
                far.proxy.heal();
            }
            let output = child.wait_with_output().unwrap();
            far.proxy.heal();
            let said = text(&output.stderr);
            match (lasts, output.status.code()) {
                (false, code) => assert_eq!(code, Some(0), "{name}: {args:?}: {said}"),
                (true, Some(0)) => {}
                (true, code) => {
                    assert_eq!(code, Some(1), "{name}: {said}");
                    let told = ["tried", "connect", "onnection", "session closed"]
                        .iter()
                        .any(|word| said.contains(word));
                    assert!(told && said.contains("error:"), "{name}: {args:?}: {said}");
                }
            }
            far.site.verify();
        }
    }
    far.site.verify_all();
    tell(
        &format!("network cut on {name}"),
        met,
        "waited for, or ended with its cause; clean; a later job goes on",
    );
}

#[test]
fn cut_networks_on_s3() {
    cut("S3", s3(Network::default()));
}

#[test]
fn cut_networks_on_sftp() {
    cut("SFTP", sftp(Network::default()));
}

#[test]
fn connections_that_break_again_and_again() {
    let network = Network { break_every: Some(1_500_000), ..Network::default() };
    for (name, mut far) in [("S3", s3(network)), ("SFTP", sftp(network))] {
        for _ in 0..2 {
            far.site.change();
            far.site.backup();
        }
        far.site.verify_all();
        tell(&format!("connections break every 1.5 MB on {name}"), 1, "complete; equal");
    }
}

/// A real network: a slow cable that loses packets, and one that is unplugged without a word.
#[test]
fn slow_lossy_and_unplugged_cables() {
    let Some(host) = Namespace::make() else {
        skipped("only root can make network namespaces");
        return;
    };
    let sshd = Sshd::start_on(&host, Login::Key);
    let moto = Moto::start_on(&host);
    moto.make_bucket("backups");
    let homes = [
        ("SFTP", Home::sftp(&sshd, sshd.port())),
        ("S3", Home::s3("s3://backups/main", &moto.endpoint(), "a", "b")),
    ];
    for (name, home) in homes {
        let mut site = Site::at(Cluster::start(), 8_000, Desk::with_identity_at(Some(home)));
        host.make_slow_and_lossy("30mbit");
        let lost = host.lost();
        site.backup();
        site.change();
        site.backup();
        assert!(host.lost() > lost, "{name}: no packet was lost");
        site.verify();
        // Nothing tells a client that its peer is gone: it notices by itself.
        let info = site.info();
        site.change();
        let child = site.desk.spawn(&[
            "backup",
            "--dbname",
            &info,
            "--storage-option",
            "timeout=2s",
            "--storage-option",
            "retry_for=4s",
        ]);
        std::thread::sleep(Duration::from_millis(300));
        host.unplug();
        // It ends while the cable is still out.
        let output = child.wait_with_output().unwrap();
        host.plug();
        if output.status.code() != Some(0) {
            let said = text(&output.stderr);
            assert!(
                said.contains("moved") || said.contains("no answer") || said.contains("onnect"),
                "{name}: {said}"
            );
        }
        host.make_slow_and_lossy("200mbit");
        site.verify_all();
        tell(
            &format!("slow, lossy and unplugged cable to {name}"),
            3,
            "complete, or ended with its cause; clean",
        );
    }
}
