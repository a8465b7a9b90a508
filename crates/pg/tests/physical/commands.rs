//! The system, timelines and slots; and what is refused, so that a program can tell why.

use pgark_pg::{Connection, Refusal, ReplicationCommand, ReplicationFailure};
use pgark_testkit::Cluster;

use super::{connect, every_major, resolve, words};

#[test]
fn the_system_and_its_slots() {
    for builder in every_major() {
        let cluster = builder.start();
        let has_option_lists = cluster.major() >= 15;
        let mut connection = connect(&cluster);
        let system = connection.identify_system().unwrap();
        let identifier = cluster.psql_text("postgres", "SELECT system_identifier FROM pg_control_system()");
        assert_eq!(system.system_identifier.to_string(), identifier);
        assert_eq!((system.timeline, system.dbname), (1, None));

        // Names that the replication grammar has as keywords need quotes.
        connection.create_physical_slot("physical", false, true).unwrap();
        connection.create_physical_slot("two", true, false).unwrap();
        let slots =
            "SELECT slot_name, temporary, restart_lsn IS NOT NULL FROM pg_replication_slots ORDER BY 1";
        assert_eq!(cluster.psql_text("postgres", slots), "physical|f|t\ntwo|t|f");
        if has_option_lists {
            let lsn = "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'physical'";
            let slot = connection.read_slot("physical").unwrap().unwrap();
            assert_eq!(slot.restart_lsn.unwrap().to_string(), cluster.psql_text("postgres", lsn));
            assert_eq!(slot.restart_timeline, Some(1));
            let slot = connection.read_slot("two").unwrap().unwrap();
            assert_eq!((slot.restart_lsn, slot.restart_timeline), (None, None));
            assert_eq!(connection.read_slot("three").unwrap(), None);
        } else {
            let failure = connection.read_slot("physical").unwrap_err();
            let command = ReplicationCommand::ReadSlot;
            assert!(
                matches!(&failure, ReplicationFailure::TooOld { command: own, since: 15 } if *own == command)
            );
        }
        connection.drop_slot("physical", false).unwrap();
        connection.drop_slot("two", true).unwrap();
        assert_eq!(cluster.psql_text("postgres", slots), "");
        // A temporary one ends with its connection.
        connection.create_physical_slot("three", true, true).unwrap();
        drop(connection);
        pgark_testkit::wait_for("the slot to be gone", || cluster.psql_text("postgres", slots).is_empty());
    }
}

/// The refusal, and the command and code that it was made of.
fn refused<T>(result: Result<T, ReplicationFailure>) -> (ReplicationCommand, String, Option<Refusal>) {
    let Err(failure) = result else { panic!("it was not refused") };
    assert!(failure.hint().is_some_and(|hint| !hint.is_empty()), "{}", words(&failure));
    (failure.command(), failure.sqlstate().unwrap_or_default().to_string(), failure.refusal())
}

