//! Any bytes from a server, in pieces of any size: messages are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| pgark_pg::fuzzing::messages(input.1, usize::from(input.0)));
