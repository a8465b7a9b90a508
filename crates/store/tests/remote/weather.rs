//! Networks that are slow, break, stall or are cut, and limits that are kept.

use std::thread;
use std::time::{Duration, Instant};

use pgark_store::{Cancel, Cause, Storage, StoreError, Target, Usage, contract, open};
use pgark_testkit::storage::{Login, Moto, Network, Proxy, Sshd};

use crate::support::{keys, s3, sftp};

/// S3 and SFTP behind a network.
fn both(network: Network, usage: &Usage, test: impl Fn(&str, &Proxy, &Storage, &Cancel)) {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let proxy = Proxy::start(moto.port(), network);
    let cancel = Cancel::new();
    let target = Target::S3(s3(format!("http://127.0.0.1:{}", proxy.port()), "bucket", "", keys("a", "b")));
    test("S3", &proxy, &open(target, usage.clone(), true, cancel.clone()).unwrap(), &cancel);
    let sshd = Sshd::start(Login::Key);
    let proxy = Proxy::start(sshd.port(), network);
    let cancel = Cancel::new();
    let target = Target::Sftp(sftp(&sshd, proxy.port(), "repository"));
    test("SFTP", &proxy, &open(target, usage.clone(), true, cancel.clone()).unwrap(), &cancel);
}

#[test]
fn connections_that_break_are_made_again() {
    let network = Network { break_every: Some(3_000_000), ..Network::default() };
    both(network, &Usage::default(), |name, _, store, _| {
        let bytes = vec![3; 400_000];
        for number in 0..20 {
            let object = format!("packs/{number}");
            store
                .put_if_absent(&object, bytes.clone().into())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(store.get(&object).unwrap() == bytes);
        }
        assert!(store.traffic().unwrap().retries > 0, "{name}: nothing broke");
    });
}

#[test]
fn a_network_that_comes_back_is_used_again() {
    both(Network::default(), &Usage::default(), |name, proxy, store, _| {
        contract::put(store, "before", b"x").unwrap();
        proxy.cut();
        thread::scope(|scope| {
            let job = scope.spawn(|| contract::put(store, "meanwhile", b"x"));
            thread::sleep(Duration::from_secs(2));
            assert!(!job.is_finished(), "{name}: it gave up too soon");
            proxy.heal();
            job.join().unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
        });
        assert_eq!(store.get("meanwhile").unwrap(), b"x");
    });
}

#[test]
fn a_stalled_network_is_noticed() {
    let usage =
        Usage { stall: Duration::from_secs(2), retry_for: Duration::from_secs(5), ..Usage::default() };
    both(Network::default(), &usage, |name, proxy, store, _| {
        contract::put(store, "a", b"x").unwrap();
        proxy.stall();
        // It ends although nothing moves and nothing is closed.
        let error = store.get("a").unwrap_err();
        let StoreError::Failed { cause, .. } = &error else { panic!("{name}: {error}") };
        assert_eq!(*cause, Cause::Network, "{name}: {error}");
    });
}

#[test]
fn a_cancel_ends_what_hangs_and_no_other_job() {
    // Without the cancel it would be waited for, and tried, for a day.
    let day = Duration::from_secs(86_400);
    let usage = Usage { stall: day, retry_for: day, ..Usage::default() };
    both(Network::default(), &usage, |name, proxy, store, cancel| {
        contract::put(store, "a", b"x").unwrap();
        proxy.stall();
        thread::scope(|scope| {
            let job = scope.spawn(|| store.get("a"));
            // It hangs on the same connections.
            let other = scope.spawn(|| store.for_job(&Cancel::new()).get("a"));
            thread::sleep(Duration::from_millis(500));
            cancel.cancel();
            let error = job.join().unwrap().unwrap_err();
            assert!(matches!(error, StoreError::Cancelled), "{name}: {error}");
            assert!(!other.is_finished(), "{name}: another job's cancel ended it");
            proxy.heal();
            assert_eq!(other.join().unwrap().unwrap(), b"x", "{name}");
        });
    });
}

#[test]
fn limits_are_kept_and_no_stall() {
    // 3 MB at 1 MB/s, each way; a stall limit shorter than that must not mind.
    let usage = Usage {
        limit_upload: Some(1_000_000),
        limit_download: Some(1_500_000),
        stall: Duration::from_secs(2),
        ..Usage::default()
    };
    both(Network::default(), &usage, |name, _, store, _| {
        let bytes = vec![5; 3_000_000];
        // A limit is a time that is waited at least: a busy machine only makes it longer.
        let started = Instant::now();
        store.put_if_absent("a", bytes.clone().into()).unwrap();
        let up = started.elapsed().as_secs_f64();
        let started = Instant::now();
        assert!(store.get("a").unwrap() == bytes);
        let down = started.elapsed().as_secs_f64();
        assert!(up > 2.5 && down > 1.6, "{name}: {up:.1} s up, {down:.1} s down");
        assert_eq!(store.traffic().unwrap().retries, 0, "{name}");
    });
}

#[test]
fn far_storages_take_many_at_once() {
    let network = Network { latency: Duration::from_millis(25), ..Network::default() };
    both(network, &Usage::default(), |name, _, store, _| {
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || contract::put(store, &format!("far/{number}"), b"x").unwrap());
            }
        });
        assert_eq!(store.list("far/").unwrap().len(), 8, "{name}");
    });
}
