//! What records say besides that the WAL is whole: which transactions ended and when, restore
//! points, and until when the server's clock is known.
//!
//! | record | its main data |
//! |---|---|
//! | commit, abort; also of prepared transactions | the time; then, if the info says so, 32 flags, and what they name |
//! | checkpoint | at 64 the time, in seconds |
//! | restore point | the time; its name, 64 bytes |
//! | end of recovery | the time |
//! | overwritten record | an LSN; the time |
//!
//! Times are microseconds since 2000, UTC, but for checkpoints, whose are seconds since 1970
//! (src/include/access/xact.h, xlog_internal.h, catalog/pg_control.h of 13 to 18; the parts of a
//! commit in their order: `ParseCommitRecord` in src/backend/access/rmgrdesc/xactdesc.c).

use super::record::{
    self, RM_XACT, RM_XLOG, Record, RecordHeader, XLOG_CHECKPOINT_ONLINE, XLOG_CHECKPOINT_SHUTDOWN,
    XLOG_END_OF_RECOVERY, XLOG_OVERWRITE_CONTRECORD, XLOG_RESTORE_POINT,
};
use crate::lsn::Lsn;

/// Microseconds from 1970 to 2000.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Of the upper half of a transaction record's info, these say which it is.
const XACT_KIND: u8 = 0x70;
const XACT_COMMIT: u8 = 0x00;
const XACT_ABORT: u8 = 0x20;
const XACT_COMMIT_PREPARED: u8 = 0x30;
const XACT_ABORT_PREPARED: u8 = 0x40;
/// The main data has flags behind the time.
const XACT_HAS_INFO: u8 = 0x80;

/// Flags of a commit or abort: what follows them, in this order.
const HAS_DATABASE: u32 = 1 << 0;
const HAS_SUBTRANSACTIONS: u32 = 1 << 1;
const HAS_RELATIONS: u32 = 1 << 2;
const HAS_DROPPED_STATISTICS: u32 = 1 << 8;
const HAS_INVALIDATIONS: u32 = 1 << 3;
const HAS_TWO_PHASE: u32 = 1 << 4;

/// So many bytes are kept of the end of a transaction.
pub(super) const LONGEST_END: usize = 1 << 20;

/// Bytes of a restore point's name in its record.
const NAME: usize = 64;

/// So many restore points are kept, the first ones: who makes one with each row must not fill the
/// memory.
const KEPT_RESTORE_POINTS: usize = 1000;

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEnd {
    /// Where its record begins.
    pub lsn: Lsn,
    /// Where its record ends.
    pub end: Lsn,
    /// Its number; of a prepared one the number that it had when it was prepared. None: the record
    /// is longer than what was kept of it.
    pub xid: Option<u32>,
    /// Microseconds since 1970, UTC.
    pub time: i64,
    /// It committed; else it was rolled back.
    pub is_commit: bool,
}

/// A restore point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePoint {
    /// Its name, as far as it is UTF-8.
    pub name: String,
    /// Where its record begins.
    pub lsn: Lsn,
    /// Microseconds since 1970, UTC.
    pub time: i64,
}

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A transaction ended.
    End(TransactionEnd),
    /// There is a restore point.
    Point(RestorePoint),
    /// The server's clock was there: microseconds since 1970, UTC.
    Clock(i64),
}

/// How many bytes behind the header of a record are worth keeping.
pub(super) fn worth(header: &RecordHeader) -> usize {
    match header.resource_manager {
        RM_XLOG => 256,
        // The number of a prepared transaction comes last, behind what the transaction drops.
        RM_XACT if is_end(header) => LONGEST_END,
        _ => 0,
    }
}

/// What a record says, from its header and the first bytes behind that, as [`super::Walk`] keeps
/// them. `major`: of the server. None: nothing of this, or it has another form.
pub fn said(major: i32, record: &Record, body: &[u8]) -> Option<Said> {
    if !matches!(record.header.resource_manager, RM_XACT | RM_XLOG) {
        return None;
    }
    let data = record::main_data_so_far(body)?;
    match record.header.resource_manager {
        RM_XACT => ended(major, record, data).map(Said::End),
        RM_XLOG => match record.header.info & 0xF0 {
            XLOG_CHECKPOINT_SHUTDOWN | XLOG_CHECKPOINT_ONLINE => {
                let seconds = i64_at(data, 64)?;
                Some(Said::Clock(seconds.checked_mul(1_000_000)?))
            }
            XLOG_RESTORE_POINT => Some(Said::Point(RestorePoint {
                name: name(data.get(8..)?),
                lsn: record.lsn,
                time: time_at(data, 0)?,
            })),
            XLOG_END_OF_RECOVERY => Some(Said::Clock(time_at(data, 0)?)),
            XLOG_OVERWRITE_CONTRECORD => Some(Said::Clock(time_at(data, 8)?)),
            _ => None,
        },
        _ => None,
    }
}

