//! Faults on purpose: killed, cancelled, cut off, out of room, two at once. After each the
//! repository checks clean, every committed backup is what it was, and the next backup works.
//!
//! `PGARK_TEST_FULL=1` runs the long counts. Each test leaves its row of the table that `./test`
//! prints in `target/tmp/faults/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench_of_faults;
mod connections;
mod disk;
mod killed;
mod masked;
mod storages;

#[allow(dead_code, reason = "shared with the other server tests")]
#[path = "../server/support.rs"]
mod support;
mod together;
