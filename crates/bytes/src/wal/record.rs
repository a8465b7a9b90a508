//! WAL records (`XLogRecord` in src/include/access/xlogrecord.h).
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | bytes of the record, header included |
//! | 4 | 4 | transaction id |
//! | 8 | 8 | LSN of the record before |
//! | 16 | 1 | info: the upper half is the resource manager's |
//! | 17 | 1 | resource manager |
//! | 18 | 2 | nothing |
//! | 20 | 4 | CRC-32C of what follows the header, and then of the 20 bytes in front of this |
//!
//! What follows the header: the heads of block references and of the main data, then the images and
//! data of the blocks, and the main data last.

use crate::lsn::Lsn;

/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 24;
/// The part of the header in front of its CRC.
pub(super) const CHECKED_HEADER_BYTES: usize = 20;
/// No server makes or reads a longer record (`MaxAllocSize` in src/include/utils/memutils.h;
/// `XLogRecordMaxSize`, from 16 on, is less).
pub const LARGEST_RECORD: u32 = 0x3FFF_FFFF;

/// The resource manager of records about the WAL itself (`RM_XLOG_ID`).
pub const RM_XLOG: u8 = 0;
/// The resource manager of records about transactions (`RM_XACT_ID`).
pub const RM_XACT: u8 = 1;
/// The resource manager of records about files of relations (`RM_SMGR_ID`).
pub const RM_SMGR: u8 = 2;
/// The resource manager of records about databases (`RM_DBASE_ID`).
pub const RM_DATABASE: u8 = 4;
/// The resource manager of records about tablespaces (`RM_TBLSPC_ID`).
pub const RM_TABLESPACE: u8 = 5;
/// Of [`RM_XLOG`]: a checkpoint of a server that shuts down.
pub const XLOG_CHECKPOINT_SHUTDOWN: u8 = 0x00;
/// Of [`RM_XLOG`]: a checkpoint of a server that goes on.
pub const XLOG_CHECKPOINT_ONLINE: u8 = 0x10;
/// Of [`RM_XLOG`]: a restore point.
pub const XLOG_RESTORE_POINT: u8 = 0x70;
/// Of [`RM_XLOG`]: parameters are other ones than before.
pub const XLOG_PARAMETER_CHANGE: u8 = 0x60;
/// Of [`RM_XLOG`]: `full_page_writes` was switched on or off.
pub const XLOG_FPW_CHANGE: u8 = 0x80;
/// Of [`RM_XLOG`], from 17 on: a checkpoint began.
pub const XLOG_CHECKPOINT_REDO: u8 = 0xE0;
/// Of [`RM_XLOG`]: a recovery ended without a checkpoint.
pub const XLOG_END_OF_RECOVERY: u8 = 0x90;
/// Of [`RM_XLOG`]: the rest of the segment is not used.
pub const XLOG_SWITCH: u8 = 0x40;
/// Of [`RM_XLOG`]: a base backup ended; the main data is where it began.
pub const XLOG_BACKUP_END: u8 = 0x50;
/// Of [`RM_XLOG`]: the record in front was never finished; the main data begins with its LSN.
pub const XLOG_OVERWRITE_CONTRECORD: u8 = 0xD0;

/// Resource managers of the server itself are 0 to 21 in all of 13 to 18
/// (src/include/access/rmgrlist.h); from 15 on, 128 and above belong to extensions.
const LAST_BUILT_IN: u8 = 21;
const FIRST_CUSTOM: u8 = 128;

/// Kinds of the heads behind the header.
pub(super) const BLOCK_ID_DATA_SHORT: u8 = 255;
pub(super) const BLOCK_ID_DATA_LONG: u8 = 254;
pub(super) const BLOCK_ID_ORIGIN: u8 = 253;
pub(super) const BLOCK_ID_TOPLEVEL_XID: u8 = 252;

/// A record that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub lsn: Lsn,
    /// Where it ends, rounded up to where another record can begin on the same page.
    pub end: Lsn,
    /// Its header.
    pub header: RecordHeader,
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of the record, header included.
    pub total_length: u32,
    /// The transaction; zero outside of any.
    pub xid: u32,
    /// Where the record before it begins.
    pub previous: Lsn,
    /// What the record is, for its resource manager, in the upper half; flags in the lower.
    pub info: u8,
    /// The resource manager.
    pub resource_manager: u8,
    /// The CRC of the record.
    pub crc: u32,
}

impl RecordHeader {
    /// Reads a header. No value is checked.
    pub fn parse(bytes: &[u8; RECORD_HEADER_BYTES]) -> RecordHeader {
        let [l0, l1, l2, l3, x0, x1, x2, x3, previous @ .., info, resource_manager, _, _, c0, c1, c2, c3] =
            *bytes;
        RecordHeader {
            total_length: u32::from_le_bytes([l0, l1, l2, l3]),
            xid: u32::from_le_bytes([x0, x1, x2, x3]),
            previous: Lsn(u64::from_le_bytes(previous)),
            info,
            resource_manager,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// Whether it is this record of the resource manager [`RM_XLOG`].
    pub fn is_xlog(&self, info: u8) -> bool {
        self.resource_manager == RM_XLOG && self.info & 0xF0 == info
    }

    /// Whether a server of this major version can have its resource manager.
    pub(super) fn has_resource_manager_of(&self, major: i32) -> bool {
        self.resource_manager <= LAST_BUILT_IN || (major >= 15 && self.resource_manager >= FIRST_CUSTOM)
    }
}

/// The main data of a record without block references, from what follows its header. `None` where
/// that has another form.
pub fn main_data(body: &[u8]) -> Option<&[u8]> {
    let (length, data) = data_and_length(body)?;
    (length == data.len() as u64).then_some(data)
}

/// The same of a record of which only the first bytes are there: its main data, or the beginning
/// of that.
pub(super) fn main_data_so_far(body: &[u8]) -> Option<&[u8]> {
    let (length, data) = data_and_length(body)?;
    (length >= data.len() as u64).then_some(data)
}

/// How many bytes the main data has, and what there is of it.
fn data_and_length(body: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = body;
    while let Some((kind, behind)) = rest.split_first() {
        match *kind {
            BLOCK_ID_DATA_SHORT => {
                let (length, data) = behind.split_first()?;
                return Some((u64::from(*length), data));
            }
            BLOCK_ID_DATA_LONG => {
                let (length, data) = behind.split_first_chunk()?;
                return Some((u64::from(u32::from_le_bytes(*length)), data));
            }
            BLOCK_ID_ORIGIN => rest = behind.get(2..)?,
            BLOCK_ID_TOPLEVEL_XID => rest = behind.get(4..)?,
            _ => return None,
        }
    }
    // It has none.
    Some((0, rest))
}
