//! Where a stream is cut into chunks: by content alone, never by how it was written.
//!
//! FastCDC (the 2020 paper, normalisation level 1) with 16 KiB / 64 KiB / 256 KiB, over a gear
//! table that is drawn from the repository's chunker seed, so that chunk sizes tell a stranger
//! little about known content. A chunk is cut inside a window of exactly 256 KiB, or of what is
//! left at the end of the stream: so the way the bytes arrive does not matter.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At row ends: each cut is moved to just behind the next `\n`. A chunk that would exceed 8 MiB
    /// is cut there: the pieces of such a row are its fragments.
    Rows,
    /// Where the content says.
    Content,
    /// Behind records whose names say so ([`crate::StreamWriter::end_record`]). Content that
    /// repeats itself has few places that the other ways would cut at.
    Records,
    /// After so many bytes, whatever they are: the position of a cut says nothing of the content.
    Blindly,
}

/// A chunk of records ends from here on behind a record whose name says so: one of so many bytes.
const LEAST_OF_RECORDS: usize = 16 << 10;
const MORE_OF_RECORDS: u64 = 16 << 10;
/// No chunk of records is larger.
const MOST_OF_RECORDS: usize = 1 << 20;

/// Whether a chunk of so many bytes ends behind a record of so many, whose name has this hash.
pub(crate) fn ends_behind(chunk: usize, record: usize, name: u32) -> bool {
    chunk >= LEAST_OF_RECORDS && u64::from(name) * MORE_OF_RECORDS < (record as u64) << 32
}

/// With the salt in front of it, such a chunk is as large as the largest one of content.
const BLINDLY: usize = WINDOW - 32;

pub(crate) const SMALLEST: usize = 16 << 10;
pub(crate) const AVERAGE: usize = 64 << 10;
/// Largest chunk of [`Cut::Content`]; also the window that a cut is sought in.
pub(crate) const WINDOW: usize = 256 << 10;
/// No chunk holds more raw bytes than this.
pub(crate) const LARGEST: usize = 8 << 20;

/// The gear table and masks of one repository.
pub(crate) struct Cutter {
    gear: Vec<u64>,
    gear_ls: Vec<u64>,
    mask_s: u64,
    mask_l: u64,
}

impl Cutter {
    pub(crate) fn new(seed: u64) -> Cutter {
        let mut table = [0u8; 2048];
        let mut hasher = blake3::Hasher::new_derive_key("pgark 2026 gear table of FastCDC v0");
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut table);
        let gear: Vec<u64> = table
            .chunks_exact(8)
            .map(|eight| eight.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            .collect();
        let gear_ls = gear.iter().map(|number| number << 1).collect();
        let (mask_s, mask_l) = select_masks(AVERAGE, Normalization::Level1);
        Cutter { gear, gear_ls, mask_s, mask_l }
    }

    #[cfg(test)]
    pub(crate) fn gear_table(&self) -> &[u64] {
        &self.gear
    }

    /// The length of the first chunk of `bytes`, or None if that needs more bytes. `ended`: no more
    /// will come.
    pub(crate) fn next(&self, cut: Cut, bytes: &[u8], ended: bool) -> Option<usize> {
        if bytes.is_empty() || (bytes.len() < WINDOW && !ended) {
            return None;
        }
        if cut == Cut::Blindly {
            return Some(bytes.len().min(BLINDLY));
        }
        if cut == Cut::Records {
            let len = bytes.len().min(MOST_OF_RECORDS);
            return (ended || len == MOST_OF_RECORDS).then_some(len);
        }
        let window = bytes.get(..WINDOW).unwrap_or(bytes);
        let (_, len) = cut_gear(
            window,
            SMALLEST,
            AVERAGE,
            WINDOW,
            self.mask_s,
            self.mask_l,
            self.mask_s << 1,
            self.mask_l << 1,
            &self.gear,
            &self.gear_ls,
        );
        let len = len.clamp(1, window.len());
        match cut {
            Cut::Content | Cut::Records | Cut::Blindly => Some(len),
            Cut::Rows => {
                let rest = bytes.get(len - 1..LARGEST.min(bytes.len()))?;
                match memchr::memchr(b'\n', rest) {
                    Some(at) => Some(len + at),
                    None if bytes.len() >= LARGEST => Some(LARGEST),
                    None if ended => Some(bytes.len()),
                    None => None,
                }
            }
        }
    }
}
