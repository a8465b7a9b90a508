//! A permutation of a large domain: a Feistel network over a × b with cycle walking, in which no
//! value keeps itself.
//!
//! **Network.** A number x below a·b is the pair (l, r) with x = l·b + r. Rounds add in turn a
//! keyed function of r to l modulo a, and one of l to r modulo b (Black and Rogaway, "Ciphers with
//! arbitrary finite domains", CT-RSA 2002, section 5). a is the root of the size, rounded up, and b
//! the size over a, rounded up: a·b exceeds the size by less than a, so that a walk (a result
//! outside of the domain goes through the network again, section 4) is rarely needed.
//!
//! **Rounds.** NIST SP 800-38G Revision 1 asks for 10 rounds and at least a million values (FF1).
//! We take 10 rounds there, and 20 below a million, where networks with small halves are known to
//! be weaker (Bellare, Hoang and Tessaro, "Message-recovery attacks on Feistel-based
//! format-preserving encryption", CCS 2016).
//!
//! **Round function.** HalfSipHash for sizes below 2^64, SipHash for larger ones, both with one
//! round for the word and three at the end (Aumasson and Bernstein, 2012, and their reference code
//! `halfsiphash.c`). Each Feistel round has a key of its own. The word that encodes the length is
//! left out: every message is one word. SipHash-1-3 is where SipHash-2-4 would cost half as much
//! again: no attack on it as a pseudorandom function is known, and here its outputs are never seen,
//! since at least ten of them are added up.
//!
//! **No fixed point.** Let g be the network. Numbers are paired: 2k and 2k + 1. If g keeps one of a
//! pair, then the two exchange their results; else g's results are. If g(x) = x and y is x's
//! partner, then x becomes g(y), which is not g(x) = x, and y becomes g(x) = x, which is not y. So
//! no number keeps itself, and the results of a pair are still its own two. Both results are
//! computed side by side, which takes hardly longer than one. The price: a number's partner is its
//! fiction twice as often as any other number, which is 2 / n of all keys. In a domain of odd size
//! the last number has no partner: the tweak is counted on until g does not keep it.

use crate::key::RuleKey;

const MOST_ROUNDS: usize = 20;
/// The fewest values for which 10 rounds are enough.
const MANY: u128 = 1_000_000;
/// Numbers that are computed side by side by [`Network::apply_many`].
const LANES: usize = 8;

/// The keys of the rounds, made once for a rule. Networks of any size use them, each with its
/// tweak.
#[derive(Clone)]
pub struct Schedule {
    key: RuleKey,
    rounds: [u128; MOST_ROUNDS],
}

/// Never shows the keys.
impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schedule")
    }
}

impl Schedule {
    /// Derives the keys of the rounds.
    pub fn new(key: RuleKey) -> Schedule {
        let key = key.part("network");
        let mut rounds = [0; MOST_ROUNDS];
        for (number, round) in rounds.iter_mut().enumerate() {
            *round = key.hash(&(number as u64).to_le_bytes());
        }
        Schedule { key, rounds }
    }

    /// The network for numbers below `size`. Another context gives an unrelated permutation.
    pub fn network(&self, size: u128, context: u128) -> Network {
        let mut network = Network::of(size);
        if size < 2 {
            return network;
        }
        let last = size - 1;
        for attempt in 0..u64::MAX {
            network.tweak = self.tweak(size, context, attempt);
            // A chance of one in `size` that it takes another attempt.
            if size.is_multiple_of(2) || network.walked(self, last) != last {
                break;
            }
        }
        network
    }

    fn tweak(&self, size: u128, context: u128, attempt: u64) -> u128 {
        let mut bytes = [0; 40];
        let (sizes, rest) = bytes.split_at_mut(16);
        let (contexts, attempts) = rest.split_at_mut(16);
        sizes.copy_from_slice(&size.to_le_bytes());
        contexts.copy_from_slice(&context.to_le_bytes());
        attempts.copy_from_slice(&attempt.to_le_bytes());
        self.key.hash(&bytes)
    }

    /// The keys of a network's rounds, in their order.
    #[inline]
    fn keys(&self, network: &Network) -> impl DoubleEndedIterator<Item = (bool, u128)> {
        let rounds = self.rounds.iter().take(network.rounds).enumerate();
        let tweak = network.tweak;
        rounds.map(move |(number, key)| (number.is_multiple_of(2), key ^ tweak))
    }
}

/// A permutation of the numbers below a size; [`Schedule::network`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    size: u128,
    /// Of the left half.
    a: u128,
    /// Of the right half.
    b: u128,
    rounds: usize,
    tweak: u128,
}

