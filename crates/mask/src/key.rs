//! The mask key, and the keys of rules that are derived from it.
//!
//! A rule key is the first 16 bytes of BLAKE3's `derive_key("pgark 2026 mask rule v1", mask key ‖
//! vocabulary, 4 bytes little-endian ‖ domain)`: rules of one domain give one value one fiction, in
//! each table, run and machine. For each value the keyed function is SipHash-2-4 with 128 bits of
//! output (Aumasson and Bernstein, 2012, with the 128-bit finalisation of their reference code):
//! BLAKE3 for each value would cost three times as much.

use std::hash::Hasher;

use secrecy::{ExposeSecret, SecretBox};
use siphasher::sip128::{Hasher128, SipHasher24};

/// The fewest bytes of a mask key.
pub const LEAST_BYTES: usize = 16;

/// The secret that all fictions of a rules file depend on.
pub struct MaskKey(SecretBox<[u8]>);

/// A key is missing or too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mask key has {0} bytes; it needs at least {LEAST_BYTES}")]
pub struct TooShort(pub usize);

impl MaskKey {
    /// A key of the given bytes.
    pub fn new(bytes: Vec<u8>) -> Result<MaskKey, TooShort> {
        if bytes.len() < LEAST_BYTES {
            return Err(TooShort(bytes.len()));
        }
        Ok(MaskKey(SecretBox::new(bytes.into_boxed_slice())))
    }

    /// What tells keys apart and tells nothing of them: 4 bytes, hexadecimal.
    pub fn fingerprint(&self) -> String {
        let hash = blake3::derive_key("pgark 2026 mask key fingerprint v1", self.0.expose_secret());
        hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells keys apart where data is stored: equal rows that were masked under one key are found
    /// equal, and those under another key are not. It tells nothing of the key.
    pub fn domain(&self) -> [u8; 16] {
        let hash = blake3::derive_key("pgark 2026 mask domain v1", self.0.expose_secret());
        let mut domain = [0; 16];
        domain.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        domain
    }

    /// The key of a rule's domain.
    pub fn rule(&self, vocabulary: u32, domain: &str) -> RuleKey {
        let mut hasher = blake3::Hasher::new_derive_key("pgark 2026 mask rule v1");
        hasher.update(self.0.expose_secret());
        hasher.update(&vocabulary.to_le_bytes());
        hasher.update(domain.as_bytes());
        let mut key = [0; 16];
        hasher.finalize_xof().fill(&mut key);
        RuleKey(key)
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MaskKey({})", self.fingerprint())
    }
}

/// The key of one domain of rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RuleKey([u8; 16]);

impl RuleKey {
    /// For values that are made without a mask key: `seed` of a random engine, tests.
    pub fn of_bytes(bytes: [u8; 16]) -> RuleKey {
        RuleKey(bytes)
    }

    /// 128 bits that only the key and the bytes decide.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(bytes);
        hasher.finish128().as_u128()
    }

    /// Another key, of a part of the rule: `rounds of a permutation`.
    pub fn part(&self, name: &str) -> RuleKey {
        RuleKey(self.hash(name.as_bytes()).to_le_bytes())
    }
}

/// Never shows the key.
impl std::fmt::Debug for RuleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RuleKey")
    }
}
