//! Any bytes as a page: header, faults and checksum are found without a panic, and hold together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::page::{HEADER_BYTES, Header, checksum, is_zero};

fuzz_target!(|input: (u32, &[u8])| {
    let (block, page) = input;
    assert_eq!(is_zero(page), page.iter().all(|byte| *byte == 0));
    let sum = checksum(page, block);
    assert_ne!(sum, 0);
    let Some(header) = Header::read(page) else {
        assert!(page.len() < HEADER_BYTES);
        return;
    };
    if header.fault(page.len()).is_none() {
        assert!(!header.is_new() && usize::from(header.special) <= page.len());
    }
    assert!(!header.is_beyond(header.lsn) && !header.is_beyond(Lsn(u64::MAX)));
    // The page keeps its checksum when it is written into it, and is another page elsewhere.
    let mut written = page.to_vec();
    written[8..10].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(Header::read(&written), Some(Header { checksum: sum, ..header }));
    assert_eq!(checksum(&written, block), sum);
    assert_ne!(checksum(&written, block ^ 1), sum);
});
