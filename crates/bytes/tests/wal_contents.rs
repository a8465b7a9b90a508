//! What records of WAL say: made by hand, and what PostgreSQL 13 to 18 wrote, against their
//! `pg_waldump`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/wal_fixtures.rs"]
mod wal_fixtures;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::contents::{Contents, RestorePoint, Said, TransactionEnd, is_before, said};
use pgark_bytes::wal::record::RecordHeader;
use pgark_bytes::wal::{Record, Walk};
use proptest::prelude::*;
use wal_fixtures::{FIXTURES, fixture, format};

const EPOCH: i64 = 946_684_800_000_000;
const XLOG: u8 = 0;
const XACT: u8 = 1;

fn record(resource_manager: u8, info: u8, xid: u32, body: &[u8]) -> Record {
    let total_length = 24 + body.len() as u32;
    let header = RecordHeader { total_length, xid, previous: Lsn(8), info, resource_manager, crc: 0 };
    Record { lsn: Lsn(0x100), end: Lsn(0x200), header }
}

/// A body with main data only.
fn main_data(data: &[u8]) -> Vec<u8> {
    [&[254][..], &(data.len() as u32).to_le_bytes(), data].concat()
}

fn said_of(major: i32, resource_manager: u8, info: u8, xid: u32, data: &[u8]) -> Option<Said> {
    let body = main_data(data);
    said(major, &record(resource_manager, info, xid, &body), &body)
}

fn end(xid: Option<u32>, time: i64, is_commit: bool) -> Option<Said> {
    Some(Said::End(TransactionEnd { lsn: Lsn(0x100), end: Lsn(0x200), xid, time, is_commit }))
}

/// The data of a commit or abort with everything that can be in front of the prepared
/// transaction's number.
fn with_everything(statistic: usize, xid: Option<u32>) -> Vec<u8> {
    let mut data = 5i64.to_le_bytes().to_vec();
    let flags: u32 = 0b1_0000_1111 | if xid.is_some() { 1 << 4 } else { 0 };
    data.extend_from_slice(&flags.to_le_bytes());
    data.extend_from_slice(&[1; 8]);
    for (count, bytes) in [(3, 4), (2, 12), (5, statistic), (7, 16)] {
        data.extend_from_slice(&(count as u32).to_le_bytes());
        data.resize(data.len() + count * bytes, 0xEE);
    }
    data.extend(xid.iter().flat_map(|xid| xid.to_le_bytes()));
    data.extend_from_slice(b"gid\0");
    data
}

#[test]
fn ends_of_transactions() {
    let time = 5i64.to_le_bytes();
    assert_eq!(said_of(18, XACT, 0x00, 7, &time), end(Some(7), EPOCH + 5, true));
    assert_eq!(said_of(13, XACT, 0x20, 7, &time), end(Some(7), EPOCH + 5, false));
    // Preparing is no end; nor is what else there is.
    for info in [0x10, 0x50, 0x60, 0x70] {
        assert_eq!(said_of(18, XACT, info, 7, &time), None);
    }
    for (major, statistic) in [(13, 12), (15, 12), (17, 12), (18, 16)] {
        let data = with_everything(statistic, Some(900));
        assert_eq!(said_of(major, XACT, 0x80 | 0x30, 0, &data), end(Some(900), EPOCH + 5, true));
        assert_eq!(said_of(major, XACT, 0x80 | 0x40, 0, &data), end(Some(900), EPOCH + 5, false));
        assert_eq!(said_of(major, XACT, 0x80, 44, &data), end(Some(44), EPOCH + 5, true));
        // One of which not all is there has no wrong number.
        let body = main_data(&data);
        let cut = record(XACT, 0xB0, 0, &body);
        for length in 13..body.len() - 8 {
            assert_eq!(said(major, &cut, &body[..length]), end(None, EPOCH + 5, true), "{length}");
        }
    }
    assert_eq!(said_of(18, XACT, 0xB0, 0, &with_everything(16, None)), end(None, EPOCH + 5, true));
    assert_eq!(said_of(18, XACT, 0x30, 0, &time), end(None, EPOCH + 5, true));
    assert_eq!(said_of(18, XACT, 0x00, 7, &time[..7]), None);
    assert_eq!(said_of(18, XACT, 0x00, 7, &i64::MAX.to_le_bytes()), None);
    // An origin and a top-level transaction may be in front of the data.
    let body = [&[253, 1, 0, 252, 2, 0, 0, 0, 255, 8][..], &time].concat();
    assert_eq!(said(18, &record(XACT, 0, 7, &body), &body), end(Some(7), EPOCH + 5, true));
}

