//! Replication connections and CopyBoth against a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::{ServerMessage, StatusUpdate, Timestamp};
use pgark_pg::{
    ConnInfo, Connection, CopyBoth, CopyBothAnswer, Environment, PgError, QueryResult, Received, Replication,
    Use,
};
use pgark_testkit::Cluster;

/// Far more than it takes: what must come is waited for.
const LONG: Duration = Duration::from_secs(120);

fn resolve(text: &str) -> ConnInfo {
    ConnInfo::resolve(text, &Environment::default()).unwrap()
}

fn connect(cluster: &Cluster, replication: Replication) -> Connection {
    let info = resolve(&cluster.conninfo("postgres"));
    Connection::connect(&info.for_replication(replication)).unwrap()
}

fn value(results: &[QueryResult], column: &str) -> String {
    let at = results[0].columns.iter().position(|name| name == column).unwrap();
    results[0].rows[0].str(at).unwrap().to_owned()
}

fn streaming<'c>(connection: &'c mut Connection, command: &str) -> CopyBoth<'c> {
    match connection.copy_both(command).unwrap() {
        CopyBothAnswer::Streaming(stream) => stream,
        CopyBothAnswer::Results(results) => panic!("{command}: {results:?}"),
    }
}

/// Says how far we are, and waits for the keepalive that is asked for with it.
fn answer(stream: &mut CopyBoth<'_>, mut at: Lsn) -> Lsn {
    let status = StatusUpdate {
        written: at,
        flushed: at,
        applied: Lsn(0),
        sent_at: Timestamp(0),
        reply_requested: true,
    };
    stream.send(&status.payload()).unwrap();
    loop {
        match stream.receive(Instant::now() + LONG).unwrap() {
            Received::Data(payload) => match ServerMessage::parse(payload).unwrap() {
                ServerMessage::Keepalive { .. } => return at,
                ServerMessage::WalData { start, data, .. } => {
                    assert_eq!(start, at);
                    at = Lsn(at.0 + data.len() as u64);
                }
            },
            other => panic!("{other:?}"),
        }
    }
}

