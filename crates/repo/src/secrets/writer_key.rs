//! A writer key as one line of text, for a file on a host that backs up.
//!
//! `PGARK-WRITER-KEY-1-` and hex digits of: CBOR keyring without data private keys, bound to the
//! header; then the first 8 bytes of its BLAKE3, against slips of the hand.

use age::secrecy::zeroize::Zeroizing;
use age::secrecy::{ExposeSecret, SecretString};

use super::header::{Header, hex};
use super::keyring::Keyring;
use crate::RepoError;

const PREFIX: &str = "PGARK-WRITER-KEY-1-";
const CHECK_BYTES: usize = 8;

/// Of the keyring of a writer.
pub(super) fn to_text(header_hash: &[u8; 32], keyring: &Keyring) -> SecretString {
    let bytes = keyring.to_bytes(header_hash);
    let check = blake3::hash(&bytes);
    SecretString::from(format!("{PREFIX}{}{}", hex(&bytes), hex(&check.as_bytes()[..CHECK_BYTES])))
}

pub(super) fn from_text(header: &Header, text: &SecretString) -> Result<Keyring, RepoError> {
    let bad = |why: &str| RepoError::BadSecret { what: "writer key", why: why.into() };
    let digits =
        text.expose_secret().trim().strip_prefix(PREFIX).ok_or_else(|| bad("it is not a writer key file"))?;
    let bytes =
        Zeroizing::new(decode(digits).ok_or_else(|| bad("it contains characters other than hex digits"))?);
    let split = bytes.len().checked_sub(CHECK_BYTES).ok_or_else(|| bad("it is too short"))?;
    let (body, check) = bytes.split_at(split);
    if blake3::hash(body).as_bytes()[..CHECK_BYTES] != *check {
        return Err(bad("its checksum is wrong: it is incomplete or mistyped"));
    }
    let (keyring, bound_to) = Keyring::from_bytes(body)?;
    if bound_to != header.hash() {
        return Err(RepoError::WrongKey);
    }
    Ok(keyring)
}

fn decode(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len() / 2).map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}
