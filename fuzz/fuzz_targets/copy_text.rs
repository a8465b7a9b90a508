//! Any bytes as rows: values survive being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::copy_text::{fields, rows, value, write_row};

fuzz_target!(|data: &[u8]| {
    for row in rows(data) {
        let values: Vec<_> = fields(row).map(value).collect();
        let mut written = Vec::new();
        write_row(values.iter().map(Option::as_deref), &mut written);
        let again = rows(&written).next().expect("a row was written");
        assert_eq!(fields(again).map(value).collect::<Vec<_>>(), values);
    }
});