/// Reads on until WAL has come up to here.
fn read_to(stream: &mut CopyBoth<'_>, mut at: Lsn, end: Lsn) -> Lsn {
    while at < end {
        match stream.receive(Instant::now() + LONG).unwrap() {
            Received::Data(payload) => {
                if let ServerMessage::WalData { start, data, .. } = ServerMessage::parse(payload).unwrap() {
                    assert_eq!(start, at, "no byte of the WAL is left out");
                    at = Lsn(at.0 + data.len() as u64);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    at
}

/// Reads on until an error comes.
fn fails(stream: &mut CopyBoth<'_>) -> PgError {
    loop {
        match stream.receive(Instant::now() + LONG) {
            Ok(Received::Data(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => return error,
        }
    }
}

fn wal_end(cluster: &Cluster) -> Lsn {
    cluster.psql_text("postgres", "SELECT pg_current_wal_flush_lsn()").parse().unwrap()
}

#[test]
fn wal_is_streamed_answered_and_ended_and_the_connection_goes_on() {
    // A walsender keeps silent for half of this before it asks whether we are there.
    let cluster = Cluster::builder().conf("wal_level = replica").conf("wal_sender_timeout = 10min").start();
    cluster.sql("postgres", "CREATE TABLE t (a int, b text)");
    let mut connection = connect(&cluster, Replication::Physical);
    let system = connection.simple("IDENTIFY_SYSTEM").unwrap();
    let start: Lsn = value(&system, "xlogpos").parse().unwrap();
    let timeline = value(&system, "timeline");
    assert_eq!(connection.show("wal_segment_size").unwrap(), "16MB");
    let slot = connection.simple("CREATE_REPLICATION_SLOT held TEMPORARY PHYSICAL RESERVE_WAL").unwrap();
    assert_eq!(value(&slot, "slot_name"), "held");

    let command = format!("START_REPLICATION SLOT held PHYSICAL {start} TIMELINE {timeline}");
    let mut stream = streaming(&mut connection, &command);
    // A writer runs while we read and answer.
    let mut at = start;
    for _ in 0..3 {
        cluster.sql("postgres", "INSERT INTO t SELECT g, repeat('x', 400) FROM generate_series(1, 5000) g");
        at = read_to(&mut stream, at, wal_end(&cluster));
        at = answer(&mut stream, at);
    }
    let restart = "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'held'";
    assert!(cluster.psql_text("postgres", restart).parse::<Lsn>().unwrap() > start, "the slot has moved on");

    // The background writer may log a snapshot of running transactions at any time; then it is
    // silent.
    let mut is_silent = false;
    for _ in 0..1000 {
        match stream.receive(Instant::now()).unwrap() {
            Received::NothingYet => is_silent = true,
            Received::Data(_) => {}
            Received::Done => panic!("nobody has ended it"),
        }
    }
    assert!(is_silent);
    let before = Instant::now();
    while !matches!(stream.receive(before + Duration::from_millis(100)).unwrap(), Received::NothingYet) {}
    assert!(before.elapsed() >= Duration::from_millis(100), "it waits for as long as it was told");

    stream.finish().unwrap();
    assert_eq!(value(&connection.simple("IDENTIFY_SYSTEM").unwrap(), "timeline"), timeline);
    connection.simple("DROP_REPLICATION_SLOT held").unwrap();
    // And streams once more; what was on its way when we ended is received before the server's own
    // end.
    let mut stream =
        streaming(&mut connection, &format!("START_REPLICATION PHYSICAL {start} TIMELINE {timeline}"));
    stream.finish_sending().unwrap();
    assert!(stream.send(b"r").is_err(), "not after CopyDone");
    while stream.receive(Instant::now() + LONG).unwrap() != Received::Done {}
    stream.finish().unwrap();
    // Nothing but these commands.
    for refused in ["SELECT 1", "SET statement_timeout = 0"] {
        let error = connection.simple(refused).unwrap_err();
        assert!(error.is_refusal(), "{refused}: {error}");
    }
    assert!(matches!(connection.query("SELECT 1", &[]), Err(PgError::Protocol(_))));
    let info = resolve(&cluster.conninfo("postgres"));
    assert!(matches!(connection.settle(&info, Use::Read, &[], false), Err(PgError::Protocol(_))));
    assert_eq!(connection.show("in_hot_standby").unwrap(), "off");
}

#[test]
fn a_refused_stream_leaves_the_connection_and_an_abandoned_one_does_not() {
    let cluster = Cluster::builder().conf("wal_level = replica").start();
    let mut connection = connect(&cluster, Replication::Physical);
    let error = connection.copy_both("START_REPLICATION SLOT none PHYSICAL 0/0").err().unwrap();
    assert_eq!(error.sqlstate(), Some("42704"), "{error}");
    // An error amid the stream: the server looks for the WAL when the COPY has begun.
    let system = connection.simple("IDENTIFY_SYSTEM").unwrap();
    for (at, why) in
        [("7FFFFFFF/0", "is ahead of the WAL flush position"), ("0/10", "has already been removed")]
    {
        let mut stream = streaming(&mut connection, &format!("START_REPLICATION PHYSICAL {at}"));
        let error = fails(&mut stream);
        assert!(error.is_refusal() && error.to_string().contains(why), "{error}");
        assert!(stream.receive(Instant::now()).is_err() && stream.send(b"r").is_err());
        drop(stream);
        assert_eq!(connection.simple("IDENTIFY_SYSTEM").unwrap(), system);
    }
    // A server that ends closes the stream.
    let start = value(&system, "xlogpos");
    let mut stream = streaming(&mut connection, &format!("START_REPLICATION PHYSICAL {start}"));
    cluster.stop_immediate();
    let error = fails(&mut stream);
    assert!(!error.is_refusal(), "{error}");
    drop(stream);
    assert!(matches!(connection.simple("IDENTIFY_SYSTEM"), Err(PgError::Broken)));
    cluster.start_again();
    let mut connection = connect(&cluster, Replication::Physical);
    drop(streaming(&mut connection, &format!("START_REPLICATION PHYSICAL {start}")));
    assert!(matches!(connection.simple("IDENTIFY_SYSTEM"), Err(PgError::Broken)));
}

#[test]
fn settings_of_replication_connections() {
    let cluster = Cluster::start();
    cluster.sql(
        "postgres",
        "ALTER ROLE postgres SET statement_timeout = '7s'; ALTER DATABASE postgres SET lock_timeout = '3s'",
    );
    let info = resolve(&cluster.conninfo("postgres")).with_role(Some("pg_monitor"));
    // What role and database are given has no effect without a database.
    for (replication, of_role, of_database) in
        [(Replication::Physical, "0", "0"), (Replication::Database, "7s", "3s")]
    {
        let mut connection = Connection::connect(&info.for_replication(replication)).unwrap();
        assert_eq!(connection.show("statement_timeout").unwrap(), of_role);
        assert_eq!(connection.show("lock_timeout").unwrap(), of_database);
        // What is asked for at login has.
        let asked = info.with_settings(&[("statement_timeout", "11s"), ("wal_sender_timeout", "9s")]);
        let mut connection = Connection::connect(&asked.for_replication(replication)).unwrap();
        assert_eq!(connection.show("statement_timeout").unwrap(), "11s");
        assert_eq!(connection.show("wal_sender_timeout").unwrap(), "9s");
    }
    let mut connection = connect(&cluster, Replication::Database);
    let results = connection.simple("SELECT current_database() AS name, session_user AS who").unwrap();
    assert_eq!((value(&results, "name"), value(&results, "who")), ("postgres".into(), "postgres".into()));
    assert_eq!(value(&connection.simple("IDENTIFY_SYSTEM").unwrap(), "dbname"), "postgres");
    // Nobody asks for it in a connection string.
    assert!(ConnInfo::resolve("dbname=x replication=true", &Environment::default()).is_err());
    // Which server it is can be asked for all the same.
    let standby = cluster.standby();
    for (server, right, wrong) in [(&cluster, "primary", "standby"), (&standby, "read-only", "read-write")] {
        for (wanted, is_found) in [(right, true), (wrong, false)] {
            let text = format!("{} target_session_attrs={wanted}", server.conninfo("postgres"));
            for replication in [Replication::Physical, Replication::Database] {
                let found = Connection::connect(&resolve(&text).for_replication(replication));
                assert_eq!(found.is_ok(), is_found, "{wanted} {replication:?}: {:?}", found.err());
            }
        }
    }
}

#[test]
fn a_stream_over_tls_says_nothing_yet_and_loses_nothing() {
    let cluster = Cluster::builder().conf("wal_level = replica").tls().start();
    cluster.sql("postgres", "CREATE TABLE t (b text)");
    let mut connection = connect(&cluster, Replication::Physical);
    let start: Lsn = value(&connection.simple("IDENTIFY_SYSTEM").unwrap(), "xlogpos").parse().unwrap();
    let mut stream = streaming(&mut connection, &format!("START_REPLICATION PHYSICAL {start}"));
    let mut at = start;
    let mut looks = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..5 {
                let rows = "INSERT INTO t SELECT repeat('x', 900) FROM generate_series(1, 3000)";
                cluster.sql("postgres", rows);
            }
            wal_end(&cluster)
        });
        // Looks again and again, whatever has arrived of a message.
        while !writer.is_finished() || looks < 1000 {
            looks += 1;
            if let Received::Data(payload) = stream.receive(Instant::now()).unwrap()
                && let ServerMessage::WalData { start, data, .. } = ServerMessage::parse(payload).unwrap()
            {
                assert_eq!(start, at);
                at = Lsn(at.0 + data.len() as u64);
            }
        }
        read_to(&mut stream, at, writer.join().unwrap());
    });
    stream.finish().unwrap();
    connection.simple("IDENTIFY_SYSTEM").unwrap();
}
