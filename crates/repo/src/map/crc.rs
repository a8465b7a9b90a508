//! The CRC32C of a file of which pieces come in any order.
//!
//! CRC32C (RFC 3720, appendix B.4) is the rest of the bytes, as a polynomial over GF(2), divided by
//! the Castagnoli polynomial P; before it the register is filled with ones, and after it inverted.
//! The rest itself is linear: that of a file is the sum of those of its pieces, each multiplied by
//! x to the power of the bits that follow it, and what no piece covers is zeros and adds nothing.
//! The order of x modulo P is 2^31 - 1, so that zeros behind the file's end, which fill its last
//! page, are taken away by a power of the same kind.

/// P without its highest term, the lowest term in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1, and x.
const ONE: u32 = 1 << 31;
const X: u32 = 1 << 30;
/// x to this power is 1.
const ORDER: u64 = (1 << 31) - 1;

/// CRC32C of bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC32C of so many bytes, of which pieces come in any order; all else is zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCrc {
    bytes: u64,
    rest: u32,
}

impl FileCrc {
    /// Of a file of so many zeros.
    pub fn of_zeros(bytes: u64) -> FileCrc {
        FileCrc { bytes, rest: 0 }
    }

    /// Adds a piece at its offset. What of it lies behind the end must be zeros. No two pieces may
    /// share bytes.
    pub fn add(&mut self, offset: u64, piece: &[u8]) {
        let rest = crc32c(piece) ^ of_zeros(piece.len() as u64);
        let end = offset.saturating_add(piece.len() as u64);
        let behind = match self.bytes.checked_sub(end) {
            Some(bytes) => bits(bytes),
            None => ORDER - bits(end - self.bytes),
        };
        self.rest ^= multiply(rest, power(behind));
    }

    /// What it comes to.
    pub fn crc32c(&self) -> u32 {
        self.rest ^ of_zeros(self.bytes)
    }
}

/// Bits of so many bytes, as a power of x.
fn bits(bytes: u64) -> u64 {
    bytes % ORDER * 8 % ORDER
}

fn of_zeros(bytes: u64) -> u32 {
    !multiply(u32::MAX, power(bits(bytes)))
}

/// The product of two polynomials modulo P.
fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for bit in (0..32).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 { b >> 1 ^ POLYNOMIAL } else { b >> 1 };
    }
    product
}

/// x to this power modulo P.
fn power(mut exponent: u64) -> u32 {
    let (mut square, mut product) = (X, ONE);
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = multiply(product, square);
        }
        square = multiply(square, square);
        exponent >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FileCrc, ONE, ORDER, crc32c, power};

    #[test]
    fn known_values() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(power(ORDER), ONE);
        assert_eq!(FileCrc::of_zeros(0).crc32c(), 0);
        assert_eq!(FileCrc::of_zeros(32).crc32c(), 0x8a91_36aa);
        let gib = 1 << 30;
        let zeros = vec![0; 1 << 20];
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        (0..1 << 10).for_each(|_| digest.update(&zeros));
        assert_eq!(u64::from(FileCrc::of_zeros(gib).crc32c()), digest.finalize());
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_whole(
            pages in prop::collection::vec(prop::option::of(any::<u8>()), 0..40),
            cut in 0usize..64,
            order in any::<u64>(),
        ) {
            const PAGE: usize = 64;
            let page = |(at, seed): (usize, &Option<u8>)| match seed {
                Some(seed) => (0..PAGE).map(|byte| seed.wrapping_mul(31).wrapping_add((at * byte) as u8)).collect(),
                None => vec![0; PAGE],
            };
            let mut whole: Vec<u8> = pages.iter().enumerate().flat_map(page).collect();
            let length = whole.len().saturating_sub(cut);
            whole[length..].fill(0);
            let mut pieces: Vec<usize> = (0..pages.len()).filter(|at| pages[*at].is_some()).collect();
            pieces.sort_by_key(|at| (*at as u64 + 1).wrapping_mul(order | 1));
            let mut file = FileCrc::of_zeros(length as u64);
            for at in pieces {
                file.add((at * PAGE) as u64, &whole[at * PAGE..(at + 1) * PAGE]);
            }
            prop_assert_eq!(file.crc32c(), crc32c(&whole[..length]));
        }
    }
}
