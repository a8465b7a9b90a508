#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn key(number: u8) -> RuleKey {
    RuleKey::of_bytes([number; 16])
}

fn is_a_bijection(size: u128, forth: impl Fn(u128) -> u128, back: impl Fn(u128) -> u128) {
    let mut seen = vec![false; size as usize];
    for number in 0..size {
        let fiction = forth(number);
        assert!(fiction < size, "{number} of {size} leaves the domain");
        assert_ne!(fiction, number, "{number} of {size} keeps itself");
        assert!(!seen[fiction as usize], "{fiction} of {size} comes twice");
        seen[fiction as usize] = true;
        // Of large domains, each 64th is turned around.
        if size < 100_000 || number.is_multiple_of(64) {
            assert_eq!(back(fiction), number, "{size}");
        }
    }
}

#[test]
fn every_small_domain_is_permuted_by_table_and_by_network() {
    let schedule = Schedule::new(key(7));
    for size in 2..=400 {
        let table = Permutation::new(key(1), size);
        is_a_bijection(size, |number| table.apply(number), |number| table.invert(number));
        let network = schedule.network(size, 3);
        is_a_bijection(
            size,
            |number| network.apply(&schedule, number),
            |number| network.invert(&schedule, number),
        );
    }
}

#[test]
fn larger_domains_are_permuted() {
    for size in [65_535, 65_536, 65_537, 100_003, 1 << 20, 1_048_573, 3_000_000] {
        let permutation = Permutation::new(key(2), size);
        is_a_bijection(size, |number| permutation.apply(number), |number| permutation.invert(number));
    }
}

#[test]
fn a_table_is_one_cycle() {
    for size in [2_u128, 3, 10, 1000, 65_536] {
        let permutation = Permutation::new(key(3), size);
        let mut number = permutation.apply(0);
        let mut steps = 1;
        while number != 0 {
            number = permutation.apply(number);
            steps += 1;
        }
        assert_eq!(steps, size);
    }
}

#[test]
fn a_domain_of_one_or_none_stays() {
    for size in [0, 1] {
        let permutation = Permutation::new(key(1), size);
        assert_eq!(permutation.apply(0), 0);
        assert_eq!(permutation.invert(0), 0);
    }
    assert_eq!(Permutation::new(key(1), 10).apply(10), 10);
    assert_eq!(Permutation::new(key(1), 100_000).invert(100_000), 100_000);
}

/// The fictions of one edition are those of every later one.
#[test]
fn fictions_never_change() {
    let of = |size: u128| {
        let permutation = Permutation::new(key(9), size);
        [0, 1, size / 2, size - 1].map(|number| permutation.apply(number))
    };
    let expected: [[u128; 4]; 4] = [
        [668, 945, 151, 718],
        [640_207, 147_875, 316_516, 599_518],
        [
            1_565_301_660_639_408_425,
            10_286_236_937_899_692_567,
            10_535_821_175_063_029_291,
            15_137_500_095_513_637_976,
        ],
        [
            4_845_870_154_251_196_119_020_588_713_973_933_271,
            4_822_577_759_563_589_650_453_985_412_738_676_282,
            333_427_517_274_359_961_926_308_503_911_684_351,
            4_404_086_932_357_030_704_112_450_643_634_562_537,
        ],
    ];
    assert_eq!([1000, 1_000_003, 1 << 64, 1 << 122].map(of), expected);
}

/// Of two related numbers the fictions are unrelated: on average, half of the bits differ.
#[test]
fn one_bit_changes_half_of_the_bits() {
    for bits in [20, 32, 63, 100, 122] {
        let permutation = Permutation::new(key(4), 1 << bits);
        let mut differing = 0;
        for number in 0..40_u128 {
            for bit in 0..bits {
                let fiction = permutation.apply(number) ^ permutation.apply(number ^ (1 << bit));
                differing += fiction.count_ones();
            }
        }
        let share = f64::from(differing) / f64::from(40 * bits * bits);
        assert!((0.46..0.54).contains(&share), "{share} of {bits}");
    }
}

