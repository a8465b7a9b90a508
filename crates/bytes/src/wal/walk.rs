//! A walk over the records of a run of WAL, which proves it: no byte is missing or changed that a
//! recovery would read.
//!
//! **What is proved.** Each page has the header that belongs at its LSN, of this cluster, version
//! and timeline. Each record follows the one before (it names it), its length and its continuations
//! agree, and its CRC is right. So a segment that is missing, of another cluster, recycled, or torn
//! is found. What is not read by any recovery is not looked at either: the few bytes between
//! records, and the rest of a segment behind a switch to the next.
//!
//! **How far.** [`Walk::proved`] is where the next record would begin. A backup is whole when that
//! has reached its stop LSN, and, if it was made on a primary, [`Walk::backup_end_of`] its start
//! LSN knows its end.
//!
//! **Memory** is bounded: a record is hashed as it comes, whatever length it claims. Kept are a
//! page header, a record's header, the first bytes of each record (as many as `contents` and
//! `references` use), and the latest ends of backups.
//!
//! The rules are those of XLogDecodeNextRecord, ValidXLogRecordHeader, ValidXLogRecord,
//! XLogReaderValidatePageHeader and XLogFindNextRecord in src/backend/access/transam/xlogreader.c.

use std::collections::VecDeque;

use super::page::{self, LONG_HEADER_BYTES, PageError, PageFirst, PageHeader, SHORT_HEADER_BYTES};
use super::record::{self, CHECKED_HEADER_BYTES, LARGEST_RECORD, RECORD_HEADER_BYTES, Record, RecordHeader};
use super::{contents, references};
use crate::crc32c::Crc32c;
use crate::lsn::Lsn;
use crate::wal_name::SegmentSize;

/// Records begin at multiples of it (`MAXALIGN`).
const ALIGNMENT: u64 = 8;
/// No cluster comes that far, and no sum overflows.
const LARGEST_LSN: u64 = 1 << 62;
/// So much memory for the first bytes of a record is used again.
const LARGEST_SPARE: usize = 4096;
/// So many ends of backups are kept.
const KEPT_BACKUP_ENDS: usize = 1024;

/// What the WAL must be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalFormat {
    /// The major version of the server.
    pub major: i32,
    /// The cluster.
    pub system_identifier: u64,
    /// The timeline that is followed. Pages of timelines before it are right, too: a new timeline
    /// begins with a copy of the segment in which the old one was left.
    pub timeline: u32,
    /// Bytes of a segment.
    pub segment_size: SegmentSize,
    /// Bytes of a WAL page.
    pub page_size: u32,
}

