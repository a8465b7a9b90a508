//! CRC-32C: its published values, and the CRC of a whole from those of its pieces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pgark_bytes::crc32c::{Crc32c, Joiner, checksum, join};
use proptest::prelude::*;

/// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
#[test]
fn published_values() {
    let rising: Vec<u8> = (0..32).collect();
    let falling: Vec<u8> = (0..32).rev().collect();
    for (bytes, crc) in [
        (&b""[..], 0),
        (b"123456789", 0xE306_9283),
        (&[0; 32], 0x8A91_36AA),
        (&[0xFF; 32], 0x62A8_AB43),
        (&rising, 0x46DD_794E),
        (&falling, 0x113F_DB5C),
    ] {
        assert_eq!(checksum(bytes), crc);
    }
}

/// One bit at a time, as the polynomial says.
fn slowly(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}

#[test]
fn a_file_of_pages() {
    let pages: Vec<Vec<u8>> = (0u32..40)
        .map(|page| (0u32..8192).map(|at| (at.wrapping_mul(page * page + 7) >> 5) as u8).collect())
        .collect();
    let joiner = Joiner::new(8192);
    let joined = pages.iter().fold(0, |crc, page| joiner.join(crc, checksum(page)));
    assert_eq!(joined, checksum(&pages.concat()));
    assert_eq!(joined, slowly(&pages.concat()));
}

proptest! {
    #[test]
    fn pieces_and_the_whole(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..8),
    ) {
        let whole = pieces.concat();
        prop_assert_eq!(checksum(&whole), slowly(&whole));
        let mut streamed = Crc32c::new();
        let mut joined = 0;
        for piece in &pieces {
            streamed.update(piece);
            joined = join(joined, checksum(piece), piece.len() as u64);
        }
        prop_assert_eq!(streamed.value(), checksum(&whole));
        prop_assert_eq!(joined, checksum(&whole));
        streamed.reset();
        prop_assert_eq!(streamed.value(), 0);
    }

    #[test]
    fn tables_join_as_the_steps_do(first in any::<u32>(), second in any::<u32>(), bytes in 0u64..1 << 40) {
        prop_assert_eq!(Joiner::new(bytes).join(first, second), join(first, second, bytes));
    }
}
