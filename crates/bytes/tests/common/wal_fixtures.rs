//! The WAL that each major wrote, and what its `pg_waldump` said of it (see `tests/wal.rs`).

use pgark_bytes::wal::WalFormat;
use pgark_bytes::wal_name::SegmentSize;

/// Cluster and first LSN of each fixture.
pub const FIXTURES: [(i32, u64, u64); 6] = [
    (13, 7714091502301641467, 0xD0_0000),
    (14, 7714091546074889536, 0xE0_0000),
    (15, 7714091426852350024, 0xB0_0000),
    (16, 7714091596182101838, 0xC0_0000),
    (17, 7714091646879084763, 0xC0_0000),
    (18, 7714091698936812201, 0xC0_0000),
];

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/wal/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub fn format(major: i32, system_identifier: u64) -> WalFormat {
    let segment_size = SegmentSize::new(1 << 20).unwrap();
    WalFormat { major, system_identifier, timeline: 1, segment_size, page_size: 8192 }
}