fn ended(major: i32, record: &Record, data: &[u8]) -> Option<TransactionEnd> {
    let info = record.header.info;
    let (is_commit, is_prepared) = match info & XACT_KIND {
        XACT_COMMIT => (true, false),
        XACT_ABORT => (false, false),
        XACT_COMMIT_PREPARED => (true, true),
        XACT_ABORT_PREPARED => (false, true),
        _ => return None,
    };
    let xid = match is_prepared {
        true if info & XACT_HAS_INFO == 0 => None,
        true => prepared(major, data),
        false => Some(record.header.xid),
    };
    Some(TransactionEnd { lsn: record.lsn, end: record.end, xid, time: time_at(data, 0)?, is_commit })
}

/// Whether a record ends a transaction.
pub(super) fn is_end(header: &RecordHeader) -> bool {
    let kinds = [XACT_COMMIT, XACT_ABORT, XACT_COMMIT_PREPARED, XACT_ABORT_PREPARED];
    header.resource_manager == RM_XACT && kinds.contains(&(header.info & XACT_KIND))
}

/// The number of a transaction that had been prepared.
fn prepared(major: i32, data: &[u8]) -> Option<u32> {
    let flags = u32_at(data, 8)?;
    let (_, behind) = relations(flags, data)?;
    let statistics = if major >= 18 { 16 } else { 12 };
    let (_, behind) = list(flags & HAS_DROPPED_STATISTICS != 0, behind, statistics)?;
    let (_, behind) = list(flags & HAS_INVALIDATIONS != 0, behind, 16)?;
    match flags & HAS_TWO_PHASE {
        0 => None,
        _ => u32_at(behind, 0),
    }
}

/// The relations that a transaction drops as it ends, 12 bytes each. `data`: the main data of its
/// record. None: they are not all there.
pub(super) fn dropped_relations<'d>(header: &RecordHeader, data: &'d [u8]) -> Option<&'d [u8]> {
    if header.info & XACT_HAS_INFO == 0 {
        return Some(&[]);
    }
    relations(u32_at(data, 8)?, data).map(|(relations, _)| relations)
}

/// The relations that are dropped, and what follows.
fn relations(flags: u32, data: &[u8]) -> Option<(&[u8], &[u8])> {
    let database = if flags & HAS_DATABASE != 0 { 8 } else { 0 };
    let behind = data.get(12 + database..)?;
    let (_, behind) = list(flags & HAS_SUBTRANSACTIONS != 0, behind, 4)?;
    list(flags & HAS_RELATIONS != 0, behind, 12)
}

/// A list of things of `size` bytes behind their number, and what follows it.
fn list(is_there: bool, bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    if !is_there {
        return Some((&[], bytes));
    }
    let count = usize::try_from(u32_at(bytes, 0)?).ok()?;
    bytes.get(4..)?.split_at_checked(count.checked_mul(size)?)
}

fn name(bytes: &[u8]) -> String {
    let bytes = bytes.get(..NAME).unwrap_or(bytes);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn time_at(data: &[u8], at: usize) -> Option<i64> {
    i64_at(data, at)?.checked_add(POSTGRES_EPOCH)
}

fn i64_at(data: &[u8], at: usize) -> Option<i64> {
    data.get(at..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

pub(super) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// What the records of a run of WAL say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many there are.
    pub records: u64,
    /// Transactions that committed.
    pub commits: u64,
    /// The earliest and the latest time at which a transaction ended: microseconds since 1970, UTC.
    pub ended: Option<(i64, i64)>,
    /// The first and the last transaction that ended, in the order of their numbers, which go in a
    /// circle.
    pub transactions: Option<(u32, u32)>,
    /// Transactions ended of which the number is not known.
    pub unknown_transactions: bool,
    /// The latest time that a record says: microseconds since 1970, UTC.
    pub clock: Option<i64>,
    /// Restore points.
    pub restore_points: Vec<RestorePoint>,
    /// There are more restore points than could be kept.
    pub more_restore_points: bool,
}

impl Contents {
    /// Counts a record and what it says.
    pub fn add(&mut self, said: Option<&Said>) {
        self.records += 1;
        match said {
            Some(Said::End(end)) => {
                self.commits += u64::from(end.is_commit);
                let (first, last) = self.ended.unwrap_or((end.time, end.time));
                self.ended = Some((first.min(end.time), last.max(end.time)));
                self.clock = self.clock.max(Some(end.time));
                match end.xid {
                    Some(xid) => self.add_transaction(xid),
                    None => self.unknown_transactions = true,
                }
            }
            Some(Said::Point(point)) => {
                self.clock = self.clock.max(Some(point.time));
                if self.restore_points.len() < KEPT_RESTORE_POINTS {
                    self.restore_points.push(point.clone());
                } else {
                    self.more_restore_points = true;
                }
            }
            Some(Said::Clock(time)) => self.clock = self.clock.max(Some(*time)),
            None => {}
        }
    }

    fn add_transaction(&mut self, xid: u32) {
        let (first, last) = self.transactions.unwrap_or((xid, xid));
        let first = if is_before(xid, first) { xid } else { first };
        let last = if is_before(last, xid) { xid } else { last };
        self.transactions = Some((first, last));
    }
}

/// Whether a transaction was begun before another (`TransactionIdPrecedes` in
/// src/backend/access/transam/transam.c).
pub fn is_before(xid: u32, other: u32) -> bool {
    xid != other && xid.wrapping_sub(other) > u32::MAX / 2
}
