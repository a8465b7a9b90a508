//! Walks over WAL: what PostgreSQL 13 to 18 wrote, against their `pg_waldump`; and WAL that is made
//! here, cut into any pieces and damaged anywhere.
//!
//! `fixtures/wal/MAJOR` is the front of a segment of 1 MiB in which a base backup began and ended,
//! without the zeros behind its last record; `MAJOR.txt` is what that major's `pg_waldump` said of
//! the segment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/wal_fixtures.rs"]
mod wal_fixtures;

use common::Cluster;
use pgark_bytes::control_file::ControlFile;
use pgark_bytes::crc32c;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::page::{LongHeader, PageError, PageFirst, PageHeader};
use pgark_bytes::wal::record::main_data;
use pgark_bytes::wal::{BackupEnd, Record, WalFormat, Walk, WalkError};
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use proptest::prelude::*;
use regex::Regex;
use wal_fixtures::{FIXTURES, fixture, format};

/// Length, transaction, LSN and the LSN before, of each record.
fn waldump(text: &str) -> Vec<(u32, u32, Lsn, Lsn)> {
    let line =
        Regex::new(r"(?m)^rmgr: .* len \(rec/tot\): +\d+/ *(\d+), tx: +(\d+), lsn: (\S+), prev (\S+), ")
            .unwrap();
    line.captures_iter(text)
        .map(|found| {
            let [length, xid] = [1, 2].map(|group| found[group].parse().unwrap());
            (length, xid, found[3].parse().unwrap(), found[4].parse().unwrap())
        })
        .collect()
}

fn as_waldump(record: &Record) -> (u32, u32, Lsn, Lsn) {
    (record.header.total_length, record.header.xid, record.lsn, record.header.previous)
}

/// Feeds pieces of this length; the records that were seen, or what is wrong.
fn walk_over(walk: &mut Walk, at: Lsn, bytes: &[u8], piece: usize) -> Result<Vec<Record>, WalkError> {
    let mut records = Vec::new();
    let mut at = at.0;
    for piece in bytes.chunks(piece.max(1)) {
        walk.feed(Lsn(at), piece, &mut |record| records.push(*record))?;
        at += piece.len() as u64;
    }
    Ok(records)
}