impl Network {
    fn of(size: u128) -> Network {
        // Most sizes need no division of 128 bits, which costs as much as several rounds.
        let (a, b) = match u64::try_from(size) {
            Ok(size) => {
                let a = root(size);
                (u128::from(a), u128::from(size.div_ceil(a)))
            }
            Err(_) => {
                let floor = size.isqrt();
                let a = if floor * floor == size { floor } else { floor + 1 };
                (a, size.div_ceil(a))
            }
        };
        let rounds = if size < MANY { MOST_ROUNDS } else { MOST_ROUNDS / 2 };
        Network { size, a, b: b.max(1), rounds, tweak: 0 }
    }

    /// What a number becomes; the caller sees to it that it is below the size.
    pub fn apply(&self, schedule: &Schedule, number: u128) -> u128 {
        let partner = number ^ 1;
        if self.size < 2 {
            return number;
        }
        if partner >= self.size {
            return self.walked(schedule, number);
        }
        let [mine, other] = match u64::try_from(self.size) {
            Ok(_) => {
                let results = self.narrow(schedule, [number as u64, partner as u64]);
                results.map(u128::from)
            }
            Err(_) => self.wide(schedule, [number, partner]),
        };
        let mine = self.rest(schedule, mine);
        let other = self.rest(schedule, other);
        if mine == number || other == partner { other } else { mine }
    }

    /// What becomes a number; the caller sees to it that it is below the size.
    pub fn invert(&self, schedule: &Schedule, number: u128) -> u128 {
        if self.size < 2 {
            return number;
        }
        let mut found = self.back(schedule, number);
        while found >= self.size {
            found = self.back(schedule, found);
        }
        let partner = found ^ 1;
        if partner >= self.size {
            return found;
        }
        if found == number || self.walked(schedule, partner) == partner { partner } else { found }
    }

    /// What each number becomes; the size is below 2^64. Numbers outside of the domain stay.
    pub(super) fn apply_many(&self, schedule: &Schedule, numbers: &mut [u64]) {
        let (groups, few) = numbers.as_chunks_mut::<LANES>();
        for group in groups {
            if group.iter().any(|number| u128::from(*number ^ 1) >= self.size) {
                self.one_by_one(schedule, group);
                continue;
            }
            // The numbers and their partners, in one go.
            let mut both = [0; 2 * LANES];
            let (own, partners) = both.split_at_mut(LANES);
            own.copy_from_slice(group);
            for (partner, number) in partners.iter_mut().zip(group.iter()) {
                *partner = number ^ 1;
            }
            let results = self.narrow(schedule, both);
            let (own, partners) = results.split_at(LANES);
            for ((number, mine), other) in group.iter_mut().zip(own).zip(partners) {
                let mine = self.rest(schedule, u128::from(*mine)) as u64;
                let other = self.rest(schedule, u128::from(*other)) as u64;
                *number = if mine == *number || other == *number ^ 1 { other } else { mine };
            }
        }
        self.one_by_one(schedule, few);
    }

    fn one_by_one(&self, schedule: &Schedule, numbers: &mut [u64]) {
        for number in numbers.iter_mut().filter(|number| u128::from(**number) < self.size) {
            *number = self.apply(schedule, u128::from(*number)) as u64;
        }
    }

    /// The network once, then the walk: g in the text above.
    fn walked(&self, schedule: &Schedule, number: u128) -> u128 {
        let once = self.forth(schedule, number);
        self.rest(schedule, once)
    }

    /// The walk back into the domain.
    #[inline]
    fn rest(&self, schedule: &Schedule, mut number: u128) -> u128 {
        while number >= self.size {
            number = self.forth(schedule, number);
        }
        number
    }

    fn is_narrow(&self) -> bool {
        self.size <= u128::from(u64::MAX)
    }

    fn forth(&self, schedule: &Schedule, number: u128) -> u128 {
        if self.is_narrow() {
            let [result] = self.narrow(schedule, [number as u64]);
            return u128::from(result);
        }
        let [result] = self.wide(schedule, [number]);
        result
    }

    /// The rounds over halves of at most 32 bits.
    #[inline]
    fn narrow<const N: usize>(&self, schedule: &Schedule, numbers: [u64; N]) -> [u64; N] {
        // A modulus of 2^32 is 0 here, which the additions below take for 2^32.
        let (a, b) = (self.a as u64, self.b as u64);
        let mut left = numbers.map(|number| (number / b) as u32);
        let mut right = numbers.map(|number| (number % b) as u32);
        for (is_left, key) in schedule.keys(self) {
            if is_left {
                half_round(&mut left, &right, a, key);
            } else {
                half_round(&mut right, &left, b, key);
            }
        }
        let mut results = numbers;
        for ((result, left), right) in results.iter_mut().zip(left).zip(right) {
            *result = u64::from(left).wrapping_mul(b).wrapping_add(u64::from(right));
        }
        results
    }

