//! Any bytes as a file's name: read or refused, and names that are read are written again as the
//! same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_datadir::names::{RelationFile, is_status_segment, is_temporary_relation, number};
use pgark_datadir::scan::FolderKind;

fuzz_target!(|bytes: &[u8]| {
    let kind = FolderKind::of(bytes);
    assert_eq!(kind.has_headers(), kind.has_pages(b"1259"));
    if let Some(found) = number(bytes) {
        assert_eq!(found.to_string().as_bytes(), bytes);
    }
    if let Some(file) = RelationFile::parse(bytes) {
        assert_eq!(file.to_string().as_bytes(), bytes);
        assert!(!is_temporary_relation(bytes));
        assert_eq!(file.first_block(1), Some(file.segment));
    }
    if is_status_segment(bytes) {
        assert!(bytes.is_ascii());
    }
});
