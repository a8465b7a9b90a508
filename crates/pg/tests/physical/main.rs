//! Physical replication against real servers of several majors, and against one that says what a
//! script has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod base_backup;
mod commands;
mod script;
mod wal;

use std::time::{Duration, Instant};

use pgark_pg::{ConnInfo, Connection, Environment, ReplicationFailure};
use pgark_testkit::{Builder, Cluster, in_full, require};

/// Far more than it takes: what must come is waited for.
const LONG: Duration = Duration::from_secs(120);

fn soon() -> Instant {
    Instant::now() + LONG
}

/// Clusters of the default major, or of all of them under `./test --full`: for what differs by
/// version.
fn every_major() -> Vec<Builder> {
    if in_full("physical replication on other majors than the default one") {
        (13..=18).filter_map(require).collect()
    } else {
        vec![Cluster::builder()]
    }
}

fn resolve(text: &str) -> ConnInfo {
    ConnInfo::resolve(text, &Environment::default()).unwrap()
}

fn connect(cluster: &Cluster) -> Connection {
    Connection::connect_physical(&resolve(&cluster.conninfo("postgres"))).unwrap()
}

/// The error's words, with those of its causes.
fn words(failure: &ReplicationFailure) -> String {
    let mut words = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}
