//! Conversations with a live PostgreSQL server: our own blocking driver.
//!
//! One [`Connection`] is one socket and one thread's business. Rows of a COPY are handed on in
//! place from the read buffer. Connection parameters mean what they mean to libpq; the environment
//! is handed in as a value ([`Environment`]). Protocol: PostgreSQL documentation, chapter
//! "Frontend/Backend Protocol", version 3.0.
//!
//! A connection is opened for whoever asks, job or not: what is wrong with a password file is told
//! by `tracing`, and nothing else is.

mod auth;
mod cancel;
mod certificate;
mod check;
mod connection;
mod conninfo;
mod copy;
mod copy_both;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod keywords;
mod names;
mod open;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod parity;
mod passfile;
mod peer;
mod replication;
mod resolve;
mod row;
mod service;
mod session;
mod settings;
mod stream;
mod tls;
mod uri;
mod wire;

pub use cancel::Canceller;
pub use connection::{Connection, QueryResult};
pub use conninfo::{ConnInfo, ConnInfoError, Environment};
pub use copy::{CopyEvent, CopyIn};
pub use copy_both::{CopyBoth, CopyBothAnswer, Received};
pub use error::{DbError, PgError};
pub use replication::{
    BackupEvent, BaseBackup, BaseBackupOptions, Checkpoint, Refusal, Replication, ReplicationCommand,
    ReplicationFailure, ServerCompression, SlotPosition, SystemIdentification, TimelineHistory,
    TimelineSwitch, WalEvent, WalReceiver,
};
pub use row::Row;
pub use session::Login;
pub use settings::{HARMLESS_CATEGORIES, LEFT, SETTINGS, Setting, Use};
