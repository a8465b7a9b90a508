//! The heads behind a record's header: which blocks it changes, and how long its main data is
//! (`DecodeXLogRecord` in src/backend/access/transam/xlogreader.c).
//!
//! | first byte | what follows |
//! |---|---|
//! | 0 to 32: a block | 1 byte: fork in the lower half, and flags; 2 bytes: length of its data; with an image 5 bytes, or 7 if it is compressed and has a hole; unless the relation is that of the block in front, 12 bytes: tablespace, database, relation; 4 bytes: the block |
//! | 252: top-level transaction (14 and newer) | 4 bytes |
//! | 253: origin | 2 bytes |
//! | 254, 255: main data; the last head | its length in 4 bytes, or 1 |
//!
//! Behind them are the images and data of the blocks, and the main data last. The heads have ended
//! where nothing is left but what they announce.

use super::record::{
    BLOCK_ID_DATA_LONG, BLOCK_ID_DATA_SHORT, BLOCK_ID_ORIGIN, BLOCK_ID_TOPLEVEL_XID, RECORD_HEADER_BYTES,
    Record,
};

/// The greatest number of a block in a record (`XLR_MAX_BLOCK_ID`).
const LAST_BLOCK_ID: u8 = 32;
/// Heads have at most so many bytes: those of 33 blocks with 27 bytes each, and three others.
pub(super) const LONGEST_HEADS: usize = 33 * 27 + 5 + 3 + 5;

/// The flags of a block's head (src/include/access/xlogrecord.h).
const FORK: u8 = 0x0F;
const HAS_IMAGE: u8 = 0x10;
const SAME_RELATION: u8 = 0x80;

/// The flags of an image.
const HAS_HOLE: u8 = 1;
const COMPRESSED_TO_14: u8 = 2;
const COMPRESSED_FROM_15: u8 = 4 | 8 | 16;

/// A fork of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationFork {
    /// Oid of the tablespace.
    pub tablespace: u32,
    /// Oid of the database; zero: shared by all.
    pub database: u32,
    /// The number of the relation's file.
    pub relation: u32,
    /// 0 main, 1 free space map, 2 visibility map, 3 initial.
    pub fork: u8,
}

/// The heads of a record do not have the form that they have, or are not all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the WAL record at {at}: its heads of blocks and data are not right")]
pub struct HeadsError {
    /// The record.
    pub at: crate::lsn::Lsn,
}

/// Hands on each block that a record changes. `body`: the first bytes behind its header, the heads
/// among them. The answer is its main data, as far as it is there.
///
/// # Errors
/// The heads have another form, or are not all there.
pub fn read_heads<'b>(
    major: i32,
    record: &Record,
    body: &'b [u8],
    on_block: &mut dyn FnMut(RelationFork, u32),
) -> Result<&'b [u8], HeadsError> {
    let length = (record.header.total_length as usize).saturating_sub(RECORD_HEADER_BYTES);
    let mut heads = Heads { rest: body, left: length, announced: 0, relation: None };
    heads.read(major, on_block).ok_or(HeadsError { at: record.lsn })
}

struct Heads<'b> {
    rest: &'b [u8],
    /// Bytes of the record behind what was read, whether they are here or not.
    left: usize,
    /// Bytes of data that the heads announced.
    announced: usize,
    /// Tablespace, database and relation of the block in front.
    relation: Option<[u32; 3]>,
}

impl<'b> Heads<'b> {
    fn read(&mut self, major: i32, on_block: &mut dyn FnMut(RelationFork, u32)) -> Option<&'b [u8]> {
        let mut main_data = 0;
        while self.left > self.announced {
            match self.byte()? {
                BLOCK_ID_DATA_SHORT => main_data = usize::from(self.byte()?),
                BLOCK_ID_DATA_LONG => main_data = usize::try_from(self.number()?).ok()?,
                BLOCK_ID_ORIGIN => {
                    self.take::<2>()?;
                    continue;
                }
                BLOCK_ID_TOPLEVEL_XID => {
                    self.take::<4>()?;
                    continue;
                }
                id if id <= LAST_BLOCK_ID => {
                    let (fork, block) = self.block(major)?;
                    on_block(fork, block);
                    continue;
                }
                _ => return None,
            }
            self.announced += main_data;
            break;
        }
        if self.left != self.announced {
            return None;
        }
        let before = self.announced - main_data;
        Some(self.rest.get(before..).unwrap_or_default())
    }

    fn block(&mut self, major: i32) -> Option<(RelationFork, u32)> {
        let flags = self.byte()?;
        self.announced += usize::from(self.short()?);
        if flags & HAS_IMAGE != 0 {
            self.announced += usize::from(self.short()?);
            self.short()?;
            let image = self.byte()?;
            let compressed = if major < 15 { COMPRESSED_TO_14 } else { COMPRESSED_FROM_15 };
            if image & HAS_HOLE != 0 && image & compressed != 0 {
                self.short()?;
            }
        }
        if flags & SAME_RELATION == 0 {
            self.relation = Some([self.number()?, self.number()?, self.number()?]);
        }
        let [tablespace, database, relation] = self.relation?;
        let block = self.number()?;
        Some((RelationFork { tablespace, database, relation, fork: flags & FORK }, block))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.left = self.left.checked_sub(N)?;
        self.rest = rest;
        Some(*bytes)
    }
}