#[test]
fn backups_of_every_major() {
    for (major, system_identifier, segment) in FIXTURES {
        let mut bytes = fixture(&major.to_string());
        bytes.resize(1 << 20, 0);
        let said = waldump(&String::from_utf8(fixture(&format!("{major}.txt"))).unwrap());
        assert!(said.len() >= 4);
        let start = Lsn(segment + 0x28);
        for piece in [1, 7, 24, 8191, 8192, 1 << 20] {
            // The first LSN of a page means the first record on it.
            for begin in [Lsn(segment), start] {
                let mut walk = Walk::new(format(major, system_identifier), begin).unwrap();
                let records = walk_over(&mut walk, Lsn(segment), &bytes, piece).unwrap();
                assert_eq!(records.iter().map(as_waldump).collect::<Vec<_>>(), said);
                assert_eq!((walk.records(), walk.proved()), (said.len() as u64, Lsn(segment + (1 << 20))));
                // It is the last but one: the server switches to the next segment then.
                let (lsn, end) = (said[said.len() - 2].2, said[said.len() - 1].2);
                assert_eq!(walk.backup_end_of(start), Some(BackupEnd { backup_start: start, lsn, end }));
                assert_eq!(walk.backup_ends().count(), 1);
                assert_eq!(walk.backup_end_of(Lsn(segment)), None);
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_backup_is_found() {
    for (major, system_identifier, segment) in [FIXTURES[0], FIXTURES[5]] {
        let written = fixture(&major.to_string());
        // A length that grew is found where the next page does not go on.
        let mut bytes = written.clone();
        bytes.resize(2 * 8192, 0);
        let start = Lsn(segment + 0x28);
        let walk = |bytes: &[u8]| {
            let mut walk = Walk::new(format(major, system_identifier), start).unwrap();
            let result = walk_over(&mut walk, Lsn(segment), bytes, 64);
            (result.map(|records| records.len()), walk)
        };
        let records = waldump(&String::from_utf8(fixture(&format!("{major}.txt"))).unwrap());
        assert_eq!(walk(&bytes).0, Ok(records.len()));
        for bit in 0..written.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (result, mut walk) = walk(&damaged);
            let at = segment + (bit / 8) as u64;
            // Of a page's header, nothing looks at two of its flags, at what is left of no record,
            // and at four bytes; and nothing at what lies between records.
            let is_header_unused = matches!(bit, 18 | 19) || (16 * 8..24 * 8).contains(&bit);
            let in_record =
                |record: &(u32, u32, Lsn, Lsn)| (record.2.0..record.2.0 + u64::from(record.0)).contains(&at);
            let is_unused = if at < start.0 { is_header_unused } else { !records.iter().any(in_record) };
            assert_eq!(result.is_ok(), is_unused, "PostgreSQL {major}, bit {bit}: {result:?}");
            if let Err(error) = result {
                let end = walk.backup_end_of(start);
                assert!(walk.proved().0 <= at.max(start.0) && end.is_none_or(|end| end.end.0 <= at));
                // It does not go on.
                let expects = walk.expects();
                assert_eq!(walk.feed(expects, b"x", &mut |_| ()), Err(error));
            }
        }
    }
}

#[test]
fn headers_of_pages() {
    let bytes = fixture("18");
    let long = LongHeader {
        system_identifier: 7714091698936812201,
        segment_size: SegmentSize::new(1 << 20).unwrap(),
        page_size: 8192,
    };
    let header = PageHeader {
        major: 18,
        timeline: 1,
        address: Lsn(0xC0_0000),
        first: PageFirst::Record,
        long: Some(long),
    };
    assert_eq!(PageHeader::parse(&bytes), Ok(header));
    assert_eq!(header.bytes(), 40);
    // The second page of a backup of 15: an inserted row's image goes on.
    let second = PageHeader::parse(&fixture("15")[8192..]).unwrap();
    assert_eq!((second.first, second.long, second.bytes()), (PageFirst::Continuation(258), None, 24));
    for end in 0..40 {
        assert_eq!(PageHeader::parse(&bytes[..end]), Err(PageError::Short));
    }
    let changed = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        PageHeader::parse(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, &0xD121u16.to_le_bytes()), PageError::Magic { magic: 0xD121 });
    assert_eq!(changed(0, &0xD118u16.to_be_bytes()), PageError::ByteOrder);
    assert_eq!(changed(0, &[0; 40]), PageError::Empty);
    assert_eq!(changed(2, &[0x12]), PageError::Flags { flags: 0x12 });
    assert_eq!(changed(2, &[0x0B]), PageError::Flags { flags: 0x0B });
    assert_eq!(changed(32, &[1]), PageError::SegmentSize { bytes: (1 << 20) + 1 });
    assert_eq!(changed(37, &[2]), PageError::PageSize { bytes: 512 });
}

#[test]
fn main_data_behind_other_heads() {
    for (body, data) in [
        (&b""[..], Some(&b""[..])),
        (b"\xFF\x02ab", Some(b"ab")),
        (b"\xFF\x02a", None),
        (b"\xFF", None),
        (b"\xFE\x02\0\0\0ab", Some(b"ab")),
        (b"\xFE\x02\0\0", None),
        (b"\xFD\x01\x02\xFC\x01\x02\x03\x04\xFF\x01a", Some(b"a")),
        (b"\xFD\x01", None),
        (b"\0\0\0\0", None),
    ] {
        assert_eq!(main_data(body), data, "{body:?}");
    }
}

/// What makes WAL, as a server would.
struct Maker {
    format: WalFormat,
    start: u64,
    bytes: Vec<u8>,
    previous: u64,
    /// Whether a change of the byte is found: it is of a record, or of a header's checked part.
    is_checked: Vec<bool>,
    records: Vec<Record>,
}

impl Maker {
    fn new(format: WalFormat, start: u64) -> Maker {
        let previous = start.saturating_sub(64);
        Maker { format, start, bytes: Vec::new(), previous, is_checked: Vec::new(), records: Vec::new() }
    }

    fn position(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn put(&mut self, bytes: &[u8], is_checked: bool) {
        self.bytes.extend_from_slice(bytes);
        self.is_checked.resize(self.bytes.len(), is_checked);
    }

    fn header(&mut self, flags: u16, left: u32) {
        let at = self.position();
        let is_long = self.format.segment_size.offset_of(Lsn(at)) == 0;
        let flags = flags | if is_long { 2 } else { 0 };
        let magic: u16 = match self.format.major {
            13 => 0xD106,
            15 => 0xD110,
            18 => 0xD118,
            other => panic!("no magic of {other}"),
        };
        self.put(&magic.to_le_bytes(), true);
        self.put(&flags.to_le_bytes(), flags & 9 != 0);
        self.put(&self.format.timeline.to_le_bytes(), true);
        self.put(&at.to_le_bytes(), true);
        self.put(&left.to_le_bytes(), flags & 1 != 0);
        self.put(&[0; 4], false);
        if is_long {
            self.put(&self.format.system_identifier.to_le_bytes(), true);
            self.put(&self.format.segment_size.bytes().to_le_bytes(), true);
            self.put(&self.format.page_size.to_le_bytes(), true);
        }
    }

    fn on_page(&self) -> usize {
        (self.position() % u64::from(self.format.page_size)) as usize
    }

    /// Bytes of the record, its CRC in it.
    fn made(&self, manager: u8, info: u8, body: &[u8]) -> Vec<u8> {
        let mut record = (24 + body.len() as u32).to_le_bytes().to_vec();
        record.extend_from_slice(&77u32.to_le_bytes());
        record.extend_from_slice(&self.previous.to_le_bytes());
        record.extend_from_slice(&[info, manager, 0, 0]);
        let crc = crc32c::checksum(&[body, &record].concat());
        record.extend_from_slice(&crc.to_le_bytes());
        record.extend_from_slice(body);
        record
    }

    fn record(&mut self, manager: u8, info: u8, body: &[u8]) {
        if self.on_page() == 0 {
            self.header(0, 0);
        }
        let lsn = self.position();
        let record = self.made(manager, info, body);
        self.pieces(&record);
        let end = self.position().next_multiple_of(8);
        self.put(&vec![0; (end - self.position()) as usize], false);
        let header = record.first_chunk().map(pgark_bytes::wal::record::RecordHeader::parse).unwrap();
        self.records.push(Record { lsn: Lsn(lsn), end: Lsn(end), header });
        self.previous = lsn;
    }

    fn pieces(&mut self, record: &[u8]) {
        let mut rest = record;
        while !rest.is_empty() {
            if self.on_page() == 0 {
                self.header(1, rest.len() as u32);
            }
            let room = self.format.page_size as usize - self.on_page();
            let (piece, behind) = rest.split_at(room.min(rest.len()));
            self.put(piece, true);
            rest = behind;
        }
    }

    fn switch(&mut self) {
        self.record(0, 0x40, b"");
        let end = self.position().next_multiple_of(u64::from(self.format.segment_size.bytes()));
        self.put(&vec![0; (end - self.position()) as usize], false);
    }

    /// A record of which only what is on this page was written; what replaces it.
    fn crash(&mut self, named: Option<u64>) {
        if self.on_page() == 0 {
            self.header(0, 0);
        }
        let lsn = self.position();
        let record = self.made(10, 0, &vec![7; 2 * self.format.page_size as usize]);
        let room = self.format.page_size as usize - self.on_page();
        // It does not count, whatever it says.
        self.put(&record[..room], false);
        self.header(8, 0);
        let body = [&b"\xFF\x10"[..], &named.unwrap_or(lsn).to_le_bytes(), &[9; 8]].concat();
        self.record(0, 0xD0, &body);
    }

    fn walk(&self) -> Walk {
        Walk::new(self.format, Lsn(self.start)).unwrap()
    }
}

fn end_of_backup(start: u64) -> Vec<u8> {
    [&b"\xFF\x08"[..], &start.to_le_bytes()].concat()
}

#[test]
fn what_is_not_the_wal_that_is_expected() {
    let expected = format(18, 5);
    let error_of = |made: WalFormat, start: u64| {
        let mut maker = Maker::new(made, start);
        maker.record(10, 0, &[1; 100]);
        let mut walk = Walk::new(expected, Lsn(start)).unwrap();
        walk_over(&mut walk, Lsn(start), &maker.bytes, 100).unwrap_err()
    };
    let at = Lsn(1 << 20);
    assert_eq!(
        error_of(WalFormat { major: 13, ..expected }, at.0),
        WalkError::Major { at, found: 13, expected: 18 }
    );
    let error = error_of(WalFormat { system_identifier: 6, ..expected }, at.0);
    assert_eq!(error, WalkError::SystemIdentifier { at, found: 6, expected: 5 });
    let error = error_of(WalFormat { segment_size: SegmentSize::DEFAULT, ..expected }, 16 << 20);
    assert_eq!(error, WalkError::Sizes { at: Lsn(16 << 20), segment: 16 << 20, page: 8192 });
    let error = error_of(WalFormat { page_size: 4096, ..expected }, at.0);
    assert_eq!(error, WalkError::Sizes { at, segment: 1 << 20, page: 4096 });
    let error = error_of(WalFormat { segment_size: SegmentSize::DEFAULT, ..expected }, at.0);
    assert_eq!(error, WalkError::NoLongHeader { at });
    for found in [0, 2] {
        let error = error_of(WalFormat { timeline: found, ..expected }, at.0);
        assert_eq!(error, WalkError::Timeline { at, found, expected: 1 });
    }
    // Recycled: the page is of an earlier segment.
    let mut maker = Maker::new(expected, at.0);
    maker.record(10, 0, &[1; 100]);
    let mut walk = Walk::new(expected, Lsn(2 << 20)).unwrap();
    let error = walk_over(&mut walk, Lsn(2 << 20), &maker.bytes, 100).unwrap_err();
    assert_eq!(error, WalkError::Address { at: Lsn(2 << 20), found: at });
}

#[test]
fn timelines_rise() {
    // Timeline 3 began in the midst of a segment, with a copy of what 2 had written there.
    let mut maker = Maker::new(WalFormat { timeline: 2, ..format(15, 5) }, 1 << 20);
    maker.record(10, 0, &[1; 9000]);
    maker.format.timeline = 3;
    maker.record(10, 0, &[1; 9000]);
    let mut walk = Walk::new(maker.format, Lsn(1 << 20)).unwrap();
    assert_eq!(walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 999).map(|records| records.len()), Ok(2));
    maker.format.timeline = 2;
    maker.record(10, 0, &[1; 9000]);
    let mut walk = Walk::new(WalFormat { timeline: 3, ..maker.format }, Lsn(1 << 20)).unwrap();
    let error = walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 999).unwrap_err();
    assert_eq!(error, WalkError::Timeline { at: Lsn((1 << 20) + 3 * 8192), found: 2, expected: 3 });
}

#[test]
fn where_a_walk_can_begin() {
    let format = format(15, 5);
    let start = 3 << 20;
    for at in [1, 4, 7, start + 1, u64::MAX, u64::MAX - 7] {
        assert_eq!(Walk::new(format, Lsn(at)).unwrap_err(), WalkError::Start { at: Lsn(at) });
    }
    for bytes in [0, 512, 8193, 1 << 17] {
        let error = Walk::new(WalFormat { page_size: bytes, ..format }, Lsn(0)).unwrap_err();
        assert_eq!(error, WalkError::PageSize { bytes });
    }
    // A record of three pages, one that ends with its page, one more.
    let mut maker = Maker::new(format, start);
    maker.record(10, 0, &[1; 20_000]);
    let room = 8192 - maker.on_page() - 24;
    maker.record(10, 0, &vec![2; room]);
    assert_eq!(maker.on_page(), 0);
    maker.record(10, 0, &[3; 10]);
    let walk = |from: u64, begin: u64| {
        let mut walk = Walk::new(format, Lsn(begin)).unwrap();
        let bytes = &maker.bytes[(from - start) as usize..];
        walk_over(&mut walk, Lsn(from), bytes, 1000).map(|records| (records.len(), walk.expects()))
    };
    let end = Lsn(maker.position());
    assert_eq!(walk(start, start), Ok((3, end)));
    // In the midst of the first record, on a page that it fills, and on its last.
    assert_eq!(walk(start + 8192, start + 8192), Ok((2, end)));
    assert_eq!(walk(start + 2 * 8192, start + 2 * 8192), Ok((2, end)));
    assert_eq!(walk(start + 3 * 8192, start + 3 * 8192), Ok((1, end)));
    // A stream that begins earlier, and a record's own place.
    assert_eq!(walk(start, start + 2 * 8192), Ok((2, end)));
    let third = maker.records[2].lsn;
    assert_eq!(walk(start, third.0), Ok((1, end)));
    // Inside of a header; in the midst of a record.
    let inside = start + 3 * 8192 + 16;
    assert_eq!(walk(start, inside), Err(WalkError::Start { at: Lsn(inside) }));
    let midst = start + 8192 + 24;
    assert_eq!(walk(start, midst), Err(WalkError::Unbegun { at: Lsn(start + 8192) }));
    let found = Lsn(0x0101_0101_0101_0101);
    assert_eq!(walk(start, midst + 8), Err(WalkError::Previous { at: Lsn(midst + 8), found }));
}

#[test]
fn pieces_that_do_not_follow() {
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.record(10, 0, &[1; 20_000]);
    let mut walk = maker.walk();
    walk.feed(Lsn(1 << 20), &maker.bytes[..100], &mut |_| ()).unwrap();
    let error = walk.clone().feed(Lsn((1 << 20) + 101), &maker.bytes[101..], &mut |_| ()).unwrap_err();
    let (expected, found) = (Lsn((1 << 20) + 100), Lsn((1 << 20) + 101));
    assert_eq!(error, WalkError::Gap { expected, found });
    let error = walk.clone().feed(Lsn(1 << 20), &maker.bytes, &mut |_| ()).unwrap_err();
    assert_eq!(error, WalkError::Gap { expected, found: Lsn(1 << 20) });
    walk.feed(expected, &maker.bytes[100..], &mut |_| ()).unwrap();
    assert_eq!((walk.records(), walk.proved()), (1, Lsn(maker.position())));
    // A stream that begins behind the start.
    let error = maker.walk().feed(found, &maker.bytes[101..], &mut |_| ()).unwrap_err();
    assert_eq!(error, WalkError::Gap { expected: Lsn(1 << 20), found });
}

#[test]
fn the_end_of_what_was_written() {
    // Zeros behind the last record, and at the start of a page.
    for bytes in [100, 8192 - 40 - 24] {
        let mut maker = Maker::new(format(15, 5), 1 << 20);
        maker.record(10, 0, &vec![1; bytes]);
        let end = Lsn(maker.position());
        let mut walk = maker.walk();
        maker.put(&[0; 8192], false);
        let error = walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 1000).unwrap_err();
        assert_eq!((error, walk.proved()), (WalkError::End { at: end }, end));
    }
    // A record that is never finished.
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.record(10, 0, &[1; 9000]);
    let page = Lsn((1 << 20) + 8192);
    maker.bytes[8192..].fill(0);
    let mut walk = maker.walk();
    let error = walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 1000).unwrap_err();
    assert_eq!((error, walk.proved()), (WalkError::Page { at: page, error: PageError::Empty }, Lsn(1 << 20)));
    // What was there before, from the segment's earlier use.
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.record(10, 0, &[1; 100]);
    let (end, previous) = (maker.position(), maker.previous);
    maker.previous = 8;
    maker.record(10, 0, &[1; 100]);
    let mut walk = maker.walk();
    let error = walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 1000).unwrap_err();
    assert_eq!(error, WalkError::Previous { at: Lsn(end), found: Lsn(8) });
    assert!(previous != 8 && walk.proved() == Lsn(end));
}

