//! WAL: byte for byte the server's, kept alive, ended by either side, and never with a gap.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;
use pgark_pg::{Connection, PgError, ReplicationFailure, WalEvent, WalReceiver};
use pgark_testkit::{Cluster, wait_for};
use rustix::process::{Pid, Signal, kill_process};

use super::{LONG, connect, every_major, soon, words};

/// Where the server is.
pub fn position(connection: &mut Connection) -> WalPosition {
    let system = connection.identify_system().unwrap();
    WalPosition { timeline: system.timeline, lsn: system.flushed }
}

fn flushed(cluster: &Cluster) -> Lsn {
    cluster.psql_text("postgres", "SELECT pg_current_wal_flush_lsn()").parse().unwrap()
}

/// Reads on until WAL has come up to here, or the timeline ends.
fn read_to(receiver: &mut WalReceiver<'_>, end: Lsn, into: &mut Vec<u8>) {
    while receiver.position().lsn < end {
        let at = receiver.position().lsn;
        match receiver.receive(soon()).unwrap() {
            WalEvent::Wal { start, data } => {
                assert!(start == at && !data.is_empty());
                into.extend_from_slice(data);
            }
            other => panic!("{other:?}"),
        }
        assert!(receiver.server_end() >= receiver.position().lsn);
    }
}

#[test]
fn what_is_received_is_what_the_segments_have() {
    const SEGMENT: u64 = 1 << 20;
    for builder in every_major() {
        let cluster = builder.initdb_arg("--wal-segsize=1").conf("wal_keep_size = 1GB").start();
        cluster.sql("postgres", "CREATE TABLE t (a int, b text)");
        let mut connection = connect(&cluster);
        connection.create_physical_slot("held", true, true).unwrap();
        let restart = || {
            let sql = "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'held'";
            cluster.psql_text("postgres", sql).parse::<Lsn>().unwrap()
        };
        let reserved = restart();
        // From the beginning of a segment on, as whoever writes files wants it.
        let start = WalPosition { timeline: 1, lsn: Lsn(reserved.0 / SEGMENT * SEGMENT) };
        let mut receiver = connection.start_replication(Some("held"), start).unwrap();
        let mut received = Vec::new();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..4 {
                    let rows = "INSERT INTO t SELECT g, repeat('x', 400) FROM generate_series(1, 3000) g";
                    cluster.sql("postgres", rows);
                    if round % 2 == 0 {
                        cluster.sql("postgres", "SELECT pg_switch_wal()");
                    }
                }
            });
            // While it writes, whatever has arrived is taken.
            while !writer.is_finished() {
                if let WalEvent::Wal { data, .. } = receiver.receive(Instant::now()).unwrap() {
                    received.extend_from_slice(data);
                }
            }
        });
        let end = flushed(&cluster);
        read_to(&mut receiver, end, &mut received);
        let end = receiver.position();
        assert_eq!(received.len() as u64, end.lsn.0 - start.lsn.0);
        assert!(received.len() as u64 > 4 * SEGMENT);

        // Nothing was reported: the server keeps everything, and hears what was received.
        receiver.send_status().unwrap();
        let sent = "SELECT write_lsn, flush_lsn, replay_lsn FROM pg_stat_replication";
        wait_for("the status", || cluster.psql_text("postgres", sent) == format!("{}||", end.lsn));
        assert_eq!(restart(), reserved);
        let half = Lsn(start.lsn.0 + 2 * SEGMENT + 5);
        receiver.report(end.lsn, half);
        receiver.send_status().unwrap();
        wait_for("the status", || cluster.psql_text("postgres", sent) == format!("{}|{half}|", end.lsn));
        assert_eq!(restart(), half);

        assert_eq!(receiver.finish(soon()).unwrap(), end);
        let pg_wal = cluster.data_directory().join("pg_wal");
        for (number, expected) in received.chunks(SEGMENT as usize).enumerate() {
            let segment = start.lsn.0 / SEGMENT + number as u64;
            let name = format!("{:08X}{:08X}{:08X}", 1, segment >> 12, segment & 0xFFF);
            let file = fs::read(pg_wal.join(&name)).unwrap();
            assert!(file[..expected.len()] == *expected, "{name} differs");
        }
        // The connection goes on.
        connection.drop_slot("held", false).unwrap();
        assert!(position(&mut connection).lsn >= end.lsn);
    }
}

