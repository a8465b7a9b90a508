//! Any bytes as WAL: however they are cut, a walk sees the same records and ends with the same
//! error. Where a checksum is wrong it is made right, so that what is behind it is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::page::PageHeader;
use pgark_bytes::wal::record::main_data;
use pgark_bytes::wal::{Record, WalFormat, Walk, WalkError};

fn walk_over(mut walk: Walk, at: Lsn, bytes: &[u8], piece: usize) -> (Vec<Record>, Lsn, Option<WalkError>) {
    let mut records: Vec<Record> = Vec::new();
    let mut position = at.0;
    for piece in bytes.chunks(piece) {
        let result = walk.feed(Lsn(position), piece, &mut |record| {
            assert!(records.last().is_none_or(|last| last.end <= record.lsn));
            records.push(*record);
        });
        if let Err(error) = result {
            return (records, walk.proved(), Some(error));
        }
        position += piece.len() as u64;
        assert_eq!(walk.expects().0, position.max(walk.expects().0));
    }
    assert_eq!(walk.records(), records.len() as u64);
    assert!(walk.backup_ends().count() <= records.len());
    (records, walk.proved(), None)
}

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (piece, start, bytes) = input;
    let _ = main_data(bytes);
    let Ok(header) = PageHeader::parse(bytes) else { return };
    let Some(long) = header.long else { return };
    let format = WalFormat {
        major: header.major,
        system_identifier: long.system_identifier,
        timeline: header.timeline,
        segment_size: long.segment_size,
        page_size: long.page_size,
    };
    let at = header.address;
    let Some(start) = at.0.checked_add(u64::from(start) * 8) else { return };
    let Ok(walk) = Walk::new(format, Lsn(start)) else { return };
    let mut bytes = bytes.to_vec();
    for _ in 0..50 {
        let whole = walk_over(walk.clone(), at, &bytes, bytes.len());
        assert_eq!(walk_over(walk.clone(), at, &bytes, usize::from(piece).max(1)), whole);
        let (_, proved, Some(WalkError::Checksum { at: record, computed, .. })) = whole else { return };
        assert!(proved <= record.max(Lsn(start)));
        for (byte, crc) in (20..).zip(computed.to_le_bytes()) {
            // On the next page it is behind that page's header.
            let page = u64::from(format.page_size);
            let mut place = record.0 + byte;
            if place / page != record.0 / page {
                let is_segment = format.segment_size.offset_of(Lsn(place - place % page)) == 0;
                place += if is_segment { 40 } else { 24 };
            }
            let Some(byte) = bytes.get_mut((place - at.0) as usize) else { return };
            *byte = crc;
        }
    }
});