#[test]
fn lengths_take_no_memory() {
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.record(10, 0, &[1; 100]);
    for (length, is_refused) in [(23u32, true), (0x3FFF_FFFF, false), (0x4000_0000, true), (u32::MAX, true)] {
        let mut bytes = maker.bytes.clone();
        bytes[40..44].copy_from_slice(&length.to_le_bytes());
        let mut walk = maker.walk();
        let result = walk_over(&mut walk, Lsn(1 << 20), &bytes, 7).map(|records| records.len());
        let error = WalkError::Length { at: Lsn((1 << 20) + 40), length };
        assert_eq!(result, if is_refused { Err(error) } else { Ok(0) });
    }
    // Nor do ends of backups.
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    for start in 0..3000 {
        maker.record(0, 0x50, &end_of_backup(start));
    }
    let mut walk = maker.walk();
    walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 5000).unwrap();
    assert_eq!((walk.records(), walk.backup_ends().count()), (3000, 1024));
    assert!(walk.backup_end_of(Lsn(2999)).is_some() && walk.backup_end_of(Lsn(0)).is_none());
    // A long record is hashed as it comes.
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.record(0, 0x50, &[1; 3 << 20]);
    maker.record(10, 0, &[1; 100]);
    let mut walk = maker.walk();
    let error = walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 5000).unwrap_err();
    assert_eq!(error, WalkError::BackupEnd { at: Lsn((1 << 20) + 40) });
}

