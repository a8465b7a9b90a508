//! What is said of an archived segment in its header, for those who cannot read its bytes: that it
//! follows the one before, and how far it goes.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::record::XLOG_SWITCH;
use pgark_bytes::wal::{Record, Walk};
use serde::{Deserialize, Serialize};

use super::file::SegmentHead;

/// Facts of a segment, in the header of its object as JSON. LSNs are texts such as `16/B374D848`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SegmentFacts {
    /// Major version of the server.
    pub major: i32,
    /// Bytes of a segment.
    pub segment_size: u32,
    /// Where the segment begins.
    pub start: String,
    /// Where the whole records of it end.
    pub end: String,
    /// The first record that begins in it. Null: one that began before fills it.
    pub first: Option<FirstRecord>,
    /// Where the last record begins that begins in it.
    pub last: Option<String>,
    /// The server switched to the next segment before this one was full.
    pub switched: bool,
    /// What is wrong with a record of it. Recovery ends there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// The first record of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FirstRecord {
    /// Where it begins.
    pub lsn: String,
    /// Where the record before it begins.
    pub previous: String,
}

impl SegmentFacts {
    /// Reads the records of a segment, and verifies all that are whole in it.
    pub(super) fn of(head: &SegmentHead, content: &[u8]) -> SegmentFacts {
        let mut facts = SegmentFacts {
            major: head.format.major,
            segment_size: head.format.segment_size.bytes(),
            start: head.start.to_string(),
            end: head.start.to_string(),
            ..SegmentFacts::default()
        };
        let mut walk = match Walk::new(head.format, head.start) {
            Ok(walk) => walk,
            Err(error) => return SegmentFacts { damaged: Some(error.to_string()), ..facts },
        };
        let mut last = None;
        let mut see = |record: &Record| {
            facts.first.get_or_insert_with(|| FirstRecord {
                lsn: record.lsn.to_string(),
                previous: record.header.previous.to_string(),
            });
            last = Some(record.lsn);
            facts.switched = record.header.is_xlog(XLOG_SWITCH);
        };
        let walked = walk.feed(head.start, content, &mut see);
        facts.damaged = walked.err().map(|error| error.to_string());
        let end_of_segment = Lsn(head.start.0 + u64::from(head.format.segment_size.bytes()));
        facts.end = walk.proved().min(end_of_segment).to_string();
        facts.last = walk.unfinished().or(last).map(|lsn| lsn.to_string());
        facts
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What a header says; None: it is not of this form.
    pub(super) fn parse(bytes: &[u8]) -> Option<SegmentFacts> {
        serde_json::from_slice(bytes).ok()
    }
}
