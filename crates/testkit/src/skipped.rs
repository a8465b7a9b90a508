//! Tests that cannot run here: said, counted and named at the end of `./test`, never simply green.

use std::io::Write;

/// Where `./test` gathers what did not run.
const FILE: &str = "PGARK_TEST_SKIPPED";

/// Whether the long forms run, as `./test --full` asks.
pub fn is_full() -> bool {
    std::env::var_os("PGARK_TEST_FULL").is_some_and(|value| value == "1")
}

/// Says that the running test, or a part of it, did not run, and why.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = std::env::var("NEXTEST_TEST_NAME")
        .ok()
        .or_else(|| thread.name().map(str::to_owned))
        .unwrap_or_default();
    let line = format!("{test}: {why}\n");
    eprint!("skipped: {line}");
    if let Some(file) = std::env::var_os(FILE) {
        // One write to a file that is appended to: tests of several processes share it.
        let opened = std::fs::File::options().create(true).append(true).open(&file);
        opened
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("note that {test} was skipped in {}: {error}", file.display()));
    }
}

/// The same for a test that has no short form: else it is said that `what` did not run.
pub fn in_full(what: &str) -> bool {
    if !is_full() {
        skipped(&format!("{what}: part of ./test --full"));
    }
    is_full()
}