#[test]
fn resource_managers_of_extensions() {
    for (major, manager, is_known) in
        [(13, 21, true), (18, 21, true), (18, 22, false), (18, 127, false), (18, 128, true), (13, 128, false)]
    {
        let mut maker = Maker::new(format(major, 5), 1 << 20);
        maker.record(manager, 0, b"x");
        let result = walk_over(&mut maker.walk(), Lsn(1 << 20), &maker.bytes, 9).map(|records| records.len());
        let error = WalkError::ResourceManager { at: Lsn((1 << 20) + 40), id: manager };
        assert_eq!(result, if is_known { Ok(1) } else { Err(error) });
    }
}

#[test]
fn records_that_a_crash_left_unfinished() {
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.record(10, 0, &[1; 100]);
    maker.crash(None);
    maker.record(10, 0, &[1; 100]);
    let mut walk = maker.walk();
    let records = walk_over(&mut walk, Lsn(1 << 20), &maker.bytes, 500).unwrap();
    assert_eq!((records, walk.proved()), (maker.records.clone(), Lsn(maker.position())));
    // It must name that record.
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.crash(Some(16));
    let at = maker.records[0].lsn;
    let error = walk_over(&mut maker.walk(), Lsn(1 << 20), &maker.bytes, 500).unwrap_err();
    assert_eq!(error, WalkError::Overwrite { at, unfinished: Lsn((1 << 20) + 40) });
    // And be the first.
    let mut maker = Maker::new(format(15, 5), 1 << 20);
    maker.crash(None);
    let from = maker.bytes.len() - (maker.position() - maker.records[0].lsn.0) as usize;
    maker.bytes.truncate(from);
    maker.previous = (1 << 20) - 64;
    maker.record(10, 0, &[1; 100]);
    let error = walk_over(&mut maker.walk(), Lsn(1 << 20), &maker.bytes, 500).unwrap_err();
    assert_eq!(error, WalkError::Overwrite { at, unfinished: Lsn((1 << 20) + 40) });
}

