//! The control file of a cluster, `global/pg_control`: the state of the cluster, its last
//! checkpoint, and the sizes that it was built with.
//!
//! The layout is `ControlFileData` of src/include/catalog/pg_control.h, of PostgreSQL 13 to 18, as
//! compilers lay it out on 64-bit machines. `pg_control_version`, which is always at offset 8, says
//! which one it is: 1300 (PostgreSQL 13 to 16), 1700 or 1800. A CRC-32C follows the last field, and
//! zeros fill the file up to 8192 bytes.
//!
//! A server writes this file while it runs, in place. Read meanwhile it may be torn, half old and
//! half new. Its CRC is wrong then: read it again.

use std::fmt;

use crate::crc32c;
use crate::lsn::Lsn;

/// Bytes of the file, in every version.
pub const FILE_BYTES: usize = 8192;
/// Where the version is, in every version.
const VERSION_AT: usize = 8;
/// What `floatFormat` is on a machine with IEEE 754 numbers.
const FLOAT_FORMAT: f64 = 1_234_567.0;

/// What `pg_control` says. Numbers have the names and units of `pg_controldata`'s lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlFile {
    /// Made by initdb; all WAL of the cluster names it. Standbys and restored copies share it.
    pub system_identifier: u64,
    /// Version of the layout: 1300, 1700 or 1800.
    pub version: u32,
    /// Version of the system catalogs, such as 202209061 of PostgreSQL 15.
    pub catalog_version: u32,
    /// What the server was doing when it wrote the file.
    pub state: ClusterState,
    /// When it wrote the file, in seconds since the Unix epoch.
    pub modified_at: i64,
    /// Where the record of the latest checkpoint is.
    pub checkpoint_lsn: Lsn,
    /// What that record says.
    pub checkpoint: Checkpoint,
    /// A counter for pages of unlogged relations.
    pub unlogged_lsn: Lsn,
    /// Recovery must reach it before the cluster is consistent; zero outside of archive recovery.
    pub min_recovery_point: Lsn,
    /// Its timeline; zero outside of archive recovery.
    pub min_recovery_timeline: u32,
    /// Where the backup began that is being recovered; zero when its end was reached.
    pub backup_start_point: Lsn,
    /// Where a standby's backup ended that is being recovered; zero when it was reached.
    pub backup_end_point: Lsn,
    /// Recovery must see the end-of-backup record before the cluster is consistent.
    pub backup_end_required: bool,
    /// The setting of that name, as are those that follow.
    pub wal_level: WalLevel,
    /// `wal_log_hints`
    pub wal_log_hints: bool,
    /// `max_connections`
    pub max_connections: i32,
    /// `max_worker_processes`
    pub max_worker_processes: i32,
    /// `max_wal_senders`
    pub max_wal_senders: i32,
    /// `max_prepared_transactions`
    pub max_prepared_transactions: i32,
    /// `max_locks_per_transaction`
    pub max_locks_per_transaction: i32,
    /// `track_commit_timestamp`
    pub track_commit_timestamp: bool,
    /// Alignment of tuples, in bytes.
    pub max_align: u32,
    /// Bytes of a page of a relation.
    pub block_size: u32,
    /// Blocks in one file of a large relation.
    pub blocks_per_segment: u32,
    /// Bytes of a page of the WAL.
    pub wal_block_size: u32,
    /// Bytes of a WAL segment.
    pub wal_segment_size: u32,
    /// Bytes of a name in the catalog, with its final zero.
    pub name_data_length: u32,
    /// Most columns of an index.
    pub index_max_keys: u32,
    /// Bytes of a chunk of a TOAST table.
    pub toast_max_chunk_size: u32,
    /// Bytes of a chunk of a large object.
    pub large_object_block_size: u32,
    /// `float8` and `int8` are passed by value.
    pub float8_by_value: bool,
    /// 0: pages have no checksums. 1: they have.
    pub data_checksum_version: u32,
    /// Whether `char` is signed on the machine where initdb ran; `None` before PostgreSQL 18.
    pub default_char_signed: Option<bool>,
}