#[test]
fn each_refusal_can_be_told_from_the_others() {
    for builder in every_major() {
        let cluster = builder
            .hba("local replication banned reject")
            .conf("max_replication_slots = 2")
            .conf("max_wal_senders = 3")
            .start();
        cluster.sql("postgres", "CREATE ROLE plain LOGIN; CREATE ROLE banned LOGIN REPLICATION");
        let as_role = |role: &str| {
            Connection::connect_physical(&resolve(&cluster.conninfo_as("postgres", role, None))).map(drop)
        };
        use ReplicationCommand::{Connect, CreateSlot, DropSlot, StartReplication};
        let told = |command, code: &str, refusal| (command, code.to_string(), Some(refusal));
        assert_eq!(refused(as_role("plain")), told(Connect, "42501", Refusal::NoReplicationRight));
        assert_eq!(refused(as_role("banned")), told(Connect, "28000", Refusal::NotLetIn));
        assert_eq!(refused(as_role("nobody")), told(Connect, "28000", Refusal::NotLetIn));

        let mut connection = connect(&cluster);
        let mut other = connect(&cluster);
        let third = connect(&cluster);
        let fourth = Connection::connect_physical(&resolve(&cluster.conninfo("postgres")));
        assert_eq!(refused(fourth), told(Connect, "53300", Refusal::ConnectionsUsedUp));
        drop(third);

        connection.create_physical_slot("one", false, true).unwrap();
        let again = connection.create_physical_slot("one", false, true);
        assert_eq!(refused(again), told(CreateSlot, "42710", Refusal::SlotExists));
        connection.create_physical_slot("two", false, true).unwrap();
        let third = connection.create_physical_slot("three", false, true);
        assert_eq!(refused(third), told(CreateSlot, "53400", Refusal::SlotsUsedUp));
        assert_eq!(
            refused(connection.drop_slot("none", false)),
            told(DropSlot, "42704", Refusal::NoSuchSlot)
        );

        let start = super::wal::position(&mut other);
        let none = other.start_replication(Some("none"), start);
        assert_eq!(refused(none), told(StartReplication, "42704", Refusal::NoSuchSlot));
        let stream = other.start_replication(Some("one"), start).unwrap();
        let in_use = connection.drop_slot("one", false);
        assert_eq!(refused(in_use), told(DropSlot, "55006", Refusal::SlotInUse));
        let in_use = connection.start_replication(Some("one"), start);
        assert_eq!(refused(in_use), told(StartReplication, "55006", Refusal::SlotInUse));
        stream.finish(super::soon()).unwrap();
        connection.drop_slot("one", false).unwrap();

        // WAL that is gone is found out when the stream has begun.
        let removed =
            pgark_bytes::protocol::replication::WalPosition { lsn: pgark_bytes::lsn::Lsn(1 << 20), ..start };
        let mut stream = other.start_replication(None, removed).unwrap();
        let failure = loop {
            match stream.receive(super::soon()) {
                Ok(event) => assert!(matches!(event, pgark_pg::WalEvent::NothingYet), "{event:?}"),
                Err(failure) => break failure,
            }
        };
        assert!(words(&failure).starts_with("receive WAL behind 0/100000 on timeline 1: "));
        assert_eq!(refused::<()>(Err(failure)), told(StartReplication, "58P01", Refusal::WalRemoved));
        drop(stream);
        other.identify_system().unwrap();

        // The word `all` of pg_hba.conf is not for replication.
        std::fs::write(cluster.data_directory().join("pg_hba.conf"), "local all all trust\n").unwrap();
        cluster.reload();
        pgark_testkit::wait_for("the new pg_hba.conf", || as_role("postgres").is_err());
        assert_eq!(refused(as_role("postgres")), told(Connect, "28000", Refusal::NotLetIn));
    }
}

#[test]
fn a_server_without_replication_and_a_connection_that_was_cut() {
    let cluster = Cluster::builder().conf("wal_level = minimal").conf("max_wal_senders = 0").start();
    let result = Connection::connect_physical(&resolve(&cluster.conninfo("postgres")));
    let told = |command, code: &str, refusal| (command, code.to_string(), Some(refusal));
    let expected = told(ReplicationCommand::Connect, "53300", Refusal::ConnectionsUsedUp);
    assert_eq!(refused(result), expected);

    let cluster = Cluster::builder().conf("max_replication_slots = 0").start();
    let mut connection = connect(&cluster);
    let slot = connection.create_physical_slot("one", false, true);
    assert_eq!(refused(slot), told(ReplicationCommand::CreateSlot, "53400", Refusal::SlotsUsedUp));
    connection.canceller().shutdown();
    let failure = connection.identify_system().unwrap_err();
    assert_eq!((failure.command(), failure.refusal()), (ReplicationCommand::IdentifySystem, None));
    assert_eq!(failure.sqlstate(), None);
    let text = words(&failure);
    assert!(text.starts_with("IDENTIFY_SYSTEM: the server closed the connection"), "{text}");
}