/// What is made: a record of so many bytes, a switch, a crash, an end of a backup.
#[derive(Clone, Copy, Debug)]
enum Made {
    Record(u8, usize),
    Switch,
    Crash,
    BackupEnd(u64),
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let one = prop_oneof![
        6 => (1u8..=21, 0usize..200).prop_map(|(manager, bytes)| Made::Record(manager, bytes)),
        4 => (1u8..=21, 0usize..20_000).prop_map(|(manager, bytes)| Made::Record(manager, bytes)),
        1 => Just(Made::Switch),
        1 => Just(Made::Crash),
        2 => any::<u64>().prop_map(Made::BackupEnd),
    ];
    proptest::collection::vec(one, 1..25)
}

/// WAL that begins so many pages in front of a segment.
fn make(all: &[Made], page_shift: u32, pages: u64) -> Maker {
    let page_size = 1 << page_shift;
    let start = (5 << 20) - pages * u64::from(page_size);
    let mut maker = Maker::new(WalFormat { page_size, ..format(18, 99) }, start);
    for one in all {
        match *one {
            Made::Record(manager, bytes) => {
                let body: Vec<u8> = (0..bytes).map(|at| (at ^ bytes) as u8).collect();
                maker.record(manager, 0x40, &body);
            }
            Made::Switch => maker.switch(),
            Made::Crash => maker.crash(None),
            Made::BackupEnd(start) => maker.record(0, 0x50, &end_of_backup(start)),
        }
    }
    maker
}

