//! The checksum of a page.
//!
//! Source: PostgreSQL 15, `src/include/storage/checksum_impl.h`, the same since 9.3. The page is
//! read as rows of 32 little-endian words. 32 lanes begin with fixed offsets; each takes up its
//! word of every row by a step of FNV-1a with one more shift. After two rows of zeros the lanes are
//! folded by XOR. The block's number is part of it, so that a page at another place is noticed; the
//! checksum's own field counts as zero. The result has 16 bits and is never 0.
//!
//! Lanes do not depend on each other: that is made for vector instructions. The loop below is plain
//! Rust, which the compiler turns into them; `fearless_simd` compiles it once for every level of
//! them (x86-64: SSE2, SSE4.2, AVX2, AVX-512; aarch64: NEON) and chooses at run time.

use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch};

const LANES: usize = 32;
const ROW_BYTES: usize = LANES * 4;
/// FNV-1a's prime for 32 bits.
const PRIME: u32 = 16_777_619;
/// Where the checksum lies in the header (`pd_checksum`).
const FIELD: std::ops::Range<usize> = 8..10;

/// Where each lane begins (`checksumBaseOffsets`).
const OFFSETS: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The checksum that `page` has as block number `block` of its relation's fork (for files behind
/// the first segment, counted from the first segment's start).
///
/// A page has 1 to 32 KiB, a power of two. Of other lengths, as of a page that the file ends in, it
/// is the checksum with zeros up to a multiple of 128 bytes. New pages have none
/// ([`super::Header::is_new`]).
pub fn checksum(page: &[u8], block: u32) -> u16 {
    static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);
    let folded = dispatch!(*LEVEL, simd => vectorized(simd, page));
    reduced(folded ^ block)
}

/// To 16 bits, and never 0.
fn reduced(sum: u32) -> u16 {
    u16::try_from(sum % 0xFFFF).unwrap_or(u16::MAX).wrapping_add(1)
}

#[inline(always)]
fn vectorized<S: Simd>(simd: S, page: &[u8]) -> u32 {
    simd.vectorize(
        #[inline(always)]
        || folded(page),
    )
}

// Everything from here on must become part of a function that was compiled for one level.

#[inline(always)]
fn folded(page: &[u8]) -> u32 {
    let mut lanes = OFFSETS;
    let (rows, rest) = page.as_chunks::<ROW_BYTES>();
    if let Some((first, others)) = rows.split_first() {
        let mut first = *first;
        if let Some(field) = first.get_mut(FIELD) {
            field.fill(0);
        }
        take_up(&mut lanes, &first);
        for row in others {
            take_up(&mut lanes, row);
        }
    }
    if !rest.is_empty() {
        take_up(&mut lanes, &filled_up(rest, rows.is_empty()));
    }
    for _ in 0..2 {
        take_up(&mut lanes, &[0; ROW_BYTES]);
    }
    lanes.iter().fold(0, |sum, lane| sum ^ lane)
}

