//! CRC-32C, the checksum of `pg_control`, of WAL records, and of files in a backup manifest
//! (PostgreSQL source, src/include/port/pg_crc32c.h; the Castagnoli polynomial of RFC 3720,
//! appendix B.4, with all bits set at the start and inverted at the end).
//!
//! The CRC of a file follows from the CRCs of its pieces, without their bytes: what is appended
//! shifts the first CRC by so many zero bytes, which is linear over its 32 bits (Mark Adler's
//! `crc32_combine` of zlib). [`join`] does that for any length; a [`Joiner`] holds tables for one
//! length, for files of many pages.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

/// The CRC of bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC of bytes that come in pieces.
#[derive(Clone, Debug)]
pub struct Crc32c(Digest);

impl Default for Crc32c {
    fn default() -> Crc32c {
        Crc32c(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    /// Of no bytes yet.
    pub fn new() -> Crc32c {
        Crc32c::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The CRC of all bytes that were added; more can be added after it.
    pub fn value(&self) -> u32 {
        // The upper half is zero: the algorithm has 32 bits.
        self.0.finalize() as u32
    }

    /// As if no byte had been added.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// The CRC of two pieces, one behind the other, from the CRC of each and the bytes of the second.
pub fn join(first: u32, second: u32, second_bytes: u64) -> u32 {
    checksum_combine(CrcAlgorithm::Crc32Iscsi, first.into(), second.into(), second_bytes) as u32
}

/// Joins CRCs where the second piece always has the same length: four look-ups instead of thousands
/// of steps.
#[derive(Clone)]
pub struct Joiner {
    /// What each value of each byte of the first CRC becomes, the lowest byte first.
    shifted: Box<[[u32; 256]; 4]>,
}

impl Joiner {
    /// For second pieces of so many bytes.
    pub fn new(second_bytes: u64) -> Joiner {
        let mut shifted = Box::new([[0; 256]; 4]);
        for (byte, table) in (0..).zip(shifted.iter_mut()) {
            let bits: [u32; 8] = std::array::from_fn(|bit| join(1 << (8 * byte + bit), 0, second_bytes));
            for (value, entry) in (0u32..).zip(table.iter_mut()) {
                let set = (0..).zip(bits).filter(|(bit, _)| value >> bit & 1 == 1);
                *entry = set.fold(0, |sum, (_, bit)| sum ^ bit);
            }
        }
        Joiner { shifted }
    }

    /// The CRC of two pieces, one behind the other.
    pub fn join(&self, first: u32, second: u32) -> u32 {
        let parts = self.shifted.iter().zip(first.to_le_bytes());
        parts.fold(second, |sum, (table, byte)| sum ^ table[usize::from(byte)])
    }
}

impl std::fmt::Debug for Joiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joiner").finish_non_exhaustive()
    }
}