#[test]
fn a_silent_stream_is_kept_alive_and_a_neglected_one_ends() {
    let cluster = Cluster::builder().conf("wal_sender_timeout = 2s").start();
    cluster.sql("postgres", "CREATE TABLE t (a int)");
    let mut connection = connect(&cluster);
    let start = position(&mut connection);
    let mut receiver = connection.start_replication(None, start).unwrap();
    // Several timeouts pass, in calls that wait long and in calls that only look.
    let end = Instant::now() + Duration::from_secs(5);
    let mut silent = Vec::new();
    while Instant::now() < end {
        match receiver.receive(end.min(Instant::now() + Duration::from_secs(3))).unwrap() {
            WalEvent::Wal { data, .. } => silent.extend_from_slice(data),
            WalEvent::NothingYet => {}
            other => panic!("{other:?}"),
        }
    }
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        receiver.keep_alive().unwrap();
    }
    cluster.sql("postgres", "INSERT INTO t VALUES (1)");
    read_to(&mut receiver, flushed(&cluster), &mut silent);
    let at = receiver.position();

    // Who neither receives nor keeps alive is taken for gone: the test would notice.
    wait_for("the server to give up", || {
        cluster.psql_text("postgres", "SELECT count(*) FROM pg_stat_replication") == "0"
    });
    let failure = loop {
        match receiver.receive(soon()) {
            Ok(WalEvent::Wal { .. } | WalEvent::NothingYet) => {}
            Ok(other) => panic!("{other:?}"),
            Err(failure) => break failure,
        }
    };
    let ReplicationFailure::Wal { at: found, source: PgError::Closed(_) } = &failure else {
        panic!("{}", words(&failure))
    };
    assert!(found.lsn >= at.lsn && found.timeline == 1);
    drop(receiver);
    let failure = connection.identify_system().unwrap_err();
    assert!(words(&failure).ends_with("the connection cannot be used any more"));
}

#[test]
fn commits_wait_for_what_is_reported_as_flushed() {
    let cluster =
        Cluster::builder().conf("synchronous_standby_names = '*'").conf("synchronous_commit = on").start();
    let asynchronous = |sql: &str| cluster.sql("postgres", &format!("SET synchronous_commit = local; {sql}"));
    asynchronous("CREATE TABLE t (a int)");
    let mut connection = connect(&cluster);
    let start = position(&mut connection);
    let mut receiver = connection.start_replication(None, start).unwrap();
    let state = || cluster.psql_text("postgres", "SELECT sync_state FROM pg_stat_replication");
    receiver.send_status().unwrap();
    asynchronous("INSERT INTO t VALUES (1)");
    read_to(&mut receiver, flushed(&cluster), &mut Vec::new());
    receiver.send_status().unwrap();
    assert_eq!(state(), "async", "who never reports is not waited for");
    thread::scope(|scope| {
        let writer = scope.spawn(|| cluster.sql("postgres", "INSERT INTO t VALUES (2)"));
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        wait_for("the commit", || cluster.psql_text("postgres", waiting) == "1");
        read_to(&mut receiver, flushed(&cluster), &mut Vec::new());
        receiver.send_status().unwrap();
        assert!(!writer.is_finished(), "it was received, and not flushed");
        let end = receiver.position().lsn;
        receiver.report(end, end);
        receiver.send_status().unwrap();
        writer.join().unwrap();
    });
    assert_eq!(state(), "sync");
    receiver.finish(soon()).unwrap();
}