proptest! {
    #[test]
    fn walks_see_what_was_made(
        all in made(), page_shift in 10u32..=16, pages in 0u64..4,
        pieces in proptest::collection::vec(1usize..40_000, 1..20), cut in any::<prop::sample::Index>(),
    ) {
        let maker = make(&all, page_shift, pages);
        let mut walk = maker.walk();
        let mut records = Vec::new();
        let (mut at, mut number) = (0, 0);
        let cut = cut.index(maker.bytes.len() + 1);
        while at < cut {
            let piece = pieces[number % pieces.len()].min(cut - at);
            let begin = Lsn(maker.start + at as u64);
            let result = walk.feed(begin, &maker.bytes[at..at + piece], &mut |record| records.push(*record));
            prop_assert_eq!(result, Ok(()));
            (at, number) = (at + piece, number + 1);
            prop_assert!(walk.proved() <= walk.expects());
        }
        // All that ended before the cut, and nothing else.
        let fed = maker.start + cut as u64;
        let ended = |record: &&Record| {
            // On its last page it has what is left; without the bytes that fill up.
            let fill = (8 - record.header.total_length % 8) % 8;
            record.end.0 - u64::from(fill) <= fed
        };
        let expected: Vec<Record> = maker.records.iter().take_while(ended).copied().collect();
        prop_assert_eq!(&records, &expected);
        prop_assert_eq!(walk.records(), expected.len() as u64);
        let switched = |record: &Record| record.header.resource_manager == 0 && record.header.info == 0x40;
        let proved = expected.last().map_or(maker.start, |last| {
            if switched(last) { last.end.0.next_multiple_of(1 << 20) } else { last.end.0 }
        });
        prop_assert_eq!(walk.proved(), Lsn(proved.min(fed.max(maker.start))));
        let ends: Vec<Lsn> = walk.backup_ends().map(|end| end.lsn).collect();
        let is_end = |record: &&Record| record.header.resource_manager == 0 && record.header.info == 0x50;
        prop_assert_eq!(ends, expected.iter().filter(is_end).map(|record| record.lsn).collect::<Vec<_>>());
    }

    #[test]
    fn damage_is_found(
        all in made(), page_shift in 10u32..=16, pages in 0u64..4,
        place in any::<prop::sample::Index>(), bit in 0u32..8,
    ) {
        let mut maker = make(&all, page_shift, pages);
        let checked: Vec<usize> = (0..maker.bytes.len()).filter(|at| maker.is_checked[*at]).collect();
        let at = checked[place.index(checked.len())];
        // Of the flags, no server looks at one, and the upper byte is never set.
        let is_flag = at % (1 << page_shift) == 2;
        prop_assume!(!(is_flag && bit == 2));
        maker.bytes[at] ^= 1 << bit;
        let mut walk = maker.walk();
        let result = walk_over(&mut walk, Lsn(maker.start), &maker.bytes, 3000);
        let damaged = Lsn(maker.start + at as u64);
        // A record whose length grew waits for what never comes.
        let is_proved = result.is_ok() && walk.proved() > damaged;
        prop_assert!(!is_proved, "{:?} at {damaged}, of {}", walk.proved(), maker.records.len());
        let honest = maker.records.iter().filter(|record| record.end <= damaged).count();
        prop_assert!(walk.records() <= honest as u64);
    }

    #[test]
    fn nothing_panics(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..3000), start in 0u64..400, piece in 1usize..500,
        is_header_right in any::<bool>(),
    ) {
        let maker = make(&[Made::Record(1, 0)], 10, 0);
        if is_header_right && bytes.len() > 1064 {
            bytes[..40].copy_from_slice(&maker.bytes[..40]);
            bytes[1024..1048].copy_from_slice(&maker.bytes[..24]);
        }
        if let Ok(mut walk) = Walk::new(maker.format, Lsn(maker.start + start * 8)) {
            let _ = walk_over(&mut walk, Lsn(maker.start), &bytes, piece);
            prop_assert!(walk.records() == 0 || walk.proved() > Lsn(maker.start));
        }
        let _ = (PageHeader::parse(&bytes), main_data(&bytes));
    }
}