#[test]
fn clocks_and_restore_points() {
    let mut checkpoint = [0xEE; 88];
    checkpoint[64..72].copy_from_slice(&1_700_000_000i64.to_le_bytes());
    for info in [0x00, 0x10] {
        let clock = Some(Said::Clock(1_700_000_000_000_000));
        assert_eq!(said_of(13, XLOG, info, 0, &checkpoint), clock);
    }
    let time = 9i64.to_le_bytes();
    assert_eq!(said_of(18, XLOG, 0x90, 0, &time), Some(Said::Clock(EPOCH + 9)));
    assert_eq!(said_of(18, XLOG, 0xD0, 0, &[&[1; 8][..], &time].concat()), Some(Said::Clock(EPOCH + 9)));
    let mut name = [0; 64];
    name[..5].copy_from_slice(b"a\xFFb\0c");
    let point = RestorePoint { name: "a\u{FFFD}b".to_owned(), lsn: Lsn(0x100), time: EPOCH + 9 };
    let data = [&time[..], &name].concat();
    assert_eq!(said_of(15, XLOG, 0x70, 0, &data), Some(Said::Point(point)));
    for info in [0x20, 0x40, 0x50, 0x60, 0x80, 0xA0, 0xB0, 0xE0] {
        assert_eq!(said_of(18, XLOG, info, 0, &data), None);
    }
    // The same data of another resource manager is something else.
    assert_eq!(said_of(15, 10, 0x70, 0, &data), None);
}

#[test]
fn contents_of_records() {
    let mut contents = Contents::default();
    let ended = |xid, time, is_commit| {
        Said::End(TransactionEnd { lsn: Lsn(0x100), end: Lsn(0x200), xid, time, is_commit })
    };
    let point = RestorePoint { name: "p".to_owned(), lsn: Lsn(1), time: 40 };
    contents.add(None);
    for said in [
        ended(Some(u32::MAX - 1), 20, true),
        ended(Some(5), 10, false),
        ended(Some(u32::MAX), 30, true),
        Said::Point(point.clone()),
        Said::Clock(50),
        Said::Clock(45),
    ] {
        contents.add(Some(&said));
    }
    let mut expected = Contents {
        records: 7,
        commits: 2,
        ended: Some((10, 30)),
        // They go in a circle.
        transactions: Some((u32::MAX - 1, 5)),
        unknown_transactions: false,
        clock: Some(50),
        restore_points: vec![point.clone()],
        more_restore_points: false,
    };
    assert_eq!(contents, expected);
    contents.add(Some(&ended(None, 60, true)));
    expected.unknown_transactions = true;
    (expected.records, expected.commits) = (8, 3);
    (expected.ended, expected.clock) = (Some((10, 60)), Some(60));
    assert_eq!(contents, expected);
    for _ in 0..2000 {
        contents.add(Some(&Said::Point(point.clone())));
    }
    assert_eq!((contents.restore_points.len(), contents.more_restore_points), (1000, true));
    assert!(is_before(3, 4) && !is_before(4, 3) && !is_before(4, 4) && is_before(u32::MAX, 3));
}

fn walk_over(major: i32, system_identifier: u64, at: u64, bytes: &[u8], piece: usize) -> Vec<Option<Said>> {
    let mut walk = Walk::new(format(major, system_identifier), Lsn(at)).unwrap();
    let mut all = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut see = |record: &Record, body: &[u8]| all.push(said(major, record, body));
        walk.feed_bodies(walk.expects(), piece, &mut see).unwrap();
    }
    all
}

#[test]
fn every_major() {
    for (major, system_identifier, segment) in FIXTURES {
        let mut bytes = fixture(&major.to_string());
        bytes.resize(1 << 20, 0);
        let text = String::from_utf8(fixture(&format!("{major}.txt"))).unwrap();
        let whole = walk_over(major, system_identifier, segment, &bytes, 1 << 20);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("rmgr: ")).collect();
        assert_eq!(whole.len(), lines.len());
        for (said, line) in whole.iter().zip(lines) {
            let is_end = line.contains("desc: COMMIT") || line.contains("desc: ABORT");
            assert_eq!(matches!(said, Some(Said::End(_))), is_end, "PostgreSQL {major}: {line}");
            let is_checkpoint = line.contains("desc: CHECKPOINT_ONLINE");
            assert_eq!(matches!(said, Some(Said::Clock(_))), is_checkpoint, "PostgreSQL {major}: {line}");
        }
        for piece in [1, 7, 8191] {
            assert_eq!(walk_over(major, system_identifier, segment, &bytes, piece), whole);
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics(
        major in 13i32..=18, manager in 0u8..4, info in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..200),
        has_data in any::<bool>(), flags in any::<u16>(),
    ) {
        let mut body = body;
        if has_data && body.len() > 12 {
            body[8..12].copy_from_slice(&u32::from(flags).to_le_bytes());
            body = main_data(&body);
        }
        let all = said(major, &record(manager, info, 7, &body), &body);
        // What is cut off says less, and nothing else.
        for cut in 0..body.len() {
            let some = said(major, &record(manager, info, 7, &body), &body[..cut]);
            match (&some, &all) {
                (None | Some(Said::Clock(_)), _) => {}
                (Some(Said::End(some)), Some(Said::End(all))) => {
                    prop_assert!(some.xid.is_none() || some.xid == all.xid);
                    prop_assert_eq!(some.time, all.time);
                }
                (Some(Said::Point(_)), Some(Said::Point(_))) => {}
                _ => prop_assert!(!has_data, "{some:?} of {all:?}"),
            }
        }
    }
}
