//! Any bytes as SQL: tokens cover the text, statements lie in it, renaming nothing changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::archive::statements::rename_database;
use pgark_bytes::sql::{split, tokenize};

fuzz_target!(|data: &[u8]| {
    let mut at = 0;
    for token in tokenize(data) {
        assert_eq!(token.start, at);
        assert!(!token.text.is_empty());
        let _ = token.ident();
        at = token.end();
    }
    assert_eq!(at, data.len());
    assert!(split(data).iter().map(|s| s.len()).sum::<usize>() <= data.len());
    let _ = rename_database(data, b"a", b"b");
});