    /// The rounds over halves of at most 64 bits.
    fn wide<const N: usize>(&self, schedule: &Schedule, numbers: [u128; N]) -> [u128; N] {
        let mut left = numbers.map(|number| number / self.b);
        let mut right = numbers.map(|number| number % self.b);
        for (is_left, key) in schedule.keys(self) {
            let (to, from, modulus) =
                if is_left { (&mut left, &right, self.a) } else { (&mut right, &left, self.b) };
            for (to, from) in to.iter_mut().zip(from) {
                *to = (*to + scaled(sip(*from as u64, key), modulus)) % modulus;
            }
        }
        let mut results = numbers;
        for ((result, left), right) in results.iter_mut().zip(left).zip(right) {
            *result = left * self.b + right;
        }
        results
    }

    /// The network backwards, once.
    fn back(&self, schedule: &Schedule, number: u128) -> u128 {
        let (mut left, mut right) = (number / self.b, number % self.b);
        for (is_left, key) in schedule.keys(self).rev() {
            let (to, from, modulus) =
                if is_left { (&mut left, right, self.a) } else { (&mut right, left, self.b) };
            let added = if self.is_narrow() {
                let word = half_sip(from as u32, key);
                (u128::from(word) * modulus) >> 32
            } else {
                scaled(sip(from as u64, key), modulus)
            };
            *to = (*to + (modulus - added)) % modulus;
        }
        left * self.b + right
    }
}

/// The square root, rounded up; at least 1.
fn root(size: u64) -> u64 {
    let floor = size.isqrt();
    if floor * floor == size { floor.max(1) } else { floor + 1 }
}

/// A random word as a number below the modulus, which is at most 2^64.
fn scaled(word: u64, modulus: u128) -> u128 {
    (u128::from(word) * modulus) >> 64
}

/// Adds the keyed function of one half to the other, modulo at most 2^32, in each lane. The lanes
/// are the outer loop: the other way round, each step would go through memory, at twenty times the
/// cost.
#[inline(always)]
fn half_round<const N: usize>(to: &mut [u32; N], from: &[u32; N], modulus: u64, key: u128) {
    for (to, from) in to.iter_mut().zip(from) {
        let added = ((u64::from(half_sip(*from, key)) * modulus) >> 32) as u32;
        // to + added - modulus where that is not negative, else to + added: one comparison, and no
        // overflow that matters.
        let gap = (modulus as u32).wrapping_sub(added);
        *to = if *to >= gap { to.wrapping_sub(gap) } else { to.wrapping_add(added) };
    }
}

/// HalfSipHash-1-3 of one word.
#[inline(always)]
fn half_sip(word: u32, key: u128) -> u32 {
    let (low, high) = (key as u32, (key >> 32) as u32);
    let state = [low, high, 0x6c79_6765 ^ low, 0x7465_6462 ^ high ^ word];
    let [v0, v1, v2, v3] = half_sip_round(state);
    let state = half_sip_round([v0 ^ word, v1, v2 ^ 0xff, v3]);
    let [_, v1, _, v3] = half_sip_round(half_sip_round(state));
    v1 ^ v3
}

#[inline(always)]
fn half_sip_round([v0, v1, v2, v3]: [u32; 4]) -> [u32; 4] {
    let v0 = v0.wrapping_add(v1);
    let v1 = v1.rotate_left(5) ^ v0;
    let v0 = v0.rotate_left(16);
    let v2 = v2.wrapping_add(v3);
    let v3 = v3.rotate_left(8) ^ v2;
    let v0 = v0.wrapping_add(v3);
    let v3 = v3.rotate_left(7) ^ v0;
    let v2 = v2.wrapping_add(v1);
    let v1 = v1.rotate_left(13) ^ v2;
    [v0, v1, v2.rotate_left(16), v3]
}

/// SipHash-1-3 of one word.
#[inline]
fn sip(word: u64, key: u128) -> u64 {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mut v0 = 0x736f_6d65_7073_6575 ^ low;
    let mut v1 = 0x646f_7261_6e64_6f6d ^ high;
    let mut v2 = 0x6c79_6765_6e65_7261 ^ low;
    let mut v3 = 0x7465_6462_7974_6573 ^ high;
    let mut round = |input: u64, output: u64| {
        v3 ^= input;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        v0 ^= input;
        v2 ^= output;
        v0 ^ v1 ^ v2 ^ v3
    };
    // The mark of the end comes in after the round of the word.
    round(word, 0xff);
    round(0, 0);
    round(0, 0);
    round(0, 0)
}