/// A checkpoint's record (`CheckPoint` in pg_control.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Recovery from this checkpoint begins here.
    pub redo_lsn: Lsn,
    /// Its timeline.
    pub timeline: u32,
    /// The timeline before it, where it begins a new one; else the same.
    pub previous_timeline: u32,
    /// `full_page_writes`
    pub full_page_writes: bool,
    /// The next transaction id, with its epoch in the upper half.
    pub next_xid: u64,
    /// The next object id.
    pub next_oid: u32,
    /// The next multixact id.
    pub next_multi: u32,
    /// The next offset of a member of a multixact.
    pub next_multi_offset: u32,
    /// The oldest transaction id that a row may still have, in the whole cluster.
    pub oldest_xid: u32,
    /// The database that has it.
    pub oldest_xid_database: u32,
    /// The oldest multixact id that a row may still have, in the whole cluster.
    pub oldest_multi: u32,
    /// The database that has it.
    pub oldest_multi_database: u32,
    /// When it was made, in seconds since the Unix epoch.
    pub time: i64,
    /// The oldest transaction with a commit timestamp; zero if there is none.
    pub oldest_commit_timestamp_xid: u32,
    /// The newest transaction with a commit timestamp; zero if there is none.
    pub newest_commit_timestamp_xid: u32,
    /// The oldest transaction that was running; zero in a shutdown checkpoint.
    pub oldest_active_xid: u32,
}

/// What a server was doing when it wrote its control file (`DBState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// initdb had not finished.
    StartingUp,
    /// It was shut down cleanly.
    ShutDown,
    /// It was shut down cleanly, as a standby.
    ShutDownInRecovery,
    /// It was shutting down.
    ShuttingDown,
    /// It was recovering from a crash.
    InCrashRecovery,
    /// It was recovering from an archive, or a standby.
    InArchiveRecovery,
    /// It was running; or it crashed, or a copy was taken meanwhile.
    InProduction,
}

impl fmt::Display for ClusterState {
    /// In `pg_controldata`'s words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClusterState::StartingUp => "starting up",
            ClusterState::ShutDown => "shut down",
            ClusterState::ShutDownInRecovery => "shut down in recovery",
            ClusterState::ShuttingDown => "shutting down",
            ClusterState::InCrashRecovery => "in crash recovery",
            ClusterState::InArchiveRecovery => "in archive recovery",
            ClusterState::InProduction => "in production",
        })
    }
}

/// How much the WAL says (`wal_level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalLevel {
    /// Enough for recovery from a crash, not for a backup.
    Minimal,
    /// Enough for backups and standbys.
    Replica,
    /// Enough for logical decoding as well.
    Logical,
}

impl fmt::Display for WalLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WalLevel::Minimal => "minimal",
            WalLevel::Replica => "replica",
            WalLevel::Logical => "logical",
        })
    }
}

/// Why a control file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlFileError {
    /// It ends before its last field.
    #[error("read pg_control: it has {found} bytes, fewer than the {needed} of its fields")]
    TooShort {
        /// Bytes that a file of this version has at least.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// It was written on a machine of the other byte order.
    #[error("read pg_control: it was written on a big-endian machine, which is not supported")]
    ByteOrder,
    /// A layout of a version of PostgreSQL that is older than 13 or newer than 18.
    #[error(
        "read pg_control: version {version} is not supported (1300, 1700 and 1800 are, of PostgreSQL 13 to 18)"
    )]
    Version {
        /// What it says.
        version: u32,
    },
    /// It is damaged, torn, or of a machine of 32 bits.
    #[error("read pg_control: its checksum is {stored:08x}, but that of its fields is {computed:08x}")]
    Checksum {
        /// The CRC in the file.
        stored: u32,
        /// The CRC of what is in the file.
        computed: u32,
    },
    /// Numbers in another format than IEEE 754.
    #[error("read pg_control: its floating-point numbers are not in the usual format")]
    FloatFormat,
    /// A value that no server writes, under a checksum that is right.
    #[error("read pg_control: {field} is {value}, which has no meaning")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
}

impl ControlFile {
    /// Reads a control file. What follows the CRC is not looked at, so that the first 512 bytes are
    /// enough.
    ///
    /// # Errors
    /// Bytes that are not a control file of PostgreSQL 13 to 18 of a little-endian machine of 64
    /// bits, or whose CRC is wrong.
    pub fn parse(bytes: &[u8]) -> Result<ControlFile, ControlFileError> {
        let file = Fields(bytes);
        let layout = Layout::of(file.u32(VERSION_AT)?)?;
        let stored = file.u32(layout.crc_at)?;
        let (fields, _) = bytes.split_at_checked(layout.crc_at).unwrap_or_default();
        let computed = crc32c::checksum(fields);
        if computed != stored {
            return Err(ControlFileError::Checksum { stored, computed });
        }
        if file.u64(208)? != FLOAT_FORMAT.to_bits() {
            return Err(ControlFileError::FloatFormat);
        }
        file.read(&layout)
    }
}

/// What differs between the versions: all fields up to the checksum version are where they always
/// were.
struct Layout {
    crc_at: usize,
    char_signed_at: Option<usize>,
}

impl Layout {
    fn of(version: u32) -> Result<Layout, ControlFileError> {
        match version {
            1300 | 1700 => Ok(Layout { crc_at: 288, char_signed_at: None }),
            // A flag more, in front of the 32 bytes of the nonce.
            1800 => Ok(Layout { crc_at: 292, char_signed_at: Some(256) }),
            _ if Layout::of_swapped(version) => Err(ControlFileError::ByteOrder),
            _ => Err(ControlFileError::Version { version }),
        }
    }

