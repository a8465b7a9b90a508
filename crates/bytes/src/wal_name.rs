//! Names of the files in `pg_wal` and in a WAL archive (PostgreSQL source,
//! src/include/access/xlog_internal.h).
//!
//! The WAL of a timeline is cut into segments of one size, which initdb sets: a power of two from 1
//! MiB to 1 GiB. A segment's name has 24 hexadecimal digits in upper case: the timeline, the upper
//! half of its LSN, and its number within the 4 GiB that share that half. So the number and the LSN
//! follow from a name only where the size is known.

use std::fmt;
use std::str::FromStr;

use crate::lsn::Lsn;

/// Bytes of a WAL segment (`wal_segment_size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSize(u32);

/// A size that WAL segments cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are not the size of a WAL segment: it is a power of two from 1 MiB to 1 GiB")]
pub struct InvalidSegmentSize {
    /// The size.
    pub bytes: u32,
}

impl SegmentSize {
    /// What initdb sets if it is not told otherwise.
    pub const DEFAULT: SegmentSize = SegmentSize(16 << 20);

    /// Of so many bytes, as `pg_control` and a segment's first page have it.
    ///
    /// # Errors
    /// Not a power of two from 1 MiB to 1 GiB.
    pub fn new(bytes: u32) -> Result<SegmentSize, InvalidSegmentSize> {
        let is_valid = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        if is_valid { Ok(SegmentSize(bytes)) } else { Err(InvalidSegmentSize { bytes }) }
    }

    /// Its bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// The number of the segment that has the byte at this LSN.
    pub fn number_of(self, lsn: Lsn) -> u64 {
        lsn.0 / u64::from(self.0)
    }

    /// The number of the last segment that is needed to have the WAL up to this LSN, which is where
    /// a record ends: at the first byte of a segment, it is the segment before.
    pub fn number_before(self, lsn: Lsn) -> u64 {
        lsn.0.saturating_sub(1) / u64::from(self.0)
    }

    /// Where the segment that has the byte at this LSN begins.
    pub fn start_of(self, lsn: Lsn) -> Lsn {
        Lsn(lsn.0 - self.offset_of(lsn))
    }

    /// The place of this LSN in its segment.
    pub fn offset_of(self, lsn: Lsn) -> u64 {
        lsn.0 % u64::from(self.0)
    }

    /// Segments whose LSNs share their upper half.
    fn per_log(self) -> u64 {
        (1 << 32) / u64::from(self.0)
    }
}

/// The name of a WAL segment.
///
/// Names of one timeline sort as their LSNs do; so do the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The timeline.
    pub timeline: u32,
    /// The upper half of its LSNs.
    pub log: u32,
    /// Its number among the segments that share that half.
    pub segment: u32,
}

impl SegmentName {
    /// The segment with this number; `None` where no LSN has such a number.
    pub fn new(timeline: u32, number: u64, size: SegmentSize) -> Option<SegmentName> {
        let log = u32::try_from(number / size.per_log()).ok()?;
        let segment = u32::try_from(number % size.per_log()).ok()?;
        Some(SegmentName { timeline, log, segment })
    }

    /// The segment that has the byte at this LSN.
    pub fn of(timeline: u32, lsn: Lsn, size: SegmentSize) -> SegmentName {
        let (log, low) = ((lsn.0 >> 32) as u32, lsn.0 as u32);
        SegmentName { timeline, log, segment: low / size.bytes() }
    }

    /// Its number; `None` of a name that segments of this size do not have.
    pub fn number(self, size: SegmentSize) -> Option<u64> {
        let segment = u64::from(self.segment);
        (segment < size.per_log()).then(|| u64::from(self.log) * size.per_log() + segment)
    }

    /// Where it begins; `None` of a name that segments of this size do not have.
    pub fn start(self, size: SegmentSize) -> Option<Lsn> {
        Some(Lsn(self.number(size)? * u64::from(size.bytes())))
    }

    /// The one that follows it on the same timeline.
    pub fn next(self, size: SegmentSize) -> Option<SegmentName> {
        SegmentName::new(self.timeline, self.number(size)? + 1, size)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.segment)
    }
}

/// The name of a file that a server archives, or has in `pg_wal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalFileName {
    /// A whole segment.
    Segment(SegmentName),
    /// A segment that is not whole: `SEGMENT.partial`. A server archives the last one of the old
    /// timeline under this name when it is promoted.
    Partial(SegmentName),
    /// Where a timeline branched off: `TIMELINE.history`.
    History {
        /// The timeline.
        timeline: u32,
    },
    /// What a finished backup was: `SEGMENT.OFFSET.backup`.
    Backup {
        /// The segment that has the start of the backup.
        segment: SegmentName,
        /// The place of the start in that segment.
        offset: u32,
    },
}

impl WalFileName {
    /// The timeline that it belongs to.
    pub fn timeline(&self) -> u32 {
        match self {
            WalFileName::Segment(segment) | WalFileName::Partial(segment) => segment.timeline,
            WalFileName::History { timeline } => *timeline,
            WalFileName::Backup { segment, .. } => segment.timeline,
        }
    }
}

impl fmt::Display for WalFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalFileName::Segment(segment) => write!(f, "{segment}"),
            WalFileName::Partial(segment) => write!(f, "{segment}.partial"),
            WalFileName::History { timeline } => write!(f, "{timeline:08X}.history"),
            WalFileName::Backup { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

/// Text that is not the name of a file of the WAL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a WAL segment, of a history file, or of a backup history file")]
pub struct InvalidWalFileName {
    /// The text.
    pub text: String,
}

impl InvalidWalFileName {
    fn of(text: &str) -> InvalidWalFileName {
        InvalidWalFileName { text: text.to_owned() }
    }
}

impl FromStr for SegmentName {
    type Err = InvalidWalFileName;

    /// 24 digits, as the server writes them.
    fn from_str(text: &str) -> Result<SegmentName, InvalidWalFileName> {
        let parse = || {
            let (timeline, rest) = text.split_at_checked(8)?;
            let (log, segment) = rest.split_at_checked(8)?;
            Some(SegmentName { timeline: timeline_of(timeline)?, log: word(log)?, segment: word(segment)? })
        };
        parse().ok_or_else(|| InvalidWalFileName::of(text))
    }
}

impl FromStr for WalFileName {
    type Err = InvalidWalFileName;

    /// Only names that a server makes, digit by digit.
    fn from_str(text: &str) -> Result<WalFileName, InvalidWalFileName> {
        let parse = || {
            let Some((name, rest)) = text.split_once('.') else {
                return text.parse().ok().map(WalFileName::Segment);
            };
            if rest == "history" {
                return timeline_of(name).map(|timeline| WalFileName::History { timeline });
            }
            let segment = name.parse().ok()?;
            if rest == "partial" {
                return Some(WalFileName::Partial(segment));
            }
            let offset = word(rest.strip_suffix(".backup")?)?;
            Some(WalFileName::Backup { segment, offset })
        };
        parse().ok_or_else(|| InvalidWalFileName::of(text))
    }
}

/// Eight digits, as `%08X` prints them.
fn word(digits: &str) -> Option<u32> {
    let is_word = digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    is_word.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Timelines count from 1.
fn timeline_of(digits: &str) -> Option<u32> {
    word(digits).filter(|timeline| *timeline != 0)
}