/// A backup on a server that writes meanwhile, its segments as they lie in `pg_wal`.
#[test]
fn a_backup_of_a_server() {
    let cluster = Cluster::start();
    let sql = |sql: &str| cluster.sql("postgres", sql);
    let control = std::fs::read(cluster.path().join("data/global/pg_control")).unwrap();
    let control = ControlFile::parse(&control).unwrap();
    let major: i32 = sql("SHOW server_version_num").trim().parse::<i32>().unwrap() / 10_000;
    let (start, stop) = if major < 15 {
        ("pg_start_backup('b', true, false)", "(pg_stop_backup(false, false)).lsn")
    } else {
        ("pg_backup_start('b', true)", "(pg_backup_stop(false)).lsn")
    };
    sql("CREATE TABLE t (i int, x text); CHECKPOINT; INSERT INTO t SELECT 1, 'before'");
    // Rows of 1 kB, one value of 3 MB in one record, an index, and two switches in the midst.
    let script = format!(
        "SELECT {start} \\g
         INSERT INTO t SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, 9000) i \\g
         SELECT pg_switch_wal() IS NULL \\g
         SELECT pg_logical_emit_message(false, 'p', repeat('x', 3000000)) IS NULL \\g
         SELECT pg_switch_wal() IS NULL \\g
         CREATE INDEX ON t (x) \\g
         SELECT {stop} \\g"
    );
    let said = sql(&script);
    let said: Vec<&str> = said.lines().collect();
    let [start, _, _, _, stop] = said[..] else { panic!("{said:?}") };
    let (start, stop): (Lsn, Lsn) = (start.parse().unwrap(), stop.parse().unwrap());

    let size = SegmentSize::new(control.wal_segment_size).unwrap();
    let format = WalFormat {
        major,
        system_identifier: control.system_identifier,
        timeline: 1,
        segment_size: size,
        page_size: control.wal_block_size,
    };
    let mut walk = Walk::new(format, start).unwrap();
    let mut records = Vec::new();
    let pg_wal = cluster.path().join("data/pg_wal");
    let numbers = size.number_of(start)..=size.number_before(stop);
    assert!(numbers.clone().count() >= 3, "{start} to {stop}");
    for (piece, number) in [1000, 100_000, 33, 8192].into_iter().cycle().zip(numbers) {
        let name = SegmentName::new(1, number, size).unwrap();
        let bytes = std::fs::read(pg_wal.join(name.to_string())).unwrap();
        let result = walk_over(&mut walk, name.start(size).unwrap(), &bytes, piece);
        records.extend(result.unwrap());
    }
    let args = ["-p", pg_wal.to_str().unwrap(), "-s", &start.to_string(), "-e", &stop.to_string()];
    let said = waldump(&String::from_utf8(cluster.output("pg_waldump", &args)).unwrap());
    let seen: Vec<_> = records.iter().map(as_waldump).take_while(|record| record.2 < stop).collect();
    // The first difference, not ten thousand records.
    let different = seen.iter().zip(&said).find(|(seen, said)| seen != said);
    assert_eq!((seen.len(), different), (said.len(), None));
    assert!(said.len() > 9000 && said.iter().any(|record| record.0 > 3_000_000), "{}", said.len());
    assert!(walk.proved() >= stop);
    let end = walk.backup_end_of(start).unwrap();
    assert_eq!((end.end, end.lsn), (stop, said[said.len() - 1].2));
}