/// An end-of-backup record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupEnd {
    /// The start LSN of the backup that ended.
    pub backup_start: Lsn,
    /// Where the record begins.
    pub lsn: Lsn,
    /// Where it ends: at most the backup's stop LSN.
    pub end: Lsn,
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// No record can begin where the walk was to begin.
    #[error("read WAL: no record can begin at {at}")]
    Start {
        /// Where.
        at: Lsn,
    },
    /// Pages cannot have this size.
    #[error("read WAL: pages cannot have {bytes} bytes")]
    PageSize {
        /// The size.
        bytes: u32,
    },
    /// Bytes are missing, or come again.
    #[error("read WAL: expected what is at {expected}, but got what is at {found}")]
    Gap {
        /// Where the next byte belongs.
        expected: Lsn,
        /// Where the bytes belong that came.
        found: Lsn,
    },
    /// What is at the start of a page is not its header.
    #[error("read WAL at {at}: {error}")]
    Page {
        /// The page.
        at: Lsn,
        /// What is wrong.
        error: PageError,
    },
    /// A page of another major version.
    #[error("read WAL at {at}: the page is of PostgreSQL {found}, not {expected}")]
    Major {
        /// The page.
        at: Lsn,
        /// The major version that it is of.
        found: i32,
        /// The major version of the server.
        expected: i32,
    },
    /// A page that belongs elsewhere, as in a recycled segment.
    #[error("read WAL at {at}: the page belongs at {found}")]
    Address {
        /// The page.
        at: Lsn,
        /// Where it belongs.
        found: Lsn,
    },
    /// A page of a timeline that is not before this one, or that goes back to one before.
    #[error("read WAL at {at}: the page is of timeline {found}, not of {expected}")]
    Timeline {
        /// The page.
        at: Lsn,
        /// Its timeline.
        found: u32,
        /// The timeline that is followed.
        expected: u32,
    },
    /// The first page of a segment does not say what that of every segment says.
    #[error("read WAL at {at}: the segment does not begin with its description")]
    NoLongHeader {
        /// The page.
        at: Lsn,
    },
    /// A segment of another cluster.
    #[error("read WAL at {at}: the segment is of the cluster {found}, not {expected}")]
    SystemIdentifier {
        /// The page.
        at: Lsn,
        /// The cluster that it names.
        found: u64,
        /// The cluster.
        expected: u64,
    },
    /// Segments or pages of another size than the cluster has.
    #[error(
        "read WAL at {at}: it names segments of {segment} and pages of {page} bytes, which are not the cluster's"
    )]
    Sizes {
        /// The page.
        at: Lsn,
        /// Bytes of a segment that it names.
        segment: u32,
        /// Bytes of a page that it names.
        page: u32,
    },
    /// Zeros: the WAL that was written ends here.
    #[error("read WAL: it ends at {at}")]
    End {
        /// Where the next record would begin.
        at: Lsn,
    },
    /// A length that no record has.
    #[error("read the WAL record at {at}: its length is {length}")]
    Length {
        /// The record.
        at: Lsn,
        /// What it says.
        length: u32,
    },
    /// A resource manager that this version does not have.
    #[error("read the WAL record at {at}: there is no resource manager {id}")]
    ResourceManager {
        /// The record.
        at: Lsn,
        /// What it says.
        id: u8,
    },
    /// A record that does not follow the one in front: one of an earlier use of the segment.
    #[error("read the WAL record at {at}: it follows the one at {found}, which is not the one in front")]
    Previous {
        /// The record.
        at: Lsn,
        /// The record that it follows.
        found: Lsn,
    },
    /// A page goes on with a record of which another number of bytes is left, or with none.
    #[error("read the WAL record at {at}: it does not go on at {page}")]
    Continuation {
        /// The record.
        at: Lsn,
        /// The page.
        page: Lsn,
    },
    /// A page goes on with a record where one must begin.
    #[error("read WAL at {at}: the page goes on with a record that was not begun")]
    Unbegun {
        /// The page.
        at: Lsn,
    },
    /// A record that is damaged.
    #[error(
        "read the WAL record at {at}: its checksum is {stored:08x}, but that of its bytes is {computed:08x}"
    )]
    Checksum {
        /// The record.
        at: Lsn,
        /// The CRC in its header.
        stored: u32,
        /// The CRC of what is there.
        computed: u32,
    },
    /// A record that replaces one that was never finished names another.
    #[error("read the WAL record at {at}: it does not replace the unfinished one at {unfinished}")]
    Overwrite {
        /// The record.
        at: Lsn,
        /// The record that was not finished.
        unfinished: Lsn,
    },
    /// An end-of-backup record whose data is not an LSN.
    #[error("read the end-of-backup record at {at}: it does not say where the backup began")]
    BackupEnd {
        /// The record.
        at: Lsn,
    },
}

/// Takes each record, and what is kept of the bytes behind its header.
type OnRecord<'a> = dyn FnMut(&Record, &[u8]) + 'a;

/// A walk over WAL that comes in pieces.
#[derive(Clone, Debug)]
pub struct Walk {
    format: WalFormat,
    /// Where the next byte belongs.
    position: u64,
    /// Nothing was fed yet.
    is_new: bool,
    /// The header of the page at hand.
    header: Partial<LONG_HEADER_BYTES>,
    is_in_page: bool,
    latest_timeline: u32,
    state: State,
    crc: Crc32c,
    /// The last record that was verified.
    previous: Option<Lsn>,
    /// Where the next record begins.
    next: u64,
    records: u64,
    /// A record that was never finished, which the next record must name.
    unfinished: Option<Lsn>,
    backup_ends: VecDeque<BackupEnd>,
    /// Memory for the first bytes of the next record.
    spare: Vec<u8>,
    failed: Option<WalkError>,
}

