//! Physical backups that a recovery can begin with.

use jiff::Timestamp;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal_name::SegmentSize;
use pgark_repo::BackupHead;

use crate::facts::About;

/// A physical backup, and where its own WAL begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub id: String,
    pub system_identifier: String,
    pub timeline: u32,
    pub start: Lsn,
    pub stop: Lsn,
    /// Bytes of a segment of its WAL.
    pub segment_size: SegmentSize,
    /// When it ended.
    pub stop_time: Option<Timestamp>,
}

/// Those of a system among these backups.
pub(crate) fn of_system<'h>(
    heads: impl IntoIterator<Item = &'h BackupHead>,
    system_identifier: &str,
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = heads.into_iter().filter_map(Candidate::of).collect();
    candidates.retain(|candidate| candidate.system_identifier == system_identifier);
    candidates
}

impl Candidate {
    /// None: it is of another kind, or does not say where it ends.
    pub(crate) fn of(head: &BackupHead) -> Option<Candidate> {
        let about = About::of(head).ok()?;
        let physical = about.physical?;
        Some(Candidate {
            id: head.id.to_string(),
            system_identifier: about.system_identifier,
            timeline: physical.timeline,
            start: physical.start_lsn.parse().ok()?,
            stop: physical.stop_lsn.parse().ok()?,
            segment_size: SegmentSize::new(physical.wal_segment_size).ok()?,
            stop_time: physical.stop_time.parse().ok(),
        })
    }
}
