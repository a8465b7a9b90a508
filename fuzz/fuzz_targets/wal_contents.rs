//! Any bytes as what a record of WAL says, and as block references. What a record changes has one
//! form as bytes; bytes that are accepted as references are those that these are written as.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::Record;
use pgark_bytes::wal::contents::{Contents, said};
use pgark_bytes::wal::record::{RECORD_HEADER_BYTES, RecordHeader};
use pgark_bytes::wal::references::{Collector, References};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(references) = References::decode(bytes) {
        assert_eq!(references.encode(), bytes);
        let mut twice = references.clone();
        twice.merge(&references);
        assert_eq!(twice, references);
    }
    // A major, and then records, each a header and as many bytes as it says.
    let Some((major, mut rest)) = bytes.split_first() else { return };
    let major = 13 + i32::from(major % 6);
    let (mut contents, mut collector) = (Contents::default(), Collector::default());
    while let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let header = RecordHeader::parse(header);
        let length = (header.total_length as usize).saturating_sub(RECORD_HEADER_BYTES).min(behind.len());
        let (body, others) = behind.split_at(length);
        let record = Record { lsn: Lsn(8), end: Lsn(16), header };
        contents.add(said(major, &record, body).as_ref());
        collector.add(major, &record, body);
        rest = others;
    }
    let references = collector.finish();
    assert_eq!(References::decode(&references.encode()), Ok(references));
});
