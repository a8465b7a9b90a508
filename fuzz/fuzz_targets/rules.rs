//! Any bytes as masking rules: read, or every problem found inside of the file; conditions of what
//! was read compile or are refused.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use pgark_mask::condition::Condition;
use pgark_mask::rules::Rules;
use pgark_mask::types::{Kind, Target};

fuzz_target!(|data: &[u8]| {
    let (rules, findings) = Rules::parse(data, &|name| (name == "A").then(|| "a".to_string()));
    let lines = data.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
    for finding in &findings {
        let place = finding.place.expect("a problem of a file has a place");
        assert!((1..=lines).contains(&place.line));
    }
    let kinds = [Kind::Int(4), Kind::Text(None), Kind::Date, Kind::Numeric(None), Kind::Bool, Kind::Uuid];
    let target = |kind| Target { kind, sql_type: String::new(), not_null: false, domain_checks: Vec::new() };
    let columns: Vec<_> =
        ["a", "b", "c", "d", "e", "f"].map(str::to_string).into_iter().zip(kinds.map(target)).collect();
    for when in rules.tables.iter().filter_map(|table| table.when.as_ref()) {
        let text = when.value.scalar().unwrap_or_default();
        let _ = Condition::compile(&text, when.place, &columns, &mut Vec::new(), &mut BTreeSet::new());
    }
});