/// What is done with the bytes of a page behind its header.
#[derive(Clone, Debug)]
enum State {
    /// They are skipped up to here, on this page or its end; then a record begins.
    Skip(u64),
    /// They are skipped up to here, the end of the page: the walk looks for the first record.
    Seek(u64),
    /// They belong to a record.
    Record(Open),
    /// They are skipped up to here, the end of the segment; pages have no headers there.
    Switched(u64),
}

/// A record that is not whole yet.
#[derive(Clone, Debug)]
struct Open {
    lsn: u64,
    header: Partial<RECORD_HEADER_BYTES>,
    /// Bytes that have come, header included.
    got: u32,
    /// Bytes in all; known once the first four have come.
    total: u32,
    /// The first bytes behind the header that are of use.
    body: Vec<u8>,
}

/// Bytes that come one by one.
#[derive(Clone, Debug)]
struct Partial<const N: usize> {
    bytes: [u8; N],
    have: usize,
}

impl<const N: usize> Partial<N> {
    fn new() -> Partial<N> {
        Partial { bytes: [0; N], have: 0 }
    }

    /// Takes bytes until there are `needed`, and says how many.
    fn fill(&mut self, needed: usize, bytes: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.have..needed.min(N)).unwrap_or_default();
        let count = room.len().min(bytes.len());
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.have += count;
        count
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.have).unwrap_or_default()
    }
}

impl Walk {
    /// A walk that begins with the record at `start`. The first LSN of a page means the first
    /// record that begins on it or behind it.
    ///
    /// # Errors
    /// No record can begin there, or pages cannot have such a size.
    pub fn new(format: WalFormat, start: Lsn) -> Result<Walk, WalkError> {
        if !page::is_page_size(format.page_size) {
            return Err(WalkError::PageSize { bytes: format.page_size });
        }
        if !start.0.is_multiple_of(ALIGNMENT) || start.0 > LARGEST_LSN {
            return Err(WalkError::Start { at: start });
        }
        let page = start.0 - start.0 % u64::from(format.page_size);
        Ok(Walk {
            format,
            position: page,
            is_new: true,
            header: Partial::new(),
            is_in_page: false,
            latest_timeline: 0,
            state: if page == start.0 { State::Seek(page) } else { State::Skip(start.0) },
            crc: Crc32c::new(),
            previous: None,
            next: start.0,
            records: 0,
            unfinished: None,
            backup_ends: VecDeque::new(),
            spare: Vec::new(),
            failed: None,
        })
    }

    /// Takes the bytes that are at `at`, any number of them, and hands on each record that they
    /// end. They must follow what came before; the first ones may begin earlier than the first page
    /// that is needed, as a stream does that begins with a segment.
    ///
    /// # Errors
    /// What is wrong with the WAL. The walk has ended then: it answers with the same error again.
    pub fn feed(
        &mut self,
        at: Lsn,
        bytes: &[u8],
        on_record: &mut dyn FnMut(&Record),
    ) -> Result<(), WalkError> {
        self.feed_bodies(at, bytes, &mut |record, _| on_record(record))
    }

