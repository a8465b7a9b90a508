//! Names of WAL files: text, number and LSN, for every segment size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal_name::{InvalidSegmentSize, SegmentName, SegmentSize, WalFileName};
use proptest::prelude::*;

fn size(bytes: u32) -> SegmentSize {
    SegmentSize::new(bytes).unwrap()
}

#[test]
fn sizes() {
    for shift in 20..=30 {
        assert_eq!(size(1 << shift).bytes(), 1 << shift);
    }
    for bytes in [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31, u32::MAX] {
        assert_eq!(SegmentSize::new(bytes), Err(InvalidSegmentSize { bytes }));
    }
    assert_eq!(SegmentSize::DEFAULT, size(16 << 20));
}

/// As `pg_walfile_name` says.
#[test]
fn names_of_positions() {
    for (bytes, lsn, name) in [
        (16 << 20, "0/1000000", "000000010000000000000001"),
        (16 << 20, "16/B374D848", "0000000100000016000000B3"),
        (16 << 20, "FFFFFFFF/FFFFFFFF", "00000001FFFFFFFF000000FF"),
        (1 << 20, "0/F00028", "00000001000000000000000F"),
        (1 << 20, "1/FFFFFFFF", "000000010000000100000FFF"),
        (1 << 30, "2/C0000000", "000000010000000200000003"),
    ] {
        let (size, lsn): (_, Lsn) = (size(bytes), lsn.parse().unwrap());
        let segment = SegmentName::of(1, lsn, size);
        assert_eq!(segment.to_string(), name);
        assert_eq!(name.parse(), Ok(segment));
        assert_eq!(segment.start(size), Some(size.start_of(lsn)));
        assert_eq!(segment.number(size), Some(size.number_of(lsn)));
    }
    // 4 GiB have 256 segments of 16 MiB, but 4096 of 1 MiB.
    let segment: SegmentName = "000000010000000000000100".parse().unwrap();
    assert_eq!((segment.number(SegmentSize::DEFAULT), segment.number(size(1 << 20))), (None, Some(256)));
    let last: SegmentName = "00000001FFFFFFFF000000FF".parse().unwrap();
    assert_eq!(last.next(SegmentSize::DEFAULT), None);
    let next = SegmentName { segment: 0xFF, log: 4, timeline: 9 }.next(SegmentSize::DEFAULT);
    assert_eq!(next.unwrap().to_string(), "000000090000000500000000");
}

#[test]
fn the_last_segment_that_is_needed() {
    let size = SegmentSize::DEFAULT;
    for (lsn, number) in [(0, 0), (1, 0), (16 << 20, 0), ((16 << 20) + 1, 1), (32 << 20, 1)] {
        assert_eq!(size.number_before(Lsn(lsn)), number);
    }
}

#[test]
fn kinds_of_files() {
    let segment = SegmentName { timeline: 10, log: 0xB, segment: 0xC };
    for (text, name) in [
        ("0000000A0000000B0000000C", WalFileName::Segment(segment)),
        ("0000000A0000000B0000000C.partial", WalFileName::Partial(segment)),
        ("0000000A.history", WalFileName::History { timeline: 10 }),
        ("0000000A0000000B0000000C.00000028.backup", WalFileName::Backup { segment, offset: 0x28 }),
    ] {
        assert_eq!(text.parse(), Ok(name));
        assert_eq!(name.to_string(), text);
        assert_eq!(name.timeline(), 10);
    }
    for text in [
        "",
        "0000000A",
        "0000000a0000000b0000000c",
        "0000000A0000000B0000000",
        "0000000A0000000B0000000C0",
        "+000000A0000000B0000000C",
        "000000000000000B0000000C",
        "00000000.history",
        "0000000A.partial",
        "0000000A0000000B0000000C.history",
        "0000000A0000000B0000000C.backup",
        "0000000A0000000B0000000C.0000028.backup",
        "0000000A0000000B0000000C.00000028.backup.old",
        "0000000A0000000B0000000C.partial.1",
        "../../../../etc/passwd",
        "0000000ä0000000B0000000C",
    ] {
        let error = text.parse::<WalFileName>().unwrap_err();
        assert_eq!(error.text, text);
    }
}

proptest! {
    #[test]
    fn numbers_and_names(timeline in 1u32.., shift in 20u32..=30, lsn in any::<u64>()) {
        let size = size(1 << shift);
        let segment = SegmentName::of(timeline, Lsn(lsn), size);
        let number = segment.number(size).unwrap();
        prop_assert_eq!(number, lsn >> shift);
        prop_assert_eq!(SegmentName::new(timeline, number, size), Some(segment));
        prop_assert_eq!(segment.to_string().parse(), Ok(segment));
        let start = segment.start(size).unwrap();
        prop_assert_eq!(start.0 + size.offset_of(Lsn(lsn)), lsn);
        if let Some(next) = segment.next(size) {
            prop_assert_eq!(next.start(size).unwrap().0 - start.0, 1 << shift);
            prop_assert!(next > segment && next.to_string() > segment.to_string());
        }
    }

    #[test]
    fn any_text_is_a_name_that_is_written_so_or_refused(text in "[0-9A-Fa-f.]{0,40}|[0-9A-F]{24}(\\.[0-9A-F]{8}\\.backup|\\.partial)?|[0-9A-F]{8}\\.history") {
        if let Ok(name) = text.parse::<WalFileName>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
