//! What tests of the other crates are built on: throw-away PostgreSQL clusters, sample databases
//! and the round-trip oracle.
//!
//! - [`Cluster`]: a real server of a chosen major on a free port, gone when the value is dropped,
//!   when the test process ends, and also when it is killed.
//! - [`shop`]: a seeded sample shop of any size, with personal data.
//! - [`zoo`]: one of every kind of object, with hostile names and values.
//! - [`Pooler`]: pgbouncer before a cluster.
//! - [`FaultyServer`]: a real server, one of whose answers is wrong.
//! - [`storage`]: real storage servers, and bad networks before them.
//! - [`oracle`]: what of a database must survive a backup and restore, as a comparable value.
//!
//! The kit talks to servers through PostgreSQL's own programs only (`psql`, `pg_dump`), never
//! through the driver under test: an error in the driver cannot hide itself.
//!
//! Everything here panics on failure, with the server's log: a fixture that does not stand is a
//! failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "fixtures fail the test by panic")]

mod certificates;
mod cluster;
mod disk;
pub mod dumps;
mod faulty_server;
mod majors;
pub mod oracle;
mod patience;
mod pooler;
mod server_user;
mod session;
pub mod shop;
mod skipped;
mod spawner;
pub mod storage;
mod template;
pub mod zoo;

pub use certificates::TlsFiles;
pub use cluster::{Builder, Cluster};
pub use disk::SmallDisk;
pub use faulty_server::{Fault, FaultyServer, What};
pub use majors::{Installation, available_majors, default_major, require};
pub use patience::{PATIENCE, wait_for};
pub use pooler::Pooler;
pub use session::Session;
pub use skipped::{in_full, is_full, skipped};
