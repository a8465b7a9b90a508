//! Headers of WAL pages (`XLogPageHeaderData` and `XLogLongPageHeaderData` in
//! src/include/access/xlog_internal.h).
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 2 | magic, of the major version |
//! | 2 | 2 | flags |
//! | 4 | 4 | timeline of the page's first record |
//! | 8 | 8 | LSN of the page |
//! | 16 | 4 | bytes that are left of the record that goes on from the page before |
//! | 20 | 4 | nothing |
//! | 24 | 8 | system identifier; this and the following in a long header only |
//! | 32 | 4 | bytes of a segment |
//! | 36 | 4 | bytes of a page |
//!
//! The first page of a segment has a long header, any other a short one.

use crate::lsn::Lsn;
use crate::wal_name::SegmentSize;

/// Bytes of a short header.
pub const SHORT_HEADER_BYTES: usize = 24;
/// Bytes of a long header.
pub const LONG_HEADER_BYTES: usize = 40;

/// The page begins with the rest of a record.
const FIRST_IS_CONTINUATION: u16 = 1;
/// The header is a long one.
const LONG_HEADER: u16 = 2;
/// The record that goes on from the page before was never finished: what follows replaces it. 13
/// and 14 know this flag from 13.5 and 14.1 on.
const FIRST_IS_OVERWRITE: u16 = 8;
/// All flags; 4 allows archivers to drop full-page images, and no server looks at it.
const ALL_FLAGS: u16 = 15;

/// Magic and major version (`XLOG_PAGE_MAGIC`).
const MAGICS: [(u16, i32); 6] =
    [(0xD106, 13), (0xD10D, 14), (0xD110, 15), (0xD113, 16), (0xD116, 17), (0xD118, 18)];

/// The header of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// The major version of the server that wrote it.
    pub major: i32,
    /// The timeline.
    pub timeline: u32,
    /// The LSN of the page's first byte.
    pub address: Lsn,
    /// What is on the page first.
    pub first: PageFirst,
    /// What the first page of a segment says in addition.
    pub long: Option<LongHeader>,
}

/// What follows the header of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFirst {
    /// A record begins.
    Record,
    /// A record goes on, of which so many bytes are left.
    Continuation(u32),
    /// A record begins, and the one that should go on here does not count: the server crashed
    /// before it had written the rest.
    Overwrite,
}

/// What a long header says in addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongHeader {
    /// The cluster that wrote it.
    pub system_identifier: u64,
    /// Bytes of a segment.
    pub segment_size: SegmentSize,
    /// Bytes of a page.
    pub page_size: u32,
}

/// Bytes that are not the header of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// They end before the header does.
    #[error("the page's header ends too early")]
    Short,
    /// All of it is zero: no WAL was written here yet.
    #[error("nothing was written to the page")]
    Empty,
    /// A magic that no supported version has.
    #[error("the page's magic is {magic:04X}, which is not that of a WAL page of PostgreSQL 13 to 18")]
    Magic {
        /// What it says.
        magic: u16,
    },
    /// The magic of a supported version, its bytes in the other order.
    #[error("the page was written on a big-endian machine, which is not supported")]
    ByteOrder,
    /// Flags that no supported version has, or of which one excludes the other.
    #[error("the page's flags are {flags:04X}, which has no meaning")]
    Flags {
        /// What it says.
        flags: u16,
    },
    /// A size that segments cannot have.
    #[error("the page names segments of {bytes} bytes")]
    SegmentSize {
        /// What it says.
        bytes: u32,
    },
    /// A size that pages cannot have.
    #[error("the page names pages of {bytes} bytes")]
    PageSize {
        /// What it says.
        bytes: u32,
    },
}

/// Whether WAL pages can have so many bytes: a power of two from 1 to 64 KiB
/// (`--with-wal-blocksize` of PostgreSQL's configure).
pub(super) fn is_page_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (1 << 10..=1 << 16).contains(&bytes)
}

/// How many bytes the header has that these bytes begin with, as far as they tell.
pub(super) fn header_bytes(bytes: &[u8]) -> usize {
    let is_long = u16_at(bytes, 2).is_some_and(|flags| flags & LONG_HEADER != 0);
    if is_long { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES }
}

impl PageHeader {
    /// Reads the header that a page begins with.
    ///
    /// # Errors
    /// Bytes that are not the header of a WAL page of PostgreSQL 13 to 18 on a little-endian
    /// machine.
    pub fn parse(page: &[u8]) -> Result<PageHeader, PageError> {
        let header = page.get(..SHORT_HEADER_BYTES).ok_or(PageError::Short)?;
        if header.iter().all(|byte| *byte == 0) {
            return Err(PageError::Empty);
        }
        let magic = u16_at(page, 0).ok_or(PageError::Short)?;
        let flags = u16_at(page, 2).ok_or(PageError::Short)?;
        let major_of = |magic| MAGICS.iter().find(|known| known.0 == magic).map(|known| known.1);
        let Some(major) = major_of(magic) else {
            let is_swapped = major_of(magic.swap_bytes()).is_some();
            return Err(if is_swapped { PageError::ByteOrder } else { PageError::Magic { magic } });
        };
        let first = match flags & (FIRST_IS_CONTINUATION | FIRST_IS_OVERWRITE) {
            _ if flags & !ALL_FLAGS != 0 => return Err(PageError::Flags { flags }),
            0 => PageFirst::Record,
            FIRST_IS_CONTINUATION => PageFirst::Continuation(u32_at(page, 16).ok_or(PageError::Short)?),
            FIRST_IS_OVERWRITE => PageFirst::Overwrite,
            _ => return Err(PageError::Flags { flags }),
        };
        let long = if flags & LONG_HEADER == 0 { None } else { Some(LongHeader::parse(page)?) };
        Ok(PageHeader {
            major,
            timeline: u32_at(page, 4).ok_or(PageError::Short)?,
            address: Lsn(u64_at(page, 8).ok_or(PageError::Short)?),
            first,
            long,
        })
    }

    /// Bytes of this header.
    pub fn bytes(&self) -> usize {
        if self.long.is_some() { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES }
    }
}

impl LongHeader {
    fn parse(page: &[u8]) -> Result<LongHeader, PageError> {
        let system_identifier = u64_at(page, 24).ok_or(PageError::Short)?;
        let segment_size = u32_at(page, 32).ok_or(PageError::Short)?;
        let page_size = u32_at(page, 36).ok_or(PageError::Short)?;
        let segment_size =
            SegmentSize::new(segment_size).map_err(|error| PageError::SegmentSize { bytes: error.bytes })?;
        if !is_page_size(page_size) {
            return Err(PageError::PageSize { bytes: page_size });
        }
        Ok(LongHeader { system_identifier, segment_size, page_size })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
