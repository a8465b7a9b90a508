//! Any text in the place of a storage's URL, of what a server answers, and of a known_hosts file:
//! read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    pgark_store::fuzzing::url(text);
    pgark_store::fuzzing::answer(text);
    pgark_store::fuzzing::known_hosts(text);
});