    /// The same, and hands on the first bytes behind the header of each record: as many as are of
    /// use to [`super::contents::said`] and [`super::references::Collector`].
    ///
    /// # Errors
    /// As [`Walk::feed`].
    pub fn feed_bodies(
        &mut self,
        at: Lsn,
        bytes: &[u8],
        on_record: &mut OnRecord<'_>,
    ) -> Result<(), WalkError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let result = self.take(at, bytes, on_record);
        self.failed = result.err();
        result
    }

    /// Where the next byte belongs that is to be fed.
    pub fn expects(&self) -> Lsn {
        Lsn(self.position)
    }

    /// All WAL from the start up to here is whole. It is where a record ends, or where the walk was
    /// to begin; never more than what was fed.
    pub fn proved(&self) -> Lsn {
        Lsn(self.next.min(self.position))
    }

    /// Where a record begins of which not all was fed; it is not verified.
    pub fn unfinished(&self) -> Option<Lsn> {
        match &self.state {
            State::Record(open) => Some(Lsn(open.lsn)),
            State::Skip(_) | State::Seek(_) | State::Switched(_) => None,
        }
    }

    /// How many records were verified.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The ends of backups that were seen, the oldest first; of very many, the latest.
    pub fn backup_ends(&self) -> impl Iterator<Item = &BackupEnd> {
        self.backup_ends.iter()
    }

    /// The end of the backup with this start LSN, if it was seen.
    pub fn backup_end_of(&self, backup_start: Lsn) -> Option<BackupEnd> {
        self.backup_ends.iter().rev().find(|end| end.backup_start == backup_start).copied()
    }

    fn take(&mut self, at: Lsn, bytes: &[u8], on_record: &mut OnRecord<'_>) -> Result<(), WalkError> {
        let gap = WalkError::Gap { expected: self.expects(), found: at };
        let early = self.position.checked_sub(at.0).filter(|early| *early == 0 || self.is_new).ok_or(gap)?;
        let mut rest = bytes.get(usize::try_from(early).unwrap_or(usize::MAX)..).unwrap_or_default();
        while !rest.is_empty() {
            self.is_new = false;
            let used = self.step(rest, on_record)?;
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes some of the bytes, or gets on without, and says how many.
    fn step(&mut self, bytes: &[u8], on_record: &mut OnRecord<'_>) -> Result<usize, WalkError> {
        if let State::Switched(end) = self.state {
            let used = self.skip(end, bytes);
            if self.position == end {
                self.state = State::Skip(end);
            }
            return Ok(used);
        }
        if !self.is_in_page {
            let needed = match self.header.have {
                ..SHORT_HEADER_BYTES => SHORT_HEADER_BYTES,
                _ => LONG_HEADER_BYTES,
            };
            let used = self.header.fill(needed, bytes);
            self.position += used as u64;
            if self.header.have == page::header_bytes(self.header.filled()) {
                self.begin_page()?;
            }
            return Ok(used);
        }
        let page_end = self.page() + u64::from(self.format.page_size);
        let left = usize::try_from(page_end - self.position).unwrap_or(usize::MAX);
        let on_page = bytes.get(..left).unwrap_or(bytes);
        let used = match &mut self.state {
            State::Skip(until) if *until == self.position => {
                self.state = State::Record(Open::new(self.position, std::mem::take(&mut self.spare)));
                self.crc.reset();
                0
            }
            State::Skip(until) | State::Seek(until) => {
                let until = *until;
                self.skip(until, on_page)
            }
            State::Record(_) => self.take_of_record(on_page, on_record)?,
            // Handled above.
            State::Switched(end) => {
                let end = *end;
                self.skip(end, on_page)
            }
        };
        if self.position == page_end {
            self.is_in_page = false;
            self.header.have = 0;
        }
        Ok(used)
    }

    fn skip(&mut self, until: u64, bytes: &[u8]) -> usize {
        let left = usize::try_from(until.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let used = left.min(bytes.len());
        self.position += used as u64;
        used
    }

    /// The page at hand: that of the byte in front, once its header has begun.
    fn page(&self) -> u64 {
        let last = self.position.saturating_sub(1);
        last - last % u64::from(self.format.page_size)
    }

    /// Checks the header of the page at hand, and what its first bytes belong to.
    fn begin_page(&mut self) -> Result<(), WalkError> {
        let at = Lsn(self.page());
        let header = match PageHeader::parse(self.header.filled()) {
            Ok(header) => header,
            Err(PageError::Empty) if !matches!(self.state, State::Record(_)) => {
                return Err(WalkError::End { at });
            }
            Err(error) => return Err(WalkError::Page { at, error }),
        };
        self.check_page(at, &header)?;
        self.latest_timeline = header.timeline;
        self.is_in_page = true;
        let body = self.position;
        match &self.state {
            State::Seek(_) => {
                let page_end = at.0 + u64::from(self.format.page_size);
                let left = match header.first {
                    PageFirst::Continuation(left) => u64::from(left).next_multiple_of(ALIGNMENT),
                    PageFirst::Record | PageFirst::Overwrite => 0,
                };
                // Where the record fills the page, the next page may still go on with it: a header
                // tells what is left, not where it ends.
                let is_over = body + left < page_end;
                self.state = if is_over { State::Skip(body + left) } else { State::Seek(page_end) };
            }
            // The record in front ended with the page in front.
            State::Skip(until) if *until <= at.0 => match header.first {
                PageFirst::Continuation(_) => return Err(WalkError::Unbegun { at }),
                PageFirst::Record | PageFirst::Overwrite => self.state = State::Skip(body),
            },
            State::Skip(start) => {
                if *start < body {
                    return Err(WalkError::Start { at: Lsn(*start) });
                }
                if *start == body && matches!(header.first, PageFirst::Continuation(_)) {
                    return Err(WalkError::Unbegun { at });
                }
            }
            State::Record(open) => match header.first {
                PageFirst::Overwrite => {
                    self.unfinished = Some(Lsn(open.lsn));
                    self.state = State::Skip(body);
                }
                PageFirst::Continuation(left) if left != 0 && left == open.left() => {}
                PageFirst::Continuation(_) | PageFirst::Record => {
                    return Err(WalkError::Continuation { at: Lsn(open.lsn), page: at });
                }
            },
            // There are no headers.
            State::Switched(_) => {}
        }
        Ok(())
    }

    fn check_page(&self, at: Lsn, header: &PageHeader) -> Result<(), WalkError> {
        let WalFormat { major, system_identifier, timeline, segment_size, page_size } = self.format;
        if header.major != major {
            return Err(WalkError::Major { at, found: header.major, expected: major });
        }
        if let Some(long) = header.long {
            if long.system_identifier != system_identifier {
                let found = long.system_identifier;
                return Err(WalkError::SystemIdentifier { at, found, expected: system_identifier });
            }
            if (long.segment_size, long.page_size) != (segment_size, page_size) {
                let segment = long.segment_size.bytes();
                return Err(WalkError::Sizes { at, segment, page: long.page_size });
            }
        } else if segment_size.offset_of(at) == 0 {
            return Err(WalkError::NoLongHeader { at });
        }
        if header.address != at {
            return Err(WalkError::Address { at, found: header.address });
        }
        if !(self.latest_timeline.max(1)..=timeline).contains(&header.timeline) {
            return Err(WalkError::Timeline { at, found: header.timeline, expected: timeline });
        }
        Ok(())
    }

    /// Takes bytes of a record that are on one page, and says how many.
    fn take_of_record(&mut self, bytes: &[u8], on_record: &mut OnRecord<'_>) -> Result<usize, WalkError> {
        let State::Record(open) = &mut self.state else { return Ok(0) };
        let used = if open.header.have < RECORD_HEADER_BYTES {
            let used = open.header.fill(RECORD_HEADER_BYTES, bytes);
            open.check_length()?;
            if open.header.have == RECORD_HEADER_BYTES {
                open.check_header(&self.format, self.previous)?;
            }
            used
        } else {
            let left = usize::try_from(open.left()).unwrap_or(usize::MAX);
            let body = bytes.get(..left).unwrap_or(bytes);
            self.crc.update(body);
            open.keep(body);
            body.len()
        };
        // Fewer than a page.
        open.got += used as u32;
        self.position += used as u64;
        if open.left() == 0 && open.header.have == RECORD_HEADER_BYTES {
            self.end_record(on_record)?;
        }
        Ok(used)
    }

    /// Checks the record that is whole now.
    fn end_record(&mut self, on_record: &mut OnRecord<'_>) -> Result<(), WalkError> {
        let end = self.position.next_multiple_of(ALIGNMENT);
        let State::Record(open) = std::mem::replace(&mut self.state, State::Skip(end)) else { return Ok(()) };
        let at = Lsn(open.lsn);
        let header = RecordHeader::parse(&open.header.bytes);
        self.crc.update(open.header.bytes.get(..CHECKED_HEADER_BYTES).unwrap_or_default());
        let computed = self.crc.value();
        if computed != header.crc {
            return Err(WalkError::Checksum { at, stored: header.crc, computed });
        }
        let lsn = || {
            let data = record::main_data(&open.body)?;
            data.split_first_chunk().map(|(lsn, rest)| (Lsn(u64::from_le_bytes(*lsn)), rest))
        };
        if let Some(unfinished) = self.unfinished.take() {
            let replaces = header.is_xlog(record::XLOG_OVERWRITE_CONTRECORD);
            if !replaces || lsn().is_none_or(|(lsn, _)| lsn != unfinished) {
                return Err(WalkError::Overwrite { at, unfinished });
            }
        }
        if header.is_xlog(record::XLOG_BACKUP_END) {
            let start = lsn().filter(|(_, rest)| rest.is_empty());
            let (backup_start, _) = start.ok_or(WalkError::BackupEnd { at })?;
            if self.backup_ends.len() == KEPT_BACKUP_ENDS {
                self.backup_ends.pop_front();
            }
            self.backup_ends.push_back(BackupEnd { backup_start, lsn: at, end: Lsn(end) });
        }
        self.previous = Some(at);
        self.next = end;
        self.records += 1;
        if header.is_xlog(record::XLOG_SWITCH) {
            let segment = u64::from(self.format.segment_size.bytes());
            self.next = end.next_multiple_of(segment);
            if self.next > self.position {
                self.state = State::Switched(self.next);
                self.is_in_page = false;
                self.header.have = 0;
            } else {
                self.state = State::Skip(self.next);
            }
        }
        on_record(&Record { lsn: at, end: Lsn(end), header }, &open.body);
        self.spare = open.body;
        self.spare.clear();
        self.spare.shrink_to(LARGEST_SPARE);
        Ok(())
    }
}

impl Open {
    fn new(lsn: u64, body: Vec<u8>) -> Open {
        Open { lsn, header: Partial::new(), got: 0, total: 0, body }
    }

    /// Bytes that have not come yet.
    fn left(&self) -> u32 {
        self.total.saturating_sub(self.got)
    }

    /// Reads the length as soon as it is there: the next page's header must agree with it, even
    /// where that is in the midst of this header.
    fn check_length(&mut self) -> Result<(), WalkError> {
        let Some(length) = self.header.filled().first_chunk() else { return Ok(()) };
        let at = Lsn(self.lsn);
        match u32::from_le_bytes(*length) {
            0 => Err(WalkError::End { at }),
            length if length < RECORD_HEADER_BYTES as u32 || length > LARGEST_RECORD => {
                Err(WalkError::Length { at, length })
            }
            length => {
                self.total = length;
                Ok(())
            }
        }
    }

    fn check_header(&self, format: &WalFormat, previous: Option<Lsn>) -> Result<(), WalkError> {
        let at = Lsn(self.lsn);
        let header = RecordHeader::parse(&self.header.bytes);
        if !header.has_resource_manager_of(format.major) {
            return Err(WalkError::ResourceManager { at, id: header.resource_manager });
        }
        // The first record's is not known, but lies before it.
        let follows = previous.map_or(header.previous < at, |previous| header.previous == previous);
        if follows { Ok(()) } else { Err(WalkError::Previous { at, found: header.previous }) }
    }

    /// Keeps the first bytes of records that are read.
    fn keep(&mut self, body: &[u8]) {
        let header = RecordHeader::parse(&self.header.bytes);
        let worth = contents::worth(&header).max(references::worth(&header));
        let room = worth.saturating_sub(self.body.len());
        self.body.extend_from_slice(body.get(..room).unwrap_or(body));
    }
}
