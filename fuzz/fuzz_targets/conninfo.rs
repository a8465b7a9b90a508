//! Any text: parameters are taken or refused; what is taken keeps its meaning when it is set again.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pgark_pg::{ConnInfo, Environment};

fuzz_target!(|text: &str| {
    let environment = Environment { vars: BTreeMap::new(), home: None, user: "someone".into() };
    let Ok(info) = ConnInfo::resolve(text, &environment) else { return };
    let again = info.with_dbname(info.dbname());
    assert_eq!(again.dbname(), info.dbname());
    let _ = info.child_environment();
    let _ = info.user();
});
