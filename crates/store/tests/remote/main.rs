//! The contract and the errors of storages behind a network, on real servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod contract;
mod probes;
mod refusals;
mod support;
mod weather;