    /// As `pg_controldata` guesses: versions are small numbers.
    fn of_swapped(version: u32) -> bool {
        version != 0 && version.is_multiple_of(1 << 16)
    }
}

/// Fields by their offset in the file.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn read(&self, layout: &Layout) -> Result<ControlFile, ControlFileError> {
        Ok(ControlFile {
            system_identifier: self.u64(0)?,
            version: self.u32(VERSION_AT)?,
            catalog_version: self.u32(12)?,
            state: self.state(16)?,
            modified_at: self.i64(24)?,
            checkpoint_lsn: self.lsn(32)?,
            checkpoint: self.checkpoint()?,
            unlogged_lsn: self.lsn(128)?,
            min_recovery_point: self.lsn(136)?,
            min_recovery_timeline: self.u32(144)?,
            backup_start_point: self.lsn(152)?,
            backup_end_point: self.lsn(160)?,
            backup_end_required: self.flag(168)?,
            wal_level: self.wal_level(172)?,
            wal_log_hints: self.flag(176)?,
            max_connections: self.i32(180)?,
            max_worker_processes: self.i32(184)?,
            max_wal_senders: self.i32(188)?,
            max_prepared_transactions: self.i32(192)?,
            max_locks_per_transaction: self.i32(196)?,
            track_commit_timestamp: self.flag(200)?,
            max_align: self.u32(204)?,
            block_size: self.u32(216)?,
            blocks_per_segment: self.u32(220)?,
            wal_block_size: self.u32(224)?,
            wal_segment_size: self.u32(228)?,
            name_data_length: self.u32(232)?,
            index_max_keys: self.u32(236)?,
            toast_max_chunk_size: self.u32(240)?,
            large_object_block_size: self.u32(244)?,
            float8_by_value: self.flag(248)?,
            data_checksum_version: self.u32(252)?,
            default_char_signed: layout.char_signed_at.map(|at| self.flag(at)).transpose()?,
        })
    }

    fn checkpoint(&self) -> Result<Checkpoint, ControlFileError> {
        Ok(Checkpoint {
            redo_lsn: self.lsn(40)?,
            timeline: self.u32(48)?,
            previous_timeline: self.u32(52)?,
            // From 17 on, wal_level is in the gap behind this flag.
            full_page_writes: self.flag(56)?,
            next_xid: self.u64(64)?,
            next_oid: self.u32(72)?,
            next_multi: self.u32(76)?,
            next_multi_offset: self.u32(80)?,
            oldest_xid: self.u32(84)?,
            oldest_xid_database: self.u32(88)?,
            oldest_multi: self.u32(92)?,
            oldest_multi_database: self.u32(96)?,
            time: self.i64(104)?,
            oldest_commit_timestamp_xid: self.u32(112)?,
            newest_commit_timestamp_xid: self.u32(116)?,
            oldest_active_xid: self.u32(120)?,
        })
    }

    fn state(&self, at: usize) -> Result<ClusterState, ControlFileError> {
        Ok(match self.u32(at)? {
            0 => ClusterState::StartingUp,
            1 => ClusterState::ShutDown,
            2 => ClusterState::ShutDownInRecovery,
            3 => ClusterState::ShuttingDown,
            4 => ClusterState::InCrashRecovery,
            5 => ClusterState::InArchiveRecovery,
            6 => ClusterState::InProduction,
            value => return Err(ControlFileError::Invalid { field: "the state of the cluster", value }),
        })
    }

    fn wal_level(&self, at: usize) -> Result<WalLevel, ControlFileError> {
        Ok(match self.u32(at)? {
            0 => WalLevel::Minimal,
            1 => WalLevel::Replica,
            2 => WalLevel::Logical,
            value => return Err(ControlFileError::Invalid { field: "wal_level", value }),
        })
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], ControlFileError> {
        let bytes = self.0.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.copied().ok_or(ControlFileError::TooShort { needed: at + N, found: self.0.len() })
    }

    fn flag(&self, at: usize) -> Result<bool, ControlFileError> {
        self.array(at).map(|[byte]| byte != 0)
    }

    fn u32(&self, at: usize) -> Result<u32, ControlFileError> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn i32(&self, at: usize) -> Result<i32, ControlFileError> {
        self.array(at).map(i32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64, ControlFileError> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn i64(&self, at: usize) -> Result<i64, ControlFileError> {
        self.array(at).map(i64::from_le_bytes)
    }

    fn lsn(&self, at: usize) -> Result<Lsn, ControlFileError> {
        self.u64(at).map(Lsn)
    }
}
