//! Any text in the place of a storage's URL, and of what a server answers: read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    pgark_store::fuzzing::url(text);
    pgark_store::fuzzing::answer(text);
});