#[inline(always)]
fn take_up(lanes: &mut [u32; LANES], row: &[u8; ROW_BYTES]) {
    let (words, _) = row.as_chunks::<4>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        let mixed = *lane ^ u32::from_le_bytes(*word);
        *lane = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

#[cold]
fn filled_up(rest: &[u8], is_first: bool) -> [u8; ROW_BYTES] {
    let mut row = [0; ROW_BYTES];
    for (to, from) in row.iter_mut().zip(rest) {
        *to = *from;
    }
    if is_first && let Some(field) = row.get_mut(FIELD) {
        field.fill(0);
    }
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One lane after the other, word by word, from the description.
    fn plain(page: &[u8], block: u32) -> u16 {
        let mut page = page.to_vec();
        for at in FIELD.filter(|at| *at < page.len()).collect::<Vec<_>>() {
            page[at] = 0;
        }
        page.resize(page.len().next_multiple_of(128), 0);
        let words: Vec<u32> =
            page.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let mut sum = 0;
        for (number, offset) in OFFSETS.iter().enumerate() {
            let mut lane = *offset;
            for word in words.iter().skip(number).step_by(32).chain(&[0, 0]) {
                let mixed = u64::from(lane ^ word);
                lane = ((mixed * 16_777_619) & 0xFFFF_FFFF) as u32 ^ (mixed >> 17) as u32;
            }
            sum ^= lane;
        }
        ((sum ^ block) % 65535 + 1) as u16
    }

    /// Any bytes, from a number: proptest's own would take most of the time.
    fn page_of(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    proptest! {
        #[test]
        fn it_is_that_of_the_description(seed: u64, size in 10u32..=15, block: u32) {
            let page = page_of(seed, 1 << size);
            prop_assert_eq!(checksum(&page, block), plain(&page, block));
        }

        #[test]
        fn pages_that_are_not_whole_count_as_filled_up(seed: u64, length in 0usize..9000, block: u32) {
            let mut page = page_of(seed, length);
            let own = checksum(&page, block);
            prop_assert_eq!(own, plain(&page, block));
            page.resize(length.next_multiple_of(128), 0);
            prop_assert_eq!(own, checksum(&page, block));
        }

        /// On a machine with AVX-512 as on one with SSE2 alone, and where pages are not aligned.
        #[test]
        fn every_level_computes_the_same(seed: u64, shift in 0usize..64) {
            let bytes = page_of(seed, 8192 + 64);
            let page = &bytes[shift..shift + 8192];
            let expected = folded(page);
            let best = Level::new();
            #[cfg(target_arch = "x86_64")]
            {
                let levels = [
                    best.as_sse2().map(|found| vectorized(found, page)),
                    best.as_sse4_2().map(|found| vectorized(found, page)),
                    best.as_avx2().map(|found| vectorized(found, page)),
                    best.as_avx512().map(|found| vectorized(found, page)),
                ];
                for folded in levels.into_iter().flatten() {
                    prop_assert_eq!(folded, expected);
                }
            }
            prop_assert_eq!(dispatch!(best, simd => vectorized(simd, page)), expected);
        }
    }

    #[test]
    fn the_field_itself_does_not_count_and_the_block_does() {
        let mut page = page_of(7, 8192);
        let own = checksum(&page, 5);
        page[8..10].copy_from_slice(&own.to_le_bytes());
        assert_eq!(checksum(&page, 5), own);
        assert_ne!(checksum(&page, 4), own);
    }

    /// 16 bits miss one change in 65,535: here one of 65,520 bits.
    #[test]
    fn flipped_bits_are_noticed() {
        let mut page = page_of(15, 8192);
        let own = checksum(&page, 1);
        let mut missed = 0;
        for bit in (0..8192 * 8).filter(|bit| !FIELD.contains(&(bit / 8))) {
            page[bit / 8] ^= 1 << (bit % 8);
            missed += usize::from(checksum(&page, 1) == own);
            page[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(missed <= 4, "{missed} missed");
    }

    #[test]
    fn it_is_never_zero() {
        assert_eq!((reduced(0), reduced(65534), reduced(65535), reduced(u32::MAX)), (1, 65535, 1, 1));
    }

    /// `cargo test --release -p pgark-bytes speed_of_checksums -- --ignored --nocapture`: the best
    /// of many rounds over 1 MiB, which stays in the cache.
    #[test]
    #[ignore = "prints a speed, asserts nothing"]
    fn speed_of_checksums() {
        let pages = page_of(1, 1 << 20);
        let measure = |name: &str, sum: &dyn Fn(&[u8]) -> u32| {
            let round = |_| {
                let started = std::time::Instant::now();
                for page in pages.chunks_exact(8192) {
                    std::hint::black_box(sum(page));
                }
                started.elapsed()
            };
            let best = (0..2000).map(round).min().unwrap();
            println!("{name}: {:.0} MB/s", pages.len() as f64 / best.as_secs_f64() / 1e6);
        };
        let best = Level::new();
        measure("as compiled", &folded);
        #[cfg(target_arch = "x86_64")]
        {
            measure("SSE4.2", &|page| vectorized(best.as_sse4_2().unwrap(), page));
            measure("AVX2", &|page| vectorized(best.as_avx2().unwrap(), page));
        }
        measure(&format!("{best:?}"), &|page| dispatch!(best, simd => vectorized(simd, page)));
        measure("with detection", &|page| u32::from(checksum(page, 0)));
    }
}
