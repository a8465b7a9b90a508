//! The tables of settings against the servers that this machine has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use pgark_pg::{ConnInfo, Connection, Environment, HARMLESS_CATEGORIES, LEFT, SETTINGS, Use};
use pgark_testkit::{Cluster, available_majors};

/// Every setting that a role or database may be given, and that changes values or ends sessions, is
/// in one of the tables.
fn assert_every_setting_is_known(cluster: &Cluster) {
    let known: BTreeSet<&str> = SETTINGS
        .iter()
        .map(|setting| setting.name)
        .chain(LEFT.iter().map(|(name, why)| {
            assert!(!why.is_empty());
            *name
        }))
        .collect();
    // PL/pgSQL's are there when it is loaded.
    let rows = cluster.psql_text(
        "postgres",
        "LOAD 'plpgsql'; SELECT name || '|' || category FROM pg_settings \
         WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend') ORDER BY name",
    );
    let unknown: Vec<&str> = rows
        .lines()
        .filter(|row| {
            let (name, category) = row.split_once('|').unwrap_or((row, ""));
            let is_harmless = HARMLESS_CATEGORIES.iter().any(|(of, _)| category.starts_with(of));
            !is_harmless && !known.contains(name) && name != "application_name"
        })
        .collect();
    assert!(unknown.is_empty(), "PostgreSQL {}: nobody thought about {unknown:?}", cluster.major());
    for setting in SETTINGS {
        assert!(!setting.why.is_empty(), "{}", setting.name);
    }
}

#[test]
fn every_setting_of_every_major_is_known() {
    for found in available_majors() {
        assert_every_setting_is_known(&Cluster::builder().major(found.major).start());
    }
}

fn info(text: &str) -> ConnInfo {
    ConnInfo::resolve(text, &Environment::default()).unwrap()
}

/// After login every setting of the table is what it must be, whatever role and database say; and a
/// second look finds nothing to set.
#[test]
fn settings_are_fixed_after_login() {
    let cluster = Cluster::start();
    cluster.sql(
        "postgres",
        "CREATE ROLE mean SUPERUSER LOGIN; ALTER ROLE mean SET statement_timeout = '50ms'; ALTER ROLE mean SET array_nulls = off;
         ALTER ROLE mean SET search_path = nowhere, pg_catalog; ALTER ROLE mean SET standard_conforming_strings = off;
         ALTER ROLE mean SET session_replication_role = replica; ALTER ROLE mean SET lc_monetary = 'POSIX';
         CREATE ROLE somebody; ALTER DATABASE postgres SET role = somebody; CREATE ROLE plain LOGIN IN ROLE somebody;
         ALTER ROLE plain SET session_replication_role = replica",
    );
    let mean = info(&cluster.conninfo_as("postgres", "mean", None));
    for purpose in [Use::Read, Use::Load] {
        let mut connection = Connection::connect(&mean).unwrap();
        let login = connection.settle(&mean, purpose, &[("client_encoding", "LATIN1")], true).unwrap();
        assert!(!login.pooled);
        assert_eq!(login.value("statement_timeout"), Some("50ms"));
        for wanted in [("standard_conforming_strings", "on"), ("statement_timeout", "0"), ("role", "none")] {
            assert!(login.for_child().contains(&wanted), "{:?}", login.for_child());
        }
        assert!(login.for_child().iter().all(|(name, _)| *name != "lc_monetary"), "POSIX is C");
        for setting in SETTINGS {
            let show = format!("SELECT pg_catalog.current_setting('{}', true)", setting.name);
            let rows = connection.query(&show, &[]).unwrap();
            if let (Some(wanted), Some(value)) = (setting.value(purpose), rows[0].opt_str(0).unwrap()) {
                assert!(setting.is(wanted, value), "{} is {value:?}", setting.name);
            }
        }
        let rows = connection.query("SHOW role", &[]).unwrap();
        assert_eq!(rows[0].str(0).unwrap(), "none", "the database's role is for applications");
        assert_eq!(connection.parameter("client_encoding"), Some("LATIN1"));
        connection.begin("BEGIN").unwrap();
    }
    // What only a superuser may set is refused with what helps.
    let plain = info(&cluster.conninfo_as("postgres", "plain", None));
    let mut connection = Connection::connect(&plain).unwrap();
    let error = connection.settle(&plain, Use::Load, &[], true).unwrap_err();
    assert!(error.to_string().contains("session_replication_role"), "{error}");
    assert!(error.hint().unwrap().contains("RESET"), "{:?}", error.hint());
    Connection::connect(&plain).unwrap().settle(&plain, Use::Read, &[], true).unwrap();
    // The login's own role is kept.
    cluster.sql("template1", "ALTER ROLE plain RESET ALL; ALTER ROLE plain SET role = somebody");
    let mut connection = Connection::connect(&plain).unwrap();
    connection.settle(&plain, Use::Load, &[], true).unwrap();
    assert_eq!(connection.query("SHOW role", &[]).unwrap()[0].str(0).unwrap(), "somebody");
    assert!(Connection::options_arrive(
        &plain.with_settings(&[("bytea_output", "hex")]),
        &[("bytea_output", "hex")]
    ));
    assert!(!Connection::options_arrive(&plain, &[("bytea_output", "escape")]));
}
