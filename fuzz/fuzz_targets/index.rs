//! Any bytes in the place of index objects: read or refused.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pgark_repo::fuzzing::{self, Keys};

static KEYS: LazyLock<Keys> = LazyLock::new(fuzzing::keys);

fuzz_target!(|bytes: &[u8]| fuzzing::index(&KEYS, bytes));
