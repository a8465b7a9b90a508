//! Random numbers that a key and a value decide.

use crate::key::RuleKey;

/// A stream of bits. Equal key and value give equal bits, in the order in which they are drawn.
///
/// The first 128 bits are the value's keyed hash; each later 128 are the keyed hash of these and a
/// counter.
#[derive(Clone, Debug)]
pub struct Draw {
    key: RuleKey,
    /// The bits of another try that were made beforehand, and its number.
    remembered: Option<(u32, u128)>,
    seed: u128,
    counter: u32,
    word: u128,
    left: u32,
}

impl Draw {
    /// Of a canonical value.
    pub fn of(key: RuleKey, canonical: &[u8]) -> Draw {
        Draw::from_seed(key, key.hash(canonical))
    }

    /// Of 128 bits that are random already.
    pub fn from_seed(key: RuleKey, seed: u128) -> Draw {
        Draw { key, remembered: None, seed, counter: 0, word: seed, left: 128 }
    }

    /// The first 128 bits, whatever was drawn.
    pub fn seed(&self) -> u128 {
        self.seed
    }

    /// The stream of another try: when the first fiction is the plain value itself.
    pub fn again(&self, attempt: u32) -> Draw {
        Draw::from_seed(self.key, self.seed_again(attempt))
    }

    /// Makes the bits of another try once for all copies of this stream.
    pub(crate) fn remember(mut self, attempt: u32) -> Draw {
        self.remembered = Some((attempt, self.seed_again(attempt)));
        self
    }

    /// The first 128 bits of another try.
    fn seed_again(&self, attempt: u32) -> u128 {
        if let Some((_, seed)) = self.remembered.filter(|(remembered, _)| *remembered == attempt) {
            return seed;
        }
        let mut bytes = [0; 20];
        let (seed, number) = bytes.split_at_mut(16);
        seed.copy_from_slice(&self.seed.to_le_bytes());
        number.copy_from_slice(&(u32::MAX - attempt).to_le_bytes());
        self.key.hash(&bytes)
    }

    /// The next 64 bits.
    #[inline]
    pub fn word(&mut self) -> u64 {
        if self.left < 64 {
            self.counter += 1;
            let mut bytes = [0; 20];
            let (seed, number) = bytes.split_at_mut(16);
            seed.copy_from_slice(&self.seed.to_le_bytes());
            number.copy_from_slice(&self.counter.to_le_bytes());
            (self.word, self.left) = (self.key.hash(&bytes), 128);
        }
        let word = self.word as u64;
        self.word >>= 64;
        self.left -= 64;
        word
    }

    /// The next 128 bits.
    pub fn wide(&mut self) -> u128 {
        (u128::from(self.word()) << 64) | u128::from(self.word())
    }

    /// A number below `n`; 0 if `n` is 0. The bias is below n / 2^64.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `least` to `most`, both included; `least` if there is none.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let width = most.wrapping_sub(least) as u64;
        if most <= least {
            least
        } else if width == u64::MAX {
            self.word() as i64
        } else {
            least.wrapping_add(self.below(width + 1) as i64)
        }
    }

    /// From 0 up to 1, without 1, in 53 bits.
    pub fn fraction(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of a list; None if it is empty.
    pub fn one_of<'l, T>(&mut self, list: &'l [T]) -> Option<&'l T> {
        list.get(self.below(list.len() as u64) as usize)
    }
}