/// Each fiction of a small domain is about as frequent as any other, over many keys, but that of
/// the partner: it comes twice as often, since it also replaces a fixed point of either.
#[test]
fn fictions_are_even_over_keys() {
    let mut counts = [0_u32; 10];
    for number in 0..9000_u32 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let schedule = Schedule::new(RuleKey::of_bytes(bytes));
        counts[schedule.network(10, 0).apply(&schedule, 3) as usize] += 1;
    }
    assert_eq!(counts[3], 0);
    assert!((1600..2000).contains(&counts[2]), "partner: {}", counts[2]);
    for (fiction, count) in counts.iter().enumerate().filter(|(fiction, _)| !matches!(fiction, 2 | 3)) {
        assert!((750..1050).contains(count), "{fiction}: {count}");
    }
}

proptest! {
    #[test]
    fn any_size_can_be_inverted(size in 2_u128.., number: u128, seed: u8) {
        let number = number % size;
        let permutation = Permutation::new(key(seed), size);
        let fiction = permutation.apply(number);
        prop_assert!(fiction < size);
        prop_assert_ne!(fiction, number);
        prop_assert_eq!(permutation.invert(fiction), number);
    }

    #[test]
    fn sizes_of_any_magnitude_can_be_inverted(bits in 1_u32..128, low: u128, number: u128) {
        let size = ((1 << bits) | (low & ((1 << bits) - 1))).max(2);
        let number = number % size;
        let permutation = Permutation::new(key(5), size);
        let fiction = permutation.apply(number);
        prop_assert!(fiction < size);
        prop_assert_ne!(fiction, number);
        prop_assert_eq!(permutation.invert(fiction), number);
    }

    #[test]
    fn many_are_as_one_by_one(
        size in prop_oneof![2..70_000_u64, 70_000..1_000_000_u64, 1_000_000..u64::MAX, u64::MAX - 3..=u64::MAX],
        mut numbers in prop::collection::vec(any::<u64>(), 0..40),
    ) {
        let permutation = Permutation::new(key(6), u128::from(size));
        for (index, number) in numbers.iter_mut().enumerate() {
            // One in seven lies outside of the domain, where it can.
            *number = if index % 7 == 3 { *number } else { *number % size };
        }
        let expected: Vec<u64> =
            numbers.iter().map(|number| permutation.apply(u128::from(*number)) as u64).collect();
        prop_assert!(permutation.apply_many(&mut numbers));
        prop_assert_eq!(numbers, expected);
    }

    #[test]
    fn another_key_gives_another_permutation(size in 1000_u128..) {
        let (one, other) = (Permutation::new(key(1), size), Permutation::new(key(2), size));
        prop_assert!((0..20).any(|number| one.apply(number) != other.apply(number)));
    }
}

#[test]
fn sizes_from_2_to_the_64_are_not_for_the_batch() {
    let permutation = Permutation::new(key(1), 1 << 64);
    let mut numbers = [1, 2, 3];
    assert!(!permutation.apply_many(&mut numbers));
    assert_eq!(numbers, [1, 2, 3]);
}

/// `cargo test --release -p pgark-mask --lib permute::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a test"]
fn speed() {
    for size in [10_000_u128, 100_003, 10_000_000, 1 << 40, (1 << 63) + 5, 1 << 64, 1 << 122] {
        let permutation = Permutation::new(key(1), size);
        let mut numbers: Vec<u64> =
            (0..8192_u64).map(|number| (u128::from(number) * 977 % size) as u64).collect();
        let mut best = [f64::MAX; 2];
        for _ in 0..20 {
            let start = std::time::Instant::now();
            let mut number = 1;
            for _ in 0..8192 {
                number = permutation.apply(number);
            }
            std::hint::black_box(number);
            best[0] = best[0].min(start.elapsed().as_nanos() as f64 / 8192.0);
            let start = std::time::Instant::now();
            let done = permutation.apply_many(&mut numbers);
            if done {
                best[1] = best[1].min(start.elapsed().as_nanos() as f64 / 8192.0);
            }
        }
        println!("{size}: {:.1} ns one by one, {:.1} ns eight at a time", best[0], best[1]);
    }
}
