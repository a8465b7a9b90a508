//! Any bytes in the place of a map of any kind, a group of units and what is kept of them: read or
//! refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pgark_repo::fuzzing::map(bytes));