#[test]
fn a_timeline_ends_where_the_next_one_begins() {
    for builder in every_major() {
        let primary = builder.conf("wal_keep_size = 1GB").start();
        primary.sql("postgres", "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)");
        let standby = primary.standby();
        let mut connection = connect(&primary);
        let start = position(&mut connection);
        drop(connection);
        primary.sql("postgres", "INSERT INTO t SELECT generate_series(1, 10000)");
        let end = flushed(&primary);
        wait_for("the standby", || {
            standby.psql_text("postgres", "SELECT pg_last_wal_replay_lsn()").parse::<Lsn>().unwrap() >= end
        });
        // One stream sees the promotion.
        let mut seeing = connect(&standby);
        let mut receiver = seeing.start_replication(None, start).unwrap();
        let mut received = Vec::new();
        read_to(&mut receiver, end, &mut received);
        standby.sql("postgres", "SELECT pg_promote()");
        standby.sql("postgres", "INSERT INTO t SELECT generate_series(1, 1000)");
        let switch = loop {
            match receiver.receive(soon()).unwrap() {
                WalEvent::Wal { data, .. } => received.extend_from_slice(data),
                WalEvent::TimelineEnds(switch) => break switch,
                WalEvent::NothingYet => panic!("nothing came"),
            }
        };
        assert_eq!(switch.next_timeline, 2);
        assert_eq!(receiver.position(), WalPosition { timeline: 1, lsn: switch.switch_point });
        assert!(
            matches!(receiver.receive(soon()).unwrap(), WalEvent::TimelineEnds(again) if again == switch)
        );
        assert_eq!(receiver.finish(soon()).unwrap().lsn, switch.switch_point);

        let history = seeing.timeline_history(2).unwrap();
        assert_eq!(history.file_name, "00000002.history");
        let file = fs::read(standby.data_directory().join("pg_wal").join(&history.file_name)).unwrap();
        assert_eq!(history.content, file);
        assert!(String::from_utf8(file).unwrap().contains(&switch.switch_point.to_string()));
        assert_eq!(seeing.timeline_history(1).unwrap_err().sqlstate(), Some("58P01"));

        // Another one asks later, once more and at the very end: the same WAL, the same switch.
        let mut receiver = seeing.start_replication(None, start).unwrap();
        let mut again = Vec::new();
        read_to(&mut receiver, switch.switch_point, &mut again);
        assert!(again == received);
        assert!(
            matches!(receiver.receive(soon()).unwrap(), WalEvent::TimelineEnds(found) if found == switch)
        );
        drop(receiver);
        let at_end = WalPosition { timeline: 1, lsn: switch.switch_point };
        let mut receiver = seeing.start_replication(None, at_end).unwrap();
        assert!(
            matches!(receiver.receive(soon()).unwrap(), WalEvent::TimelineEnds(found) if found == switch)
        );
        drop(receiver);
        let next = WalPosition { timeline: 2, lsn: switch.switch_point };
        let mut receiver = seeing.start_replication(None, next).unwrap();
        read_to(&mut receiver, flushed(&standby), &mut again);
        receiver.finish(soon()).unwrap();
        // A place that the server's history does not have.
        let ahead = WalPosition { timeline: 1, lsn: Lsn(switch.switch_point.0 + 8) };
        let failure = seeing.start_replication(None, ahead).err().unwrap();
        assert!(words(&failure).contains("is not in this server's history"), "{}", words(&failure));
        position(&mut seeing);
    }
}

#[test]
fn a_server_that_answers_no_more_is_given_up() {
    let cluster = Cluster::builder().conf("wal_sender_timeout = 0").start();
    let mut connection = connect(&cluster);
    let start = position(&mut connection);
    let pid = Pid::from_raw(connection.backend_pid()).unwrap();
    let mut receiver = connection.start_replication(None, start).unwrap();
    let patience = Duration::from_secs(3);
    receiver.set_patience(patience);
    // A server that has nothing to say, and no timeout of its own, answers all the same.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        receiver.receive(end).unwrap();
    }
    kill_process(pid, Signal::STOP).unwrap();
    let begun = Instant::now();
    let failure = loop {
        match receiver.receive(begun + LONG) {
            Ok(_) => assert!(begun.elapsed() < LONG, "it waits forever"),
            Err(failure) => break failure,
        }
    };
    kill_process(pid, Signal::CONT).unwrap();
    assert!(
        matches!(&failure, ReplicationFailure::Silent { silent, .. } if *silent >= patience),
        "{}",
        words(&failure)
    );
    // And so is its end, if it does not come.
    drop(receiver);
    let mut connection = connect(&cluster);
    let pid = Pid::from_raw(connection.backend_pid()).unwrap();
    let receiver = connection.start_replication(None, start).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let failure = receiver.finish(Instant::now() + Duration::from_millis(200)).unwrap_err();
    kill_process(pid, Signal::CONT).unwrap();
    assert!(matches!(failure, ReplicationFailure::Silent { .. }), "{}", words(&failure));
    assert!(connection.identify_system().is_err());
}

#[test]
fn a_server_that_shuts_down_ends_the_stream_with_all_its_wal() {
    for builder in every_major() {
        let cluster = builder.start();
        cluster.sql("postgres", "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 10000)");
        let mut connection = connect(&cluster);
        let start = position(&mut connection);
        let mut receiver = connection.start_replication(None, start).unwrap();
        let failure = thread::scope(|scope| {
            // Waits until all WAL was sent and received, the checkpoint of the shutdown too.
            scope.spawn(|| cluster.stop());
            loop {
                match receiver.receive(soon()) {
                    Ok(WalEvent::Wal { .. } | WalEvent::NothingYet) => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(failure) => break failure,
                }
            }
        });
        let ReplicationFailure::Wal { at, source: PgError::Closed(_) } = &failure else {
            panic!("{}", words(&failure))
        };
        let output = cluster.client("pg_controldata").arg(cluster.data_directory()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("Latest checkpoint location:"));
        let checkpoint: Lsn = match line {
            Some(line) => line.rsplit(' ').next().unwrap().parse().unwrap(),
            // The program of another major reads no more than its own.
            None => continue,
        };
        assert!(at.lsn > checkpoint, "{} of {checkpoint}", at.lsn);
    }
}
